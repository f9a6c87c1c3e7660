use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use expect_test::{Expect, expect};
use time::Timestamp;

use super::{Line, at, message, name};
use crate::{Start, SubscriberId, Topic, TopicConfig};

/// Runs a table; what it prints is each operation with its outcome.
#[expect(clippy::needless_pass_by_value, reason = "so that a table reads `check(.., expect![..])`")]
fn check(table: &str, expected: Expect) {
    let mut topic: Option<Topic> = None;
    let mut now = Timestamp::ZERO;
    let mut printed = String::new();
    for line in table.lines().filter_map(Line::parse) {
        match line.operation {
            "topic" => topic = Some(Topic::new(config(&line)).unwrap()),
            "at" => now = at(line.word(0).parse().unwrap()),
            _ => {
                let outcome = run(topic.as_mut().expect("a table starts with `topic`"), now, &line);
                let words: String = line.words.iter().map(|word| format!(" {word}")).collect();
                writeln!(printed, "{}{words}: {outcome}", line.operation).unwrap();
            }
        }
        assert!(topic.as_ref().is_none_or(Topic::is_balanced));
    }
    expected.assert_eq(&printed);
}

fn config(line: &Line<'_>) -> TopicConfig {
    TopicConfig {
        retained_messages_max: line.setting("messages").unwrap_or(10),
        retained_bytes_max: line.setting("bytes").unwrap_or(1_000),
        subscribers_max: line.setting("subscribers").unwrap_or(10),
    }
}

/// Subscribers are written by their number.
fn run(topic: &mut Topic, now: Timestamp, line: &Line<'_>) -> String {
    let subscriber = || SubscriberId(line.word(0).parse().unwrap());
    match line.operation {
        "publish" => answer(topic.publish(now, message(line.word(0), line.setting("bytes").unwrap_or(1)))),
        "subscribe" => answer(topic.subscribe(start(line.word(0)))),
        "poll" => {
            let mut messages = Vec::new();
            match topic.poll(subscriber(), line.setting("max").unwrap_or(u32::MAX), &mut messages) {
                Ok(polled) => {
                    let messages =
                        messages.iter().map(|(offset, message)| format!("{offset} {}", name(&message.id)));
                    format!("{polled:?} [{}]", messages.collect::<Vec<_>>().join(", "))
                }
                Err(refused) => refused.to_string(),
            }
        }
        "commit" => answer(topic.commit(subscriber(), line.word(1).parse().unwrap()).map(|()| "done")),
        "seek" => answer(topic.seek(subscriber(), start(line.word(1)))),
        "unsubscribe" => answer(topic.unsubscribe(subscriber()).map(|()| "done")),
        "subscriber" => match topic.subscriber(subscriber()) {
            Ok(stats) => format!(
                "next {}, committed {}, lag {}, uncommitted {}, missed {}",
                stats.next_offset, stats.committed_offset, stats.lag, stats.uncommitted, stats.missed_total
            ),
            Err(refused) => refused.to_string(),
        },
        "stats" => {
            let stats = topic.stats(now);
            format!(
                "{} published = {} retained + {} dropped, offsets {} to {}, {} bytes, oldest {} us, \
                 {} subscribers, lag at most {}",
                stats.published,
                stats.retained,
                stats.dropped,
                stats.earliest_offset,
                stats.next_offset,
                stats.bytes,
                stats.oldest_age_micros,
                stats.subscribers,
                stats.lag_max
            )
        }
        other => panic!("no such operation: {other}"),
    }
}

fn start(word: &str) -> Start {
    match word {
        "now" => Start::Now,
        "earliest" => Start::Earliest,
        offset => Start::Offset(offset.parse().unwrap()),
    }
}

fn answer<T: ToString, E: ToString>(result: Result<T, E>) -> String {
    result.map_or_else(|refused| refused.to_string(), |value| value.to_string())
}

