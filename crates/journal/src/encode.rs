//! Writes frames.

use alloc::boxed::Box;
use alloc::vec::Vec;

use time::Timestamp;

use crate::border::SealBorder;
use crate::chain::{Chain, Tail};
use crate::format::{
    CRC_BYTES, FRAME_BYTES_MAX, Header, KIND_SEAL, RecordMeta, Seal, SealFrame, checksum, record_fixed_bytes,
    seal_hashed_bytes, write_source,
};

/// Bytes that wait to be hashed at once: long runs hash several times faster than single records.
const UNHASHED_BYTES_MAX: usize = 64 * 1024;

/// Appends frames of one log to buffers of its caller, who takes the bytes away whenever it wants.
///
/// A frame that a [`crate::Decoder`] would refuse is a bug of the caller's, and panics.
#[derive(Clone, Debug)]
pub struct Encoder {
    chain: Box<Chain>,
    unhashed: Vec<u8>,
}

impl Encoder {
    /// Begins a log (or, with a previous seal, a lone segment) by appending its header to `out`.
    pub fn start(header: &Header, out: &mut Vec<u8>) -> Encoder {
        assert!(
            header.first_sequence == 0 || !header.begins_log(),
            "a log begins at record 0, not {}",
            header.first_sequence
        );
        let mut encoder = Encoder { chain: Box::new(Chain::start(*header)), unhashed: Vec::new() };
        encoder.append(&header.to_bytes(), out);
        encoder
    }

    /// Goes on behind the last valid frame of a log. Its next seal also covers the records that have none.
    pub fn resume(tail: Tail) -> Encoder {
        Encoder { chain: tail.0, unhashed: Vec::new() }
    }

    /// Where the log stands now; what a decoder would say that has read all bytes appended so far.
    pub fn tail(&self) -> Tail {
        let mut chain = self.chain.clone();
        chain.hash(&self.unhashed);
        Tail(chain)
    }

    /// The border at which the log stands now, cheaper than by its tail; `None` if its last frame is no seal.
    pub fn border(&self) -> Option<SealBorder> {
        self.chain.border()
    }

    /// The sequence that the next record takes.
    pub fn next_sequence(&self) -> u64 {
        self.chain.next_sequence
    }

    /// Bytes of the log so far: where the next frame begins.
    pub fn bytes(&self) -> u64 {
        self.chain.position
    }

    /// Appends a record. `meta.sequence` is [`Encoder::next_sequence`]; the payload has at most
    /// [`crate::PAYLOAD_BYTES_MAX`] bytes.
    pub fn record(&mut self, meta: &RecordMeta, payload: &[u8], out: &mut Vec<u8>) {
        self.record_with(meta, out, |out| out.extend_from_slice(payload));
    }

    /// As [`Encoder::record`], for a payload that `write_payload` appends to the buffer in place.
    pub fn record_with(
        &mut self,
        meta: &RecordMeta,
        out: &mut Vec<u8>,
        write_payload: impl FnOnce(&mut Vec<u8>),
    ) {
        if let Err(refusal) = self.chain.check_record(meta) {
            panic!("record {}, expected {}: {refusal}", meta.sequence, self.chain.next_sequence);
        }
        assert!(meta.kind != KIND_SEAL, "record kinds begin at 1");
        let start = out.len();
        out.extend_from_slice(&record_fixed_bytes(meta));
        if let Some(source) = &meta.source {
            write_source(source, out);
        }
        write_payload(out);
        let frame_bytes = out.len() - start + CRC_BYTES;
        assert!(
            frame_bytes <= FRAME_BYTES_MAX,
            "a record of {frame_bytes} bytes, at most {FRAME_BYTES_MAX} fit"
        );
        out[start..start + 4].copy_from_slice(&length_bytes(frame_bytes));
        let checksum = checksum(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        self.remember(&out[start..]);
        self.chain.accept_record(meta, frame_bytes);
    }

    /// Seals everything since the last seal, which may be nothing. `durable_before` is at most
    /// [`Encoder::next_sequence`]: each record with a smaller sequence is known durable now.
    pub fn seal(
        &mut self,
        generation: u64,
        recorded_at: Timestamp,
        durable_before: u64,
        out: &mut Vec<u8>,
    ) -> Seal {
        let next_sequence = self.chain.next_sequence;
        let mut frame =
            SealFrame { generation, next_sequence, durable_before, recorded_at, seal: Seal::ZERO };
        if let Err(refusal) = self.chain.check_seal(&frame) {
            panic!("seal before record {next_sequence}: {refusal}");
        }
        self.chain.hash(&self.unhashed);
        self.unhashed.clear();
        frame.seal = self.chain.seal_for(&frame);
        let start = out.len();
        out.extend_from_slice(&seal_hashed_bytes(&frame));
        out.extend_from_slice(&frame.seal.0);
        let checksum = checksum(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        self.chain.accept_seal(&frame);
        frame.seal
    }

    /// Begins the next segment of the same log; its header follows a seal directly.
    pub fn next_segment(&mut self, out: &mut Vec<u8>) {
        assert!(self.chain.is_sealed(), "a segment ends with a seal");
        let header = Header {
            first_sequence: self.chain.next_sequence,
            previous_seal: self.chain.seal,
            ..self.chain.header
        };
        self.append(&header.to_bytes(), out);
        self.chain.accept_header(header);
    }

    /// Whether this seal covers no record since the last seal and is not the next of the chain.
    pub(crate) fn is_known(&mut self, frame: &SealFrame) -> bool {
        if self.chain.sealed_before != self.chain.next_sequence
            || frame.next_sequence != self.chain.next_sequence
        {
            return false;
        }
        self.chain.hash(&self.unhashed);
        self.unhashed.clear();
        self.chain.seal_for(frame) != frame.seal
    }

    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.remember(bytes);
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.unhashed.extend_from_slice(bytes);
        if self.unhashed.len() >= UNHASHED_BYTES_MAX {
            self.chain.hash(&self.unhashed);
            self.unhashed.clear();
        }
    }
}

fn length_bytes(frame_bytes: usize) -> [u8; 4] {
    u32::try_from(frame_bytes).expect("a frame is at most 1 MiB").to_le_bytes()
}
