//! What a pipeline answers about pending transfers and groups, step by step.

use super::{Rig, check, recover, small};
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
fn a_group_is_one_record_and_every_member_has_an_answer() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        open carl 0
        settle
        group transfer g1 alice bob 60; transfer g2 bob carl 50; deposit g3 carl 1
        settle
        group transfer g4 alice bob 40; transfer g5 bob carl 51; withdraw g6 carl 1
        settle
        balances
        transfer g2 bob carl 50
        transfer g4 alice bob 40
        transfer g4 alice bob 41
        deposit g5 alice 1
        settle
        group transfer g1 alice bob 60; transfer g2 bob carl 50; deposit g3 carl 1
        group transfer g4 alice bob 40; transfer g5 bob carl 51; withdraw g6 carl 1
        settle
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            open carl 0
              find open carl
            settle
              append 0..3
              #1 completed at 0
              #2 completed at 1
              #3 completed at 2
            group transfer g1 alice bob 60; transfer g2 bob carl 50; deposit g3 carl 1
              find g1
              find g2
              find g3
            settle
              append 3..4
              #4 g1 completed at 3, g2 completed at 3, g3 completed at 3
            group transfer g4 alice bob 40; transfer g5 bob carl 51; withdraw g6 carl 1
              find g4
              find g5
              find g6
            settle
              append 4..5
              #5 g4 refused linked_failed at 4, g5 refused insufficient_funds at 4, g6 refused linked_failed at 4
            balances
              @world/USD -101
              alice 40
              bob 10
              carl 51
            transfer g2 bob carl 50
              #6 completed at 3 again
            transfer g4 alice bob 40
              #7 refused linked_failed at 4 again
            transfer g4 alice bob 41
              #8 conflict g4
            deposit g5 alice 1
              #9 conflict g5
            settle
            group transfer g1 alice bob 60; transfer g2 bob carl 50; deposit g3 carl 1
              #10 g1 completed at 3 again, g2 completed at 3 again, g3 completed at 3 again
            group transfer g4 alice bob 40; transfer g5 bob carl 51; withdraw g6 carl 1
              #11 g4 refused linked_failed at 4 again, g5 refused insufficient_funds at 4 again, g6 refused linked_failed at 4 again
            settle
            balances
              @world/USD -101
              alice 40
              bob 10
              carl 51
        "#]],
    );
}

#[test]
fn a_group_that_is_not_the_one_that_was_answered_is_a_conflict() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        transfer t1 alice bob 1
        transfer t2 alice bob 2
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        settle
        group transfer t1 alice bob 1; transfer t2 alice bob 2
        group transfer g1 alice bob 1; transfer g3 alice bob 2
        group transfer g3 alice bob 1; transfer g2 alice bob 2
        group transfer g1 alice bob 1; transfer g2 alice bob 3
        group transfer g1 alice bob 1; transfer t1 alice bob 1
        settle
        group transfer g2 alice bob 2; transfer g1 alice bob 1
        restart
        group transfer t1 alice bob 1; transfer t2 alice bob 2
        group transfer g1 alice bob 1; transfer g3 alice bob 2
        group transfer g1 alice bob 1; transfer g2 alice bob 3
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        settle
        transfer g3 alice bob 1
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
            transfer t1 alice bob 1
              find t1
            transfer t2 alice bob 2
              find t2
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            settle
              append 2..5
              #3 completed at 2
              #4 completed at 3
              #5 g1 completed at 4, g2 completed at 4
            group transfer t1 alice bob 1; transfer t2 alice bob 2
              #6 conflict t1
            group transfer g1 alice bob 1; transfer g3 alice bob 2
              find g3
            group transfer g3 alice bob 1; transfer g2 alice bob 2
              find g3
            group transfer g1 alice bob 1; transfer g2 alice bob 3
              #9 conflict g2
            group transfer g1 alice bob 1; transfer t1 alice bob 1
              #10 conflict g1
            settle
              #7 conflict g1
              #8 conflict g2
            group transfer g2 alice bob 2; transfer g1 alice bob 1
              #11 g2 completed at 4 again, g1 completed at 4 again
            restart
            group transfer t1 alice bob 1; transfer t2 alice bob 2
              find t1
              find t2
            group transfer g1 alice bob 1; transfer g3 alice bob 2
              find g1
              find g3
            group transfer g1 alice bob 1; transfer g2 alice bob 3
              find g1
              find g2
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            settle
              #12 conflict t1
              #13 conflict g1
              #14 conflict g2
              #15 g1 completed at 4 again, g2 completed at 4 again
            transfer g3 alice bob 1
              find g3
            settle
              append 5..6
              #16 completed at 5
            balances
              @world/USD -100
              alice 93
              bob 7
        "#]],
    );
}

#[test]
fn a_repeat_of_a_group_waits_for_the_first() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        transfer g2 alice bob 2
        lookups
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        group transfer g1 alice bob 1; transfer g4 alice bob 2
        durable
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
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            transfer g2 alice bob 2
              find g2
            lookups
              append 2..3
            group transfer g1 alice bob 1; transfer g2 alice bob 2
            group transfer g1 alice bob 1; transfer g4 alice bob 2
              find g4
            durable
              #3 g1 completed at 2, g2 completed at 2
              #4 g1 completed at 2 again, g2 completed at 2 again
              #5 completed at 2 again
              #6 g1 completed at 2 again, g2 completed at 2 again
            settle
              #7 conflict g1
            balances
              @world/USD -100
              alice 97
              bob 3
        "#]],
    );
}

