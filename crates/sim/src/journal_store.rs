//! The journal store of a world: a model of the disk that the log lies on.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::log_bytes::LogBytes;
use crate::rng::Rng;

/// The log, what of it is durable, and which generation may write it.
///
/// An append is written at once and durable later, in order. What a crash leaves of the part that is not durable is
/// drawn from the seed. A clone does not cost what the log has cost.
#[derive(Clone, Debug, Default)]
pub struct JournalStore {
    log: LogBytes,
    /// The highest generation that was announced or that wrote.
    generation: u64,
    durable_bytes: u64,
    durable_before: u64,
    in_flight: VecDeque<Written>,
    /// Where the append that became durable last begins.
    last_durable_at: u64,
    cuts: Arc<Vec<u64>>,
    refused: u64,
}

/// An append that is written and not yet durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) next_sequence: u64,
    pub(crate) from_byte: u64,
    pub(crate) to_byte: u64,
}

/// An append came from a writer that has been fenced off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fenced {
    pub(crate) newest: u64,
}

/// The end of the log was taken away. A driver that keeps a copy cuts it to `log_len` and reads on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Cuts are numbered from 1 without a gap.
    pub number: u64,
    /// Bytes of the log that stay as they were.
    pub log_len: u64,
}

/// What a crash leaves of one append.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Survival {
    Whole,
    Part { bytes: u64 },
    Nothing,
}

impl JournalStore {
    /// The bytes of the log, durable or not.
    pub fn log(&self) -> &LogBytes {
        &self.log
    }

    /// Bytes of the log that a crash cannot take.
    pub fn durable_bytes(&self) -> u64 {
        self.durable_bytes
    }

    /// Records below this sequence are durable.
    pub fn durable_before(&self) -> u64 {
        self.durable_before
    }

    /// Appends that are written and not yet durable.
    pub fn in_flight(&self) -> u32 {
        u32::try_from(self.in_flight.len()).unwrap_or(u32::MAX)
    }

    /// Appends refused because a newer generation had taken over.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The cuts with a number above `number`, in order.
    pub fn cuts_after(&self, number: u64) -> impl Iterator<Item = Cut> {
        let first = usize::try_from(number).unwrap_or(usize::MAX);
        let numbered = (1..).zip(self.cuts.iter()).skip(first);
        numbered.map(|(number, log_len)| Cut { number, log_len: *log_len })
    }

    /// How many cuts there were.
    pub fn cuts(&self) -> u64 {
        self.cuts.len() as u64
    }

    /// A writer announces its generation; older ones are refused from now on.
    pub(crate) fn open(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }

    pub(crate) fn append(&mut self, generation: u64, next_sequence: u64, bytes: &[u8]) -> Result<(), Fenced> {
        if generation < self.generation {
            self.refused += 1;
            return Err(Fenced { newest: self.generation });
        }
        let from_byte = self.log.len();
        self.log.append(bytes);
        self.generation = generation;
        self.in_flight.push_back(Written { next_sequence, from_byte, to_byte: self.log.len() });
        Ok(())
    }

    /// The highest generation that was announced or that wrote.
    pub(crate) fn newest_generation(&self) -> u64 {
        self.generation
    }

    /// Writes without looking at the generation, as part of whatever stands before.
    pub(crate) fn write_unfenced(&mut self, bytes: &[u8]) {
        self.log.append(bytes);
        let end = self.log.len();
        match self.in_flight.back_mut() {
            Some(last) => last.to_byte = end,
            None => self.durable_bytes = end,
        }
    }

    /// The append that becomes durable next.
    pub(crate) fn next_durable(&self) -> Option<&Written> {
        self.in_flight.front()
    }

    /// The oldest append in flight is durable now.
    pub(crate) fn complete(&mut self) -> Option<Written> {
        let written = self.in_flight.pop_front()?;
        self.last_durable_at = written.from_byte;
        self.durable_bytes = written.to_byte;
        self.durable_before = written.next_sequence;
        Some(written)
    }

