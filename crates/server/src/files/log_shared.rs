//! The durable log, to read while it is being written.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use journal::{Header, Seal, SealBorder};
use ledger::AccountName;
use pipeline::NotedBorder;
use projection::history::Chunks;
use time::Timestamp;

use super::record_reader::Wanted;

use super::log_lines::LogLines;
use super::memory_log::MemoryLog;
use super::{FilesError, LogFormat};

/// What an index on disk begins with.
const INDEX_MAGIC: &[u8; 12] = b"\x89WLIDX\r\n\x01\0\0\0";
/// Entries of the index are at least so many bytes of the log apart, in its binary form.
pub(super) const INDEX_BYTES_MIN: u64 = 256 << 10;
/// Entries at most; with more, every other one is dropped and the distance doubles.
const INDEX_ENTRIES_MAX: usize = 16_384;

/// What is durable of a log: shared by the one driver that writes and everybody who reads. Cheap to clone.
///
/// It moves only when a batch is on the disk and the pipeline has folded it, so nobody sees a byte that is not durable,
/// and whoever sees a record finds it in the read models too.
#[derive(Clone)]
pub struct LogShared {
    shared: Arc<Shared>,
}

/// How far a log is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Every record with a smaller sequence.
    pub next_sequence: u64,
    /// Bytes of the store, all segments together, up to the last seal.
    pub bytes: u64,
}

pub(super) struct Shared {
    pub(super) format: LogFormat,
    pub(super) log_id: [u8; 16],
    pub(super) store: Store,
    state: RwLock<State>,
}

/// Where the bytes of a log are.
pub(super) enum Store {
    /// In files, each with where it begins in the store; there is always one. More come when segments are begun.
    Files(RwLock<Vec<(u64, PathBuf)>>),
    /// In memory.
    Memory(MemoryLog),
}

/// The file that holds a byte of the store.
pub(super) struct Part {
    pub(super) path: PathBuf,
    /// Where the byte is in the file.
    pub(super) at_byte: u64,
    /// Where the file ends in the store, if another follows.
    pub(super) end: Option<u64>,
}

struct State {
    durable: Durable,
    names: Chunks<AccountName>,
    index: LogIndex,
}

/// Places from which a log can be read. What stands before the first entry is read from the log's beginning.
#[derive(Clone, Debug)]
pub(super) struct LogIndex {
    entries: Vec<IndexEntry>,
    bytes_min: u64,
    entries_max: usize,
}

/// A place behind a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) border: SealBorder,
    /// Where it is in the store.
    pub(super) store_byte: u64,
    /// How many accounts the records before it opened.
    pub(super) accounts_count: u32,
}

/// What a reader takes with it at one moment.
pub(super) struct Sight {
    pub(super) durable: Durable,
    /// `None` if the reader knows them all.
    pub(super) names: Option<Chunks<AccountName>>,
}

impl LogShared {
    /// A log of which nothing is durable yet.
    pub(super) fn new(format: LogFormat, log_id: [u8; 16], store: Store) -> LogShared {
        let durable = Durable { next_sequence: 0, bytes: 0 };
        let state = State { durable, names: Chunks::new(), index: LogIndex::new() };
        LogShared { shared: Arc::new(Shared { format, log_id, store, state: RwLock::new(state) }) }
    }

