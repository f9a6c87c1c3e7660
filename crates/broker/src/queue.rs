//! A bounded queue: at-least-once delivery in order of position, retries, dead letters.
//!
//! # Semantics
//!
//! - **Position**: each accepted message takes the next position, from 0, without gaps. Ready messages are delivered in
//!   order of position. A message that failed keeps its position, so it comes before all later ones once it is ready
//!   again; what was delivered meanwhile has overtaken it.
//! - **Capacity** counts messages and body bytes, waiting and in flight together: a message keeps its place until it is
//!   acked or becomes a dead letter. A push beyond that is `Busy` and leaves no trace but a count.
//! - **Attempts** are counted at delivery. A delivery fails by `nack`, by `reject` or by its visibility timeout, and the
//!   message is then ready again, delayed until the time that `nack` named, or, when `attempts_max` deliveries have
//!   failed or by `reject`, a dead letter.
//! - **Token**: one delivery's right to settle the message. It is in force from the pull until it is used (`ack`,
//!   `nack`, `reject`) or its time is over; the time counts, not whether `handle_timeout` has run. Then it is refused as
//!   `Expired`, or as `Settled` once the message has left the queue.
//! - **Time**: delayed messages and expired deliveries become ready in `handle_timeout` only, each as of the moment when
//!   it was due and in order of that moment. One late call leaves the same state and outputs as many timely ones. Call
//!   it when `poll_timeout` is due, before any other input.
//! - **Full dead letters**: a message that should become a dead letter when `dead_letters_max` are held stays in the
//!   queue as *undeliverable*: it is not delivered, counts against the capacity, and becomes a dead letter as soon as
//!   one is redriven or purged, the first failed first. So nothing is lost and nothing grows; the queue fills up, says
//!   `Busy` to producers, and shows `undeliverable` and `dead_letters_full` in its stats until someone looks. If the
//!   queue is then full too, a redrive exchanges places; `purge` always makes room.
//! - **Redrive** moves a dead letter to the end of the queue, at a new position, with no attempts counted.
//!
//! Work is bounded: push, ack, nack, extend and reject are constant or logarithmic in the messages held (amortised);
//! `pull` and the batch forms are so for each message; `handle_timeout` handles each due message once. A lookup among
//! the dead letters reads all of them.

mod outcome;
mod slab;
mod stats;
mod visibility;

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use time::{Deadline, Timestamp};

pub use outcome::{
    DeadLetter, DeadReason, Delivery, ERROR_BYTES_MAX, Failed, Output, PushRefused, RedeliveryCause,
    RedriveRefused, Redriven, Token, TokenRefused,
};
use slab::{Held, Slab, State};
pub use stats::QueueStats;
use stats::Totals;
use visibility::Visibility;

use crate::{ConfigError, Message, MessageId, QueueConfig};

/// What `last_error` says when a delivery was not settled in time.
const VISIBILITY_EXPIRED: &str = "visibility timeout expired";

/// A bounded queue. The module's text has its semantics.
///
/// A clone costs O(messages and dead letters held) and shares their bodies.
#[derive(Clone, Debug)]
pub struct Queue {
    config: QueueConfig,
    /// The latest time seen.
    now: Timestamp,
    slab: Slab,
    /// Body bytes in the slab.
    bytes: u64,
    /// From this position on nothing has been delivered yet: all is held and ready.
    fresh: u64,
    /// Positions before `fresh` that are ready again.
    returned: BinaryHeap<Reverse<u64>>,
    /// When which position is ready again.
    delayed: BinaryHeap<Reverse<(Timestamp, u64)>>,
    in_flight: u64,
    visibility: Visibility,
    /// Waiting for room among the dead letters, the first failed first. Empty unless they are full.
    undeliverable: VecDeque<u64>,
    /// Of held messages that failed at least once.
    failures: BTreeMap<u64, Failures>,
    /// The first dead first.
    dead_letters: VecDeque<DeadLetter>,
    totals: Totals,
}

/// How the deliveries of a message failed so far.
#[derive(Clone, Debug)]
struct Failures {
    first_at: Timestamp,
    last_at: Timestamp,
    last_error: Cow<'static, str>,
    /// Why the message will be a dead letter.
    dead: Option<DeadReason>,
}

