//! The seeded world around the pipeline: workload, network, disk, faults, checkers, feeds.
//!
//! A [`World`] is a value that moves in exact steps of virtual time. It owns pipelines (one in this use), the journal store, and
//! models of everything a pipeline meets outside: clients, the link to the gateway, the disk, the index that answers look-ups,
//! a read store. [`checkers`] watch it from outside. Drivers (`walletlab sim`, the page's worker, tests) only call
//! [`World::step`] or [`World::run`], and may keep a real copy of the log.
//!
//! # Invariants
//!
//! - No clock, no entropy but the seed, no float, no thread, no randomised hash table: the same options and inputs make the same
//!   steps, bytes and digest on every machine.
//! - No stream of draws serves two concerns, so that a fault that is switched on does not reshuffle the rest ([`rng::Stream`]).
//! - No "be wrong" flag in the pipeline: what can be made to go wrong is a [`Safeguard`] of the surroundings modelled here.
//! - No cost of a clone that grows with the log: history is shared.
//! - No checker decides anything, and none trusts what the pipeline says of itself where the bytes of the log can be asked.

#![forbid(unsafe_code)]

mod amount;
mod audit;
pub mod checkers;
mod clients;
mod crash;
pub mod csv;
mod drive;
mod feed_run;
mod fold;
mod from_log;
mod happen;
mod histogram;
mod journal_store;
mod link;
mod log_bytes;
mod meter;
mod node;
mod options;
mod read_store;
mod record;
mod report;
pub mod rng;
mod schedule;
mod traffic;
mod view;
mod workload;
mod world;
mod zipf;

pub use amount::{AmountError, format_amount, parse_amount};
pub use audit::{Audit, AuditProgress};
pub use checkers::{Broken, Findings, Invariant, Tally};
pub use feed_run::FeedSummary;
pub use from_log::FromLogError;
pub use histogram::Histogram;
pub use journal_store::{Cut, JournalStore};
pub use log_bytes::{CHUNK_BYTES, LogBytes};
pub use meter::{SAMPLES_MAX, Sample};
pub use options::{
    Client, Crashes, Fault, FaultKind, FaultTime, Link, Lookups, Micros, Options, OptionsError,
    ReadStore as ReadStoreOptions, Safeguard, Workload,
};
pub use read_store::ReadStore;
pub use record::{HandCommand, HandInput, ReproduceError, Reproduction, RunRecord};
pub use report::{InvariantReport, Report};
pub use view::{LinkState, PipelineState, Stages};
pub use world::{CommitPoint, HandAnswer, Happened, Step, Stop, Until, What, World, WorldTotals};

#[cfg(test)]
mod tests;
