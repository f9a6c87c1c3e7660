//! Cuts, flips, left-overs: what may be cut and what must be refused.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use expect_test::{Expect, expect};

use super::{Make, batches, borders, fix_checksum, header, log, make, note, scanned};
use crate::{
    Damage, DamageKind, Decoder, Encoder, HEADER_BYTES, HeaderDamage, SEAL_BYTES, TailSearch, Verdict,
};

#[test]
fn a_log_cut_anywhere_is_a_prefix_and_goes_on_as_if_nothing_had_been() {
    let steps = batches(6);
    let whole = log(&steps);
    let (all, _) = scanned(&whole);
    let borders = borders(&whole);
    for cut in 0..=whole.len() {
        let (items, result) = scanned(&whole[..cut]);
        let scan = result.unwrap_or_else(|corrupt| panic!("cut at {cut}: {corrupt}"));
        let kept = borders.iter().rposition(|border| *border <= cut).expect("0 is a border");
        assert_eq!(items, all[..kept], "cut at {cut}");
        match scan.cut {
            None => assert_eq!(borders[kept], cut),
            Some(torn) => {
                assert_eq!(
                    (torn.cut_at_byte, torn.bytes_cut),
                    (borders[kept] as u64, (cut - borders[kept]) as u64)
                );
                assert_eq!(torn.next_sequence, scan.tail.as_ref().map_or(0, |tail| tail.next_sequence()));
            }
        }
        let mut again = whole[..borders[kept]].to_vec();
        let mut encoder = match scan.tail {
            None => Encoder::start(&header(), &mut again),
            Some(tail) => Encoder::resume(tail),
        };
        make(&mut encoder, &steps[kept.saturating_sub(1)..], &mut again);
        assert!(again == whole, "cut at {cut}: the log goes on differently");
    }
}

#[test]
fn every_flipped_bit_is_refused_or_cut_behind_the_durable_mark() {
    let whole = log(&batches(12));
    let (all, _) = scanned(&whole);
    let borders = borders(&whole);
    let mut cuts = 0;
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let frame = borders.iter().rposition(|border| *border <= bit / 8).expect("0 is a border");
        let (items, result) = scanned(&bytes);
        assert_eq!(items, all[..frame], "bit {bit}");
        // Seals behind the flipped frame keep their word.
        let mark = all[frame + 1..].iter().rev().find_map(|item| match item {
            super::Owned::Seal(frame, _) => Some(frame.durable_before),
            super::Owned::Header(_) | super::Owned::Record(..) => None,
        });
        match result {
            Err(corrupt) => assert_eq!(corrupt.damage.at_byte, borders[frame] as u64, "bit {bit}"),
            Ok(scan) => {
                cuts += 1;
                let torn = scan.cut.unwrap_or_else(|| panic!("bit {bit} went unseen"));
                assert_eq!(torn.cut_at_byte, borders[frame] as u64, "bit {bit}");
                assert!(mark.is_none_or(|mark| mark <= torn.next_sequence), "bit {bit} was durable: {torn}");
            }
        }
    }
    assert!(cuts > 0 && cuts < whole.len() * 2, "{cuts} of {} flips were cut", whole.len() * 8);
}

fn check(bytes: &[u8], expect: &Expect) {
    let (_, result) = scanned(bytes);
    expect.assert_eq(&match result {
        Ok(scan) => scan.cut.map_or("whole".to_string(), |torn| torn.to_string()),
        Err(corrupt) => corrupt.to_string(),
    });
}

#[test]
fn a_log_that_was_never_made_is_a_torn_creation() {
    let whole = log(&[note(b"one")]);
    check(
        &[],
        &expect![
            "an append was interrupted: cut 0 bytes at byte 0, the next record is 0 (the log ends inside its header, after 0 of 128 bytes)"
        ],
    );
    check(
        &whole[..127],
        &expect![
            "an append was interrupted: cut 127 bytes at byte 0, the next record is 0 (the log ends inside its header, after 127 of 128 bytes)"
        ],
    );
    check(
        &[0; 127],
        &expect![
            "an append was interrupted: cut 127 bytes at byte 0, the next record is 0 (zeros stand where a frame was expected)"
        ],
    );
    let damage = Damage { at_byte: 0, sequence: 0, kind: HeaderDamage::Truncated { found_bytes: 3 }.into() };
    let mut search = TailSearch::new(&damage);
    search.push(&whole[..3]);
    assert!(matches!(search.finish(), Verdict::TornCreation(torn) if torn.bytes_cut == 3));
}

