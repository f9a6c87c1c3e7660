//! What can be wrong with a log, where, and what was expected there.

use core::fmt;

use time::Timestamp;

use crate::format::{
    FORMAT_VERSION, FRAME_BYTES_MAX, HEADER_BYTES, RECORD_BYTES_MIN, SEAL_BYTES, SEAL_VERSION, Seal,
    write_hex,
};

/// The first frame of a log that can not be accepted. Everything before it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where the frame begins, from the first byte that was decoded.
    pub at_byte: u64,
    /// The sequence of the record that was expected next.
    pub sequence: u64,
    /// What is wrong with it.
    pub kind: DamageKind,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}, record {}: {}", self.at_byte, self.sequence, self.kind)
    }
}

impl core::error::Error for Damage {}

/// What is wrong with a frame. `expected` comes from the log's past, `found` from the frame.
#[expect(missing_docs, reason = "the fields are what the variant's sentence names; they carry nothing else")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The header, or that of a further segment, can not stand here.
    Header(HeaderDamage),
    /// The log ends inside this frame.
    Truncated { expected_bytes: u64, found_bytes: u64 },
    /// The frame's length is zero: nothing was written here, if only zeros follow.
    Zeros,
    /// The same, and something else stands behind the zeros; only [`TornTail::reason`](crate::TornTail::reason) tells the two
    /// apart.
    Hole,
    /// The frame's length is outside its bounds.
    Length { found: u32 },
    /// The frame's bytes do not have the checksum that stands at their end.
    Checksum { expected: u32, found: u32 },
    /// A seal frame has another length than a seal.
    SealLength { found: u32 },
    /// A seal frame has a version that this crate does not read.
    SealVersion { found: u8 },
    /// A frame has flags that this crate does not know.
    Flags { kind: u16, found: u8 },
    /// A record has a source position by its flags but is too short for one.
    SourceMissing { found: u32 },
    /// The time in the frame is 2^53 microseconds or more.
    TimeRange { found: u64 },
    /// The record is not the next one.
    RecordSequence { found: u64 },
    /// The seal stands at another record than the next one.
    SealSequence { found: u64 },
    /// There is no number left for another record.
    SequenceExhausted,
    /// The generation is lower than that of the frame before: a writer that had been fenced off wrote this.
    GenerationFell { last: u64, found: u64 },
    /// The time is before that of the frame before.
    TimeFell { last: Timestamp, found: Timestamp },
    /// The seal calls records durable that it does not cover.
    DurableBeyond { found: u64 },
    /// The seal calls fewer records durable than the one before.
    DurableFell { last: u64, found: u64 },
    /// The bytes since `from_byte` do not have the hash that stands in their seal, though each checksum is right.
    SealMismatch { expected: Seal, found: Seal, from_byte: u64 },
}

/// What is wrong with a header. Except for the checksum, which is [`DamageKind::Checksum`] as in any frame.
#[expect(missing_docs, reason = "the fields are what the variant's sentence names; they carry nothing else")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderDamage {
    /// The log ends inside its first header.
    Truncated { found_bytes: u64 },
    /// The log does not begin with the magic.
    NotALog { found: [u8; 8] },
    /// The header has a format version that this crate does not read.
    FormatVersion { found: u16 },
    /// The header gives itself another length.
    Length { found: u16 },
    /// Bytes of the header that must be zero are not.
    Reserved,
    /// The first header begins in the middle of a log but names no seal before it.
    WithoutPast { first_sequence: u64 },
    /// A further header names another log.
    LogId { expected: [u8; 16], found: [u8; 16] },
    /// A further header names another ledger.
    LedgerId { expected: [u8; 16], found: [u8; 16] },
    /// A further header names another partition.
    Partition { expected: u32, found: u32 },
    /// A further header names another content kind.
    Content { expected: u16, found: u16 },
    /// A further header begins at another record than the next.
    FirstSequence { found: u64 },
    /// A further header names another seal than the last.
    PreviousSeal { expected: Seal, found: Seal },
    /// A further header stands behind bytes that no seal covers.
    Unsealed { sealed_bytes: u64 },
}

impl DamageKind {
    /// Whether an append that was interrupted can leave this behind. The rest has valid checksums, so it was
    /// written on purpose, by a newer program or by somebody who edits logs: it is never cut.
    pub(crate) fn may_be_torn(&self) -> bool {
        match self {
            DamageKind::Header(HeaderDamage::Truncated { .. })
            | DamageKind::Truncated { .. }
            | DamageKind::Zeros
            | DamageKind::Hole
            | DamageKind::Length { .. }
            | DamageKind::Checksum { .. }
            // Left-overs of a tail that was cut and partly overwritten.
            | DamageKind::RecordSequence { .. }
            | DamageKind::SealSequence { .. }
            | DamageKind::GenerationFell { .. } => true,
            DamageKind::Header(_)
            | DamageKind::SealLength { .. }
            | DamageKind::SealVersion { .. }
            | DamageKind::Flags { .. }
            | DamageKind::SourceMissing { .. }
            | DamageKind::TimeRange { .. }
            | DamageKind::SequenceExhausted
            | DamageKind::TimeFell { .. }
            | DamageKind::DurableBeyond { .. }
            | DamageKind::DurableFell { .. }
            | DamageKind::SealMismatch { .. } => false,
        }
    }
}

