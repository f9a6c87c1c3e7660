//! The files of a data directory.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::FilesError;

/// The file whose lock the writing process holds. It stays behind, empty.
const LOCK_NAME: &str = "lock";
/// What a segment's name ends in.
const SEGMENT_SUFFIX: &str = ".wlog";
/// Digits in front of it.
const SEQUENCE_DIGITS: usize = 20;

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where it is.
    pub path: PathBuf,
    /// The sequence of its first record, by its name.
    pub first_sequence: u64,
    /// How long it is.
    pub bytes: u64,
}

/// The right to write to a data directory; ends when dropped, or with the process.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Makes the directory if there is none, and takes its lock without waiting.
    ///
    /// # Errors
    /// Another process has the lock, or the system refuses.
    pub fn take(directory: &Path) -> Result<DirectoryLock, FilesError> {
        if !directory.is_dir() {
            fs::create_dir_all(directory)
                .map_err(|error| FilesError::io(directory, "make the directory", error))?;
            // A directory that a crash forgets would take a durable log with it.
            if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_directory(parent)?;
            }
        }
        let path = directory.join(LOCK_NAME);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| FilesError::io(&path, "open the lock", error))?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FilesError::Locked { directory: directory.to_owned() }),
            Err(TryLockError::Error(error)) => Err(FilesError::io(&path, "take the lock", error)),
        }
    }
}

/// The segments of a data directory in the order of the log; none if there is no log yet. Other files are left alone.
///
/// # Errors
/// The directory cannot be read.
pub fn segments(directory: &Path) -> Result<Vec<Segment>, FilesError> {
    let unreadable = |error| FilesError::io(directory, "read the directory", error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        let first_sequence = entry.file_name().to_str().and_then(first_sequence_of);
        if let Some(first_sequence) = first_sequence {
            let meta = fs::metadata(&path).map_err(|error| FilesError::io(&path, "look at it", error))?;
            segments.push(Segment { path, first_sequence, bytes: meta.len() });
        }
    }
    segments.sort_by_key(|segment| segment.first_sequence);
    Ok(segments)
}

/// The name of the segment that begins with this record.
#[must_use]
pub fn segment_name(first_sequence: u64) -> String {
    format!("{first_sequence:0SEQUENCE_DIGITS$}{SEGMENT_SUFFIX}")
}

/// Makes a finished and synced file the first segment of a directory that has none, durably.
///
/// # Errors
/// The system refuses; the file then keeps its name.
pub fn place_segment(file: &Path, directory: &Path, _lock: &DirectoryLock) -> Result<PathBuf, FilesError> {
    let path = directory.join(segment_name(0));
    fs::rename(file, &path).map_err(|error| FilesError::io(&path, "put the log in place", error))?;
    sync_directory(directory)?;
    Ok(path)
}

/// Makes new, renamed and removed names in the directory durable.
///
/// # Errors
/// The system refuses.
pub fn sync_directory(directory: &Path) -> Result<(), FilesError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| FilesError::io(directory, "sync the directory", error))
}

fn first_sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let is_number = digits.len() == SEQUENCE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}
