//! What the product must show, with the real binary, real files and real kills.
//!
//! - [`refusals`], [`reproducible`], [`idempotent`], [`real_input`]: what comes of commands.
//! - [`cuts`], [`flips`], [`kills`]: what comes of a log that ends early, changes, or loses its writer.
//! - [`disk_faults`]: what comes of each call to the system that fails or is the last one; [`strace`] is how. [`sectors`]: what comes
//!   of a disk that loses power.
//! - [`command_line`]: exit codes, and what errors name.
//! - [`http_idempotent`], [`http_kills`], [`http_linearizable`], [`http_batch`]: what clients of the server are told, and that it
//!   is true.
//! - [`http_hostile`], [`http_slow`]: what comes of clients that mean no good, or do nothing. [`http_events`]: the log as
//!   a stream. [`http_failure`], [`http_full`]: a disk that fails, and one that is full. [`http_client`] and [`http_history`] are their client and their checker.

mod command_line;
mod cuts;
mod disk_faults;
mod flips;
mod harness;
mod http_batch;
mod http_client;
mod http_events;
mod http_failure;
mod http_full;
mod http_history;
mod http_hostile;
mod http_idempotent;
mod http_kills;
mod http_linearizable;
mod http_slow;
mod idempotent;
mod kills;
mod real_input;
mod refusals;
mod reproducible;
mod sectors;
mod serve_cli;
mod strace;
