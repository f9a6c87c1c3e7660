//! `/metrics`: what is counted where it happens, and what is looked at when somebody asks.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use ledger::Reason;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::engine_view::EngineView;
use super::front::HOT_ROUTES;
use crate::files::JournalStats;

/// Upper bounds of latencies, in seconds: from a fast read to a very slow disk.
const SECONDS: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Upper bounds of the read models' lag, in seconds.
const LAG_SECONDS: [f64; 10] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.01, 0.1, 1.0];
/// The route of everything that no route of the API matches: files of the page, and mistakes.
const OTHER_ROUTE: &str = "page";

/// Every metric of a server. Labels have few values, all of them ours.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    problems: IntCounterVec,
    /// Those of [`HOT_ROUTES`], looked up once.
    hot: [Hot; HOT_ROUTES.len()],
    /// Commands whose client got 504.
    pub(crate) answers_late: IntCounter,
    /// Items of batches that were handed to the pipeline.
    pub(crate) batch_items: IntCounter,
    /// Bodies over the limit.
    pub(crate) bodies_too_large: IntCounter,
    /// Bodies that took too long.
    pub(crate) slow_bodies: IntCounter,
    /// Open connections.
    pub(crate) connections: IntGauge,
    /// Connections closed at once because too many were open.
    pub(crate) connections_refused: IntCounter,
    /// Connections that ended by a limit or a mistake in HTTP.
    pub(crate) connections_failed: IntCounterVec,
    /// Open event streams.
    pub(crate) streams: IntGauge,
    /// Streams that were refused because too many were open.
    pub(crate) streams_refused: IntCounter,
    /// Streams whose reader took nothing for too long.
    pub(crate) streams_dropped: IntCounter,
    /// Bytes handed to streams.
    pub(crate) stream_bytes: IntCounter,
    /// Durations of writes with their sync.
    pub(crate) journal: JournalMetrics,
    viewed: Viewed,
}

/// The metrics of a route's answers with status 200.
struct Hot {
    requests: IntCounter,
    durations: Histogram,
}

/// What the engine counts when the journal has synced; cheap to clone.
#[derive(Clone)]
pub(crate) struct JournalMetrics {
    sync_seconds: Histogram,
    fold_seconds: Histogram,
    syncs: IntGauge,
    appends: IntGauge,
    writes: IntGauge,
    written: IntGauge,
    bytes: IntGauge,
}

/// What is looked at when somebody asks.
struct Viewed {
    ready: IntGauge,
    sequence: IntGauge,
    lag: IntGauge,
    accounts: IntGauge,
    queue: IntGaugeVec,
    queue_totals: IntGaugeVec,
    pipeline: IntGaugeVec,
    totals: IntGaugeVec,
    transactions: IntGaugeVec,
    refusals: IntGaugeVec,
    uptime: IntGauge,
    memory: IntGauge,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let make = Make(Registry::new());
        let m = &make;
        let requests = m.counters(
            "walletlab_http_requests_total",
            "Requests by route, method and status.",
            &["route", "method", "status"],
        );
        let durations = m.histograms(
            "walletlab_http_request_duration_seconds",
            "From the request's headers to its answer, by route.",
            &["route"],
        );
        let hot = |route| Hot {
            requests: requests.with_label_values(&[route, "POST", "200"]),
            durations: durations.with_label_values(&[route]),
        };
        Metrics {
            hot: HOT_ROUTES.map(hot),
            requests,
            durations,
            problems: m.counters(
                "walletlab_http_problems_total",
                "Answers that say no, by the code of the problem.",
                &["code"],
            ),
            answers_late: m
                .counter("walletlab_answers_late_total", "Commands answered 504: outcome unknown."),
            batch_items: m
                .counter("walletlab_batch_items_total", "Items of batches that were handed to the pipeline."),
            bodies_too_large: m.counter("walletlab_http_bodies_too_large_total", "Bodies over the limit."),
            slow_bodies: m
                .counter("walletlab_http_slow_bodies_total", "Bodies that took too long to arrive."),
            connections: m.gauge("walletlab_http_connections", "Open connections."),
            connections_refused: m
                .counter("walletlab_http_connections_refused_total", "Connections over the limit."),
            connections_failed: m.counters(
                "walletlab_http_connections_failed_total",
                "Connections that ended by a limit, a mistake in HTTP, or their client, by cause.",
                &["cause"],
            ),
            streams: m.gauge("walletlab_event_streams", "Open event streams."),
            streams_refused: m
                .counter("walletlab_event_streams_refused_total", "Event streams over the limit."),
            streams_dropped: m
                .counter("walletlab_event_streams_dropped_total", "Event streams dropped for a slow reader."),
            stream_bytes: m.counter("walletlab_event_stream_bytes_total", "Bytes handed to event streams."),
            journal: JournalMetrics {
                fold_seconds: m.histogram(
                    "walletlab_read_model_lag_seconds",
                    "How long durable records waited until they were in the read models.",
                    &LAG_SECONDS,
                ),
                sync_seconds: m.histogram(
                    "walletlab_journal_sync_duration_seconds",
                    "One write to the journal with its sync.",
                    &SECONDS,
                ),
                syncs: m.gauge("walletlab_journal_syncs", "Syncs of the journal since the start."),
                appends: m.gauge("walletlab_journal_appends", "Batches made durable since the start."),
                writes: m.gauge("walletlab_journal_writes", "Writes to the journal since the start."),
                written: m.gauge(
                    "walletlab_journal_written_bytes",
                    "Bytes written to the journal since the start.",
                ),
                bytes: m.gauge("walletlab_journal_size_bytes", "Size of the journal."),
            },
            viewed: Viewed::new(m),
            registry: make.0,
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(
        &self,
        route: Option<&str>,
        method: &Method,
        status: StatusCode,
        problem: Option<&'static str>,
        took: Duration,
    ) {
        let route = route.unwrap_or(OTHER_ROUTE);
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::OPTIONS => {
                method.as_str()
            }
            _ => "other",
        };
        self.requests.with_label_values(&[route, method, status.as_str()]).inc();
        self.durations.with_label_values(&[route]).observe(took.as_secs_f64());
        if let Some(code) = problem {
            self.problems.with_label_values(&[code]).inc();
        }
    }

