//! The newest records' ids and entries, in memory, until they stand in runs on disk.

use hashbrown::HashTable;
use ledger::{AccountIndex, TransactionId};
use twox_hash::XxHash3_64;

use crate::runs::EntryAt;

/// Where something begins: a record, and its frame's byte in the log's binary form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The next record's sequence.
    pub(crate) sequence: u64,
    /// The next frame's byte.
    pub(crate) byte: u64,
}

/// The ids and entries of a range of records. It only grows, and a clone is not needed: a full one is shared as it is.
///
/// An id is some 33 bytes here and an entry 24.
pub(crate) struct Window {
    hash_seed: u64,
    begin: Place,
    ids: Vec<(TransactionId, u64)>,
    /// Numbers in `ids`.
    by_id: HashTable<u32>,
    entries: Vec<Entry>,
    /// The newest entry of each account that has one, by its number in `entries`.
    newest: HashTable<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    at_byte: u64,
    balance_after: i64,
    account: u32,
    /// The account's entry before this one, or `NONE`.
    previous: u32,
}

const NONE: u32 = u32::MAX;

impl Window {
    /// Nothing yet, from this place on.
    pub(crate) fn new(hash_seed: u64, begin: Place) -> Window {
        Window {
            hash_seed,
            begin,
            ids: Vec::new(),
            by_id: HashTable::new(),
            entries: Vec::new(),
            newest: HashTable::new(),
        }
    }

    /// Where it begins.
    pub(crate) fn begin(&self) -> Place {
        self.begin
    }

    /// How many ids it holds.
    pub(crate) fn ids_count(&self) -> usize {
        self.ids.len()
    }

    /// Takes the next id in, with the byte of its record.
    pub(crate) fn push_id(&mut self, id: TransactionId, at_byte: u64) {
        let number = small(self.ids.len());
        self.ids.push((id, at_byte));
        let (seed, ids) = (self.hash_seed, &self.ids);
        self.by_id
            .insert_unique(hash_id(seed, &id), number, |&number| hash_id(seed, &ids[number as usize].0));
    }

    /// Takes the next entry in.
    pub(crate) fn push_entry(&mut self, account: AccountIndex, entry: EntryAt) {
        let number = small(self.entries.len());
        let Window { entries, newest, .. } = self;
        let of = |number: u32| entries[number as usize].account;
        let found = newest.entry(
            hash_account(account.0),
            |&number| of(number) == account.0,
            |&number| hash_account(of(number)),
        );
        let previous = match found {
            hashbrown::hash_table::Entry::Occupied(mut occupied) => {
                core::mem::replace(occupied.get_mut(), number)
            }
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                // Nobody asks for its account before it is pushed, below.
                vacant.insert(number);
                NONE
            }
        };
        let EntryAt { at_byte, balance_after } = entry;
        self.entries.push(Entry { at_byte, balance_after, account: account.0, previous });
    }

    /// The bytes of the records with this id: nearly always none or one. A client may have used an id that is derived
    /// somewhere else, and then there are two.
    pub(crate) fn find(&self, id: &TransactionId) -> impl Iterator<Item = u64> {
        let numbers = self.by_id.iter_hash(hash_id(self.hash_seed, id));
        numbers
            .map(|&number| self.ids[number as usize])
            .filter(move |(of, _)| of == id)
            .map(|(_, at_byte)| at_byte)
    }

    /// The entries of an account, the newest first.
    pub(crate) fn entries_of(&self, account: AccountIndex) -> impl Iterator<Item = EntryAt> {
        let newest = self
            .newest
            .find(hash_account(account.0), |&number| self.entries[number as usize].account == account.0);
        let mut next = newest.copied().unwrap_or(NONE);
        core::iter::from_fn(move || {
            let Entry { at_byte, balance_after, previous, .. } = *self.entries.get(next as usize)?;
            next = previous;
            Some(EntryAt { at_byte, balance_after })
        })
    }

    /// All ids with the bytes of their records, in order.
    pub(crate) fn ids(&self) -> &[(TransactionId, u64)] {
        &self.ids
    }

    /// All entries with their accounts, in order.
    pub(crate) fn entries(&self) -> impl ExactSizeIterator<Item = (AccountIndex, EntryAt)> {
        self.entries.iter().map(|entry| {
            let Entry { at_byte, balance_after, account, .. } = *entry;
            (AccountIndex(account), EntryAt { at_byte, balance_after })
        })
    }
}

fn hash_id(seed: u64, id: &TransactionId) -> u64 {
    XxHash3_64::oneshot_with_seed(seed, &id.as_bytes())
}

/// Account numbers are dense and nobody chooses them.
fn hash_account(account: u32) -> u64 {
    u64::from(account).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn small(count: usize) -> u32 {
    u32::try_from(count).ok().filter(|count| *count < NONE).expect("a window is far smaller")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> TransactionId {
        TransactionId::from_bytes(u128::from(number).to_le_bytes())
    }

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(entries in prop::collection::vec((0..40_u32, -9..9_i64), 0..300)) {
            let mut window = Window::new(3, Place { sequence: 5, byte: 600 });
            let mut model: BTreeMap<u32, Vec<EntryAt>> = BTreeMap::new();
            for (number, (account, balance_after)) in (0_u64..).zip(&entries) {
                let entry = EntryAt { at_byte: 600 + number * 7, balance_after: *balance_after };
                window.push_id(id(number), entry.at_byte);
                window.push_entry(AccountIndex(*account), entry);
                model.entry(*account).or_default().push(entry);
            }
            for account in 0..41 {
                let found: Vec<EntryAt> = window.entries_of(AccountIndex(account)).collect();
                let expected: Vec<EntryAt> = model.get(&account).into_iter().flatten().rev().copied().collect();
                prop_assert_eq!(found, expected);
            }
            for number in 0..entries.len() as u64 + 2 {
                let expected = (number < entries.len() as u64).then_some(600 + number * 7);
                prop_assert_eq!(window.find(&id(number)).next(), expected);
            }
            prop_assert_eq!(window.entries().len(), entries.len());
            prop_assert_eq!(window.ids().len(), window.ids_count());
        }
    }
}
