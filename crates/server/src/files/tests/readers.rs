//! Reading the durable log while it is written.

use journal::{Decoder, FromLines, ToLines};
use pipeline::{Follower, LedgerContent, Snapshot};

use super::*;

/// What a reader gives out from a record on, up to what is durable.
pub(super) fn read_all(lines: &mut LogLines) -> Vec<LogLine> {
    let mut all = Vec::new();
    while lines.next_chunk(&mut all).unwrap() > 0 {}
    all
}

pub(super) fn text_of(lines: &[LogLine]) -> String {
    lines.iter().map(|line| format!("{}\n", line.text())).collect()
}

/// The JSON Lines form of a log in the binary form.
pub(super) fn to_text(log: &[u8]) -> String {
    let (mut decoder, mut to_lines) = (Decoder::new(), ToLines::new(LedgerContent::default()));
    let mut text = Vec::new();
    decoder.push(log);
    while let Some(item) = decoder.next().unwrap() {
        to_lines.push(&item, &mut text).unwrap();
    }
    String::from_utf8(text).unwrap()
}

/// The text of a data directory's log, and its binary form, whatever form it is kept in.
pub(super) fn both_forms(directory: &Path, format: LogFormat) -> (String, Vec<u8>) {
    match format {
        LogFormat::Binary => {
            let log = log_bytes(directory);
            (to_text(&log), log)
        }
        LogFormat::JsonLines => {
            let text = fs::read_to_string(text_log_path(directory)).unwrap();
            let (mut from_lines, mut log) = (FromLines::new(LedgerContent::default()), Vec::new());
            from_lines.push(text.as_bytes(), &mut log).unwrap();
            from_lines.finish(&mut log).unwrap();
            (text, log)
        }
    }
}

pub(super) fn open(directory: &Path, format: LogFormat) -> Driver {
    let options = DriverOptions { format, ..DriverOptions::default() };
    Driver::open_with(directory, &Driver::config(16, 7), &options, Arc::new(|| {})).unwrap().driver
}

pub(super) fn settle(driver: &mut Driver) {
    while driver.appends_pending() > 0 || driver.pipeline().awaits_segment() {
        driver.wait().unwrap();
    }
}

const FORMS: [LogFormat; 2] = [LogFormat::Binary, LogFormat::JsonLines];

#[test]
fn a_reader_follows_what_is_durable_and_nothing_else() {
    for format in FORMS {
        let directory = tempfile::tempdir().unwrap();
        let mut driver = open(directory.path(), format);
        let mut reader = driver.log().read_from(0).unwrap();
        assert_eq!((read_all(&mut reader), driver.log().durable().next_sequence), (Vec::new(), 0));
        let mut seen = Vec::new();
        let commands = commands(60);
        for batch in commands.chunks(13) {
            submit(&mut driver, batch);
            let before = driver.log().durable();
            // However much is on the disk by now: the pipeline has not taken it in.
            assert_eq!(read_all(&mut reader), Vec::new());
            settle(&mut driver);
            let durable = driver.log().durable();
            assert!(durable.bytes > before.bytes && durable.next_sequence > before.next_sequence);
            assert_eq!(durable.next_sequence, driver.projections().checkpoint());
            seen.extend(read_all(&mut reader));
            assert_eq!(reader.next_sequence(), durable.next_sequence);
            assert_eq!(text_of(&seen), both_forms(directory.path(), format).0);
        }
        let log = driver.log().clone();
        driver.close().unwrap();
        seen.extend(read_all(&mut reader));
        let (text, binary) = both_forms(directory.path(), format);
        assert_eq!(text_of(&seen), text);
        assert_eq!(to_text(&binary), text, "there and back");
        assert_eq!(
            log.durable().bytes,
            if format == LogFormat::Binary { binary.len() } else { text.len() } as u64
        );
        let records = seen.iter().filter_map(|line| match line {
            LogLine::Record { sequence, .. } => Some(*sequence),
            LogLine::Header(_) | LogLine::Seal(_) => None,
        });
        assert!(records.eq(0..65));
    }
}

