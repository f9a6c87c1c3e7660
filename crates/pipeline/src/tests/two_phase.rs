//! What a pipeline answers about pending transfers, step by step.

use super::{Rig, check, recover};
use crate::Config;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use expect_test::expect;
use ledger::TransactionId;

#[test]
fn a_pending_transfer_expires_when_its_time_has_come_however_late() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        pend p1 alice bob 60 500
        pend p2 alice bob 10 400
        due
        settle
        balances
        due
        wait 399
        due
        wait 1
        balances
        settle
        balances
        due
        wait 1000000
        settle
        balances
        due
        post o1 p1 all
        pend p3 alice bob 1 1000400
        settle
        restart
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            settle
              append 0..2
              #1 completed at 0
              #2 completed at 1
            pend p1 alice bob 60 500
              find p1
            pend p2 alice bob 10 400
              find p2
            due
              a delivery expires at 30000000
            settle
              append 2..4
              #3 completed at 2
              #4 completed at 3
            balances
              @world/USD -100
              alice 100, 70 held
              bob 0
            due
              a pending transfer expires at 400
            wait 399
            due
              a pending transfer expires at 400
            wait 1
              append 4..5
            balances
              @world/USD -100
              alice 100, 70 held
              bob 0
            settle
            balances
              @world/USD -100
              alice 100, 60 held
              bob 0
            due
              a pending transfer expires at 500
            wait 1000000
              append 5..6
            settle
            balances
              @world/USD -100
              alice 100
              bob 0
            due
              nothing
            post o1 p1 all
              find o1
            pend p3 alice bob 1 1000400
              find p3
            settle
              append 6..8
              #5 refused pending_not_open at 6
              #6 refused deadline_passed at 7
            restart
            balances
              @world/USD -100
              alice 100
              bob 0
        "#]],
    );
}

#[test]
fn many_expire_in_bounded_calls_and_in_the_order_of_their_deadlines() {
    let mut rig = Rig::new(Config { expiries_max: 2, append_records_max: 3, ..Config::default() });
    for line in ["open alice 100", "open bob 0", "settle"] {
        rig.run(line);
    }
    for (number, at) in [(1, 30), (2, 10), (3, 20), (4, 10), (5, 40)] {
        rig.run(&format!("pend p{number} alice bob 1 {at}"));
        rig.run("settle");
    }
    rig.text.clear();
    for line in
        ["wait 35", "due", "wait 0", "due", "wait 0", "durable", "wait 0", "due", "settle", "balances", "due"]
    {
        rig.run(line);
    }
    expect![[r#"
        wait 35
          append 7..9
        due
          a pending transfer expires at 20
        wait 0
        due
          a pending transfer expires at 40
        wait 0
        durable
          append 9..11
        wait 0
        due
          a pending transfer expires at 40
        settle
        balances
          @world/USD -100
          alice 100, 1 held
          bob 0
        due
          a pending transfer expires at 40
    "#]]
    .assert_eq(&rig.text);
    let mut expired = Vec::new();
    let mut recovery = crate::Recovery::new(0);
    let each = |record: &ledger::Record<'_>| {
        expired.extend(record.transactions().filter_map(|transaction| transaction.ok()?.settled_id()));
    };
    recovery.push(&rig.durable, each).expect("a whole log");
    let labels: Vec<String> = expired.iter().map(|id| rig.label(id)).collect();
    assert_eq!(labels, ["p4", "p2", "p3", "p1"], "equal deadlines go by id");
}

#[test]
fn nothing_expires_in_a_pipeline_that_has_stopped_or_closed() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        pend p1 alice bob 60 500
        settle
        close
        settle
        due
        wait 1000
        restart
        due
        wait 0
        deposit d1 alice 1
        lookups
        fail
        due
        wait 0
        restart
        wait 0
        settle
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            pend p1 alice bob 60 500
              find p1
            settle
              append 0..3
              #1 completed at 0
              #2 completed at 1
              #3 completed at 2
            close
              append 3..3
            settle
            due
              nothing
            wait 1000
            restart
            due
              a pending transfer expires at 500
            wait 0
              append 3..4
            deposit d1 alice 1
              find d1
            lookups
            fail
              #4 unavailable
            due
              a delivery expires at 30001000
            wait 0
            restart
            wait 0
              append 3..4
            settle
            balances
              @world/USD -100
              alice 100
              bob 0
        "#]],
    );
}

#[test]
fn a_settlement_is_idempotent_and_comes_once() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        pend p1 alice bob 60
        pend p1 alice bob 60
        pend p1 alice bob 61
        settle
        post o1 p1 25
        post o1 p1 25
        post o1 p1 all
        post o2 p1 25
        void v1 p1
        settle
        restart
        post o1 p1 25
        void v1 p1
        pend p1 alice bob 60
        settle
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            settle
              append 0..2
              #1 completed at 0
              #2 completed at 1
            pend p1 alice bob 60
              find p1
            pend p1 alice bob 60
              find p1
            pend p1 alice bob 61
              find p1
            settle
              append 2..3
              #3 completed at 2
              #4 completed at 2 again
              #5 conflict p1
            post o1 p1 25
              find o1
            post o1 p1 25
              find o1
            post o1 p1 all
              find o1
            post o2 p1 25
              find o2
            void v1 p1
              find v1
            settle
              append 3..6
              #6 completed at 3
              #7 completed at 3 again
              #8 conflict o1
              #9 refused pending_not_open at 4
              #10 refused pending_not_open at 5
            restart
            post o1 p1 25
              find o1
            void v1 p1
              find v1
            pend p1 alice bob 60
              find p1
            settle
              #11 completed at 3 again
              #12 refused pending_not_open at 5 again
              #13 completed at 2 again
            balances
              @world/USD -100
              alice 75
              bob 25
        "#]],
    );
}

