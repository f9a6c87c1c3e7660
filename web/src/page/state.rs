//! What the page knows: the last of each part of a frame, and the last answers.
//!
//! State changes only in [`State::reduce`]. Parts are shared and compared by address, so a component draws again only
//! when its own part came anew.

use std::ops::Deref;
use std::rc::Rc;

use yew::{AttrValue, Reducible};

use super::dom::PersistAnswer;
use super::live::{LiveState, SentCommand};
use super::notices::{self, Notice};
use crate::protocol::{
    AssetTotal, BalancesWindow, ChartView, CountsView, CsvNotice, DeadLetterRow, EntriesWindow, EventsWindow,
    Frame, InvariantView, LogForm, LogView, MeasuredView, PauseReason, QueueView, Response, RunOptions,
    RunState, RunView, Source, StageView, Status, TransferAnswer,
};

/// A shared part of the state. Equal means the same allocation: a new part is a change, whatever it holds.
#[derive(Debug, Default)]
pub(super) struct Part<T>(Rc<T>);

impl<T> Part<T> {
    /// A part that differs from every other.
    pub(super) fn new(value: T) -> Self {
        Self(Rc::new(value))
    }
}

impl<T> Clone for Part<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Everything the page draws.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Whether the worker lives.
    pub worker: WorkerState,
    /// What is shown: the world in this tab, which everything below is about, or a live server.
    pub source: Source,
    /// The live server.
    pub live: LiveState,
    /// Whether the world runs.
    pub run: Part<RunView>,
    /// The world's options.
    pub options: Part<RunOptions>,
    /// The next sequence of the log.
    pub sequence: u64,
    /// The digest at that sequence; empty until the first frame.
    pub digest: AttrValue,
    /// Virtual time.
    pub virtual_micros: u64,
    /// Steps of the world.
    pub step: u64,
    /// The sums over all client accounts.
    pub totals: Part<Vec<AssetTotal>>,
    /// The pipeline.
    pub stages: Part<Vec<StageView>>,
    /// The queues.
    pub queues: Part<Vec<QueueView>>,
    /// The dead letters.
    pub dead_letters: Part<Vec<DeadLetterRow>>,
    /// The event table.
    pub events: Part<Option<EventsWindow>>,
    /// The balance table.
    pub balances: Part<Option<BalancesWindow>>,
    /// The entries of the chosen account.
    pub entries: Part<Option<EntriesWindow>>,
    /// The invariants.
    pub invariants: Part<Vec<InvariantView>>,
    /// The charts.
    pub chart: Part<Option<ChartView>>,
    /// The log.
    pub log: Part<Option<LogView>>,
    /// The counts.
    pub counts: Part<CountsView>,
    /// What this machine does.
    pub measured: Part<MeasuredView>,
    /// The last status of the storage.
    pub status: Part<Status>,
    /// What the browser said about keeping the log.
    pub persist: Option<PersistAnswer>,
    /// Messages that stay until they are dismissed or no longer true.
    pub notices: Part<Vec<Notice>>,
    /// The transfer form's last question and answer.
    pub transfer: Part<Option<SentTransfer>>,
    /// The last word about a load of CSV files.
    pub csv: Part<Option<CsvNotice>>,
    /// The last export or import, in words.
    pub file_notice: Option<AttrValue>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            worker: WorkerState::Starting,
            source: Source::default(),
            live: LiveState::default(),
            run: Part::new(RunView {
                state: RunState::Opening,
                speed: crate::protocol::Speed::Real,
                origin: crate::protocol::Origin::Replayed,
            }),
            options: Part::default(),
            sequence: 0,
            digest: AttrValue::from(""),
            virtual_micros: 0,
            step: 0,
            totals: Part::default(),
            stages: Part::default(),
            queues: Part::default(),
            dead_letters: Part::default(),
            events: Part::default(),
            balances: Part::default(),
            entries: Part::default(),
            invariants: Part::default(),
            chart: Part::default(),
            log: Part::default(),
            counts: Part::default(),
            measured: Part::default(),
            status: Part::new(Status::Opening),
            persist: None,
            notices: Part::default(),
            transfer: Part::default(),
            csv: Part::default(),
            file_notice: None,
        }
    }
}

impl State {
    /// Whether the world may be told to do something: it is there, and it is this tab's.
    pub(super) fn can_act(&self) -> bool {
        self.worker == WorkerState::Live && can_act(&self.run.state)
    }

    /// The default asset's code and decimals.
    pub(super) fn default_asset(&self) -> (AttrValue, u8) {
        self.totals
            .first()
            .map_or((AttrValue::from("USD"), 2), |total| (AttrValue::from(total.asset.clone()), total.scale))
    }
}

/// Whether a world in this state takes orders.
pub(super) fn can_act(state: &RunState) -> bool {
    match state {
        RunState::Running | RunState::Paused(_) => true,
        RunState::Opening | RunState::CatchingUp { .. } | RunState::Loading | RunState::LookingOn => false,
    }
}

/// Whether virtual time could flow on from this state.
pub(super) fn can_run(state: &RunState) -> bool {
    match state {
        RunState::Paused(reason) => match reason {
            PauseReason::Fresh | PauseReason::Asked | PauseReason::Restored | PauseReason::Imported => true,
            PauseReason::LogFull { .. } | PauseReason::InvariantBroken { .. } | PauseReason::Storage => false,
        },
        RunState::Opening
        | RunState::CatchingUp { .. }
        | RunState::Running
        | RunState::Loading
        | RunState::LookingOn => false,
    }
}

