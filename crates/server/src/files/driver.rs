//! Runs a pipeline on a file journal.

use journal::{Encoder, Tail};
use ledger::{Ledger, TransactionId};
use pipeline::{
    AppendedIs, Config, DurableBatch, Elsewhere, Input, Lookup, Output, Pipeline, Reply, Request,
};
use projection::Projections;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::TryRecvError;
use time::Timestamp;

use crate::clock::Clock;
use crate::reading::Rebuilt;

use super::prepare::{Current, Plan};
use super::read_end::{OwnReads, ReadBegin, ReadEnd};
use super::windowed::{WindowOptions, open_windowed};
use super::writer::{Done, Report, Wake, Writer};
use super::{Cut, Durability, Durable, FileJournal, FilesError, LogFormat, LogShared, Opened};

/// Appends on their way at most, by [`Driver::config`]. Those that wait for the disk share its next sync.
const APPENDS_IN_FLIGHT_MAX: u32 = 8;
/// Durations of syncs kept until somebody asks; beyond, the newest are counted and not kept.
const SYNC_MICROS_MAX: usize = 65_536;

/// How a driver keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverOptions {
    /// In which form. Of no consequence in memory.
    pub format: LogFormat,
    /// How much an answer promises.
    pub durability: Durability,
    /// Bytes of a segment at most, about; of a log in the binary form. See [`pipeline::segment_limit`].
    pub segment_bytes: u64,
}

/// The default of [`DriverOptions::segment_bytes`].
pub const SEGMENT_BYTES: u64 = 64 << 20;

impl Default for DriverOptions {
    fn default() -> Self {
        DriverOptions {
            format: LogFormat::default(),
            durability: Durability::default(),
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

/// A pipeline with a durable log. The pipeline works on the thread that calls, and a thread of its own writes and syncs
/// while the next appends are executed. What waits for the disk is written and synced at once, so a slow disk gets
/// larger writes. What is durable goes to the reading end, [`OwnReads`] unless told otherwise.
///
/// Segments are got ready by a third thread before a command is executed that needs them. A disk without room for the next
/// one is no failure: commands are answered [`pipeline::Answer::StorageFull`] until there is room, and it is tried again
/// by itself.
///
/// It waits for nothing but in [`Driver::wait`] and [`Driver::close`], and it drops no reply.
pub struct Driver<R = OwnReads> {
    pipeline: Pipeline<Elsewhere>,
    clock: Clock,
    reads: R,
    log: LogShared,
    writer: Writer,
    /// What the pipeline wants, while it is being done.
    outputs: Vec<Output>,
    asked: Vec<TransactionId>,
    lookups: Vec<Lookup>,
    replies: Vec<Reply>,
    appends_pending: u32,
    /// Why there is no room for the next segment, if that is so.
    storage_full: Option<String>,
    durability: Durability,
    /// Whether the log ends in a seal that calls all of it durable.
    closed: bool,
    /// Whether an append failed, which ends everything but reading.
    failed: bool,
    /// Whether the last seal is being written.
    closing: bool,
    stats: JournalStats,
}

/// What the journal did since its driver was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Bytes of the store, all segments together.
    pub bytes: u64,
    /// Appends made as durable as was asked for.
    pub appends: u64,
    /// Writes; each covers one append or more.
    pub writes: u64,
    /// Syncs that returned. 0 if nothing is synced.
    pub syncs: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// How long writing and syncing took together, in microseconds.
    pub write_micros: u64,
    /// Segments begun.
    pub segments: u64,
    /// How long each write with its sync took since the last call, in microseconds; the first 65,536 of them.
    pub sync_micros: Vec<u32>,
}

/// A driver, and what opening its directory found.
pub struct DriverOpened<R = OwnReads> {
    /// Ready for commands.
    pub driver: Driver<R>,
    /// The torn tail that was cut off the log, for the caller to report.
    pub cut: Option<Cut>,
}

/// What is left of a driver that was closed.
pub struct Closed<R = OwnReads> {
    /// Settled.
    pub pipeline: Pipeline<Elsewhere>,
    /// The reading end; all of the log is in it.
    pub reads: R,
    /// The last replies.
    pub replies: Vec<Reply>,
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
        Driver::open_with(directory, config, &DriverOptions::default(), Arc::new(|| {}))
    }

    /// Opens a data directory, or no directory at all, as [`Driver::open_into`] does.
    ///
    /// # Errors
    /// As [`Driver::open`].
    pub fn open_with(
        directory: &Path,
        config: &Config,
        options: &DriverOptions,
        wake: Wake,
    ) -> Result<DriverOpened, FilesError> {
        Driver::open_into(directory, config, options, wake, OwnReads::new)
    }

    /// The read models: what is durable, and nothing more.
    #[must_use]
    pub fn projections(&self) -> &Projections {
        self.reads.projections()
    }

    /// The durable log, for whoever reads it from another thread while this driver goes on.
    #[must_use]
    pub fn log(&self) -> &LogShared {
        self.reads.log()
    }
}

impl<R: ReadEnd> Driver<R> {
    /// Opens a data directory, or no directory at all, as the options say, with the reading end that `reads` makes of what
    /// was read. It waits until the segment that the log stands in is ready, or is known to have no room. `wake` is called by
    /// the driver's other threads whenever [`Driver::poll`] has something new to take in: after each sync, after a failure,
    /// when a segment is ready, and when they end. It must not block. What `config` says of segments and durability is taken
    /// from the options instead.
    ///
    /// # Errors
    /// As [`Driver::open`].
    pub fn open_into(
        directory: &Path,
        config: &Config,
        options: &DriverOptions,
        wake: Wake,
        reads: impl FnOnce(ReadBegin) -> R,
    ) -> Result<DriverOpened<R>, FilesError> {
        let config = config_for(config, options)?;
        let DriverOptions { format, durability, .. } = *options;
        let opened = FileJournal::open_with(directory, format, durability, config.hash_seed)?;
        Driver::start(opened, options, &config, wake, |begin, _| reads(begin))
    }

