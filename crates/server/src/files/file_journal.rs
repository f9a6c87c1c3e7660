//! The durable log of one directory.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use journal::{Decoder, HEADER_BYTES, Item, Tail, TornTail};
use pipeline::{LogIdentity, Recovered, Recovery};

use super::LogFormat;
use super::directory::{DirectoryLock, Segment, segment_name, segments, sync_directory};
use super::error::{FilesError, place};
use super::log_shared::{INDEX_BYTES_MIN, LogIndex};
use super::text_log::{Converter, TextRecovered, recover_text, refuse_segments, refuse_text, text_log_path};

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 1 << 20;

/// The log of a data directory, open for appending by this process alone.
#[derive(Debug)]
pub struct FileJournal {
    directory: PathBuf,
    path: PathBuf,
    /// The last segment; `None` until the first append of a new log makes it.
    file: Option<File>,
    state: State,
    /// Of all segments together.
    bytes: u64,
    form: Form,
    _lock: DirectoryLock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Usable,
    Poisoned,
}

#[derive(Debug)]
enum Form {
    Binary,
    JsonLines(Box<Converter>),
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
    /// Places from which the log can be read.
    pub(super) index: LogIndex,
    /// The log's files, each with where it begins in the log.
    pub(super) parts: Vec<(u64, PathBuf)>,
}

/// A torn tail that was cut off a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where it ends now; a file cut at 0 is removed.
    pub file_bytes: u64,
    /// How many bytes were cut off.
    pub bytes_cut: u64,
    /// The sequence that the next record takes.
    pub next_sequence: u64,
    /// The same and the reason, for people; places are counted over all segments.
    pub what: String,
}

impl FileJournal {
    /// Opens a data directory whose log is in the binary form; see [`FileJournal::open_with`].
    ///
    /// # Errors
    /// As [`FileJournal::open_with`].
    pub fn open(directory: &Path, hash_seed: u64) -> Result<Opened, FilesError> {
        FileJournal::open_with(directory, LogFormat::Binary, hash_seed)
    }

    /// Opens a data directory, making it if there is none: takes its lock, reads the log, cuts a torn tail, and makes
    /// sure that everything that is kept is on the disk. `hash_seed` keys the tables in memory.
    ///
    /// # Errors
    /// Another process writes there; the directory holds a log in another form; the log is corrupt; the system refuses.
    pub fn open_with(directory: &Path, format: LogFormat, hash_seed: u64) -> Result<Opened, FilesError> {
        let lock = DirectoryLock::take(directory)?;
        match format {
            LogFormat::Binary => {
                refuse_text(directory)?;
                FileJournal::open_segments(directory, lock, hash_seed)
            }
            LogFormat::JsonLines => {
                refuse_segments(directory)?;
                FileJournal::open_text(directory, lock, hash_seed)
            }
        }
    }

    fn open_text(directory: &Path, lock: DirectoryLock, hash_seed: u64) -> Result<Opened, FilesError> {
        let TextRecovered { recovered, cut, index, bytes } = recover_text(directory, hash_seed)?;
        let path = text_log_path(directory);
        let file = path.exists().then(|| open_to_append(&path)).transpose()?;
        let form = Form::JsonLines(Box::new(Converter::new(&recovered)));
        let (identity, generation) = next_writer(&recovered);
        let (directory, parts) = (directory.to_owned(), vec![(0, path.clone())]);
        let journal = FileJournal { directory, path, file, state: State::Usable, bytes, form, _lock: lock };
        Ok(Opened { journal, recovered, identity, generation, cut, index, parts })
    }

    fn open_segments(directory: &Path, lock: DirectoryLock, hash_seed: u64) -> Result<Opened, FilesError> {
        let mut segments = segments(directory)?;
        let (recovered, index) = recover(&segments, hash_seed)?;
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
        let (identity, generation) = next_writer(&recovered);
        let path = match segments.last() {
            Some(segment) => segment.path.clone(),
            None => directory.join(segment_name(0)),
        };
        let file = match segments.last() {
            Some(_) => Some(open_to_append(&path)?),
            None => None,
        };
        let directory = directory.to_owned();
        let bytes = recovered.tail.as_ref().map_or(0, Tail::bytes);
        let parts = parts(&segments, &path);
        let form = Form::Binary;
        let journal = FileJournal { directory, path, file, state: State::Usable, bytes, form, _lock: lock };
        Ok(Opened { journal, recovered, identity, generation, cut, index, parts })
    }

    /// Writes at the end of the log what comes next in its binary form, ending in a seal; a log in the JSON Lines form gets
    /// the lines of it. Returned without an error, it is on the disk.
    ///
    /// # Errors
    /// The system refuses. How much was written is then unknown, and every later append is refused too.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        if self.state == State::Poisoned {
            return Err(FilesError::Poisoned { path: self.path.clone() });
        }
        self.state = State::Poisoned;
        let bytes = match &mut self.form {
            Form::Binary => bytes,
            Form::JsonLines(converter) => converter.convert(bytes).map_err(|what| {
                let what = format!("what was to be appended is no log: {what}");
                FilesError::Segment { path: self.path.clone(), what }
            })?,
        };
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
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes of the log as it is stored, all segments together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
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

/// What names the log, and the generation of its next writer.
fn next_writer(recovered: &Recovered) -> (LogIdentity, u64) {
    match &recovered.tail {
        Some(tail) => {
            let header = tail.header();
            let (log_id, ledger_id) = (header.log_id, header.ledger_id);
            (LogIdentity { log_id, ledger_id, partition: header.partition }, tail.generation() + 1)
        }
        None => (LogIdentity { log_id: new_id(), ledger_id: new_id(), partition: 0 }, 1),
    }
}

/// The segments, each with where it begins in the log; the first one's place if there is none yet.
fn parts(segments: &[Segment], first: &Path) -> Vec<(u64, PathBuf)> {
    let mut parts = Vec::new();
    let mut start = 0;
    for segment in segments {
        parts.push((start, segment.path.clone()));
        start += segment.bytes;
    }
    if parts.is_empty() {
        parts.push((0, first.to_owned()));
    }
    parts
}

/// Reads all segments as one log.
fn recover(segments: &[Segment], hash_seed: u64) -> Result<(Recovered, LogIndex), FilesError> {
    let mut recovery = Recovery::new(hash_seed).noting_borders(INDEX_BYTES_MIN);
    let mut index = LogIndex::new();
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
            index.note_all(recovery.take_noted());
        }
    }
    let recovered = recovery.finish().map_err(|error| refused(segments, error))?;
    Ok((recovered, index))
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
    let TornTail { bytes_cut, next_sequence, .. } = *torn;
    Ok(Cut { path: segment.path, file_bytes, bytes_cut, next_sequence, what: torn.to_string() })
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}
