//! What the decoder accepts and refuses, frame by frame.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use expect_test::{Expect, expect};
use time::Timestamp;

use super::{Make, batches, borders, fix_checksum, header, log, make, note, owned, scanned};
use crate::{
    Damage, DamageKind, Decoder, Encoder, FRAME_BYTES_MAX, HEADER_BYTES, Header, Item, Lone, MAGIC,
    PAYLOAD_BYTES_MAX, RecordMeta, SEAL_BYTES, Seal, SourcePosition,
};

/// The damage that a decoder finds that gets the bytes in pieces of any size.
fn damage(bytes: &[u8]) -> Damage {
    let mut found = Vec::new();
    for piece_bytes in [1, 3, 50, bytes.len()] {
        let mut decoder = Decoder::new();
        'pieces: for piece in bytes.chunks(piece_bytes) {
            decoder.push(piece);
            loop {
                match decoder.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => break 'pieces,
                }
            }
        }
        let damage = decoder.finish().expect_err("the log is damaged");
        assert_eq!(decoder.next().expect_err("damaged for ever"), damage);
        found.push(damage);
    }
    assert!(found.iter().all(|damage| *damage == found[0]), "{found:?}");
    found.remove(0)
}

fn check(bytes: &[u8], expect: &Expect) {
    expect.assert_eq(&damage(bytes).to_string());
}

/// A log of one record, one seal and one more record, with one frame changed and its checksum put right.
fn check_frame(index: usize, change: impl FnOnce(&mut [u8]), expect: &Expect) {
    let mut bytes = log(&[note(b"one"), Make::Seal { not_durable: 0 }, note(b"two")]);
    let borders = borders(&bytes);
    let frame = &mut bytes[borders[index]..borders[index + 1]];
    change(frame);
    fix_checksum(frame);
    check(&bytes, expect);
}

#[test]
fn pieces_of_any_size_give_the_same_items_and_tail() {
    let bytes = log(&batches(5));
    let (all, result) = scanned(&bytes);
    let tail = result.unwrap().tail.unwrap();
    for piece_bytes in 1..300 {
        let mut decoder = Decoder::new();
        let mut items = Vec::new();
        for piece in bytes.chunks(piece_bytes) {
            decoder.push(piece);
            while let Some(item) = decoder.next().unwrap() {
                items.push(owned(item));
            }
        }
        decoder.finish().unwrap();
        assert_eq!(items, all);
        let decoded = decoder.tail().unwrap();
        assert_eq!((decoded.bytes(), decoded.next_sequence()), (tail.bytes(), tail.next_sequence()));
        assert_eq!((decoded.seal(), decoded.sealed_before()), (tail.seal(), tail.sealed_before()));
        assert_eq!(decoder.position(), bytes.len() as u64);
        // The hash of what is not sealed yet must be the same too.
        let (mut one, mut other) = (Vec::new(), Vec::new());
        make(&mut Encoder::resume(decoded), &[Make::Seal { not_durable: 0 }], &mut one);
        make(&mut Encoder::resume(tail.clone()), &[Make::Seal { not_durable: 0 }], &mut other);
        assert_eq!(one, other);
    }
}

#[test]
fn a_tail_says_where_the_log_stands() {
    let bytes = log(&batches(2));
    let tail = scanned(&bytes).1.unwrap().tail.unwrap();
    assert_eq!((tail.next_sequence(), tail.sealed_before(), tail.durable_before()), (8, 6, 6));
    assert_eq!((tail.generation(), tail.recorded_at().micros()), (1, 1_000_070));
    assert_eq!(tail.bytes(), bytes.len() as u64);
    assert!(!tail.is_sealed() && tail.sealed_bytes() < tail.bytes());
    assert_eq!((tail.header().first_sequence, tail.header().log_id), (6, header().log_id));
}

