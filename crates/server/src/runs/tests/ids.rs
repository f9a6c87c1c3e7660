//! Finding ids.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ledger::TransactionId;
use proptest::prelude::*;

use super::*;

/// An id of version 4 or 7 for each number.
pub(super) fn id(number: u64) -> TransactionId {
    let mut bytes = [0; 16];
    if number.is_multiple_of(2) {
        bytes[..8].copy_from_slice(&(number << 16).to_be_bytes());
        bytes[6] = 0x70;
        bytes[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    } else {
        bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        bytes[6] = 0x40 | bytes[6] & 15;
        bytes[8..].copy_from_slice(&number.to_be_bytes());
    }
    TransactionId::from_bytes(bytes)
}

/// A run with one id a record, the number of the record.
pub(super) fn input(first: u64, next: u64) -> IdRunInput {
    let ids = (first..next).map(|number| (id(number), 128 + number * 100)).collect();
    IdRunInput { range: range(first, next), ids }
}

pub(super) fn open(directory: &Path, below: u64, config: &RunsConfig) -> IdRuns {
    let (runs, ignored) = IdRuns::open(directory, LOG_ID, below, config).unwrap();
    assert_eq!(ignored, []);
    runs
}

#[derive(Clone, Debug)]
enum Step {
    Add { records: u64, ids: Vec<u64> },
    MergeBelow { back: u64 },
    WaitForMerges,
    Reopen { back: u64 },
}

fn some_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20_u64, prop::collection::vec(0..300_u64, 0..20))
            .prop_map(|(records, ids)| Step::Add { records, ids }),
        2 => (0..30_u64).prop_map(|back| Step::MergeBelow { back }),
        2 => Just(Step::WaitForMerges),
        2 => (0..30_u64).prop_map(|back| Step::Reopen { back }),
    ]
}

/// Every record with its ids, as a map would have it.
#[derive(Default)]
struct Model {
    bytes_of: BTreeMap<u64, Vec<(u64, u64)>>,
    next_sequence: u64,
}

impl Model {
    fn add(&mut self, records: u64, numbers: &[u64]) -> IdRunInput {
        let range = range(self.next_sequence, self.next_sequence + records);
        self.next_sequence += records;
        let places = numbers.iter().map(|number| {
            let at_byte = range.first_byte + number % records * 100;
            self.bytes_of.entry(*number).or_default().push((at_byte, range.first_sequence));
            (id(*number), at_byte)
        });
        IdRunInput { range, ids: places.collect() }
    }

    /// Forgets what was recorded in runs from this record on.
    fn cut(&mut self, next_sequence: u64) {
        self.next_sequence = next_sequence;
        self.bytes_of.values_mut().for_each(|places| places.retain(|place| place.1 < next_sequence));
    }

    fn check(&self, runs: &IdRuns, config: &RunsConfig) {
        assert_eq!(runs.covered_before().0, self.next_sequence);
        for number in 0..320 {
            let found = runs.find(&id(number)).unwrap();
            let places = self.bytes_of.get(&number).map_or(&[][..], Vec::as_slice);
            assert!(places.iter().all(|(at_byte, _)| found.contains(at_byte)), "{number}: {found:?}");
            if config.hash_mask == u64::MAX {
                assert_eq!(found.len(), places.len(), "{number}: {found:?}");
            }
        }
        runs.check().unwrap();
        assert!(runs.take_troubles().is_empty());
    }
}

fn like_a_map(steps: Vec<Step>, config: &RunsConfig) {
    let directory = tempfile::tempdir().unwrap();
    let (mut model, mut runs) = (Model::default(), open(directory.path(), 0, config));
    for step in steps {
        match step {
            Step::Add { records, ids } => runs.add(model.add(records, &ids)).unwrap(),
            Step::MergeBelow { back } => runs.merge_below(model.next_sequence.saturating_sub(back)),
            Step::WaitForMerges => runs.wait_for_merges(),
            Step::Reopen { back } => {
                let below = model.next_sequence.saturating_sub(back);
                drop(runs);
                runs = open(directory.path(), below, config);
                assert!(runs.covered_before().0 <= below, "runs beyond {below} are not used");
                model.cut(runs.covered_before().0);
            }
        }
        model.check(&runs, config);
    }
    runs.merge_below(model.next_sequence);
    runs.wait_for_merges();
    model.check(&runs, config);
    assert_eq!(files(directory.path()).len() as u64, runs.stats().runs, "nothing is left over");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn ids_are_found_like_in_a_map(steps in prop::collection::vec(some_step(), 1..25)) {
        like_a_map(steps, &tiny());
    }

    #[test]
    fn colliding_ids_are_all_candidates(steps in prop::collection::vec(some_step(), 1..15)) {
        like_a_map(steps, &colliding());
    }
}

