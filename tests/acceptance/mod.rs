//! What the product must show, with the real binary, real files and real kills.
//!
//! - [`refusals`], [`reproducible`], [`idempotent`], [`real_input`]: what comes of commands.
//! - [`cuts`], [`flips`], [`kills`]: what comes of a log that ends early, changes, or loses its writer.
//! - [`command_line`]: exit codes, and what errors name.

mod command_line;
mod cuts;
mod flips;
mod harness;
mod idempotent;
mod kills;
mod real_input;
mod refusals;
mod reproducible;
