//! From one copy of a ledger to another: snapshots and followers.

use super::forms::lines;
use super::random::{any_step, take_step};
use super::{Rig, check, recover, small};
use crate::{Config, DurableView, FollowError, Follower, Input, LedgerContent, Snapshot, SnapshotError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expect_test::{Expect, expect};
use journal::{Decoder, Item, Seal, ToLines};
use ledger::Record;
use proptest::prelude::*;

const SCRIPT: [&str; 12] = [
    "open alice 100",
    "open bob 0",
    "settle",
    "transfer t1 alice bob 30",
    "transfer t2 alice nobody 30",
    "wait 5",
    "settle",
    "deposit d1 alice 5",
    "withdraw w1 alice 500",
    "settle",
    "close",
    "settle",
];

fn rig_of(script: &[&str]) -> Rig {
    let mut rig = Rig::new(Config::default());
    script.iter().for_each(|line| rig.run(line));
    rig
}

fn view(rig: &Rig) -> DurableView {
    rig.pipeline.durable_view().expect("a log that ends in a seal")
}

fn snapshot(rig: &Rig) -> Snapshot {
    Snapshot::decode(&view(rig).encode()).expect("a snapshot's own bytes")
}

/// The lines of a log behind this byte of its binary form.
fn lines_behind(log: &[u8], bytes: u64) -> String {
    let mut decoder = Decoder::new();
    decoder.push(log);
    let mut to_lines = ToLines::new(LedgerContent::default());
    let mut out = Vec::new();
    while let Some(item) = decoder.next().expect("a whole log") {
        let at_byte = match item {
            Item::Header(_) => 0,
            Item::Record { at_byte, .. } | Item::Seal { at_byte, .. } => at_byte,
        };
        let start = out.len();
        to_lines.push(&item, &mut out).expect("a ledger's log");
        if at_byte < bytes {
            out.truncate(start);
        }
    }
    String::from_utf8(out).expect("lines are UTF-8")
}

fn assert_same(follower: &Follower, rig: &Rig) {
    let whole = recover(&rig.durable);
    assert_eq!(follower.digest(), whole.ledger.digest());
    assert_eq!(follower.next_sequence(), whole.projections.checkpoint());
    assert!(follower.ledger().accounts().eq(whole.ledger.accounts()));
    let (mine, theirs) = (follower.projections(), &whole.projections);
    assert!(mine.balances.iter().eq(theirs.balances.iter()));
    assert_eq!(mine.totals.balances_total(), theirs.totals.balances_total());
    assert_eq!(mine.counts, theirs.counts);
    assert_eq!(mine.pending.holds(), theirs.pending.holds());
    assert_eq!(mine.pending.holds(), follower.ledger().holds());
    assert_eq!(follower.border(), whole.tail.and_then(|tail| tail.border()));
}

#[test]
fn the_bytes_of_a_snapshot() {
    let rig = rig_of(&SCRIPT[..7]);
    let bytes = view(&rig).encode();
    let hex: Vec<String> = bytes
        .chunks(16)
        .map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
        .collect();
    expect![[r#"
        89 57 4c 53 4e 50 0d 0a 02 00 01 00 00 00 00 00
        01 01 01 01 01 01 01 01 01 01 01 01 01 01 01 01
        02 02 02 02 02 02 02 02 02 02 02 02 02 02 02 02
        04 00 00 00 00 00 00 00 80 02 00 00 00 00 00 00
        01 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00
        02 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        05 7b 44 2e 4b 42 8a 3b 16 1c 92 9e 89 7a cd 37
        f2 4e 8f e4 e3 a3 9f 40 a6 63 34 86 83 a2 49 40
        0e c5 63 06 cf b4 1c 3d c8 c9 fe 92 61 d7 ac 66
        0a 0e 02 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        00 00 01 00 00 00 03 55 53 44 02 03 00 00 00 0a
        40 77 6f 72 6c 64 2f 55 53 44 00 00 00 00 00 00
        00 00 00 00 00 80 9c ff ff ff ff ff ff ff 00 00
        00 00 00 00 00 00 05 61 6c 69 63 65 00 00 00 00
        00 00 00 00 00 00 00 00 46 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 03 62 6f 62 00 00 00 00
        00 00 00 00 00 00 00 00 1e 00 00 00 00 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 98 47 82 12
        db 98 f3 ac 8b db 8d 2b a4 d4 70 60 f3 e9 e8 b3
        41 cf e9 12 07 71 bd a1 d6 bb e1 bd"#]]
    .assert_eq(&hex.join("\n"));
    let snapshot = Snapshot::decode(&bytes).expect("a snapshot's own bytes");
    assert_eq!(snapshot.encode(), bytes);
    assert_eq!((snapshot.next_sequence(), snapshot.recorded_at().micros()), (4, 5));
    assert_eq!(view(&rig).digest(), snapshot.digest);
}

#[test]
fn the_bytes_of_open_pending_transfers_and_floors() {
    let mut rig = rig_of(&SCRIPT[..3]);
    for line in ["pend p1 alice bob 30 80", "pend p2 alice bob 7", "floor f1 bob -9", "settle"] {
        rig.run(line);
    }
    let bytes = view(&rig).encode();
    let accounts = 178 + 8 * projection::KINDS_COUNT * projection::RESULTS_COUNT + 4 + 5;
    let hex: Vec<String> = bytes[accounts..bytes.len() - 32]
        .chunks(16)
        .map(|row| row.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "))
        .collect();
    expect![[r#"
        03 00 00 00 0a 40 77 6f 72 6c 64 2f 55 53 44 00
        00 00 00 00 00 00 00 00 00 00 80 9c ff ff ff ff
        ff ff ff 00 00 00 00 00 00 00 00 05 61 6c 69 63
        65 00 00 00 00 00 00 00 00 00 00 00 00 64 00 00
        00 00 00 00 00 25 00 00 00 00 00 00 00 03 62 6f
        62 00 00 00 00 f7 ff ff ff ff ff ff ff 00 00 00
        00 00 00 00 00 00 00 00 00 00 00 00 00 02 00 00
        00 8f 45 71 98 e2 0f 81 23 bb 2f 41 fb 20 b8 39
        37 01 00 00 00 02 00 00 00 1e 00 00 00 00 00 00
        00 01 50 00 00 00 00 00 00 00 bf fa 69 96 af fc
        81 20 8f d9 c6 47 9c 51 d7 3b 01 00 00 00 02 00
        00 00 07 00 00 00 00 00 00 00 00"#]]
    .assert_eq(&hex.join("\n"));
    let snapshot = Snapshot::decode(&bytes).expect("a snapshot's own bytes");
    assert_eq!(snapshot.encode(), bytes);
    let mut swapped = snapshot.clone();
    swapped.holds.reverse();
    let refused = Snapshot::decode(&swapped.encode()).expect_err("one state has one form").to_string();
    expect!["snapshot, byte 1453, a pending transfer: 8f457198-e20f-8123-bb2f-41fb20b83937 does not come behind the one before it"].assert_eq(&refused);
    let mut other = snapshot.clone();
    other.holds.pop();
    let refused = other.ledger(0).map(drop).expect_err("the sums do not fit").to_string();
    expect!["snapshot, byte 1311, the pending transfers: account alice has 37 held, but its pending transfers add up to 30"].assert_eq(&refused);
    // Whoever goes on from it can post, void and let expire.
    let mut follower = Follower::resume(&snapshot, 3).expect("a ledger's snapshot");
    for line in ["post o1 p2 3", "settle", "wait 80", "settle"] {
        rig.run(line);
    }
    let text = lines_behind(&rig.durable, snapshot.border.map_or(0, |border| border.bytes));
    follower.push_lines(&text).expect("the log's lines");
    assert_same(&follower, &rig);
    assert!(follower.ledger().holds().is_empty());
}

#[test]
fn a_follower_comes_to_the_same_state_by_the_lines() {
    for cut in [0, 3, 7, 10, 12] {
        let mut rig = rig_of(&SCRIPT[..cut]);
        let before = snapshot(&rig);
        let mut follower = Follower::resume(&before, 3).expect("a ledger's snapshot");
        assert_same(&follower, &rig);
        SCRIPT[cut..].iter().for_each(|line| rig.run(line));
        let text = lines_behind(&rig.durable, before.border.map_or(0, |border| border.bytes));
        let mut seen = Vec::new();
        let each = |record: &Record<'_>| seen.push(record.sequence);
        let folded = follower.push_lines_with(&text, each).expect("the log's lines");
        assert!(seen.iter().copied().eq(before.next_sequence()..6));
        assert_eq!(folded, seen.len() as u64);
        assert_same(&follower, &rig);
        assert_eq!((follower.sealed_before(), follower.is_at_border()), (6, true));
        assert_eq!(follower.projections().begins_at(), before.next_sequence());
        assert_eq!(follower.log_id(), Some([1; 16]));
    }
}

#[test]
fn the_text_may_be_cut_anywhere() {
    let rig = rig_of(&SCRIPT);
    let mut follower = Follower::new(0);
    assert_eq!(follower.log_id(), None);
    for character in lines(&rig.durable).chars() {
        follower.push_lines(character.encode_utf8(&mut [0; 4])).expect("the log's lines");
    }
    assert_same(&follower, &rig);
}

#[test]
fn a_follower_refuses_what_is_not_the_log() {
    let rig = rig_of(&SCRIPT);
    let before = snapshot(&rig_of(&SCRIPT[..3]));
    let text = lines_behind(&rig.durable, before.border.expect("a seal").bytes);
    let refused = |change: &dyn Fn(&mut Snapshot, &str) -> String, expected: &Expect| {
        let mut before = before.clone();
        let text = change(&mut before, &text);
        let mut follower = Follower::resume(&before, 0).expect("a ledger's snapshot");
        let error = follower.push_lines(&text).expect_err("not the log").to_string();
        expected.assert_eq(&error);
        assert_eq!(follower.push_lines("").expect_err("the first error is final").to_string(), error);
    };
    let replaced = |from: &'static str, to: &'static str| {
        move |_: &mut Snapshot, text: &str| {
            assert!(text.contains(from));
            text.replacen(from, to, 1)
        }
    };
    refused(
        &replaced("\"amount\":30", "\"amount\":300"),
        &expect![
            "line 4, record 4: the lines from 1, records from 2, do not match their seal: it is 057b442e4b428a3b161c929e897acd37f24e8fe4e3a39f40a663348683a24940, expected d095b493cbb2e62e66b061c75adb310450010ef02b3bedad40af01d1096df1f0; they were edited or damaged; resealing makes another log of them"
        ],
    );
    refused(
        &replaced("\"amount\":5}", "\"amount\":6}"),
        &expect![
            "line 8, record 6: the lines from 5, records from 4, do not match their seal: it is ef8ab914e5a44f6faed229295b8643750b24f45bd180b9ce85e688af776fcbab, expected 9696d50f72f08a1684bada203c63c6d6236d24daf0070e70791f4e5df4cadee7; they were edited or damaged; resealing makes another log of them"
        ],
    );
    refused(
        &replaced("\"insufficient_funds\"", "\"overflow\""),
        &expect![
            "line 8, record 6: the lines from 5, records from 4, do not match their seal: it is ef8ab914e5a44f6faed229295b8643750b24f45bd180b9ce85e688af776fcbab, expected 248b004a14d6a9c01d9b06eee921b884dbc624a1366fd61509c909bbf89f493b; they were edited or damaged; resealing makes another log of them"
        ],
    );
    refused(
        &|_, text| text.lines().skip(2).fold(String::new(), |all, line| all + line + "\n"),
        &expect!["line 1, record 2: found record 3 in its place"],
    );
    refused(
        &|before, text| {
            before.border.as_mut().expect("a seal").seal = Seal([9; 32]);
            text.to_string()
        },
        &expect![
            "line 4, record 4: the lines from 1, records from 2, do not match their seal: it is 057b442e4b428a3b161c929e897acd37f24e8fe4e3a39f40a663348683a24940, expected 8a2c2d9dc4c583037cbb15056f910655517e60ac3479febb2421c858e7052ef3; they were edited or damaged; resealing makes another log of them"
        ],
    );
    // The ids answered before are not in a snapshot; those since then are known.
    refused(
        &|_, text| {
            let record: Vec<&str> = text.lines().take(2).collect();
            let again = record.join("\n").replace("\"sequence\":2,", "\"sequence\":3,");
            format!("{}\n{again}\n", record.join("\n"))
        },
        &expect![
            "record 3 at byte 484 has the transaction id da1bf894-ee3a-833d-b872-8bd20c0410c3, which record 2 has already"
        ],
    );
}

#[test]
fn a_log_that_was_made_anew_is_another() {
    let empty = snapshot(&rig_of(&[]));
    assert_eq!((empty.border, empty.next_sequence()), (None, 0));
    let mut follower = Follower::resume(&empty, 0).expect("a ledger's snapshot");
    let text = lines(&rig_of(&SCRIPT).durable).replacen("01010101", "02010101", 1);
    let header = text.split_inclusive('\n').next().expect("a header line");
    let error = follower.push_lines(header).expect_err("another log");
    assert!(matches!(error, FollowError::OtherLog { .. }));
    expect!["the header names log 02010101010101010101010101010101, but the snapshot is of log 01010101010101010101010101010101"].assert_eq(&error.to_string());
}

#[test]
fn there_is_no_snapshot_behind_records_without_a_seal() {
    let mut rig = rig_of(&SCRIPT[..7]);
    let seal_bytes = rig.durable.len() - journal::SEAL_BYTES;
    rig.durable.truncate(seal_bytes);
    rig.run("restart");
    assert!(rig.pipeline.durable_view().is_none() && rig.pipeline.durable_border().is_none());
    rig.run("deposit d1 alice 5");
    rig.run("settle");
    assert_eq!(snapshot(&rig).next_sequence(), 5);
}

#[test]
fn what_is_not_durable_is_in_no_snapshot() {
    let mut rig = rig_of(&SCRIPT[..3]);
    let before = view(&rig).encode();
    for line in ["transfer t1 alice bob 30", "lookups", "open carol 7", "lookups"] {
        rig.run(line);
        assert_eq!(view(&rig).encode(), before);
    }
    rig.run("durable");
    assert_eq!(snapshot(&rig).next_sequence(), 3);
    rig.run("fail");
    assert_eq!(snapshot(&rig).next_sequence(), 3, "what was durable can still be read");
}

#[test]
fn after_a_failed_append_nobody_waits_for_an_answer() {
    check(
        Config { commands_max: 3, ..small() },
        "
        open alice 100
        lookups
        open bob 1
        open carol 2
        open dora 3
        fail
        open erna 5
        ",
        &expect![[r#"
            open alice 100
              find open alice
            lookups
              append 0..1
            open bob 1
              find open bob
            open carol 2
              find open carol
            open dora 3
              find open dora
            fail
              #1 unavailable
              #2 unavailable
              #3 unavailable
              #4 unavailable
            open erna 5
              #5 unavailable
        "#]],
    );
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = view(&rig_of(&SCRIPT)).encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        Snapshot::decode(&flipped).expect_err("a bit was flipped");
    }
    for length in 0..bytes.len() {
        Snapshot::decode(&bytes[..length]).expect_err("it was cut off");
    }
    let longer = [&bytes[..], &[0]].concat();
    Snapshot::decode(&longer).expect_err("it goes on");
}

/// Gives bytes the hash that they have now.
fn rehash(bytes: &mut [u8]) {
    let body = bytes.len() - 32;
    let hash = blake3::hash(&bytes[..body]);
    bytes[body..].copy_from_slice(hash.as_bytes());
}

/// Decodes, checks and forgets; whatever the bytes are, it does not panic.
fn try_to_follow(bytes: &[u8]) -> Result<(), SnapshotError> {
    let snapshot = Snapshot::decode(bytes)?;
    assert_eq!(snapshot.encode(), bytes, "one state has one form");
    let mut follower = Follower::resume(&snapshot, 1)?;
    // Any answer will do: the bytes may be those of another log.
    let _ = follower.push_lines(&lines(&rig_of(&SCRIPT).durable));
    Ok(())
}

#[test]
fn what_no_log_has_is_refused_by_byte_and_field() {
    let bytes = view(&rig_of(&SCRIPT[..7])).encode();
    let refused = |at: usize, changed: &[u8], expected: &Expect| {
        let mut bytes = bytes.clone();
        bytes[at..at + changed.len()].copy_from_slice(changed);
        rehash(&mut bytes);
        expected.assert_eq(&try_to_follow(&bytes).expect_err("no log has it").to_string());
    };
    refused(0, b"\x89WLLOG", &expect!["snapshot, byte 0, the magic: this is no snapshot"]);
    refused(
        8,
        &[1],
        &expect!["snapshot, byte 8, the version: version 1 is unknown: this program reads version 2"],
    );
    refused(10, &[2], &expect!["snapshot, byte 10, the content kind: 2 is not the ledger's, 1"]);
    refused(48, &[3], &expect!["snapshot, byte 176, the counts: 3 records cannot have so many commands"]);
    refused(
        56,
        &[1, 0],
        &expect!["snapshot, byte 56, the seal: 1 bytes, but header, records and seal take at least 348"],
    );
    refused(
        72,
        &[0xff; 8],
        &expect![
            "snapshot, byte 72, the time of the seal: 18446744073709551615 us, expected at most 9007199254740991"
        ],
    );
    refused(
        80,
        &[5],
        &expect![
            "snapshot, byte 56, the seal: the seal calls the records before 5 durable, but the next record is 4"
        ],
    );
    refused(
        88,
        &[5],
        &expect!["snapshot, byte 56, the seal: the header begins at record 5 but names no seal before it"],
    );
    refused(
        128,
        &[0; 32],
        &expect!["snapshot, byte 56, the seal: there is no seal, but something before it"],
    );
    refused(
        176,
        &[3],
        &expect![
            "snapshot, byte 176, the counts: 3 kinds with 14 results, expected 10 with 14: another program wrote them"
        ],
    );
    refused(178, &[3], &expect!["snapshot, byte 176, the counts: 4 records cannot have so many commands"]);
    refused(
        178,
        &[0xff; 16],
        &expect!["snapshot, byte 176, the counts: 4 records cannot have so many commands"],
    );
    let accounts = 178 + 8 * projection::KINDS_COUNT * projection::RESULTS_COUNT;
    refused(accounts, &[2], &expect!["snapshot, byte 1311, an asset code: not there or not valid"]);
    refused(accounts, &[0xff; 4], &expect!["snapshot, byte 1311, an asset code: not there or not valid"]);
    refused(accounts + 5, b"usd", &expect!["snapshot, byte 1306, an asset code: not there or not valid"]);
    refused(
        accounts + 9,
        &[0xff; 4],
        &expect!["snapshot, byte 1417, an account name: not there or not valid"],
    );
    refused(accounts + 9, &[2], &expect!["snapshot, byte 1420, a flag: not there or not valid"]);
    refused(accounts + 13, &[0], &expect!["snapshot, byte 1312, an account name: not there or not valid"]);
    refused(
        accounts + 14,
        b"@world/EUR",
        &expect![
            "snapshot, byte 1311, an account: account #0 cannot be: @world/EUR is not the name of the world account of USD"
        ],
    );
    refused(
        accounts + 24,
        &[1],
        &expect!["snapshot, byte 1322, an asset number: asset 1 is not the next of 1 assets, 0"],
    );
    refused(
        accounts + 36,
        &[1],
        &expect!["snapshot, byte 1311, the accounts: the balances of USD add up to -155, expected 0"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever happened, and whenever the snapshot was taken: it is the state of the durable log behind its seal, and
    /// whoever goes on from it by the lines comes to the same state.
    #[test]
    fn a_snapshot_and_the_lines_behind_it_are_the_log(steps in prop::collection::vec(any_step(), 1..50)) {
        let config = Config {
            commands_max: 6,
            stage_commands_max: 3,
            append_records_max: 2,
            appends_in_flight_max: 3,
            recent_ids_max: 11,
            ..Config::default()
        };
        let mut rig = Rig::new(config);
        let mut snapshots = Vec::new();
        for step in steps {
            take_step(&mut rig, step);
            let view = rig.pipeline.durable_view().expect("every batch ends in a seal");
            let bytes = view.encode();
            let snapshot = Snapshot::decode(&bytes).expect("a snapshot's own bytes");
            prop_assert_eq!(&snapshot.encode(), &bytes);
            let follower = Follower::resume(&snapshot, 5).expect("a ledger's snapshot");
            prop_assert_eq!(follower.digest(), rig.pipeline.durable_digest());
            if rig.durable.len() as u64 == snapshot.border.map_or(0, |border| border.bytes) {
                assert_same(&follower, &rig);
            }
            snapshots.push(snapshot);
        }
        rig.settle();
        rig.input(Input::Close);
        rig.settle();
        snapshots.dedup();
        for snapshot in snapshots {
            let mut follower = Follower::resume(&snapshot, 9).expect("a ledger's snapshot");
            let text = lines_behind(&rig.durable, snapshot.border.map_or(0, |border| border.bytes));
            if snapshot.identity.log_id == [1; 16] {
                follower.push_lines(&text).expect("the log's lines");
                assert_same(&follower, &rig);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(
        at in any::<prop::sample::Index>(),
        changed in prop::collection::vec(any::<u8>(), 0..24),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = view(&rig_of(&SCRIPT)).encode();
        let _ = try_to_follow(&noise);
        let mut mixed = bytes.clone();
        let at = at.index(mixed.len());
        let length = changed.len().min(mixed.len() - at);
        mixed[at..at + length].copy_from_slice(&changed[..length]);
        rehash(&mut mixed);
        let _ = try_to_follow(&mixed);
        mixed.truncate(cut.index(mixed.len()).max(32));
        rehash(&mut mixed);
        let _ = try_to_follow(&mixed);
    }
}
