//! One log, in three forms and two places: one state.

use std::fs;

use super::harness::{Files, accounts_csv, transfers_csv, walletlab};

#[test]
fn every_form_of_a_log_replays_to_the_state_of_the_run() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(10, "12.50"));
    let transfers = files.write("transfers.csv", transfers_csv(10, 400));
    let data = files.text("data");
    let run = walletlab(&[
        "run",
        "--accounts",
        &accounts,
        "--transfers",
        &transfers,
        "--data",
        &data,
        "--batch",
        "32",
        "--json",
    ]);
    let mut of_the_run = run.exits(0).json();
    of_the_run.as_object_mut().expect("an object").remove("this_run");
    assert_eq!((&of_the_run["sequence"], &of_the_run["accounts"]), (&410.into(), &10.into()));
    assert_eq!(of_the_run["balances_total"]["USD"], 12_500);
    let total = of_the_run["completed"].as_u64().unwrap_or_default()
        + of_the_run["failed"].as_u64().unwrap_or_default();
    assert_eq!(total, 400);

    let [jsonl, binary] = ["jsonl", "binary"].map(|form| {
        let exported = walletlab(&["export", &data, "--format", form]).exits(0);
        files.write(form, exported.stdout)
    });
    assert_eq!(fs::read(&binary).expect("read"), fs::read(files.log("data")).expect("read"));
    for path in [&data, &jsonl, &binary] {
        let replayed = walletlab(&["replay", path, "--json"]).exits(0).json();
        assert_eq!(replayed, of_the_run, "{path}");
        walletlab(&["verify", path]).exits(0);
        for form in [&jsonl, &binary] {
            let format = if form == &jsonl { "jsonl" } else { "binary" };
            let exported = walletlab(&["export", path, "--format", format]).exits(0).stdout;
            assert!(exported == fs::read(form).expect("read"), "{path} as {format}");
        }
    }

    for (form, directory) in [(&jsonl, "from-jsonl"), (&binary, "from-binary")] {
        walletlab(&["import", form, "--data", &files.text(directory)]).exits(0);
        let imported = fs::read(files.log(directory)).expect("read");
        assert!(imported == fs::read(&binary).expect("read"), "{directory} has other bytes");
        let again = walletlab(&["import", form, "--data", &files.text(directory)]).exits(2);
        assert!(again.stderr.contains("has a log already"), "{}", again.stderr);
    }
}

#[test]
fn every_prefix_has_a_state_of_its_own() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", accounts_csv(3, "1"));
    let transfers = files.write("transfers.csv", transfers_csv(3, 20));
    let data = files.text("data");
    walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data]).exits(0);
    let log = fs::read(files.log("data")).expect("read");
    let digests = super::harness::digests(&log);
    for (until, digest) in digests.iter().enumerate() {
        let replayed = walletlab(&["replay", &data, "--until", &until.to_string(), "--json"]).exits(0).json();
        assert_eq!(replayed["sequence"], until);
        assert_eq!(replayed["digest"], digest.to_string());
    }
    let beyond = walletlab(&["replay", &data, "--until", "24"]).exits(2);
    assert!(beyond.stderr.contains("the log has 23 records"), "{}", beyond.stderr);
}

#[test]
fn an_edited_log_is_refused_and_becomes_another_one_by_resealing() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", "account,opening_balance\na,5.00\nb,0\n");
    let transfers = files.write("transfers.csv", "from_account,to_account,amount\na,b,1.25\na,b,1.25\n");
    let data = files.text("data");
    walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data]).exits(0);
    let log = walletlab(&["export", &data, "--format", "jsonl"]).exits(0).text();
    let edited = files.write("edited.jsonl", log.replace("\"amount\":125", "\"amount\":175"));

    for arguments in [&["verify", &edited][..], &["import", &edited, "--data", &files.text("refused")]] {
        let refused = walletlab(arguments).exits(1);
        let said = refused.text() + &refused.stderr;
        assert!(said.contains(&edited) && said.contains("do not match their seal"), "{said}");
    }
    assert!(!files.log("refused").exists());
    let imported =
        walletlab(&["import", &edited, "--data", &files.text("other"), "--reseal", "--json"]).exits(0);
    assert_eq!(imported.json()["balances_total"]["USD"], 500);
    walletlab(&["verify", &files.text("other")]).exits(0);
    let header = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let other = walletlab(&["export", &files.text("other"), "--format", "jsonl"]).exits(0).text();
    assert_ne!(header(&other), header(&log), "a resealed log has another id");
    let resealed =
        walletlab(&["import", &data, "--data", &files.text("copy"), "--reseal", "--json"]).exits(0).json();
    let replayed = walletlab(&["replay", &data, "--json"]).exits(0).json();
    assert_eq!(resealed["digest"], replayed["digest"]);
    assert_ne!(fs::read(files.log("copy")).expect("read"), fs::read(files.log("data")).expect("read"));
}
