use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use expect_test::{Expect, expect};
use time::Timestamp;

use super::{Line, at, id, message, name};
use crate::{ConfigError, ERROR_BYTES_MAX, Failed, Output, Queue, QueueConfig, Token};

/// Runs a table; what it prints is each operation with its outcome.
#[expect(clippy::needless_pass_by_value, reason = "so that a table reads `check(.., expect![..])`")]
fn check(table: &str, expected: Expect) {
    let mut bench = Bench { queue: None, now: Timestamp::ZERO };
    let mut printed = String::new();
    for line in table.lines().filter_map(Line::parse) {
        let outcome = bench.run(&line);
        if let Some(queue) = &bench.queue {
            queue.assert_consistent();
        }
        if !outcome.is_empty() {
            let words = line.words.iter().map(|word| format!(" {word}"));
            let settings = line.settings.iter().map(|(key, value)| format!(" {key}={value}"));
            let asked: String = words.chain(settings).collect();
            writeln!(printed, "{}{asked}: {outcome}", line.operation).unwrap();
        }
    }
    expected.assert_eq(&printed);
}

struct Bench {
    queue: Option<Queue>,
    now: Timestamp,
}

impl Bench {
    /// The outcome; empty if there is nothing to say.
    fn run(&mut self, line: &Line<'_>) -> String {
        let now = self.now;
        let token = || token(line.word(0));
        let error = || line.words[1..].join(" ");
        if line.operation == "queue" {
            self.queue = Some(Queue::new(config(line)).unwrap());
            return String::new();
        }
        if line.operation == "at" {
            self.now = at(line.word(0).parse().unwrap());
            return String::new();
        }
        let queue = self.queue.as_mut().expect("a table starts with `queue`");
        let mut outputs = Vec::new();
        match line.operation {
            "push" => match queue.push(now, message(line.word(0), line.setting("bytes").unwrap_or(1))) {
                Ok(position) => position.to_string(),
                Err(refused) => refused.to_string(),
            },
            "pull" => pull(queue, now, line),
            "ack" => done(queue.ack(now, token())),
            "acks" => {
                let tokens: Vec<Token> = line.words.iter().map(|word| self::token(word)).collect();
                let mut refused = Vec::new();
                queue.ack_batch(now, &tokens, &mut refused);
                let refused: Vec<String> =
                    refused.iter().map(|(token, why)| format!("{token} {why:?}")).collect();
                format!("refused [{}]", refused.join(", "))
            }
            "nack" => failed(queue.nack(now, token(), at(line.setting("retry_at").unwrap_or(0)), &error())),
            "reject" => failed(queue.reject(now, token(), &error())),
            "extend" => done(queue.extend(now, token(), at(line.setting("until").unwrap()))),
            "timeout" => {
                queue.handle_timeout(now, &mut outputs);
                print_outputs(&outputs)
            }
            "next" => match queue.poll_timeout() {
                Some(deadline) => format!("{}, {}", deadline.at.micros(), deadline.reason),
                None => "never".into(),
            },
            "dead" => print_dead_letters(queue),
            "redrive" => {
                let answer = match queue.redrive(now, &id(line.word(0)), &mut outputs) {
                    Ok(position) => position.to_string(),
                    Err(refused) => refused.to_string(),
                };
                format!("{answer} {}", print_outputs(&outputs))
            }
            "redrive_oldest" => {
                let redriven = queue.redrive_oldest(now, line.word(0).parse().unwrap(), &mut outputs);
                format!("{redriven:?} {}", print_outputs(&outputs))
            }
            "purge" => {
                let purged = queue.purge(now, &id(line.word(0)), &mut outputs);
                format!("{:?} {}", purged.map(|dead| name(&dead.message.id)), print_outputs(&outputs))
            }
            "stats" => print_stats(queue, now),
            "totals" => print_totals(queue, now),
            other => panic!("no such operation: {other}"),
        }
    }
}