#[test]
fn a_crash_leaves_the_whole_group_or_nothing_of_it() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        group transfer g1 alice bob 10; transfer g2 bob alice 3
        lookups
        written
        restart
        balances
        group transfer g1 alice bob 10; transfer g2 bob alice 3
        settle
        group transfer g3 alice bob 10; transfer g4 bob alice 3; pend g5 alice bob 5
        lookups
        torn
        restart
        balances
        group transfer g3 alice bob 10; transfer g4 bob alice 3; pend g5 alice bob 5
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
            group transfer g1 alice bob 10; transfer g2 bob alice 3
              find g1
              find g2
            lookups
              append 2..3
            written
            restart
            balances
              @world/USD -100
              alice 93
              bob 7
            group transfer g1 alice bob 10; transfer g2 bob alice 3
              find g1
              find g2
            settle
              #4 g1 completed at 2 again, g2 completed at 2 again
            group transfer g3 alice bob 10; transfer g4 bob alice 3; pend g5 alice bob 5
              find g3
              find g4
              find g5
            lookups
              append 3..4
            torn
            restart
            balances
              @world/USD -100
              alice 93
              bob 7
            group transfer g3 alice bob 10; transfer g4 bob alice 3; pend g5 alice bob 5
              find g3
              find g4
              find g5
            settle
              append 3..4
              #6 g3 completed at 3, g4 completed at 3, g5 completed at 3
            balances
              @world/USD -100
              alice 86, 5 held
              bob 14
        "#]],
    );
}

#[test]
fn a_full_queue_answers_a_group_that_it_knows() {
    check(
        Config { commands_max: 1, gateway_lookups_max: 4, ..small() },
        "
        open alice 100
        settle
        open bob 0
        settle
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        settle
        restart
        transfer t1 alice bob 1
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        group transfer g1 alice bob 1; transfer g3 alice bob 2
        group transfer g4 alice bob 1; transfer g5 alice bob 2
        settle
        group transfer g4 alice bob 1; transfer g5 alice bob 2
        settle
        ",
        &expect![[r#"
            open alice 100
              find open alice
            settle
              append 0..1
              #1 completed at 0
            open bob 0
              find open bob
            settle
              append 1..2
              #2 completed at 1
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            settle
              append 2..3
              #3 g1 completed at 2, g2 completed at 2
            restart
            transfer t1 alice bob 1
              find t1
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            group transfer g1 alice bob 1; transfer g3 alice bob 2
              find g1
              find g3
            group transfer g4 alice bob 1; transfer g5 alice bob 2
              #7 busy, 1 in the queue
            settle
              #5 g1 completed at 2 again, g2 completed at 2 again
              #6 conflict g1
              append 3..4
              #4 completed at 3
            group transfer g4 alice bob 1; transfer g5 alice bob 2
              find g4
              find g5
            settle
              append 4..5
              #8 g4 completed at 4, g5 completed at 4
        "#]],
    );
}

#[test]
fn a_group_whose_look_ups_are_lost_is_looked_up_again() {
    check(
        Config { attempts_max: 2, visibility_timeout_micros: 1_000, ..Config::default() },
        "
        open alice 100
        open bob 0
        settle
        group transfer g1 alice bob 1; transfer g2 alice bob 2
        lose lookups
        wait 1000
        lose lookups
        wait 1000
        redrive
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
            group transfer g1 alice bob 1; transfer g2 alice bob 2
              find g1
              find g2
            lose lookups
            wait 1000
              find g1
              find g2
            lose lookups
            wait 1000
              #3 dead letter g1
            redrive
              find g1
              find g2
            settle
              append 2..3
              #3 g1 completed at 2, g2 completed at 2
            balances
              @world/USD -100
              alice 97
              bob 3
        "#]],
    );
}

#[test]
fn small_batches_end_behind_the_group_that_fills_them() {
    let mut rig = Rig::new(Config { append_records_max: 2, ..Config::default() });
    for line in ["open alice 100", "open bob 0", "settle"] {
        rig.run(line);
    }
    rig.text.clear();
    for line in [
        "deposit d1 alice 1",
        "lookups",
        "group transfer g1 alice bob 1; transfer g2 alice bob 2; transfer g3 alice bob 3",
        "deposit d2 alice 1",
        "lookups",
        "durable",
        "durable",
        "settle",
    ] {
        rig.run(line);
    }
    expect![[r#"
        deposit d1 alice 1
          find d1
        lookups
          append 2..3
        group transfer g1 alice bob 1; transfer g2 alice bob 2; transfer g3 alice bob 3
          find g1
          find g2
          find g3
        deposit d2 alice 1
          find d2
        lookups
        durable
          #3 completed at 2
          append 3..4
        durable
          #4 g1 completed at 3, g2 completed at 3, g3 completed at 3
          append 4..5
        settle
          #5 completed at 4
    "#]]
    .assert_eq(&rig.text);
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
