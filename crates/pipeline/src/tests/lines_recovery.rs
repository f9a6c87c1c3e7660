//! A text that is appended to: what an interrupted append leaves is cut, everything else is refused.

use super::forms::lines;
use super::{Rig, recover};
use crate::{Config, CorruptLines, LinesRecovered, LinesRecovery};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expect_test::{Expect, expect};
use ledger::Digest;

/// The binary form and the lines of a log of seven records in three batches; a closing seal calls all of them durable
/// unless it is left out.
fn some_log(closing: &[&str]) -> (Vec<u8>, String) {
    let mut rig = Rig::new(Config::default());
    let script = [
        "open alice 100",
        "open bob 0",
        "transfer t1 alice bob 30",
        "settle",
        "deposit d1 alice 5",
        "withdraw w1 alice 500",
        "settle",
        "transfer t2 bob alice 1",
        "open carol 9",
        "settle",
    ];
    script.iter().chain(closing).for_each(|line| rig.run(line));
    let text = lines(&rig.durable);
    (rig.durable, text)
}

fn recover_lines(text: &[u8], piece: usize) -> Result<LinesRecovered, CorruptLines> {
    let mut recovery = LinesRecovery::new(5, 0);
    for piece in text.chunks(piece) {
        recovery.push(piece)?;
    }
    recovery.finish()
}

/// The digest behind the first records, by their number.
fn digests(log: &[u8]) -> Vec<Digest> {
    let mut replay = crate::Replay::new(0);
    let mut digests = alloc::vec![Digest::default()];
    for byte in log.chunks(1) {
        replay.push(byte, |_| core::ops::ControlFlow::Continue(())).expect("a whole log");
        if replay.next_sequence() == digests.len() as u64 {
            digests.push(replay.ledger().digest());
        }
    }
    digests
}

#[test]
fn it_is_the_log_that_the_binary_form_is() {
    let (log, text) = some_log(&["close", "settle"]);
    let binary = recover(&log);
    for piece in [1, 7, 100, text.len()] {
        for text in [text.clone(), text.replace('\n', "\r\n")] {
            let LinesRecovered { recovered, cut, bytes, lacks_line_end } =
                recover_lines(text.as_bytes(), piece).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((cut, bytes, lacks_line_end), (None, text.len() as u64, false));
            assert_eq!(recovered.ledger.digest(), binary.ledger.digest());
            let border = |tail: &Option<journal::Tail>| tail.as_ref().and_then(journal::Tail::border);
            assert_eq!(border(&recovered.tail), border(&binary.tail));
        }
    }
}

#[test]
fn places_are_noted_in_both_forms() {
    let (log, text) = some_log(&[]);
    let mut recovery = LinesRecovery::new(5, 400);
    recovery.push(text.as_bytes()).expect("a whole text");
    let noted = recovery.take_noted();
    assert!(noted.len() > 1 && recovery.take_noted().is_empty());
    let mut binary = crate::Recovery::new(0).noting_borders(400);
    binary.push(&log, |_| ()).expect("a whole log");
    assert!(binary.take_noted().iter().eq(noted.iter().map(|(noted, _)| noted)));
    for (noted, at_byte) in noted {
        let (before, _) = text.split_at(usize::try_from(at_byte).expect("a small text"));
        let last = before.lines().next_back().expect("a line");
        assert_eq!(journal::seal_of_line(last.as_bytes()).expect("a seal").seal, noted.border.seal);
        assert_eq!(noted.accounts_count as usize, before.matches("\"AccountOpened\"").count());
    }
}

