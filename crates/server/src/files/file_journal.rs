//! The log of one directory, or of none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use journal::{Decoder, HEADER_BYTES, Header, Item, Tail, TornTail};
use ledger::Ledger;
use pipeline::{Fold, LogIdentity, Recovered, Recovery};
use projection::Projections;

use super::directory::{DirectoryLock, Segment, segment_name, segments, sync_directory};
use super::error::{FilesError, place};
use super::log_shared::{INDEX_BYTES_MIN, LogIndex, LogShared, Store};
use super::memory_log::MemoryLog;
use super::prepare::{PART_NAME, Prepared};
use super::text_log::{Converter, TextRecovered, recover_text, refuse_segments, refuse_text, text_log_path};
use super::{Durability, LogFormat};

/// Bytes read at once.
pub(super) const READ_BYTES: usize = 1 << 20;

/// The log of a data directory, open for appending by this process alone; or one in memory.
#[derive(Debug)]
pub struct FileJournal {
    directory: PathBuf,
    path: PathBuf,
    /// The last segment, or the text; `None` until the first append of a new log makes it.
    file: Option<File>,
    /// Where that file begins in the store.
    file_at_byte: u64,
    state: State,
    /// Of all segments together.
    bytes: u64,
    form: Form,
    durability: Durability,
    syncs: u64,
    _lock: Option<DirectoryLock>,
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
    Memory(MemoryLog),
}

/// A data directory that was brought back.
pub struct Opened<R = Projections> {
    /// Where appends go.
    pub journal: FileJournal,
    /// The state that the log holds; all of it is durable.
    pub recovered: Recovered<R>,
    /// What names the log; made up at random if there is none yet.
    pub identity: LogIdentity,
    /// The fencing token for the records that come now: one above the last one in the log.
    pub generation: u64,
    /// The torn tail that was cut off, for the caller to report.
    pub cut: Option<Cut>,
    /// The durable log, for its readers.
    pub(super) log: LogShared,
}