#[test]
fn the_same_transfer_with_other_metadata_is_a_conflict() {
    check(
        Config::default(),
        r#"
        open alice 100
        open bob 0
        settle
        transfer t1 alice bob 1 {"order":1}
        transfer t1 alice bob 1 {"order":2}
        transfer t1 alice bob 1
        settle
        transfer t1 alice bob 1 {"order":1}
        restart
        transfer t1 alice bob 1 {"order":1}
        transfer t1 alice bob 1
        settle
        "#,
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            settle
              append 0..2
              #1 completed at 0
              #2 completed at 1
            transfer t1 alice bob 1 {"order":1}
              find t1
            transfer t1 alice bob 1 {"order":2}
              find t1
            transfer t1 alice bob 1
              find t1
            settle
              append 2..3
              #3 completed at 2
              #4 conflict t1
              #5 conflict t1
            transfer t1 alice bob 1 {"order":1}
              #6 completed at 2 again
            restart
            transfer t1 alice bob 1 {"order":1}
              find t1
            transfer t1 alice bob 1
              find t1
            settle
              #7 completed at 2 again
              #8 conflict t1
        "#]],
    );
}

#[test]
fn beyond_the_limit_a_pending_transfer_is_busy_and_takes_no_id() {
    check(
        Config { pending_transfers_max: 2, ..Config::default() },
        "
        open alice 100
        open bob 0
        settle
        pend p1 alice bob 1 500
        pend p2 alice bob 1
        pend p3 alice bob 1
        settle
        group transfer g1 alice bob 1; pend g2 alice bob 1
        settle
        pend p1 alice bob 1 500
        transfer t1 alice bob 1
        settle
        wait 500
        settle
        group transfer g1 alice bob 1; pend g2 alice bob 1
        pend p3 alice bob 1
        settle
        void v1 p2
        pend p3 alice bob 2
        settle
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            settle
              append 0..2
              #1 completed at 0
              #2 completed at 1
            pend p1 alice bob 1 500
              find p1
            pend p2 alice bob 1
              find p2
            pend p3 alice bob 1
              find p3
            settle
              #5 busy, 3 in the queue
              append 2..4
              #3 completed at 2
              #4 completed at 3
            group transfer g1 alice bob 1; pend g2 alice bob 1
              find g1
              find g2
            settle
              #6 busy, 1 in the queue
            pend p1 alice bob 1 500
              #7 completed at 2 again
            transfer t1 alice bob 1
              find t1
            settle
              append 4..5
              #8 completed at 4
            wait 500
              append 5..6
            settle
            group transfer g1 alice bob 1; pend g2 alice bob 1
              find g1
              find g2
            pend p3 alice bob 1
              find p3
            settle
              #10 busy, 2 in the queue
              append 6..7
              #9 g1 completed at 6, g2 completed at 6
            void v1 p2
              find v1
            pend p3 alice bob 2
              find p3
            settle
              append 7..9
              #11 completed at 7
              #12 completed at 8
            balances
              @world/USD -100
              alice 98, 3 held
              bob 2
        "#]],
    );
}

#[test]
fn a_client_with_the_id_of_an_expiry_harms_only_itself() {
    let label = |label: &str| super::labelled(label);
    for late in [false, true] {
        let mut rig = Rig::new(Config::default());
        for line in ["open alice 100", "open bob 0", "pend p1 alice bob 5 500", "settle"] {
            rig.run(line);
        }
        let transaction_id = TransactionId::derived("expire transfer", &[&label("p1").as_bytes()]);
        let taken = ledger::Command::Deposit {
            transaction_id,
            account: "alice".parse().expect("a name"),
            amount: 1,
            metadata: None,
        };
        let steps: [&str; 2] = if late { ["wait 500", ""] } else { ["", "wait 500"] };
        rig.text.clear();
        for step in steps {
            match step {
                "" => rig.submit(taken.clone()),
                step => rig.run(step),
            }
            rig.run("settle");
        }
        rig.run("restart");
        rig.submit(taken);
        rig.run("settle");
        rig.run("balances");
        let expected = if late {
            expect![[r#"
            wait 500
              append 3..4
            settle
              #4 conflict ?
            settle
            restart
              find ?
            settle
              #5 conflict ?
            balances
              @world/USD -100
              alice 100
              bob 0
        "#]]
        } else {
            expect![[r#"
              find ?
            settle
              append 3..4
              #4 completed at 3
            wait 500
              append 4..5
            settle
            restart
              find ?
            settle
              #5 completed at 3 again
            balances
              @world/USD -101
              alice 101
              bob 0
        "#]]
        };
        expected.assert_eq(&rig.text);
        assert!(recover(&rig.durable).ledger.holds().is_empty());
    }
}
