//! Text in, text out; and a naive model beside the ledger.

use std::{collections::BTreeSet, format, string::String, vec};

use expect_test::{Expect, expect};
use proptest::prelude::*;

use self::model::Model;
use super::*;

mod model;

fn id(number: u64) -> TransactionId {
    TransactionId::from_bytes(u128::from(number).to_be_bytes())
}

/// `open NAME ASSET SCALE FLOOR|client BALANCE`, `transfer FROM TO AMOUNT`, `deposit TO AMOUNT`, `withdraw FROM AMOUNT`.
fn parse(line: &str, number: u64) -> Command {
    let words: Vec<&str> = line.split_whitespace().collect();
    let name = |index: usize| words[index].parse::<AccountName>().unwrap();
    let amount = |index: usize| match words[index] {
        "MAX" => i64::MAX,
        "MIN" => i64::MIN,
        number => number.parse().unwrap(),
    };
    let transaction_id = id(number);
    match words[0] {
        "open" => Command::OpenAccount {
            account: name(1),
            asset: words[2].parse().unwrap(),
            scale: words[3].parse().unwrap(),
            floor: (words[4] != "client").then(|| amount(4)),
            opening_balance: amount(5),
        },
        "transfer" => Command::Transfer {
            transaction_id,
            from_account: name(1),
            to_account: name(2),
            amount: amount(3),
        },
        "deposit" => Command::Deposit { transaction_id, account: name(1), amount: amount(2) },
        "withdraw" => Command::Withdrawal { transaction_id, account: name(1), amount: amount(2) },
        other => panic!("unknown command {other}"),
    }
}

fn run(ledger: &mut Ledger, command: &Command) -> Vec<Event> {
    let mut events = Vec::new();
    ledger.execute(Timestamp::ZERO, command, &mut events);
    for event in &events {
        ledger.check(event).unwrap();
        ledger.apply(event);
    }
    events
}

fn ledger_of(text: &str) -> Ledger {
    let mut ledger = Ledger::new(0);
    for (number, line) in (0..).zip(text.lines()) {
        run(&mut ledger, &parse(line, number));
    }
    ledger
}

/// Runs the commands and shows every event, then every balance.
fn check_events(text: &str, expected: &Expect) {
    let mut ledger = Ledger::new(0);
    let mut shown = String::new();
    for (number, line) in (0..).zip(text.lines()) {
        for event in run(&mut ledger, &parse(line.trim(), number)) {
            let details = match &event {
                Event::AccountOpened { account, asset, scale, floor, .. } => {
                    format!("{account} {asset} scale {scale} floor {floor}")
                }
                Event::MoneyDeducted { account, amount, .. }
                | Event::MoneyCredited { account, amount, .. } => {
                    format!("{} {amount}", ledger.account(*account).name)
                }
                Event::TransactionFailed(failure) => format!("{} {}", failure.kind, failure.reason),
            };
            shown += &format!("{} {details}\n", event.name());
        }
    }
    for account in ledger.accounts() {
        shown += &format!("{} = {} {}\n", account.name, account.posted, account.asset);
    }
    expected.assert_eq(&shown);
}

#[test]
fn opening_the_first_account_of_an_asset_opens_its_world() {
    check_events(
        "open alice USD 2 client 100
         open bob USD 2 client 0
         open @fees USD 2 -50 0
         open @world/USD USD 2 MIN 0",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 100
            MoneyCredited alice 100
            AccountOpened bob USD scale 2 floor 0
            AccountOpened @fees USD scale 2 floor -50
            TransactionFailed open_account reserved_account
            @world/USD = -100 USD
            alice = 100 USD
            bob = 0 USD
            @fees = 0 USD
        "#]],
    );
}

