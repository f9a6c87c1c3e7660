//! The world: a pipeline, everything around it, and what is going to happen, as one value.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ledger::{Command, Digest, Ledger};
use pipeline::{Answer, LogIdentity, Output, Pipeline};
use projection::Projections;
use serde::{Deserialize, Serialize};
use time::Timestamp;

use crate::checkers::{Checkers, Findings};
use crate::clients::Clients;
use crate::csv::Feed;
use crate::feed_run::{FeedRun, FeedSummary};
use crate::journal_store::{Cut, JournalStore};
use crate::link::Link;
use crate::meter::{Meter, Sample};
use crate::node::Node;
use crate::options::{FaultKind, FaultTime, Options, OptionsError, Workload};
use crate::read_store::ReadStore;
use crate::record::{HandCommand, HandInput, RunRecord};
use crate::rng::{Rng, Stream};
use crate::schedule::{NodeIndex, Occurrence, Schedule};
use crate::workload::Generator;

/// One simulated world. It is a value: a clone goes its own way, and costs O(accounts + in flight), whatever is in the log.
///
/// Nothing happens by itself: [`World::step`] works off one scheduled occurrence. Two worlds with the same options and the same
/// inputs at the same steps are equal, byte for byte of their logs, on every machine.
#[derive(Clone)]
pub struct World {
    pub(crate) options: Arc<Options>,
    inputs: Arc<Vec<(u64, HandInput)>>,
    pub(crate) now: Timestamp,
    step: u64,
    pub(crate) schedule: Schedule,
    pub(crate) nodes: Vec<Node>,
    pub(crate) journal: JournalStore,
    commits: Commits,
    pub(crate) link: Link,
    pub(crate) streams: Streams,
    pub(crate) read_store: ReadStore,
    pub(crate) clients: Clients,
    pub(crate) generator: Generator,
    pub(crate) workload: WorkloadState,
    /// Thousandths of a thousandth of an arrival that are left over from the last tick.
    pub(crate) arrivals_left: u64,
    pub(crate) feed: Option<FeedRun>,
    feeds_waiting: VecDeque<Arc<Feed>>,
    pub(crate) feed_ended: Option<FeedSummary>,
    pub(crate) by_hand: BTreeMap<u64, Command>,
    answers: VecDeque<HandAnswer>,
    pub(crate) checkers: Checkers,
    pub(crate) meter: Meter,
    pub(crate) totals: WorldTotals,
    faults_by_step: VecDeque<(u64, FaultKind)>,
    drained_at: Option<u64>,
    trace: VecDeque<Happened>,
    /// Reused between inputs; empty between steps.
    pub(crate) outputs: Vec<Output>,
}

/// The streams of draws that no part of the world owns alone.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) disk: Rng,
    pub(crate) lookups: Rng,
    pub(crate) crashes: Rng,
    pub(crate) tails: Rng,
    pub(crate) read_store: Rng,
    pub(crate) safeguards: Rng,
    pub(crate) think: Rng,
}

/// Whether the generated workload sends anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkloadState {
    NotStarted,
    Running,
    Ended,
}

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    /// When its virtual time has come.
    Modelled,
    /// Not before the driver has made these bytes durable, either.
    AwaitDriver { log_len: u64 },
}

/// What one step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One occurrence was worked off.
    Done(Happened),
    /// One occurrence was worked off, and with it the last row of a feed was answered. The workload goes on with the next step.
    FeedEnded(FeedSummary),
    /// Nothing was done: the driver must make the log durable up to this point first, and say so by [`World::committed`].
    AwaitCommit(CommitPoint),
    /// Nothing was done, because nothing is going to happen without an input.
    Idle,
    /// Nothing was done: the log has reached [`Options::log_bytes_max`].
    LogFull {
        /// Bytes of the log.
        log_len: u64,
    },
}

