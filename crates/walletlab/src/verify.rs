//! `walletlab verify`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use journal::{Decoder, FromLines, Item, TailSearch, ToLines};
use ledger::TransactionId;
use pipeline::{Frames, LedgerContent, RecoveryError, Replay, ReplayError};
use projection::{Balances, Counts, Projections, Totals};
use serde::Serialize;

use crate::log_source::{LogSource, Place, hash_seed, refused};
use crate::outcome::{Failure, Outcome, Verdict, print, print_json};
use crate::summary::{Summary, violations};

/// Check everything that a log says of itself, and name the first bad record, its file and byte.
///
/// Verified are: each frame's checksum; dense sequences, generations and times that never fall; the chain of seals from
/// the first byte to the last; that each record can be read and follows from those before it; that no transaction id
/// has two records; that the balances of each asset add up to 0 and none is below its floor; and that the read models of
/// balances and totals say what the ledger says. With --both-forms also that the other form of the log (JSON Lines or
/// binary) turns back into the same bytes, which takes many times as long. On a terminal a bar shows how far it is.
///
/// Nothing is written and no lock is taken. A log that `walletlab serve` or `run` is writing to at the moment may end in a batch
/// that is not whole yet, which looks like the tail of an interrupted append.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab verify data
  walletlab verify events.log --json
  walletlab verify data --both-forms

Exit codes:
  0  everything holds
  1  a finding. Damage is named by file, byte (or line) and record. The tail of an interrupted append is a finding
     too: it may be cut, because nothing in it was ever reported as durable, and whoever writes next cuts it and says so
  2  there is no log"))]
pub(crate) struct Args {
    /// A data directory, a file in either form, or `-`
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Turn the log into its other form and back, too
    #[arg(long)]
    both_forms: bool,
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
    /// Whether the other form was looked at too.
    both_forms: bool,
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
    let progress = progress_bar(source.bytes_max());
    let mut check = Check::new(args.both_forms.then(OtherForm::new));
    let read = check.read(&mut source, &progress);
    let checked = read.and_then(|()| check.finish(&source));
    progress.finish_and_clear();
    let (summary, mut findings) = match checked {
        Ok((summary, findings)) => (Some(summary), findings),
        Err(place) => (None, vec![Finding { kind: "damage", place }]),
    };
    if summary.is_some() {
        findings.extend(check.repeated_ids(&args.path)?);
    }
    let report = Report {
        intact: findings.is_empty(),
        form: source.form().name(),
        files: source.parts().len(),
        both_forms: args.both_forms,
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

/// Hidden unless standard error is a terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left");
    ProgressBar::new(bytes).with_style(style.expect("the template is right"))
}

/// Everything that reads along.
struct Check {
    replay: Replay,
    /// Behind a damage: whether it may be cut.
    search: Option<TailSearch>,
    balances: Balances,
    totals: Totals,
    counts: Counts,
    /// A hash of each transaction id, eight bytes each instead of an index.
    ids: Vec<u64>,
    ids_key: u64,
    counted: Counted,
    other_form: Option<OtherForm>,
}

/// Turns the log into lines and back.
struct OtherForm {
    decoder: Decoder,
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
    fn new(other_form: Option<OtherForm>) -> Check {
        // Entries and transactions are history, which would take as much memory as the log.
        let Projections { balances, totals, counts, .. } = Projections::new(hash_seed());
        Check {
            replay: Replay::new(hash_seed()),
            search: None,
            balances,
            totals,
            counts,
            ids: Vec::new(),
            ids_key: hash_seed(),
            counted: Counted::default(),
            other_form,
        }
    }

    fn read(&mut self, source: &mut LogSource, progress: &ProgressBar) -> Result<(), Place> {
        loop {
            progress.set_position(source.bytes_read());
            let Some(chunk) = source.next_chunk()? else { return Ok(()) };
            let compared = self.other_form.as_mut().map_or(Ok(()), |form| form.push_bytes(chunk));
            let pushed = self.push(chunk);
            pushed.map_err(|error| refused(source, &error))?;
            compared
                .map_err(|Difference { at_byte, sequence, what }| source.place(at_byte, sequence, what))?;
        }
    }

    fn push(&mut self, chunk: &[u8]) -> Result<(), RecoveryError> {
        if let Some(search) = &mut self.search {
            search.push(chunk);
            return Ok(());
        }
        let Check { replay, balances, totals, counts, ids, ids_key, counted, .. } = self;
        let pushed = replay.push(chunk, |record| {
            balances.fold(record);
            totals.fold(record);
            counts.fold(record);
            counted.records += 1;
            counted.events += record.events.len() as u64;
            let mut last = None;
            for event in record.events {
                let id = event.transaction_id();
                if last != Some(id) {
                    ids.push(hash_of(*ids_key, id));
                    last = Some(id);
                }
            }
            ControlFlow::Continue(())
        });
        self.judge(pushed)
    }

    fn judge(&mut self, pushed: Result<(), ReplayError>) -> Result<(), RecoveryError> {
        match pushed {
            Ok(()) => Ok(()),
            Err(ReplayError::Damage(damage)) => {
                let mut search = TailSearch::new(&damage);
                search.push(self.replay.undecoded());
                self.search = Some(search);
                Ok(())
            }
            Err(error) => Err(RecoveryError::Replay(error)),
        }
    }

