use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use journal::{Header, Seal};
use ledger::{Command, TransactionId, TransactionResult};
use pipeline::{Answer, Elsewhere, Input, Output, Pipeline, Replayed, Request};
use time::Timestamp;

use super::*;

mod readers;
mod segments;
mod text;

/// Commands on a few accounts: the openings, then transfers between them.
fn commands(transfers: u64) -> Vec<Command> {
    let name = |number: u64| format!("account-{number}").parse().unwrap();
    let opening = |number| Command::OpenAccount {
        account: name(number),
        asset: "USD".parse().unwrap(),
        scale: 2,
        floor: None,
        opening_balance: 1_000,
    };
    let transfer = |number: u64| Command::Transfer {
        transaction_id: TransactionId::derived("test", &[&number.to_le_bytes()]),
        from_account: name(number % 5),
        to_account: name((number + 1) % 5),
        amount: 7,
        metadata: None,
    };
    (0..5).map(opening).chain((0..transfers).map(transfer)).collect()
}

fn submit(driver: &mut Driver, commands: &[Command]) {
    let requests =
        (0..).zip(commands).map(|(request_id, command)| Request { request_id, command: command.clone() });
    driver.submit(requests.collect());
}

/// Runs the commands and returns the answers in the order of the commands.
fn run(
    directory: &Path,
    append_records_max: u32,
    commands: &[Command],
) -> (Vec<Answer>, Pipeline<Elsewhere>) {
    let mut driver = Driver::open(directory, &Driver::config(append_records_max, 7)).unwrap().driver;
    submit(&mut driver, commands);
    let Closed { pipeline, mut replies, .. } = driver.close().unwrap();
    replies.sort_by_key(|reply| reply.request_id);
    (replies.into_iter().map(|reply| reply.answer).collect(), pipeline)
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join(segment_name(0))
}

/// The log without the zeros at its end.
fn log_bytes(directory: &Path) -> Vec<u8> {
    let paths = segments(directory).unwrap().into_iter().map(|segment| segment.path);
    let mut log = paths.flat_map(|path| fs::read(path).unwrap()).collect::<Vec<u8>>();
    let scanned = journal::scan(&log, |_| {}).unwrap();
    assert!(scanned.cut.is_none_or(|cut| cut.is_reserved_space()));
    log.truncate(usize::try_from(scanned.tail.unwrap().bytes()).unwrap());
    log
}

#[test]
fn what_was_answered_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let commands = commands(100);
    let (answers, first) = run(directory.path(), 16, &commands);
    assert_eq!(answers.len(), 105);
    let bytes = fs::read(log_path(directory.path())).unwrap();

    let (again, second) = run(directory.path(), 64, &commands);
    assert_eq!(second.ledger().digest(), first.ledger().digest());
    assert_eq!((first.generation(), second.generation()), (1, 2));
    for (first, again) in answers.iter().zip(&again) {
        let Answer::Done { outcome, replayed: Replayed::First } = first else { panic!("{first:?}") };
        assert_eq!(outcome.result, TransactionResult::Completed);
        assert_eq!(*again, Answer::Done { outcome: *outcome, replayed: Replayed::Again });
    }
    assert_eq!(fs::read(log_path(directory.path())).unwrap(), bytes, "nothing new, so nothing is written");
}

#[test]
fn a_closed_log_ends_in_a_seal_that_vouches_for_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 16, &commands(20));
    let tail = FileJournal::open(directory.path(), 0).unwrap().recovered.tail.unwrap();
    assert!(tail.is_sealed());
    assert_eq!((tail.next_sequence(), tail.durable_before()), (25, 25));
}

#[test]
fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = FileJournal::open(directory.path(), 0).unwrap();
    let Err(error) = FileJournal::open(directory.path(), 0) else { panic!("two writers") };
    assert!(
        matches!(&error, FilesError::Locked { directory: locked } if locked == directory.path()),
        "{error}"
    );
    drop(first);
    FileJournal::open(directory.path(), 0).unwrap();
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 16, &commands(20));
    let whole = fs::read(log_path(directory.path())).unwrap();
    let torn: Vec<u8> = whole.iter().copied().chain(whole[128..200].iter().map(|byte| !byte)).collect();
    fs::write(log_path(directory.path()), torn).unwrap();

    let opened = FileJournal::open(directory.path(), 0).unwrap();
    let cut = opened.cut.unwrap();
    assert_eq!((cut.file_bytes, cut.bytes_cut, cut.next_sequence), (whole.len() as u64, 72, 25));
    assert!(cut.to_string().starts_with(&log_path(directory.path()).display().to_string()), "{cut}");
    assert_eq!(fs::read(log_path(directory.path())).unwrap(), whole);
    drop(opened.journal);
    assert!(FileJournal::open(directory.path(), 0).unwrap().cut.is_none());
}

