//! A bounded log of messages for any number of subscribers.
//!
//! # Semantics
//!
//! - **Offset**: each published message takes the next offset, from 0, without gaps.
//! - **Retention** is bounded by count and bytes: a new message drops the oldest, read or not. Nobody blocks the
//!   publisher; a subscriber that retention has overtaken is told by its next poll how many messages it missed.
//! - **Subscribers** read independently, each from its own offset, and may commit how far they are done. They live in
//!   memory only. A subscriber that is unsubscribed leaves nothing behind, and its id is not used again.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;

use time::Timestamp;

use crate::{ConfigError, Message, TopicConfig};

/// Names a subscriber of one topic. Ids are given from 0 and never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(pub u64);

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a subscriber starts to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next message published.
    Now,
    /// With the oldest message retained.
    Earliest,
    /// With this offset. If it is dropped already, the first poll reports what is missing.
    Offset(u64),
}

/// A bounded log of messages. The module's text has its semantics.
///
/// A clone costs O(messages retained and subscribers) and shares the bodies. Every call takes constant or logarithmic
/// time (amortised), `poll` for each message, and `stats` for each subscriber.
#[derive(Clone, Debug)]
pub struct Topic {
    config: TopicConfig,
    now: Timestamp,
    retained: VecDeque<Retained>,
    /// The offset of the oldest message retained.
    earliest: u64,
    bytes: u64,
    published: u64,
    dropped: u64,
    subscribers: BTreeMap<SubscriberId, Subscriber>,
    next_subscriber: u64,
}

