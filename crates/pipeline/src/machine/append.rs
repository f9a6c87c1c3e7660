//! The way of a batch: sealed, handed to the driver, durable, handed on; and the ends of a pipeline.

use alloc::vec::Vec;
use broker::{Delivery, Message, MessageId};
use bytes::Bytes;
use time::Timestamp;

use super::{Batch, CONSUMER, Pipeline, State, Waiting, count, open_envelope};
use crate::AppendedIs;
use crate::read_models::{DurableBatch, ReadModels};
use crate::types::{Answer, Append, Output};

impl<R: ReadModels> Pipeline<R> {
    pub(super) fn append(&mut self, outputs: &mut Vec<Output>) {
        if self.gathering.records.is_empty()
            || count(self.in_flight.len()) >= self.config.appends_in_flight_max
        {
            return;
        }
        self.seal(outputs);
    }

    /// Hands what is gathered to the driver: one append, one seal.
    fn seal(&mut self, outputs: &mut Vec<Output>) {
        let mut batch = core::mem::take(&mut self.gathering);
        self.gathering.first_sequence = self.next_sequence;
        let durable_before = match self.config.appended_is {
            AppendedIs::Durable => self.durable_before,
            AppendedIs::Written => self.known_durable_before,
        };
        self.encoder.seal(self.generation, self.recorded_at, durable_before, &mut batch.bytes);
        batch.digest = self.ledger.digest();
        batch.border = self.encoder.border();
        batch.sealed = Bytes::from(core::mem::take(&mut batch.bytes));
        outputs.push(Output::Append(Append {
            first_sequence: batch.first_sequence,
            next_sequence: self.next_sequence,
            place: batch.place,
            bytes: batch.sealed.clone(),
        }));
        self.in_flight.push_back(batch);
    }

    // After the append.

    pub(super) fn appended(&mut self, now: Timestamp, before: u64, outputs: &mut Vec<Output>) {
        if self.state != State::Running {
            let closing = self.in_flight.drain(..).next_back();
            if let Some(closing) = closing.filter(|_| self.state == State::Closed) {
                self.durable_border = closing.border;
                self.hand_on(closing);
            }
            return;
        }
        assert!(before <= self.next_sequence, "records that were never handed out cannot be durable");
        while let Some(batch) = self.in_flight.front() {
            if batch.next_sequence() > before {
                break;
            }
            if let Some(batch) = self.in_flight.pop_front() {
                self.publish(now, batch);
            }
        }
        while self.waiting.front().is_some_and(|waiting| waiting.needs_before <= self.durable_before) {
            if let Some(Waiting { reply, token, .. }) = self.waiting.pop_front() {
                self.reply(reply.request_id, reply.answer, outputs);
                match token {
                    Some(token) => self.ack(now, token),
                    None => self.repeats_waiting -= 1,
                }
            }
        }
    }

    fn publish(&mut self, now: Timestamp, batch: Batch) {
        self.totals.appends += 1;
        self.durable_before = batch.next_sequence();
        self.durable_digest = batch.digest;
        self.durable_border = batch.border;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&batch.first_sequence.to_le_bytes());
        let message = Message { id: MessageId(id), body: batch.sealed.clone(), timestamp: now };
        self.events.publish(now, message).expect("the topic holds the largest batch, says Config::validate");
        self.hand_on(batch);
    }

    fn hand_on(&mut self, batch: Batch) {
        let Batch { sealed, digest, border, first_sequence, records, events, .. } = batch;
        self.read_models.publish(DurableBatch {
            bytes: sealed,
            border: border.expect("a batch ends in a seal"),
            digest,
            first_sequence,
            generation: self.generation,
            records,
            events,
        });
    }

    /// An expired token is fine: the command was delivered again and will be found to have its outcome.
    pub(super) fn ack(&mut self, now: Timestamp, token: broker::Token) {
        let _ = self.commands.ack(now, token);
    }

    /// Nobody is left waiting for an answer that can not come: what waits for an append, for a look-up or in the queue.
    pub(super) fn stop(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        if self.state == State::Stopped {
            return;
        }
        self.state = State::Stopped;
        let waiting = core::mem::take(&mut self.waiting).into_iter().map(|waiting| waiting.reply.request_id);
        let staged = core::mem::take(&mut self.stage).into_iter().map(|staged| staged.request_id);
        let lookups = core::mem::take(&mut self.gateway_lookups).into_iter().map(|lookup| lookup.request_id);
        let mut unanswered: Vec<u64> = waiting.chain(staged).chain(lookups).collect();
        let mut queued: Vec<Delivery> = Vec::new();
        self.commands.pull(now, CONSUMER, u32::MAX, u64::MAX, &mut queued);
        let envelopes = queued.iter().filter_map(|delivery| open_envelope(&delivery.message.body).ok());
        unanswered.extend(envelopes.map(|(request_id, _)| request_id));
        self.repeats_waiting = 0;
        self.gateway_ids = 0;
        for request_id in unanswered {
            self.reply(request_id, Answer::Unavailable, outputs);
        }
    }

    pub(super) fn close(&mut self, outputs: &mut Vec<Output>) {
        if self.state == State::Running && self.is_settled() && self.next_sequence > 0 {
            self.known_durable_before = self.durable_before;
            self.seal(outputs);
            self.state = State::Closed;
        }
    }
}
