//! Append-only history whose clones share it: rows in chunks, and an index from transaction ids to row numbers.

mod chunks;
mod ids;

pub use chunks::Chunks;
pub use ids::IdIndex;
