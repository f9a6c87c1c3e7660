//! Hostile input, as raw bytes on a socket: no panic, no 5xx, nothing written, and others are still answered.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::json;

use super::harness::Files;
use super::http_client::Server;

const CASES: u32 = 250;
const SECONDS_MAX: u64 = 60;

/// A server with two accounts, the payer being rich: whatever hostile bytes become a transfer shows.
struct Target {
    _files: Files,
    server: Server,
    sequence: u64,
}

impl Target {
    fn new() -> Target {
        let files = Files::new();
        let limits = ["--header-timeout-ms", "1000", "--body-timeout-ms", "500", "--read-wait-ms-max", "1"];
        let server = Server::start(&files.path("data"), &limits);
        let mut client = server.client();
        for (name, opening_balance) in [("a", 1_000_000_000), ("b", 0)] {
            let body = json!({"account_id": name, "opening_balance": opening_balance});
            client.post("/v1/wallet/accounts", &body).expect("answered").is(201);
        }
        Target { _files: files, sequence: server.sequence(), server }
    }

    /// Runs a property: `statuses` are what each answer may have.
    fn withstands(&self, requests: impl Strategy<Value = Vec<u8>>, then: Then, statuses: &[u16]) {
        let mut runner =
            TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
        let result = runner.run(&requests, |request| {
            let answer =
                exchange(self.server.address, &request, then).map_err(|error| fail(&error.to_string()))?;
            for status in statuses_in(&answer) {
                if status >= 500 || !statuses.contains(&status) {
                    return Err(fail(&format!("{status}: {}", String::from_utf8_lossy(&answer))));
                }
            }
            match self.server.sequence() {
                sequence if sequence == self.sequence => Ok(()),
                sequence => Err(fail(&format!("{} records were written", sequence - self.sequence))),
            }
        });
        result.unwrap_or_else(|error| panic!("{error}"));
        self.is_unharmed();
    }

    fn is_unharmed(&self) {
        assert_eq!(self.server.sequence(), self.sequence);
        let balance = self.server.client().get("/v1/wallet/balance/b").expect("answered").is(200);
        assert_eq!(balance.json()["balance"], 0);
        self.server.has_not_panicked();
    }

    /// Sends one request and asserts the status of its first answer; no answer at all is status 0.
    #[track_caller]
    fn answers(&self, request: &[u8], status: u16) {
        let answer = exchange(self.server.address, request, Then::Waits).expect("the connection ends");
        let statuses = statuses_in(&answer);
        let shown = (String::from_utf8_lossy(request), String::from_utf8_lossy(&answer));
        assert_eq!(statuses.first().copied().unwrap_or(0), status, "{shown:?}");
        assert_eq!(self.server.sequence(), self.sequence, "something was written by {shown:?}");
    }
}

fn fail(why: &str) -> TestCaseError {
    TestCaseError::fail(why.to_owned())
}

/// What a client does behind its request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It waits: for a request that asks the server to close, or that makes it close.
    Waits,
    /// It says that nothing more comes, so that the server does not wait either. An answer may be lost then.
    Leaves,
}

/// Sends everything and reads until the server closes; it may also close before it has everything.
fn exchange(address: SocketAddr, request: &[u8], then: Then) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(SECONDS_MAX)))?;
    stream.set_write_timeout(Some(Duration::from_secs(SECONDS_MAX)))?;
    let sent = stream.write_all(request).and_then(|()| match then {
        Then::Waits => Ok(()),
        Then::Leaves => stream.shutdown(Shutdown::Write),
    });
    let mut answer = Vec::new();
    let mut part = [0; 4_096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend_from_slice(&part[..length]),
            // A server that closes with something unread resets the connection; what it said before still counts.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(answer),
            Err(error) => {
                sent?;
                return Err(error);
            }
        }
    }
}

/// The status of each answer in what came back.
fn statuses_in(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    let lines = text.split("HTTP/1.").skip(1);
    lines.filter_map(|line| line.get(2..5)?.parse().ok()).collect()
}

fn request(method: &str, target: &str, headers: &[u8], body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n").into_bytes();
    request.extend_from_slice(headers);
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body);
    request
}

/// A transfer's request with this body, its length being right.
fn transfer(body: &[u8]) -> Vec<u8> {
    let headers = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    request("POST", "/v1/wallet/transfer", headers.as_bytes(), body)
}

const GOOD_BODY: &str = "{\"from_account\":\"a\",\"to_account\":\"b\",\"amount\":1}";

