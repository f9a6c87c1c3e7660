//! The thread that puts what is derived from the log on disk: runs of old ids and entries, and snapshots.
//!
//! Nothing here is the truth. What cannot be written is tried again, what is damaged is made again from the log, and a data
//! directory without any of it opens as well, only later.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::history::FullWindow;
use super::window::Place;
use crate::files::sync_directory;
use crate::runs::{
    EntryAt, EntryRunInput, EntryRuns, IdRunInput, IdRuns, NewEntry, RunRange, RunsConfig, RunsError,
};

/// The directory, in the data directory, of everything that is derived from the log.
const DERIVED_DIRECTORY: &str = "derived";
/// How long to wait before something that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// Pieces of a snapshot that may wait for the disk.
const SNAPSHOT_PIECES_MAX: usize = 4;
const SNAPSHOT_PREFIX: &str = "snapshot-";
const SNAPSHOT_SUFFIX: &str = ".wsnap";
/// Digits between them.
const SEQUENCE_DIGITS: usize = 20;

/// The runs of a data directory; any thread may look things up.
pub(crate) struct Kept {
    pub(crate) ids: IdRuns,
    pub(crate) entries: EntryRuns,
    /// Ids and entries of all records before this place are in runs.
    covered: Mutex<Place>,
    /// The sequence of that place.
    pub(crate) in_runs_before: Arc<AtomicU64>,
}

/// Hands work to the thread, and ends it when it is dropped.
pub(crate) struct Keeper {
    kept: Arc<Kept>,
    jobs: Option<Sender<Job>>,
    progress: Receiver<()>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread says of itself.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Something failed and is being tried again.
    in_trouble: AtomicBool,
    pieces_waiting: AtomicUsize,
}

enum Job {
    Window(Arc<FullWindow>),
    /// The places of the log before a snapshot.
    Index {
        sequence: u64,
        bytes: Vec<u8>,
    },
    Snapshot {
        sequence: u64,
        piece: Vec<u8>,
        part: Part,
    },
}

/// Which piece of a snapshot it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    First,
    Middle,
    Last,
}

/// Told what the thread did: a window is in runs, something fails (with why), or it goes on.
pub(crate) type Told = Box<dyn Fn(News) + Send>;

/// What happened on the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A window stands in runs, or a snapshot is on disk.
    Written,
    /// Something cannot be written; it is tried again.
    Trouble(String),
    /// What failed before went well.
    TroubleOver,
}

/// How many snapshots stay on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepSnapshots(pub(crate) u32);

impl Kept {
    /// Opens the runs of a data directory that are no farther than the record `below`; what is wrong with others is told.
    pub(crate) fn open(
        data: &Path,
        log_id: [u8; 16],
        below: u64,
        config: &RunsConfig,
    ) -> Result<(Kept, Vec<String>), RunsError> {
        let directory = derived_directory(data);
        let mut told = Vec::new();
        let mut below = below;
        loop {
            let (ids, ignored) = IdRuns::open(&directory, log_id, below, config)?;
            told.extend(ignored.iter().map(ToString::to_string));
            let (entries, ignored) = EntryRuns::open(&directory, log_id, ids.covered_before().0, config)?;
            told.extend(ignored.iter().map(ToString::to_string));
            let (sequence, byte) = entries.covered_before();
            if sequence == ids.covered_before().0 {
                let covered = Mutex::new(Place { sequence, byte });
                let in_runs_before = Arc::new(AtomicU64::new(sequence));
                return Ok((Kept { ids, entries, covered, in_runs_before }, told));
            }
            // The ids went farther when the process was killed.
            below = sequence;
        }
    }

    /// Ids and entries of all records before this place are in runs.
    pub(crate) fn covered(&self) -> Place {
        *self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, full: &FullWindow) -> Result<(), RunsError> {
        let FullWindow { window, end } = full;
        let begin = window.begin();
        let range = RunRange {
            first_sequence: begin.sequence,
            next_sequence: end.sequence,
            first_byte: begin.byte,
            end_byte: end.byte,
        };
        // After a failure in between, the first one is there already.
        if self.ids.covered_before().0 < end.sequence {
            self.ids.add(IdRunInput { range, ids: window.ids().to_vec() })?;
        }
        let entries = window.entries().map(|(account, EntryAt { at_byte, balance_after })| NewEntry {
            account: account.0,
            at_byte,
            balance_after,
        });
        self.entries.add(EntryRunInput { range, entries: entries.collect() })?;
        *self.covered.lock().unwrap_or_else(PoisonError::into_inner) = *end;
        self.in_runs_before.store(end.sequence, Ordering::Release);
        Ok(())
    }
}

impl Keeper {
    pub(crate) fn start(data: &Path, kept: Kept, keep: KeepSnapshots, told: Told) -> io::Result<Keeper> {
        let kept = Arc::new(kept);
        let (jobs, to_do) = channel();
        let (report, progress) = channel();
        let shared = Arc::new(Shared::default());
        let thread = Thread {
            directory: derived_directory(data),
            kept: Arc::clone(&kept),
            keep,
            shared: Arc::clone(&shared),
            unfinished: None,
            report,
            told,
        };
        let thread =
            std::thread::Builder::new().name("keeper".to_owned()).spawn(move || thread.run(&to_do))?;
        Ok(Keeper { kept, jobs: Some(jobs), progress, shared, thread: Some(thread) })
    }

    pub(crate) fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Puts the window into runs.
    pub(crate) fn write(&self, window: Arc<FullWindow>) {
        self.send(Job::Window(window));
    }

