//! Runs a pipeline on a file journal.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use pipeline::{Append, Config, Input, Lookup, Output, Pipeline, Reply, Request};
use time::Timestamp;

use super::{Cut, FileJournal, FilesError};

/// Appends on their way at most, by [`Driver::config`]. Those that wait for the disk share its next sync.
const APPENDS_IN_FLIGHT_MAX: u32 = 8;

/// A pipeline with a durable log. The pipeline works on the thread that calls, and a thread of its own writes and syncs
/// while the next appends are executed. What waits for the disk is written and synced at once, so a slow disk gets
/// larger writes.
///
/// It waits for nothing but in [`Driver::wait`] and [`Driver::close`], and it drops no reply.
pub struct Driver {
    pipeline: Pipeline,
    writer: Writer,
    /// What the pipeline wants, while it is being done.
    outputs: Vec<Output>,
    lookups: Vec<Lookup>,
    replies: Vec<Reply>,
    appends_pending: u32,
    /// Whether the log ends in a seal that calls all of it durable.
    closed: bool,
}

/// A driver, and what opening its directory found.
pub struct DriverOpened {
    /// Ready for commands.
    pub driver: Driver,
    /// The torn tail that was cut off the log, for the caller to report.
    pub cut: Option<Cut>,
}

impl Driver {
    /// Batches of `append_records_max` commands that a driver with [`Driver::config`] has room for: those on their way to
    /// the disk, one being gathered and one behind it.
    pub const BATCHES_MAX: u32 = APPENDS_IN_FLIGHT_MAX + 2;

    /// The limits for feeding a pipeline as fast as it goes, with at most `append_records_max` records in an append.
    /// It remembers no more ids than it must, because look-ups are answered from memory here and a small table stays in the
    /// processor's cache. What is not about that is the default. `hash_seed` keys the tables in memory.
    #[must_use]
    pub fn config(append_records_max: u32, hash_seed: u64) -> Config {
        let defaults = Config::default();
        let recent_ids_max = append_records_max.saturating_mul(APPENDS_IN_FLIGHT_MAX + 2);
        let commands_min = append_records_max.saturating_mul(Driver::BATCHES_MAX);
        Config {
            commands_max: commands_min.max(defaults.commands_max),
            stage_commands_max: append_records_max,
            append_records_max,
            appends_in_flight_max: APPENDS_IN_FLIGHT_MAX,
            recent_ids_max,
            hash_seed,
            ..defaults
        }
    }

    /// Opens a data directory and brings its pipeline back.
    ///
    /// # Errors
    /// As [`FileJournal::open`]; and a configuration that cannot work.
    pub fn open(directory: &Path, config: &Config) -> Result<DriverOpened, FilesError> {
        config.validate().map_err(FilesError::Config)?;
        let opened = FileJournal::open(directory, config.hash_seed)?;
        let tail = opened.recovered.tail.as_ref();
        let closed =
            tail.is_none_or(|tail| tail.is_sealed() && tail.durable_before() == tail.next_sequence());
        let pipeline = Pipeline::recover(config, opened.recovered, opened.identity, opened.generation)
            .map_err(FilesError::Config)?;
        let driver = Driver {
            pipeline,
            writer: Writer::start(opened.journal),
            outputs: Vec::new(),
            lookups: Vec::new(),
            replies: Vec::new(),
            appends_pending: 0,
            closed,
        };
        Ok(DriverOpened { driver, cut: opened.cut })
    }

    /// Hands commands to the pipeline, in order. Their replies come when they are durable.
    pub fn submit(&mut self, requests: Vec<Request>) {
        self.input(Input::Submit(requests));
    }

    /// Takes in what became durable since the last call, without waiting.
    ///
    /// # Errors
    /// An append failed. Everything that waits is answered `Unavailable`, and nothing is accepted any more.
    pub fn poll(&mut self) -> Result<(), FilesError> {
        self.handle_timeout();
        while self.appends_pending > 0 {
            match self.writer.done.try_recv() {
                Ok(done) => self.appended(done)?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(self.writer.panicked()),
            }
        }
        Ok(())
    }

    /// Waits until one more append is durable; returns at once if none is on its way.
    ///
    /// # Errors
    /// As [`Driver::poll`].
    pub fn wait(&mut self) -> Result<(), FilesError> {
        self.handle_timeout();
        if self.appends_pending == 0 {
            return Ok(());
        }
        match self.writer.done.recv() {
            Ok(done) => self.appended(done),
            Err(_) => Err(self.writer.panicked()),
        }
    }

