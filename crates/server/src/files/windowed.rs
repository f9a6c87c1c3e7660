//! Brings back a log of which only a window is held in memory: from the newest snapshot that the log confirms, and what
//! follows it.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use journal::{SEAL_BYTES, SealBorder};
use ledger::Ledger;
use pipeline::{Recovered, Recovery, Snapshot};
use projection::history::Chunks;
use projection::{Counts, Totals};

use super::directory::{DirectoryLock, Segment};
use super::file_journal::{Begun, FileJournal, Opened, header_of, read_all};
use super::log_shared::{INDEX_BYTES_MIN, LogIndex};
use super::text_log::refuse_text;
use super::{Durability, FilesError, RecordReader};
use crate::reading::{
    History, KeepSnapshots, Keeper, Kept, Rebuilt, Told, derived_directory, index_name, snapshots,
};
use crate::runs::{RunsConfig, RunsError};

/// Where the hash of a seal stands in its frame.
const SEAL_HASH_AT: usize = 40;

/// How the history that is not in memory is kept.
pub(crate) struct WindowOptions {
    /// Ids in a window, about.
    pub(crate) window_ids: usize,
    /// Snapshots that stay on disk.
    pub(crate) keep: KeepSnapshots,
    /// How runs are laid out and merged.
    pub(crate) runs: RunsConfig,
    /// Told what the thread that writes them did.
    pub(crate) told: Told,
}

/// A state to go on from.
struct Start {
    border: SealBorder,
    ledger: Ledger,
    snapshot: Snapshot,
    index: LogIndex,
}

/// Opens a data directory whose log is in the binary form. What is wrong with derived files is told as warnings: they are
/// made again.
pub(super) fn open_windowed(
    directory: &Path,
    durability: Durability,
    hash_seed: u64,
    options: WindowOptions,
) -> Result<Opened<Rebuilt>, FilesError> {
    let lock = DirectoryLock::take(directory)?;
    refuse_text(directory)?;
    let mut opened = FileJournal::open_segments_with(directory, lock, |begun| {
        recover(directory, begun, hash_seed, options)
    })?;
    opened.journal.set_durability(durability);
    Ok(opened)
}

fn recover(
    directory: &Path,
    begun: &Begun,
    hash_seed: u64,
    options: WindowOptions,
) -> Result<Recovered<Rebuilt>, FilesError> {
    let WindowOptions { window_ids, keep, runs, told } = options;
    let (kept, start) = find_start(directory, begun, hash_seed, &runs)?;
    let cannot = |error: io::Error| FilesError::io(directory, "start a thread for it", error);
    let keeper = Keeper::start(directory, kept, keep, told).map_err(cannot)?;
    let history = History::new(hash_seed, window_ids, keeper);
    let records = RefCell::new(RecordReader::new(begun.log.clone()));
    let Some(start) = start else {
        let (totals, counts, names) = (Totals::new(), Counts::new(), Chunks::new());
        let rebuilt = Rebuilt { totals, counts, names, history, records };
        return read(begun, Recovery::into(hash_seed, rebuilt), LogIndex::new(), 0);
    };
    let Start { border, ledger, snapshot, index } = start;
    let mut names = Chunks::new();
    for account in &snapshot.accounts {
        names.push(account.name.clone());
    }
    let totals = Totals::restore(border.next_sequence, snapshot.accounts.iter().map(|account| account.row()));
    let rebuilt = Rebuilt { totals, counts: snapshot.counts, names, history, records };
    tracing::info!(records = border.next_sequence, "goes on from a snapshot");
    let recovery = Recovery::resume(&border, ledger, rebuilt).expect("the border was checked");
    read(begun, recovery, index, border.bytes)
}

fn read(
    begun: &Begun,
    recovery: Recovery<Rebuilt>,
    index: LogIndex,
    from_byte: u64,
) -> Result<Recovered<Rebuilt>, FilesError> {
    let recovery = recovery.noting_borders(INDEX_BYTES_MIN);
    let (recovered, index) = read_all(&begun.segments, recovery, index, from_byte)?;
    begun.log.restore(&recovered.projections.names, index);
    Ok(recovered)
}