/// Why [`World::run`] stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// So many steps were made.
    Steps,
    /// The next occurrence lies behind the time.
    Time,
    /// So many records are durable.
    Sequence,
    /// An invariant broke.
    Broken,
    /// See [`Step::FeedEnded`].
    FeedEnded(FeedSummary),
    /// See [`Step::AwaitCommit`].
    AwaitCommit(CommitPoint),
    /// See [`Step::Idle`].
    Idle,
    /// See [`Step::LogFull`].
    LogFull {
        /// Bytes of the log.
        log_len: u64,
    },
}

/// How far [`World::run`] goes: until the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Steps made by this call.
    pub steps: u64,
    /// Virtual time; occurrences later than this stay where they are.
    pub time: Timestamp,
    /// Durable records.
    pub sequence: u64,
}

impl Default for Until {
    fn default() -> Self {
        Until { steps: u64::MAX, time: Timestamp::MAX, sequence: u64::MAX }
    }
}

/// A place in a log that a driver keeps a copy of. It is only good for the log as it was: whatever was cut off since does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitPoint {
    /// Cuts that the log had had.
    pub cuts: u64,
    /// Bytes from its begin.
    pub log_len: u64,
}

/// What a step worked off, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// The number of the step.
    pub step: u64,
    /// Virtual time, microseconds since the Unix epoch.
    pub at_micros: u64,
    /// What it was.
    pub what: What,
    /// Of how many things, for instance requests.
    pub count: u64,
}

/// Kinds of occurrences.
#[expect(missing_docs, reason = "the names are the words of What::text, which says what each is")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    WorkloadStarted,
    RequestsDelivered,
    AnswersDelivered,
    ClientsWoke,
    ClientTimeouts,
    Arrivals,
    CommandsByHand,
    FeedRows,
    LookupsAnswered,
    Appended,
    AppendFailed,
    LateAppend,
    PipelineTimeout,
    Redrive,
    ReadStoreFolded,
    Crashed,
    Restarted,
    Resumed,
    LinkDown,
    AppendWillFail,
}

impl What {
    /// A sentence without its subject's number.
    pub const fn text(self) -> &'static str {
        match self {
            What::WorkloadStarted => "the workload begins",
            What::RequestsDelivered => "requests arrive at the gateway",
            What::AnswersDelivered => "answers arrive at clients",
            What::ClientsWoke => "clients go on",
            What::ClientTimeouts => "clients lose patience",
            What::Arrivals => "commands arrive",
            What::CommandsByHand => "commands made by hand",
            What::FeedRows => "rows of a feed",
            What::LookupsAnswered => "look-ups are answered",
            What::Appended => "records are durable",
            What::AppendFailed => "an append failed",
            What::LateAppend => "an append of a dead pipeline reaches the store",
            What::PipelineTimeout => "deliveries run out of time",
            What::Redrive => "dead letters are redriven",
            What::ReadStoreFolded => "the read store folds",
            What::Crashed => "the pipeline crashes",
            What::Restarted => "the pipeline reads its log, records",
            What::Resumed => "the pipeline works again",
            What::LinkDown => "the link goes down",
            What::AppendWillFail => "the next append will fail",
        }
    }
}

/// An answer to a command made by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandAnswer {
    /// What [`World::submit`] returned.
    pub number: u64,
    /// The command.
    pub command: Command,
    /// The answer.
    pub answer: Answer,
}

/// What happened in a world since it began.
#[expect(missing_docs, reason = "each name says what is counted")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorldTotals {
    pub requests_sent: u64,
    pub requests_lost: u64,
    pub requests_duplicated: u64,
    /// Requests that arrived while no pipeline was there.
    pub requests_unheard: u64,
    pub answers_sent: u64,
    pub answers_lost: u64,
    pub answers_duplicated: u64,
    pub commands_drawn: u64,
    pub commands_answered: u64,
    pub conflicts_answered: u64,
    pub busy_answered: u64,
    pub dead_letters_answered: u64,
    /// Requests sent again after a timeout or `Busy`.
    pub retries: u64,
    /// Commands whose client gave up without an answer.
    pub given_up: u64,
    /// Commands of the open loop that were not sent, because too many waited.
    pub shed: u64,
    pub lookups_lost: u64,
    pub crashes: u64,
    pub appends_failed: u64,
    /// Late appends of a dead pipeline that the store refused.
    pub appends_fenced: u64,
    /// Bytes that crashes took from the end of the log.
    pub bytes_torn: u64,
}

