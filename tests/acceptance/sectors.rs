//! A disk of sectors that loses power: what was not synced is lost in any order, sectors are torn, show what stood there
//! before, or rot.
//!
//! The model is drawn from seeds. Whatever the disk leaves behind, recovery gives an exact prefix of the records that has
//! everything durable, or refuses by name; never anything else.

use journal::{Decoder, Item};
use ledger::Digest;
use pipeline::{Recovery, RecoveryError};

use super::harness::{check_invariants, commands, digests, log_of, log_with_in_flight};

const SECTOR_BYTES: usize = 512;
/// Room behind the log, as a segment has it.
const RESERVED_BYTES: usize = 16 * SECTOR_BYTES;
const SEEDS: u64 = 3_000;
/// Appends that are not durable yet when the next one is sealed, and as many are lost at most.
const APPENDS_IN_FLIGHT: u32 = 4;

/// A log in appends, of which some were on their way at any time.
struct Written {
    log: Vec<u8>,
    digests: Vec<Digest>,
    /// Where each append ends, the records up to there, and how many of them its seal calls durable.
    ends: Vec<(usize, u64, u64)>,
}

impl Written {
    fn new(batch: usize) -> Written {
        let log = log_with_in_flight(&commands(12, 300), batch, APPENDS_IN_FLIGHT);
        let digests = digests(&log);
        let mut decoder = Decoder::new();
        decoder.push(&log);
        let mut ends = Vec::new();
        while let Some(item) = decoder.next().expect("a good log") {
            if let Item::Seal { frame, .. } = item {
                let (next_sequence, durable_before) = (frame.next_sequence, frame.durable_before);
                let end = usize::try_from(decoder.position()).expect("a small log");
                ends.push((end, next_sequence, durable_before));
            }
        }
        Written { log, digests, ends }
    }
}

/// splitmix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).expect("below a usize")
    }
}

/// What a disk leaves of a log whose appends up to one are durable, while some more were written and not synced.
struct Left {
    disk: Vec<u8>,
    durable_records: u64,
    /// Records that a seal which survives for certain calls durable.
    marked_records: u64,
    durable_bytes: usize,
}

fn lose_power(written: &Written, draw: &mut Draw) -> Left {
    let in_flight_max = APPENDS_IN_FLIGHT as usize;
    let durable = draw.below(written.ends.len() - in_flight_max);
    let in_flight = 1 + draw.below(in_flight_max - 1);
    let (durable_bytes, durable_records, marked_records) = written.ends[durable];
    let (written_bytes, ..) = written.ends[durable + in_flight];
    let mut disk = written.log[..durable_bytes].to_vec();
    disk.resize(written_bytes + RESERVED_BYTES, 0);
    let first = durable_bytes / SECTOR_BYTES;
    for sector in first..=written_bytes / SECTOR_BYTES {
        // The first one holds bytes that are durable; they are the same in each version of it.
        let start = (sector * SECTOR_BYTES).max(durable_bytes);
        let end = ((sector + 1) * SECTOR_BYTES).min(written_bytes);
        let kept = match draw.below(4) {
            0 => 0,
            1 => draw.below(end - start + 1),
            _ => end - start,
        };
        // From the front, or from the back, as a disk pleases.
        let kept = if draw.below(2) == 0 { start..start + kept } else { end - kept..end };
        disk[kept.clone()].copy_from_slice(&written.log[kept]);
    }
    Left { disk, durable_records, marked_records, durable_bytes }
}

/// The records that are there; their digest is that of an exact prefix.
fn recover(written: &Written, disk: &[u8], seed: u64) -> Result<u64, RecoveryError> {
    let mut recovery = Recovery::new(seed);
    for piece in disk.chunks(3_000) {
        recovery.push(piece, |_| {})?;
    }
    let recovered = recovery.finish()?;
    let records = recovered.projections.checkpoint();
    let expected = written.digests[usize::try_from(records).expect("a small log")];
    assert_eq!(recovered.ledger.digest(), expected, "seed {seed}: an exact prefix");
    check_invariants(&recovered.ledger);
    Ok(records)
}

#[test]
fn lost_and_torn_sectors_take_nothing_that_was_durable() {
    let mut more_than_durable = 0;
    for batch in [1, 5, 40] {
        let written = Written::new(batch);
        for seed in 0..SEEDS / batch as u64 {
            let left = lose_power(&written, &mut Draw(seed));
            let records = recover(&written, &left.disk, seed)
                .unwrap_or_else(|error| panic!("batch {batch}, seed {seed}: {error}"));
            assert!(records >= left.durable_records, "batch {batch}, seed {seed}: {records} records");
            more_than_durable += u64::from(records > left.durable_records);
        }
    }
    assert!(more_than_durable > 100, "only {more_than_durable} times an append survived");
}

#[test]
fn stale_sectors_are_never_taken_for_the_log() {
    let written = Written::new(5);
    // What stood there before: another log with the same records in other batches.
    let stale = log_of(&commands(12, 300), 3);
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut draw = Draw(seed);
        let mut left = lose_power(&written, &mut draw);
        let sectors = left.durable_bytes.div_ceil(SECTOR_BYTES)..left.disk.len() / SECTOR_BYTES;
        for sector in sectors {
            let at = sector * SECTOR_BYTES;
            if draw.below(3) == 0 && at + SECTOR_BYTES <= stale.len() {
                left.disk[at..at + SECTOR_BYTES].copy_from_slice(&stale[at..at + SECTOR_BYTES]);
            }
        }
        match recover(&written, &left.disk, seed) {
            Ok(records) => assert!(records >= left.durable_records, "seed {seed}: {records} records"),
            // A seal that says that more was durable may be of an old file or not: that is for somebody to decide.
            Err(RecoveryError::Corrupt(corrupt)) => {
                assert!(corrupt.damage.at_byte >= left.durable_bytes as u64, "seed {seed}: {corrupt}");
                refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(refused < SEEDS, "{refused} of {SEEDS} were refused");
}

#[test]
fn bits_that_rot_are_named_or_were_never_called_durable() {
    let written = Written::new(5);
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut draw = Draw(seed);
        let mut left = lose_power(&written, &mut draw);
        let at = draw.below(left.durable_bytes);
        left.disk[at] ^= 1 << draw.below(8);
        match recover(&written, &left.disk, seed) {
            // The last appends are vouched for by no later seal, and look like a torn tail.
            Ok(records) => assert!(records >= left.marked_records, "seed {seed}: {records} records"),
            Err(RecoveryError::Corrupt(corrupt)) => {
                let (damaged, byte) = (corrupt.damage.at_byte, at as u64);
                assert!(damaged <= byte, "seed {seed}: byte {byte} rots, and byte {damaged} is named");
                refused += 1;
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(refused > SEEDS / 2, "only {refused} of {SEEDS} were refused");
}