/// The newest snapshot that the log confirms and runs reach, and those runs; or no snapshot and no runs.
fn find_start(
    directory: &Path,
    begun: &Begun,
    hash_seed: u64,
    runs: &RunsConfig,
) -> Result<(Kept, Option<Start>), FilesError> {
    let derived = derived_directory(directory);
    let unreadable = |error| FilesError::io(&derived, "read the directory", error);
    let log_id = begun.identity.log_id;
    let mut below = u64::MAX;
    for (sequence, path) in snapshots(&derived).map_err(unreadable)?.into_iter().rev() {
        if sequence > below {
            continue;
        }
        let start = match load(&path, &derived, begun, hash_seed) {
            Ok(start) if start.border.next_sequence == sequence => start,
            Ok(_) => {
                tracing::warn!(
                    "{}: it is of another record than its name says; an older one is tried",
                    path.display()
                );
                continue;
            }
            Err(why) => {
                tracing::warn!("{}: {why}; an older one is tried", path.display());
                continue;
            }
        };
        let kept = open_kept(directory, log_id, sequence, runs)?;
        if kept.covered().sequence == sequence {
            return Ok((kept, Some(start)));
        }
        below = kept.covered().sequence;
        tracing::warn!("{}: the runs before it end at record {below}; an older one is tried", path.display());
    }
    Ok((open_kept(directory, log_id, 0, runs)?, None))
}

fn open_kept(directory: &Path, log_id: [u8; 16], below: u64, runs: &RunsConfig) -> Result<Kept, FilesError> {
    let opened = Kept::open(directory, log_id, below, runs);
    let (kept, told) = opened.map_err(|error| match error {
        RunsError::Io { path, doing, source } => FilesError::io(&path, doing, source),
        RunsError::Damaged(damaged) => {
            FilesError::Segment { path: damaged.path.clone(), what: damaged.to_string() }
        }
    })?;
    told.iter().for_each(|what| tracing::warn!("{what}"));
    Ok(kept)
}

fn load(path: &Path, derived: &Path, begun: &Begun, hash_seed: u64) -> Result<Start, String> {
    let bytes = fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let snapshot = Snapshot::decode(&bytes).map_err(|error| error.to_string())?;
    drop(bytes);
    if snapshot.identity != begun.identity {
        return Err("it is of another log".to_owned());
    }
    let border = snapshot.border.ok_or("it is of an empty log")?;
    confirm(&begun.segments, &border)?;
    let ledger = snapshot.ledger(hash_seed).map_err(|error| error.to_string())?;
    let index = fs::read(derived.join(index_name(border.next_sequence))).ok();
    let header = begun.segments.first().and_then(|segment| header_of(segment).ok().flatten());
    let index = index.zip(header).and_then(|(bytes, header)| LogIndex::decode(&bytes, &header));
    let index = index.unwrap_or_else(|| {
        tracing::warn!(
            "{}: the index of the log is missing, so old records are found slowly",
            derived.display()
        );
        LogIndex::new()
    });
    Ok(Start { border, ledger, snapshot, index })
}

/// The log wins over a snapshot: the seal behind which that stands must be the log's at that place.
fn confirm(segments: &[Segment], border: &SealBorder) -> Result<(), String> {
    let other = || format!("the log has another seal, or none, before byte {}", border.bytes);
    let mut at_byte = 0;
    for segment in segments {
        let end = at_byte + segment.bytes;
        // A seal stands in the segment that it ends.
        if border.bytes <= end {
            let seal_at = border.bytes.checked_sub(at_byte + SEAL_BYTES as u64).ok_or_else(other)?;
            let mut frame = [0; SEAL_BYTES];
            let read = File::open(&segment.path).and_then(|mut file| {
                file.seek(SeekFrom::Start(seal_at))?;
                file.read_exact(&mut frame)
            });
            read.map_err(|error| format!("the log cannot be read: {error}"))?;
            let hash = &frame[SEAL_HASH_AT..SEAL_HASH_AT + 32];
            return if hash == border.seal.0 { Ok(()) } else { Err(other()) };
        }
        at_byte = end;
    }
    Err(other())
}
