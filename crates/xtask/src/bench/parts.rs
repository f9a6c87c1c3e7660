//! What is measured, part by part.

mod crowd;
mod http;
mod inside;
mod stage;

use clap::ValueEnum;

use super::Bench;
use super::report::Report;

/// A part of the bench, by its name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Single transfers at 64 connections: this server, PostgreSQL, Redis, without ledger, echo
    Single,
    /// One transfer in flight, beside one bare fdatasync
    One,
    /// Accounts, distributions and numbers in flight: this server, PostgreSQL, Redis
    Matrix,
    /// Fixed rates, latency from when each request was due
    Open,
    /// Many transfers a request
    Batch,
    /// Redis pipelined, and synced once a second
    Redis,
    /// 10,000 open connections, 1,000 of them at work
    Crowd,
    /// How far read models are behind the log
    Lag,
    /// Without HTTP: `walletlab bench`
    Inside,
    /// What knowing every id again costs as the log grows to 100 million
    Ids,
    /// Memory at rest and with a million accounts, size of the binary
    Size,
    /// The page in headless Chromium
    Browser,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Single => "single",
            Part::One => "one",
            Part::Matrix => "matrix",
            Part::Open => "open",
            Part::Batch => "batch",
            Part::Redis => "redis",
            Part::Crowd => "crowd",
            Part::Lag => "lag",
            Part::Inside => "inside",
            Part::Ids => "ids",
            Part::Size => "size",
            Part::Browser => "browser",
        }
    }

    pub(crate) fn what(self) -> &'static str {
        match self {
            Part::Single => "single transfers over HTTP beside the others",
            Part::One => "one transfer in flight beside one bare fdatasync",
            Part::Matrix => "accounts, distributions and numbers in flight",
            Part::Open => "fixed rates",
            Part::Batch => "many transfers a request",
            Part::Redis => "Redis pipelined, and synced once a second, for the record",
            Part::Crowd => "10,000 open connections",
            Part::Lag => "how far read models are behind the log",
            Part::Inside => "the engine, the durable pipeline, replay and memory, without HTTP",
            Part::Ids => "what knowing every id again costs as the log grows to 100 million",
            Part::Size => "memory at rest and with a million accounts, size of the binary",
            Part::Browser => "the page in headless Chromium",
        }
    }

    /// Whether the page must be built, and the binary with it.
    pub(crate) fn needs_page(self) -> bool {
        matches!(self, Part::Size | Part::Browser)
    }

    /// Measures it into the report.
    pub(crate) fn measure(self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Part::Single => http::single(bench, report),
            Part::One => http::one(bench, report),
            Part::Matrix => http::matrix(bench, report),
            Part::Open => http::open(bench, report),
            Part::Batch => http::batch(bench, report),
            Part::Redis => http::redis(bench, report),
            Part::Crowd => crowd::measure(bench, report),
            Part::Lag => inside::lag(bench, report),
            Part::Inside => inside::measure(bench, report),
            Part::Ids => inside::ids(bench, report),
            Part::Size => inside::size(bench, report),
            Part::Browser => inside::browser(bench, report),
        }
    }
}