#[test]
fn an_unreadable_header_says_what_it_has() {
    let change = |at: usize, to: &[u8], expect: &Expect| {
        let mut bytes = log(&[]);
        bytes[at..at + to.len()].copy_from_slice(to);
        fix_checksum(&mut bytes);
        check(&bytes, expect);
    };
    change(
        1,
        b"X",
        &expect![
            "byte 0, record 0: this is not a log, or its header is damaged: it begins with 89584c4c4f470d0a"
        ],
    );
    change(
        8,
        &[2, 0],
        &expect![
            "byte 0, record 0: format version 2 is unknown: this program reads version 1; if no newer program wrote the log, its header is damaged"
        ],
    );
    change(10, &[64], &expect!["byte 0, record 0: the header gives its length as 64 bytes, expected 128"]);
    change(60, &[1], &expect!["byte 0, record 0: reserved bytes of the header are not zero"]);
    change(123, &[1], &expect!["byte 0, record 0: reserved bytes of the header are not zero"]);
    change(48, &[5], &expect!["byte 0, record 0: the log begins at record 5 but names no seal before it"]);
    let mut bytes = log(&[]);
    bytes[20] ^= 1;
    check(
        &bytes,
        &expect!["byte 0, record 0: checksum is 8d0bbde4, expected cad03ef3: the frame's bytes changed"],
    );
    check(
        &log(&[])[..100],
        &expect!["byte 0, record 0: the log ends inside its header, after 100 of 128 bytes"],
    );
}

#[test]
fn an_unreadable_record_says_what_it_has() {
    check_frame(
        1,
        |frame| frame[7] = 0b10,
        &expect!["byte 128, record 0: a frame of kind 1 has flags 0b00000010, some of which are unknown"],
    );
    check_frame(
        1,
        |frame| frame[7] = 1,
        &expect![
            "byte 128, record 0: a record of 39 bytes is too short for the source position that its flags promise"
        ],
    );
    check_frame(1, |frame| frame[16] = 1, &expect!["byte 128, record 0: found record 1 in its place"]);
    check_frame(
        1,
        |frame| frame[31] = 1,
        &expect![
            "byte 128, record 0: recorded_at is 72057594038927936 us, expected at most 9007199254740991 us"
        ],
    );
    check_frame(
        3,
        |frame| frame[8] = 0,
        &expect!["byte 243, record 1: generation fell from 1 to 0: a writer that was fenced off wrote this"],
    );
    check_frame(
        3,
        |frame| frame[24..32].fill(0),
        &expect!["byte 243, record 1: recorded_at fell from 1000010 us to 0 us"],
    );
    check_frame(
        1,
        |frame| frame[4] = 0,
        &expect!["byte 128, record 0: a seal gives its length as 39 bytes, expected 76"],
    );
    check_frame(
        1,
        |frame| frame[4..8].copy_from_slice(&[0, 0, 1, 0]),
        &expect!["byte 128, record 0: a seal gives its length as 39 bytes, expected 76"],
    );
}

#[test]
fn an_unreadable_seal_says_what_it_has() {
    check_frame(
        2,
        |frame| frame[6] = 2,
        &expect!["byte 167, record 1: seal version 2 is unknown: this program reads version 1"],
    );
    check_frame(
        2,
        |frame| frame[7] = 1,
        &expect!["byte 167, record 1: a frame of kind 0 has flags 0b00000001, some of which are unknown"],
    );
    check_frame(
        2,
        |frame| frame[16] = 9,
        &expect!["byte 167, record 1: found a seal that stands before record 9"],
    );
    check_frame(
        2,
        |frame| frame[32] = 2,
        &expect!["byte 167, record 1: the seal calls the records before 2 durable, which it does not cover"],
    );
    check_frame(
        2,
        |frame| frame[40..72].fill(0),
        &expect![
            "byte 167, record 1: the bytes from 0 to here do not match their seal: it is 0000000000000000000000000000000000000000000000000000000000000000, expected b58ff2d960fc79f77359b57294f684736725dd8fefec30481087628504f3ace2"
        ],
    );
    let mut bytes = log(&[note(b"one"), Make::Seal { not_durable: 0 }, Make::Seal { not_durable: 0 }]);
    let second = bytes.len() - SEAL_BYTES;
    bytes[second + 32] = 0;
    fix_checksum(&mut bytes[second..]);
    check(
        &bytes,
        &expect!["byte 243, record 1: the seal calls the records before 0 durable, after one that said 1"],
    );
}

