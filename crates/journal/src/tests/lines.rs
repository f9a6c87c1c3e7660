//! The JSON Lines form: what it looks like, and what is refused on the way back.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use expect_test::{Expect, expect};

use super::{Make, NOTE, Opaque, PARTS, header, log, note, scanned};
use crate::{FromLines, Header, LINE_BYTES_MAX, LineError, RecordKind, SourcePosition, ToLines, scan};

fn steps() -> Vec<Make> {
    let source = SourcePosition { stream: u64::MAX, partition: 2, offset: 3 };
    vec![
        Make::Record { kind: PARTS, payload: vec![1, 0xaa, 0, 2, 0xbb, 0xcc], source: None },
        Make::Record { kind: NOTE, payload: b"hi".to_vec(), source: Some(source) },
        Make::Seal { not_durable: 2 },
        Make::Segment,
        note(b""),
        Make::Seal { not_durable: 1 },
    ]
}

fn to_lines(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    let mut lines = ToLines::new(Opaque::default());
    scan(bytes, |item| lines.push(&item, &mut text).unwrap()).unwrap();
    String::from_utf8(text).unwrap()
}

fn from_lines(mut lines: FromLines<Opaque>, text: &str) -> Result<Vec<u8>, LineError> {
    let mut out = Vec::new();
    lines.push(text.as_bytes(), &mut out)?;
    lines.finish(&mut out)?;
    Ok(out)
}

