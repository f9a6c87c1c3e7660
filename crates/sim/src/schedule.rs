//! What is going to happen in a world, in order.

use std::collections::BTreeMap;

use ledger::TransactionId;
use pipeline::{Reply, Request};
use time::Timestamp;

use crate::node::LateAppend;
use crate::options::FaultKind;

/// Which of the pipelines of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeIndex(pub(crate) u32);

/// One scheduled occurrence: what one step works off.
#[derive(Clone, Debug)]
pub(crate) enum Occurrence {
    /// A fault from the options.
    Fault(FaultKind),
    /// A crash drawn from the seed.
    Crash,
    /// A crash made by hand.
    CrashByHand { down_micros: u64 },
    /// A dead pipeline reads its log.
    Restart(NodeIndex),
    /// A pipeline that has read its log begins to work.
    Resume(NodeIndex),
    /// The oldest append in flight is durable.
    Appended(NodeIndex),
    /// An append failed.
    AppendFailed(NodeIndex),
    /// An append of a dead pipeline reaches the store.
    LateAppend(LateAppend),
    /// The index answers.
    Lookups(Vec<TransactionId>),
    /// A pipeline wanted to be called at this time.
    PipelineTimeout(NodeIndex),
    /// Commands made by hand are at the gateway.
    ByHand(Vec<Request>),
    /// Somebody redrives dead letters.
    Redrive { max: u32 },
    /// The operator who redrives every so often.
    RedriveRound,
    /// Messages from clients arrive at the gateway.
    Requests(Vec<Request>),
    /// The feed sends its next rows.
    Feed,
    /// Messages from the gateway arrive at clients.
    Answers(Vec<Reply>),
    /// Clients look at their watches.
    ClientTimeouts,
    /// Clients begin their next command, or send one again.
    Wakes(Vec<u32>),
    /// Commands of the open loop arrive.
    Arrivals,
    /// The read store has folded a batch.
    ReadStore,
    /// The generated workload begins.
    WorkloadStarts,
}

/// Occurrences by time, then by class, then in the order in which they were scheduled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    queue: BTreeMap<Key, Occurrence>,
    scheduled: u64,
    /// Occurrences that do not keep a world from being idle.
    background: usize,
}

/// Where an occurrence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) at: Timestamp,
    class: u8,
    number: u64,
}

impl Schedule {
    /// Adds an occurrence behind all others of its class at the same time.
    pub(crate) fn add(&mut self, at: Timestamp, occurrence: Occurrence) -> Key {
        self.scheduled += 1;
        let key = Key { at, class: class(&occurrence), number: self.scheduled };
        self.background += usize::from(is_background(&occurrence));
        self.queue.insert(key, occurrence);
        key
    }

    /// A message to the gateway; all that arrive at the same time are one occurrence.
    pub(crate) fn add_request(&mut self, at: Timestamp, request: Request) {
        let key = Key { at, class: class(&Occurrence::Requests(Vec::new())), number: 0 };
        match self.queue.entry(key).or_insert_with(|| Occurrence::Requests(Vec::new())) {
            Occurrence::Requests(requests) => requests.push(request),
            other => unreachable!("{other:?} has another class"),
        }
    }

    /// A message to a client; all that arrive at the same time are one occurrence.
    pub(crate) fn add_answer(&mut self, at: Timestamp, reply: Reply) {
        let key = Key { at, class: class(&Occurrence::Answers(Vec::new())), number: 0 };
        match self.queue.entry(key).or_insert_with(|| Occurrence::Answers(Vec::new())) {
            Occurrence::Answers(replies) => replies.push(reply),
            other => unreachable!("{other:?} has another class"),
        }
    }

    /// A client that goes on at this time; all of them are one occurrence.
    pub(crate) fn add_wake(&mut self, at: Timestamp, client: u32) {
        let key = Key { at, class: class(&Occurrence::Wakes(Vec::new())), number: 0 };
        match self.queue.entry(key).or_insert_with(|| Occurrence::Wakes(Vec::new())) {
            Occurrence::Wakes(clients) => clients.push(client),
            other => unreachable!("{other:?} has another class"),
        }
    }

