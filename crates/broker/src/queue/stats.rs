//! The books of a queue.

/// Number of buckets of [`QueueStats::attempts`].
const ATTEMPTS_BUCKETS: usize = 8;

/// Figures of a [`Queue`](crate::Queue).
///
/// `accepted` = `ready` + `delayed` + `undeliverable` + `in_flight` + `acked` + `dead_lettered` + `purged`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages held: what counts against `capacity_messages`.
    pub depth: u64,
    /// Body bytes held: what counts against `capacity_bytes`.
    pub bytes: u64,
    /// Messages that the next pulls deliver.
    pub ready: u64,
    /// Messages that wait for the time of their retry.
    pub delayed: u64,
    /// Messages at consumers.
    pub in_flight: u64,
    /// Messages that should be dead letters and wait for room there.
    pub undeliverable: u64,
    /// Microseconds since the message with the lowest position was taken in; 0 if there is none.
    pub oldest_age_micros: u64,
    /// Dead letters held.
    pub dead_lettered: u64,
    /// Are as many dead letters held as may be?
    pub dead_letters_full: bool,
    /// Messages ever pushed with success.
    pub accepted: u64,
    /// Messages ever acked.
    pub acked: u64,
    /// How often a message became a dead letter.
    pub dead_lettered_total: u64,
    /// Deliveries ever made of a message that had been delivered before.
    pub redelivered: u64,
    /// How often a dead letter went back into the queue.
    pub redriven: u64,
    /// Dead letters taken out for good.
    pub purged: u64,
    /// Pushes refused because the queue was full.
    pub busy: u64,
    /// How many messages were acked or became dead letters after 1, 2, ... 7 deliveries; the last counts 8 and more.
    pub attempts: [u64; ATTEMPTS_BUCKETS],
}

impl QueueStats {
    /// Messages that wait, for whatever.
    pub fn queued(&self) -> u64 {
        self.ready + self.delayed + self.undeliverable
    }
}

/// What only ever counts up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) accepted: u64,
    pub(super) acked: u64,
    pub(super) dead_lettered: u64,
    pub(super) redelivered: u64,
    pub(super) redriven: u64,
    pub(super) purged: u64,
    pub(super) busy: u64,
    pub(super) attempts: [u64; ATTEMPTS_BUCKETS],
}

impl Totals {
    #[inline]
    pub(super) fn settled_after(&mut self, attempts: u32) {
        let bucket = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX).min(ATTEMPTS_BUCKETS - 1);
        self.attempts[bucket] += 1;
    }
}
