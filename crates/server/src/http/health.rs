//! `/health`, `/health/live`, `/health/ready`, `/stats`, `/metrics` and the redrive of dead letters.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::Reason;
use serde_json::{Map, Value, json};

use super::App;
use super::clock::word;
use super::engine_view::EngineView;
use super::fields::Fields;
use super::problem::Problem;
use super::reads::{hex, json_response, too_busy, totals};
use crate::files::LogFormat;

/// `GET /health/live`: the process answers.
pub(super) async fn live() -> Response {
    json_response(&json!({ "status": "ok" }))
}

/// `GET /health/ready`: commands are accepted.
pub(super) async fn ready(State(app): State<App>) -> Response {
    match app.not_ready() {
        None => json_response(&json!({ "status": "ready" })),
        Some(why) => Problem::new("not_ready", why).retry_after_micros(1_000_000).into_response(),
    }
}

/// `GET /health`: how it goes, for people.
pub(super) async fn health(State(app): State<App>) -> Result<Response, Problem> {
    let view = app.look().await?;
    let mut reasons: Vec<String> = app.not_ready().into_iter().collect();
    if let (None, Some(why)) = (app.not_ready(), &view.storage_short) {
        reasons.push(format!("commands will be refused when the current segment of the log is full: {why}"));
    }
    if view.commands.dead_lettered > 0 {
        reasons.push(format!("{} commands are dead letters", view.commands.dead_lettered));
    }
    let status = if reasons.is_empty() { "ok" } else { "degraded" };
    let body = json!({
        "status": status, "reasons": reasons, "version": env!("CARGO_PKG_VERSION"),
        "uptime": app.uptime().as_secs(),
        "memory_mb": memory_bytes().map(|bytes| bytes / 1_048_576),
        "sequence": view.durable.sequence, "durability": app.journal.durability.as_str(),
        "clock": word(app.engine.clock().kind()), "queues": queues(&view),
        "connections": app.metrics.connections.get(), "streams": app.metrics.streams.get(),
    });
    let mut response = json_response(&body);
    if app.not_ready().is_some() {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// `GET /stats`: every number there is, with the digest.
pub(super) async fn stats(State(app): State<App>) -> Result<Response, Problem> {
    let view = app.look().await?;
    let counts = &view.counts;
    let format = match app.journal.format {
        LogFormat::Binary => "binary",
        LogFormat::JsonLines => "jsonl",
    };
    let refused = Reason::ALL.into_iter().map(|reason| (reason.as_str(), counts.failed_for(reason)));
    let body = json!({
        "sequence": view.durable.sequence, "digest": view.durable.digest.to_string(),
        "log_id": hex(&view.identity.log_id), "ledger_id": hex(&view.identity.ledger_id),
        "generation": view.generation, "uptime": app.uptime().as_secs(), "accounts": view.accounts,
        "balances_total": totals(&view.balances_total),
        "counts": {
            "transfers_completed": counts.transfers_completed(), "transfers_failed": counts.transfers_failed(),
            "openings": counts.openings(), "openings_failed": counts.openings_failed(),
            "deposits": counts.deposits(), "deposits_failed": counts.deposits_failed(),
            "withdrawals": counts.withdrawals(), "withdrawals_failed": counts.withdrawals_failed(),
            "refused": object(refused),
        },
        "pipeline": object(view.totals().into_iter().chain(view.stages())),
        "queues": queues(&view),
        "journal": {
            "bytes": view.journal.bytes, "appends": view.journal.appends, "writes": view.journal.writes,
            "syncs": view.journal.syncs, "bytes_written": view.journal.bytes_written,
            "write_micros": view.journal.write_micros, "segments_begun": view.journal.segments,
            "format": format, "durability": app.journal.durability.as_str(),
        },
        "http": { "connections": app.metrics.connections.get(), "streams": app.metrics.streams.get() },
    });
    Ok(json_response(&body))
}

/// `GET /metrics`, in Prometheus' text format.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let view = app.look().await?;
    let text = app.metrics.text(&view, app.uptime());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}

/// `POST /admin/queues/commands/redrive`.
pub(super) async fn redrive(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let (_, body) = app.body(request).await?;
    let mut fields = Fields::parse(&body)?;
    let max = fields.integer("max")?;
    fields.finish("`max`")?;
    let max = u32::try_from(max).ok().filter(|max| *max > 0);
    let max = max.ok_or_else(|| {
        Problem::new("invalid_field", format!("`max` must be an integer from 1 to {}", u32::MAX)).field("max")
    })?;
    let redriven = app.engine.ask(move |driver| driver.redrive(max)).await.ok_or_else(too_busy)?;
    Ok(json_response(&json!({ "redriven": redriven })))
}

impl App {
    /// Why no command is accepted, if none is.
    fn not_ready(&self) -> Option<String> {
        if *self.stopping.borrow() {
            return Some("the server is stopping".to_owned());
        }
        let failure = self.engine.failure().map(str::to_owned);
        failure.or_else(|| self.engine.storage_full())
    }
}

/// Memory that the process has, where the system tells.
pub(super) fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1_024)
}

fn queues(view: &EngineView) -> Value {
    json!({
        "commands": {
            "depth": view.commands.depth, "capacity": view.commands_max, "bytes": view.commands.bytes,
            "in_flight": view.commands.in_flight, "dead_letters": view.commands.dead_lettered,
            "oldest_age_ms": view.commands.oldest_age_micros / 1_000,
        },
    })
}

fn object(numbers: impl Iterator<Item = (&'static str, u64)>) -> Value {
    numbers.map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>().into()
}