    /// A look-up that is answered at this time; all of them are one occurrence.
    pub(crate) fn add_lookup(&mut self, at: Timestamp, id: TransactionId) {
        let key = Key { at, class: class(&Occurrence::Lookups(Vec::new())), number: 0 };
        match self.queue.entry(key).or_insert_with(|| Occurrence::Lookups(Vec::new())) {
            Occurrence::Lookups(ids) => ids.push(id),
            other => unreachable!("{other:?} has another class"),
        }
    }

    /// What comes next.
    pub(crate) fn peek(&self) -> Option<(Key, &Occurrence)> {
        self.queue.first_key_value().map(|(key, occurrence)| (*key, occurrence))
    }

    /// Takes what comes next.
    pub(crate) fn pop(&mut self) -> Option<(Key, Occurrence)> {
        let (key, occurrence) = self.queue.pop_first()?;
        self.background -= usize::from(is_background(&occurrence));
        Some((key, occurrence))
    }

    /// Takes an occurrence away again; nothing happens if it is gone.
    pub(crate) fn remove(&mut self, key: Key) {
        if let Some(occurrence) = self.queue.remove(&key) {
            self.background -= usize::from(is_background(&occurrence));
        }
    }

    /// Takes away what only a living pipeline can be told.
    pub(crate) fn forget_node(&mut self, node: NodeIndex) {
        self.queue.retain(|_, occurrence| match occurrence {
            Occurrence::Appended(of) | Occurrence::AppendFailed(of) | Occurrence::PipelineTimeout(of) => {
                *of != node
            }
            Occurrence::Lookups(_) => false,
            _ => true,
        });
    }

    /// Whether nothing is left but what goes on for ever by itself.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.len() == self.background
    }

    /// Messages on their way to the gateway and to clients.
    pub(crate) fn messages(&self) -> (u64, u64) {
        self.queue.values().fold((0, 0), |(requests, replies), occurrence| match occurrence {
            Occurrence::Requests(list) => (requests + list.len() as u64, replies),
            Occurrence::Answers(list) => (requests, replies + list.len() as u64),
            _ => (requests, replies),
        })
    }
}

/// Things that happen at the same time happen in this order: what the world does to a pipeline first, then what
/// the pipeline was waiting for, then what is new.
fn class(occurrence: &Occurrence) -> u8 {
    match occurrence {
        Occurrence::Fault(_) => 0,
        Occurrence::Crash | Occurrence::CrashByHand { .. } => 1,
        Occurrence::Restart(_) => 2,
        Occurrence::Resume(_) => 3,
        Occurrence::Appended(_) => 4,
        Occurrence::AppendFailed(_) => 5,
        Occurrence::LateAppend(_) => 6,
        Occurrence::Lookups(_) => 7,
        Occurrence::PipelineTimeout(_) => 8,
        Occurrence::ByHand(_) => 9,
        Occurrence::Redrive { .. } => 10,
        Occurrence::RedriveRound => 11,
        Occurrence::Requests(_) => 12,
        Occurrence::Feed => 13,
        Occurrence::Answers(_) => 14,
        Occurrence::ClientTimeouts => 15,
        Occurrence::Wakes(_) => 16,
        Occurrence::Arrivals => 17,
        Occurrence::ReadStore => 18,
        Occurrence::WorkloadStarts => 19,
    }
}

fn is_background(occurrence: &Occurrence) -> bool {
    matches!(occurrence, Occurrence::Crash | Occurrence::Fault(_) | Occurrence::RedriveRound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_time_then_class_then_age() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let mut schedule = Schedule::default();
        schedule.add_wake(at(5), 1);
        schedule.add(at(5), Occurrence::Feed);
        schedule.add(at(7), Occurrence::Crash);
        schedule.add(at(5), Occurrence::Redrive { max: 1 });
        schedule.add(at(5), Occurrence::Redrive { max: 2 });
        schedule.add_wake(at(5), 2);
        let gone = schedule.add(at(1), Occurrence::ReadStore);
        schedule.remove(gone);
        let mut order = Vec::new();
        while !schedule.is_idle() {
            let (key, occurrence) = schedule.pop().unwrap();
            order.push(format!("{} {occurrence:?}", key.at.micros()));
        }
        assert_eq!(order, ["5 Redrive { max: 1 }", "5 Redrive { max: 2 }", "5 Feed", "5 Wakes([1, 2])"]);
        assert_eq!(
            schedule.peek().map(|(key, _)| key.at),
            Some(at(7)),
            "a drawn crash alone leaves a world idle"
        );
    }
}
