//! What happens because time has passed.

use ledger::{CommandKind, Record};
use projection::Found;

use super::Pipeline;
use crate::read_models::ReadModels;

impl<R: ReadModels> Pipeline<R> {
    /// Lets pending transfers expire, those with the earliest deadlines first.
    pub(super) fn expire_due(&mut self) {
        for _ in 0..self.config.expiries_max {
            let due = self.ledger.next_expiry().filter(|(at, _)| *at <= self.recorded_at);
            let Some((_, pending_id)) = due.filter(|_| self.has_room() && self.has_segment()) else { return };
            let events_start = self.gathering.events.len();
            self.ledger.expire(self.recorded_at, pending_id, &mut self.gathering.events);
            let sequence = self.record(CommandKind::ExpireTransfer, 1, events_start);
            self.totals.expired += 1;
            self.remember_expiry(sequence, events_start);
        }
    }

    /// A client that sends the id of an expiry gets a conflict; if it had an answer before, it keeps that.
    fn remember_expiry(&mut self, sequence: u64, events_start: usize) {
        let record = Record {
            sequence,
            recorded_at: self.recorded_at,
            generation: self.generation,
            kind: CommandKind::ExpireTransfer,
            events: &self.gathering.events[events_start..],
        };
        for transaction in record.transactions().flatten() {
            let fingerprint = transaction.fingerprint(|index| self.ledger.account(index).name);
            let found = Found { sequence, fingerprint, result: transaction.result() };
            if self.recent.find(&transaction.transaction_id).is_none() {
                self.recent.insert(transaction.transaction_id, found, self.durable_before);
            }
        }
    }
}