    /// The writer dies. Each append in flight survives wholly, in part or not at all; what is missing before a
    /// survivor reads as zeros. Returns the bytes of one append that did not survive wholly, if there is one.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> Option<Bytes> {
        let mut lost = None;
        let mut tail = Vec::new();
        let mut tail_len = 0;
        let mut unchanged = None;
        let mut created = true;
        for written in core::mem::take(&mut self.in_flight) {
            let length = written.to_byte - written.from_byte;
            let survival = match rng.below(3) {
                // Nothing is written behind a header that is not there yet.
                _ if !created => Survival::Nothing,
                0 => Survival::Whole,
                1 => Survival::Part { bytes: rng.below(length) },
                _ => Survival::Nothing,
            };
            created = created && (written.from_byte > 0 || survival == Survival::Whole);
            let kept = match survival {
                Survival::Whole => length,
                Survival::Part { bytes } => bytes,
                Survival::Nothing => 0,
            };
            self.log.read(written.from_byte, written.from_byte + kept, &mut tail);
            if kept > 0 {
                tail_len = tail.len();
            }
            if kept < length {
                unchanged.get_or_insert(written.from_byte + kept);
                let mut bytes = Vec::new();
                self.log.read(written.from_byte, written.to_byte, &mut bytes);
                lost.get_or_insert(Bytes::from(bytes));
                tail.resize(usize::try_from(written.to_byte - self.durable_bytes).expect("in memory"), 0);
            }
        }
        if let Some(unchanged) = unchanged {
            tail.truncate(tail_len);
            self.log.truncate(self.durable_bytes);
            self.log.append(&tail);
            self.note_cut(unchanged);
        }
        lost
    }

    /// A disk that lied: the append that was reported durable last is gone with everything after it.
    pub(crate) fn lose_acknowledged(&mut self) {
        self.durable_bytes = self.last_durable_at;
        self.cut(self.last_durable_at);
    }

    /// Takes away everything from `log_len` on.
    pub(crate) fn cut(&mut self, log_len: u64) {
        if log_len < self.log.len() {
            self.log.truncate(log_len);
            self.note_cut(log_len);
        }
    }

    /// Recovery read the whole log and found it sound: all of it counts as durable.
    pub(crate) fn recovered(&mut self, next_sequence: u64) {
        self.durable_bytes = self.log.len();
        self.durable_before = next_sequence;
    }

    /// The store begins with a log that was made elsewhere, all of it durable.
    pub(crate) fn adopt(&mut self, log: &[u8], generation: u64, next_sequence: u64) {
        self.log.append(log);
        self.open(generation);
        self.recovered(next_sequence);
    }

    /// Every byte but the first is lost, and nobody is told.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        let len = self.log.len();
        self.log.truncate(1);
        self.log.append(&vec![0xff; usize::try_from(len).expect("in memory") - 1]);
    }

    fn note_cut(&mut self, log_len: u64) {
        Arc::make_mut(&mut self.cuts).push(log_len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    fn bytes_of(store: &JournalStore) -> Vec<u8> {
        let mut bytes = Vec::new();
        store.log().read(0, u64::MAX, &mut bytes);
        bytes
    }

    #[test]
    fn an_older_generation_is_refused() {
        let mut store = JournalStore::default();
        store.append(1, 1, b"a").unwrap();
        store.open(2);
        assert_eq!(store.append(1, 2, b"b"), Err(Fenced { newest: 2 }));
        store.append(2, 2, b"c").unwrap();
        assert_eq!((bytes_of(&store), store.refused()), (b"ac".to_vec(), 1));
    }

    #[test]
    fn a_crash_keeps_what_is_durable_and_reports_every_change() {
        let mut seen = [false; 4];
        for seed in 0..200 {
            let mut store = JournalStore::default();
            store.append(1, 1, b"durable").unwrap();
            store.complete();
            store.append(1, 2, b"first").unwrap();
            store.append(1, 3, b"second").unwrap();
            let before = bytes_of(&store);
            let lost = store.crash(&mut Rng::new(seed, Stream::Tails));
            let after = bytes_of(&store);
            assert!(after.starts_with(b"durable"));
            let cut = store.cuts_after(0).next();
            let unchanged = cut.map_or(before.len(), |cut| usize::try_from(cut.log_len).unwrap());
            assert_eq!(before[..unchanged], after[..unchanged], "seed {seed}");
            assert_eq!(cut.is_none(), before == after, "seed {seed}");
            assert_eq!(lost.is_some(), before != after, "seed {seed}");
            seen[0] |= before == after;
            seen[1] |= after.len() == 7;
            seen[2] |= after.len() > 7 && after.len() < 12;
            seen[3] |= after.ends_with(b"second") && after[7..12].contains(&0);
            assert_eq!((store.in_flight(), store.durable_bytes()), (0, 7));
        }
        assert_eq!(seen, [true; 4], "whole, lost, torn, and a hole before a survivor");
    }

    #[test]
    fn cuts_are_numbered_without_a_gap() {
        let mut store = JournalStore::default();
        store.append(1, 1, b"abcdef").unwrap();
        store.cut(4);
        store.cut(9);
        store.cut(2);
        let numbered: Vec<Cut> = store.cuts_after(0).collect();
        assert_eq!(numbered, [Cut { number: 1, log_len: 4 }, Cut { number: 2, log_len: 2 }]);
        assert_eq!(store.cuts_after(1).count(), 1);
        assert_eq!((store.cuts_after(2).count(), store.cuts()), (0, 2));
    }
}
