//! Reads the durable log as lines, from any record on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use journal::{Decoder, Item, Tail, ToLines};
use pipeline::{LedgerContent, RecoveryError, ReplayError};
use serde::Deserialize;

use super::log_shared::{IndexEntry, LogShared, Part, Store};
use super::{FilesError, LogFormat};

/// Text given out by one call, about; a single record can be longer.
const CHUNK_BYTES: usize = 32 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 32 << 10;

/// One piece of the JSON Lines form, without the last line's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogLine {
    /// The header line of the log, or of a further segment.
    Header(String),
    /// All lines of a record.
    Record {
        /// Which record.
        sequence: u64,
        /// One line an event.
        lines: String,
    },
    /// A seal line.
    Seal(String),
}

impl LogLine {
    /// The text of it.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            LogLine::Header(line) | LogLine::Seal(line) => line,
            LogLine::Record { lines, .. } => lines,
        }
    }
}

/// Follows a durable log line by line; from [`LogShared::read_from`]. It keeps its own file open, and holds one piece of
/// the log at a time. Of a log in the binary form it checks every frame and seal on the way.
pub struct LogLines {
    log: LogShared,
    from: u64,
    /// The record that comes next.
    next_sequence: u64,
    /// Where the next byte is read in the store.
    store_byte: u64,
    file: Option<(PathBuf, File)>,
    bytes: Vec<u8>,
    form: Form,
}

enum Form {
    Binary { decoder: Box<Decoder>, to_lines: Box<ToLines<LedgerContent>>, text: Vec<u8> },
    JsonLines { at: usize, record: Option<(u64, String)> },
}

impl LogLines {
    pub(super) fn open(log: LogShared, from: u64, entry: Option<IndexEntry>) -> Result<LogLines, FilesError> {
        let names = log.sight(0).names.unwrap_or_default();
        let form = match log.format() {
            LogFormat::Binary => {
                let (decoder, opened) = match &entry {
                    None => (Decoder::new(), 0),
                    Some(entry) => {
                        let tail = Tail::at_border(&entry.border).map_err(|error| {
                            let path = log.shared().part(entry.store_byte).path;
                            FilesError::Segment { path, what: error.to_string() }
                        })?;
                        (Decoder::resume(tail), entry.accounts_count)
                    }
                };
                let content = LedgerContent::resume(names, opened);
                let (decoder, to_lines) = (Box::new(decoder), Box::new(ToLines::new(content)));
                Form::Binary { decoder, to_lines, text: Vec::new() }
            }
            LogFormat::JsonLines => Form::JsonLines { at: 0, record: None },
        };
        let (store_byte, next_sequence) =
            entry.map_or((0, 0), |entry| (entry.store_byte, entry.border.next_sequence));
        Ok(LogLines { log, from, next_sequence, store_byte, file: None, bytes: Vec::new(), form })
    }

