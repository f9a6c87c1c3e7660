//! What a log's past demands of its next frame; shared by everything that writes and reads, so that they agree.

use alloc::boxed::Box;

use blake3::Hasher;
use time::Timestamp;

use crate::border::SealBorder;
use crate::damage::{DamageKind, HeaderDamage};
use crate::format::{HEADER_BYTES, Header, RecordMeta, SEAL_BYTES, Seal, SealFrame, seal_hashed_bytes};

/// Where a log can be continued: behind its last valid frame, sealed or not. [`crate::Encoder::resume`] goes on
/// from here, and its next seal then also covers the records that have none yet.
#[derive(Clone, Debug)]
pub struct Tail(pub(crate) Box<Chain>);

impl Tail {
    /// The header of the last segment.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// The sequence that the next record takes.
    pub fn next_sequence(&self) -> u64 {
        self.0.next_sequence
    }

    /// The records from this sequence on stand behind the last seal, which does not cover them.
    pub fn sealed_before(&self) -> u64 {
        self.0.sealed_before
    }

    /// The mark of the last seal: what is below was known durable when that seal was written.
    pub fn durable_before(&self) -> u64 {
        self.0.durable_before
    }

    /// The generation of the last record or seal, 0 before the first.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The time of the last record or seal, zero before the first.
    pub fn recorded_at(&self) -> Timestamp {
        self.0.recorded_at
    }

    /// The last seal, or the previous seal that the first header names.
    pub fn seal(&self) -> Seal {
        self.0.seal
    }

    /// Bytes of the log up to here: where the next frame begins.
    pub fn bytes(&self) -> u64 {
        self.0.position
    }

    /// Bytes of the log up to the end of the last seal frame; 0 if there is none.
    pub fn sealed_bytes(&self) -> u64 {
        self.0.sealed_bytes
    }

    /// Whether the last frame is a seal.
    pub fn is_sealed(&self) -> bool {
        self.0.is_sealed()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) header: Header,
    pub(crate) next_sequence: u64,
    pub(crate) sealed_before: u64,
    pub(crate) durable_before: u64,
    pub(crate) generation: u64,
    pub(crate) recorded_at: Timestamp,
    pub(crate) seal: Seal,
    pub(crate) position: u64,
    pub(crate) sealed_bytes: u64,
    /// Over the last seal and every byte since that its owner has handed to [`Chain::hash`].
    hasher: Hasher,
}

impl Chain {
    /// Behind a log's (or a lone segment's) first header; its bytes are still to be hashed.
    pub(crate) fn start(header: Header) -> Chain {
        let mut hasher = Hasher::new();
        hasher.update(&header.previous_seal.0);
        Chain {
            header,
            next_sequence: header.first_sequence,
            sealed_before: header.first_sequence,
            durable_before: 0,
            generation: 0,
            recorded_at: Timestamp::ZERO,
            seal: header.previous_seal,
            position: HEADER_BYTES as u64,
            sealed_bytes: 0,
            hasher,
        }
    }

    /// Behind a seal that somebody vouches for; nothing of the log before it is needed.
    pub(crate) fn at_border(border: &SealBorder) -> Chain {
        let SealBorder { header, next_sequence, durable_before, generation, recorded_at, seal, bytes } =
            *border;
        let mut hasher = Hasher::new();
        hasher.update(&seal.0);
        Chain {
            header,
            next_sequence,
            sealed_before: next_sequence,
            durable_before,
            generation,
            recorded_at,
            seal,
            position: bytes,
            sealed_bytes: bytes,
            hasher,
        }
    }

    pub(crate) fn border(&self) -> Option<SealBorder> {
        self.is_sealed().then_some(SealBorder {
            header: self.header,
            next_sequence: self.next_sequence,
            durable_before: self.durable_before,
            generation: self.generation,
            recorded_at: self.recorded_at,
            seal: self.seal,
            bytes: self.position,
        })
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.position == self.sealed_bytes
    }

