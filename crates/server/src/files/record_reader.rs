//! Reads single records of the durable log again, from the bytes that were noted.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use journal::{FrameHead, Lone, RecordMeta};
use ledger::{Event, Record};
use pipeline::Malformed;
use time::Timestamp;

use super::log_shared::{Part, Store};
use super::{FilesError, LogShared};

/// Files that are kept open.
const FILES_MAX: usize = 16;
/// Bytes read at first; more than nearly every record has.
const FIRST_BYTES: usize = 512;
/// Bytes read at once to find a record.
const SCAN_BYTES: usize = 64 << 10;
/// A reader of a log in the binary form. It keeps a few files open, and the record that it read last.
pub(crate) struct RecordReader {
    log: LogShared,
    files: Vec<(PathBuf, File)>,
    bytes: Vec<u8>,
    events: Vec<Event>,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The first record with this sequence or a higher one.
    Sequence(u64),
    /// The first record that was written later than this.
    After(Timestamp),
}

impl RecordReader {
    pub(crate) fn new(log: LogShared) -> RecordReader {
        RecordReader { log, files: Vec::new(), bytes: Vec::new(), events: Vec::new() }
    }

    /// The record whose frame begins at this byte of the log.
    pub(crate) fn read(&mut self, at_byte: u64) -> Result<Record<'_>, FilesError> {
        let mut wanted = FIRST_BYTES;
        loop {
            self.fill(at_byte, wanted)?;
            match Lone::read(&self.bytes) {
                Ok(Lone::Record(..)) => break,
                Ok(Lone::More { bytes }) if bytes > self.bytes.len() && self.bytes.len() == wanted => {
                    wanted = bytes;
                }
                Ok(Lone::More { .. }) => return Err(self.damaged(at_byte, "the log ends there")),
                Err(damage) => return Err(self.damaged(at_byte, &damage.to_string())),
            }
        }
        let (meta, kind) = match Lone::read(&self.bytes) {
            Ok(Lone::Record(meta, payload)) => {
                let kind = pipeline::read_record(&meta, payload, &mut self.events);
                (meta, kind.map_err(|Malformed { expected, .. }| expected))
            }
            Ok(Lone::More { .. }) | Err(_) => unreachable!("it was read a moment ago"),
        };
        let RecordMeta { sequence, recorded_at, generation, .. } = meta;
        match kind {
            Ok(kind) => Ok(Record { sequence, recorded_at, generation, kind, events: &self.events }),
            Err(expected) => Err(self.damaged(at_byte, &format!("expected {expected}"))),
        }
    }

    /// Where the first record begins that is wanted, or where the durable log ends if there is none.
    pub(crate) fn find(&mut self, wanted: Wanted) -> Result<u64, FilesError> {
        let end = self.log.durable().bytes;
        let mut at_byte = self.log.place_before(wanted);
        let mut bytes = vec![0; SCAN_BYTES];
        while at_byte < end {
            let room = usize::try_from(end - at_byte).unwrap_or(SCAN_BYTES).min(SCAN_BYTES);
            let read = self.read_at(at_byte, &mut bytes[..room])?;
            let mut at = 0;
            while at + FrameHead::BYTES <= read {
                let Some(head) = FrameHead::read(&bytes[at..read]) else {
                    return Err(self.damaged(at_byte + at as u64, "no frame begins like this"));
                };
                let is_it = head.record.is_some_and(|(sequence, recorded_at)| match wanted {
                    Wanted::Sequence(wanted) => sequence >= wanted,
                    Wanted::After(time) => recorded_at > time.micros(),
                });
                if is_it {
                    return Ok(at_byte + at as u64);
                }
                at += head.bytes;
            }
            if at == 0 {
                return Err(self.damaged(at_byte, "the log ends there"));
            }
            at_byte += at as u64;
        }
        Ok(end)
    }

    fn fill(&mut self, at_byte: u64, wanted: usize) -> Result<(), FilesError> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(wanted, 0);
        let read = self.read_at(at_byte, &mut bytes);
        self.bytes = bytes;
        self.bytes.truncate(read?);
        Ok(())
    }

    /// Reads as much as there is, up to the end of a segment.
    fn read_at(&mut self, at_byte: u64, out: &mut [u8]) -> Result<usize, FilesError> {
        let part = self.log.shared().part(at_byte);
        if let Store::Memory(log) = &self.log.shared().store {
            let Some((piece, at)) = log.piece(at_byte) else { return Ok(0) };
            let count = (piece.len() - at).min(out.len());
            out[..count].copy_from_slice(&piece[at..at + count]);
            return Ok(count);
        }
        let Part { path, at_byte: in_file, end } = part;
        let room = end.map_or(usize::MAX, |end| usize::try_from(end - at_byte).unwrap_or(usize::MAX));
        let count = room.min(out.len());
        let read = self.file(&path).and_then(|file| read_at(file, &mut out[..count], in_file));
        read.map_err(|error| FilesError::io(&path, "read it", error))
    }

    fn file(&mut self, path: &PathBuf) -> io::Result<&File> {
        if let Some(at) = self.files.iter().position(|(known, _)| known == path) {
            return Ok(&self.files[at].1);
        }
        if self.files.len() >= FILES_MAX {
            self.files.remove(0);
        }
        self.files.push((path.clone(), File::open(path)?));
        Ok(&self.files[self.files.len() - 1].1)
    }

    fn damaged(&self, at_byte: u64, what: &str) -> FilesError {
        let Part { path, at_byte: in_file, .. } = self.log.shared().part(at_byte);
        let what = format!("the record at byte {in_file} cannot be read: {what}");
        FilesError::Segment { path, what }
    }
}

/// Reads at a place of a file until it ends or `out` is full.
#[cfg(unix)]
fn read_at(file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < out.len() {
        match std::os::unix::fs::FileExt::read_at(file, &mut out[read..], at + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// The same where the system has only one cursor for a file, which nobody else moves.
#[cfg(not(unix))]
fn read_at(mut file: &File, out: &mut [u8], at: u64) -> io::Result<usize> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    let mut read = 0;
    while read < out.len() {
        match file.read(&mut out[read..])? {
            0 => break,
            count => read += count,
        }
    }
    Ok(read)
}