    /// As [`Driver::open_into`], for a log in the binary form of which only a window is held in memory.
    ///
    /// # Errors
    /// As [`Driver::open`].
    pub(crate) fn open_windowed(
        directory: &Path,
        config: &Config,
        options: &DriverOptions,
        wake: Wake,
        windows: WindowOptions,
        reads: impl FnOnce(ReadBegin<Rebuilt>, &Ledger) -> R,
    ) -> Result<DriverOpened<R>, FilesError> {
        let config = config_for(config, options)?;
        let opened = open_windowed(directory, options.durability, config.hash_seed, windows)?;
        Driver::start(opened, options, &config, wake, reads)
    }

    pub(super) fn start<M>(
        mut opened: Opened<M>,
        options: &DriverOptions,
        config: &Config,
        wake: Wake,
        reads: impl FnOnce(ReadBegin<M>, &Ledger) -> R,
    ) -> Result<DriverOpened<R>, FilesError> {
        seal_tail(&mut opened)?;
        let durability = options.durability;
        let plan = config.segment_bytes.and_then(|segment_bytes| {
            let current = opened.journal.current_segment();
            let current = current.map(|(path, at_byte)| Current { path: path.to_owned(), at_byte });
            let directory = opened.journal.segments_directory()?.to_owned();
            Some(Plan { directory, current, segment_bytes, durability })
        });
        let tail = opened.recovered.tail.as_ref();
        let closed = tail.is_none_or(|tail| tail.durable_before() == tail.next_sequence());
        let border = tail.and_then(Tail::border);
        let digest = opened.recovered.ledger.digest();
        let (recovered, models) = opened.recovered.with_read_models(Elsewhere::default());
        let mut pipeline = Pipeline::recover(config, recovered, opened.identity, opened.generation)
            .map_err(FilesError::Config)?;
        if let Some(Current { at_byte, .. }) = plan.as_ref().and_then(|plan| plan.current.as_ref()) {
            pipeline = pipeline.in_segment_at(*at_byte);
        }
        let stats = JournalStats { bytes: opened.journal.bytes(), ..JournalStats::default() };
        let durable = Durable { next_sequence: pipeline.durable_before(), bytes: stats.bytes };
        let log = opened.log;
        log.begin(durable);
        let begin = ReadBegin { models, log: log.clone(), identity: pipeline.identity(), border, digest };
        let waits_for_room = plan.is_some();
        let mut driver = Driver {
            log,
            reads: reads(begin, pipeline.ledger()),
            pipeline,
            clock: Clock::wall(),
            writer: Writer::start(opened.journal, plan, wake),
            outputs: Vec::new(),
            asked: Vec::new(),
            lookups: Vec::new(),
            replies: Vec::new(),
            appends_pending: 0,
            storage_full: None,
            durability,
            closed,
            failed: false,
            closing: false,
            stats,
        };
        if waits_for_room {
            driver.next_report()?;
        }
        Ok(DriverOpened { driver, cut: opened.cut })
    }

    /// From now on the pipeline goes by this clock, instead of the machine's.
    pub(crate) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// The time that the pipeline goes by.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Hands commands to the pipeline, in order. Their replies come when they are durable.
    pub fn submit(&mut self, requests: Vec<Request>) {
        self.input(Input::Submit(requests));
    }

