//! The payload of every kind of record, byte by byte (docs/LOG.md, "Content kind 1"). These bytes never change.

use super::command;
use crate::{decode_events, encode_events};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expect_test::expect;
use ledger::{Command, CommandKind, Event, Ledger, LinkedTransfers, TransactionId};
use time::Timestamp;

/// What these commands and expiries come to, each with the bytes of its payload; transaction ids are left out.
fn payloads(lines: &[&str]) -> String {
    let mut ledger = Ledger::new(0);
    let mut shown = String::new();
    for line in lines {
        let mut events = Vec::new();
        if *line == "expire" {
            let (_, pending_id) = ledger.next_expiry().expect("something expires");
            ledger.expire(Timestamp::MAX, pending_id, &mut events);
        } else {
            ledger.execute(Timestamp::ZERO, &parsed(line), &mut events);
        }
        events.iter().for_each(|event| ledger.apply(event));
        let mut payload = Vec::new();
        encode_events(&events, &mut payload);
        let mut decoded = Vec::new();
        decode_events(&payload, &mut decoded).expect("its own bytes");
        assert_eq!(decoded, events);
        shown += &format!("{line}\n{}", hex(&payload, &ids(&events)));
    }
    shown
}

fn parsed(line: &str) -> Command {
    let single = |line: &str| command(&line.split_whitespace().collect::<Vec<_>>()).1;
    match line.strip_prefix("group ") {
        None => single(line),
        Some(members) => {
            let members = members.split(';').map(single).collect();
            Command::Linked { transfers: LinkedTransfers::new(members).expect("a group") }
        }
    }
}

/// Every id that stands in the events.
fn ids(events: &[Event]) -> Vec<TransactionId> {
    let mut ids: Vec<TransactionId> = events.iter().map(Event::transaction_id).collect();
    for event in events {
        match event {
            Event::TransferPosted { pending_id, .. }
            | Event::TransferVoided { pending_id, .. }
            | Event::TransferExpired { pending_id, .. } => ids.push(*pending_id),
            Event::TransactionFailed(failure) => ids.extend(failure.pending_id),
            Event::AccountOpened { .. }
            | Event::MoneyDeducted { .. }
            | Event::MoneyCredited { .. }
            | Event::TransferPending { .. }
            | Event::FloorChanged { .. }
            | Event::MetadataAttached { .. } => {}
        }
    }
    ids
}

/// The bytes in hex, rows of 24, every id as `<id>`.
fn hex(payload: &[u8], ids: &[TransactionId]) -> String {
    let mut words = Vec::new();
    let mut rest = payload;
    while let Some((byte, behind)) = rest.split_first() {
        if let Some(id) = ids.iter().find(|id| rest.starts_with(&id.as_bytes())) {
            words.push("<id>".to_string());
            rest = &rest[id.as_bytes().len()..];
        } else {
            words.push(format!("{byte:02x}"));
            rest = behind;
        }
    }
    words.chunks(24).map(|row| format!("    {}\n", row.join(" "))).collect()
}

