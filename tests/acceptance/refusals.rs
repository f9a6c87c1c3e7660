//! A hundred, and ten times twenty.

use super::harness::{Files, walletlab};

#[test]
fn an_account_with_100_pays_20_five_times_of_ten() {
    let files = Files::new();
    let accounts = files.write("accounts.csv", "account,opening_balance\npayer,1.00\npayee,0\n");
    let row = "payer,payee,0.20\n";
    let transfers =
        files.write("transfers.csv", format!("from_account,to_account,amount\n{}", row.repeat(10)));
    let data = files.text("data");
    let run =
        walletlab(&["run", "--accounts", &accounts, "--transfers", &transfers, "--data", &data, "--json"])
            .exits(0);
    let this_run = &run.json()["this_run"];
    assert_eq!((&this_run["transfers_completed"], &this_run["transfers_failed"]), (&5.into(), &5.into()));
    assert_eq!(this_run["failed_by_reason"]["insufficient_funds"], 5);

    let log = walletlab(&["export", &data, "--format", "jsonl"]).exits(0).text();
    let count =
        |texts: &[&str]| log.lines().filter(|line| texts.iter().all(|text| line.contains(text))).count();
    let payer = "\"account\":\"payer\"";
    assert_eq!(count(&["\"type\":\"MoneyDeducted\"", payer]), 5);
    assert_eq!(count(&["\"type\":\"TransactionFailed\"", "\"reason\":\"insufficient_funds\""]), 5);
    assert_eq!(count(&["\"type\":\"MoneyCredited\"", payer, "\"kind\":\"transfer\""]), 0);

    let opened = server::files::FileJournal::open(&files.path("data"), 0).expect("opened");
    let balances = &opened.recovered.projections.balances;
    let balance =
        |name: &str| balances.row(balances.find(&name.parse().expect("a name")).expect("it is there")).posted;
    assert_eq!((balance("payer"), balance("payee")), (0, 100));
}
