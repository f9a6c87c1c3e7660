//! Batches over the wire: a stream that a kill cuts off, a client that takes no answers, and time that a test moves.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};

use super::harness::{Files, walletlab};
use super::http_client::{Client, Server};

const LINES: u64 = 20_000;
/// Lines in one chunk of the body.
const CHUNK_LINES: u64 = 500;
/// Answers that are read before the kill.
const ANSWERS_UNTIL_KILL: usize = 3_000;

fn id(number: u64) -> String {
    format!("01900000-0000-7000-8000-{number:012}")
}

/// A transfer of one, every tenth of them linked to the next.
fn item(number: u64) -> Value {
    let mut item =
        json!({"transaction_id": id(number), "from_account": "alice", "to_account": "bob", "amount": 1});
    if number.is_multiple_of(10) {
        item["linked"] = true.into();
    }
    item
}

/// The first numbers of all chunks.
fn chunks() -> impl Iterator<Item = u64> {
    (0..LINES / CHUNK_LINES).map(|part| part * CHUNK_LINES)
}

fn open_accounts(client: &mut Client) {
    for body in [json!({"account_id": "alice", "opening_balance": 1_000_000}), json!({"account_id": "bob"})] {
        let status = client.post("/v1/wallet/accounts", &body).expect("answered").status;
        assert!(status == 200 || status == 201, "{status}");
    }
}

fn begin_stream(client: &mut Client) -> io::Result<()> {
    let head = "POST /v1/wallet/transfers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/jsonl\r\n\
                transfer-encoding: chunked\r\n\r\n";
    client.send(head.as_bytes())
}

fn chunk(text: &str) -> Vec<u8> {
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// What was answered before the connection broke, by id.
fn answers_until(client: &mut Client, count: usize) -> BTreeMap<String, u64> {
    let (mut answers, mut rest) = (BTreeMap::new(), String::new());
    while answers.len() < count {
        let Ok(Some(piece)) = client.chunk() else { break };
        rest.push_str(&String::from_utf8_lossy(&piece));
        while let Some((line, behind)) = rest.split_once('\n') {
            let answer: Value = serde_json::from_str(line).expect("a line is JSON");
            assert_eq!(answer["status"], "completed", "{line}");
            let id = answer["transaction_id"].as_str().expect("an id").to_owned();
            answers.insert(id, answer["sequence"].as_u64().expect("a sequence"));
            rest = behind.to_owned();
        }
    }
    answers
}

#[test]
fn a_stream_that_a_kill_cuts_off_is_sent_again_and_takes_effect_once() {
    let files = Files::new();
    let data = files.path("data");
    let server = Server::start(&data, &[]);
    open_accounts(&mut server.client());
    let mut client = server.client();
    begin_stream(&mut client).expect("begun");
    let writing = client.socket().try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        let mut writing = writing;
        for first in chunks() {
            let lines: String =
                (first..first + CHUNK_LINES).map(|number| format!("{}\n", item(number))).collect();
            if io::Write::write_all(&mut writing, &chunk(&lines)).is_err() {
                return;
            }
        }
    });
    assert_eq!(client.head().expect("a head").status, 200);
    let answered = answers_until(&mut client, ANSWERS_UNTIL_KILL);
    assert!(answered.len() >= ANSWERS_UNTIL_KILL);
    server.kill();
    drop(client);
    writer.join().expect("it wrote");

    let server = Server::start(&data, &[]);
    let mut client = server.client();
    for first in chunks() {
        let items: Vec<Value> = (first..first + CHUNK_LINES).map(item).collect();
        let results = client.post("/v1/wallet/transfers", &items.into()).expect("answered").is(200).json();
        for result in results.as_array().expect("an array") {
            assert_eq!(result["status"], "completed", "{result}");
            let id = result["transaction_id"].as_str().expect("an id");
            if let Some(sequence) = answered.get(id) {
                assert_eq!((&result["replayed"], &result["sequence"]), (&json!(true), &json!(sequence)));
            }
        }
    }
    let bob = client.get("/v1/wallet/balance/bob").expect("answered").is(200).json();
    assert_eq!(bob["balance"], LINES);
    server.stop();
    walletlab(&["verify", &files.text("data")]).exits(0);
}

/// A client that sends without end and reads nothing is read no further, and others do not notice.
#[test]
fn a_stream_whose_answers_nobody_takes_is_not_buffered_for() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &["--write-timeout-ms", "1000"]);
    open_accounts(&mut server.client());
    let mut client = server.client();
    begin_stream(&mut client).expect("begun");
    let before = server.resident_kib();
    let mut number = 0;
    let broken = loop {
        let lines: String =
            (number..number + CHUNK_LINES).map(|number| format!("{}\n", item(number))).collect();
        if let Err(error) = client.send(&chunk(&lines)) {
            break error;
        }
        number += CHUNK_LINES;
        assert!(number < 5_000_000, "it takes everything");
    };
    assert!(
        matches!(broken.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe),
        "cut off: {broken}"
    );
    if let (Some(before), Some(after)) = (before, server.resident_kib()) {
        // The history of what was carried out, and nothing that grows with what was sent and not answered.
        assert!(after - before < 200_000, "{before} KiB grew to {after} KiB");
    }
    assert_eq!(server.client().get("/health/ready").expect("answered").status, 200);
    server.stop();
}

#[test]
fn what_a_test_clock_brings_about_replays_to_the_same_digest() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &["--test-clock"]);
    assert!(server.said().contains("the clock stands still"), "{}", server.said());
    let mut client = server.client();
    open_accounts(&mut client);
    let now = client.get("/v1/clock").expect("answered").is(200).json()["now"].as_u64().expect("a time");
    for number in 0..100 {
        let hold = json!({
            "transaction_id": id(number), "from_account": "alice", "to_account": "bob", "amount": 10,
            "expires_at": now + 1 + number * 1_000_000,
        });
        client.post("/v1/wallet/pending-transfers", &hold).expect("answered").is(200);
    }
    let advance = json!({"micros": 50_000_000});
    client.post("/v1/clock/advance", &advance).expect("answered").is(200);
    let alice = client.get("/v1/wallet/balance/alice").expect("answered").is(200).json();
    assert_eq!(alice["pending"], 500, "{alice}");
    let digest = client.get("/stats").expect("answered").is(200).json()["digest"].clone();
    server.stop();
    let replayed = walletlab(&["replay", "--json", &files.text("data")]).exits(0).json();
    assert_eq!(replayed["digest"], digest, "{replayed}");

    let server = Server::start(&files.path("data"), &["--test-clock"]);
    let mut client = server.client();
    let later = client.get("/v1/clock").expect("answered").is(200).json()["now"].as_u64().expect("a time");
    assert_eq!(later, now + 50_000_000, "it goes on where the log ends");
    let stats = client.get("/stats").expect("answered").is(200).json();
    assert_eq!(stats["digest"], digest);
    server.stop();
}
