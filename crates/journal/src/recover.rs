//! Tells a torn tail, which an interrupted append leaves, from corruption of what was durable.

use alloc::vec::Vec;
use core::fmt;

use crate::chain::Tail;
use crate::damage::{Damage, DamageKind, HeaderDamage};
use crate::decode::{Item, Machine, Step, seal_frame};
use crate::format::{CRC_BYTES, SEAL_BYTES, SEAL_PREFIX, checksum, u32_at};

/// Bytes that are searched at once.
const SEARCH_BYTES: usize = 64 * 1024;

/// Looks behind a damage for a seal that vouches for what was damaged: one whose mark says that the expected
/// record, or a later one, had been known durable. An interrupted append can not leave such a seal behind,
/// because the mark only names what was synced before the seal was written.
///
/// It takes every byte of the log from [`Damage::at_byte`] to the end, in pieces of any size.
#[derive(Clone, Debug)]
pub struct TailSearch {
    damage: Damage,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the log.
    buffer_at_byte: u64,
    only_zeros: bool,
    vouching: Option<Vouching>,
}

/// What the bytes from a damage on are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The log is corrupt and must not be continued: something that was durable is damaged, or something that
    /// was written on purpose can not be read.
    Corrupt(Corrupt),
    /// An append was interrupted. The log is whole up to the cut and may be continued from there.
    TornTail(TornTail),
    /// The making of the log was interrupted inside its header: there never was a record.
    TornCreation(TornTail),
}

/// Why a log must not be continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// What is wrong, at which byte and record.
    pub damage: Damage,
    /// The seal that says the damaged part was durable; `None` if the damage itself can not come from an
    /// interrupted append.
    pub vouching: Option<Vouching>,
}

/// A seal behind a damage that says what was damaged had been durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vouching {
    /// Where that seal frame begins in the log.
    pub seal_at_byte: u64,
    /// Its mark.
    pub durable_before: u64,
}

/// A tail that may be cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The log ends here once the tail is cut; a frame's border.
    pub cut_at_byte: u64,
    /// Bytes behind the cut.
    pub bytes_cut: u64,
    /// The sequence that the next record takes after the cut.
    pub next_sequence: u64,
    /// What stands at the cut; [`DamageKind::Zeros`] if only zeros follow, as in a file whose space was reserved.
    pub reason: DamageKind,
}

impl TornTail {
    /// Whether nothing is lost by the cut: behind a frame's border stand zeros alone, as in a segment whose space was
    /// reserved and not used up. A writer may go on in place, and a reader need not mention it.
    pub fn is_reserved_space(&self) -> bool {
        self.reason == DamageKind::Zeros && self.cut_at_byte > 0
    }
}

impl TailSearch {
    /// A search behind this damage.
    pub fn new(damage: &Damage) -> TailSearch {
        TailSearch {
            damage: damage.clone(),
            buffer: Vec::new(),
            buffer_at_byte: damage.at_byte,
            only_zeros: true,
            vouching: None,
        }
    }

