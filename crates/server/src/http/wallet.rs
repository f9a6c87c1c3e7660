//! The writing half of `/v1/wallet`: a body becomes a command, and what became of it an answer.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ledger::{AccountName, Asset, Command, Reason, TransactionId, TransactionResult};
use pipeline::{Outcome, Replayed};
use serde_json::json;

use super::App;
use super::fields::{Fields, Query};
use super::problem::Problem;
use crate::engine::Told;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// What an account holds if nobody says.
const ASSET_DEFAULT: &str = "USD";
/// Decimal places of an asset if nobody says.
const SCALE_DEFAULT: u8 = 2;
const KEY_BYTES_MAX: usize = 255;

/// `POST /v1/wallet/accounts`.
pub(super) async fn open_account(State(app): State<App>, request: Request<Body>) -> Response {
    match app.body(request).await.and_then(|(_, body)| read_opening(&body)) {
        Ok(command) => app.ask(command).await,
        Err(problem) => problem.into_response(),
    }
}

/// `POST /v1/wallet/transfer`.
pub(super) async fn transfer(State(app): State<App>, request: Request<Body>) -> Response {
    app.command(request, |transaction_id, fields| {
        let command = Command::Transfer {
            transaction_id,
            from_account: fields.text("from_account")?,
            to_account: fields.text("to_account")?,
            amount: fields.integer("amount")?,
            metadata: None,
        };
        Ok((command, "`transaction_id`, `from_account`, `to_account` and `amount`"))
    })
    .await
}

/// `POST /v1/wallet/deposits`.
pub(super) async fn deposit(State(app): State<App>, request: Request<Body>) -> Response {
    app.command(request, |transaction_id, fields| {
        let (account, amount) = (fields.text("account")?, fields.integer("amount")?);
        let command = Command::Deposit { transaction_id, account, amount, metadata: None };
        Ok((command, "`transaction_id`, `account` and `amount`"))
    })
    .await
}

/// `POST /v1/wallet/withdrawals`.
pub(super) async fn withdraw(State(app): State<App>, request: Request<Body>) -> Response {
    app.command(request, |transaction_id, fields| {
        let (account, amount) = (fields.text("account")?, fields.integer("amount")?);
        let command = Command::Withdrawal { transaction_id, account, amount, metadata: None };
        Ok((command, "`transaction_id`, `account` and `amount`"))
    })
    .await
}

