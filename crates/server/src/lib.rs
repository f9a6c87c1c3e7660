//! The native driver: the pipeline behind HTTP, on a log in files.
//!
//! - [`bind`] opens a data directory and a socket, [`Bound::run`] answers until it is told to stop, [`serve`] is both with
//!   the process's own signals.
//! - [`files`] is the durable log of a directory, and a driver that runs a pipeline on it.
//! - [`runs`] keeps what is found by transaction id and by account on disk instead of in memory.
//!
//! One thread, the engine, owns the pipeline; handlers leave commands in its inbox and it takes all of them at once. Another
//! one owns the read models: it takes what is durable, and answers every read.
//!
//! Invariants, as absences: no answer before its record is on the disk; no second way to the money than the pipeline; no
//! queue, body, header, wait or stream without a limit that has a name; no response without the security headers.

mod clock;
mod connections;
mod engine;
pub mod files;
mod http;
mod options;
mod page;
mod reading;
pub mod runs;
mod serve;
mod tokens;

/// What must hold for any bytes of a client, for whoever makes up such bytes.
pub mod any_bytes {
    pub use crate::http::checks::{binary_batch, json_batch, json_command};
}

pub use clock::ClockKind;
pub use options::{EmbeddedFile, Limits, PageSource, ServeOptions};
pub use page::CONTENT_SECURITY_POLICY;
pub use serve::{Bound, ServeError, bind, serve};
pub use tokens::{Role, Tokens, TokensError};
