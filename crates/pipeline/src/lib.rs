//! The composed wallet pipeline: gateway, command queue, idempotency stage, ledger, append, replies, projections.
//!
//! It is one machine in the sense of the other crates: inputs and outputs are values, time is an argument, and one
//! call does bounded work. There is no clock here, no IO, no thread, no randomness, no lock and no port trait: what
//! the world outside must do is an [`Output`], and what came of it is an [`Input`].
//!
//! The crate also owns content kind 1 of the log, the ledger's records ([`encode_events`], [`LedgerContent`]), and
//! the way from log bytes back to state ([`Replay`], [`Recovery`], [`LinesRecovery`]), and the way from one copy of the state to another: a
//! [`Snapshot`] of what is durable, taken behind a seal, and a [`Follower`] that goes on from it by the log's lines.
//!
//! Absent there: no state that is not durable in a snapshot, no snapshot between two seals, no second form of one state,
//! and no line that a follower folds without checking it against the seals and the ledger.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod command_bytes;
mod config;
mod content;
mod follower;
mod lines;
mod lines_recovery;
mod machine;
mod metadata;
mod read_models;
mod recent;
mod replay;
mod segments;
mod snapshot;
mod types;

pub use command_bytes::{Malformed, decode_command, encode_command};
pub use config::{AppendedIs, Config, ConfigError};
pub use content::{CONTENT_KIND, LogIdentity, RECORD_VERSION, decode_events, encode_events};
pub use follower::{FollowError, Follower};
pub use lines::LedgerContent;
pub use lines_recovery::{CorruptLines, LinesRecovered, LinesRecovery, TornLines};
pub use machine::{Pipeline, Stats, Totals};
pub use metadata::{METADATA_DEPTH_MAX, MetadataError, parse_metadata};
pub use read_models::{DurableBatch, Elsewhere, Fold, ReadModels};
pub use replay::{Frames, NotedBorder, Recovered, Recovery, RecoveryError, Replay, ReplayError, read_record};
pub use segments::{Place, SEGMENT_BYTES_MIN, segment_limit};
pub use snapshot::{
    DurableView, SNAPSHOT_MAGIC, SNAPSHOT_VERSION, Snapshot, SnapshotAccount, SnapshotError, SnapshotWriter,
};
pub use types::{Answer, Append, Input, Lookup, Outcome, Output, Replayed, Reply, Request};

#[cfg(test)]
mod tests;
