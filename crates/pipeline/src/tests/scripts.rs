//! What a pipeline answers, step by step.

use super::{Rig, check, recover, small};
use crate::Config;
use alloc::string::ToString;
use alloc::vec::Vec;
use expect_test::expect;

#[test]
fn an_answer_waits_until_its_record_is_durable() {
    check(
        Config::default(),
        "
        open alice 100
        lookups
        balances
        durable
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            lookups
              append 0..1
            balances
            durable
              #1 completed at 0
            balances
              @world/USD -100
              alice 100
        "#]],
    );
}

#[test]
fn a_repeat_gets_the_first_answer_whenever_it_comes() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        transfer t1 alice bob 70
        transfer t1 alice bob 70
        lookups
        transfer t1 alice bob 70
        transfer t1 alice bob 71
        durable
        transfer t1 alice bob 70
        transfer t1 alice bob 71
        restart
        transfer t1 alice bob 70
        transfer t1 bob alice 70
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
            transfer t1 alice bob 70
              find t1
            transfer t1 alice bob 70
              find t1
            lookups
              append 2..3
            transfer t1 alice bob 70
            transfer t1 alice bob 71
            durable
              #3 completed at 2
              #4 completed at 2 again
              #5 completed at 2 again
              #6 conflict t1
            transfer t1 alice bob 70
              #7 completed at 2 again
            transfer t1 alice bob 71
              #8 conflict t1
            restart
            transfer t1 alice bob 70
              find t1
            transfer t1 bob alice 70
              find t1
            settle
              #9 completed at 2 again
              #10 conflict t1
            balances
              @world/USD -100
              alice 30
              bob 70
        "#]],
    );
}

