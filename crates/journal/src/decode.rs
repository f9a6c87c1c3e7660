//! Reads frames.

use alloc::boxed::Box;
use alloc::vec::Vec;

use time::Timestamp;

use crate::border::SealBorder;
use crate::chain::{Chain, Tail};
use crate::damage::{Damage, DamageKind, HeaderDamage};
use crate::format::{
    CRC_BYTES, FLAG_SOURCE, FORMAT_VERSION, FRAME_BYTES_MAX, HEADER_BYTES, Header, KIND_SEAL, MAGIC,
    MAGIC_AS_LENGTH, RECORD_BYTES_MIN, RECORD_FIXED_BYTES, RecordMeta, SEAL_BYTES, SEAL_VERSION,
    SOURCE_BYTES, Seal, SealFrame, SourcePosition, array_at, checksum, u16_at, u32_at, u64_at,
};

/// One accepted piece of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// The log's header, or that of a further segment.
    Header(Header),
    /// A record. No seal vouches for it until one follows.
    Record {
        /// Everything but the payload.
        meta: RecordMeta,
        /// The content's own bytes.
        payload: &'a [u8],
        /// Where its frame begins in the log.
        at_byte: u64,
    },
    /// A seal; its hash over everything since the seal before is right.
    Seal {
        /// What it says.
        frame: SealFrame,
        /// Where its frame begins in the log.
        at_byte: u64,
    },
}

/// Decodes and checks a log that arrives in pieces of any size: magic, version, lengths, checksums, dense
/// sequences, generations and times that never fall, and the chain of seals. Large pieces decode fastest.
///
/// Never panics on any bytes and holds at most what was pushed and not yet decoded. It does not look into
/// payloads and does not know record kinds: that is the [`crate::Content`]'s part.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    machine: Machine,
    buffer: Vec<u8>,
    /// Where the next frame begins in `buffer`.
    at: usize,
    damage: Option<Damage>,
}

impl Decoder {
    /// A decoder that expects a header.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// A decoder that goes on where a log stands: it expects the frame behind the tail, and counts bytes and records
    /// on from there. The next seal then shows whether the tail belongs to the bytes.
    pub fn resume(tail: Tail) -> Decoder {
        Decoder { machine: Machine { chain: Some(tail.0), hashed: 0 }, ..Decoder::default() }
    }

    /// Takes the log's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        // Moving the rest to the front only when half is done keeps this linear, however it is called.
        if self.at * 2 >= self.buffer.len() {
            self.machine.release(&self.buffer, self.at);
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next item; `None` if more bytes are needed. After a damage it returns the same again.
    #[expect(clippy::should_implement_trait, reason = "an iterator can not lend, and this can fail")]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Damage> {
        if let Some(damage) = &self.damage {
            return Err(damage.clone());
        }
        match self.machine.step(&self.buffer, self.at) {
            Ok(Step::Item(item, bytes)) => {
                self.at += bytes;
                Ok(Some(item))
            }
            Ok(Step::More { .. }) => Ok(None),
            Err(damage) => {
                self.damage = Some(damage.clone());
                Err(damage)
            }
        }
    }

    /// Says that the log ends here, after [`Decoder::next`] returned `None` or a damage. An error if it ends
    /// inside a frame or its header, or was damaged before. Panics if there was another item to take.
    pub fn finish(&mut self) -> Result<(), Damage> {
        if self.damage.is_none() {
            self.damage = self.machine.end(&self.buffer, self.at);
        }
        self.damage.clone().map_or(Ok(()), Err)
    }

    /// Where the log can be continued, behind the last item; `None` before the header.
    pub fn tail(&self) -> Option<Tail> {
        self.machine.tail(&self.buffer, self.at)
    }

    /// The border at which the next frame stands, cheaper than by the tail; `None` if the last item is no seal.
    pub fn border(&self) -> Option<SealBorder> {
        self.machine.chain.as_ref().and_then(|chain| chain.border())
    }

    /// Byte offset of the next frame in the log.
    pub fn position(&self) -> u64 {
        self.machine.position()
    }

    /// The sequence expected of the next record; 0 before the header.
    pub fn next_sequence(&self) -> u64 {
        self.machine.next_sequence()
    }

    /// The pushed bytes from [`Decoder::position`] on: what [`crate::TailSearch`] wants first after a damage.
    pub fn undecoded(&self) -> &[u8] {
        &self.buffer[self.at..]
    }
}

