use axum::body::{Body, BodyDataStream};
use axum::http::Request;
use pipeline::{Follower, Snapshot};
use tokio_stream::StreamExt;

use super::{Rig, Setup, request_of};
use crate::options::Limits;

const OPENINGS: &str = r#"
POST /v1/wallet/accounts {"account_id":"a","opening_balance":10}
POST /v1/wallet/accounts {"account_id":"b"}
"#;

/// A stream of events that is read piece by piece.
struct Stream {
    body: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(rig: &Rig, line: &str) -> Stream {
        let response = rig.respond(request_of(line)).await;
        assert_eq!(response.status(), 200);
        Stream { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// Reads until a message of this kind is complete, and returns everything up to its end.
    async fn until(&mut self, event: &str) -> String {
        let kind = format!("event: {event}\n");
        loop {
            if let Some(at) = self.text.find(&kind)
                && let Some(end) = self.text[at..].find("\n\n")
            {
                let rest = self.text.split_off(at + end + 2);
                return std::mem::replace(&mut self.text, rest);
            }
            let chunk = self.body.next().await.expect("the stream goes on").expect("a chunk");
            self.text.push_str(std::str::from_utf8(&chunk).expect("whole lines"));
        }
    }
}

/// The log's own lines in some messages.
fn lines(messages: &str) -> String {
    messages
        .split("\n\n")
        .filter(|message| !message.contains("event: position"))
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("data: "))
        .fold(String::new(), |text, line| text + line + "\n")
}

#[tokio::test]
async fn a_follower_comes_to_the_digest_from_the_beginning_and_from_a_snapshot() {
    let rig = Rig::new();
    rig.run(OPENINGS).await;
    let mut stream = Stream::open(&rig, "GET /v1/events?from=0").await;
    let mut from_zero = Follower::new(1);
    let messages = stream.until("position").await;
    assert!(
        messages.contains("event: header\n") && messages.contains("\nid: 1\nevent: record\n"),
        "{messages}"
    );
    from_zero.push_lines(&lines(&messages)).expect("the log's own lines");

    let state = rig.respond(request_of("GET /v1/state")).await;
    assert_eq!(state.headers()["walletlab-sequence"], "2");
    let digest = state.headers()["walletlab-digest"].to_str().expect("hex").to_owned();
    let bytes = axum::body::to_bytes(state.into_body(), usize::MAX).await.expect("a body");
    let snapshot = Snapshot::decode(&bytes).expect("a snapshot");
    let mut from_two = Follower::resume(&snapshot, 2).expect("a snapshot that fits together");
    assert_eq!(from_two.digest().to_string(), digest);
    assert_eq!(from_zero.digest(), from_two.digest());

    let mut tail = Stream::open(&rig, "GET /v1/events [Last-Event-ID: 1]").await;
    from_two.push_lines(&lines(&tail.until("position").await)).expect("nothing new");
    rig.run(r#"POST /v1/wallet/transfer {"from_account":"a","to_account":"b","amount":3}"#).await;
    let messages = tail.until("position").await;
    from_two.push_lines(&lines(&messages)).expect("they follow");
    from_zero.push_lines(&lines(&stream.until("position").await)).expect("they follow");
    let position = format!("{{\"digest\":\"{}\",", from_two.digest());
    assert!(messages.contains(&position), "{messages}");
    assert_eq!(from_zero.digest(), from_two.digest());
    assert_eq!((from_zero.next_sequence(), from_two.next_sequence()), (3, 3));
    assert!(from_zero.is_at_border(), "the last line is a seal");
}

#[tokio::test]
async fn as_json_lines_it_is_a_file_that_ends() {
    let rig = Rig::new();
    rig.run(OPENINGS).await;
    let answer = rig.send(request_of("GET /v1/events [Accept: application/jsonl]")).await;
    assert_eq!(answer.headers["content-type"], "application/jsonl");
    let mut follower = Follower::new(1);
    follower.push_lines(&answer.body).expect("a log");
    assert_eq!(follower.next_sequence(), 2);
    assert!(answer.body.ends_with("}\n") && follower.is_at_border(), "{}", answer.body);
    let rest = rig.send(request_of("GET /v1/events?from=2 [Accept: application/x-ndjson]")).await;
    // Whoever lost the connection between a record and its seal gets the seal.
    assert!(rest.body.starts_with("{\"seal\":") && rest.body.lines().count() == 1, "{}", rest.body);
    follower.push_lines(&rest.body).expect("a seal that is known is no surprise");
    let one = rig.send(request_of("GET /v1/events?from=1 [Accept: application/jsonl]")).await;
    let first = one.body.lines().find(|line| !line.starts_with("{\"seal\":"));
    assert!(first.is_some_and(|line| line.starts_with("{\"sequence\":1,\"index\":0,")), "{}", one.body);
}

#[tokio::test]
async fn what_cannot_be_streamed_is_said() {
    let limits = Limits { streams_max: 1, ..Limits::default() };
    let rig = Rig::with(Setup { limits, ..Setup::default() });
    let answers = rig
        .run(
            "
GET /v1/events?from=1
GET /v1/events?from=-1
GET /v1/events?since=1
GET /v1/events [Last-Event-ID: none]
GET /v1/events [Last-Event-ID: 18446744073709551615]
GET /v1/events [Accept: text/html]
",
        )
        .await;
    let codes: Vec<&str> = answers.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["400", "400", "400", "400", "400", "406"], "{answers}");
    let open = rig.respond(request_of("GET /v1/events")).await;
    let second = rig.run("GET /v1/events").await;
    assert!(second.starts_with("503 retry-after: 1 {\"code\":\"too_many_streams\""), "{second}");
    drop(open);
}

#[tokio::test]
async fn a_server_that_stops_says_so_to_its_streams() {
    let rig = Rig::new();
    let mut stream = Stream::open(&rig, "GET /v1/events").await;
    rig.stopping.send_replace(true);
    assert!(stream.until("dropped").await.contains("\"reason\":\"stopping\""));
}

/// A log that is longer than what waits for a reader, and readers that may take nothing for some milliseconds only.
async fn rig_with_a_long_log() -> Rig {
    let limits = Limits { write_timeout_ms: 20, ..Limits::default() };
    let rig = Rig::with(Setup { limits, ..Setup::default() });
    for account in 0..400 {
        rig.run(&format!("POST /v1/wallet/accounts {{\"account_id\":\"{account:064}\"}}")).await;
    }
    rig
}

/// Writes until a stream was dropped.
async fn until_one_is_dropped(rig: &Rig) {
    let metrics = async |name: &str| {
        let text = rig.run("GET /metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the metric");
        line.trim().parse::<u64>().expect("a number")
    };
    while metrics("walletlab_event_streams_dropped_total ").await == 0 {
        rig.run(r#"POST /v1/wallet/deposits {"account":"nobody","amount":1}"#).await;
    }
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_told() {
    let rig = rig_with_a_long_log().await;
    let mut stream = Stream::open(&rig, "GET /v1/events").await;
    until_one_is_dropped(&rig).await;
    let messages = stream.until("dropped").await;
    assert!(messages.contains("\"reason\":\"slow_reader\""), "{messages}");
}

#[tokio::test]
async fn a_file_that_is_cut_short_does_not_end_like_a_whole_one() {
    let rig = rig_with_a_long_log().await;
    let mut stream = Stream::open(&rig, "GET /v1/events [Accept: application/jsonl]").await;
    until_one_is_dropped(&rig).await;
    let error = loop {
        match stream.body.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error.to_string(),
            None => panic!("it ends as if it were whole"),
        }
    };
    assert!(error.contains("took nothing"), "{error}");
}

#[tokio::test]
async fn a_head_request_has_no_body_and_needs_no_stream() {
    let rig = Rig::new();
    let request = Request::head("/v1/events").header("host", "localhost").body(Body::empty());
    let answer = rig.send(request.expect("a request")).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
}
