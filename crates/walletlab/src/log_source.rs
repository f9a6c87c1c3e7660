//! A log to read: a data directory, or a file in the binary or the JSON Lines form.
//!
//! A data directory holds segments in the binary form, or one text `events.log` in the JSON Lines form, which is read as
//! that file. In both forms the tail of an interrupted append is told apart from damage: it is left out and reported.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use journal::{ContentError, Decoder, FromLines, HEADER_BYTES, Item, LineError, LineErrorKind, MAGIC};
use pipeline::{LedgerContent, LinesRecovery, Recovered, Recovery, RecoveryError, ReplayError, TornLines};
use server::files::{Segment, segments};

use crate::outcome::Failure;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// The text that a data directory holds if its log is kept in the JSON Lines form.
pub(crate) const LINES_NAME: &str = "events.log";
/// Stands for standard input.
const STANDARD_INPUT: &str = "-";

/// One log, read from its begin to its end as the bytes of its binary form. Lines are turned into them, and their seals
/// verified, on the way. Nothing is written and no lock is taken.
pub(crate) struct LogSource {
    parts: Vec<Part>,
    /// The part that is being read.
    current: usize,
    reader: Option<Box<dyn Read>>,
    form: Form,
    /// Of the JSON Lines form, until its end.
    lines: Option<Box<FromLines<LedgerContent>>>,
    /// What an interrupted append left behind the lines that were read.
    torn: Option<TornLines>,
    /// Bytes read from the file so far.
    bytes_read: u64,
    read: Vec<u8>,
    converted: Vec<u8>,
    /// The first bytes of the log, until its header is whole.
    header: Vec<u8>,
}

/// A file of the log.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) path: PathBuf,
    /// How long it was when it was found; 0 if nobody knows.
    pub(crate) bytes: u64,
}

/// In which of its two forms a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    Lines,
}

/// Where something is wrong.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Place {
    pub(crate) file: String,
    /// In the file; of the JSON Lines form, in the binary form that the lines stand for.
    pub(crate) at_byte: Option<u64>,
    /// In a file of the JSON Lines form, counted from 1.
    pub(crate) line: Option<u64>,
    /// The record that is bad, or the next one expected.
    pub(crate) sequence: u64,
    pub(crate) what: String,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Binary => "binary",
            Form::Lines => "jsonl",
        }
    }
}

