//! The bytes of a log: header, records, seals, checksums and the chain of seals, in a binary form and in a JSON
//! Lines form, with streaming encoders and decoders for both. `docs/LOG.md` describes both forms byte by byte.
//!
//! A log is a [`Header`], then frames: *records*, the atomic append unit, and *seals*, each of which signs off
//! the records since the one before it. What stands in a record is the business of a content kind, which brings
//! its own payload codec by the trait [`Content`].
//!
//! * Writing: [`Encoder`]. Reading: [`Decoder`] for a stream, [`scan`] for bytes in memory.
//! * After a [`Damage`], [`TailSearch`] tells a torn tail, which may be cut, from corruption, which may not; after a bad
//!   line, [`LineSearch`] does.
//! * [`ToLines`] and [`FromLines`] convert between the forms, byte-identical there and back.
//! * A [`SealBorder`] is a place behind a seal as plain values; all of the above go on from one ([`Tail::at_border`],
//!   [`Decoder::resume`], [`Encoder::resume`], [`FromLines::resume`]) without the log before it.
//!
//! Invariants, as absences:
//!
//! * No IO, no clock, no threads, no randomness: bytes come in and go out as slices and vectors.
//! * No bytes from outside, in either form, make this crate panic, and no length that stands in them makes it
//!   reserve more than [`FRAME_BYTES_MAX`] or [`LINE_BYTES_MAX`].
//! * No knowledge of accounts, money or transactions.
//! * Nothing is ever repaired in silence: a cut is reported, and only bytes that no seal vouches for can be cut.
//! * No frame is written that [`Decoder`] would refuse: [`Encoder`] asserts the same rules.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod border;
mod chain;
mod content;
mod damage;
mod decode;
mod encode;
mod format;
mod json;
mod read_lines;
mod recover;
mod recover_lines;
mod write_lines;

pub use border::{BorderError, SealBorder};
pub use chain::Tail;
pub use content::{Content, ContentError, EventFields, EventsWriter, FieldsWriter, RecordKind};
pub use damage::{Damage, DamageKind, HeaderDamage};
pub use decode::{Decoder, FrameHead, Item, Lone};
pub use encode::Encoder;
pub use format::{
    FORMAT_VERSION, FRAME_BYTES_MAX, HEADER_BYTES, Header, MAGIC, PAYLOAD_BYTES_MAX, RECORD_BYTES_MIN,
    RecordMeta, SEAL_BYTES, SOURCE_BYTES, Seal, SealFrame, SourcePosition,
};
pub use json::write_json_string;
pub use read_lines::{FromLines, LineError, LineErrorKind};
pub use recover::{Corrupt, Scan, TailSearch, TornTail, Verdict, Vouching, scan};
pub use recover_lines::{LineSearch, LineVouching, line_is_whole, seal_of_line};
pub use write_lines::{EVENTS_COUNT_MAX, LINE_BYTES_MAX, ToLines, ToLinesError, ToLinesErrorKind};

#[cfg(test)]
extern crate std;
#[cfg(test)]
mod tests;
