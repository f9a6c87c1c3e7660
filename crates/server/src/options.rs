//! What a server is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::Tokens;
use crate::clock::ClockKind;
use crate::files::DriverOptions;

/// Everything that a server is told.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The address to listen on. Port 0 picks a free one. Without `tokens` it must be a loopback address.
    pub listen: SocketAddr,
    /// Where the page's files are.
    pub page: PageSource,
    /// The data directory: the log and its lock. It is made if there is none.
    pub data: PathBuf,
    /// How the log is kept. A directory that holds it in another form is refused.
    pub journal: DriverOptions,
    /// Who may do what. `None`: whoever reaches the address may do everything.
    pub tokens: Option<Tokens>,
    /// Names that may stand in `Host`, besides `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// Which clock it goes by.
    pub clock: ClockKind,
    /// The limits.
    pub limits: Limits,
}

/// Where the page's files are.
#[derive(Clone, Debug)]
pub enum PageSource {
    /// In a directory, which is read at each request: a page that is built anew needs no restart.
    Directory(PathBuf),
    /// In the program itself.
    Embedded(&'static [EmbeddedFile]),
    /// Nowhere: the API is served alone.
    None,
}

/// A file of the page that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFile {
    /// Its path without a leading slash, as in `index.html`.
    pub path: &'static str,
    /// Its bytes; empty if only the compressed form is kept.
    pub bytes: &'static [u8],
    /// The same, compressed with brotli.
    pub brotli: Option<&'static [u8]>,
}

/// Every limit of a server that is not the pipeline's own. All of them are at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections. Beyond: 503, and the connection is closed.
    pub connections_max: u32,
    /// Bytes of a request's body. Beyond: 413.
    pub body_bytes_max: u32,
    /// Items of a batch, and of a stream of transfers those that are not answered yet; at most 65,536. Beyond: 413, or
    /// the stream is read no further until there are answers.
    pub batch_items_max: u32,
    /// Bytes of a batch's body. Beyond: 413.
    pub batch_bytes_max: u32,
    /// Bytes of the bodies of all batches that are being read or answered, rounded up to KiB each. Beyond: 503.
    pub batch_memory_bytes_max: u32,
    /// Streams of transfers open at once. Beyond: 503.
    pub batch_streams_max: u32,
    /// Bytes of a request's line and headers. Beyond: 431.
    pub header_bytes_max: u32,
    /// How long a connection may wait for a request's headers, the time between two requests included. Beyond: it is
    /// closed.
    pub header_timeout_ms: u64,
    /// How long a request's body may take to arrive. Beyond: 408.
    pub body_timeout_ms: u64,
    /// How long a client may take no byte of its answer. Beyond: the connection is closed.
    pub write_timeout_ms: u64,
    /// How long a command may wait for its outcome. Beyond: 504; the command may still take effect.
    pub answer_timeout_ms: u64,
    /// How long a read with `min_sequence` waits. Beyond: 504.
    pub read_wait_ms_max: u64,
    /// Event streams open at once. Beyond: 503.
    pub streams_max: u32,
    /// Snapshots on their way at once. Beyond: 503.
    pub snapshots_max: u32,
    /// Records between two snapshots on disk, at least. More of them make a restart faster and write more.
    pub snapshot_records: u64,
    /// Snapshots that are kept on disk. Beyond: the oldest is removed.
    pub snapshots_kept_max: u32,
    /// How long a stop waits for what is being answered, and once more for the log to be closed.
    pub stop_timeout_ms: u64,
    /// Commands in the queue and in flight. Beyond: 503.
    pub commands_max: u32,
    /// Pending transfers that are open at once. Beyond: 503 for one more.
    pub pending_transfers_max: u32,
    /// Requests at once on a connection of HTTP/2. Beyond: the client waits.
    pub requests_per_connection_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 10_000,
            body_bytes_max: 65_536,
            batch_items_max: 8_190,
            batch_bytes_max: 4 << 20,
            batch_memory_bytes_max: 256 << 20,
            batch_streams_max: 256,
            header_bytes_max: 16_384,
            header_timeout_ms: 30_000,
            body_timeout_ms: 10_000,
            write_timeout_ms: 20_000,
            answer_timeout_ms: 10_000,
            read_wait_ms_max: 10_000,
            streams_max: 256,
            snapshots_max: 4,
            snapshot_records: 1_000_000,
            snapshots_kept_max: 2,
            stop_timeout_ms: 10_000,
            commands_max: 65_536,
            pending_transfers_max: 100_000,
            requests_per_connection_max: 100,
        }
    }
}

impl Limits {
    /// Refuses limits of 0, by name.
    ///
    /// # Errors
    /// The name of the first limit that is 0.
    pub fn validate(&self) -> Result<(), &'static str> {
        let limits = [
            ("connections_max", u64::from(self.connections_max)),
            ("body_bytes_max", self.body_bytes_max.into()),
            ("batch_items_max", self.batch_items_max.into()),
            ("batch_bytes_max", self.batch_bytes_max.into()),
            ("batch_memory_bytes_max", self.batch_memory_bytes_max.into()),
            ("batch_streams_max", self.batch_streams_max.into()),
            ("header_bytes_max", self.header_bytes_max.into()),
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("answer_timeout_ms", self.answer_timeout_ms),
            ("read_wait_ms_max", self.read_wait_ms_max),
            ("streams_max", self.streams_max.into()),
            ("snapshots_max", self.snapshots_max.into()),
            ("snapshot_records", self.snapshot_records),
            ("snapshots_kept_max", self.snapshots_kept_max.into()),
            ("stop_timeout_ms", self.stop_timeout_ms),
            ("commands_max", self.commands_max.into()),
            ("pending_transfers_max", self.pending_transfers_max.into()),
            ("requests_per_connection_max", self.requests_per_connection_max.into()),
        ];
        limits.iter().find(|(_, limit)| *limit == 0).map_or(Ok(()), |(name, _)| Err(name))
    }
}
