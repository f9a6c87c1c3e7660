//! What it costs to recognise every transaction id ever accepted, as their number grows.

use std::fmt;
use std::fs;
use std::hint::black_box;

use ledger::TransactionId;
use server::runs::{IdRunInput, IdRuns, RunRange, RunsConfig, RunsError, RunsStats};

use super::Args;
use super::durable::temporary;
use super::figure::{Figure, float, time};
use super::machine::{peak_bytes, resident_bytes};
use super::workload::Draws;
use crate::outcome::{Failure, print};

/// Ids of a run as it is added: those of a window of records.
const WINDOW: u64 = 262_144;
/// Ids looked for, of each sort.
const FINDS: u64 = 100_000;
/// About the bytes of a completed transfer in the log.
const TRANSFER_BYTES: u64 = 81;
const FIRST_SIZE: u64 = 1_000_000;
const AIM_RESIDENT_MEBIBYTES: f64 = 1_536.0;

/// Adds ids up to 1 M, 10 M and so on, and at each of these sizes looks for ids. One run: every size goes on from the last.
pub(super) fn measure(args: &Args) -> Result<Vec<Figure>, Failure> {
    let directory = temporary(args)?;
    let before = resident_bytes().unwrap_or(0);
    let (runs, _) =
        IdRuns::open(directory.path(), [1; 16], 0, &RunsConfig::default()).map_err(|error| failed(&error))?;
    runs.merge_below(u64::MAX);
    let mut table = Table(Vec::new());
    let mut ids = 0;
    while ids < args.ids {
        let size = (ids * 10).max(FIRST_SIZE).min(args.ids);
        let mut row = add(&runs, ids, size)?;
        ids = size;
        find(&runs, &mut row)?;
        row.stats = runs.stats();
        row.resident = resident_bytes().unwrap_or(0).saturating_sub(before);
        row.peak = peak_bytes().unwrap_or(0).saturating_sub(before);
        table.0.push(row);
    }
    let errors = runs.take_troubles();
    if let Some(error) = errors.into_iter().next() {
        return Err(failed(&error));
    }
    if !args.json {
        print(&table)?;
    }
    Ok(table.0.iter().flat_map(Row::figures).collect())
}

fn failed(error: &RunsError) -> Failure {
    Failure::Usage(error.to_string())
}

/// Adds the ids from `first` on up to `size` of them, and waits until everything is merged.
fn add(runs: &IdRuns, first: u64, size: u64) -> Result<Row, Failure> {
    let mut row = Row { ids: size, added: size - first, ..Row::default() };
    let mut making_nanos = 0;
    let processor_before = all_threads_nanos();
    let mut at = first;
    while at < size {
        let next = (at + WINDOW).min(size);
        let (made, input) = time(|| input(at, next));
        making_nanos += made.processor_nanos.unwrap_or(0);
        let (took, added) = time(|| runs.add(input));
        added.map_err(|error| failed(&error))?;
        row.add_nanos += nanos(took.wall);
        at = next;
    }
    let (took, ()) = time(|| runs.wait_for_merges());
    row.wait_nanos = nanos(took.wall);
    row.processor_nanos = all_threads_nanos().saturating_sub(processor_before + making_nanos);
    Ok(row)
}

fn input(first: u64, next: u64) -> IdRunInput {
    let byte = |number| 128 + number * TRANSFER_BYTES;
    let range = RunRange {
        first_sequence: first,
        next_sequence: next,
        first_byte: byte(first),
        end_byte: byte(next),
    };
    IdRunInput { range, ids: (first..next).map(|number| (id(number), byte(number))).collect() }
}

/// Looks for ids that are here and for ids that are not.
fn find(runs: &IdRuns, row: &mut Row) -> Result<(), Failure> {
    let mut draws = Draws(row.ids);
    // Odd numbers are of version 4, even ones of version 7, and newer than all that are here.
    let absent = row.ids.next_multiple_of(2);
    let absent_4: Vec<TransactionId> = (0..FINDS).map(|number| id(absent + 2 * number + 1)).collect();
    let absent_7: Vec<TransactionId> = (0..FINDS).map(|number| id(absent + 2 * number)).collect();
    let present: Vec<TransactionId> = (0..FINDS).map(|_| id(draws.next() % row.ids)).collect();
    let of = |ids: &[TransactionId], found_expected: u64| -> Result<u64, Failure> {
        let mut found = 0;
        let (took, ()) = time(|| {
            for id in ids {
                found += runs.find(black_box(id)).map_or(0, |found| found.len() as u64);
            }
        });
        if found != found_expected {
            return Err(Failure::Finding(format!("{found} ids were found instead of {found_expected}")));
        }
        // What nothing waits for is better told by the processor's time, which other work does not lengthen.
        Ok(took.processor_nanos.unwrap_or(nanos(took.wall)) / FINDS)
    };
    row.absent_4_nanos = of(&absent_4, 0)?;
    row.absent_7_nanos = of(&absent_7, 0)?;
    let reads = runs.stats().blocks_read;
    row.present_nanos = of(&present, FINDS)?;
    row.present_reads_percent = (runs.stats().blocks_read - reads) * 100 / FINDS;
    Ok(())
}

