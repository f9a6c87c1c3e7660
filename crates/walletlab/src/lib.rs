//! The command line of Wallet Lab, one module a subcommand. It is a library so that tests can build a binary of their
//! own around the same [`main`].
//!
//! Invariants, as absences: no subcommand but `serve`, `run` and `import` writes to a data directory, and all three hold its
//! lock; no number of money is a float; no error is without the file, and the line, byte or record, that it is about.

mod bench;
mod config;
mod export;
mod health;
mod import;
mod interrupt;
mod log_source;
mod logging;
mod outcome;
mod page;
mod replay;
mod run;
mod serve;
mod settings;
mod sim;
mod summary;
mod verify;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use outcome::{Failure, Outcome, Verdict};

/// A deterministic wallet ledger: serve it, run files through it, simulate it, replay and verify its logs.
#[derive(Debug, Parser)]
#[command(name = "walletlab", version, max_term_width = 110, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Args>),
    Config(Box<config::Args>),
    Health(health::Args),
    Run(run::Args),
    Sim(Box<sim::Args>),
    Replay(replay::Args),
    Verify(verify::Args),
    Export(export::Args),
    Import(import::Args),
    Bench(bench::Args),
}

/// The end of every help text.
const EXIT_CODES: &str = "\
Exit codes:
  0  fine
  1  a finding: a damaged log, a malformed row, a broken invariant, an append that failed, a run that was interrupted
  2  usage: wrong options, a file that is missing or cannot be read, a data directory that is in use or not empty";

/// Runs the command line of this process and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let (command, matches) = parse();
    let outcome = dispatch(command, &matches);
    match outcome {
        // Whoever read our output has read enough.
        Ok(Verdict::Fine) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Ok(Verdict::Finding) => ExitCode::from(1),
        Err(Failure::Finding(message)) => {
            eprintln!("{message}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

/// The subcommand, and the matches of its arguments, which know where each comes from. Clap prints help to standard
/// output (0) and usage errors to standard error (2), and ends the process itself.
fn parse() -> (Command, ArgMatches) {
    let mut cli = Cli::command();
    let arguments: Vec<_> = std::env::args_os().collect();
    let parsed = cli.try_get_matches_from_mut(&arguments);
    let matches = parsed.unwrap_or_else(|error| settings::blame_environment(error, &cli, &arguments).exit());
    let parsed = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut cli).exit());
    let matches = matches.subcommand().map(|(_, matches)| matches.clone());
    (parsed.command, matches.unwrap_or_default())
}

fn dispatch(command: Command, matches: &ArgMatches) -> Outcome {
    match command {
        Command::Serve(args) => serve::run(*args, matches),
        Command::Config(args) => config::run(*args, matches),
        Command::Health(args) => health::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_every_subcommand_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_explains_itself_with_examples_and_exit_codes() {
        let mut cli = Cli::command();
        cli.build();
        for subcommand in cli.get_subcommands_mut().filter(|subcommand| subcommand.get_name() != "help") {
            let help = subcommand.render_long_help().to_string();
            for must in ["Examples:", "Exit codes:", "walletlab "] {
                assert!(help.contains(must), "{} has no {must:?} in its help", subcommand.get_name());
            }
        }
    }
}
