//! What a server is told: by flags, by the environment, by a file.
//!
//! - [`Settings`] is what any of the three may say; each of its fields is a flag `--a-b`, a variable `WALLETLAB_A_B` and
//!   a key `a_b`, and the limits stand in the file's table `limits`.
//! - [`Merged`] is the result, in the order flag, environment, file, default, and knows where each value comes from.
//!
//! Invariants, as absences: no setting can be given in one of the three places only; no key of a file is ignored; no
//! token is ever shown, because only the path of its file is a setting.

mod file;
mod merge;
mod say;

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use file::read as read_file;
pub(crate) use merge::{LISTEN_DEFAULT, Merged};
pub(crate) use say::blame_environment;

/// What the name of every variable begins with.
const VARIABLE_PREFIX: &str = "WALLETLAB_";

/// The settings, from wherever.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Given {
    /// A file with settings, in YAML (.yaml, .yml) or TOML (.toml). Its keys are the names of these flags with `_`
    /// instead of `-`; the limits stand in the table `limits`
    #[arg(long, value_name = "FILE", env = "WALLETLAB_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// What one place says. `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where to listen; port 0 picks a free one. Without tokens only a loopback address is allowed
    /// [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "WALLETLAB_LISTEN", hide_env_values = true)]
    #[arg(value_parser = parse_address)]
    #[serde(deserialize_with = "address")]
    listen: Option<SocketAddr>,
    /// The data directory: the log and its lock; made if there is none [default: walletlab-data]
    #[arg(long, value_name = "DIR", env = "WALLETLAB_DATA", hide_env_values = true)]
    data: Option<PathBuf>,
    /// The directory with the built page [default: the page that is part of this program]
    #[arg(long, value_name = "DIR", env = "WALLETLAB_PAGE", hide_env_values = true)]
    page: Option<PathBuf>,
    /// A file with bearer tokens, one `read|write|admin TOKEN` a line [default: no tokens, and everybody who reaches the
    /// address may do everything]
    #[arg(long, value_name = "FILE", env = "WALLETLAB_TOKEN_FILE", hide_env_values = true)]
    token_file: Option<PathBuf>,
    /// A name that clients may call this server by, besides `localhost` and IP addresses; can be given several times, or
    /// with commas [default: none]
    #[arg(long, value_name = "NAME", env = "WALLETLAB_HOST", hide_env_values = true, value_delimiter = ',')]
    host: Option<Vec<String>>,
    /// How the log is kept; a directory with a log in the other form is refused [default: binary]
    #[arg(long, value_name = "FORM", env = "WALLETLAB_LOG_FORMAT", hide_env_values = true, value_enum)]
    log_format: Option<StoreForm>,
    /// What an answer promises: that its record is on the disk, that the system has it, or nothing [default: synced]
    #[arg(long, value_name = "LEVEL", env = "WALLETLAB_DURABILITY", hide_env_values = true, value_enum)]
    durability: Option<DurabilityLevel>,
    /// Bytes of one file of the log at most, about; room for the next one is taken ahead; at least 1048576
    /// [default: 67108864]
    #[arg(long, value_name = "BYTES", env = "WALLETLAB_SEGMENT_BYTES", hide_env_values = true)]
    segment_bytes: Option<NonZeroU64>,
    /// Let time stand still, and move by `POST /v1/clock/advance` only: for tests [default: false]
    #[arg(long, value_name = "BOOL", env = "WALLETLAB_TEST_CLOCK", hide_env_values = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    test_clock: Option<bool>,
    /// How much this program says about itself on standard error [default: info]
    #[arg(long, value_name = "LEVEL", env = "WALLETLAB_LOG_LEVEL", hide_env_values = true, value_enum)]
    log_level: Option<LogLevel>,
    /// How it says it [default: text]
    #[arg(long, value_name = "FORM", env = "WALLETLAB_LOG_OUTPUT", hide_env_values = true, value_enum)]
    log_output: Option<LogOutput>,
    #[command(flatten)]
    limits: LimitSettings,
}

