//! The load of `cargo xtask bench`: the same transfers, sent by the same loop, to each server that is compared.
//!
//! - [`workload`] draws the transfers: accounts, their distribution, the ids.
//! - [`speak`] says them in a server's own words: HTTP, PostgreSQL's protocol, Redis' protocol.
//! - [`drive`] keeps them in flight over so many connections, in a closed loop or at a fixed rate.
//! - [`process`] reads what the server's processes spend meanwhile; [`measured`] is what a run comes to.
//! - [`disk`] is what the disk alone can do.
//!
//! One thread does all of it, because the load shares the machine with what it measures. No client library stands between
//! the loop and a socket: what such a library costs would be counted as the server's.
//!
//! Invariants, as absences: nothing of the product is linked, it is known from outside only; no answer counts that was
//! not read whole and was not a success; no time counts that lies outside of the window between two looks at the clock.

mod disk;
mod drive;
mod measured;
mod pacer;
mod process;
mod speak;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Sends transfers to a server and prints what came of it as JSON", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Open the accounts of a wallet server, each with the same balance
    Open(drive::OpenArgs),
    /// Send transfers for a while
    Run(drive::Args),
    /// Append and sync as many bytes as a transfer takes, one after the other, without any server
    Disk(disk::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Open(args) => drive::open(&args),
        Command::Run(args) => drive::run(&args),
        Command::Disk(args) => disk::run(&args),
    };
    match done {
        Ok(measured) => {
            println!("{measured}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
