//! A log in several segments: begun, read, brought back, damaged.

use std::collections::BTreeSet;

use super::readers::{read_all, settle, text_of, to_text};
use super::*;

/// Small enough for some commands: a few records each.
const OPTIONS: DriverOptions =
    DriverOptions { format: LogFormat::Binary, durability: Durability::Synced, segment_bytes: 2_048 };

fn open(directory: &Path, options: &DriverOptions) -> Driver {
    let opened = Driver::open_with(directory, &Driver::config(8, 7), options, Arc::new(|| {})).unwrap();
    assert_eq!(opened.cut, None);
    opened.driver
}

/// A directory with a closed log in several segments.
fn closed(transfers: u64) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), &OPTIONS);
    submit(&mut driver, &commands(transfers));
    driver.close().unwrap();
    directory
}

fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for segment in segments(from).unwrap() {
        fs::copy(&segment.path, to.path().join(segment.path.file_name().unwrap())).unwrap();
    }
    to
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What opening says that must not be opened; it changes nothing.
fn refusal(directory: &Path) -> String {
    let before = names(directory);
    let text = match FileJournal::open(directory, 0) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    };
    assert!(before.is_subset(&names(directory)), "{text}");
    text
}

#[test]
fn segments_are_begun_followed_and_brought_back() {
    let directory = tempfile::tempdir().unwrap();
    let commands = commands(300);
    let mut seen = Vec::new();
    let mut reader: Option<LogLines> = None;
    for (round, batch) in commands.chunks(70).enumerate() {
        let mut driver = open(directory.path(), &OPTIONS);
        // One that stays, over all segments of a driver, and one that comes anew.
        let mut follower = driver.log().read_from(0).unwrap();
        for part in batch.chunks(9) {
            submit(&mut driver, part);
            settle(&mut driver);
            read_all(&mut follower);
        }
        let log = driver.log().clone();
        let pipeline = driver.close().unwrap().pipeline;
        let mut again = log.read_from(0).unwrap();
        seen = read_all(&mut again);
        assert_eq!(text_of(&seen), to_text(&log_bytes(directory.path())), "round {round}");
        assert_eq!(pipeline.next_sequence(), log.durable().next_sequence);
        reader = Some(again);
    }
    assert_eq!(reader.unwrap().next_sequence(), 305);
    let headers = seen.iter().filter(|line| matches!(line, LogLine::Header(_))).count();
    let found = segments(directory.path()).unwrap();
    assert_eq!(headers, found.len());
    assert!(headers > 10, "{headers}");
    // Closed, there is nothing but the segments and the lock, and no zeros at their ends.
    assert_eq!(names(directory.path()).len(), headers + 1);
    assert_eq!(
        log_bytes(directory.path()).len() as u64,
        found.iter().map(|segment| segment.bytes).sum::<u64>()
    );
    assert!(
        found
            .iter()
            .all(|segment| (2_048..4_096).contains(&segment.bytes) || *segment == *found.last().unwrap())
    );
}

#[test]
fn a_copy_of_what_is_being_written_is_a_whole_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), &OPTIONS);
    for part in commands(200).chunks(11) {
        submit(&mut driver, part);
        settle(&mut driver);
        let copied = copy(directory.path());
        let found = segments(copied.path()).unwrap();
        let (last, others) = found.split_last().unwrap();
        assert!(last.bytes > 1 << 20, "room is there before it is needed");
        assert!(others.iter().all(|segment| segment.bytes < 4_096));
        let opened = FileJournal::open(copied.path(), 0).unwrap();
        assert_eq!(opened.cut, None, "reserved space is no torn tail");
        assert_eq!(opened.recovered.ledger.digest(), driver.pipeline().durable_digest());
        assert_eq!(opened.journal.bytes(), driver.log().durable().bytes);
    }
}

