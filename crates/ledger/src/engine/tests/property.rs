//! The ledger against its model, its replay, and events at random.

use std::format;

use proptest::prelude::*;

use super::*;

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

fn some_time() -> impl Strategy<Value = Option<Timestamp>> {
    prop_oneof![1 => Just(None), 2 => (0..900_u64).prop_map(Timestamp::from_micros)]
}

fn some_metadata() -> impl Strategy<Value = Option<Metadata>> {
    let attached = (0..3_u8).prop_map(|n| Metadata::from_canonical(&format!("{{\"n\":{n}}}")).ok());
    prop_oneof![5 => Just(None), 1 => attached]
}

/// Openings and floors, which stand alone.
fn some_rare() -> impl Strategy<Value = Command> {
    let floor = prop_oneof![
        4 => Just(None),
        2 => prop::sample::select(vec![Some(i64::MIN), Some(-90), Some(-9), Some(0), Some(1)])
    ];
    let scale = prop::sample::select(vec![2, 2, 2, 2, 2, 3, 19]);
    let set = prop_oneof![4 => -60..=0_i64, 1 => some_amount()];
    let transaction_id = id(0);
    prop_oneof![
        2 => (some_name(), some_asset(), scale, floor, some_amount()).prop_map(
            |(account, asset, scale, floor, opening_balance)| {
                Command::OpenAccount { account, asset, scale, floor, opening_balance }
            }
        ),
        1 => (some_name(), set)
            .prop_map(move |(account, floor)| Command::SetFloor { transaction_id, account, floor }),
    ]
}

/// What can be a member of a group. Pending transfers are named by numbers that commands have nearby.
fn some_member() -> impl Strategy<Value = Command> {
    let transaction_id = id(0);
    let pending = || (0..80_u64).prop_map(id);
    let asked = prop_oneof![2 => Just(None), 2 => some_amount().prop_map(Some)];
    prop_oneof![
        6 => (some_name(), some_name(), some_amount(), some_metadata()).prop_map(
            move |(from_account, to_account, amount, metadata)| {
                Command::Transfer { transaction_id, from_account, to_account, amount, metadata }
            }
        ),
        1 => (some_name(), some_amount(), some_metadata()).prop_map(move |(account, amount, metadata)| {
            Command::Deposit { transaction_id, account, amount, metadata }
        }),
        1 => (some_name(), some_amount(), some_metadata()).prop_map(move |(account, amount, metadata)| {
            Command::Withdrawal { transaction_id, account, amount, metadata }
        }),
        5 => (some_name(), some_name(), some_amount(), some_time(), some_metadata()).prop_map(
            move |(from_account, to_account, amount, expires_at, metadata)| Command::PendingTransfer {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at,
                metadata,
            }
        ),
        4 => (pending(), asked, some_metadata()).prop_map(move |(pending_id, amount, metadata)| {
            Command::PostTransfer { transaction_id, pending_id, amount, metadata }
        }),
        2 => (pending(), some_metadata()).prop_map(move |(pending_id, metadata)| {
            Command::VoidTransfer { transaction_id, pending_id, metadata }
        }),
    ]
}

fn some_command() -> impl Strategy<Value = Command> {
    let group = prop::collection::vec(some_member(), 2..6).prop_map(|mut members| {
        (0..).zip(&mut members).for_each(|(number, member)| name(member, number));
        Command::Linked { transfers: LinkedTransfers::new(members).unwrap() }
    });
    prop_oneof![3 => some_rare(), 12 => some_member(), 2 => group]
}

/// Gives a command the id with this number; an opening has its own.
fn name(command: &mut Command, number: u64) {
    match command {
        Command::OpenAccount { .. } => {}
        Command::Transfer { transaction_id, .. }
        | Command::Deposit { transaction_id, .. }
        | Command::Withdrawal { transaction_id, .. }
        | Command::PendingTransfer { transaction_id, .. }
        | Command::PostTransfer { transaction_id, .. }
        | Command::VoidTransfer { transaction_id, .. }
        | Command::SetFloor { transaction_id, .. } => *transaction_id = id(number),
        Command::Linked { transfers } => {
            // The first member can be named by a number nearby, too.
            let mut members = transfers.members().to_vec();
            name(&mut members[0], number);
            for (at, member) in (1..).zip(&mut members[1..]) {
                name(member, 1_000 + 10 * number + at);
            }
            *transfers = LinkedTransfers::new(members).unwrap();
        }
    }
}

