//! A second tab: reads what the first one saves, and waits for its place.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;

use pipeline::Recovery;
use wasm_bindgen_futures::spawn_local;

use super::balances::BalancesOrder;
use super::clock::now_ms;
use super::follow::Follower;
use super::frames::{Frames, Views, counts, log_parts, table_parts};
use super::keeper::StoredRun;
use super::lab::live_is_not_shown;
use super::{LOG, Shell, live};
use crate::protocol::{Frame, LogView, Origin, Request, Response, RunState, RunView, Source, Speed};
use crate::storage::{Lock, Notes, Onlooker, State, StoreError, Waiting};

/// The interval of the charts, which an onlooker does not draw.
const INTERVAL_MICROS: u64 = 100_000;
/// How often the store is looked at, in milliseconds, if no note arrives.
const LOOK_MS: i32 = 500;

/// What the onlooker has read.
struct Read {
    recovery: Recovery,
    follower: Follower,
    order: BalancesOrder,
    position: u64,
    epoch: [u8; 16],
    cuts: u64,
}

impl Read {
    fn new() -> Self {
        Self {
            recovery: Recovery::new(0),
            follower: Follower::new(),
            order: BalancesOrder::default(),
            position: 0,
            epoch: [0; 16],
            cuts: 0,
        }
    }

    async fn catch_up(&mut self, onlooker: &Onlooker) -> Result<ControlFlow<()>, StoreError> {
        let Some(state) = onlooker.state().await? else { return Ok(ControlFlow::Continue(())) };
        if (state.head.epoch, state.head.cuts) != (self.epoch, self.cuts) {
            *self = Self { epoch: state.head.epoch, cuts: state.head.cuts, ..Self::new() };
        }
        self.read(onlooker, &state).await
    }

    async fn read(&mut self, onlooker: &Onlooker, state: &State) -> Result<ControlFlow<()>, StoreError> {
        // What the writer itself does not show yet is not shown here either.
        let until = match serde_json::from_slice::<StoredRun>(&state.run) {
            Ok(StoredRun::Run { durable_bytes, .. }) => durable_bytes,
            Ok(StoredRun::Importing) => 0,
            Err(_) => state.head.log_bytes,
        };
        let mut reader = onlooker.read(state, self.position);
        while self.position < until
            && let Some(mut bytes) = reader.next().await?
        {
            let wanted = usize::try_from(until - self.position).unwrap_or(usize::MAX);
            bytes.truncate(wanted);
            self.follower.push(&bytes, INTERVAL_MICROS);
            let pushed = self.recovery.push(&bytes, |_| ());
            pushed.map_err(|error| StoreError::Damaged { what: error.to_string() })?;
            self.position += bytes.len() as u64;
        }
        Ok(ControlFlow::Break(()))
    }
}

/// Shows what the other tab saves until this one may write.
pub(super) async fn until_granted(
    shell: &Shell,
    waiting: Waiting,
    frames: &mut Frames,
    views: &mut Views,
) -> Result<Lock, StoreError> {
    let granted: Rc<RefCell<Option<Result<Lock, StoreError>>>> = Rc::default();
    {
        let (granted, bell) = (Rc::clone(&granted), shell.bell.clone());
        spawn_local(async move {
            let lock = waiting.granted().await;
            granted.replace(Some(lock));
            bell.ring();
        });
    }
    let news = Rc::new(Cell::new(true));
    let _notes = {
        let (news, bell) = (Rc::clone(&news), shell.bell.clone());
        Notes::listen(LOG, move |_| {
            news.set(true);
            bell.ring();
        })
    };
    let onlooker = Onlooker::open(LOG).await?;
    let mut read = Read::new();
    loop {
        if let Some(lock) = granted.take() {
            return lock;
        }
        while let Some(request) = shell.next_request() {
            if request == Request::SetSource(Source::Server) {
                live::run(shell, frames, views, || ()).await;
            } else {
                handle(shell, request, frames, views);
            }
        }
        // A log that changes under the reader is read again with the next look.
        if let Err(error) = read.catch_up(&onlooker).await
            && error != StoreError::Changed
        {
            return Err(error);
        }
        news.set(false);
        let now = now_ms();
        if frames.is_due(now)
            && let Some(frame) = frames.changes(frame(&mut read, views), now)
        {
            shell.post_frame(&frame);
        }
        if !news.get() {
            shell.bell.rest(LOOK_MS).await;
        }
    }
}

fn handle(shell: &Shell, request: Request, frames: &mut Frames, views: &mut Views) {
    match request {
        Request::FrameShown => frames.give_credit(),
        Request::ViewEvents { view, filter, first_row, rows, follow } => {
            views.events = super::events::EventsView { view, filter, first_row, rows, follow };
        }
        Request::ViewBalances { view, search, sort, direction, first_row, rows } => {
            views.balances = super::balances::BalancesView { view, search, sort, direction, first_row, rows };
        }
        Request::ViewEntries { account, before } => {
            views.entries = account.map(|account| (account, before));
        }
        Request::ViewDeadLetters { rows } => views.dead_letters = rows,
        Request::SetSpeed(_) | Request::Start { .. } | Request::SetSource(_) => {}
        Request::Live(_) => shell.post(&live_is_not_shown()),
        Request::Run
        | Request::Pause
        | Request::Step { .. }
        | Request::Reset { .. }
        | Request::Transfer { .. }
        | Request::LoadCsv { .. }
        | Request::Redrive { .. }
        | Request::Export { .. }
        | Request::Import { .. } => shell.post(&Response::Failed {
            what: "This tab only looks on".to_owned(),
            why: "another tab of this browser writes the log".to_owned(),
            advice: "Use the other tab, or close it: this one then takes over.".to_owned(),
        }),
    }
}

fn frame(read: &mut Read, views: &Views) -> Frame {
    let mut frame = Frame {
        run: Some(RunView { state: RunState::LookingOn, speed: Speed::Real, origin: Origin::Replayed }),
        ..Frame::default()
    };
    let projections = read.recovery.projections();
    let log = LogView {
        bytes: read.position,
        bytes_max: 0,
        saved_step: 0,
        segments: read.position.div_ceil(crate::storage::BLOCK_BYTES),
        usage_bytes: None,
    };
    log_parts(&mut frame, projections, read.recovery.ledger().digest(), log);
    frame.counts = Some(counts(projections, read.follower.events.total()));
    table_parts(&mut frame, views, projections, &mut read.follower.events, &mut read.order);
    frame
}
