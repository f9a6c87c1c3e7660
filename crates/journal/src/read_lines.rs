//! JSON Lines to binary form.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use smol_str::SmolStr;
use time::Timestamp;

use crate::chain::Tail;
use crate::content::{Content, ContentError, EventFields};
use crate::damage::{DamageKind, HeaderDamage};
use crate::encode::Encoder;
use crate::format::{FORMAT_VERSION, Header, PAYLOAD_BYTES_MAX, RecordMeta, Seal, SealFrame, SourcePosition};
use crate::json::{self, Fields, Json, nothing_left, take_hex, take_integer, take_text};
use crate::write_lines::{EVENTS_COUNT_MAX, FORMAT_NAME, LINE_BYTES_MAX};

/// Turns lines into the bytes of a log. Every rule of the binary form holds here too, and each seal is computed
/// anew: [`FromLines::new`] refuses a file whose seals do not fit its lines, so an edited file fails;
/// [`FromLines::resealing`] makes another log of it, with fresh seals.
///
/// Records since the last seal line are not vouched for, as in the binary form.
#[derive(Clone, Debug)]
pub struct FromLines<C> {
    content: C,
    /// The new log's id if seals are made anew, `None` if they are verified.
    reseal_as: Option<[u8; 16]>,
    encoder: Option<Encoder>,
    /// The number of the line that is being read or was read last, from 1.
    line: u64,
    /// The first line since the last seal.
    unsealed_from_line: u64,
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    record: Option<OpenRecord>,
    events: Vec<EventFields>,
    payload: Vec<u8>,
    failed: Option<LineError>,
    skips_known_seals: bool,
}

/// Why a text is not a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineError {
    /// The line, from 1.
    pub line: u64,
    /// The record expected there.
    pub sequence: u64,
    /// What is wrong with it.
    pub kind: LineErrorKind,
}

/// See [`LineError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineErrorKind {
    /// Not a line of a log: its syntax or its fields are wrong.
    Line(String),
    /// It breaks a rule that holds in the binary form too.
    Rule(DamageKind),
    /// The content kind refuses the record.
    Content(ContentError),
    /// The seal does not fit the lines since the one before.
    SealMismatch {
        /// The first of those lines.
        from_line: u64,
        /// The first record that the seal covers.
        from_sequence: u64,
        /// What those lines give.
        expected: Seal,
        /// What stands there.
        found: Seal,
    },
}

impl<C: Content> FromLines<C> {
    /// A converter that verifies every seal; `content` has seen none of the log's records.
    pub fn new(content: C) -> FromLines<C> {
        FromLines {
            content,
            reseal_as: None,
            encoder: None,
            line: 0,
            unsealed_from_line: 1,
            partial: Vec::new(),
            record: None,
            events: Vec::new(),
            payload: Vec::new(),
            failed: None,
            skips_known_seals: false,
        }
    }

    /// A converter that does not look at the seals that stand in the text and makes a log named `log_id` with
    /// seals of its own. Sequences must be dense from 0 all the same.
    pub fn resealing(content: C, log_id: [u8; 16]) -> FromLines<C> {
        FromLines { reseal_as: Some(log_id), ..FromLines::new(content) }
    }

    /// A converter that goes on where a log stands, and verifies every seal from there on. Its first line is the one
    /// behind the tail; lines are counted from it. `content` has seen all records before the tail.
    pub fn resume(content: C, tail: Tail) -> FromLines<C> {
        FromLines { encoder: Some(Encoder::resume(tail)), ..FromLines::new(content) }
    }

    /// For lines that may begin before the tail: a header or seal line that covers no record since the last seal, and is
    /// not the next of the chain, is taken for one that stands before the tail, and skipped. Nothing is lost by that: if
    /// it was not, the next seal does not fit.
    #[must_use]
    pub fn skipping_known_seals(self) -> FromLines<C> {
        FromLines { skips_known_seals: true, ..self }
    }

