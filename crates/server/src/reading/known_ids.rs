//! What the engine knows of ids: enough to say "never seen" at once, which is the answer for nearly every command.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashTable;
use ledger::TransactionId;
use twox_hash::XxHash3_64;

/// Ids of one generation at most; two or three generations are alive as a rule.
const GENERATION_IDS: usize = 131_072;

/// The hashes of ids that stand in no run yet. It may say "perhaps" of an id that never was, and never "no" of one that was.
///
/// An id takes some 18 bytes while its generation grows. A generation is dropped as a whole when runs cover it.
pub(crate) struct KnownIds {
    hash_seed: u64,
    generations: VecDeque<Generation>,
    /// Runs cover the ids of every record below this sequence.
    in_runs_before: Arc<AtomicU64>,
}

struct Generation {
    hashes: HashTable<u64>,
    /// Every id is of a record below this sequence.
    before: u64,
}

impl KnownIds {
    /// No ids yet. `in_runs_before` is moved by whoever writes runs, after they can be found there.
    pub(crate) fn new(hash_seed: u64, in_runs_before: Arc<AtomicU64>) -> KnownIds {
        KnownIds { hash_seed, generations: VecDeque::new(), in_runs_before }
    }

    /// Takes the id of a record in. Sequences never fall.
    pub(crate) fn insert(&mut self, id: &TransactionId, sequence: u64) {
        let full = self.generations.back().is_none_or(|last| last.hashes.len() >= GENERATION_IDS);
        if full {
            self.forget();
            let hashes = HashTable::with_capacity(GENERATION_IDS);
            self.generations.push_back(Generation { hashes, before: sequence });
        }
        let hash = self.hash(id);
        let Some(newest) = self.generations.back_mut() else { return };
        newest.before = sequence + 1;
        newest.hashes.insert_unique(hash, hash, |hash| *hash);
    }

    /// Whether the id may be one that was taken in and stands in no run yet.
    pub(crate) fn may_hold(&self, id: &TransactionId) -> bool {
        let hash = self.hash(id);
        self.generations.iter().any(|known| known.hashes.find(hash, |other| *other == hash).is_some())
    }

    fn forget(&mut self) {
        let in_runs = self.in_runs_before.load(Ordering::Acquire);
        while self.generations.front().is_some_and(|oldest| oldest.before <= in_runs) {
            self.generations.pop_front();
        }
    }

    fn hash(&self, id: &TransactionId) -> u64 {
        XxHash3_64::oneshot_with_seed(self.hash_seed, &id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TransactionId {
        TransactionId::from_bytes(u128::from(number).to_le_bytes())
    }

    #[test]
    fn an_id_is_known_until_runs_cover_its_generation() {
        let in_runs = Arc::new(AtomicU64::new(0));
        let mut known = KnownIds::new(7, Arc::clone(&in_runs));
        let generation = GENERATION_IDS as u64;
        for sequence in 0..3 * generation {
            known.insert(&id(sequence), sequence);
        }
        assert_eq!(known.generations.len(), 3);
        assert!((0..3 * generation).all(|sequence| known.may_hold(&id(sequence))));
        assert!(!known.may_hold(&id(3 * generation)));
        // Half of the second generation is in runs, which does not let it go.
        in_runs.store(generation + generation / 2, Ordering::Release);
        known.insert(&id(3 * generation), 3 * generation);
        assert_eq!(known.generations.len(), 3);
        assert!(
            !known.may_hold(&id(0)) && known.may_hold(&id(generation)) && known.may_hold(&id(3 * generation))
        );
    }
}