    /// Takes the next bytes of the log.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(SEARCH_BYTES));
            self.only_zeros = self.only_zeros && piece.iter().all(|byte| *byte == 0);
            self.buffer.extend_from_slice(piece);
            self.search();
            // A seal that begins in the last bytes is not whole yet.
            let done = self.buffer.len().saturating_sub(SEAL_BYTES - 1);
            self.buffer.drain(..done);
            self.buffer_at_byte += done as u64;
            bytes = rest;
        }
    }

    /// Says that the log ends here.
    pub fn finish(self) -> Verdict {
        let bytes_cut = self.buffer_at_byte + self.buffer.len() as u64 - self.damage.at_byte;
        let is_torn = self.vouching.is_none() && self.damage.kind.may_be_torn();
        // A log whose first header can not be read is nobody's to cut, unless nothing was ever behind it.
        let is_creation = matches!(self.damage.kind, DamageKind::Header(HeaderDamage::Truncated { .. }));
        if !is_torn || (self.damage.at_byte == 0 && !is_creation) {
            return Verdict::Corrupt(Corrupt { damage: self.damage, vouching: self.vouching });
        }
        let torn = TornTail {
            cut_at_byte: self.damage.at_byte,
            bytes_cut,
            next_sequence: self.damage.sequence,
            reason: match self.damage.kind {
                _ if self.only_zeros && bytes_cut > 0 => DamageKind::Zeros,
                DamageKind::Zeros => DamageKind::Hole,
                kind => kind,
            },
        };
        if is_creation { Verdict::TornCreation(torn) } else { Verdict::TornTail(torn) }
    }

    fn search(&mut self) {
        if self.only_zeros || self.vouching.is_some() {
            return;
        }
        let sequence = self.damage.sequence;
        let found = self.buffer.windows(SEAL_BYTES).enumerate().find_map(|(at, bytes)| {
            let bytes: &[u8; SEAL_BYTES] = bytes.first_chunk()?;
            let durable_before = durable_mark(bytes)?;
            (durable_before > sequence).then_some((at, durable_before))
        });
        if let Some((at, durable_before)) = found {
            let seal_at_byte = self.buffer_at_byte + at as u64;
            self.vouching = Some(Vouching { seal_at_byte, durable_before });
        }
    }
}

/// What reading a whole log found.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Where the log can be continued, after the cut if there is one; `None` if there never was a whole header.
    pub tail: Option<Tail>,
    /// The torn tail, if there is one.
    pub cut: Option<TornTail>,
}

/// Decodes a log that lies in memory as a whole and judges its tail. `each` sees every item up to the end or the
/// damage, also those before a corruption. Nothing is copied.
pub fn scan(bytes: &[u8], mut each: impl FnMut(Item<'_>)) -> Result<Scan, Corrupt> {
    let mut machine = Machine::default();
    let mut at = 0;
    let damage = loop {
        match machine.step(bytes, at) {
            Ok(Step::Item(item, item_bytes)) => {
                at += item_bytes;
                each(item);
            }
            Ok(Step::More { .. }) => break machine.end(bytes, at),
            Err(damage) => break Some(damage),
        }
    };
    let tail = machine.tail(bytes, at);
    let Some(damage) = damage else {
        return Ok(Scan { tail, cut: None });
    };
    let mut search = TailSearch::new(&damage);
    search.push(&bytes[at..]);
    match search.finish() {
        Verdict::Corrupt(corrupt) => Err(corrupt),
        Verdict::TornTail(torn) | Verdict::TornCreation(torn) => Ok(Scan { tail, cut: Some(torn) }),
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log is corrupt at {}", self.damage)?;
        match self.vouching {
            Some(Vouching { seal_at_byte, durable_before }) => write!(
                f,
                "; the seal at byte {seal_at_byte} says that the records before {durable_before} were durable, \
                 so this is no interrupted append: restore the log from a copy"
            ),
            None => f.write_str("; an interrupted append does not leave this behind, so nothing is cut"),
        }
    }
}

impl core::error::Error for Corrupt {}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TornTail { cut_at_byte, bytes_cut, next_sequence, reason } = self;
        write!(
            f,
            "an append was interrupted: cut {bytes_cut} bytes at byte {cut_at_byte}, \
             the next record is {next_sequence} ({reason})"
        )
    }
}

/// The mark of a seal frame, `None` if these bytes are none.
fn durable_mark(bytes: &[u8; SEAL_BYTES]) -> Option<u64> {
    // The one test that almost every byte of a tail fails at.
    if !bytes.starts_with(&SEAL_PREFIX) {
        return None;
    }
    let body = &bytes[..SEAL_BYTES - CRC_BYTES];
    if checksum(body) != u32_at(bytes, SEAL_BYTES - CRC_BYTES) {
        return None;
    }
    let frame = seal_frame(bytes).ok()?;
    (frame.durable_before <= frame.next_sequence).then_some(frame.durable_before)
}
