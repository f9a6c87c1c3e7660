//! The world of this tab and what drives it: the page's requests, the clock, and the store.

use std::sync::Arc;

use ledger::{AccountName, Command};
use pipeline::{Answer, Outcome};
use sim::csv::Feed;
use sim::{Audit, AuditProgress, FeedSummary, HandAnswer, Stop, Until, World};

use super::Shell;
use super::balances::{BalancesOrder, BalancesView};
use super::choices;
use super::clock::now_ms;
use super::events::EventsView;
use super::follow::Follower;
use super::frames::{Frames, Views, counts, invariants, log_parts, table_parts};
use super::keeper::Keeper;
use super::stages::{Rates, dead_letters, queues, stages};
use crate::protocol::{
    CsvNotice, Frame, LogView, MeasuredView, Origin, PauseReason, Replayed, Request, Response, RunState,
    RunView, Speed, Status, TransferAnswer,
};
use crate::storage::StoreError;

/// Real milliseconds that the world may run before the event loop gets a turn.
const SLICE_MS: f64 = 6.0;
/// Steps between two looks at the clock.
const SLICE_STEPS: u64 = 16;
/// A world that is so far behind the clock gives up catching up.
const BEHIND_MS_MAX: f64 = 250.0;
/// Steps that a paused world makes for a redrive or until a transfer by hand is answered.
const ERRAND_STEPS_MAX: u64 = 200_000;
const REDRIVE_STEPS: u64 = 256;
/// The log is replayed from empty memory at each pause, and each time it has doubled, from so many records on.
const AUDIT_RECORDS_MIN: u64 = 4_096;
/// Bytes of it that are replayed in one turn.
const AUDIT_BYTES: u64 = 128 << 10;

/// What virtual time does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Control {
    Running,
    Loading,
    Paused(PauseReason),
}

/// A transfer by hand whose answer the page waits for.
struct ByHand {
    number: u64,
    request: u32,
    transaction_id: String,
}

/// The feed under way, for the page.
pub(super) struct Loading {
    pub(super) feed: Arc<Feed>,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) told_ms: f64,
}

/// Everything of one tab that writes.
pub(super) struct Lab {
    pub(super) world: World,
    pub(super) keeper: Keeper,
    pub(super) control: Control,
    pub(super) feeds: Vec<Arc<Feed>>,
    pub(super) loading: Option<Loading>,
    pub(super) frames: Frames,
    pub(super) views: Views,
    pub(super) origin: Origin,
    follower: Follower,
    order: BalancesOrder,
    rates: Rates,
    speed: Speed,
    /// Where real and virtual time met last: milliseconds, microseconds.
    pace: (f64, u64),
    steps_left: u64,
    errand_steps: u64,
    by_hand: Vec<ByHand>,
    /// The replay under way, beside the world.
    audit: Option<Audit>,
    audit_at: u64,
    measured: Meter,
    pub(super) usage_bytes: Option<u64>,
    /// Nothing can be stored in this browser: the run goes on in memory.
    pub(super) is_storeless: bool,
}

/// Notes for what this machine does a second.
struct Meter {
    from_ms: f64,
    from_events: u64,
    from_virtual: u64,
    view: MeasuredView,
}

impl Lab {
    /// A tab with this world, standing still.
    pub(super) fn new(
        world: World,
        keeper: Keeper,
        reason: PauseReason,
        frames: Frames,
        views: Views,
    ) -> Self {
        let mut lab = Self {
            keeper,
            control: Control::Paused(reason),
            feeds: Vec::new(),
            loading: None,
            frames,
            views,
            origin: Origin::Measured,
            follower: Follower::new(),
            order: BalancesOrder::default(),
            rates: Rates::default(),
            speed: Speed::Real,
            pace: (0.0, 0),
            steps_left: 0,
            errand_steps: 0,
            by_hand: Vec::new(),
            audit: None,
            audit_at: AUDIT_RECORDS_MIN,
            measured: Meter {
                from_ms: now_ms(),
                from_events: 0,
                from_virtual: 0,
                view: MeasuredView::default(),
            },
            usage_bytes: None,
            is_storeless: false,
            world,
        };
        lab.begin_world();
        lab
    }

