//! `GET /health`: is this process up, which version is it, and since when.

use std::time::Instant;

use axum::Json;
use axum::routing::{MethodRouter, get};
use serde_json::json;

/// The route of `/health`: `{"status":"ok","version":"0.1.0","uptime_seconds":12}`; other methods get 405 and `Allow`.
pub(crate) fn route() -> MethodRouter {
    let started = Instant::now();
    get(async move || {
        Json(json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": started.elapsed().as_secs(),
        }))
    })
}