    /// Whether another piece of a snapshot may be handed over.
    pub(crate) fn takes_pieces(&self) -> bool {
        self.shared.pieces_waiting.load(Ordering::Acquire) < SNAPSHOT_PIECES_MAX
    }

    /// Appends a piece to the snapshot as of this record; the last one makes it durable and gives it its name.
    pub(crate) fn write_snapshot(&self, sequence: u64, piece: Vec<u8>, part: Part) {
        self.shared.pieces_waiting.fetch_add(1, Ordering::AcqRel);
        self.send(Job::Snapshot { sequence, piece, part });
    }

    /// Writes the places of the log that the snapshot as of this record comes with.
    pub(crate) fn write_index(&self, sequence: u64, bytes: Vec<u8>) {
        self.send(Job::Index { sequence, bytes });
    }

    /// Waits until the thread has finished something. False if it is in trouble, or gone.
    pub(crate) fn wait_for_one(&self) -> bool {
        !self.shared.in_trouble.load(Ordering::Acquire) && self.progress.recv().is_ok()
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that is gone has panicked, which its end tells.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

struct Thread {
    directory: PathBuf,
    kept: Arc<Kept>,
    keep: KeepSnapshots,
    shared: Arc<Shared>,
    /// A snapshot that is being written, and for which record.
    unfinished: Option<(u64, PathBuf, File)>,
    report: Sender<()>,
    told: Told,
}

impl Thread {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Window(full) => {
                    let kept = Arc::clone(&self.kept);
                    let done = self.until_it_works(|_| kept.add(&full).map_err(|error| error.to_string()));
                    if !done {
                        return;
                    }
                }
                Job::Index { sequence, bytes } => {
                    if let Err(error) = fs::write(self.directory.join(index_name(sequence)), &bytes) {
                        tracing::warn!("{}: the index of the log: {error}", self.directory.display());
                    }
                }
                Job::Snapshot { sequence, piece, part } => {
                    self.shared.pieces_waiting.fetch_sub(1, Ordering::AcqRel);
                    // One that fails is given up: the next one is due soon, and older ones are there.
                    if let Err(error) = self.snapshot(sequence, &piece, part) {
                        tracing::warn!(
                            "{}: the snapshot of record {sequence} is given up: {error}",
                            self.directory.display()
                        );
                        self.unfinished = None;
                    }
                }
            }
            for trouble in self.kept.ids.take_troubles().into_iter().chain(self.kept.entries.take_troubles())
            {
                tracing::warn!("runs are not merged now: {trouble}");
            }
            let _ = self.report.send(());
            (self.told)(News::Written);
        }
    }

    /// Tries until it works, or until the thread is to stop, which is false.
    fn until_it_works(&mut self, mut work: impl FnMut(&mut Thread) -> Result<(), String>) -> bool {
        let mut failed = false;
        loop {
            match work(self) {
                Ok(()) => {
                    if failed {
                        self.shared.in_trouble.store(false, Ordering::Release);
                        (self.told)(News::TroubleOver);
                    }
                    return true;
                }
                Err(why) => {
                    if !failed {
                        self.shared.in_trouble.store(true, Ordering::Release);
                        (self.told)(News::Trouble(why));
                    }
                    failed = true;
                }
            }
            // Who waits for progress must look at the trouble.
            let _ = self.report.send(());
            if self.shared.stop.load(Ordering::Acquire) {
                return false;
            }
            std::thread::park_timeout(AGAIN_AFTER);
        }
    }

    fn snapshot(&mut self, sequence: u64, piece: &[u8], part: Part) -> io::Result<()> {
        if part == Part::First {
            let path = self.directory.join(format!("{}.tmp", snapshot_name(sequence)));
            let file = File::create(&path)?;
            self.unfinished = Some((sequence, path, file));
        }
        let Some((_, path, file)) = self.unfinished.as_mut().filter(|(of, ..)| *of == sequence) else {
            return Ok(());
        };
        file.write_all(piece)?;
        if part == Part::Last {
            file.sync_all()?;
            fs::rename(path, self.directory.join(snapshot_name(sequence)))?;
            self.unfinished = None;
            sync_directory(&self.directory).map_err(io::Error::other)?;
            self.kept.ids.merge_below(sequence);
            self.kept.entries.merge_below(sequence);
            self.remove_old()?;
        }
        Ok(())
    }

    fn remove_old(&self) -> io::Result<()> {
        let snapshots = snapshots(&self.directory)?;
        for (sequence, path) in snapshots.iter().rev().skip(self.keep.0 as usize) {
            fs::remove_file(path)?;
            match fs::remove_file(self.directory.join(index_name(*sequence))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Where a data directory keeps what is derived from its log.
pub(crate) fn derived_directory(data: &Path) -> PathBuf {
    data.join(DERIVED_DIRECTORY)
}

/// The snapshots of a directory of derived files, the oldest first; none if there is no such directory.
pub(crate) fn snapshots(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(sequence) = entry.file_name().to_str().and_then(sequence_of) {
            found.push((sequence, entry.path()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn snapshot_name(sequence: u64) -> String {
    format!("{SNAPSHOT_PREFIX}{sequence:0SEQUENCE_DIGITS$}{SNAPSHOT_SUFFIX}")
}

/// The name of the file with the places of the log before a snapshot.
pub(crate) fn index_name(sequence: u64) -> String {
    format!("index-{sequence:0SEQUENCE_DIGITS$}.wlidx")
}

fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SNAPSHOT_PREFIX)?.strip_suffix(SNAPSHOT_SUFFIX)?;
    let is_number = digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}