    /// Takes the next piece of the text, cut anywhere, and appends the frames whose lines are complete to `out`.
    /// After an error it returns the same again, and what it appended is no log.
    pub fn push(&mut self, mut text: &[u8], out: &mut Vec<u8>) -> Result<(), LineError> {
        self.check_failed()?;
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&text[..end], &text[end + 1..]);
            if self.partial.is_empty() {
                self.line(line, out)?;
            } else {
                let mut whole = core::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole, out)?;
                whole.clear();
                self.partial = whole;
            }
            text = rest;
        }
        if self.partial.len() + text.len() > LINE_BYTES_MAX + 1 {
            self.line += 1;
            return self.fail(too_long());
        }
        self.partial.extend_from_slice(text);
        Ok(())
    }

    /// Says that the text ends here; the last line may have no line end. Returns where the log can be continued.
    /// When resealing, records behind the last seal line get a seal too.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Tail, LineError> {
        self.check_failed()?;
        if !self.partial.is_empty() {
            let line = core::mem::take(&mut self.partial);
            self.line(&line, out)?;
        }
        if let Some(record) = &self.record {
            let message = format!("the text ends after {} of {} events", self.events.len(), record.count);
            self.fail(LineErrorKind::Line(message))?;
        }
        let Some(mut encoder) = self.encoder.take() else {
            self.line = 1;
            return Err(self.error(LineErrorKind::Line("a log begins with a header line".to_string())));
        };
        let tail = encoder.tail();
        if self.reseal_as.is_none() || tail.is_sealed() {
            return Ok(tail);
        }
        encoder.seal(tail.generation(), tail.recorded_at(), tail.durable_before(), out);
        Ok(encoder.tail())
    }

    /// Where the log stands behind the last item whose lines are complete; `None` before the header.
    pub fn tail(&self) -> Option<Tail> {
        self.encoder.as_ref().map(Encoder::tail)
    }

    /// The header of the segment at hand; `None` before the first.
    pub fn header(&self) -> Option<&Header> {
        self.encoder.as_ref().map(|encoder| &encoder.chain().header)
    }

    /// The sequence that the next record takes.
    pub fn next_sequence(&self) -> u64 {
        self.encoder.as_ref().map_or(0, Encoder::next_sequence)
    }

    /// Whether the last line completed an item: no line is cut and no event of the record is missing.
    pub fn is_at_border(&self) -> bool {
        self.record.is_none() && self.partial.is_empty()
    }

    /// The content's state after the records so far.
    pub fn content(&self) -> &C {
        &self.content
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), LineError> {
        self.line += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let read = if line.len() > LINE_BYTES_MAX {
            Err(too_long())
        } else {
            json::parse_object(line).map_err(LineErrorKind::Line).and_then(|fields| self.object(fields, out))
        };
        read.or_else(|kind| self.fail(kind))
    }

    fn object(&mut self, mut fields: Fields, out: &mut Vec<u8>) -> Result<(), LineErrorKind> {
        let first = fields.first().map_or("", |(name, _)| name.as_str());
        let is_event = first == "sequence";
        if !is_event && self.record.is_some() {
            return Err(line_error("the record before is not complete"));
        }
        match first {
            "format" => {
                let header = read_header::<C>(&mut fields)?;
                self.take_header(header, out)
            }
            "seal" => {
                let frame = read_seal(&mut fields)?;
                self.seal(frame, out)
            }
            _ if is_event => self.event(fields, out),
            _ => Err(line_error("a line begins with the field `format`, `seal` or `sequence`")),
        }
    }

    fn take_header(&mut self, mut header: Header, out: &mut Vec<u8>) -> Result<(), LineErrorKind> {
        let Some(encoder) = &mut self.encoder else {
            if let Some(log_id) = self.reseal_as {
                if header.first_sequence > 0 {
                    return Err(LineErrorKind::Rule(DamageKind::RecordSequence {
                        found: header.first_sequence,
                    }));
                }
                header.log_id = log_id;
                header.previous_seal = Seal::ZERO;
            }
            if header.first_sequence > 0 && header.begins_log() {
                let damage = HeaderDamage::WithoutPast { first_sequence: header.first_sequence };
                return Err(LineErrorKind::Rule(damage.into()));
            }
            self.encoder = Some(Encoder::start(&header, out));
            return Ok(());
        };
        if self.skips_known_seals && header == encoder.chain().header {
            return Ok(());
        }
        if self.reseal_as.is_some() {
            header.log_id = encoder.chain().header.log_id;
            header.previous_seal = encoder.chain().seal;
        }
        encoder.chain().check_header(&header).map_err(|damage| LineErrorKind::Rule(damage.into()))?;
        encoder.next_segment(out);
        Ok(())
    }

    fn seal(&mut self, frame: SealFrame, out: &mut Vec<u8>) -> Result<(), LineErrorKind> {
        let encoder = self.encoder.as_mut().ok_or_else(no_header)?;
        if self.skips_known_seals && encoder.is_known(&frame) {
            return Ok(());
        }
        encoder.chain().check_seal(&frame).map_err(LineErrorKind::Rule)?;
        let from_sequence = encoder.chain().sealed_before;
        let expected = encoder.seal(frame.generation, frame.recorded_at, frame.durable_before, out);
        let from_line = core::mem::replace(&mut self.unsealed_from_line, self.line + 1);
        if self.reseal_as.is_none() && frame.seal != expected {
            let found = frame.seal;
            return Err(LineErrorKind::SealMismatch { from_line, from_sequence, expected, found });
        }
        Ok(())
    }

    fn event(&mut self, mut fields: Fields, out: &mut Vec<u8>) -> Result<(), LineErrorKind> {
        let encoder = self.encoder.as_ref().ok_or_else(no_header)?;
        let (index, type_name, read) = read_envelope(&mut fields).map_err(LineErrorKind::Line)?;
        if read.sequence != encoder.next_sequence() {
            return Err(LineErrorKind::Rule(DamageKind::RecordSequence { found: read.sequence }));
        }
        let expected_index = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        if index != expected_index {
            return Err(line_error(format!("index is {index}, expected {expected_index}")));
        }
        match &self.record {
            None if !(1..=EVENTS_COUNT_MAX).contains(&read.count) => {
                return Err(line_error(format!("count is {}, expected 1 to {EVENTS_COUNT_MAX}", read.count)));
            }
            None => self.record = Some(read),
            Some(record) if *record != read => {
                let message = "count, recorded_at, generation, kind and source must be those of the record's first line";
                return Err(line_error(message));
            }
            Some(_) => {}
        }
        self.events.push(EventFields::new(index, type_name, fields));
        if self.record.as_ref().is_some_and(|record| record.count == index + 1) {
            return self.record(out);
        }
        Ok(())
    }

    /// All events of the open record are there.
    fn record(&mut self, out: &mut Vec<u8>) -> Result<(), LineErrorKind> {
        let (Some(record), Some(encoder)) = (self.record.take(), &mut self.encoder) else {
            return Err(no_header());
        };
        self.payload.clear();
        let kind = self
            .content
            .read_events(&record.kind, &mut self.events, &mut self.payload)
            .and_then(|kind| self.events.iter().try_for_each(EventFields::check_nothing_left).map(|()| kind))
            .map_err(LineErrorKind::Content)?;
        self.events.clear();
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            let found = self.payload.len();
            return Err(line_error(format!("a payload of {found} bytes, at most {PAYLOAD_BYTES_MAX} fit")));
        }
        let meta = RecordMeta {
            kind: kind.kind,
            kind_version: kind.version,
            generation: record.generation,
            sequence: record.sequence,
            recorded_at: record.recorded_at,
            source: record.source,
        };
        encoder.chain().check_record(&meta).map_err(LineErrorKind::Rule)?;
        encoder.record(&meta, &self.payload, out);
        Ok(())
    }

    fn check_failed(&self) -> Result<(), LineError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn fail(&mut self, kind: LineErrorKind) -> Result<(), LineError> {
        let error = self.error(kind);
        self.failed = Some(error.clone());
        Err(error)
    }

    fn error(&self, kind: LineErrorKind) -> LineError {
        let sequence = self.encoder.as_ref().map_or(0, Encoder::next_sequence);
        LineError { line: self.line, sequence, kind }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LineError { line, sequence, kind } = self;
        if let LineErrorKind::Content(ContentError::Event { index, message }) = kind {
            return write!(f, "line {line}, record {sequence}, event {index}: {message}");
        }
        write!(f, "line {line}, record {sequence}: {kind}")
    }
}