#[test]
fn ten_transfers_of_20_from_100_are_five_transfers_and_five_refusals() {
    let transfers = "transfer alice bob 20\n".repeat(10);
    check_events(
        &format!("open alice USD 2 client 100\nopen bob USD 2 client 0\n{}", transfers.trim_end()),
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 100
            MoneyCredited alice 100
            AccountOpened bob USD scale 2 floor 0
            MoneyDeducted alice 20
            MoneyCredited bob 20
            MoneyDeducted alice 20
            MoneyCredited bob 20
            MoneyDeducted alice 20
            MoneyCredited bob 20
            MoneyDeducted alice 20
            MoneyCredited bob 20
            MoneyDeducted alice 20
            MoneyCredited bob 20
            TransactionFailed transfer insufficient_funds
            TransactionFailed transfer insufficient_funds
            TransactionFailed transfer insufficient_funds
            TransactionFailed transfer insufficient_funds
            TransactionFailed transfer insufficient_funds
            @world/USD = -100 USD
            alice = 0 USD
            bob = 100 USD
        "#]],
    );
}

#[test]
fn deposits_and_withdrawals_go_through_the_world() {
    check_events(
        "open alice USD 2 client 0
         deposit alice 30
         withdraw alice 31
         withdraw alice 30
         deposit ghost 1
         withdraw ghost 1",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 30
            MoneyCredited alice 30
            TransactionFailed withdrawal insufficient_funds
            MoneyDeducted alice 30
            MoneyCredited @world/USD 30
            TransactionFailed deposit unknown_to_account
            TransactionFailed withdrawal unknown_from_account
            @world/USD = 0 USD
            alice = 0 USD
        "#]],
    );
}

/// USD: alice 100, @fees 0. EUR: bob 50. BIG: rich has everything but 1, poor and @big nothing.
const PRECEDENCE_WORLD: &str = "open alice USD 2 client 100
open @fees USD 2 0 0
open bob EUR 2 client 50
open rich BIG 0 client MAX
open poor BIG 0 client 0
open @big BIG 0 0 0";

/// Commands with every pair of faults that one command can have at once.
const PRECEDENCE_COMMANDS: &str = "transfer alice alice 0
transfer @fees alice 0
transfer ghost alice 0
transfer alice ghost 0
transfer alice bob 0
transfer rich poor -1
transfer rich ghost -1
transfer @fees @fees 5
transfer ghost ghost 5
transfer rich rich 1
transfer alice alice 101
transfer ghost @fees 5
transfer @fees ghost 5
transfer @fees bob 5
transfer @big rich 1
transfer @fees alice 5
transfer ghost phantom 5
transfer ghost rich 1
transfer alice ghost 101
transfer alice rich 1
transfer alice bob 101
transfer poor rich 5
transfer alice bob MIN
deposit @fees 0
deposit ghost 0
deposit @ghost 5
deposit rich 1
withdraw @fees 0
withdraw ghost -1
withdraw @ghost 5
withdraw @fees 5
withdraw alice 101
open @world/NEW USD 2 MIN -1
open carol USD 3 client -1
open @new USD 2 5 -1
open carol USD 3 0 0
open @new USD 3 client 0
open carol BIG 0 0 2
open carol USD 2 5 0
open carol BIG 1 client 2
open @new USD 3 5 0
open @new BIG 0 5 2
open carol NEW 19 client 0
open @world/NEW NEW 2 MIN 0";

/// Runs each of the commands by itself: its faults as the model sees them, of which the ledger names the first, and all pairs
/// of them.
fn run_precedence() -> (String, BTreeSet<(Reason, Reason)>) {
    let ledger = ledger_of(PRECEDENCE_WORLD);
    let mut model = Model::default();
    for (number, line) in (0..).zip(PRECEDENCE_WORLD.lines()) {
        model.run(&parse(line, number));
    }
    let mut shown = String::new();
    let mut pairs = BTreeSet::new();
    for line in PRECEDENCE_COMMANDS.lines() {
        let command = parse(line, 1_000);
        let mut events = Vec::new();
        ledger.execute(Timestamp::ZERO, &command, &mut events);
        let [Event::TransactionFailed(failure)] = events.as_slice() else { panic!("{line} is not refused") };
        let faults: Vec<Reason> = model.faults(&command).into_iter().collect();
        assert_eq!(failure.reason, faults[0], "{line}");
        pairs.extend(
            faults
                .iter()
                .flat_map(|one| faults.iter().map(move |other| (*one, *other)))
                .filter(|(a, b)| a < b),
        );
        let words: Vec<&str> = faults.iter().map(|fault| fault.as_str()).collect();
        shown += &format!("{line}: {}\n", words.join(" < "));
    }
    (shown, pairs)
}

