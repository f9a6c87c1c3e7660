//! From transaction ids to row numbers, in layers that clones share.

use alloc::{sync::Arc, vec::Vec};

use hashbrown::HashTable;
use ledger::TransactionId;
use twox_hash::XxHash3_64;

/// How many ids the overlay holds unless told.
const OVERLAY_MAX: u32 = 1024;

/// Finds the row of a transaction id. It holds row numbers and parts of hashes only; the ids are read from the rows, which
/// the caller keeps and passes as a function.
///
/// New ids go to a small overlay, which a clone copies. A full overlay moves into the largest layer in place if no clone
/// shares that, and otherwise becomes a shared layer of its own; layers grow geometrically, so that there are O(log n) of
/// them, and come together again once nothing shares the largest. A clone copies the overlay and a pointer for each layer.
/// Now and then an insert moves many ids at once, as when any hash table grows.
///
/// There is no way to remove an id, and nothing keeps an id from being inserted twice.
#[derive(Clone)]
pub struct IdIndex {
    hash_seed: u64,
    overlay_max: u32,
    overlay: Table,
    /// From the largest and oldest to the smallest and newest; each at least twice as large as the next.
    layers: Vec<Arc<Table>>,
}

type Table = HashTable<Slot>;

#[derive(Clone, Copy)]
struct Slot {
    /// Half of the id's hash: enough to move a slot to another table without reading the id.
    hash: u32,
    row: u32,
}

impl IdIndex {
    /// No ids. `hash_seed` keys the tables, against ids chosen to collide.
    pub fn new(hash_seed: u64) -> IdIndex {
        IdIndex::with_overlay_max(hash_seed, OVERLAY_MAX)
    }

    /// No ids, and at most `overlay_max` of them, 1 or more, in the part that a clone copies.
    pub fn with_overlay_max(hash_seed: u64, overlay_max: u32) -> IdIndex {
        assert!(overlay_max > 0, "the overlay has room for at least one id");
        IdIndex { hash_seed, overlay_max, overlay: Table::new(), layers: Vec::new() }
    }

