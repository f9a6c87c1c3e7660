//! A row of runs in a directory, and the thread that merges them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use super::config::RunsConfig;
use super::error::{Ignored, RunDamaged, RunsError};
use super::head::{Head, RunRange};
use super::writer::UNFINISHED_SUFFIX;

/// Digits of a sequence in a name.
const SEQUENCE_DIGITS: usize = 20;

/// One kind of run.
pub(super) trait Run: Sized + Send + Sync + 'static {
    /// What the name of such a file ends in, and what the thread that merges them is called.
    const SUFFIX: &'static str;

    /// Opens a run and checks all of it that stays in memory. What the system refuses says nothing about the run.
    fn open(path: &Path) -> Result<Self, RunsError>;

    /// Bytes of the file.
    fn file_bytes(&self) -> u64;

    /// Bytes in memory.
    fn memory_bytes(&self) -> u64;

    fn head(&self) -> &Head;

    fn path(&self) -> &Path;

    /// Why this run cannot stand in one row with another one.
    fn disagrees_with(&self, other: &Self) -> Option<&'static str>;

    /// Makes one run of several that follow each other, at the path; `None` if it was told to stop before the end.
    fn merge(
        parts: &[Arc<Self>],
        path: PathBuf,
        config: &RunsConfig,
        stop: &AtomicBool,
    ) -> Result<Option<()>, RunsError>;

    /// Reads every block.
    fn check(&self) -> Result<(), RunDamaged>;
}

/// What runs take, and what was done with them since they were opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunsStats {
    /// Files.
    pub runs: u64,
    /// Ids or entries in them.
    pub cells: u64,
    /// Bytes on disk.
    pub file_bytes: u64,
    /// Bytes in memory.
    pub memory_bytes: u64,
    /// Runs that were merged into others.
    pub runs_merged: u64,
    /// Ids or entries written anew by merging.
    pub cells_merged: u64,
    /// Blocks read to answer.
    pub blocks_read: u64,
}

