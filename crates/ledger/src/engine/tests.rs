//! Text in, text out; and a naive model beside the ledger.

use std::{format, string::String, vec};

use self::model::{Model, Step};
use super::*;
use crate::{CommandKind, Failure, LinkedTransfers, Metadata, Reason, Record};
use expect_test::{Expect, expect};

mod model;
mod precedence;
mod property;
mod two_phase;

fn id(number: u64) -> TransactionId {
    TransactionId::from_bytes(u128::from(number).to_be_bytes())
}

/// `open NAME ASSET SCALE FLOOR|client BALANCE`, `transfer FROM TO AMOUNT`, `deposit TO AMOUNT`, `withdraw FROM AMOUNT`,
/// `pend FROM TO AMOUNT [DEADLINE]`, `post NUMBER AMOUNT|all`, `void NUMBER`, `floor ACCOUNT FLOOR`, each with its
/// metadata behind a `#`, and `group COMMAND; COMMAND ...`, whose members have the numbers 100, 101 and so on of the line.
fn parse(line: &str, number: u64) -> Command {
    if let Some(members) = line.strip_prefix("group ") {
        let numbered = (100 * number + 100..).zip(members.split(';'));
        let members = numbered.map(|(number, member)| parse(member.trim(), number)).collect();
        return Command::Linked { transfers: LinkedTransfers::new(members).unwrap() };
    }
    let (line, metadata) = match line.split_once('#') {
        Some((line, metadata)) => (line, Some(Metadata::from_canonical(metadata.trim()).unwrap())),
        None => (line, None),
    };
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
            metadata,
        },
        "deposit" => Command::Deposit { transaction_id, account: name(1), amount: amount(2), metadata },
        "withdraw" => Command::Withdrawal { transaction_id, account: name(1), amount: amount(2), metadata },
        "pend" => Command::PendingTransfer {
            transaction_id,
            from_account: name(1),
            to_account: name(2),
            amount: amount(3),
            expires_at: words.get(4).map(|at| Timestamp::from_micros(at.parse().unwrap()).unwrap()),
            metadata,
        },
        "post" => Command::PostTransfer {
            transaction_id,
            pending_id: id(words[1].parse().unwrap()),
            amount: (words[2] != "all").then(|| amount(2)),
            metadata,
        },
        "void" => {
            let pending_id = id(words[1].parse().unwrap());
            Command::VoidTransfer { transaction_id, pending_id, metadata }
        }
        "floor" => Command::SetFloor { transaction_id, account: name(1), floor: amount(2) },
        other => panic!("unknown command {other}"),
    }
}

fn run(ledger: &mut Ledger, command: &Command) -> Vec<Event> {
    run_at(ledger, Timestamp::ZERO, command)
}

fn run_at(ledger: &mut Ledger, now: Timestamp, command: &Command) -> Vec<Event> {
    let mut events = Vec::new();
    ledger.execute(now, command, &mut events);
    take(ledger, now, command.kind(), &events);
    events
}

/// Checks a record as if it came from outside, and applies it.
fn take(ledger: &mut Ledger, recorded_at: Timestamp, kind: CommandKind, events: &[Event]) {
    ledger.check_record(&Record { sequence: 0, recorded_at, generation: 1, kind, events }).unwrap();
    for event in events {
        ledger.check(event).unwrap();
        ledger.apply(event);
    }
}

/// Lets everything that is due expire.
fn expire(ledger: &mut Ledger, now: Timestamp) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some((_, pending_id)) = ledger.next_expiry().filter(|(at, _)| *at <= now) {
        let mut events = Vec::new();
        ledger.expire(now, pending_id, &mut events);
        take(ledger, now, CommandKind::ExpireTransfer, &events);
        all.extend(events);
    }
    all
}

fn ledger_of(text: &str) -> Ledger {
    let mut ledger = Ledger::new(0);
    for (number, line) in (0..).zip(text.lines()) {
        run(&mut ledger, &parse(line, number));
    }
    ledger
}

/// One event in words.
fn show(ledger: &Ledger, event: &Event) -> String {
    let name = |account: &AccountIndex| ledger.account(*account).name;
    let number = |id: &TransactionId| u128::from_be_bytes(id.as_bytes());
    let details = match event {
        Event::AccountOpened { account, asset, scale, floor, .. } => {
            format!("{account} {asset} scale {scale} floor {floor}")
        }
        Event::MoneyDeducted { account, amount, .. } | Event::MoneyCredited { account, amount, .. } => {
            format!("{} {amount}", name(account))
        }
        Event::TransferPending { from_account, to_account, amount, expires_at, .. } => {
            let until = expires_at.map_or(String::new(), |at| format!(" until {}", at.micros()));
            format!("{} {} {amount}{until}", name(from_account), name(to_account))
        }
        Event::TransferPosted {
            pending_id,
            from_account,
            to_account,
            amount,
            pending_amount,
            asked_amount,
            ..
        } => {
            let asked = asked_amount.map_or("all", |_| "part");
            let (id, from, to) = (number(pending_id), name(from_account), name(to_account));
            format!("{id} {from} {to} {amount} of {pending_amount}, asked for {asked}")
        }
        Event::TransferVoided { pending_id, from_account, to_account, amount, .. }
        | Event::TransferExpired { pending_id, from_account, to_account, amount, .. } => {
            format!("{} {} {} {amount}", number(pending_id), name(from_account), name(to_account))
        }
        Event::FloorChanged { account, floor, .. } => format!("{} {floor}", name(account)),
        Event::MetadataAttached { metadata, .. } => metadata.as_str().into(),
        Event::TransactionFailed(failure) => format!("{} {}", failure.kind, failure.reason),
    };
    format!("{} {details}\n", event.name())
}

/// Runs the commands and shows every event, then every balance. `now TIME` lets time pass, `expire` lets expire what is due.
fn check_events(text: &str, expected: &Expect) {
    let mut ledger = Ledger::new(0);
    let mut now = Timestamp::ZERO;
    let mut shown = String::new();
    for (number, line) in (0..).zip(text.lines()) {
        let line = line.trim();
        let events = match line.strip_prefix("now ") {
            Some(time) => {
                now = Timestamp::from_micros(time.parse().unwrap()).unwrap();
                vec![]
            }
            None if line == "expire" => expire(&mut ledger, now),
            None => run_at(&mut ledger, now, &parse(line, number)),
        };
        events.iter().for_each(|event| shown += &show(&ledger, event));
    }
    for account in ledger.accounts() {
        shown += &format!("{} = {} {}", account.name, account.posted, account.asset);
        if account.pending > 0 {
            shown += &format!(", {} held", account.pending);
        }
        shown += "\n";
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
    let blank = Failure::blank(id(9), kind, Reason::Overflow);
    let failure = Failure { to_account: Some("alice".parse().unwrap()), amount: Some(5), ..blank };
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
        vec![opened("bob", "USD", 2, 1)],
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
        account bob has floor 1, which an account of its name cannot have
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
