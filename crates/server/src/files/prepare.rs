//! The thread that gets segments ready: their room is reserved, and written with zeros, before anything needs it.
//!
//! A write into zeros that are on the disk changes no length and takes no block, so its sync is one write to the disk; and a
//! full disk is met here, where nothing was executed yet, and not between a command and its answer.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use journal::FRAME_BYTES_MAX;
use pipeline::segment_limit;

use super::file_journal::write_at;
use super::writer::{Report, Reports};
use super::{Durability, FilesError};

/// The next segment until it is used.
pub(super) const PART_NAME: &str = "segment.part";
/// Room behind a segment's limit: for the last record, which may reach beyond it, and the seals behind that.
const RESERVE_BYTES: u64 = FRAME_BYTES_MAX as u64 + (64 << 10);
/// Zeros written at once.
const WRITE_BYTES: usize = 1 << 20;
/// How long a full disk is left alone before it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A segment that waits to be used: zeros under the name [`PART_NAME`].
pub(super) struct Prepared {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

/// What is to be got ready.
pub(super) struct Plan {
    pub(super) directory: PathBuf,
    /// The segment that the log stands in, if there is one.
    pub(super) current: Option<Current>,
    pub(super) segment_bytes: u64,
    pub(super) durability: Durability,
}

/// A segment that is extended in place.
pub(super) struct Current {
    pub(super) path: PathBuf,
    /// Where it begins in the log.
    pub(super) at_byte: u64,
}

/// The thread, for the one that uses what it gets ready.
pub(super) struct Preparer {
    /// At which byte of the log the segment begins that was taken.
    taken: Option<Sender<u64>>,
    prepared: Receiver<Prepared>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(super) fn start(plan: Plan, reports: Reports) -> Preparer {
        let (taken, was_taken) = channel();
        let (give, prepared) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work { plan, was_taken, stop: Arc::clone(&stop), reports: AtEnd(reports) };
        let thread = std::thread::spawn(move || work.run(&give));
        Preparer { taken: Some(taken), prepared, stop, thread: Some(thread) }
    }

    /// The segment that was reported ready.
    pub(super) fn take(&self) -> io::Result<Prepared> {
        let gone = |_| io::Error::other("the thread that gets segments ready has ended");
        self.prepared.recv().map_err(gone)
    }

    /// What was taken has its own name now, and begins at this byte of the log: the segment behind it is got ready, under the
    /// name that has become free.
    pub(super) fn placed(&self, at_byte: u64) {
        if let Some(taken) = &self.taken {
            // A thread that has ended shows when the next segment is wanted.
            let _ = taken.send(at_byte);
        }
    }
}

impl Drop for Preparer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.taken = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    plan: Plan,
    was_taken: Receiver<u64>,
    stop: Arc<AtomicBool>,
    reports: AtEnd,
}

impl Work {
    fn run(&self, give: &Sender<Prepared>) {
        let mut at_byte = None;
        if let Some(current) = &self.plan.current {
            let bytes = segment_limit(current.at_byte, self.plan.segment_bytes) + RESERVE_BYTES;
            if self.insist(&current.path, || self.extend(&current.path, bytes)).is_none() {
                return;
            }
            at_byte = Some(current.at_byte);
            self.reports.0.send(Report::SegmentReady);
        }
        let path = self.plan.directory.join(PART_NAME);
        loop {
            let bytes = self.next_bytes(at_byte);
            let Some(prepared) = self.insist(&path, || self.make(&path, bytes)) else { return };
            if give.send(prepared).is_err() {
                return;
            }
            self.reports.0.send(Report::SegmentReady);
            match self.was_taken.recv() {
                Ok(taken_at) => at_byte = Some(taken_at),
                Err(_) => return,
            }
        }
    }

    /// How large the segment is to be that follows the one that begins at this byte.
    fn next_bytes(&self, at_byte: Option<u64>) -> u64 {
        let segment_bytes = self.plan.segment_bytes;
        // It begins there at the latest, and its limit does not fall.
        let begins_at =
            at_byte.map_or(0, |at_byte| at_byte + segment_limit(at_byte, segment_bytes) + RESERVE_BYTES);
        segment_limit(begins_at, segment_bytes) + RESERVE_BYTES
    }

    /// Tries until there is room. `None`: nobody wants it any more, or it failed for another reason, which is reported.
    fn insist<T>(&self, path: &Path, attempt: impl Fn() -> io::Result<T>) -> Option<T> {
        let mut is_reported = false;
        loop {
            let error = match attempt() {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let failed = FilesError::io(path, "reserve room for the next segment of the log", error);
            if !is_full(&failed) {
                self.reports.0.send(Report::Failed(failed));
                return None;
            }
            if !is_reported {
                self.reports.0.send(Report::StorageFull { why: failed.to_string() });
                is_reported = true;
            }
            match self.was_taken.recv_timeout(RETRY_AFTER) {
                // Nothing can be taken before it is given.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Nothing else writes to the file meanwhile, because the log waits for this.
    fn extend(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        let from = file.metadata()?.len();
        if from >= bytes {
            return Ok(());
        }
        self.write_zeros(&file, from, bytes).inspect_err(|_| {
            // What was taken of a full disk is given back; if that fails too, zeros stay at the end, which is fine.
            let _ = file.set_len(from);
        })
    }

    fn make(&self, path: &Path, bytes: u64) -> io::Result<Prepared> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        self.write_zeros(&file, 0, bytes).inspect_err(|_| {
            // The same; the next try writes over it.
            let _ = fs::remove_file(path);
        })?;
        Ok(Prepared { file, path: path.to_owned() })
    }

    fn write_zeros(&self, file: &File, from: u64, bytes: u64) -> io::Result<()> {
        reserve(file, from, bytes)?;
        let zeros = vec![0; WRITE_BYTES];
        let mut at = from;
        while at < bytes {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let piece = usize::try_from(bytes - at).map_or(WRITE_BYTES, |rest| rest.min(WRITE_BYTES));
            write_at(file, &zeros[..piece], at)?;
            at += piece as u64;
        }
        match self.plan.durability {
            Durability::Synced => file.sync_all(),
            Durability::Written | Durability::Memory => Ok(()),
        }
    }
}

/// Says that a thread panicked, for which somebody may be waiting.
struct AtEnd(Reports);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let panicked = io::Error::other("the thread that does so panicked");
            let error = FilesError::io(Path::new(PART_NAME), "get the next segment ready", panicked);
            self.0.send(Report::Failed(error));
        }
    }
}

/// Whether room is all that is missing, so that it is worth another try.
fn is_full(error: &FilesError) -> bool {
    let FilesError::Io { source, .. } = error else { return false };
    matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Takes the blocks at once, so that a full disk shows before megabytes are written, and that they lie together. A file
/// system that cannot do this shows it when the zeros are written.
#[cfg(target_os = "linux")]
fn reserve(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), from, bytes - from) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &File, _from: u64, _bytes: u64) -> io::Result<()> {
    Ok(())
}
