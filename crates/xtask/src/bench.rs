//! `cargo xtask bench`: this server beside PostgreSQL, Redis, a bare echo and the bare disk, under one workload, on one
//! machine, in one go.
//!
//! - [`parts`] says what is measured, [`servers`] starts what is measured, [`compare`] alternates between them.
//! - [`aims`] holds what is aimed for, and what came out.
//! - [`report`] writes raw JSON, tables, a chart and `performance-report.json`.
//!
//! Sides take turns, A/B/A/B, so that what else the machine does meets all of them; ratios are made turn by turn. Before
//! each run the disk gets what earlier runs left to it. The load is `walletlab-load`, a program of its own.

mod aims;
mod chart;
mod compare;
mod machine;
mod parts;
mod report;
mod servers;
mod table;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::ValueEnum;

use self::parts::Part;
use self::report::Report;
use crate::machine as setup;
use crate::page;
use crate::plan::Plan;
use crate::workspace::{Workspace, cargo, check, output};

/// Open files that a server and the load of 10,000 connections need, with some to spare.
const OPEN_FILES: u64 = 12_000;

/// What is measured, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Some ten minutes instead of an hour or two: 10,000 accounts, runs of a second, short waits
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Part>,
    /// How often the sides take turns; 5, and 3 with --quick
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pairs: Option<u32>,
    /// How long a run is; 4, and 1 with --quick
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,
    /// How long the crowd of 10,000 connections works; 300, and 10 with --quick
    #[arg(long, value_name = "SECONDS")]
    crowd_seconds: Option<f64>,
    /// Every server keeps its data in a fresh directory below this one; it must be on the disk that matters
    #[arg(long, value_name = "DIRECTORY", default_value_os_t = std::env::temp_dir())]
    data: PathBuf,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lengths {
    pub(crate) quick: bool,
    pub(crate) pairs: u32,
    pub(crate) warm_up: f64,
    pub(crate) seconds: f64,
    pub(crate) crowd_seconds: f64,
}

/// Adds the steps: what the machine must have, the programs, then the measuring.
pub(crate) fn plan(workspace: &Workspace, args: &Args, dist: &Path) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    let wanted: Vec<Part> = Part::value_variants()
        .iter()
        .copied()
        .filter(|part| args.only.is_empty() || args.only.contains(part))
        .collect();
    plan.step("looking for PostgreSQL and Redis", servers::ensure);
    if wanted.iter().any(|part| part.needs_page()) {
        setup::plan_wasm_target(&mut plan);
        setup::plan_chromium(&mut plan);
        page::plan(&mut plan, workspace, dist);
    } else {
        plan.step("building the binary walletlab, optimised", || {
            check(cargo().args(["build", "--release", "--package", "walletlab"]))
        });
    }
    plan.step("building the load, optimised", || {
        check(cargo().args(["build", "--release", "--package", "load"]))
    });
    let (here, args, dist) = (workspace.clone(), args.clone(), dist.to_owned());
    let names: Vec<&str> = wanted.iter().map(|part| part.name()).collect();
    plan.step(format!("measuring {}", names.join(", ")), move || measure(&here, &args, &wanted, &dist));
    Ok(plan)
}

/// Everything that a part needs to measure.
pub(crate) struct Bench {
    workspace: Workspace,
    lengths: Lengths,
    /// Where servers keep their data.
    data: PathBuf,
    /// The built page.
    dist: PathBuf,
}

fn measure(workspace: &Workspace, args: &Args, parts: &[Part], dist: &Path) -> anyhow::Result<()> {
    let started = Instant::now();
    check_open_files()?;
    check_disk(&args.data)?;
    let out = workspace.target().join("bench").join(timestamp()?);
    fs::create_dir_all(&out)?;
    let data = fresh_directory(&args.data)?;
    let (seconds, crowd) = if args.quick { (1.0, 10.0) } else { (4.0, 300.0) };
    let lengths = Lengths {
        quick: args.quick,
        pairs: args.pairs.unwrap_or(if args.quick { 3 } else { 5 }),
        warm_up: if args.quick { 0.3 } else { 1.0 },
        seconds: args.seconds.unwrap_or(seconds),
        crowd_seconds: args.crowd_seconds.unwrap_or(crowd),
    };
    let bench = Bench { workspace: workspace.clone(), lengths, data: data.clone(), dist: dist.to_owned() };
    let mut report = Report::new(&bench, machine::Machine::this(workspace, &args.data));
    println!("{}", report.heading());
    let measured = parts.iter().try_for_each(|part| {
        println!("\n== {}: {}", part.name(), part.what());
        part.measure(&bench, &mut report).with_context(|| format!("part {}", part.name()))?;
        // After each part, so that a later failure costs nothing that was measured.
        report.write(&out, started.elapsed())
    });
    let removed = fs::remove_dir_all(&data).with_context(|| format!("removing {}", data.display()));
    measured?;
    removed?;
    println!("\n{}", report.text());
    println!("written to {}", out.display());
    Ok(())
}

/// A directory that every user can enter: PostgreSQL does not run as root.
fn fresh_directory(below: &Path) -> anyhow::Result<PathBuf> {
    let template = below.join("walletlab-bench-XXXXXXXX");
    let made = output(Command::new("mktemp").arg("--directory").arg(template))?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o755))?;
    Ok(PathBuf::from(made))
}

/// A sync of a file in memory costs nothing, so figures from there would mean nothing.
fn check_disk(directory: &Path) -> anyhow::Result<()> {
    let kind = output(Command::new("stat").args(["--file-system", "--format=%T"]).arg(directory))?;
    if matches!(kind.as_str(), "tmpfs" | "ramfs") {
        bail!("{} is in memory ({kind}); name a directory on a disk with --data", directory.display());
    }
    Ok(())
}

fn check_open_files() -> anyhow::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX);
    if wanted < OPEN_FILES {
        bail!(
            "10,000 connections need {OPEN_FILES} open files, and the limit is {wanted}: raise it (ulimit -Hn)"
        );
    }
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised)
        .context("raising the limit of open files")
}

/// Of now, in UTC, as part of a path.
fn timestamp() -> anyhow::Result<String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?.as_secs();
    output(Command::new("date").args(["--utc", "+%Y%m%dT%H%M%SZ", &format!("--date=@{seconds}")]))
}
