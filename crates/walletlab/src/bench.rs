//! `walletlab bench`: how fast and how large, measured on this machine, with the settings beside each figure.

mod durable;
mod engine;
mod figure;
mod http;
mod ids;
mod machine;
mod memory;
mod replay;
mod workload;
mod world;

use std::path::PathBuf;

use figure::Figure;
use machine::Machine;
use serde::Serialize;

use crate::outcome::{Failure, Outcome, Verdict, print, print_json};

/// Measure the engine, the durable pipeline, the server, replay, memory and the simulator on this machine.
///
/// Each figure is the median of its runs, with the smallest and the largest, its settings, and what is durable when. The
/// commands are made before the clock starts. Run it alone, as a release build: whatever else the machine does is in
/// the figures.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab bench
  walletlab bench engine durable --runs 5
  walletlab bench ids --ids 100000000 --data /var/lib/wallet
  walletlab bench --json > bench.json

Names: memory, ids, engine, pipeline, durable, disk, replay, clone, sim, http; the beginning of a figure's name will do.

Exit codes:
  0  measured; no figure is compared with anything but the aim printed beside it
  2  unknown names, or a directory that cannot be written to"))]
pub(crate) struct Args {
    /// What to measure; everything if nothing is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Runs of each figure
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Durable figures are measured in a temporary directory below this one; it should be on the disk that matters
    #[arg(long, value_name = "DIR", default_value = ".")]
    data: PathBuf,
    /// Up to how many transaction ids `ids` goes; 100 million take 4 GB of disk meanwhile
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    ids: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Be the echo that the server is compared with
    #[arg(long, hide = true)]
    echo_server: bool,
    /// Be the server without its ledger that the server is compared with; it has its directory in --data
    #[arg(long, hide = true)]
    server_without_ledger: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    figures: Vec<Figure>,
}

/// A benchmark: its name, and what measures it.
struct Bench {
    name: &'static str,
    measure: fn(&Args) -> Result<Vec<Figure>, Failure>,
}

/// In this order, because what is freed stays in the resident memory of a process for a while.
const BENCHES: [Bench; 10] = [
    Bench { name: "memory", measure: memory::measure },
    Bench { name: "ids", measure: ids::measure },
    Bench { name: "engine", measure: engine::measure },
    Bench { name: "pipeline", measure: engine::measure_pipeline },
    Bench { name: "durable", measure: durable::measure },
    Bench { name: "disk", measure: durable::measure_disk },
    Bench { name: "replay", measure: replay::measure },
    Bench { name: "clone", measure: world::measure_clone },
    Bench { name: "sim", measure: world::measure_sim },
    Bench { name: "http", measure: http::measure },
];

pub(crate) fn run(args: &Args) -> Outcome {
    if args.echo_server {
        return http::echo_server().map(|()| Verdict::Fine);
    }
    if args.server_without_ledger {
        return http::server_without_ledger(args).map(|()| Verdict::Fine);
    }
    let is_wanted =
        |bench: &Bench| args.names.is_empty() || args.names.iter().any(|name| bench.name.starts_with(name));
    if let Some(unknown) =
        args.names.iter().find(|name| !BENCHES.iter().any(|bench| bench.name.starts_with(*name)))
    {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        return Err(Failure::Usage(format!(
            "there is no benchmark {unknown}; there are {}",
            names.join(", ")
        )));
    }
    let machine = Machine::this();
    if !args.json {
        print(&machine)?;
    }
    let mut figures = Vec::new();
    for bench in BENCHES.iter().filter(|bench| is_wanted(bench)) {
        eprintln!("measuring {} ...", bench.name);
        let measured = (bench.measure)(args)?;
        if !args.json {
            measured.iter().try_for_each(|figure| print(figure))?;
        }
        figures.extend(measured);
    }
    if args.json {
        print_json(&Report { machine, figures })?;
    }
    Ok(Verdict::Fine)
}
