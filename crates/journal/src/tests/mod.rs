//! What the tests share: a content kind without meaning, logs made of steps, and items that own their bytes.

mod border;
mod decode;
mod golden;
mod lines;
mod properties;
mod recover;

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use time::Timestamp;

use crate::{
    Content, ContentError, Corrupt, Encoder, EventFields, EventsWriter, Header, Item, RecordKind, RecordMeta,
    Scan, Seal, SealFrame, SourcePosition, scan,
};

/// Records whose payloads mean nothing: `note` is one event with all bytes, `parts` one event for each part,
/// which a byte with its length precedes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opaque {
    records: u64,
}

pub(crate) const NOTE: RecordKind = RecordKind { kind: 1, version: 1 };
pub(crate) const PARTS: RecordKind = RecordKind { kind: 2, version: 3 };

impl Content for Opaque {
    const KIND: u16 = 60_000;
    const NAME: &'static str = "opaque";

    fn write_events(
        &mut self,
        meta: &RecordMeta,
        payload: &[u8],
        events: &mut EventsWriter,
    ) -> Result<&'static str, ContentError> {
        self.records += 1;
        match (RecordKind { kind: meta.kind, version: meta.kind_version }, payload) {
            (NOTE, bytes) => {
                events.event("Noted").hex("bytes", bytes);
                Ok("note")
            }
            (PARTS, mut rest) => {
                while let Some((length, behind)) = rest.split_first() {
                    let Some((part, behind)) = behind.split_at_checked(usize::from(*length)) else {
                        return Err(ContentError::Payload("a part is cut off".into()));
                    };
                    events.event("Part").u64("length", (*length).into()).hex("bytes", part);
                    rest = behind;
                }
                Ok("parts")
            }
            (RecordKind { kind, version }, _) => Err(ContentError::UnknownKind { kind, version }),
        }
    }

    fn read_events(
        &mut self,
        kind: &str,
        events: &mut [EventFields],
        payload: &mut Vec<u8>,
    ) -> Result<RecordKind, ContentError> {
        self.records += 1;
        match (kind, events) {
            ("note", [event]) if event.type_name() == "Noted" => {
                payload.extend(event.hex("bytes")?);
                Ok(NOTE)
            }
            ("note", events) => Err(events[0].error("a note is one `Noted`")),
            ("parts", events) => {
                for event in events {
                    let length: u8 = event.integer("length")?;
                    let bytes = event.hex("bytes")?;
                    if bytes.len() != usize::from(length) {
                        return Err(event.error("length is not that of the bytes"));
                    }
                    payload.push(length);
                    payload.extend(bytes);
                }
                Ok(PARTS)
            }
            (other, _) => Err(ContentError::UnknownKindName(other.into())),
        }
    }
}

/// What a log is made of, after its first header.
#[derive(Clone, Debug)]
pub(crate) enum Make {
    Record {
        kind: RecordKind,
        payload: Vec<u8>,
        source: Option<SourcePosition>,
    },
    /// A seal that calls all but the last so many records durable.
    Seal {
        not_durable: u64,
    },
    Segment,
}

pub(crate) fn note(payload: &[u8]) -> Make {
    Make::Record { kind: NOTE, payload: payload.to_vec(), source: None }
}

pub(crate) fn header() -> Header {
    Header {
        log_id: *b"log-log-log-log-",
        ledger_id: *b"ledger-ledger-le",
        partition: 7,
        content: Opaque::KIND,
        first_sequence: 0,
        previous_seal: Seal::ZERO,
    }
}

/// Times and generations rise with the sequence, so that a resumed log gets the same as one made in one go.
pub(crate) fn make(encoder: &mut Encoder, steps: &[Make], out: &mut Vec<u8>) {
    for step in steps {
        let sequence = encoder.next_sequence();
        let generation = 1 + sequence / 8;
        let recorded_at = Timestamp::from_micros(1_000_000 + sequence * 10).expect("a small number");
        match step {
            Make::Record { kind, payload, source } => {
                let RecordKind { kind, version: kind_version } = *kind;
                let meta =
                    RecordMeta { kind, kind_version, generation, sequence, recorded_at, source: *source };
                encoder.record(&meta, payload, out);
            }
            Make::Seal { not_durable } => {
                let durable_before =
                    sequence.saturating_sub(*not_durable).max(encoder.tail().durable_before());
                encoder.seal(generation, recorded_at, durable_before, out);
            }
            Make::Segment => encoder.next_segment(out),
        }
    }
}

pub(crate) fn log(steps: &[Make]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::start(&header(), &mut out);
    make(&mut encoder, steps, &mut out);
    out
}

/// Batches of three records, each sealed when the batch before is durable, two segments, a closing seal, and two
/// records more that have no seal.
pub(crate) fn batches(count: usize) -> Vec<Make> {
    let mut steps = Vec::new();
    for batch in 0..count {
        steps.push(note(b"first of the batch"));
        steps.push(Make::Record { kind: PARTS, payload: vec![2, 7, 8, 0, 1, 9], source: None });
        let source = SourcePosition { stream: u64::MAX, partition: 3, offset: batch as u64 };
        steps.push(Make::Record { kind: NOTE, payload: Vec::new(), source: Some(source) });
        steps.push(Make::Seal { not_durable: 3 });
        if batch == count / 2 {
            steps.push(Make::Seal { not_durable: 0 });
            steps.push(Make::Segment);
        }
    }
    steps.extend([note(b"unsealed"), note(b"unsealed too")]);
    steps
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Header(Header),
    Record(RecordMeta, Vec<u8>, u64),
    Seal(SealFrame, u64),
}

pub(crate) fn owned(item: Item<'_>) -> Owned {
    match item {
        Item::Header(header) => Owned::Header(header),
        Item::Record { meta, payload, at_byte } => Owned::Record(meta, payload.to_vec(), at_byte),
        Item::Seal { frame, at_byte } => Owned::Seal(frame, at_byte),
    }
}

pub(crate) fn scanned(bytes: &[u8]) -> (Vec<Owned>, Result<Scan, Corrupt>) {
    let mut items = Vec::new();
    let result = scan(bytes, |item| items.push(owned(item)));
    (items, result)
}

/// Where each frame of a valid log begins, and where the last ends.
pub(crate) fn borders(bytes: &[u8]) -> Vec<usize> {
    let mut decoder = crate::Decoder::new();
    decoder.push(bytes);
    let mut borders = vec![0];
    while decoder.next().expect("a valid log").is_some() {
        borders.push(usize::try_from(decoder.position()).expect("a small log"));
    }
    borders
}

/// Gives a frame the checksum that its bytes have now.
pub(crate) fn fix_checksum(frame: &mut [u8]) {
    let at = frame.len() - 4;
    let checksum = crate::format::checksum(&frame[..at]);
    frame[at..].copy_from_slice(&checksum.to_le_bytes());
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").expect("a string takes all");
        }
        text.push('\n');
    }
    text
}