#[test]
fn the_first_of_several_reasons_is_the_answer() {
    let (shown, _) = run_precedence();
    expect![[r#"
        transfer alice alice 0: amount_not_positive < same_account
        transfer @fees alice 0: amount_not_positive < reserved_account
        transfer ghost alice 0: amount_not_positive < unknown_from_account
        transfer alice ghost 0: amount_not_positive < unknown_to_account
        transfer alice bob 0: amount_not_positive < asset_mismatch
        transfer rich poor -1: amount_not_positive < overflow
        transfer rich ghost -1: amount_not_positive < unknown_to_account < overflow
        transfer @fees @fees 5: same_account < reserved_account < insufficient_funds
        transfer ghost ghost 5: same_account < unknown_from_account < unknown_to_account
        transfer rich rich 1: same_account < overflow
        transfer alice alice 101: same_account < insufficient_funds
        transfer ghost @fees 5: reserved_account < unknown_from_account
        transfer @fees ghost 5: reserved_account < unknown_to_account < insufficient_funds
        transfer @fees bob 5: reserved_account < asset_mismatch < insufficient_funds
        transfer @big rich 1: reserved_account < overflow < insufficient_funds
        transfer @fees alice 5: reserved_account < insufficient_funds
        transfer ghost phantom 5: unknown_from_account < unknown_to_account
        transfer ghost rich 1: unknown_from_account < overflow
        transfer alice ghost 101: unknown_to_account < insufficient_funds
        transfer alice rich 1: asset_mismatch < overflow
        transfer alice bob 101: asset_mismatch < insufficient_funds
        transfer poor rich 5: overflow < insufficient_funds
        transfer alice bob MIN: amount_not_positive < asset_mismatch < overflow
        deposit @fees 0: amount_not_positive < reserved_account
        deposit ghost 0: amount_not_positive < unknown_to_account
        deposit @ghost 5: reserved_account < unknown_to_account
        deposit rich 1: overflow
        withdraw @fees 0: amount_not_positive < reserved_account
        withdraw ghost -1: amount_not_positive < unknown_from_account
        withdraw @ghost 5: reserved_account < unknown_from_account
        withdraw @fees 5: reserved_account < insufficient_funds
        withdraw alice 101: insufficient_funds
        open @world/NEW USD 2 MIN -1: amount_not_positive < reserved_account
        open carol USD 3 client -1: amount_not_positive < asset_mismatch
        open @new USD 2 5 -1: amount_not_positive < insufficient_funds
        open carol USD 3 0 0: reserved_account < asset_mismatch
        open @new USD 3 client 0: reserved_account < asset_mismatch
        open carol BIG 0 0 2: reserved_account < overflow
        open carol USD 2 5 0: reserved_account < insufficient_funds
        open carol BIG 1 client 2: asset_mismatch < overflow
        open @new USD 3 5 0: asset_mismatch < insufficient_funds
        open @new BIG 0 5 2: overflow < insufficient_funds
        open carol NEW 19 client 0: asset_mismatch
        open @world/NEW NEW 2 MIN 0: reserved_account
    "#]]
    .assert_eq(&shown);
}

#[test]
fn every_pair_of_reasons_that_can_meet_is_decided() {
    let (_, pairs) = run_precedence();
    let missing: Vec<_> = Reason::ALL
        .iter()
        .flat_map(|one| Reason::ALL.iter().map(move |other| (*one, *other)))
        .filter(|pair| pair.0 < pair.1 && !pairs.contains(pair))
        .collect();
    // One account has one asset; an account that is not there has neither asset nor balance.
    expect![[r#"
        [
            (
                SameAccount,
                AssetMismatch,
            ),
            (
                UnknownFromAccount,
                AssetMismatch,
            ),
            (
                UnknownFromAccount,
                InsufficientFunds,
            ),
            (
                UnknownToAccount,
                AssetMismatch,
            ),
        ]
    "#]]
    .assert_debug_eq(&missing);
}

#[test]
fn balances_stop_at_the_ends_of_the_range() {
    check_events(
        "open rich BIG 0 client MAX
         open poor BIG 0 client 1
         deposit poor 1
         deposit rich 1
         transfer poor rich 1
         open late BIG 0 client 1
         withdraw rich MAX
         transfer poor rich 1",
        &expect![[r#"
            AccountOpened @world/BIG BIG scale 0 floor -9223372036854775808
            AccountOpened rich BIG scale 0 floor 0
            MoneyDeducted @world/BIG 9223372036854775807
            MoneyCredited rich 9223372036854775807
            AccountOpened poor BIG scale 0 floor 0
            MoneyDeducted @world/BIG 1
            MoneyCredited poor 1
            TransactionFailed deposit overflow
            TransactionFailed deposit overflow
            TransactionFailed transfer overflow
            TransactionFailed open_account overflow
            MoneyDeducted rich 9223372036854775807
            MoneyCredited @world/BIG 9223372036854775807
            MoneyDeducted poor 1
            MoneyCredited rich 1
            @world/BIG = -1 BIG
            rich = 1 BIG
            poor = 0 BIG
        "#]],
    );
}

#[test]
fn digests_of_disjoint_ledgers_add_up() {
    let dollars = "open alice USD 2 client 100\nopen bob USD 2 client 5\ntransfer alice bob 20";
    let euros = "open carl EUR 2 client 7\nopen dora EUR 2 client 0\ntransfer carl dora 8\ndeposit dora 3";
    let whole = ledger_of(&format!("{dollars}\n{euros}"));
    let mut other = Ledger::new(5);
    for (number, line) in (3..).zip(euros.lines()) {
        run(&mut other, &parse(line, number));
    }
    assert_eq!(ledger_of(dollars).digest().plus(other.digest()), whole.digest());
    expect!["577023cfc4757b735e328f4c09138e59"].assert_eq(&format!("{}", whole.digest()));
}

/// A refusal with the fields of a deposit, whatever the kind.
fn failed(kind: CommandKind) -> Event {
    let (transaction_id, to_account, amount) = (id(9), Some("alice".parse().unwrap()), 5);
    let (from_account, asset, scale, floor, reason) = (None, None, None, None, Reason::Overflow);
    let failure =
        Failure { transaction_id, kind, from_account, to_account, amount, asset, scale, floor, reason };
    Event::TransactionFailed(failure.into())
}

#[test]
fn a_contradicting_event_is_named() {
    let ledger = ledger_of("open alice USD 2 client 100\nopen carl EUR 2 client 7");
    let transaction_id = id(9);
    let opened = |name: &str, asset: &str, scale, floor| Event::AccountOpened {
        transaction_id,
        account: name.parse().unwrap(),
        asset: asset.parse().unwrap(),
        scale,
        floor,
    };
    let deducted =
        |account, amount| Event::MoneyDeducted { transaction_id, account: AccountIndex(account), amount };
    let credited =
        |account, amount| Event::MoneyCredited { transaction_id, account: AccountIndex(account), amount };
    let streams = [
        vec![opened("alice", "USD", 2, 0)],
        vec![opened("bob", "USD", 3, 0)],
        vec![opened("bob", "USD", 19, 0)],
        vec![opened("bob", "USD", 2, -1)],
        vec![opened("@bob", "USD", 2, 1)],
        vec![opened("bob", "GBP", 2, 0)],
        vec![opened("@world/GBP", "GBP", 2, 0)],
        vec![opened("@world/GBP", "USD", 2, i64::MIN)],
        vec![deducted(4, 1)],
        vec![deducted(1, 0)],
        vec![deducted(1, 101)],
        vec![deducted(0, i64::MAX)],
        vec![credited(1, 5)],
        vec![deducted(1, 5), deducted(1, 5)],
        vec![deducted(1, 5), opened("bob", "USD", 2, 0)],
        vec![deducted(1, 5), failed(CommandKind::Deposit)],
        vec![deducted(1, 5), credited(1, 5)],
        vec![deducted(1, 5), credited(0, 6)],
        vec![deducted(1, 5), credited(3, 5)],
        vec![deducted(1, 5), credited(7, 5)],
        vec![failed(CommandKind::Transfer)],
        vec![failed(CommandKind::OpenAccount)],
    ];
    let mut shown = String::new();
    for stream in streams {
        let mut ledger = ledger.clone();
        let (last, before) = stream.split_last().unwrap();
        before.iter().for_each(|event| ledger.apply(event));
        shown += &format!("{}\n", ledger.check(last).unwrap_err());
    }
    expect![[r#"
        account alice is opened a second time
        account bob has scale 3, but its asset has scale 2
        account bob has scale 19, more than 18
        account bob has floor -1, which an account of its name cannot have
        account @bob has floor 1, which an account of its name cannot have
        account bob is opened before the world account of GBP
        account @world/GBP has floor 0, which an account of its name cannot have
        @world/GBP is not the name of the world account of USD
        account #4 is named before it is opened; 4 accounts are open
        amount 0 is not positive
        deducting 101 from alice, which has 100, would break its floor of 0
        9223372036854775807 would take the balance of @world/USD, -100, out of the 64-bit range
        money is credited by 00000000-0000-0000-0000-000000000009 without a deduction before it
        another event stands where the second half of transfer 00000000-0000-0000-0000-000000000009 belongs
        another event stands where the second half of transfer 00000000-0000-0000-0000-000000000009 belongs
        another event stands where the second half of transfer 00000000-0000-0000-0000-000000000009 belongs
        the halves of transfer 00000000-0000-0000-0000-000000000009 do not fit: other id, amount or asset, or the same account twice
        the halves of transfer 00000000-0000-0000-0000-000000000009 do not fit: other id, amount or asset, or the same account twice
        the halves of transfer 00000000-0000-0000-0000-000000000009 do not fit: other id, amount or asset, or the same account twice
        account #7 is named before it is opened; 4 accounts are open
        the refusal of 00000000-0000-0000-0000-000000000009 does not have the fields of a command of kind transfer
        the refusal of 00000000-0000-0000-0000-000000000009 does not have the fields of a command of kind open_account
    "#]].assert_eq(&shown);
}

#[test]
fn a_record_that_no_command_makes_is_refused() {
    let ledger = ledger_of("open alice USD 2 client 100\nopen bob USD 2 client 7\nopen @fees USD 2 0 0");
    let transaction_id = id(9);
    let (world, alice, bob, fees) = (0, 1, 2, 3);
    let moved = |from, to| {
        vec![
            Event::MoneyDeducted { transaction_id, account: AccountIndex(from), amount: 5 },
            Event::MoneyCredited { transaction_id, account: AccountIndex(to), amount: 5 },
        ]
    };
    let opened = |name: &str, asset: &str| {
        let (account, asset) = (name.parse().unwrap(), asset.parse().unwrap());
        Event::AccountOpened { transaction_id, account, asset, scale: 2, floor: 0 }
    };
    let check = |kind, events: &[Event]| {
        let (sequence, recorded_at, generation) = (0, Timestamp::ZERO, 1);
        ledger.check_record(&Record { sequence, recorded_at, generation, kind, events })
    };
    for kind in CommandKind::ALL {
        let refused = Err(Inconsistent::RecordShape { kind });
        let fits = |is: CommandKind| if kind == is { Ok(()) } else { refused.clone() };
        assert_eq!(check(kind, &moved(alice, bob)), fits(CommandKind::Transfer));
        assert_eq!(check(kind, &moved(world, bob)), fits(CommandKind::Deposit));
        assert_eq!(check(kind, &moved(bob, world)), fits(CommandKind::Withdrawal));
        for events in [
            vec![],
            moved(fees, alice),
            moved(alice, fees),
            moved(world, fees),
            moved(world, bob)[..1].to_vec(),
        ] {
            assert_eq!(check(kind, &events), refused, "{events:?}");
        }
        assert_eq!(check(kind, &[opened("carl", "USD")]), fits(CommandKind::OpenAccount));
        assert_eq!(
            check(kind, &[opened("@world/EUR", "EUR"), opened("carl", "EUR")]),
            fits(CommandKind::OpenAccount)
        );
        assert_eq!(check(kind, &[opened("@world/EUR", "EUR"), opened("carl", "USD")]), refused);
        assert_eq!(check(kind, &[opened("@world/EUR", "EUR")]), refused);
        let funded = |from, to| [vec![opened("carl", "USD")], moved(from, to)].concat();
        assert_eq!(check(kind, &funded(world, 4)), fits(CommandKind::OpenAccount));
        assert_eq!(check(kind, &funded(alice, 4)), refused);
        assert_eq!(check(kind, &funded(world, alice)), refused);
        let mut other_id = moved(alice, bob);
        other_id[1] = Event::MoneyCredited { transaction_id: id(10), account: AccountIndex(bob), amount: 5 };
        assert_eq!(check(kind, &other_id), refused);
    }
}

#[test]
#[should_panic(expected = "deducting 101 from alice, which has 100, would break its floor of 0")]
fn apply_stops_at_a_broken_invariant() {
    let mut ledger = ledger_of("open alice USD 2 client 100");
    ledger.apply(&Event::MoneyDeducted { transaction_id: id(9), account: AccountIndex(1), amount: 101 });
}

fn some_name() -> impl Strategy<Value = AccountName> {
    prop::sample::select(vec!["a", "b", "c", "d", "e", "@fees", "@world/USD", "@world/EUR"])
        .prop_map(|name| name.parse().unwrap())
}

fn some_asset() -> impl Strategy<Value = Asset> {
    prop::sample::select(vec!["USD", "EUR"]).prop_map(|asset| asset.parse().unwrap())
}

fn some_amount() -> impl Strategy<Value = i64> {
    let edges = vec![i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX];
    prop_oneof![6 => 1..=60_i64, 1 => prop::sample::select(edges), 1 => any::<i64>()]
}

fn some_command() -> impl Strategy<Value = Command> {
    let floor = prop_oneof![4 => Just(None), 1 => prop::sample::select(vec![Some(i64::MIN), Some(-9), Some(0), Some(1)])];
    let scale = prop::sample::select(vec![2, 2, 2, 2, 2, 3, 19]);
    let transaction_id = id(0);
    prop_oneof![
        2 => (some_name(), some_asset(), scale, floor, some_amount()).prop_map(
            |(account, asset, scale, floor, opening_balance)| {
                Command::OpenAccount { account, asset, scale, floor, opening_balance }
            }
        ),
        6 => (some_name(), some_name(), some_amount()).prop_map(move |(from_account, to_account, amount)| {
            Command::Transfer { transaction_id, from_account, to_account, amount }
        }),
        1 => (some_name(), some_amount())
            .prop_map(move |(account, amount)| Command::Deposit { transaction_id, account, amount }),
        1 => (some_name(), some_amount())
            .prop_map(move |(account, amount)| Command::Withdrawal { transaction_id, account, amount }),
    ]
}

/// Commands with ids of their own, so that each is new.
fn some_commands() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(some_command(), 1..80).prop_map(|mut commands| {
        for (number, command) in (1..).zip(&mut commands) {
            match command {
                Command::OpenAccount { .. } => {}
                Command::Transfer { transaction_id, .. }
                | Command::Deposit { transaction_id, .. }
                | Command::Withdrawal { transaction_id, .. } => *transaction_id = id(number),
            }
        }
        commands
    })
}

fn some_event() -> impl Strategy<Value = Event> {
    let index = (0..6_u32).prop_map(AccountIndex);
    let small_id = (0..3_u64).prop_map(id);
    let amount = prop_oneof![8 => 1..4_i64, 1 => some_amount()];
    let floor = prop::sample::select(vec![0, 0, 0, i64::MIN, i64::MIN, -5, 5]);
    let opened = (small_id.clone(), some_name(), some_asset(), 1..4_u8, floor).prop_map(
        |(transaction_id, account, asset, scale, floor)| {
            let scale = if scale == 3 { 3 } else { 2 };
            Event::AccountOpened { transaction_id, account, asset, scale, floor }
        },
    );
    let failed = (some_command(), any::<bool>(), prop::sample::select(Reason::ALL.to_vec())).prop_map(
        |(command, spoiled, reason)| {
            let mut failure = command.refused(reason);
            if spoiled {
                failure.to_account = None;
            }
            Event::TransactionFailed(failure.into())
        },
    );
    prop_oneof![
        3 => opened,
        4 => (small_id.clone(), index.clone(), amount.clone()).prop_map(|(transaction_id, account, amount)| {
            Event::MoneyDeducted { transaction_id, account, amount }
        }),
        4 => (small_id, index, amount).prop_map(|(transaction_id, account, amount)| {
            Event::MoneyCredited { transaction_id, account, amount }
        }),
        1 => failed,
    ]
}

fn check_against_model(commands: &[Command], hash_seed: u64) -> Result<(), TestCaseError> {
    let (mut ledger, mut replayed) = (Ledger::new(hash_seed), Ledger::new(!hash_seed));
    let mut model = Model::default();
    for (sequence, command) in (0..).zip(commands) {
        if let Command::OpenAccount { account, .. } = command
            && ledger.find(account).is_some()
        {
            continue;
        }
        let result = model.run(command);
        let before = ledger.digest();
        let mut events = Vec::new();
        ledger.execute(Timestamp::ZERO, command, &mut events);
        prop_assert_eq!(ledger.digest(), before);
        let (recorded_at, generation, kind) = (Timestamp::ZERO, 1, command.kind());
        let record = Record { sequence, recorded_at, generation, kind, events: &events };
        prop_assert_eq!(replayed.check_record(&record), Ok(()));
        for event in &events {
            prop_assert_eq!(replayed.check(event), Ok(()));
            replayed.apply(event);
            ledger.apply(event);
        }
        let transaction = record.transaction().unwrap();
        prop_assert_eq!(transaction.result(), result);
        prop_assert_eq!(transaction.transaction_id(), command.transaction_id());
        prop_assert_eq!(transaction.fingerprint(kind, |index| replayed.name(index)), command.fingerprint());
        prop_assert!(ledger.is_settled());
        prop_assert!(ledger.sum_by_asset().iter().all(|(_, sum)| *sum == 0));
        prop_assert_eq!(ledger.digest().as_u128(), model.digest());
        prop_assert_eq!(replayed.digest(), ledger.digest());
    }
    prop_assert_eq!(ledger.accounts().len(), model.accounts.len());
    for account in ledger.accounts() {
        prop_assert_eq!(i128::from(account.posted), model.accounts[account.name].posted);
        prop_assert!(account.posted >= account.floor);
    }
    prop_assert!(ledger.accounts().eq(replayed.accounts()), "the seed of the name table shows");
    Ok(())
}

fn check_stream(events: &[Event]) -> Result<(), TestCaseError> {
    let mut ledger = Ledger::new(3);
    for event in events {
        if ledger.check(event).is_ok() {
            ledger.apply(event);
        }
        prop_assert!(ledger.accounts().all(|account| account.posted >= account.floor));
        if ledger.is_settled() {
            prop_assert!(ledger.sum_by_asset().iter().all(|(_, sum)| *sum == 0));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_ledger_is_its_model_and_its_replay(commands in some_commands(), hash_seed: u64) {
        check_against_model(&commands, hash_seed)?;
    }

    #[test]
    fn what_passes_check_never_panics_in_apply(events in prop::collection::vec(some_event(), 1..200)) {
        check_stream(&events)?;
    }

    #[test]
    fn the_shape_of_any_record_can_be_asked(
        events in prop::collection::vec(some_event(), 0..5),
        kind in prop::sample::select(CommandKind::ALL.to_vec()),
    ) {
        let record = Record { sequence: 0, recorded_at: Timestamp::ZERO, generation: 1, kind, events: &events };
        let ledger = ledger_of("open a USD 2 client 5\nopen b USD 2 client 5");
        if ledger.check_record(&record).is_ok() {
            prop_assert!(record.transaction().is_ok());
        }
    }
}
