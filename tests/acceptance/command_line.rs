//! Exit codes, and what errors name.

use std::fs;
use std::io::Read;
use std::process::Stdio;

use super::harness::{Files, accounts_csv, binary, transfers_csv, walletlab};

/// A data directory with a closed log of 3 accounts and 20 transfers.
fn with_log(files: &Files) -> String {
    let accounts = files.write("accounts.csv", accounts_csv(3, "1.00"));
    let transfers = files.write("transfers.csv", transfers_csv(3, 20));
    let data = files.text("data");
    walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data]).exits(0);
    data
}

#[test]
fn a_malformed_row_is_named_by_file_and_line_and_nothing_is_written() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(2, "1.00"));
    let text = "from_account,to_account,amount\naccount-0,account-1,0.5\n\naccount-0,account-1,1.234\n";
    let transfers = files.write("transfers.csv", text);
    let data = files.text("data");
    let run =
        walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data]).exits(1);
    assert!(
        run.stderr.starts_with(&format!("{transfers}:4: amount \"1.234\" has more than 2")),
        "{}",
        run.stderr
    );
    assert!(!files.path("data").exists());
    let map = ["run", "--accounts", &accounts, "--map", "account=name", "--data", &data];
    let run = walletlab(&map).exits(1);
    assert!(run.stderr.starts_with(&format!("{accounts}:1: there is no column \"name\"")), "{}", run.stderr);
}