#[test]
fn from_any_record_on_a_follower_can_go_on() {
    for format in FORMS {
        let directory = tempfile::tempdir().unwrap();
        let commands = commands(60);
        let (mut snapshots, mut ids) = (Vec::new(), Vec::new());
        // Each opening and closing leaves seals behind that cover no record.
        for batch in commands.chunks(22) {
            let mut driver = open(directory.path(), format);
            for part in batch.chunks(5) {
                snapshots.push(driver.reads().durable_view().encode());
                submit(&mut driver, part);
                settle(&mut driver);
            }
            ids.push(driver.log().log_id());
            let closed = driver.close().unwrap();
            snapshots.push(closed.reads.durable_view().encode());
        }
        let driver = open(directory.path(), format);
        let whole = read_all(&mut driver.log().read_from(0).unwrap());
        for from in 0..=66 {
            let lines = read_all(&mut driver.log().read_from(from).unwrap());
            let expected = whole.iter().filter(|line| match line {
                LogLine::Header(_) => from == 0,
                LogLine::Record { sequence, .. } => *sequence >= from,
                LogLine::Seal(line) => journal::seal_of_line(line.as_bytes()).unwrap().next_sequence >= from,
            });
            assert!(lines.iter().eq(expected), "from {from}");
        }
        for bytes in snapshots {
            let snapshot = Snapshot::decode(&bytes).unwrap();
            assert_eq!(snapshot.identity.log_id, ids[0]);
            let mut follower = Follower::resume(&snapshot, 3).unwrap();
            let lines =
                driver.log().read_from(snapshot.next_sequence()).map(|mut lines| read_all(&mut lines));
            follower.push_lines(&text_of(&lines.unwrap())).unwrap();
            assert_eq!(follower.digest(), driver.pipeline().durable_digest());
            assert_eq!(follower.border().as_ref(), driver.pipeline().durable_border());
            // A second connection begins with what the follower has already.
            let again =
                driver.log().read_from(follower.next_sequence()).map(|mut lines| read_all(&mut lines));
            assert_eq!(follower.push_lines(&text_of(&again.unwrap())).unwrap(), 0);
        }
    }
}

#[test]
fn the_end_of_a_long_log_is_read_without_its_beginning() {
    for format in FORMS {
        let directory = tempfile::tempdir().unwrap();
        let commands = commands(20_000);
        let mut driver = open(directory.path(), format);
        for batch in commands.chunks(1_000) {
            submit(&mut driver, batch);
            settle(&mut driver);
        }
        let check = |log: &LogShared| {
            let whole = read_all(&mut log.read_from(0).unwrap());
            let bytes = log.durable().bytes;
            for from in [0, 1, 9_000, 20_004, 20_005] {
                let mut reader = log.read_from(from).unwrap();
                let begins_at = reader.begins_at_byte();
                let lines = read_all(&mut reader);
                let records =
                    lines.iter().filter(|line| matches!(line, LogLine::Record { .. })).count() as u64;
                assert_eq!(records, 20_005 - from);
                assert!(whole.ends_with(&lines), "from {from}");
                // About 256 KiB of the binary form, which are some times as many of lines, and a batch.
                if from > 20_000 {
                    assert!(bytes - begins_at < bytes / 2, "{begins_at} of {bytes}");
                }
            }
        };
        check(driver.log());
        driver.close().unwrap();
        check(open(directory.path(), format).log());
    }
}

#[test]
fn a_chunk_is_bounded_and_a_reader_comes_back_for_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), LogFormat::Binary);
    let commands = commands(4_000);
    submit(&mut driver, &commands);
    settle(&mut driver);
    let mut reader = driver.log().read_from(0).unwrap();
    let (mut chunk, mut chunks) = (Vec::new(), 0);
    while reader.next_chunk(&mut chunk).unwrap() > 0 {
        assert!(text_of(&chunk).len() < 300_000);
        chunks += 1;
        chunk.clear();
    }
    assert!(chunks > 4, "{chunks}");
}

#[test]
fn several_segments_are_read_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let (first, border, second) = two_segments();
    fs::write(log_path(directory.path()), &first).unwrap();
    fs::write(directory.path().join(segment_name(border)), &second).unwrap();
    let mut driver = open(directory.path(), LogFormat::Binary);
    submit(&mut driver, &commands(30)[25..]);
    settle(&mut driver);
    let lines = read_all(&mut driver.log().read_from(0).unwrap());
    assert_eq!(text_of(&lines), both_forms(directory.path(), LogFormat::Binary).0);
    let lines = read_all(&mut driver.log().read_from(border).unwrap());
    assert!(matches!(
        lines[..3],
        [LogLine::Seal(_), LogLine::Header(_), LogLine::Record { sequence: 10, .. }]
    ));
}

#[test]
fn damage_is_found_by_the_reader_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), LogFormat::Binary);
    submit(&mut driver, &commands(60));
    settle(&mut driver);
    let mut bytes = fs::read(log_path(directory.path())).unwrap();
    bytes[2_000] ^= 1;
    fs::write(log_path(directory.path()), bytes).unwrap();
    let mut reader = driver.log().read_from(0).unwrap();
    let error = reader.next_chunk(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.starts_with(&log_path(directory.path()).display().to_string()), "{error}");
}

#[test]
fn a_log_without_a_last_seal_gets_one_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _, _) = two_segments();
    fs::write(log_path(directory.path()), &first[..first.len() - journal::SEAL_BYTES]).unwrap();
    let mut driver = open(directory.path(), LogFormat::Binary);
    let snapshot = Snapshot::decode(&driver.reads().durable_view().encode()).unwrap();
    assert_eq!((snapshot.next_sequence(), snapshot.border.unwrap().durable_before), (10, 10));
    let lines = read_all(&mut driver.log().read_from(0).unwrap());
    assert!(matches!(lines[..], [.., LogLine::Record { sequence: 9, .. }, LogLine::Seal(_)]));
    submit(&mut driver, &commands(20));
    driver.close().unwrap();
    assert_eq!(FileJournal::open(directory.path(), 0).unwrap().recovered.tail.unwrap().next_sequence(), 25);
}