impl LogSource {
    /// Finds out what stands at `path`; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<LogSource, Failure> {
        if path.is_dir() {
            return LogSource::open_directory(path);
        }
        let mut reader: Box<dyn BufRead> = if path.as_os_str() == STANDARD_INPUT {
            Box::new(BufReader::with_capacity(READ_BYTES, io::stdin()))
        } else {
            let file = File::open(path).map_err(|error| Failure::unreadable(path, &error))?;
            Box::new(BufReader::with_capacity(READ_BYTES, file))
        };
        let first = reader.fill_buf().map_err(|error| Failure::unreadable(path, &error))?;
        // What is neither is taken for the binary form, whose decoder says what it found.
        let form = if first.first() == Some(&b'{') && MAGIC[0] != b'{' { Form::Lines } else { Form::Binary };
        let bytes = path.metadata().map_or(0, |meta| meta.len());
        let part = Part { path: path.to_owned(), bytes };
        Ok(LogSource::new(vec![part], Some(Box::new(reader)), form))
    }

    fn open_directory(directory: &Path) -> Result<LogSource, Failure> {
        let parts: Vec<Part> = segments(directory)?
            .into_iter()
            .map(|Segment { path, bytes, .. }| Part { path, bytes })
            .collect();
        let lines = directory.join(LINES_NAME);
        let wrong = |what: &str| Err(Failure::Usage(format!("{}: {what}", directory.display())));
        match (parts.is_empty(), lines.is_file()) {
            (false, false) => Ok(LogSource::new(parts, None, Form::Binary)),
            (true, true) => LogSource::open(&lines),
            (true, false) => wrong(
                "there is no log in this directory; its files are named 00000000000000000000.wlog, or events.log",
            ),
            (false, true) => wrong(
                "there are two logs in this directory, segments (.wlog) and events.log; name the file that is meant",
            ),
        }
    }

    fn new(parts: Vec<Part>, reader: Option<Box<dyn Read>>, form: Form) -> LogSource {
        let lines = match form {
            Form::Binary => None,
            Form::Lines => Some(Box::new(FromLines::new(LedgerContent::default()))),
        };
        let read = vec![0; READ_BYTES];
        LogSource {
            parts,
            current: 0,
            reader,
            form,
            lines,
            torn: None,
            bytes_read: 0,
            read,
            converted: Vec::new(),
            header: Vec::new(),
        }
    }

    /// As lines whose seals are made anew instead of verified; a source in the binary form is read as it is.
    pub(crate) fn resealing(mut self, log_id: [u8; 16]) -> LogSource {
        if self.lines.is_some() {
            self.lines = Some(Box::new(FromLines::resealing(LedgerContent::default(), log_id)));
        }
        self
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// The files that make up the log, in order.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Bytes read so far, of [`LogSource::bytes_max`].
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Bytes of all files when they were found; 0 if nobody knows.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Where the lines end that an interrupted append left behind, if the source has come to them; nothing behind that
    /// place was read. In the binary form this is for the recovery to find.
    pub(crate) fn torn(&self) -> Option<Place> {
        let torn = self.torn.as_ref()?;
        let file = self.parts[0].path.display().to_string();
        let (line, sequence, what) = (Some(torn.line), torn.next_sequence, torn.to_string());
        Some(Place { file, at_byte: None, line, sequence, what })
    }

    /// The next bytes of the binary form; `None` at the end.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<&[u8]>, Place> {
        loop {
            let read = self.read_some()?;
            if read == 0 && self.lines.is_none() {
                return Ok(None);
            }
            if self.form == Form::Binary {
                self.check_header(read)?;
                return Ok(Some(&self.read[..read]));
            }
            self.converted.clear();
            self.convert(read)?;
            if !self.converted.is_empty() {
                return Ok(Some(&self.converted));
            }
        }
    }

    /// Where a byte of the binary form stands.
    pub(crate) fn place(&self, at_byte: u64, sequence: u64, what: String) -> Place {
        if self.form == Form::Lines {
            let file = self.parts[0].path.clone();
            let line = line_of_record(&file, sequence);
            return Place { file: file.display().to_string(), at_byte: Some(at_byte), line, sequence, what };
        }
        let mut start = 0;
        let mut found = (&self.parts[0].path, at_byte);
        for part in &self.parts {
            if at_byte < start {
                break;
            }
            found = (&part.path, at_byte - start);
            start += part.bytes;
        }
        let (path, at_byte) = found;
        Place { file: path.display().to_string(), at_byte: Some(at_byte), line: None, sequence, what }
    }

    fn read_some(&mut self) -> Result<usize, Place> {
        loop {
            let Some(part) = self.parts.get(self.current) else { return Ok(0) };
            let unreadable = |error: io::Error| Place {
                file: part.path.display().to_string(),
                at_byte: None,
                line: None,
                sequence: 0,
                what: format!("cannot read it: {error}"),
            };
            if self.reader.is_none() {
                self.reader = Some(Box::new(File::open(&part.path).map_err(unreadable)?));
            }
            let Some(reader) = &mut self.reader else { return Ok(0) };
            let read = reader.read(&mut self.read).map_err(unreadable)?;
            if read > 0 {
                self.bytes_read += read as u64;
                return Ok(read);
            }
            self.reader = None;
            self.current += 1;
        }
    }

    /// Line by line, so that of a bad one nothing comes out, and of those before it everything.
    fn convert(&mut self, read: usize) -> Result<(), Place> {
        let Some(mut lines) = self.lines.take() else { return Ok(()) };
        if read == 0 {
            let whole = self.converted.len();
            return lines.finish(&mut self.converted).map(drop).or_else(|error| {
                self.converted.truncate(whole);
                self.judge(&error)
            });
        }
        for line in self.read[..read].split_inclusive(|byte| *byte == b'\n') {
            let whole = self.converted.len();
            if let Err(error) = lines.push(line, &mut self.converted) {
                self.converted.truncate(whole);
                return self.judge(&error);
            }
        }
        self.lines = Some(lines);
        Ok(())
    }

    /// Whether a bad line is where an interrupted append ends. Then the source ends before it.
    fn judge(&mut self, error: &LineError) -> Result<(), Place> {
        // The rest of the file has its say: a seal there may vouch for what is bad.
        while self.read_some()? > 0 {}
        self.torn = torn_lines(&self.parts[0].path, self.bytes_read);
        if self.torn.is_some() { Ok(()) } else { Err(self.line_place(error)) }
    }

    fn line_place(&self, error: &LineError) -> Place {
        let file = &self.parts[0].path;
        // A record is judged when its last line has come; the line of the event is the one to look at.
        let line = match &error.kind {
            LineErrorKind::Content(ContentError::Event { index, .. }) => {
                line_of_record(file, error.sequence).map(|first| first + u64::from(*index))
            }
            LineErrorKind::Content(_)
            | LineErrorKind::Line(_)
            | LineErrorKind::Rule(_)
            | LineErrorKind::SealMismatch { .. } => None,
        };
        let line = Some(line.unwrap_or(error.line));
        let (file, what) = (file.display().to_string(), error.kind.to_string());
        Place { file, at_byte: None, line, sequence: error.sequence, what }
    }

    /// A log whose first part is missing must not pass for a whole one.
    fn check_header(&mut self, read: usize) -> Result<(), Place> {
        if self.header.len() >= HEADER_BYTES {
            return Ok(());
        }
        let missing = HEADER_BYTES - self.header.len();
        self.header.extend_from_slice(&self.read[..read.min(missing)]);
        let mut decoder = Decoder::new();
        decoder.push(&self.header);
        match decoder.next() {
            Ok(Some(Item::Header(header))) if !header.begins_log() => {
                let what = format!(
                    "this is a later segment of a log: the records before {} stand in the segments before it",
                    header.first_sequence
                );
                Err(self.place(0, header.first_sequence, what))
            }
            // A header that cannot be read is reported by whoever decodes the log.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Place {
    /// For standard error, and as a finding.
    pub(crate) fn failure(&self) -> Failure {
        Failure::Finding(self.to_string())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.file)?;
        match (self.line, self.at_byte) {
            (Some(line), _) => write!(f, "line {line}, record {}: ", self.sequence)?,
            (None, Some(at_byte)) => write!(f, "byte {at_byte}, record {}: ", self.sequence)?,
            (None, None) => {}
        }
        f.write_str(&self.what)
    }
}

