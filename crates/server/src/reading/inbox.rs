//! What the engine and the handlers leave for the reading thread: one lock, held for a push or a swap.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ledger::TransactionId;
use pipeline::DurableBatch;

use super::Models;

/// Durable records that wait to be folded at most, about: with more, the engine waits. A batch in hand comes on top.
const RECORDS_WAITING_MAX: u64 = 131_072;

/// Something to be read on the thread.
pub(crate) type Read = Box<dyn FnOnce(&mut Models) + Send>;

/// Where work waits for the reading thread.
pub(crate) struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    /// Batches were taken out.
    taken: Condvar,
    reads_max: usize,
}

/// What the thread takes out at once.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) batches: Vec<DurableBatch>,
    /// Of the log's store, behind the last batch.
    pub(super) store_bytes: u64,
    /// When the oldest of the batches came.
    pub(super) since: Option<Instant>,
    pub(super) lookups: Vec<TransactionId>,
}

#[derive(Default)]
struct State {
    next: Taken,
    records_waiting: u64,
    reads: VecDeque<Read>,
    closed: bool,
    /// Something happened elsewhere that the thread must look at.
    nudged: bool,
    /// Whether the thread waits; nobody else needs to be woken.
    asleep: bool,
}

impl Inbox {
    /// Takes at most so many reads at a time.
    pub(crate) fn new(reads_max: usize) -> Inbox {
        let (arrived, taken) = (Condvar::new(), Condvar::new());
        Inbox { state: Mutex::default(), arrived, taken, reads_max }
    }

    /// Waits while too much waits to be folded. Drops what comes after the thread has ended.
    pub(super) fn push_batches(&self, batches: Vec<DurableBatch>, store_bytes: u64) {
        let too_much = |state: &mut State| state.records_waiting >= RECORDS_WAITING_MAX && !state.closed;
        let state = self.taken.wait_while(self.lock(), too_much);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        state.records_waiting += batches.iter().map(|batch| u64::from(batch.records_count())).sum::<u64>();
        state.next.since.get_or_insert_with(Instant::now);
        state.next.store_bytes = store_bytes;
        state.next.batches.extend(batches);
        self.ring(state);
    }

    /// How many come at once is bounded by what the pipeline stages. Drops what comes after the thread has ended.
    pub(super) fn push_lookups(&self, ids: &[TransactionId]) {
        let mut state = self.lock();
        if !state.closed {
            state.next.lookups.extend_from_slice(ids);
            self.ring(state);
        }
    }

    /// Refused if too many wait, or if nothing is read any more.
    pub(super) fn push_read(&self, read: Read) -> Result<(), Read> {
        let mut state = self.lock();
        if state.closed || state.reads.len() >= self.reads_max {
            return Err(read);
        }
        state.reads.push_back(read);
        self.ring(state);
        Ok(())
    }

    /// Wakes the thread without a message.
    pub(crate) fn nudge(&self) {
        let mut state = self.lock();
        state.nudged = true;
        self.ring(state);
    }

    /// Takes nothing more. What is in it is still worked on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.taken.notify_all();
        self.ring(state);
    }

    /// Drops what is in it; whoever waits for it learns that.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        let dropped = (std::mem::take(&mut state.next), std::mem::take(&mut state.reads));
        drop(state);
        drop(dropped);
    }

    /// Moves out all there is. Says whether it is open.
    pub(super) fn take(&self, taken: &mut Taken, reads: &mut VecDeque<Read>, wait: Wait) -> bool {
        let mut state = self.lock();
        if wait == Wait::ForWork {
            state.asleep = true;
            let nothing = |state: &mut State| {
                let Taken { batches, lookups, .. } = &state.next;
                batches.is_empty()
                    && lookups.is_empty()
                    && state.reads.is_empty()
                    && !state.closed
                    && !state.nudged
            };
            state = self.arrived.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner);
            state.asleep = false;
        }
        state.nudged = false;
        std::mem::swap(&mut state.next, taken);
        state.next.since = None;
        if std::mem::take(&mut state.records_waiting) > 0 {
            self.taken.notify_one();
        }
        reads.append(&mut state.reads);
        !state.closed
    }

    fn ring(&self, mut state: MutexGuard<'_, State>) {
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

/// Whether the thread has something to do anyway.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// It waits until something comes.
    ForWork,
    /// It takes what is there.
    Not,
}
