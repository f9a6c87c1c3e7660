//! The reading half of the API. Every answer comes from the read models, so from what is durable.

use std::time::Duration;
use std::{fmt, io};

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use ledger::{AccountIndex, AccountName, AccountView, Asset, CommandKind, TransactionId, TransactionResult};
use projection::TransactionRow;
use serde_json::{Map, Value, json};
use time::Timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::App;
use super::fields::{Query, refused_parameter};
use super::problem::Problem;
use crate::reading::{At, EntryRow, Models, ReadError, Rest, SnapshotBegun};

/// Rows of a page of accounts or entries, unless the client says otherwise.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;
const AT_TIME_MUST: &str = "microseconds since 1970-01-01T00:00:00Z, an integer of 0 or more, below 2^53";
const LIMIT_MUST: &str = "an integer from 1 to 1000";
/// Accounts looked at for one page at most, so that a page without system accounts stays a bounded read.
const ACCOUNTS_LOOKED_AT_MAX: u32 = 10_000;
/// Each of them must be taken within the limit for slow clients.
const SNAPSHOT_PIECE_BYTES: usize = 256 << 10;

const SEQUENCE_HEADER: HeaderName = HeaderName::from_static("walletlab-sequence");
const DIGEST_HEADER: HeaderName = HeaderName::from_static("walletlab-digest");
pub(super) const LOG_ID_HEADER: HeaderName = HeaderName::from_static("walletlab-log-id");

pub(super) type PathText = Result<Path<String>, PathRejection>;

/// `GET /v1/wallet/balance/{account_id}`.
pub(super) async fn balance(
    State(app): State<App>,
    path: PathText,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let name: AccountName = path_text(path, "account_id")?;
    let mut query = Query::parse(query.as_deref())?;
    let min_sequence = query.take::<u64>("min_sequence", "a record's sequence, an integer of 0 or more")?;
    let at_sequence = query.take::<u64>("at_sequence", "a record's sequence, an integer of 0 or more")?;
    let at_time = query.take::<u64>("at_time", AT_TIME_MUST)?;
    query.finish("the parameters are `min_sequence`, `at_sequence` and `at_time`")?;
    let parameters = [min_sequence.is_some(), at_sequence.is_some(), at_time.is_some()];
    if parameters.iter().filter(|is_there| **is_there).count() > 1 {
        let detail = "`min_sequence`, `at_sequence` and `at_time` exclude each other; send one of them";
        let parameter = if at_time.is_some() { "at_time" } else { "at_sequence" };
        return Err(Problem::new("invalid_query", detail).field(parameter));
    }
    if let Some(sequence) = at_sequence {
        return app.balance_at(name, At::Sequence(sequence)).await;
    }
    if let Some(micros) = at_time {
        let time = Timestamp::from_micros(micros);
        let time = time.ok_or_else(|| refused_parameter("at_time", AT_TIME_MUST))?;
        return app.balance_at(name, At::Time(time)).await;
    }
    if let Some(sequence) = min_sequence {
        app.wait_for(sequence).await?;
    }
    app.json(move |models| {
        let (_, row) = find(models, &name)?;
        Ok(json!({
            "account_id": row.name.as_str(), "asset": row.asset.as_str(), "balance": row.posted,
            "posted": row.posted, "pending": row.pending,
            "available": available(row.posted, row.pending, row.floor),
            "sequence": models.checkpoint(),
        }))
    })
    .await
}

/// `GET /v1/wallet/accounts/{account_id}`.
pub(super) async fn account(
    State(app): State<App>,
    path: PathText,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let name: AccountName = path_text(path, "account_id")?;
    Query::parse(query.as_deref())?.finish("this request has no parameters")?;
    app.json(move |models| {
        let (_, row) = find(models, &name)?;
        let mut account = AccountRow::from(row).json();
        account.insert("sequence".to_owned(), models.checkpoint().into());
        Ok(account.into())
    })
    .await
}

