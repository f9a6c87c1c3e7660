//! The layout: what stands at which byte. Everything is little-endian; `docs/LOG.md` is the same in prose.

use alloc::vec::Vec;
use core::fmt;

use time::Timestamp;

/// The first bytes of a header. The first four, read as a frame's length, are above [`FRAME_BYTES_MAX`], so a
/// header is never taken for a frame; the line end shows a file that went through a text conversion.
pub const MAGIC: [u8; 8] = *b"\x89WLLOG\r\n";
/// The version of the layout that this crate writes and reads.
pub const FORMAT_VERSION: u16 = 1;
/// Bytes of a header, its checksum included.
pub const HEADER_BYTES: usize = HEADER_LENGTH as usize;
/// The longest frame, its length field and checksum included.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of a record frame without source position and payload.
pub const RECORD_BYTES_MIN: usize = RECORD_FIXED_BYTES + CRC_BYTES;
/// Bytes that a source position adds to a record frame.
pub const SOURCE_BYTES: usize = 20;
/// Bytes of a seal frame, its checksum included.
pub const SEAL_BYTES: usize = SEAL_LENGTH as usize;
/// The longest payload of a record, with or without a source position.
pub const PAYLOAD_BYTES_MAX: usize = FRAME_BYTES_MAX - RECORD_BYTES_MIN - SOURCE_BYTES;

/// [`HEADER_BYTES`] as it stands in a header.
const HEADER_LENGTH: u16 = 128;
/// [`SEAL_BYTES`] as it stands in a seal frame.
const SEAL_LENGTH: u32 = 76;
/// The frame kind of a seal; content kinds number their records from 1.
pub(crate) const KIND_SEAL: u16 = 0;
/// The version of the seal frame in this format version.
pub(crate) const SEAL_VERSION: u8 = 1;
/// Flag bit 0 of a record: a source position stands before the payload.
pub(crate) const FLAG_SOURCE: u8 = 1;
/// Bytes of a record before its source position or payload.
pub(crate) const RECORD_FIXED_BYTES: usize = 32;
/// Bytes of a checksum.
pub(crate) const CRC_BYTES: usize = 4;
/// Bytes of a seal frame before its hash: the part that the hash itself covers.
pub(crate) const SEAL_HASHED_BYTES: usize = 40;
/// The magic's first four bytes as a frame length.
pub(crate) const MAGIC_AS_LENGTH: u32 = u32::from_le_bytes([MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3]]);
/// The first eight bytes of each seal frame of this format version: length, kind, version, flags.
pub(crate) const SEAL_PREFIX: [u8; 8] = {
    let length = SEAL_LENGTH.to_le_bytes();
    let kind = KIND_SEAL.to_le_bytes();
    [length[0], length[1], length[2], length[3], kind[0], kind[1], SEAL_VERSION, 0]
};
const HEADER_RESERVED: [core::ops::Range<usize>; 2] = [58..64, 96..124];

/// A BLAKE3 hash that signs off every byte of a log up to it. Zeros stand for "nothing before".
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seal(pub [u8; 32]);

impl Seal {
    /// What the first header of a log names as its previous seal.
    pub const ZERO: Seal = Seal([0; 32]);
}

/// 64 lower-case hex digits.
impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({self})")
    }
}

/// What a log, or a further segment of it, begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Names this log; a copy that was changed and resealed has another one.
    pub log_id: [u8; 16],
    /// Names the ledger whose partitions' logs belong together.
    pub ledger_id: [u8; 16],
    /// Which partition of the ledger this log is.
    pub partition: u32,
    /// The content kind: whose records these are.
    pub content: u16,
    /// The sequence of the first record behind this header.
    pub first_sequence: u64,
    /// The last seal before this header; [`Seal::ZERO`] in the first header of a log.
    pub previous_seal: Seal,
}