#[test]
fn what_is_not_a_log_is_never_cut() {
    check(
        b"id,name\n1,alice\n",
        &expect![
            "the log is corrupt at byte 0, record 0: this is not a log, or its header is damaged: it begins with 69642c6e616d650a; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    check(
        &[0; 128],
        &expect![
            "the log is corrupt at byte 0, record 0: this is not a log, or its header is damaged: it begins with 0000000000000000; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    let mut bytes = log(&[note(b"one")]);
    bytes[HEADER_BYTES - 1] ^= 1;
    check(
        &bytes,
        &expect![
            "the log is corrupt at byte 0, record 0: checksum is cad03ef3, expected cbd03ef3: the frame's bytes changed; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
}

#[test]
fn a_tail_of_zeros_is_cut_and_called_so() {
    let mut bytes = log(&[note(b"one"), Make::Seal { not_durable: 1 }]);
    let length = bytes.len();
    for zeros in [1, 3, 4, 100, 200_000] {
        bytes.resize(length + zeros, 0);
        let torn = scanned(&bytes).1.unwrap().cut.unwrap();
        assert_eq!((torn.cut_at_byte, torn.bytes_cut), (length as u64, zeros as u64));
        assert_eq!(torn.reason, DamageKind::Zeros);
        assert!(torn.is_reserved_space());
    }
    // An append whose first bytes are missing: what is behind the zeros must go.
    for zeros in [4, 100, 70_000] {
        bytes.resize(length + zeros, 0);
        bytes.push(1);
        let torn = scanned(&bytes).1.unwrap().cut.unwrap();
        assert_eq!((torn.cut_at_byte, &torn.reason), (length as u64, &DamageKind::Hole));
        assert!(!torn.is_reserved_space());
        bytes.truncate(length);
    }
    // Zeros in the middle are a hole: the seals behind decide.
    let mut bytes =
        log(&[note(b"one"), Make::Seal { not_durable: 1 }, note(b"two"), Make::Seal { not_durable: 0 }]);
    bytes[HEADER_BYTES..HEADER_BYTES + 39].fill(0);
    check(
        &bytes,
        &expect![
            "the log is corrupt at byte 128, record 0: zeros stand where a frame was expected; the seal at byte 282 says that the records before 2 were durable, so this is no interrupted append: restore the log from a copy"
        ],
    );
}

#[test]
fn only_a_mark_above_the_damaged_record_vouches() {
    let steps = |last| {
        [
            note(b"one"),
            Make::Seal { not_durable: 1 },
            note(b"two"),
            note(b"three"),
            Make::Seal { not_durable: last },
        ]
    };
    let second_record = HEADER_BYTES + 39 + SEAL_BYTES;
    let check_mark = |not_durable, expect: &Expect| {
        let mut bytes = log(&steps(not_durable));
        bytes[second_record + 33] ^= 0x40;
        check(&bytes, expect);
    };
    check_mark(
        2,
        &expect![
            "an append was interrupted: cut 156 bytes at byte 243, the next record is 1 (checksum is 7e5856fb, expected 814f90ff: the frame's bytes changed)"
        ],
    );
    check_mark(
        1,
        &expect![
            "the log is corrupt at byte 243, record 1: checksum is 7e5856fb, expected 814f90ff: the frame's bytes changed; the seal at byte 323 says that the records before 2 were durable, so this is no interrupted append: restore the log from a copy"
        ],
    );
}

#[test]
fn an_edit_with_right_checksums_is_never_cut() {
    let mut bytes = log(&[note(b"one"), Make::Seal { not_durable: 1 }]);
    bytes[HEADER_BYTES + 32] = b'O';
    fix_checksum(&mut bytes[HEADER_BYTES..HEADER_BYTES + 39]);
    check(
        &bytes,
        &expect![
            "the log is corrupt at byte 167, record 1: the bytes from 0 to here do not match their seal: it is 428f182524c39fd53d2259137d740cf3971175a6715f8a058cac0d5a9473a969, expected 2f940033ec70324b2f4056137967dbe18af6c0f3eaafc661e0a6c65e18004f73; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
}

#[test]
fn left_overs_of_a_tail_that_was_cut_are_cut_again() {
    // The old tail: record 0 torn, record 1 whole. The new writer replaces record 0 and crashes.
    let old = log(&[note(b"old"), note(b"left")]);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::start(&header(), &mut bytes);
    let meta = crate::RecordMeta {
        kind: 1,
        kind_version: 1,
        generation: 2,
        sequence: 0,
        recorded_at: time::Timestamp::ZERO,
        source: None,
    };
    encoder.record(&meta, b"new", &mut bytes);
    bytes.extend_from_slice(&old[bytes.len()..]);
    check(
        &bytes,
        &expect![
            "an append was interrupted: cut 40 bytes at byte 167, the next record is 1 (generation fell from 2 to 1: a writer that was fenced off wrote this)"
        ],
    );
}

#[test]
fn a_search_in_pieces_finds_what_a_search_in_one_finds() {
    // A filler of more than one search window, then the seal.
    let steps = [note(b"one"), note(&vec![0x4c; 150_000]), Make::Seal { not_durable: 0 }];
    let mut bytes = log(&steps);
    bytes[HEADER_BYTES + 8] ^= 1;
    let corrupt = scanned(&bytes).1.expect_err("a durable record is damaged");
    let seal_at_byte = (bytes.len() - SEAL_BYTES) as u64;
    assert_eq!(corrupt.vouching.unwrap().seal_at_byte, seal_at_byte);
    for piece_bytes in [1, 7, 75, 76, 77, 65_535, 65_536, 65_537] {
        let mut search = TailSearch::new(&corrupt.damage);
        bytes[HEADER_BYTES..].chunks(piece_bytes).for_each(|piece| search.push(piece));
        assert_eq!(search.finish(), Verdict::Corrupt(corrupt.clone()), "pieces of {piece_bytes}");
    }
}

#[test]
fn a_stream_is_judged_like_a_log_in_memory() {
    let mut bytes = log(&batches(4));
    let length = bytes.len();
    bytes.truncate(length - 5);
    let mut decoder = Decoder::new();
    let mut search = None;
    for piece in bytes.chunks(100) {
        decoder.push(piece);
        while decoder.next().expect("only the end is torn").is_some() {}
    }
    if let Err(damage) = decoder.finish() {
        let mut started = TailSearch::new(&damage);
        started.push(decoder.undecoded());
        search = Some(started.finish());
    }
    let cut = scanned(&bytes).1.unwrap().cut.unwrap();
    assert_eq!(search, Some(Verdict::TornTail(cut)));
}