#[test]
fn a_text_cut_at_any_byte_keeps_its_whole_records() {
    let (log, text) = some_log(&[]);
    let digests = digests(&log);
    for cut in 0..=text.len() {
        let found =
            recover_lines(&text.as_bytes()[..cut], 64).unwrap_or_else(|error| panic!("{cut}: {error}"));
        // The closing brace makes a line whole; a record is whole with the last of its lines.
        let whole = text[..cut].lines().filter(|line| line.ends_with('}') && line.starts_with('{'));
        let records = whole
            .filter(|line| {
                let mut fields = line.split([':', ',', '}']);
                let mut field = |name: &str| {
                    fields.find(|field| *field == name).map(|_| ())?;
                    fields.next().and_then(|number| number.parse::<u64>().ok())
                };
                field("\"index\"").zip(field("\"count\"")).is_some_and(|(index, count)| index + 1 == count)
            })
            .count();
        let LinesRecovered { recovered, cut: torn, bytes, lacks_line_end } = found;
        assert_eq!(recovered.projections.checkpoint(), records as u64, "{cut}");
        assert_eq!(recovered.ledger.digest(), digests[records], "{cut}");
        assert_eq!(bytes + torn.as_ref().map_or(0, |torn| torn.bytes_cut), cut as u64, "{cut}");
        assert_eq!(torn.as_ref().map_or(bytes, |torn| torn.cut_at_byte), bytes);

        // What is kept is a text that goes on.
        let mut kept = text[..usize::try_from(bytes).expect("a small text")].to_string();
        kept.push_str(if lacks_line_end { "\n" } else { "" });
        let again = recover_lines(kept.as_bytes(), 64).unwrap_or_else(|error| panic!("{cut}: {error}"));
        assert_eq!((again.cut, again.bytes, again.lacks_line_end), (None, kept.len() as u64, false));
        assert_eq!(again.recovered.projections.checkpoint(), records as u64);
    }
}

#[test]
fn no_changed_byte_is_taken_for_what_was_written() {
    let (log, text) = some_log(&[]);
    let digests = digests(&log);
    let mut outcomes = [0; 3];
    for at in 0..text.len() {
        for flip in [1, 0x80] {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= flip;
            match recover_lines(&changed, changed.len()) {
                Err(_) => outcomes[0] += 1,
                Ok(LinesRecovered { recovered, cut, .. }) => {
                    outcomes[if cut.is_some() { 1 } else { 2 }] += 1;
                    let records = recovered.projections.checkpoint();
                    // The last seal says that the first five were durable before it was written.
                    assert!(records >= 5, "byte {at}: cut below what was durable");
                    let index = usize::try_from(records).expect("a small log");
                    assert_eq!(recovered.ledger.digest(), digests[index], "byte {at}");
                }
            }
        }
    }
    assert!(outcomes[0] > outcomes[1] && outcomes[1] > 0 && outcomes[2] == 0, "{outcomes:?}");
}