/// JSON values that an amount cannot have.
fn wrong_amount() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_map(|float| format!("{float:e}")),
        (any::<i64>(), 0..1_000_u32).prop_map(|(whole, fraction)| format!("{whole}.{fraction}")),
        (1..9_u8, 1..400_u32).prop_map(|(digit, exponent)| format!("{digit}e{exponent}")),
        "[1-9][0-9]{19,400}",
        "-[1-9][0-9]{19,400}",
        "0[0-9]{1,5}",
        "\\+[1-9]",
        "0x[0-9a-f]{1,4}",
        "\"[0-9]{1,5}\"",
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("[1]".to_owned()),
        Just("{}".to_owned()),
        Just("NaN".to_owned()),
        Just("-".to_owned()),
        Just("1_000".to_owned()),
        Just("١".to_owned()),
    ]
}

/// Bodies of which none is a transfer.
fn wrong_body() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![Just("from_account"), Just("to_account"), Just("amount"), Just("transaction_id")];
    prop_oneof![
        wrong_amount().prop_map(|amount| format!(
            "{{\"from_account\":\"a\",\"to_account\":\"b\",\"amount\":{amount}}}"
        )
        .into_bytes()),
        // A field twice, also written with an escape.
        field.clone().prop_map(|field| {
            let escaped = format!("\\u{:04x}{}", field.as_bytes()[0], &field[1..]);
            format!("{{\"{field}\":1,\"{escaped}\":1,{}", &GOOD_BODY[1..]).into_bytes()
        }),
        // An unknown field, last.
        "[a-z_ ]{0,12}"
            .prop_filter("known", |name| !GOOD_BODY.contains(&format!("\"{name}\""))
                && name != "transaction_id")
            .prop_map(|name| format!("{},\"{name}\":null}}", GOOD_BODY.trim_end_matches('}')).into_bytes()),
        // Deep nesting.
        (1..20_000_usize, any::<bool>()).prop_map(|(depth, is_array)| {
            let (open, close) = if is_array { ("[", "]") } else { ("{\"a\":", "}") };
            let middle = if is_array { "" } else { "1" };
            format!(
                "{{\"from_account\":{}{middle}{},{}",
                open.repeat(depth % 5_000),
                close.repeat(depth % 5_000),
                &GOOD_BODY[1..]
            )
            .into_bytes()
        }),
        // A byte that makes it invalid UTF-8, within a name.
        (0x80..=0xff_u8, 0..2_usize).prop_map(|(byte, which)| {
            let mut body = GOOD_BODY.as_bytes().to_vec();
            let at = [GOOD_BODY.find("a\",").expect("there"), GOOD_BODY.find("b\",").expect("there")][which];
            body.insert(at, byte);
            body
        }),
        // A lone surrogate, a control character, names that are too long.
        prop_oneof![
            Just("\\ud800".to_owned()),
            Just("\\u0000".to_owned()),
            Just("\n".to_owned()),
            Just(String::new()),
            "[x]{65,300}",
            "[ä]{33,60}"
        ]
        .prop_map(
            |name| format!("{{\"from_account\":\"{name}\",\"to_account\":\"b\",\"amount\":1}}").into_bytes()
        ),
        // Ids that are none.
        "[0-9a-f-]{0,35}|urn:uuid:[0-9a-f]{8}-0000-0000-0000-000000000000|\\{?[0-9a-f]{32}\\}?"
            .prop_map(|id| format!("{{\"transaction_id\":\"{id}\",{}", &GOOD_BODY[1..]).into_bytes()),
        // The good body with its end cut off, or with more behind it.
        (0..GOOD_BODY.len()).prop_map(|length| GOOD_BODY.as_bytes()[..length].to_vec()),
        "[a-z{}\\[\\]\",:0]{1,9}".prop_map(|more| format!("{GOOD_BODY}{more}").into_bytes()),
        prop::collection::vec(any::<u8>(), 0..300),
    ]
}

#[test]
fn bodies_that_are_no_transfer_are_refused_by_name() {
    let target = Target::new();
    target.withstands(wrong_body().prop_map(|body| transfer(&body)), Then::Waits, &[400]);
    target.server.stop();
}

