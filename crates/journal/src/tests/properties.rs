//! Whatever goes in comes out, and nothing panics.

use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Make, NOTE, Opaque, PARTS, log, owned, scanned};
use crate::{Decoder, Encoder, FromLines, SourcePosition, TailSearch, ToLines, scan};

fn source() -> impl Strategy<Value = Option<SourcePosition>> {
    prop::option::of((any::<u64>(), any::<u32>(), any::<u64>())).prop_map(|source| {
        source.map(|(stream, partition, offset)| SourcePosition { stream, partition, offset })
    })
}

fn step() -> impl Strategy<Value = Make> {
    let note = (vec(any::<u8>(), 0..100), source()).prop_map(|(payload, source)| Make::Record {
        kind: NOTE,
        payload,
        source,
    });
    let parts = (vec(vec(any::<u8>(), 0..20), 1..6), source()).prop_map(|(parts, source)| {
        let length = |part: &Vec<u8>| u8::try_from(part.len()).expect("under 20");
        let payload = parts.iter().flat_map(|part| [&[length(part)], &part[..]].concat()).collect();
        Make::Record { kind: PARTS, payload, source }
    });
    prop_oneof![4 => note, 2 => parts, 3 => (0u64..10).prop_map(|not_durable| Make::Seal { not_durable })]
}

/// Steps with a segment behind some seals: it can stand nowhere else.
fn steps() -> impl Strategy<Value = Vec<Make>> {
    vec((step(), any::<bool>()), 0..60).prop_map(|steps| {
        let with_segments = |(step, segment): (Make, bool)| {
            let segment = segment && matches!(step, Make::Seal { .. });
            [Some(step), segment.then_some(Make::Segment)].into_iter().flatten()
        };
        steps.into_iter().flat_map(with_segments).collect()
    })
}

fn to_lines(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut lines = ToLines::new(Opaque::default());
    scan(bytes, |item| lines.push(&item, &mut text).expect("records of this content")).expect("a valid log");
    text
}

/// Cuts `bytes` into pieces whose lengths repeat.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    lengths.iter().cycle().map_while(move |length| {
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

proptest! {
    #[test]
    fn both_forms_come_back_byte_for_byte(steps in steps(), lengths in vec(1usize..200, 1..5), crlf: bool) {
        let bytes = log(&steps);
        let (all, result) = scanned(&bytes);
        prop_assert!(result.unwrap().cut.is_none());

        let mut decoder = Decoder::new();
        let mut items = Vec::new();
        for piece in pieces(&bytes, &lengths) {
            decoder.push(piece);
            while let Some(item) = decoder.next().unwrap() {
                items.push(owned(item));
            }
        }
        decoder.finish().unwrap();
        prop_assert_eq!(&items, &all);

        let mut text = to_lines(&bytes);
        if crlf {
            text = alloc::string::String::from_utf8(text).unwrap().replace('\n', "\r\n").into_bytes();
        }
        let mut back = Vec::new();
        let mut lines = FromLines::new(Opaque::default());
        for piece in pieces(&text, &lengths) {
            lines.push(piece, &mut back).unwrap();
        }
        let tail = lines.finish(&mut back).unwrap();
        prop_assert_eq!(tail.bytes(), bytes.len() as u64);
        prop_assert!(back == bytes);
    }

    #[test]
    fn an_encoder_resumes_at_every_step(steps in steps(), at in any::<prop::sample::Index>()) {
        let at = at.index(steps.len() + 1);
        let mut bytes = Vec::new();
        let mut encoder = Encoder::start(&super::header(), &mut bytes);
        super::make(&mut encoder, &steps[..at], &mut bytes);
        let tail = scanned(&bytes).1.unwrap().tail.unwrap();
        for mut encoder in [Encoder::resume(tail), Encoder::resume(encoder.tail()), encoder] {
            let mut whole = bytes.clone();
            super::make(&mut encoder, &steps[at..], &mut whole);
            prop_assert!(whole == log(&steps));
        }
    }

    #[test]
    fn a_resealed_log_is_valid_and_another(steps in steps(), log_id: [u8; 16]) {
        let bytes = log(&steps);
        let mut back = Vec::new();
        let mut lines = FromLines::resealing(Opaque::default(), log_id);
        lines.push(&to_lines(&bytes), &mut back).unwrap();
        let tail = lines.finish(&mut back).unwrap();
        prop_assert!(tail.is_sealed());
        prop_assert_eq!(tail.header().log_id, log_id);
        let (items, result) = scanned(&back);
        prop_assert!(result.unwrap().cut.is_none());
        let records = |items: Vec<super::Owned>| -> Vec<_> {
            items.into_iter().filter_map(|item| match item {
                super::Owned::Record(meta, payload, _) => Some((meta, payload)),
                super::Owned::Header(_) | super::Owned::Seal(..) => None,
            }).collect()
        };
        prop_assert_eq!(records(items), records(scanned(&bytes).0));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..2_000), behind_header: bool) {
        let mut log = if behind_header { log(&[]) } else { Vec::new() };
        log.extend(&bytes);
        let _ = scanned(&log);
        let mut search = TailSearch::new(&crate::Damage { at_byte: 9, sequence: 0, kind: crate::DamageKind::Zeros });
        search.push(&log);
        search.finish();
    }

    #[test]
    fn no_change_to_a_log_panics(steps in steps(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let mut bytes = log(&steps);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let (items, result) = scanned(&bytes);
        if let Ok(scan) = result {
            let kept = scan.tail.map_or(0, |tail| tail.bytes());
            prop_assert_eq!(kept + scan.cut.map_or(0, |torn| torn.bytes_cut), bytes.len() as u64);
        }
        drop(items);
    }

    #[test]
    fn no_change_to_lines_panics(steps in steps(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), reseal: bool) {
        let mut text = to_lines(&log(&steps));
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let content = Opaque::default();
        let mut lines = if reseal { FromLines::resealing(content, [1; 16]) } else { FromLines::new(content) };
        let mut out = Vec::new();
        if lines.push(&text, &mut out).is_ok() {
            let _ = lines.finish(&mut out);
        }
    }
}
