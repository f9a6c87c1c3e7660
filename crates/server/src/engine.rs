//! The one thread that owns the pipeline, and the handle by which everything else reaches it.
//!
//! Handlers put commands into an inbox; the engine takes all of it at once, so that what arrives while it works
//! or while the disk syncs becomes the next batch. Commands are answered when they are durable. What is durable goes to the
//! [`reading`](crate::reading) thread first, so that it can be read when its answer is there.
//!
//! Invariants, as absences: no lock is held while the pipeline works; no answer is given before its record is on the disk;
//! nothing here waits for a client.

mod inbox;
mod waiting;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{Command, TransactionResult};
use pipeline::{Config, LogIdentity, Lookup, Outcome, Replayed, Reply, Request};
use tokio::sync::{oneshot, watch};

pub(crate) use self::inbox::InboxLimits;
use self::inbox::{Arrival, Ask, Inbox, Refused};
use self::waiting::Waiting;
use crate::clock::{Clock, ClockKind};
use crate::files::{
    Cut, Driver, DriverOpened, DriverOptions, Durability, FilesError, JournalStats, LogFormat, LogShared,
    ReadBegin, WindowOptions,
};
use crate::reading::{
    self, KeepSnapshots, Known, Listener, Models, News, Position, ReadError, Reading, Remote, WINDOW_IDS,
    Windowed,
};
use crate::runs::RunsConfig;

/// How long the engine may be kept from its commands at a time by what is asked of it. The rest waits for the next turn.
const ASKS_AT_ONCE: Duration = Duration::from_millis(2);

/// While the disk is busy, less commands than these wait until it is done, as their records would anyway: waking up for each
/// of them costs more than executing it.
const COMMANDS_AWAITED: usize = 32;

/// The most commands in one batch: that many request ids belong to it.
pub(crate) const BATCH_COMMANDS_MAX: usize = 1 << 16;

/// The engine's driver.
pub(crate) type EngineDriver = Driver<Remote>;

/// What a client is told of its command, or of its group.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// The command has a durable outcome.
    Done { outcome: Outcome, replayed: Replayed },
    /// The members of a group have durable outcomes, in their order.
    Linked { outcomes: Vec<Outcome>, replayed: Replayed },
    /// The id, or the account's name, is taken by another body; of a group, the id of one of its members.
    Conflict,
    /// The queue is full; nothing was accepted.
    Busy { retry_after_micros: u64 },
    /// The command became a dead letter.
    DeadLettered,
    /// The command may have taken effect, or may still.
    Unknown,
    /// There is no room on the disk for the command's record; nothing was executed.
    StorageFull { why: Arc<str> },
    /// Nothing was accepted, because the server writes nothing any more.
    NotWriting { why: Arc<str> },
}

/// The way to the engine, for handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    inbox: Arc<Inbox>,
    clock: Clock,
    reading: Reading,
    log: LogShared,
    identity: LogIdentity,
    /// Why nothing is written any more.
    failure: Arc<OnceLock<String>>,
    /// Why commands are answered [`Told::StorageFull`] now.
    storage_full: RwLock<Option<String>>,
    /// Set when commands are answered without being worked on.
    without_ledger: OnceLock<()>,
}

/// When snapshots are written to disk, and how many are kept there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SnapshotOptions {
    /// Records between two of them, at least.
    pub(crate) records: u64,
    pub(crate) keep: KeepSnapshots,
}

/// An engine that runs, with the right to stop it.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    /// The torn tail that was cut off the log.
    pub(crate) cut: Option<Cut>,
    thread: JoinHandle<Result<(), FilesError>>,
    reader: JoinHandle<()>,
}