/// Answers that are kept for [`World::take_answers`]; the oldest are dropped.
const ANSWERS_MAX: usize = 1_024;
/// Steps that are remembered for a report.
const TRACE_MAX: usize = 64;
/// The pipeline that the gateway sends everything to.
pub(crate) const LEADER: NodeIndex = NodeIndex(0);

impl World {
    /// A world at step 0. Nothing has happened in it, not even the opening of an account.
    pub fn new(options: Options) -> Result<World, OptionsError> {
        options.validate()?;
        let seed = options.seed;
        let stream = |stream| Rng::new(seed, stream);
        let mut config = options.pipeline.clone();
        config.hash_seed ^= stream(Stream::Identity).bits();
        let now = Timestamp::from_micros(options.starts_at_micros).expect("options are validated");
        let mut world = World {
            inputs: Arc::default(),
            now,
            step: 0,
            schedule: Schedule::default(),
            checkers: Checkers::new(config.hash_seed),
            nodes: vec![Node::start(config, identity(seed))],
            journal: JournalStore::default(),
            commits: Commits::Modelled,
            link: Link::new(seed),
            streams: Streams {
                disk: stream(Stream::Disk),
                lookups: stream(Stream::Lookups),
                crashes: stream(Stream::Crashes),
                tails: stream(Stream::Tails),
                read_store: stream(Stream::ReadStore),
                safeguards: stream(Stream::Safeguards),
                think: stream(Stream::Think),
            },
            read_store: ReadStore::default(),
            clients: Clients::new(&options),
            generator: Generator::new(&options),
            workload: WorkloadState::NotStarted,
            arrivals_left: 0,
            feed: None,
            feeds_waiting: VecDeque::new(),
            feed_ended: None,
            by_hand: BTreeMap::new(),
            answers: VecDeque::new(),
            meter: Meter::new(now, options.sample_micros),
            totals: WorldTotals::default(),
            faults_by_step: faults_by_step(&options),
            drained_at: None,
            trace: VecDeque::new(),
            outputs: Vec::new(),
            options: Arc::new(options),
        };
        world.journal.open(world.nodes[0].generation());
        world.schedule_faults();
        Ok(world)
    }

    /// Works off the next occurrence, if there is one and nothing holds it back.
    pub fn step(&mut self) -> Step {
        if self.journal.log().len() >= self.options.log_bytes_max {
            return Step::LogFull { log_len: self.journal.log().len() };
        }
        // Before anything begins: a world that waits for its driver is the same as one that does not.
        if let Some(point) = self.held_back() {
            return Step::AwaitCommit(point);
        }
        self.begin_what_is_due();
        if self.schedule.is_idle() {
            self.check_drained();
            return Step::Idle;
        }
        let Some((key, occurrence)) = self.schedule.pop() else { return Step::Idle };
        self.now = self.now.max(key.at);
        self.checkers.findings.at(self.step, self.now);
        let (what, count) = self.happen(occurrence);
        let happened = Happened { step: self.step, at_micros: self.now.micros(), what, count };
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(happened);
        self.step += 1;
        match self.feed_ended.take() {
            Some(summary) => Step::FeedEnded(summary),
            None => Step::Done(happened),
        }
    }

    /// Steps until something in `until` is reached, or the world cannot or should not go on by itself.
    pub fn run(&mut self, until: &Until) -> Stop {
        let failures_before = self.checkers.findings.broken().len();
        for _ in 0..until.steps {
            if self.sequence() >= until.sequence {
                return Stop::Sequence;
            }
            if self.schedule.peek().is_some_and(|(key, _)| key.at > until.time) {
                return Stop::Time;
            }
            match self.step() {
                Step::Done(_) => {}
                Step::FeedEnded(summary) => return Stop::FeedEnded(summary),
                Step::AwaitCommit(point) => return Stop::AwaitCommit(point),
                Step::Idle => return Stop::Idle,
                Step::LogFull { log_len } => return Stop::LogFull { log_len },
            }
            if self.checkers.findings.broken().len() > failures_before {
                return Stop::Broken;
            }
        }
        Stop::Steps
    }

