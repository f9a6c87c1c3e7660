//! Flag before environment before file before default.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;
use pipeline::SEGMENT_BYTES_MIN;
use serde::Serialize;
use serde_json::{Map, Value, json};
use server::Limits;
use server::files::SEGMENT_BYTES;

use super::{DurabilityLevel, LimitSettings, LogLevel, LogOutput, Settings, StoreForm, VARIABLE_PREFIX};

/// What holds, and where each value comes from.
#[derive(Clone, Debug)]
pub(crate) struct Merged {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    /// `None`: the page that is part of the program.
    pub(crate) page: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) hosts: Vec<String>,
    pub(crate) log_format: StoreForm,
    pub(crate) durability: DurabilityLevel,
    pub(crate) segment_bytes: u64,
    pub(crate) log_level: LogLevel,
    pub(crate) log_output: LogOutput,
    pub(crate) test_clock: bool,
    pub(crate) limits: Limits,
    entries: Vec<Entry>,
}

/// One setting, to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The table of the file in which it stands; empty for the file itself.
    table: &'static str,
    key: &'static str,
    /// Null if it is not set and has no default.
    value: Value,
    origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Flag(String),
    Environment(String),
    File(PathBuf),
    Default,
}

/// The address that is listened on if nobody says anything.
pub(crate) const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8_080);
/// The data directory if nobody says anything.
const DATA_DEFAULT: &str = "walletlab-data";

impl Merged {
    /// Merges what flags and environment said with what the file at a path says.
    pub(super) fn new(given: Settings, matches: &ArgMatches, file: Option<(PathBuf, Settings)>) -> Merged {
        let (path, in_file) = file.unzip();
        let in_file = in_file.unwrap_or_default();
        let mut merge = Merge { matches, file: path.as_deref(), table: "", entries: Vec::new() };
        let data_default = PathBuf::from(DATA_DEFAULT);
        let listen = merge.pick("listen", given.listen, in_file.listen, LISTEN_DEFAULT);
        let data = merge.pick("data", given.data, in_file.data, data_default);
        let page = merge.pick_option("page", given.page, in_file.page);
        let token_file = merge.pick_option("token_file", given.token_file, in_file.token_file);
        let hosts = merge.pick("host", given.host, in_file.host, Vec::new());
        let log_format = merge.pick("log_format", given.log_format, in_file.log_format, StoreForm::Binary);
        let durability =
            merge.pick("durability", given.durability, in_file.durability, DurabilityLevel::Synced);
        let (given_bytes, bytes_in_file) =
            (given.segment_bytes.map(NonZero::get), in_file.segment_bytes.map(NonZero::get));
        let segment_bytes = merge.pick("segment_bytes", given_bytes, bytes_in_file, SEGMENT_BYTES);
        let log_level = merge.pick("log_level", given.log_level, in_file.log_level, LogLevel::Info);
        let log_output = merge.pick("log_output", given.log_output, in_file.log_output, LogOutput::Text);
        let test_clock = merge.pick("test_clock", given.test_clock, in_file.test_clock, false);
        let limits = merge_limits(&mut merge, &given.limits, &in_file.limits);
        let entries = merge.entries;
        Merged {
            listen,
            data,
            page,
            token_file,
            hosts,
            log_format,
            durability,
            segment_bytes,
            log_level,
            log_output,
            test_clock,
            limits,
            entries,
        }
    }

    /// Whether these settings may be served with.
    ///
    /// # Errors
    /// In words, what must not go together and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        let origin = |key| {
            let origin = self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.origin);
            origin.map(|origin| format!(" ({origin})")).unwrap_or_default()
        };
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            return Err(format!(
                "segment_bytes = {}{}: a file of the log has at least {SEGMENT_BYTES_MIN} bytes",
                self.segment_bytes,
                origin("segment_bytes")
            ));
        }
        if (self.durability, self.log_format) == (DurabilityLevel::Memory, StoreForm::Jsonl) {
            return Err(format!(
                "durability = \"memory\"{}: no file is kept then, so log_format = \"jsonl\"{} has no meaning; leave one of \
                 the two away",
                origin("durability"),
                origin("log_format")
            ));
        }
        if self.listen.ip().is_loopback() || self.token_file.is_some() {
            return Ok(());
        }
        let origin = origin("listen");
        Err(format!(
            "listen = {}{origin}: other machines reach this address, and without tokens whoever reaches it may move \
             money; name a file with tokens (--token-file), or listen on a loopback address such as 127.0.0.1:8080",
            self.listen
        ))
    }

    /// Every setting with its origin, as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let mut settings = Map::new();
        for Entry { table, key, value, origin } in &self.entries {
            let dot = if table.is_empty() { "" } else { "." };
            let (origin, name) = match origin {
                Origin::Flag(name) => ("flag", Value::from(name.as_str())),
                Origin::Environment(name) => ("environment", Value::from(name.as_str())),
                Origin::File(path) => ("file", Value::from(path.to_string_lossy())),
                Origin::Default => ("default", Value::Null),
            };
            settings.insert(
                format!("{table}{dot}{key}"),
                json!({ "value": value, "origin": origin, "name": name }),
            );
        }
        json!({ "settings": settings })
    }
}

