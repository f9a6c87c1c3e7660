//! `walletlab verify`.

use std::fmt;
use std::path::PathBuf;

use journal::{Decoder, FromLines, Item, ToLines};
use ledger::Event;
use pipeline::{LedgerContent, Recovered, Recovery};
use serde::Serialize;

use crate::log_source::{LogSource, Place, hash_seed, refused};
use crate::outcome::{Outcome, Verdict, print, print_json};
use crate::summary::{Summary, violations};

/// Check everything that a log says of itself, and name the first bad record, its file and byte.
///
/// Verified are: each frame's checksum; dense sequences, generations and times that never fall; the chain of seals from
/// the first byte to the last; that each record can be read and follows from those before it; that no transaction id
/// has two records; that the balances of each asset add up to 0 and none is below its floor; that the read models say
/// what the ledger says; and that the other form of the log (JSON Lines or binary) turns back into the same bytes.
///
/// Nothing is written and no lock is taken. A log that `walletlab serve` or `run` is writing to at the moment may end in a batch
/// that is not whole yet, which looks like the tail of an interrupted append.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab verify data
  walletlab verify events.log --json

Exit codes:
  0  everything holds
  1  a finding. Damage is named by file, byte (or line) and record. The tail of an interrupted append is a finding
     too: it may be cut, because nothing in it was ever reported as durable, and whoever writes next cuts it and says so
  2  there is no log"))]
pub(crate) struct Args {
    /// A data directory, a file in either form, or `-`
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether there is no finding.
    intact: bool,
    form: &'static str,
    files: usize,
    #[serde(flatten)]
    counted: Counted,
    #[serde(flatten)]
    summary: Option<Summary>,
    findings: Vec<Finding>,
}

/// What has been verified.
#[derive(Debug, Default, Serialize)]
struct Counted {
    bytes: u64,
    headers: u64,
    records: u64,
    events: u64,
    seals: u64,
    /// Records below this sequence were known durable when the last seal was written.
    durable_before: u64,
    generation: u64,
    last_seal: String,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct Finding {
    kind: &'static str,
    #[serde(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let mut source = LogSource::open(&args.path)?;
    let mut check = Check::new();
    let read = check.read(&mut source);
    let (summary, findings) = match read.and_then(|()| check.finish(&source)) {
        Ok((summary, findings)) => (Some(summary), findings),
        Err(place) => (None, vec![Finding { kind: "damage", place }]),
    };
    let report = Report {
        intact: findings.is_empty(),
        form: source.form().name(),
        files: source.parts().len(),
        counted: check.counted,
        summary,
        findings,
    };
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    Ok(if report.intact { Verdict::Fine } else { Verdict::Finding })
}

/// Everything that reads along.
struct Check {
    recovery: Option<Recovery>,
    /// Counts what the recovery does not tell.
    decoder: Decoder,
    counted: Counted,
    other_form: OtherForm,
}

/// Turns the log into lines and back.
struct OtherForm {
    to_lines: ToLines<LedgerContent>,
    from_lines: FromLines<LedgerContent>,
    lines: Vec<u8>,
    /// Bytes that came back.
    back: Vec<u8>,
    /// Bytes of the log that have not come back yet.
    expected: Vec<u8>,
    compared: u64,
}

impl Check {
    fn new() -> Check {
        let other_form = OtherForm {
            to_lines: ToLines::new(LedgerContent::default()),
            from_lines: FromLines::new(LedgerContent::default()),
            lines: Vec::new(),
            back: Vec::new(),
            expected: Vec::new(),
            compared: 0,
        };
        let recovery = Some(Recovery::new(hash_seed()));
        Check { recovery, decoder: Decoder::new(), counted: Counted::default(), other_form }
    }

    fn read(&mut self, source: &mut LogSource) -> Result<(), Place> {
        while let Some(chunk) = source.next_chunk()? {
            let events = &mut self.counted.events;
            let recovery = self.recovery.as_mut().expect("it is there until the end");
            let pushed = recovery.push(chunk, |record| *events += count(record.events));
            self.decoder.push(chunk);
            self.other_form.expected.extend_from_slice(chunk);
            pushed.map_err(|error| refused(source, &error))?;
            let compared = self.count_items();
            compared
                .map_err(|Difference { at_byte, sequence, what }| source.place(at_byte, sequence, what))?;
        }
        Ok(())
    }