    /// Puts up to `max` dead letters, the oldest first, back into the command queue. Returns how many.
    pub fn redrive(&mut self, max: u32) -> u32 {
        // The running total, because a letter that goes back may be executed, or be dead again, before this returns.
        let now = self.now();
        let redriven = |pipeline: &Pipeline<Elsewhere>| pipeline.commands().stats(now).redriven;
        let before = redriven(&self.pipeline);
        self.input(Input::Redrive { max });
        u32::try_from(redriven(&self.pipeline) - before).unwrap_or(u32::MAX)
    }

    /// Takes in what became durable since the last call, without waiting.
    ///
    /// # Errors
    /// An append failed. Everything that waits is answered `Unavailable` ([`Driver::take_replies`] has those answers
    /// too), and nothing is accepted any more; what was durable can still be read from [`Driver::pipeline`]. The failure
    /// is returned once, by the call that learns of it.
    pub fn poll(&mut self) -> Result<(), FilesError> {
        self.handle_timeout();
        loop {
            match self.writer.reports.try_recv() {
                Ok(report) => self.take_report(report)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) if self.failed => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(self.writer_gone()),
            }
        }
    }

    /// Appends that were handed to the writing thread and whose reports [`Driver::poll`] has not taken in.
    #[must_use]
    pub fn appends_pending(&self) -> u32 {
        self.appends_pending
    }

    /// Why commands are answered `StorageFull` now, if they are.
    #[must_use]
    pub fn storage_full(&self) -> Option<&str> {
        self.storage_full.as_deref().filter(|_| self.pipeline.is_storage_full())
    }

    /// Why there will be no room when the segment that is written to is full, if that is known. Nothing is refused yet.
    #[must_use]
    pub fn storage_short(&self) -> Option<&str> {
        self.storage_full.as_deref()
    }