    /// The record that comes next: every line of the records before it was given out, or was not asked for.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence.max(self.from)
    }

    /// Appends the next pieces to `out`, up to what is durable now and to about 32 KiB of text. Returns how many there
    /// are; 0: everything durable was given out. Blocks on the disk, and for nothing else.
    ///
    /// # Errors
    /// The log cannot be read, or is damaged; nothing more comes then.
    pub fn next_chunk(&mut self, out: &mut Vec<LogLine>) -> Result<usize, FilesError> {
        let before = out.len();
        let names_known = match &self.form {
            Form::Binary { to_lines, .. } => to_lines.content().names().len(),
            Form::JsonLines { .. } => u32::MAX,
        };
        let sight = self.log.sight(names_known);
        if let (Form::Binary { to_lines, .. }, Some(names)) = (&mut self.form, sight.names) {
            // Accounts that were opened meanwhile; the converter knows them before it reads of them.
            let opened = to_lines.content().opened();
            **to_lines = ToLines::new(LedgerContent::resume(names, opened));
        }
        loop {
            let full = match &self.form {
                Form::Binary { .. } => self.take_frames(out)?,
                Form::JsonLines { .. } => self.take_lines(out)?,
            };
            if full || self.store_byte >= sight.durable.bytes {
                return Ok(out.len() - before);
            }
            self.read_some(sight.durable.bytes)?;
        }
    }

    #[cfg(test)]
    pub(super) fn begins_at_byte(&self) -> u64 {
        self.store_byte
    }

    /// Gives out what is read of a log in the binary form. Returns whether the chunk is full.
    fn take_frames(&mut self, out: &mut Vec<LogLine>) -> Result<bool, FilesError> {
        let Form::Binary { decoder, to_lines, text } = &mut self.form else { return Ok(false) };
        let mut given = 0;
        while given < CHUNK_BYTES {
            let item = match decoder.next() {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(false),
                Err(damage) => {
                    let Part { path, at_byte, .. } = self.log.shared().part(damage.at_byte);
                    let sequence = damage.sequence;
                    let error = Box::new(RecoveryError::Replay(ReplayError::Damage(damage)));
                    return Err(FilesError::Refused { path, at_byte, sequence, error });
                }
            };
            text.clear();
            to_lines.push(&item, text).map_err(|error| {
                let path = self.log.shared().part(error.at_byte).path;
                FilesError::Segment { path, what: error.to_string() }
            })?;
            text.pop();
            // The converter writes UTF-8 only; what is not would be a bug that must not end the server.
            let lines = || String::from_utf8_lossy(text).into_owned();
            let line = match item {
                Item::Header(header) => {
                    (header.first_sequence >= self.from).then(|| LogLine::Header(lines()))
                }
                Item::Record { meta, .. } => {
                    self.next_sequence = meta.sequence + 1;
                    let sequence = meta.sequence;
                    (sequence >= self.from).then(|| LogLine::Record { sequence, lines: lines() })
                }
                Item::Seal { frame, .. } => {
                    (frame.next_sequence >= self.from).then(|| LogLine::Seal(lines()))
                }
            };
            if let Some(line) = line {
                given += text.len();
                out.push(line);
            }
        }
        Ok(true)
    }

    /// The same of a log in the JSON Lines form.
    fn take_lines(&mut self, out: &mut Vec<LogLine>) -> Result<bool, FilesError> {
        let mut given = 0;
        while given < CHUNK_BYTES {
            let Form::JsonLines { at, .. } = &mut self.form else { return Ok(false) };
            let Some(end) = self.bytes[*at..].iter().position(|byte| *byte == b'\n') else {
                self.bytes.drain(..*at);
                *at = 0;
                return Ok(false);
            };
            let line = self.bytes[*at..*at + end].to_vec();
            *at += end + 1;
            if let Some(line) = self.take_line(&line)? {
                given += line.text().len();
                out.push(line);
            }
        }
        Ok(true)
    }

    /// What a line completes, if it was asked for.
    fn take_line(&mut self, line: &[u8]) -> Result<Option<LogLine>, FilesError> {
        let unreadable = |what: String| {
            let path = self.log.shared().part(0).path;
            FilesError::Segment { path, what: format!("a line behind record {}: {what}", self.next_sequence) }
        };
        let fields: LineFields =
            serde_json::from_slice(line).map_err(|error| unreadable(error.to_string()))?;
        let text = str::from_utf8(line).map_err(|error| unreadable(error.to_string()))?;
        let text = text.trim_end_matches('\r');
        let from = self.from;
        let Form::JsonLines { record, .. } = &mut self.form else { return Ok(None) };
        match fields {
            LineFields { sequence: Some(sequence), index: Some(index), count: Some(count), .. } => {
                let (_, lines) = record.get_or_insert_with(|| (sequence, String::new()));
                if !lines.is_empty() {
                    lines.push('\n');
                }
                lines.push_str(text);
                if index + 1 < count {
                    return Ok(None);
                }
                self.next_sequence = sequence + 1;
                let record = record.take().filter(|(sequence, _)| *sequence >= from);
                Ok(record.map(|(sequence, lines)| LogLine::Record { sequence, lines }))
            }
            LineFields { next_sequence: Some(next_sequence), .. } => {
                Ok((next_sequence >= from).then(|| LogLine::Seal(text.to_owned())))
            }
            LineFields { first_sequence: Some(first_sequence), .. } => {
                Ok((first_sequence >= from).then(|| LogLine::Header(text.to_owned())))
            }
            LineFields { .. } => Err(unreadable(String::from("it is neither header, event nor seal"))),
        }
    }

    /// Reads on, at most to where the log is durable and to the end of a file.
    fn read_some(&mut self, durable_bytes: u64) -> Result<(), FilesError> {
        let start = self.bytes.len();
        match &self.log.shared().store {
            Store::Files(_) => self.read_file(durable_bytes)?,
            Store::Memory(log) => {
                let Some((piece, at)) = log.piece(self.store_byte) else { return Ok(()) };
                let end = piece.len().min(at + READ_BYTES);
                self.bytes.extend_from_slice(&piece[at..end]);
            }
        }
        self.store_byte += (self.bytes.len() - start) as u64;
        if let Form::Binary { decoder, .. } = &mut self.form {
            decoder.push(&self.bytes);
            self.bytes.clear();
        }
        Ok(())
    }

    fn read_file(&mut self, durable_bytes: u64) -> Result<(), FilesError> {
        let Part { path, at_byte, end } = self.log.shared().part(self.store_byte);
        let unreadable = |error| FilesError::io(&path, "read it", error);
        let end = end.map_or(durable_bytes, |end| end.min(durable_bytes));
        let wanted = usize::try_from(end - self.store_byte).unwrap_or(READ_BYTES).min(READ_BYTES);
        if self.file.as_ref().is_none_or(|(open, _)| *open != path) {
            let mut file = File::open(&path).map_err(unreadable)?;
            file.seek(SeekFrom::Start(at_byte)).map_err(unreadable)?;
            self.file = Some((path.clone(), file));
        }
        let Some((_, file)) = &mut self.file else { return Ok(()) };
        let start = self.bytes.len();
        self.bytes.resize(start + wanted, 0);
        file.read_exact(&mut self.bytes[start..]).map_err(unreadable)
    }
}

/// What tells the kinds of lines apart. The log was read and checked by its driver when it was opened, and written by it
/// since, so the rest of a line is taken as it is.
#[derive(Deserialize)]
struct LineFields {
    sequence: Option<u64>,
    index: Option<u32>,
    count: Option<u32>,
    next_sequence: Option<u64>,
    first_sequence: Option<u64>,
}