/// `GET /v1/wallet/accounts`.
pub(super) async fn accounts(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let limit = take_limit(&mut query)?;
    let after = query.take::<u32>("after", "the `next_cursor` of an answer")?;
    let system = query.take::<bool>("system", "`true` or `false`")?.unwrap_or(false);
    query.finish("the parameters are `limit`, `after` and `system`")?;
    let read = app.read(move |models| {
        let first = after.map_or(0, |after| after.saturating_add(1));
        let count = models.accounts_count();
        let end = count.min(first.saturating_add(ACCOUNTS_LOOKED_AT_MAX));
        let mut rows = Vec::new();
        let mut next = first;
        while next < end && rows.len() < limit as usize {
            let row = models.account(AccountIndex(next));
            if system || !row.name.is_system() {
                rows.push(AccountRow::from(row));
            }
            next += 1;
        }
        let next_cursor = if next < count { Some((next - 1).to_string()) } else { None };
        (rows, next_cursor, models.checkpoint(), models.balances_total())
    });
    let (rows, next_cursor, sequence, sums) = read.await?;
    let rows: Vec<Value> = rows.iter().map(|row| Value::Object(row.json())).collect();
    Ok(json_response(&json!({
        "accounts": rows, "next_cursor": next_cursor, "sequence": sequence, "balances_total": totals(&sums),
    })))
}

/// `GET /v1/wallet/accounts/{account_id}/entries`.
pub(super) async fn entries(
    State(app): State<App>,
    path: PathText,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let name: AccountName = path_text(path, "account_id")?;
    let mut query = Query::parse(query.as_deref())?;
    let limit = take_limit(&mut query)?;
    let before = query.take::<u64>("before", "the `next_cursor` of an answer")?;
    query.finish("the parameters are `limit` and `before`")?;
    let account = name.clone();
    let read = app.read(move |models| {
        let (index, _) = find(models, &account)?;
        let (rows, next) = models.entries(index, before, limit).map_err(|error| unreadable(&error))?;
        Ok((rows, next, models.checkpoint()))
    });
    let (rows, next, sequence) = read.await??;
    let next_cursor = next.map(|next| next.to_string());
    let rows: Vec<Value> = rows
        .iter()
        .map(|row: &EntryRow| {
            json!({
                "sequence": row.sequence, "recorded_at": row.recorded_at.micros(),
                "transaction_id": row.transaction_id.to_string(), "kind": row.kind.as_str(),
                "counterparty": row.counterparty.as_str(), "amount": row.amount,
                "balance_after": row.balance_after,
            })
        })
        .collect();
    Ok(json_response(&json!({
        "account_id": name.as_str(), "entries": rows, "next_cursor": next_cursor, "sequence": sequence,
    })))
}

/// `GET /v1/wallet/transactions/{transaction_id}`.
pub(super) async fn transaction(
    State(app): State<App>,
    path: PathText,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let id: TransactionId = path_text(path, "transaction_id")?;
    Query::parse(query.as_deref())?.finish("this request has no parameters")?;
    app.json(move |models| {
        let found = models.transaction(&id).map_err(|error| unreadable(&error))?;
        let row = found.ok_or_else(|| {
            Problem::new("transaction_not_found", format!("no transaction has the id {id}"))
        })?;
        Ok(transaction_json(&row))
    })
    .await
}

/// What came of a command. What a kind of command never has is left out.
fn transaction_json(row: &TransactionRow) -> Value {
    let (status, reason) = match (row.result, row.kind, &row.settlement) {
        (TransactionResult::Refused(reason), _, _) => ("refused", Some(reason.as_str())),
        (TransactionResult::Completed, CommandKind::PendingTransfer, None) => ("pending", None),
        (TransactionResult::Completed, _, Some(settlement)) => (settled_word(settlement.kind), None),
        (TransactionResult::Completed, _, None) => ("completed", None),
    };
    let mut json = json!({
        "transaction_id": row.transaction_id.to_string(), "kind": row.kind.as_str(), "status": status, "reason": reason,
        "from_account": row.from_account.as_ref().map(AccountName::as_str),
        "to_account": row.to_account.as_ref().map(AccountName::as_str),
        "amount": row.amount, "sequence": row.sequence, "recorded_at": row.recorded_at.micros(),
    });
    if let Some(settlement) = &row.settlement {
        let is_posted = settlement.kind == CommandKind::PostTransfer;
        json["posted_amount"] = if is_posted { settlement.amount } else { 0 }.into();
        json["settled_by"] = json!({
            "transaction_id": settlement.transaction_id.to_string(), "sequence": settlement.sequence,
            "recorded_at": settlement.recorded_at.micros(),
        });
    }
    if let Some(pending_id) = row.pending_id {
        json["pending_id"] = pending_id.to_string().into();
    }
    if let Some(expires_at) = row.expires_at {
        json["expires_at"] = expires_at.micros().into();
    }
    if let Some(floor) = row.floor {
        json["floor"] = floor.into();
    }
    if let Some(metadata) = &row.metadata {
        json["metadata"] = serde_json::from_str(metadata.as_str()).expect("metadata is canonical JSON");
    }
    json
}