    /// How much an answer promises.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Whether an append failed: from then on every command is answered `Unavailable`, and reads see what was durable.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Syncs that returned so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.stats.syncs
    }

    /// What the journal did so far, with the durations since the last call.
    pub fn journal_stats(&mut self) -> JournalStats {
        let sync_micros = std::mem::take(&mut self.stats.sync_micros);
        JournalStats { sync_micros, ..self.stats.clone() }
    }

    /// Waits until one more append is durable, or there is room for commands that wait for it (or none, which is their
    /// answer); returns at once if there is nothing to wait for.
    ///
    /// # Errors
    /// As [`Driver::poll`].
    pub fn wait(&mut self) -> Result<(), FilesError> {
        self.handle_timeout();
        if self.appends_pending == 0 && !self.pipeline.awaits_segment() {
            return Ok(());
        }
        let appends = self.stats.appends;
        loop {
            self.next_report()?;
            // That a segment is ready is no news for somebody who waits for an append.
            if self.stats.appends > appends || self.appends_pending == 0 {
                return Ok(());
            }
        }
    }

    /// The replies since the last call, in order. A request may be answered more than once; the first answer counts.
    pub fn take_replies(&mut self) -> std::vec::Drain<'_, Reply> {
        self.replies.drain(..)
    }

    /// The machine itself, which is ahead of what is durable.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline<Elsewhere> {
        &self.pipeline
    }

    /// The reading end.
    #[must_use]
    pub fn reads(&self) -> &R {
        &self.reads
    }

    #[cfg(test)]
    pub(crate) fn reads_mut(&mut self) -> &mut R {
        &mut self.reads
    }

    /// Leaves the log as a process does that is killed.
    #[cfg(test)]
    pub(crate) fn into_reads(self) -> R {
        self.reads
    }

    /// Takes in answers to look-ups that the reading end gives later.
    pub fn answer(&mut self, lookups: Vec<Lookup>) {
        self.input(Input::Lookups(lookups));
    }

    /// Waits until everything accepted is durable and answered, and ends the log with a seal that says so. A log to
    /// which nothing was added stays as it is.
    ///
    /// # Errors
    /// As [`Driver::poll`]; and a driver whose append failed before has nothing to end.
    pub fn close(mut self) -> Result<Closed<R>, FilesError> {
        if self.failed {
            return Err(FilesError::Poisoned { path: self.writer.path().to_owned() });
        }
        while self.appends_pending > 0 || self.pipeline.awaits_segment() {
            self.wait()?;
        }
        assert!(self.pipeline.is_settled(), "with no append on its way nothing waits for one");
        if !self.closed {
            self.closing = true;
            self.input(Input::Close);
            while self.appends_pending > 0 {
                self.wait()?;
            }
        }
        self.writer.stop();
        Ok(Closed { pipeline: self.pipeline, reads: self.reads, replies: self.replies })
    }

    fn next_report(&mut self) -> Result<(), FilesError> {
        match self.writer.reports.recv() {
            Ok(report) => self.take_report(report),
            Err(_) => Err(self.writer_gone()),
        }
    }

    fn take_report(&mut self, report: Report) -> Result<(), FilesError> {
        match report {
            Report::Appended(done) => self.appended(done)?,
            Report::SegmentReady => {
                self.storage_full = None;
                self.input(Input::SegmentReady);
            }
            Report::StorageFull { why } => {
                self.storage_full = Some(why);
                self.input(Input::StorageFull);
            }
            Report::Failed(_) if self.failed => {}
            Report::Failed(error) => {
                self.fail();
                return Err(error);
            }
        }
        Ok(())
    }

    fn appended(&mut self, done: Done) -> Result<(), FilesError> {
        self.appends_pending -= done.appends;
        let bytes_written = done.store_bytes - self.stats.bytes;
        self.stats.bytes = done.store_bytes;
        let before = match done.written_before {
            // Behind a failure nothing counts: an append fails too, or nobody is told that it did not.
            Ok(_) | Err(_) if self.failed => return Ok(()),
            Ok(before) => before,
            Err(error) => {
                self.fail();
                return Err(error);
            }
        };
        let stats = &mut self.stats;
        stats.appends += u64::from(done.appends);
        stats.writes += 1;
        stats.syncs = done.syncs;
        stats.bytes_written += bytes_written;
        stats.write_micros += u64::from(done.micros);
        if stats.sync_micros.len() < SYNC_MICROS_MAX {
            stats.sync_micros.push(done.micros);
        }
        if let Some((at_byte, path)) = done.begun {
            self.stats.segments += 1;
            self.log.begun(at_byte, path);
        }
        self.pipeline.handle_input(self.clock.now(), Input::Appended { before }, &mut self.outputs);
        let batches: Vec<DurableBatch> = self.pipeline.elsewhere().take().collect();
        self.reads.take(batches, done.store_bytes);
        self.take_outputs();
        Ok(())
    }

    fn writer_gone(&mut self) -> FilesError {
        self.appends_pending = 0;
        if !self.failed {
            self.fail();
        }
        self.writer.panicked()
    }

    fn fail(&mut self) {
        self.failed = true;
        self.input(Input::AppendFailed);
    }

    fn handle_timeout(&mut self) {
        let now = self.now();
        if self.pipeline.poll_timeout().is_some_and(|deadline| deadline.at <= now) {
            self.pipeline.handle_timeout(now, &mut self.outputs);
            self.take_outputs();
        }
    }

    fn input(&mut self, input: Input) {
        self.pipeline.handle_input(self.clock.now(), input, &mut self.outputs);
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
                        if self.closing { self.writer.close(append) } else { self.writer.append(append) }
                    }
                    Output::FindTransaction(transaction_id) => self.asked.push(transaction_id),
                }
            }
            if !self.asked.is_empty() {
                self.reads.look_up(&self.asked, &mut self.lookups);
                self.asked.clear();
            }
            if self.lookups.is_empty() {
                return;
            }
            let lookups = std::mem::take(&mut self.lookups);
            self.pipeline.handle_input(self.clock.now(), Input::Lookups(lookups), &mut self.outputs);
        }
    }
}

/// What a pipeline must know of how its log is kept.
fn config_for(config: &Config, options: &DriverOptions) -> Result<Config, FilesError> {
    let DriverOptions { format, durability, segment_bytes } = *options;
    let config = Config {
        segment_bytes: match (format, durability) {
            (LogFormat::Binary, Durability::Synced | Durability::Written) => Some(segment_bytes),
            (LogFormat::JsonLines, _) | (_, Durability::Memory) => None,
        },
        appended_is: match durability {
            Durability::Synced => AppendedIs::Durable,
            // Of what is gone with the process, nothing is durable.
            Durability::Written | Durability::Memory => AppendedIs::Written,
        },
        ..config.clone()
    };
    config.validate().map_err(FilesError::Config)?;
    Ok(config)
}

/// Ends a log whose last records have no seal with one that calls them durable: so every driver begins behind a seal, and
/// so do the readers of its log.
fn seal_tail<M>(opened: &mut Opened<M>) -> Result<(), FilesError> {
    match opened.recovered.tail.take() {
        Some(tail) if !tail.is_sealed() => {
            let (recorded_at, next_sequence) = (tail.recorded_at(), tail.next_sequence());
            let (mut encoder, mut seal) = (Encoder::resume(tail), Vec::new());
            encoder.seal(opened.generation, recorded_at, next_sequence, &mut seal);
            opened.journal.append(&seal)?;
            opened.recovered.tail = Some(encoder.tail());
            opened.generation += 1;
        }
        tail => opened.recovered.tail = tail,
    }
    Ok(())
}