    /// How many ids there are.
    pub fn len(&self) -> u64 {
        self.layers.iter().fold(self.overlay.len() as u64, |sum, layer| sum + layer.len() as u64)
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of the id, if it is here. `id_of` tells the id of any row that was inserted.
    pub fn find(&self, id: &TransactionId, id_of: impl Fn(u32) -> TransactionId) -> Option<u32> {
        let hash = self.hash(id);
        let fits = |slot: &Slot| slot.hash == hash && id_of(slot.row) == *id;
        let newest_first = core::iter::once(&self.overlay).chain(self.layers.iter().rev().map(Arc::as_ref));
        for table in newest_first {
            if let Some(slot) = table.find(spread(hash), fits) {
                return Some(slot.row);
            }
        }
        None
    }

    /// Remembers the row of an id that is new.
    pub fn insert(&mut self, id: &TransactionId, row: u32) {
        let slot = Slot { hash: self.hash(id), row };
        self.overlay.insert_unique(spread(slot.hash), slot, |slot| spread(slot.hash));
        if self.overlay.len() >= self.overlay_max as usize {
            self.flush();
        }
    }

    /// How many elements a clone copies: at most the overlay's, and one pointer for each layer.
    pub fn clone_cost(&self) -> u64 {
        (self.overlay.len() + self.layers.len()) as u64
    }

    fn hash(&self, id: &TransactionId) -> u32 {
        let hash = XxHash3_64::oneshot_with_seed(self.hash_seed, &id.as_bytes());
        (hash >> 32) as u32
    }

    /// Empties the overlay into the layers.
    fn flush(&mut self) {
        if self.layers.first_mut().is_some_and(|base| Arc::get_mut(base).is_some()) {
            // Nothing shares the largest layer (any more): everything comes together in it.
            let newer = self.layers.split_off(1);
            let base = Arc::get_mut(&mut self.layers[0]).expect("nobody can have shared it since");
            for layer in newer {
                extend(base, layer.iter().copied());
            }
            extend(base, self.overlay.drain());
            return;
        }
        let mut newest = core::mem::take(&mut self.overlay);
        while let Some(layer) = self.layers.pop_if(|layer| layer.len() < 2 * newest.len()) {
            // The smaller one moves. What a clone shares is copied, which happens O(log n) times to each id.
            let larger = Arc::try_unwrap(layer).unwrap_or_else(|shared| Table::clone(&shared));
            let smaller = core::mem::replace(&mut newest, larger);
            extend(&mut newest, smaller.into_iter());
        }
        self.layers.push(Arc::new(newest));
    }
}

fn extend(table: &mut Table, slots: impl Iterator<Item = Slot>) {
    for slot in slots {
        table.insert_unique(spread(slot.hash), slot, |slot| spread(slot.hash));
    }
}

/// 64 bits for the table from the 32 that are kept: it takes the place from the low bits and a tag from the high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, vec};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert { which: usize, count: u32 },
        Clone { which: usize },
        Drop { which: usize },
    }

    /// An index with its rows, and what it has to know.
    #[derive(Clone)]
    struct Pair {
        index: IdIndex,
        rows: Vec<TransactionId>,
        model: BTreeMap<TransactionId, u32>,
    }

    impl Pair {
        fn new(overlay_max: u32) -> Pair {
            let index = IdIndex::with_overlay_max(7, overlay_max);
            Pair { index, rows: Vec::new(), model: BTreeMap::new() }
        }

        fn insert(&mut self, id: TransactionId) {
            let row = u32::try_from(self.rows.len()).unwrap();
            self.rows.push(id);
            self.index.insert(&id, row);
            self.model.insert(id, row);
        }

        fn find(&self, id: &TransactionId) -> Option<u32> {
            self.index.find(id, |row| self.rows[row as usize])
        }
    }

    fn id(number: u32) -> TransactionId {
        TransactionId::from_bytes(u128::from(number).to_le_bytes())
    }

    fn some_step() -> impl Strategy<Value = Step> {
        let which = 0..6_usize;
        prop_oneof![
            6 => (which.clone(), 1..30_u32).prop_map(|(which, count)| Step::Insert { which, count }),
            2 => which.clone().prop_map(|which| Step::Clone { which }),
            2 => which.prop_map(|which| Step::Drop { which }),
        ]
    }

    proptest! {
        #[test]
        fn clones_diverge_like_maps(steps in prop::collection::vec(some_step(), 1..60)) {
            let mut pairs = vec![Pair::new(4)];
            let mut next = 0;
            for step in steps {
                match step {
                    Step::Insert { which, count } => {
                        let which = which % pairs.len();
                        for _ in 0..count {
                            next += 1;
                            pairs[which].insert(id(next));
                        }
                    }
                    Step::Clone { which } => pairs.push(pairs[which % pairs.len()].clone()),
                    Step::Drop { which } => {
                        if pairs.len() > 1 {
                            pairs.swap_remove(which % pairs.len());
                        }
                    }
                }
                for pair in &pairs {
                    prop_assert_eq!(pair.index.len(), pair.model.len() as u64);
                    // At most 3 ids in the overlay, and a layer for each doubling.
                    prop_assert!(pair.index.clone_cost() <= 3 + u64::from(pair.index.len().max(1).ilog2()) + 1);
                }
            }
            for pair in &pairs {
                for number in 0..=next {
                    prop_assert_eq!(pair.find(&id(number)), pair.model.get(&id(number)).copied());
                }
            }
        }
    }

    #[test]
    fn a_clone_costs_the_overlay_however_many_ids_there_are() {
        let mut pair = Pair::new(64);
        let mut kept = Vec::new();
        for number in 0..50_000 {
            pair.insert(id(number));
            assert!(pair.index.clone_cost() <= 64 + 16, "{} at {number}", pair.index.clone_cost());
            if number % 997 == 0 {
                kept.push(pair.index.clone());
            }
        }
        assert!(pair.index.layers.len() > 1, "the clones kept it from coming together");
        kept.clear();
        (50_000..50_064).for_each(|number| pair.insert(id(number)));
        assert_eq!(pair.index.layers.len(), 1, "without clones it comes together");
        (0..50_064).for_each(|number| assert_eq!(pair.find(&id(number)), Some(number)));
        assert_eq!(pair.find(&id(50_064)), None);
    }

    #[test]
    fn the_seed_does_not_show() {
        let (mut one, mut other) = (Pair::new(4), Pair::new(4));
        other.index = IdIndex::with_overlay_max(8, 4);
        for number in 0..1_000 {
            one.insert(id(number));
            other.insert(id(number));
        }
        assert!((0..2_000).all(|number| one.find(&id(number)) == other.find(&id(number))));
    }
}