impl core::error::Error for LineError {}

impl fmt::Display for LineErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineErrorKind::Line(message) => f.write_str(message),
            LineErrorKind::Rule(damage) => damage.fmt(f),
            LineErrorKind::Content(error) => error.fmt(f),
            LineErrorKind::SealMismatch { from_line, from_sequence, expected, found } => write!(
                f,
                "the lines from {from_line}, records from {from_sequence}, do not match their seal: \
                 it is {found}, expected {expected}; they were edited or damaged; resealing makes another log of them"
            ),
        }
    }
}

/// What all lines of a record say alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OpenRecord {
    sequence: u64,
    count: u32,
    recorded_at: Timestamp,
    generation: u64,
    kind: SmolStr,
    source: Option<SourcePosition>,
}

fn read_envelope(fields: &mut Fields) -> Result<(u32, SmolStr, OpenRecord), String> {
    let sequence = take_integer(fields, "sequence")?;
    let index = take_integer(fields, "index")?;
    let count = take_integer(fields, "count")?;
    let recorded_at = take_time(fields)?;
    let generation = take_integer(fields, "generation")?;
    let type_name = take_text(fields, "type")?;
    let kind = take_text(fields, "kind")?;
    let source = json::take(fields, "source").map(read_source).transpose()?;
    Ok((index, type_name, OpenRecord { sequence, count, recorded_at, generation, kind, source }))
}

