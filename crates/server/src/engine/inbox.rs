//! What handlers leave for the engine: one lock, held for a push or a swap.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::Command;
use pipeline::Lookup;
use tokio::sync::oneshot;

use super::{EngineDriver, Told};

/// What a client is told to wait when the inbox itself is full, in microseconds.
const RETRY_AFTER_MICROS: u64 = 50_000;

/// Something to be done, or looked at, on the engine's thread.
pub(super) type Ask = Box<dyn FnOnce(&mut EngineDriver) + Send>;

/// What comes in at once, and who waits for what comes of it.
pub(super) enum Arrival {
    One { command: Command, tell: oneshot::Sender<Told> },
    Batch { commands: Vec<Command>, tell: oneshot::Sender<Vec<Told>> },
}

impl Arrival {
    /// Tells that nothing of it was taken. A client that went away has nothing to be told.
    pub(super) fn refuse(self, told: &Told) {
        match self {
            Arrival::One { command: _, tell } => drop(tell.send(told.clone())),
            Arrival::Batch { commands, tell } => drop(tell.send(vec![told.clone(); commands.len()])),
        }
    }

    fn commands(&self) -> usize {
        match self {
            Arrival::One { .. } => 1,
            Arrival::Batch { commands, tell: _ } => commands.len(),
        }
    }
}

/// How much the inbox takes. The pipeline behind it has limits of its own, and it answers known ids even when its queue
/// is full, so the inbox has room for more commands than the queue. The last batch may go beyond, for the same reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxLimits {
    pub(crate) commands_max: usize,
    pub(crate) asks_max: usize,
}

/// Why something was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full {
        retry_after_micros: u64,
    },
    /// For good.
    Closed,
}

pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    limits: InboxLimits,
}

struct State {
    arrivals: Vec<Arrival>,
    /// In all arrivals together.
    commands: usize,
    lookups: Vec<Lookup>,
    asks: VecDeque<Ask>,
    /// Something happened elsewhere that the engine must look at.
    rung: bool,
    closed: bool,
    /// As many wake the engine.
    commands_awaited: usize,
    /// Whether the engine waits; nobody else needs to be woken.
    asleep: bool,
}

impl Inbox {
    pub(super) fn new(limits: InboxLimits) -> Inbox {
        let (arrivals, lookups, asks) = (Vec::new(), Vec::new(), VecDeque::new());
        let state = State {
            arrivals,
            commands: 0,
            lookups,
            asks,
            rung: false,
            closed: false,
            commands_awaited: 1,
            asleep: false,
        };
        Inbox { state: Mutex::new(state), arrived: Condvar::new(), limits }
    }

    /// What is refused is dropped.
    pub(super) fn push(&self, arrival: Arrival) -> Result<(), Refused> {
        let mut state = self.lock();
        if let Some(refused) = refusal(&state, state.commands, self.limits.commands_max) {
            return Err(refused);
        }
        state.commands += arrival.commands();
        state.arrivals.push(arrival);
        if state.commands >= state.commands_awaited {
            self.wake(state);
        }
        Ok(())
    }

    pub(super) fn push_ask(&self, ask: Ask) -> Result<(), Refused> {
        let mut state = self.lock();
        if let Some(refused) = refusal(&state, state.asks.len(), self.limits.asks_max) {
            return Err(refused);
        }
        state.asks.push_back(ask);
        self.wake(state);
        Ok(())
    }

    /// Look-ups that are answered. As many come as were asked for, which the pipeline bounds.
    pub(super) fn answer(&self, mut lookups: Vec<Lookup>) {
        let mut state = self.lock();
        state.lookups.append(&mut lookups);
        self.wake(state);
    }

    /// Wakes the engine without a message.
    pub(super) fn ring(&self) {
        let mut state = self.lock();
        state.rung = true;
        self.wake(state);
    }

    /// Takes nothing more. What is in it is still worked on.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Drops what is in it; whoever waits for it learns that.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.commands = 0;
        let dropped = (std::mem::take(&mut state.arrivals), std::mem::take(&mut state.asks));
        drop(state);
        drop(dropped);
    }

    /// Waits until there are so many commands or anything else, or for `longest`, and moves all of it out. Says whether it
    /// is open.
    pub(super) fn take(
        &self,
        arrivals: &mut Vec<Arrival>,
        lookups: &mut Vec<Lookup>,
        asks: &mut VecDeque<Ask>,
        commands_awaited: usize,
        longest: Option<Duration>,
    ) -> bool {
        let mut state = self.lock();
        state.asleep = true;
        state.commands_awaited = commands_awaited;
        let nothing = |state: &mut State| {
            state.commands < commands_awaited
                && state.lookups.is_empty()
                && state.asks.is_empty()
                && !state.rung
                && !state.closed
        };
        state = match longest {
            Some(longest) => {
                let waited = self.arrived.wait_timeout_while(state, longest, nothing);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.arrived.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner),
        };
        state.asleep = false;
        state.rung = false;
        std::mem::swap(&mut state.arrivals, arrivals);
        state.commands = 0;
        lookups.append(&mut state.lookups);
        asks.append(&mut state.asks);
        !state.closed
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let asleep = std::mem::replace(&mut state.asleep, false);
        drop(state);
        if asleep {
            self.arrived.notify_one();
        }
    }

    /// Nothing that runs under the lock can panic half-way, so a poisoned lock guards a whole state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal(state: &State, length: usize, max: usize) -> Option<Refused> {
    if state.closed {
        Some(Refused::Closed)
    } else if length >= max {
        Some(Refused::Full { retry_after_micros: RETRY_AFTER_MICROS })
    } else {
        None
    }
}