    /// Puts another world in the place of this one.
    pub(super) fn replace_world(&mut self, world: World, keeper: Keeper, reason: PauseReason) {
        self.world = world;
        self.keeper = keeper;
        self.control = Control::Paused(reason);
        self.feeds.clear();
        self.loading = None;
        self.follower = Follower::new();
        self.order.clear();
        self.rates = Rates::default();
        self.by_hand.clear();
        self.begin_world();
    }

    fn begin_world(&mut self) {
        if self.keeper.is_saving() {
            self.world.await_commits(self.keeper.saved_bytes());
        }
        self.steps_left = 0;
        self.errand_steps = 0;
        self.measured.from_events = self.world.events_count();
        self.measured.from_virtual = self.world.now().micros();
        self.follower.follow(&self.world);
        self.audit = None;
        self.begin_audit();
        self.frames.want_tables();
    }

    /// Does what the page asks, as far as it needs no waiting.
    pub(super) fn handle(&mut self, shell: &Shell, request: Request) {
        match request {
            Request::Run => {
                self.steps_left = 0;
                self.run();
            }
            Request::Pause => {
                self.steps_left = 0;
                self.pause(PauseReason::Asked);
            }
            Request::Step { count } => {
                self.pause(PauseReason::Asked);
                self.control = Control::Paused(PauseReason::Asked);
                self.steps_left = self.steps_left.saturating_add(u64::from(count.max(1)));
            }
            Request::SetSpeed(speed) => {
                self.speed = speed;
                self.set_pace();
            }
            Request::Transfer { request, transaction_id, from_account, to_account, amount } => {
                match transfer(&transaction_id, &from_account, &to_account, amount) {
                    Ok(command) => {
                        let number = self.world.submit(command);
                        self.by_hand.push(ByHand { number, request, transaction_id });
                        self.errand_steps = ERRAND_STEPS_MAX;
                    }
                    Err(why) => {
                        let answer = TransferAnswer::Malformed { why };
                        shell.post(&Response::TransferAnswer { request, transaction_id, answer });
                    }
                }
            }
            Request::ViewEvents { view, filter, first_row, rows, follow } => {
                self.views.events = EventsView { view, filter, first_row, rows, follow };
                self.frames.want_tables();
            }
            Request::ViewBalances { view, search, sort, direction, first_row, rows } => {
                self.views.balances = BalancesView { view, search, sort, direction, first_row, rows };
                self.frames.want_tables();
            }
            Request::ViewEntries { account, before } => {
                self.views.entries = account.map(|account| (account, before));
                self.frames.want_tables();
            }
            Request::ViewDeadLetters { rows } => {
                self.views.dead_letters = rows;
                self.frames.want_tables();
            }
            Request::Redrive { queue: _, count_max } => {
                self.world.redrive(count_max);
                self.errand_steps = self.errand_steps.max(REDRIVE_STEPS);
            }
            Request::FrameShown => self.frames.give_credit(),
            // The page shows this world already, or the loop itself sees to it.
            Request::SetSource(_) => {}
            Request::Live(_) => shell.post(&live_is_not_shown()),
            // These wait for the store or for a file, and are done by the loop itself.
            Request::Start { .. }
            | Request::Reset { .. }
            | Request::LoadCsv { .. }
            | Request::Export { .. }
            | Request::Import { .. } => {}
        }
    }

    fn run(&mut self) {
        if matches!(self.control, Control::Paused(PauseReason::Storage))
            && !self.keeper.is_saving()
            && !self.is_storeless
        {
            return;
        }
        if matches!(self.control, Control::Paused(_)) {
            self.control = if self.loading.is_some() { Control::Loading } else { Control::Running };
            self.origin = Origin::Measured;
            self.set_pace();
        }
    }

    /// Stops virtual time, and checks what is cheap enough to be checked at every stop.
    pub(super) fn pause(&mut self, reason: PauseReason) {
        if matches!(self.control, Control::Running | Control::Loading) {
            self.control = Control::Paused(reason);
            self.begin_audit();
            self.frames.want_tables();
        }
    }

    fn set_pace(&mut self) {
        self.pace = (now_ms(), self.world.now().micros());
    }

    /// A store that failed takes nothing more: the world stands still, and what is saved is safe.
    pub(super) fn storage_failed(&mut self, shell: &Shell, error: &StoreError) {
        self.control = Control::Paused(PauseReason::Storage);
        self.steps_left = 0;
        self.errand_steps = 0;
        shell.post(&Response::Status(status_of(error, self.keeper.saved_bytes())));
    }

