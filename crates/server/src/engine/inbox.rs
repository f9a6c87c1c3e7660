//! What handlers leave for the engine: one lock, held for a push or a swap.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Told, Wish};
use crate::files::Driver;

/// What `Busy` tells a client to wait when the inbox itself is full, in microseconds.
const RETRY_AFTER_MICROS: u64 = 50_000;

pub(super) enum Message {
    Wish { wish: Wish, tell: oneshot::Sender<Told> },
    Read(Box<dyn FnOnce(&mut Driver) + Send>),
}

/// A message that was not taken.
pub(super) struct Refused {
    pub(super) message: Message,
    /// When to try again, in microseconds; `None` if the inbox is closed for good.
    pub(super) full: Option<u64>,
}

pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    messages_max: usize,
}

struct State {
    messages: Vec<Message>,
    /// Something happened elsewhere that the engine must look at.
    rung: bool,
    closed: bool,
    /// Whether the engine waits; nobody else needs to be woken.
    asleep: bool,
}

impl Inbox {
    pub(super) fn new(messages_max: usize) -> Inbox {
        let state = State { messages: Vec::new(), rung: false, closed: false, asleep: false };
        Inbox { state: Mutex::new(state), arrived: Condvar::new(), messages_max }
    }

    pub(super) fn push(&self, message: Message) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused { message, full: None });
        }
        if state.messages.len() >= self.messages_max {
            return Err(Refused { message, full: Some(RETRY_AFTER_MICROS) });
        }
        state.messages.push(message);
        self.wake(state);
        Ok(())
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

    /// Waits until there is something, or for `longest`, and moves all of it to `messages`. Says whether it is open.
    pub(super) fn take(&self, messages: &mut Vec<Message>, longest: Option<Duration>) -> bool {
        let mut state = self.lock();
        state.asleep = true;
        let nothing = |state: &mut State| state.messages.is_empty() && !state.rung && !state.closed;
        state = match longest {
            Some(longest) => {
                let waited = self.arrived.wait_timeout_while(state, longest, nothing);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.arrived.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner),
        };
        state.asleep = false;
        state.rung = false;
        std::mem::swap(&mut state.messages, messages);
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