/// What became of a pending transfer that this kind of command settled.
fn settled_word(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::PostTransfer => "posted",
        CommandKind::VoidTransfer => "voided",
        CommandKind::ExpireTransfer => "expired",
        CommandKind::OpenAccount
        | CommandKind::Transfer
        | CommandKind::Deposit
        | CommandKind::Withdrawal
        | CommandKind::PendingTransfer
        | CommandKind::SetFloor
        | CommandKind::Linked => unreachable!("nothing else settles a pending transfer"),
    }
}

/// `GET /v1/state`: a snapshot, encoded away from the engine's thread. It goes out in pieces, so a client that does not
/// take them is let go, and only few snapshots are in memory at once.
pub(super) async fn state(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Query::parse(query.as_deref())?.finish("this request has no parameters")?;
    let permit = app.snapshots.clone().try_acquire_owned().map_err(|_| {
        app.metrics.streams_refused.inc();
        let max = app.limits.snapshots_max;
        Problem::new("too_many_streams", format!("{max} snapshots are on their way, which is the limit"))
            .retry_after_micros(1_000_000)
    })?;
    let SnapshotBegun { sequence, digest, rest } = app.read(Models::snapshot).await?;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, io::Error>>(1);
    let stall = Duration::from_millis(app.limits.write_timeout_ms);
    let log_id = hex(&app.engine.identity().log_id);
    tokio::spawn(async move {
        let _permit = permit;
        // A client that is gone or too slow, or a server that stops, breaks the body off.
        if send_snapshot(&app, rest, &sender, stall).await.is_none() {
            let _ = sender.try_send(Err(io::Error::other("the snapshot was not taken in time")));
        }
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (SEQUENCE_HEADER, HeaderValue::from(sequence)),
        (DIGEST_HEADER, header_value(&digest.to_string())),
        (LOG_ID_HEADER, header_value(&log_id)),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

/// Hands a snapshot over as its client takes it; `None` if the client does not, or nothing is read any more.
async fn send_snapshot(
    app: &App,
    rest: Rest,
    sender: &mpsc::Sender<Result<Bytes, io::Error>>,
    stall: Duration,
) -> Option<()> {
    let send = async |bytes: Bytes| tokio::time::timeout(stall, sender.send(Ok(bytes))).await.ok()?.ok();
    let (number, first) = match rest {
        Rest::View(view) => {
            let bytes = tokio::task::spawn_blocking(move || Bytes::from(view.encode())).await;
            let mut rest = bytes.ok()?;
            while !rest.is_empty() {
                send(rest.split_to(rest.len().min(SNAPSHOT_PIECE_BYTES))).await?;
            }
            return Some(());
        }
        Rest::Pieces { number, first } => (number, first),
    };
    let mut piece = Some(first);
    while let Some(bytes) = piece {
        if send(Bytes::from(bytes)).await.is_none() {
            app.engine.reading().read(move |models| models.drop_snapshot(number)).await;
            return None;
        }
        piece = app.engine.reading().read(move |models| models.slice(number)).await?;
    }
    Some(())
}

impl App {
    /// Reads on the reading thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Models) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.engine.reading().read(read).await.ok_or_else(too_busy)
    }

    async fn balance_at(&self, name: AccountName, at: At) -> Result<Response, Problem> {
        self.json(move |models| {
            let records = models.checkpoint();
            let (index, row) = find(models, &name)?;
            let asset = row.asset.clone();
            let (moment, number) = match at {
                At::Sequence(sequence) if sequence < records => ("at_sequence", sequence),
                At::Sequence(_) => {
                    let detail = format!("there are {records} records, and the first of them is number 0");
                    let problem = Problem::new("sequence_not_yet", detail).field("at_sequence");
                    return Err(problem.with("sequence", records));
                }
                At::Time(time) => ("at_time", time.micros()),
            };
            let posted = models.balance_at(index, at).map_err(|error| unreadable(&error))?;
            let posted = posted.ok_or_else(|| {
                let detail = format!("the account `{}` was opened later than that", name.as_str());
                Problem::new("account_not_yet_open", detail).field(moment)
            })?;
            Ok(json!({
                "account_id": name.as_str(), "asset": asset.as_str(), "balance": posted, "posted": posted,
                moment: number, "sequence": records,
            }))
        })
        .await
    }

    async fn json(
        &self,
        read: impl FnOnce(&mut Models) -> Result<Value, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let value = self.read(read).await??;
        Ok(json_response(&value))
    }

    /// Waits until the record is durable and in the read models, but not for ever.
    async fn wait_for(&self, sequence: u64) -> Result<(), Problem> {
        let mut durable = self.engine.durable();
        let mut stopping = self.stopping.clone();
        let reached = async {
            tokio::select! {
                reached = durable.wait_for(|durable| durable.sequence > sequence) => reached.map(drop).map_err(drop),
                _ = async { drop(stopping.wait_for(|stopping| *stopping).await) } => Err(()),
            }
        };
        let longest = Duration::from_millis(self.limits.read_wait_ms_max);
        match tokio::time::timeout(longest, reached).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => {
                Err(Problem::new("not_ready", "the server is stopping").retry_after_micros(1_000_000))
            }
            Err(_) => {
                let limit = self.limits.read_wait_ms_max;
                let detail = format!("record {sequence} was not durable within {limit} ms; ask again");
                Err(Problem::new("not_yet", detail).field("min_sequence"))
            }
        }
    }
}

/// Neither the engine nor the reading thread takes anything more.
pub(super) fn too_busy() -> Problem {
    Problem::new("not_ready", "the server is stopping or too busy to answer reads")
        .retry_after_micros(1_000_000)
}

/// An answer of 200 with a JSON body.
pub(super) fn json_response(value: &Value) -> Response {
    let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (json, value.to_string()).into_response()
}

/// Sums of minor units by asset. What clients have together comes from a world account that falls no lower than
/// `i64::MIN`, so a sum is 2^63 at most; only a log with further unlimited system accounts goes beyond, and is told in
/// text rather than wrongly.
pub(super) fn totals(sums: &[(Asset, i128)]) -> Value {
    let number = |sum: i128| u64::try_from(sum).map_or_else(|_| Value::from(sum.to_string()), Value::from);
    sums.iter().map(|(asset, sum)| (asset.as_str().to_owned(), number(*sum))).collect::<Map<_, _>>().into()
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A header's value from a text that is known to be plain ASCII.
pub(super) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("hex digits fit into a header")
}

/// A row of the balances, taken away from the engine's thread.
struct AccountRow {
    name: AccountName,
    asset: Asset,
    scale: u8,
    posted: i64,
    pending: i64,
    floor: i64,
}

impl From<AccountView<'_>> for AccountRow {
    fn from(row: AccountView<'_>) -> AccountRow {
        let AccountView { name, asset, scale, posted, floor, pending } = row;
        AccountRow { name: name.clone(), asset: asset.clone(), scale, posted, floor, pending }
    }
}