    /// Whether the world would go on if it got a turn.
    pub(super) fn wants_turn(&self) -> bool {
        !matches!(self.control, Control::Paused(_)) || self.steps_left > 0 || self.errand_steps > 0
    }

    /// Runs the world for one slice of real time. Says whether it did anything.
    pub(super) fn advance(&mut self, shell: &Shell) -> bool {
        let began = now_ms();
        let before = self.world.step_number();
        if self.steps_left > 0 {
            let made = self.slice(shell, began, self.steps_left, Until::default());
            self.steps_left = self.steps_left.saturating_sub(made);
            if self.steps_left == 0 {
                self.frames.want_tables();
            }
        } else if matches!(self.control, Control::Running) {
            let time = self.due_time(began);
            self.slice(shell, began, u64::MAX, Until { time, ..Until::default() });
        } else if matches!(self.control, Control::Loading) {
            self.slice(shell, began, u64::MAX, Until::default());
        } else {
            // One by one, so that a run does not depend on how long an errand's slices are.
            while self.errand_steps > 0 && now_ms() - began < SLICE_MS {
                if self.slice(shell, began, 1, Until::default()) == 0 {
                    break;
                }
                self.errand_steps = self.errand_steps.saturating_sub(1);
                self.give_answers(shell);
            }
        }
        self.give_answers(shell);
        self.tell_progress(shell);
        self.follower.follow(&self.world);
        if self.world.sequence() >= self.audit_at {
            self.begin_audit();
        }
        self.world.step_number() != before
    }

    /// Begins a replay of the durable log from empty memory, unless one is under way.
    fn begin_audit(&mut self) {
        if self.audit.is_none() && self.world.sequence() > 0 {
            self.audit = Some(Audit::new(&self.world));
        }
        self.audit_at = self.world.sequence().saturating_mul(2).max(AUDIT_RECORDS_MIN);
    }

    /// Does a piece of the replay under way. Says whether there was one.
    pub(super) fn advance_audit(&mut self) -> bool {
        let Some(audit) = &mut self.audit else { return false };
        if audit.advance(&mut self.world, AUDIT_BYTES) == AuditProgress::Done {
            self.audit = None;
        }
        true
    }

    /// Steps until the slice is over, `steps` are made, or the world stops by itself. Returns the steps made.
    fn slice(&mut self, shell: &Shell, began: f64, steps: u64, until: Until) -> u64 {
        let first = self.world.step_number();
        loop {
            let made = self.world.step_number() - first;
            let left = steps.saturating_sub(made);
            if left == 0 {
                return made;
            }
            match self.world.run(&Until { steps: left.min(SLICE_STEPS), ..until }) {
                Stop::Steps => {}
                stop => {
                    self.stopped(shell, stop);
                    return self.world.step_number() - first;
                }
            }
            if now_ms() - began >= SLICE_MS {
                return self.world.step_number() - first;
            }
        }
    }

    fn stopped(&mut self, shell: &Shell, stop: Stop) {
        match stop {
            // The clock or the store lets it go on.
            Stop::Steps | Stop::Time | Stop::Sequence | Stop::AwaitCommit(_) => {}
            Stop::Idle => {
                self.steps_left = 0;
                self.errand_steps = 0;
                self.pause(PauseReason::Asked);
            }
            Stop::LogFull { log_len } => {
                self.steps_left = 0;
                self.errand_steps = 0;
                self.control = Control::Paused(PauseReason::LogFull {
                    bytes: log_len,
                    bytes_max: self.world.options().log_bytes_max,
                });
            }
            Stop::Broken => {
                self.steps_left = 0;
                let broken = self.world.findings().broken().last();
                let name = broken.map_or_else(String::new, |broken| broken.invariant.title().to_owned());
                self.control = Control::Paused(PauseReason::InvariantBroken { name });
            }
            Stop::FeedEnded(summary) => self.feed_ended(shell, &summary),
        }
    }