/// Commands with ids of their own, so that each is new, ten microseconds apart; now and then what is due expires.
fn some_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((some_command(), 0..5_u8), 1..80).prop_map(|commands| {
        let mut steps = Vec::new();
        for (number, (mut command, late)) in (1..).zip(commands) {
            let now = Timestamp::from_micros(10 * number).unwrap();
            if late == 0 {
                steps.push(Step::Expire(now));
            }
            name(&mut command, number);
            steps.push(Step::Command(now, command));
        }
        steps
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
            let mut failure = command.members()[0].refused(reason);
            if spoiled {
                failure.to_account = None;
                failure.pending_id = None;
            }
            Event::TransactionFailed(failure.into())
        },
    );
    let sides = || (small_id.clone(), small_id.clone(), index.clone(), index.clone(), amount.clone());
    let pending = (sides(), some_time()).prop_map(
        |((transaction_id, _, from_account, to_account, amount), expires_at)| Event::TransferPending {
            transaction_id,
            from_account,
            to_account,
            amount,
            expires_at,
        },
    );
    let posted = (sides(), amount.clone(), any::<bool>()).prop_map(
        |((transaction_id, pending_id, from_account, to_account, amount), pending_amount, all)| {
            let asked_amount = (!all).then_some(amount);
            Event::TransferPosted {
                transaction_id,
                pending_id,
                from_account,
                to_account,
                amount,
                pending_amount,
                asked_amount,
            }
        },
    );
    let ended = (sides(), any::<bool>()).prop_map(
        |((transaction_id, pending_id, from_account, to_account, amount), expired)| {
            if expired {
                Event::TransferExpired { transaction_id, pending_id, from_account, to_account, amount }
            } else {
                Event::TransferVoided { transaction_id, pending_id, from_account, to_account, amount }
            }
        },
    );
    let floored = (small_id.clone(), index.clone(), -3..2_i64)
        .prop_map(|(transaction_id, account, floor)| Event::FloorChanged { transaction_id, account, floor });
    let attached = small_id.clone().prop_map(|transaction_id| {
        let metadata = Metadata::from_canonical("{}").unwrap();
        Event::MetadataAttached { transaction_id, metadata }
    });
    prop_oneof![
        3 => opened,
        3 => pending,
        3 => posted,
        2 => ended,
        1 => floored,
        1 => attached,
        4 => (small_id.clone(), index.clone(), amount.clone()).prop_map(|(transaction_id, account, amount)| {
            Event::MoneyDeducted { transaction_id, account, amount }
        }),
        4 => (small_id, index, amount).prop_map(|(transaction_id, account, amount)| {
            Event::MoneyCredited { transaction_id, account, amount }
        }),
        1 => failed,
    ]
}