#[test]
fn what_is_wrong_is_named_by_line_byte_and_record() {
    let (_, text) = some_log(&[]);
    let refused = |change: &dyn Fn(&str) -> String, expected: &Expect| {
        let changed = change(&text);
        assert_ne!(changed, text);
        let Err(error) = recover_lines(changed.as_bytes(), 50) else { panic!("recovered") };
        expected.assert_eq(&error.to_string());
    };
    // An edit, in the last batch and before it.
    refused(
        &|text| text.replace("\"amount\":1}", "\"amount\":2}"),
        &expect![
            "line 19, byte 3662, record 7: the lines from 14, records from 5, do not match their seal: it is 392e3c14694c2bd6f3f27cf0fe3d4983de85413b9d0d5e450b9243528240f245, expected 2ad37ad9bacb83443d6f754b62bffba8c646b9908a25dcb7094bfd7584e14b32; they were edited or damaged; resealing makes another log of them; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    refused(
        &|text| text.replacen("\"amount\":30", "\"amount\":31", 1),
        &expect![
            "line 7, byte 1370, record 2: event 0 contradicts the records before it: the events of the record are not those of one command of kind transfer; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    // A line that is no line any more, though a seal says that it was durable.
    refused(
        &|text| text.replacen("\"count\":4", "\"count:4", 1),
        &expect![
            "line 2, byte 290, record 0: expected `:`, at column 35; the seal line at byte 2519 says that the records before 3 were durable, so this is no interrupted append: restore the log from a copy"
        ],
    );
    refused(
        &|text| text.replacen("{\"sequence\":3", "\0\0\0\0\0\0\0\0", 1),
        &expect![
            "line 10, byte 1898, record 3: expected value, at column 1; the seal line at byte 3657 says that the records before 5 were durable, so this is no interrupted append: restore the log from a copy"
        ],
    );
    // A whole line that cannot stand where it does, even at the end.
    refused(
        &|text| text.to_string() + "{\"sequence\":9}\n",
        &expect![
            "line 20, byte 3806, record 7: field `index` is missing; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    refused(
        &|text| text.to_string() + &text[..text.len() / 2],
        &expect![
            "line 20, byte 3806, record 7: the segment begins at record 0: it is not the next one of this log; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    // A header that is none.
    refused(
        &|_| "sequence,account\n".to_string(),
        &expect![
            "line 1, byte 0, record 0: expected value, at column 1; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    refused(
        &|_| "{\"format\":\"wallet-lab-log\"}\n".to_string(),
        &expect![
            "line 1, byte 0, record 0: field `format_version` is missing; an interrupted append does not leave this behind, so nothing is cut"
        ],
    );
    refused(
        &|text| text.replacen("\"format_version\":1", "\"format_version\":2", 1),
        &expect![
            "line 1, byte 0, record 0: format version 2 is unknown: this program reads version 1; if no newer program wrote the log, its header is damaged; the seal line at byte 2520 says that the records before 3 were durable, so this is no interrupted append: restore the log from a copy"
        ],
    );
}

#[test]
fn what_is_cut_is_named_too() {
    let (_, text) = some_log(&[]);
    let cut = |change: &dyn Fn(&str) -> String, expected: &Expect| {
        let found = recover_lines(change(&text).as_bytes(), 50).unwrap_or_else(|error| panic!("{error}"));
        let torn = found.cut.map_or_else(String::new, |torn| torn.to_string());
        expected
            .assert_eq(&format!("{torn}; {} bytes, line end missing: {}", found.bytes, found.lacks_line_end));
    };
    cut(&|text| text[..text.len() - 1].to_string(), &expect!["; 3805 bytes, line end missing: true"]);
    cut(
        &|text| text[..text.len() - 2].to_string(),
        &expect![
            "an append was interrupted: cut 142 bytes at byte 3662, line 19, the next record is 7 (the text ends inside this line); 3662 bytes, line end missing: false"
        ],
    );
    cut(
        &|text| text.to_string() + "\0\0\0\0",
        &expect![
            "an append was interrupted: cut 4 bytes at byte 3806, line 20, the next record is 7 (only zeros follow); 3806 bytes, line end missing: false"
        ],
    );
    cut(
        &|text| text.to_string() + "{\"seq\0\0ence\n\n\nnoise",
        &expect![[
            r#"an append was interrupted: cut 19 bytes at byte 3806, line 20, the next record is 7 (control character (\u0000-\u001F) found while parsing a string, at column 6); 3806 bytes, line end missing: false"#
        ]],
    );
    cut(
        &|text| text.replace("{\"sequence\":6,\"index\":1", "\0\0"),
        &expect![
            "an append was interrupted: cut 739 bytes at byte 3046, line 16, the next record is 6 (expected value, at column 1); 3046 bytes, line end missing: false"
        ],
    );
    cut(
        &|text| text[..40].to_string(),
        &expect![
            "an append was interrupted: cut 40 bytes at byte 0, line 1, the next record is 0 (the text ends inside this line); 0 bytes, line end missing: false"
        ],
    );
    cut(
        &|_| "\0\0\0".to_string(),
        &expect![
            "an append was interrupted: cut 3 bytes at byte 0, line 1, the next record is 0 (only zeros follow); 0 bytes, line end missing: false"
        ],
    );
    cut(&|_| String::new(), &expect!["; 0 bytes, line end missing: false"]);
}