#[test]
fn a_length_is_bounded_before_anything_is_kept() {
    let with_length = |length: u32| {
        let mut bytes = log(&[]);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes
    };
    check(
        &with_length(35),
        &expect!["byte 128, record 0: a frame gives its length as 35 bytes, expected 36 to 1048576"],
    );
    check(
        &with_length(u32::try_from(FRAME_BYTES_MAX).unwrap() + 1),
        &expect!["byte 128, record 0: a frame gives its length as 1048577 bytes, expected 36 to 1048576"],
    );
    check(
        &with_length(u32::try_from(FRAME_BYTES_MAX).unwrap()),
        &expect!["byte 128, record 0: the log ends inside a frame, after 4 of 1048576 bytes"],
    );
    let mut magic_only = log(&[]);
    magic_only.extend_from_slice(&MAGIC[..7]);
    check(&magic_only, &expect!["byte 128, record 0: the log ends inside a frame, after 7 of 128 bytes"]);
    magic_only.push(b'X');
    check(
        &magic_only,
        &expect!["byte 128, record 0: a frame gives its length as 1280071561 bytes, expected 36 to 1048576"],
    );
    let mut two = log(&[]);
    two.extend_from_slice(&[9, 9]);
    check(&two, &expect!["byte 128, record 0: the log ends inside a frame, after 2 of 36 bytes"]);
}

#[test]
fn the_longest_record_fits() {
    let source = SourcePosition { stream: 1, partition: 2, offset: 3 };
    let payload = vec![7; PAYLOAD_BYTES_MAX];
    let bytes = log(&[
        Make::Record { kind: super::NOTE, payload, source: Some(source) },
        Make::Seal { not_durable: 0 },
    ]);
    assert_eq!(bytes.len(), HEADER_BYTES + FRAME_BYTES_MAX + SEAL_BYTES);
    assert_eq!(scanned(&bytes).1.unwrap().tail.unwrap().next_sequence(), 1);
}

/// Two segments of one log, the second as it would lie in a file of its own.
fn segments() -> (Vec<u8>, Vec<u8>) {
    let first = [note(b"one"), Make::Seal { not_durable: 0 }];
    let bytes = log(&[&first[..], &[Make::Segment, note(b"two"), Make::Seal { not_durable: 0 }]].concat());
    let (first, second) = bytes.split_at(log(&first).len());
    (first.to_vec(), second.to_vec())
}

#[test]
fn a_segment_can_be_read_alone_and_tells_so() {
    let (first, second) = segments();
    let (items, result) = scanned(&second);
    let super::Owned::Header(header) = items[0].clone() else { panic!("a header comes first") };
    assert_eq!((header.first_sequence, header.begins_log()), (1, false));
    assert_eq!(header.previous_seal, scanned(&first).1.unwrap().tail.unwrap().seal());
    assert_eq!(result.unwrap().tail.unwrap().next_sequence(), 2);
}

#[test]
fn a_further_segment_must_continue_the_log() {
    let (first, second) = segments();
    let check_header = |change: &dyn Fn(&mut [u8]), expect: &Expect| {
        let mut header = second[..HEADER_BYTES].to_vec();
        change(&mut header);
        fix_checksum(&mut header);
        check(&[&first[..], &header].concat(), expect);
    };
    check_header(
        &|header| header[16..32].fill(0xab),
        &expect![
            "byte 243, record 1: a header of log abababababababababababababababab stands in log 6c6f672d6c6f672d6c6f672d6c6f672d"
        ],
    );
    check_header(
        &|header| header[32..48].fill(0xcd),
        &expect![
            "byte 243, record 1: a header of ledger cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd stands in ledger 6c65646765722d6c65646765722d6c65"
        ],
    );
    check_header(
        &|header| header[12] = 9,
        &expect!["byte 243, record 1: a header of partition 9 stands in the log of partition 7"],
    );
    check_header(
        &|header| header[56] = 1,
        &expect!["byte 243, record 1: a header of content kind 59905 stands in a log of content kind 60000"],
    );
    check_header(
        &|header| header[48] = 9,
        &expect!["byte 243, record 1: the segment begins at record 9: it is not the next one of this log"],
    );
    check_header(
        &|header| header[64..96].fill(1),
        &expect![
            "byte 243, record 1: the segment follows seal 0101010101010101010101010101010101010101010101010101010101010101, but the last seal is b58ff2d960fc79f77359b57294f684736725dd8fefec30481087628504f3ace2"
        ],
    );
    check_header(
        &|header| header[8] = 2,
        &expect![
            "byte 243, record 1: format version 2 is unknown: this program reads version 1; if no newer program wrote the log, its header is damaged"
        ],
    );
    let again = [&first[..], &second[..HEADER_BYTES], &second[..HEADER_BYTES]].concat();
    check(
        &again,
        &expect!["byte 371, record 1: a segment begins here, but no seal covers the bytes since 243"],
    );
    check(
        &[&first[..], &second[..60]].concat(),
        &expect!["byte 243, record 1: the log ends inside a frame, after 60 of 128 bytes"],
    );
}

