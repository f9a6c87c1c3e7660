//! Random operations on a topic and on a model that never forgets a message.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use time::Timestamp;

use super::message;
use crate::{CommitRefused, Message, Polled, Start, SubscriberId, Topic, TopicConfig};

#[derive(Clone, Debug)]
enum Operation {
    Publish { bytes: usize },
    Subscribe(AnyStart),
    Poll { subscriber: u64, max: u32 },
    Commit { subscriber: u64, offset: u64 },
    Seek { subscriber: u64, start: AnyStart },
    Unsubscribe { subscriber: u64 },
}

#[derive(Clone, Copy, Debug)]
enum AnyStart {
    Now,
    Earliest,
    Offset(u64),
}

impl AnyStart {
    fn start(self) -> Start {
        match self {
            Self::Now => Start::Now,
            Self::Earliest => Start::Earliest,
            Self::Offset(offset) => Start::Offset(offset),
        }
    }
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let start =
        prop_oneof![Just(AnyStart::Now), Just(AnyStart::Earliest), (0..60_u64).prop_map(AnyStart::Offset)]
            .boxed();
    let subscriber = 0..6_u64;
    let operation = prop_oneof![
        8 => (0..20_usize).prop_map(|bytes| Operation::Publish { bytes }),
        2 => start.clone().prop_map(Operation::Subscribe),
        6 => (subscriber.clone(), 0..6_u32).prop_map(|(subscriber, max)| Operation::Poll { subscriber, max }),
        2 => (subscriber.clone(), 0..60_u64)
            .prop_map(|(subscriber, offset)| Operation::Commit { subscriber, offset }),
        1 => (subscriber.clone(), start).prop_map(|(subscriber, start)| Operation::Seek { subscriber, start }),
        1 => subscriber.prop_map(|subscriber| Operation::Unsubscribe { subscriber }),
    ];
    prop::collection::vec(operation, 1..150)
}

/// Everything ever published, and where each subscriber ever made stands.
struct Model {
    config: TopicConfig,
    published: Vec<Message>,
    subscribers: Vec<Option<Reader>>,
}

#[derive(Clone, Copy, PartialEq)]
struct Reader {
    next: u64,
    committed: u64,
    missed: u64,
}

impl Model {
    /// The offset from which on everything fits the limits.
    fn earliest(&self) -> u64 {
        let (mut count, mut bytes) = (0, 0);
        let kept = self.published.iter().rev().take_while(|message| {
            count += 1;
            bytes += message.bytes();
            count <= self.config.retained_messages_max && bytes <= self.config.retained_bytes_max
        });
        (self.published.len() - kept.count()) as u64
    }

    fn resolve(&self, start: AnyStart) -> Option<u64> {
        let next = self.published.len() as u64;
        match start {
            AnyStart::Now => Some(next),
            AnyStart::Earliest => Some(self.earliest()),
            AnyStart::Offset(offset) => (offset <= next).then_some(offset),
        }
    }

    fn reader(&mut self, subscriber: u64) -> Option<&mut Reader> {
        self.subscribers.get_mut(subscriber as usize)?.as_mut()
    }

    fn poll(&mut self, subscriber: u64, max: u32) -> Option<(Polled, Vec<(u64, Message)>)> {
        let (earliest, published) = (self.earliest(), self.published.clone());
        let reader = self.reader(subscriber)?;
        let missed = earliest.max(reader.next) - reader.next;
        let polled = if missed > 0 { Polled::Lagged { missed } } else { Polled::Gapless };
        let start = reader.next + missed;
        let all = (0..).zip(published);
        let messages: Vec<_> = all.filter(|&(offset, _)| offset >= start).take(max as usize).collect();
        (reader.next, reader.missed) = (start + messages.len() as u64, reader.missed + missed);
        Some((polled, messages))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_topic_does_what_the_model_does(
        (messages, bytes, subscribers) in (1..8_u32, 1..60_u64, 1..4_u32),
        operations in operations(),
    ) {
        let config = TopicConfig {
            retained_messages_max: messages,
            retained_bytes_max: bytes,
            subscribers_max: subscribers,
        };
        let mut topic = Topic::new(config).unwrap();
        let mut model = Model { config, published: vec![], subscribers: vec![] };
        for operation in operations {
            step(&mut topic, &mut model, &operation)?;
            prop_assert!(topic.is_balanced());
            let stats = topic.stats(Timestamp::ZERO);
            prop_assert_eq!(stats.earliest_offset, model.earliest());
            prop_assert_eq!(stats.next_offset, model.published.len() as u64);
            let readers = topic.subscribers().map(|(id, stats)| {
                (id.0, Reader { next: stats.next_offset, committed: stats.committed_offset, missed: stats.missed_total })
            });
            let modelled = (0..).zip(&model.subscribers).filter_map(|(id, reader)| Some((id, (*reader)?)));
            prop_assert!(readers.eq(modelled));
        }
    }
}

fn step(topic: &mut Topic, model: &mut Model, operation: &Operation) -> Result<(), TestCaseError> {
    match *operation {
        Operation::Publish { bytes } => {
            let message = message("m", bytes);
            let answer = topic.publish(Timestamp::ZERO, message.clone());
            if bytes as u64 <= model.config.retained_bytes_max {
                prop_assert_eq!(answer, Ok(model.published.len() as u64));
                model.published.push(message);
            } else {
                prop_assert!(answer.is_err());
            }
        }
        Operation::Subscribe(start) => {
            let answer = topic.subscribe(start.start());
            let live = model.subscribers.iter().flatten().count() as u32;
            match model.resolve(start).filter(|_| live < model.config.subscribers_max) {
                Some(next) => {
                    prop_assert_eq!(answer, Ok(SubscriberId(model.subscribers.len() as u64)));
                    model.subscribers.push(Some(Reader { next, committed: next, missed: 0 }));
                }
                None => prop_assert!(answer.is_err()),
            }
        }
        Operation::Poll { subscriber, max } => {
            let mut messages = vec![];
            let polled = topic.poll(SubscriberId(subscriber), max, &mut messages).ok();
            prop_assert_eq!(polled.map(|polled| (polled, messages)), model.poll(subscriber, max));
        }
        Operation::Commit { subscriber, offset } => {
            let answer = topic.commit(SubscriberId(subscriber), offset);
            let expected = match model.reader(subscriber) {
                None => Err(CommitRefused::Unknown(SubscriberId(subscriber))),
                Some(reader) if offset > reader.next => {
                    Err(CommitRefused::Ahead { offset, read_before: reader.next })
                }
                Some(reader) if offset < reader.committed => {
                    Err(CommitRefused::Behind { offset, committed: reader.committed })
                }
                Some(reader) => {
                    reader.committed = offset;
                    Ok(())
                }
            };
            prop_assert_eq!(answer, expected);
        }
        Operation::Seek { subscriber, start } => {
            let target = model.resolve(start);
            let expected = target.filter(|_| model.reader(subscriber).is_some());
            prop_assert_eq!(topic.seek(SubscriberId(subscriber), start.start()).ok(), expected);
            if let (Some(reader), Some(next)) = (model.reader(subscriber), expected) {
                (reader.next, reader.committed) = (next, next);
            }
        }
        Operation::Unsubscribe { subscriber } => {
            let known = model.reader(subscriber).is_some();
            prop_assert_eq!(topic.unsubscribe(SubscriberId(subscriber)).is_ok(), known);
            if known {
                model.subscribers[subscriber as usize] = None;
            }
        }
    }
    Ok(())
}
