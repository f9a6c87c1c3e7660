//! A published data set of 120,558 transfers, against results that another program computed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use ledger::{Reason, TransactionResult};
use server::files::FileJournal;
use walletlab_tests::repository_root;

use super::harness::{Files, walletlab};

const ACCOUNTS: u64 = 20_000;
const MAP: &str = "account=nodeid,opening_balance=init_balance,from_account=sourceNodeId,to_account=targetNodeId,amount=value";

fn data() -> Option<PathBuf> {
    let data = repository_root().join("../shared/data/aml_transfers");
    data.is_dir().then_some(data)
}

#[test]
fn aml_transfers_come_out_as_expected_to_the_cent() {
    let Some(data) = data() else {
        println!(
            "SKIPPED: ../shared/data/aml_transfers is not there, so the run on real input was not checked"
        );
        return;
    };
    let file = |name: &str| data.join(name).to_str().expect("a path in UTF-8").to_owned();
    let files = Files::new();
    let directory = files.text("data");
    let (accounts, transfers) = (file("nodes.csv.gz"), file("transactions.csv.gz"));
    let arguments = [
        "run",
        "--accounts",
        &accounts,
        "--transfers",
        &transfers,
        "--map",
        MAP,
        "--data",
        &directory,
        "--json",
    ];
    let report = walletlab(&arguments).exits(0).json();
    assert_eq!((&report["accounts"], &report["sequence"]), (&ACCOUNTS.into(), &140_558.into()));
    assert_eq!((&report["completed"], &report["failed"]), (&46_538.into(), &74_020.into()));
    assert_eq!(report["balances_total"]["USD"], 560_095_352);
    let reasons = &report["this_run"]["failed_by_reason"];
    assert_eq!((&reasons["insufficient_funds"], &reasons["same_account"]), (&74_005.into(), &15.into()));

    let opened = FileJournal::open(&files.path("data"), 0).expect("opened");
    let projections = &opened.recovered.projections;
    assert_eq!(opened.recovered.ledger.digest().to_string(), report["digest"]);

    let mut verdicts = String::new();
    let packed = fs::File::open(data.join("expected_verdicts.txt.gz")).expect("opened");
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut verdicts).expect("unpacked");
    let verdicts = verdicts.trim_end();
    assert_eq!(verdicts.len(), 120_558);
    for (row, verdict) in (0..).zip(verdicts.chars()) {
        let expected = match verdict {
            'A' => TransactionResult::Completed,
            'N' => TransactionResult::Refused(Reason::InsufficientFunds),
            'S' => TransactionResult::Refused(Reason::SameAccount),
            other => panic!("verdict {other}"),
        };
        let found = projections.transactions.at(ACCOUNTS + row).expect("it is there");
        assert_eq!(found.result, expected, "row {row}");
    }

    let expected = fs::read_to_string(data.join("expected_balances_cents.csv")).expect("read");
    let expected: BTreeMap<&str, i64> = expected
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').expect("two columns"))
        .map(|(name, cents)| (name, cents.parse().expect("a number")))
        .collect();
    assert_eq!(expected.len() as u64, ACCOUNTS);
    for (name, cents) in expected {
        let account = projections.balances.find(&name.parse().expect("a name")).expect("it is there");
        assert_eq!(projections.balances.row(account).posted, cents, "account {name}");
    }
}
