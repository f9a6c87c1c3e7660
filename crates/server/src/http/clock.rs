//! `/v1/clock`: the time that the pipeline goes by, and with a test clock the way to move it.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::Request;
use axum::response::Response;
use serde_json::json;
use time::Timestamp;

use super::App;
use super::fields::{Fields, Query};
use super::problem::Problem;
use super::reads::{json_response, too_busy};
use crate::clock::ClockKind;

/// `GET /v1/clock`.
pub(super) async fn clock(State(app): State<App>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    Query::parse(query.as_deref())?.finish("this request has no parameters")?;
    let clock = app.engine.clock();
    Ok(json_response(&json!({ "now": clock.now().micros(), "clock": word(clock.kind()) })))
}

/// `POST /v1/clock/advance`: answered when everything that the time brings about is durable and can be read.
pub(super) async fn advance(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    if app.engine.clock().kind() == ClockKind::Wall {
        let detail =
            "this server goes by the machine's clock, which nobody moves; start it with --test-clock";
        return Err(Problem::new("no_test_clock", detail));
    }
    let (_, body) = app.body(request).await?;
    let mut fields = Fields::parse(&body)?;
    let micros = fields.integer("micros")?;
    fields.finish("`micros`")?;
    let invalid = |detail: String| Problem::new("invalid_field", detail).field("micros");
    let micros = u64::try_from(micros).map_err(|_| invalid("`micros` must be 0 or more".to_owned()))?;
    let now = app.engine.clock().advance(micros).ok_or_else(|| {
        let max = Timestamp::MAX.micros();
        invalid(format!("`micros` goes beyond the end of time, which is {max} microseconds since 1970"))
    })?;
    let longest = Duration::from_millis(app.limits.answer_timeout_ms);
    let sequence = tokio::time::timeout(longest, app.settled(now)).await.map_err(|_| {
        let limit = app.limits.answer_timeout_ms;
        let detail = format!(
            "the clock is at {}, but what it brings about was not durable within {limit} ms; ask again with `micros` 0",
            now.micros()
        );
        Problem::new("outcome_unknown", detail)
    })??;
    Ok(json_response(&json!({ "now": now.micros(), "sequence": sequence })))
}

/// The word for a clock.
pub(super) fn word(kind: ClockKind) -> &'static str {
    match kind {
        ClockKind::Wall => "wall",
        ClockKind::Test => "test",
    }
}

impl App {
    /// Waits until every pending transfer whose deadline is not later than `now` has expired, durably and for reads. Says how
    /// many records there are then.
    async fn settled(&self, now: Timestamp) -> Result<u64, Problem> {
        let mut durable = self.engine.durable();
        loop {
            durable.borrow_and_update();
            // The engine looks at its clock between taking this in and running it.
            let asked = self.engine.ask(move |driver| {
                let pipeline = driver.pipeline();
                let next_expiry = pipeline.ledger().next_expiry();
                (next_expiry.is_some_and(|(at, _)| at <= now), pipeline.next_sequence())
            });
            let (is_due, next_sequence) = asked.await.ok_or_else(too_busy)?;
            if let Some(why) = self.engine.failure() {
                return Err(Problem::new("not_ready", why).retry_after_micros(1_000_000));
            }
            if !is_due {
                let reached = durable.wait_for(|durable| durable.sequence >= next_sequence).await;
                return reached.map(|durable| durable.sequence).map_err(|_| too_busy());
            }
            // What has no room yet gets it when an append is durable.
            durable.changed().await.map_err(|_| too_busy())?;
        }
    }
}
