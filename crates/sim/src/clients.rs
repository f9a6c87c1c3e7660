//! The clients of a world: what each waits for, and when it loses patience.

use std::collections::VecDeque;

use ledger::Command;
use pipeline::{Answer, Reply, Request};
use time::Timestamp;

use crate::options::{Options, Workload};
use crate::workload::Expected;

/// Who a request comes from. It is the lower part of its request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Client(u32),
    ByHand,
    Feed,
}

const SENDER_BITS: u32 = 24;
const BY_HAND: u32 = (1 << SENDER_BITS) - 1;
const FEED: u32 = (1 << SENDER_BITS) - 2;

/// The request id of a sender's request with this running number.
pub(crate) fn request_id(number: u64, sender: Sender) -> u64 {
    let sender = match sender {
        Sender::Client(client) => client,
        Sender::ByHand => BY_HAND,
        Sender::Feed => FEED,
    };
    (number << SENDER_BITS) | u64::from(sender)
}

/// The running number and the sender of a request.
pub(crate) fn sender_of(request_id: u64) -> (u64, Sender) {
    let low = u32::try_from(request_id & ((1 << SENDER_BITS) - 1)).expect("24 bits");
    let sender = match low {
        BY_HAND => Sender::ByHand,
        FEED => Sender::Feed,
        client => Sender::Client(client),
    };
    (request_id >> SENDER_BITS, sender)
}

/// A command that a client waits for.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) command: Command,
    pub(crate) expected: Expected,
    /// Of the first sending; later ones are larger.
    first_request_id: u64,
    pub(crate) request_id: u64,
    pub(crate) first_sent_at: Timestamp,
    pub(crate) attempts: u32,
}

/// All clients. A clone costs O(clients).
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pending: Vec<Option<Pending>>,
    /// Clients of an open loop that have nothing to do.
    free: Vec<u32>,
    /// When the request that was sent is given up, in order of time, because all have the same patience.
    watches: VecDeque<(Timestamp, u32, u64)>,
    timeout_micros: u64,
    requests: u64,
    waiting: u32,
    /// When clients look at their watches next, if that is scheduled.
    pub(crate) watch_scheduled: Option<Timestamp>,
    /// Clients that would go on if a feed did not hold them back.
    pub(crate) parked: Vec<u32>,
    /// Clients that go on when every account is open.
    pub(crate) waiting_for_openings: Vec<u32>,
}

impl Clients {
    pub(crate) fn new(options: &Options) -> Clients {
        let (count, free) = match options.workload {
            Workload::Idle => (0, 0),
            Workload::Closed { clients, .. } => (clients, 0),
            Workload::Open { clients_max, .. } => (clients_max, clients_max),
        };
        Clients {
            pending: vec![None; count as usize],
            free: (0..free).rev().collect(),
            watches: VecDeque::new(),
            timeout_micros: options.client.timeout_micros,
            requests: 0,
            waiting: 0,
            watch_scheduled: None,
            parked: Vec::new(),
            waiting_for_openings: Vec::new(),
        }
    }

    /// How many clients there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.pending.len()).expect("at most CLIENTS_MAX")
    }

    /// How many of them wait for an answer.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting
    }

    /// What a client waits for.
    pub(crate) fn pending(&self, client: u32) -> Option<&Pending> {
        self.pending.get(client as usize)?.as_ref()
    }

    /// A client of the open loop that has nothing to do.
    pub(crate) fn take_free(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// It has nothing to do any more.
    pub(crate) fn give_free(&mut self, client: u32) {
        self.free.push(client);
    }

    /// A request id that was never used.
    pub(crate) fn next_request_id(&mut self, sender: Sender) -> u64 {
        self.requests += 1;
        request_id(self.requests, sender)
    }

    /// A client sends a command for the first time.
    pub(crate) fn send(
        &mut self,
        client: u32,
        command: Command,
        expected: Expected,
        now: Timestamp,
    ) -> Request {
        let request_id = self.next_request_id(Sender::Client(client));
        let request = Request { request_id, command: command.clone() };
        let first_request_id = request_id;
        self.pending[client as usize] = Some(Pending {
            command,
            expected,
            first_request_id,
            request_id,
            first_sent_at: now,
            attempts: 1,
        });
        self.waiting += 1;
        self.watch(now, client, request_id);
        request
    }

    /// A client sends its command once more, with the same id.
    pub(crate) fn send_again(&mut self, client: u32, now: Timestamp) -> Option<Request> {
        let request_id = self.next_request_id(Sender::Client(client));
        let pending = self.pending.get_mut(client as usize)?.as_mut()?;
        pending.request_id = request_id;
        pending.attempts = pending.attempts.saturating_add(1);
        let command = pending.command.clone();
        self.watch(now, client, request_id);
        Some(Request { request_id, command })
    }

    /// A client does not wait any more.
    pub(crate) fn settle(&mut self, client: u32) -> Option<Pending> {
        let pending = self.pending.get_mut(client as usize)?.take()?;
        self.waiting -= 1;
        Some(pending)
    }

    /// When the next client may lose patience.
    pub(crate) fn next_watch(&self) -> Option<Timestamp> {
        self.watches.front().map(|(at, _, _)| *at)
    }

    /// A client whose patience ended by `now` with its last request unanswered; forgets the watches of answered ones.
    pub(crate) fn impatient(&mut self, now: Timestamp) -> Option<u32> {
        while let Some((at, client, request_id)) = self.watches.front().copied() {
            let waits = self.pending(client).is_some_and(|pending| pending.request_id == request_id);
            if waits && at > now {
                return None;
            }
            self.watches.pop_front();
            if waits {
                return Some(client);
            }
        }
        None
    }

    /// Whether the reply is about what this client waits for, and not about an earlier command. `Busy` counts only for the last
    /// sending; whatever else counts for any.
    pub(crate) fn is_for(&self, client: u32, reply: &Reply) -> bool {
        let Some(pending) = self.pending(client) else { return false };
        match &reply.answer {
            Answer::Done { .. }
            | Answer::Linked { .. }
            | Answer::Conflict { .. }
            | Answer::DeadLettered { .. } => reply.request_id >= pending.first_request_id,
            Answer::Busy { .. } | Answer::StorageFull | Answer::Unavailable => {
                pending.request_id == reply.request_id
            }
        }
    }

    fn watch(&mut self, now: Timestamp, client: u32, request_id: u64) {
        self.watches.push_back((now.saturating_add_micros(self.timeout_micros), client, request_id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_carry_their_sender() {
        for sender in [Sender::Client(0), Sender::Client((1 << 20) - 1), Sender::ByHand, Sender::Feed] {
            assert_eq!(sender_of(request_id(77, sender)), (77, sender));
        }
    }

    #[test]
    fn only_the_last_unanswered_request_runs_out() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let mut options = Options::default();
        options.client.timeout_micros = 100;
        let mut clients = Clients::new(&options);
        let command = Command::Deposit {
            transaction_id: ledger::TransactionId::from_bytes([1; 16]),
            account: "a".parse().unwrap(),
            amount: 1,
            metadata: None,
        };
        clients.send(3, command.clone(), Expected::Outcome, at(0));
        clients.send(4, command, Expected::Outcome, at(10));
        assert_eq!(
            (clients.impatient(at(99)), clients.impatient(at(100)), clients.impatient(at(100))),
            (None, Some(3), None)
        );
        clients.send_again(3, at(100));
        clients.settle(4);
        assert_eq!((clients.impatient(at(199)), clients.waiting()), (None, 1));
        assert_eq!((clients.impatient(at(200)), clients.next_watch()), (Some(3), None));
    }
}
