//! The log over HTTP: what a follower reads is the log, byte for byte, also across a restart.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::harness::{Files, walletlab};
use super::http_client::{Client, Server};

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    id: Option<u64>,
    event: String,
    /// Lines of data, each with its line break.
    data: String,
}

/// Reads server-sent events from an answer in chunks.
struct Events {
    client: Client,
    text: String,
}

impl Events {
    fn open(server: &Server, target: &str, headers: &str) -> Events {
        let mut client = server.client();
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        client.send(request.as_bytes()).expect("sent");
        let head = client.head().expect("a head").is(200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        assert_eq!(head.header("walletlab-log-id").map(str::len), Some(32));
        Events { client, text: String::new() }
    }

    /// The next message; `None` when the server has ended the stream.
    fn next(&mut self) -> Option<Message> {
        while !self.text.contains("\n\n") {
            let chunk = self.client.chunk().ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8, also at the borders of chunks"));
        }
        let (text, rest) = self.text.split_once("\n\n").expect("it was looked for");
        let mut message = Message::default();
        for line in text.lines() {
            match line.split_once(": ").expect("a field") {
                ("id", id) => message.id = id.parse().ok(),
                ("event", event) => message.event = event.to_owned(),
                ("data", data) => message.data.extend([data, "\n"]),
                other => panic!("{other:?}"),
            }
        }
        self.text = rest.to_owned();
        Some(message)
    }

    /// Messages up to the position of this sequence, that one included.
    fn until(&mut self, sequence: u64) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let message = self.next().expect("the stream goes on");
            let reached = message.event == "position" && position(&message)["sequence"] == sequence;
            messages.push(message);
            if reached {
                return messages;
            }
        }
    }
}

fn position(message: &Message) -> Value {
    serde_json::from_str(&message.data).expect("JSON")
}

/// The lines of the log in these messages.
fn lines(messages: &[Message]) -> String {
    messages
        .iter()
        .filter(|message| message.event != "position" && message.event != "dropped")
        .map(|message| message.data.as_str())
        .collect()
}

fn open_and_pay(server: &Server, transfers: u64) {
    let mut client = server.client();
    for name in ["a", "ä"] {
        let answer = client
            .post("/v1/wallet/accounts", &json!({"account_id": name, "opening_balance": 3}))
            .expect("answered");
        assert!([200, 201].contains(&answer.status), "{}", answer.text());
    }
    for _ in 0..transfers {
        let body = json!({"from_account": "a", "to_account": "ä", "amount": 1});
        let answer = client.post("/v1/wallet/transfer", &body).expect("answered");
        assert!([200, 422].contains(&answer.status), "{}", answer.text());
    }
}

fn json_lines(server: &Server) -> String {
    let answer = server
        .client()
        .read_with("/v1/events?from=0", "accept: application/jsonl\r\n")
        .expect("answered")
        .is(200);
    assert_eq!(answer.header("content-type"), Some("application/jsonl"));
    answer.text()
}

#[test]
fn a_follower_has_the_log_byte_for_byte_and_resumes_across_a_restart() {
    let files = Files::new();
    let data = files.path("data");
    let server = Server::start(&data, &[]);
    let mut events = Events::open(&server, "/v1/events", "");
    open_and_pay(&server, 5);
    let mut followed = events.until(7);
    let first = followed.iter().find(|message| message.event != "position").expect("a first message");
    assert_eq!(first.event, "header");
    let ids: Vec<u64> = followed.iter().filter_map(|message| message.id).collect();
    assert_eq!(ids, (0..7).collect::<Vec<_>>());
    assert_eq!(lines(&followed), json_lines(&server));
    server.stop();
    // The stream ended with the reason for it, behind everything that was written.
    while let Some(message) = events.next() {
        followed.push(message);
    }
    let last = followed.last().expect("a last message");
    assert_eq!((last.event.as_str(), &position(last)["reason"]), ("dropped", &json!("stopping")));

    let server = Server::start(&data, &[]);
    let mut resumed = Events::open(&server, "/v1/events?from=1", "last-event-id: 6\r\n");
    open_and_pay(&server, 4);
    let more = resumed.until(11);
    let ids: Vec<u64> = more.iter().filter_map(|message| message.id).collect();
    assert_eq!(ids, (7..11).collect::<Vec<_>>());
    let whole = json_lines(&server);
    assert!(whole.ends_with(&lines(&more)), "what came after the restart is the end of the log");
    let log = files.write("events.jsonl", &whole);
    let verified = walletlab(&["verify", &log, "--json"]).exits(0).json();
    assert_eq!(verified["digest"], position(more.last().expect("a position"))["digest"]);
    let stats = server.client().get("/stats").expect("answered").is(200).json();
    assert_eq!(verified["digest"], stats["digest"]);
    server.stop();
}