#[test]
fn raw_bytes_and_requests_with_a_flipped_byte_do_nothing() {
    let target = Target::new();
    let refused = [400, 403, 404, 405, 408, 413, 415, 421, 431];
    target.withstands(prop::collection::vec(any::<u8>(), 0..2_000), Then::Leaves, &refused);
    // A request that is right but for its amount, with bytes changed: it may become another request, never a transfer.
    let good = transfer(GOOD_BODY.replace("\"amount\":1", "\"amount\":1.5").as_bytes());
    let changes = prop::collection::vec((0..good.len(), any::<u8>()), 1..4);
    let changed = changes.prop_map(move |changes| {
        let mut request = good.clone();
        for (at, byte) in changes {
            // Without the fraction it would be a transfer.
            if !request[at].is_ascii_punctuation() {
                request[at] = byte;
            }
        }
        request
    });
    target.withstands(changed, Then::Leaves, &[&refused[..], &[200]].concat());
    target.server.stop();
}

#[test]
fn targets_and_queries_are_percent_decoded_once_and_strictly() {
    let target = Target::new();
    let route = prop_oneof![
        Just("/v1/wallet/balance/"),
        Just("/v1/wallet/accounts/"),
        Just("/v1/wallet/transactions/"),
        Just("/v1/wallet/accounts?after="),
        Just("/v1/wallet/accounts?limit="),
        Just("/v1/wallet/balance/a?min_sequence="),
        Just("/v1/wallet/accounts/a/entries?before="),
        Just("/v1/state?"),
        Just("/"),
    ];
    let tail = prop_oneof![
        "(%[0-9a-fA-F]{2}){0,30}",
        "[!-~&&[^#]]{0,40}",
        "%[g-z]{2}",
        "(\\.\\./){1,9}etc/passwd",
        "%00|%0d%0aX: y|%C0%AF|%ff"
    ];
    let requests =
        (route, tail).prop_map(|(route, tail)| request("GET", &format!("{route}{tail}"), b"", b""));
    // 504: no record has that number within a millisecond. It is the one answer of 5xx that a client may ask for.
    target.withstands(
        requests.prop_filter("it asks to wait", |request| !asks_to_wait(request)),
        Then::Waits,
        &[200, 400, 404],
    );
    target.answers(&request("GET", "/v1/wallet/balance/a%2", b"", b""), 404);
    target.answers(&request("GET", "/v1/wallet/balance/%FF", b"", b""), 400);
    target.answers(&request("GET", "/v1/wallet/balance/%00", b"", b""), 400);
    target.answers(&request("GET", "/v1/wallet/balance/%61", b"", b""), 200);
    target.answers(&request("GET", "/v1/wallet/balance/%2561", b"", b""), 404);
    target.answers(&request("GET", "/..%2f..%2f..%2fetc/passwd", b"", b""), 404);
    target.answers(&request("GET", "/v1/wallet/accounts?limit=1&limit=2", b"", b""), 400);
    target.answers(&request("GET", "/v1/wallet/accounts?limit=1001", b"", b""), 400);
    target.server.stop();
}

/// A number behind `min_sequence=` that is one.
fn asks_to_wait(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.split_once("min_sequence=").is_some_and(|(_, value)| {
        let value = value.split([' ', '&']).next().unwrap_or_default();
        value.starts_with(|first: char| first.is_ascii_digit() || first == '%' || first == '+')
    })
}

#[test]
fn types_lengths_and_sizes_are_held() {
    let target = Target::new();
    let with =
        |headers: &str| request("POST", "/v1/wallet/transfer", headers.as_bytes(), GOOD_BODY.as_bytes());
    let length = format!("content-length: {}\r\n", GOOD_BODY.len());
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
        "application/json5",
        "",
    ] {
        target.answers(&with(&format!("{length}content-type: {kind}\r\n")), 415);
    }
    target.answers(&with(&length), 415);
    let json = "content-type: application/json\r\n";
    target.answers(&with(&format!("{json}content-length: 65537\r\n")), 413);
    target.answers(&with(&format!("{json}content-length: 99999999999999999999\r\n")), 400);
    target.answers(&with(&format!("{json}content-length: -1\r\n")), 400);
    target.answers(&with(&format!("{json}content-length: 0x31\r\n")), 400);
    let large = format!("{GOOD_BODY}{}", " ".repeat(70_000));
    target.answers(&transfer(large.as_bytes()), 413);
    let chunk = format!("{json}transfer-encoding: chunked\r\n");
    let chunked = |body: &str| request("POST", "/v1/wallet/transfer", chunk.as_bytes(), body.as_bytes());
    target.answers(&chunked(&format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len())), 413);
    target.answers(&chunked("zz\r\nhello\r\n0\r\n\r\n"), 400);
    target.answers(&chunked("ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"), 400);
    // The body ends before its length: it never gets whole.
    target.answers(&with(&format!("{json}content-length: {}\r\n", GOOD_BODY.len() + 1)), 408);
    let huge = format!("x: {}\r\n", "y".repeat(20_000));
    target.answers(&with(&format!("{length}{json}{huge}")), 431);
    let many: String = (0..2_000).map(|number| format!("x-{number}: y\r\n")).collect();
    target.answers(&with(&format!("{length}{json}{many}")), 431);
    target.answers(&request("GET", &format!("/{}", "x".repeat(20_000)), b"", b""), 431);
    target.is_unharmed();
    target.server.stop();
}