    /// The number of the next step: how many were made.
    pub fn step_number(&self) -> u64 {
        self.step
    }

    /// Virtual time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Virtual time since the world began, microseconds.
    pub fn elapsed_micros(&self) -> u64 {
        self.now.micros() - self.options.starts_at_micros
    }

    /// What the world was made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What reproduces this world.
    pub fn record(&self) -> RunRecord {
        RunRecord { options: (*self.options).clone(), inputs: self.inputs.to_vec(), step: self.step }
    }

    // Inputs made by hand.

    /// Sends a command straight to the gateway, without the network. Returns its number; the answer comes with
    /// [`World::take_answers`]. If the pipeline dies before it answers, the command is sent again with the same id.
    pub fn submit(&mut self, command: Command) -> u64 {
        self.note(HandInput::Submit(HandCommand::from_command(&command)));
        self.submit_by_hand(command)
    }

    /// Feeds files to the pipeline, in order, behind the feeds that are not done. The generated workload waits until then.
    pub fn load_feed(&mut self, feed: Arc<Feed>) {
        self.note(HandInput::LoadFeed { feed: feed.id(), options: feed.options().clone() });
        self.feeds_waiting.push_back(feed);
    }

    /// Puts up to `max` dead letters back into the queue, the oldest first.
    pub fn redrive(&mut self, max: u32) {
        self.note(HandInput::Redrive { max });
        self.schedule.add(self.now, Occurrence::Redrive { max });
    }

    /// Crashes the pipeline.
    pub fn crash(&mut self, down_micros: u64) {
        self.note(HandInput::Crash { down_micros });
        // A crash by hand must not be taken for one that leaves the world idle.
        self.schedule.add(self.now, Occurrence::CrashByHand { down_micros });
    }

    /// Ends the generated workload: clients send no new commands, and the world becomes idle when all is answered.
    pub fn end_workload(&mut self) {
        self.note(HandInput::EndWorkload);
        self.workload = WorkloadState::Ended;
    }

    /// Answers to commands made by hand since the last time, in order.
    pub fn take_answers(&mut self) -> Vec<HandAnswer> {
        self.answers.drain(..).collect()
    }

    // The log, for a driver that keeps a real copy of it.

    /// From now on an append counts as durable only when the driver has made it so. `log_len` bytes are already.
    pub fn await_commits(&mut self, log_len: u64) {
        self.commits = Commits::AwaitDriver { log_len };
    }

    /// The driver has made the log durable up to this point.
    pub fn committed(&mut self, point: CommitPoint) {
        let valid =
            self.journal.cuts_after(point.cuts).fold(point.log_len, |valid, cut| valid.min(cut.log_len));
        if let Commits::AwaitDriver { log_len } = &mut self.commits {
            *log_len = (*log_len).max(valid);
        }
    }

    /// Where the log ends now.
    pub fn commit_point(&self) -> CommitPoint {
        CommitPoint { cuts: self.journal.cuts(), log_len: self.journal.log().len() }
    }

    /// Bytes of the log, those included that a crash may still take.
    pub fn log_len(&self) -> u64 {
        self.journal.log().len()
    }

    /// Appends the bytes of the log from `from` on to `out`.
    pub fn read_log(&self, from: u64, out: &mut Vec<u8>) {
        self.journal.log().read(from, u64::MAX, out);
    }

    /// The cuts with a number above `number`. A driver that keeps a copy makes them before it appends anything to it.
    pub fn log_cuts(&self, number: u64) -> impl Iterator<Item = Cut> {
        self.journal.cuts_after(number)
    }

