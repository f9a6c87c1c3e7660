//! The writing half of `/v1/wallet`: a body becomes a command, and what became of it an answer.

use std::fmt::Write as _;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Body as HttpBody;
use ledger::{AccountName, Asset, Command, CommandKind, TransactionId, TransactionResult};
use pipeline::{Outcome, Replayed};
use serde_json::json;
use tokio::time::{Instant, Sleep};

use super::App;
use super::batch::{late_body, not_writing};
use super::fields::{Fields, Query};
use super::front::{FrontBody, within};
use super::guard::{HEADERS_ADDED, must_be_admin};
use super::item::{Given, read_command};
use super::problem::Problem;
use super::reads::{PathText, path_text};
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
    let extensions = request.extensions().clone();
    let read = app.body(request).await.and_then(|(_, body)| read_opening(&body));
    let may = |command: &Command| match command {
        Command::OpenAccount { floor: Some(_), .. } => must_be_admin(&extensions, "an account with a floor"),
        _ => Ok(()),
    };
    match read.and_then(|command| may(&command).map(|()| command)) {
        Ok(command) => app.ask(command).await,
        Err(problem) => problem.into_response(),
    }
}

/// `POST /v1/wallet/pending-transfers`.
pub(super) async fn pending(State(app): State<App>, request: Request<Body>) -> Response {
    app.routed(request, CommandKind::PendingTransfer, &Given::default()).await
}

/// `POST /v1/wallet/pending-transfers/{pending_id}/post`.
pub(super) async fn post(State(app): State<App>, path: PathText, request: Request<Body>) -> Response {
    app.settle(path, request, CommandKind::PostTransfer).await
}

/// `POST /v1/wallet/pending-transfers/{pending_id}/void`.
pub(super) async fn void(State(app): State<App>, path: PathText, request: Request<Body>) -> Response {
    app.settle(path, request, CommandKind::VoidTransfer).await
}

