//! The one thread that owns the pipeline, and the handle by which everything else reaches it.
//!
//! Handlers put commands and reads into an inbox; the engine takes all of it at once, so that what arrives while it works
//! or while the disk syncs becomes the next batch. Commands are answered when they are durable. A read is a function that
//! runs on the engine's thread between two batches and sees the read models, which hold what is durable and nothing more.
//!
//! Invariants, as absences: no lock is held while the pipeline works; no answer is given before its record is on the disk;
//! nothing here waits for a client.

mod inbox;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use ledger::{AccountName, Asset, Command, Digest};
use pipeline::{Answer, Config, LogIdentity, Outcome, Pipeline, Replayed, Reply, Request};
use tokio::sync::{oneshot, watch};

use self::inbox::{Inbox, Message, Refused};
use crate::files::{Cut, Driver, DriverOpened, FilesError, JournalStats, LogFormat, LogShared};

/// Decimal places of an asset that the ledger does not know yet, if nobody says.
const SCALE_DEFAULT: u8 = 2;

/// What a client wants done.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// A command as it is.
    Command(Command),
    /// An opening. Without a scale it takes that of the asset.
    Open { account: AccountName, asset: Asset, scale: Option<u8>, opening_balance: i64 },
}

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

/// What is durable: an account of it for waiting readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
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
    durable: watch::Receiver<Durable>,
    log: LogShared,
    identity: LogIdentity,
    /// Why nothing is written any more.
    failure: OnceLock<String>,
}

/// An engine that runs, with the right to stop it.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    /// The torn tail that was cut off the log.
    pub(crate) cut: Option<Cut>,
    thread: JoinHandle<Result<(), FilesError>>,
}

impl Running {
    /// Opens the data directory, brings the pipeline back and starts the thread. `appended` is called with what the
    /// journal did, after every sync.
    pub(crate) fn start(
        directory: &Path,
        config: &Config,
        format: LogFormat,
        inbox_max: usize,
        synced: impl Fn(&JournalStats) + Send + 'static,
    ) -> Result<Running, FilesError> {
        let inbox = Arc::new(Inbox::new(inbox_max));
        let bell = Arc::clone(&inbox);
        let opened = Driver::open_with(directory, config, format, Box::new(move || bell.ring()))?;
        let DriverOpened { driver, cut } = opened;
        let (publish, durable) = watch::channel(durable_of(driver.pipeline()));
        let log = driver.log().clone();
        let identity = driver.durable_view().identity();
        let shared = Arc::new(Shared { inbox, durable, log, identity, failure: OnceLock::new() });
        let engine = Engine { shared: Arc::clone(&shared) };
        let worker = Worker {
            driver,
            shared,
            publish,
            waiting: HashMap::new(),
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
    /// Hands a wish to the pipeline. The receiver is answered when it is durable.
    pub(crate) fn submit(&self, wish: Wish) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        if let Err(refused) = self.shared.inbox.push(Message::Wish { wish, tell }) {
            let Refused { message, full } = refused;
            if let Message::Wish { tell, .. } = message {
                // The receiver is in our hand, so it is still there.
                let _ = tell.send(match full {
                    Some(retry_after_micros) => Told::Busy { retry_after_micros },
                    None => Told::NotWriting { why: "the server is stopping".to_owned() },
                });
            }
        }
        told
    }

    /// Runs `read` on the engine's thread, between two batches. `None` when the engine has stopped or takes no more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Driver) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let read = Box::new(move |driver: &mut Driver| {
            // Whoever asked may have gone away.
            let _ = tell.send(read(driver));
        });
        self.shared.inbox.push(Message::Read(read)).ok()?;
        told.await.ok()
    }

    /// What is durable, now and whenever it changes.
    pub(crate) fn durable(&self) -> watch::Receiver<Durable> {
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
    publish: watch::Sender<Durable>,
    waiting: HashMap<u64, Waiting>,
    next_request: u64,
    synced: Box<dyn Fn(&JournalStats) + Send>,
}

struct Waiting {
    command: Command,
    tell: oneshot::Sender<Told>,
}

impl Worker {
    fn run(mut self) -> Result<(), FilesError> {
        let mut messages = Vec::new();
        loop {
            let open = self.shared.inbox.take(&mut messages, self.until_timeout());
            let mut requests = Vec::with_capacity(messages.len());
            let mut reads = Vec::new();
            for message in messages.drain(..) {
                match message {
                    Message::Wish { wish, tell } => self.accept(wish, tell, &mut requests),
                    Message::Read(read) => reads.push(read),
                }
            }
            if !requests.is_empty() {
                self.driver.submit(requests);
            }
            let polled = self.driver.poll();
            if let Err(error) = &polled {
                tracing::error!("{error}; nothing more is written, reads go on");
                let why = format!("{error}; restart the server: it recovers what is durable");
                // Only this thread sets it, and only the first failure counts.
                let _ = self.shared.failure.set(why);
            }
            // Published first: who has an answer for a record can wait for it, and find it, at once.
            self.publish();
            self.answer();
            for read in reads {
                read(&mut self.driver);
            }
            if !open && messages.is_empty() {
                return self.close();
            }
        }
    }

    fn accept(&mut self, wish: Wish, tell: oneshot::Sender<Told>, requests: &mut Vec<Request>) {
        if let Some(why) = self.shared.failure.get() {
            let _ = tell.send(Told::NotWriting { why: why.clone() });
            return;
        }
        let command = self.command(wish);
        let request_id = self.next_request;
        self.next_request += 1;
        requests.push(Request { request_id, command: command.clone() });
        self.waiting.insert(request_id, Waiting { command, tell });
    }

    fn command(&self, wish: Wish) -> Command {
        match wish {
            Wish::Command(command) => command,
            Wish::Open { account, asset, scale, opening_balance } => {
                let scale = scale.or_else(|| self.driver.pipeline().ledger().scale_of(&asset));
                Command::OpenAccount {
                    account,
                    asset,
                    scale: scale.unwrap_or(SCALE_DEFAULT),
                    floor: None,
                    opening_balance,
                }
            }
        }
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
        let durable = durable_of(self.driver.pipeline());
        let changed = self.publish.send_if_modified(|known| {
            let changed = *known != durable;
            *known = durable;
            changed
        });
        if changed {
            (self.synced)(&self.driver.journal_stats());
        }
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
        if let Some(why) = self.shared.failure.get() {
            return Err(FilesError::io(Path::new("the log"), "close it", std::io::Error::other(why.clone())));
        }
        self.driver.close().map(drop)
    }
}

fn durable_of(pipeline: &Pipeline) -> Durable {
    let sequence = pipeline.durable_before();
    let last = sequence.checked_sub(1).and_then(|last| pipeline.projections().transactions.at(last));
    let recorded_at = last.map_or(0, |row| row.recorded_at.micros());
    Durable { sequence, digest: pipeline.durable_digest(), recorded_at }
}