impl Header {
    /// Whether a log begins here. Otherwise the header begins a later segment, and whoever reads it alone knows
    /// nothing of the records below `first_sequence`.
    pub fn begins_log(&self) -> bool {
        self.previous_seal == Seal::ZERO
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&HEADER_LENGTH.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log_id);
        bytes[32..48].copy_from_slice(&self.ledger_id);
        bytes[48..56].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[56..58].copy_from_slice(&self.content.to_le_bytes());
        bytes[64..96].copy_from_slice(&self.previous_seal.0);
        let checksum = checksum(&bytes[..HEADER_BYTES - CRC_BYTES]);
        bytes[HEADER_BYTES - CRC_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The fields of a header whose magic, version and checksum have been checked.
    pub(crate) fn from_checked_bytes(bytes: &[u8; HEADER_BYTES]) -> Header {
        Header {
            log_id: array_at(bytes, 16),
            ledger_id: array_at(bytes, 32),
            partition: u32_at(bytes, 12),
            content: u16_at(bytes, 56),
            first_sequence: u64_at(bytes, 48),
            previous_seal: Seal(array_at(bytes, 64)),
        }
    }

    pub(crate) fn reserved_is_zero(bytes: &[u8; HEADER_BYTES]) -> bool {
        HEADER_RESERVED.into_iter().all(|range| bytes[range].iter().all(|byte| *byte == 0))
    }
}

/// Where a record came from in somebody else's stream, so that a consumer can tell a repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The stream, as numbered by the one who feeds it in.
    pub stream: u64,
    /// The stream's partition.
    pub partition: u32,
    /// The offset in that partition.
    pub offset: u64,
}

/// Everything about a record but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMeta {
    /// The content's record kind, 1 or more (0 is the seal).
    pub kind: u16,
    /// The version of that kind's payload.
    pub kind_version: u8,
    /// The writer's fencing token; never falls in a log.
    pub generation: u64,
    /// The record's dense number in the log, from 0.
    pub sequence: u64,
    /// When the record was made; never falls in a log.
    pub recorded_at: Timestamp,
    /// Where it came from, if from another stream.
    pub source: Option<SourcePosition>,
}

/// What a seal frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealFrame {
    /// The writer's fencing token.
    pub generation: u64,
    /// The sequence of the next record: this seal covers all below.
    pub next_sequence: u64,
    /// Each record with a smaller sequence was known durable when this seal was written.
    pub durable_before: u64,
    /// When the seal was made.
    pub recorded_at: Timestamp,
    /// The hash.
    pub seal: Seal,
}

/// CRC32C (Castagnoli), as in iSCSI and ext4.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// A record frame before its source position; the length is filled in when it is known.
pub(crate) fn record_fixed_bytes(meta: &RecordMeta) -> [u8; RECORD_FIXED_BYTES] {
    let mut bytes = [0; RECORD_FIXED_BYTES];
    bytes[4..6].copy_from_slice(&meta.kind.to_le_bytes());
    bytes[6] = meta.kind_version;
    bytes[7] = if meta.source.is_some() { FLAG_SOURCE } else { 0 };
    bytes[8..16].copy_from_slice(&meta.generation.to_le_bytes());
    bytes[16..24].copy_from_slice(&meta.sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&meta.recorded_at.micros().to_le_bytes());
    bytes
}

pub(crate) fn write_source(source: &SourcePosition, out: &mut Vec<u8>) {
    out.extend_from_slice(&source.stream.to_le_bytes());
    out.extend_from_slice(&source.partition.to_le_bytes());
    out.extend_from_slice(&source.offset.to_le_bytes());
}

/// The part of a seal frame that its own hash covers; `frame.seal` is not read.
pub(crate) fn seal_hashed_bytes(frame: &SealFrame) -> [u8; SEAL_HASHED_BYTES] {
    let mut bytes = [0; SEAL_HASHED_BYTES];
    bytes[0..8].copy_from_slice(&SEAL_PREFIX);
    bytes[8..16].copy_from_slice(&frame.generation.to_le_bytes());
    bytes[16..24].copy_from_slice(&frame.next_sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&frame.recorded_at.micros().to_le_bytes());
    bytes[32..40].copy_from_slice(&frame.durable_before.to_le_bytes());
    bytes
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

/// `bytes[at..at + N]`; the caller has checked the length.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_is_the_catalogue_crc32c() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_header_can_not_be_taken_for_a_frame() {
        assert!(MAGIC_AS_LENGTH as usize > FRAME_BYTES_MAX);
    }
}