    /// Stops in silence at a damage, which the recovery has seen too and judges.
    fn count_items(&mut self) -> Result<(), Difference> {
        let Check { decoder, counted, other_form, .. } = self;
        while let Ok(Some(item)) = decoder.next() {
            other_form.push(&item)?;
            match item {
                Item::Header(header) => {
                    counted.headers += 1;
                    counted.last_seal = header.previous_seal.to_string();
                }
                Item::Record { meta, .. } => {
                    counted.records += 1;
                    counted.generation = meta.generation;
                }
                Item::Seal { frame, .. } => {
                    counted.seals += 1;
                    counted.durable_before = frame.durable_before;
                    counted.generation = frame.generation;
                    counted.last_seal = frame.seal.to_string();
                }
            }
        }
        counted.bytes = decoder.position();
        other_form.compare(decoder.next_sequence())
    }

    fn finish(&mut self, source: &LogSource) -> Result<(Summary, Vec<Finding>), Place> {
        let recovery = self.recovery.take().expect("it is finished once");
        let recovered = recovery.finish().map_err(|error| refused(source, &error))?;
        let Recovered { ledger, projections, tail, cut } = &recovered;
        let mut findings = Vec::new();
        let sequence = projections.checkpoint();
        let place = |what| source.place(self.counted.bytes, sequence, what);
        let may_be_cut = "nothing in it was ever reported as durable, so it may be cut, and whoever writes to the log \
                          next does so";
        if let Some(torn) = cut.as_ref().filter(|torn| !torn.is_reserved_space()) {
            let (bytes, reason) = (torn.bytes_cut, &torn.reason);
            let what = format!("the tail of an interrupted append, {bytes} bytes: {may_be_cut} ({reason})");
            findings.push(Finding { kind: "torn_tail", place: place(what) });
        }
        if let Some(place) = source.torn() {
            let what = format!("{}; {may_be_cut}", place.what);
            findings.push(Finding { kind: "torn_tail", place: Place { what, ..place } });
        }
        if let Some(tail) = tail
            && !tail.is_sealed()
        {
            let what = format!(
                "no seal covers the {} records from {} on: an append was interrupted behind them; the next \
                 one seals them",
                tail.next_sequence() - tail.sealed_before(),
                tail.sealed_before()
            );
            findings.push(Finding { kind: "unsealed_tail", place: place(what) });
        }
        for what in violations(ledger, projections) {
            findings.push(Finding { kind: "invariant", place: place(what) });
        }
        Ok((Summary::new(ledger, projections), findings))
    }
}

/// Where the log differs from what its other form turns into.
struct Difference {
    at_byte: u64,
    sequence: u64,
    what: String,
}

impl OtherForm {
    fn push(&mut self, item: &Item<'_>) -> Result<(), Difference> {
        self.to_lines.push(item, &mut self.lines).map_err(|error| Difference {
            at_byte: error.at_byte,
            sequence: error.sequence,
            what: format!("it cannot be written as JSON Lines: {}", error.kind),
        })
    }

    /// Compares what came back since the last time.
    fn compare(&mut self, sequence: u64) -> Result<(), Difference> {
        let OtherForm { from_lines, lines, back, expected, compared, .. } = self;
        from_lines.push(lines, back).map_err(|error| Difference {
            at_byte: *compared,
            sequence: error.sequence,
            what: format!("its JSON Lines form does not read back: {}", error.kind),
        })?;
        lines.clear();
        let same = back.len().min(expected.len());
        if let Some(at) = (0..same).find(|at| back[*at] != expected[*at]) {
            let what = String::from("its JSON Lines form turns back into other bytes");
            return Err(Difference { at_byte: *compared + at as u64, sequence, what });
        }
        back.drain(..same);
        expected.drain(..same);
        *compared += same as u64;
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counted { bytes, headers, records, events, seals, durable_before, generation, last_seal } =
            &self.counted;
        writeln!(f, "form            {}, {} file(s)", self.form, self.files)?;
        writeln!(
            f,
            "frames          {headers} header(s), {records} records, {seals} seals in {bytes} bytes"
        )?;
        writeln!(f, "events          {events}")?;
        writeln!(f, "durable before  {durable_before}, by the last seal, generation {generation}")?;
        writeln!(f, "last seal       {last_seal}")?;
        if let Some(summary) = &self.summary {
            write!(f, "{summary}")?;
        }
        for Finding { kind, place } in &self.findings {
            writeln!(f, "{kind}: {place}")?;
        }
        if self.intact {
            writeln!(
                f,
                "intact: checksums, sequences, the chain of seals, records, ids, balances, read models, both forms"
            )?;
        }
        Ok(())
    }
}

fn count(events: &[Event]) -> u64 {
    events.len() as u64
}