#[test]
fn usage_errors_exit_with_2() {
    let files = Files::new();
    let data = files.text("data");
    let nowhere = files.text("nowhere");
    let cases: [&[&str]; 10] = [
        &[],
        &["frobnicate"],
        &["run", "--data", &data],
        &["run", "--accounts", &nowhere, "--data", &data],
        &["run", "--accounts", &nowhere, "--map", "color=red", "--data", &data],
        &["replay", &nowhere],
        &["verify", &nowhere],
        &["export", &nowhere, "--format", "jsonl"],
        &["import", &nowhere, "--data", &data],
        &["bench", "nothing"],
    ];
    for arguments in cases {
        let ended = walletlab(arguments);
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
    for subcommand in ["serve", "run", "sim", "replay", "verify", "export", "import", "bench"] {
        let help = walletlab(&[subcommand, "--help"]).exits(0).text();
        assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{subcommand}: {help}");
    }
}

#[test]
fn verify_names_the_first_bad_record_its_file_and_byte() {
    let files = Files::new();
    let data = with_log(&files);
    let report = walletlab(&["verify", &data, "--json"]).exits(0).json();
    assert_eq!(
        (&report["intact"], &report["records"], &report["durable_before"]),
        (&true.into(), &23.into(), &23.into())
    );

    let path = files.log("data");
    let bytes = fs::read(&path).expect("read");
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 4;
    fs::write(&path, &damaged).expect("written");
    let report = walletlab(&["verify", &data, "--json"]).exits(1).json();
    let finding = &report["findings"][0];
    assert_eq!((&finding["kind"], &finding["file"]), (&"damage".into(), &path.to_str().into()));
    let at_byte = finding["at_byte"].as_u64().expect("a byte");
    let middle = bytes.len() as u64 / 2;
    assert!(at_byte <= middle && middle < at_byte + 400, "{report}");
    assert!(finding["sequence"].as_u64().is_some_and(|sequence| 3 < sequence && sequence < 23), "{report}");
    let replay = walletlab(&["replay", &data]).exits(1);
    assert!(
        replay.stderr.starts_with(&format!("{}: byte {at_byte}, record ", path.display())),
        "{}",
        replay.stderr
    );

    let torn = [&bytes[..], &bytes[128..170]].concat();
    fs::write(&path, &torn).expect("written");
    let report = walletlab(&["verify", &data, "--json"]).exits(1).json();
    let finding = &report["findings"][0];
    assert_eq!((&finding["kind"], &finding["at_byte"]), (&"torn_tail".into(), &bytes.len().into()));
    let replay = walletlab(&["replay", &data, "--json"]).exits(0);
    assert!(replay.stderr.contains("an append was interrupted"), "{}", replay.stderr);
    walletlab(&["import", path.to_str().expect("UTF-8"), "--data", &files.text("copy")]).exits(1);
    assert!(!files.log("copy").exists());
    let part = walletlab(&["export", &data, "--format", "binary"]).exits(1);
    assert_eq!(part.stdout, bytes);
}

#[test]
fn verify_names_the_line_of_a_bad_record_in_json_lines() {
    let files = Files::new();
    let data = with_log(&files);
    let text = walletlab(&["export", &data, "--format", "jsonl"]).exits(0).text();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_entry = |line: &String| line.contains("MoneyDeducted") && line.contains("\"kind\":\"transfer\"");
    let at = lines.iter().position(is_entry).expect("a transfer");
    lines[at] = lines[at].replace("\"account-", "\"someone-");
    let line = at + 1;
    let edited = files.write("edited.jsonl", lines.join("\n"));
    let report = walletlab(&["verify", &edited, "--json"]).exits(1).json();
    assert_eq!(
        (&report["form"], &report["findings"][0]["line"]),
        (&"jsonl".into(), &line.into()),
        "{report}"
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(2_000, "1.00"));
    let data = files.text("data");
    walletlab(&["run", "--accounts", &accounts, "--data", &data]).exits(0);
    let mut process = binary(&["export", &data, "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut out = process.stdout.take().expect("a pipe");
    out.read_exact(&mut [0; 10]).expect("it has begun");
    drop(out);
    let ended = process.wait_with_output().expect("it is over");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert!(ended.status.success());
}

#[test]
fn two_writers_cannot_have_one_directory() {
    let files = Files::new();
    let data = with_log(&files);
    let _first = server::files::FileJournal::open(&files.path("data"), 0).expect("opened");
    let accounts = files.text("accounts.csv");
    let second = walletlab(&["run", "--accounts", &accounts, "--data", &data]).exits(2);
    assert!(second.stderr.contains("another process is writing"), "{}", second.stderr);
    walletlab(&["verify", &data]).exits(0);
}

#[test]
fn a_seed_makes_one_digest_and_its_log_replays_to_it() {
    let files = Files::new();
    let log = files.text("sim.wlog");
    let arguments = [
        "sim",
        "--seed",
        "11",
        "--events",
        "20000",
        "--accounts",
        "100",
        "--crash-every-micros",
        "200000",
        "--json",
    ];
    let first = walletlab(&[&arguments[..], &["--log", &log]].concat()).exits(0).json();
    let second = walletlab(&arguments).exits(0).json();
    assert_eq!(first, second);
    assert_eq!((&first["seed"], &first["options"]["accounts"]), (&11.into(), &100.into()));
    let invariants = first["invariants"].as_array().expect("an array");
    assert!(
        !invariants.is_empty() && invariants.iter().all(|invariant| invariant["checks"].as_u64() > Some(0))
    );
    let replayed = walletlab(&["replay", &log, "--json"]).exits(0).json();
    assert_eq!((&replayed["digest"], &replayed["sequence"]), (&first["digest"], &first["sequence"]));

    let options = files.write("options.json", first["options"].to_string());
    let again = walletlab(&["sim", "--options", &options, "--json"]).exits(0).json();
    assert_eq!(again, first, "the options in a report make the same run");
    let planted = ["sim", "--seed", "1", "--events", "30000", "--safeguard-off", "intact-log", "--json"];
    let broken = walletlab(&planted).exits(1).json();
    assert!(broken["broken"].as_array().is_some_and(|broken| !broken.is_empty()), "{broken}");
}

#[test]
fn amounts_in_another_scale_or_asset_than_the_log_s_are_refused() {
    let files = Files::new();
    let data = with_log(&files);
    let transfers = files.text("transfers.csv");
    let before = walletlab(&["replay", &data, "--json"]).exits(0).stdout;
    let run = walletlab(&["run", "--transfers", &transfers, "--data", &data, "--scale", "4"]).exits(2);
    assert!(run.stderr.contains("counts USD with 2 decimal places; give --scale 2"), "{}", run.stderr);
    let run = walletlab(&["run", "--transfers", &transfers, "--data", &data, "--asset", "EUR"]).exits(2);
    assert!(run.stderr.contains("has no account in EUR"), "{}", run.stderr);
    assert_eq!(walletlab(&["replay", &data, "--json"]).exits(0).stdout, before);
}

#[test]
fn a_column_that_stands_twice_is_refused() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", "account,opening_balance,opening_balance\na,1.00,2.00\n");
    let run = walletlab(&["run", "--accounts", &accounts, "--data", &files.text("data")]).exits(1);
    assert!(run.stderr.contains("two columns are named \"opening_balance\""), "{}", run.stderr);
}

#[test]
fn a_simulated_log_overwrites_nothing() {
    let files = Files::new();
    let there = files.write("events.wlog", "mine");
    let sim = walletlab(&["sim", "--seed", "1", "--events", "100", "--log", &there]).exits(2);
    assert!(sim.stderr.contains("is not overwritten"), "{}", sim.stderr);
    assert_eq!(fs::read_to_string(&there).expect("still there"), "mine");
}

#[test]
fn a_world_without_a_way_on_ends_with_a_finding() {
    let sim = walletlab(&["sim", "--seed", "1", "--events", "500", "--link-loss-per-mille", "1000"]).exits(1);
    assert!(sim.stderr.contains("no record became durable"), "{}", sim.stderr);
}