#[test]
fn every_kind_of_record_has_its_bytes_for_ever() {
    expect![[r#"
        open a 100
            01 00 <id> 04 01 0a 40 77 6f 72 6c 64 2f 55 53 44 03 55 53 44 02 00 00 00
            00 00 00 00 80 01 01 61 03 55 53 44 02 00 00 00 00 00 00 00 00 02 00 00
            00 00 64 00 00 00 00 00 00 00 03 01 00 00 00 64 00 00 00 00 00 00 00
        open b 0 -5
            01 00 <id> 01 01 01 62 03 55 53 44 02 fb ff ff ff ff ff ff ff
        transfer t1 a b 20
            01 00 <id> 02 02 01 00 00 00 14 00 00 00 00 00 00 00 03 02 00 00 00 14 00
            00 00 00 00 00 00
        transfer t2 a b 1 {"n":1}
            01 00 <id> 03 02 01 00 00 00 01 00 00 00 00 00 00 00 03 02 00 00 00 01 00
            00 00 00 00 00 00 0a 07 00 7b 22 6e 22 3a 31 7d
        transfer t3 a a 1
            01 00 <id> 01 04 02 02 03 01 00 00 00 00 00 00 00 01 61 01 61
        transfer t4 a x 1 {"n":2}
            01 00 <id> 01 0b 02 05 23 01 01 61 01 78 01 00 00 00 00 00 00 00 07 00 7b
            22 6e 22 3a 32 7d
        deposit d1 b 3
            01 00 <id> 02 02 00 00 00 00 03 00 00 00 00 00 00 00 03 02 00 00 00 03 00
            00 00 00 00 00 00
        withdraw w1 b 4
            01 00 <id> 02 02 02 00 00 00 04 00 00 00 00 00 00 00 03 00 00 00 00 04 00
            00 00 00 00 00 00
        pend p1 a b 30 80
            01 00 <id> 01 05 01 00 00 00 02 00 00 00 1e 00 00 00 00 00 00 00 01 50 00
            00 00 00 00 00 00
        pend p2 a b 10
            01 00 <id> 01 05 01 00 00 00 02 00 00 00 0a 00 00 00 00 00 00 00 00
        pend p3 a b 7
            01 00 <id> 01 05 01 00 00 00 02 00 00 00 07 00 00 00 00 00 00 00 00
        pend p4 a x 7 80
            01 00 <id> 01 0b 05 05 a3 00 01 61 01 78 07 00 00 00 00 00 00 00 50 00 00
            00 00 00 00 00
        post o1 p2 all
            01 00 <id> 01 06 <id> 01 00 00 00 02 00 00 00 0a 00 00 00 00 00 00 00 0a 00
            00 00 00 00 00 00 00
        post o2 p3 6
            01 00 <id> 01 06 <id> 01 00 00 00 02 00 00 00 06 00 00 00 00 00 00 00 07 00
            00 00 00 00 00 00 01
        post o3 p3 6
            01 00 <id> 01 0b 06 0a 60 00 06 00 00 00 00 00 00 00 <id>
        post o4 p3 all
            01 00 <id> 01 0b 06 0a 40 00 <id>
        pend p5 a b 2
            01 00 <id> 01 05 01 00 00 00 02 00 00 00 02 00 00 00 00 00 00 00 00
        void v1 p5
            01 00 <id> 01 07 <id> 01 00 00 00 02 00 00 00 02 00 00 00 00 00 00 00
        void v2 p5
            01 00 <id> 01 0b 07 0a 40 00 <id>
        expire
            01 00 <id> 01 08 <id> 01 00 00 00 02 00 00 00 1e 00 00 00 00 00 00 00
        floor f1 a -9
            01 00 <id> 01 09 01 00 00 00 f7 ff ff ff ff ff ff ff
        floor f2 a 1
            01 00 <id> 01 0b 09 0c 12 00 01 61 01 00 00 00 00 00 00 00
        group transfer g1 a b 1; pend g2 b a 2; post g3 g2 1
            03 00 <id> 02 02 01 00 00 00 01 00 00 00 00 00 00 00 03 02 00 00 00 01 00
            00 00 00 00 00 00 <id> 01 05 02 00 00 00 01 00 00 00 02 00 00 00 00 00 00
            00 00 <id> 01 06 <id> 02 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 02 00
            00 00 00 00 00 00 01
        group transfer g4 a b 1; void g5 g9; withdraw g6 b 1
            03 00 <id> 01 04 02 0d 03 01 00 00 00 00 00 00 00 01 61 01 62 <id> 01 0b 07
            0a 40 00 <id> <id> 01 04 04 0d 01 01 00 00 00 00 00 00 00 01 62
    "#]]
    .assert_eq(&payloads(&[
        "open a 100",
        "open b 0 -5",
        "transfer t1 a b 20",
        r#"transfer t2 a b 1 {"n":1}"#,
        "transfer t3 a a 1",
        r#"transfer t4 a x 1 {"n":2}"#,
        "deposit d1 b 3",
        "withdraw w1 b 4",
        "pend p1 a b 30 80",
        "pend p2 a b 10",
        "pend p3 a b 7",
        "pend p4 a x 7 80",
        "post o1 p2 all",
        "post o2 p3 6",
        "post o3 p3 6",
        "post o4 p3 all",
        "pend p5 a b 2",
        "void v1 p5",
        "void v2 p5",
        "expire",
        "floor f1 a -9",
        "floor f2 a 1",
        "group transfer g1 a b 1; pend g2 b a 2; post g3 g2 1",
        "group transfer g4 a b 1; void g5 g9; withdraw g6 b 1",
    ]));
    assert_eq!(CommandKind::ALL.len(), 10, "a new kind has its bytes here, too");
}