#[test]
fn four_runs_of_a_level_become_one_of_the_next_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let config = RunsConfig { merge_fan_out: 4, merged_cells_max: 64, ..tiny() };
    let runs = open(directory.path(), 0, &config);
    runs.merge_below(1_000);
    let mut text = String::new();
    for number in 0..24 {
        runs.add(input(number * 4, number * 4 + 4)).unwrap();
        runs.wait_for_merges();
        text += &format!("{} ", runs.stats().runs);
    }
    expect_test::expect!["1 2 3 1 2 3 4 2 3 4 5 3 4 5 6 1 2 3 4 2 3 4 5 3 "].assert_eq(&text);
    let stats = runs.stats();
    assert_eq!((stats.cells, stats.cells_merged, stats.runs_merged), (96, 24 * 4 + 64, 24 + 4));
    // 16 + 4 + 4 runs: those of 64 and 16 ids stay apart for ever, because four of 64 would be too many.
    (24..80).for_each(|number| runs.add(input(number * 4, number * 4 + 4)).unwrap());
    runs.wait_for_merges();
    assert_eq!(runs.stats().runs, 5);
}

#[test]
fn no_run_reaches_beyond_the_bound_while_merging() {
    let directory = tempfile::tempdir().unwrap();
    let runs = open(directory.path(), 0, &tiny());
    (0..8).for_each(|number| runs.add(input(number * 4, number * 4 + 4)).unwrap());
    runs.wait_for_merges();
    assert_eq!(runs.stats().runs, 8, "nothing may be merged yet");
    runs.merge_below(17);
    runs.wait_for_merges();
    assert_eq!(runs.stats().runs, 5, "the first four are one");
    drop(runs);
    assert_eq!(open(directory.path(), 17, &tiny()).covered_before(), (16, 128 + 1_600));
}

#[test]
fn left_overs_of_a_merge_are_removed_and_parts_are_used_if_the_whole_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let runs = open(directory.path(), 0, &tiny());
    runs.add(input(0, 4)).unwrap();
    runs.add(input(4, 8)).unwrap();
    let parts: Vec<(PathBuf, Vec<u8>)> =
        files(directory.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    runs.merge_below(8);
    runs.wait_for_merges();
    drop(runs);
    let [merged] = &files(directory.path())[..] else { panic!("one file") };
    parts.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    fs::write(merged.with_extension("wids.tmp"), b"unfinished").unwrap();
    fs::write(directory.path().join("lock"), b"").unwrap();
    let runs = open(directory.path(), 8, &RunsConfig { merge_fan_out: 3, ..tiny() });
    assert_eq!(runs.stats().runs, 1, "the merged one supersedes its parts");
    drop(runs);
    assert_eq!(files(directory.path()), [merged.clone(), directory.path().join("lock")]);

    parts.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let mut bytes = fs::read(merged).unwrap();
    bytes[255] ^= 1;
    fs::write(merged, bytes).unwrap();
    let config = RunsConfig { merge_fan_out: 3, ..tiny() };
    let (runs, ignored) = IdRuns::open(directory.path(), LOG_ID, 8, &config).unwrap();
    assert_eq!((runs.stats().runs, runs.covered_before().0, ignored.len()), (2, 8, 1));
    assert_eq!(ignored[0].path, *merged);
}

