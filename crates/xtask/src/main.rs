//! `cargo xtask`: what a person or a machine does with this repository, as numbered steps.
//!
//! - `cargo xtask run` makes the machine ready, builds page and binary, and serves both API and page.
//! - `cargo xtask test` runs every test there is, in the same way everywhere.
//! - `cargo xtask bench` measures the server beside PostgreSQL, Redis, a bare echo and the bare disk.
//! - `cargo xtask build` and `cargo xtask ci` are parts of the two, or more of them.
//!
//! Each step can be repeated: one with nothing to do takes a moment. What must be fetched is fetched by rustup, cargo,
//! pip and apt-get, and each time a line says so; nothing is skipped in silence.

#[cfg(unix)]
mod bench;
mod html;
mod http_tests;
mod http_tools;
mod machine;
mod page;
mod plan;
mod testing;
mod workspace;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::plan::Plan;
use crate::testing::{Selection, TestKind};
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Builds, runs and tests Wallet Lab", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build page and binary, then serve the API and the page
    Run {
        #[command(flatten)]
        to: Destination,
        /// Where to listen; port 0 picks a free one
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// The data directory, from the root of the repository
        #[arg(long, value_name = "DIRECTORY", default_value = "walletlab-data")]
        data: PathBuf,
        /// Stop when everything is built
        #[arg(long)]
        no_serve: bool,
    },
    /// Build the page, and the binary with the page in it
    Build {
        #[command(flatten)]
        to: Destination,
    },
    /// Run every test: native, WebAssembly in headless Chromium, HTTP tools against the real server, and the real page
    Test {
        /// Only tests whose name contains this
        filter: Option<String>,
        /// Only tests of this kind
        #[arg(long, value_enum)]
        only: Option<TestKind>,
        #[command(flatten)]
        to: Destination,
    },
    /// Measure the server beside PostgreSQL, Redis, a bare echo and the bare disk, and write what came out
    #[cfg(unix)]
    Bench {
        #[command(flatten)]
        args: bench::Args,
        #[command(flatten)]
        to: Destination,
    },
    /// What must pass before a change is merged: format, lints, documentation, every test
    Ci,
}

#[derive(Args)]
struct Destination {
    /// Where the built page goes; what was there before is replaced
    #[arg(long, value_name = "DIRECTORY", default_value = "dist")]
    dist: PathBuf,
}

fn main() -> ExitCode {
    match work(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(command: Command) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Build { to } => plan_build(&workspace, &to)?.run(),
        Command::Run { to, no_serve: true, .. } => plan_build(&workspace, &to)?.run(),
        Command::Run { to, listen, data, no_serve: false } => {
            plan_build(&workspace, &to)?.run()?;
            let data = workspace.root().join(data);
            println!("\nserving until Ctrl-C; the data directory is {}", data.display());
            workspace.serve(listen, &data)
        }
        Command::Test { filter, only, to } => {
            let dist = page::checked_dist(&workspace, &to.dist)?;
            testing::plan(&workspace, &dist, &Selection { filter, only })?.run()
        }
        #[cfg(unix)]
        Command::Bench { args, to } => {
            let dist = page::checked_dist(&workspace, &to.dist)?;
            bench::plan(&workspace, &args, &dist)?.run()
        }
        Command::Ci => {
            let script = workspace.root().join(".ci/run");
            workspace::check(std::process::Command::new("bash").arg(script))
                .context("the checks did not pass")
        }
    }
}

fn plan_build(workspace: &Workspace, to: &Destination) -> anyhow::Result<Plan> {
    let dist = page::checked_dist(workspace, &to.dist)?;
    let mut plan = Plan::default();
    machine::plan_wasm_target(&mut plan);
    page::plan(&mut plan, workspace, &dist);
    Ok(plan)
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
