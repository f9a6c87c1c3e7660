//! What a content kind brings: the codec of its payloads, as events with named fields.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use smol_str::SmolStr;

use crate::format::RecordMeta;
use crate::json::{self, Fields, Json, write_hex, write_i64, write_json_string, write_u64};

/// One content kind: whose records a log holds, and how their payloads become lines and lines become payloads.
///
/// Both directions see every record of a log once and in order, so an implementation may intern names on the
/// way; after an error its state is undefined. For every payload that [`Content::write_events`] accepts,
/// [`Content::read_events`] must give back the same kind, version and bytes.
pub trait Content {
    /// The content kind in headers.
    const KIND: u16;
    /// Its name in the JSON Lines form.
    const NAME: &'static str;

    /// Decodes a record's payload into its events, at least one. Returns the name of the record's kind; each
    /// pair of kind and version has a name of its own.
    fn write_events(
        &mut self,
        meta: &RecordMeta,
        payload: &[u8],
        events: &mut EventsWriter,
    ) -> Result<&'static str, ContentError>;

    /// Encodes a record's events, appending to `payload`. Every field must be taken out of `events`; one that
    /// is left is reported as unknown.
    fn read_events(
        &mut self,
        kind: &str,
        events: &mut [EventFields],
        payload: &mut Vec<u8>,
    ) -> Result<RecordKind, ContentError>;
}

/// A record's kind and the version of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKind {
    /// 1 or more.
    pub kind: u16,
    /// The version of that kind's payload.
    pub version: u8,
}

/// Why a content kind refuses a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentError {
    /// No such kind, or not in this version: a newer program wrote it.
    UnknownKind {
        /// The record's kind.
        kind: u16,
        /// The version of its payload.
        version: u8,
    },
    /// No kind has this name.
    UnknownKindName(String),
    /// The payload is not what its kind and version say.
    Payload(String),
    /// An event's type or fields are not what the record's kind says.
    Event {
        /// Which event of the record, from 0.
        index: u32,
        /// What is wrong.
        message: String,
    },
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ContentError::UnknownKind { kind, version } => {
                write!(f, "unknown kind {kind} version {version}: a newer program wrote this record")
            }
            ContentError::UnknownKindName(name) => write!(f, "unknown kind `{name}`"),
            ContentError::Payload(message) => write!(f, "payload: {message}"),
            ContentError::Event { index, message } => write!(f, "event {index}: {message}"),
        }
    }
}

impl core::error::Error for ContentError {}

/// Takes the events of one record, as JSON text from the start.
#[derive(Clone, Debug, Default)]
pub struct EventsWriter {
    /// Of each event its type and where its fields end in `fields`.
    pub(crate) events: Vec<(&'static str, usize)>,
    /// `,"name":value` for each field.
    pub(crate) fields: Vec<u8>,
}

impl EventsWriter {
    /// Begins the next event, whose fields are added to what is returned.
    pub fn event(&mut self, type_name: &'static str) -> FieldsWriter<'_> {
        let end = self.fields.len();
        self.events.push((type_name, end));
        let (_, end) = self.events.last_mut().expect("just pushed");
        FieldsWriter { end, out: &mut self.fields }
    }

    pub(crate) fn clear(&mut self) {
        self.events.clear();
        self.fields.clear();
    }
}

/// Takes the fields of one event. Names are plain words, each once, and none of those that every line has:
/// `sequence`, `index`, `count`, `recorded_at`, `generation`, `type`, `kind`, `source`.
#[derive(Debug)]
pub struct FieldsWriter<'a> {
    end: &'a mut usize,
    out: &'a mut Vec<u8>,
}

impl FieldsWriter<'_> {
    /// Adds a text.
    pub fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.field(name, |out| write_json_string(value, out))
    }

    /// Adds bytes as lower-case hex.
    pub fn hex(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        self.field(name, |out| {
            out.push(b'"');
            write_hex(value, out);
            out.push(b'"');
        })
    }

    /// Adds an integer.
    pub fn u64(&mut self, name: &'static str, value: u64) -> &mut Self {
        self.field(name, |out| write_u64(value, out))
    }

    /// Adds an integer that may be negative.
    pub fn i64(&mut self, name: &'static str, value: i64) -> &mut Self {
        self.field(name, |out| write_i64(value, out))
    }

    /// Adds a value that is JSON text already, in one line.
    pub fn json(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.field(name, |out| out.extend_from_slice(text.as_bytes()))
    }

    fn field(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out);
        *self.end = self.out.len();
        self
    }
}

/// One event as it was read from a line: its type and the fields that are not every line's.
#[derive(Clone, Debug)]
pub struct EventFields {
    index: u32,
    type_name: SmolStr,
    fields: Fields,
}

impl EventFields {
    /// The event's type.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// Which event of its record this is, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Takes a text that must be there.
    pub fn text(&mut self, name: &str) -> Result<SmolStr, ContentError> {
        json::take_text(&mut self.fields, name).map_err(|message| self.error(message))
    }

    /// Takes a text; `None` if the field is not there or null.
    pub fn optional_text(&mut self, name: &str) -> Result<Option<SmolStr>, ContentError> {
        match json::take(&mut self.fields, name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => json::text(name, value).map(Some).map_err(|message| self.error(message)),
        }
    }

    /// Takes an integer that must be there and fit.
    pub fn integer<T: TryFrom<i128>>(&mut self, name: &str) -> Result<T, ContentError> {
        json::take_integer(&mut self.fields, name).map_err(|message| self.error(message))
    }

    /// Takes an integer; `None` if the field is not there or null.
    pub fn optional_integer<T: TryFrom<i128>>(&mut self, name: &str) -> Result<Option<T>, ContentError> {
        match json::take(&mut self.fields, name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => json::integer(name, &value).map(Some).map_err(|message| self.error(message)),
        }
    }

    /// Takes an object as JSON text, its fields in the order in which they stand; `None` if the field is not there or null.
    pub fn optional_json(&mut self, name: &str) -> Result<Option<String>, ContentError> {
        match json::take(&mut self.fields, name) {
            None | Some(Json::Null) => Ok(None),
            Some(value @ Json::Object(_)) => {
                let mut out = Vec::new();
                json::write_json(&value, &mut out);
                Ok(Some(String::from_utf8(out).expect("strings stay UTF-8")))
            }
            Some(Json::Bool(_) | Json::Integer(_) | Json::Text(_) | Json::Array(_)) => {
                Err(self.error(alloc::format!("field `{name}` is not an object")))
            }
        }
    }

    /// Takes lower-case hex of any length that must be there.
    pub fn hex(&mut self, name: &str) -> Result<Vec<u8>, ContentError> {
        let text = self.text(name)?;
        let mut bytes = Vec::with_capacity(text.len() / 2);
        if !json::read_hex(&text, &mut bytes) {
            return Err(self.error(alloc::format!("field `{name}` is not lower-case hex")));
        }
        Ok(bytes)
    }

    /// An error about this event.
    pub fn error(&self, message: impl Into<String>) -> ContentError {
        ContentError::Event { index: self.index, message: message.into() }
    }

    pub(crate) fn new(index: u32, type_name: SmolStr, fields: Fields) -> EventFields {
        EventFields { index, type_name, fields }
    }

    pub(crate) fn check_nothing_left(&self) -> Result<(), ContentError> {
        json::nothing_left(&self.fields).map_err(|message| self.error(message.to_string()))
    }
}
