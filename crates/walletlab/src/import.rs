//! `walletlab import`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use journal::{FromLines, Tail};
use pipeline::{LedgerContent, Recovered, Recovery};
use serde::Serialize;
use server::files::{DirectoryLock, new_id, place_segment, segments};

use crate::export::{Converter, Damaged, Format};
use crate::log_source::{Form, LINES_NAME, LogSource, Place, hash_seed, refused};
use crate::outcome::{Failure, Outcome, Verdict, print, print_json};
use crate::summary::Summary;

/// The name that a log has in its directory until it is whole, verified and synced.
const UNFINISHED_NAME: &str = "import.part";

/// Put an exported log into a new data directory.
///
/// FILE is in the binary or the JSON Lines form, or `-` for standard input. Everything is verified, checksums, seals and
/// whether each record follows from those before it, before the log gets its name; after a failure the directory holds
/// no log. A log that was edited fails; with --reseal it becomes another log, with a log id and seals of its own.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab import events.log --data data
  walletlab import events.wlog --data data --json
  walletlab import edited.log --data data --reseal

Exit codes:
  0  imported
  1  the file is damaged, edited or not whole: byte (or line) and record are named
  2  there is no such file, or the directory is in use or has a log"))]
pub(crate) struct Args {
    /// The exported log
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The data directory to make; new or empty
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Make a new log of it: new log id, new seals
    #[arg(long)]
    reseal: bool,
    /// Print JSON: what `replay --json` prints of the imported log, and its log_id
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Imported {
    log_id: String,
    #[serde(flatten)]
    summary: Summary,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let source = LogSource::open(&args.file)?;
    let lock = DirectoryLock::take(&args.data)?;
    refuse_full(&args.data)?;
    let unfinished = args.data.join(UNFINISHED_NAME);
    let written = write(args, source, &unfinished);
    let (tail, recovered) = match written {
        Ok(written) => written,
        Err(failure) => {
            // The failure is what matters; a left-over is written over by the next import.
            let _ = fs::remove_file(&unfinished);
            return Err(failure);
        }
    };
    place_segment(&unfinished, &args.data, &lock)?;
    let log_id = tail.header().log_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let summary = Summary::new(&recovered.ledger, &recovered.projections);
    if args.json {
        print_json(&Imported { log_id, summary })?;
    } else {
        print(&format_args!("log id          {log_id}\n{summary}"))?;
    }
    Ok(Verdict::Fine)
}

fn refuse_full(directory: &Path) -> Result<(), Failure> {
    let segment = segments(directory)?.into_iter().next().map(|segment| segment.path);
    let lines = Some(directory.join(LINES_NAME)).filter(|lines| lines.exists());
    let Some(path) = segment.or(lines) else { return Ok(()) };
    let what = "this data directory has a log already; import into a new or empty one";
    Err(Failure::Usage(format!("{}: {what}", path.display())))
}

/// Writes the verified bytes of the log into a file, and syncs it.
fn write(args: &Args, source: LogSource, unfinished: &Path) -> Result<(Tail, Recovered), Failure> {
    let refused_by_system = |doing: &str, error: std::io::Error| {
        Failure::Usage(format!("{}: cannot {doing} it: {error}", unfinished.display()))
    };
    let mut file = File::create(unfinished).map_err(|error| refused_by_system("create", error))?;
    let mut recovery = Recovery::new(hash_seed());
    let mut bytes = Bytes::new(source, args.reseal.then(new_id));
    let mut chunk = Vec::new();
    while bytes.next(&mut chunk).map_err(|place| place.failure())? {
        recovery.push(&chunk, |_| {}).map_err(|error| refused(&bytes.source, &error).failure())?;
        file.write_all(&chunk).map_err(|error| refused_by_system("write", error))?;
        chunk.clear();
    }
    let recovered = recovery.finish().map_err(|error| refused(&bytes.source, &error).failure())?;
    if let Some(torn) = recovered.cut.as_ref().filter(|torn| !torn.is_reserved_space()) {
        let what = format!("the file is not whole ({torn}); copy it again");
        return Err(bytes.source.place(torn.cut_at_byte, torn.next_sequence, what).failure());
    }
    if let Some(torn) = bytes.source.torn() {
        let what = format!("the file is not whole ({}); copy it again", torn.what);
        return Err(Place { what, ..torn }.failure());
    }
    let tail = recovered.tail.clone().expect("a log without a header is not whole");
    // A copy of a log that is being written to may end in zeros, which are not of the log.
    file.set_len(tail.bytes()).map_err(|error| refused_by_system("cut", error))?;
    file.sync_all().map_err(|error| refused_by_system("sync", error))?;
    Ok((tail, recovered))
}

/// The bytes that are imported: those of the source, or resealed ones.
struct Bytes {
    source: LogSource,
    reseal: Option<Resealing>,
    is_done: bool,
}

/// A binary log is resealed by way of its lines.
struct Resealing {
    to_lines: Converter,
    from_lines: Option<Box<FromLines<LedgerContent>>>,
    lines: Vec<u8>,
}

impl Bytes {
    fn new(source: LogSource, reseal_as: Option<[u8; 16]>) -> Bytes {
        let Some(log_id) = reseal_as else {
            return Bytes { source, reseal: None, is_done: false };
        };
        match source.form() {
            Form::Lines => Bytes { source: source.resealing(log_id), reseal: None, is_done: false },
            Form::Binary => {
                let from_lines = Some(Box::new(FromLines::resealing(LedgerContent::default(), log_id)));
                let reseal = Some(Resealing {
                    to_lines: Converter::new(Format::Jsonl),
                    from_lines,
                    lines: Vec::new(),
                });
                Bytes { source, reseal, is_done: false }
            }
        }
    }

    /// Appends the next bytes to `out`; `false` at the end.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, Place> {
        if self.is_done {
            return Ok(false);
        }
        let Bytes { source, reseal, is_done } = self;
        let Some(reseal) = reseal else {
            let chunk = source.next_chunk()?;
            out.extend_from_slice(chunk.unwrap_or_default());
            return Ok(chunk.is_some());
        };
        let resealed = match source.next_chunk()? {
            Some(chunk) => reseal.push(chunk, out),
            None => {
                *is_done = true;
                reseal.finish(out)
            }
        };
        resealed.map_err(|damaged| match damaged {
            Damaged::At(place) => place,
            Damaged::Frame { at_byte, sequence, what } => source.place(at_byte, sequence, what),
        })?;
        Ok(true)
    }
}

impl Resealing {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
        self.lines.clear();
        self.to_lines.push(chunk, &mut self.lines)?;
        match &mut self.from_lines {
            Some(from_lines) => from_lines.push(&self.lines, out).map_err(|error| unexpected(&error)),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Damaged> {
        self.to_lines.finish()?;
        match self.from_lines.take() {
            Some(from_lines) => from_lines.finish(out).map(drop).map_err(|error| unexpected(&error)),
            None => Ok(()),
        }
    }
}

/// The lines of a log that decodes; what they refuse is wrong with a record, not with a line of the file.
fn unexpected(error: &journal::LineError) -> Damaged {
    Damaged::Frame { at_byte: 0, sequence: error.sequence, what: error.kind.to_string() }
}