#[test]
fn a_log_torn_while_it_was_made_starts_anew() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(log_path(directory.path()), [0; 100]).unwrap();
    let opened = FileJournal::open(directory.path(), 0).unwrap();
    assert_eq!(opened.cut.unwrap().file_bytes, 0);
    assert!(opened.recovered.tail.is_none());
    drop(opened.journal);
    assert_eq!(segments(directory.path()).unwrap(), []);
    let (answers, _) = run(directory.path(), 16, &commands(1));
    assert_eq!(answers.len(), 6);
}

#[test]
fn corruption_is_refused_by_file_byte_and_record_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 16, &commands(20));
    let mut bytes = fs::read(log_path(directory.path())).unwrap();
    bytes[150] ^= 1;
    fs::write(log_path(directory.path()), &bytes).unwrap();
    let Err(error) = Driver::open(directory.path(), &Driver::config(16, 0)) else { panic!("opened") };
    let text = error.to_string();
    let path = log_path(directory.path());
    assert!(text.starts_with(&format!("{}: byte 128, record 0: ", path.display())), "{text}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_failed_write_is_final() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = FileJournal::open(directory.path(), 0).unwrap().journal;
    let path = journal.path().to_owned();
    fs::write(&path, b"").unwrap();
    journal.replace_file(File::open(&path).unwrap());
    let first = journal.append(b"never written").unwrap_err();
    assert!(matches!(first, FilesError::Io { .. }), "{first}");
    journal.replace_file(OpenOptions::new().append(true).open(&path).unwrap());
    let second = journal.append(b"never written").unwrap_err();
    assert!(matches!(second, FilesError::Poisoned { .. }), "{second}");
    assert_eq!(fs::read(&path).unwrap(), b"");
}

#[test]
fn the_writing_thread_wakes_whoever_parks() {
    let directory = tempfile::tempdir().unwrap();
    let (wake, woken) = mpsc::channel();
    let wake = Arc::new(move || wake.send(()).unwrap_or_default());
    let config = Driver::config(16, 7);
    let options = DriverOptions::default();
    let mut driver = Driver::open_with(directory.path(), &config, &options, wake).unwrap().driver;
    assert_eq!((driver.appends_pending(), driver.journal_stats()), (0, JournalStats::default()));
    woken.recv().unwrap();
    submit(&mut driver, &commands(20));
    let mut replies = 0;
    while replies < 25 {
        assert!(driver.appends_pending() > 0);
        woken.recv().unwrap();
        driver.poll().unwrap();
        replies += driver.take_replies().count();
    }
    assert_eq!(driver.appends_pending(), 0);
    let stats = driver.journal_stats();
    assert_eq!(stats.bytes, log_bytes(directory.path()).len() as u64);
    assert_eq!((stats.bytes_written, stats.segments), (stats.bytes, 1));
    assert!(stats.appends >= stats.writes && stats.sync_micros.len() as u64 == stats.writes, "{stats:?}");
    assert_eq!(stats.syncs, stats.writes);
    assert_eq!(driver.journal_stats(), JournalStats { sync_micros: Vec::new(), ..stats });
    driver.close().unwrap();
    assert!(woken.iter().count() >= 2, "the closing seal wakes, and the thread's end");
}

#[test]
fn after_a_failed_append_everyone_is_answered_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 16, &commands(20));
    let mut opened = FileJournal::open(directory.path(), 0).unwrap();
    opened.journal.replace_file(File::open(log_path(directory.path())).unwrap());
    let config = Driver::config(4, 7);
    let mut driver =
        Driver::start(opened, &DriverOptions::default(), &config, Arc::new(|| {}), |begin, _| {
            OwnReads::new(begin)
        })
        .unwrap()
        .driver;
    let durable = driver.pipeline().durable_digest();
    submit(&mut driver, &commands(55)[25..]);
    submit(&mut driver, &commands(60)[60..]);
    let mut errors = Vec::new();
    while driver.appends_pending() > 0 {
        errors.extend(driver.wait().err());
    }
    assert!(matches!(errors[..], [FilesError::Io { .. }]), "{errors:?}");
    assert!(driver.has_failed());
    submit(&mut driver, &commands(1));
    driver.poll().unwrap();
    let replies: Vec<_> = driver.take_replies().map(|reply| reply.answer).collect();
    assert_eq!(replies.len(), 46, "every command, those still in the queue too, has an answer");
    assert!(replies.iter().all(|answer| *answer == Answer::Unavailable), "{replies:?}");
    assert_eq!(driver.pipeline().durable_digest(), durable);
    assert_eq!(driver.projections().checkpoint(), 25);
    assert!(matches!(driver.close(), Err(FilesError::Poisoned { .. })));
}

