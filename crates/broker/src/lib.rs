//! Queues and topics as pure state machines: bytes in, bytes out.
//!
//! - A [`Queue`] hands each message to one consumer at a time and keeps it until it is acked or becomes a dead letter.
//! - A [`Topic`] keeps a bounded log of messages that any number of subscribers read, each at its own offset.
//!
//! # Invariants
//!
//! - No clock, no IO, no thread, no randomness: time is an argument, and what happens because time passed is returned
//!   by `handle_timeout`. A `now` that lies before an earlier one counts as the earlier one.
//! - No message vanishes: [`Queue::is_balanced`] holds after every step and is asserted in release builds too.
//! - No copy of a body: deliveries share it.
//! - No knowledge of what a body means: this crate has never heard of money.
//! - No delivery is promised to be the only one: a consumer that dies after its effect sees the message again, so its
//!   handling must be idempotent (at-least-once).
//! - No unbounded memory: every queue and topic is limited by its config, and so is everything it keeps beside the
//!   messages.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod message;
mod queue;
mod topic;

#[cfg(test)]
mod tests;

pub use config::{ConfigError, QueueConfig, TopicConfig};
pub use message::{Message, MessageId};
pub use queue::{
    DeadLetter, DeadReason, Delivery, ERROR_BYTES_MAX, Failed, Output, PushRefused, Queue, QueueStats,
    RedeliveryCause, RedriveRefused, Redriven, Token, TokenRefused,
};
pub use topic::{
    CommitRefused, Polled, PublishRefused, SeekRefused, Start, SubscribeRefused, SubscriberId,
    SubscriberStats, Topic, TopicStats, UnknownSubscriber,
};
