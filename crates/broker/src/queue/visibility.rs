//! Which deliveries expire when.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use time::Timestamp;

use super::slab::{Slab, State};

/// There may be twice as many runs as deliveries in flight, and so many more, before the settled ones are swept out.
/// Few in tests, so that small queues sweep too.
const SLACK_RUNS: u64 = if cfg!(test) { 2 } else { 64 };

/// Deliveries of consecutive positions `first..end` that were made together.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// When they expire.
    due: Timestamp,
    /// Which delivery of each message it is.
    attempt: u32,
    first: u64,
    end: u64,
}

impl Run {
    /// Is this delivery still in flight, and not extended?
    #[inline]
    fn holds(&self, position: u64, slab: &Slab) -> bool {
        slab.find(position).is_some_and(|held| {
            held.state == State::InFlight && held.attempt == self.attempt && held.due == self.due
        })
    }
}

/// The expiry times of all deliveries in flight.
///
/// The visibility timeout is the same for all and time never falls, so runs are in order of `due` by themselves; only
/// extended deliveries need a tree. A settled delivery is not searched for: its run is skipped when it gets to the
/// front, and `first` of the front run is always in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct Visibility {
    runs: VecDeque<Run>,
    extended: BTreeSet<(Timestamp, u64)>,
}

impl Visibility {
    /// The earliest expiry of a delivery in flight.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let run = self.runs.front().map(|run| run.due);
        let extended = self.extended.first().map(|&(due, _)| due);
        run.into_iter().chain(extended).min()
    }

    /// Notes a delivery at its default expiry; `due` never falls from one call to the next.
    #[inline]
    pub(super) fn delivered(&mut self, position: u64, attempt: u32, due: Timestamp) {
        if let Some(run) = self.runs.back_mut()
            && run.due == due
            && run.attempt == attempt
            && run.end == position
        {
            run.end += 1;
        } else {
            self.runs.push_back(Run { due, attempt, first: position, end: position + 1 });
        }
    }

    /// The delivery's expiry moves from `before` to `due`. Leaves the runs untrimmed.
    pub(super) fn extended(&mut self, position: u64, before: Timestamp, due: Timestamp) {
        self.extended.remove(&(before, position));
        self.extended.insert((due, position));
    }

    /// The delivery that would have expired at `due` is in flight no more. Leaves the runs untrimmed.
    #[inline]
    pub(super) fn settled(&mut self, position: u64, due: Timestamp) {
        if !self.extended.is_empty() {
            self.extended.remove(&(due, position));
        }
    }

    /// Takes out everything in flight that expires at `now` or before, in no order, possibly twice. Leaves the
    /// runs untrimmed.
    pub(super) fn expire(&mut self, now: Timestamp, slab: &Slab, expired: &mut Vec<(Timestamp, u64)>) {
        while let Some(run) = self.runs.pop_front_if(|run| run.due <= now) {
            let in_flight = (run.first..run.end).filter(|&position| run.holds(position, slab));
            expired.extend(in_flight.map(|position| (run.due, position)));
        }
        while let Some(&(due, position)) = self.extended.first()
            && due <= now
        {
            self.extended.pop_first();
            expired.push((due, position));
        }
    }

    /// Skips the settled deliveries at the front, as must be done after each step that settles some.
    #[inline]
    pub(super) fn trim(&mut self, in_flight: u64, slab: &Slab) {
        if in_flight == 0 {
            self.runs.clear();
            return;
        }
        let first_held = slab.first_position();
        while let Some(run) = self.runs.front_mut() {
            run.first = run.first.max(first_held);
            while run.first < run.end && !run.holds(run.first, slab) {
                run.first += 1;
            }
            if run.first < run.end {
                break;
            }
            self.runs.pop_front();
        }
    }

    /// Keeps the memory in proportion to what is in flight. Each settled delivery is swept at most once.
    pub(super) fn sweep(&mut self, in_flight: u64, slab: &Slab) {
        if self.runs.len() as u64 <= 2 * in_flight + SLACK_RUNS {
            return;
        }
        let mut kept = Visibility::default();
        for run in &self.runs {
            for position in (run.first..run.end).filter(|&position| run.holds(position, slab)) {
                kept.delivered(position, run.attempt, run.due);
            }
        }
        self.runs = kept.runs;
    }

    #[cfg(test)]
    pub(super) fn runs_count(&self) -> u64 {
        self.runs.len() as u64
    }
}
