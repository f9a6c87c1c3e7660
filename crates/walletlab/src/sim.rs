//! `walletlab sim`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sim::{Fault, FaultKind, FaultTime, Micros, Options, Report, Safeguard, Stop, Until, Workload, World};

use crate::outcome::{Failure, Outcome, Verdict, print, print_json};

/// Durable events after which a run ends, unless told otherwise.
const EVENTS_DEFAULT: u64 = 100_000;
/// A world that makes so many steps without a durable record does not go on.
const STEPS_WITHOUT_RECORD_MAX: u64 = 1_000_000;
/// How long a crashed pipeline is down, unless told otherwise.
const DOWN_MICROS_DEFAULT: u64 = 50_000;

/// Run the pipeline in a simulated world, and check its invariants.
///
/// The same seed and options make the same bytes and the same digest, here and in the page. Everything is in virtual
/// time: latencies are modelled. Every option of a world can be given as JSON with --options (a report of --json holds
/// all of them under `options`); the other options change single ones of them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab sim --seed 7
  walletlab sim --seed 7 --events 1000000 --json
  walletlab sim --seed 7 --crash-every-micros 300000 --link-loss-per-mille 20
  walletlab sim --seed 7 --fault crash@step:400 --fault fail-append@micros:90000
  walletlab sim --seed 7 --events 20000 --safeguard-off fencing --crash-every-micros 30000
  walletlab sim --seed 7 --log events.wlog && walletlab replay events.wlog

With --json: {seed, options, sequence, events, digest, ..., invariants: [{name, checks, failures}], broken, last_steps}

Exit codes:
  0  every invariant was checked and held
  1  an invariant broke, was never checked, or the world could not go on to its end
  2  options that cannot work"))]
pub(crate) struct Args {
    /// Every draw comes from it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End the workload when so many events are durable [default: 100000]
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Options of a world as JSON
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Accounts of the workload
    #[arg(long, value_name = "N")]
    accounts: Option<u32>,
    /// Closed loop: so many clients, each of which waits for its answer
    #[arg(long, value_name = "N", conflicts_with = "arrivals_per_second")]
    clients: Option<u32>,
    /// Open loop: commands in a virtual second
    #[arg(long, value_name = "N")]
    arrivals_per_second: Option<u32>,
    /// Commands that repeat an earlier one
    #[arg(long, value_name = "SHARE")]
    duplicates_per_mille: Option<u32>,
    /// Commands that will be refused
    #[arg(long, value_name = "SHARE")]
    bad_commands_per_mille: Option<u32>,
    /// Commands that hold an amount for a transfer, or post or void one
    #[arg(long, value_name = "SHARE")]
    pending_per_mille: Option<u32>,
    /// Commands that are groups of transfers
    #[arg(long, value_name = "SHARE")]
    linked_per_mille: Option<u32>,
    /// Commands that give an account another floor
    #[arg(long, value_name = "SHARE")]
    floors_per_mille: Option<u32>,
    /// Messages between clients and gateway that are lost
    #[arg(long, value_name = "SHARE", help_heading = "Faults")]
    link_loss_per_mille: Option<u32>,
    /// Messages that arrive twice
    #[arg(long, value_name = "SHARE", help_heading = "Faults")]
    link_duplication_per_mille: Option<u32>,
    /// Longest virtual time that a message travels
    #[arg(long, value_name = "MICROS", help_heading = "Faults")]
    link_delay_micros_max: Option<u64>,
    /// Longest virtual time that an append takes
    #[arg(long, value_name = "MICROS", help_heading = "Faults")]
    disk_micros_max: Option<u64>,
    /// Look-ups that are never answered, which makes dead letters
    #[arg(long, value_name = "SHARE", help_heading = "Faults")]
    lookup_loss_per_mille: Option<u32>,
    /// Mean virtual time between crashes
    #[arg(long, value_name = "MICROS", help_heading = "Faults")]
    crash_every_micros: Option<u64>,
    /// crash, fail-append or link-down, at a step or a virtual time: KIND@step:N or KIND@micros:N; repeatable
    #[arg(long, value_name = "FAULT", help_heading = "Faults")]
    fault: Vec<FaultText>,
    /// Switch a safeguard of the surroundings off, so that a checker has something to find; repeatable
    #[arg(long, value_name = "NAME", value_parser = safeguard, help_heading = "Faults")]
    safeguard_off: Vec<Safeguard>,
    /// Write the log, in the binary form, to a file that is not there yet
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let options = options(args)?;
    let mut world = World::new(options).map_err(|error| Failure::Usage(error.to_string()))?;
    // Made before the run, so that a file that is there is neither lost nor found out about too late.
    let log = args.log.as_ref().map(|path| new_file(path)).transpose()?;
    let stopped = run_to_end(&mut world);
    if let (Some(mut file), Some(path)) = (log, &args.log) {
        let mut bytes = Vec::new();
        world.read_log(0, &mut bytes);
        let written = file.write_all(&bytes);
        written.map_err(|error| Failure::Usage(format!("{}: cannot write it: {error}", path.display())))?;
    }
    let report: Report = world.report();
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    if let Some(stop) = &stopped {
        eprintln!("the world did not come to its end: {}", why(stop));
    }
    for invariant in report.unchecked() {
        eprintln!("invariant {invariant} was never checked: let the run be longer (--events)");
    }
    Ok(if stopped.is_none() && report.is_fine() { Verdict::Fine } else { Verdict::Finding })
}

