//! The ids of the most recent outcomes, in memory: repeats of them are answered at once, and they cover what a
//! look-up cannot see yet.

use alloc::collections::VecDeque;
use hashbrown::HashTable;
use ledger::TransactionId;
use projection::Found;
use twox_hash::xxhash3_64::Hasher;

/// A bounded, ordered memory of outcomes. Forgets the oldest durable ones first, never one that is not durable, and never
/// one of the newest records, which a look-up on its way may have missed: with groups these may be more than `max` ids.
#[derive(Clone, Debug)]
pub(crate) struct RecentIds {
    /// In order of sequence.
    ring: VecDeque<(TransactionId, Found)>,
    /// How many entries were ever forgotten: the number of the ring's front.
    forgotten: u64,
    /// Numbers of entries, by the hash of their id.
    table: HashTable<u64>,
    seed: u64,
    max: usize,
    /// The ids of so many of the newest records are never forgotten.
    records_min: u64,
}

impl RecentIds {
    pub(crate) fn new(max: u32, records_min: u64, seed: u64) -> Self {
        let max = usize::try_from(max).expect("a u32 fits into usize on every supported target");
        RecentIds { ring: VecDeque::new(), forgotten: 0, table: HashTable::new(), seed, max, records_min }
    }

    pub(crate) fn find(&self, id: &TransactionId) -> Option<&Found> {
        let hash = hash(self.seed, id);
        let number = self.table.find(hash, |number| self.entry(*number).0 == *id)?;
        Some(&self.entry(*number).1)
    }

    /// `id` is new, and `found.sequence` is not below any before. `durable_before`: what may be forgotten.
    pub(crate) fn insert(&mut self, id: TransactionId, found: Found, durable_before: u64) {
        while self.ring.len() >= self.max
            && self.ring.front().is_some_and(|(_, oldest)| {
                oldest.sequence < durable_before && oldest.sequence + self.records_min <= found.sequence
            })
        {
            self.forget_oldest();
        }
        let number = self.forgotten + self.ring.len() as u64;
        self.ring.push_back((id, found));
        let RecentIds { ring, table, forgotten, seed, .. } = self;
        let rehash = |number: &u64| hash(*seed, &ring[index(*forgotten, *number)].0);
        table.insert_unique(hash(*seed, &id), number, rehash);
    }

    fn forget_oldest(&mut self) {
        let Some((id, _)) = self.ring.front() else { return };
        let hash = hash(self.seed, id);
        if let Ok(entry) = self.table.find_entry(hash, |number| *number == self.forgotten) {
            entry.remove();
        }
        self.ring.pop_front();
        self.forgotten += 1;
    }

    fn entry(&self, number: u64) -> &(TransactionId, Found) {
        &self.ring[index(self.forgotten, number)]
    }
}

fn index(forgotten: u64, number: u64) -> usize {
    usize::try_from(number - forgotten).expect("entries in memory are counted by usize")
}

fn hash(seed: u64, id: &TransactionId) -> u64 {
    Hasher::oneshot_with_seed(seed, &id.as_bytes()[..])
}
