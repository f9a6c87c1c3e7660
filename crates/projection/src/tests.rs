//! Text in, text out; and every projection against the fold from the beginning.

use std::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
    vec,
};

use expect_test::{Expect, expect};
use ledger::{
    AccountName, Command, CommandKind, Event, Ledger, LinkedTransfers, Metadata, Reason, TransactionId,
    TransactionResult,
};
use proptest::prelude::*;
use time::Timestamp;

use super::*;

/// A log in memory: what the ledger decided, record by record.
struct Log {
    ledger: Ledger,
    records: Vec<(CommandKind, Vec<Event>)>,
}

impl Log {
    fn new() -> Log {
        Log { ledger: Ledger::new(1), records: Vec::new() }
    }

    /// Runs a command if no account of its name is open yet.
    fn run(&mut self, command: &Command) {
        if let Command::OpenAccount { account, .. } = command
            && self.ledger.find(account).is_some()
        {
            return;
        }
        let mut events = Vec::new();
        self.ledger.execute(Timestamp::ZERO, command, &mut events);
        self.push(command.kind(), events);
    }

    /// Lets the next pending transfer expire, if one does.
    fn expire(&mut self) {
        if let Some((_, pending_id)) = self.ledger.next_expiry() {
            let mut events = Vec::new();
            self.ledger.expire(Timestamp::MAX, pending_id, &mut events);
            self.push(CommandKind::ExpireTransfer, events);
        }
    }

    fn push(&mut self, kind: CommandKind, events: Vec<Event>) {
        events.iter().for_each(|event| self.ledger.apply(event));
        self.records.push((kind, events));
    }

    fn record(&self, sequence: usize) -> Record<'_> {
        let (kind, events) = &self.records[sequence];
        let recorded_at = Timestamp::from_micros(10 * sequence as u64).unwrap();
        Record { sequence: sequence as u64, recorded_at, generation: 1, kind: *kind, events }
    }

    fn folded(&self, count: usize) -> Projections {
        let mut projections = Projections::new(count as u64);
        (0..count).for_each(|sequence| projections.fold(&self.record(sequence)));
        projections
    }
}

fn id(number: u64) -> TransactionId {
    TransactionId::from_bytes(u128::from(number).to_be_bytes())
}