    /// What was found when the log was read.
    pub(super) fn restore(&self, names: &Chunks<AccountName>, index: LogIndex) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        state.names = names.clone();
        state.index = index;
    }

    /// How far it was durable when it was opened.
    pub(super) fn begin(&self, durable: Durable) {
        self.shared.state.write().unwrap_or_else(PoisonError::into_inner).durable = durable;
    }

    /// Which log this is.
    #[must_use]
    pub fn log_id(&self) -> [u8; 16] {
        self.shared.log_id
    }

    /// The form in which it is kept.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        self.shared.format
    }

    /// How far it is durable now.
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.read(|state| state.durable)
    }

    /// The lines of the log from this record on, as far as it is durable and as it grows. Those from 0 on begin with the
    /// header and are the whole log. Those from N on begin with what stands right before record N and covers no other:
    /// the seals before it, and a segment's header; whoever has them already skips them.
    ///
    /// Reading blocks on the disk. A sequence that is not durable yet is waited for.
    ///
    /// # Errors
    /// The system refuses to open the log.
    pub fn read_from(&self, sequence: u64) -> Result<LogLines, FilesError> {
        let entry = self.read(|state| state.index.below(sequence));
        LogLines::open(self.clone(), sequence, entry)
    }

    /// The places from which the log can be read, for [`LogIndex::decode`].
    pub(crate) fn index_bytes(&self) -> Vec<u8> {
        self.read(|state| state.index.encode(self.shared.log_id))
    }

    /// A frame's border before what is wanted, close to it if the log is indexed there.
    pub(super) fn place_before(&self, wanted: Wanted) -> u64 {
        let entry = self.read(|state| match wanted {
            Wanted::Sequence(sequence) => state.index.below(sequence.saturating_add(1)),
            Wanted::After(time) => state.index.at_or_before(time),
        });
        entry.map_or(0, |entry| entry.store_byte)
    }

    /// The driver's part: these records and bytes are durable and folded.
    pub(crate) fn publish(&self, border: &SealBorder, store_bytes: u64, names: &Chunks<AccountName>) {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        state.durable = Durable { next_sequence: border.next_sequence, bytes: store_bytes };
        if state.names.len() != names.len() {
            state.names = names.clone();
        }
        let accounts_count = names.len();
        state.index.offer(IndexEntry { border: *border, store_byte: store_bytes, accounts_count });
    }

    /// A segment was begun. Known before anything in it is published.
    pub(super) fn begun(&self, at_byte: u64, path: PathBuf) {
        if let Store::Files(parts) = &self.shared.store {
            let mut parts = parts.write().unwrap_or_else(PoisonError::into_inner);
            // The first segment of a new log has its place already.
            if parts.last().is_none_or(|(start, _)| *start < at_byte) {
                parts.push((at_byte, path));
            }
        }
    }

    /// How far the log is durable, and the names of its accounts if there are more than the reader knows.
    pub(super) fn sight(&self, names_known: u32) -> Sight {
        self.read(|state| Sight {
            durable: state.durable,
            names: (state.names.len() > names_known).then(|| state.names.clone()),
        })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.shared.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    /// The file that a byte of the store is in, for messages too: a log in memory has a name but no file.
    pub(super) fn part(&self, store_byte: u64) -> Part {
        match &self.store {
            Store::Files(parts) => {
                let parts = parts.read().unwrap_or_else(PoisonError::into_inner);
                let behind = parts.partition_point(|(start, _)| *start <= store_byte).max(1);
                let (start, path) = &parts[behind - 1];
                let end = parts.get(behind).map(|(start, _)| *start);
                Part { path: path.clone(), at_byte: store_byte - start, end }
            }
            Store::Memory(_) => Part { path: PathBuf::from("memory"), at_byte: store_byte, end: None },
        }
    }
}

impl Store {
    pub(super) fn files(parts: Vec<(u64, PathBuf)>) -> Store {
        Store::Files(RwLock::new(parts))
    }
}

impl LogIndex {
    pub(super) fn new() -> LogIndex {
        LogIndex { entries: Vec::new(), bytes_min: INDEX_BYTES_MIN, entries_max: INDEX_ENTRIES_MAX }
    }

    /// What a recovery noted of a log in the binary form.
    pub(super) fn note_all(&mut self, noted: Vec<NotedBorder>) {
        for noted in noted {
            self.note(&noted, noted.border.bytes);
        }
    }

    pub(super) fn note(&mut self, noted: &NotedBorder, store_byte: u64) {
        let NotedBorder { border, accounts_count } = *noted;
        self.offer(IndexEntry { border, store_byte, accounts_count });
    }

    /// Keeps an entry that is far enough behind the last one.
    pub(super) fn offer(&mut self, entry: IndexEntry) {
        let last = self.entries.last().map_or(0, |last| last.border.bytes);
        if entry.border.bytes < last + self.bytes_min {
            return;
        }
        if self.entries.len() >= self.entries_max {
            let mut keep = false;
            self.entries.retain(|_| {
                keep = !keep;
                keep
            });
            self.bytes_min *= 2;
        }
        self.entries.push(entry);
    }

    /// The last place before this record and the seals in front of it.
    pub(super) fn below(&self, sequence: u64) -> Option<IndexEntry> {
        let behind = self.entries.partition_point(|entry| entry.border.next_sequence < sequence);
        self.entries[..behind].last().copied()
    }
}

impl LogIndex {
    /// Bytes of an entry: where it is, the record, the accounts, and the seal with what its header says.
    const ENTRY_BYTES: usize = 8 * 7 + 4 + 32 * 2;