    fn feed_ended(&mut self, shell: &Shell, summary: &FeedSummary) {
        if let Some(loading) = self.loading.take() {
            let refused: u64 =
                ledger::Reason::ALL.into_iter().map(|reason| summary.refused_for(reason)).sum();
            shell.post(&Response::Csv(CsvNotice::Done {
                accounts: loading.feed.accounts_count(),
                transfers: loading.feed.transfers_count(),
                completed: summary.completed,
                refused,
                known: summary.repeated,
            }));
        }
        self.pause(PauseReason::Asked);
    }

    /// Virtual time that is due by the clock. A world that cannot keep up starts anew from where it is.
    fn due_time(&mut self, now: f64) -> time::Timestamp {
        let Some(per_mille) = self.speed.virtual_per_mille() else { return time::Timestamp::MAX };
        let passed_ms = now - self.pace.0;
        let due = self.pace.1.saturating_add(scaled(passed_ms, per_mille));
        let behind_ms = due.saturating_sub(self.world.now().micros()) / per_mille;
        if behind_ms > scaled(BEHIND_MS_MAX, 1) {
            self.set_pace();
            return self.world.now().saturating_add_micros(per_mille);
        }
        time::Timestamp::from_micros(due).unwrap_or(time::Timestamp::MAX)
    }

    fn give_answers(&mut self, shell: &Shell) {
        for HandAnswer { number, answer, .. } in self.world.take_answers() {
            let Some(at) = self.by_hand.iter().position(|waiting| waiting.number == number) else { continue };
            let ByHand { request, transaction_id, .. } = self.by_hand.remove(at);
            let answer = transfer_answer(&answer);
            shell.post(&Response::TransferAnswer { request, transaction_id, answer });
            if self.by_hand.is_empty() {
                self.errand_steps = 0;
                self.frames.want_tables();
            }
        }
    }

    fn tell_progress(&mut self, shell: &Shell) {
        let progress = self.world.feed_progress();
        let (Some(loading), Some((rows, rows_total))) = (&mut self.loading, progress) else { return };
        let now = now_ms();
        if now - loading.told_ms < 100.0 {
            return;
        }
        loading.told_ms = now;
        // Rows stand for bytes: they are of about the same length.
        let bytes = loading.bytes * rows / rows_total.max(1);
        let (file, bytes_total) = (loading.name.clone(), loading.bytes);
        shell.post(&Response::Csv(CsvNotice::Progress { file, rows, bytes, bytes_total }));
    }

    /// The next frame, if one may go and something changed.
    pub(super) fn frame(&mut self) -> Option<Frame> {
        let now = now_ms();
        if !self.frames.is_due(now) {
            return None;
        }
        self.measure(now);
        let mut frame = Frame::default();
        self.fast_parts(&mut frame);
        if self.frames.tables_due(now) {
            self.slow_parts(&mut frame);
        }
        self.frames.changes(frame, now)
    }

    fn fast_parts(&mut self, frame: &mut Frame) {
        let world = &self.world;
        let state = match &self.control {
            Control::Running => RunState::Running,
            Control::Loading => RunState::Loading,
            Control::Paused(reason) => RunState::Paused(reason.clone()),
        };
        frame.run = Some(RunView { state, speed: self.speed, origin: self.origin });
        frame.virtual_micros = Some(world.now().micros());
        frame.step = Some(world.step_number());
        let bytes = world.log_len();
        let log = LogView {
            bytes,
            bytes_max: world.options().log_bytes_max,
            saved_step: self.keeper.saved_step(),
            segments: self.keeper.saved_bytes().div_ceil(crate::storage::BLOCK_BYTES),
            usage_bytes: self.usage_bytes,
        };
        log_parts(frame, world.projections(), world.digest(), log);
        frame.sequence = Some(world.sequence());
        frame.stages = Some(stages(world, &mut self.rates));
        let mut counts = counts(world.projections(), world.events_count());
        counts.repeats = world.stages().stages.map_or(0, |stages| stages.totals.repeats);
        counts.crashes = world.totals().crashes;
        frame.counts = Some(counts);
        frame.measured = Some(self.measured.view);
    }

    fn slow_parts(&mut self, frame: &mut Frame) {
        frame.options = Some(choices::from_world(self.world.options()));
        frame.queues = Some(queues(&self.world));
        frame.dead_letters = Some(dead_letters(&self.world, self.views.dead_letters));
        frame.invariants = Some(invariants(&self.world));
        frame.chart = Some(self.follower.chart(&self.world));
        let projections = self.world.projections();
        table_parts(frame, &self.views, projections, &mut self.follower.events, &mut self.order);
    }