fn meta(sequence: u64) -> RecordMeta {
    RecordMeta {
        kind: 1,
        kind_version: 1,
        generation: 5,
        sequence,
        recorded_at: Timestamp::ZERO,
        source: None,
    }
}

#[test]
#[should_panic(expected = "record 2, expected 0: found record 2 in its place")]
fn an_encoder_writes_no_gap() {
    let mut out = Vec::new();
    Encoder::start(&header(), &mut out).record(&meta(2), b"", &mut out);
}

#[test]
#[should_panic(expected = "generation fell from 5 to 4")]
fn an_encoder_writes_nothing_for_a_fenced_writer() {
    let mut out = Vec::new();
    let mut encoder = Encoder::start(&header(), &mut out);
    encoder.record(&meta(0), b"", &mut out);
    encoder.seal(4, Timestamp::ZERO, 0, &mut out);
}

#[test]
#[should_panic(expected = "the seal calls the records before 1 durable")]
fn an_encoder_promises_no_more_than_it_wrote() {
    let mut out = Vec::new();
    Encoder::start(&header(), &mut out).seal(0, Timestamp::ZERO, 1, &mut out);
}

#[test]
#[should_panic(expected = "a segment ends with a seal")]
fn an_encoder_seals_before_a_segment() {
    let mut out = Vec::new();
    Encoder::start(&header(), &mut out).next_segment(&mut out);
}

#[test]
#[should_panic(expected = "a record of 1048577 bytes")]
fn an_encoder_keeps_the_frame_bound() {
    let mut out = Vec::new();
    let payload = vec![0; FRAME_BYTES_MAX - crate::RECORD_BYTES_MIN + 1];
    Encoder::start(&header(), &mut out).record(&meta(0), &payload, &mut out);
}

#[test]
#[should_panic(expected = "a log begins at record 0, not 5")]
fn an_encoder_begins_no_log_in_the_middle() {
    let header = Header { first_sequence: 5, previous_seal: Seal::ZERO, ..header() };
    Encoder::start(&header, &mut Vec::new());
}

#[test]
fn a_record_is_read_alone_from_the_byte_that_was_noted() {
    let log = log(&batches(4));
    let mut decoder = Decoder::new();
    decoder.push(&log);
    let mut found = 0;
    while let Some(item) = decoder.next().unwrap() {
        let (at, alone) = match item {
            Item::Record { meta, payload, at_byte } => (at_byte, Some(Lone::Record(meta, payload))),
            Item::Seal { at_byte, .. } => (at_byte, None),
            Item::Header(_) => continue,
        };
        let rest = &log[usize::try_from(at).unwrap()..];
        match alone {
            Some(record) => {
                found += 1;
                assert_eq!(Lone::read(rest), Ok(record));
                assert!(matches!(Lone::read(&rest[..20]), Ok(Lone::More { bytes }) if bytes > 20));
                let mut flipped = rest.to_vec();
                flipped[33] ^= 1;
                assert!(matches!(Lone::read(&flipped), Err(DamageKind::Checksum { .. })));
            }
            None => assert!(Lone::read(rest).is_err(), "a seal is no record"),
        }
    }
    assert!(found > 0);
}
