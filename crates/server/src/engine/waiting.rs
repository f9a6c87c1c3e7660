//! Who waits for which answer: one entry for a command, one for a whole batch.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use pipeline::{Answer, Request};
use tokio::sync::oneshot;

use super::inbox::Arrival;
use super::{BATCH_COMMANDS_MAX, Told};

/// Low bits of a request id: the command's place in its batch. The rest is the number of the arrival, which never comes
/// again, because a dead letter that is redriven is answered once more under its old id.
const PLACE_BITS: u32 = BATCH_COMMANDS_MAX.trailing_zeros();

/// Everybody who waits, by the number of the arrival.
#[derive(Default)]
pub(super) struct Waiting {
    arrivals: HashMap<u64, Entry, BuildHasherDefault<Dense>>,
    next_arrival: u64,
}

enum Entry {
    One(oneshot::Sender<Told>),
    Batch(Batch),
}

struct Batch {
    told: Vec<Option<Told>>,
    /// How many are still `None`.
    unanswered: usize,
    tell: oneshot::Sender<Vec<Told>>,
}

impl Waiting {
    /// Numbers the commands of an arrival and appends them to `requests`.
    pub(super) fn add(&mut self, arrival: Arrival, requests: &mut Vec<Request>) {
        let first = self.next_arrival << PLACE_BITS;
        let entry = match arrival {
            Arrival::One { command, tell } => {
                requests.push(Request { request_id: first, command });
                Entry::One(tell)
            }
            Arrival::Batch { commands, tell } => {
                let unanswered = commands.len();
                let numbered = (first..).zip(commands);
                requests.extend(numbered.map(|(request_id, command)| Request { request_id, command }));
                Entry::Batch(Batch { told: vec![None; unanswered], unanswered, tell })
            }
        };
        self.arrivals.insert(self.next_arrival, entry);
        self.next_arrival += 1;
    }

    /// Takes an answer in, and tells whoever waits for it or for the last of its batch. A request may be answered more than
    /// once; the first answer counts. A client that went away finds its outcome under its id. `full` says why there is no
    /// room, if that is the answer.
    pub(super) fn answer(&mut self, request_id: u64, answer: Answer, full: impl Fn() -> Arc<str>) {
        let (arrival, place) = (request_id >> PLACE_BITS, request_id & (BATCH_COMMANDS_MAX as u64 - 1));
        match self.arrivals.get_mut(&arrival) {
            None => {}
            Some(Entry::One(_)) => {
                if let Some(Entry::One(tell)) = self.arrivals.remove(&arrival) {
                    let _ = tell.send(told(answer, full));
                }
            }
            Some(Entry::Batch(batch)) => {
                let slot = usize::try_from(place).ok().and_then(|place| batch.told.get_mut(place));
                let Some(slot @ None) = slot else { return };
                *slot = Some(told(answer, full));
                batch.unanswered -= 1;
                if batch.unanswered == 0
                    && let Some(Entry::Batch(Batch { told, tell, .. })) = self.arrivals.remove(&arrival)
                {
                    let _ = tell.send(told.into_iter().map(|told| told.unwrap_or(Told::Unknown)).collect());
                }
            }
        }
    }
}

fn told(answer: Answer, full: impl Fn() -> Arc<str>) -> Told {
    match answer {
        Answer::Done { outcome, replayed } => Told::Done { outcome, replayed },
        Answer::Linked { outcomes, replayed } => Told::Linked { outcomes, replayed },
        Answer::Conflict { transaction_id: _ } => Told::Conflict,
        Answer::Busy { depth: _, retry_after_micros } => Told::Busy { retry_after_micros },
        Answer::DeadLettered { transaction_id: _ } => Told::DeadLettered,
        Answer::StorageFull => Told::StorageFull { why: full() },
        Answer::Unavailable => Told::Unknown,
    }
}

/// Hashes the numbers of arrivals, which are dense and nobody's choice but ours, so nobody can make them collide.
#[derive(Default)]
struct Dense(u64);

impl Hasher for Dense {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // An odd factor keeps the low bits of dense numbers apart, and moves them to the high ones too.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use ledger::{Command, TransactionId};
    use pipeline::Replayed;

    use super::*;

    fn command(number: u8) -> Command {
        let account = "a".parse().expect("a name");
        let transaction_id = TransactionId::from_bytes([number; 16]);
        Command::Deposit { transaction_id, account, amount: 1, metadata: None }
    }

    fn done(number: u8) -> Answer {
        let transaction_id = TransactionId::from_bytes([number; 16]);
        let result = ledger::TransactionResult::Completed;
        let outcome = pipeline::Outcome { transaction_id, sequence: number.into(), result };
        Answer::Done { outcome, replayed: Replayed::First }
    }

    fn sequences(told: &[Told]) -> Vec<u64> {
        let sequence = |told: &Told| match told {
            Told::Done { outcome, .. } => outcome.sequence,
            _ => u64::MAX,
        };
        told.iter().map(sequence).collect()
    }

    #[test]
    fn a_batch_is_told_once_in_order_and_a_late_answer_reaches_nobody() {
        let mut waiting = Waiting::default();
        let mut requests = Vec::new();
        let (tell, mut one) = oneshot::channel();
        waiting.add(Arrival::One { command: command(0), tell }, &mut requests);
        let (tell, mut batch) = oneshot::channel();
        waiting
            .add(Arrival::Batch { commands: vec![command(1), command(2), command(3)], tell }, &mut requests);
        let ids: Vec<u64> = requests.iter().map(|request| request.request_id).collect();
        waiting.answer(ids[3], done(3), || "full".into());
        waiting.answer(ids[1], done(1), || "full".into());
        // Of a dead letter that was redriven: the first answer counts.
        waiting.answer(ids[1], done(9), || "full".into());
        assert!(batch.try_recv().is_err(), "one is missing");
        waiting.answer(ids[2], done(2), || "full".into());
        assert_eq!(sequences(&batch.try_recv().expect("told")), [1, 2, 3]);
        waiting.answer(ids[0], done(0), || "full".into());
        assert_eq!(sequences(&[one.try_recv().expect("told")]), [0]);
        waiting.answer(ids[0], done(9), || "full".into());
        waiting.answer(ids[2], done(9), || "full".into());
        assert!(waiting.arrivals.is_empty());
    }
}
