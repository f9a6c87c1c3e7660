//! From the ids of old transactions to their records.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use ledger::TransactionId;
use siphasher::sip::SipHasher13;

use super::block::{BlockShape, Cell};
use super::config::RunsConfig;
use super::error::{Ignored, RunDamaged, RunsError};
use super::fuse::Probe;
use super::head::{Head, OWN_BYTES, RunRange};
use super::id_file::{IdRun, IdRunWriter, Spans};
use super::set::{RunSet, RunsStats};

/// Filters that are asked together.
const PROBES_AT_ONCE: usize = 8;

/// The ids of a range of records.
#[derive(Clone, Debug)]
pub struct IdRunInput {
    /// The records.
    pub range: RunRange,
    /// Each id with the byte of its record in the log, in any order. A record may have several ids, and an id several
    /// records.
    pub ids: Vec<(TransactionId, u64)>,
}

/// Where in the log the transactions with given ids are, for all records below [`IdRuns::covered_before`].
///
/// It holds 64-bit hashes of ids, not ids: what it finds are *candidates*, and the caller reads the record and compares.
/// The hash is `SipHash-1-3` with a key that is drawn for the directory, so nobody who does not know the key can make ids
/// that collide. An id that no filter passes costs no read of the disk, and one that is here one or two.
///
/// Any number of threads may find while one adds.
#[derive(Debug)]
pub struct IdRuns {
    set: RunSet<IdRun>,
    log_id: [u8; 16],
    key: [u8; 16],
}

impl IdRuns {
    /// Opens the runs of a directory, which is made if there is none. Runs that go beyond the record `below`, of another
    /// log, or behind one that is missing or damaged, are removed; what was wrong with them is told, unless they were only
    /// left over. It reads all that stays in memory (about 2.3 bytes an id).
    ///
    /// # Errors
    /// The system refuses to read or change the directory.
    ///
    /// # Panics
    /// If the settings cannot work.
    pub fn open(
        directory: &Path,
        log_id: [u8; 16],
        below: u64,
        config: &RunsConfig,
    ) -> Result<(IdRuns, Vec<Ignored>), RunsError> {
        let (set, ignored) = RunSet::<IdRun>::open(directory, log_id, below, config)?;
        let key = set.runs().first().map_or_else(new_key, |run| run.key());
        Ok((IdRuns { set, log_id, key }, ignored))
    }

    /// All records below this one are here; with the byte at which the next run begins. 0 and 0 if there is no run.
    #[must_use]
    pub fn covered_before(&self) -> (u64, u64) {
        self.set.covered_before()
    }

    /// Adds the run behind the last one: it is durable, and found in, when this returns. It takes one write of 18.4 bytes
    /// an id, two syncs and a sort; after an error nothing has changed, and it can be tried again.
    ///
    /// # Errors
    /// The system refuses, as when the disk is full.
    ///
    /// # Panics
    /// If the records are not those that follow [`IdRuns::covered_before`].
    pub fn add(&self, input: IdRunInput) -> Result<(), RunsError> {
        let IdRunInput { range, ids } = input;
        let path = self.set.path_for(range);
        let mut spans = Spans::EMPTY;
        ids.iter().for_each(|(id, _)| spans.add(id));
        let mut cells: Vec<Cell> = ids.iter().map(|(id, at_byte)| (self.hash(id), *at_byte)).collect();
        drop(ids);
        cells.sort_unstable();
        let config = self.set.config();
        let head = Head {
            log_id: self.log_id,
            range,
            count: cells.len() as u64,
            level: 0,
            shape: BlockShape::new(config.block_bytes),
            own: [0; OWN_BYTES],
        };
        let mut writer = IdRunWriter::create(path, &head, config)?;
        cells.iter().try_for_each(|cell| writer.push(*cell))?;
        let path = writer.finish(&head, self.key, spans)?;
        self.set.publish(&path)
    }

    /// The bytes in the log of all records that may belong to the id, the newest run's first: none, nearly always one, and
    /// more if hashes collide. No record of the id below [`IdRuns::covered_before`] is missing.
    ///
    /// # Errors
    /// A run that had to be read is damaged, so it is not known whether the id is in it.
    pub fn find(&self, id: &TransactionId) -> Result<Vec<u64>, RunDamaged> {
        let hash = self.hash(id);
        let (mut found, mut blocks_read) = (Vec::new(), 0);
        let runs = self.set.runs();
        for runs in runs.rchunks(PROBES_AT_ONCE) {
            let mut probes = [Probe::NO; PROBES_AT_ONCE];
            for (probe, run) in probes.iter_mut().zip(runs) {
                *probe = run.probe(id, hash);
            }
            let passed = probes
                .iter()
                .enumerate()
                .fold(0_u32, |passed, (at, probe)| passed | u32::from(probe.passes()) << at);
            if passed == 0 {
                continue;
            }
            for (at, run) in runs.iter().enumerate().rev() {
                if passed & 1 << at != 0 {
                    blocks_read += run.find(hash, &mut found)?;
                }
            }
        }
        if blocks_read > 0 {
            self.set.count_blocks_read(blocks_read);
        }
        Ok(found)
    }

    /// Merges runs only if what comes out ends at this record or before it, as the newest snapshot does: recovery from an
    /// older record than a run's last one can not use that run. It is `below` until it is said anew.
    pub fn merge_below(&self, sequence: u64) {
        self.set.merge_below(sequence);
    }

    /// Waits until there is nothing to merge.
    pub fn wait_for_merges(&self) {
        self.set.wait_for_merges();
    }

    /// What went wrong while runs were merged, since this was asked the last time. No answer was or is wrong for it: the
    /// runs stay as they were.
    #[must_use]
    pub fn take_troubles(&self) -> Vec<RunsError> {
        self.set.take_troubles()
    }

    /// Removes the file of a damaged run, so that it is made again after the directory is opened the next time. Until then
    /// it goes on answering, and failing.
    ///
    /// # Errors
    /// The system refuses to remove it.
    pub fn forget(&self, damaged: &RunDamaged) -> Result<(), RunsError> {
        self.set.forget(damaged)
    }

    /// Reads and checks every block of every run.
    ///
    /// # Errors
    /// The first one that is damaged.
    pub fn check(&self) -> Result<(), RunDamaged> {
        self.set.check()
    }

    /// What the runs take.
    #[must_use]
    pub fn stats(&self) -> RunsStats {
        self.set.stats()
    }

    fn hash(&self, id: &TransactionId) -> u64 {
        SipHasher13::new_with_key(&self.key).hash(&id.as_bytes()) & self.set.config().hash_mask
    }
}

/// 128 bits that nobody outside of this process can foresee.
fn new_key() -> [u8; 16] {
    // The system's entropy reaches std's hash tables, and nothing else of std gives it out.
    let random = RandomState::new();
    let mut key = [0; 16];
    key[..8].copy_from_slice(&random.hash_one(0).to_le_bytes());
    key[8..].copy_from_slice(&random.hash_one(1).to_le_bytes());
    key
}
