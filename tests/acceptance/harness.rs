//! Starts the binary, makes files and logs, and reads logs back.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use ledger::{Command, Digest, Ledger, TransactionId};
use pipeline::{Config, Input, LogIdentity, Lookup, Output, Pipeline, Recovery, Request};
use serde_json::Value;
use server::files::segment_name;
use tempfile::TempDir;
use time::Timestamp;

/// What a process of the binary came to.
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Ended {
    /// Standard output as JSON.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.text(), self.stderr))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Asserts that the process ended with this code.
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "standard output: {}\nstandard error: {}", self.text(), self.stderr);
        self
    }
}

/// The binary, with these arguments; a path among them has no blanks.
pub(super) fn binary(arguments: &[&str]) -> Process {
    let mut process = Process::new(env!("CARGO_BIN_EXE_walletlab-under-test"));
    process.args(arguments).stdin(Stdio::null());
    process
}

/// Runs the binary to its end.
pub(super) fn walletlab(arguments: &[&str]) -> Ended {
    let output = binary(arguments).output().expect("the binary starts");
    Ended {
        code: output.status.code().expect("it was not killed"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A temporary directory with files in it.
pub(super) struct Files {
    directory: TempDir,
}

impl Files {
    pub(super) fn new() -> Files {
        Files { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The path as an argument.
    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary paths are UTF-8").to_owned()
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), content).expect("written");
        self.text(name)
    }

    /// The log of the data directory `name`.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        log_path(&self.path(name))
    }
}

pub(super) fn log_path(directory: &Path) -> PathBuf {
    directory.join(segment_name(0))
}

/// An accounts file; every account is opened with this balance.
pub(super) fn accounts_csv(accounts: u32, balance: &str) -> String {
    let mut text = String::from("account,opening_balance\n");
    for number in 0..accounts {
        writeln!(text, "account-{number},{balance}").expect("a text takes everything");
    }
    text
}

/// A transfers file between the accounts of [`accounts_csv`], some of which will be refused.
pub(super) fn transfers_csv(accounts: u32, transfers: u32) -> String {
    let mut text = String::from("from_account,to_account,amount\n");
    for number in 0..transfers {
        let (from, to) = (number * 7 % accounts, number * 11 % (accounts + 1));
        writeln!(text, "account-{from},account-{to},{}.{:02}", number % 9, number % 100).expect("as above");
    }
    text
}

/// Openings, and transfers between them of which some are refused.
pub(super) fn commands(accounts: u64, transfers: u64) -> Vec<Command> {
    let name = |number: u64| format!("account-{number}").parse().expect("a name");
    let opening = |number| Command::OpenAccount {
        account: name(number),
        asset: "USD".parse().expect("an asset"),
        scale: 2,
        floor: None,
        opening_balance: 1_000,
    };
    let transfer = |number: u64| Command::Transfer {
        transaction_id: TransactionId::derived("acceptance", &[&number.to_le_bytes()]),
        from_account: name(number * 7 % accounts),
        to_account: name(number * 11 % (accounts + 1)),
        amount: i64::try_from(number % 300).expect("small"),
        metadata: None,
    };
    (0..accounts).map(opening).chain((0..transfers).map(transfer)).collect()
}

/// The log that a pipeline makes of these commands, in appends of `batch` records, each durable before the next. It is
/// not closed: it ends as it stands when its writer dies after an append.
pub(super) fn log_of(commands: &[Command], batch: usize) -> Vec<u8> {
    log_with_in_flight(commands, batch, 1)
}

/// As [`log_of`], but so many appends are on their way at any time: the oldest is durable when the next but so many is made.
pub(super) fn log_with_in_flight(commands: &[Command], batch: usize, in_flight: u32) -> Vec<u8> {
    let config = Config {
        stage_commands_max: 1_024,
        appends_in_flight_max: in_flight,
        recent_ids_max: 1 << 17,
        ..Config::default()
    };
    let mut on_their_way = VecDeque::new();
    let identity = LogIdentity { log_id: [1; 16], ledger_id: [2; 16], partition: 0 };
    let mut pipeline = Pipeline::start(&config, identity, 1).expect("the configuration works");
    let mut log = Vec::new();
    for (number, batch) in (1..).zip(commands.chunks(batch)) {
        let now = Timestamp::from_micros(number * 1_000).expect("early");
        let requests =
            (0..).zip(batch).map(|(request_id, command)| Request { request_id, command: command.clone() });
        let mut outputs = Vec::new();
        pipeline.handle_input(now, Input::Submit(requests.collect()), &mut outputs);
        let lookups = outputs.drain(..).map(|output| match output {
            Output::FindTransaction(transaction_id) => Lookup::TransactionAbsent { transaction_id },
            other => panic!("{other:?}"),
        });
        let lookups = Input::Lookups(lookups.collect());
        pipeline.handle_input(now, lookups, &mut outputs);
        let Some(Output::Append(append)) = outputs.pop() else { panic!("a batch makes an append") };
        log.extend_from_slice(&append.bytes);
        on_their_way.push_back(append.next_sequence);
        if on_their_way.len() >= in_flight as usize
            && let Some(before) = on_their_way.pop_front()
        {
            pipeline.handle_input(now, Input::Appended { before }, &mut outputs);
        }
    }
    log
}

/// The digest after 0, 1, 2, ... records of a log, whose invariants are checked after each.
pub(super) fn digests(log: &[u8]) -> Vec<Digest> {
    let mut ledger = Ledger::new(3);
    let mut digests = vec![ledger.digest()];
    let mut recovery = Recovery::new(4);
    recovery
        .push(log, |record| {
            record.events.iter().for_each(|event| ledger.apply(event));
            check_invariants(&ledger);
            digests.push(ledger.digest());
        })
        .expect("a good log");
    recovery.finish().expect("a good log");
    digests
}

/// The balances of each asset add up to 0, and none is below its floor.
pub(super) fn check_invariants(ledger: &Ledger) {
    for (asset, sum) in ledger.sum_by_asset() {
        assert_eq!(sum, 0, "{asset}");
    }
    for account in ledger.accounts() {
        assert!(account.posted >= account.floor, "{account:?}");
    }
}