#[test]
fn an_absent_id_costs_no_read_and_a_present_one_a_block() {
    let directory = tempfile::tempdir().unwrap();
    let config = RunsConfig { merge_fan_out: 4, ..RunsConfig::default() };
    let runs = open(directory.path(), 0, &config);
    (0..3).for_each(|number| runs.add(input(number * 2_000, number * 2_000 + 2_000)).unwrap());
    assert!((10_000..11_000).all(|number| runs.find(&id(number)).unwrap().is_empty()));
    assert!(runs.stats().blocks_read <= 3, "{:?}", runs.stats());
    let before = runs.stats().blocks_read;
    assert!((0..6_000).all(|number| runs.find(&id(number)).unwrap() == [128 + number * 100]));
    assert!(runs.stats().blocks_read - before <= 6_030, "{:?}", runs.stats());
}

#[test]
fn runs_of_another_log_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), 0, &tiny()).add(input(0, 4)).unwrap();
    let (runs, ignored) = IdRuns::open(directory.path(), [8; 16], 4, &tiny()).unwrap();
    assert_eq!((runs.covered_before(), ignored[0].why.as_str()), ((0, 0), "it is of another log"));
}

#[test]
fn runs_with_another_key_do_not_stand_in_one_row() {
    let [one, two] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let whole = RunsConfig { merge_fan_out: 3, ..tiny() };
    let runs = open(one.path(), 0, &whole);
    runs.add(input(0, 4)).unwrap();
    drop(runs);
    let runs = open(two.path(), 0, &whole);
    runs.add(input(0, 4)).unwrap();
    runs.add(input(4, 8)).unwrap();
    drop(runs);
    let second = &files(two.path())[1];
    fs::copy(second, one.path().join(second.file_name().unwrap())).unwrap();
    let (runs, ignored) = IdRuns::open(one.path(), LOG_ID, 8, &whole).unwrap();
    assert_eq!((runs.covered_before().0, ignored.len()), (4, 1));
    assert!(ignored[0].why.contains("another key"), "{}", ignored[0]);
}

#[test]
fn a_run_may_have_no_ids() {
    let directory = tempfile::tempdir().unwrap();
    let runs = open(directory.path(), 0, &tiny());
    runs.merge_below(100);
    for number in 0..4 {
        runs.add(IdRunInput { range: range(number, number + 1), ids: Vec::new() }).unwrap();
    }
    runs.wait_for_merges();
    assert_eq!(runs.find(&id(1)), Ok(vec![]));
    drop(runs);
    assert_eq!(open(directory.path(), 100, &tiny()).covered_before().0, 4);
}

#[test]
fn ids_are_found_while_runs_are_added_and_merged() {
    const RUNS: u64 = 60;
    let directory = tempfile::tempdir().unwrap();
    let runs = open(directory.path(), 0, &tiny());
    runs.merge_below(u64::MAX);
    let added = AtomicU64::new(0);
    thread::scope(|scope| {
        let finds = || {
            let mut seen = 0;
            while seen < RUNS * 10 {
                seen = added.load(Ordering::Acquire);
                for number in 0..seen + 10 {
                    let found = runs.find(&id(number)).unwrap();
                    let is_fine = found == [128 + number * 100] || number >= seen && found.is_empty();
                    assert!(is_fine, "{number} of {seen}: {found:?}");
                }
            }
        };
        let readers = [scope.spawn(finds), scope.spawn(finds)];
        for number in 0..RUNS {
            runs.add(input(number * 10, number * 10 + 10)).unwrap();
            added.store(number * 10 + 10, Ordering::Release);
        }
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    runs.wait_for_merges();
    assert!(runs.stats().runs < 12 && runs.take_troubles().is_empty(), "{:?}", runs.stats());
}

#[test]
fn merging_can_be_stopped_at_any_moment() {
    for _ in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let runs = open(directory.path(), 0, &tiny());
        runs.merge_below(u64::MAX);
        (0..8).for_each(|number| runs.add(input(number * 50, number * 50 + 50)).unwrap());
        drop(runs);
        let runs = open(directory.path(), u64::MAX, &tiny());
        assert!((0..400).all(|number| runs.find(&id(number)).unwrap() == [128 + number * 100]));
    }
}
