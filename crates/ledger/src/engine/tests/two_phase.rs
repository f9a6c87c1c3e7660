//! Transfers in two steps, floors, metadata and groups.

use std::string::ToString;

use super::*;

#[test]
fn a_pending_transfer_is_posted_in_part_or_whole_once() {
    check_events(
        "open alice USD 2 client 100
         open bob USD 2 client 0
         pend alice bob 60
         pend alice bob 41
         transfer alice bob 41
         transfer alice bob 40
         post 2 61
         post 2 25
         post 2 1
         void 2
         pend alice bob 35
         post 10 all
         pend bob alice 100
         post 12 100",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 100
            MoneyCredited alice 100
            AccountOpened bob USD scale 2 floor 0
            TransferPending alice bob 60
            TransactionFailed pending_transfer insufficient_funds
            TransactionFailed transfer insufficient_funds
            MoneyDeducted alice 40
            MoneyCredited bob 40
            TransactionFailed post_transfer amount_exceeds_pending
            TransferPosted 2 alice bob 25 of 60, asked for part
            TransactionFailed post_transfer pending_not_open
            TransactionFailed void_transfer pending_not_open
            TransferPending alice bob 35
            TransferPosted 10 alice bob 35 of 35, asked for all
            TransferPending bob alice 100
            TransferPosted 12 bob alice 100 of 100, asked for part
            @world/USD = -100 USD
            alice = 100 USD
            bob = 0 USD
        "#]],
    );
}

#[test]
fn a_void_and_an_expiry_release_what_is_held() {
    check_events(
        "open alice USD 2 client 100
         open bob USD 2 client 0
         pend alice bob 50 1000
         pend alice bob 50 1000
         void 2
         pend alice bob 50 999
         now 998
         expire
         now 999
         pend alice bob 1 999
         transfer alice bob 1
         expire
         transfer alice bob 1
         now 5000
         post 3 10
         pend alice bob 7
         expire
         post 15 all",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 100
            MoneyCredited alice 100
            AccountOpened bob USD scale 2 floor 0
            TransferPending alice bob 50 until 1000
            TransferPending alice bob 50 until 1000
            TransferVoided 2 alice bob 50
            TransferPending alice bob 50 until 999
            TransactionFailed pending_transfer deadline_passed
            TransactionFailed transfer insufficient_funds
            TransferExpired 5 alice bob 50
            MoneyDeducted alice 1
            MoneyCredited bob 1
            TransferPosted 3 alice bob 10 of 50, asked for part
            TransferPending alice bob 7
            TransferPosted 15 alice bob 7 of 7, asked for all
            @world/USD = -100 USD
            alice = 82 USD
            bob = 18 USD
        "#]],
    );
}

#[test]
fn what_is_late_stays_open_until_it_expires_by_an_event() {
    check_events(
        "open alice USD 2 client 10
         open bob USD 2 client 0
         pend alice bob 4 100
         pend alice bob 4 100
         now 1000000
         post 2 all
         expire
         post 3 all",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 10
            MoneyCredited alice 10
            AccountOpened bob USD scale 2 floor 0
            TransferPending alice bob 4 until 100
            TransferPending alice bob 4 until 100
            TransferPosted 2 alice bob 4 of 4, asked for all
            TransferExpired 3 alice bob 4
            TransactionFailed post_transfer pending_not_open
            @world/USD = -10 USD
            alice = 6 USD
            bob = 4 USD
        "#]],
    );
}

#[test]
fn a_floor_below_zero_is_a_credit_limit_that_can_be_changed() {
    check_events(
        "open alice USD 2 -50 10
         open bob USD 2 client 0
         transfer alice bob 61
         transfer alice bob 60
         floor alice -49
         floor alice -60
         pend alice bob 10
         floor alice -50
         void 6
         floor alice -50
         deposit alice 50
         floor alice 0
         floor alice 1
         floor bob -5
         floor @world/USD -5
         floor ghost 0
         transfer bob alice 65",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor -50
            MoneyDeducted @world/USD 10
            MoneyCredited alice 10
            AccountOpened bob USD scale 2 floor 0
            TransactionFailed transfer insufficient_funds
            MoneyDeducted alice 60
            MoneyCredited bob 60
            TransactionFailed set_floor floor_above_balance
            FloorChanged alice -60
            TransferPending alice bob 10
            TransactionFailed set_floor floor_above_balance
            TransferVoided 6 alice bob 10
            FloorChanged alice -50
            MoneyDeducted @world/USD 50
            MoneyCredited alice 50
            FloorChanged alice 0
            TransactionFailed set_floor floor_above_balance
            FloorChanged bob -5
            TransactionFailed set_floor reserved_account
            TransactionFailed set_floor unknown_to_account
            MoneyDeducted bob 65
            MoneyCredited alice 65
            @world/USD = -60 USD
            alice = 65 USD
            bob = -5 USD
        "#]],
    );
}