impl Queue {
    /// An empty queue.
    pub fn new(config: QueueConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config,
            now: Timestamp::ZERO,
            slab: Slab::default(),
            bytes: 0,
            fresh: 0,
            returned: BinaryHeap::new(),
            delayed: BinaryHeap::new(),
            in_flight: 0,
            visibility: Visibility::default(),
            undeliverable: VecDeque::new(),
            failures: BTreeMap::new(),
            dead_letters: VecDeque::new(),
            totals: Totals::default(),
        })
    }

    /// The limits it was made with.
    pub fn config(&self) -> &QueueConfig {
        &self.config
    }

    /// Takes a message in, at the returned position, or refuses it.
    #[inline]
    pub fn push(&mut self, now: Timestamp, message: Message) -> Result<u64, PushRefused> {
        self.advance(now);
        let bytes = message.bytes();
        if bytes > self.config.capacity_bytes {
            return Err(PushRefused::TooLarge { bytes, max: self.config.capacity_bytes });
        }
        if !self.has_room(bytes, None) {
            self.totals.busy += 1;
            return Err(PushRefused::Busy {
                depth: self.depth(),
                retry_after_micros: self.config.retry_after_micros,
            });
        }
        self.totals.accepted += 1;
        let position = self.append(message);
        self.assert_balanced();
        Ok(position)
    }

    /// Delivers ready messages to `consumer`, in order, behind what `deliveries` holds already: at most `max`, and at
    /// most `max_bytes` of bodies, but at least one if `max` is not 0 and one is ready.
    ///
    /// `consumer` is any number that tells the caller's consumers apart. What is due but was not handled by
    /// `handle_timeout` yet is not ready.
    pub fn pull(
        &mut self,
        now: Timestamp,
        consumer: u64,
        max: u32,
        max_bytes: u64,
        deliveries: &mut Vec<Delivery>,
    ) {
        self.advance(now);
        let visible_until = self.now.saturating_add_micros(self.config.visibility_timeout_micros);
        let mut bytes = 0;
        for taken in 0..max {
            let returned = self.returned.peek().map(|&Reverse(position)| position);
            let position = returned.unwrap_or(self.fresh);
            if position == self.slab.next_position() {
                break;
            }
            let held = self.slab.find_mut(position).expect("what is ready is held");
            bytes += held.message.bytes();
            if bytes > max_bytes && taken > 0 {
                break;
            }
            held.state = State::InFlight;
            held.due = visible_until;
            held.consumer = consumer;
            held.attempt = held.attempt.saturating_add(1);
            let token = Token { position, attempt: held.attempt };
            deliveries.push(Delivery { token, message: held.message.clone(), visible_until });
            self.visibility.delivered(position, token.attempt, visible_until);
            self.in_flight += 1;
            if returned.is_some() {
                self.returned.pop();
                self.totals.redelivered += 1;
            } else {
                self.fresh += 1;
            }
        }
        self.visibility.sweep(self.in_flight, &self.slab);
        self.assert_balanced();
    }

    /// The delivery is done: the message leaves the queue.
    #[inline]
    pub fn ack(&mut self, now: Timestamp, token: Token) -> Result<(), TokenRefused> {
        self.advance(now);
        self.settle(token)?;
        self.finish();
        Ok(())
    }

    /// Acks each token, and appends those that are refused to `refused`.
    pub fn ack_batch(&mut self, now: Timestamp, tokens: &[Token], refused: &mut Vec<(Token, TokenRefused)>) {
        self.advance(now);
        for &token in tokens {
            if let Err(reason) = self.settle(token) {
                refused.push((token, reason));
            }
        }
        self.finish();
    }

    /// The delivery failed: the message is ready again at `retry_at` (now, if that is past), or dead if it was the last
    /// attempt. `error` is kept, at most [`ERROR_BYTES_MAX`] of it.
    pub fn nack(
        &mut self,
        now: Timestamp,
        token: Token,
        retry_at: Timestamp,
        error: &str,
    ) -> Result<Failed, TokenRefused> {
        self.advance(now);
        self.check(token)?;
        let failed = self.fail(token.position, self.now, outcome::bounded(error), Some(retry_at));
        self.finish();
        Ok(failed)
    }

    /// The message will never succeed: it becomes a dead letter now. `reason` is kept as its last error, at most
    /// [`ERROR_BYTES_MAX`] of it.
    pub fn reject(&mut self, now: Timestamp, token: Token, reason: &str) -> Result<Failed, TokenRefused> {
        self.advance(now);
        self.check(token)?;
        let failed = self.fail(token.position, self.now, outcome::bounded(reason), None);
        self.finish();
        Ok(failed)
    }

    /// Moves the end of the delivery's time to `visible_until`, be it later or earlier than before. At or before `now`
    /// it ends the delivery.
    pub fn extend(
        &mut self,
        now: Timestamp,
        token: Token,
        visible_until: Timestamp,
    ) -> Result<(), TokenRefused> {
        self.advance(now);
        let before = self.check(token)?.due;
        if before != visible_until {
            self.slab.find_mut(token.position).expect("the token was checked").due = visible_until;
            self.visibility.extended(token.position, before, visible_until);
        }
        self.finish();
        Ok(())
    }

    /// Makes delayed messages ready whose time has come, and fails deliveries whose time is over.
    pub fn handle_timeout(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        self.advance(now);
        let mut due = Vec::new();
        self.visibility.expire(self.now, &self.slab, &mut due);
        while let Some(&Reverse((retry_at, position))) = self.delayed.peek()
            && retry_at <= self.now
        {
            self.delayed.pop();
            due.push((retry_at, position));
        }
        // As many timely calls would have had it; a delivery can be listed twice.
        due.sort_unstable();
        due.dedup();
        for (at, position) in due {
            self.handle_due(at, position, outputs);
        }
        self.finish();
    }

    /// When `handle_timeout` has something to do next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let expiry = self.visibility.next_due().map(|at| Deadline { at, reason: "a delivery expires" });
        let retry = self.delayed.peek().map(|&Reverse((at, _))| Deadline { at, reason: "a retry is due" });
        expiry.into_iter().chain(retry).min_by_key(|deadline| deadline.at)
    }

    /// The dead letters held, the first dead first.
    pub fn dead_letters(&self) -> impl ExactSizeIterator<Item = &DeadLetter> {
        self.dead_letters.iter()
    }

    /// Moves the first dead letter with this id to the end of the queue. What waits for its room becomes a dead letter
    /// in its place, and is named in `outputs`.
    pub fn redrive(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        outputs: &mut Vec<Output>,
    ) -> Result<u64, RedriveRefused> {
        self.advance(now);
        let index = self.find_dead_letter(id).ok_or(RedriveRefused::Unknown)?;
        self.redrive_at(index, outputs)
    }

    /// Redrives up to `max` of the dead letters held at the call, the first dead first, until the queue is full.
    pub fn redrive_oldest(&mut self, now: Timestamp, max: u32, outputs: &mut Vec<Output>) -> Redriven {
        self.advance(now);
        let mut redriven = Redriven { count: 0, refused: None };
        let held = u32::try_from(self.dead_letters.len()).unwrap_or(u32::MAX);
        while redriven.count < max.min(held) {
            match self.redrive_at(0, outputs) {
                Ok(_) => redriven.count += 1,
                Err(refused) => {
                    redriven.refused = Some(refused);
                    break;
                }
            }
        }
        redriven
    }

    /// Takes the first dead letter with this id out for good. What waits for its room becomes a dead letter in its
    /// place, and is named in `outputs`.
    pub fn purge(&mut self, now: Timestamp, id: &MessageId, outputs: &mut Vec<Output>) -> Option<DeadLetter> {
        self.advance(now);
        let index = self.find_dead_letter(id)?;
        let purged = self.dead_letters.remove(index)?;
        self.totals.purged += 1;
        self.bury_undeliverable(outputs);
        self.finish();
        Some(purged)
    }

    /// Figures for people and metrics. The ages count up to `now`.
    pub fn stats(&self, now: Timestamp) -> QueueStats {
        let Totals { accepted, acked, dead_lettered, redelivered, redriven, purged, busy, attempts } =
            self.totals;
        QueueStats {
            depth: self.slab.len(),
            bytes: self.bytes,
            ready: self.ready(),
            delayed: self.delayed.len() as u64,
            in_flight: self.in_flight,
            undeliverable: self.undeliverable.len() as u64,
            oldest_age_micros: self
                .slab
                .oldest()
                .map_or(0, |held| self.now.max(now).micros_since(held.accepted_at)),
            dead_lettered: self.dead_letters.len() as u64,
            dead_letters_full: self.dead_letters_are_full(),
            accepted,
            acked,
            dead_lettered_total: dead_lettered,
            redelivered,
            redriven,
            purged,
            busy,
            attempts,
        }
    }

    /// Do the books balance? Accepted = queued + in flight + acked + dead-lettered + purged. Constant time.
    #[inline]
    pub fn is_balanced(&self) -> bool {
        let queued = self.ready() + (self.delayed.len() + self.undeliverable.len()) as u64;
        let gone = self.totals.acked + self.dead_letters.len() as u64 + self.totals.purged;
        self.slab.len() == queued + self.in_flight && self.totals.accepted == self.slab.len() + gone
    }

    #[inline]
    fn assert_balanced(&self) {
        assert!(self.is_balanced(), "the queue's books do not balance: {:?}", self.stats(self.now));
    }

    /// Ends a step that may have settled deliveries.
    #[inline]
    fn finish(&mut self) {
        self.slab.trim();
        self.visibility.trim(self.in_flight, &self.slab);
        self.assert_balanced();
    }

    /// Time never falls, so that deliveries expire in the order in which they were made.
    #[inline]
    fn advance(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    #[inline]
    fn ready(&self) -> u64 {
        self.returned.len() as u64 + (self.slab.next_position() - self.fresh)
    }

    /// Messages held; the capacity bounds them.
    fn depth(&self) -> u32 {
        u32::try_from(self.slab.len()).unwrap_or(u32::MAX)
    }

    fn dead_letters_are_full(&self) -> bool {
        self.dead_letters.len() as u64 >= u64::from(self.config.dead_letters_max)
    }

    /// Is there room for one more message of `bytes` once the held message `leaving` has left?
    #[inline]
    fn has_room(&self, bytes: u64, leaving: Option<&Held>) -> bool {
        let leaving_count = u64::from(leaving.is_some());
        let leaving_bytes = leaving.map_or(0, |held| held.message.bytes());
        self.slab.len() - leaving_count < u64::from(self.config.capacity_messages)
            && self.bytes - leaving_bytes <= self.config.capacity_bytes - bytes
    }

    #[inline]
    fn append(&mut self, message: Message) -> u64 {
        self.bytes += message.bytes();
        self.slab.push(Held {
            message,
            accepted_at: self.now,
            due: self.now,
            consumer: 0,
            attempt: 0,
            state: State::Ready,
        })
    }

    #[inline]
    fn remove(&mut self, position: u64) -> Held {
        let held = self.slab.remove(position).expect("only held messages are removed");
        self.bytes -= held.message.bytes();
        held
    }

    /// The message of a token in force.
    #[inline]
    fn check(&self, token: Token) -> Result<&Held, TokenRefused> {
        let Some(held) = self.slab.find(token.position) else {
            let was_taken = token.position < self.slab.next_position();
            return Err(if was_taken { TokenRefused::Settled } else { TokenRefused::Unknown });
        };
        if token.attempt == 0 || token.attempt > held.attempt {
            return Err(TokenRefused::Unknown);
        }
        if token.attempt < held.attempt || held.state != State::InFlight || held.due <= self.now {
            return Err(TokenRefused::Expired);
        }
        Ok(held)
    }

    #[inline]
    fn settle(&mut self, token: Token) -> Result<(), TokenRefused> {
        self.check(token)?;
        let held = self.remove(token.position);
        self.in_flight -= 1;
        self.visibility.settled(token.position, held.due);
        if held.attempt > 1 {
            self.failures.remove(&token.position);
        }
        self.totals.acked += 1;
        self.totals.settled_after(held.attempt);
        Ok(())
    }

    fn handle_due(&mut self, at: Timestamp, position: u64, outputs: &mut Vec<Output>) {
        let held = self.slab.find_mut(position).expect("what is due is held");
        let (id, attempts, consumer) = (held.message.id, held.attempt, held.consumer);
        let redelivered = |cause| Output::Redelivered { position, id, attempts, consumer, cause, at };
        if held.state == State::Delayed {
            held.state = State::Ready;
            self.returned.push(Reverse(position));
            outputs.push(redelivered(RedeliveryCause::RetryDue));
            return;
        }
        match self.fail(position, at, Cow::Borrowed(VISIBILITY_EXPIRED), Some(at)) {
            Failed::Retry { .. } => outputs.push(redelivered(RedeliveryCause::VisibilityExpired)),
            Failed::DeadLettered => outputs.extend(self.dead_letters.back().map(DeadLetter::output)),
            Failed::Undeliverable => outputs.push(Output::Undeliverable { position, id, attempts, at }),
        }
    }

    /// Ends a delivery in flight without success; without `retry_at` for good.
    fn fail(
        &mut self,
        position: u64,
        failed_at: Timestamp,
        last_error: Cow<'static, str>,
        retry_at: Option<Timestamp>,
    ) -> Failed {
        let held = self.slab.find_mut(position).expect("what is in flight is held");
        let due = held.due;
        let dead = match retry_at {
            None => Some(DeadReason::Rejected),
            Some(_) if held.attempt >= self.config.attempts_max => Some(DeadReason::AttemptsExhausted),
            Some(_) => None,
        };
        let retry_at = retry_at.unwrap_or(failed_at).max(failed_at);
        held.state = match dead {
            Some(_) => State::Undeliverable,
            None if retry_at > self.now => State::Delayed,
            None => State::Ready,
        };
        held.due = retry_at;
        let state = held.state;
        self.in_flight -= 1;
        self.visibility.settled(position, due);
        let new = Failures { first_at: failed_at, last_at: failed_at, last_error: Cow::Borrowed(""), dead };
        let failures = self.failures.entry(position).or_insert(new);
        (failures.last_at, failures.last_error, failures.dead) = (failed_at, last_error, dead);
        match state {
            State::Ready => self.returned.push(Reverse(position)),
            State::Delayed => self.delayed.push(Reverse((retry_at, position))),
            State::Undeliverable | State::InFlight => {
                self.undeliverable.push_back(position);
                let is_buried = self.bury_next();
                return if is_buried { Failed::DeadLettered } else { Failed::Undeliverable };
            }
        }
        Failed::Retry { at: retry_at }
    }

    /// Makes the undeliverable message that failed first a dead letter if there is room. Says if it did.
    fn bury_next(&mut self) -> bool {
        if self.dead_letters_are_full() {
            return false;
        }
        let Some(position) = self.undeliverable.pop_front() else { return false };
        let held = self.remove(position);
        let failures = self.failures.remove(&position).expect("what is undeliverable has failed");
        self.totals.dead_lettered += 1;
        self.totals.settled_after(held.attempt);
        self.dead_letters.push_back(DeadLetter {
            message: held.message,
            reason: failures.dead.expect("what is undeliverable has a reason"),
            attempts: held.attempt,
            last_error: failures.last_error,
            accepted_at: held.accepted_at,
            first_failed_at: failures.first_at,
            last_failed_at: failures.last_at,
        });
        true
    }

    fn bury_undeliverable(&mut self, outputs: &mut Vec<Output>) {
        while self.bury_next() {
            outputs.extend(self.dead_letters.back().map(DeadLetter::output));
        }
    }

    fn find_dead_letter(&self, id: &MessageId) -> Option<usize> {
        self.dead_letters.iter().position(|dead| dead.message.id == *id)
    }

    fn redrive_at(&mut self, index: usize, outputs: &mut Vec<Output>) -> Result<u64, RedriveRefused> {
        // The dead letter's room goes to the first undeliverable message, whose place in the queue it may take.
        let leaving = self.undeliverable.front().and_then(|&position| self.slab.find(position));
        if !self.has_room(self.dead_letters[index].message.bytes(), leaving) {
            return Err(RedriveRefused::Busy {
                depth: self.depth(),
                retry_after_micros: self.config.retry_after_micros,
            });
        }
        let dead = self.dead_letters.remove(index).expect("the index was looked up");
        self.bury_undeliverable(outputs);
        self.slab.trim();
        let position = self.append(dead.message);
        self.totals.redriven += 1;
        self.finish();
        Ok(position)
    }
}

