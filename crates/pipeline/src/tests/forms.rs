//! The bytes of commands and records, and the JSON Lines form.

use super::Rig;
use super::random::any_command;
use crate::{
    Config, LedgerContent, Recovery, RecoveryError, Replay, decode_command, decode_events, encode_command,
    encode_events,
};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;
use expect_test::{Expect, expect};
use journal::{Decoder, FromLines, ToLines};
use ledger::{Command, Ledger};
use proptest::prelude::*;
use time::Timestamp;

fn some_log() -> Vec<u8> {
    let mut rig = Rig::new(Config::default());
    for line in [
        "open alice 100",
        "open b\"\\ø 0",
        "transfer t1 alice b\"\\ø 30",
        "transfer t2 alice nobody 30",
        "settle",
        "deposit d1 alice 5",
        "withdraw w1 alice 500",
        "open carol -1",
        "settle",
        "close",
        "settle",
    ] {
        rig.run(line);
    }
    rig.durable
}

pub(super) fn lines(log: &[u8]) -> String {
    let mut decoder = Decoder::new();
    decoder.push(log);
    let mut to_lines = ToLines::new(LedgerContent::default());
    let mut out = Vec::new();
    while let Some(item) = decoder.next().expect("a whole log") {
        to_lines.push(&item, &mut out).expect("a ledger's log");
    }
    String::from_utf8(out).expect("lines are UTF-8")
}

fn from_lines(text: &str) -> Result<Vec<u8>, String> {
    let mut from_lines = FromLines::new(LedgerContent::default());
    let mut log = Vec::new();
    from_lines.push(text.as_bytes(), &mut log).map_err(|error| error.to_string())?;
    from_lines.finish(&mut log).map_err(|error| error.to_string())?;
    Ok(log)
}