#[test]
fn a_batch_that_is_torn_before_reserved_space_is_cut_and_the_file_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), &OPTIONS);
    submit(&mut driver, &commands(3));
    settle(&mut driver);
    let whole = log_bytes(directory.path());
    submit(&mut driver, &commands(4)[8..]);
    settle(&mut driver);
    let more = log_bytes(directory.path());
    let copied = copy(directory.path());
    let path = log_path(copied.path());
    drop(driver);
    let reserved = fs::read(&path).unwrap();
    for torn_at in [whole.len() + 1, whole.len() + 30, more.len() - 77, more.len() - 75, more.len() - 1] {
        let mut torn = reserved.clone();
        torn[torn_at..].fill(0);
        fs::write(&path, &torn).unwrap();
        let opened =
            Driver::open_with(copied.path(), &Driver::config(8, 7), &OPTIONS, Arc::new(|| {})).unwrap();
        // A record that is whole is kept; that is no cut.
        let cut = opened.cut.map(|cut| (cut.path, cut.next_sequence));
        let kept = more.len() - journal::SEAL_BYTES;
        let expected = (torn_at != kept).then(|| (path.clone(), if torn_at < kept { 8 } else { 9 }));
        assert_eq!(cut, expected, "torn at {torn_at}");
        let mut driver = opened.driver;
        submit(&mut driver, &commands(30));
        driver.close().unwrap();
        assert_eq!(log_bytes(copied.path())[..whole.len()], whole);
        let recovered = FileJournal::open(copied.path(), 0).unwrap().recovered;
        assert_eq!(recovered.projections.checkpoint(), 35);
        for segment in segments(copied.path()).unwrap() {
            fs::remove_file(&segment.path).unwrap();
        }
    }
}

