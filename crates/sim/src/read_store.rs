//! The read store of a world: a model of a database that follows the log behind the pipeline.

use std::collections::VecDeque;

use crate::rng::Rng;

/// Balances folded from batches of changes, each batch with the sequence it reaches. Batches may be sent twice; the store keeps
/// its checkpoint with its balances, so it folds each record once.
///
/// A clone costs O(accounts + in flight).
#[derive(Clone, Debug, Default)]
pub struct ReadStore {
    balances: Vec<i64>,
    /// The sequence of the next record that is not folded.
    checkpoint: u64,
    /// Changes that are not folded, in order.
    waiting: VecDeque<Change>,
    /// The batch on its way ends before this sequence; `None` if there is none.
    sent_before: Option<u64>,
    redelivered: u64,
}

/// One entry as the read store is sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) sequence: u64,
    pub(crate) account: u32,
    pub(crate) amount: i64,
    /// What the balance must be afterwards: the checker's, the store does not look at it.
    pub(crate) balance_after: i64,
}

/// What the store does with records below its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpointing {
    /// They were folded with the checkpoint and are skipped.
    Atomic,
    /// The checkpoint was lost: they are folded again.
    Lost,
}

/// Changes of the last batch that are kept to be sent again, at most.
const BATCH_MAX: usize = 4_096;

impl ReadStore {
    /// The sequence of the next record that the store has not folded.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// Batches that were sent twice.
    pub fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Changes that wait to be folded.
    pub fn waiting(&self) -> u64 {
        self.waiting.len() as u64
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.waiting.push_back(change);
    }

    /// Sends what waits. Says whether a batch is under way now that was not before.
    pub(crate) fn send(&mut self, durable_before: u64) -> bool {
        if self.sent_before.is_some() || self.checkpoint >= durable_before {
            return false;
        }
        let cut = self.waiting.get(BATCH_MAX).map_or(durable_before, |change| change.sequence);
        self.sent_before = Some(cut);
        true
    }

    /// The batch under way arrives, now and then twice. Shows `each` every balance that a change made.
    pub(crate) fn fold(
        &mut self,
        rng: &mut Rng,
        redelivery_per_mille: u32,
        checkpointing: Checkpointing,
        mut each: impl FnMut(Change, i64),
    ) {
        let Some(before) = self.sent_before.take() else { return };
        let count = self.waiting.partition_point(|change| change.sequence < before);
        let batch: Vec<Change> = self.waiting.drain(..count).collect();
        let deliveries = 1 + usize::from(redelivery_per_mille > 0 && rng.happens(redelivery_per_mille));
        self.redelivered += deliveries as u64 - 1;
        for _ in 0..deliveries {
            for change in &batch {
                if change.sequence < self.checkpoint && checkpointing == Checkpointing::Atomic {
                    continue;
                }
                let at = usize::try_from(change.account).expect("accounts in memory are counted by usize");
                if at >= self.balances.len() {
                    self.balances.resize(at + 1, 0);
                }
                self.balances[at] = self.balances[at].wrapping_add(change.amount);
                each(*change, self.balances[at]);
            }
            self.checkpoint = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn folded(checkpointing: Checkpointing) -> Vec<(i64, i64)> {
        let mut store = ReadStore::default();
        let change = |sequence, amount, balance_after| Change { sequence, account: 3, amount, balance_after };
        store.push(change(0, 10, 10));
        store.push(change(1, -4, 6));
        assert!(store.send(2) && !store.send(2));
        store.push(change(2, 1, 7));
        let mut seen = Vec::new();
        let mut rng = Rng::new(1, Stream::ReadStore);
        store.fold(&mut rng, 1_000, checkpointing, |change, balance| {
            seen.push((change.balance_after, balance));
        });
        assert_eq!((store.checkpoint(), store.waiting(), store.redelivered()), (2, 1, 1));
        seen
    }

    #[test]
    fn what_is_sent_twice_is_folded_once() {
        assert_eq!(folded(Checkpointing::Atomic), [(10, 10), (6, 6)]);
        assert_eq!(folded(Checkpointing::Lost), [(10, 10), (6, 6), (10, 16), (6, 12)]);
    }
}
