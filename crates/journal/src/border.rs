//! A place right behind a seal, as plain values: all that it takes to go on from there without what stands before it.

use alloc::boxed::Box;
use core::fmt;

use time::Timestamp;

use crate::chain::{Chain, Tail};
use crate::format::{HEADER_BYTES, Header, RECORD_BYTES_MIN, SEAL_BYTES, Seal};

/// Where a log stands right behind a seal frame. The seal stands for every byte before it, so a reader, a converter or
/// a writer that is given a border goes on as if it had seen the whole log: [`Tail::at_border`].
///
/// Whoever goes on from a border trusts it as it trusts the log before it: only the next seal shows that it is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealBorder {
    /// The header of the segment that the seal stands in.
    pub header: Header,
    /// The sequence that the next record takes.
    pub next_sequence: u64,
    /// The seal's durable mark.
    pub durable_before: u64,
    /// The seal's generation.
    pub generation: u64,
    /// The seal's time.
    pub recorded_at: Timestamp,
    /// The seal.
    pub seal: Seal,
    /// Bytes of the log in its binary form, up to the end of the seal frame.
    pub bytes: u64,
}

/// Why values are not those of a border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BorderError {
    /// The header begins in the middle of a log but names no seal before it.
    WithoutPast {
        /// Its first sequence.
        first_sequence: u64,
    },
    /// The next record would stand before the segment.
    SequenceBelow {
        /// The border's next sequence.
        next_sequence: u64,
        /// The header's first.
        first_sequence: u64,
    },
    /// The seal would call records durable that it does not cover.
    DurableBeyond {
        /// Its durable mark.
        durable_before: u64,
        /// The border's next sequence.
        next_sequence: u64,
    },
    /// The seal is all zeros, which stands for no seal.
    NoSeal,
    /// The records of the segment do not fit into the bytes.
    TooFewBytes {
        /// The border's bytes.
        bytes: u64,
        /// The least that header, records and seal take.
        bytes_min: u64,
    },
}

impl SealBorder {
    /// Could a log have this border?
    pub fn check(&self) -> Result<(), BorderError> {
        let SealBorder { header, next_sequence, durable_before, bytes, .. } = *self;
        let first_sequence = header.first_sequence;
        if first_sequence > 0 && header.begins_log() {
            return Err(BorderError::WithoutPast { first_sequence });
        }
        if next_sequence < first_sequence {
            return Err(BorderError::SequenceBelow { next_sequence, first_sequence });
        }
        if durable_before > next_sequence {
            return Err(BorderError::DurableBeyond { durable_before, next_sequence });
        }
        if self.seal == Seal::ZERO {
            return Err(BorderError::NoSeal);
        }
        let records_bytes = (next_sequence - first_sequence).saturating_mul(RECORD_BYTES_MIN as u64);
        let bytes_min = records_bytes.saturating_add((HEADER_BYTES + SEAL_BYTES) as u64);
        if bytes < bytes_min {
            return Err(BorderError::TooFewBytes { bytes, bytes_min });
        }
        Ok(())
    }
}

impl Tail {
    /// The border at which this tail stands; `None` if the last frame is no seal.
    pub fn border(&self) -> Option<SealBorder> {
        self.0.border()
    }

    /// The tail of a log that ends at this border.
    ///
    /// # Errors
    /// No log can have such a border.
    pub fn at_border(border: &SealBorder) -> Result<Tail, BorderError> {
        border.check()?;
        Ok(Tail(Box::new(Chain::at_border(border))))
    }
}

impl fmt::Display for BorderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BorderError::WithoutPast { first_sequence } => {
                write!(f, "the header begins at record {first_sequence} but names no seal before it")
            }
            BorderError::SequenceBelow { next_sequence, first_sequence } => {
                write!(f, "the next record is {next_sequence}, but the segment begins at {first_sequence}")
            }
            BorderError::DurableBeyond { durable_before, next_sequence } => write!(
                f,
                "the seal calls the records before {durable_before} durable, but the next record is {next_sequence}"
            ),
            BorderError::NoSeal => f.write_str("the seal is all zeros"),
            BorderError::TooFewBytes { bytes, bytes_min } => {
                write!(f, "{bytes} bytes, but header, records and seal take at least {bytes_min}")
            }
        }
    }
}

impl core::error::Error for BorderError {}
