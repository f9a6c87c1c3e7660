//! Files that are cut off or changed.

use ledger::TransactionId;

use super::ids::{id, input, open};
use super::*;

/// Runs 0..8, 8..20 and 20..24, none of them merged.
fn make(directory: &Path) -> Vec<PathBuf> {
    let runs = open(directory, 0, &still());
    for (first, next) in [(0, 8), (8, 20), (20, 24)] {
        runs.add(input(first, next)).unwrap();
    }
    files(directory)
}

fn still() -> RunsConfig {
    RunsConfig { merge_fan_out: 9, ..tiny() }
}

fn all_ids() -> impl Iterator<Item = (TransactionId, u64)> {
    (0..40).map(|number| (id(number), number))
}

/// The bytes of these runs, to be laid into a new directory again and again.
struct Laid {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Laid {
    fn new() -> Laid {
        let directory = tempfile::tempdir().unwrap();
        let file = |path: PathBuf| (path.file_name().unwrap().into(), fs::read(path).unwrap());
        Laid { files: make(directory.path()).into_iter().map(file).collect() }
    }

    fn second(&self) -> &[u8] {
        &self.files[1].1
    }

    fn lay(&self, directory: &Path) -> Vec<PathBuf> {
        let paths = self.files.iter().map(|(name, bytes)| {
            let path = directory.join(name);
            fs::write(&path, bytes).unwrap();
            path
        });
        paths.collect()
    }
}

/// With the second run changed: it is named when the directory is opened, or when it is read; and no answer is wrong.
fn is_found(laid: &Laid, damage: impl Fn(&mut Vec<u8>)) {
    let directory = tempfile::tempdir().unwrap();
    let paths = laid.lay(directory.path());
    let mut bytes = laid.second().to_vec();
    damage(&mut bytes);
    fs::write(&paths[1], &bytes).unwrap();
    let (runs, ignored) = IdRuns::open(directory.path(), LOG_ID, 24, &still()).unwrap();
    let covered = runs.covered_before().0;
    if covered == 24 {
        assert_eq!(ignored, []);
        let damaged = runs.check().unwrap_err();
        assert_eq!(damaged.path, paths[1]);
    } else {
        assert_eq!(covered, 8, "{ignored:?}");
        let named: Vec<&PathBuf> = ignored.iter().map(|ignored| &ignored.path).collect();
        assert_eq!(named, [&paths[1], &paths[2]]);
        assert_eq!(files(directory.path()), paths[..1]);
    }
    let mut damages = 0;
    for (id, number) in all_ids() {
        match runs.find(&id) {
            Ok(found) if number < covered => assert_eq!(found, [128 + number * 100]),
            Ok(found) => assert!(found.is_empty(), "{number}: {found:?}"),
            Err(damaged) => {
                assert_eq!(damaged.path, paths[1]);
                damages += 1;
            }
        }
    }
    assert_eq!(damages > 0, covered == 24, "what was not found when it was opened is found when it is read");
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let laid = Laid::new();
    for at in 0..laid.second().len() {
        is_found(&laid, |bytes| bytes[at] ^= 1 << (at % 8));
    }
}

#[test]
fn a_cut_anywhere_is_found() {
    let laid = Laid::new();
    for len in 0..laid.second().len() {
        is_found(&laid, |bytes| bytes.truncate(len));
    }
    is_found(&laid, |bytes| bytes.push(0));
}

#[test]
fn a_block_of_another_place_or_run_is_found() {
    let laid = Laid::new();
    is_found(&laid, |bytes| bytes.copy_within(256..320, 320));
    let first = laid.files[0].1.clone();
    is_found(&laid, |bytes| bytes[256..320].copy_from_slice(&first[256..320]));
}

#[test]
fn merging_passes_a_damaged_run_over_and_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let paths = make(directory.path());
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[300] ^= 1;
    fs::write(&paths[1], &bytes).unwrap();
    let runs = open(directory.path(), 24, &tiny());
    runs.wait_for_merges();
    let [RunsError::Damaged(damaged)] = &runs.take_troubles()[..] else { panic!("one run is damaged") };
    assert_eq!((&damaged.path, damaged.at_byte), (&paths[1], 256));
    assert!(damaged.to_string().contains("block 0 has a wrong checksum"), "{damaged}");
    runs.add(input(24, 30)).unwrap();
    runs.merge_below(30);
    runs.wait_for_merges();
    assert_eq!(runs.stats().runs, 3, "the two behind it are merged");
    assert!(runs.take_troubles().is_empty(), "it is told once");

    runs.forget(damaged).unwrap();
    drop(runs);
    let (runs, ignored) = IdRuns::open(directory.path(), LOG_ID, 30, &tiny()).unwrap();
    assert_eq!((runs.covered_before().0, ignored.len()), (8, 1));
    expect_test::expect!["the records from 8 to 20 in front of it have no run"].assert_eq(&ignored[0].why);
}

#[test]
fn what_cannot_be_written_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let runs = open(directory.path(), 0, &tiny());
    runs.add(input(0, 4)).unwrap();
    // A directory in the way of the file's name: the run is written, and cannot be put in place.
    let in_the_way = directory.path().join(format!("{:020}-{:020}.wids", 4, 8));
    fs::create_dir(&in_the_way).unwrap();
    let error = runs.add(input(4, 8)).unwrap_err();
    assert!(error.to_string().contains("cannot put it in place"), "{error}");
    assert_eq!((runs.covered_before().0, runs.find(&id(5))), (4, Ok(vec![])));
    fs::remove_dir(&in_the_way).unwrap();
    runs.add(input(4, 8)).unwrap();
    assert_eq!(runs.find(&id(5)), Ok(vec![628]));
}

#[test]
fn a_run_that_the_system_does_not_open_stays() {
    let directory = tempfile::tempdir().unwrap();
    let paths = make(directory.path());
    fs::remove_file(&paths[1]).unwrap();
    // A link to itself can not be opened, whoever asks.
    std::os::unix::fs::symlink(&paths[1], &paths[1]).unwrap();
    let error = IdRuns::open(directory.path(), LOG_ID, 24, &still()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{}: cannot open it", paths[1].display())), "{error}");
    assert_eq!(files(directory.path()), paths);
}