/// Whether the worker lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WorkerState {
    /// It is being loaded.
    Starting,
    /// It listens.
    Live,
    /// It stopped; the page must be loaded again.
    Dead(AttrValue),
}

/// A transfer that was sent by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SentTransfer {
    /// The number of the request.
    pub request: u32,
    /// Its idempotency key.
    pub transaction_id: String,
    /// Who pays.
    pub from_account: String,
    /// Who is paid.
    pub to_account: String,
    /// Minor units.
    pub amount: i64,
    /// The answer, once there is one.
    pub answer: Option<TransferAnswer>,
}

/// What changes the state.
#[derive(Debug)]
pub(super) enum Action {
    /// A frame came.
    Frame(Box<Frame>),
    /// A message came.
    Told(Response),
    /// The worker stopped, and why.
    Died(String),
    /// The browser answered whether it keeps the log.
    Persist(PersistAnswer),
    /// The user sent a transfer.
    TransferSent(SentTransfer),
    /// The user sent a command to the live server.
    CommandSent(SentCommand),
    /// The user wants to see something else.
    Source(Source),
    /// The user sent CSV files.
    CsvSent,
    /// The user took a message away: its place in the list.
    Dismiss(usize),
}

impl Reducible for State {
    type Action = Action;

    fn reduce(self: Rc<Self>, action: Action) -> Rc<Self> {
        let mut next = Self::clone(&self);
        match action {
            Action::Frame(frame) => match frame.source {
                Source::Browser => next.take_frame(*frame),
                Source::Server => next.live.take_frame(*frame),
            },
            Action::Told(response) => next.take_response(response),
            Action::Died(why) => next.worker = WorkerState::Dead(AttrValue::from(why)),
            Action::Persist(answer) => next.persist = Some(answer),
            Action::TransferSent(sent) => next.transfer = Part::new(Some(sent)),
            Action::CommandSent(sent) => next.live.sent = Part::new(Some(sent)),
            Action::Source(source) if source == next.source => return self,
            Action::Source(source) => {
                next.source = source;
                // What is known of a server ends with the connection to it.
                next.live = LiveState::default();
            }
            Action::CsvSent => next.csv = Part::new(None),
            Action::Dismiss(place) => {
                let mut notices = Vec::clone(&next.notices);
                if place < notices.len() {
                    notices.remove(place);
                }
                next.notices = Part::new(notices);
            }
        }
        Rc::new(next)
    }
}

impl State {
    fn take_frame(&mut self, frame: Frame) {
        take(&mut self.run, frame.run);
        take(&mut self.options, frame.options);
        self.sequence = frame.sequence.unwrap_or(self.sequence);
        if let Some(digest) = frame.digest {
            self.digest = AttrValue::from(digest);
        }
        self.virtual_micros = frame.virtual_micros.unwrap_or(self.virtual_micros);
        self.step = frame.step.unwrap_or(self.step);
        take(&mut self.totals, frame.balances_total);
        take(&mut self.stages, frame.stages);
        take(&mut self.queues, frame.queues);
        take(&mut self.dead_letters, frame.dead_letters);
        take(&mut self.events, frame.events.map(Some));
        take(&mut self.balances, frame.balances.map(Some));
        take(&mut self.entries, frame.entries.map(Some));
        take(&mut self.invariants, frame.invariants);
        take(&mut self.chart, frame.chart.map(Some));
        take(&mut self.log, frame.log.map(Some));
        take(&mut self.counts, frame.counts);
        take(&mut self.measured, frame.measured);
    }

    fn take_response(&mut self, response: Response) {
        match response {
            Response::Ready { .. } => self.worker = WorkerState::Live,
            Response::Status(status) => {
                self.notices = Part::new(notices::after_status(&self.notices, &status));
                self.status = Part::new(status);
            }
            Response::TransferAnswer { request, answer, .. } => {
                if let Some(sent) = self.transfer.as_ref().filter(|sent| sent.request == request) {
                    self.transfer = Part::new(Some(SentTransfer { answer: Some(answer), ..sent.clone() }));
                }
            }
            Response::HandAnswer { request, answer } => self.live.take_answer(request, answer),
            Response::Csv(notice) => self.csv = Part::new(Some(notice)),
            Response::ExportReady { form, file } => {
                let form = match form {
                    LogForm::Binary => "binary",
                    LogForm::JsonLines => "JSON Lines",
                };
                self.file_notice = Some(AttrValue::from(format!("Exported as {form}: {}", file.name)));
            }
            Response::ImportDone { file, sequence, digest, .. } => {
                self.file_notice =
                    Some(AttrValue::from(format!("{file} verified: {sequence} records, digest {digest}")));
            }
            Response::Failed { what, why, advice } => {
                let mut notices = Vec::clone(&self.notices);
                notices.push(Notice::failed(&what, &why, &advice));
                self.notices = Part::new(notices);
            }
        }
    }
}

pub(super) fn take<T>(part: &mut Part<T>, news: Option<T>) {
    if let Some(news) = news {
        *part = Part::new(news);
    }
}