#[test]
fn a_client_floor_of_zero_is_the_same_wish_as_none() {
    let (none, zero) = (parse("open alice USD 2 client 5", 0), parse("open alice USD 2 0 5", 0));
    assert_eq!((none.transaction_id(), none.fingerprint()), (zero.transaction_id(), zero.fingerprint()));
    let below = parse("open alice USD 2 -1 5", 0);
    assert_ne!(none.transaction_id(), below.transaction_id());
    let (none, zero) = (parse("open @a USD 2 client 5", 0), parse("open @a USD 2 0 5", 0));
    assert_ne!((none.transaction_id(), none.fingerprint()), (zero.transaction_id(), zero.fingerprint()));
}

#[test]
fn metadata_stand_behind_what_they_are_attached_to() {
    check_events(
        "open alice USD 2 client 100
         open bob USD 2 client 0
         transfer alice bob 10 # {\"order\":7}
         deposit bob 5 # {}
         withdraw bob 5 # {\"a\":\"b\"}
         pend alice bob 20 # {\"cart\":1}
         post 5 5 # {\"cart\":1}
         transfer alice ghost 5 # {\"order\":8}",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 100
            MoneyCredited alice 100
            AccountOpened bob USD scale 2 floor 0
            MoneyDeducted alice 10
            MoneyCredited bob 10
            MetadataAttached {"order":7}
            MoneyDeducted @world/USD 5
            MoneyCredited bob 5
            MetadataAttached {}
            MoneyDeducted bob 5
            MoneyCredited @world/USD 5
            MetadataAttached {"a":"b"}
            TransferPending alice bob 20
            MetadataAttached {"cart":1}
            TransferPosted 5 alice bob 5 of 20, asked for part
            MetadataAttached {"cart":1}
            TransactionFailed transfer unknown_to_account
            @world/USD = -100 USD
            alice = 85 USD
            bob = 15 USD
        "#]],
    );
    let (plain, one, other) = (
        parse("transfer alice bob 1", 0),
        parse("transfer alice bob 1 # {\"n\":1}", 0),
        parse("transfer alice bob 1 # {\"n\":2}", 0),
    );
    assert_ne!(plain.fingerprint(), one.fingerprint());
    assert_ne!(one.fingerprint(), other.fingerprint());
}

#[test]
fn a_group_does_everything_or_nothing() {
    check_events(
        "open alice USD 2 client 100
         open bob USD 2 client 0
         open carl USD 2 client 0
         group transfer alice bob 60; transfer bob carl 60; transfer carl alice 10
         group transfer alice bob 50; transfer bob carl 51; deposit carl 1
         group pend alice bob 30; transfer alice bob 30
         group pend alice bob 30; post 700 20; transfer bob carl 20 # {\"leg\":3}
         group pend alice bob 10; void 800; post 800 all
         group withdraw carl 70; deposit bob 5; transfer bob alice 5
         transfer alice bob 30",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 100
            MoneyCredited alice 100
            AccountOpened bob USD scale 2 floor 0
            AccountOpened carl USD scale 2 floor 0
            MoneyDeducted alice 60
            MoneyCredited bob 60
            MoneyDeducted bob 60
            MoneyCredited carl 60
            MoneyDeducted carl 10
            MoneyCredited alice 10
            TransactionFailed transfer linked_failed
            TransactionFailed transfer insufficient_funds
            TransactionFailed deposit linked_failed
            TransactionFailed pending_transfer linked_failed
            TransactionFailed transfer insufficient_funds
            TransferPending alice bob 30
            TransferPosted 700 alice bob 20 of 30, asked for part
            MoneyDeducted bob 20
            MoneyCredited carl 20
            MetadataAttached {"leg":3}
            TransactionFailed pending_transfer linked_failed
            TransactionFailed void_transfer linked_failed
            TransactionFailed post_transfer pending_not_open
            MoneyDeducted carl 70
            MoneyCredited @world/USD 70
            MoneyDeducted @world/USD 5
            MoneyCredited bob 5
            MoneyDeducted bob 5
            MoneyCredited alice 5
            MoneyDeducted alice 30
            MoneyCredited bob 30
            @world/USD = -35 USD
            alice = 5 USD
            bob = 30 USD
            carl = 0 USD
        "#]],
    );
}

