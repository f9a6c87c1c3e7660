//! Clients that are slow, silent or gone: others are still answered, the slow ones are let go, and memory stays within
//! a bound. Nothing here is about how fast an answer is: that is measured with tests/load/crowd.rs beside a load.

use std::fmt::Write as _;
use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::json;

use super::harness::{Files, accounts_csv, walletlab};
use super::http_client::{Client, Server, raise_open_files};

/// Connections that do nothing, if the limit of open files allows as many.
const IDLE_MAX: u64 = 5_000;
/// Files that a process needs besides those.
const FILES_SPARE: u64 = 300;
/// What an idle connection may cost the server, in KiB: hyper's read buffer, the task, the socket's own bookkeeping.
const IDLE_KIB_MAX: u64 = 20;
/// What a slow reader may cost it: the chunks that wait for it, and one that is being made.
const READER_KIB_MAX: u64 = 2_048;
/// What everything else may add meanwhile, in KiB.
const OTHER_KIB_MAX: u64 = 16_384;

/// Money moves for somebody else meanwhile: fifty transfers, each answered.
fn others_are_answered(server: &Server) {
    let mut client = server.client();
    for name in ["other-a", "other-b"] {
        let body = json!({"account_id": name, "opening_balance": 1_000});
        let answer = client.post("/v1/wallet/accounts", &body).expect("answered");
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    }
    let body = json!({"from_account": "other-a", "to_account": "other-b", "amount": 1});
    for _ in 0..50 {
        client.post("/v1/wallet/transfer", &body).expect("answered").is(200);
    }
}

/// The server's memory has not grown by more than this since `before`.
#[track_caller]
fn has_grown_by_at_most(server: &Server, before: Option<u64>, kib_max: u64) {
    let (Some(before), Some(now)) = (before, server.resident_kib()) else { return };
    let grown = now.saturating_sub(before);
    println!("resident: {before} KiB before, {now} KiB now");
    assert!(grown <= kib_max, "{grown} KiB more than before, and {kib_max} KiB is the bound");
}

#[test]
fn five_thousand_idle_connections_cost_little_and_disturb_nobody() {
    let idle_max = raise_open_files().saturating_sub(FILES_SPARE).min(IDLE_MAX);
    let files = Files::new();
    // None of them is let go for its silence, however slow the machine.
    let server = Server::start(&files.path("data"), &["--header-timeout-ms", "600000"]);
    others_are_answered(&server);
    let before = server.resident_kib();
    // Every second one has asked something before it fell silent.
    let mut idle = Vec::new();
    for number in 0..idle_max {
        let mut client = server.client();
        if number % 2 == 0 {
            client.get("/health/live").expect("answered").is(200);
        }
        idle.push(client);
    }
    others_are_answered(&server);
    let health = server.client().get("/health").expect("answered").is(200).json();
    println!("{idle_max} idle connections: {health}");
    assert!(health["connections"].as_u64().is_some_and(|open| open > idle_max), "{health}");
    has_grown_by_at_most(&server, before, idle_max * IDLE_KIB_MAX + OTHER_KIB_MAX);
    // They were idle, not forgotten.
    for client in idle.iter_mut().step_by(500) {
        client.get("/health/live").expect("answered").is(200);
    }
    drop(idle);
    others_are_answered(&server);
    server.stop();
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_later_ones_are_let_in() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &["--connections-max", "20"]);
    let mut open: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut open {
        client.get("/health/live").expect("answered").is(200);
    }
    let refused = server.client().answer().expect("it is told").is(503);
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.headers);
    open[7].get("/health/live").expect("answered").is(200);
    // Half of a closed connection is enough: the server closes its own half.
    for client in open.drain(..10) {
        client.socket().shutdown(Shutdown::Write).expect("shut down");
        let mut client = client;
        assert_eq!(client.rest().expect("the end"), b"");
    }
    // The server sees the end of a connection before it closes; the place is free a moment later.
    let admitted =
        (0..1_000).any(|_| server.client().get("/health/live").is_ok_and(|answer| answer.status == 200));
    assert!(admitted, "places were given back");
    server.stop();
}