/// Reads a log into memory, the first `until` records of it.
pub(crate) fn recover(source: &mut LogSource, until: Option<u64>) -> Result<Recovered, Place> {
    let mut recovery = Recovery::new(hash_seed());
    let mut border = until.map(Border::new);
    // The border is looked for before the bytes go into the recovery, which takes no byte behind it.
    while let Some(chunk) = source.next_chunk()? {
        let wanted = border.as_mut().map_or(chunk.len(), |border| border.wanted(chunk));
        let pushed = recovery.push(&chunk[..wanted], |_| {});
        let is_last = wanted < chunk.len() || border.as_ref().is_some_and(|border| border.is_reached);
        pushed.map_err(|error| refused(source, &error))?;
        if is_last {
            break;
        }
    }
    recovery.finish().map_err(|error| refused(source, &error))
}

/// A key for tables in memory, which nobody can foresee.
pub(crate) fn hash_seed() -> u64 {
    let id = server::files::new_id();
    id.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Where a recovery failed.
pub(crate) fn refused(source: &LogSource, error: &RecoveryError) -> Place {
    let (at_byte, sequence) = match error {
        RecoveryError::Corrupt(corrupt) => (corrupt.damage.at_byte, corrupt.damage.sequence),
        RecoveryError::Replay(ReplayError::Damage(damage)) => (damage.at_byte, damage.sequence),
        RecoveryError::Replay(
            ReplayError::Unreadable { at_byte, sequence, .. }
            | ReplayError::Inconsistent { at_byte, sequence, .. }
            | ReplayError::RepeatedId { at_byte, sequence, .. },
        ) => (*at_byte, *sequence),
    };
    source.place(at_byte, sequence, error.to_string())
}

/// Finds the byte behind the first records of a log.
struct Border {
    decoder: Decoder,
    records: u64,
    /// Bytes pushed before the chunk at hand.
    pushed: u64,
    is_reached: bool,
}

impl Border {
    fn new(records: u64) -> Border {
        Border { decoder: Decoder::new(), records, pushed: 0, is_reached: records == 0 }
    }

    /// How many bytes of the next chunk belong to the first records.
    fn wanted(&mut self, chunk: &[u8]) -> usize {
        if self.records == 0 {
            return 0;
        }
        self.decoder.push(chunk);
        let before = self.pushed;
        self.pushed += chunk.len() as u64;
        while !self.is_reached {
            match self.decoder.next() {
                Ok(Some(_)) => self.is_reached = self.decoder.next_sequence() >= self.records,
                // A damage before the border is for the recovery to judge.
                Ok(None) | Err(_) => return chunk.len(),
            }
        }
        usize::try_from(self.decoder.position() - before)
            .map_or(chunk.len(), |wanted| wanted.min(chunk.len()))
    }
}

/// What a writer would cut off this text, if it is a file that ends in an interrupted append. Only its first bytes are
/// looked at, because a writer may be at work.
fn torn_lines(path: &Path, bytes: u64) -> Option<TornLines> {
    let mut file = File::open(path).ok().filter(|_| path.is_file())?.take(bytes);
    let mut recovery = LinesRecovery::new(hash_seed(), u64::MAX);
    let mut chunk = vec![0; READ_BYTES];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => return recovery.finish().ok()?.cut,
            read => recovery.push(&chunk[..read]).ok()?,
        }
    }
}

/// The line on which a record begins, by looking for it in the file again.
fn line_of_record(path: &Path, sequence: u64) -> Option<u64> {
    let prefix = format!("{{\"sequence\":{sequence},");
    let mut lines = (1..).zip(BufReader::new(File::open(path).ok()?).lines());
    lines.find_map(|(number, line)| line.ok().filter(|line| line.starts_with(&prefix)).map(|_| number))
}
