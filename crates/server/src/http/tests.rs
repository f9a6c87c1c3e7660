//! The routes without a socket: requests in, answers out, as text.

mod batch;
mod clock;
mod events;
mod guard;
mod page;
mod pending;
mod reads;
mod wallet;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::{Semaphore, watch};

use super::front::Front;
use super::metrics::Metrics;
use super::{App, Parts};
use crate::clock::ClockKind;
use crate::engine::{InboxLimits, Running, SnapshotOptions};
use crate::files::{Driver, DriverOptions};
use crate::options::{Limits, PageSource};
use crate::reading::KeepSnapshots;
use crate::tokens::Tokens;

/// Headers that a script's answer shows, when they are there.
const SHOWN: [&str; 6] =
    ["idempotency-replayed", "retry-after", "allow", "www-authenticate", "walletlab-sequence", "location"];

/// A server without a socket, on a directory of its own.
struct Rig {
    front: Front,
    running: Option<Running>,
    stopping: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

/// What a rig is told; the rest is the default.
struct Setup {
    limits: Limits,
    tokens: Option<Tokens>,
    hosts: Vec<String>,
    page: PageSource,
    clock: ClockKind,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            limits: Limits::default(),
            tokens: None,
            hosts: Vec::new(),
            page: PageSource::None,
            clock: ClockKind::Wall,
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(Setup::default())
    }

    fn with(setup: Setup) -> Rig {
        let Setup { limits, tokens, hosts, page, clock } = setup;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let metrics = Arc::new(Metrics::new());
        let journal = metrics.journal.clone();
        let config = Driver::config(64, 1);
        let inbox = InboxLimits { commands_max: 64, asks_max: 64 };
        let options = DriverOptions::default();
        let running = Running::start(
            directory.path(),
            &config,
            &options,
            clock,
            inbox,
            SnapshotOptions { records: 1_000_000, keep: KeepSnapshots(2) },
            move |stats| journal.synced(stats),
            |_| {},
        );
        let running = running.expect("a fresh directory");
        let (stopping, is_stopping) = watch::channel(false);
        let app = App::new(Parts {
            engine: running.engine.clone(),
            streams: Arc::new(Semaphore::new(limits.streams_max as usize)),
            snapshots: Arc::new(Semaphore::new(limits.snapshots_max as usize)),
            batch_memory: Arc::new(Semaphore::new(limits.batch_memory_bytes_max.div_ceil(1_024) as usize)),
            batch_streams: Arc::new(Semaphore::new(limits.batch_streams_max as usize)),
            limits,
            tokens,
            hosts,
            journal: options,
            metrics,
            stopping: is_stopping,
        });
        Rig { front: Front::new(app, &page), running: Some(running), stopping, _directory: directory }
    }

    /// Sends one request as it is; the body of the answer is still to be read.
    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        self.front.answer(request).await.map(Body::new)
    }

    /// Sends one request as it is.
    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.respond(request).await;
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("a body");
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// Runs a script: a line is `METHOD PATH [Header: value; ...] [BODY]`, and is answered by `STATUS [headers] BODY`.
    async fn run(&self, script: &str) -> String {
        let mut answers = String::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let answer = self.send(request_of(line)).await;
            let _ = write!(answers, "{}", answer.status.as_u16());
            for name in SHOWN {
                if let Some(value) = answer.headers.get(name) {
                    let _ = write!(answers, " {name}: {}", value.to_str().expect("ASCII"));
                }
            }
            let _ = writeln!(answers, " {}", answer.body);
        }
        answers
    }

    async fn sequence(&self) -> u64 {
        let stats = self.send(request_of("GET /stats")).await;
        let stats: serde_json::Value = serde_json::from_str(&stats.body).expect("JSON");
        stats["sequence"].as_u64().expect("a number")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stopping.send_replace(true);
        if let Some(running) = self.running.take() {
            running.stop().expect("the log is closed");
        }
    }
}

/// Reads a line of a script. A request is of JSON and goes to localhost unless it says otherwise.
fn request_of(line: &str) -> Request<Body> {
    let (method, rest) = line.split_once(' ').expect("a method");
    let (path, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (headers, body) = match rest.strip_prefix('[') {
        Some(rest) if !rest.starts_with(']') => rest.split_once(']').expect("headers end with ]"),
        Some(_) | None => ("", rest),
    };
    let mut request = Request::builder().method(method).uri(path);
    let mut names = Vec::new();
    for header in headers.split(';').map(str::trim).filter(|header| !header.is_empty()) {
        let (name, value) = header.split_once(':').expect("a name and a value");
        names.push(name.trim().to_ascii_lowercase());
        if !value.trim().is_empty() {
            request = request.header(name.trim(), value.trim());
        }
    }
    for (name, value) in [("host", "localhost:8080"), ("content-type", "application/json")] {
        if !names.iter().any(|known| known == name) {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(body.trim().to_owned())).expect("a request")
}