/// A file that was not there before.
fn new_file(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| {
        Failure::Usage(match error.kind() {
            io::ErrorKind::AlreadyExists => {
                format!("{}: it is there already and is not overwritten; give another name", path.display())
            }
            _ => format!("{}: cannot make it: {error}", path.display()),
        })
    })
}

/// Runs until the world has nothing left to do; otherwise says what stopped it.
fn run_to_end(world: &mut World) -> Option<Stop> {
    let until = Until { steps: STEPS_WITHOUT_RECORD_MAX, ..Until::default() };
    while world.options().events_max > 0 {
        let before = world.sequence();
        match world.run(&until) {
            Stop::Idle => break,
            Stop::FeedEnded(_) => {}
            Stop::Steps if world.sequence() > before => {}
            stop => return Some(stop),
        }
    }
    world.finish().err()
}

fn options(args: &Args) -> Result<Options, Failure> {
    let mut options = match &args.options {
        None => Options::default(),
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| Failure::unreadable(path, &error))?;
            serde_json::from_str(&text)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?
        }
    };
    set(&mut options.seed, args.seed);
    set(&mut options.accounts, args.accounts);
    set(&mut options.duplicates_per_mille, args.duplicates_per_mille);
    set(&mut options.bad_commands_per_mille, args.bad_commands_per_mille);
    set(&mut options.pending_per_mille, args.pending_per_mille);
    set(&mut options.linked_per_mille, args.linked_per_mille);
    set(&mut options.floors_per_mille, args.floors_per_mille);
    set(&mut options.link.loss_per_mille, args.link_loss_per_mille);
    set(&mut options.link.duplication_per_mille, args.link_duplication_per_mille);
    set_max(&mut options.link.delay, args.link_delay_micros_max);
    set_max(&mut options.disk, args.disk_micros_max);
    set(&mut options.lookups.loss_per_mille, args.lookup_loss_per_mille);
    set(&mut options.crashes.every_micros, args.crash_every_micros);
    if options.events_max == 0 || args.events.is_some() {
        options.events_max = args.events.unwrap_or(EVENTS_DEFAULT);
    }
    if let Some(arrivals_per_second) = args.arrivals_per_second {
        options.workload = Workload::Open { arrivals_per_second, clients_max: 65_536 };
    }
    if let Some(clients) = args.clients {
        let think = match options.workload {
            Workload::Closed { think, .. } => think,
            Workload::Idle | Workload::Open { .. } => Micros { min: 500, max: 4_500 },
        };
        options.workload = Workload::Closed { clients, think };
    }
    options.faults.extend(args.fault.iter().map(|FaultText(fault)| fault.clone()));
    options.safeguards_off.extend(&args.safeguard_off);
    Ok(options)
}

fn set<T: Copy>(option: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *option = given;
    }
}

fn set_max(range: &mut Micros, max: Option<u64>) {
    if let Some(max) = max {
        *range = Micros { min: range.min.min(max), max };
    }
}

/// `KIND@step:N` or `KIND@micros:N`.
#[derive(Clone, Debug)]
struct FaultText(Fault);

impl FromStr for FaultText {
    type Err = String;

    fn from_str(text: &str) -> Result<FaultText, String> {
        const EXPECTED: &str =
            "expected KIND@step:N or KIND@micros:N, KIND being crash, fail-append or link-down";
        let (kind, at) = text.split_once('@').ok_or(EXPECTED)?;
        let kind = match kind {
            "crash" => FaultKind::CrashPipeline { down_micros: DOWN_MICROS_DEFAULT },
            "fail-append" => FaultKind::FailAppend,
            "link-down" => FaultKind::LinkDown { micros: DOWN_MICROS_DEFAULT },
            _ => return Err(EXPECTED.into()),
        };
        let (unit, number) = at.split_once(':').ok_or(EXPECTED)?;
        let number: u64 = number.parse().map_err(|error| format!("{number}: {error}"))?;
        let at = match unit {
            "step" => FaultTime::Step(number),
            "micros" => FaultTime::Micros(number),
            _ => return Err(EXPECTED.into()),
        };
        Ok(FaultText(Fault { at, kind }))
    }
}

/// The names are those of the JSON form; `-` may stand for `_`.
fn safeguard(text: &str) -> Result<Safeguard, String> {
    let name = serde_json::Value::String(text.replace('-', "_"));
    serde_json::from_value(name).map_err(|error| error.to_string())
}

fn why(stop: &Stop) -> String {
    match stop {
        Stop::Broken => "an invariant broke".into(),
        Stop::LogFull { log_len } => format!("its log is full, with {log_len} bytes"),
        Stop::Steps => format!(
            "no record became durable in {STEPS_WITHOUT_RECORD_MAX} steps; make its faults rarer or shorter"
        ),
        Stop::Time | Stop::Sequence | Stop::Idle | Stop::AwaitCommit(_) | Stop::FeedEnded(_) => {
            format!("{stop:?}")
        }
    }
}
