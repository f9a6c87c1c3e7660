//! Clients and the network between them and the gateway.

use ledger::TransactionResult;
use pipeline::{Answer, Reply, Request};

use crate::clients::{Pending, Sender, sender_of};
use crate::drive::{UNSAFE_PER_MILLE, outcomes};
use crate::link::aligned;
use crate::options::{Safeguard, Workload};
use crate::schedule::Occurrence;
use crate::workload::{Draw, Drawn, Expected};
use crate::world::{HandAnswer, WorkloadState, World};

impl World {
    /// Clients begin.
    pub(crate) fn start_workload(&mut self) {
        match self.options.workload {
            Workload::Idle => {}
            Workload::Closed { clients, think } => {
                for client in 0..clients {
                    let micros = self.streams.think.between(0, think.max);
                    self.wake_in(client, micros);
                }
            }
            Workload::Open { .. } => {
                self.schedule.add(self.now, Occurrence::Arrivals);
            }
        }
    }

    /// The workload ends when enough is durable.
    pub(crate) fn end_workload_if_due(&mut self) {
        let events_max = self.options.events_max;
        if events_max > 0 && self.events_count() >= events_max {
            self.workload = WorkloadState::Ended;
        }
    }

    /// A client goes on: it sends its command again, or the next one.
    pub(crate) fn wake(&mut self, client: u32) {
        if self.feed.is_some() {
            self.clients.parked.push(client);
        } else if self.clients.pending(client).is_some() {
            self.send_again(client);
        } else if self.workload == WorkloadState::Running {
            self.send_next(client);
        }
    }

    /// Commands of the open loop that arrive in one tick.
    pub(crate) fn arrivals(&mut self) -> u64 {
        let Workload::Open { arrivals_per_second, .. } = self.options.workload else { return 0 };
        if self.workload != WorkloadState::Running {
            return 0;
        }
        let tick = self.options.link.tick_micros;
        self.schedule.add(self.now.saturating_add_micros(tick), Occurrence::Arrivals);
        if self.feed.is_some() {
            return 0;
        }
        let due = self.arrivals_left + u64::from(arrivals_per_second) * tick;
        self.arrivals_left = due % 1_000_000;
        let arriving = due / 1_000_000;
        for arrived in 0..arriving {
            let Some(client) = self.clients.take_free() else {
                self.totals.shed += arriving - arrived;
                return arriving;
            };
            self.send_next(client);
        }
        arriving
    }

    /// Clients whose patience ended send again, or give up.
    pub(crate) fn client_timeouts(&mut self) -> u64 {
        let mut count = 0;
        self.clients.watch_scheduled = None;
        if self.feed.is_none() {
            while let Some(client) = self.clients.impatient(self.now) {
                count += 1;
                self.send_again(client);
            }
        }
        self.schedule_watch();
        count
    }

    /// Clients go on when a feed has ended.
    pub(crate) fn thaw(&mut self) {
        for client in core::mem::take(&mut self.clients.parked) {
            self.wake_in(client, 0);
        }
        self.schedule_watch();
    }

    /// An answer goes to its client.
    pub(crate) fn send_answer(&mut self, mut reply: Reply) {
        self.totals.answers_sent += 1;
        if self.options.lacks(Safeguard::IntactReplies)
            && self.streams.safeguards.happens(UNSAFE_PER_MILLE)
            && let Answer::Done { outcome, .. } = &mut reply.answer
        {
            outcome.result = match outcome.result {
                TransactionResult::Completed => TransactionResult::Refused(ledger::Reason::InsufficientFunds),
                TransactionResult::Refused(_) => TransactionResult::Completed,
            };
        }
        let route = self.link.route(self.now, &self.options.link);
        self.totals.answers_lost += u64::from(route.first.is_none());
        self.totals.answers_duplicated += u64::from(route.second.is_some());
        if let Some(at) = route.second {
            self.schedule.add_answer(at, reply.clone());
        }
        if let Some(at) = route.first {
            self.schedule.add_answer(at, reply);
        }
    }