impl AccountRow {
    fn json(&self) -> Map<String, Value> {
        let fields = [
            ("account_id", self.name.as_str().into()),
            ("asset", self.asset.as_str().into()),
            ("scale", self.scale.into()),
            ("balance", self.posted.into()),
            ("posted", self.posted.into()),
            ("pending", self.pending.into()),
            ("available", available(self.posted, self.pending, self.floor).into()),
            ("floor", self.floor.into()),
        ];
        fields.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
    }
}

/// What may leave the account now; of one without a limit as much as can be said.
fn available(posted: i64, pending: i64, floor: i64) -> i64 {
    posted.saturating_sub(pending).saturating_sub(floor)
}

fn find<'a>(models: &'a Models, name: &AccountName) -> Result<(AccountIndex, AccountView<'a>), Problem> {
    let index = models.find(name).ok_or_else(|| no_account(name))?;
    Ok((index, models.account(index)))
}

/// What stands on disk cannot be read, which is nobody's mistake but the disk's.
fn unreadable(error: &ReadError) -> Problem {
    tracing::error!("{error}");
    Problem::new("internal_error", format!("{error}"))
}

fn no_account(name: &AccountName) -> Problem {
    Problem::new("account_not_found", format!("there is no account `{}`", name.as_str()))
}

fn take_limit(query: &mut Query) -> Result<u32, Problem> {
    let limit = query.take::<u32>("limit", LIMIT_MUST)?.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) { Ok(limit) } else { Err(refused_parameter("limit", LIMIT_MUST)) }
}

pub(super) fn path_text<T: std::str::FromStr<Err: fmt::Display>>(
    path: PathText,
    name: &str,
) -> Result<T, Problem> {
    let invalid = |why: String| Problem::new("invalid_path", format!("`{name}`: {why}")).field(name);
    let Path(text) = path.map_err(|rejection| invalid(rejection.body_text()))?;
    text.parse().map_err(|error: T::Err| invalid(error.to_string()))
}