/// The bytes of two segments of one log.
fn two_segments() -> (Vec<u8>, u64, Vec<u8>) {
    let config = Driver::config(1_024, 0);
    let identity = pipeline::LogIdentity { log_id: [1; 16], ledger_id: [2; 16], partition: 0 };
    let mut pipeline = Pipeline::start(&config, identity, 1).unwrap();
    let requests = (0..).zip(commands(20)).map(|(request_id, command)| Request { request_id, command });
    let mut outputs = Vec::new();
    pipeline.handle_input(Timestamp::ZERO, Input::Submit(requests.collect()), &mut outputs);
    let absent = outputs.drain(..).map(|output| match output {
        Output::FindTransaction(transaction_id) => pipeline::Lookup::TransactionAbsent { transaction_id },
        other => panic!("{other:?}"),
    });
    let lookups = Input::Lookups(absent.collect());
    pipeline.handle_input(Timestamp::ZERO, lookups, &mut outputs);
    let Some(Output::Append(append)) = outputs.pop() else { panic!("no append") };

    let mut decoder = journal::Decoder::new();
    decoder.push(&append.bytes);
    let mut encoder = None;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    while let Some(item) = decoder.next().unwrap() {
        match item {
            journal::Item::Header(header) => encoder = Some(journal::Encoder::start(&header, &mut first)),
            journal::Item::Record { meta, payload, .. } => {
                let encoder = encoder.as_mut().unwrap();
                if meta.sequence == 10 {
                    encoder.seal(1, Timestamp::ZERO, 0, &mut first);
                    encoder.next_segment(&mut second);
                }
                let out = if meta.sequence < 10 { &mut first } else { &mut second };
                encoder.record(&meta, payload, out);
            }
            journal::Item::Seal { .. } => {
                encoder.as_mut().unwrap().seal(1, Timestamp::ZERO, 10, &mut second);
            }
        }
    }
    (first, 10, second)
}

#[test]
fn several_segments_are_one_log() {
    let directory = tempfile::tempdir().unwrap();
    let (first, border, second) = two_segments();
    fs::write(log_path(directory.path()), &first).unwrap();
    let second_path = directory.path().join(segment_name(border));
    fs::write(&second_path, &second).unwrap();
    let opened = FileJournal::open(directory.path(), 0).unwrap();
    assert_eq!(opened.recovered.tail.unwrap().next_sequence(), 25);
    assert_eq!(opened.journal.path(), second_path);
    drop(opened.journal);

    let mut torn = second.clone();
    torn.truncate(second.len() - 1);
    fs::write(&second_path, &torn).unwrap();
    let cut = FileJournal::open(directory.path(), 0).unwrap().cut.unwrap();
    assert_eq!(cut.path, second_path);
    assert_eq!(cut.file_bytes, (second.len() - journal::SEAL_BYTES) as u64);

    fs::write(&second_path, &second[..50]).unwrap();
    let cut = FileJournal::open(directory.path(), 0).unwrap().cut.unwrap();
    assert_eq!((cut.file_bytes, second_path.exists()), (0, false));

    fs::write(&second_path, &second).unwrap();
    let mut damaged = second.clone();
    damaged[130] ^= 1;
    fs::write(&second_path, &damaged).unwrap();
    let cut = FileJournal::open(directory.path(), 0).unwrap().cut.unwrap();
    assert_eq!((cut.next_sequence, cut.file_bytes), (10, journal::HEADER_BYTES as u64));
}

#[test]
fn a_missing_or_misnamed_segment_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (first, border, second) = two_segments();
    let (first_path, second_path) = (log_path(directory.path()), directory.path().join(segment_name(border)));
    let refused = || match FileJournal::open(directory.path(), 0) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    };
    fs::write(&second_path, &second).unwrap();
    assert!(refused().starts_with(&second_path.display().to_string()), "{}", refused());
    fs::rename(&second_path, &first_path).unwrap();
    assert!(refused().contains("its header says that it begins with record 10"), "{}", refused());
    fs::write(&first_path, &first[..first.len() - 1]).unwrap();
    fs::write(&second_path, &second).unwrap();
    let text = refused();
    assert!(
        text.starts_with(&first_path.display().to_string()) && text.contains("another segment follows"),
        "{text}"
    );
}

#[test]
fn records_behind_the_last_seal_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _, _) = two_segments();
    fs::write(log_path(directory.path()), &first[..first.len() - journal::SEAL_BYTES]).unwrap();
    let opened = FileJournal::open(directory.path(), 0).unwrap();
    assert!(opened.cut.is_none());
    assert_eq!(opened.recovered.tail.unwrap().next_sequence(), 10);
    drop(opened.journal);
    let (answers, pipeline) = run(directory.path(), 16, &commands(20));
    assert_eq!((answers.len(), pipeline.next_sequence()), (25, 25));
}

#[test]
fn two_logs_have_two_ids() {
    let [one, two] = [(), ()].map(|()| {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), 16, &commands(1));
        *FileJournal::open(directory.path(), 0).unwrap().recovered.tail.unwrap().header()
    });
    assert_ne!(one.log_id, two.log_id);
    assert_ne!(one.ledger_id, two.ledger_id);
    let Header { first_sequence, previous_seal, .. } = one;
    assert_eq!((first_sequence, previous_seal), (0, Seal::ZERO));
}