/// `PUT /v1/wallet/accounts/{account_id}/floor`.
pub(super) async fn set_floor(State(app): State<App>, path: PathText, request: Request<Body>) -> Response {
    match path_text(path, "account_id") {
        Ok(account) => {
            let given = Given { account: Some(account), ..Given::default() };
            app.routed(request, CommandKind::SetFloor, &given).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// What a command is answered.
pub(super) enum Reply {
    /// As most are.
    Completed(Completed),
    Other(Response),
}

/// The command took effect.
#[derive(Clone, Copy)]
pub(super) struct Completed {
    transaction_id: TransactionId,
    sequence: u64,
    replayed: Replayed,
}

impl App {
    /// Reads a small JSON body within its limits.
    pub(super) async fn body(&self, request: Request<Body>) -> Result<(HeaderMap, Bytes), Problem> {
        let (head, body) = request.into_parts();
        let sleep = pin!(tokio::time::sleep(Duration::from_millis(self.limits.body_timeout_ms)));
        let bytes = self.body_within(&head, body, sleep).await?;
        Ok((head.headers, bytes))
    }

    /// Reads a small JSON body, which must be there before `sleep` is over.
    async fn body_within<B>(&self, head: &Parts, body: B, sleep: Pin<&mut Sleep>) -> Result<Bytes, Problem>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        if head.uri.query().is_some() {
            Query::parse(head.uri.query())?.finish("this request has no parameters")?;
        }
        if !is_type(head.headers.get(CONTENT_TYPE), "application/json") {
            let detail = "send the body as `Content-Type: application/json`";
            return Err(Problem::new("unsupported_media_type", detail));
        }
        let bytes_max = self.limits.body_bytes_max;
        let too_large = || {
            self.metrics.bodies_too_large.inc();
            Problem::new("body_too_large", format!("the body may have {bytes_max} bytes at most"))
        };
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if announced.is_some_and(|length| length.parse::<u64>().is_ok_and(|length| length > bytes_max.into()))
        {
            return Err(too_large());
        }
        match within(sleep, whole(body, bytes_max as usize)).await {
            Some(Ok(Some(bytes))) => Ok(bytes),
            Some(Ok(None)) => Err(too_large()),
            Some(Err(error)) => {
                Err(Problem::new("malformed_json", format!("the body did not arrive whole: {error}")))
            }
            None => {
                self.metrics.slow_bodies.inc();
                Err(late_body(self.limits.body_timeout_ms))
            }
        }
    }

    async fn settle(&self, path: PathText, request: Request<Body>, kind: CommandKind) -> Response {
        match path_text(path, "pending_id") {
            Ok(pending_id) => {
                let given = Given { pending_id: Some(pending_id), ..Given::default() };
                self.routed(request, kind, &given).await
            }
            Err(problem) => problem.into_response(),
        }
    }

    async fn routed(&self, request: Request<Body>, kind: CommandKind, given: &Given) -> Response {
        let (head, body) = request.into_parts();
        match self.command(&head, body, kind, given).await {
            Reply::Completed(completed) => completed.into_response(),
            Reply::Other(response) => response,
        }
    }

    /// Reads a command of this kind, hands it over and waits for its outcome.
    pub(super) async fn command<B>(&self, head: &Parts, body: B, kind: CommandKind, given: &Given) -> Reply
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let mut sleep = pin!(tokio::time::sleep(Duration::from_millis(self.limits.body_timeout_ms)));
        let read = self
            .body_within(head, body, sleep.as_mut())
            .await
            .and_then(|body| read_command(&body, kind, given, |sent| transaction_id(&head.headers, sent)));
        match read {
            Ok(command) => self.ask_within(command, sleep).await,
            Err(problem) => Reply::Other(problem.into_response()),
        }
    }

    /// Hands the command over and waits for its outcome, but not for ever.
    async fn ask(&self, command: Command) -> Response {
        let sleep = pin!(tokio::time::sleep(Duration::ZERO));
        match self.ask_within(command, sleep).await {
            Reply::Completed(completed) => completed.into_response(),
            Reply::Other(response) => response,
        }
    }

    async fn ask_within(&self, command: Command, mut sleep: Pin<&mut Sleep>) -> Reply {
        let asked = Asked::of(&command);
        let told = self.engine.submit(command);
        let longest = Duration::from_millis(self.limits.answer_timeout_ms);
        sleep.as_mut().reset(Instant::now() + longest);
        let told = match within(sleep, told).await {
            Some(Ok(told)) => told,
            // The engine is gone with the command, or is too slow for this client: nobody knows here what became of it.
            Some(Err(_)) => Told::Unknown,
            None => {
                self.metrics.answers_late.inc();
                Told::Unknown
            }
        };
        match told {
            Told::Done { outcome, replayed } => asked.outcome(&outcome, replayed),
            Told::Conflict => Reply::Other(asked.conflict().into_response()),
            told => Reply::Other(problem_of(&told, asked.transaction_id).into_response()),
        }
    }
}

/// A body to its end; `None` if it has more bytes. The usual one, which comes in one piece, is not copied.
async fn whole<B: HttpBody<Data = Bytes> + Unpin>(
    mut body: B,
    bytes_max: usize,
) -> Result<Option<Bytes>, B::Error> {
    let mut first = Bytes::new();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Ok(None);
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    if rest.is_empty() {
        return Ok(Some(first));
    }
    rest.splice(..0, first);
    Ok(Some(rest.into()))
}

impl Completed {
    /// The same, for every kind of command but an opening.
    fn body(self) -> String {
        let mut body = String::with_capacity(112);
        let mut text = uuid::Uuid::encode_buffer();
        let id = uuid::Uuid::from_bytes(self.transaction_id.as_bytes());
        body.push_str("{\"transaction_id\":\"");
        body.push_str(id.as_hyphenated().encode_lower(&mut text));
        body.push_str("\",\"status\":\"completed\",\"sequence\":");
        // Writing to a string never fails.
        let _ = write!(body, "{}}}", self.sequence);
        body
    }

    fn response<B>(self, body: impl FnOnce(String) -> B) -> axum::http::Response<B> {
        let mut response = axum::http::Response::new(body(self.body()));
        let headers = response.headers_mut();
        headers.reserve(HEADERS_ADDED);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.replayed == Replayed::Again {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }

    pub(super) fn into_response_of(self) -> axum::http::Response<FrontBody> {
        self.response(|body| Either::Left(Full::new(Bytes::from(body))))
    }
}

impl IntoResponse for Completed {
    fn into_response(self) -> Response {
        self.response(Body::from)
    }
}

/// What an answer says of the command itself.
struct Asked {
    transaction_id: TransactionId,
    kind: CommandKind,
    /// The command, if it is an opening.
    opening: Option<Command>,
}

impl Asked {
    fn of(command: &Command) -> Asked {
        let (transaction_id, kind) = (command.transaction_id(), command.kind());
        let opening = (kind == CommandKind::OpenAccount).then(|| command.clone());
        Asked { transaction_id, kind, opening }
    }

    fn outcome(&self, outcome: &Outcome, replayed: Replayed) -> Reply {
        let Outcome { transaction_id, sequence, result } = *outcome;
        let mut response = match (result, &self.opening) {
            (TransactionResult::Completed, None) => {
                return Reply::Completed(Completed { transaction_id, sequence, replayed });
            }
            (TransactionResult::Completed, Some(opening)) => opened(opening, outcome, replayed),
            (TransactionResult::Refused(reason), _) => Problem::new(reason.as_str(), refusal(self.kind))
                .with("transaction_id", transaction_id.to_string())
                .with("reason", reason.as_str())
                .with("sequence", sequence)
                .into_response(),
        };
        if replayed == Replayed::Again {
            response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        Reply::Other(response)
    }

    fn conflict(&self) -> Problem {
        match &self.opening {
            Some(Command::OpenAccount { account, .. }) => Problem::new(
                "account_exists",
                format!(
                    "the account `{}` was opened with another body; nothing was changed",
                    account.as_str()
                ),
            )
            .field("account_id"),
            Some(_) | None => problem_of(&Told::Conflict, self.transaction_id),
        }
    }
}

fn opened(opening: &Command, outcome: &Outcome, replayed: Replayed) -> Response {
    let Command::OpenAccount { account, asset, scale, floor, opening_balance } = opening else {
        unreachable!("only an opening is kept for its answer")
    };
    let status = match replayed {
        Replayed::First => StatusCode::CREATED,
        Replayed::Again => StatusCode::OK,
    };
    let mut body = json!({
        "account_id": account.as_str(), "asset": asset.as_str(), "scale": scale,
        "opening_balance": opening_balance, "transaction_id": outcome.transaction_id.to_string(),
        "status": "completed", "sequence": outcome.sequence,
    });
    if let Some(floor) = floor {
        body["floor"] = (*floor).into();
    }
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, json, body.to_string()).into_response()
}

/// What a client is told of a command, or of an item of a batch, that has no outcome.
///
/// # Panics
/// If it has one.
pub(super) fn problem_of(told: &Told, transaction_id: TransactionId) -> Problem {
    let problem = match told {
        Told::Conflict => Problem::new(
            "transaction_id_reused",
            "the id was used with another body; nothing was changed: make a new id for a new command",
        ),
        Told::Busy { retry_after_micros } => {
            let detail =
                "the command queue is full; nothing was accepted and no id is used up: send it again";
            return Problem::new("busy", detail).retry_after_micros(*retry_after_micros);
        }
        Told::DeadLettered => {
            let detail = "the command could not be worked on and is set aside as a dead letter; it takes effect if it is \
                          redriven: repeat it with the same id";
            Problem::new("dead_letter", detail)
        }
        Told::Unknown => {
            let detail =
                "the outcome is unknown: repeat the request with the same id, and it takes effect once";
            Problem::new("outcome_unknown", detail)
        }
        Told::NotWriting { why } => return not_writing(why),
        Told::StorageFull { why } => {
            let detail = format!(
                "there is no room for the command's record; nothing was executed and no id is used up: {why}"
            );
            return Problem::new("storage_full", detail).retry_after_micros(1_000_000);
        }
        Told::Done { .. } | Told::Linked { .. } => unreachable!("an outcome is told by its sequence"),
    };
    problem.with("transaction_id", transaction_id.to_string())
}

fn read_opening(body: &[u8]) -> Result<Command, Problem> {
    let mut fields = Fields::parse(body)?;
    let account: AccountName = fields.text("account_id")?;
    let asset: Option<Asset> = fields.optional_text("asset")?;
    let scale = fields.optional_integer("scale")?;
    let opening_balance = fields.optional_integer("opening_balance")?.unwrap_or(0);
    let floor = fields.optional_integer("floor")?;
    fields.finish("`account_id`, `asset`, `scale`, `opening_balance` and `floor`")?;
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
    Ok(Command::OpenAccount { account, asset, scale, floor, opening_balance })
}

/// The id of a command: from the body, from the header, or a fresh one.
fn transaction_id(headers: &HeaderMap, sent: Option<TransactionId>) -> Result<TransactionId, Problem> {
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

/// What a recorded refusal means. The same for a repeat, whatever has happened since.
fn refusal(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::OpenAccount => "the ledger refused the opening, and the refusal is recorded",
        CommandKind::Transfer | CommandKind::Linked => {
            "the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same \
             id gets the same answer for ever"
        }
        CommandKind::Deposit => {
            "the ledger refused the deposit, and the refusal is recorded under its id: no money moved, and the same \
             id gets the same answer for ever"
        }
        CommandKind::Withdrawal => {
            "the ledger refused the withdrawal, and the refusal is recorded under its id: no money moved, and the \
             same id gets the same answer for ever"
        }
        CommandKind::PendingTransfer => {
            "the ledger refused the pending transfer, and the refusal is recorded under its id: nothing is held, and the \
             same id gets the same answer for ever"
        }
        CommandKind::PostTransfer | CommandKind::VoidTransfer | CommandKind::ExpireTransfer => {
            "the ledger refused to settle the pending transfer, and the refusal is recorded under its id: nothing \
             changed, and the same id gets the same answer for ever"
        }
        CommandKind::SetFloor => {
            "the ledger refused the floor, and the refusal is recorded under its id: nothing changed, and the same id \
             gets the same answer for ever"
        }
    }
}

/// Whether a content type is this one; text in it can only be UTF-8.
pub(super) fn is_type(value: Option<&HeaderValue>, wanted: &str) -> bool {
    let Some(text) = value.and_then(|value| value.to_str().ok()) else { return false };
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let charset = parameters.trim();
    kind.trim().eq_ignore_ascii_case(wanted)
        && (charset.is_empty()
            || charset.eq_ignore_ascii_case("charset=utf-8")
            || charset.eq_ignore_ascii_case("charset=\"utf-8\""))
}