impl Running {
    /// Opens the data directory, brings the pipeline back and starts the threads. The inboxes take at most `limits`.
    /// `synced` is called with what the journal did, after every sync, and `folded` with how long durable records waited
    /// for the read models.
    #[expect(
        clippy::too_many_arguments,
        reason = "what a server is told, handed on by the one caller and one test"
    )]
    pub(crate) fn start(
        directory: &Path,
        config: &Config,
        options: &DriverOptions,
        clock: ClockKind,
        limits: InboxLimits,
        snapshots: SnapshotOptions,
        synced: impl Fn(&JournalStats) + Send + 'static,
        folded: impl Fn(Duration) + Send + 'static,
    ) -> Result<Running, FilesError> {
        let inbox = Arc::new(Inbox::new(limits));
        let bell = Arc::clone(&inbox);
        let read_inbox = Arc::new(reading::Inbox::new(limits.asks_max));
        let wake = Arc::new(move || bell.ring());
        let is_windowed = options.format == LogFormat::Binary && options.durability != Durability::Memory;
        let mut opened_models = None;
        let DriverOpened { mut driver, cut } = if is_windowed {
            let nudged = Arc::clone(&read_inbox);
            let windows = WindowOptions {
                window_ids: WINDOW_IDS,
                keep: snapshots.keep,
                runs: RunsConfig::default(),
                told: Box::new(move |news| {
                    note_news(&news);
                    nudged.nudge();
                }),
            };
            let inbox = Arc::clone(&read_inbox);
            Driver::open_windowed(directory, config, options, wake, windows, |begin, ledger| {
                let windowed = Windowed::new(begin, ledger.clone(), snapshots.records);
                let known = Known::of(&windowed, config.hash_seed);
                opened_models = Some(Models::Windowed(Box::new(windowed)));
                Remote::new(inbox, Some(known))
            })?
        } else {
            let inbox = Arc::clone(&read_inbox);
            Driver::open_into(directory, config, options, wake, |begin: ReadBegin| {
                opened_models = Some(Models::Whole(Box::new(begin)));
                Remote::new(inbox, None)
            })?
        };
        let models = opened_models.expect("an opened driver has a reading end");
        let (log, identity) = (models.log().clone(), models.identity());
        let clock = match clock {
            ClockKind::Wall => Clock::wall(),
            // Where the log ends: so the same log and the same advances are the same times.
            ClockKind::Test => {
                let last = models.border().map(|border| border.recorded_at);
                Clock::standing_at(last.unwrap_or_else(|| Clock::wall().now()))
            }
        };
        driver.set_clock(clock.clone());
        let (failure, storage_full) = (Arc::new(OnceLock::new()), RwLock::new(None));
        let cannot_start = |error| FilesError::io(directory, "start the engine for it", error);
        let listener = Ear { inbox: Arc::clone(&inbox), failure: Arc::clone(&failure), folded };
        let (reading, reader) =
            Reading::start(models, Arc::clone(&read_inbox), listener).map_err(cannot_start)?;
        let without_ledger = OnceLock::new();
        let shared = Shared { inbox, clock, reading, log, identity, failure, storage_full, without_ledger };
        let shared = Arc::new(shared);
        let engine = Engine { shared: Arc::clone(&shared) };
        let worker = Worker {
            driver,
            shared,
            read_inbox,
            waiting: Waiting::default(),
            asks: VecDeque::new(),
            synced: Box::new(synced),
            syncs_told: 0,
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || worker.run());
        let thread = thread.map_err(cannot_start)?;
        Ok(Running { engine, cut, thread, reader })
    }

    /// Takes no more, lets everything accepted become durable and answered, and ends the log with a closing seal.
    ///
    /// # Errors
    /// An append failed, now or before.
    pub(crate) fn stop(self) -> Result<(), FilesError> {
        self.engine.shared.inbox.close();
        // The engine's end ends the reading thread.
        match (self.thread.join(), self.reader.join()) {
            (Ok(result), Ok(())) => result,
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Engine {
    /// Hands a command to the pipeline. The receiver is answered when it is durable.
    pub(crate) fn submit(&self, command: Command) -> oneshot::Receiver<Told> {
        let (tell, told) = oneshot::channel();
        if self.shared.without_ledger.get().is_some() {
            return told_at_once(unworked(&command));
        }
        match self.shared.inbox.push(Arrival::One { command, tell }) {
            Ok(()) => told,
            Err(refused) => told_at_once(self.refusal(refused)),
        }
    }

    /// Hands commands to the pipeline, in order, as one arrival: one push, one wake-up, one answer when the last of them is
    /// durable, with an element for each command in order. What the queue does not take is answered `Busy` one by one; a
    /// group is one command, so no part of a group is taken alone.
    ///
    /// # Panics
    /// If there are more than [`BATCH_COMMANDS_MAX`].
    pub(crate) fn submit_batch(&self, commands: Vec<Command>) -> oneshot::Receiver<Vec<Told>> {
        assert!(commands.len() <= BATCH_COMMANDS_MAX, "a batch is at most BATCH_COMMANDS_MAX commands");
        let count = commands.len();
        if count == 0 {
            return told_at_once(Vec::new());
        }
        let (tell, told) = oneshot::channel();
        match self.shared.inbox.push(Arrival::Batch { commands, tell }) {
            Ok(()) => told,
            Err(refused) => told_at_once(vec![self.refusal(refused); count]),
        }
    }

    fn refusal(&self, refused: Refused) -> Told {
        match refused {
            Refused::Full { retry_after_micros } => Told::Busy { retry_after_micros },
            Refused::Closed => {
                Told::NotWriting { why: self.failure().unwrap_or("the server is stopping").into() }
            }
        }
    }

    /// From now on every command is answered at once, as done, and forgotten: what HTTP costs without a ledger.
    pub(crate) fn leave_out_ledger(&self) {
        // Once is enough.
        let _ = self.shared.without_ledger.set(());
    }

    /// Runs `ask` on the engine's thread, between two batches. `None` when the engine has stopped or takes no more.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut EngineDriver) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let ask = Box::new(move |driver: &mut EngineDriver| {
            // Whoever asked may have gone away.
            if !tell.is_closed() {
                let _ = tell.send(ask(driver));
            }
        });
        self.shared.inbox.push_ask(ask).ok()?;
        told.await.ok()
    }

    /// The time that the pipeline goes by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The read models.
    pub(crate) fn reading(&self) -> &Reading {
        &self.shared.reading
    }

    /// What is durable and folded, now and whenever it changes.
    pub(crate) fn durable(&self) -> watch::Receiver<Position> {
        self.shared.reading.durable()
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

    /// Why commands that would be executed are answered [`Told::StorageFull`] now, if they are.
    pub(crate) fn storage_full(&self) -> Option<String> {
        self.shared.storage_full()
    }
}

