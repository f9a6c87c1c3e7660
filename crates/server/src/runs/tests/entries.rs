//! Finding entries and balances.

use proptest::prelude::*;

use super::*;

/// An entry of the naive model: account, byte, balance.
type Naive = Vec<(u32, u64, i64)>;

#[derive(Clone, Debug)]
enum Step {
    /// Records, each with entries of these accounts.
    Add(Vec<Vec<u32>>),
    MergeBelow {
        back: u64,
    },
    WaitForMerges,
    Reopen {
        back: u64,
    },
}

fn some_step() -> impl Strategy<Value = Step> {
    let accounts = prop_oneof![4 => 0..6_u32, 1 => 0..40_u32, 1 => Just(u32::MAX)];
    let record = prop::collection::vec(accounts, 0..5);
    prop_oneof![
        6 => prop::collection::vec(record, 1..15).prop_map(Step::Add),
        2 => (0..30_u64).prop_map(|back| Step::MergeBelow { back }),
        2 => Just(Step::WaitForMerges),
        2 => (0..30_u64).prop_map(|back| Step::Reopen { back }),
    ]
}

fn open(directory: &Path, below: u64, config: &RunsConfig) -> EntryRuns {
    let (runs, ignored) = EntryRuns::open(directory, LOG_ID, below, config).unwrap();
    assert_eq!(ignored, []);
    runs
}

/// Adds records to the model, and says what is to be added to the runs.
fn add(model: &mut Naive, next_sequence: &mut u64, records: &[Vec<u32>]) -> EntryRunInput {
    let range = range(*next_sequence, *next_sequence + records.len() as u64);
    let mut entries = Vec::new();
    for accounts in records {
        let at_byte = 128 + *next_sequence * 100;
        *next_sequence += 1;
        for account in accounts {
            let balance_after =
                i64::try_from(model.len() + 1).unwrap() * if account % 2 == 0 { 1 } else { -1 };
            model.push((*account, at_byte, balance_after));
            entries.push(NewEntry { account: *account, at_byte, balance_after });
        }
    }
    EntryRunInput { range, entries }
}

fn older_than(model: &Naive, account: u32, at_byte: u64, limit: usize) -> Vec<EntryAt> {
    let own = model.iter().rev().filter(|entry| entry.0 == account && entry.1 < at_byte);
    let mut found: Vec<EntryAt> = Vec::new();
    for (_, at_byte, balance_after) in own {
        let is_same_record = found.last().is_some_and(|last| last.at_byte == *at_byte);
        if found.len() >= limit && !is_same_record {
            break;
        }
        found.push(EntryAt { at_byte: *at_byte, balance_after: *balance_after });
    }
    found
}

