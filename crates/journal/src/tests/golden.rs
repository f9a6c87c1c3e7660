//! The first version's bytes. They open for ever: nothing here is ever changed, a later version adds its own.

use alloc::vec::Vec;

use time::Timestamp;

use super::{Owned, hex, scanned};
use crate::{Encoder, Header, RecordMeta, Seal, SourcePosition};

const VERSION_1: &str = "\
89574c4c4f470d0a0100800003000000000102030405060708090a0b0c0d0e0f\n\
101112131415161718191a1b1c1d1e1f00000000000000000100000000000000\n\
0000000000000000000000000000000000000000000000000000000000000000\n\
0000000000000000000000000000000000000000000000000000000012bf3ff9\n\
29000000020001000100000000000000000000000000000000401e18240a0600\n\
68656c6c6ff86d2daf4c00000000000100010000000000000001000000000000\n\
0001401e18240a06000000000000000000fe3535d835cf24ea40b24e6bfe1928\n\
62ef2d3565b16329e2a83e359e24607b8ce048cb4389574c4c4f470d0a010080\n\
0003000000000102030405060708090a0b0c0d0e0f101112131415161718191a\n\
1b1c1d1e1f01000000000000000100000000000000fe3535d835cf24ea40b24e\n\
6bfe192862ef2d3565b16329e2a83e359e24607b8c0000000000000000000000\n\
000000000000000000000000000000000086682d3b3800000001020401020000\n\
0000000000010000000000000002401e18240a06000500000000000000060000\n\
000700000000000000615a9a7a4c000000000001000200000000000000020000\n\
000000000003401e18240a06000100000000000000fe09747439678e9a6a0a77\n\
133add399272d4e2ff758d4bf4e5f9117a196f7eea13d6f7854c000000000001\n\
000200000000000000020000000000000003401e18240a060002000000000000\n\
0044c14ed0170f850c3309ac9925a74f2002063549c7372073123475dcabc4e3\n\
2d343986b3\n";

fn golden_header() -> Header {
    Header {
        log_id: core::array::from_fn(|at| u8::try_from(at).unwrap()),
        ledger_id: core::array::from_fn(|at| 0x10 + u8::try_from(at).unwrap()),
        partition: 3,
        content: 1,
        first_sequence: 0,
        previous_seal: Seal::ZERO,
    }
}

/// Everything that the format has: a record without and with source, seals, a further segment, a closing seal.
fn golden_log() -> Vec<u8> {
    let at = |micros: u64| Timestamp::from_micros(1_700_000_000_000_000 + micros).unwrap();
    let mut out = Vec::new();
    let mut encoder = Encoder::start(&golden_header(), &mut out);
    let first =
        RecordMeta { kind: 2, kind_version: 1, generation: 1, sequence: 0, recorded_at: at(0), source: None };
    encoder.record(&first, b"hello", &mut out);
    encoder.seal(1, at(1), 0, &mut out);
    encoder.next_segment(&mut out);
    let source = Some(SourcePosition { stream: 5, partition: 6, offset: 7 });
    let second =
        RecordMeta { kind: 513, kind_version: 4, generation: 2, sequence: 1, recorded_at: at(2), source };
    encoder.record(&second, b"", &mut out);
    encoder.seal(2, at(3), 1, &mut out);
    encoder.seal(2, at(3), 2, &mut out);
    out
}

#[test]
fn version_1() {
    assert_eq!(hex(&golden_log()), VERSION_1);
    let mut bytes = Vec::new();
    assert!(VERSION_1.lines().all(|line| crate::json::read_hex(line, &mut bytes)));
    let (items, result) = scanned(&bytes);
    let tail = result.unwrap().tail.unwrap();
    assert_eq!((tail.next_sequence(), tail.durable_before(), tail.is_sealed()), (2, 2, true));
    let Seal(seal) = tail.seal();
    assert_eq!(seal[..4], [0x44, 0xc1, 0x4e, 0xd0]);
    let second_header = Header { first_sequence: 1, previous_seal: seal_of(&items[2]), ..golden_header() };
    let records = [(&items[1], 2, 128, "hello"), (&items[4], 513, 373, "")];
    for (item, kind, frame_at_byte, text) in records {
        let Owned::Record(meta, payload, at_byte) = item else { panic!("{item:?}") };
        assert_eq!((meta.kind, *at_byte, &payload[..]), (kind, frame_at_byte, text.as_bytes()));
    }
    assert_eq!(items[0], Owned::Header(golden_header()));
    assert_eq!(items[3], Owned::Header(second_header));
    assert_eq!(items.len(), 7);
}

fn seal_of(item: &Owned) -> Seal {
    let Owned::Seal(frame, _) = item else { panic!("{item:?}") };
    frame.seal
}
