//! `walletlab replay`.

use std::path::PathBuf;

use crate::log_source::{LogSource, recover};
use crate::outcome::{Failure, Outcome, Verdict, print, print_json};
use crate::summary::Summary;

/// Read a log into empty memory and print what it comes to.
///
/// PATH is a data directory, or a file in the binary or the JSON Lines form, or `-` for standard input. Nothing is
/// written and no lock is taken, so a log can be replayed while `walletlab serve` or `run` writes to it.
///
/// `sequence` is the number of records, which is the sequence that the next one takes; the page shows the same number.
/// `accounts`, `balances_total` (minor units, by asset) count the accounts without `@`; `completed` and `failed` count
/// client transfers. The digest covers every account and every answer, and is the same for equal states, wherever they
/// were made.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab replay data
  walletlab replay data --json
  walletlab replay events.log --until 1000 --json
  walletlab export data --format jsonl | walletlab replay - --json

With --json, exactly: {sequence, digest, accounts, balances_total, completed, failed}

Exit codes:
  0  replayed; the torn tail of an interrupted append is left out, and reported on standard error
  1  the log is damaged: file, byte (or line) and record are named
  2  there is no log, or it has fewer records than --until says"))]
pub(crate) struct Args {
    /// A data directory, a file in either form, or `-`
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Stop after so many records
    #[arg(long, value_name = "SEQUENCE")]
    until: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut source = LogSource::open(&args.path)?;
    let recovered = recover(&mut source, args.until).map_err(|place| place.failure())?;
    let summary = Summary::new(&recovered.ledger, &recovered.projections);
    if let Some(until) = args.until
        && summary.sequence < until
    {
        let (path, sequence) = (args.path.display(), summary.sequence);
        return Err(Failure::Usage(format!("{path}: the log has {sequence} records, --until wants {until}")));
    }
    let cut = recovered.cut.as_ref().filter(|torn| !torn.is_reserved_space());
    let cut = cut.map(|torn| source.place(torn.cut_at_byte, torn.next_sequence, torn.to_string()));
    if let (Some(place), None) = (source.torn().or(cut), args.until) {
        eprintln!("left out: {place}; whoever writes to the log next cuts it");
    }
    if args.json {
        print_json(&summary)?;
    } else {
        print(&summary)?;
    }
    Ok(Verdict::Fine)
}