#[test]
fn slow_writers_are_let_go_and_disturb_nobody() {
    let files = Files::new();
    let limits = ["--header-timeout-ms", "400", "--body-timeout-ms", "400"];
    let server = Server::start(&files.path("data"), &limits);
    let body = "{\"from_account\":\"other-a\",\"to_account\":\"other-b\",\"amount\":1}";
    let head = format!(
        "POST /v1/wallet/transfer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    let mut slow_heads: Vec<Client> = (0..50).map(|number| slow(&server, &head[..number])).collect();
    let mut slow_bodies: Vec<Client> =
        (0..50).map(|number| slow(&server, &format!("{head}\r\n{}", &body[..number]))).collect();
    let mut slow_chunks: Vec<Client> = (0..10)
        .map(|_| {
            let head = head.replace("content-length: 58", "transfer-encoding: chunked");
            slow(&server, &format!("{head}\r\n5\r\n{{\"fro\r\n"))
        })
        .collect();
    others_are_answered(&server);
    let sequence = server.sequence();
    for client in &mut slow_heads {
        // Closed, with or without a word.
        let said = String::from_utf8_lossy(&client.rest().unwrap_or_default()).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    for client in slow_bodies.iter_mut().chain(&mut slow_chunks) {
        let answer = client.answer().expect("answered").is(408);
        assert_eq!(answer.json()["code"], "request_timeout");
        // A body that is not whole is not followed by a request.
        let _ = client.send(&body.as_bytes()[50..]);
        assert!(client.rest().is_ok_and(|rest| rest.is_empty()) || client.answer().is_err());
    }
    assert_eq!(server.sequence(), sequence, "nothing of it was executed");
    server.stop();
}

/// Sends the beginning of a request.
fn slow(server: &Server, beginning: &str) -> Client {
    let mut client = server.client();
    client.send(beginning.as_bytes()).expect("sent");
    client
}

/// A ledger whose log is much longer than what sockets hold: about 20 MB as JSON Lines.
fn long_log(files: &Files) {
    let accounts = files.write("accounts.csv", accounts_csv(2, "1000000.00"));
    let mut text = String::from("from_account,to_account,amount\n");
    for number in 0..30_000 {
        let (from, to) = (number % 2, 1 - number % 2);
        writeln!(text, "account-{from},account-{to},0.01").expect("a text takes everything");
    }
    let transfers = files.write("transfers.csv", text);
    let data = files.text("data");
    walletlab(&[
        "run",
        "--accounts",
        &accounts,
        "--transfers",
        &transfers,
        "--data",
        &data,
        "--batch",
        "1000",
    ])
    .exits(0);
}

/// Asks until the server has closed so many connections of its own accord. Those that are open are not counted, because
/// a connection that is not accepted yet is none of them either.
fn are_closed(client: &mut Client, count: u64) {
    let closed = |client: &mut Client| {
        let metrics = client.get("/metrics").expect("answered").is(200).text();
        let causes =
            metrics.lines().filter(|line| line.starts_with("walletlab_http_connections_failed_total{"));
        causes.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
    };
    assert!((0..200_000).any(|_| closed(client) >= count), "connections that take nothing are closed");
}

#[test]
fn readers_that_take_nothing_are_dropped_and_not_buffered_for() {
    let files = Files::new();
    long_log(&files);
    let server = Server::start(&files.path("data"), &["--write-timeout-ms", "400"]);
    others_are_answered(&server);
    let before = server.resident_kib();
    let readers = 32;
    let request = |accept: &str| {
        let mut client = server.client();
        let request = format!("GET /v1/events HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n");
        client.send(request.as_bytes()).expect("sent");
        client
    };
    let accepts = ["text/event-stream", "application/jsonl"];
    let mut slow: Vec<Client> = (0..readers).map(|number| request(accepts[number % 2])).collect();
    others_are_answered(&server);
    let mut client = server.client();
    are_closed(&mut client, readers as u64);
    has_grown_by_at_most(&server, before, readers as u64 * READER_KIB_MAX + OTHER_KIB_MAX);
    // What is left in the sockets ends in the middle; a reader that reads gets everything.
    assert!(slow[0].head().expect("a head").is(200).header("walletlab-log-id").is_some());
    let whole = client.read_with("/v1/events", "accept: application/jsonl\r\n").expect("answered").is(200);
    let log = files.write("events.jsonl", &whole.body);
    walletlab(&["verify", &log]).exits(0);
    others_are_answered(&server);
    server.stop();
}

#[test]
fn answers_that_nobody_reads_hold_up_nobody() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &["--write-timeout-ms", "400"]);
    others_are_answered(&server);
    let before = server.resident_kib();
    // Many requests in one go, whose answers together are more than what sockets hold.
    let requests = "GET /docs HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(200);
    let deaf: Vec<TcpStream> = (0..20)
        .map(|_| {
            let client = server.client();
            let socket = client.socket().try_clone().expect("a second handle");
            socket.set_write_timeout(Some(Duration::from_millis(200))).expect("set");
            // The server stops reading when it cannot write.
            let _ = std::io::Write::write_all(&mut &socket, requests.as_bytes());
            socket
        })
        .collect();
    others_are_answered(&server);
    let mut client = server.client();
    are_closed(&mut client, 20);
    has_grown_by_at_most(&server, before, 20 * READER_KIB_MAX + OTHER_KIB_MAX);
    for mut socket in deaf {
        let mut read = Vec::new();
        // It ends, in order or not.
        let _ = socket.read_to_end(&mut read);
        assert!(read.len() < 200 * 100_000, "not everything was sent");
    }
    server.stop();
}