    /// The entries of a log in the binary form: magic, version and count; log id; the entries; and a BLAKE3 hash. It is
    /// derived from the log, so another version of it is as good as none.
    fn encode(&self, log_id: [u8; 16]) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.entries.len() * LogIndex::ENTRY_BYTES + 32);
        out.extend_from_slice(INDEX_MAGIC);
        let count = u32::try_from(self.entries.len()).expect("the index has few entries");
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&log_id);
        for IndexEntry { border, store_byte: _, accounts_count } in &self.entries {
            let numbers = [
                border.bytes,
                border.next_sequence,
                border.durable_before,
                border.generation,
                border.recorded_at.micros(),
                border.header.first_sequence,
                self.bytes_min,
            ];
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
            out.extend_from_slice(&accounts_count.to_le_bytes());
            out.extend_from_slice(&border.seal.0);
            out.extend_from_slice(&border.header.previous_seal.0);
        }
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Reads what [`LogShared::index_bytes`] wrote of the log of which this is a header; `None` if it is not that.
    pub(super) fn decode(bytes: &[u8], header: &Header) -> Option<LogIndex> {
        let (body, hash) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(body).as_bytes() != hash {
            return None;
        }
        let body = body.strip_prefix(INDEX_MAGIC)?;
        let (count, body) = body.split_first_chunk::<4>()?;
        let (log_id, body) = body.split_first_chunk::<16>()?;
        let mut index = LogIndex::new();
        let (entries, rest) = body.as_chunks::<{ LogIndex::ENTRY_BYTES }>();
        if *log_id != header.log_id
            || !rest.is_empty()
            || entries.len() != u32::from_le_bytes(*count) as usize
        {
            return None;
        }
        for entry in entries {
            let number =
                |at: usize| u64::from_le_bytes(entry[8 * at..8 * at + 8].try_into().expect("8 bytes"));
            let seal = |at: usize| Seal(entry[at..at + 32].try_into().expect("32 bytes"));
            let header = Header { first_sequence: number(5), previous_seal: seal(92), ..*header };
            let border = SealBorder {
                header,
                next_sequence: number(1),
                durable_before: number(2),
                generation: number(3),
                recorded_at: Timestamp::from_micros(number(4))?,
                seal: seal(60),
                bytes: number(0),
            };
            border.check().ok()?;
            index.bytes_min = number(6);
            let accounts_count = u32::from_le_bytes(entry[56..60].try_into().expect("4 bytes"));
            index.entries.push(IndexEntry { border, store_byte: border.bytes, accounts_count });
        }
        Some(index)
    }

    /// The last place behind which nothing is as early as this.
    fn at_or_before(&self, time: Timestamp) -> Option<IndexEntry> {
        let behind = self.entries.partition_point(|entry| entry.border.recorded_at <= time);
        self.entries[..behind].last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: u64) -> IndexEntry {
        let header = Header {
            log_id: [1; 16],
            ledger_id: [2; 16],
            partition: 0,
            content: 1,
            first_sequence: 0,
            previous_seal: Seal::ZERO,
        };
        let border = SealBorder {
            header,
            next_sequence: bytes / 10,
            durable_before: 0,
            generation: 1,
            recorded_at: Timestamp::ZERO,
            seal: Seal([3; 32]),
            bytes,
        };
        IndexEntry { border, store_byte: bytes * 3, accounts_count: 0 }
    }

    #[test]
    fn the_index_goes_to_bytes_and_back() {
        let mut index = LogIndex::new();
        (0..40).for_each(|number| {
            let mut entry = entry(1_000 + number * INDEX_BYTES_MIN);
            entry.store_byte = entry.border.bytes;
            entry.border.next_sequence = number;
            index.offer(entry);
        });
        let header = index.entries[0].border.header;
        let bytes = index.encode(header.log_id);
        let read = LogIndex::decode(&bytes, &header).expect("as it was written");
        assert_eq!((read.entries, read.bytes_min), (index.entries, index.bytes_min));
        for at in [0, 8, 20, 60, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(LogIndex::decode(&flipped, &header).is_none());
        }
        assert!(LogIndex::decode(&bytes, &Header { log_id: [9; 16], ..header }).is_none());
    }

    #[test]
    fn the_index_stays_small_however_long_the_log_is() {
        let mut index = LogIndex { entries: Vec::new(), bytes_min: 100, entries_max: 8 };
        for bytes in 0..100_000 {
            index.offer(entry(bytes));
            assert!(index.entries.len() <= 8);
        }
        assert!(index.entries.len() >= 4, "{index:?}");
        assert!(index.entries.windows(2).all(|pair| pair[1].border.bytes > pair[0].border.bytes));
        for sequence in 0..12_000 {
            let expected = index.entries.iter().rfind(|entry| entry.border.next_sequence < sequence);
            assert_eq!(index.below(sequence), expected.copied());
        }
    }
}