    /// Adds bytes of frames that were accepted, in order, each byte once.
    pub(crate) fn hash(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether `header` may stand here as the header of a further segment.
    pub(crate) fn check_header(&self, header: &Header) -> Result<(), HeaderDamage> {
        let last = &self.header;
        if header.log_id != last.log_id {
            return Err(HeaderDamage::LogId { expected: last.log_id, found: header.log_id });
        }
        if header.ledger_id != last.ledger_id {
            return Err(HeaderDamage::LedgerId { expected: last.ledger_id, found: header.ledger_id });
        }
        if header.partition != last.partition {
            return Err(HeaderDamage::Partition { expected: last.partition, found: header.partition });
        }
        if header.content != last.content {
            return Err(HeaderDamage::Content { expected: last.content, found: header.content });
        }
        if header.first_sequence != self.next_sequence {
            return Err(HeaderDamage::FirstSequence { found: header.first_sequence });
        }
        if header.previous_seal != self.seal {
            return Err(HeaderDamage::PreviousSeal { expected: self.seal, found: header.previous_seal });
        }
        if !self.is_sealed() {
            return Err(HeaderDamage::Unsealed { sealed_bytes: self.sealed_bytes });
        }
        Ok(())
    }

    pub(crate) fn accept_header(&mut self, header: Header) {
        self.header = header;
        self.position += HEADER_BYTES as u64;
    }

    /// Whether a record with this meta data may stand here.
    pub(crate) fn check_record(&self, meta: &RecordMeta) -> Result<(), DamageKind> {
        if meta.sequence != self.next_sequence {
            return Err(DamageKind::RecordSequence { found: meta.sequence });
        }
        // The next sequence must exist, so the last number is never given to a record.
        if meta.sequence == u64::MAX {
            return Err(DamageKind::SequenceExhausted);
        }
        self.check_time(meta.generation, meta.recorded_at)
    }

    pub(crate) fn accept_record(&mut self, meta: &RecordMeta, frame_bytes: usize) {
        self.next_sequence = meta.sequence + 1;
        self.generation = meta.generation;
        self.recorded_at = meta.recorded_at;
        self.position += frame_bytes as u64;
    }

    /// Whether this seal may stand here, its hash apart.
    pub(crate) fn check_seal(&self, frame: &SealFrame) -> Result<(), DamageKind> {
        if frame.next_sequence != self.next_sequence {
            return Err(DamageKind::SealSequence { found: frame.next_sequence });
        }
        self.check_time(frame.generation, frame.recorded_at)?;
        if frame.durable_before > frame.next_sequence {
            return Err(DamageKind::DurableBeyond { found: frame.durable_before });
        }
        if frame.durable_before < self.durable_before {
            return Err(DamageKind::DurableFell { last: self.durable_before, found: frame.durable_before });
        }
        Ok(())
    }

    /// The hash that a seal must carry here. Every byte up to the seal frame has been hashed.
    pub(crate) fn seal_for(&self, frame: &SealFrame) -> Seal {
        self.hasher.clone().update(&seal_hashed_bytes(frame)).finalize().into()
    }

    pub(crate) fn accept_seal(&mut self, frame: &SealFrame) {
        self.sealed_before = frame.next_sequence;
        self.durable_before = frame.durable_before;
        self.generation = frame.generation;
        self.recorded_at = frame.recorded_at;
        self.seal = frame.seal;
        self.position += SEAL_BYTES as u64;
        self.sealed_bytes = self.position;
        self.hasher.reset();
        self.hasher.update(&frame.seal.0);
    }

    fn check_time(&self, generation: u64, recorded_at: Timestamp) -> Result<(), DamageKind> {
        if generation < self.generation {
            return Err(DamageKind::GenerationFell { last: self.generation, found: generation });
        }
        if recorded_at < self.recorded_at {
            return Err(DamageKind::TimeFell { last: self.recorded_at, found: recorded_at });
        }
        Ok(())
    }
}

impl From<blake3::Hash> for Seal {
    fn from(hash: blake3::Hash) -> Seal {
        Seal(*hash.as_bytes())
    }
}
