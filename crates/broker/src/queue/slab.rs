//! The messages that a queue holds, found by position without hashing.

use alloc::collections::{BTreeMap, VecDeque};

use time::Timestamp;

use crate::Message;

/// Settled positions may take up as many slots as there are messages held, and so many more. Few in tests, so that
/// small queues have stragglers too.
const SLACK_SLOTS: u64 = if cfg!(test) { 2 } else { 64 };

/// Where a held message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Deliverable now.
    Ready,
    /// Deliverable from `due` on.
    Delayed,
    /// At a consumer until `due`.
    InFlight,
    /// Failed for good, and there is no room among the dead letters.
    Undeliverable,
}

/// A message that has its place in the queue.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) message: Message,
    /// When it took its position.
    pub(super) accepted_at: Timestamp,
    /// What it means depends on the state.
    pub(super) due: Timestamp,
    /// Who got the latest delivery.
    pub(super) consumer: u64,
    /// Number of deliveries so far.
    pub(super) attempt: u32,
    pub(super) state: State,
}

/// Slots in order of position; a settled position's slot is empty until all before it are settled too.
///
/// One message that stays for long would pin every later slot, so the few that are far behind move to a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Slab {
    /// The first slot is not empty.
    slots: VecDeque<Option<Held>>,
    /// The position of the first slot.
    base: u64,
    /// Held messages before `base`.
    stragglers: BTreeMap<u64, Held>,
    held: u64,
}

impl Slab {
    /// Number of messages held.
    pub(super) fn len(&self) -> u64 {
        self.held
    }

    /// The position that the next push takes.
    pub(super) fn next_position(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    pub(super) fn push(&mut self, held: Held) -> u64 {
        let position = self.next_position();
        self.slots.push_back(Some(held));
        self.held += 1;
        while self.slots.len() as u64 > 2 * self.held + SLACK_SLOTS {
            let straggler = self.slots.pop_front().flatten().expect("the first slot is not empty");
            self.stragglers.insert(self.base, straggler);
            self.base += 1;
            self.trim();
        }
        position
    }

    #[inline]
    pub(super) fn find(&self, position: u64) -> Option<&Held> {
        match self.slot(position) {
            Some(slot) => self.slots.get(slot)?.as_ref(),
            None => self.stragglers.get(&position),
        }
    }

    #[inline]
    pub(super) fn find_mut(&mut self, position: u64) -> Option<&mut Held> {
        match self.slot(position) {
            Some(slot) => self.slots.get_mut(slot)?.as_mut(),
            None => self.stragglers.get_mut(&position),
        }
    }

    /// Leaves the first slots untrimmed: call `trim` before anything else but further removals.
    #[inline]
    pub(super) fn remove(&mut self, position: u64) -> Option<Held> {
        let held = match self.slot(position) {
            Some(slot) => self.slots.get_mut(slot)?.take()?,
            None => self.stragglers.remove(&position)?,
        };
        self.held -= 1;
        Some(held)
    }

    /// Gives back the slots of settled messages before the first held one.
    #[inline]
    pub(super) fn trim(&mut self) {
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    /// Nothing before this position is held.
    #[inline]
    pub(super) fn first_position(&self) -> u64 {
        self.stragglers.keys().next().copied().unwrap_or(self.base)
    }

    /// The message with the lowest position.
    pub(super) fn oldest(&self) -> Option<&Held> {
        self.stragglers.values().next().or_else(|| self.slots.front()?.as_ref())
    }

    /// `None` before the first slot; may lie beyond the last one.
    #[inline]
    fn slot(&self, position: u64) -> Option<usize> {
        // Beyond what this machine can index is beyond the last slot.
        position.checked_sub(self.base).map(|slot| usize::try_from(slot).unwrap_or(usize::MAX))
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        let slots =
            (self.base..).zip(&self.slots).filter_map(|(position, slot)| Some((position, slot.as_ref()?)));
        self.stragglers.iter().map(|(&position, held)| (position, held)).chain(slots)
    }

    #[cfg(test)]
    pub(super) fn slots_count(&self) -> u64 {
        (self.slots.len() + self.stragglers.len()) as u64
    }
}