#[test]
fn the_lines_of_a_log_and_back() {
    let log = some_log();
    let text = lines(&log);
    expect![[r#"
        {"format":"wallet-lab-log","format_version":1,"log_id":"01010101010101010101010101010101","ledger_id":"02020202020202020202020202020202","partition":0,"content_kind":1,"content":"ledger","first_sequence":0,"previous_seal":"0000000000000000000000000000000000000000000000000000000000000000"}
        {"sequence":0,"index":0,"count":4,"recorded_at":0,"generation":1,"type":"AccountOpened","kind":"open_account","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5","account":"@world/USD","asset":"USD","scale":2,"floor":-9223372036854775808}
        {"sequence":0,"index":1,"count":4,"recorded_at":0,"generation":1,"type":"AccountOpened","kind":"open_account","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5","account":"alice","asset":"USD","scale":2,"floor":0}
        {"sequence":0,"index":2,"count":4,"recorded_at":0,"generation":1,"type":"MoneyDeducted","kind":"open_account","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5","account":"@world/USD","amount":100}
        {"sequence":0,"index":3,"count":4,"recorded_at":0,"generation":1,"type":"MoneyCredited","kind":"open_account","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5","account":"alice","amount":100}
        {"sequence":1,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"AccountOpened","kind":"open_account","transaction_id":"902154b7-d91b-8552-870b-d97712dd6ddb","account":"b\"\\ø","asset":"USD","scale":2,"floor":0}
        {"sequence":2,"index":0,"count":2,"recorded_at":0,"generation":1,"type":"MoneyDeducted","kind":"transfer","transaction_id":"da1bf894-ee3a-833d-b872-8bd20c0410c3","account":"alice","amount":30}
        {"sequence":2,"index":1,"count":2,"recorded_at":0,"generation":1,"type":"MoneyCredited","kind":"transfer","transaction_id":"da1bf894-ee3a-833d-b872-8bd20c0410c3","account":"b\"\\ø","amount":30}
        {"sequence":3,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransactionFailed","kind":"transfer","transaction_id":"d4d9b750-e1a2-8ea0-83a2-c3bf675cfc9c","from_account":"alice","to_account":"nobody","amount":30,"reason":"unknown_to_account"}
        {"seal":"fa0b28f053a8e419d7976fe03aaa63d5819b376596e33b9a3e0d024d1ee73e49","next_sequence":4,"durable_before":0,"recorded_at":0,"generation":1}
        {"sequence":4,"index":0,"count":2,"recorded_at":0,"generation":1,"type":"MoneyDeducted","kind":"deposit","transaction_id":"1d8c1ca1-be6b-8877-bf67-7c4a4dfae2f1","account":"@world/USD","amount":5}
        {"sequence":4,"index":1,"count":2,"recorded_at":0,"generation":1,"type":"MoneyCredited","kind":"deposit","transaction_id":"1d8c1ca1-be6b-8877-bf67-7c4a4dfae2f1","account":"alice","amount":5}
        {"sequence":5,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransactionFailed","kind":"withdrawal","transaction_id":"9db63a11-bd93-8d26-af33-aecb73937705","from_account":"alice","amount":500,"reason":"insufficient_funds"}
        {"sequence":6,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransactionFailed","kind":"open_account","transaction_id":"0f33473c-e0c0-8b82-8998-51e36a05d369","to_account":"carol","amount":-1,"asset":"USD","scale":2,"reason":"amount_not_positive"}
        {"seal":"fa2cbaff511535952464d4e963459cde50a3f809a38c6468b6ed614e6aea3b40","next_sequence":7,"durable_before":4,"recorded_at":0,"generation":1}
        {"seal":"f3f5c861c7799d2b0a4dfff5a168568244087e3033a9119ea88bfa9e14d683ac","next_sequence":7,"durable_before":7,"recorded_at":0,"generation":1}
    "#]].assert_eq(&text);
    assert_eq!(from_lines(&text), Ok(log));
}

#[test]
fn the_lines_of_two_phases_and_back() {
    let mut rig = Rig::new(Config::default());
    for line in [
        "open alice 100 -20",
        "open bob 0",
        r#"transfer t1 alice bob 5 {"order":{"b":[1,true,null],"a":"x\"y"}}"#,
        "pend p1 alice bob 30 50",
        "pend p2 alice bob 20",
        "post o1 p1 10",
        "post o2 p2 all",
        "post o3 p2 all",
        "void v1 p1",
        "pend p3 alice bob 1 7",
        "settle",
        "wait 7",
        "settle",
        "pend p4 alice ghost 3 7",
        r#"transfer t2 alice ghost 5 {"n":-1}"#,
        "floor f1 alice -30",
        "floor f2 alice 1",
        "group transfer g1 alice bob 1; pend g2 bob alice 2; post g3 g2 1",
        "group transfer g4 alice bob 1; void g5 g2; withdraw g6 bob 1",
        "settle",
        "close",
        "settle",
    ] {
        rig.run(line);
    }
    let text = lines(&rig.durable);
    expect![[r#"
        {"format":"wallet-lab-log","format_version":1,"log_id":"01010101010101010101010101010101","ledger_id":"02020202020202020202020202020202","partition":0,"content_kind":1,"content":"ledger","first_sequence":0,"previous_seal":"0000000000000000000000000000000000000000000000000000000000000000"}
        {"sequence":0,"index":0,"count":4,"recorded_at":0,"generation":1,"type":"AccountOpened","kind":"open_account","transaction_id":"def881d6-67ce-820d-90b8-bac4b32e1840","account":"@world/USD","asset":"USD","scale":2,"floor":-9223372036854775808}
        {"sequence":0,"index":1,"count":4,"recorded_at":0,"generation":1,"type":"AccountOpened","kind":"open_account","transaction_id":"def881d6-67ce-820d-90b8-bac4b32e1840","account":"alice","asset":"USD","scale":2,"floor":-20}
        {"sequence":0,"index":2,"count":4,"recorded_at":0,"generation":1,"type":"MoneyDeducted","kind":"open_account","transaction_id":"def881d6-67ce-820d-90b8-bac4b32e1840","account":"@world/USD","amount":100}
        {"sequence":0,"index":3,"count":4,"recorded_at":0,"generation":1,"type":"MoneyCredited","kind":"open_account","transaction_id":"def881d6-67ce-820d-90b8-bac4b32e1840","account":"alice","amount":100}
        {"sequence":1,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"AccountOpened","kind":"open_account","transaction_id":"7e79a417-cee0-80b2-bebb-8817b5016882","account":"bob","asset":"USD","scale":2,"floor":0}
        {"sequence":2,"index":0,"count":3,"recorded_at":0,"generation":1,"type":"MoneyDeducted","kind":"transfer","transaction_id":"da1bf894-ee3a-833d-b872-8bd20c0410c3","account":"alice","amount":5}
        {"sequence":2,"index":1,"count":3,"recorded_at":0,"generation":1,"type":"MoneyCredited","kind":"transfer","transaction_id":"da1bf894-ee3a-833d-b872-8bd20c0410c3","account":"bob","amount":5}
        {"sequence":2,"index":2,"count":3,"recorded_at":0,"generation":1,"type":"MetadataAttached","kind":"transfer","transaction_id":"da1bf894-ee3a-833d-b872-8bd20c0410c3","metadata":{"order":{"a":"x\"y","b":[1,true,null]}}}
        {"sequence":3,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransferPending","kind":"pending_transfer","transaction_id":"8f457198-e20f-8123-bb2f-41fb20b83937","from_account":"alice","to_account":"bob","amount":30,"expires_at":50}
        {"sequence":4,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransferPending","kind":"pending_transfer","transaction_id":"bffa6996-affc-8120-8fd9-c6479c51d73b","from_account":"alice","to_account":"bob","amount":20}
        {"sequence":5,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransferPosted","kind":"post_transfer","transaction_id":"e0b56f59-f445-8430-8a65-0d99a09edcbb","pending_id":"8f457198-e20f-8123-bb2f-41fb20b83937","from_account":"alice","to_account":"bob","amount":10,"pending_amount":30,"asked_amount":10}
        {"sequence":6,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransferPosted","kind":"post_transfer","transaction_id":"6ce5d292-22e9-88f6-9b3f-c338bb07aa4b","pending_id":"bffa6996-affc-8120-8fd9-c6479c51d73b","from_account":"alice","to_account":"bob","amount":20,"pending_amount":20}
        {"sequence":7,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransactionFailed","kind":"post_transfer","transaction_id":"db4ec8ae-c461-84a0-9108-027c7097f036","pending_id":"bffa6996-affc-8120-8fd9-c6479c51d73b","reason":"pending_not_open"}
        {"sequence":8,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransactionFailed","kind":"void_transfer","transaction_id":"060d85b0-bdd9-8427-91b9-f349d0c2dd04","pending_id":"8f457198-e20f-8123-bb2f-41fb20b83937","reason":"pending_not_open"}
        {"sequence":9,"index":0,"count":1,"recorded_at":0,"generation":1,"type":"TransferPending","kind":"pending_transfer","transaction_id":"d7c1239c-a6a2-8a38-8e32-b861f3ff6d39","from_account":"alice","to_account":"bob","amount":1,"expires_at":7}
        {"seal":"b4d5aa3cb71e92d2ac336cd82351901a7ad8b4c4a2897ccff8768b975d636838","next_sequence":10,"durable_before":0,"recorded_at":0,"generation":1}
        {"sequence":10,"index":0,"count":1,"recorded_at":7,"generation":1,"type":"TransferExpired","kind":"expire_transfer","transaction_id":"663e1194-519d-8807-b974-7b92fc295a55","pending_id":"d7c1239c-a6a2-8a38-8e32-b861f3ff6d39","from_account":"alice","to_account":"bob","amount":1}
        {"seal":"eb3069772a96aef4d040b7b29aa3a1265e1a2b1c6ee54d8681152b80c692156a","next_sequence":11,"durable_before":10,"recorded_at":7,"generation":1}
        {"sequence":11,"index":0,"count":1,"recorded_at":7,"generation":1,"type":"TransactionFailed","kind":"pending_transfer","transaction_id":"57e11619-11da-8270-8954-baab388db598","from_account":"alice","to_account":"ghost","amount":3,"expires_at":7,"reason":"deadline_passed"}
        {"sequence":12,"index":0,"count":1,"recorded_at":7,"generation":1,"type":"TransactionFailed","kind":"transfer","transaction_id":"d4d9b750-e1a2-8ea0-83a2-c3bf675cfc9c","from_account":"alice","to_account":"ghost","amount":5,"metadata":{"n":-1},"reason":"unknown_to_account"}
        {"sequence":13,"index":0,"count":1,"recorded_at":7,"generation":1,"type":"FloorChanged","kind":"set_floor","transaction_id":"d24fd1e5-0798-84e1-8b3c-a8fcd1f113dc","account":"alice","floor":-30}
        {"sequence":14,"index":0,"count":1,"recorded_at":7,"generation":1,"type":"TransactionFailed","kind":"set_floor","transaction_id":"8c39c737-eb0b-871f-ad7e-cb18b5977179","to_account":"alice","floor":1,"reason":"floor_above_balance"}
        {"sequence":15,"index":0,"count":4,"recorded_at":7,"generation":1,"type":"MoneyDeducted","kind":"linked","transaction_id":"5fda59f3-d55c-83fb-9d1b-cf07af61078c","account":"alice","amount":1}
        {"sequence":15,"index":1,"count":4,"recorded_at":7,"generation":1,"type":"MoneyCredited","kind":"linked","transaction_id":"5fda59f3-d55c-83fb-9d1b-cf07af61078c","account":"bob","amount":1}
        {"sequence":15,"index":2,"count":4,"recorded_at":7,"generation":1,"type":"TransferPending","kind":"linked","transaction_id":"5599a11e-475a-8ba3-8552-46049165f3ac","from_account":"bob","to_account":"alice","amount":2}
        {"sequence":15,"index":3,"count":4,"recorded_at":7,"generation":1,"type":"TransferPosted","kind":"linked","transaction_id":"84ac39df-acd0-876e-9615-84d8209ffb24","pending_id":"5599a11e-475a-8ba3-8552-46049165f3ac","from_account":"bob","to_account":"alice","amount":1,"pending_amount":2,"asked_amount":1}
        {"sequence":16,"index":0,"count":3,"recorded_at":7,"generation":1,"type":"TransactionFailed","kind":"linked","transaction_id":"1555ccd6-015f-8068-a32a-96a9fa8c8432","member_kind":"transfer","from_account":"alice","to_account":"bob","amount":1,"reason":"linked_failed"}
        {"sequence":16,"index":1,"count":3,"recorded_at":7,"generation":1,"type":"TransactionFailed","kind":"linked","transaction_id":"596dffeb-fdef-85af-9bae-83029fb3af98","member_kind":"void_transfer","pending_id":"5599a11e-475a-8ba3-8552-46049165f3ac","reason":"pending_not_open"}
        {"sequence":16,"index":2,"count":3,"recorded_at":7,"generation":1,"type":"TransactionFailed","kind":"linked","transaction_id":"a082aff7-1aee-8fcf-a274-ce097e234fb8","member_kind":"withdrawal","from_account":"bob","amount":1,"reason":"linked_failed"}
        {"seal":"93e3492c6afec235318bf34d18e1f9b9a83087e527ecaf3cff195816a4400d94","next_sequence":17,"durable_before":11,"recorded_at":7,"generation":1}
        {"seal":"780694fc2f68bd4fd9bb2494ce8279530fa0e8efa0f8cd31baaec577c4f934ba","next_sequence":17,"durable_before":17,"recorded_at":7,"generation":1}
    "#]].assert_eq(&text);
    assert_eq!(from_lines(&text), Ok(rig.durable.clone()));
    let digest = super::recover(&rig.durable).ledger.digest();
    assert_eq!(digest, rig.pipeline.ledger().digest());

    let check = |from: &str, to: &str, expected: &Expect| {
        assert!(text.contains(from), "{from}");
        expected.assert_eq(&from_lines(&text.replacen(from, to, 1)).expect_err("an edited file"));
    };
    check(
        r#""asked_amount":10"#,
        r#""asked_amount":11"#,
        &expect!["line 12, record 5, event 0: field `asked_amount` is 11, but the amount is 10"],
    );
    check(
        r#""asked_amount":10"#,
        r#""asked_amount":"10""#,
        &expect!["line 12, record 5, event 0: field `asked_amount` is not an integer"],
    );
    check(
        r#""expires_at":50"#,
        r#""expires_at":9007199254740992"#,
        &expect![
            "line 10, record 3, event 0: field `expires_at` is 9007199254740992, expected less than 2^53"
        ],
    );
    check(
        r#"{"n":-1}"#,
        r#"{"n":-1.5}"#,
        &expect![
            "line 21, record 12: invalid type: floating point `-1.5`, expected an object, an array, text, an integer of at most 64 bits, a truth value or null, at column 242"
        ],
    );
    check(r#"{"n":-1}"#, "7", &expect!["line 21, record 12, event 0: field `metadata` is not an object"]);
    check(
        r#"{"n":-1}"#,
        r#"{"n":[[[[1]]]]}"#,
        &expect![
            "line 21, record 12, event 0: metadata, `n[0][0][0]`: deeper than 4 levels; make it flatter"
        ],
    );
    check(
        r#""member_kind":"void_transfer","#,
        "",
        &expect!["line 30, record 16, event 1: field `member_kind` is missing"],
    );
    // The order of the fields of metadata is not kept, so it is not looked at either.
    let other =
        text.replacen(r#"{"a":"x\"y","b":[1,true,null]}"#, r#"{"b":[1,true,null],"a":"x\u0022y"}"#, 1);
    assert_ne!(other, text);
    assert_eq!(from_lines(&other), Ok(rig.durable.clone()));
}

#[test]
fn metadata_that_are_not_canonical_are_refused_in_the_binary_form() {
    let payloads = payload_of(&[
        &["open", "a", "9"],
        &["open", "b", "0"],
        &["transfer", "t", "a", "b", "1", r#"{"a":1}"#],
    ]);
    let spoiled = |from: &[u8], to: &[u8]| {
        let mut payload = payloads[2].clone();
        let at = payload.windows(from.len()).position(|window| window == from).expect("it is there");
        payload[at..at + from.len()].copy_from_slice(to);
        let records = [(1, 1, payloads[0].clone()), (1, 1, payloads[1].clone()), (2, 1, payload)];
        let mut recovery = Recovery::new(0);
        recovery.push(&sealed(&records), |_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(spoiled(b"{", b"{"), Ok(()));
    for to in [r#"{"a": }"#, r#"{"a":x}"#, r#"["a",1]"#, r#"{ "":1}"#, r#"{"":1 }"#] {
        let refused = spoiled(br#"{"a":1}"#, to.as_bytes()).expect_err("it is not canonical");
        assert!(refused.contains("expected metadata in canonical form"), "{to}: {refused}");
    }
    let refused = spoiled(br#"{"a":1}"#, b"{\"a\":1\xff").expect_err("it is not UTF-8");
    assert!(refused.contains("expected metadata at byte"), "{refused}");
}

#[test]
fn an_edited_line_is_named() {
    let text = lines(&some_log());
    let check = |from: &str, to: &str, expected: &Expect| {
        assert!(text.contains(from));
        expected.assert_eq(&from_lines(&text.replacen(from, to, 1)).expect_err("an edited file"));
    };
    check(
        "\"amount\":30",
        "\"amount\":31",
        &expect![
            "line 10, record 4: the lines from 1, records from 0, do not match their seal: it is fa0b28f053a8e419d7976fe03aaa63d5819b376596e33b9a3e0d024d1ee73e49, expected 68aeccd1de89423f3f2d7ab30cc39a93d93e30760b03d924cbc5d4e64904ed54; they were edited or damaged; resealing makes another log of them"
        ],
    );
    check(
        "\"account\":\"alice\",\"amount\":30",
        "\"account\":\"alicia\",\"amount\":30",
        &expect!["line 8, record 2, event 0: account `alicia` is not opened before"],
    );
    check(
        "\"amount\":30",
        "\"amount\":30.5",
        &expect![
            "line 7, record 2: invalid type: floating point `30.5`, expected an object, an array, text, an integer of at most 64 bits, a truth value or null, at column 193"
        ],
    );
    check(
        "\"amount\":30",
        "\"amount\":30,\"note\":1",
        &expect!["line 8, record 2, event 0: unknown field `note`"],
    );
    check(
        "insufficient_funds",
        "no_money",
        &expect!["line 13, record 5, event 0: field `reason`: the word is none of those that can stand here"],
    );
    check("MoneyCredited", "MoneyMade", &expect!["line 5, record 0, event 3: type `MoneyMade` is unknown"]);
}

/// A log with valid seals whose records are not what a ledger writes.
fn sealed(records: &[(u16, u8, Vec<u8>)]) -> Vec<u8> {
    let mut log = Vec::new();
    let mut encoder = journal::Encoder::start(&crate::content::header(super::IDENTITY), &mut log);
    for (sequence, (kind, kind_version, payload)) in (0..).zip(records) {
        let meta = journal::RecordMeta {
            kind: *kind,
            kind_version: *kind_version,
            generation: 1,
            sequence,
            recorded_at: Timestamp::ZERO,
            source: None,
        };
        encoder.record(&meta, payload, &mut log);
    }
    encoder.seal(1, Timestamp::ZERO, 0, &mut log);
    log
}

fn payload_of(commands: &[&[&str]]) -> Vec<Vec<u8>> {
    let mut ledger = Ledger::new(0);
    let payload = |words: &&[&str]| {
        let mut events = Vec::new();
        ledger.execute(Timestamp::ZERO, &super::command(words).1, &mut events);
        events.iter().for_each(|event| ledger.apply(event));
        let mut payload = Vec::new();
        encode_events(&events, &mut payload);
        payload
    };
    commands.iter().map(payload).collect()
}

#[test]
fn what_is_sealed_but_cannot_be_is_refused_by_record_and_byte() {
    let check = |records: &[(u16, u8, Vec<u8>)], expected: &Expect| {
        let mut recovery = Recovery::new(0);
        let error: RecoveryError = recovery.push(&sealed(records), |_| ()).expect_err("a refused log");
        expected.assert_eq(&error.to_string());
    };
    let payloads = payload_of(&[&["open", "alice", "10"], &["deposit", "d", "alice", "5"]]);
    let (opening, deposit) = (payloads[0].clone(), payloads[1].clone());
    check(
        &[(77, 1, opening.clone())],
        &expect!["record 0 at byte 128 cannot be read: kind 77 version 1 is unknown"],
    );
    check(
        &[(1, 2, opening.clone())],
        &expect!["record 0 at byte 128 cannot be read: kind 1 version 2 is unknown"],
    );
    check(
        &[(1, 1, deposit.clone())],
        &expect![
            "record 0 at byte 128, event 0, contradicts the records before it: the events of the record are not those of one command of kind open_account"
        ],
    );
    check(
        &[(3, 1, deposit.clone())],
        &expect![
            "record 0 at byte 128, event 0, contradicts the records before it: account #0 is named before it is opened; 0 accounts are open"
        ],
    );
    check(
        &[(1, 1, opening[..30].to_vec())],
        &expect!["record 0 at byte 128 cannot be read: expected an account name at byte 21 of its payload"],
    );
    check(
        &[(1, 1, opening.clone()), (3, 1, deposit.clone()), (3, 1, deposit)],
        &expect![
            "record 2 at byte 335 has the transaction id f4390102-2c3c-8b4b-aabd-1140bb204488, which record 1 has already"
        ],
    );
}

#[test]
fn a_lone_later_segment_is_refused() {
    let mut log = some_log();
    let mut encoder = journal::Encoder::resume(super::recover(&log).tail.expect("a log"));
    let first = log.len();
    encoder.next_segment(&mut log);
    let mut recovery = Recovery::new(0);
    let error = recovery.push(&log[first..], |_| ()).expect_err("a segment without those before it");
    expect!["record 7 at byte 0 cannot be read: it begins in the middle of a log, at record 7; the segments before it are needed too"].assert_eq(&error.to_string());
}

#[test]
fn a_replay_stops_where_it_is_told() {
    let log = some_log();
    let mut replay = Replay::new(0);
    let stop = |record: &ledger::Record<'_>| {
        if record.sequence == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    replay.push(&log, stop).expect("a whole log");
    replay.finish().expect("stopped before the end");
    assert_eq!(replay.next_sequence(), 2);
}

proptest! {
    #[test]
    fn commands_survive_their_bytes(command in any_command()) {
        let mut bytes = Vec::new();
        encode_command(&command, &mut bytes);
        prop_assert_eq!(decode_command(&bytes), Ok(command));
        for end in 0..bytes.len() {
            prop_assert!(decode_command(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn events_survive_their_bytes(commands in prop::collection::vec(any_command(), 1..20)) {
        let mut ledger = Ledger::new(0);
        for (number, command) in (0..).zip(commands) {
            if let Command::OpenAccount { account, .. } = &command && ledger.find(account).is_some() {
                continue;
            }
            // The ledger is given new ids only, and a pending transfer may still be open under its own.
            if command.members().iter().any(|member| ledger.hold(&member.transaction_id()).is_some()) {
                continue;
            }
            let mut events = Vec::new();
            let now = Timestamp::from_micros(1_000 * number).expect("a small time");
            ledger.execute(now, &command, &mut events);
            events.iter().for_each(|event| ledger.apply(event));
            if let Some((_, pending_id)) = ledger.next_expiry().filter(|(at, _)| *at <= now) {
                let first = events.len();
                ledger.expire(now, pending_id, &mut events);
                events[first..].iter().for_each(|event| ledger.apply(event));
            }
            let mut payload = Vec::new();
            encode_events(&events, &mut payload);
            let mut decoded = Vec::new();
            prop_assert_eq!(decode_events(&payload, &mut decoded), Ok(()));
            prop_assert_eq!(&decoded, &events, "{}", format!("{payload:?}"));
        }
    }

    /// A byte that is changed is refused, or makes other events that have this one encoding.
    #[test]
    fn a_changed_payload_has_one_encoding(
        commands in prop::collection::vec(any_command(), 1..6),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut ledger = Ledger::new(0);
        for name in ["alice", "bob"] {
            let mut events = Vec::new();
            ledger.execute(Timestamp::ZERO, &super::command(&["open", name, "50"]).1, &mut events);
            events.iter().for_each(|event| ledger.apply(event));
        }
        let mut payload = Vec::new();
        for command in commands.iter().filter(|command| !matches!(command, Command::OpenAccount { .. })) {
            let mut events = Vec::new();
            ledger.execute(Timestamp::ZERO, command, &mut events);
            payload.clear();
            encode_events(&events, &mut payload);
        }
        if payload.is_empty() {
            return Ok(());
        }
        let at = at.index(payload.len());
        payload[at] = byte;
        let mut events = Vec::new();
        if decode_events(&payload, &mut events).is_ok() {
            let mut again = Vec::new();
            encode_events(&events, &mut again);
            prop_assert_eq!(again, payload);
        }
    }

    /// Arbitrary bytes never panic, and what is accepted is the one encoding of its events.
    #[test]
    fn a_payload_has_one_encoding(mut payload in prop::collection::vec(any::<u8>(), 0..80), known in any::<bool>()) {
        if known {
            payload.splice(0..payload.len().min(19), [1, 0].into_iter().chain([7; 16]).chain([1]));
        }
        let mut events = Vec::new();
        if decode_events(&payload, &mut events).is_ok() {
            let mut again = Vec::new();
            encode_events(&events, &mut again);
            prop_assert_eq!(again, payload);
        }
    }
}
