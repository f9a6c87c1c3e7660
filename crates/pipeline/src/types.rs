//! What goes into a pipeline and what comes out: the port is data.

use alloc::vec::Vec;
use bytes::Bytes;
use ledger::{Command, TransactionId, TransactionResult};
use projection::Found;

use crate::segments::Place;

/// A client's command, as it comes in at the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The driver's own number for it; the [`Reply`] carries it back.
    pub request_id: u64,
    /// What is asked.
    pub command: Command,
}

/// What a driver tells a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Commands from clients, in order of arrival.
    Submit(Vec<Request>),
    /// Answers to [`Output::FindTransaction`], in any order.
    Lookups(Vec<Lookup>),
    /// Every record with a smaller sequence is durable.
    Appended {
        /// The first sequence that is not known durable.
        before: u64,
    },
    /// An append failed. The pipeline stops for good; rebuild one from the durable log.
    AppendFailed,
    /// Seals a settled log as wholly durable, with an append that holds no record; ignored while anything is in
    /// flight. Nothing is accepted afterwards.
    Close,
    /// One more segment is ready to be written to: the one that the log stands in if it was not yet, else a further one.
    /// Wanted only with a [`Config::segment_bytes`](crate::Config::segment_bytes): without room nothing is executed.
    SegmentReady,
    /// There is no room to get the next segment ready, until [`Input::SegmentReady`]. What needs it is answered
    /// [`Answer::StorageFull`].
    StorageFull,
    /// Puts up to `max` dead letters, the oldest first, back into the command queue.
    Redrive {
        /// How many at most.
        max: u32,
    },
}

/// The answer to [`Output::FindTransaction`]: from an index that covers at least every record below the last
/// [`Input::Appended`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The id has an outcome.
    TransactionFound {
        /// The id asked for.
        transaction_id: TransactionId,
        /// Its outcome.
        found: Found,
    },
    /// The id has none.
    TransactionAbsent {
        /// The id asked for.
        transaction_id: TransactionId,
    },
}

impl Lookup {
    /// The id asked for.
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Lookup::TransactionFound { transaction_id, .. }
            | Lookup::TransactionAbsent { transaction_id } => *transaction_id,
        }
    }
}

/// What a pipeline wants done, in effect order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell a client.
    Reply(Reply),
    /// Is there an outcome for this id? Answered with [`Input::Lookups`].
    FindTransaction(TransactionId),
    /// Append to the log and make it durable; then [`Input::Appended`] or [`Input::AppendFailed`].
    Append(Append),
}

/// One batch of the log, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The first record in it.
    pub first_sequence: u64,
    /// The record after its last; what [`Input::Appended`] says when it is durable.
    pub next_sequence: u64,
    /// Which segment it goes to.
    pub place: Place,
    /// The bytes, ending in a seal. The first batch of a log begins with the log's header, the first of a further segment
    /// with that segment's.
    pub bytes: Bytes,
}

/// An answer for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// From the [`Request`]. A command that became a dead letter is answered with [`Answer::DeadLettered`] and,
    /// if it is redriven, once more; drivers drop answers that nobody waits for.
    pub request_id: u64,
    /// The answer.
    pub answer: Answer,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The command has an outcome, and it is durable.
    Done {
        /// The outcome; the same one for every repeat.
        outcome: Outcome,
        /// Whether this is a repeat.
        replayed: Replayed,
    },
    /// The members of a group have outcomes, and they are durable: all of them completed, or all were refused.
    Linked {
        /// The outcomes in the order of the members, all in one record; the same ones for every repeat.
        outcomes: Vec<Outcome>,
        /// Whether this is a repeat.
        replayed: Replayed,
    },
    /// `TransactionIdReused`: the id (or the account name) is taken by another body. Nothing is written. A group
    /// conflicts if any of its members has an outcome and they are not, together, a group that was answered before.
    Conflict {
        /// The id that was sent; of a group the first that is taken.
        transaction_id: TransactionId,
    },
    /// The command was not accepted: the queue is full, or there are as many pending transfers as there may be. It consumed
    /// no id. Send it again.
    Busy {
        /// Commands in the queue.
        depth: u32,
        /// When to try again, in microseconds from now.
        retry_after_micros: u64,
    },
    /// The command could not be worked on. It may still take effect when it is redriven: repeat with the same id.
    DeadLettered {
        /// The id of the command.
        transaction_id: TransactionId,
    },
    /// There is no room for the command's record, so it was not executed; it consumed no id. Send it again later.
    StorageFull,
    /// The pipeline stopped after a failed append; the outcome is unknown. Repeat with the same id.
    Unavailable,
}

/// Whether an answer is the first for its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// This request made the outcome.
    First,
    /// The outcome was there before; nothing was done.
    Again,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its id, of a member of a group its own; for an account opening the id derived from its body.
    pub transaction_id: TransactionId,
    /// The record that holds it.
    pub sequence: u64,
    /// Completed, or refused for a reason.
    pub result: TransactionResult,
}