/// What a proxy in front of the server could read otherwise than the server does. Each attempt carries a second request,
/// a good transfer, in what one of the two takes for the body.
#[test]
fn a_request_that_two_parsers_may_read_differently_smuggles_nothing() {
    let target = Target::new();
    let hidden = String::from_utf8(transfer(GOOD_BODY.as_bytes())).expect("ASCII");
    let outer = |headers: &str, body: &str| {
        let request = format!(
            "POST /v1/wallet/transfer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n{body}"
        );
        request.into_bytes()
    };
    let all = hidden.len();
    let chunked = format!("0\r\n\r\n{hidden}");
    for (headers, body) in [
        (format!("content-length: 0\r\ncontent-length: {all}\r\n"), &hidden),
        (format!("content-length: {all}\r\ncontent-length: 0\r\n"), &hidden),
        (format!("content-length: 0, {all}\r\n"), &hidden),
        (format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", chunked.len()), &chunked),
        (format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", chunked.len()), &chunked),
        (
            format!(
                "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\ncontent-length: {}\r\n",
                chunked.len()
            ),
            &chunked,
        ),
        ("transfer-encoding: identity, chunked, identity\r\n".to_owned(), &chunked),
        ("transfer-encoding: xchunked\r\n".to_owned(), &chunked),
        (format!("content-length: +{all}\r\n"), &hidden),
        (format!("content-length : {all}\r\n"), &hidden),
        (format!(" content-length: {all}\r\n"), &hidden),
        (format!("content-length:\r\n {all}\r\n"), &hidden),
    ] {
        let request = outer(&headers, body);
        let answer = exchange(target.server.address, &request, Then::Waits).expect("the connection ends");
        let statuses = statuses_in(&answer);
        let shown = (&headers, String::from_utf8_lossy(&answer));
        assert!(statuses.len() <= 1, "two requests were seen: {shown:?}");
        assert!(statuses.iter().all(|status| (400..500).contains(status)), "{shown:?}");
        assert_eq!(target.server.sequence(), target.sequence, "a transfer was smuggled: {shown:?}");
    }
    target.is_unharmed();
    target.server.stop();
}

#[test]
fn hosts_and_origins_of_others_are_refused() {
    let target = Target::new();
    let length = format!("content-type: application/json\r\ncontent-length: {}\r\n", GOOD_BODY.len());
    let from = |headers: &str| {
        format!("POST /v1/wallet/transfer HTTP/1.1\r\n{headers}connection: close\r\n{length}\r\n{GOOD_BODY}")
            .into_bytes()
    };
    for host in [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "a b",
        "localhost@evil.example",
    ] {
        let answer = exchange(target.server.address, &from(&format!("host: {host}\r\n")), Then::Waits)
            .expect("it ends");
        let statuses = statuses_in(&answer);
        assert!(statuses == [421] || statuses == [400], "{host}: {statuses:?}");
        assert_eq!(target.server.sequence(), target.sequence, "{host}");
    }
    target.answers(&from(""), 400);
    target.answers(&from("host: localhost\r\nhost: evil.example\r\n"), 400);
    for origin in
        ["https://evil.example", "null", "http://localhost:1", "https://localhost.evil.example", "", "\u{ff}"]
    {
        target.answers(&from(&format!("host: localhost\r\norigin: {origin}\r\n")), 403);
    }
    for site in ["cross-site", "same-site", "other"] {
        target.answers(&from(&format!("host: localhost\r\nsec-fetch-site: {site}\r\n")), 403);
    }
    target.answers(&request("CONNECT", "evil.example:443", b"", b""), 421);
    // Only HTTP/1 is spoken here: whoever begins HTTP/2 is hung up on.
    target.answers(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0);
    target.is_unharmed();
    target.server.stop();
}
