//! The durable log of one directory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use journal::{Decoder, HEADER_BYTES, Item, TornTail};
use pipeline::{LogIdentity, Recovered, Recovery};

use super::directory::{DirectoryLock, Segment, segment_name, segments, sync_directory};
use super::error::{FilesError, place};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// The log of a data directory, open for appending by this process alone.
#[derive(Debug)]
pub struct FileJournal {
    directory: PathBuf,
    path: PathBuf,
    /// The last segment; `None` until the first append of a new log makes it.
    file: Option<File>,
    state: State,
    _lock: DirectoryLock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Usable,
    Poisoned,
}

/// A data directory that was brought back.
pub struct Opened {
    /// Where appends go.
    pub journal: FileJournal,
    /// The state that the log holds; all of it is durable.
    pub recovered: Recovered,
    /// What names the log; made up at random if there is none yet.
    pub identity: LogIdentity,
    /// The fencing token for the records that come now: one above the last one in the log.
    pub generation: u64,
    /// The torn tail that was cut off, for the caller to report.
    pub cut: Option<Cut>,
}

/// A torn tail that was cut off a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where it ends now; a file cut at 0 is removed.
    pub file_bytes: u64,
    /// What was cut, counted over all segments.
    pub torn: TornTail,
}

impl FileJournal {
    /// Opens a data directory, making it if there is none: takes its lock, reads the log, cuts a torn tail, and makes
    /// sure that everything that is kept is on the disk. `hash_seed` keys the tables in memory.
    ///
    /// # Errors
    /// Another process writes there; the log is corrupt; the system refuses.
    pub fn open(directory: &Path, hash_seed: u64) -> Result<Opened, FilesError> {
        let lock = DirectoryLock::take(directory)?;
        let mut segments = segments(directory)?;
        let recovered = recover(&segments, hash_seed)?;
        let cut = match &recovered.cut {
            // A log that was never begun ends inside its header too, in a way.
            Some(torn) if !segments.is_empty() => Some(cut_tail(directory, &mut segments, torn)?),
            Some(_) | None => None,
        };
        // What was read may only be in the page cache: its writer may have been killed before its sync.
        for segment in &segments {
            let synced = File::open(&segment.path).and_then(|file| file.sync_all());
            synced.map_err(|error| FilesError::io(&segment.path, "sync it", error))?;
        }
        sync_directory(directory)?;
        let (identity, generation) = match &recovered.tail {
            Some(tail) => {
                let header = tail.header();
                let (log_id, ledger_id) = (header.log_id, header.ledger_id);
                (LogIdentity { log_id, ledger_id, partition: header.partition }, tail.generation() + 1)
            }
            None => (LogIdentity { log_id: new_id(), ledger_id: new_id(), partition: 0 }, 1),
        };
        let path = match segments.last() {
            Some(segment) => segment.path.clone(),
            None => directory.join(segment_name(0)),
        };
        let file = match segments.last() {
            Some(_) => Some(open_to_append(&path)?),
            None => None,
        };
        let directory = directory.to_owned();
        let journal = FileJournal { directory, path, file, state: State::Usable, _lock: lock };
        Ok(Opened { journal, recovered, identity, generation, cut })
    }

    /// Writes at the end of the log. Returned without an error, the bytes are on the disk.
    ///
    /// # Errors
    /// The system refuses. How much was written is then unknown, and every later append is refused too.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        if self.state == State::Poisoned {
            return Err(FilesError::Poisoned { path: self.path.clone() });
        }
        self.state = State::Poisoned;
        match &mut self.file {
            Some(file) => {
                file.write_all(bytes).map_err(|error| FilesError::io(&self.path, "append to it", error))?;
                file.sync_data().map_err(|error| FilesError::io(&self.path, "sync it", error))?;
            }
            None => {
                let mut file = open_to_append(&self.path)?;
                file.write_all(bytes).map_err(|error| FilesError::io(&self.path, "write to it", error))?;
                file.sync_all().map_err(|error| FilesError::io(&self.path, "sync it", error))?;
                sync_directory(&self.directory)?;
                self.file = Some(file);
            }
        }
        self.state = State::Usable;
        Ok(())
    }

    /// The file that appends go to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = Some(file);
    }
}