/// One record without the log around it, from the byte at which its frame begins: for whoever has noted that byte and
/// reads the record again. The checksum and the frame's own rules are checked; what came before is not known here, so
/// neither the order of records nor a seal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lone<'a> {
    /// The record, with its payload.
    Record(RecordMeta, &'a [u8]),
    /// The frame needs this many bytes in all.
    More {
        /// Bytes from the beginning of the frame.
        bytes: usize,
    },
}

impl<'a> Lone<'a> {
    /// Reads the record at the beginning of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// What stands there is no whole record.
    pub fn read(bytes: &'a [u8]) -> Result<Lone<'a>, DamageKind> {
        match frame_bytes(bytes)? {
            Frame::Record(frame) => record_fields(frame).map(|(meta, payload)| Lone::Record(meta, payload)),
            Frame::More { bytes } => Ok(Lone::More { bytes }),
            Frame::Seal(_) | Frame::Header(_) => Err(DamageKind::Length { found: u32_at(bytes, 0) }),
        }
    }
}

/// What a frame begins with, unchecked: to walk over frames that were checked before, without reading all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the whole frame.
    pub bytes: usize,
    /// Of a record, its sequence and its time in microseconds; `None` of a seal and of a segment's header.
    pub record: Option<(u64, u64)>,
}

impl FrameHead {
    /// Bytes from the beginning of a frame that are enough.
    pub const BYTES: usize = RECORD_FIXED_BYTES;

    /// Reads the beginning of a frame; `None` if there are too few bytes, or if no frame begins so.
    pub fn read(bytes: &[u8]) -> Option<FrameHead> {
        let head: &[u8; FrameHead::BYTES] = bytes.first_chunk()?;
        let length = u32_at(head, 0);
        if length == MAGIC_AS_LENGTH {
            return Some(FrameHead { bytes: HEADER_BYTES, record: None });
        }
        let bytes = length as usize;
        if !(RECORD_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) {
            return None;
        }
        let is_record = u16_at(head, 4) != KIND_SEAL;
        Some(FrameHead { bytes, record: is_record.then(|| (u64_at(head, 16), u64_at(head, 24))) })
    }
}

pub(crate) enum Step<'a> {
    /// An item and how many bytes of the window it takes.
    Item(Item<'a>, usize),
    /// The frame needs this many bytes in all.
    More { bytes: usize },
}

/// The decoder without its buffer: the window of bytes is its caller's, and `at` always the next frame in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    chain: Option<Box<Chain>>,
    /// How many bytes of the window have been hashed. Runs of frames are hashed at once, when a seal wants it.
    hashed: usize,
}

impl Machine {
    pub(crate) fn step<'a>(&mut self, window: &'a [u8], at: usize) -> Result<Step<'a>, Damage> {
        let (at_byte, sequence) = (self.position(), self.next_sequence());
        let rest = &window[at..];
        let stepped = match &mut self.chain {
            None => first_header(rest).map(|found| match found {
                None => Step::More { bytes: HEADER_BYTES },
                Some(header) => {
                    self.chain = Some(Box::new(Chain::start(header)));
                    Step::Item(Item::Header(header), HEADER_BYTES)
                }
            }),
            Some(chain) => match frame_bytes(rest) {
                Ok(Frame::More { bytes }) => Ok(Step::More { bytes }),
                Ok(Frame::Header(bytes)) => further_header(chain, bytes),
                Ok(Frame::Seal(frame)) => {
                    chain.hash(&window[self.hashed..at]);
                    self.hashed = at;
                    let stepped = seal(chain, frame);
                    if stepped.is_ok() {
                        self.hashed = at + SEAL_BYTES;
                    }
                    stepped
                }
                Ok(Frame::Record(frame)) => record(chain, frame),
                Err(kind) => Err(kind),
            },
        };
        stepped.map_err(|kind| Damage { at_byte, sequence, kind })
    }

    /// The damage of a log that ends behind this window, if it does not end at a frame's border.
    pub(crate) fn end(&mut self, window: &[u8], at: usize) -> Option<Damage> {
        let found_bytes = (window.len() - at) as u64;
        if self.chain.is_some() && found_bytes == 0 {
            return None;
        }
        let expected_bytes = match self.step(window, at) {
            Ok(Step::More { bytes }) => bytes as u64,
            Ok(Step::Item(..)) => panic!("finish is called after every item was taken"),
            Err(damage) => return Some(damage),
        };
        let kind = match self.chain {
            None => {
                check_beginning(&window[at..]).err().unwrap_or(HeaderDamage::Truncated { found_bytes }).into()
            }
            Some(_) => DamageKind::Truncated { expected_bytes, found_bytes },
        };
        Some(Damage { at_byte: self.position(), sequence: self.next_sequence(), kind })
    }

    /// The caller is about to drop everything before `at` from its window.
    pub(crate) fn release(&mut self, window: &[u8], at: usize) {
        if let Some(chain) = &mut self.chain {
            chain.hash(&window[self.hashed..at]);
        }
        self.hashed = 0;
    }

    pub(crate) fn tail(&self, window: &[u8], at: usize) -> Option<Tail> {
        let mut chain = self.chain.clone()?;
        chain.hash(&window[self.hashed..at]);
        Some(Tail(chain))
    }

    pub(crate) fn position(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.position)
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.chain.as_ref().map_or(0, |chain| chain.next_sequence)
    }
}

