//! One effect for each transaction id, and the first answer again.

use std::fs;
use std::path::Path;

use ledger::{Command, Reason, TransactionId, TransactionResult};
use pipeline::{Answer, Input, Lookup, Output, Pipeline, Replayed, Request};
use server::files::{Closed, Driver, FileJournal};
use time::Timestamp;

use super::harness::{Files, accounts_csv, log_path, transfers_csv, walletlab};

fn opening(name: &str, opening_balance: i64) -> Command {
    Command::OpenAccount {
        account: name.parse().expect("a name"),
        asset: "USD".parse().expect("an asset"),
        scale: 2,
        floor: None,
        opening_balance,
    }
}

fn id(text: &str) -> TransactionId {
    TransactionId::derived("acceptance", &[text.as_bytes()])
}

fn transfer(id_text: &str, amount: i64) -> Command {
    let [from_account, to_account] = ["payer", "payee"].map(|name| name.parse().expect("a name"));
    Command::Transfer { transaction_id: id(id_text), from_account, to_account, amount, metadata: None }
}

/// Opens the directory, asks, closes it again.
fn ask(directory: &Path, command: Command) -> Answer {
    let mut driver = Driver::open(directory, &Driver::config(64, 5)).expect("opened").driver;
    driver.submit(vec![Request { request_id: 1, command }]);
    let mut replies = driver.close().expect("closed").replies;
    assert_eq!(replies.len(), 1);
    replies.remove(0).answer
}

fn done(answer: &Answer) -> (u64, TransactionResult, Replayed) {
    match answer {
        Answer::Done { outcome, replayed } => (outcome.sequence, outcome.result, *replayed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repeat_gets_the_first_answer_at_once_and_after_a_restart() {
    let files = Files::new();
    let directory = files.path("data");
    let mut driver = Driver::open(&directory, &Driver::config(64, 5)).expect("opened").driver;
    let commands =
        [opening("payer", 100), opening("payee", 0), transfer("a", 60), transfer("a", 60), transfer("a", 60)];
    let requests = (0..).zip(commands).map(|(request_id, command)| Request { request_id, command });
    driver.submit(requests.collect());
    let Closed { pipeline, replies, .. } = driver.close().expect("closed");
    let answers: Vec<_> = replies.iter().map(|reply| done(&reply.answer)).collect();
    assert_eq!(answers[2], (2, TransactionResult::Completed, Replayed::First));
    assert_eq!(answers[3..], [(2, TransactionResult::Completed, Replayed::Again); 2]);
    assert_eq!(pipeline.next_sequence(), 3);

    let before = fs::read(log_path(&directory)).expect("read");
    assert_eq!(done(&ask(&directory, transfer("a", 60))), (2, TransactionResult::Completed, Replayed::Again));
    assert_eq!(
        done(&ask(&directory, opening("payer", 100))),
        (0, TransactionResult::Completed, Replayed::Again)
    );
    let conflict = ask(&directory, transfer("a", 61));
    assert_eq!(conflict, Answer::Conflict { transaction_id: id("a") });
    assert!(matches!(ask(&directory, opening("payer", 101)), Answer::Conflict { .. }));
    assert_eq!(fs::read(log_path(&directory)).expect("read"), before, "none of it was written");
}

#[test]
fn a_refusal_stays_refused_after_a_top_up() {
    let files = Files::new();
    let directory = files.path("data");
    ask(&directory, opening("payer", 10));
    ask(&directory, opening("payee", 0));
    let refused = TransactionResult::Refused(Reason::InsufficientFunds);
    assert_eq!(done(&ask(&directory, transfer("a", 60))), (2, refused, Replayed::First));
    let account = "payer".parse().expect("a name");
    let top_up = Command::Deposit { transaction_id: id("top-up"), account, amount: 1_000, metadata: None };
    assert_eq!(done(&ask(&directory, top_up)), (3, TransactionResult::Completed, Replayed::First));
    assert_eq!(done(&ask(&directory, transfer("a", 60))), (2, refused, Replayed::Again));
    assert_eq!(done(&ask(&directory, transfer("b", 60))), (4, TransactionResult::Completed, Replayed::First));
}

/// The process dies when its append is on the disk and nobody has been told.
#[test]
fn a_crash_between_append_and_reply_leaves_one_effect() {
    let files = Files::new();
    let directory = files.path("data");
    ask(&directory, opening("payer", 100));
    ask(&directory, opening("payee", 0));
    {
        let config = Driver::config(64, 5);
        let opened = FileJournal::open(&directory, 5).expect("opened");
        let mut journal = opened.journal;
        let mut pipeline = Pipeline::recover(&config, opened.recovered, opened.identity, opened.generation)
            .expect("the configuration works");
        let (now, mut outputs) = (Timestamp::MAX, Vec::new());
        let request = Request { request_id: 1, command: transfer("a", 60) };
        pipeline.handle_input(now, Input::Submit(vec![request]), &mut outputs);
        assert_eq!(outputs, [Output::FindTransaction(id("a"))]);
        let absent = Input::Lookups(vec![Lookup::TransactionAbsent { transaction_id: id("a") }]);
        outputs.clear();
        pipeline.handle_input(now, absent, &mut outputs);
        let [Output::Append(append)] = &outputs[..] else {
            panic!("no reply comes before the append: {outputs:?}")
        };
        journal.append(&append.bytes).expect("appended");
    }
    assert_eq!(done(&ask(&directory, transfer("a", 60))), (2, TransactionResult::Completed, Replayed::Again));
    let opened = FileJournal::open(&directory, 0).expect("opened");
    assert_eq!(opened.recovered.projections.counts.transfers_completed(), 1);
    assert_eq!(opened.recovered.projections.checkpoint(), 3);
}

#[test]
fn the_same_files_twice_change_nothing_and_equal_rows_are_two_transfers() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(5, "3.00"));
    let rows = transfers_csv(5, 60) + "account-1,account-2,0.01\naccount-1,account-2,0.01\n";
    let transfers = files.write("transfers.csv", rows);
    let data = files.text("data");
    let run = || {
        let arguments =
            ["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data, "--json"];
        walletlab(&arguments).exits(0).json()
    };
    let first = run();
    let bytes = fs::read(files.log("data")).expect("read");
    let second = run();
    assert_eq!((&first["sequence"], &first["this_run"]["repeats"]), (&67.into(), &0.into()));
    assert_eq!((&second["sequence"], &second["this_run"]["repeats"]), (&67.into(), &67.into()));
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(fs::read(files.log("data")).expect("read"), bytes);

    let other = files.write("other.csv", "account,opening_balance\naccount-9,1\naccount-1,4.00\n");
    let conflict = walletlab(&["run", "--accounts", &other, "--data", &data, "--json"]).exits(1);
    assert_eq!(conflict.json()["this_run"]["conflicts"], 1);
    assert!(conflict.stderr.contains(&other) && conflict.stderr.contains("account-1"), "{}", conflict.stderr);
    assert_eq!(conflict.json()["sequence"], 68);
}