impl Shared {
    fn storage_full(&self) -> Option<String> {
        self.storage_full.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The thread's own state.
struct Worker {
    driver: EngineDriver,
    shared: Arc<Shared>,
    read_inbox: Arc<reading::Inbox>,
    waiting: Waiting,
    asks: VecDeque<Ask>,
    synced: Box<dyn Fn(&JournalStats) + Send>,
    syncs_told: u64,
}

impl Worker {
    fn run(mut self) -> Result<(), FilesError> {
        let _end = End(Arc::clone(&self.shared), Arc::clone(&self.read_inbox));
        let (mut arrivals, mut lookups) = (Vec::new(), Vec::new());
        loop {
            let longest = if self.asks.is_empty() { self.until_timeout() } else { Some(Duration::ZERO) };
            let awaited = if self.driver.appends_pending() > 0 { COMMANDS_AWAITED } else { 1 };
            let open = self.shared.inbox.take(&mut arrivals, &mut lookups, &mut self.asks, awaited, longest);
            if !lookups.is_empty() {
                self.driver.answer(std::mem::take(&mut lookups));
            }
            let mut requests = Vec::with_capacity(arrivals.len());
            for arrival in arrivals.drain(..) {
                self.accept(arrival, &mut requests);
            }
            if !requests.is_empty() {
                self.driver.submit(requests);
            }
            if let Err(error) = self.driver.poll() {
                tracing::error!("{error}; nothing more is written, reads go on");
                self.fail(format!("{error}; restart the server: it recovers what is durable"));
            }
            self.tell_synced();
            self.note_storage();
            self.answer();
            self.work_off_asks();
            if !open && self.asks.is_empty() {
                return self.close();
            }
        }
    }

    fn accept(&mut self, arrival: Arrival, requests: &mut Vec<Request>) {
        match self.shared.failure.get() {
            None => self.waiting.add(arrival, requests),
            Some(why) => arrival.refuse(&Told::NotWriting { why: why.as_str().into() }),
        }
    }

    /// For a while; the rest is left for the next turn, so that commands and answers never wait long.
    fn work_off_asks(&mut self) {
        let began = Instant::now();
        while let Some(ask) = self.asks.pop_front() {
            ask(&mut self.driver);
            if began.elapsed() >= ASKS_AT_ONCE {
                return;
            }
        }
    }

    fn note_storage(&self) {
        let full = self.driver.storage_full();
        // Only this thread writes it, so most of the time there is nothing to wait for.
        let known = self.shared.storage_full.read().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() == full {
            return;
        }
        match full {
            Some(why) => tracing::error!("{why}; commands are refused until there is room, reads go on"),
            None => tracing::info!("there is room on the disk again"),
        }
        let full = full.map(str::to_owned);
        drop(known);
        *self.shared.storage_full.write().unwrap_or_else(PoisonError::into_inner) = full;
    }

    fn fail(&self, why: String) {
        // Only this thread sets it, and only the first failure counts.
        let _ = self.shared.failure.set(why);
    }

    fn answer(&mut self) {
        for Reply { request_id, answer } in self.driver.take_replies() {
            self.waiting.answer(request_id, answer, || {
                self.shared.storage_full().unwrap_or_else(|| "there is room again by now".to_owned()).into()
            });
        }
    }

    fn tell_synced(&mut self) {
        if self.driver.syncs() != self.syncs_told {
            self.syncs_told = self.driver.syncs();
            (self.synced)(&self.driver.journal_stats());
        }
    }

    /// How long the pipeline can be left alone if nothing comes.
    fn until_timeout(&self) -> Option<Duration> {
        let deadline = self.driver.pipeline().poll_timeout()?;
        self.shared.clock.until(&deadline)
    }

    fn close(mut self) -> Result<(), FilesError> {
        while self.driver.appends_pending() > 0 {
            let waited = self.driver.wait();
            self.tell_synced();
            self.answer();
            waited?;
        }
        // After a failed append it is an error, too.
        self.driver.close().map(drop)
    }
}

/// What the reading thread tells the engine.
struct Ear<F> {
    inbox: Arc<Inbox>,
    failure: Arc<OnceLock<String>>,
    folded: F,
}

impl<F: Fn(Duration) + Send> Listener for Ear<F> {
    fn answered(&self, lookups: Vec<Lookup>) {
        self.inbox.answer(lookups);
    }

    fn cannot_tell(&self, error: &ReadError) {
        // Only the first failure counts.
        let _ = self.failure.set(format!("{error}; restart the server: it makes it again from the log"));
        tracing::error!("{error}; nothing more is written, reads go on");
        self.inbox.ring();
    }

    fn folded(&self, lag: Duration) {
        (self.folded)(lag);
    }

    fn ended(&self) {
        note_panic(&self.failure);
        // Without look-ups nothing can be decided.
        self.inbox.close();
    }
}

fn note_news(news: &News) {
    match news {
        News::Written => {}
        News::Trouble(why) => tracing::error!("{why}; it is tried again, and what it is for stays in memory"),
        News::TroubleOver => tracing::info!("what could not be written is written"),
    }
}

/// Dropped when the engine ends, however it ends: nothing more is taken, and nobody waits for ever.
struct End(Arc<Shared>, Arc<reading::Inbox>);

impl Drop for End {
    fn drop(&mut self) {
        note_panic(&self.0.failure);
        self.0.inbox.close();
        self.0.inbox.clear();
        self.1.close();
    }
}

fn note_panic(failure: &OnceLock<String>) {
    if std::thread::panicking() {
        let why = "the engine failed; restart the server: it recovers what is durable";
        // Only the first failure counts.
        let _ = failure.set(why.to_owned());
    }
}

/// An answer that nobody has to wait for.
fn told_at_once<T>(answer: T) -> oneshot::Receiver<T> {
    let (tell, told) = oneshot::channel();
    // The receiver is in our hand, so it is still there.
    let _ = tell.send(answer);
    told
}

/// The answer to a command that nobody worked on, as long as that of one that was.
fn unworked(command: &Command) -> Told {
    let transaction_id = command.transaction_id();
    let outcome = Outcome { transaction_id, sequence: 1_000_000, result: TransactionResult::Completed };
    Told::Done { outcome, replayed: Replayed::First }
}