enum Frame<'a> {
    More { bytes: usize },
    Header(&'a [u8; HEADER_BYTES]),
    Seal(&'a [u8; SEAL_BYTES]),
    Record(&'a [u8]),
}

/// Cuts the next frame off and checks what can be checked without the log's past, its checksum first.
fn frame_bytes(rest: &[u8]) -> Result<Frame<'_>, DamageKind> {
    let Some(length) = rest.first_chunk::<4>() else {
        return Ok(Frame::More { bytes: RECORD_BYTES_MIN });
    };
    let length = u32::from_le_bytes(*length);
    if length == MAGIC_AS_LENGTH {
        let magic_bytes = rest.len().min(MAGIC.len());
        if rest[..magic_bytes] != MAGIC[..magic_bytes] {
            return Err(DamageKind::Length { found: length });
        }
        return Ok(rest.first_chunk().map_or(Frame::More { bytes: HEADER_BYTES }, Frame::Header));
    }
    if length == 0 {
        return Err(DamageKind::Zeros);
    }
    let bytes = length as usize;
    if !(RECORD_BYTES_MIN..=FRAME_BYTES_MAX).contains(&bytes) {
        return Err(DamageKind::Length { found: length });
    }
    let Some(frame) = rest.get(..bytes) else {
        return Ok(Frame::More { bytes });
    };
    let expected = u32_at(frame, bytes - CRC_BYTES);
    let found = checksum(&frame[..bytes - CRC_BYTES]);
    if found != expected {
        return Err(DamageKind::Checksum { expected, found });
    }
    if u16_at(frame, 4) != KIND_SEAL {
        return Ok(Frame::Record(frame));
    }
    if frame[6] != SEAL_VERSION {
        return Err(DamageKind::SealVersion { found: frame[6] });
    }
    if frame[7] != 0 {
        return Err(DamageKind::Flags { kind: KIND_SEAL, found: frame[7] });
    }
    frame.try_into().map(Frame::Seal).map_err(|_| DamageKind::SealLength { found: length })
}

/// The header that a log begins with; `None` if more bytes are needed.
fn first_header(rest: &[u8]) -> Result<Option<Header>, DamageKind> {
    if rest.len() >= MAGIC.len() {
        check_beginning(rest)?;
    }
    let Some(bytes) = rest.first_chunk() else {
        return Ok(None);
    };
    let header = checked_header(bytes)?;
    if header.first_sequence > 0 && header.begins_log() {
        return Err(HeaderDamage::WithoutPast { first_sequence: header.first_sequence }.into());
    }
    Ok(Some(header))
}

/// Whether a log begins like this, however short.
fn check_beginning(rest: &[u8]) -> Result<(), HeaderDamage> {
    let magic_bytes = rest.len().min(MAGIC.len());
    // A file that was made but not yet written may hold zeros, if it is shorter than a header.
    let is_blank = rest.len() < HEADER_BYTES && rest.iter().all(|byte| *byte == 0);
    if is_blank || rest[..magic_bytes] == MAGIC[..magic_bytes] {
        return Ok(());
    }
    let mut found = [0; 8];
    found[..magic_bytes].copy_from_slice(&rest[..magic_bytes]);
    Err(HeaderDamage::NotALog { found })
}

fn further_header<'a>(chain: &mut Chain, bytes: &[u8; HEADER_BYTES]) -> Result<Step<'a>, DamageKind> {
    let header = checked_header(bytes)?;
    chain.check_header(&header)?;
    chain.accept_header(header);
    Ok(Step::Item(Item::Header(header), HEADER_BYTES))
}

/// What can be checked of a header by itself; its magic has been.
fn checked_header(bytes: &[u8; HEADER_BYTES]) -> Result<Header, DamageKind> {
    // The version comes before the checksum, because another version may have it elsewhere.
    let version = u16_at(bytes, 8);
    if version != FORMAT_VERSION {
        return Err(HeaderDamage::FormatVersion { found: version }.into());
    }
    let expected = u32_at(bytes, HEADER_BYTES - CRC_BYTES);
    let found = checksum(&bytes[..HEADER_BYTES - CRC_BYTES]);
    if found != expected {
        return Err(DamageKind::Checksum { expected, found });
    }
    let length = u16_at(bytes, 10);
    if usize::from(length) != HEADER_BYTES {
        return Err(HeaderDamage::Length { found: length }.into());
    }
    if !Header::reserved_is_zero(bytes) {
        return Err(HeaderDamage::Reserved.into());
    }
    Ok(Header::from_checked_bytes(bytes))
}

fn record<'a>(chain: &mut Chain, frame: &'a [u8]) -> Result<Step<'a>, DamageKind> {
    let (meta, payload) = record_fields(frame)?;
    chain.check_record(&meta)?;
    let at_byte = chain.position;
    chain.accept_record(&meta, frame.len());
    Ok(Step::Item(Item::Record { meta, payload, at_byte }, frame.len()))
}