/// Runs of one kind and one log, from record 0 on without a gap. Dropping it stops the merging and waits for that.
#[derive(Debug)]
pub(super) struct RunSet<R: Run> {
    shared: Arc<Shared<R>>,
    merger: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared<R> {
    directory: PathBuf,
    config: RunsConfig,
    /// From the oldest to the newest. Whoever reads takes a clone of the outer `Arc` and no lock longer than that.
    runs: RwLock<Arc<Vec<Arc<R>>>>,
    merge_below: AtomicU64,
    stop: AtomicBool,
    merging: Mutex<Merging>,
    changed: Condvar,
    /// What went wrong and was not told yet, by file: at most one for each run, and one for each that was to be made.
    troubles: Mutex<BTreeMap<PathBuf, RunsError>>,
    /// Runs that merging found damaged, and passes over.
    damaged: Mutex<BTreeSet<PathBuf>>,
    runs_merged: AtomicU64,
    cells_merged: AtomicU64,
    blocks_read: AtomicU64,
}

#[derive(Debug, Default)]
struct Merging {
    /// Something changed since the thread looked.
    is_wanted: bool,
    is_busy: bool,
}

impl<R: Run> RunSet<R> {
    /// Takes the runs that cover the records from 0 up to at most `below`, the largest where there are several, and removes
    /// the others.
    pub(super) fn open(
        directory: &Path,
        log_id: [u8; 16],
        below: u64,
        config: &RunsConfig,
    ) -> Result<(RunSet<R>, Vec<Ignored>), RunsError> {
        config.check();
        if !directory.is_dir() {
            fs::create_dir_all(directory)
                .map_err(|error| RunsError::io(directory, "make the directory", error))?;
        }
        let (runs, ignored) = cover::<R>(directory, log_id, below)?;
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            config: config.clone(),
            runs: RwLock::new(Arc::new(runs)),
            merge_below: AtomicU64::new(below),
            stop: AtomicBool::new(false),
            merging: Mutex::new(Merging { is_wanted: true, is_busy: false }),
            changed: Condvar::new(),
            troubles: Mutex::default(),
            damaged: Mutex::default(),
            runs_merged: AtomicU64::new(0),
            cells_merged: AtomicU64::new(0),
            blocks_read: AtomicU64::new(0),
        });
        let merger = {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name(format!("merge{}", R::SUFFIX));
            thread.spawn(move || shared.merge_until_stopped())
        };
        let merger =
            merger.map_err(|error| RunsError::io(directory, "start the thread that merges", error))?;
        Ok((RunSet { shared, merger: Some(merger) }, ignored))
    }

    /// All runs, from the oldest to the newest, as they are now.
    pub(super) fn runs(&self) -> Arc<Vec<Arc<R>>> {
        self.shared.runs()
    }

    /// The record and the byte that the next run begins with: 0 and 0 if there is none yet.
    pub(super) fn covered_before(&self) -> (u64, u64) {
        self.runs().last().map_or((0, 0), |run| (run.head().range.next_sequence, run.head().range.end_byte))
    }

    /// Where a run of these records goes, which must follow the last one.
    pub(super) fn path_for(&self, range: RunRange) -> PathBuf {
        let (sequence, byte) = self.covered_before();
        assert_eq!(range.first_sequence, sequence, "a run begins where the one before it ends");
        assert!(
            range.next_sequence > range.first_sequence && range.end_byte >= range.first_byte,
            "{range:?}"
        );
        assert!(sequence == 0 || range.first_byte == byte, "{range:?} begins at byte {byte} of the log");
        self.shared.directory.join(name::<R>(range))
    }

    /// Opens a run that was written, and answers from it from now on.
    pub(super) fn publish(&self, path: &Path) -> Result<(), RunsError> {
        let run = Arc::new(R::open(path)?);
        self.shared.replace(|runs| runs.push(run));
        self.wake();
        Ok(())
    }

    /// Merges runs only if what comes out ends at this record or before it.
    pub(super) fn merge_below(&self, sequence: u64) {
        self.shared.merge_below.store(sequence, Ordering::Release);
        self.wake();
    }

    /// Waits until there is nothing to merge.
    pub(super) fn wait_for_merges(&self) {
        let mut merging = lock(&self.shared.merging);
        while merging.is_wanted || merging.is_busy {
            merging = self.shared.changed.wait(merging).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What merging met since this was asked the last time.
    pub(super) fn take_troubles(&self) -> Vec<RunsError> {
        std::mem::take(&mut *lock(&self.shared.troubles)).into_values().collect()
    }

    /// Reads every block of every run.
    pub(super) fn check(&self) -> Result<(), RunDamaged> {
        self.runs().iter().try_for_each(|run| run.check())
    }

    /// Removes the file of a damaged run. It goes on in this row, with its damage, until the directory is opened anew.
    pub(super) fn forget(&self, damaged: &RunDamaged) -> Result<(), RunsError> {
        if damaged.path.parent() != Some(&self.shared.directory) || kind_of::<R>(&damaged.path).is_none() {
            return Ok(());
        }
        remove(&damaged.path)
    }

    pub(super) fn count_blocks_read(&self, blocks: u64) {
        self.shared.blocks_read.fetch_add(blocks, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> RunsStats {
        let runs = self.runs();
        let sum = |of: fn(&R) -> u64| runs.iter().map(|run| of(run)).sum();
        RunsStats {
            runs: runs.len() as u64,
            cells: sum(|run| run.head().count),
            file_bytes: sum(R::file_bytes),
            memory_bytes: sum(R::memory_bytes),
            runs_merged: self.shared.runs_merged.load(Ordering::Relaxed),
            cells_merged: self.shared.cells_merged.load(Ordering::Relaxed),
            blocks_read: self.shared.blocks_read.load(Ordering::Relaxed),
        }
    }

    pub(super) fn config(&self) -> &RunsConfig {
        &self.shared.config
    }

    fn wake(&self) {
        lock(&self.shared.merging).is_wanted = true;
        self.shared.changed.notify_all();
    }
}

impl<R: Run> Drop for RunSet<R> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(merger) = self.merger.take()
            && let Err(panic) = merger.join()
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<R: Run> Shared<R> {
    fn runs(&self) -> Arc<Vec<Arc<R>>> {
        Arc::clone(&self.runs.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the row for those who ask from now on.
    fn replace(&self, change: impl FnOnce(&mut Vec<Arc<R>>)) {
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::clone(&runs);
        change(&mut changed);
        *runs = Arc::new(changed);
    }

    fn merge_until_stopped(&self) {
        loop {
            let mut merging = lock(&self.merging);
            merging.is_busy = false;
            self.changed.notify_all();
            while !merging.is_wanted {
                merging = self.changed.wait(merging).unwrap_or_else(PoisonError::into_inner);
            }
            *merging = Merging { is_wanted: false, is_busy: true };
            drop(merging);
            while let Some(parts) = self.next_group() {
                if let Err((path, error)) = self.merge(&parts) {
                    if matches!(error, RunsError::Damaged(_)) {
                        lock(&self.damaged).insert(path.clone());
                    }
                    lock(&self.troubles).insert(path, error);
                    // A damaged run is passed over from now on; what the system refused is tried with the next run.
                    if !self.is_damage_known(&parts) {
                        break;
                    }
                }
            }
            if self.stop.load(Ordering::Acquire) {
                let mut merging = lock(&self.merging);
                *merging = Merging::default();
                self.changed.notify_all();
                return;
            }
        }
    }

    /// The neighbours to be merged next: those of the lowest level, because they are many.
    fn next_group(&self) -> Option<Vec<Arc<R>>> {
        if self.stop.load(Ordering::Acquire) {
            return None;
        }
        let (runs, below) = (self.runs(), self.merge_below.load(Ordering::Acquire));
        let groups = runs.windows(self.config.merge_fan_out as usize).filter(|group| {
            let level = group[0].head().level;
            let cells: u64 = group.iter().map(|run| run.head().count).sum();
            group.iter().all(|run| run.head().level == level && run.head().range.next_sequence <= below)
                && cells <= self.config.merged_cells_max
                && !self.is_damage_known(group)
        });
        groups.min_by_key(|group| group[0].head().level).map(<[Arc<R>]>::to_vec)
    }

    fn is_damage_known(&self, group: &[Arc<R>]) -> bool {
        let damaged = lock(&self.damaged);
        group.iter().any(|run| damaged.contains(run.path()))
    }

    fn merge(&self, parts: &[Arc<R>]) -> Result<(), (PathBuf, RunsError)> {
        let (first, last) = (parts[0].head().range, parts[parts.len() - 1].head().range);
        let range = RunRange { next_sequence: last.next_sequence, end_byte: last.end_byte, ..first };
        let path = self.directory.join(name::<R>(range));
        let in_file = |error: RunsError| match error {
            RunsError::Damaged(damaged) => (damaged.path.clone(), RunsError::Damaged(damaged)),
            error @ RunsError::Io { .. } => (path.clone(), error),
        };
        if R::merge(parts, path.clone(), &self.config, &self.stop).map_err(in_file)?.is_none() {
            return Ok(());
        }
        let merged = Arc::new(R::open(&path).map_err(in_file)?);
        self.cells_merged.fetch_add(merged.head().count, Ordering::Relaxed);
        self.runs_merged.fetch_add(parts.len() as u64, Ordering::Relaxed);
        self.replace(|runs| {
            let is_part = |run: &Arc<R>| run.head().range.first_sequence >= range.first_sequence;
            let at = runs.iter().position(is_part).expect("only this thread takes runs away");
            runs.splice(at..at + parts.len(), [merged]);
        });
        // Whoever reads a part now has it open; its name is not needed any more, and a crash only leaves it behind.
        parts.iter().try_for_each(|part| remove(part.path())).map_err(in_file)
    }
}

/// The runs that are used, and those that are not for a reason that somebody should know.
fn cover<R: Run>(
    directory: &Path,
    log_id: [u8; 16],
    below: u64,
) -> Result<(Vec<Arc<R>>, Vec<Ignored>), RunsError> {
    let mut names = names::<R>(directory)?;
    let (mut runs, mut ignored) = (Vec::<Arc<R>>::new(), Vec::new());
    // The largest of those that begin with the same record comes first; the others are left over from a merge.
    while let Some((path, first, next)) = names.pop() {
        let covered = runs.last().map_or(0, |run| run.head().range.next_sequence);
        let why = if next > below || first < covered {
            None
        } else if first > covered {
            Some(format!("the records from {covered} to {first} in front of it have no run"))
        } else {
            match R::open(&path).map(|run| (misfit(&run, (first, next), log_id, runs.last()), run)) {
                Ok((None, run)) => {
                    runs.push(Arc::new(run));
                    continue;
                }
                Ok((Some(why), _)) => Some(why.to_owned()),
                Err(RunsError::Damaged(damaged)) => {
                    Some(format!("byte {}: {}", damaged.at_byte, damaged.what))
                }
                Err(error @ RunsError::Io { .. }) => return Err(error),
            }
        };
        remove(&path)?;
        ignored.extend(why.map(|why| Ignored { path, why }));
    }
    Ok((runs, ignored))
}

/// Why a sound run cannot be the next one.
fn misfit<R: Run>(
    run: &R,
    (first, next): (u64, u64),
    log_id: [u8; 16],
    before: Option<&Arc<R>>,
) -> Option<&'static str> {
    let Head { log_id: own_log_id, range, .. } = run.head();
    if *own_log_id != log_id {
        return Some("it is of another log");
    }
    if (range.first_sequence, range.next_sequence) != (first, next) {
        return Some("its name says other records than its header");
    }
    let before = before?;
    if before.head().range.end_byte != range.first_byte {
        return Some("it begins at another byte of the log than the run in front of it ends at");
    }
    run.disagrees_with(before)
}

/// The runs in the directory with the records of their names, the ones to look at first last. Unfinished ones are removed.
fn names<R: Run>(directory: &Path) -> Result<Vec<(PathBuf, u64, u64)>, RunsError> {
    let unreadable = |error| RunsError::io(directory, "read the directory", error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        match kind_of::<R>(&path) {
            Some(Name::Run(first, next)) => names.push((path, first, next)),
            Some(Name::Unfinished) => remove(&path)?,
            None => {}
        }
    }
    names.sort_by_key(|(_, first, next)| (std::cmp::Reverse(*first), *next));
    Ok(names)
}

enum Name {
    Run(u64, u64),
    Unfinished,
}

fn kind_of<R: Run>(path: &Path) -> Option<Name> {
    let name = path.file_name().and_then(OsStr::to_str)?;
    let is_unfinished = name.strip_suffix(UNFINISHED_SUFFIX);
    let (first, next) = is_unfinished.unwrap_or(name).strip_suffix(R::SUFFIX)?.split_once('-')?;
    let number = |digits: &str| {
        let is_number = digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { digits.parse().ok() } else { None }
    };
    let (first, next) = (number(first)?, number(next)?);
    if is_unfinished.is_some() { Some(Name::Unfinished) } else { Some(Name::Run(first, next)) }
}

fn name<R: Run>(range: RunRange) -> String {
    let RunRange { first_sequence, next_sequence, .. } = range;
    format!("{first_sequence:0SEQUENCE_DIGITS$}-{next_sequence:0SEQUENCE_DIGITS$}{}", R::SUFFIX)
}

/// Removes a file; one that is gone already is as well.
fn remove(path: &Path) -> Result<(), RunsError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunsError::io(path, "remove it", error))
        }
        _ => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