fn check(model: &Naive, next_sequence: u64, runs: &EntryRuns) {
    assert_eq!(runs.covered_before().0, next_sequence);
    let bytes = [0, 128, 129, 128 + next_sequence * 50, 128 + next_sequence * 100, u64::MAX];
    let bytes = bytes.into_iter().chain((0..next_sequence).step_by(5).map(|record| 128 + record * 100));
    for before in bytes {
        for account in (0..8).chain([39, u32::MAX]) {
            let all = older_than(model, account, before, usize::MAX);
            assert_eq!(
                runs.balance_at(account, before).unwrap(),
                all.first().map(|entry| entry.balance_after),
                "account {account} before {before}"
            );
            for limit in [0_u32, 1, 3, 1_000] {
                let expected =
                    if limit == 0 { vec![] } else { older_than(model, account, before, limit as usize) };
                assert_eq!(runs.older_than(account, before, limit).unwrap(), expected);
            }
        }
    }
    runs.check().unwrap();
    assert!(runs.take_troubles().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn entries_are_found_like_in_a_list(steps in prop::collection::vec(some_step(), 1..20)) {
        let directory = tempfile::tempdir().unwrap();
        let (mut model, mut next_sequence) = (Naive::new(), 0);
        let mut runs = open(directory.path(), 0, &tiny());
        for step in steps {
            match step {
                Step::Add(records) => runs.add(add(&mut model, &mut next_sequence, &records)).unwrap(),
                Step::MergeBelow { back } => runs.merge_below(next_sequence.saturating_sub(back)),
                Step::WaitForMerges => runs.wait_for_merges(),
                Step::Reopen { back } => {
                    let below = next_sequence.saturating_sub(back);
                    drop(runs);
                    runs = open(directory.path(), below, &tiny());
                    next_sequence = runs.covered_before().0;
                    prop_assert!(next_sequence <= below);
                    model.retain(|entry| entry.1 < 128 + next_sequence * 100);
                }
            }
            check(&model, next_sequence, &runs);
        }
        runs.merge_below(next_sequence);
        runs.wait_for_merges();
        check(&model, next_sequence, &runs);
    }
}

/// Three runs, none of them merged, with their files and the model of their entries.
fn laid(directory: &Path) -> (Naive, Vec<(PathBuf, Vec<u8>)>) {
    let runs = open(directory, 0, &still());
    let (mut model, mut next_sequence) = (Naive::new(), 0);
    for records in [4_u32, 9, 5] {
        let records: Vec<Vec<u32>> = (0..records).map(|record| vec![record % 5, 7, record % 3]).collect();
        runs.add(add(&mut model, &mut next_sequence, &records)).unwrap();
    }
    let file = |path: PathBuf| (path.clone(), fs::read(path).unwrap());
    (model, files(directory).into_iter().map(file).collect())
}

fn still() -> RunsConfig {
    RunsConfig { merge_fan_out: 9, ..tiny() }
}

/// With the second run changed: it is named when the directory is opened, or when it is read; and no answer is wrong.
fn is_found(
    directory: &Path,
    (model, laid): &(Naive, Vec<(PathBuf, Vec<u8>)>),
    damage: impl Fn(&mut Vec<u8>),
) {
    laid.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    let (second, mut bytes) = laid[1].clone();
    damage(&mut bytes);
    fs::write(&second, &bytes).unwrap();
    let (runs, ignored) = EntryRuns::open(directory, LOG_ID, 18, &still()).unwrap();
    let covered = runs.covered_before().0;
    if covered == 18 {
        assert_eq!(ignored, []);
        assert_eq!(runs.check().unwrap_err().path, second);
    } else {
        assert_eq!((covered, ignored.len(), &ignored[0].path), (4, 2, &second));
    }
    let known: Naive = model.iter().copied().filter(|entry| entry.1 < 128 + covered * 100).collect();
    let mut damages = 0;
    for account in 0..9 {
        let answers = [
            runs.older_than(account, u64::MAX, 100)
                .map(|found| found == older_than(&known, account, u64::MAX, 100)),
            runs.balance_at(account, 128 + 600).map(|found| {
                found == older_than(&known, account, 128 + 600, 1).first().map(|entry| entry.balance_after)
            }),
        ];
        for answer in answers {
            match answer {
                Ok(is_right) => assert!(is_right, "account {account}"),
                Err(damaged) => {
                    assert_eq!(damaged.path, second);
                    damages += 1;
                }
            }
        }
    }
    assert_eq!(damages > 0, covered == 18);
}

#[test]
fn a_flip_or_a_cut_anywhere_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let laid = laid(directory.path());
    for at in 0..laid.1[1].1.len() {
        is_found(directory.path(), &laid, |bytes| bytes[at] ^= 1 << (at % 8));
        is_found(directory.path(), &laid, |bytes| bytes.truncate(at));
    }
}

#[test]
fn what_is_close_to_the_end_costs_few_blocks_and_what_is_not_a_search() {
    let directory = tempfile::tempdir().unwrap();
    let runs = open(directory.path(), 0, &RunsConfig::default());
    let (mut model, mut next_sequence) = (Naive::new(), 0);
    let records: Vec<Vec<u32>> = (0..60_000).map(|record| vec![3, 10 + record % 1_000]).collect();
    for records in records.chunks(20_000) {
        runs.add(add(&mut model, &mut next_sequence, records)).unwrap();
    }
    let reads = |ask: &dyn Fn()| {
        let before = runs.stats().blocks_read;
        ask();
        runs.stats().blocks_read - before
    };
    let newest =
        || assert_eq!(runs.older_than(3, u64::MAX, 50).unwrap(), older_than(&model, 3, u64::MAX, 50));
    let half_way = || {
        let balance = model.iter().rev().find(|entry| entry.0 == 3 && entry.1 < 3_000_000).unwrap().2;
        assert_eq!(runs.balance_at(3, 3_000_000), Ok(Some(balance)));
    };
    let nobody = || assert_eq!(runs.balance_at(4, u64::MAX), Ok(None));
    let text = format!("{} {} {}", reads(&newest), reads(&half_way), reads(&nobody));
    expect_test::expect!["2 9 3"].assert_eq(&text);
    assert_eq!(runs.stats().memory_bytes, 3 * 4 * 4, "of 1,001 accounts in each run");
}

#[test]
fn ids_and_entries_can_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let ids = super::ids::open(directory.path(), 0, &tiny());
    let entries = open(directory.path(), 0, &tiny());
    ids.add(super::ids::input(0, 4)).unwrap();
    entries.add(add(&mut Naive::new(), &mut 0, &[vec![1], vec![2]])).unwrap();
    drop((ids, entries));
    assert_eq!(super::ids::open(directory.path(), 9, &tiny()).covered_before().0, 4);
    assert_eq!(open(directory.path(), 9, &tiny()).covered_before().0, 2);
}
