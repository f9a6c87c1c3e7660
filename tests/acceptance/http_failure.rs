//! A disk that fails: nothing that was acknowledged is lost, nothing more is acknowledged, reads go on.

use std::fs;

use serde_json::{Value, json};

use super::harness::Files;
use super::http_client::{Answer, Client, Server};

fn pay(client: &mut Client, number: u64) -> Answer {
    let body = json!({
        "transaction_id": format!("01900000-0000-7000-8000-{number:012}"),
        "from_account": "alice", "to_account": "bob", "amount": 1,
    });
    client.post("/v1/wallet/transfer", &body).expect("answered")
}

fn balance(client: &mut Client, account: &str) -> i64 {
    let answer = client.get(&format!("/v1/wallet/balance/{account}")).expect("answered").is(200);
    answer.json()["balance"].as_i64().expect("a number")
}

#[test]
fn a_sync_that_fails_ends_the_writing_and_nothing_else() {
    ends_the_writing("fdatasync", "error=EIO:when=30", "sync it");
}

#[test]
fn a_write_that_fails_ends_the_writing_and_nothing_else() {
    ends_the_writing("pwrite64", "error=EIO:when=30", "append to it");
}

/// A disk that is full in the middle of a segment whose room was taken is a disk that fails.
#[test]
fn room_that_was_taken_and_is_not_there_ends_the_writing_too() {
    ends_the_writing("pwrite64", "error=ENOSPC:when=30", "append to it");
}

/// The fault comes once, and whoever tried again would not meet it.
fn ends_the_writing(call: &str, fault: &str, doing: &str) {
    let files = Files::new();
    let data = files.path("data");
    let (server, trace) = Server::start_with_fault(&data, call, fault);
    let mut client = server.client();
    for (name, balance) in [("alice", 1_000_000), ("bob", 0)] {
        let body = json!({ "account_id": name, "opening_balance": balance });
        client.post("/v1/wallet/accounts", &body).expect("answered").is(201);
    }
    // The first failure: nobody can know whether the transfer is on the disk.
    let (acknowledged, answer) = (0..)
        .map(|number| (number, pay(&mut client, number)))
        .find(|(_, answer)| answer.status != 200)
        .expect("the fault comes soon");
    assert!(acknowledged > 10, "{}", answer.text());
    let unknown = answer.is(504);
    assert_eq!(unknown.json()["code"], "outcome_unknown");
    assert_eq!(unknown.json()["transaction_id"], format!("01900000-0000-7000-8000-{acknowledged:012}"));

    // From then on nothing is taken, and it is said why; what is durable can be read.
    let refused = pay(&mut client, acknowledged + 1).is(503);
    assert_eq!(refused.json()["code"], "not_ready");
    let ready = client.get("/health/ready").expect("answered").is(503);
    let why = ready.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains(".wlog") && why.contains(doing) && why.contains("restart"), "{why}");
    let health = client.get("/health").expect("answered").is(503);
    assert_eq!(health.json()["status"], "degraded");
    client.get("/health/live").expect("answered").is(200);
    let paid = i64::try_from(acknowledged).expect("few");
    assert_eq!(balance(&mut client, "bob"), paid);
    let metrics = client.get("/metrics").expect("answered").is(200).text();
    assert!(metrics.contains("\nwalletlab_ready 0\n"), "{metrics}");
    drop(client);
    assert_eq!(server.exit_code(), Some(1), "somebody is told");
    let trace = fs::read_to_string(&trace).expect("the calls");
    let fault = trace.lines().position(|line| line.contains("(INJECTED)")).expect("there was a fault");
    let writer = trace.lines().nth(fault).and_then(|line| line.split_whitespace().next()).expect("a thread");
    let after = trace.lines().skip(fault + 1).filter(|line| line.starts_with(writer) && line.contains(call));
    assert_eq!(after.collect::<Vec<_>>(), Vec::<&str>::new(), "nothing is tried again");

    // Without the fault the log is recovered: everything acknowledged is there, and the unsure one can be repeated.
    let server = Server::start(&data, &[]);
    let mut client = server.client();
    assert!(balance(&mut client, "bob") >= paid);
    pay(&mut client, acknowledged).is(200);
    assert_eq!(balance(&mut client, "bob"), paid + 1);
    let stats: Value = client.get("/stats").expect("answered").is(200).json();
    assert_eq!(stats["balances_total"]["USD"], 1_000_000);
    server.stop();
}
