//! What goes to the server's API and what its answers mean, apart from any network.

use core::fmt;

use serde_json::{Value, json};

use crate::protocol::{HandAnswer, HandBody, HandCommand, Replayed};

/// The most bytes of an answer that is read for its meaning.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;

/// An answer's head, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code.
    pub(super) status: u16,
    /// Its type, without parameters.
    pub(super) content_type: String,
    /// The id of the server's log, 32 hex digits; empty if the answer names none.
    pub(super) log_id: String,
    /// Whether it is the answer to a repeat.
    pub(super) is_repeat: bool,
    /// How long to wait before the next try, in seconds.
    pub(super) retry_after_seconds: Option<u32>,
}

/// A "no" of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HttpError {
    /// The status code.
    pub(super) status: u16,
    /// The problem's code; empty if the answer is no problem.
    pub(super) code: String,
    /// What is wrong, for people.
    pub(super) why: String,
    /// How long to wait before the next try.
    pub(super) retry_after_ms: Option<u64>,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (status {})", self.why, self.status)
    }
}

impl HttpError {
    /// Reads an answer that is not what was asked for: a problem in JSON, or anything.
    pub(super) fn of(head: &Head, body: &[u8]) -> Self {
        let problem = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
        let text = |key: &str| problem[key].as_str().unwrap_or_default().to_owned();
        let why = [text("detail"), text("title")].into_iter().find(|text| !text.is_empty());
        Self {
            status: head.status,
            code: text("code"),
            why: why.unwrap_or_else(|| "The server gave no reason".to_owned()),
            retry_after_ms: head.retry_after_seconds.map(|seconds| u64::from(seconds) * 1_000),
        }
    }
}

/// Why an answer to the question for the state is none of a wallet server, if it is none.
pub(super) fn why_no_server(head: &Head) -> Option<String> {
    match head.status {
        404 | 405 | 501 => Some(format!("/v1/state is not there (status {})", head.status)),
        200..=299 if head.log_id.is_empty() || head.content_type != "application/octet-stream" => {
            Some(format!("/v1/state is answered with {}", or_nothing(&head.content_type)))
        }
        _ => None,
    }
}

fn or_nothing(content_type: &str) -> &str {
    if content_type.is_empty() { "something of no type" } else { content_type }
}

/// Where a command goes, and its body: the same command has the same bytes, however often it is sent.
pub(super) fn request_of(command: &HandCommand) -> (&'static str, String) {
    let id = &command.transaction_id;
    let (path, body) = match &command.body {
        HandBody::Transfer { from_account, to_account, amount, asset: _ } => (
            "/v1/wallet/transfer",
            json!({"transaction_id": id, "from_account": from_account, "to_account": to_account, "amount": amount}),
        ),
        HandBody::Deposit { account, amount, asset: _ } => {
            ("/v1/wallet/deposits", json!({"transaction_id": id, "account": account, "amount": amount}))
        }
        HandBody::OpenAccount { account, asset, scale, opening_balance } => (
            "/v1/wallet/accounts",
            json!({"account_id": account, "asset": asset, "scale": scale, "opening_balance": opening_balance}),
        ),
    };
    (path, body.to_string())
}