fn config(line: &Line<'_>) -> QueueConfig {
    QueueConfig {
        capacity_messages: line.setting("messages").unwrap_or(10),
        capacity_bytes: line.setting("bytes").unwrap_or(1_000),
        visibility_timeout_micros: line.setting("timeout").unwrap_or(10),
        attempts_max: line.setting("attempts").unwrap_or(3),
        dead_letters_max: line.setting("dead").unwrap_or(10),
        retry_after_micros: line.setting("retry_after").unwrap_or(7),
    }
}

fn token(text: &str) -> Token {
    let (position, attempt) = text.split_once('.').expect("a token looks like 3.1");
    Token { position: position.parse().unwrap(), attempt: attempt.parse().unwrap() }
}

fn pull(queue: &mut Queue, now: Timestamp, line: &Line<'_>) -> String {
    let mut deliveries = Vec::new();
    let max_bytes = line.setting("bytes").unwrap_or(u64::MAX);
    queue.pull(
        now,
        line.setting("consumer").unwrap_or(1),
        line.setting("max").unwrap_or(u32::MAX),
        max_bytes,
        &mut deliveries,
    );
    let deliveries = deliveries.iter().map(|delivery| {
        format!("{} {} until {}", delivery.token, name(&delivery.message.id), delivery.visible_until.micros())
    });
    format!("[{}]", deliveries.collect::<Vec<_>>().join(", "))
}

fn done<E: ToString>(result: Result<(), E>) -> String {
    result.map_or_else(|refused| refused.to_string(), |()| "done".into())
}

fn failed<E: ToString>(result: Result<Failed, E>) -> String {
    match result {
        Ok(Failed::Retry { at }) => format!("ready again at {}", at.micros()),
        Ok(Failed::DeadLettered) => "dead letter".into(),
        Ok(Failed::Undeliverable) => "undeliverable".into(),
        Err(refused) => refused.to_string(),
    }
}

fn print_outputs(outputs: &[Output]) -> String {
    let lines = outputs.iter().map(|output| match output {
        Output::Redelivered { position, id, attempts, consumer, cause, at } => {
            let (id, at) = (name(id), at.micros());
            format!(
                "ready again at {at}: {id} at {position}, {attempts} attempts, consumer {consumer}, {cause:?}"
            )
        }
        Output::DeadLettered { message, reason, attempts, at } => {
            format!(
                "dead at {}: {}, {attempts} attempts, {}",
                at.micros(),
                name(&message.id),
                reason.as_str()
            )
        }
        Output::Undeliverable { position, id, attempts, at } => {
            format!("undeliverable at {}: {} at {position}, {attempts} attempts", at.micros(), name(id))
        }
    });
    format!("[{}]", lines.collect::<Vec<_>>().join("; "))
}

fn print_dead_letters(queue: &Queue) -> String {
    let lines = queue.dead_letters().map(|dead| {
        format!(
            "{} {} after {} attempts: {:?}, accepted {}, failed {} to {}",
            name(&dead.message.id),
            dead.reason.as_str(),
            dead.attempts,
            dead.last_error,
            dead.accepted_at.micros(),
            dead.first_failed_at.micros(),
            dead.last_failed_at.micros()
        )
    });
    format!("[{}]", lines.collect::<Vec<_>>().join("; "))
}

fn print_stats(queue: &Queue, now: Timestamp) -> String {
    let stats = queue.stats(now);
    format!(
        "depth {} = {} ready + {} delayed + {} in flight + {} undeliverable, {} bytes, oldest {} us, {} dead{}",
        stats.depth,
        stats.ready,
        stats.delayed,
        stats.in_flight,
        stats.undeliverable,
        stats.bytes,
        stats.oldest_age_micros,
        stats.dead_lettered,
        if stats.dead_letters_full { " (full)" } else { "" }
    )
}