/// Ids of version 4 and 7 in turns; those of version 7 a thousand in a millisecond.
fn id(number: u64) -> TransactionId {
    let mut draws = Draws(number.wrapping_mul(2));
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&draws.next().to_be_bytes());
    bytes[8..].copy_from_slice(&draws.next().to_be_bytes());
    let version = if number.is_multiple_of(2) { 0x70 } else { 0x40 };
    if version == 0x70 {
        bytes[..6].copy_from_slice(&(1_700_000_000_000 + number / 1_000).to_be_bytes()[2..]);
    }
    bytes[6] = bytes[6] & 0x0f | version;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    TransactionId::from_bytes(bytes)
}

/// What all threads of this process have spent on a processor so far; 0 where the system does not say.
fn all_threads_nanos() -> u64 {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return 0 };
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum()
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What was measured at one size.
#[derive(Default)]
struct Row {
    ids: u64,
    /// Ids since the row before.
    added: u64,
    add_nanos: u64,
    wait_nanos: u64,
    /// Of all threads: adding and merging.
    processor_nanos: u64,
    absent_4_nanos: u64,
    absent_7_nanos: u64,
    present_nanos: u64,
    present_reads_percent: u64,
    stats: RunsStats,
    resident: u64,
    peak: u64,
}

impl Row {
    fn figures(&self) -> Vec<Figure> {
        let figure = |name: &str, what, unit, value: f64| {
            Figure::new(&format!("ids-{name}-{}", self.ids), what, unit, vec![value]).settings([
                ("ids", self.ids),
                ("ids a window", WINDOW),
                ("runs", self.stats.runs),
            ])
        };
        let (float_ids, mebibytes) = (float(self.ids), |bytes| float(bytes) / float(1 << 20));
        let insert = "a window of ids is written as a run; merging goes on meanwhile on its own thread";
        vec![
            figure("insert", insert, "ns an id", float(self.add_nanos) / float(self.added))
                .durability("the run and its name are synced, and merged runs too"),
            figure(
                "insert-processor",
                "as ids-insert: processor time of all threads, merging included",
                "ns an id",
                float(self.processor_nanos) / float(self.added),
            ),
            figure(
                "absent-v4",
                "an id that is in no run",
                "ns of processor a look-up",
                float(self.absent_4_nanos),
            ),
            figure(
                "absent-v7",
                "a newer id that is in no run",
                "ns of processor a look-up",
                float(self.absent_7_nanos),
            ),
            figure(
                "present",
                "an id that is in a run, from the page cache",
                "ns of processor a look-up",
                float(self.present_nanos),
            ),
            figure(
                "resident",
                "growth of the resident memory of this process",
                "MiB",
                mebibytes(self.resident),
            )
            .aim_at_most(AIM_RESIDENT_MEBIBYTES),
            figure("disk", "bytes of all runs", "bytes an id", float(self.stats.file_bytes) / float_ids),
        ]
    }
}

/// All sizes, one a line.
struct Table(Vec<Row>);

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>11} {:>5} | {:>9} {:>9} {:>8} | {:>9} {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} {:>9}",
            "ids",
            "runs",
            "add",
            "processor",
            "rest",
            "absent 4",
            "absent 7",
            "present",
            "blocks",
            "filters",
            "resident",
            "peak",
            "disk"
        )?;
        writeln!(
            f,
            "{:>11} {:>5} | {:>9} {:>9} {:>8} | {:>9} {:>9} {:>9} {:>9} | {:>9} {:>9} {:>9} {:>9}",
            "", "", "ns an id", "ns an id", "ms", "ns", "ns", "ns", "each", "MiB", "MiB", "MiB", "MiB"
        )?;
        for row in &self.0 {
            writeln!(
                f,
                "{:>11} {:>5} | {:>9} {:>9} {:>8} | {:>9} {:>9} {:>9} {:>9.2} | {:>9} {:>9} {:>9} {:>9}",
                row.ids,
                row.stats.runs,
                row.add_nanos / row.added,
                row.processor_nanos / row.added,
                row.wait_nanos / 1_000_000,
                row.absent_4_nanos,
                row.absent_7_nanos,
                row.present_nanos,
                float(row.present_reads_percent) / 100.0,
                row.stats.memory_bytes >> 20,
                row.resident >> 20,
                row.peak >> 20,
                row.stats.file_bytes >> 20
            )?;
        }
        writeln!(
            f,
            "add: until a window is durable; processor: of all threads; rest: merging that is left when all is added"
        )
    }
}