#[cfg(test)]
impl Queue {
    /// Recounts everything that is kept in step by hand.
    pub(crate) fn assert_consistent(&self) {
        let count = |state| self.slab.iter().filter(|(_, held)| held.state == state).count() as u64;
        assert!(self.is_balanced());
        assert_eq!(self.slab.iter().count() as u64, self.slab.len());
        assert_eq!(count(State::Ready), self.ready());
        assert_eq!(count(State::Delayed), self.delayed.len() as u64);
        assert_eq!(count(State::InFlight), self.in_flight);
        assert_eq!(count(State::Undeliverable), self.undeliverable.len() as u64);
        assert_eq!(self.slab.iter().map(|(_, held)| held.message.bytes()).sum::<u64>(), self.bytes);
        assert!(self.undeliverable.is_empty() || self.dead_letters_are_full());
        assert!(self.failures.keys().all(|&position| self.slab.find(position).is_some()));
        let in_flight_dues =
            self.slab.iter().filter(|(_, held)| held.state == State::InFlight).map(|(_, held)| held.due);
        assert_eq!(in_flight_dues.min(), self.visibility.next_due());
        assert!(self.slab.slots_count() <= 2 * u64::from(self.config.capacity_messages) + 3);
        assert!(self.visibility.runs_count() <= 2 * u64::from(self.config.capacity_messages) + 2);
    }
}
