//! The first 256 bytes of every run.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::block::{BlockShape, is_block_size};
use super::error::RunDamaged;
use super::{u32_at, u64_at};

/// Bytes of a header.
pub(super) const HEAD_BYTES: usize = 256;
const VERSION: u16 = 1;
/// Where the fields of one kind of run begin.
const OWN_AT: usize = 76;
const CHECKSUM_AT: usize = 252;
/// Bytes of the fields of one kind of run.
pub(super) const OWN_BYTES: usize = CHECKSUM_AT - OWN_AT;

/// The records that a run is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRange {
    /// The first record.
    pub first_sequence: u64,
    /// The record behind the last one; more than `first_sequence`.
    pub next_sequence: u64,
    /// Where the records begin in the log, in bytes over all its segments.
    pub first_byte: u64,
    /// Where they end, at most where the record `next_sequence` begins.
    pub end_byte: u64,
}

/// What every kind of run says of itself.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) log_id: [u8; 16],
    pub(super) range: RunRange,
    /// Ids or entries.
    pub(super) count: u64,
    /// 0 as it was added; one more with each merge.
    pub(super) level: u32,
    pub(super) shape: BlockShape,
    /// The fields of this kind of run.
    pub(super) own: [u8; OWN_BYTES],
}

impl Head {
    pub(super) fn encode(&self, magic: &[u8; 8]) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let RunRange { first_sequence, next_sequence, first_byte, end_byte } = self.range;
        bytes[..8].copy_from_slice(magic);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&256_u16.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.shape.block_bytes().to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log_id);
        let numbers = [first_sequence, next_sequence, first_byte, end_byte, self.count];
        for (at, number) in (32..).step_by(8).zip(numbers) {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        bytes[72..76].copy_from_slice(&self.level.to_le_bytes());
        bytes[OWN_AT..CHECKSUM_AT].copy_from_slice(&self.own);
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads and checks what does not depend on the kind of run.
    pub(super) fn read(path: &Path, file: &File, magic: &[u8; 8]) -> Result<Head, RunDamaged> {
        let bad = |what: &str| RunDamaged::new(path, 0, what);
        let mut bytes = [0; HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(|error| bad(&format!("no header can be read: {error}")))?;
        if bytes[..8] != magic[..] {
            return Err(bad("the header's magic is not that of such a run"));
        }
        if crc32c::crc32c(&bytes[..CHECKSUM_AT]) != u32_at(&bytes, CHECKSUM_AT) {
            return Err(bad("the header's checksum is wrong"));
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version != VERSION {
            return Err(bad(&format!(
                "its format is version {version}, and this program reads version {VERSION}"
            )));
        }
        let block_bytes = u32_at(&bytes, 12);
        if !is_block_size(block_bytes) {
            return Err(bad(&format!("blocks of {block_bytes} bytes are none")));
        }
        let [first_sequence, next_sequence, first_byte, end_byte, count] =
            [32, 40, 48, 56, 64].map(|at| u64_at(&bytes, at));
        let range = RunRange { first_sequence, next_sequence, first_byte, end_byte };
        if first_sequence >= next_sequence || first_byte > end_byte || count > u64::from(u32::MAX) {
            return Err(bad("the header's ranges are impossible"));
        }
        Ok(Head {
            log_id: bytes[16..32].try_into().expect("16 bytes"),
            range,
            count,
            level: u32_at(&bytes, 72),
            shape: BlockShape::new(block_bytes),
            own: bytes[OWN_AT..CHECKSUM_AT].try_into().expect("the bytes between"),
        })
    }

    /// What every block of this run carries, so that no block of another run is taken for one of this.
    pub(super) fn tag(&self, section: u8) -> u32 {
        let mut tag = crc32c::crc32c(&self.log_id);
        for number in [self.range.first_sequence, self.range.next_sequence, self.level.into()] {
            tag = crc32c::crc32c_append(tag, &number.to_le_bytes());
        }
        crc32c::crc32c_append(tag, &[section])
    }
}
