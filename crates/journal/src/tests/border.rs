//! Going on behind a seal without what stands before it.

use alloc::string::ToString;
use alloc::vec::Vec;

use expect_test::{Expect, expect};

use super::{Make, Opaque, batches, log, make, note, owned};
use crate::{
    Decoder, Encoder, FromLines, HEADER_BYTES, Header, LineErrorKind, SEAL_BYTES, Seal, SealBorder, Tail,
    ToLines,
};

/// Every border of a log, and how many items stand before it.
fn borders_of(bytes: &[u8]) -> Vec<(SealBorder, usize)> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    let (mut borders, mut items) = (Vec::new(), 0);
    while decoder.next().expect("a valid log").is_some() {
        items += 1;
        borders.extend(decoder.tail().and_then(|tail| tail.border()).map(|border| (border, items)));
    }
    borders
}

fn items_and_lines(mut decoder: Decoder, bytes: &[u8]) -> (Vec<super::Owned>, Vec<Vec<u8>>) {
    decoder.push(bytes);
    let mut to_lines = ToLines::new(Opaque::default());
    let (mut items, mut lines) = (Vec::new(), Vec::new());
    while let Some(item) = decoder.next().expect("a valid log") {
        items.push(owned(item));
        let mut text = Vec::new();
        to_lines.push(&item, &mut text).expect("records of this content");
        lines.push(text);
    }
    (items, lines)
}

#[test]
fn everything_goes_on_from_every_border_as_if_it_had_seen_the_whole() {
    let bytes = log(&batches(6));
    let (items, lines) = items_and_lines(Decoder::new(), &bytes);
    let borders = borders_of(&bytes);
    assert_eq!(borders.len(), 7, "a seal a batch and one before the second segment");
    for (border, items_before) in borders {
        let at = usize::try_from(border.bytes).expect("a small log");
        let tail = || Tail::at_border(&border).expect("a border of a valid log");
        assert_eq!(tail().border(), Some(border));

        let (rest, rest_lines) = items_and_lines(Decoder::resume(tail()), &bytes[at..]);
        assert_eq!(rest, items[items_before..]);
        assert_eq!(rest_lines, lines[items_before..]);

        let mut from_lines = FromLines::resume(Opaque::default(), tail());
        let mut back = Vec::new();
        from_lines.push(&rest_lines.concat(), &mut back).expect("the lines of a valid log");
        assert!(from_lines.is_at_border());
        assert_eq!(from_lines.next_sequence(), 20);
        assert_eq!(back, bytes[at..]);

        let mut more = [Vec::new(), Vec::new()];
        let whole = from_lines.finish(&mut Vec::new()).expect("the lines of a valid log");
        make(&mut Encoder::resume(whole), &batches(1), &mut more[0]);
        let mut decoder = Decoder::new();
        decoder.push(&bytes);
        while decoder.next().expect("a valid log").is_some() {}
        make(&mut Encoder::resume(decoder.tail().expect("a header")), &batches(1), &mut more[1]);
        assert_eq!(more[0], more[1]);
    }
}

#[test]
fn a_border_of_another_log_shows_at_the_next_seal() {
    let bytes = log(&batches(6));
    let (_, lines) = items_and_lines(Decoder::new(), &bytes);
    let (mut border, items_before) = borders_of(&bytes)[1];
    border.seal.0[31] ^= 1;
    let tail = Tail::at_border(&border).expect("it could be");
    let mut decoder = Decoder::resume(tail.clone());
    decoder.push(&bytes[usize::try_from(border.bytes).expect("a small log")..]);
    let damage = loop {
        match decoder.next() {
            Ok(item) => assert!(item.is_some(), "the seal is wrong"),
            Err(damage) => break damage,
        }
    };
    assert_eq!(damage.sequence, 9);

    let mut from_lines = FromLines::resume(Opaque::default(), tail);
    let error = from_lines.push(&lines[items_before..].concat(), &mut Vec::new()).expect_err("the same");
    assert!(matches!(error.kind, LineErrorKind::SealMismatch { from_line: 1, from_sequence: 6, .. }));
}

#[test]
fn values_that_are_no_border_are_refused() {
    let border = borders_of(&log(&batches(6)))[6].0;
    let refused = |change: fn(&mut SealBorder), expected: &Expect| {
        let mut changed = border;
        change(&mut changed);
        expected.assert_eq(&Tail::at_border(&changed).expect_err("no log has it").to_string());
    };
    refused(
        |border| border.header.previous_seal = Seal::ZERO,
        &expect!["the header begins at record 12 but names no seal before it"],
    );
    refused(
        |border| border.next_sequence = 11,
        &expect!["the next record is 11, but the segment begins at 12"],
    );
    refused(
        |border| border.durable_before = 19,
        &expect!["the seal calls the records before 19 durable, but the next record is 18"],
    );
    refused(|border| border.seal = Seal::ZERO, &expect!["the seal is all zeros"]);
    refused(
        |border| border.bytes = (HEADER_BYTES + SEAL_BYTES) as u64,
        &expect!["204 bytes, but header, records and seal take at least 420"],
    );
    refused(
        |border| {
            border.header = Header { first_sequence: 0, ..border.header };
            border.next_sequence = u64::MAX;
        },
        &expect!["1700 bytes, but header, records and seal take at least 18446744073709551615"],
    );
}

#[test]
fn what_stands_before_the_tail_is_skipped_and_nothing_else_is() {
    let steps = [
        note(b"a"),
        Make::Seal { not_durable: 1 },
        Make::Seal { not_durable: 0 },
        Make::Segment,
        note(b"b"),
        Make::Seal { not_durable: 1 },
    ];
    let bytes = log(&steps);
    let (_, lines) = items_and_lines(Decoder::new(), &bytes);
    let borders = borders_of(&bytes);
    let push = |from: usize, lines: &[Vec<u8>]| {
        let tail = Tail::at_border(&borders[from].0).expect("a border of a valid log");
        let mut from_lines = FromLines::resume(Opaque::default(), tail).skipping_known_seals();
        from_lines.push(&lines.concat(), &mut Vec::new()).map(|()| from_lines.next_sequence())
    };
    // Lines: header, record 0, seal, closing seal, header, record 1, seal. From record 1 on they begin with the seals.
    for from in [0, 1] {
        assert_eq!(push(from, &lines[2..]), Ok(2));
    }
    assert_eq!(push(2, &lines[6..]), Ok(2), "the last seal again");
    assert_eq!(push(1, &lines[4..]), Ok(2), "without the seals that stand before");
    assert_eq!(push(1, &[&lines[2..5], &lines[4..]].concat()), Ok(2), "the segment's header twice");
    assert!(push(0, &lines[4..]).is_err(), "the closing seal is missing");
    assert!(
        push(0, &[&lines[2..3], &lines[5..]].concat()).is_err(),
        "the closing seal and the header are missing"
    );
    assert!(push(1, &lines[1..]).is_err(), "a record that stands before is never skipped");
    let tail = Tail::at_border(&borders[1].0).expect("a border of a valid log");
    let strict = FromLines::resume(Opaque::default(), tail).push(&lines[2..].concat(), &mut Vec::new());
    assert!(strict.is_err(), "only who asks for it skips");
}