/// What one place says about [`server::Limits`].
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[command(next_help_heading = "Limits")]
#[serde(default, deny_unknown_fields)]
struct LimitSettings {
    /// Open connections; beyond, a new one gets 503 and is closed [default: 10000]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_CONNECTIONS_MAX", hide_env_values = true)]
    connections_max: Option<NonZeroU32>,
    /// Bytes of a request's body; beyond: 413 [default: 65536]
    #[arg(long, value_name = "BYTES", env = "WALLETLAB_BODY_BYTES_MAX", hide_env_values = true)]
    body_bytes_max: Option<NonZeroU32>,
    /// Items of a batch, at most 65536; beyond: 413. Of a stream those not yet answered; beyond, it waits [default: 8190]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_BATCH_ITEMS_MAX", hide_env_values = true)]
    batch_items_max: Option<NonZeroU32>,
    /// Bytes of a batch's body; beyond: 413 [default: 4194304]
    #[arg(long, value_name = "BYTES", env = "WALLETLAB_BATCH_BYTES_MAX", hide_env_values = true)]
    batch_bytes_max: Option<NonZeroU32>,
    /// Bytes of the bodies of all batches together; beyond: 503 [default: 268435456]
    #[arg(long, value_name = "BYTES", env = "WALLETLAB_BATCH_MEMORY_BYTES_MAX", hide_env_values = true)]
    batch_memory_bytes_max: Option<NonZeroU32>,
    /// Streams of transfers open at once; beyond: 503 [default: 256]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_BATCH_STREAMS_MAX", hide_env_values = true)]
    batch_streams_max: Option<NonZeroU32>,
    /// Bytes of a request's line and headers; beyond: 431 [default: 16384]
    #[arg(long, value_name = "BYTES", env = "WALLETLAB_HEADER_BYTES_MAX", hide_env_values = true)]
    header_bytes_max: Option<NonZeroU32>,
    /// How long a connection may wait for a request's headers; beyond, it is closed [default: 30000]
    #[arg(long, value_name = "MILLISECONDS", env = "WALLETLAB_HEADER_TIMEOUT_MS", hide_env_values = true)]
    header_timeout_ms: Option<NonZeroU64>,
    /// How long a request's body may take to arrive; beyond: 408 [default: 10000]
    #[arg(long, value_name = "MILLISECONDS", env = "WALLETLAB_BODY_TIMEOUT_MS", hide_env_values = true)]
    body_timeout_ms: Option<NonZeroU64>,
    /// How long a client may take no byte of its answer; beyond, its connection is closed [default: 20000]
    #[arg(long, value_name = "MILLISECONDS", env = "WALLETLAB_WRITE_TIMEOUT_MS", hide_env_values = true)]
    write_timeout_ms: Option<NonZeroU64>,
    /// How long a command may wait for its outcome; beyond: 504, and it may still take effect [default: 10000]
    #[arg(long, value_name = "MILLISECONDS", env = "WALLETLAB_ANSWER_TIMEOUT_MS", hide_env_values = true)]
    answer_timeout_ms: Option<NonZeroU64>,
    /// How long a read with `min_sequence` waits; beyond: 504 [default: 10000]
    #[arg(long, value_name = "MILLISECONDS", env = "WALLETLAB_READ_WAIT_MS_MAX", hide_env_values = true)]
    read_wait_ms_max: Option<NonZeroU64>,
    /// Event streams open at once; beyond: 503 [default: 256]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_STREAMS_MAX", hide_env_values = true)]
    streams_max: Option<NonZeroU32>,
    /// Snapshots on their way at once; beyond: 503 [default: 4]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_SNAPSHOTS_MAX", hide_env_values = true)]
    snapshots_max: Option<NonZeroU32>,
    /// Records between two snapshots on disk, at least [default: 1000000]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_SNAPSHOT_RECORDS", hide_env_values = true)]
    snapshot_records: Option<NonZeroU64>,
    /// Snapshots kept on disk; beyond, the oldest is removed [default: 2]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_SNAPSHOTS_KEPT_MAX", hide_env_values = true)]
    snapshots_kept_max: Option<NonZeroU32>,
    /// How long a stop waits for what is being answered [default: 10000]
    #[arg(long, value_name = "MILLISECONDS", env = "WALLETLAB_STOP_TIMEOUT_MS", hide_env_values = true)]
    stop_timeout_ms: Option<NonZeroU64>,
    /// Commands in the queue and in flight; beyond: 503 and `Retry-After` [default: 65536]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_COMMANDS_MAX", hide_env_values = true)]
    commands_max: Option<NonZeroU32>,
    /// Pending transfers open at once; beyond: 503 for one more [default: 100000]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_PENDING_TRANSFERS_MAX", hide_env_values = true)]
    pending_transfers_max: Option<NonZeroU32>,
    /// Requests at once on a connection of HTTP/2; beyond, the client waits [default: 100]
    #[arg(long, value_name = "COUNT", env = "WALLETLAB_REQUESTS_PER_CONNECTION_MAX", hide_env_values = true)]
    requests_per_connection_max: Option<NonZeroU32>,
}

/// In which of its two forms a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreForm {
    /// Segments in the binary form: small and fast
    Binary,
    /// One file `events.log` in the JSON Lines form: to read with any tool while it grows
    Jsonl,
}

/// How much an answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DurabilityLevel {
    /// The record is on the disk: it survives the loss of power
    Synced,
    /// The system has the record: it survives the end of this program, but not the loss of power
    Written,
    /// The log is kept in memory alone, and no file is opened: nothing survives the end of this program
    Memory,
}

/// From which severity on a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Nothing
    Off,
    /// What failed
    Error,
    /// What should be looked at
    Warn,
    /// Start, stop, and what is done once
    Info,
    /// Each request
    Debug,
    /// Each step of each request
    Trace,
}

/// How the lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogOutput {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Given {
    /// Reads the file, if one is named, and merges. `matches` are those of the subcommand that this was parsed from.
    ///
    /// # Errors
    /// As [`read_file`]; and settings that cannot go together.
    pub(crate) fn merge(self, matches: &clap::ArgMatches) -> Result<Merged, crate::outcome::Failure> {
        let file = match &self.config {
            Some(path) => Some((path.clone(), read_file(path)?)),
            None => None,
        };
        Ok(Merged::new(self.settings, matches, file))
    }
}

impl Settings {
    /// Where to listen, if this place says so.
    pub(crate) fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }
}

/// Reads an address, for flags, variables and files alike.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, AddressError> {
    text.parse().map_err(|_| AddressError)
}

/// A text that is no address with a port.
#[derive(Debug)]
pub(crate) struct AddressError;

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address and a port are wanted, as in 127.0.0.1:8080 or [::1]:8080")
    }
}

impl std::error::Error for AddressError {}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_address(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests;