#[derive(Clone, Debug)]
struct Retained {
    message: Message,
    published_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Subscriber {
    next: u64,
    committed: u64,
    missed_total: u64,
}

impl Topic {
    /// An empty topic.
    pub fn new(config: TopicConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            now: Timestamp::ZERO,
            retained: VecDeque::new(),
            earliest: 0,
            bytes: 0,
            published: 0,
            dropped: 0,
            subscribers: BTreeMap::new(),
            next_subscriber: 0,
        })
    }

    /// The limits it was made with.
    pub fn config(&self) -> &TopicConfig {
        &self.config
    }

    /// Appends the message, at the returned offset, and drops the oldest as the limits demand.
    pub fn publish(&mut self, now: Timestamp, message: Message) -> Result<u64, PublishRefused> {
        let (bytes, max) = (message.bytes(), self.config.retained_bytes_max);
        if bytes > max {
            return Err(PublishRefused::TooLarge { bytes, max });
        }
        self.now = self.now.max(now);
        while self.bytes > max - bytes
            || self.retained.len() as u64 >= u64::from(self.config.retained_messages_max)
        {
            let oldest =
                self.retained.pop_front().expect("an empty topic has room for any message it accepts");
            self.bytes -= oldest.message.bytes();
            self.earliest += 1;
            self.dropped += 1;
        }
        let offset = self.next_offset();
        self.bytes += bytes;
        self.published += 1;
        self.retained.push_back(Retained { message, published_at: self.now });
        assert!(self.is_balanced(), "the topic's books do not balance: {:?}", self.stats(self.now));
        Ok(offset)
    }

    /// Adds a subscriber.
    pub fn subscribe(&mut self, start: Start) -> Result<SubscriberId, SubscribeRefused> {
        if self.subscribers.len() as u64 >= u64::from(self.config.subscribers_max) {
            return Err(SubscribeRefused::Full { max: self.config.subscribers_max });
        }
        let next = self
            .offset_of(start)
            .map_err(|Ahead { offset, next_offset }| SubscribeRefused::Ahead { offset, next_offset })?;
        let id = SubscriberId(self.next_subscriber);
        self.next_subscriber += 1;
        self.subscribers.insert(id, Subscriber { next, committed: next, missed_total: 0 });
        Ok(id)
    }

    /// Appends up to `max` messages with their offsets to `messages` and moves the subscriber behind them.
    ///
    /// A gap is reported once and lies before the first of these messages.
    pub fn poll(
        &mut self,
        subscriber: SubscriberId,
        max: u32,
        messages: &mut Vec<(u64, Message)>,
    ) -> Result<Polled, UnknownSubscriber> {
        let reader = self.subscribers.get_mut(&subscriber).ok_or(UnknownSubscriber(subscriber))?;
        let missed = self.earliest.saturating_sub(reader.next);
        reader.missed_total += missed;
        reader.next += missed;
        let skipped = usize::try_from(reader.next - self.earliest).unwrap_or(usize::MAX);
        let count = usize::try_from(max).unwrap_or(usize::MAX);
        for retained in self.retained.iter().skip(skipped).take(count) {
            messages.push((reader.next, retained.message.clone()));
            reader.next += 1;
        }
        Ok(if missed == 0 { Polled::Gapless } else { Polled::Lagged { missed } })
    }

    /// Notes that the subscriber is done with everything before `offset`. It never falls, but by `seek`.
    pub fn commit(&mut self, subscriber: SubscriberId, offset: u64) -> Result<(), CommitRefused> {
        let Some(reader) = self.subscribers.get_mut(&subscriber) else {
            return Err(CommitRefused::Unknown(subscriber));
        };
        if offset > reader.next {
            return Err(CommitRefused::Ahead { offset, read_before: reader.next });
        }
        if offset < reader.committed {
            return Err(CommitRefused::Behind { offset, committed: reader.committed });
        }
        reader.committed = offset;
        Ok(())
    }

    /// Moves the subscriber, back or forth; its committed offset goes along.
    pub fn seek(&mut self, subscriber: SubscriberId, start: Start) -> Result<u64, SeekRefused> {
        if !self.subscribers.contains_key(&subscriber) {
            return Err(SeekRefused::Unknown(subscriber));
        }
        let next = self
            .offset_of(start)
            .map_err(|Ahead { offset, next_offset }| SeekRefused::Ahead { offset, next_offset })?;
        if let Some(reader) = self.subscribers.get_mut(&subscriber) {
            (reader.next, reader.committed) = (next, next);
        }
        Ok(next)
    }

    /// Forgets the subscriber.
    pub fn unsubscribe(&mut self, subscriber: SubscriberId) -> Result<(), UnknownSubscriber> {
        self.subscribers.remove(&subscriber).map(|_| ()).ok_or(UnknownSubscriber(subscriber))
    }

    /// The offset that the next message takes.
    pub fn next_offset(&self) -> u64 {
        self.earliest + self.retained.len() as u64
    }

    /// All subscribers in order of their ids.
    pub fn subscribers(&self) -> impl ExactSizeIterator<Item = (SubscriberId, SubscriberStats)> {
        self.subscribers.iter().map(|(&id, reader)| (id, self.stats_of(reader)))
    }

    /// One subscriber.
    pub fn subscriber(&self, subscriber: SubscriberId) -> Result<SubscriberStats, UnknownSubscriber> {
        self.subscribers
            .get(&subscriber)
            .map(|reader| self.stats_of(reader))
            .ok_or(UnknownSubscriber(subscriber))
    }

    /// Figures for people and metrics. The age counts up to `now`.
    pub fn stats(&self, now: Timestamp) -> TopicStats {
        let oldest = self.retained.front();
        TopicStats {
            published: self.published,
            retained: self.retained.len() as u64,
            dropped: self.dropped,
            bytes: self.bytes,
            earliest_offset: self.earliest,
            next_offset: self.next_offset(),
            oldest_age_micros: oldest.map_or(0, |oldest| self.now.max(now).micros_since(oldest.published_at)),
            subscribers: self.subscribers.len() as u64,
            lag_max: self
                .subscribers
                .values()
                .map(|reader| self.next_offset() - reader.next)
                .max()
                .unwrap_or(0),
        }
    }

    /// Do the books balance? Published = retained + dropped. Constant time.
    pub fn is_balanced(&self) -> bool {
        self.published == self.retained.len() as u64 + self.dropped
            && self.published == self.next_offset()
            && self.bytes <= self.config.retained_bytes_max
            && self.retained.len() as u64 <= u64::from(self.config.retained_messages_max)
    }

    fn offset_of(&self, start: Start) -> Result<u64, Ahead> {
        let next_offset = self.next_offset();
        match start {
            Start::Now => Ok(next_offset),
            Start::Earliest => Ok(self.earliest),
            Start::Offset(offset) if offset <= next_offset => Ok(offset),
            Start::Offset(offset) => Err(Ahead { offset, next_offset }),
        }
    }

    fn stats_of(&self, reader: &Subscriber) -> SubscriberStats {
        SubscriberStats {
            next_offset: reader.next,
            committed_offset: reader.committed,
            lag: self.next_offset() - reader.next,
            uncommitted: self.next_offset() - reader.committed,
            missed_total: reader.missed_total,
        }
    }
}

