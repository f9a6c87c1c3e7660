//! The one thread that owns the pipeline, and the handle by which everything else reaches it.
//!
//! Handlers put commands and reads into an inbox; the engine takes all of it at once, so that what arrives while it works
//! or while the disk syncs becomes the next batch. Commands are answered when they are durable. A read is a function that
//! runs on the engine's thread between two batches and sees the read models, which hold what is durable and nothing more.
//!
//! Invariants, as absences: no lock is held while the pipeline works; no answer is given before its record is on the disk;
//! nothing here waits for a client.

mod inbox;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{Command, Digest, TransactionResult};
use pipeline::{Answer, Config, LogIdentity, Outcome, Pipeline, Replayed, Reply, Request};
use tokio::sync::{oneshot, watch};

pub(crate) use self::inbox::InboxLimits;
use self::inbox::{Inbox, Read, Refused};
use crate::files::{Cut, Driver, DriverOpened, FilesError, JournalStats, LogFormat, LogShared};

/// How long reads may keep the engine from its commands at a time. Those that are left over wait for the next turn.
const READS_AT_ONCE: Duration = Duration::from_millis(2);

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The command has a durable outcome.
    Done { command: Command, outcome: Outcome, replayed: Replayed },
    /// The id, or the account's name, is taken by another body.
    Conflict { command: Command },
    /// The queue is full; nothing was accepted.
    Busy { retry_after_micros: u64 },
    /// The command became a dead letter.
    DeadLettered { command: Command },
    /// The command may have taken effect, or may still.
    Unknown { command: Command },
    /// Nothing was accepted, because the server writes nothing any more.
    NotWriting { why: String },
}

/// How far the log is durable, for whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Every record with a smaller sequence is durable and in the read models.
    pub(crate) sequence: u64,
    /// Of the ledger as of the record before.
    pub(crate) digest: Digest,
    /// When the record before was written, in microseconds since the Unix epoch; 0 if there is none.
    pub(crate) recorded_at: u64,
}

/// The way to the engine, for handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Arc<Inbox>,
    durable: watch::Receiver<Position>,
    log: LogShared,
    identity: LogIdentity,
    /// Why nothing is written any more.
    failure: OnceLock<String>,
    /// Set when commands are answered without being worked on.
    without_ledger: OnceLock<()>,
}

/// An engine that runs, with the right to stop it.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    /// The torn tail that was cut off the log.
    pub(crate) cut: Option<Cut>,
    thread: JoinHandle<Result<(), FilesError>>,
}

impl Running {
    /// Opens the data directory, brings the pipeline back and starts the thread. The inbox takes at most `limits`.
    /// `synced` is called with what the journal did, after every sync.
    pub(crate) fn start(
        directory: &Path,
        config: &Config,
        format: LogFormat,
        limits: InboxLimits,
        synced: impl Fn(&JournalStats) + Send + 'static,
    ) -> Result<Running, FilesError> {
        let inbox = Arc::new(Inbox::new(limits));
        let bell = Arc::clone(&inbox);
        let opened = Driver::open_with(directory, config, format, Box::new(move || bell.ring()))?;
        let DriverOpened { driver, cut } = opened;
        let (publish, durable) = watch::channel(position_of(driver.pipeline()));
        let log = driver.log().clone();
        let identity = driver.durable_view().identity();
        let (failure, without_ledger) = (OnceLock::new(), OnceLock::new());
        let shared = Arc::new(Shared { inbox, durable, log, identity, failure, without_ledger });
        let engine = Engine { shared: Arc::clone(&shared) };
        let worker = Worker {
            driver,
            shared,
            publish,
            waiting: HashMap::new(),
            reads: VecDeque::new(),
            next_request: 0,
            synced: Box::new(synced),
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(|error| FilesError::io(directory, "start the engine for it", error))?;
        Ok(Running { engine, cut, thread })
    }

    /// Takes no more, lets everything accepted become durable and answered, and ends the log with a closing seal.
    ///
    /// # Errors
    /// An append failed, now or before.
    pub(crate) fn stop(self) -> Result<(), FilesError> {
        self.engine.shared.inbox.close();
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Engine {
    /// Hands a command to the pipeline. The receiver is answered when it is durable.
    pub(crate) fn submit(&self, command: Command) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        if self.shared.without_ledger.get().is_some() {
            // The receiver is in our hand, so it is still there.
            let _ = tell.send(unworked(command));
            return told;
        }
        if let Err((Waiting { tell, .. }, refused)) = self.shared.inbox.push(Waiting { command, tell }) {
            // The receiver is in our hand, so it is still there.
            let _ = tell.send(match refused {
                Refused::Full { retry_after_micros } => Told::Busy { retry_after_micros },
                Refused::Closed => {
                    Told::NotWriting { why: self.failure().unwrap_or("the server is stopping").to_owned() }
                }
            });
        }
        told
    }

    /// From now on every command is answered at once, as done, and forgotten: what HTTP costs without a ledger.
    pub(crate) fn leave_out_ledger(&self) {
        // Once is enough.
        let _ = self.shared.without_ledger.set(());
    }

    /// Runs `read` on the engine's thread, between two batches. `None` when the engine has stopped or takes no more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Driver) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let read = Box::new(move |driver: &mut Driver| {
            // Whoever asked may have gone away, also while it is read.
            if !tell.is_closed() {
                let _ = tell.send(read(driver));
            }
        });
        self.shared.inbox.push_read(read).ok()?;
        told.await.ok()
    }

    /// What is durable, now and whenever it changes.
    pub(crate) fn durable(&self) -> watch::Receiver<Position> {
        self.shared.durable.clone()
    }

    /// What names the log and the ledger.
    pub(crate) fn identity(&self) -> LogIdentity {
        self.shared.identity
    }

    /// The durable log, for readers of events.
    pub(crate) fn log(&self) -> &LogShared {
        &self.shared.log
    }

    /// Why nothing is written any more, if that is so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.shared.failure.get().map(String::as_str)
    }
}

