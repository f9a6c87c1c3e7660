//! What a queue answers.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use time::Timestamp;

use crate::{Message, MessageId};

/// So many bytes of an error's text are kept at most; the rest is cut off at a character's border.
pub const ERROR_BYTES_MAX: usize = 512;

/// The name of one delivery of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The message's position in its queue.
    pub position: u64,
    /// Which delivery of the message it is, from 1.
    pub attempt: u32,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.position, self.attempt)
    }
}

/// A message at a consumer, to be settled by its token before `visible_until`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What `ack`, `nack`, `extend` and `reject` want.
    pub token: Token,
    /// Shares its body with the queue.
    pub message: Message,
    /// From then on the token is refused.
    pub visible_until: Timestamp,
}

/// Why a push was refused. The message has no position and leaves no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushRefused {
    /// The queue is full.
    Busy {
        /// Messages held.
        depth: u32,
        /// When to try again, in microseconds from now.
        retry_after_micros: u64,
    },
    /// The body alone exceeds the queue's capacity in bytes: trying again is useless.
    TooLarge {
        /// The body's length.
        bytes: u64,
        /// The queue's capacity in bytes.
        max: u64,
    },
}

impl fmt::Display for PushRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { depth, retry_after_micros } => write_busy(f, *depth, *retry_after_micros),
            Self::TooLarge { bytes, max } => {
                write!(
                    f,
                    "the message's body has {bytes} bytes and the queue holds {max} at most; send a smaller one"
                )
            }
        }
    }
}

impl core::error::Error for PushRefused {}

/// Why a token was refused. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// The delivery is over: its time ran out, or it was given back. The message is still in the queue.
    Expired,
    /// The message has left the queue: acked, or a dead letter. Which tokens it once had is not remembered.
    Settled,
    /// There was no such delivery.
    Unknown,
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => {
                "the delivery is over: its time ran out, or it was given back; pull the message again"
            }
            Self::Settled => "the message has left the queue already",
            Self::Unknown => "there was no such delivery; use the token that came with the message",
        })
    }
}

impl core::error::Error for TokenRefused {}

/// What became of a message whose delivery failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is ready again at this time.
    Retry {
        /// The time of failure, or later.
        at: Timestamp,
    },
    /// It is a dead letter, the last one listed.
    DeadLettered,
    /// It should be a dead letter and waits in the queue for room.
    Undeliverable,
}

/// Why a message is a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// `attempts_max` deliveries failed.
    AttemptsExhausted,
    /// A consumer said that it will never succeed.
    Rejected,
}

impl DeadReason {
    /// Its name in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Rejected => "rejected",
        }
    }
}

/// A message that nobody gets any more until it is redriven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message as it was pushed.
    pub message: Message,
    /// Why it is here.
    pub reason: DeadReason,
    /// How often it was delivered.
    pub attempts: u32,
    /// What the last failure said, at most [`ERROR_BYTES_MAX`].
    pub last_error: Cow<'static, str>,
    /// When the queue took it in, or redrove it last.
    pub accepted_at: Timestamp,
    /// When the first delivery failed.
    pub first_failed_at: Timestamp,
    /// When the last delivery failed.
    pub last_failed_at: Timestamp,
}

impl DeadLetter {
    pub(super) fn output(&self) -> Output {
        Output::DeadLettered {
            message: self.message.clone(),
            reason: self.reason,
            attempts: self.attempts,
            at: self.last_failed_at,
        }
    }
}

/// Why a redrive was refused. The dead letter stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedriveRefused {
    /// No dead letter has this id.
    Unknown,
    /// The queue is full.
    Busy {
        /// Messages held.
        depth: u32,
        /// When to try again, in microseconds from now.
        retry_after_micros: u64,
    },
}

impl fmt::Display for RedriveRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no dead letter has this id"),
            Self::Busy { depth, retry_after_micros } => write_busy(f, *depth, *retry_after_micros),
        }
    }
}

impl core::error::Error for RedriveRefused {}

/// How far a redrive of many got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// So many dead letters are in the queue again.
    pub count: u32,
    /// Why the next one is not.
    pub refused: Option<RedriveRefused>,
}

/// What happened because time passed or because room was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// The message is ready to be delivered again.
    Redelivered {
        /// The message's position in its queue.
        position: u64,
        /// The message's id.
        id: MessageId,
        /// Deliveries so far.
        attempts: u32,
        /// Who got the last one.
        consumer: u64,
        /// Why it is ready again.
        cause: RedeliveryCause,
        /// Since when; not later than `now`.
        at: Timestamp,
    },
    /// The message is a dead letter.
    DeadLettered {
        /// The message as it was pushed.
        message: Message,
        /// Why it is dead.
        reason: DeadReason,
        /// Deliveries so far.
        attempts: u32,
        /// When the last delivery failed; not later than `now`.
        at: Timestamp,
    },
    /// The message should be a dead letter, but they are full: it waits in the queue and is not delivered.
    Undeliverable {
        /// The message's position in its queue.
        position: u64,
        /// The message's id.
        id: MessageId,
        /// Deliveries so far.
        attempts: u32,
        /// When the last delivery failed; not later than `now`.
        at: Timestamp,
    },
}

/// Why a message is ready again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedeliveryCause {
    /// The consumer settled nothing until the visibility timeout.
    VisibilityExpired,
    /// The time that its `nack` named has come.
    RetryDue,
}

/// The text as it is kept.
pub(super) fn bounded(error: &str) -> Cow<'static, str> {
    Cow::Owned(String::from(&error[..error.floor_char_boundary(ERROR_BYTES_MAX)]))
}

fn write_busy(f: &mut fmt::Formatter<'_>, depth: u32, retry_after_micros: u64) -> fmt::Result {
    write!(f, "the queue is full with {depth} messages; try again in {retry_after_micros} us")
}
