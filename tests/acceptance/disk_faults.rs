//! Each write, sync, cut and rename of a run fails once, and each is once the last thing that a process does.
//!
//! The faults are real: `strace` makes the n-th call of its kind fail, or kills the process at it, for every n that there
//! is. Whatever was reported as durable is there afterwards, what is there is an exact prefix, and the same command goes on
//! from it.

use std::fs;
use std::process::{Command as Process, Stdio};

use ledger::Digest;
use pipeline::Recovery;
use server::files::segments;

use super::harness::{Files, accounts_csv, binary, check_invariants, digests, transfers_csv, walletlab};
use super::strace;

const ACCOUNTS: u32 = 20;
/// Enough for a second segment and little more.
const TRANSFERS: u32 = 13_500;
const BATCH: &str = "2048";

/// A run whose end is known.
struct Rehearsed {
    files: Files,
    /// After each record.
    digests: Vec<Digest>,
}

/// What came of one run with a fault.
struct Faulted {
    /// Whether the call was reached.
    was_hit: bool,
    code: Option<i32>,
    reported: usize,
    stderr: String,
}

impl Rehearsed {
    fn new() -> Rehearsed {
        let files = Files::new();
        files.write("accounts.csv", accounts_csv(ACCOUNTS, "1000.00"));
        files.write("transfers.csv", transfers_csv(ACCOUNTS, TRANSFERS));
        let rehearsed = Rehearsed { files, digests: Vec::new() };
        walletlab(&rehearsed.arguments("whole")).exits(0);
        let segments = segments(&rehearsed.files.path("whole")).expect("listed");
        assert!(segments.len() > 1, "the run is too short to begin a segment");
        let log: Vec<u8> =
            segments.iter().flat_map(|segment| fs::read(&segment.path).expect("read")).collect();
        Rehearsed { digests: digests(&log), ..rehearsed }
    }

    fn arguments(&self, data: &str) -> Vec<&'static str> {
        let leak = |text: String| -> &'static str { text.leak() };
        let [accounts, transfers, data] =
            ["accounts.csv", "transfers.csv", data].map(|name| leak(self.files.text(name)));
        vec!["run", "--accounts", accounts, "--transfers", transfers, "--data", data, "--batch", BATCH]
    }

    /// Runs with the fault at the `nth` call of this kind that a thread makes.
    fn run(&self, data: &str, call: &str, fault: &str, nth: usize) -> Faulted {
        let trace = self.files.path("trace");
        let mut process = strace::command(&trace, call, &format!("{fault}:when={nth}"));
        let started: &Process = &binary(&[]);
        process
            .arg(started.get_program())
            .args(self.arguments(data))
            .arg("--report-durable")
            .stdin(Stdio::null());
        let output = process.output().expect("strace starts");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers = stdout.lines().filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
        let trace = fs::read_to_string(&trace).unwrap_or_default();
        Faulted {
            was_hit: trace.contains("(INJECTED)") || trace.contains("killed by SIGKILL"),
            code: output.status.code(),
            reported: numbers.max().unwrap_or(0),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Every call of these kinds, one run each. Returns how many there were.
    fn sweep(&self, calls: &[&str], fault: &str) -> usize {
        let mut hits = 0;
        for call in calls {
            for nth in 1.. {
                let what = format!("{call} number {nth}, {fault}");
                let data = format!("{call}-{nth}").replace('?', "");
                let faulted = self.run(&data, call, fault, nth);
                self.check(&data, &faulted, &what);
                if !faulted.was_hit {
                    assert_eq!(faulted.code, Some(0), "{what}: {}", faulted.stderr);
                    break;
                }
                hits += 1;
                // Nobody needs it any more, and the next ones need room.
                fs::remove_dir_all(self.files.path(&data)).expect("removed");
            }
        }
        hits
    }

    /// What is there, read without the directory's lock: a process that another test starts at this moment would inherit
    /// the lock for a moment.
    fn recover(&self, data: &str, what: &str) -> (usize, Digest) {
        let mut recovery = Recovery::new(1);
        let directory = self.files.path(data);
        let found = if directory.is_dir() { segments(&directory).expect("listed") } else { Vec::new() };
        for segment in found {
            let bytes = fs::read(&segment.path).expect("read");
            recovery.push(&bytes, |_| {}).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let recovered = recovery.finish().unwrap_or_else(|error| panic!("{what}: {error}"));
        check_invariants(&recovered.ledger);
        let records = usize::try_from(recovered.projections.checkpoint()).expect("a small log");
        (records, recovered.ledger.digest())
    }

    fn check(&self, data: &str, faulted: &Faulted, what: &str) {
        let Faulted { code, reported, stderr, .. } = faulted;
        assert!(!stderr.contains("panicked"), "{what}: {stderr}");
        if code.is_some_and(|code| code != 0) {
            // What failed is named: the directory, a file in it, or what it stands in.
            let around = self.files.path(data).parent().expect("it has one").display().to_string();
            assert!(stderr.contains(&around), "{what}: {stderr}");
        }
        let (records, digest) = self.recover(data, what);
        assert!(records >= *reported, "{what}: {reported} reported as durable, {records} there");
        assert_eq!(digest, self.digests[records], "{what}: an exact prefix");
        if *code == Some(0) {
            assert_eq!(records + 1, self.digests.len(), "{what}: it said that it was done");
        }
        // Here the directory is opened, its torn tail cut, and the log gone on with.
        let report = walletlab(&[&self.arguments(data)[..], &["--json"]].concat()).exits(0).json();
        assert_eq!(report["digest"], self.digests[self.digests.len() - 1].to_string(), "{what}");
    }
}

#[test]
fn a_write_or_a_cut_or_a_rename_that_fails_loses_nothing_that_was_reported() {
    let rehearsed = Rehearsed::new();
    let hits = rehearsed.sweep(&["pwrite64", "ftruncate", "?rename,?renameat,?renameat2"], "error=EIO");
    assert!(hits > 8, "only {hits} calls were hit");
    let hits = rehearsed.sweep(&["pwrite64"], "error=ENOSPC");
    assert!(hits > 5, "only {hits} calls were hit");
}

#[test]
fn a_sync_that_fails_loses_nothing_that_was_reported() {
    let rehearsed = Rehearsed::new();
    let hits = rehearsed.sweep(&["fdatasync", "fsync"], "error=EIO");
    assert!(hits > 8, "only {hits} calls were hit");
}

#[test]
fn a_process_that_is_killed_at_any_call_loses_nothing_that_was_reported() {
    let rehearsed = Rehearsed::new();
    let calls = ["pwrite64", "fdatasync", "fsync", "ftruncate", "?rename,?renameat,?renameat2"];
    let hits = rehearsed.sweep(&calls, "signal=KILL");
    assert!(hits > 15, "only {hits} calls were hit");
}