/// A log in segments that is about to be read.
pub(super) struct Begun {
    pub(super) segments: Vec<Segment>,
    /// By its first header, or made up at random.
    pub(super) identity: LogIdentity,
    /// Nothing of it is known to be durable yet.
    pub(super) log: LogShared,
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
        FileJournal::open_with(directory, LogFormat::Binary, Durability::Synced, hash_seed)
    }

    /// Opens a data directory, making it if there is none: takes its lock, reads the log, cuts a torn tail, and makes
    /// sure that everything that is kept is on the disk. With [`Durability::Memory`] it opens nothing, and the log is
    /// empty. `hash_seed` keys the tables in memory.
    ///
    /// # Errors
    /// Another process writes there; the directory holds a log in another form; the log is corrupt; the system refuses.
    pub fn open_with(
        directory: &Path,
        format: LogFormat,
        durability: Durability,
        hash_seed: u64,
    ) -> Result<Opened, FilesError> {
        if durability == Durability::Memory {
            return Ok(FileJournal::in_memory(hash_seed));
        }
        let lock = DirectoryLock::take(directory)?;
        let mut opened = match format {
            LogFormat::Binary => {
                refuse_text(directory)?;
                FileJournal::open_segments(directory, lock, hash_seed)?
            }
            LogFormat::JsonLines => {
                refuse_segments(directory)?;
                FileJournal::open_text(directory, lock, hash_seed)?
            }
        };
        opened.journal.durability = durability;
        Ok(opened)
    }

    fn in_memory(hash_seed: u64) -> Opened {
        let log = MemoryLog::default();
        let (ledger, projections) = (Ledger::new(hash_seed), Projections::new(hash_seed));
        let recovered = Recovered { ledger, projections, tail: None, cut: None };
        let form = Form::Memory(log.clone());
        let journal = FileJournal {
            durability: Durability::Memory,
            ..FileJournal::of(Path::new("memory"), PathBuf::from("memory"), form, None)
        };
        let (identity, generation) = next_writer(&recovered);
        let log = LogShared::new(LogFormat::Binary, identity.log_id, Store::Memory(log));
        Opened { journal, recovered, identity, generation, cut: None, log }
    }

    fn open_text(directory: &Path, lock: DirectoryLock, hash_seed: u64) -> Result<Opened, FilesError> {
        let TextRecovered { recovered, cut, index, bytes } = recover_text(directory, hash_seed)?;
        let path = text_log_path(directory);
        let file = path.exists().then(|| open_to_write(&path)).transpose()?;
        let form = Form::JsonLines(Box::new(Converter::new(&recovered)));
        let (identity, generation) = next_writer(&recovered);
        let store = Store::files(vec![(0, path.clone())]);
        let log = LogShared::new(LogFormat::JsonLines, identity.log_id, store);
        log.restore(recovered.projections.balances.names(), index);
        let journal = FileJournal { file, bytes, ..FileJournal::of(directory, path, form, Some(lock)) };
        Ok(Opened { journal, recovered, identity, generation, cut, log })
    }

    fn open_segments(directory: &Path, lock: DirectoryLock, hash_seed: u64) -> Result<Opened, FilesError> {
        FileJournal::open_segments_with(directory, lock, |begun| {
            let recovery = Recovery::new(hash_seed).noting_borders(INDEX_BYTES_MIN);
            let (recovered, index) = read_all(&begun.segments, recovery, LogIndex::new(), 0)?;
            begun.log.restore(recovered.projections.balances.names(), index);
            Ok(recovered)
        })
    }

    /// Opens a data directory whose log is in the binary form, as [`FileJournal::open_with`] does, with what `recover`
    /// makes of its segments.
    pub(super) fn open_segments_with<R>(
        directory: &Path,
        lock: DirectoryLock,
        recover: impl FnOnce(&Begun) -> Result<Recovered<R>, FilesError>,
    ) -> Result<Opened<R>, FilesError> {
        remove_part(directory)?;
        let mut segments = segments(directory)?;
        remove_empty(directory, &mut segments)?;
        let first = directory.join(segment_name(0));
        let identity = match segments.first() {
            Some(segment) => identity_of(segment)?,
            None => None,
        };
        let identity = identity.unwrap_or_else(new_identity);
        let store = Store::files(parts(&segments, &first));
        let log = LogShared::new(LogFormat::Binary, identity.log_id, store);
        let mut begun = Begun { segments, identity, log };
        let recovered = recover(&begun)?;
        let segments = &mut begun.segments;
        let cut = match &recovered.cut {
            // A log that was never begun ends inside its header too, in a way.
            Some(torn) if !segments.is_empty() => cut_tail(directory, segments, torn)?,
            Some(_) | None => None,
        };
        // What was read may only be in the page cache: its writer may have been killed before its sync.
        for segment in segments.iter() {
            let synced = File::open(&segment.path).and_then(|file| file.sync_all());
            synced.map_err(|error| FilesError::io(&segment.path, "sync it", error))?;
        }
        sync_directory(directory)?;
        let path = segments.last().map_or(first, |segment| segment.path.clone());
        let file = if segments.is_empty() { None } else { Some(open_to_write(&path)?) };
        let bytes = recovered.tail.as_ref().map_or(0, Tail::bytes);
        let file_at_byte = parts(segments, &path).last().map_or(0, |(at_byte, _)| *at_byte);
        let generation = recovered.tail.as_ref().map_or(1, |tail| tail.generation() + 1);
        let journal = FileJournal::of(directory, path, Form::Binary, Some(lock));
        let journal = FileJournal { file, file_at_byte, bytes, ..journal };
        Ok(Opened { journal, recovered, identity: begun.identity, generation, cut, log: begun.log })
    }

    fn of(directory: &Path, path: PathBuf, form: Form, lock: Option<DirectoryLock>) -> FileJournal {
        FileJournal {
            directory: directory.to_owned(),
            path,
            file: None,
            file_at_byte: 0,
            state: State::Usable,
            bytes: 0,
            form,
            durability: Durability::Synced,
            syncs: 0,
            _lock: lock,
        }
    }

    /// Writes at the end of the log what comes next in its binary form, ending in a seal; a log in the JSON Lines form gets
    /// the lines of it. Returned without an error, it is as durable as was asked for.
    ///
    /// # Errors
    /// The system refuses. How much was written is then unknown, and every later append is refused too.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FilesError> {
        self.poison()?;
        let at = self.bytes - self.file_at_byte;
        let bytes = match &mut self.form {
            Form::Binary => bytes,
            Form::Memory(log) => {
                log.append(self.bytes, bytes);
                self.done(bytes.len());
                return Ok(());
            }
            Form::JsonLines(converter) => converter.convert(bytes).map_err(|what| {
                let what = format!("what was to be appended is no log: {what}");
                FilesError::Segment { path: self.path.clone(), what }
            })?,
        };
        let count = bytes.len();
        let is_new = self.file.is_none();
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open_to_write(&self.path)?),
        };
        write_at(file, bytes, at).map_err(|error| FilesError::io(&self.path, "append to it", error))?;
        if self.durability == Durability::Synced {
            file.sync_data().map_err(|error| FilesError::io(&self.path, "sync it", error))?;
            self.syncs += 1;
            if is_new {
                sync_directory(&self.directory)?;
            }
        }
        self.done(count);
        Ok(())
    }

    /// Ends the segment and writes what comes next, which begins with a header, to the one that was prepared. `prepared` is
    /// asked for it when it is wanted.
    ///
    /// # Errors
    /// As [`FileJournal::append`].
    pub(super) fn begin_segment(
        &mut self,
        prepared: impl FnOnce() -> io::Result<Prepared>,
        first_sequence: u64,
        bytes: &[u8],
    ) -> Result<(), FilesError> {
        self.poison()?;
        // In this order, only the last segment of a log ever ends in zeros.
        self.trim()?;
        let path = self.directory.join(segment_name(first_sequence));
        let failed = |doing| {
            let path = path.clone();
            move |error| FilesError::io(&path, doing, error)
        };
        let Prepared { file, path: part } = prepared().map_err(failed("get room for it"))?;
        write_at(&file, bytes, 0).map_err(failed("write to it"))?;
        if self.durability == Durability::Synced {
            file.sync_all().map_err(failed("sync it"))?;
            self.syncs += 1;
        }
        fs::rename(&part, &path).map_err(failed("put the next segment of the log in place"))?;
        if self.durability == Durability::Synced {
            sync_directory(&self.directory)?;
        }
        self.file = Some(file);
        self.file_at_byte = self.bytes;
        self.path = path;
        self.done(bytes.len());
        Ok(())
    }

    /// Makes durable what was only written so far.
    ///
    /// # Errors
    /// As [`FileJournal::append`].
    pub(super) fn sync(&mut self) -> Result<(), FilesError> {
        if self.durability != Durability::Written {
            return Ok(());
        }
        self.poison()?;
        // Of the segments before, nothing is known either.
        for segment in segments(&self.directory)? {
            let synced = File::open(&segment.path).and_then(|file| file.sync_all());
            synced.map_err(|error| FilesError::io(&segment.path, "sync it", error))?;
        }
        if let Some(file) = &self.file {
            file.sync_all().map_err(|error| FilesError::io(&self.path, "sync it", error))?;
        }
        sync_directory(&self.directory)?;
        self.syncs += 1;
        self.done(0);
        Ok(())
    }

    /// Removes what only a writer needs: the zeros behind the log, and the segment that was never used. Left-overs do no
    /// harm, so what fails here fails in silence.
    pub(super) fn tidy(&mut self) {
        if let (Form::Binary, State::Usable) = (&self.form, self.state) {
            let _ = self.trim();
            let _ = remove_part(&self.directory);
        }
    }

    pub(super) fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
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

    /// Syncs that returned, each of which covers a write.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.syncs
    }

    /// The segment that appends go to, if there is one: its file, and where it begins in the log.
    pub(super) fn current_segment(&self) -> Option<(&Path, u64)> {
        let is_segment = matches!(self.form, Form::Binary) && self.file.is_some();
        is_segment.then_some((self.path.as_path(), self.file_at_byte))
    }

    /// Where the prepared segment of a log in segments stands.
    pub(super) fn segments_directory(&self) -> Option<&Path> {
        matches!(self.form, Form::Binary).then_some(self.directory.as_path())
    }

    /// From here on nothing is written any more, unless what is begun now ends well.
    fn poison(&mut self) -> Result<(), FilesError> {
        if self.state == State::Poisoned {
            return Err(FilesError::Poisoned { path: self.path.clone() });
        }
        self.state = State::Poisoned;
        Ok(())
    }

    fn done(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.state = State::Usable;
    }

    /// Cuts the zeros off the segment.
    fn trim(&mut self) -> Result<(), FilesError> {
        let Some(file) = &self.file else { return Ok(()) };
        let bytes = self.bytes - self.file_at_byte;
        let failed = |error| FilesError::io(&self.path, "cut the zeros off its end", error);
        if file.metadata().map_err(failed)?.len() == bytes {
            return Ok(());
        }
        file.set_len(bytes).map_err(failed)?;
        if self.durability == Durability::Synced {
            file.sync_all().map_err(failed)?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = Some(file);
    }
}