#[test]
fn a_refusal_is_sticky_after_a_top_up_and_a_restart() {
    check(
        Config::default(),
        "
        open alice 10
        open bob 0
        transfer t1 alice bob 50
        settle
        deposit d1 alice 100
        settle
        transfer t1 alice bob 50
        restart
        transfer t1 alice bob 50
        settle
        transfer t2 alice bob 50
        settle
        balances
        ",
        &expect![[r#"
            open alice 10
              find open alice
            open bob 0
              find open bob
            transfer t1 alice bob 50
              find t1
            settle
              append 0..3
              #1 completed at 0
              #2 completed at 1
              #3 refused insufficient_funds at 2
            deposit d1 alice 100
              find d1
            settle
              append 3..4
              #4 completed at 3
            transfer t1 alice bob 50
              #5 refused insufficient_funds at 2 again
            restart
            transfer t1 alice bob 50
              find t1
            settle
              #6 refused insufficient_funds at 2 again
            transfer t2 alice bob 50
              find t2
            settle
              append 4..5
              #7 completed at 4
            balances
              @world/USD -110
              alice 60
              bob 50
        "#]],
    );
}

#[test]
fn opening_is_idempotent_by_name() {
    check(
        Config::default(),
        "
        open alice 10
        open alice 10
        open alice 11
        settle
        open alice 10
        open alice 11
        settle
        restart
        open alice 10
        open alice 11
        settle
        open bob -5
        settle
        open bob 5
        settle
        open @bob 0
        settle
        balances
        ",
        &expect![[r#"
            open alice 10
              find open alice
            open alice 10
              find open alice
            open alice 11
              find open alice
            settle
              append 0..1
              #1 completed at 0
              #2 completed at 0 again
              #3 conflict open alice
            open alice 10
              #4 completed at 0 again
            open alice 11
              find open alice
            settle
              #5 conflict open alice
            restart
            open alice 10
              find open alice
            open alice 11
              find open alice
            settle
              #6 completed at 0 again
              #7 conflict open alice
            open bob -5
              find open bob
            settle
              append 1..2
              #8 refused amount_not_positive at 1
            open bob 5
              find open bob
            settle
              append 2..3
              #9 completed at 2
            open @bob 0
              find open @bob
            settle
              append 3..4
              #10 refused reserved_account at 3
            balances
              @world/USD -15
              alice 10
              bob 5
        "#]],
    );
}

#[test]
fn a_crash_between_append_and_reply_answers_the_repeat() {
    check(
        Config::default(),
        "
        open alice 100
        open bob 0
        settle
        transfer t1 alice bob 5
        lookups
        written
        restart
        transfer t1 alice bob 5
        settle
        transfer t2 alice bob 5
        transfer t3 alice bob 5
        lookups
        torn
        restart
        transfer t2 alice bob 5
        transfer t3 alice bob 5
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
            transfer t1 alice bob 5
              find t1
            lookups
              append 2..3
            written
            restart
            transfer t1 alice bob 5
              find t1
            settle
              #4 completed at 2 again
            transfer t2 alice bob 5
              find t2
            transfer t3 alice bob 5
              find t3
            lookups
              append 3..5
            torn
            restart
            transfer t2 alice bob 5
              find t2
            transfer t3 alice bob 5
              find t3
            settle
              #7 completed at 3 again
              append 4..5
              #8 completed at 4
            balances
              @world/USD -100
              alice 85
              bob 15
        "#]],
    );
}

#[test]
fn a_full_queue_says_busy_but_still_answers_what_it_knows() {
    let config = Config { commands_max: 2, recent_ids_max: 4, ..small() };
    check(
        config,
        "
        open alice 100
        open bob 0
        settle
        transfer t1 alice bob 5
        settle
        transfer t2 alice bob 6
        transfer t3 alice bob 7
        transfer t4 alice bob 8
        open alice 100
        transfer t1 alice bob 5
        settle
        transfer t4 alice bob 8
        settle
        balances
        transfer t5 alice bob 1
        transfer t6 alice bob 1
        open bob 0
        open bob 1
        settle
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            settle
              append 0..1
              #1 completed at 0
              append 1..2
              #2 completed at 1
            transfer t1 alice bob 5
              find t1
            settle
              append 2..3
              #3 completed at 2
            transfer t2 alice bob 6
              find t2
            transfer t3 alice bob 7
              find t3
            transfer t4 alice bob 8
              find t4
            open alice 100
              #7 completed at 0 again
            transfer t1 alice bob 5
              #8 completed at 2 again
            settle
              #6 busy, 2 in the queue
              append 3..4
              #4 completed at 3
              append 4..5
              #5 completed at 4
            transfer t4 alice bob 8
              find t4
            settle
              append 5..6
              #9 completed at 5
            balances
              @world/USD -100
              alice 74
              bob 26
            transfer t5 alice bob 1
              find t5
            transfer t6 alice bob 1
              find t6
            open bob 0
              find open bob
            open bob 1
              find open bob
            settle
              #12 completed at 1 again
              #13 busy, 2 in the queue
              append 6..7
              #10 completed at 6
              append 7..8
              #11 completed at 7
        "#]],
    );
}

#[test]
fn while_an_append_is_in_flight_the_next_batch_gathers() {
    check(
        Config { append_records_max: 2, ..small() },
        "
        open alice 100
        lookups
        open bob 0
        lookups
        transfer t1 alice bob 1
        lookups
        transfer t2 alice bob 2
        lookups
        durable
        durable
        lookups
        settle
        ",
        &expect![[r#"
            open alice 100
              find open alice
            lookups
              append 0..1
            open bob 0
              find open bob
            lookups
            transfer t1 alice bob 1
              find t1
            lookups
            transfer t2 alice bob 2
              find t2
            lookups
            durable
              #1 completed at 0
              append 1..3
            durable
              #2 completed at 1
              #3 completed at 2
              append 3..4
            lookups
            settle
              #4 completed at 3
        "#]],
    );
}

#[test]
fn a_command_whose_look_ups_are_lost_becomes_a_dead_letter_and_takes_effect_when_redriven() {
    check(
        Config { attempts_max: 2, visibility_timeout_micros: 1_000, ..Config::default() },
        "
        open alice 100
        open bob 0
        settle
        transfer t1 alice bob 5
        lose lookups
        wait 1000
        lose lookups
        wait 1000
        balances
        redrive
        settle
        transfer t1 alice bob 5
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
            transfer t1 alice bob 5
              find t1
            lose lookups
            wait 1000
              find t1
            lose lookups
            wait 1000
              #3 dead letter t1
            balances
              @world/USD -100
              alice 100
              bob 0
            redrive
              find t1
            settle
              append 2..3
              #3 completed at 2
            transfer t1 alice bob 5
              #4 completed at 2 again
            settle
            balances
              @world/USD -100
              alice 95
              bob 5
        "#]],
    );
}

#[test]
fn look_ups_for_a_full_queue_expire_as_busy() {
    check(
        Config { commands_max: 1, visibility_timeout_micros: 1_000, gateway_lookups_max: 1, ..small() },
        "
        open alice 100
        open bob 0
        open carol 0
        lose lookups
        wait 1000
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            open carol 0
              #3 busy, 1 in the queue
            lose lookups
            wait 1000
              #2 busy, 1 in the queue
              find open alice
        "#]],
    );
}

#[test]
fn after_a_failed_append_nothing_is_acknowledged() {
    check(
        Config::default(),
        "
        open alice 100
        settle
        deposit d1 alice 5
        lookups
        fail
        deposit d1 alice 5
        restart
        deposit d1 alice 5
        settle
        balances
        ",
        &expect![[r#"
            open alice 100
              find open alice
            settle
              append 0..1
              #1 completed at 0
            deposit d1 alice 5
              find d1
            lookups
              append 1..2
            fail
              #2 unavailable
            deposit d1 alice 5
              #3 unavailable
            restart
            deposit d1 alice 5
              find d1
            settle
              append 1..2
              #4 completed at 1
            balances
              @world/USD -105
              alice 105
        "#]],
    );
}

#[test]
fn a_closing_seal_vouches_for_everything() {
    let mut rig = Rig::new(Config::default());
    for line in ["open alice 100", "settle", "close", "settle", "deposit d1 alice 1"] {
        rig.run(line);
    }
    assert!(rig.text.ends_with("#2 unavailable\n"), "{}", rig.text);
    let tail = recover(&rig.durable).tail.expect("a log");
    assert_eq!((tail.durable_before(), tail.next_sequence()), (1, 1));
}

#[test]
fn limits_that_cannot_work_are_refused_by_name() {
    let text = |config: Config| config.validate().map_err(|error| error.to_string());
    assert_eq!(text(Config::default()), Ok(()));
    expect![[r#"
        Err(
            "pipeline configuration: attempts_max must be at least 1",
        )
    "#]]
    .assert_debug_eq(&text(Config { attempts_max: 0, ..Config::default() }));
    expect![[r#"
        Err(
            "pipeline configuration: recent_ids_max must be at least 17408 (stage_commands_max + append_records_max * (appends_in_flight_max + 1)), because an id must be remembered until a look-up can find it",
        )
    "#]].assert_debug_eq(&text(Config { recent_ids_max: 10, ..Config::default() }));
}

#[test]
fn a_subscriber_of_the_event_topic_gets_the_durable_log_and_nothing_more() {
    let mut rig = Rig::new(Config::default());
    let subscriber = rig.pipeline.events_mut().subscribe(broker::Start::Earliest).expect("room for one");
    for line in ["open alice 100", "settle", "deposit d1 alice 5", "lookups"] {
        rig.run(line);
    }
    let mut log = Vec::new();
    let mut read = |rig: &mut Rig| {
        let mut messages = Vec::new();
        let polled = rig.pipeline.events_mut().poll(subscriber, 10, &mut messages);
        assert_eq!(polled, Ok(broker::Polled::Gapless));
        log.extend(messages.into_iter().flat_map(|(_, message)| message.body));
        log.clone()
    };
    assert_eq!(read(&mut rig), rig.durable);
    rig.run("durable");
    assert_eq!(read(&mut rig), rig.durable);
}
