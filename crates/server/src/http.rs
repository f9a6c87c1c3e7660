//! The API: its routes, and what they share.
//!
//! | module | what |
//! |---|---|
//! | `wallet`, `item` | commands: a body in, an outcome out |
//! | `batch` | many commands in one request |
//! | `reads`, `events` | the read models, snapshots, the log as a stream |
//! | `clock` | the time, and how a test moves it |
//! | `health`, `metrics`, `engine_view` | how it goes |
//! | `fields`, `problem` | strict JSON in, RFC 9457 out |
//! | `front` | where requests come in and answers go out |
//! | `guard` | who may come in, and the headers of every answer |
//! | `docs` | the OpenAPI document and readable pages of it |
//!
//! Invariants, as absences: no route decides about money; no answer shows what is not durable; no body, header, token or
//! amount is logged; no error leaves without a code, a status and a sentence.

mod batch;
pub(crate) mod checks;
mod clock;
mod docs;
mod engine_view;
mod events;
mod fields;
pub(crate) mod front;
mod guard;
mod health;
mod item;
pub(crate) mod metrics;
mod problem;
mod reads;
mod wallet;

#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Router, middleware};
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

pub(crate) use self::events::is_unwanted;
use self::metrics::Metrics;
use crate::engine::Engine;
use crate::files::DriverOptions;
use crate::options::{Limits, PageSource};
use crate::page;
use crate::tokens::Tokens;

/// What every handler has at hand. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    parts: Arc<Parts>,
    started: Instant,
}

/// The parts of an [`App`].
pub(crate) struct Parts {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) hosts: Vec<String>,
    pub(crate) journal: DriverOptions,
    pub(crate) metrics: Arc<Metrics>,
    /// True once the server takes no more.
    pub(crate) stopping: watch::Receiver<bool>,
    /// One permit for each event stream that may be open.
    pub(crate) streams: Arc<Semaphore>,
    /// One permit for each snapshot that may be on its way.
    pub(crate) snapshots: Arc<Semaphore>,
    /// One permit for each KiB of a batch's body that may be in memory.
    pub(crate) batch_memory: Arc<Semaphore>,
    /// One permit for each stream of transfers that may be open.
    pub(crate) batch_streams: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(parts: Parts) -> App {
        App { parts: Arc::new(parts), started: Instant::now() }
    }

    /// Since when it answers.
    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// Every route, with the page behind them; who comes in and what goes out is [`front`]'s.
fn routes(app: &App, page: &PageSource) -> Router {
    let api = Router::new()
        .route("/v1/wallet/accounts", get(reads::accounts).post(wallet::open_account))
        .route("/v1/wallet/accounts/{account_id}", get(reads::account))
        .route("/v1/wallet/accounts/{account_id}/entries", get(reads::entries))
        .route("/v1/wallet/accounts/{account_id}/floor", put(wallet::set_floor))
        .route("/v1/wallet/balance/{account_id}", get(reads::balance))
        .route("/v1/wallet/transactions/{transaction_id}", get(reads::transaction))
        .route("/v1/wallet/transfer", post(not_here))
        .route("/v1/wallet/transfers", post(batch::transfers))
        .route("/v1/wallet/pending-transfers", post(wallet::pending))
        .route("/v1/wallet/pending-transfers/{pending_id}/post", post(wallet::post))
        .route("/v1/wallet/pending-transfers/{pending_id}/void", post(wallet::void))
        .route("/v1/wallet/deposits", post(not_here))
        .route("/v1/wallet/withdrawals", post(not_here))
        .route("/v1/clock", get(clock::clock))
        .route("/v1/clock/advance", post(clock::advance))
        .route("/v1/state", get(reads::state))
        .route("/v1/events", get(events::events))
        .route("/stats", get(health::stats))
        .route("/metrics", get(health::metrics))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/admin/queues/commands/redrive", post(health::redrive))
        .route("/openapi.json", get(async || typed("application/json", docs::openapi_json())))
        .route("/docs", get(async || typed("text/html; charset=utf-8", docs::docs_html())))
        .route("/docs.css", get(async || typed("text/css; charset=utf-8", docs::DOCS_CSS)))
        .route("/problems", get(async || typed("text/html; charset=utf-8", docs::problems_html())))
        .with_state(app.clone());
    page::behind(api, page)
        .layer(CatchPanicLayer::custom(|_| problem::failed()))
        .layer(middleware::from_fn(guard::note_route))
}

/// A POST that [`front`] answers before it comes to the router, which knows the route for the sake of all other methods.
async fn not_here() -> Response {
    problem::failed()
}

fn typed(kind: &'static str, text: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind)], text)
}