    /// The journal store.
    pub fn journal(&self) -> &JournalStore {
        &self.journal
    }

    // What is there to be seen.

    /// Records that are durable: the sequence of the next one.
    pub fn sequence(&self) -> u64 {
        self.checkers.fold().next_sequence()
    }

    /// Events that are durable.
    pub fn events_count(&self) -> u64 {
        self.checkers.fold().events_count()
    }

    /// The digest of the durable log.
    pub fn digest(&self) -> Digest {
        self.checkers.fold().ledger().digest()
    }

    /// The ledger that the durable log makes.
    pub fn ledger(&self) -> &Ledger {
        self.checkers.fold().ledger()
    }

    /// What reads may see; while the pipeline is down, what they last saw.
    pub fn projections(&self) -> &Projections {
        self.nodes[0].projections()
    }

    /// The pipeline, if it is up.
    pub fn pipeline(&self) -> Option<&Pipeline> {
        self.nodes[0].running()
    }

    /// What the checkers found.
    pub fn findings(&self) -> &Findings {
        &self.checkers.findings
    }

    /// The store that follows the log behind the pipeline.
    pub fn read_store(&self) -> &ReadStore {
        &self.read_store
    }

    /// Finished samples of throughput and latency, the oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.meter.samples()
    }

    /// How many samples were ever finished; only the last [`SAMPLES_MAX`](crate::SAMPLES_MAX) are kept.
    pub fn samples_finished(&self) -> u64 {
        self.meter.finished
    }

    /// The last steps, the oldest first.
    pub fn trace(&self) -> impl ExactSizeIterator<Item = &Happened> {
        self.trace.iter()
    }

    /// How far the feed under way is: rows answered, and rows in all.
    pub fn feed_progress(&self) -> Option<(u64, u64)> {
        match (&self.feed, self.feeds_waiting.front()) {
            (Some(run), _) => Some(run.progress()),
            (None, Some(feed)) => Some((0, feed.rows_count())),
            (None, None) => None,
        }
    }

    /// Replays the durable log from empty memory, now, and compares everything. Costs O(log).
    pub fn check_replay(&mut self) {
        self.checkers.findings.at(self.step, self.now);
        self.checkers.replay(&self.journal, self.nodes[0].running());
    }

    /// Goes on until the workload has ended and nothing waits any more, and makes every check that belongs at the end. A workload
    /// without an end ([`Options::events_max`]) is ended here. `Err` if the world could not go on to its end.
    #[expect(clippy::result_large_err, reason = "it is called once a run")]
    pub fn finish(&mut self) -> Result<(), Stop> {
        if self.options.events_max == 0 && self.workload != WorkloadState::Ended {
            self.end_workload();
        }
        loop {
            match self.run(&Until::default()) {
                Stop::Idle => break,
                Stop::FeedEnded(_) => {}
                stop => return Err(stop),
            }
        }
        self.check_replay();
        Ok(())
    }

    // Between steps.

    fn note(&mut self, input: HandInput) {
        Arc::make_mut(&mut self.inputs).push((self.step, input));
    }

    /// Starts what begins by itself: a fault at this step, the next feed, or the workload.
    fn begin_what_is_due(&mut self) {
        while self.faults_by_step.front().is_some_and(|(step, _)| *step <= self.step) {
            if let Some((_, kind)) = self.faults_by_step.pop_front() {
                self.schedule.add(self.now, Occurrence::Fault(kind));
            }
        }
        if self.feed.is_some() {
            return;
        }
        if let Some(feed) = self.feeds_waiting.pop_front() {
            self.feed = Some(FeedRun::new(&feed));
            self.schedule.add(self.now, Occurrence::Feed);
            return;
        }
        if self.workload == WorkloadState::NotStarted {
            if self.options.workload == Workload::Idle {
                self.workload = WorkloadState::Ended;
            } else {
                self.workload = WorkloadState::Running;
                self.schedule.add(self.now, Occurrence::WorkloadStarts);
            }
        }
    }

    /// Whether another feed waits behind the one under way.
    pub(crate) fn has_feed_waiting(&self) -> bool {
        !self.feeds_waiting.is_empty()
    }

    pub(crate) fn give_answer(&mut self, answer: HandAnswer) {
        if self.answers.len() == ANSWERS_MAX {
            self.answers.pop_front();
        }
        self.answers.push_back(answer);
    }

    /// What lies behind the cuts with a number above `number` is not committed any more.
    pub(crate) fn forget_commits(&mut self, number: u64) {
        if let Commits::AwaitDriver { log_len } = &mut self.commits {
            *log_len = self.journal.cuts_after(number).fold(*log_len, |len, cut| len.min(cut.log_len));
        }
    }

    /// The point that the driver must commit before the next occurrence, if there is one. Virtual time stands still meanwhile, so
    /// real latency never changes order, batches or bytes.
    fn held_back(&self) -> Option<CommitPoint> {
        let Commits::AwaitDriver { log_len: committed } = self.commits else { return None };
        let needed = match self.schedule.peek() {
            Some((_, Occurrence::Appended(_))) => {
                self.journal.next_durable().map_or(0, |written| written.to_byte)
            }
            Some((_, Occurrence::Resume(_))) => self.journal.log().len(),
            _ => 0,
        };
        (needed > committed).then_some(CommitPoint { cuts: self.journal.cuts(), log_len: needed })
    }

    fn schedule_faults(&mut self) {
        let options = Arc::clone(&self.options);
        for fault in &options.faults {
            if let FaultTime::Micros(micros) = fault.at {
                let at = self.now.saturating_add_micros(micros);
                self.schedule.add(at, Occurrence::Fault(fault.kind.clone()));
            }
        }
        if options.redrive_every_micros > 0 {
            let at = self.now.saturating_add_micros(options.redrive_every_micros);
            self.schedule.add(at, Occurrence::RedriveRound);
        }
        self.schedule_crash();
    }

    /// When nothing is going to happen any more, nothing may wait. Checked once for each such place of a run.
    fn check_drained(&mut self) {
        if self.drained_at == Some(self.step) || self.workload != WorkloadState::Ended {
            return;
        }
        self.drained_at = Some(self.step);
        self.checkers.findings.at(self.step, self.now);
        let waiting = self.what_waits();
        self.checkers.drained(waiting);
    }

    fn what_waits(&self) -> Option<String> {
        if self.clients.waiting() > 0 {
            return Some(format!("{} clients wait for an answer that will not come", self.clients.waiting()));
        }
        if !self.by_hand.is_empty() {
            return Some(format!("{} commands made by hand have no answer", self.by_hand.len()));
        }
        match self.nodes[0].running() {
            None => return Some(String::from("the pipeline is down for good")),
            Some(pipeline) if !pipeline.is_settled() => {
                return Some(format!("the pipeline still works on something: {:?}", pipeline.stats()));
            }
            Some(_) => {}
        }
        let (checkpoint, durable) = (self.read_store.checkpoint(), self.journal.durable_before());
        (checkpoint != durable).then(|| format!("the read store stands at record {checkpoint} of {durable}"))
    }
}

/// The names of the log, from the seed alone.
fn identity(seed: u64) -> LogIdentity {
    let mut rng = Rng::new(seed, Stream::Identity);
    // The first draw keys the hash tables.
    rng.bits();
    let mut id = || {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&rng.bits().to_le_bytes());
        bytes[8..].copy_from_slice(&rng.bits().to_le_bytes());
        bytes
    };
    LogIdentity { log_id: id(), ledger_id: id(), partition: 0 }
}

fn faults_by_step(options: &Options) -> VecDeque<(u64, FaultKind)> {
    let by_step = options.faults.iter().filter_map(|fault| match fault.at {
        FaultTime::Step(step) => Some((step, fault.kind.clone())),
        FaultTime::Micros(_) => None,
    });
    let mut faults: Vec<(u64, FaultKind)> = by_step.collect();
    faults.sort_by_key(|(step, _)| *step);
    faults.into()
}