#[test]
fn a_settlement_in_a_group_frees_what_the_next_member_spends() {
    check_events(
        "open alice USD 2 client 10
         open bob USD 2 client 0
         pend alice bob 10
         group transfer alice bob 10; void 2
         group void 2; transfer alice bob 10
         deposit alice 8
         pend alice bob 8
         group post 6 5; transfer alice bob 3; transfer alice bob 1
         group post 6 5; transfer alice bob 3",
        &expect![[r#"
            AccountOpened @world/USD USD scale 2 floor -9223372036854775808
            AccountOpened alice USD scale 2 floor 0
            MoneyDeducted @world/USD 10
            MoneyCredited alice 10
            AccountOpened bob USD scale 2 floor 0
            TransferPending alice bob 10
            TransactionFailed transfer insufficient_funds
            TransactionFailed void_transfer linked_failed
            TransferVoided 2 alice bob 10
            MoneyDeducted alice 10
            MoneyCredited bob 10
            MoneyDeducted @world/USD 8
            MoneyCredited alice 8
            TransferPending alice bob 8
            TransactionFailed post_transfer linked_failed
            TransactionFailed transfer linked_failed
            TransactionFailed transfer insufficient_funds
            TransferPosted 6 alice bob 5 of 8, asked for part
            MoneyDeducted alice 3
            MoneyCredited bob 3
            @world/USD = -18 USD
            alice = 0 USD
            bob = 18 USD
        "#]],
    );
}

#[test]
fn what_is_no_group_is_refused_at_the_door() {
    let transfer = |number| parse("transfer alice bob 1", number);
    let refused = |members: Vec<Command>| LinkedTransfers::new(members).unwrap_err().to_string();
    let group = Command::Linked { transfers: LinkedTransfers::new(vec![transfer(1), transfer(2)]).unwrap() };
    let many = (0..513).map(transfer).collect();
    let shown = [
        refused(vec![]),
        refused(vec![transfer(1)]),
        refused(many),
        refused(vec![transfer(1), transfer(2), transfer(1)]),
        refused(vec![transfer(1), parse("open alice USD 2 client 0", 2)]),
        refused(vec![parse("floor alice 0", 2), transfer(1)]),
        refused(vec![transfer(3), group]),
    ];
    expect![[r#"
        the group has 0 members; give it 2 to 512
        the group has 1 members; give it 2 to 512
        the group has 513 members; give it 2 to 512
        member 2 has the id 00000000-0000-0000-0000-000000000001 of a member before it; give it its own
        member 1 is of kind open_account, which cannot be in a group
        member 0 is of kind set_floor, which cannot be in a group
        member 1 is of kind linked, which cannot be in a group"#]]
    .assert_eq(&shown.join("\n"));
    assert!(LinkedTransfers::new((0..512).map(transfer).collect()).is_ok());
}

#[test]
fn holds_stop_at_the_ends_of_the_range() {
    check_events(
        "open rich BIG 0 client MAX
         open poor BIG 0 MIN 0
         open third BIG 0 client 0
         pend poor rich 1
         pend rich third MAX
         pend poor third MAX
         pend poor third 1
         transfer poor third 1
         floor poor -1
         post 5 1
         post 4 all
         void 3
         pend third poor MAX
         pend third poor 1",
        &expect![[r#"
            AccountOpened @world/BIG BIG scale 0 floor -9223372036854775808
            AccountOpened rich BIG scale 0 floor 0
            MoneyDeducted @world/BIG 9223372036854775807
            MoneyCredited rich 9223372036854775807
            AccountOpened poor BIG scale 0 floor -9223372036854775808
            AccountOpened third BIG scale 0 floor 0
            TransactionFailed pending_transfer overflow
            TransferPending rich third 9223372036854775807
            TransferPending poor third 9223372036854775807
            TransactionFailed pending_transfer overflow
            MoneyDeducted poor 1
            MoneyCredited third 1
            TransactionFailed set_floor floor_above_balance
            TransferPosted 5 poor third 1 of 9223372036854775807, asked for part
            TransactionFailed post_transfer overflow
            TransactionFailed void_transfer pending_not_open
            TransactionFailed pending_transfer insufficient_funds
            TransferPending third poor 1
            @world/BIG = -9223372036854775807 BIG
            rich = 9223372036854775807 BIG, 9223372036854775807 held
            poor = -2 BIG
            third = 2 BIG, 1 held
        "#]],
    );
}

#[test]
fn digests_cover_open_pending_transfers_and_their_deadlines() {
    let digest =
        |text: &str| ledger_of(&format!("open a USD 2 -9 9\nopen b USD 2 client 0\n{text}")).digest();
    let (none, held, late) = (digest("void 99"), digest("pend a b 5"), digest("pend a b 5 70"));
    assert!(none != held && held != late && digest("pend a b 5 71") != late);
    assert_eq!(digest("pend a b 5\npend b a 9\nvoid 2"), digest("pend a b 5\npend b a 9\nvoid 2"));
    assert_ne!(digest("floor a -8"), digest("floor a -9"));
    expect![[r#"
        350776e0dcd3644c1a7bcc1570a02e19
        6b13ccd3b0f2ccad4925a28e99813f4c"#]]
    .assert_eq(&format!("{late}\n{}", digest("pend a b 5 # {}\npost 2 3\nfloor a -5")));
}

#[test]
fn a_contradicting_event_of_two_phases_is_named() {
    let mut ledger = ledger_of("open alice USD 2 -10 100\nopen bob USD 2 client 0\nopen carl EUR 2 client 7");
    run(&mut ledger, &parse("pend alice bob 105 500", 3));
    let (alice, bob, carl, world) = (AccountIndex(1), AccountIndex(2), AccountIndex(4), AccountIndex(0));
    let (transaction_id, pending_id) = (id(9), id(3));
    let pending = |from_account, to_account, amount| Event::TransferPending {
        transaction_id,
        from_account,
        to_account,
        amount,
        expires_at: None,
    };
    let posted = |pending_id, to_account, amount, pending_amount, asked_amount| Event::TransferPosted {
        transaction_id,
        pending_id,
        from_account: alice,
        to_account,
        amount,
        pending_amount,
        asked_amount,
    };
    let voided = |pending_id, amount| Event::TransferVoided {
        transaction_id,
        pending_id,
        from_account: alice,
        to_account: bob,
        amount,
    };
    let floor = |account, floor| Event::FloorChanged { transaction_id, account, floor };
    let attached =
        Event::MetadataAttached { transaction_id, metadata: Metadata::from_canonical("{}").unwrap() };
    let again = Event::TransferPending {
        transaction_id: pending_id,
        from_account: alice,
        to_account: bob,
        amount: 1,
        expires_at: None,
    };
    let deducted = Event::MoneyDeducted { transaction_id, account: alice, amount: 6 };
    let half = Event::MoneyDeducted { transaction_id, account: alice, amount: 5 };
    let streams = [
        vec![deducted],
        vec![pending(alice, bob, 6)],
        vec![pending(alice, bob, 0)],
        vec![pending(alice, alice, 5)],
        vec![pending(alice, carl, 5)],
        vec![pending(world, alice, 5)],
        vec![again],
        vec![half.clone(), pending(alice, bob, 5)],
        vec![posted(id(4), bob, 5, 105, None)],
        vec![posted(pending_id, carl, 105, 105, None)],
        vec![posted(pending_id, bob, 105, 106, None)],
        vec![posted(pending_id, bob, 104, 105, None)],
        vec![posted(pending_id, bob, 106, 105, Some(106))],
        vec![posted(pending_id, bob, 0, 105, Some(0))],
        vec![voided(id(4), 105)],
        vec![voided(pending_id, 104)],
        vec![floor(alice, -4)],
        vec![floor(alice, 1)],
        vec![floor(world, 0)],
        vec![half, floor(alice, 0)],
        vec![attached.clone()],
        vec![floor(alice, -10), attached.clone()],
        vec![voided(pending_id, 105), attached.clone(), attached],
    ];
    let mut shown = String::new();
    for stream in streams {
        let mut ledger = ledger.clone();
        let (last, before) = stream.split_last().unwrap();
        before.iter().for_each(|event| ledger.apply(event));
        shown += &format!("{}\n", ledger.check(last).unwrap_err());
    }
    expect![[r#"
        deducting 6 from alice, which has -5, would break its floor of -10
        deducting 6 from alice, which has -5, would break its floor of -10
        amount 0 is not positive
        pending transfer 00000000-0000-0000-0000-000000000009 is not between two client accounts of one asset
        pending transfer 00000000-0000-0000-0000-000000000009 is not between two client accounts of one asset
        pending transfer 00000000-0000-0000-0000-000000000009 is not between two client accounts of one asset
        pending transfer 00000000-0000-0000-0000-000000000003 is opened a second time
        another event stands where the second half of transfer 00000000-0000-0000-0000-000000000009 belongs
        pending transfer 00000000-0000-0000-0000-000000000004 is settled but not open
        pending transfer 00000000-0000-0000-0000-000000000003 has other accounts or another amount
        pending transfer 00000000-0000-0000-0000-000000000003 has other accounts or another amount
        pending transfer 00000000-0000-0000-0000-000000000003 has other accounts or another amount
        pending transfer 00000000-0000-0000-0000-000000000003 has other accounts or another amount
        amount 0 is not positive
        pending transfer 00000000-0000-0000-0000-000000000004 is settled but not open
        pending transfer 00000000-0000-0000-0000-000000000003 has other accounts or another amount
        account alice, which has -5 available, gets a floor of -4
        account alice has floor 1, which an account of its name cannot have
        account @world/USD has floor 0, which an account of its name cannot have
        another event stands where the second half of transfer 00000000-0000-0000-0000-000000000009 belongs
        metadata of 00000000-0000-0000-0000-000000000009 do not stand behind a transfer with this id
        metadata of 00000000-0000-0000-0000-000000000009 do not stand behind a transfer with this id
        metadata of 00000000-0000-0000-0000-000000000009 do not stand behind a transfer with this id
    "#]]
    .assert_eq(&shown);
}

#[test]
fn a_record_of_two_phases_that_no_command_makes_is_refused() {
    let mut ledger = ledger_of("open alice USD 2 client 100\nopen bob USD 2 client 0");
    run(&mut ledger, &parse("pend alice bob 60 500", 2));
    let check = |kind, recorded_at, events: &[Event]| {
        let recorded_at = Timestamp::from_micros(recorded_at).unwrap();
        match ledger.check_record(&Record { sequence: 0, recorded_at, generation: 1, kind, events }) {
            Ok(()) => "fine\n".into(),
            Err(inconsistent) => format!("{inconsistent}\n"),
        }
    };
    let events = |line: &str| {
        let mut events = Vec::new();
        ledger.execute(Timestamp::ZERO, &parse(line, 9), &mut events);
        events
    };
    let mut expired = Vec::new();
    ledger.expire(Timestamp::from_micros(500).unwrap(), id(2), &mut expired);
    let group = events("group transfer alice bob 1; deposit bob 2 # {}");
    let refused = events("group transfer alice bob 1; deposit bob 0; deposit bob 1");
    let swapped = [refused[1].clone(), refused[0].clone(), refused[0].clone()];
    let mut shown = String::new();
    for (kind, at, events) in [
        (CommandKind::ExpireTransfer, 500, &expired[..]),
        (CommandKind::ExpireTransfer, 499, &expired[..]),
        (CommandKind::VoidTransfer, 500, &expired[..]),
        (CommandKind::PendingTransfer, 99, &events("pend alice bob 1 100")[..]),
        (CommandKind::PendingTransfer, 100, &events("pend alice bob 1 100")[..]),
        (CommandKind::Linked, 0, &group[..]),
        (CommandKind::Linked, 0, &group[..2]),
        (CommandKind::Transfer, 0, &group[..2]),
        (CommandKind::Deposit, 0, &group[2..]),
        (CommandKind::Deposit, 0, &group[2..4]),
        (CommandKind::Linked, 0, &[&group[..], &group[..2]].concat()[..]),
        (CommandKind::Linked, 0, &refused[..]),
        (CommandKind::Linked, 0, &[&group[..2], &refused[2..]].concat()[..]),
        (CommandKind::Linked, 0, &[&refused[..1], &refused[2..]].concat()[..]),
        (CommandKind::Linked, 0, &swapped[..]),
        (CommandKind::Transfer, 0, &refused[..1]),
        (CommandKind::SetFloor, 0, &events("floor alice -1")[..]),
        (CommandKind::Linked, 0, &[events("floor alice -1"), group.clone()].concat()[..]),
    ] {
        shown += &check(kind, at, events);
    }
    expect![[r#"
        fine
        3a962a6f-65b9-88a0-8b27-c9b871a1b765 is recorded at 499 us, on the wrong side of the deadline 500 us
        the events of the record are not those of one command of kind void_transfer
        fine
        00000000-0000-0000-0000-000000000009 is recorded at 100 us, on the wrong side of the deadline 100 us
        fine
        the events of the record are not those of one command of kind linked
        fine
        fine
        fine
        the events of the record are not those of one command of kind linked
        fine
        the events of the record are not those of one command of kind linked
        the events of the record are not those of one command of kind linked
        the events of the record are not those of one command of kind linked
        the events of the record are not those of one command of kind transfer
        fine
        the events of the record are not those of one command of kind linked
    "#]]
    .assert_eq(&shown);
}

#[test]
#[should_panic(expected = "is not open, or its deadline has not passed")]
fn nothing_expires_early() {
    let ledger = ledger_of("open a USD 2 client 5\nopen b USD 2 client 0\npend a b 5 100");
    ledger.expire(Timestamp::from_micros(99).unwrap(), id(2), &mut Vec::new());
}