/// `open NAME ASSET BALANCE`, `transfer FROM TO AMOUNT`, `deposit TO AMOUNT`, `withdraw FROM AMOUNT`, `pend FROM TO AMOUNT`,
/// `post NUMBER AMOUNT`, `void NUMBER`, `floor NAME FLOOR`; what can, has metadata if its amount is odd, and a pending
/// transfer has a deadline if it is even. `group COMMAND; COMMAND ...`, whose members have the numbers 100, 101 and so on of
/// the line.
fn parse(line: &str, number: u64) -> Command {
    if let Some(members) = line.strip_prefix("group ") {
        let numbered = (100 * number + 100..).zip(members.split(';'));
        let members = numbered.map(|(number, member)| parse(member.trim(), number)).collect();
        return Command::Linked { transfers: LinkedTransfers::new(members).unwrap() };
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = |index: usize| words[index].parse::<AccountName>().unwrap();
    let amount = |index: usize| words[index].parse::<i64>().unwrap();
    let is_odd = words.last().unwrap().parse().is_ok_and(|amount: i64| amount % 2 != 0);
    let metadata = is_odd.then(|| Metadata::from_canonical(&format!("{{\"line\":{number}}}")).unwrap());
    let transaction_id = id(number);
    match words[0] {
        "open" => Command::OpenAccount {
            account: name(1),
            asset: words[2].parse().unwrap(),
            scale: 2,
            floor: words[1].starts_with('@').then_some(0),
            opening_balance: amount(3),
        },
        "transfer" => Command::Transfer {
            transaction_id,
            from_account: name(1),
            to_account: name(2),
            amount: amount(3),
            metadata,
        },
        "deposit" => Command::Deposit { transaction_id, account: name(1), amount: amount(2), metadata },
        "withdraw" => Command::Withdrawal { transaction_id, account: name(1), amount: amount(2), metadata },
        "pend" => Command::PendingTransfer {
            transaction_id,
            from_account: name(1),
            to_account: name(2),
            amount: amount(3),
            expires_at: (!is_odd).then_some(Timestamp::MAX),
            metadata,
        },
        "post" => Command::PostTransfer {
            transaction_id,
            pending_id: id(words[1].parse().unwrap()),
            amount: Some(amount(2)),
            metadata,
        },
        "void" => {
            let pending_id = id(words[1].parse().unwrap());
            Command::VoidTransfer { transaction_id, pending_id, metadata: None }
        }
        "floor" => Command::SetFloor { transaction_id, account: name(1), floor: amount(2) },
        other => panic!("unknown command {other}"),
    }
}

fn log_of(text: &str) -> Log {
    let mut log = Log::new();
    for (number, line) in (0..).zip(text.lines()) {
        match line {
            "expire" => log.expire(),
            line => log.run(&parse(line, number)),
        }
    }
    log
}

/// Everything that the projections tell.
fn show(projections: &Projections) -> String {
    let mut shown = format!("checkpoint {}\n", projections.checkpoint());
    for (index, row) in projections.balances.iter() {
        shown += &format!("{index} {} {} {} scale {}", row.name, row.posted, row.asset, row.scale);
        if (row.pending, row.floor.min(0)) != (0, 0) && row.floor > i64::MIN {
            shown += &format!(", {} held, floor {}", row.pending, row.floor);
        }
        shown += "\n";
        for entry in projections.entries_of(index, None, u32::MAX) {
            let other = projections.balances.row(entry.counterparty).name;
            let (amount, after) = (entry.amount, entry.balance_after);
            shown += &format!("   {} {} {amount:+} = {after}, {other}\n", entry.sequence, entry.kind);
        }
    }
    for number in 0..projections.transactions.len() {
        shown += &show_row(&projections.transactions.row(number).unwrap());
    }
    for (id, hold) in projections.pending.holds().iter() {
        let (from, to) =
            (projections.balances.row(hold.from_account), projections.balances.row(hold.to_account));
        shown += &format!("open {} {} {} {}\n", short(&id), from.name, to.name, hold.amount);
    }
    for (asset, sum) in projections.totals.balances_total() {
        shown += &format!("total {asset} {sum}\n");
    }
    for kind in CommandKind::ALL {
        let (completed, failed) = (projections.counts.completed(kind), projections.counts.failed(kind));
        if (completed, failed) != (0, 0) {
            shown += &format!("{kind}: {completed} completed, {failed} failed\n");
        }
    }
    shown
}

fn short(id: &TransactionId) -> String {
    match u128::from_be_bytes(id.as_bytes()) {
        number if number < 1_000_000 => format!("{number}"),
        _ => "derived".into(),
    }
}

fn show_row(row: &TransactionRow) -> String {
    let name = |name: &Option<AccountName>| name.as_ref().map_or("-".to_string(), AccountName::to_string);
    let (from, to) = (name(&row.from_account), name(&row.to_account));
    let (sequence, at) = (row.sequence, row.recorded_at.micros());
    let mut shown = format!("{sequence} at {at}: {} {from} {to} {} {}", row.kind, row.amount, row.result);
    if let Some(pending_id) = &row.pending_id {
        shown += &format!(", of {}", short(pending_id));
    }
    if row.expires_at.is_some() {
        shown += ", expires";
    }
    if let Some(floor) = row.floor {
        shown += &format!(", floor {floor}");
    }
    if let Some(metadata) = &row.metadata {
        shown += &format!(", {metadata}");
    }
    if let Some(settlement) = &row.settlement {
        let Settlement { transaction_id, kind, amount, sequence, .. } = settlement;
        shown += &format!(", settled by {} in {sequence}: {kind} {amount}", short(transaction_id));
    }
    shown + "\n"
}

fn check(text: &str, expected: &Expect) {
    let log = log_of(text);
    expected.assert_eq(&show(&log.folded(log.records.len())));
}

#[test]
fn ten_transfers_of_20_from_100() {
    let transfers = "transfer alice bob 20\n".repeat(10);
    let log = log_of(&format!("open alice USD 100\nopen bob USD 0\n{transfers}"));
    let projections = log.folded(12);
    let (alice, events) = (
        projections.balances.find(&"alice".parse().unwrap()).unwrap(),
        log.records.iter().flat_map(|(_, events)| events),
    );
    let deducted = events
        .clone()
        .filter(|event| matches!(event, Event::MoneyDeducted { account, .. } if *account == alice));
    assert_eq!(deducted.count(), 5);
    assert_eq!(events.filter(|event| matches!(event, Event::TransactionFailed(_))).count(), 5);
    assert_eq!(projections.balances.row(alice).posted, 0);
    assert_eq!((projections.counts.transfers_completed(), projections.counts.transfers_failed()), (5, 5));
    assert_eq!(projections.counts.failed_for(Reason::InsufficientFunds), 5);
    let counts = &projections.counts;
    assert_eq!((counts.openings(), counts.deposits(), counts.withdrawals()), (2, 0, 0));
    assert_eq!(projections.totals.balances_total(), vec![("USD".parse().unwrap(), 100)]);
}

#[test]
fn every_kind_of_record_shows_where_it_belongs() {
    check(
        "open alice USD 100
open bob EUR 0
open @fees USD 7
deposit bob 50
transfer alice bob 5
transfer alice ghost -3
withdraw alice 30
withdraw ghost 1
deposit @fees 1
open carol USD -5
open carol USD 5
transfer carol alice 5",
        &expect![[r#"
            checkpoint 12
            #0 @world/USD -82 USD scale 2
               10 open_account -5 = -82, carol
               6 withdrawal +30 = -77, alice
               2 open_account -7 = -107, @fees
               0 open_account -100 = -100, alice
            #1 alice 75 USD scale 2
               11 transfer +5 = 75, carol
               6 withdrawal -30 = 70, @world/USD
               0 open_account +100 = 100, @world/USD
            #2 @world/EUR -50 EUR scale 2
               3 deposit -50 = -50, bob
            #3 bob 50 EUR scale 2
               3 deposit +50 = 50, @world/EUR
            #4 @fees 7 USD scale 2
               2 open_account +7 = 7, @world/USD
            #5 carol 0 USD scale 2
               11 transfer -5 = 0, alice
               10 open_account +5 = 5, @world/USD
            0 at 0: open_account @world/USD alice 100 completed
            1 at 10: open_account - bob 0 completed
            2 at 20: open_account @world/USD @fees 7 completed
            3 at 30: deposit @world/EUR bob 50 completed
            4 at 40: transfer alice bob 5 asset_mismatch, {"line":4}
            5 at 50: transfer alice ghost -3 amount_not_positive, {"line":5}
            6 at 60: withdrawal alice @world/USD 30 completed
            7 at 70: withdrawal ghost - 1 unknown_from_account, {"line":7}
            8 at 80: deposit - @fees 1 reserved_account, {"line":8}
            9 at 90: open_account - carol -5 amount_not_positive
            10 at 100: open_account @world/USD carol 5 completed
            11 at 110: transfer carol alice 5 completed, {"line":11}
            total USD 75
            total EUR 50
            open_account: 4 completed, 1 failed
            transfer: 1 completed, 2 failed
            deposit: 1 completed, 1 failed
            withdrawal: 1 completed, 1 failed
        "#]],
    );
}

#[test]
fn two_phases_groups_and_floors_show_where_they_belong() {
    check(
        "open a USD 100
open b USD 0
pend a b 40
pend a b 31
post 2 25
post 2 25
void 3
pend a b 10
expire
floor a -50
floor a -40
pend b a 4
group transfer a b 30; transfer b a 12; deposit b 3
group transfer a b 30; withdraw b 1000; post 11 4
transfer a b 101",
        &expect![[r#"
            checkpoint 15
            #0 @world/USD -103 USD scale 2
               12 deposit -3 = -103, b
               0 open_account -100 = -100, a
            #1 a 57 USD scale 2, 0 held, floor -40
               12 transfer +12 = 57, b
               12 transfer -30 = 45, b
               4 post_transfer -25 = 75, b
               0 open_account +100 = 100, @world/USD
            #2 b 46 USD scale 2, 4 held, floor 0
               12 deposit +3 = 46, @world/USD
               12 transfer -12 = 43, a
               12 transfer +30 = 55, a
               4 post_transfer +25 = 25, a
            0 at 0: open_account @world/USD a 100 completed
            1 at 10: open_account - b 0 completed
            2 at 20: pending_transfer a b 40 completed, expires, settled by 4 in 4: post_transfer 25
            3 at 30: pending_transfer a b 31 completed, {"line":3}, settled by 6 in 6: void_transfer 31
            4 at 40: post_transfer a b 25 completed, of 2, {"line":4}
            5 at 50: post_transfer - - 25 pending_not_open, of 2, {"line":5}
            6 at 60: void_transfer a b 31 completed, of 3
            7 at 70: pending_transfer a b 10 completed, expires, settled by derived in 8: expire_transfer 10
            8 at 80: expire_transfer a b 10 completed, of 7
            9 at 90: set_floor - a 0 completed, floor -50
            10 at 100: set_floor - a 0 completed, floor -40
            11 at 110: pending_transfer b a 4 completed, expires
            12 at 120: transfer a b 30 completed
            12 at 120: transfer b a 12 completed
            12 at 120: deposit @world/USD b 3 completed, {"line":1302}
            13 at 130: transfer a b 30 linked_failed
            13 at 130: withdrawal b - 1000 insufficient_funds
            13 at 130: post_transfer - - 4 linked_failed, of 11
            14 at 140: transfer a b 101 insufficient_funds, {"line":14}
            open 11 b a 4
            total USD 103
            open_account: 2 completed, 0 failed
            transfer: 2 completed, 2 failed
            deposit: 1 completed, 0 failed
            withdrawal: 0 completed, 1 failed
            pending_transfer: 4 completed, 0 failed
            post_transfer: 1 completed, 2 failed
            void_transfer: 1 completed, 0 failed
            expire_transfer: 1 completed, 0 failed
            set_floor: 2 completed, 0 failed
            linked: 1 completed, 1 failed
        "#]],
    );
    let log = log_of("open a USD 9\nopen b USD 0\ngroup transfer a b 1; transfer a b 2\nvoid 9\ndeposit a 1");
    let transactions = log.folded(5).transactions;
    let ids =
        |sequence| transactions.of_record(sequence).iter().map(|row| short(&row.transaction_id)).collect();
    let (group, void, none): (Vec<_>, Vec<_>, Vec<_>) = (ids(2), ids(3), ids(5));
    assert_eq!((group.join(" "), void.join(" "), none.len()), ("300 301".into(), "3".into(), 0));
    assert_eq!(transactions.at(4).map(|row| row.kind), Some(CommandKind::Deposit));
    assert_eq!(transactions.found(&id(301)).map(|found| found.sequence), Some(2));
}

#[test]
fn the_id_of_an_expiry_does_not_hide_an_earlier_answer() {
    let mut log = log_of("open a USD 9\nopen b USD 0\npend a b 2");
    let derived = TransactionId::derived("expire transfer", &[&id(2).as_bytes()]);
    let name = |name: &str| name.parse().unwrap();
    let (from_account, to_account, amount, metadata) = (name("a"), name("b"), 1, None);
    log.run(&Command::Transfer { transaction_id: derived, from_account, to_account, amount, metadata });
    log.expire();
    let projections = log.folded(5);
    let row = projections.transactions.find(&derived).unwrap();
    assert_eq!((row.kind, row.sequence), (CommandKind::Transfer, 3));
    let settlement = projections.transactions.find(&id(2)).unwrap().settlement.unwrap();
    assert_eq!((settlement.kind, settlement.sequence), (CommandKind::ExpireTransfer, 4));
}

#[test]
fn counts_that_no_log_has_are_refused() {
    let counts = |kinds: &[(CommandKind, u64)]| {
        let mut counts = [[0; RESULTS_COUNT]; KINDS_COUNT];
        kinds.iter().for_each(|(kind, count)| counts[usize::from(kind.as_u8()) - 1][0] = *count);
        counts
    };
    use CommandKind::{Linked, Transfer};
    for (checkpoint, kinds, fits) in [
        (0, &[][..], true),
        (3, &[(Transfer, 3)], true),
        (2, &[(Transfer, 3)], false),
        (4, &[(Transfer, 3)], false),
        (2, &[(Transfer, 3), (Linked, 1)], true),
        (3, &[(Transfer, 3), (Linked, 1)], false),
        (1, &[(Transfer, 512), (Linked, 1)], true),
        (1, &[(Transfer, 513), (Linked, 1)], false),
        (u64::MAX, &[(Transfer, u64::MAX)], true),
        (u64::MAX, &[(Transfer, u64::MAX), (Linked, u64::MAX)], false),
    ] {
        assert_eq!(Counts::restore(checkpoint, counts(kinds)).is_some(), fits, "{checkpoint} {kinds:?}");
    }
}

#[test]
fn entries_are_read_page_by_page() {
    let log =
        log_of("open a USD 9\nopen b USD 0\ntransfer a b 1\ntransfer a b 2\ntransfer b a 3\ntransfer a b 4");
    let projections = log.folded(6);
    let find = |name: &str| projections.balances.find(&name.parse().unwrap()).unwrap();
    let (a, b) = (find("a"), find("b"));
    let all = projections.entries_of(a, None, 100);
    assert_eq!(all.iter().map(|entry| entry.amount).collect::<Vec<_>>(), [-4, 3, -2, -1, 9]);
    assert_eq!(all.iter().map(|entry| entry.balance_after).collect::<Vec<_>>(), [5, 9, 6, 8, 9]);
    let mut paged = projections.entries_of(a, None, 2);
    while let Some(last) = paged.last().copied() {
        let page = projections.entries_of(a, Some(last.cursor), 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(projections.entries_of(b, Some(all[0].cursor), 2), [], "the cursor is of another account");
    assert_eq!(projections.entries_of(a, Some(EntryCursor(1_000)), 2), []);
    assert_eq!(projections.entries_of(AccountIndex(9), None, 2), []);
    assert_eq!(projections.entries_of(a, None, 0), []);
}

#[test]
fn a_transaction_is_found_by_its_id() {
    let log = log_of("open a USD 9\nopen b USD 0\ntransfer a b 10");
    let projections = log.folded(3);
    let command = parse("transfer a b 10", 2);
    let found = projections.transactions.found(&id(2)).unwrap();
    let result = TransactionResult::Refused(Reason::InsufficientFunds);
    assert_eq!(found, Found { sequence: 2, fingerprint: command.fingerprint(), result });
    let row = projections.transactions.find(&id(2)).unwrap();
    assert_eq!((row.amount, row.result, row.fingerprint), (10, result, command.fingerprint()));
    let opening = parse("open a USD 9", 0);
    let found = projections.transactions.found(&opening.transaction_id()).unwrap();
    assert_eq!((found.sequence, found.fingerprint), (0, opening.fingerprint()));
    assert_eq!(projections.transactions.found(&id(3)), None);
}

#[test]
#[should_panic(expected = "a projection is given a record that is not the next one")]
fn a_gap_stops_the_fold() {
    let log = log_of("open a USD 9\nopen b USD 0");
    Projections::new(0).fold(&log.record(1));
}

/// A log of `count` transfers among `accounts` accounts, far over the borders of chunks and overlays.
fn long_log(accounts: u64, count: u64) -> Log {
    let mut log = Log::new();
    for number in 0..accounts {
        log.run(&parse(&format!("open account-{number} USD 1000"), 0));
    }
    for number in 0..count {
        let (from, to) = (number * 7 % accounts, (number * 11 + 1) % accounts);
        log.run(&parse(&format!("transfer account-{from} account-{to} {}", number % 300), number));
    }
    log
}

#[test]
fn a_clone_costs_the_same_however_long_the_log_is() {
    let log = long_log(20, 12_000);
    let mut projections = Projections::new(0);
    let mut clones = Vec::new();
    for sequence in 0..log.records.len() {
        projections.fold(&log.record(sequence));
        // 5 for each of 21 accounts, 6 tails of less than 1,024 and one overlay of as many; an asset in 2 tables; layers.
        assert!(
            projections.clone_cost() < 5 * 21 + 7 * 1_024 + 2 + 16,
            "{} at {sequence}",
            projections.clone_cost()
        );
        if sequence % 1_499 == 0 {
            clones.push((sequence + 1, projections.clone()));
        }
    }
    // Each clone still is what it was, and goes on by itself.
    for (count, mut clone) in clones {
        assert_eq!(show(&clone), show(&log.folded(count)));
        (count..log.records.len()).for_each(|sequence| clone.fold(&log.record(sequence)));
        assert_eq!(show(&clone), show(&projections));
        for sequence in 0..clone.checkpoint() {
            let row = clone.transactions.at(sequence).unwrap();
            assert_eq!(clone.transactions.find(&row.transaction_id), Some(row));
        }
    }
}

fn some_line() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c", "@fees", "ghost"]);
    let asset = prop::sample::select(vec!["USD", "USD", "USD", "EUR"]);
    let amount = prop_oneof![8 => 0..50_i64, 1 => any::<i64>()];
    prop_oneof![
        3 => (name.clone(), asset, amount.clone()).prop_map(|(name, asset, amount)| {
            // The ghost is never opened.
            let name = if name == "ghost" { "d" } else { name };
            format!("open {name} {asset} {amount}")
        }),
        6 => (name.clone(), name.clone(), amount.clone()).prop_map(|(from, to, amount)| format!("transfer {from} {to} {amount}")),
        1 => (name.clone(), amount.clone()).prop_map(|(name, amount)| format!("deposit {name} {amount}")),
        1 => (name.clone(), amount.clone()).prop_map(|(name, amount)| format!("withdraw {name} {amount}")),
        3 => (name.clone(), name.clone(), amount.clone()).prop_map(|(from, to, amount)| format!("pend {from} {to} {amount}")),
        2 => (0..40_u8, amount.clone()).prop_map(|(number, amount)| format!("post {number} {amount}")),
        1 => (0..40_u8).prop_map(|number| format!("void {number}")),
        1 => (name.clone(), -40..1_i8).prop_map(|(name, floor)| format!("floor {name} {floor}")),
        1 => Just("expire".to_string()),
        1 => (name.clone(), name.clone(), amount.clone(), name, amount).prop_map(|(from, to, amount, other, more)| {
            format!("group transfer {from} {to} {amount}; deposit {other} {more}; pend {to} {from} {more}")
        }),
    ]
}

/// What the ledger itself says at the same point.
fn check_against_ledger(log: &Log, projections: &Projections) -> Result<(), TestCaseError> {
    prop_assert_eq!(projections.balances.len(), log.ledger.accounts_count());
    for (index, row) in projections.balances.iter() {
        let account = log.ledger.account(index);
        prop_assert_eq!((row.name, row.asset, row.posted), (account.name, account.asset, account.posted));
        prop_assert_eq!((row.scale, row.floor), (account.scale, account.floor));
        prop_assert_eq!((row.pending, row.available()), (account.pending, account.available()));
        prop_assert_eq!(projections.balances.find(row.name), Some(index));
        let entries = projections.entries_of(index, None, u32::MAX);
        let sum: i128 = entries.iter().map(|entry| i128::from(entry.amount)).sum();
        prop_assert_eq!(sum, i128::from(account.posted));
        prop_assert_eq!(entries.first().map_or(0, |entry| entry.balance_after), account.posted);
    }
    prop_assert_eq!(projections.pending.holds(), log.ledger.holds());
    for (asset, total) in projections.totals.balances_total() {
        let clients =
            log.ledger.accounts().filter(|account| *account.asset == asset && !account.name.is_system());
        prop_assert_eq!(clients.map(|account| i128::from(account.posted)).sum::<i128>(), total);
    }
    Ok(())
}

proptest! {
    #[test]
    fn at_every_sequence_it_is_the_fold_of_the_log(lines in prop::collection::vec(some_line(), 1..60)) {
        let mut log = Log::new();
        let mut projections = Projections::new(0);
        let mut clones = vec![projections.clone()];
        let mut commands = Vec::new();
        for (number, line) in (0..).zip(&lines) {
            let before = log.records.len();
            let command = (line != "expire").then(|| parse(line, number));
            match &command {
                None => log.expire(),
                // The same refused opening twice has one id, and the caller answers the second.
                Some(command) if projections.transactions.found(&command.transaction_id()).is_none() => {
                    log.run(command);
                }
                Some(_) => {}
            }
            if log.records.len() > before {
                projections.fold(&log.record(before));
                clones.push(projections.clone());
                commands.push(command);
                check_against_ledger(&log, &projections)?;
            }
        }
        for (count, clone) in clones.iter().enumerate() {
            prop_assert_eq!(clone.checkpoint(), count as u64);
            prop_assert_eq!(show(clone), show(&log.folded(count)));
        }
        for (sequence, command) in (0..).zip(&commands) {
            for member in command.iter().flat_map(Command::members) {
                let found = projections.transactions.found(&member.transaction_id()).unwrap();
                prop_assert_eq!((found.sequence, found.fingerprint), (sequence, member.fingerprint()));
            }
        }
    }

    #[test]
    fn each_projection_folds_by_itself(lines in prop::collection::vec(some_line(), 1..40)) {
        let log = log_of(&lines.join("\n"));
        let together = log.folded(log.records.len());
        let mut apart = Projections::new(5);
        for sequence in 0..log.records.len() {
            let record = log.record(sequence);
            apart.totals.fold(&record);
            apart.pending.fold(&record);
            prop_assert_eq!(apart.checkpoint(), sequence as u64);
            apart.balances.fold(&record);
            let names = apart.balances.names().clone();
            apart.counts.fold(&record, |index| names.at(index.0).unwrap());
            apart.transactions.fold(&record);
            apart.entries.fold(&record);
        }
        prop_assert_eq!(show(&apart), show(&together));
        prop_assert_eq!(&apart.counts, &together.counts);
    }

    #[test]
    fn what_goes_on_from_a_snapshot_is_the_end_of_the_whole(
        lines in prop::collection::vec(some_line(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut log = Log::new();
        let mut ids = BTreeSet::new();
        for (number, line) in (0..).zip(&lines) {
            if line == "expire" {
                log.expire();
                continue;
            }
            let command = parse(line, number);
            // The same refused opening twice has one id, and the caller answers the second.
            if ids.insert(command.transaction_id()) {
                log.run(&command);
            }
        }
        let cut = cut.index(log.records.len() + 1);
        let whole = log.folded(log.records.len());
        let before = log.folded(cut);
        let counts = Counts::restore(cut as u64, *before.counts.all()).expect("a small log");
        prop_assert_eq!(&counts, &before.counts);
        let rows = before.balances.iter().map(|(_, row)| row);
        let mut restored = Projections::restore(11, rows, before.pending.holds().iter(), counts);
        prop_assert_eq!((restored.begins_at(), restored.checkpoint()), (cut as u64, cut as u64));
        (cut..log.records.len()).for_each(|sequence| restored.fold(&log.record(sequence)));

        prop_assert!(restored.balances.iter().eq(whole.balances.iter()));
        prop_assert_eq!(restored.totals.balances_total(), whole.totals.balances_total());
        prop_assert_eq!(&restored.counts, &whole.counts);
        prop_assert_eq!(restored.checkpoint(), whole.checkpoint());
        prop_assert_eq!(restored.pending.holds(), whole.pending.holds());
        for sequence in 0..log.records.len() as u64 {
            let expected = if sequence < cut as u64 { Vec::new() } else { whole.transactions.of_record(sequence) };
            prop_assert_eq!(restored.transactions.of_record(sequence), expected.clone());
            prop_assert_eq!(restored.transactions.at(sequence), expected.first().cloned());
            for row in expected {
                prop_assert_eq!(restored.transactions.find(&row.transaction_id), Some(row.clone()));
                prop_assert_eq!(
                    restored.transactions.found(&row.transaction_id),
                    whole.transactions.found(&row.transaction_id)
                );
            }
        }
        for (account, row) in whole.balances.iter() {
            prop_assert_eq!(restored.balances.find(row.name), Some(account));
            let expected = whole.entries_of(account, None, u32::MAX).into_iter();
            let expected = expected.filter(|entry| entry.sequence >= cut as u64).collect::<Vec<_>>();
            let found = restored.entries_of(account, None, u32::MAX);
            // Cursors are numbers of entries since the snapshot, so they differ; everything else is the same.
            let without_cursor = |entries: &[Entry]| {
                entries.iter().map(|entry| Entry { cursor: EntryCursor(0), ..*entry }).collect::<Vec<_>>()
            };
            prop_assert_eq!(without_cursor(&found), without_cursor(&expected));
        }
    }
}
