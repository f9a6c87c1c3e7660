//! Kill -9, fifty times, in one segment and over several.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use server::files::FileJournal;

use super::harness::{Files, accounts_csv, binary, check_invariants, digests, transfers_csv, walletlab};

const ROUNDS: u32 = 50;
const ACCOUNTS: u32 = 20;

#[test]
fn fifty_kills_lose_nothing_that_was_reported_as_durable() {
    assert_eq!(kills(6_000, "2"), 1);
}

#[test]
fn fifty_kills_lose_nothing_while_segments_are_begun() {
    let segments = kills(60_000, "256");
    assert!(segments >= 3, "only {segments} segments");
}

/// Runs many transfers in appends of so many, killed and started again. Returns how many segments the log has.
fn kills(transfers_count: u32, batch: &str) -> usize {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(ACCOUNTS, "500.00"));
    let transfers = files.write("transfers.csv", transfers_csv(ACCOUNTS, transfers_count));
    let undisturbed = files.text("undisturbed");
    walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &undisturbed]).exits(0);
    let whole = walletlab(&["export", &undisturbed, "--format", "binary"]).exits(0).stdout;
    let digests = digests(&whole);

    let data = files.text("data");
    let run = ["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data, "--batch", batch];
    let (mut killed, mut cut, mut ended_first, mut round) = (0, 0, 0, 0_u64);
    while killed < ROUNDS {
        round += 1;
        let mut process = binary(&run)
            .arg("--report-durable")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut reported = 0;
        // The first report says what was durable before.
        for _ in 0..=(1 + round * 7 % 11) {
            reported = reported.max(lines.next().map_or(0, |line| durable(&line.expect("text"))));
        }
        process.kill().expect("killed");
        let status = process.wait().expect("it is over");
        killed += u32::from(!status.success());
        // What it said before it died counts too.
        reported = lines.fold(reported, |reported, line| reported.max(durable(&line.unwrap_or_default())));

        let opened = FileJournal::open(&files.path("data"), round).expect("the log can be opened");
        cut += u32::from(opened.cut.is_some());
        let records = opened.recovered.projections.checkpoint();
        assert!(records >= reported, "round {round}: {reported} reported as durable, {records} there");
        let records = usize::try_from(records).expect("a small log");
        assert_eq!(opened.recovered.ledger.digest(), digests[records], "round {round}: an exact prefix");
        check_invariants(&opened.recovered.ledger);
        if status.success() {
            // It was done before it could be killed: the next one begins again.
            ended_first += 1;
            assert!(ended_first < ROUNDS, "too few are killed at work: make the files longer");
            drop(opened);
            fs::remove_dir_all(files.path("data")).expect("removed");
        }
    }
    println!("{killed} were killed at work, {ended_first} ended first, {cut} left a torn tail");

    let ended = walletlab(&[&run[..], &["--json"]].concat()).exits(0).json();
    assert_eq!(ended["digest"], digests[digests.len() - 1].to_string());
    assert_eq!(ended["sequence"], ACCOUNTS + transfers_count);
    walletlab(&["verify", &data, "--both-forms"]).exits(0);
    server::files::segments(&files.path("data")).expect("listed").len()
}

/// The number in a line `durable N`; 0 of another line, as one that was cut off.
fn durable(line: &str) -> u64 {
    line.strip_prefix("durable ").and_then(|number| number.parse().ok()).unwrap_or(0)
}