#[test]
fn subscribers_read_independently() {
    check(
        "
        topic
        publish a
        at 5
        publish b
        subscribe earliest
        subscribe now
        subscribe 1
        publish c
        poll 0 max=2
        poll 0
        poll 0
        poll 1
        poll 2 max=0
        poll 2
        stats
        ",
        expect![[r#"
            publish a: 0
            publish b: 1
            subscribe earliest: 0
            subscribe now: 1
            subscribe 1: 2
            publish c: 2
            poll 0: Gapless [0 a, 1 b]
            poll 0: Gapless [2 c]
            poll 0: Gapless []
            poll 1: Gapless [2 c]
            poll 2: Gapless []
            poll 2: Gapless [1 b, 2 c]
            stats: 3 published = 3 retained + 0 dropped, offsets 0 to 3, 3 bytes, oldest 5 us, 3 subscribers, lag at most 0
        "#]],
    );
}

#[test]
fn retention_overtakes_a_slow_subscriber_and_says_so() {
    check(
        "
        topic messages=3 bytes=10
        subscribe now
        publish a bytes=11
        publish a bytes=1
        publish b bytes=1
        poll 0 max=1
        publish c bytes=1
        publish d bytes=1
        publish e bytes=1
        stats
        subscriber 0
        poll 0 max=1
        subscriber 0
        poll 0
        publish f bytes=9     # only e has room beside it
        at 7
        stats
        publish g bytes=10
        subscribe 2
        poll 1
        poll 0
        ",
        expect![[r#"
            subscribe now: 0
            publish a: the message's body has 11 bytes and the topic retains 10 at most; send a smaller one
            publish a: 0
            publish b: 1
            poll 0: Gapless [0 a]
            publish c: 2
            publish d: 3
            publish e: 4
            stats: 5 published = 3 retained + 2 dropped, offsets 2 to 5, 3 bytes, oldest 0 us, 1 subscribers, lag at most 4
            subscriber 0: next 1, committed 0, lag 4, uncommitted 5, missed 0
            poll 0: Lagged { missed: 1 } [2 c]
            subscriber 0: next 3, committed 0, lag 2, uncommitted 5, missed 1
            poll 0: Gapless [3 d, 4 e]
            publish f: 5
            stats: 6 published = 2 retained + 4 dropped, offsets 4 to 6, 10 bytes, oldest 7 us, 1 subscribers, lag at most 1
            publish g: 6
            subscribe 2: 1
            poll 1: Lagged { missed: 4 } [6 g]
            poll 0: Lagged { missed: 1 } [6 g]
        "#]],
    );
}

#[test]
fn commit_and_seek() {
    check(
        "
        topic
        publish a
        publish b
        publish c
        subscribe earliest
        poll 0 max=2
        commit 0 3
        commit 0 2
        commit 0 1
        subscriber 0
        seek 0 1
        commit 0 1
        poll 0
        seek 0 4
        seek 0 now
        subscriber 0
        seek 0 earliest
        poll 0
        ",
        expect![[r#"
            publish a: 0
            publish b: 1
            publish c: 2
            subscribe earliest: 0
            poll 0: Gapless [0 a, 1 b]
            commit 0 3: offset 3 cannot be committed: only messages before 2 have been read
            commit 0 2: done
            commit 0 1: offset 1 cannot be committed: 2 is already; to go back, seek
            subscriber 0: next 2, committed 2, lag 1, uncommitted 1, missed 0
            seek 0 1: 1
            commit 0 1: done
            poll 0: Gapless [1 b, 2 c]
            seek 0 4: offset 4 lies in the future: the next message takes 3
            seek 0 now: 3
            subscriber 0: next 3, committed 3, lag 0, uncommitted 0, missed 0
            seek 0 earliest: 0
            poll 0: Gapless [0 a, 1 b, 2 c]
        "#]],
    );
}

#[test]
fn subscribers_are_limited_and_leave_nothing_behind() {
    check(
        "
        topic subscribers=1
        subscribe 1
        subscribe now
        subscribe now
        unsubscribe 0
        unsubscribe 0
        poll 0
        commit 0 0
        seek 0 now
        subscriber 0
        stats
        subscribe now
        ",
        expect![[r#"
            subscribe 1: offset 1 lies in the future: the next message takes 0
            subscribe now: 0
            subscribe now: the topic has 1 subscribers, all it may have; unsubscribe one first
            unsubscribe 0: done
            unsubscribe 0: subscriber 0 is unknown; subscribe first
            poll 0: subscriber 0 is unknown; subscribe first
            commit 0 0: subscriber 0 is unknown; subscribe first
            seek 0 now: subscriber 0 is unknown; subscribe first
            subscriber 0: subscriber 0 is unknown; subscribe first
            stats: 0 published = 0 retained + 0 dropped, offsets 0 to 0, 0 bytes, oldest 0 us, 0 subscribers, lag at most 0
            subscribe now: 1
        "#]],
    );
}

#[test]
fn a_config_out_of_range_is_refused_by_field() {
    let check = |config: TopicConfig, field| {
        assert_eq!(Topic::new(config).map(|_| ()).unwrap_err().field, field);
    };
    let config = TopicConfig::default();
    check(TopicConfig { retained_messages_max: 0, ..config }, "retained_messages_max");
    check(TopicConfig { retained_bytes_max: 0, ..config }, "retained_bytes_max");
    check(TopicConfig { subscribers_max: 0, ..config }, "subscribers_max");
}