    /// A client receives an answer, perhaps one that it does not wait for any more.
    pub(crate) fn receive(&mut self, reply: &Reply) {
        let (_, Sender::Client(client)) = sender_of(reply.request_id) else { return };
        if !self.clients.is_for(client, reply) {
            return;
        }
        match &reply.answer {
            Answer::Done { .. } | Answer::Linked { .. } => {
                let Some(pending) = self.clients.settle(client) else { return };
                self.checkers.received(&pending.command, outcomes(&reply.answer));
                if pending.expected == Expected::Conflict {
                    self.checkers.unexpected_outcome(&pending.command);
                }
                self.settled(client, pending);
            }
            Answer::Conflict { .. } => {
                let Some(pending) = self.clients.settle(client) else { return };
                self.totals.conflicts_answered += 1;
                self.checkers.conflict(&pending.command);
                // The name of an account may be taken by an opening from elsewhere.
                let opening = matches!(pending.command, ledger::Command::OpenAccount { .. });
                if pending.expected == Expected::Outcome && !opening {
                    self.checkers.unexpected_conflict(&pending.command);
                }
                self.settled(client, pending);
            }
            Answer::Busy { retry_after_micros, .. } => {
                self.totals.busy_answered += 1;
                self.wake_in(client, *retry_after_micros);
            }
            Answer::DeadLettered { .. } => self.dead_lettered(client),
            // The client sends again when it has lost patience.
            Answer::StorageFull | Answer::Unavailable => {}
        }
    }

    /// Sends a command made by hand to the gateway. Returns its number.
    pub(crate) fn submit_by_hand(&mut self, command: ledger::Command) -> u64 {
        let request_id = self.clients.next_request_id(Sender::ByHand);
        let (number, _) = sender_of(request_id);
        self.by_hand.insert(number, command.clone());
        self.schedule.add(self.now, Occurrence::ByHand(vec![Request { request_id, command }]));
        number
    }

    /// A command made by hand is answered. Whatever is answered twice was redriven; nobody waits for that.
    pub(crate) fn answer_by_hand(&mut self, number: u64, answer: Answer) {
        match answer {
            Answer::Busy { retry_after_micros, .. } => {
                if let Some(command) = self.by_hand.get(&number) {
                    let request_id = crate::clients::request_id(number, Sender::ByHand);
                    let requests = vec![Request { request_id, command: command.clone() }];
                    self.schedule.add(
                        self.now.saturating_add_micros(retry_after_micros),
                        Occurrence::ByHand(requests),
                    );
                }
            }
            // It is sent again when there is a pipeline.
            Answer::StorageFull | Answer::Unavailable => {}
            Answer::Done { .. }
            | Answer::Linked { .. }
            | Answer::Conflict { .. }
            | Answer::DeadLettered { .. } => {
                if let Some(command) = self.by_hand.remove(&number) {
                    match &answer {
                        Answer::Done { .. } | Answer::Linked { .. } => {
                            self.checkers.received(&command, outcomes(&answer));
                        }
                        Answer::Conflict { .. } => self.checkers.conflict(&command),
                        Answer::DeadLettered { .. }
                        | Answer::Busy { .. }
                        | Answer::StorageFull
                        | Answer::Unavailable => {}
                    }
                    self.give_answer(HandAnswer { number, command, answer });
                }
            }
        }
    }

    /// Commands made by hand that the dead pipeline did not answer go to the new one.
    pub(crate) fn resend_by_hand(&mut self) {
        let request = |(number, command): (&u64, &ledger::Command)| Request {
            request_id: crate::clients::request_id(*number, Sender::ByHand),
            command: command.clone(),
        };
        let requests: Vec<Request> = self.by_hand.iter().map(request).collect();
        if !requests.is_empty() {
            self.schedule.add(self.now, Occurrence::ByHand(requests));
        }
    }