    fn measure(&mut self, now: f64) {
        let passed_ms = now - self.measured.from_ms;
        if passed_ms < 1_000.0 {
            return;
        }
        let (events, virtual_micros) = (self.world.events_count(), self.world.now().micros());
        let per_second = |count: u64| count * 1_000 / scaled(passed_ms, 1).max(1);
        let (commit_p50_micros, commit_max_micros) = self.keeper.durations_micros();
        self.measured.view = MeasuredView {
            events_per_second: per_second(events - self.measured.from_events.min(events)),
            virtual_per_mille: per_second(virtual_micros - self.measured.from_virtual.min(virtual_micros))
                / 1_000,
            commit_p50_micros,
            commit_max_micros,
        };
        self.measured.from_ms = now;
        self.measured.from_events = events;
        self.measured.from_virtual = virtual_micros;
    }
}

/// The answer to a word about a server while the world in this tab is shown.
pub(super) fn live_is_not_shown() -> Response {
    Response::Failed {
        what: "A request for the live server".to_owned(),
        why: "the page shows the world in this browser".to_owned(),
        advice: "Choose \u{201c}Live server\u{201d} first.".to_owned(),
    }
}

/// What the page is told of a store that failed.
pub(super) fn status_of(error: &StoreError, log_bytes: u64) -> Status {
    let why = error.to_string();
    match error {
        StoreError::Quota { .. } => Status::QuotaExceeded { log_bytes },
        StoreError::Blocked => Status::Blocked,
        StoreError::Damaged { .. } => Status::Damaged { why },
        StoreError::Unavailable { .. } => Status::Unavailable { why },
        StoreError::Closed { .. }
        | StoreError::HeldElsewhere
        | StoreError::Stopped
        | StoreError::CommitTooLarge { .. }
        | StoreError::CutBehindEnd { .. }
        | StoreError::BadName { .. }
        | StoreError::Changed
        | StoreError::Failed { .. } => Status::WriteFailed { why },
    }
}

fn transfer(id: &str, from: &str, to: &str, amount: i64) -> Result<Command, String> {
    let name = |field: &str, text: &str| {
        text.parse::<AccountName>().map_err(|error| format!("The {field} account \"{text}\": {error}."))
    };
    Ok(Command::Transfer {
        transaction_id: id
            .parse()
            .map_err(|error| format!("The transaction id \"{id}\": {error}. It must be a UUID."))?,
        from_account: name("paying", from)?,
        to_account: name("receiving", to)?,
        amount,
        metadata: None,
    })
}

fn transfer_answer(answer: &Answer) -> TransferAnswer {
    let told = |outcome: &Outcome, replayed: pipeline::Replayed| {
        let sequence = outcome.sequence;
        let replayed = match replayed {
            pipeline::Replayed::First => Replayed::First,
            pipeline::Replayed::Again => Replayed::Again,
        };
        match outcome.result {
            ledger::TransactionResult::Completed => TransferAnswer::Completed { sequence, replayed },
            ledger::TransactionResult::Refused(reason) => {
                TransferAnswer::Refused { sequence, reason: reason.as_str().to_owned(), replayed }
            }
        }
    };
    match answer {
        Answer::Done { outcome, replayed } => told(outcome, *replayed),
        // The form sends single transfers, so there is no group to be answered.
        Answer::Linked { outcomes, replayed } => match outcomes.first() {
            Some(outcome) => told(outcome, *replayed),
            None => TransferAnswer::Unavailable,
        },
        Answer::Conflict { .. } => TransferAnswer::Conflict,
        Answer::Busy { depth, retry_after_micros } => {
            TransferAnswer::Busy { depth: *depth, retry_after_micros: *retry_after_micros }
        }
        Answer::DeadLettered { .. } => TransferAnswer::DeadLettered,
        // Its log has one segment, for which there is always room.
        Answer::StorageFull | Answer::Unavailable => TransferAnswer::Unavailable,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "durations are positive and far below 2^63"
)]
fn scaled(ms: f64, factor: u64) -> u64 {
    (ms.max(0.0) as u64).saturating_mul(factor).saturating_add(((ms.max(0.0).fract()) * factor as f64) as u64)
}