/// Whether a poll went on where the last one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// It did.
    Gapless,
    /// Retention has overtaken the subscriber.
    Lagged {
        /// So many messages were dropped before it read them.
        missed: u64,
    },
}

/// Figures of a [`Topic`]. `published` = `retained` + `dropped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicStats {
    /// Messages ever published.
    pub published: u64,
    /// Messages that can be read.
    pub retained: u64,
    /// Messages that retention has dropped.
    pub dropped: u64,
    /// Body bytes retained.
    pub bytes: u64,
    /// The offset of the oldest message retained; the next offset if there is none.
    pub earliest_offset: u64,
    /// The offset that the next message takes.
    pub next_offset: u64,
    /// Microseconds since the oldest message retained was published; 0 if there is none.
    pub oldest_age_micros: u64,
    /// Number of subscribers.
    pub subscribers: u64,
    /// The largest lag of a subscriber, in messages.
    pub lag_max: u64,
}

/// Figures of one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriberStats {
    /// What its next poll starts with, if it is still retained.
    pub next_offset: u64,
    /// It is done with everything before.
    pub committed_offset: u64,
    /// Messages published that it has not read, missed ones included.
    pub lag: u64,
    /// Messages published that it is not done with.
    pub uncommitted: u64,
    /// Messages that it was told it missed.
    pub missed_total: u64,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishRefused {
    /// The body alone exceeds what the topic retains: trying again is useless.
    TooLarge {
        /// The body's length.
        bytes: u64,
        /// What the topic retains at most, in bytes.
        max: u64,
    },
}

impl fmt::Display for PublishRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::TooLarge { bytes, max } = self;
        write!(
            f,
            "the message's body has {bytes} bytes and the topic retains {max} at most; send a smaller one"
        )
    }
}

impl core::error::Error for PublishRefused {}

/// Why nobody was subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeRefused {
    /// The topic has all the subscribers it may have.
    Full {
        /// So many.
        max: u32,
    },
    /// The offset lies in the future.
    Ahead {
        /// What was asked for.
        offset: u64,
        /// What the next message takes.
        next_offset: u64,
    },
}

impl fmt::Display for SubscribeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { max } => {
                write!(f, "the topic has {max} subscribers, all it may have; unsubscribe one first")
            }
            Self::Ahead { offset, next_offset } => write_ahead(f, *offset, *next_offset),
        }
    }
}

impl core::error::Error for SubscribeRefused {}

/// Why a subscriber did not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekRefused {
    /// No such subscriber.
    Unknown(SubscriberId),
    /// The offset lies in the future.
    Ahead {
        /// What was asked for.
        offset: u64,
        /// What the next message takes.
        next_offset: u64,
    },
}

impl fmt::Display for SeekRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(subscriber) => UnknownSubscriber(*subscriber).fmt(f),
            Self::Ahead { offset, next_offset } => write_ahead(f, *offset, *next_offset),
        }
    }
}

impl core::error::Error for SeekRefused {}

/// Why nothing was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitRefused {
    /// No such subscriber.
    Unknown(SubscriberId),
    /// The subscriber has not read that far.
    Ahead {
        /// What was to be committed.
        offset: u64,
        /// It has read everything before.
        read_before: u64,
    },
    /// The subscriber has committed more already.
    Behind {
        /// What was to be committed.
        offset: u64,
        /// What is committed.
        committed: u64,
    },
}

impl fmt::Display for CommitRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(subscriber) => UnknownSubscriber(*subscriber).fmt(f),
            Self::Ahead { offset, read_before } => {
                write!(
                    f,
                    "offset {offset} cannot be committed: only messages before {read_before} have been read"
                )
            }
            Self::Behind { offset, committed } => {
                write!(f, "offset {offset} cannot be committed: {committed} is already; to go back, seek")
            }
        }
    }
}

impl core::error::Error for CommitRefused {}

/// The topic has no such subscriber, or has it no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSubscriber(pub SubscriberId);

impl fmt::Display for UnknownSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subscriber {} is unknown; subscribe first", self.0)
    }
}

impl core::error::Error for UnknownSubscriber {}

struct Ahead {
    offset: u64,
    next_offset: u64,
}

fn write_ahead(f: &mut fmt::Formatter<'_>, offset: u64, next_offset: u64) -> fmt::Result {
    write!(f, "offset {offset} lies in the future: the next message takes {next_offset}")
}
