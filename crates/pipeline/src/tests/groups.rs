//! What a pipeline answers about groups, step by step.

use super::{Rig, check, small};
use crate::Config;
use expect_test::expect;

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