fn check_against_model(steps: &[Step], hash_seed: u64) -> Result<(), TestCaseError> {
    let (mut ledger, mut replayed) = (Ledger::new(hash_seed), Ledger::new(!hash_seed));
    let mut history = Vec::new();
    for step in steps {
        let before = ledger.digest();
        let mut events = Vec::new();
        let (now, kind) = match step {
            Step::Command(_, Command::OpenAccount { account, .. }) if ledger.find(account).is_some() => {
                continue;
            }
            Step::Command(now, command) => {
                ledger.execute(*now, command, &mut events);
                (*now, command.kind())
            }
            Step::Expire(now) => {
                let Some((_, pending_id)) = ledger.next_expiry().filter(|(at, _)| at <= now) else {
                    continue;
                };
                ledger.expire(*now, pending_id, &mut events);
                (*now, CommandKind::ExpireTransfer)
            }
        };
        prop_assert_eq!(ledger.digest(), before);
        let record = Record { sequence: 0, recorded_at: now, generation: 1, kind, events: &events };
        prop_assert_eq!(replayed.check_record(&record), Ok(()));
        for event in &events {
            prop_assert_eq!(replayed.check(event), Ok(()));
            replayed.apply(event);
            ledger.apply(event);
        }
        if let Step::Command(_, command) = step {
            history.push(step.clone());
            let expected = Model::of(&history[..history.len() - 1]).run(now, command);
            check_record_of(command, &record, &replayed, &expected)?;
        } else {
            expire(&mut ledger, now);
            expire(&mut replayed, now);
            history.push(step.clone());
        }
        let model = Model::of(&history);
        prop_assert!(ledger.is_settled());
        prop_assert!(ledger.sum_by_asset().iter().all(|(_, sum)| *sum == 0));
        prop_assert_eq!(ledger.digest().as_u128(), model.digest());
        prop_assert_eq!(replayed.digest(), ledger.digest());
        check_accounts(&ledger, &model)?;
    }
    prop_assert!(ledger.accounts().eq(replayed.accounts()), "the seed of the name table shows");
    // The order in which pending transfers are restored does not show.
    let backwards: Vec<_> = ledger.holds().iter().collect::<Vec<_>>().into_iter().rev().collect();
    let restored = Ledger::restore(5, ledger.accounts(), backwards, ledger.digest()).unwrap();
    prop_assert_eq!(restored.holds(), ledger.holds());
    prop_assert!(restored.accounts().eq(ledger.accounts()));
    Ok(())
}

/// The record of a command tells its ids, results and fingerprints.
fn check_record_of(
    command: &Command,
    record: &Record<'_>,
    ledger: &Ledger,
    expected: &[TransactionResult],
) -> Result<(), TestCaseError> {
    let transactions: Vec<_> = record.transactions().collect::<Result<_, _>>().unwrap();
    let results: Vec<_> = transactions.iter().map(|transaction| transaction.result()).collect();
    prop_assert_eq!(&results[..], expected);
    prop_assert_eq!(transactions.len(), command.members().len());
    for (transaction, member) in transactions.iter().zip(command.members()) {
        prop_assert_eq!(transaction.transaction_id, member.transaction_id());
        prop_assert_eq!(transaction.kind(|index| ledger.name(index)), member.kind());
        prop_assert_eq!(transaction.fingerprint(|index| ledger.name(index)), member.fingerprint());
    }
    Ok(())
}

fn check_accounts(ledger: &Ledger, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(ledger.accounts().len(), model.accounts.len());
    for account in ledger.accounts() {
        prop_assert_eq!(i128::from(account.posted), model.accounts[account.name].posted);
        prop_assert_eq!(i128::from(account.pending), model.held(account.name));
        prop_assert!(account.available() >= account.floor);
    }
    let open: Vec<TransactionId> = ledger.holds().iter().map(|(id, _)| id).collect();
    prop_assert!(open.iter().eq(model.pending.keys()));
    Ok(())
}

fn check_stream(events: &[Event]) -> Result<(), TestCaseError> {
    let mut ledger = Ledger::new(3);
    for event in events {
        if ledger.check(event).is_ok() {
            ledger.apply(event);
        }
        prop_assert!(ledger.accounts().all(|account| account.available() >= account.floor));
        let held: i128 = ledger.accounts().map(|account| i128::from(account.pending)).sum();
        prop_assert_eq!(held, ledger.holds().iter().map(|(_, hold)| i128::from(hold.amount)).sum::<i128>());
        if ledger.is_settled() {
            prop_assert!(ledger.sum_by_asset().iter().all(|(_, sum)| *sum == 0));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_ledger_is_its_model_and_its_replay(steps in some_steps(), hash_seed: u64) {
        check_against_model(&steps, hash_seed)?;
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
            prop_assert!(record.transactions().all(|transaction| transaction.is_ok()));
        }
    }
}
