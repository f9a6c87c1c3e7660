//! A disk that is full: commands are refused before anything is executed, reads go on, and when there is room the server
//! goes on by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::harness::{Files, walletlab};
use super::http_client::{Answer, Client, Server};

/// Room for the first segment and for more than that, but not for the second.
const DISK: &str = "size=5632k";
/// Of the file that is deleted to make room for the second.
const BALLAST_BYTES: usize = 1 << 20;
/// More than the first segment takes.
const PAYMENTS_MAX: u64 = 40_000;

/// A small disk of its own; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this process may not mount anything.
    fn mount(path: &Path) -> Option<SmallDisk> {
        fs::create_dir(path).expect("made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(path).output();
        mounted.is_ok_and(|mount| mount.status.success()).then(|| SmallDisk(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps the memory, not the name.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "{:?}", self.0);
    }
}

fn pay(client: &mut Client, number: u64) -> Answer {
    let body = json!({
        "transaction_id": format!("01900000-0000-7000-8000-{number:012}"),
        "from_account": "alice", "to_account": "bob", "amount": 1,
    });
    client.post("/v1/wallet/transfer", &body).expect("answered")
}

fn balance(client: &mut Client, account: &str) -> u64 {
    let answer = client.get(&format!("/v1/wallet/balance/{account}")).expect("answered").is(200);
    answer.json()["balance"].as_u64().expect("a number")
}

fn open_accounts(client: &mut Client) {
    for (name, balance) in [("alice", 1_000_000), ("bob", 0)] {
        let body = json!({ "account_id": name, "opening_balance": balance });
        client.post("/v1/wallet/accounts", &body).expect("answered").is(201);
    }
}

/// Pays until the disk is full; returns how many payments were acknowledged.
fn fill(client: &mut Client) -> u64 {
    let (number, answer) = (0..PAYMENTS_MAX)
        .map(|number| (number, pay(client, number)))
        .find(|(_, answer)| answer.status != 200)
        .expect("the disk is full at some time");
    let full = answer.is(507);
    assert!(full.header("retry-after").is_some());
    let body = full.json();
    assert_eq!(body["code"], "storage_full");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.contains("segment.part")), "{body}");
    assert!(number > 1_000, "the first segment holds {number} payments");
    number
}

/// What a server on a full disk does and does not do.
fn check_full(client: &mut Client, acknowledged: u64) {
    for number in [acknowledged, acknowledged + 1, acknowledged] {
        pay(client, number).is(507);
    }
    assert!(pay(client, 0).is(200).is_replayed(), "what is known is answered");
    let ready = client.get("/health/ready").expect("answered").is(503);
    let why = ready.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("room"), "{why}");
    client.get("/health").expect("answered").is(503);
    client.get("/health/live").expect("answered").is(200);
    assert_eq!(balance(client, "bob"), acknowledged);
    let stats: Value = client.get("/stats").expect("answered").is(200).json();
    assert_eq!(stats["sequence"], acknowledged + 2);
    assert!(stats["pipeline"]["storage_full"].as_u64().is_some_and(|refused| refused >= 4), "{stats}");
    let metrics = client.get("/metrics").expect("answered").is(200).text();
    assert!(metrics.contains("\nwalletlab_ready 0\n"), "{metrics}");
}

#[test]
fn a_full_disk_refuses_until_there_is_room_and_loses_nothing() {
    let files = Files::new();
    let Some(disk) = SmallDisk::mount(&files.path("disk")) else {
        // The other test meets the same answer of the system by a limit.
        println!(
            "not tested: a full tmpfs needs the right to mount one (root); the limit of a file's size was tested instead"
        );
        return;
    };
    let (data, ballast) = (disk.0.join("data"), disk.0.join("ballast"));
    fs::write(&ballast, vec![1; BALLAST_BYTES]).expect("there is room");
    let server = Server::start(&data, &[]);
    let mut client = server.client();
    open_accounts(&mut client);
    let acknowledged = fill(&mut client);
    check_full(&mut client, acknowledged);

    // Also when it is started on the full disk, because the log that is there needs room to go on.
    drop(client);
    server.stop();
    let server = Server::start(&data, &[]);
    let mut client = server.client();
    let again = (acknowledged..PAYMENTS_MAX).find(|number| pay(&mut client, *number).status != 200);
    let acknowledged = again.expect("it is still full");
    pay(&mut client, acknowledged).is(507);
    assert_eq!(balance(&mut client, "bob"), acknowledged);

    fs::remove_file(&ballast).expect("removed");
    while client.get("/health/ready").expect("answered").status != 200 {}
    pay(&mut client, acknowledged).is(200);
    pay(&mut client, acknowledged + 1).is(200);
    assert_eq!(balance(&mut client, "bob"), acknowledged + 2);
    assert_eq!(balance(&mut client, "alice") + acknowledged + 2, 1_000_000);
    drop(client);
    server.stop();
    let verified = walletlab(&["verify", data.to_str().expect("UTF-8"), "--json"]).exits(0).json();
    assert_eq!((&verified["files"], &verified["records"]), (&json!(2), &json!(acknowledged + 4)));
}

#[test]
fn a_limit_of_a_files_size_is_a_full_disk_too() {
    let files = Files::new();
    let data = files.path("data");
    // The first segment is smaller than this, and the second is not.
    let server = Server::start_with_small_files(&data, 2_560);
    let mut client = server.client();
    open_accounts(&mut client);
    let acknowledged = fill(&mut client);
    check_full(&mut client, acknowledged);
    drop(client);
    server.stop();
    let server = Server::start(&data, &[]);
    let mut client = server.client();
    pay(&mut client, acknowledged).is(200);
    assert_eq!(balance(&mut client, "bob"), acknowledged + 1);
    drop(client);
    server.stop();
}