    /// A client asks for its next command and sends it.
    fn send_next(&mut self, client: u32) {
        match self.generator.draw(&self.options, self.now) {
            Draw::Wait => self.clients.waiting_for_openings.push(client),
            Draw::Command(Drawn { command, expected }) => {
                self.totals.commands_drawn += 1;
                let request = self.clients.send(client, command, expected, self.now);
                self.schedule_watch();
                self.send_request(request);
            }
        }
    }

    /// A client sends its command again with the same id, or gives up. Openings are never given up: the rest waits for them.
    fn send_again(&mut self, client: u32) {
        let Some(pending) = self.clients.pending(client) else { return };
        let opening = matches!(pending.command, ledger::Command::OpenAccount { .. });
        if pending.attempts >= self.options.client.attempts_max && !opening {
            self.totals.given_up += 1;
            self.clients.settle(client);
            self.go_on(client);
            return;
        }
        self.totals.retries += 1;
        if let Some(request) = self.clients.send_again(client, self.now) {
            self.send_request(request);
        }
    }

    fn send_request(&mut self, request: Request) {
        self.totals.requests_sent += 1;
        let route = self.link.route(self.now, &self.options.link);
        self.totals.requests_lost += u64::from(route.first.is_none());
        self.totals.requests_duplicated += u64::from(route.second.is_some());
        if let Some(at) = route.second {
            let copy = self.travelled(request.clone());
            self.schedule.add_request(at, copy);
        }
        if let Some(at) = route.first {
            let arriving = self.travelled(request);
            self.schedule.add_request(at, arriving);
        }
    }

    /// The request as it arrives.
    fn travelled(&mut self, mut request: Request) -> Request {
        if self.options.lacks(Safeguard::IntactRequests)
            && self.streams.safeguards.happens(UNSAFE_PER_MILLE)
            && let ledger::Command::Transfer { amount, .. } = &mut request.command
        {
            *amount = amount.wrapping_add(1);
        }
        request
    }

    /// A client has its answer.
    fn settled(&mut self, client: u32, pending: Pending) {
        self.totals.commands_answered += 1;
        self.meter.answered(self.now, self.now.micros_since(pending.first_sent_at));
        // A conflict made no outcome that could be asked for again.
        if pending.expected == Expected::Outcome && self.generator.answered(pending.command) {
            for waiting in core::mem::take(&mut self.clients.waiting_for_openings) {
                self.go_on(waiting);
            }
        }
        self.go_on(client);
    }

    /// A client whose command became a dead letter goes on; an opening it sends until it is answered.
    fn dead_lettered(&mut self, client: u32) {
        self.totals.dead_letters_answered += 1;
        let opening = self
            .clients
            .pending(client)
            .is_some_and(|p| matches!(p.command, ledger::Command::OpenAccount { .. }));
        if opening {
            self.wake_in(client, self.options.client.timeout_micros);
        } else if self.clients.settle(client).is_some() {
            self.go_on(client);
        }
    }

    /// A client that waits for nothing thinks, or is free for the next arrival.
    fn go_on(&mut self, client: u32) {
        match self.options.workload {
            Workload::Idle => {}
            Workload::Closed { think, .. } => {
                let micros = self.streams.think.between(think.min, think.max);
                self.wake_in(client, micros);
            }
            Workload::Open { .. } => self.clients.give_free(client),
        }
    }

    fn wake_in(&mut self, client: u32, micros: u64) {
        let at = aligned(self.now.saturating_add_micros(micros), self.options.link.tick_micros);
        self.schedule.add_wake(at, client);
    }

    /// Schedules the next look at the watches, if none is. While a feed holds the clients back there is none.
    fn schedule_watch(&mut self) {
        if self.feed.is_some() || self.clients.watch_scheduled.is_some() {
            return;
        }
        if let Some(at) = self.clients.next_watch() {
            let at = at.max(self.now);
            self.clients.watch_scheduled = Some(at);
            self.schedule.add(at, Occurrence::ClientTimeouts);
        }
    }
}