impl From<HeaderDamage> for DamageKind {
    fn from(damage: HeaderDamage) -> DamageKind {
        DamageKind::Header(damage)
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DamageKind::Header(damage) => damage.fmt(f),
            DamageKind::Truncated { expected_bytes, found_bytes } => {
                write!(f, "the log ends inside a frame, after {found_bytes} of {expected_bytes} bytes")
            }
            DamageKind::Zeros => f.write_str("zeros stand where a frame was expected"),
            DamageKind::Hole => f.write_str("zeros stand where a frame was expected, and more behind them"),
            DamageKind::Length { found } => write!(
                f,
                "a frame gives its length as {found} bytes, expected {RECORD_BYTES_MIN} to {FRAME_BYTES_MAX}"
            ),
            DamageKind::Checksum { expected, found } => {
                write!(f, "checksum is {found:08x}, expected {expected:08x}: the frame's bytes changed")
            }
            DamageKind::SealLength { found } => {
                write!(f, "a seal gives its length as {found} bytes, expected {SEAL_BYTES}")
            }
            DamageKind::SealVersion { found } => {
                write!(f, "seal version {found} is unknown: this program reads version {SEAL_VERSION}")
            }
            DamageKind::Flags { kind, found } => {
                write!(f, "a frame of kind {kind} has flags {found:#010b}, some of which are unknown")
            }
            DamageKind::SourceMissing { found } => {
                write!(
                    f,
                    "a record of {found} bytes is too short for the source position that its flags promise"
                )
            }
            DamageKind::TimeRange { found } => {
                write!(f, "recorded_at is {found} us, expected at most {}", Timestamp::MAX)
            }
            DamageKind::RecordSequence { found } => write!(f, "found record {found} in its place"),
            DamageKind::SealSequence { found } => write!(f, "found a seal that stands before record {found}"),
            DamageKind::SequenceExhausted => f.write_str("there is no number left for another record"),
            DamageKind::GenerationFell { last, found } => {
                write!(f, "generation fell from {last} to {found}: a writer that was fenced off wrote this")
            }
            DamageKind::TimeFell { last, found } => write!(f, "recorded_at fell from {last} to {found}"),
            DamageKind::DurableBeyond { found } => {
                write!(f, "the seal calls the records before {found} durable, which it does not cover")
            }
            DamageKind::DurableFell { last, found } => {
                write!(f, "the seal calls the records before {found} durable, after one that said {last}")
            }
            DamageKind::SealMismatch { expected, found, from_byte } => write!(
                f,
                "the bytes from {from_byte} to here do not match their seal: it is {found}, expected {expected}"
            ),
        }
    }
}

impl fmt::Display for HeaderDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderDamage::Truncated { found_bytes } => {
                write!(f, "the log ends inside its header, after {found_bytes} of {HEADER_BYTES} bytes")
            }
            HeaderDamage::NotALog { found } => {
                f.write_str("this is not a log, or its header is damaged: it begins with ")?;
                write_hex(f, found)
            }
            HeaderDamage::FormatVersion { found } => write!(
                f,
                "format version {found} is unknown: this program reads version {FORMAT_VERSION}; \
                 if no newer program wrote the log, its header is damaged"
            ),
            HeaderDamage::Length { found } => {
                write!(f, "the header gives its length as {found} bytes, expected {HEADER_BYTES}")
            }
            HeaderDamage::Reserved => f.write_str("reserved bytes of the header are not zero"),
            HeaderDamage::WithoutPast { first_sequence } => {
                write!(f, "the log begins at record {first_sequence} but names no seal before it")
            }
            HeaderDamage::LogId { expected, found } => fmt_ids(f, "log", expected, found),
            HeaderDamage::LedgerId { expected, found } => fmt_ids(f, "ledger", expected, found),
            HeaderDamage::Partition { expected, found } => {
                write!(f, "a header of partition {found} stands in the log of partition {expected}")
            }
            HeaderDamage::Content { expected, found } => {
                write!(f, "a header of content kind {found} stands in a log of content kind {expected}")
            }
            HeaderDamage::FirstSequence { found } => {
                write!(f, "the segment begins at record {found}: it is not the next one of this log")
            }
            HeaderDamage::PreviousSeal { expected, found } => {
                write!(f, "the segment follows seal {found}, but the last seal is {expected}")
            }
            HeaderDamage::Unsealed { sealed_bytes } => {
                write!(f, "a segment begins here, but no seal covers the bytes since {sealed_bytes}")
            }
        }
    }
}

fn fmt_ids(f: &mut fmt::Formatter<'_>, what: &str, expected: &[u8], found: &[u8]) -> fmt::Result {
    write!(f, "a header of {what} ")?;
    write_hex(f, found)?;
    write!(f, " stands in {what} ")?;
    write_hex(f, expected)
}
