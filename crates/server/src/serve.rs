//! From options to a server that answers: the data directory, the socket, the signals, and the errors of starting.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::clock::ClockKind;
use crate::connections::{self, Finished};
use crate::engine::{InboxLimits, Running, SnapshotOptions};
use crate::files::{Driver, FilesError};
use crate::http::front::Front;
use crate::http::metrics::Metrics;
use crate::http::{App, Parts};
use crate::options::{Limits, PageSource, ServeOptions};
use crate::reading::KeepSnapshots;

/// Records in one append at most: what arrives while the disk syncs shares the next sync.
const APPEND_RECORDS_MAX: u32 = 1_024;

/// Why a server did not start, or stopped by itself. Each says what to do.
#[derive(Debug)]
pub enum ServeError {
    /// The page's directory has no `index.html`.
    PageMissing {
        /// The directory that was looked at.
        page: PathBuf,
    },
    /// Somebody else listens on the address.
    AddressInUse {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// The address cannot be listened on.
    Socket {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address can be reached from elsewhere, and there are no tokens.
    Open {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// A limit is 0.
    Limit {
        /// Its name.
        name: &'static str,
    },
    /// The data directory cannot be opened.
    Files(FilesError),
    /// The log could not be written to the end; what was acknowledged is on the disk.
    Failed {
        /// What failed first.
        why: String,
    },
}

/// A server whose data directory and socket are open and which answers nothing yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    front: Front,
    running: Running,
    limits: Limits,
    metrics: Arc<Metrics>,
    stopping: watch::Sender<bool>,
}

/// Opens the data directory and the socket. The log is read and its torn tail cut, which is told as a warning.
///
/// # Errors
/// A page that is not built, an address that is open to all without tokens or in use, a data directory that is in use or
/// whose log is corrupt.
pub async fn bind(options: ServeOptions) -> Result<Bound, ServeError> {
    let ServeOptions { listen, page, data, journal: driver, tokens, hosts, clock, limits } = options;
    limits.validate().map_err(|name| ServeError::Limit { name })?;
    if tokens.is_none() && !listen.ip().is_loopback() {
        return Err(ServeError::Open { listen });
    }
    if let PageSource::Directory(directory) = &page
        && !directory.join("index.html").is_file()
    {
        return Err(ServeError::PageMissing { page: directory.clone() });
    }
    let listener = connections::listen(listen).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::AddressInUse { listen },
        _ => ServeError::Socket { listen, source },
    })?;
    let address = listener.local_addr().map_err(|source| ServeError::Socket { listen, source })?;
    let metrics = Arc::new(Metrics::new());
    let (journal, read_models) = (metrics.journal.clone(), metrics.journal.clone());
    let config = pipeline_config(&limits);
    let connections_max = limits.connections_max as usize;
    let snapshots =
        SnapshotOptions { records: limits.snapshot_records, keep: KeepSnapshots(limits.snapshots_kept_max) };
    let inbox = InboxLimits {
        commands_max: limits.commands_max as usize + connections_max,
        asks_max: connections_max,
    };
    let running = tokio::task::spawn_blocking(move || {
        let (synced, folded) = (move |stats: &_| journal.synced(stats), move |lag| read_models.folded(lag));
        Running::start(&data, &config, &driver, clock, inbox, snapshots, synced, folded)
    });
    let running = running.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let running = running.map_err(ServeError::Files)?;
    if let Some(cut) = &running.cut {
        tracing::warn!("{cut}");
    }
    if let Some(warning) = driver.durability.warning() {
        tracing::warn!("{warning}");
    }
    if clock == ClockKind::Test {
        let now = running.engine.clock().now().micros();
        tracing::warn!(
            now,
            "the clock stands still and moves by POST /v1/clock/advance only: this is for tests, not for money"
        );
    }
    let (stopping, is_stopping) = watch::channel(false);
    let app = App::new(Parts {
        engine: running.engine.clone(),
        limits: limits.clone(),
        tokens,
        hosts,
        journal: driver,
        metrics: Arc::clone(&metrics),
        stopping: is_stopping,
        streams: Arc::new(Semaphore::new(limits.streams_max as usize)),
        snapshots: Arc::new(Semaphore::new(limits.snapshots_max as usize)),
        batch_memory: Arc::new(Semaphore::new(limits.batch_memory_bytes_max.div_ceil(1_024) as usize)),
        batch_streams: Arc::new(Semaphore::new(limits.batch_streams_max as usize)),
    });
    let durable = *running.engine.durable().borrow();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), records = durable.sequence, "the log is recovered");
    let front = Front::new(app, &page);
    Ok(Bound { listener, address, front, running, limits, metrics, stopping })
}

/// Opens everything, prints `listening on http://ADDRESS` as one line, and answers until SIGTERM or Ctrl-C.
///
/// # Errors
/// As [`bind`]; and a log that could not be written to the end.
pub async fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let bound = bind(options).await?;
    // From here on a signal stops in order, also one that comes before the first request.
    let stop = stop_signal();
    let mut out = io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "listening on http://{}", bound.address()).and_then(|()| out.flush());
    drop(out);
    bound.run(stop).await
}

impl Bound {
    /// The address in use; its port is never 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For benchmarks: the same server, whose engine answers every command at once and keeps nothing, so that what HTTP
    /// costs can be told from what the ledger costs. Reads see an empty ledger.
    #[must_use]
    pub fn without_ledger(self) -> Bound {
        self.running.engine.leave_out_ledger();
        self
    }

