//! Binary form to JSON Lines.

use alloc::vec::Vec;
use core::fmt;

use crate::content::{Content, ContentError, EventsWriter};
use crate::decode::Item;
use crate::format::{FORMAT_VERSION, Header, RecordMeta, Seal, SealFrame};
use crate::json::{write_hex, write_json_string, write_u64};

/// The longest line, without its line end.
pub const LINE_BYTES_MAX: usize = 8 << 20;
/// The most events, that is lines, of one record.
pub const EVENTS_COUNT_MAX: u32 = 1 << 17;
/// What the first field of a header line says.
pub(crate) const FORMAT_NAME: &str = "wallet-lab-log";

/// Turns the items of one log, in order from its first, into lines, each ended by `\n`.
#[derive(Clone, Debug)]
pub struct ToLines<C> {
    content: C,
    events: EventsWriter,
    /// What the lines of one record share, in three parts around index and type.
    shared: [Vec<u8>; 3],
}

/// Why an item has no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToLinesError {
    /// Where the record's frame begins in the log.
    pub at_byte: u64,
    /// The record.
    pub sequence: u64,
    /// What is wrong with it.
    pub kind: ToLinesErrorKind,
}

/// See [`ToLinesError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToLinesErrorKind {
    /// The log holds another content kind.
    OtherContent {
        /// The kind that this converter is for.
        expected: u16,
        /// What the header says.
        found: u16,
    },
    /// The content kind refuses the record.
    Content(ContentError),
    /// A record has no events or more than [`EVENTS_COUNT_MAX`].
    EventsCount {
        /// How many it has.
        found: usize,
    },
    /// A line would be longer than [`LINE_BYTES_MAX`].
    LineTooLong {
        /// How long.
        found_bytes: usize,
    },
}

impl<C: Content> ToLines<C> {
    /// A converter; `content` has seen none of the log's records.
    pub fn new(content: C) -> ToLines<C> {
        ToLines { content, events: EventsWriter::default(), shared: Default::default() }
    }

    /// Appends the lines of the next item, which are UTF-8. After an error `out` is as before, and the converter
    /// is of no further use.
    pub fn push(&mut self, item: &Item<'_>, out: &mut Vec<u8>) -> Result<(), ToLinesError> {
        match item {
            Item::Header(header) => self.header(header, out),
            Item::Seal { frame, .. } => {
                seal_line(frame, out);
                Ok(())
            }
            Item::Record { meta, payload, at_byte } => {
                let start = out.len();
                self.record(meta, payload, out).map_err(|kind| {
                    out.truncate(start);
                    ToLinesError { at_byte: *at_byte, sequence: meta.sequence, kind }
                })
            }
        }
    }

    /// The content's state after the items so far.
    pub fn content(&self) -> &C {
        &self.content
    }

    fn header(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), ToLinesError> {
        if header.content != C::KIND {
            let kind = ToLinesErrorKind::OtherContent { expected: C::KIND, found: header.content };
            return Err(ToLinesError { at_byte: 0, sequence: header.first_sequence, kind });
        }
        header_line(header, C::NAME, out);
        Ok(())
    }

    fn record(
        &mut self,
        meta: &RecordMeta,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ToLinesErrorKind> {
        self.events.clear();
        let kind_name =
            self.content.write_events(meta, payload, &mut self.events).map_err(ToLinesErrorKind::Content)?;
        let found = self.events.events.len();
        let count = u32::try_from(found).unwrap_or(u32::MAX);
        if !(1..=EVENTS_COUNT_MAX).contains(&count) {
            return Err(ToLinesErrorKind::EventsCount { found });
        }
        self.share(meta, kind_name, count);
        let [before_index, before_type, behind_type] = &self.shared;
        let mut fields_from = 0;
        for (index, (type_name, fields_end)) in (0u64..).zip(&self.events.events) {
            let start = out.len();
            out.extend_from_slice(before_index);
            write_u64(index, out);
            out.extend_from_slice(before_type);
            write_json_string(type_name, out);
            out.extend_from_slice(behind_type);
            out.extend_from_slice(&self.events.fields[fields_from..*fields_end]);
            out.push(b'}');
            if out.len() - start > LINE_BYTES_MAX {
                return Err(ToLinesErrorKind::LineTooLong { found_bytes: out.len() - start });
            }
            out.push(b'\n');
            fields_from = *fields_end;
        }
        Ok(())
    }

    fn share(&mut self, meta: &RecordMeta, kind_name: &str, count: u32) {
        let [before_index, before_type, behind_type] = &mut self.shared;
        before_index.clear();
        before_index.extend_from_slice(b"{\"sequence\":");
        write_u64(meta.sequence, before_index);
        before_index.extend_from_slice(b",\"index\":");
        before_type.clear();
        integer("count", count.into(), before_type);
        integer("recorded_at", meta.recorded_at.micros(), before_type);
        integer("generation", meta.generation, before_type);
        before_type.extend_from_slice(b",\"type\":");
        behind_type.clear();
        behind_type.extend_from_slice(b",\"kind\":");
        write_json_string(kind_name, behind_type);
        if let Some(source) = &meta.source {
            behind_type.extend_from_slice(b",\"source\":{\"stream\":");
            write_u64(source.stream, behind_type);
            integer("partition", source.partition.into(), behind_type);
            integer("offset", source.offset, behind_type);
            behind_type.push(b'}');
        }
    }
}

impl fmt::Display for ToLinesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}, record {}: {}", self.at_byte, self.sequence, self.kind)
    }
}

impl core::error::Error for ToLinesError {}

impl fmt::Display for ToLinesErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ToLinesErrorKind::OtherContent { expected, found } => {
                write!(f, "the log holds content kind {found}, expected {expected}")
            }
            ToLinesErrorKind::Content(error) => error.fmt(f),
            ToLinesErrorKind::EventsCount { found } => {
                write!(f, "the record has {found} events, expected 1 to {EVENTS_COUNT_MAX}")
            }
            ToLinesErrorKind::LineTooLong { found_bytes } => {
                write!(f, "a line of {found_bytes} bytes, at most {LINE_BYTES_MAX} are read back")
            }
        }
    }
}

fn header_line(header: &Header, content_name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"format\":");
    write_json_string(FORMAT_NAME, out);
    integer("format_version", FORMAT_VERSION.into(), out);
    hex("log_id", &header.log_id, out);
    hex("ledger_id", &header.ledger_id, out);
    integer("partition", header.partition.into(), out);
    integer("content_kind", header.content.into(), out);
    out.extend_from_slice(b",\"content\":");
    write_json_string(content_name, out);
    integer("first_sequence", header.first_sequence, out);
    hex("previous_seal", &header.previous_seal.0, out);
    out.extend_from_slice(b"}\n");
}

fn seal_line(frame: &SealFrame, out: &mut Vec<u8>) {
    let SealFrame { generation, next_sequence, durable_before, recorded_at, seal: Seal(seal) } = frame;
    out.extend_from_slice(b"{\"seal\":\"");
    write_hex(seal, out);
    out.push(b'"');
    integer("next_sequence", *next_sequence, out);
    integer("durable_before", *durable_before, out);
    integer("recorded_at", recorded_at.micros(), out);
    integer("generation", *generation, out);
    out.extend_from_slice(b"}\n");
}

fn integer(name: &str, value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    write_u64(value, out);
}

fn hex(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":\"");
    write_hex(value, out);
    out.push(b'"');
}