#[test]
fn what_stands_behind_a_hole_is_cut_off() {
    let directory = closed(3);
    let whole = log_bytes(directory.path());
    let path = log_path(directory.path());
    let mut torn = whole.clone();
    torn.resize(whole.len() + 700, 0);
    torn.extend_from_slice(&whole[200..300]);
    torn.resize(whole.len() + 5_000, 0);
    fs::write(&path, &torn).unwrap();
    let opened = FileJournal::open(directory.path(), 0).unwrap();
    assert_eq!(opened.cut.unwrap().bytes_cut, 5_000);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn damage_is_named_by_segment_byte_and_record() {
    let directory = closed(120);
    let found = segments(directory.path()).unwrap();
    assert!(found.len() > 4, "{found:?}");
    let next = |index: usize| found.get(index + 1).map_or(u64::MAX, |segment| segment.first_sequence);
    for (index, segment) in found[..found.len() - 1].iter().enumerate() {
        let copied = copy(directory.path());
        let path = copied.path().join(segment.path.file_name().unwrap());
        let bytes = fs::read(&path).unwrap();
        let end = bytes.len();
        for at in [0, 9, 60, 127, 128, 131, 150, end / 2, end - 77, end - 76, end - 40, end - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            fs::write(&path, &flipped).unwrap();
            let text = refusal(copied.path());
            assert!(
                text.starts_with(&format!("{}: byte ", path.display())),
                "byte {at} of segment {index}: {text}"
            );
            let mut numbers = text[path.display().to_string().len()..].split(|c: char| !c.is_ascii_digit());
            let mut number = || numbers.find_map(|digits| digits.parse::<u64>().ok()).unwrap();
            let (at_byte, record) = (number(), number());
            assert!(
                at_byte <= at as u64 && (segment.first_sequence..=next(index)).contains(&record),
                "{text}"
            );
            assert_eq!(fs::read(&path).unwrap(), flipped, "nothing is changed");
        }
        for length in [0, 1, 100, 128, 129, end / 2, end - 76, end - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            let text = refusal(copied.path());
            assert!(text.contains(".wlog: "), "{length} bytes of segment {index}: {text}");
        }
    }
}

#[test]
fn a_segment_that_is_missing_doubled_or_of_another_log_is_refused_by_name() {
    let directory = closed(120);
    let found = segments(directory.path()).unwrap();
    let other = closed(120);
    let others = segments(other.path()).unwrap();
    for index in 0..found.len() - 1 {
        let copied = copy(directory.path());
        let named = |index: usize| copied.path().join(found[index].path.file_name().unwrap());
        fs::remove_file(named(index)).unwrap();
        let text = refusal(copied.path());
        let expected = format!("{}: this segment begins with record", named(index + 1).display());
        assert!(text.starts_with(&expected) && text.contains("a segment is missing"), "{text}");
        // The same segment of another log, which has the same records.
        if others.get(index).map(|other| other.first_sequence) == Some(found[index].first_sequence)
            && index > 0
        {
            fs::copy(&others[index].path, named(index)).unwrap();
            let text = refusal(copied.path());
            assert!(text.starts_with(&format!("{}: byte 0", named(index).display())), "{text}");
            assert!(text.contains("a header of log"), "{text}");
        }
    }
    let copied = copy(directory.path());
    let doubled = copied.path().join(segment_name(found[1].first_sequence + 1));
    fs::copy(&found[1].path, &doubled).unwrap();
    let text = refusal(copied.path());
    assert!(text.starts_with(&doubled.display().to_string()) && text.contains("one too many"), "{text}");

    let copied = copy(directory.path());
    let newer = copied.path().join(found[2].path.file_name().unwrap());
    let mut bytes = fs::read(&newer).unwrap();
    bytes[8] = 2;
    fs::write(&newer, &bytes).unwrap();
    let text = refusal(copied.path());
    assert!(
        text.starts_with(&format!("{}: byte 0", newer.display())) && text.contains("version 2"),
        "{text}"
    );
}

#[test]
fn what_a_writer_left_behind_is_removed() {
    let directory = closed(20);
    let bytes = log_bytes(directory.path());
    fs::write(directory.path().join("segment.part"), b"never used").unwrap();
    // A file that was made for the next segment and never written.
    let next = directory.path().join(segment_name(25));
    fs::write(&next, [0; 4_096]).unwrap();
    let driver = open_cut(directory.path());
    assert!(!next.exists());
    driver.close().unwrap();
    assert_eq!(log_bytes(directory.path()), bytes);
    assert!(!directory.path().join("segment.part").exists());
    fs::write(&next, b"").unwrap();
    let driver = open(directory.path(), &OPTIONS);
    assert!(!next.exists());
    driver.close().unwrap();
    assert_eq!(log_bytes(directory.path()), bytes);
}

fn open_cut(directory: &Path) -> Driver {
    let opened = Driver::open_with(directory, &Driver::config(8, 7), &OPTIONS, Arc::new(|| {})).unwrap();
    assert_eq!(opened.cut.unwrap().file_bytes, 0);
    opened.driver
}

#[test]
fn what_is_written_is_synced_at_the_end_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let options = DriverOptions { durability: Durability::Written, ..OPTIONS };
    let mut driver = open(directory.path(), &options);
    for part in commands(100).chunks(20) {
        submit(&mut driver, part);
        settle(&mut driver);
    }
    let stats = driver.journal_stats();
    assert_eq!((stats.syncs, stats.writes > 4), (0, true), "{stats:?}");
    let copied = copy(directory.path());
    let mark =
        |directory: &Path| FileJournal::open(directory, 0).unwrap().recovered.tail.unwrap().durable_before();
    assert_eq!(mark(copied.path()), 0, "nothing is called durable");
    driver.close().unwrap();
    assert_eq!(mark(directory.path()), 105);
}

#[test]
fn in_memory_there_is_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let options = DriverOptions { durability: Durability::Memory, ..OPTIONS };
    let missing = directory.path().join("never made");
    let mut driver = open(&missing, &options);
    for part in commands(100).chunks(20) {
        submit(&mut driver, part);
        settle(&mut driver);
    }
    assert_eq!(driver.take_replies().count(), 105);
    let lines = read_all(&mut driver.log().read_from(0).unwrap());
    assert_eq!(lines.iter().filter(|line| matches!(line, LogLine::Record { .. })).count(), 105);
    let (stats, durable) = (driver.journal_stats(), driver.log().durable());
    assert_eq!((stats.bytes, stats.syncs), (durable.bytes, 0));
    driver.close().unwrap();
    assert!(!missing.exists());
}