impl App {
    /// Reads a JSON body within its limits.
    pub(super) async fn body(&self, request: Request<Body>) -> Result<(HeaderMap, Bytes), Problem> {
        let (head, body) = request.into_parts();
        Query::parse(head.uri.query())?.finish("this request has no parameters")?;
        if !is_json(head.headers.get(CONTENT_TYPE)) {
            let detail = "send the body as `Content-Type: application/json`";
            return Err(Problem::new("unsupported_media_type", detail));
        }
        let bytes_max = self.limits.body_bytes_max;
        let too_large =
            || Problem::new("body_too_large", format!("the body may have {bytes_max} bytes at most"));
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if announced.is_some_and(|length| length.parse::<u64>().is_ok_and(|length| length > bytes_max.into()))
        {
            self.metrics.bodies_too_large.inc();
            return Err(too_large());
        }
        let whole = Limited::new(body, bytes_max as usize).collect();
        let longest = Duration::from_millis(self.limits.body_timeout_ms);
        match tokio::time::timeout(longest, whole).await {
            Ok(Ok(whole)) => Ok((head.headers, whole.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                self.metrics.bodies_too_large.inc();
                Err(too_large())
            }
            Ok(Err(error)) => {
                Err(Problem::new("malformed_json", format!("the body did not arrive whole: {error}")))
            }
            Err(_) => {
                self.metrics.slow_bodies.inc();
                let limit = self.limits.body_timeout_ms;
                Err(Problem::new(
                    "request_timeout",
                    format!("the body took longer than {limit} ms to arrive"),
                ))
            }
        }
    }

    async fn command(
        &self,
        request: Request<Body>,
        read: impl FnOnce(TransactionId, &mut Fields) -> Result<(Command, &'static str), Problem>,
    ) -> Response {
        let read = self.body(request).await.and_then(|(headers, body)| {
            let mut fields = Fields::parse(&body)?;
            let transaction_id = transaction_id(&headers, &mut fields)?;
            let (command, known) = read(transaction_id, &mut fields)?;
            fields.finish(known)?;
            Ok(command)
        });
        match read {
            Ok(command) => self.ask(command).await,
            Err(problem) => problem.into_response(),
        }
    }

    /// Hands the command over and waits for its outcome, but not for ever.
    async fn ask(&self, command: Command) -> Response {
        let transaction_id = command.transaction_id();
        let told = self.engine.submit(command);
        let longest = Duration::from_millis(self.limits.answer_timeout_ms);
        match tokio::time::timeout(longest, told).await {
            Ok(Ok(told)) => self.answer(told),
            // The engine is gone with the command, or is too slow for this client: nobody knows here what became of it.
            Ok(Err(_)) => unknown(transaction_id),
            Err(_) => {
                self.metrics.answers_late.inc();
                unknown(transaction_id)
            }
        }
    }

    fn answer(&self, told: Told) -> Response {
        match told {
            Told::Done { command, outcome, replayed } => self.outcome(&command, &outcome, replayed),
            Told::Linked { command, outcomes, replayed } => self.outcomes(&command, &outcomes, replayed),
            Told::Conflict { command } => conflict(&command),
            Told::Busy { retry_after_micros } => {
                let detail =
                    "the command queue is full; nothing was accepted and no id is used up: send it again";
                Problem::new("busy", detail).retry_after_micros(retry_after_micros).into_response()
            }
            Told::DeadLettered { command } => {
                let detail = "the command could not be worked on and is set aside as a dead letter; it takes effect if \
                              it is redriven: repeat it with the same id";
                Problem::new("dead_letter", detail)
                    .with("transaction_id", command.transaction_id().to_string())
                    .into_response()
            }
            Told::Unknown { command } => unknown(command.transaction_id()),
            Told::NotWriting { why } => {
                let detail = format!("nothing was accepted and no id is used up: {why}");
                Problem::new("not_ready", detail).retry_after_micros(1_000_000).into_response()
            }
        }
    }

    /// The answer to a group: that of the member to blame if it was refused.
    fn outcomes(&self, command: &Command, outcomes: &[Outcome], replayed: Replayed) -> Response {
        let refused = TransactionResult::Refused(Reason::LinkedFailed);
        let to_blame = |(_, outcome): &(&Command, &Outcome)| {
            outcome.result != refused && outcome.result != TransactionResult::Completed
        };
        let mut members = command.members().iter().zip(outcomes);
        match members.clone().find(to_blame).or_else(|| members.next()) {
            Some((member, outcome)) => self.outcome(member, outcome, replayed),
            None => unknown(command.transaction_id()),
        }
    }

    fn outcome(&self, command: &Command, outcome: &Outcome, replayed: Replayed) -> Response {
        let mut response = match outcome.result {
            TransactionResult::Completed => completed(command, outcome, replayed),
            TransactionResult::Refused(reason) => Problem::new(reason.as_str(), refusal(command))
                .with("transaction_id", outcome.transaction_id.to_string())
                .with("reason", reason.as_str())
                .with("sequence", outcome.sequence)
                .into_response(),
        };
        if replayed == Replayed::Again {
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

fn read_opening(body: &[u8]) -> Result<Command, Problem> {
    let mut fields = Fields::parse(body)?;
    let account: AccountName = fields.text("account_id")?;
    let asset: Option<Asset> = fields.optional_text("asset")?;
    let scale = fields.optional_integer("scale")?;
    let opening_balance = fields.optional_integer("opening_balance")?.unwrap_or(0);
    fields.finish("`account_id`, `asset`, `scale` and `opening_balance`")?;
    let scale = match scale.map(u8::try_from) {
        // Never taken from the ledger: the same request has the same id, whatever was opened since.
        None => SCALE_DEFAULT,
        Some(Ok(scale)) if scale <= ledger::SCALE_MAX => scale,
        Some(_) => {
            let detail = format!("`scale` must be an integer from 0 to {}", ledger::SCALE_MAX);
            return Err(Problem::new("invalid_field", detail).field("scale"));
        }
    };
    let asset = asset.unwrap_or_else(|| ASSET_DEFAULT.parse().expect("the default is an asset"));
    Ok(Command::OpenAccount { account, asset, scale, floor: None, opening_balance })
}

/// The id of a command: from the body, from the header, or a fresh one.
fn transaction_id(headers: &HeaderMap, fields: &mut Fields) -> Result<TransactionId, Problem> {
    let sent: Option<TransactionId> = fields.optional_text("transaction_id")?;
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = keys.next();
    if keys.next().is_some() {
        return Err(invalid_key("the header `Idempotency-Key` stands twice; send it once"));
    }
    let from_key = match key.map(HeaderValue::as_bytes) {
        None => None,
        Some(bytes) if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX => {
            return Err(invalid_key("the header `Idempotency-Key` must have 1 to 255 bytes"));
        }
        Some(bytes) => {
            let uuid = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
            Some(uuid.unwrap_or_else(|| TransactionId::derived("idempotency key", &[bytes])))
        }
    };
    match (sent, from_key) {
        (Some(sent), Some(key)) if sent != key => {
            let detail = format!(
                "`transaction_id` is {sent}, but the header `Idempotency-Key` stands for {key}; send one of them, \
                 or the same id in both"
            );
            Err(Problem::new("idempotency_key_mismatch", detail).field("transaction_id"))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Ok(TransactionId::from_bytes(uuid::Uuid::now_v7().into_bytes())),
    }
}

fn invalid_key(detail: &str) -> Problem {
    Problem::new("invalid_idempotency_key", detail).field("Idempotency-Key")
}

fn completed(command: &Command, outcome: &Outcome, replayed: Replayed) -> Response {
    let Outcome { transaction_id, sequence, result: _ } = outcome;
    let (status, body) = match command {
        Command::OpenAccount { account, asset, scale, floor: _, opening_balance } => {
            let status = match replayed {
                Replayed::First => StatusCode::CREATED,
                Replayed::Again => StatusCode::OK,
            };
            let body = json!({
                "account_id": account.as_str(), "asset": asset.as_str(), "scale": scale,
                "opening_balance": opening_balance, "transaction_id": transaction_id.to_string(),
                "status": "completed", "sequence": sequence,
            });
            (status, body.to_string())
        }
        Command::Transfer { .. }
        | Command::Deposit { .. }
        | Command::Withdrawal { .. }
        | Command::PendingTransfer { .. }
        | Command::PostTransfer { .. }
        | Command::VoidTransfer { .. }
        | Command::SetFloor { .. }
        | Command::Linked { .. } => {
            let body = format!(
                "{{\"transaction_id\":\"{transaction_id}\",\"status\":\"completed\",\"sequence\":{sequence}}}"
            );
            (StatusCode::OK, body)
        }
    };
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, json, body).into_response()
}

fn conflict(command: &Command) -> Response {
    let problem = match command {
        Command::OpenAccount { account, .. } => Problem::new(
            "account_exists",
            format!("the account `{}` was opened with another body; nothing was changed", account.as_str()),
        )
        .field("account_id"),
        Command::Transfer { .. }
        | Command::Deposit { .. }
        | Command::Withdrawal { .. }
        | Command::PendingTransfer { .. }
        | Command::PostTransfer { .. }
        | Command::VoidTransfer { .. }
        | Command::SetFloor { .. }
        | Command::Linked { .. } => Problem::new(
            "transaction_id_reused",
            "the id was used with another body; nothing was changed: make a new id for a new command",
        )
        .with("transaction_id", command.transaction_id().to_string()),
    };
    problem.into_response()
}

fn unknown(transaction_id: TransactionId) -> Response {
    let detail = "the outcome is unknown: repeat the request with the same id, and it takes effect once";
    Problem::new("outcome_unknown", detail).with("transaction_id", transaction_id.to_string()).into_response()
}

/// What a recorded refusal means. The same for a repeat, whatever has happened since.
fn refusal(command: &Command) -> &'static str {
    match command {
        Command::OpenAccount { .. } => "the ledger refused the opening, and the refusal is recorded",
        Command::Transfer { .. } => {
            "the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same \
             id gets the same answer for ever"
        }
        Command::Deposit { .. } => {
            "the ledger refused the deposit, and the refusal is recorded under its id: no money moved, and the same \
             id gets the same answer for ever"
        }
        Command::Withdrawal { .. } => {
            "the ledger refused the withdrawal, and the refusal is recorded under its id: no money moved, and the \
             same id gets the same answer for ever"
        }
        Command::PendingTransfer { .. } => {
            "the ledger refused the pending transfer, and the refusal is recorded under its id: nothing is held, and \
             the same id gets the same answer for ever"
        }
        Command::PostTransfer { .. } | Command::VoidTransfer { .. } => {
            "the ledger refused to settle the pending transfer, and the refusal is recorded under its id: nothing \
             changed, and the same id gets the same answer for ever"
        }
        Command::SetFloor { .. } => {
            "the ledger refused the floor, and the refusal is recorded under its id: nothing changed, and the same id \
             gets the same answer for ever"
        }
        Command::Linked { .. } => {
            "the ledger refused the group, and the refusal is recorded under the ids of its members: no money moved, \
             and the same ids get the same answers for ever"
        }
    }
}

/// Whether a content type is JSON in UTF-8.
fn is_json(value: Option<&HeaderValue>) -> bool {
    let Some(text) = value.and_then(|value| value.to_str().ok()) else { return false };
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let charset = parameters.trim().to_ascii_lowercase();
    kind.trim().eq_ignore_ascii_case("application/json")
        && matches!(charset.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
}
