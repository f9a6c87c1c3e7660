//! A log in segments: begun at a batch's border, never without room, and one log all the same.

use expect_test::expect;
use journal::{Decoder, Item};

use super::*;
use crate::AppendedIs;

/// A record has some 100 bytes here, so a segment has two batches of one.
fn in_segments() -> Config {
    Config { segment_bytes: Some(400), ..small() }
}

/// The headers of a log: at which byte they stand and the record they begin with.
fn headers(log: &[u8]) -> Vec<(u64, u64)> {
    let mut decoder = Decoder::new();
    decoder.push(log);
    let mut headers = Vec::new();
    let mut at_byte = 0;
    while let Some(item) = decoder.next().expect("a good log") {
        if let Item::Header(header) = item {
            headers.push((at_byte, header.first_sequence));
        }
        at_byte = decoder.position();
    }
    headers
}

#[test]
fn nothing_is_executed_before_its_segment_is_ready() {
    check(
        in_segments(),
        "
        open alice 100
        open bob 0
        lookups
        segment ready
        durable
        lookups
        durable
        deposit d1 alice 5
        lookups
        segment ready
        durable
        ",
        &expect![[r#"
            open alice 100
              find open alice
            open bob 0
              find open bob
            lookups
            segment ready
              append 0..1, a new segment
            durable
              #1 completed at 0
              append 1..2
            lookups
            durable
              #2 completed at 1
            deposit d1 alice 5
              find d1
            lookups
            segment ready
              append 2..3, a new segment
            durable
              #3 completed at 2
        "#]],
    );
}

#[test]
fn a_full_disk_is_told_before_anything_is_executed_and_known_ids_are_answered() {
    check(
        in_segments(),
        "
        storage full
        open alice 100
        settle
        segment ready
        open alice 100
        settle
        open bob 0
        settle
        storage full
        transfer t1 alice bob 5
        settle
        open bob 0
        settle
        open alice 100
        transfer t1 alice bob 5
        deposit d1 alice 5
        settle
        segment ready
        transfer t1 alice bob 5
        settle
        close
        settle
        balances
        ",
        &expect![[r#"
            storage full
            open alice 100
              find open alice
            settle
              #1 storage full
            segment ready
            open alice 100
              find open alice
            settle
              append 0..1, a new segment
              #2 completed at 0
            open bob 0
              find open bob
            settle
              append 1..2
              #3 completed at 1
            storage full
            transfer t1 alice bob 5
              find t1
            settle
              #4 storage full
            open bob 0
              #5 completed at 1 again
            settle
            open alice 100
              #6 completed at 0 again
            transfer t1 alice bob 5
              find t1
            deposit d1 alice 5
              find d1
            settle
              #7 storage full
              #8 storage full
            segment ready
            transfer t1 alice bob 5
              find t1
            settle
              append 2..3, a new segment
              #9 completed at 2
            close
              append 3..3
            settle
            balances
              @world/USD -100
              alice 95
              bob 5
        "#]],
    );
}

#[test]
fn segments_one_after_the_other_are_one_log() {
    let mut rig = Rig::new(in_segments());
    rig.run("segment ready");
    rig.run("open alice 100");
    rig.run("settle");
    for number in 0..40 {
        rig.run("segment ready");
        rig.run(&format!("deposit d{number} alice 1"));
        rig.run("settle");
        if number % 13 == 5 {
            rig.restart();
            let segment_at = headers(&rig.durable).last().expect("a log").0;
            rig.pipeline = rig.pipeline.clone().in_segment_at(segment_at);
            rig.run("segment ready");
        }
    }
    let headers = headers(&rig.durable);
    assert!(headers.len() > 10, "{headers:?}");
    for pair in headers.windows(2) {
        // The limit, the record that reaches beyond it, and seals.
        assert!((400..800).contains(&(pair[1].0 - pair[0].0)), "{headers:?}");
    }
    let recovered = recover(&rig.durable);
    assert_eq!(recovered.ledger.digest(), rig.pipeline.durable_digest());
    assert_eq!(recovered.projections.checkpoint(), 41);
}

#[test]
fn what_is_only_written_is_not_called_durable_until_the_log_is_closed() {
    let mut rig = Rig::new(Config { appended_is: AppendedIs::Written, ..small() });
    for line in ["open alice 100", "settle", "deposit d1 alice 5", "settle", "deposit d2 alice 5", "settle"] {
        rig.run(line);
    }
    let mark = |rig: &Rig| recover(&rig.durable).tail.expect("a log").durable_before();
    assert_eq!((mark(&rig), rig.pipeline.durable_before()), (0, 3));
    rig.restart();
    rig.run("deposit d3 alice 5");
    rig.run("settle");
    rig.run("deposit d4 alice 5");
    rig.run("settle");
    assert_eq!(mark(&rig), 3, "recovery made that durable");
    rig.run("close");
    rig.run("settle");
    assert_eq!(mark(&rig), 5);
}
