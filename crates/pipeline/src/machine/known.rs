//! The idempotency stage: what a command whose ids have outcomes is answered.

use alloc::vec::Vec;
use ledger::{Command, Event, TransactionId, TransactionResult};
use projection::Found;

use super::{Asked, Ids, LookupState, Pipeline};
use crate::read_models::ReadModels;
use crate::types::{Answer, Outcome, Replayed};

impl<R: ReadModels> Pipeline<R> {
    /// The answer to a command whose ids are all remembered, and the records that it waits for.
    pub(super) fn answer_from_memory(
        &mut self,
        transaction_id: TransactionId,
        command: &Command,
    ) -> Option<(u64, Answer)> {
        let found = *self.recent.find(&transaction_id)?;
        if let Command::Linked { transfers } = command {
            let ids = Ids::of(command);
            let remembered = transfers.members().iter().map(Command::transaction_id);
            if !remembered.into_iter().all(|id| self.recent.find(&id).is_some()) {
                return None;
            }
            return self.known_answer(command, &ids);
        }
        Some((found.sequence + 1, self.single_answer(transaction_id, command, found)))
    }

    /// The answer to a command of which an id has an outcome, and the records that it waits for. `None` if all is new.
    pub(super) fn known_answer(&mut self, command: &Command, ids: &Ids) -> Option<(u64, Answer)> {
        match ids {
            Ids::One(asked) => {
                let found = self.known(asked)?;
                Some((found.sequence + 1, self.single_answer(asked.transaction_id, command, found)))
            }
            Ids::Group(members) => {
                let found: Vec<Option<Found>> = members.iter().map(|asked| self.known(asked)).collect();
                let needs_before = found.iter().flatten().map(|found| found.sequence + 1).max()?;
                Some((needs_before, self.group_answer(command, members, &found)))
            }
        }
    }

    /// What is known of an id: what was looked up, or what was executed since.
    fn known(&self, asked: &Asked) -> Option<Found> {
        match asked.lookup {
            LookupState::Found(found) => Some(found),
            LookupState::Asked | LookupState::Absent => self.recent.find(&asked.transaction_id).copied(),
        }
    }

    /// The answer to a command whose id has an outcome: that outcome, or a conflict if the bodies differ.
    fn single_answer(&mut self, transaction_id: TransactionId, command: &Command, found: Found) -> Answer {
        if command.fingerprint() == found.fingerprint {
            self.totals.repeats += 1;
            let outcome = Outcome { transaction_id, sequence: found.sequence, result: found.result };
            Answer::Done { outcome, replayed: Replayed::Again }
        } else {
            self.totals.conflicts += 1;
            Answer::Conflict { transaction_id }
        }
    }

    /// The answer to a group of which a member has an outcome: all outcomes, if all members have one, of the same bodies and
    /// in one record; otherwise a conflict, with the first member that has another body or, if there is none, an outcome.
    fn group_answer(&mut self, command: &Command, members: &[Asked], found: &[Option<Found>]) -> Answer {
        let known = command.members().iter().zip(members).zip(found);
        let known =
            known.filter_map(|((member, asked), found)| Some((member, asked.transaction_id, (*found)?)));
        let other_body = known.clone().find(|(member, _, found)| member.fingerprint() != found.fingerprint);
        let sequence = known.clone().next().map(|(_, _, found)| found.sequence);
        let together = found.iter().all(|found| found.map(|found| found.sequence) == sequence);
        match other_body.or_else(|| known.clone().next().filter(|_| !together)) {
            Some((_, transaction_id, _)) => {
                self.totals.conflicts += 1;
                Answer::Conflict { transaction_id }
            }
            None => {
                self.totals.repeats += 1;
                let outcomes = known.map(|(_, transaction_id, Found { sequence, result, .. })| Outcome {
                    transaction_id,
                    sequence,
                    result,
                });
                Answer::Linked { outcomes: outcomes.collect(), replayed: Replayed::Again }
            }
        }
    }
}

/// What a transaction came to, by its last event, or by any event of a group.
pub(super) fn result_of(event: Option<&Event>) -> TransactionResult {
    match event {
        Some(Event::TransactionFailed(failure)) => TransactionResult::Refused(failure.reason),
        Some(
            Event::AccountOpened { .. }
            | Event::MoneyDeducted { .. }
            | Event::MoneyCredited { .. }
            | Event::TransferPending { .. }
            | Event::TransferPosted { .. }
            | Event::TransferVoided { .. }
            | Event::TransferExpired { .. }
            | Event::FloorChanged { .. }
            | Event::MetadataAttached { .. },
        ) => TransactionResult::Completed,
        None => unreachable!("every command has at least one event"),
    }
}