/// Writes at a place of a file, wherever its cursor is.
#[cfg(unix)]
pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// The same where the system has only one cursor for a file, which nobody else moves.
#[cfg(not(unix))]
pub(super) fn write_at(mut file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// A fresh id for a log or a ledger: a UUID of version 7.
#[must_use]
pub fn new_id() -> [u8; 16] {
    uuid::Uuid::now_v7().into_bytes()
}

fn open_to_write(path: &Path) -> Result<File, FilesError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    file.map_err(|error| FilesError::io(path, "open it for writing", error))
}

/// Removes a last segment that was made and never written: with another before it, it holds nothing of the log.
fn remove_empty(directory: &Path, segments: &mut Vec<Segment>) -> Result<(), FilesError> {
    while let [.., _, last] = &segments[..]
        && last.bytes == 0
    {
        fs::remove_file(&last.path).map_err(|error| FilesError::io(&last.path, "remove it", error))?;
        sync_directory(directory)?;
        segments.pop();
    }
    Ok(())
}

/// Removes what a writer before had ready and never used.
fn remove_part(directory: &Path) -> Result<(), FilesError> {
    let path = directory.join(PART_NAME);
    match fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(FilesError::io(&path, "remove it", error)),
    }
}

/// What names the log, and the generation of its next writer.
fn next_writer(recovered: &Recovered) -> (LogIdentity, u64) {
    match &recovered.tail {
        Some(tail) => {
            let header = tail.header();
            let (log_id, ledger_id) = (header.log_id, header.ledger_id);
            (LogIdentity { log_id, ledger_id, partition: header.partition }, tail.generation() + 1)
        }
        None => (new_identity(), 1),
    }
}