/// What the answer to a command means.
pub(super) fn answer_of(head: &Head, body: &[u8]) -> HandAnswer {
    let value = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let error = HttpError::of(head, body);
    let replayed = if head.is_repeat { Replayed::Again } else { Replayed::First };
    match (head.status, error.code.as_str()) {
        (200 | 201, _) => match value["sequence"].as_u64() {
            Some(sequence) => HandAnswer::Completed { sequence, replayed },
            None => HandAnswer::Unknown { why: "The answer names no record".to_owned() },
        },
        (422, reason) => match value["sequence"].as_u64() {
            Some(sequence) => HandAnswer::Refused { sequence, reason: reason.to_owned(), replayed },
            None => HandAnswer::Malformed { why: error.to_string() },
        },
        (401, _) => HandAnswer::NotAllowed { why: "The server wants a token for this".to_owned() },
        (403, _) => HandAnswer::NotAllowed { why: error.why },
        (409, _) => HandAnswer::Conflict { why: error.why },
        (503 | 507, _) => {
            HandAnswer::Busy { retry_after_seconds: head.retry_after_seconds.unwrap_or(1).max(1) }
        }
        (500, "dead_letter") => HandAnswer::DeadLettered,
        (500..=599 | 408, _) => HandAnswer::Unknown { why: error.to_string() },
        _ => HandAnswer::Malformed { why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01941f29-7c00-7000-8000-000000000001";

    fn command(body: HandBody) -> HandCommand {
        HandCommand { request: 1, transaction_id: ID.into(), body }
    }

    #[test]
    fn commands_become_the_bodies_of_the_api() {
        let transfer = command(HandBody::Transfer {
            from_account: "a\"b".into(),
            to_account: "ü".into(),
            amount: i64::MAX,
            asset: "USD".into(),
        });
        assert_eq!(request_of(&transfer), request_of(&transfer.clone()), "a repeat has the same bytes");
        let (path, body) = request_of(&transfer);
        assert_eq!(path, "/v1/wallet/transfer");
        let parsed: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            parsed,
            json!({"transaction_id": ID, "from_account": "a\"b", "to_account": "ü", "amount": i64::MAX})
        );
        let deposit = command(HandBody::Deposit { account: "a".into(), amount: -1, asset: "USD".into() });
        assert_eq!(
            request_of(&deposit).1,
            format!(r#"{{"account":"a","amount":-1,"transaction_id":"{ID}"}}"#)
        );
        let opening = command(HandBody::OpenAccount {
            account: "a".into(),
            asset: "EUR".into(),
            scale: 2,
            opening_balance: 5,
        });
        assert_eq!(
            request_of(&opening),
            (
                "/v1/wallet/accounts",
                r#"{"account_id":"a","asset":"EUR","opening_balance":5,"scale":2}"#.to_owned()
            )
        );
    }

    #[test]
    fn every_answer_of_the_api_has_a_meaning() {
        let head = |status, is_repeat| Head { status, is_repeat, ..Head::default() };
        let problem = |code: &str| json!({"code": code, "detail": "why", "sequence": 9}).to_string();
        let meaning = |head: &Head, body: &str| answer_of(head, body.as_bytes());
        let why = || "why".to_owned();
        let completed = |replayed| HandAnswer::Completed { sequence: 9, replayed };
        assert_eq!(meaning(&head(200, false), r#"{"sequence":9}"#), completed(Replayed::First));
        assert_eq!(meaning(&head(201, false), r#"{"sequence":9}"#), completed(Replayed::First));
        assert_eq!(meaning(&head(200, true), r#"{"sequence":9}"#), completed(Replayed::Again));
        assert_eq!(
            meaning(&head(422, true), &problem("insufficient_funds")),
            HandAnswer::Refused {
                sequence: 9,
                reason: "insufficient_funds".into(),
                replayed: Replayed::Again
            }
        );
        assert_eq!(
            meaning(&head(409, false), &problem("transaction_id_reused")),
            HandAnswer::Conflict { why: why() }
        );
        assert_eq!(meaning(&head(500, false), &problem("dead_letter")), HandAnswer::DeadLettered);
        assert_eq!(meaning(&head(403, false), &problem("forbidden")), HandAnswer::NotAllowed { why: why() });
        assert_eq!(
            meaning(&head(400, false), &problem("invalid_field")),
            HandAnswer::Malformed { why: "why (status 400)".into() }
        );
        for status in [500, 502, 504, 408] {
            assert_eq!(
                meaning(&head(status, false), &problem("outcome_unknown")),
                HandAnswer::Unknown { why: format!("why (status {status})") }
            );
        }
        let busy = Head { retry_after_seconds: Some(3), ..head(503, false) };
        assert_eq!(meaning(&busy, &problem("busy")), HandAnswer::Busy { retry_after_seconds: 3 });
        assert!(matches!(meaning(&head(200, false), "not JSON"), HandAnswer::Unknown { .. }));
        assert!(matches!(meaning(&head(401, false), ""), HandAnswer::NotAllowed { .. }));
    }

    #[test]
    fn files_are_told_from_a_wallet_server() {
        let head = |status, content_type: &str, log_id: &str| Head {
            status,
            content_type: content_type.into(),
            log_id: log_id.into(),
            ..Head::default()
        };
        assert_eq!(why_no_server(&head(200, "application/octet-stream", "ab")), None);
        for other in [
            head(404, "text/html", ""),
            head(405, "", ""),
            head(501, "text/html", ""),
            head(200, "text/html", ""),
            head(200, "application/octet-stream", ""),
        ] {
            assert!(why_no_server(&other).is_some(), "{other:?}");
        }
        assert_eq!(
            why_no_server(&head(503, "application/problem+json", "")),
            None,
            "one that is busy is there"
        );
        assert_eq!(why_no_server(&head(401, "application/problem+json", "")), None);
    }

    #[test]
    fn a_problem_says_why_in_its_detail_or_its_title() {
        let head = Head { status: 503, retry_after_seconds: Some(2), ..Head::default() };
        let error = HttpError::of(&head, br#"{"title":"Busy","code":"busy"}"#);
        assert_eq!((error.why.as_str(), error.retry_after_ms), ("Busy", Some(2_000)));
        assert_eq!(HttpError::of(&head, b"<html>").why, "The server gave no reason");
    }
}
