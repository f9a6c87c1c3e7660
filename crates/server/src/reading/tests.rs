//! What a window and runs answer is what whole read models answer, wherever the process ends and whatever is lost of the
//! derived files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ledger::{AccountIndex, AccountName, Command, Ledger, LinkedTransfers, TransactionId};
use pipeline::{DurableBatch, Lookup, Request, Snapshot};
use projection::EntryCursor;
use proptest::prelude::*;
use time::Timestamp;

use super::keeper::snapshots;
use super::*;
use crate::files::{Driver, DriverOpened, DriverOptions, OwnReads, ReadBegin, WindowOptions};
use crate::runs::RunsConfig;

const ACCOUNTS: u64 = 6;

/// Read models on the driver's own thread, in a window.
struct Here {
    models: Models,
    known: Known,
}

impl ReadEnd for Here {
    fn take(&mut self, batches: Vec<DurableBatch>, store_bytes: u64) {
        self.models.fold(batches, store_bytes);
        while self.models.work() {}
    }

    fn look_up(&mut self, ids: &[TransactionId], answers: &mut Vec<Lookup>) {
        for id in ids {
            let answer = self.models.look_up(*id).expect("new ids pass no filter");
            let is_absent = matches!(answer, Lookup::TransactionAbsent { .. });
            assert!(is_absent || !self.known.is_new(id), "{id} is known");
            answers.push(answer);
        }
    }
}

fn open(directory: &Path) -> DriverOpened<Here> {
    let windows = WindowOptions {
        window_ids: 8,
        keep: KeepSnapshots(2),
        runs: RunsConfig::default(),
        told: Box::new(|news| assert_eq!(news, News::Written)),
    };
    let options = DriverOptions { segment_bytes: 4_096, ..DriverOptions::default() };
    let reads = |begin: ReadBegin<Rebuilt>, ledger: &Ledger| {
        let windowed = Windowed::new(begin, ledger.clone(), 20);
        let known = Known::of(&windowed, 7);
        Here { models: Models::Windowed(Box::new(windowed)), known }
    };
    Driver::open_windowed(directory, &Driver::config(4, 7), &options, Arc::new(|| {}), windows, reads)
        .expect("opened")
}

fn id(number: u64) -> TransactionId {
    TransactionId::derived("test", &[&number.to_le_bytes()])
}

fn account(number: u64) -> AccountName {
    format!("account-{}", number % ACCOUNTS).parse().expect("a name")
}

/// Commands of every kind, some refused, some repeated.
fn command(number: u64) -> Command {
    let (from_account, to_account) = (account(number), account(number * 5 + 1));
    let (transaction_id, amount) = (id(number), 1 + i64::try_from(number % 30).expect("small"));
    match number {
        0..ACCOUNTS => Command::OpenAccount {
            account: account(number),
            asset: "USD".parse().expect("an asset"),
            scale: 2,
            floor: None,
            opening_balance: i64::try_from(number).expect("small") * 20,
        },
        _ => match number % 7 {
            0 => Command::PendingTransfer {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at: None,
                metadata: None,
            },
            1 => Command::PostTransfer {
                transaction_id,
                pending_id: id(number - 1),
                amount: None,
                metadata: None,
            },
            2 => {
                let transfer = |place: u64| Command::Transfer {
                    transaction_id: id(number + 1_000_000 * place),
                    from_account: account(number + place),
                    to_account: account(number + place + 1),
                    amount: 2,
                    metadata: None,
                };
                Command::Linked {
                    transfers: LinkedTransfers::new((0..4).map(transfer).collect()).expect("a group"),
                }
            }
            3 => Command::Deposit { transaction_id, account: to_account, amount, metadata: None },
            _ => Command::Transfer { transaction_id, from_account, to_account, amount, metadata: None },
        },
    }
}

fn submit(driver: &mut Driver<Here>, commands: std::ops::Range<u64>) {
    for first in commands.clone().step_by(3) {
        let numbers = first..commands.end.min(first + 3);
        driver
            .submit(numbers.map(|number| Request { request_id: number, command: command(number) }).collect());
        driver.wait().expect("written");
    }
    while driver.appends_pending() > 0 {
        driver.wait().expect("written");
    }
}

/// Everything that can be asked, compared with what was read from the whole log.
fn compare(here: &mut Here, whole: &OwnReads, commands: u64) -> Result<(), ReadError> {
    let models = &mut here.models;
    let projections = whole.projections();
    assert_eq!(models.checkpoint(), projections.checkpoint());
    assert_eq!(models.counts(), &projections.counts);
    assert_eq!(models.balances_total(), projections.totals.balances_total());
    for number in 0..commands {
        for place in 0..4 {
            let id = id(number + 1_000_000 * place);
            let found = models.transaction(&id)?;
            assert_eq!(found, projections.transactions.find(&id), "transaction {number}");
        }
    }
    assert_eq!(models.accounts_count(), projections.balances.len());
    for index in (0..models.accounts_count()).map(AccountIndex) {
        let row = projections.balances.row(index);
        let view = models.account(index);
        assert_eq!((view.name, view.posted, view.pending), (row.name, row.posted, row.pending));
        compare_entries(models, whole, index)?;
    }
    Ok(())
}