/// Shows the settings as a TOML file, with the origin behind each value.
impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.entries.iter().map(|entry| match &entry.value {
            Value::Null => format!("# {} is not set", entry.key),
            // What JSON writes for texts, numbers and lists of texts, TOML reads.
            value => format!("{} = {value}", entry.key),
        });
        let lines: Vec<String> = lines.collect();
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
        let mut table = "";
        for (line, entry) in lines.iter().zip(&self.entries) {
            if entry.table != table {
                table = entry.table;
                writeln!(f, "\n[{table}]")?;
            }
            writeln!(f, "{line:width$}  # {}", entry.origin)?;
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "flag {name}"),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::File(path) => write!(f, "file {}", path.display()),
            Origin::Default => f.write_str("default"),
        }
    }
}

struct Merge<'a> {
    matches: &'a ArgMatches,
    file: Option<&'a Path>,
    /// Where in a file the settings stand that come next.
    table: &'static str,
    entries: Vec<Entry>,
}

impl Merge<'_> {
    /// The value that wins.
    fn pick<T: Serialize>(
        &mut self,
        key: &'static str,
        given: Option<T>,
        in_file: Option<T>,
        default: T,
    ) -> T {
        let (value, origin) = self.win(key, given, in_file).unwrap_or((default, Origin::Default));
        self.note(key, &value, origin);
        value
    }

    /// The same for a setting that may stay unset.
    fn pick_option<T: Serialize>(
        &mut self,
        key: &'static str,
        given: Option<T>,
        in_file: Option<T>,
    ) -> Option<T> {
        let (value, origin) = self.win(key, given, in_file).unzip();
        self.note(key, &value, origin.unwrap_or(Origin::Default));
        value
    }

    fn win<T>(&self, key: &'static str, given: Option<T>, in_file: Option<T>) -> Option<(T, Origin)> {
        if let Some(value) = given {
            let origin = match self.matches.value_source(key) {
                Some(ValueSource::EnvVariable) => Origin::Environment(variable(key)),
                Some(_) | None => Origin::Flag(flag(key)),
            };
            return Some((value, origin));
        }
        Some((in_file?, Origin::File(self.file?.to_owned())))
    }

    fn note(&mut self, key: &'static str, value: &impl Serialize, origin: Origin) {
        // Of our values only a path that is not UTF-8 has no JSON form.
        let value = serde_json::to_value(value).unwrap_or_else(|_| Value::from("(a path that is not UTF-8)"));
        self.entries.push(Entry { table: self.table, key, value, origin });
    }
}

/// The variable of a key, which is also the id of the argument.
fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase())
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

/// The limits; the literal without `..` is what makes a limit without a setting a compile error.
fn merge_limits(merge: &mut Merge<'_>, given: &LimitSettings, in_file: &LimitSettings) -> Limits {
    let default = Limits::default();
    merge.table = "limits";
    macro_rules! limits {
        ($($name:ident),* $(,)?) => {
            Limits {
                $($name: {
                    let (given, in_file) = (given.$name.map(NonZero::get), in_file.$name.map(NonZero::get));
                    merge.pick(stringify!($name), given, in_file, default.$name)
                }),*
            }
        };
    }
    limits! {
        connections_max, body_bytes_max, batch_items_max, batch_bytes_max, batch_memory_bytes_max,
        batch_streams_max, header_bytes_max, header_timeout_ms, body_timeout_ms, write_timeout_ms,
        answer_timeout_ms, read_wait_ms_max, streams_max, snapshots_max, snapshot_records, snapshots_kept_max,
        stop_timeout_ms, commands_max, pending_transfers_max, requests_per_connection_max,
    }
}