#[test]
fn the_form() {
    expect![[r#"
        {"format":"wallet-lab-log","format_version":1,"log_id":"6c6f672d6c6f672d6c6f672d6c6f672d","ledger_id":"6c65646765722d6c65646765722d6c65","partition":7,"content_kind":60000,"content":"opaque","first_sequence":0,"previous_seal":"0000000000000000000000000000000000000000000000000000000000000000"}
        {"sequence":0,"index":0,"count":3,"recorded_at":1000000,"generation":1,"type":"Part","kind":"parts","length":1,"bytes":"aa"}
        {"sequence":0,"index":1,"count":3,"recorded_at":1000000,"generation":1,"type":"Part","kind":"parts","length":0,"bytes":""}
        {"sequence":0,"index":2,"count":3,"recorded_at":1000000,"generation":1,"type":"Part","kind":"parts","length":2,"bytes":"bbcc"}
        {"sequence":1,"index":0,"count":1,"recorded_at":1000010,"generation":1,"type":"Noted","kind":"note","source":{"stream":18446744073709551615,"partition":2,"offset":3},"bytes":"6869"}
        {"seal":"f0c3928f129fb89650d70e0c88d5dcc4b2471721c49bb197aa7e9487422a0829","next_sequence":2,"durable_before":0,"recorded_at":1000020,"generation":1}
        {"format":"wallet-lab-log","format_version":1,"log_id":"6c6f672d6c6f672d6c6f672d6c6f672d","ledger_id":"6c65646765722d6c65646765722d6c65","partition":7,"content_kind":60000,"content":"opaque","first_sequence":2,"previous_seal":"f0c3928f129fb89650d70e0c88d5dcc4b2471721c49bb197aa7e9487422a0829"}
        {"sequence":2,"index":0,"count":1,"recorded_at":1000020,"generation":1,"type":"Noted","kind":"note","bytes":""}
        {"seal":"818cc8e2b319e669c7a0f8d5d368dee41607796c16f03593781d1c2e14631cd6","next_sequence":3,"durable_before":2,"recorded_at":1000030,"generation":1}
    "#]].assert_eq(&to_lines(&log(&steps())));
}

#[test]
fn the_last_line_end_may_be_missing_and_lines_may_end_as_on_windows() {
    let bytes = log(&steps());
    let text = to_lines(&bytes);
    for text in [text.trim_end().to_string(), text.replace('\n', "\r\n"), text.clone()] {
        assert_eq!(from_lines(FromLines::new(Opaque::default()), &text), Ok(bytes.clone()));
    }
}

/// The error after `from` was replaced by `to` at its only place.
fn edit(from: &str, to: &str, expect: &Expect) {
    let text = to_lines(&log(&steps()));
    assert_eq!(text.matches(from).count(), 1, "{from} stands once");
    let error = from_lines(FromLines::new(Opaque::default()), &text.replace(from, to));
    expect.assert_eq(&error.expect_err("the file was edited").to_string());
}

#[test]
fn an_edited_file_names_line_and_record() {
    edit(
        "6869",
        "6868",
        &expect![
            "line 6, record 2: the lines from 1, records from 0, do not match their seal: it is f0c3928f129fb89650d70e0c88d5dcc4b2471721c49bb197aa7e9487422a0829, expected 27eabdca9e5d3694a68c3fcdc1bafa775d421e875e4765d49c782747bc7762c3; they were edited or damaged; resealing makes another log of them"
        ],
    );
}

#[test]
fn a_line_must_be_one() {
    edit("\"index\":2", "\"index\":", &expect!["line 4, record 0: expected value, at column 23"]);
    edit("\"index\":2", "\"index\":1", &expect!["line 4, record 0: index is 1, expected 2"]);
    edit(
        "\"index\":2",
        "\"index\":2,\"index\":2",
        &expect!["line 4, record 0: field `index` stands twice, at column 31"],
    );
    edit("\"index\":2,", "", &expect!["line 4, record 0: field `index` is missing"]);
    edit(
        "\"index\":2,\"count\":3",
        "\"index\":2,\"count\":4",
        &expect![
            "line 4, record 0: count, recorded_at, generation, kind and source must be those of the record's first line"
        ],
    );
    edit(
        "\"length\":2",
        "\"length\":2,\"colour\":\"red\"",
        &expect!["line 4, record 0, event 2: unknown field `colour`"],
    );
    edit(
        "\"length\":2",
        "\"length\":256",
        &expect!["line 4, record 0, event 2: field `length` is 256, which is out of its range"],
    );
    edit(
        "\"length\":2",
        "\"length\":3",
        &expect!["line 4, record 0, event 2: length is not that of the bytes"],
    );
    edit("bbcc", "bbc", &expect!["line 4, record 0, event 2: field `bytes` is not lower-case hex"]);
    edit(
        "\"kind\":\"note\",\"bytes\"",
        "\"kind\":\"memo\",\"bytes\"",
        &expect!["line 8, record 2: unknown kind `memo`"],
    );
    edit(
        "\"offset\":3",
        "\"offset\":3.5",
        &expect![
            "line 5, record 1: invalid type: floating point `3.5`, expected an object, an array, text, an integer of at most 64 bits, a truth value or null, at column 166"
        ],
    );
    edit("\"offset\":3", "\"offset\":3,\"more\":1", &expect!["line 5, record 1: unknown field `more`"]);
    edit(
        "{\"seal\":\"f",
        "{\"deal\":\"f",
        &expect!["line 6, record 2: a line begins with the field `format`, `seal` or `sequence`"],
    );
}

#[test]
fn the_rules_of_the_binary_form_hold() {
    edit("{\"sequence\":2,", "{\"sequence\":3,", &expect!["line 8, record 2: found record 3 in its place"]);
    edit(
        "1000020,\"generation\":1,\"type\"",
        "1000009,\"generation\":1,\"type\"",
        &expect!["line 8, record 2: recorded_at fell from 1000020 us to 1000009 us"],
    );
    edit(
        "1000020,\"generation\":1,\"type\"",
        "1000020,\"generation\":0,\"type\"",
        &expect!["line 8, record 2: generation fell from 1 to 0: a writer that was fenced off wrote this"],
    );
    edit(
        "1000020,\"generation\":1,\"type\"",
        "9007199254740992,\"generation\":1,\"type\"",
        &expect![
            "line 8, record 2: field `recorded_at` is 9007199254740992, expected at most 9007199254740991"
        ],
    );
    edit(
        "\"next_sequence\":3,\"durable_before\":2",
        "\"next_sequence\":3,\"durable_before\":4",
        &expect!["line 9, record 3: the seal calls the records before 4 durable, which it does not cover"],
    );
    edit(
        "\"first_sequence\":2",
        "\"first_sequence\":4",
        &expect!["line 7, record 2: the segment begins at record 4: it is not the next one of this log"],
    );
}

fn check(text: &str, expect: &Expect) {
    expect.assert_eq(&from_lines(FromLines::new(Opaque::default()), text).expect_err("no log").to_string());
}

#[test]
fn a_text_must_be_a_whole_log() {
    let text = to_lines(&log(&steps()));
    let lines: Vec<&str> = text.lines().collect();
    check("", &expect!["line 1, record 0: a log begins with a header line"]);
    check(lines[1], &expect!["line 1, record 0: a log begins with a header line"]);
    check(&lines[..3].join("\n"), &expect!["line 3, record 0: the text ends after 2 of 3 events"]);
    check(
        &[&lines[..3], &lines[5..]].concat().join("\n"),
        &expect!["line 4, record 0: the record before is not complete"],
    );
    check(
        &[lines[0], "", lines[1]].join("\n"),
        &expect!["line 2, record 0: EOF while parsing a value, at column 0"],
    );
    check(
        &lines[0].replace("opaque", "ledger"),
        &expect!["line 1, record 0: the log holds content kind 60000 (ledger), expected 60000 (opaque)"],
    );
    check(
        &lines[0].replace("60000", "1"),
        &expect!["line 1, record 0: the log holds content kind 1 (opaque), expected 60000 (opaque)"],
    );
    check(
        &lines[0].replace("\"format_version\":1", "\"format_version\":2"),
        &expect![
            "line 1, record 0: format version 2 is unknown: this program reads version 1; if no newer program wrote the log, its header is damaged"
        ],
    );
    check(
        &lines[0].replace("wallet-lab-log", "log"),
        &expect!["line 1, record 0: format is `log`, expected `wallet-lab-log`"],
    );
    check(
        &lines[0].replace("6c6f67", "6C6f67"),
        &expect!["line 1, record 0: field `log_id` is not lower-case hex"],
    );
    check(
        &lines[0].replace("\"first_sequence\":0", "\"first_sequence\":1"),
        &expect!["line 1, record 0: the log begins at record 1 but names no seal before it"],
    );
    check(
        &"x".repeat(LINE_BYTES_MAX + 2),
        &expect!["line 1, record 0: the line is longer than 8388608 bytes"],
    );
    check(
        &format!("{}\n", "x".repeat(LINE_BYTES_MAX + 1)),
        &expect!["line 1, record 0: the line is longer than 8388608 bytes"],
    );
}

#[test]
fn an_edited_file_can_be_resealed_as_another_log() {
    let text = to_lines(&log(&steps())).replace("6869", "6868");
    let text: Vec<&str> = text.lines().collect();
    // Without the last seal line, so that the end gets a seal of its own.
    let text = text[..text.len() - 1].join("\n");
    let bytes = from_lines(FromLines::resealing(Opaque::default(), [9; 16]), &text).unwrap();
    let (items, result) = scanned(&bytes);
    let tail = result.unwrap().tail.unwrap();
    assert_eq!(items[0], super::Owned::Header(Header { log_id: [9; 16], ..header() }));
    assert_eq!((tail.next_sequence(), tail.header().log_id, tail.is_sealed()), (3, [9; 16], true));
    // Sequences are not dense: nothing that resealing can put right.
    let gap = text.lines().filter(|line| !line.contains("6868")).collect::<Vec<_>>().join("\n");
    let error = from_lines(FromLines::resealing(Opaque::default(), [9; 16]), &gap).expect_err("a gap");
    expect!["line 5, record 1: found a seal that stands before record 2"].assert_eq(&error.to_string());
}

#[test]
fn a_part_of_a_log_can_not_be_resealed() {
    let bytes = log(&steps());
    let second = bytes.len() - crate::SEAL_BYTES - crate::RECORD_BYTES_MIN - crate::HEADER_BYTES;
    let text = to_lines(&bytes[second..]);
    assert_eq!(from_lines(FromLines::new(Opaque::default()), &text), Ok(bytes[second..].to_vec()));
    let error = from_lines(FromLines::resealing(Opaque::default(), [9; 16]), &text).expect_err("a part");
    expect!["line 1, record 0: found record 2 in its place"].assert_eq(&error.to_string());
}

#[test]
fn a_record_that_the_content_does_not_know_is_refused_by_name() {
    let refused = |step: Make| {
        let mut lines = ToLines::new(Opaque::default());
        let mut text = Vec::new();
        let mut error = None;
        scan(&log(&[step]), |item| {
            let before = text.len();
            if let Err(refusal) = lines.push(&item, &mut text) {
                assert_eq!(text.len(), before);
                error = Some(refusal.to_string());
            }
        })
        .unwrap();
        error.expect("refused")
    };
    let unknown = Make::Record { kind: RecordKind { kind: 77, version: 1 }, payload: vec![], source: None };
    expect!["byte 128, record 0: unknown kind 77 version 1: a newer program wrote this record"]
        .assert_eq(&refused(unknown));
    expect!["byte 128, record 0: payload: a part is cut off"].assert_eq(&refused(Make::Record {
        kind: PARTS,
        payload: vec![5, 1],
        source: None,
    }));
    expect!["byte 128, record 0: the record has 0 events, expected 1 to 131072"]
        .assert_eq(&refused(Make::Record { kind: PARTS, payload: vec![], source: None }));
    let mut lines = ToLines::new(Opaque::default());
    let other = crate::Item::Header(Header { content: 1, ..header() });
    expect!["byte 0, record 0: the log holds content kind 1, expected 60000"]
        .assert_eq(&lines.push(&other, &mut Vec::new()).expect_err("another content").to_string());
    assert_eq!(*lines.content(), Opaque { records: 0 });
}