fn compare_entries(models: &mut Models, whole: &OwnReads, index: AccountIndex) -> Result<(), ReadError> {
    let projections = whole.projections();
    let expected = projections.entries_of(index, None::<EntryCursor>, u32::MAX - 1);
    for limit in [1, 3, 1_000] {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let (rows, next) = models.entries(index, before, limit)?;
            found.extend(rows);
            match next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        let tell = |sequence: u64, id: TransactionId, amount: i64, after: i64| (sequence, id, amount, after);
        let found: Vec<_> = found
            .iter()
            .map(|row| tell(row.sequence, row.transaction_id, row.amount, row.balance_after))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|entry| tell(entry.sequence, entry.transaction_id, entry.amount, entry.balance_after))
            .collect();
        assert_eq!(found, expected, "of {index}, {limit} a page");
    }
    let mut begun = Models::Whole(Box::new(whole.begun_again()));
    for sequence in 0..projections.checkpoint() {
        let recorded_at =
            projections.transactions.at(sequence).map_or(Timestamp::ZERO, |row| row.recorded_at);
        for at in [At::Sequence(sequence), At::Time(recorded_at)] {
            let expected = begun.balance_at(index, at).expect("in memory");
            assert_eq!(models.balance_at(index, at)?, expected, "of {index} at {at:?}");
        }
    }
    Ok(())
}

fn whole(directory: &Path) -> OwnReads {
    let opened = Driver::open(directory, &Driver::config(4, 7)).expect("opened");
    opened.driver.close().expect("closed").reads
}

/// The bytes of a snapshot as of now, written while nothing changes.
fn snapshot(models: &mut Models) -> Vec<u8> {
    let Rest::Pieces { number, first } = models.snapshot().rest else { panic!("it comes in pieces") };
    let mut bytes = first;
    while let Some(piece) = models.slice(number) {
        bytes.extend(piece);
    }
    bytes
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    Nothing,
    Everything,
    NewestSnapshot,
    /// A file of those that are there, and a byte of it.
    Flip(usize, usize),
    Cut(usize, usize),
}

fn some_loss() -> impl Strategy<Value = Loss> {
    prop_oneof![
        3 => Just(Loss::Nothing),
        1 => Just(Loss::Everything),
        1 => Just(Loss::NewestSnapshot),
        2 => (0..50_usize, 0..5_000_usize).prop_map(|(file, byte)| Loss::Flip(file, byte)),
        2 => (0..50_usize, 0..5_000_usize).prop_map(|(file, byte)| Loss::Cut(file, byte)),
    ]
}

fn lose(directory: &Path, loss: Loss) {
    let derived = derived_directory(directory);
    match loss {
        Loss::Nothing => {}
        Loss::Everything => fs::remove_dir_all(&derived).expect("removed"),
        Loss::NewestSnapshot => {
            if let Some((_, path)) = snapshots(&derived).expect("listed").last() {
                fs::remove_file(path).expect("removed");
            }
        }
        Loss::Flip(file, byte) | Loss::Cut(file, byte) => {
            let mut files: Vec<_> =
                fs::read_dir(&derived).expect("listed").map(|entry| entry.expect("read").path()).collect();
            files.sort();
            let Some(path) = files.get(file % files.len().max(1)) else { return };
            let mut bytes = fs::read(path).expect("read");
            let byte = byte % bytes.len().max(1);
            match loss {
                Loss::Flip(..) => bytes.get_mut(byte).into_iter().for_each(|byte| *byte ^= 1),
                Loss::Nothing | Loss::Everything | Loss::NewestSnapshot | Loss::Cut(..) => {
                    bytes.truncate(byte);
                }
            }
            fs::write(path, bytes).expect("written");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn windows_and_runs_answer_what_whole_read_models_answer(
        steps in prop::collection::vec((1..90_u64, prop::bool::ANY, some_loss()), 1..5),
    ) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut done = 0;
        for (count, close, loss) in steps {
            let mut driver = open(directory.path()).driver;
            submit(&mut driver, done..done + count);
            done += count;
            // Closed in order, or left as a process leaves it that is killed.
            let mut here = if close { driver.close().expect("closed").reads } else { driver.into_reads() };
            let whole = whole(directory.path());
            for _ in 0..10 {
                let Err(damaged) = compare(&mut here, &whole, done) else { break };
                // Told by name, never answered wrongly, and made again by the next start.
                prop_assert!(matches!(damaged, ReadError::Run(_)), "{}", damaged);
                drop(here);
                here = open(directory.path()).driver.into_reads();
            }
            let [ours, theirs] = [snapshot(&mut here.models), whole.durable_view().encode()]
                .map(|bytes| Snapshot::decode(&bytes).expect("a snapshot"));
            // Opening the log for the whole models may have added a seal.
            prop_assert_eq!(Snapshot { border: theirs.border, ..ours }, theirs);
            drop(here);
            lose(directory.path(), loss);
        }
    }
}

#[test]
fn a_snapshot_is_as_of_one_moment_while_the_ledger_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut driver = open(directory.path()).driver;
    submit(&mut driver, 0..60);
    let (reads, expected) = (driver.reads_mut(), 60);
    let before = snapshot(&mut reads.models);
    let Rest::Pieces { number, first } = reads.models.snapshot().rest else { panic!("it comes in pieces") };
    submit(&mut driver, expected..120);
    let models = &mut driver.reads_mut().models;
    let mut bytes = first;
    while let Some(piece) = models.slice(number) {
        bytes.extend(piece);
    }
    assert!(bytes == before, "what came later is not in it");
    assert!(snapshot(models) != before);
}

#[test]
fn a_restart_begins_at_the_newest_snapshot() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut driver = open(directory.path()).driver;
    submit(&mut driver, 0..200);
    drop(driver.close().expect("closed"));
    let derived = derived_directory(directory.path());
    let kept = snapshots(&derived).expect("listed");
    assert_eq!(kept.len(), 2, "older ones are removed");
    let first = kept[1].0;
    let driver = open(directory.path()).driver;
    let Models::Windowed(windowed) = &driver.reads().models else { panic!("in a window") };
    assert!(first > 100 && windowed.history().kept().covered().sequence >= first);
}