fn read_source(value: Json) -> Result<SourcePosition, String> {
    let Json::Object(mut fields) = value else {
        return Err("field `source` is not an object".to_string());
    };
    let stream = take_integer(&mut fields, "stream")?;
    let partition = take_integer(&mut fields, "partition")?;
    let offset = take_integer(&mut fields, "offset")?;
    nothing_left(&fields)?;
    Ok(SourcePosition { stream, partition, offset })
}

fn read_header<C: Content>(fields: &mut Fields) -> Result<Header, LineErrorKind> {
    let format = take_text(fields, "format").map_err(LineErrorKind::Line)?;
    if format != FORMAT_NAME {
        return Err(line_error(format!("format is `{format}`, expected `{FORMAT_NAME}`")));
    }
    let version = take_integer(fields, "format_version").map_err(LineErrorKind::Line)?;
    if version != FORMAT_VERSION {
        return Err(LineErrorKind::Rule(HeaderDamage::FormatVersion { found: version }.into()));
    }
    let header = read_header_fields(fields).map_err(LineErrorKind::Line)?;
    let name = take_text(fields, "content").map_err(LineErrorKind::Line)?;
    if header.content != C::KIND || name != C::NAME {
        let (found, expected) = (header.content, C::KIND);
        let message =
            format!("the log holds content kind {found} ({name}), expected {expected} ({})", C::NAME);
        return Err(LineErrorKind::Line(message));
    }
    nothing_left(fields).map_err(LineErrorKind::Line)?;
    Ok(header)
}

fn read_header_fields(fields: &mut Fields) -> Result<Header, String> {
    Ok(Header {
        log_id: take_hex(fields, "log_id")?,
        ledger_id: take_hex(fields, "ledger_id")?,
        partition: take_integer(fields, "partition")?,
        content: take_integer(fields, "content_kind")?,
        first_sequence: take_integer(fields, "first_sequence")?,
        previous_seal: Seal(take_hex(fields, "previous_seal")?),
    })
}

fn read_seal(fields: &mut Fields) -> Result<SealFrame, LineErrorKind> {
    seal_of_fields(fields).map_err(LineErrorKind::Line)
}

pub(crate) fn seal_of_fields(fields: &mut Fields) -> Result<SealFrame, String> {
    let frame = SealFrame {
        seal: Seal(take_hex(fields, "seal")?),
        next_sequence: take_integer(fields, "next_sequence")?,
        durable_before: take_integer(fields, "durable_before")?,
        recorded_at: take_time(fields)?,
        generation: take_integer(fields, "generation")?,
    };
    nothing_left(fields)?;
    Ok(frame)
}

fn take_time(fields: &mut Fields) -> Result<Timestamp, String> {
    let micros = take_integer(fields, "recorded_at")?;
    Timestamp::from_micros(micros).ok_or_else(|| {
        format!("field `recorded_at` is {micros}, expected at most {}", Timestamp::MAX.micros())
    })
}

fn line_error(message: impl Into<String>) -> LineErrorKind {
    LineErrorKind::Line(message.into())
}

fn no_header() -> LineErrorKind {
    line_error("a log begins with a header line")
}

fn too_long() -> LineErrorKind {
    line_error(format!("the line is longer than {LINE_BYTES_MAX} bytes"))
}