    /// The replies since the last call, in order. A request may be answered more than once; the first answer counts.
    pub fn take_replies(&mut self) -> std::vec::Drain<'_, Reply> {
        self.replies.drain(..)
    }

    /// The machine itself: its read models hold what is durable.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Waits until everything accepted is durable and answered, and ends the log with a seal that says so. A log to
    /// which nothing was added stays as it is. Returns the settled pipeline and the last replies.
    ///
    /// # Errors
    /// As [`Driver::poll`].
    pub fn close(mut self) -> Result<(Pipeline, Vec<Reply>), FilesError> {
        while self.appends_pending > 0 {
            self.wait()?;
        }
        assert!(self.pipeline.is_settled(), "with no append on its way nothing waits for one");
        if !self.closed {
            self.input(Input::Close);
            while self.appends_pending > 0 {
                self.wait()?;
            }
        }
        self.writer.stop();
        Ok((self.pipeline, self.replies))
    }

    fn appended(&mut self, done: Done) -> Result<(), FilesError> {
        self.appends_pending -= done.appends;
        match done.durable_before {
            Ok(before) => {
                self.input(Input::Appended { before });
                Ok(())
            }
            Err(error) => {
                self.input(Input::AppendFailed);
                Err(error)
            }
        }
    }

    fn handle_timeout(&mut self) {
        let now = now();
        if self.pipeline.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.pipeline.handle_timeout(now, &mut self.outputs);
            self.take_outputs();
        }
    }

    fn input(&mut self, input: Input) {
        self.pipeline.handle_input(now(), input, &mut self.outputs);
        self.take_outputs();
    }

    fn take_outputs(&mut self) {
        loop {
            for output in self.outputs.drain(..) {
                match output {
                    Output::Reply(reply) => self.replies.push(reply),
                    Output::Append(append) => {
                        self.appends_pending += 1;
                        self.closed = false;
                        self.writer.append(append);
                    }
                    Output::FindTransaction(transaction_id) => {
                        let found = self.pipeline.projections().transactions.found(&transaction_id);
                        self.lookups.push(match found {
                            Some(found) => Lookup::TransactionFound { transaction_id, found },
                            None => Lookup::TransactionAbsent { transaction_id },
                        });
                    }
                }
            }
            if self.lookups.is_empty() {
                return;
            }
            let lookups = std::mem::take(&mut self.lookups);
            self.pipeline.handle_input(now(), Input::Lookups(lookups), &mut self.outputs);
        }
    }
}

/// The thread that owns the journal.
struct Writer {
    appends: Option<Sender<Append>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// What one sync came to.
struct Done {
    /// How many appends it covers.
    appends: u32,
    /// Every record with a smaller sequence is durable.
    durable_before: Result<u64, FilesError>,
}

impl Writer {
    fn start(mut journal: FileJournal) -> Writer {
        // How many appends wait is bounded by the pipeline's `appends_in_flight_max`.
        let (appends, to_write) = channel::<Append>();
        let (report, done) = channel();
        let thread = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while let Ok(first) = to_write.recv() {
                let (mut appends, mut before) = (1, first.next_sequence);
                bytes.clear();
                bytes.extend_from_slice(&first.bytes);
                for next in to_write.try_iter() {
                    appends += 1;
                    before = next.next_sequence;
                    bytes.extend_from_slice(&next.bytes);
                }
                let durable_before = journal.append(&bytes).map(|()| before);
                if report.send(Done { appends, durable_before }).is_err() {
                    return;
                }
            }
        });
        Writer { appends: Some(appends), done, thread: Some(thread) }
    }

    /// An append to a thread that is gone is reported by its missing answer.
    fn append(&mut self, append: Append) {
        if let Some(appends) = &self.appends {
            let _ = appends.send(append);
        }
    }

    fn panicked(&mut self) -> FilesError {
        let stopped = std::io::Error::other("the writing thread panicked");
        FilesError::io(Path::new("the log"), "append to it", stopped)
    }

    /// Ends the thread, which gives the directory's lock back.
    fn stop(&mut self) {
        self.appends = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The wall clock; the pipeline itself makes sure that recorded times never fall.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}