    /// Answers until `stop` is ready, then lets what is being answered finish, within `stop_timeout_ms`, and ends the
    /// log with a closing seal.
    ///
    /// # Errors
    /// A log that could not be written to the end.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, address: _, front, running, limits, metrics, stopping } = self;
        let engine = running.engine.clone();
        let mut durable = engine.durable();
        let ended = async move { while durable.changed().await.is_ok() {} };
        let stop = async move {
            tokio::select! {
                () = stop => {}
                () = ended => tracing::error!("the engine ended"),
            }
            tracing::info!("stopping: what is being answered is finished first");
            stopping.send_replace(true);
        };
        let finished = connections::answer(listener, front, &limits, metrics, stop).await;
        if finished == Finished::Some {
            tracing::warn!("some clients took longer than {} ms and were cut off", limits.stop_timeout_ms);
        }
        let closed = tokio::task::spawn_blocking(move || running.stop());
        let longest = Duration::from_millis(limits.stop_timeout_ms);
        match tokio::time::timeout(longest, closed).await {
            Ok(Ok(closed)) => closed.map_err(|error| {
                let why = engine.failure().map_or_else(|| error.to_string(), str::to_owned);
                ServeError::Failed { why }
            }),
            Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => {
                let why = format!(
                    "the log was not closed within {} ms: the disk does not answer",
                    longest.as_millis()
                );
                Err(ServeError::Failed { why })
            }
        }
    }
}

/// The pipeline's limits for a server.
fn pipeline_config(limits: &Limits) -> pipeline::Config {
    // Names chosen to collide do no harm with a key that nobody knows.
    let hash_seed = RandomState::new().hash_one(std::process::id());
    let config = Driver::config(APPEND_RECORDS_MAX, hash_seed);
    pipeline::Config {
        commands_max: limits.commands_max,
        pending_transfers_max: limits.pending_transfers_max,
        ..config
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageMissing { page } => write!(
                f,
                "{}: no index.html there, so there is no page to serve; build it with `cargo xtask build`, \
                 or name the directory of a built page with --page",
                page.display()
            ),
            Self::AddressInUse { listen } => write!(
                f,
                "{listen}: another program listens there already; stop it, or choose another address with --listen \
                 (port 0 picks a free one)"
            ),
            Self::Socket { listen, source } => write!(f, "{listen}: cannot listen there: {source}"),
            Self::Open { listen } => write!(
                f,
                "{listen}: others can reach this address, and without tokens they could move money; listen on \
                 127.0.0.1, or name a file of tokens with --token-file"
            ),
            Self::Limit { name } => write!(f, "the limit {name} must be at least 1"),
            Self::Files(error) => error.fmt(f),
            Self::Failed { why } => f.write_str(why),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Socket { source, .. } => Some(source),
            Self::Files(error) => error.source(),
            Self::PageMissing { .. }
            | Self::AddressInUse { .. }
            | Self::Open { .. }
            | Self::Limit { .. }
            | Self::Failed { .. } => None,
        }
    }
}

/// Ready at the first SIGTERM or Ctrl-C from now on; never ready where the system offers neither.
#[cfg(unix)]
fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = [signal(SignalKind::terminate()), signal(SignalKind::interrupt())];
    async move {
        let [terminate, interrupt] = signals;
        tokio::select! {
            () = received(terminate) => {}
            () = received(interrupt) => {}
        }
    }
}

#[cfg(unix)]
async fn received(signal: io::Result<tokio::signal::unix::Signal>) {
    match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn stop_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use tokio::sync::oneshot;

    use super::*;
    use crate::files::DriverOptions;

    fn options(directory: &tempfile::TempDir) -> ServeOptions {
        ServeOptions {
            listen: "127.0.0.1:0".parse().expect("an address"),
            page: PageSource::None,
            data: directory.path().join("data"),
            journal: DriverOptions::default(),
            tokens: None,
            hosts: Vec::new(),
            clock: ClockKind::Wall,
            limits: Limits::default(),
        }
    }

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn get(address: SocketAddr, path: &str) -> String {
        use std::io::Read;
        let mut stream = TcpStream::connect(address).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    async fn refusal(options: ServeOptions) -> String {
        match bind(options).await {
            Ok(_) => panic!("it must not start"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn it_answers_on_a_free_port_until_it_is_stopped() {
        let directory = directory();
        let bound = bind(options(&directory)).await.expect("bound");
        let address = bound.address();
        assert_ne!(address.port(), 0);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(bound.run(async move {
            let _ = stopped.await;
        }));
        let answer = tokio::task::spawn_blocking(move || get(address, "/health/ready")).await;
        let answer = answer.expect("an answer");
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{\"status\":\"ready\"}"),
            "{answer}"
        );
        stop.send(()).expect("still running");
        server.await.expect("no panic").expect("a clean stop");
        assert!(TcpStream::connect(address).is_err(), "the socket is closed");
        bind(options(&directory)).await.expect("the directory is free again");
    }

    #[tokio::test]
    async fn what_keeps_it_from_starting_is_said() {
        let directory = directory();
        let first = bind(options(&directory)).await.expect("bound");
        let listen = first.address();
        let text = refusal(ServeOptions { listen, ..options(&directory) }).await;
        assert!(text.starts_with(&listen.to_string()) && text.contains("--listen"), "{text}");
        let text = refusal(options(&directory)).await;
        assert!(text.contains("data") && text.contains("another process"), "{text}");
        let page = PageSource::Directory(directory.path().to_owned());
        let text = refusal(ServeOptions { page, ..options(&directory) }).await;
        assert!(text.contains("cargo xtask build"), "{text}");
        let listen = "0.0.0.0:0".parse().expect("an address");
        let text = refusal(ServeOptions { listen, ..options(&directory) }).await;
        assert!(text.contains("--token-file"), "{text}");
        let limits = Limits { streams_max: 0, ..Limits::default() };
        let text = refusal(ServeOptions { limits, ..options(&directory) }).await;
        assert_eq!(text, "the limit streams_max must be at least 1");
    }
}