fn new_identity() -> LogIdentity {
    LogIdentity { log_id: new_id(), ledger_id: new_id(), partition: 0 }
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
pub(super) fn read_all<R: Fold>(
    segments: &[Segment],
    mut recovery: Recovery<R>,
    mut index: LogIndex,
    from_byte: u64,
) -> Result<(Recovered<R>, LogIndex), FilesError> {
    let mut chunk = vec![0; READ_BYTES];
    let mut at_byte = 0;
    for segment in segments {
        let skipped = from_byte.saturating_sub(at_byte).min(segment.bytes);
        at_byte += segment.bytes;
        if skipped == segment.bytes {
            continue;
        }
        // Behind a damage the records are not known: it is judged by the bytes that follow.
        if skipped == 0 && !recovery.has_damage() {
            check_name(segment, recovery.next_sequence())?;
        }
        let unreadable = |error| FilesError::io(&segment.path, "read it", error);
        let mut file = File::open(&segment.path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(skipped)).map_err(unreadable)?;
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

/// What names the log, by the header of its first segment; `None` if that cannot be read, which is judged with the rest.
fn identity_of(segment: &Segment) -> Result<Option<LogIdentity>, FilesError> {
    Ok(header_of(segment)?.map(|Header { log_id, ledger_id, partition, .. }| LogIdentity {
        log_id,
        ledger_id,
        partition,
    }))
}

/// The header that a segment begins with, if it can be read.
pub(super) fn header_of(segment: &Segment) -> Result<Option<Header>, FilesError> {
    let mut bytes = Vec::new();
    let read =
        File::open(&segment.path).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut bytes));
    read.map_err(|error| FilesError::io(&segment.path, "read it", error))?;
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    Ok(match decoder.next() {
        Ok(Some(Item::Header(header))) => Some(header),
        Ok(_) | Err(_) => None,
    })
}

/// A log whose first segments are gone, or that has a gap, must not pass for a whole one.
fn check_name(segment: &Segment, next_sequence: u64) -> Result<(), FilesError> {
    let wrong = |what| Err(FilesError::Segment { path: segment.path.clone(), what });
    if segment.first_sequence > next_sequence {
        return wrong(format!(
            "this segment begins with record {} by its name, but the segments before it end with record \
             {next_sequence} to come: a segment is missing; put it back, or restore the log from a copy",
            segment.first_sequence
        ));
    }
    if segment.first_sequence < next_sequence {
        return wrong(format!(
            "this segment begins with record {} by its name, but the segments before it have the records up to \
             {next_sequence} already: it is one too many, or of another log; restore the log from a copy",
            segment.first_sequence
        ));
    }
    // A header that cannot be read is judged with the rest of the log.
    match header_of(segment)? {
        Some(header) if header.first_sequence != segment.first_sequence => wrong(format!(
            "its header says that it begins with record {}, its name says {}",
            header.first_sequence, segment.first_sequence
        )),
        Some(_) | None => Ok(()),
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

/// Cuts the tail off the last segment, durably, unless it is only space that was reserved. Only the last one can have been
/// written to when the power went.
fn cut_tail(
    directory: &Path,
    segments: &mut Vec<Segment>,
    torn: &TornTail,
) -> Result<Option<Cut>, FilesError> {
    let (index, file_bytes) = locate(segments, torn.cut_at_byte);
    let segment = segments[index].clone();
    let TornTail { bytes_cut, next_sequence, reason, .. } = torn;
    if index + 1 != segments.len() {
        let what = format!(
            "byte {file_bytes}, record {next_sequence}: {reason}; but another segment follows, so this is no \
             interrupted append: restore the log from a copy"
        );
        return Err(FilesError::Segment { path: segment.path, what });
    }
    if file_bytes == 0 {
        fs::remove_file(&segment.path).map_err(|error| FilesError::io(&segment.path, "remove it", error))?;
        sync_directory(directory)?;
        segments.pop();
    } else if torn.is_reserved_space() {
        return Ok(None);
    } else {
        let cut = OpenOptions::new().write(true).open(&segment.path).and_then(|file| {
            file.set_len(file_bytes)?;
            file.sync_all()
        });
        cut.map_err(|error| FilesError::io(&segment.path, "cut its torn tail", error))?;
    }
    let (bytes_cut, next_sequence, what) = (*bytes_cut, *next_sequence, torn.to_string());
    Ok(Some(Cut { path: segment.path, file_bytes, bytes_cut, next_sequence, what }))
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.what)
    }
}
