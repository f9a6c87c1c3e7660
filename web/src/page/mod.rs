//! The page: one state, small components, and a wire to the worker.
//!
//! What is absent here: ledger state, decisions about money, and numbers that were not told by the worker.

mod app;
mod balances;
mod charts;
mod csv;
mod dom;
mod entries;
mod events;
mod facts;
mod files;
mod format;
mod header;
mod invariants;
mod link;
mod live;
mod notices;
mod pipeline;
mod queues;
mod reset;
mod scroll;
mod state;
mod transfer;
mod words;

pub use app::start;