fn print_totals(queue: &Queue, now: Timestamp) -> String {
    let stats = queue.stats(now);
    format!(
        "{} accepted = {} queued + {} in flight + {} acked + {} dead + {} purged; \
         {} dead ever, {} redelivered, {} redriven, {} busy, by attempts {:?}",
        stats.accepted,
        stats.queued(),
        stats.in_flight,
        stats.acked,
        stats.dead_lettered,
        stats.purged,
        stats.dead_lettered_total,
        stats.redelivered,
        stats.redriven,
        stats.busy,
        stats.attempts
    )
}

#[test]
fn first_in_first_out() {
    check(
        "
        queue
        push a bytes=10
        push b bytes=10
        push c bytes=10
        at 5
        pull max=0
        pull max=2 consumer=7
        stats
        pull
        pull
        ack 1.1
        acks 0.1 2.1 2.1
        stats
        totals
        ",
        expect![[r#"
            push a bytes=10: 0
            push b bytes=10: 1
            push c bytes=10: 2
            pull max=0: []
            pull max=2 consumer=7: [0.1 a until 15, 1.1 b until 15]
            stats: depth 3 = 1 ready + 0 delayed + 2 in flight + 0 undeliverable, 30 bytes, oldest 5 us, 0 dead
            pull: [2.1 c until 15]
            pull: []
            ack 1.1: done
            acks 0.1 2.1 2.1: refused [2.1 Settled]
            stats: depth 0 = 0 ready + 0 delayed + 0 in flight + 0 undeliverable, 0 bytes, oldest 0 us, 0 dead
            totals: 3 accepted = 0 queued + 0 in flight + 3 acked + 0 dead + 0 purged; 0 dead ever, 0 redelivered, 0 redriven, 0 busy, by attempts [3, 0, 0, 0, 0, 0, 0, 0]
        "#]],
    );
}

#[test]
fn pull_is_bounded_in_bytes_but_always_moves_on() {
    check(
        "
        queue
        push a bytes=50
        push b bytes=10
        push c bytes=10
        push d bytes=0
        pull bytes=0
        pull bytes=19
        pull bytes=10
        nack 0.1 slow
        pull bytes=49  # a alone: the returned one is not passed over for a smaller one
        ",
        expect![[r#"
            push a bytes=50: 0
            push b bytes=10: 1
            push c bytes=10: 2
            push d bytes=0: 3
            pull bytes=0: [0.1 a until 10]
            pull bytes=19: [1.1 b until 10]
            pull bytes=10: [2.1 c until 10, 3.1 d until 10]
            nack 0.1 slow: ready again at 0
            pull bytes=49: [0.2 a until 10]
        "#]],
    );
}

#[test]
fn a_full_queue_is_busy() {
    check(
        "
        queue messages=2 bytes=10
        push a bytes=11
        push b bytes=10
        push c bytes=1
        push d bytes=0
        push e bytes=0
        pull max=1
        push f bytes=0     # what is in flight keeps its place
        ack 0.1
        push g bytes=10
        stats
        totals
        ",
        expect![[r#"
            push a bytes=11: the message's body has 11 bytes and the queue holds 10 at most; send a smaller one
            push b bytes=10: 0
            push c bytes=1: the queue is full with 1 messages; try again in 7 us
            push d bytes=0: 1
            push e bytes=0: the queue is full with 2 messages; try again in 7 us
            pull max=1: [0.1 b until 10]
            push f bytes=0: the queue is full with 2 messages; try again in 7 us
            ack 0.1: done
            push g bytes=10: 2
            stats: depth 2 = 2 ready + 0 delayed + 0 in flight + 0 undeliverable, 10 bytes, oldest 0 us, 0 dead
            totals: 3 accepted = 2 queued + 0 in flight + 1 acked + 0 dead + 0 purged; 0 dead ever, 0 redelivered, 0 redriven, 3 busy, by attempts [1, 0, 0, 0, 0, 0, 0, 0]
        "#]],
    );
}

#[test]
fn a_token_is_refused_by_name() {
    check(
        "
        queue timeout=10
        push a
        push b
        push c
        ack 0.1         # not delivered yet
        ack 9.1         # no such position
        pull
        ack 0.0
        ack 0.2
        ack 0.1
        ack 0.1         # twice
        nack 1.1 oops
        ack 1.1         # given back
        at 9
        extend 2.1 until=9
        ack 2.1         # over, although nobody has called handle_timeout
        nack 2.1
        reject 2.1
        extend 2.1 until=99
        timeout
        pull
        ack 2.1         # an older delivery
        ack 2.2
        totals
        ",
        expect![[r#"
            push a: 0
            push b: 1
            push c: 2
            ack 0.1: there was no such delivery; use the token that came with the message
            ack 9.1: there was no such delivery; use the token that came with the message
            pull: [0.1 a until 10, 1.1 b until 10, 2.1 c until 10]
            ack 0.0: there was no such delivery; use the token that came with the message
            ack 0.2: there was no such delivery; use the token that came with the message
            ack 0.1: done
            ack 0.1: the message has left the queue already
            nack 1.1 oops: ready again at 0
            ack 1.1: the delivery is over: its time ran out, or it was given back; pull the message again
            extend 2.1 until=9: done
            ack 2.1: the delivery is over: its time ran out, or it was given back; pull the message again
            nack 2.1: the delivery is over: its time ran out, or it was given back; pull the message again
            reject 2.1: the delivery is over: its time ran out, or it was given back; pull the message again
            extend 2.1 until=99: the delivery is over: its time ran out, or it was given back; pull the message again
            timeout: [ready again at 9: c at 2, 1 attempts, consumer 1, VisibilityExpired]
            pull: [1.2 b until 19, 2.2 c until 19]
            ack 2.1: the delivery is over: its time ran out, or it was given back; pull the message again
            ack 2.2: done
            totals: 3 accepted = 0 queued + 1 in flight + 2 acked + 0 dead + 0 purged; 0 dead ever, 2 redelivered, 0 redriven, 0 busy, by attempts [1, 1, 0, 0, 0, 0, 0, 0]
        "#]],
    );
}

#[test]
fn expiry_and_retries_come_in_order_of_their_time() {
    check(
        "
        queue timeout=10 attempts=3
        next
        push a
        push b
        push c
        push d
        pull consumer=4
        at 2
        next
        nack 1.1 retry_at=30 try later
        nack 3.1 retry_at=6 try soon
        extend 0.1 until=8
        next
        at 5
        timeout
        at 9
        timeout
        pull consumer=5 max=1
        next
        stats
        at 100
        timeout
        stats
        pull
        ",
        expect![[r#"
            next: never
            push a: 0
            push b: 1
            push c: 2
            push d: 3
            pull consumer=4: [0.1 a until 10, 1.1 b until 10, 2.1 c until 10, 3.1 d until 10]
            next: 10, a delivery expires
            nack 1.1 try later retry_at=30: ready again at 30
            nack 3.1 try soon retry_at=6: ready again at 6
            extend 0.1 until=8: done
            next: 6, a retry is due
            timeout: []
            timeout: [ready again at 6: d at 3, 1 attempts, consumer 4, RetryDue; ready again at 8: a at 0, 1 attempts, consumer 4, VisibilityExpired]
            pull consumer=5 max=1: [0.2 a until 19]
            next: 10, a delivery expires
            stats: depth 4 = 1 ready + 1 delayed + 2 in flight + 0 undeliverable, 4 bytes, oldest 9 us, 0 dead
            timeout: [ready again at 10: c at 2, 1 attempts, consumer 4, VisibilityExpired; ready again at 19: a at 0, 2 attempts, consumer 5, VisibilityExpired; ready again at 30: b at 1, 1 attempts, consumer 4, RetryDue]
            stats: depth 4 = 4 ready + 0 delayed + 0 in flight + 0 undeliverable, 4 bytes, oldest 100 us, 0 dead
            pull: [0.3 a until 110, 1.2 b until 110, 2.2 c until 110, 3.2 d until 110]
        "#]],
    );
}

#[test]
fn a_delivery_extended_back_to_its_first_time_expires_once() {
    check(
        "
        queue timeout=10
        push a
        push b
        pull
        extend 1.1 until=20
        extend 1.1 until=10
        at 10
        timeout
        next
        stats
        ",
        expect![[r#"
            push a: 0
            push b: 1
            pull: [0.1 a until 10, 1.1 b until 10]
            extend 1.1 until=20: done
            extend 1.1 until=10: done
            timeout: [ready again at 10: a at 0, 1 attempts, consumer 1, VisibilityExpired; ready again at 10: b at 1, 1 attempts, consumer 1, VisibilityExpired]
            next: never
            stats: depth 2 = 2 ready + 0 delayed + 0 in flight + 0 undeliverable, 2 bytes, oldest 10 us, 0 dead
        "#]],
    );
}

#[test]
fn a_message_dies_of_too_many_attempts_or_by_rejection() {
    check(
        "
        queue timeout=10 attempts=2
        at 1
        push a
        push b
        push c
        at 2
        pull
        reject 2.1 no such account
        at 4
        nack 0.1 retry_at=4 first
        pull
        at 6
        nack 0.2 retry_at=50 second
        at 12
        timeout
        pull
        at 30
        timeout
        dead
        stats
        totals
        next
        ",
        expect![[r#"
            push a: 0
            push b: 1
            push c: 2
            pull: [0.1 a until 12, 1.1 b until 12, 2.1 c until 12]
            reject 2.1 no such account: dead letter
            nack 0.1 first retry_at=4: ready again at 4
            pull: [0.2 a until 14]
            nack 0.2 second retry_at=50: dead letter
            timeout: [ready again at 12: b at 1, 1 attempts, consumer 1, VisibilityExpired]
            pull: [1.2 b until 22]
            timeout: [dead at 22: b, 2 attempts, attempts_exhausted]
            dead: [c rejected after 1 attempts: "no such account", accepted 1, failed 2 to 2; a attempts_exhausted after 2 attempts: "second", accepted 1, failed 4 to 6; b attempts_exhausted after 2 attempts: "visibility timeout expired", accepted 1, failed 12 to 22]
            stats: depth 0 = 0 ready + 0 delayed + 0 in flight + 0 undeliverable, 0 bytes, oldest 0 us, 3 dead
            totals: 3 accepted = 0 queued + 0 in flight + 0 acked + 3 dead + 0 purged; 3 dead ever, 2 redelivered, 0 redriven, 0 busy, by attempts [1, 2, 0, 0, 0, 0, 0, 0]
            next: never
        "#]],
    );
}

#[test]
fn redrive_starts_over_at_the_end() {
    check(
        "
        queue attempts=1 messages=3
        push a
        push b
        push c
        pull
        nack 0.1 x
        nack 1.1 y
        push d
        redrive nobody
        at 5
        redrive b
        ack 1.1
        redrive a       # full
        dead
        pull
        ack 2.1
        redrive_oldest 9
        pull
        totals
        ",
        expect![[r#"
            push a: 0
            push b: 1
            push c: 2
            pull: [0.1 a until 10, 1.1 b until 10, 2.1 c until 10]
            nack 0.1 x: dead letter
            nack 1.1 y: dead letter
            push d: 3
            redrive nobody: no dead letter has this id []
            redrive b: 4 []
            ack 1.1: the message has left the queue already
            redrive a: the queue is full with 3 messages; try again in 7 us []
            dead: [a attempts_exhausted after 1 attempts: "x", accepted 0, failed 0 to 0]
            pull: [3.1 d until 15, 4.1 b until 15]
            ack 2.1: done
            redrive_oldest 9: Redriven { count: 1, refused: None } []
            pull: [5.1 a until 15]
            totals: 4 accepted = 0 queued + 3 in flight + 1 acked + 0 dead + 0 purged; 2 dead ever, 0 redelivered, 2 redriven, 0 busy, by attempts [3, 0, 0, 0, 0, 0, 0, 0]
        "#]],
    );
}

#[test]
fn redriving_many_stops_when_the_queue_is_full() {
    check(
        "
        queue attempts=1 messages=3
        push a
        push b
        push c
        pull
        reject 0.1 x
        reject 1.1 y
        reject 2.1 z
        push d
        redrive_oldest 9
        dead
        purge c
        purge c
        totals
        ",
        expect![[r#"
            push a: 0
            push b: 1
            push c: 2
            pull: [0.1 a until 10, 1.1 b until 10, 2.1 c until 10]
            reject 0.1 x: dead letter
            reject 1.1 y: dead letter
            reject 2.1 z: dead letter
            push d: 3
            redrive_oldest 9: Redriven { count: 2, refused: Some(Busy { depth: 3, retry_after_micros: 7 }) } []
            dead: [c rejected after 1 attempts: "z", accepted 0, failed 0 to 0]
            purge c: Some("c") []
            purge c: None []
            totals: 4 accepted = 3 queued + 0 in flight + 0 acked + 0 dead + 1 purged; 3 dead ever, 0 redelivered, 2 redriven, 0 busy, by attempts [3, 0, 0, 0, 0, 0, 0, 0]
        "#]],
    );
}

#[test]
fn full_dead_letters_lose_nothing_and_show() {
    check(
        "
        queue attempts=1 messages=3 dead=1
        push a
        push b
        push c
        pull
        at 3
        reject 0.1 x
        reject 1.1 y
        at 10
        timeout
        stats
        push d
        pull
        push e
        pull            # nothing: what is undeliverable is not delivered
        next
        redrive a       # exchanges places with b, the first failed
        stats
        pull
        ack 4.1
        purge b
        dead
        stats
        totals
        ",
        expect![[r#"
            push a: 0
            push b: 1
            push c: 2
            pull: [0.1 a until 10, 1.1 b until 10, 2.1 c until 10]
            reject 0.1 x: dead letter
            reject 1.1 y: undeliverable
            timeout: [undeliverable at 10: c at 2, 1 attempts]
            stats: depth 2 = 0 ready + 0 delayed + 0 in flight + 2 undeliverable, 2 bytes, oldest 10 us, 1 dead (full)
            push d: 3
            pull: [3.1 d until 20]
            push e: the queue is full with 3 messages; try again in 7 us
            pull: []
            next: 20, a delivery expires
            redrive a: 4 [dead at 3: b, 1 attempts, rejected]
            stats: depth 3 = 1 ready + 0 delayed + 1 in flight + 1 undeliverable, 3 bytes, oldest 10 us, 1 dead (full)
            pull: [4.1 a until 20]
            ack 4.1: done
            purge b: Some("b") [dead at 10: c, 1 attempts, attempts_exhausted]
            dead: [c attempts_exhausted after 1 attempts: "visibility timeout expired", accepted 0, failed 10 to 10]
            stats: depth 1 = 0 ready + 0 delayed + 1 in flight + 0 undeliverable, 1 bytes, oldest 0 us, 1 dead (full)
            totals: 4 accepted = 0 queued + 1 in flight + 1 acked + 1 dead + 1 purged; 3 dead ever, 0 redelivered, 1 redriven, 1 busy, by attempts [4, 0, 0, 0, 0, 0, 0, 0]
        "#]],
    );
}

#[test]
fn time_never_falls() {
    check(
        "
        queue timeout=10
        at 100
        push a
        at 50
        push b
        pull
        stats
        at 109
        ack 0.1
        at 110
        ack 1.1
        ",
        expect![[r#"
            push a: 0
            push b: 1
            pull: [0.1 a until 110, 1.1 b until 110]
            stats: depth 2 = 0 ready + 0 delayed + 2 in flight + 0 undeliverable, 2 bytes, oldest 0 us, 0 dead
            ack 0.1: done
            ack 1.1: the delivery is over: its time ran out, or it was given back; pull the message again
        "#]],
    );
}

#[test]
fn a_config_out_of_range_is_refused_by_field() {
    let check = |config: QueueConfig, field| {
        let refused = Queue::new(config).map(|_| ()).unwrap_err();
        assert_eq!((refused.field, refused.min), (field, 1), "{refused}");
    };
    let config = QueueConfig::default();
    check(QueueConfig { capacity_messages: 0, ..config }, "capacity_messages");
    check(QueueConfig { capacity_bytes: 0, ..config }, "capacity_bytes");
    check(QueueConfig { visibility_timeout_micros: 0, ..config }, "visibility_timeout_micros");
    check(QueueConfig { visibility_timeout_micros: u64::MAX, ..config }, "visibility_timeout_micros");
    check(QueueConfig { attempts_max: 0, ..config }, "attempts_max");
    check(QueueConfig { dead_letters_max: 0, ..config }, "dead_letters_max");
    check(QueueConfig { retry_after_micros: 0, ..config }, "retry_after_micros");
    let refused = ConfigError { field: "attempts_max", value: 0, min: 1, max: 4_294_967_295 };
    expect!["attempts_max is 0; set it to a number from 1 to 4294967295"].assert_eq(&refused.to_string());
}

#[test]
fn bodies_are_shared_and_errors_are_cut() {
    let mut queue = Queue::new(QueueConfig { attempts_max: 1, ..QueueConfig::default() }).unwrap();
    let pushed = message("a", 100);
    let body = pushed.body.as_ptr();
    queue.push(at(0), pushed).unwrap();
    let mut deliveries = Vec::new();
    queue.pull(at(0), 1, 1, 1, &mut deliveries);
    assert_eq!(deliveries[0].message.body.as_ptr(), body);
    queue.reject(at(0), deliveries[0].token, &"ü".repeat(ERROR_BYTES_MAX)).unwrap();
    let dead = queue.dead_letters().next().unwrap();
    assert_eq!(dead.message.body.as_ptr(), body);
    assert_eq!(dead.last_error, "ü".repeat(ERROR_BYTES_MAX / 2));
}

#[test]
fn one_message_that_stays_does_not_keep_the_memory_of_those_that_go() {
    let config =
        QueueConfig { capacity_messages: 8, visibility_timeout_micros: 1_000_000, ..QueueConfig::default() };
    let mut queue = Queue::new(config).unwrap();
    let mut deliveries = Vec::new();
    queue.push(at(0), message("stays", 1)).unwrap();
    queue.pull(at(0), 1, 1, 1, &mut deliveries);
    let stays = deliveries[0].token;
    for now in 1..2_000 {
        queue.push(at(now), message("goes", 1)).unwrap();
        deliveries.clear();
        queue.pull(at(now), 1, 1, 1, &mut deliveries);
        // Every other one comes back once, so that runs break.
        if now % 2 == 0 {
            queue.nack(at(now), deliveries[0].token, at(now), "again").unwrap();
            queue.pull(at(now), 1, 1, 1, &mut deliveries);
        }
        queue.ack(at(now), deliveries.last().unwrap().token).unwrap();
        queue.assert_consistent();
    }
    assert_eq!(queue.poll_timeout().unwrap().at, at(1_000_000));
    queue.ack(at(2_000), stays).unwrap();
    assert_eq!((queue.poll_timeout(), queue.stats(at(2_000)).depth), (None, 0));
    queue.assert_consistent();
}

#[test]
fn a_message_given_back_again_and_again_at_one_moment_takes_no_memory() {
    let config = QueueConfig { capacity_messages: 2, attempts_max: 1_000, ..QueueConfig::default() };
    let mut queue = Queue::new(config).unwrap();
    let mut deliveries = Vec::new();
    queue.push(at(0), message("stays", 1)).unwrap();
    queue.push(at(0), message("returns", 1)).unwrap();
    queue.pull(at(0), 1, 2, u64::MAX, &mut deliveries);
    for _ in 0..500 {
        queue.nack(at(0), deliveries.last().unwrap().token, at(0), "again").unwrap();
        queue.pull(at(0), 1, 1, 1, &mut deliveries);
        queue.assert_consistent();
    }
    assert_eq!(deliveries.last().unwrap().token, Token { position: 1, attempt: 501 });
}
