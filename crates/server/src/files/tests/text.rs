//! A data directory whose log is `events.log`.

use super::readers::{both_forms, open, read_all, settle, text_of, to_text};
use super::*;

fn refused(directory: &Path, format: LogFormat) -> String {
    let options = DriverOptions { format, ..DriverOptions::default() };
    match Driver::open_with(directory, &Driver::config(16, 0), &options, Arc::new(|| {})) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    }
}

/// A directory with a closed log of these commands, in batches.
fn text_log(commands: &[Command]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), LogFormat::JsonLines);
    for batch in commands.chunks(4) {
        submit(&mut driver, batch);
        settle(&mut driver);
    }
    driver.close().unwrap();
    let text = fs::read_to_string(text_log_path(directory.path())).unwrap();
    (directory, text)
}

#[test]
fn a_log_is_the_same_log_in_both_forms() {
    let binary = tempfile::tempdir().unwrap();
    let text = tempfile::tempdir().unwrap();
    let (first, second) = (commands(40), commands(90));
    let mut driver = open(binary.path(), LogFormat::Binary);
    submit(&mut driver, &first);
    driver.close().unwrap();
    let (lines, log) = both_forms(binary.path(), LogFormat::Binary);
    fs::write(text_log_path(text.path()), &lines).unwrap();

    // Opened in either form it is the same state, and opening changes no byte.
    let [mut one, mut other] = [(&binary, LogFormat::Binary), (&text, LogFormat::JsonLines)]
        .map(|(directory, format)| open(directory.path(), format));
    assert_eq!(one.reads().durable_view().encode(), other.reads().durable_view().encode());
    assert_eq!(both_forms(text.path(), LogFormat::JsonLines), (lines, log));

    // The same commands come to the same state; only the times differ.
    for driver in [&mut one, &mut other] {
        submit(driver, &second);
        settle(driver);
    }
    assert_eq!(one.pipeline().durable_digest(), other.pipeline().durable_digest());
    assert_eq!(one.log().durable().next_sequence, other.log().durable().next_sequence);
    let answers = |driver: &mut Driver| {
        let mut replies: Vec<_> = driver.take_replies().collect();
        replies.sort_by_key(|reply| reply.request_id);
        replies
    };
    assert_eq!(answers(&mut one), answers(&mut other));
    one.close().unwrap();
    other.close().unwrap();
    let (text, log) = both_forms(text.path(), LogFormat::JsonLines);
    assert_eq!(to_text(&log), text);
    assert_eq!(
        text.lines().count(),
        1 + text.matches("\"sequence\":").count() + text.matches("{\"seal\"").count()
    );
}

#[test]
fn a_directory_keeps_its_log_in_one_form() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 16, &commands(3));
    let text = refused(directory.path(), LogFormat::JsonLines);
    assert!(text.contains("00000000000000000000.wlog") && text.contains("walletlab export"), "{text}");
    let (directory, _) = text_log(&commands(3));
    let text = refused(directory.path(), LogFormat::Binary);
    assert!(text.contains("events.log") && text.contains("walletlab import"), "{text}");
}

#[test]
fn a_second_process_is_refused_here_too() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), LogFormat::JsonLines);
    let text = refused(directory.path(), LogFormat::JsonLines);
    assert!(text.contains("another process is writing"), "{text}");
    drop(first);
    open(directory.path(), LogFormat::JsonLines);
}

#[test]
fn a_text_cut_anywhere_goes_on_behind_its_last_whole_record() {
    let (_whole, text) = text_log(&commands(5));
    let directory = tempfile::tempdir().unwrap();
    let path = text_log_path(directory.path());
    let ends = text.match_indices('\n').flat_map(|(at, _)| [at, at + 1]);
    for cut in (0..text.len()).step_by(61).chain(ends) {
        fs::write(&path, &text[..cut]).unwrap();
        let config = Driver::config(16, 0);
        let options = DriverOptions { format: LogFormat::JsonLines, ..DriverOptions::default() };
        let opened = Driver::open_with(directory.path(), &config, &options, Arc::new(|| {})).unwrap();
        let mut driver = opened.driver;
        if let Some(cut) = opened.cut {
            assert_eq!(cut.path, path);
            assert!(cut.to_string().contains("an append was interrupted"), "{cut}");
        }
        submit(&mut driver, &commands(5));
        let Closed { pipeline, replies, .. } = driver.close().unwrap();
        assert_eq!((replies.len(), pipeline.next_sequence()), (10, 10), "cut at {cut}");
        let (kept, log) = both_forms(directory.path(), LogFormat::JsonLines);
        assert_eq!(to_text(&log), kept, "cut at {cut}");
    }
}

#[test]
fn damage_and_edits_are_refused_by_line_byte_and_record_and_change_nothing() {
    let (directory, text) = text_log(&commands(20));
    let path = text_log_path(directory.path());
    let once = |from, to| text.replacen(from, to, 1);
    for (edited, expected) in [
        (text.replace("\"amount\":7}", "\"amount\":8}"), "do not match their seal"),
        (once("\"amount\":7}", "\"amount\":8}"), "contradicts the records before it"),
        (once("\"count\":4", "\"count:4"), "were durable, so this is no interrupted append"),
        (once("\"generation\":1", "\"generation\":2"), "count, recorded_at, generation"),
    ] {
        assert_ne!(edited, text);
        fs::write(&path, &edited).unwrap();
        let error = refused(directory.path(), LogFormat::JsonLines);
        assert!(error.starts_with(&format!("{}: line ", path.display())), "{error}");
        assert!(
            error.contains(", byte ") && error.contains(", record ") && error.contains(expected),
            "{error}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), edited);
    }
}

#[test]
fn whatever_was_answered_when_the_power_went_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    let mut driver = open(directory.path(), LogFormat::JsonLines);
    let commands = commands(120);
    let mut answered = Vec::new();
    submit(&mut driver, &commands);
    while driver.appends_pending() > 0 {
        driver.wait().unwrap();
        answered.extend(driver.take_replies().map(|reply| reply.answer));
        // The file as a kill at this moment leaves it: with what is answered, and perhaps a part of what is not.
        let copy = copies.path().join(answered.len().to_string());
        fs::create_dir_all(&copy).unwrap();
        fs::copy(text_log_path(directory.path()), text_log_path(&copy)).unwrap();
        let after = open(&copy, LogFormat::JsonLines);
        for answer in &answered {
            let Answer::Done { outcome, .. } = answer else { panic!("{answer:?}") };
            let found = after.projections().transactions.found(&outcome.transaction_id).unwrap();
            assert_eq!((found.sequence, found.result), (outcome.sequence, outcome.result));
        }
        let lines = read_all(&mut after.log().read_from(0).unwrap());
        assert_eq!(text_of(&lines), fs::read_to_string(text_log_path(&copy)).unwrap());
    }
    assert_eq!(answered.len(), 125);
}