/// Takes a record's frame apart, whose length and checksum are right.
fn record_fields(frame: &[u8]) -> Result<(RecordMeta, &[u8]), DamageKind> {
    let (kind, flags) = (u16_at(frame, 4), frame[7]);
    if flags & !FLAG_SOURCE != 0 {
        return Err(DamageKind::Flags { kind, found: flags });
    }
    let mut payload = &frame[RECORD_FIXED_BYTES..frame.len() - CRC_BYTES];
    let mut source = None;
    if flags & FLAG_SOURCE != 0 {
        let Some((bytes, rest)) = payload.split_at_checked(SOURCE_BYTES) else {
            return Err(DamageKind::SourceMissing { found: u32_at(frame, 0) });
        };
        source = Some(SourcePosition {
            stream: u64_at(bytes, 0),
            partition: u32_at(bytes, 8),
            offset: u64_at(bytes, 12),
        });
        payload = rest;
    }
    let meta = RecordMeta {
        kind,
        kind_version: frame[6],
        generation: u64_at(frame, 8),
        sequence: u64_at(frame, 16),
        recorded_at: timestamp_at(frame, 24)?,
        source,
    };
    Ok((meta, payload))
}

/// Every byte before the frame has been hashed.
fn seal<'a>(chain: &mut Chain, bytes: &[u8; SEAL_BYTES]) -> Result<Step<'a>, DamageKind> {
    let frame = seal_frame(bytes)?;
    chain.check_seal(&frame)?;
    let expected = chain.seal_for(&frame);
    if frame.seal != expected {
        let from_byte = chain.sealed_bytes;
        return Err(DamageKind::SealMismatch { expected, found: frame.seal, from_byte });
    }
    let at_byte = chain.position;
    chain.accept_seal(&frame);
    Ok(Step::Item(Item::Seal { frame, at_byte }, SEAL_BYTES))
}

/// The fields of a seal frame whose checksum has been checked.
pub(crate) fn seal_frame(bytes: &[u8; SEAL_BYTES]) -> Result<SealFrame, DamageKind> {
    Ok(SealFrame {
        generation: u64_at(bytes, 8),
        next_sequence: u64_at(bytes, 16),
        recorded_at: timestamp_at(bytes, 24)?,
        durable_before: u64_at(bytes, 32),
        seal: Seal(array_at(bytes, 40)),
    })
}

fn timestamp_at(bytes: &[u8], at: usize) -> Result<Timestamp, DamageKind> {
    let micros = u64_at(bytes, at);
    Timestamp::from_micros(micros).ok_or(DamageKind::TimeRange { found: micros })
}