#[test]
fn every_record_is_where_it_was_said_to_be() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &["--log-format", "jsonl"]);
    open_and_pay(&server, 3);
    let mut client = server.client();
    let mut said = BTreeMap::new();
    for amount in 1..4 {
        let body = json!({"account": "a", "amount": amount});
        let answer = client.post("/v1/wallet/deposits", &body).expect("answered").is(200).json();
        said.insert(answer["sequence"].as_u64().expect("a number"), answer["transaction_id"].clone());
    }
    let text = json_lines(&server);
    let stored =
        std::fs::read_to_string(files.path("data").join("events.log")).expect("the store is the text");
    assert_eq!(text, stored);
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (sequence, id) in said {
        let found =
            events.iter().filter(|event| event["sequence"] == sequence && event["transaction_id"] == id);
        assert_eq!(found.count(), 2, "both halves of {id}");
    }
    server.stop();
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &["--streams-max", "2"]);
    open_and_pay(&server, 1);
    let mut client = server.client();
    for (target, headers, status, code) in [
        ("/v1/events?from=4", "", 400, "invalid_query"),
        ("/v1/events?from=-1", "", 400, "invalid_query"),
        ("/v1/events?from=0&from=1", "", 400, "invalid_query"),
        ("/v1/events?since=0", "", 400, "invalid_query"),
        ("/v1/events", "last-event-id: x\r\n", 400, "invalid_query"),
        ("/v1/events", "last-event-id: 18446744073709551615\r\n", 400, "invalid_query"),
        ("/v1/events", "accept: text/html\r\n", 406, "not_acceptable"),
    ] {
        let answer = client.read_with(target, headers).expect("answered").is(status);
        assert_eq!(answer.json()["code"], code, "{target} {headers}");
    }
    let streams = [(); 2].map(|()| Events::open(&server, "/v1/events?from=3", ""));
    let refused = client.get("/v1/events").expect("answered").is(503);
    assert_eq!(refused.json()["code"], "too_many_streams");
    assert!(refused.header("retry-after").is_some());
    drop(streams);
    // Who goes away without a word is noticed when there is something to write.
    let admitted = (0..1_000).any(|_| {
        open_and_pay(&server, 1);
        let mut client = server.client();
        client.send(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
        client.head().expect("a head").status == 200
    });
    assert!(admitted, "a place is free when a reader goes away");
    server.stop();
}

#[test]
fn a_snapshot_says_where_the_log_goes_on() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &[]);
    open_and_pay(&server, 2);
    let state = server.client().get("/v1/state").expect("answered").is(200);
    assert_eq!(state.header("content-type"), Some("application/octet-stream"));
    assert_eq!(state.header("cache-control"), Some("no-store"));
    assert_eq!(state.header("walletlab-sequence"), Some("4"));
    let stats = server.client().get("/stats").expect("answered").is(200).json();
    assert_eq!(state.header("walletlab-digest"), stats["digest"].as_str());
    assert_eq!(state.header("walletlab-log-id"), stats["log_id"].as_str());
    let mut events = Events::open(&server, "/v1/events?from=4", "");
    // The seal of the last record may stand before it, for whoever resumes without having read it.
    let messages = events.until(4);
    let (last, before) = messages.split_last().expect("a position");
    assert!(before.iter().all(|message| message.event == "seal"), "{before:?}");
    assert_eq!(position(last)["digest"], stats["digest"]);
    server.stop();
}