    /// Counts an answer of the n-th of [`HOT_ROUTES`], which are all POST.
    pub(super) fn answered_hot(
        &self,
        hot: usize,
        route: &'static str,
        status: StatusCode,
        problem: Option<&'static str>,
        took: Duration,
    ) {
        if status != StatusCode::OK {
            return self.answered(Some(route), &Method::POST, status, problem, took);
        }
        let Hot { requests, durations } = &self.hot[hot];
        requests.inc();
        durations.observe(took.as_secs_f64());
    }

    /// All of it in Prometheus' text format.
    pub(super) fn text(&self, view: &EngineView, uptime: Duration) -> String {
        self.viewed.set(view, uptime);
        let mut text = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        encoded.expect("metrics of one name have one type, and a vector takes every byte");
        String::from_utf8(text).expect("names, labels and numbers are text")
    }
}

impl JournalMetrics {
    /// Takes in what the journal did.
    pub(crate) fn synced(&self, stats: &JournalStats) {
        for micros in &stats.sync_micros {
            self.sync_seconds.observe(f64::from(*micros) / 1e6);
        }
        self.syncs.set(number(stats.syncs));
        self.appends.set(number(stats.appends));
        self.writes.set(number(stats.writes));
        self.written.set(number(stats.bytes_written));
        self.bytes.set(number(stats.bytes));
    }

    /// Durable records were folded into the read models after so long.
    pub(crate) fn folded(&self, lag: Duration) {
        self.fold_seconds.observe(lag.as_secs_f64());
    }
}

impl Viewed {
    fn new(m: &Make) -> Viewed {
        Viewed {
            ready: m.gauge("walletlab_ready", "1 while commands are accepted."),
            sequence: m.gauge("walletlab_durable_sequence", "Records that are durable."),
            lag: m.gauge("walletlab_read_model_lag_records", "Durable records that the read models lack."),
            accounts: m.gauge("walletlab_accounts", "Accounts, system accounts included."),
            queue: m.gauges(
                "walletlab_queue_messages",
                "Messages of a queue now, by state.",
                &["queue", "state"],
            ),
            queue_totals: m.gauges(
                "walletlab_queue_messages_since_start",
                "Messages of a queue since the start, by what became of them.",
                &["queue", "fate"],
            ),
            pipeline: m.gauges(
                "walletlab_pipeline_waiting",
                "What waits in the pipeline, by stage.",
                &["stage"],
            ),
            totals: m.gauges(
                "walletlab_pipeline_since_start",
                "What the pipeline did since the start.",
                &["what"],
            ),
            transactions: m.gauges(
                "walletlab_transactions",
                "Records of the log, by kind of command and result.",
                &["kind", "result"],
            ),
            refusals: m.gauges("walletlab_refusals", "Refusals in the log, by reason.", &["reason"]),
            uptime: m.gauge("walletlab_uptime_seconds", "Time since the start."),
            memory: m.gauge("walletlab_resident_memory_bytes", "Memory that the process has."),
        }
    }

    fn set(&self, view: &EngineView, uptime: Duration) {
        self.ready.set(i64::from(view.failure.is_none() && view.storage_full.is_none()));
        self.sequence.set(number(view.durable.sequence));
        self.lag.set(number(view.durable.sequence.saturating_sub(view.checkpoint)));
        self.accounts.set(i64::from(view.accounts));
        for (state, value) in view.queue_states() {
            self.queue.with_label_values(&["commands", state]).set(number(value));
        }
        for (fate, value) in view.queue_fates() {
            self.queue_totals.with_label_values(&["commands", fate]).set(number(value));
        }
        for (stage, value) in view.stages() {
            self.pipeline.with_label_values(&[stage]).set(number(value));
        }
        for (what, value) in view.totals() {
            self.totals.with_label_values(&[what]).set(number(value));
        }
        for kind in ledger::CommandKind::ALL {
            let results = [("completed", view.counts.completed(kind)), ("refused", view.counts.failed(kind))];
            for (result, value) in results {
                self.transactions.with_label_values(&[kind.as_str(), result]).set(number(value));
            }
        }
        for reason in Reason::ALL {
            self.refusals.with_label_values(&[reason.as_str()]).set(number(view.counts.failed_for(reason)));
        }
        self.uptime.set(number(uptime.as_secs()));
        self.memory.set(number(super::health::memory_bytes().unwrap_or(0)));
    }
}

/// Makes metrics and registers them. The names are ours and distinct, so nothing here can fail.
struct Make(Registry);

const DISTINCT: &str = "metrics have valid and distinct names";

impl Make {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help).expect(DISTINCT))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels).expect(DISTINCT))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help).expect(DISTINCT))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels).expect(DISTINCT))
    }

    fn histogram(&self, name: &str, help: &str, seconds: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(seconds.to_vec());
        self.register(Histogram::with_opts(options).expect(DISTINCT))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.register(HistogramVec::new(options, labels).expect(DISTINCT))
    }

    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> C {
        self.0.register(Box::new(metric.clone())).expect(DISTINCT);
        metric
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