/// The thread's own state.
struct Worker {
    driver: Driver,
    shared: Arc<Shared>,
    publish: watch::Sender<Position>,
    waiting: HashMap<u64, Waiting>,
    reads: VecDeque<Read>,
    next_request: u64,
    synced: Box<dyn Fn(&JournalStats) + Send>,
}

/// A command and who waits for its outcome.
struct Waiting {
    command: Command,
    tell: oneshot::Sender<Told>,
}

impl Worker {
    fn run(mut self) -> Result<(), FilesError> {
        let _end = End(Arc::clone(&self.shared));
        let mut commands = Vec::new();
        loop {
            let longest = if self.reads.is_empty() { self.until_timeout() } else { Some(Duration::ZERO) };
            let open = self.shared.inbox.take(&mut commands, &mut self.reads, longest);
            let mut requests = Vec::with_capacity(commands.len());
            for waiting in commands.drain(..) {
                self.accept(waiting, &mut requests);
            }
            if !requests.is_empty() {
                self.driver.submit(requests);
            }
            if let Err(error) = self.driver.poll() {
                tracing::error!("{error}; nothing more is written, reads go on");
                self.fail(format!("{error}; restart the server: it recovers what is durable"));
            }
            // Published first: who has an answer for a record can wait for it, and find it, at once.
            self.publish();
            self.answer();
            self.read();
            if !open && self.reads.is_empty() {
                return self.close();
            }
        }
    }

    fn accept(&mut self, waiting: Waiting, requests: &mut Vec<Request>) {
        if let Some(why) = self.shared.failure.get() {
            // A client that went away has nothing to be told.
            let _ = waiting.tell.send(Told::NotWriting { why: why.clone() });
            return;
        }
        let request_id = self.next_request;
        self.next_request += 1;
        requests.push(Request { request_id, command: waiting.command.clone() });
        self.waiting.insert(request_id, waiting);
    }

    /// Reads for a while, and leaves the rest for the next turn, so that commands and answers never wait long.
    fn read(&mut self) {
        let began = Instant::now();
        while let Some(read) = self.reads.pop_front() {
            read(&mut self.driver);
            if began.elapsed() >= READS_AT_ONCE {
                return;
            }
        }
    }

    fn fail(&self, why: String) {
        // Only this thread sets it, and only the first failure counts.
        let _ = self.shared.failure.set(why);
    }

    fn answer(&mut self) {
        for Reply { request_id, answer } in self.driver.take_replies() {
            // A command that is redriven is answered once more, when nobody waits.
            let Some(Waiting { command, tell }) = self.waiting.remove(&request_id) else { continue };
            // A client that went away finds its outcome under its id.
            let _ = tell.send(match answer {
                Answer::Done { outcome, replayed } => Told::Done { command, outcome, replayed },
                Answer::Conflict { transaction_id: _ } => Told::Conflict { command },
                Answer::Busy { depth: _, retry_after_micros } => Told::Busy { retry_after_micros },
                Answer::DeadLettered { transaction_id: _ } => Told::DeadLettered { command },
                Answer::Unavailable => Told::Unknown { command },
            });
        }
    }

    fn publish(&mut self) {
        let pipeline = self.driver.pipeline();
        if self.publish.borrow().sequence == pipeline.durable_before() {
            return;
        }
        self.publish.send_replace(position_of(pipeline));
        (self.synced)(&self.driver.journal_stats());
    }

    /// How long the pipeline can be left alone if nothing comes.
    fn until_timeout(&self) -> Option<Duration> {
        let deadline = self.driver.pipeline().poll_timeout()?;
        let now = crate::clock::now();
        Some(Duration::from_micros(deadline.at.micros().saturating_sub(now.micros())))
    }

    fn close(mut self) -> Result<(), FilesError> {
        while self.driver.appends_pending() > 0 {
            let waited = self.driver.wait();
            self.publish();
            self.answer();
            waited?;
        }
        // After a failed append it is an error, too.
        self.driver.close().map(drop)
    }
}

/// Dropped when the engine ends, however it ends: nothing more is taken, and nobody waits for ever.
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "the engine failed; restart the server: it recovers what is durable";
            // Only the first failure counts.
            let _ = self.0.failure.set(why.to_owned());
        }
        self.0.inbox.close();
        self.0.inbox.clear();
    }
}

/// The answer to a command that nobody worked on, as long as that of one that was.
fn unworked(command: Command) -> Told {
    let transaction_id = command.transaction_id();
    let outcome = Outcome { transaction_id, sequence: 1_000_000, result: TransactionResult::Completed };
    Told::Done { command, outcome, replayed: Replayed::First }
}

fn position_of(pipeline: &Pipeline) -> Position {
    let sequence = pipeline.durable_before();
    let last = sequence.checked_sub(1).and_then(|last| pipeline.projections().transactions.at(last));
    let recorded_at = last.map_or(0, |row| row.recorded_at.micros());
    Position { sequence, digest: pipeline.durable_digest(), recorded_at }
}
