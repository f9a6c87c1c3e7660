//! `walletlab export`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use journal::{Damage, DamageKind, Decoder, ToLines};
use pipeline::LedgerContent;

use crate::log_source::LogSource;
use crate::outcome::{Failure, Outcome, Verdict, not_printed};

/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// Write a log to standard output, in the binary or the JSON Lines form.
///
/// Every frame is decoded, and every checksum and seal verified, before it goes out; of a damaged log the part before
/// the damage comes out. The forms turn into each other without losing a byte.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab export data --format jsonl > events.log
  walletlab export data --format binary > events.wlog
  walletlab export data --format jsonl | grep TransactionFailed

Exit codes:
  0  exported; also if nobody reads standard output any more
  1  the log is damaged, or ends in the torn tail of an interrupted append, which is left out
  2  there is no log"))]
pub(crate) struct Args {
    /// A data directory, a file in either form, or `-`
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The form that comes out
    #[arg(long, value_enum)]
    format: Format,
}

/// The forms of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line: header, events, seals
    Jsonl,
    /// The bytes of a data directory's files
    Binary,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut source = LogSource::open(&args.path)?;
    let mut out = BufWriter::with_capacity(WRITE_BYTES, io::stdout().lock());
    let mut converter = Converter::new(args.format);
    let mut converted = Vec::new();
    let damage = loop {
        let chunk = match source.next_chunk() {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break converter.finish().err().or_else(|| source.torn().map(Damaged::At)),
            Err(place) => break Some(Damaged::At(place)),
        };
        let pushed = converter.push(chunk, &mut converted);
        out.write_all(&converted).map_err(|error| not_printed(&error))?;
        converted.clear();
        if let Err(damage) = pushed {
            break Some(damage);
        }
    };
    out.flush().map_err(|error| not_printed(&error))?;
    match damage {
        None => Ok(Verdict::Fine),
        Some(Damaged::At(place)) => Err(place.failure()),
        Some(Damaged::Frame { at_byte, sequence, what }) => {
            let place = source.place(at_byte, sequence, what);
            Err(Failure::Finding(format!(
                "{place}; the export ends before it (`walletlab verify` says more)"
            )))
        }
    }
}

/// Why an export ends early.
#[derive(Debug)]
pub(crate) enum Damaged {
    /// The source could not be read on.
    At(crate::log_source::Place),
    /// A frame is not valid.
    Frame { at_byte: u64, sequence: u64, what: String },
}

/// Decodes a log and gives its valid frames out again, in either form.
pub(crate) struct Converter {
    decoder: Decoder,
    /// `None`: the binary form.
    lines: Option<ToLines<LedgerContent>>,
    /// The bytes from `kept_from` on, which have not been given out yet.
    kept: Vec<u8>,
    kept_from: u64,
    /// What stands where a frame was expected, as long as it may be space that was reserved and not used.
    zeros: Option<Damage>,
}

impl Converter {
    pub(crate) fn new(format: Format) -> Converter {
        let lines = match format {
            Format::Jsonl => Some(ToLines::new(LedgerContent::default())),
            Format::Binary => None,
        };
        Converter { decoder: Decoder::new(), lines, kept: Vec::new(), kept_from: 0, zeros: None }
    }

    /// Appends what the next bytes of the log complete to `out`, up to the first damage.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Damaged> {
        if let Some(damage) = &self.zeros {
            return only_zeros(bytes, damage);
        }
        self.decoder.push(bytes);
        let decoded = loop {
            match self.decoder.next() {
                Ok(None) => break Ok(()),
                Ok(Some(item)) => {
                    if let Some(lines) = &mut self.lines
                        && let Err(error) = lines.push(&item, out)
                    {
                        let (at_byte, sequence) = (error.at_byte, error.sequence);
                        break Err(Damaged::Frame { at_byte, sequence, what: error.to_string() });
                    }
                }
                Err(damage) if damage.kind == DamageKind::Zeros => {
                    let rest = only_zeros(self.decoder.undecoded(), &damage);
                    self.zeros = Some(damage);
                    break rest;
                }
                Err(damage) => break Err(frame(&damage)),
            }
        };
        if self.lines.is_none() {
            self.kept.extend_from_slice(bytes);
            let valid = usize::try_from(self.decoder.position() - self.kept_from).unwrap_or(self.kept.len());
            out.extend(self.kept.drain(..valid));
            self.kept_from = self.decoder.position();
        }
        decoded
    }

    /// The log ends here.
    pub(crate) fn finish(&mut self) -> Result<(), Damaged> {
        if self.zeros.is_some() {
            return Ok(());
        }
        let rest = self.decoder.undecoded();
        if self.decoder.position() > 0 && rest.len() < 4 && rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.decoder.finish().map_err(|damage| frame(&damage))
    }
}

/// Reserved space is zeros to the end; with something behind them they are a hole.
fn only_zeros(bytes: &[u8], damage: &Damage) -> Result<(), Damaged> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(frame(damage)) }
}

fn frame(damage: &Damage) -> Damaged {
    Damaged::Frame { at_byte: damage.at_byte, sequence: damage.sequence, what: damage.kind.to_string() }
}