    fn finish(&mut self, source: &LogSource) -> Result<(Summary, Vec<Finding>), Place> {
        if self.search.is_none() {
            let finished = self.replay.finish();
            self.judge(finished).map_err(|error| refused(source, &error))?;
        }
        self.count_frames();
        let mut findings = Vec::new();
        let sequence = self.counts.checkpoint();
        let place = |what| source.place(self.counted.bytes, sequence, what);
        let may_be_cut = "nothing in it was ever reported as durable, so it may be cut, and whoever writes to the log \
                          next does so";
        match self.search.take().map(TailSearch::finish) {
            Some(journal::Verdict::Corrupt(corrupt)) => {
                return Err(refused(source, &RecoveryError::Corrupt(corrupt)));
            }
            // Space that was reserved and not used is no finding.
            Some(journal::Verdict::TornTail(torn) | journal::Verdict::TornCreation(torn))
                if !torn.is_reserved_space() =>
            {
                let (bytes, reason) = (torn.bytes_cut, &torn.reason);
                let what =
                    format!("the tail of an interrupted append, {bytes} bytes: {may_be_cut} ({reason})");
                findings.push(Finding { kind: "torn_tail", place: place(what) });
            }
            Some(journal::Verdict::TornTail(_) | journal::Verdict::TornCreation(_)) | None => {}
        }
        if let Some(place) = source.torn() {
            let what = format!("{}; {may_be_cut}", place.what);
            findings.push(Finding { kind: "torn_tail", place: Place { what, ..place } });
        }
        if let Some(tail) = self.replay.tail()
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
        for what in violations(self.replay.ledger(), &self.balances, &self.totals) {
            findings.push(Finding { kind: "invariant", place: place(what) });
        }
        Ok((Summary::of(self.replay.ledger(), &self.totals, &self.counts), findings))
    }

    fn count_frames(&mut self) {
        let Frames { headers, seals } = self.replay.frames();
        (self.counted.headers, self.counted.seals) = (headers, seals);
        if let Some(tail) = self.replay.tail() {
            self.counted.bytes = tail.bytes();
            self.counted.durable_before = tail.durable_before();
            self.counted.generation = tail.generation();
            self.counted.last_seal = tail.seal().to_string();
        }
    }

    /// Records whose transaction id another record has. Hashes that are equal are rare, so only then is the log read again.
    fn repeated_ids(&mut self, path: &Path) -> Result<Vec<Finding>, Failure> {
        self.ids.sort_unstable();
        let suspects: BTreeSet<u64> =
            self.ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let mut source = LogSource::open(path)?;
        let (mut replay, mut first) = (Replay::new(self.ids_key), BTreeMap::new());
        let mut repeated = Vec::new();
        while let Ok(Some(chunk)) = source.next_chunk() {
            let key = self.ids_key;
            let pushed = replay.push(chunk, |record| {
                let ids: BTreeSet<TransactionId> =
                    record.events.iter().map(|event| event.transaction_id()).collect();
                for id in ids.into_iter().filter(|id| suspects.contains(&hash_of(key, *id))) {
                    if let Some(before) = first.insert(id, record.sequence) {
                        let what = format!(
                            "it has the transaction id {id}, which record {before} has already: one of them took \
                             effect twice"
                        );
                        repeated.push((record.sequence, what));
                    }
                }
                ControlFlow::Continue(())
            });
            if pushed.is_err() {
                break;
            }
        }
        let finding = |(sequence, what)| {
            let file = path.display().to_string();
            Finding { kind: "repeated_id", place: Place { file, at_byte: None, line: None, sequence, what } }
        };
        Ok(repeated.into_iter().map(finding).collect())
    }
}

/// Keyed, so that nobody can choose ids that make a log slow to verify.
fn hash_of(key: u64, id: TransactionId) -> u64 {
    twox_hash::XxHash3_64::oneshot_with_seed(key, &id.as_bytes())
}

/// Where the log differs from what its other form turns into.
struct Difference {
    at_byte: u64,
    sequence: u64,
    what: String,
}

impl OtherForm {
    fn new() -> OtherForm {
        OtherForm {
            decoder: Decoder::new(),
            to_lines: ToLines::new(LedgerContent::default()),
            from_lines: FromLines::new(LedgerContent::default()),
            lines: Vec::new(),
            back: Vec::new(),
            expected: Vec::new(),
            compared: 0,
        }
    }

    /// Stops in silence at a damage, which the replay sees too, and whose judgement counts.
    fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Difference> {
        self.decoder.push(bytes);
        self.expected.extend_from_slice(bytes);
        while let Ok(Some(item)) = self.decoder.next() {
            push_lines(&mut self.to_lines, &item, &mut self.lines)?;
        }
        self.compare(self.decoder.next_sequence())
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

fn push_lines(
    to_lines: &mut ToLines<LedgerContent>,
    item: &Item<'_>,
    lines: &mut Vec<u8>,
) -> Result<(), Difference> {
    to_lines.push(item, lines).map_err(|error| Difference {
        at_byte: error.at_byte,
        sequence: error.sequence,
        what: format!("it cannot be written as JSON Lines: {}", error.kind),
    })
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
            let both_forms = if self.both_forms { ", both forms" } else { "" };
            writeln!(
                f,
                "intact: checksums, sequences, the chain of seals, records, ids, balances, read models{both_forms}"
            )?;
        }
        Ok(())
    }
}