/// A fresh id for a log or a ledger: a UUID of version 7.
#[must_use]
pub fn new_id() -> [u8; 16] {
    uuid::Uuid::now_v7().into_bytes()
}

fn open_to_append(path: &Path) -> Result<File, FilesError> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map_err(|error| FilesError::io(path, "open it for appending", error))
}

/// Reads all segments as one log.
fn recover(segments: &[Segment], hash_seed: u64) -> Result<Recovered, FilesError> {
    let mut recovery = Recovery::new(hash_seed);
    let mut chunk = vec![0; READ_BYTES];
    for segment in segments {
        check_name(segment, recovery.next_sequence())?;
        let unreadable = |error| FilesError::io(&segment.path, "read it", error);
        let mut file = File::open(&segment.path).map_err(unreadable)?;
        loop {
            let read = file.read(&mut chunk).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            recovery.push(&chunk[..read], |_| {}).map_err(|error| refused(segments, error))?;
        }
    }
    recovery.finish().map_err(|error| refused(segments, error))
}

/// A log whose first segments are gone, or that has a gap, must not pass for a whole one.
fn check_name(segment: &Segment, next_sequence: u64) -> Result<(), FilesError> {
    let wrong = |what| Err(FilesError::Segment { path: segment.path.clone(), what });
    if segment.first_sequence != next_sequence {
        return wrong(format!(
            "this segment begins with record {} by its name, but the log goes on with record {next_sequence}: \
             a segment is missing, damaged, or one too many",
            segment.first_sequence
        ));
    }
    let mut bytes = Vec::new();
    let read =
        File::open(&segment.path).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut bytes));
    read.map_err(|error| FilesError::io(&segment.path, "read it", error))?;
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    // A header that cannot be read is judged with the rest of the log.
    match decoder.next() {
        Ok(Some(Item::Header(header))) if header.first_sequence != segment.first_sequence => wrong(format!(
            "its header says that it begins with record {}, its name says {}",
            header.first_sequence, segment.first_sequence
        )),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn refused(segments: &[Segment], error: pipeline::RecoveryError) -> FilesError {
    let (at_byte, sequence) = place(&error);
    let (index, at_byte) = locate(segments, at_byte);
    FilesError::Refused { path: segments[index].path.clone(), at_byte, sequence, error: Box::new(error) }
}

/// In which segment a byte of the log is, and where in it. A byte at a border belongs to the later one.
fn locate(segments: &[Segment], at_byte: u64) -> (usize, u64) {
    let mut start = 0;
    for (index, segment) in segments.iter().enumerate() {
        if at_byte < start + segment.bytes || index + 1 == segments.len() {
            return (index, at_byte - start);
        }
        start += segment.bytes;
    }
    unreachable!("only a log with a segment has a byte");
}

/// Cuts the tail off the last segment, durably. Only the last one can have been written to when the power went.
fn cut_tail(directory: &Path, segments: &mut Vec<Segment>, torn: &TornTail) -> Result<Cut, FilesError> {
    let (index, file_bytes) = locate(segments, torn.cut_at_byte);
    let segment = segments[index].clone();
    if index + 1 != segments.len() {
        let what =
            format!("{torn}; but another segment follows, so this is no interrupted append: restore the log");
        return Err(FilesError::Segment { path: segment.path, what });
    }
    if file_bytes == 0 {
        fs::remove_file(&segment.path).map_err(|error| FilesError::io(&segment.path, "remove it", error))?;
        sync_directory(directory)?;
        segments.pop();
    } else {
        let cut = OpenOptions::new().write(true).open(&segment.path).and_then(|file| {
            file.set_len(file_bytes)?;
            file.sync_all()
        });
        cut.map_err(|error| FilesError::io(&segment.path, "cut its torn tail", error))?;
    }
    Ok(Cut { path: segment.path, file_bytes, torn: torn.clone() })
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.torn)
    }
}
