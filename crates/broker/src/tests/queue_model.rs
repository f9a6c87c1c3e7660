//! Random operations on a queue and on a model that keeps one list and searches it.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use time::Timestamp;

use super::{id, message};
use crate::{
    DeadLetter, DeadReason, Delivery, Failed, Message, MessageId, Output, PushRefused, Queue, QueueConfig,
    QueueStats, RedeliveryCause, RedriveRefused, Redriven, Token, TokenRefused,
};

#[derive(Clone, Debug)]
enum Operation {
    Push { name: usize, bytes: usize },
    Pull { consumer: u64, max: u32, max_bytes: u64 },
    Ack(AnyToken),
    AckBatch(Vec<AnyToken>),
    Nack(AnyToken, u64),
    Reject(AnyToken),
    Extend(AnyToken, u64),
    Wait(u64),
    Timeout,
    Redrive { name: usize },
    RedriveOldest { max: u32 },
    Purge { name: usize },
}

/// One of the tokens that were issued, the latest first, or one made up.
#[derive(Clone, Debug)]
enum AnyToken {
    Issued(usize),
    MadeUp(Token),
}

/// Few, so that several messages have the same id.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let name = 0..NAMES.len();
    let made_up = (0..20_u64, 0..4_u32).prop_map(|(position, attempt)| Token { position, attempt });
    let token = prop_oneof![
        9 => (0..6_usize).prop_map(AnyToken::Issued),
        2 => (0..60_usize).prop_map(AnyToken::Issued),
        1 => made_up.prop_map(AnyToken::MadeUp),
    ]
    .boxed();
    let wait = prop_oneof![8 => 0..12_u64, 1 => 0..100_000_u64];
    let operation = prop_oneof![
        8 => (name.clone(), 0..20_usize).prop_map(|(name, bytes)| Operation::Push { name, bytes }),
        6 => (0..3_u64, 0..5_u32, 0..60_u64).prop_map(|(consumer, max, max_bytes)| Operation::Pull { consumer, max, max_bytes }),
        4 => token.clone().prop_map(Operation::Ack),
        1 => prop::collection::vec(token.clone(), 0..6).prop_map(Operation::AckBatch),
        4 => (token.clone(), 0..40_u64).prop_map(|(token, retry_at)| Operation::Nack(token, retry_at)),
        2 => token.clone().prop_map(Operation::Reject),
        2 => (token, 0..60_u64).prop_map(|(token, until)| Operation::Extend(token, until)),
        4 => wait.prop_map(Operation::Wait),
        4 => Just(Operation::Timeout),
        1 => name.clone().prop_map(|name| Operation::Redrive { name }),
        1 => (0..5_u32).prop_map(|max| Operation::RedriveOldest { max }),
        1 => name.prop_map(|name| Operation::Purge { name }),
    ];
    prop::collection::vec(operation, 1..150)
}

fn configs() -> impl Strategy<Value = QueueConfig> {
    (1..12_u32, 1..80_u64, 1..20_u64, 1..4_u32, 1..4_u32).prop_map(
        |(messages, bytes, timeout, attempts, dead)| QueueConfig {
            capacity_messages: messages,
            capacity_bytes: bytes,
            visibility_timeout_micros: timeout,
            attempts_max: attempts,
            dead_letters_max: dead,
            retry_after_micros: 5,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_model_does(config in configs(), operations in operations()) {
        let mut bench = Bench {
            queue: Queue::new(config).unwrap(),
            model: Model::new(config),
            now: Timestamp::ZERO,
            issued: vec![],
        };
        for operation in operations {
            bench.step(&operation)?;
            bench.queue.assert_consistent();
            prop_assert_eq!(bench.queue.stats(bench.now), bench.model.stats(bench.now));
            prop_assert!(bench.queue.dead_letters().eq(&bench.model.dead));
            prop_assert_eq!(bench.queue.poll_timeout().map(|deadline| deadline.at), bench.model.next_due());
        }
    }
}

struct Bench {
    queue: Queue,
    model: Model,
    now: Timestamp,
    issued: Vec<Token>,
}

impl Bench {
    fn step(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        let Self { queue, model, now, issued } = self;
        let (now, later) = (*now, |micros: &u64| now.saturating_add_micros(*micros));
        let pick = |token: &AnyToken| match token {
            AnyToken::Issued(back) if issued.is_empty() => Token { position: *back as u64, attempt: 1 },
            AnyToken::Issued(back) => issued[issued.len() - 1 - back % issued.len()],
            AnyToken::MadeUp(token) => *token,
        };
        let (mut real, mut modelled) = (vec![], vec![]);
        match operation {
            Operation::Push { name, bytes } => {
                let message = message(NAMES[*name], *bytes);
                prop_assert_eq!(queue.push(now, message.clone()), model.push(now, message));
            }
            Operation::Pull { consumer, max, max_bytes } => {
                let mut deliveries = vec![];
                queue.pull(now, *consumer, *max, *max_bytes, &mut deliveries);
                prop_assert_eq!(&deliveries, &model.pull(now, *consumer, *max, *max_bytes));
                issued.extend(deliveries.iter().map(|delivery| delivery.token));
            }
            Operation::Ack(token) => {
                prop_assert_eq!(queue.ack(now, pick(token)), model.ack(now, pick(token)));
            }
            Operation::AckBatch(tokens) => {
                let tokens: Vec<Token> = tokens.iter().map(pick).collect();
                let mut refused = vec![];
                queue.ack_batch(now, &tokens, &mut refused);
                let expected: Vec<_> =
                    tokens.iter().filter_map(|&token| Some((token, model.ack(now, token).err()?))).collect();
                prop_assert_eq!(refused, expected);
            }
            Operation::Nack(token, retry) => {
                let (token, retry_at) = (pick(token), later(retry));
                let expected = model.fail_token(now, token, Some(retry_at), "nacked");
                prop_assert_eq!(queue.nack(now, token, retry_at, "nacked"), expected);
            }
            Operation::Reject(token) => {
                let expected = model.fail_token(now, pick(token), None, "rejected");
                prop_assert_eq!(queue.reject(now, pick(token), "rejected"), expected);
            }
            Operation::Extend(token, until) => {
                let (token, until) = (pick(token), later(until));
                prop_assert_eq!(queue.extend(now, token, until), model.extend(now, token, until));
            }
            Operation::Wait(micros) => self.now = later(micros),
            Operation::Timeout => {
                let mut timely = queue.clone();
                queue.handle_timeout(now, &mut real);
                modelled = model.handle_timeout(now);
                same_as_many_timely_calls(queue, &mut timely, now, &real)?;
            }
            Operation::Redrive { name } => {
                let answer = queue.redrive(now, &id(NAMES[*name]), &mut real);
                prop_assert_eq!(answer, model.redrive(now, &id(NAMES[*name]), &mut modelled));
            }
            Operation::RedriveOldest { max } => {
                let answer = queue.redrive_oldest(now, *max, &mut real);
                prop_assert_eq!(answer, model.redrive_oldest(now, *max, &mut modelled));
            }
            Operation::Purge { name } => {
                let answer = queue.purge(now, &id(NAMES[*name]), &mut real);
                prop_assert_eq!(answer, model.purge(&id(NAMES[*name]), &mut modelled));
            }
        }
        prop_assert_eq!(real, modelled);
        Ok(())
    }
}

/// Late is correct: `late` got one call, `timely` now gets one for each deadline.
fn same_as_many_timely_calls(
    late: &Queue,
    timely: &mut Queue,
    now: Timestamp,
    late_outputs: &[Output],
) -> Result<(), TestCaseError> {
    let mut outputs = vec![];
    while let Some(deadline) = timely.poll_timeout()
        && deadline.at <= now
    {
        timely.handle_timeout(deadline.at, &mut outputs);
    }
    timely.handle_timeout(now, &mut outputs);
    prop_assert_eq!(late_outputs, &outputs);
    prop_assert_eq!(late.stats(now), timely.stats(now));
    prop_assert_eq!(late.poll_timeout(), timely.poll_timeout());
    prop_assert!(late.dead_letters().eq(timely.dead_letters()));
    let (mut late_deliveries, mut timely_deliveries) = (vec![], vec![]);
    late.clone().pull(now, 9, u32::MAX, u64::MAX, &mut late_deliveries);
    timely.pull(now, 9, u32::MAX, u64::MAX, &mut timely_deliveries);
    prop_assert_eq!(late_deliveries, timely_deliveries);
    Ok(())
}

/// The queue again, as slow as it is plain.
struct Model {
    config: QueueConfig,
    /// In order of position.
    held: Vec<Modelled>,
    dead: Vec<DeadLetter>,
    /// Positions, the first failed first.
    undeliverable: Vec<u64>,
    next_position: u64,
    totals: QueueStats,
}

#[derive(Clone)]
struct Modelled {
    position: u64,
    message: Message,
    accepted_at: Timestamp,
    attempt: u32,
    consumer: u64,
    state: State,
    failures: Option<(Timestamp, Timestamp, &'static str, Option<DeadReason>)>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Ready,
    Delayed(Timestamp),
    InFlight(Timestamp),
    Undeliverable,
}

impl Model {
    fn new(config: QueueConfig) -> Self {
        let totals = Queue::new(config).unwrap().stats(Timestamp::ZERO);
        Self { config, held: vec![], dead: vec![], undeliverable: vec![], next_position: 0, totals }
    }

    fn stats(&self, now: Timestamp) -> QueueStats {
        let count = |is: fn(&State) -> bool| self.held.iter().filter(|held| is(&held.state)).count() as u64;
        QueueStats {
            depth: self.held.len() as u64,
            bytes: self.bytes(),
            ready: count(|state| matches!(state, State::Ready)),
            delayed: count(|state| matches!(state, State::Delayed(_))),
            in_flight: count(|state| matches!(state, State::InFlight(_))),
            undeliverable: count(|state| matches!(state, State::Undeliverable)),
            oldest_age_micros: self.held.first().map_or(0, |held| now.micros_since(held.accepted_at)),
            dead_lettered: self.dead.len() as u64,
            dead_letters_full: self.dead.len() as u64 == u64::from(self.config.dead_letters_max),
            ..self.totals
        }
    }

    fn bytes(&self) -> u64 {
        self.held.iter().map(|held| held.message.bytes()).sum()
    }

    fn next_due(&self) -> Option<Timestamp> {
        let dues = self.held.iter().filter_map(|held| match held.state {
            State::Delayed(due) | State::InFlight(due) => Some(due),
            State::Ready | State::Undeliverable => None,
        });
        dues.min()
    }

    fn find(&mut self, position: u64) -> Option<&mut Modelled> {
        self.held.iter_mut().find(|held| held.position == position)
    }

    fn append(&mut self, now: Timestamp, message: Message) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        let (attempt, consumer, state, failures) = (0, 0, State::Ready, None);
        self.held.push(Modelled { position, message, accepted_at: now, attempt, consumer, state, failures });
        position
    }

    fn push(&mut self, now: Timestamp, message: Message) -> Result<u64, PushRefused> {
        let (bytes, max) = (message.bytes(), self.config.capacity_bytes);
        if bytes > max {
            return Err(PushRefused::TooLarge { bytes, max });
        }
        let depth = self.held.len() as u32;
        if depth == self.config.capacity_messages || self.bytes() + bytes > max {
            self.totals.busy += 1;
            return Err(PushRefused::Busy { depth, retry_after_micros: 5 });
        }
        self.totals.accepted += 1;
        Ok(self.append(now, message))
    }

    fn pull(&mut self, now: Timestamp, consumer: u64, max: u32, max_bytes: u64) -> Vec<Delivery> {
        let visible_until = now.saturating_add_micros(self.config.visibility_timeout_micros);
        let (mut deliveries, mut bytes) = (vec![], 0);
        for held in self.held.iter_mut().filter(|held| held.state == State::Ready) {
            bytes += held.message.bytes();
            if deliveries.len() as u32 == max || (bytes > max_bytes && !deliveries.is_empty()) {
                break;
            }
            self.totals.redelivered += u64::from(held.attempt > 0);
            (held.attempt, held.consumer, held.state) =
                (held.attempt + 1, consumer, State::InFlight(visible_until));
            let token = Token { position: held.position, attempt: held.attempt };
            deliveries.push(Delivery { token, message: held.message.clone(), visible_until });
        }
        deliveries
    }

    fn check(&mut self, now: Timestamp, token: Token) -> Result<&mut Modelled, TokenRefused> {
        let was_taken = token.position < self.next_position;
        let Some(held) = self.find(token.position) else {
            return Err(if was_taken { TokenRefused::Settled } else { TokenRefused::Unknown });
        };
        if !(1..=held.attempt).contains(&token.attempt) {
            return Err(TokenRefused::Unknown);
        }
        match held.state {
            State::InFlight(until) if until > now && token.attempt == held.attempt => Ok(held),
            State::InFlight(_) | State::Ready | State::Delayed(_) | State::Undeliverable => {
                Err(TokenRefused::Expired)
            }
        }
    }

    fn ack(&mut self, now: Timestamp, token: Token) -> Result<(), TokenRefused> {
        let attempt = self.check(now, token)?.attempt;
        self.held.retain(|held| held.position != token.position);
        self.totals.acked += 1;
        self.totals.attempts[attempt as usize - 1] += 1;
        Ok(())
    }

    fn extend(&mut self, now: Timestamp, token: Token, until: Timestamp) -> Result<(), TokenRefused> {
        self.check(now, token)?.state = State::InFlight(until);
        Ok(())
    }

    fn fail_token(
        &mut self,
        now: Timestamp,
        token: Token,
        retry_at: Option<Timestamp>,
        error: &'static str,
    ) -> Result<Failed, TokenRefused> {
        self.check(now, token)?;
        Ok(self.fail(token.position, now, now, retry_at, error))
    }

    fn fail(
        &mut self,
        position: u64,
        now: Timestamp,
        failed_at: Timestamp,
        retry_at: Option<Timestamp>,
        error: &'static str,
    ) -> Failed {
        let attempts_max = self.config.attempts_max;
        let held = self.find(position).unwrap();
        let dead = match retry_at {
            None => Some(DeadReason::Rejected),
            Some(_) => (held.attempt == attempts_max).then_some(DeadReason::AttemptsExhausted),
        };
        let first_at = held.failures.map_or(failed_at, |(first_at, ..)| first_at);
        held.failures = Some((first_at, failed_at, error, dead));
        if let (Some(at), None) = (retry_at, dead) {
            held.state = if at > now { State::Delayed(at) } else { State::Ready };
            return Failed::Retry { at };
        }
        held.state = State::Undeliverable;
        self.undeliverable.push(position);
        if self.bury(&mut vec![]) { Failed::DeadLettered } else { Failed::Undeliverable }
    }

    fn bury(&mut self, outputs: &mut Vec<Output>) -> bool {
        if self.undeliverable.is_empty() || self.dead.len() as u64 == u64::from(self.config.dead_letters_max)
        {
            return false;
        }
        let position = self.undeliverable.remove(0);
        let held = self.find(position).unwrap().clone();
        let (first_failed_at, last_failed_at, last_error, reason) = held.failures.unwrap();
        self.held.retain(|held| held.position != position);
        self.totals.dead_lettered_total += 1;
        self.totals.attempts[held.attempt as usize - 1] += 1;
        let (message, reason, attempts) = (held.message, reason.unwrap(), held.attempt);
        outputs.push(Output::DeadLettered { message: message.clone(), reason, attempts, at: last_failed_at });
        self.dead.push(DeadLetter {
            message,
            reason,
            attempts,
            last_error: Cow::Borrowed(last_error),
            accepted_at: held.accepted_at,
            first_failed_at,
            last_failed_at,
        });
        true
    }

    fn handle_timeout(&mut self, now: Timestamp) -> Vec<Output> {
        let mut outputs = vec![];
        while let Some(at) = self.next_due().filter(|&at| at <= now) {
            let due =
                |held: &&Modelled| held.state == State::Delayed(at) || held.state == State::InFlight(at);
            let held = self.held.iter().find(due).unwrap().clone();
            let (position, id, attempts, consumer) =
                (held.position, held.message.id, held.attempt, held.consumer);
            let redelivered = |cause| Output::Redelivered { position, id, attempts, consumer, cause, at };
            if held.state == State::Delayed(at) {
                self.find(position).unwrap().state = State::Ready;
                outputs.push(redelivered(RedeliveryCause::RetryDue));
                continue;
            }
            match self.fail(position, now, at, Some(at), "visibility timeout expired") {
                Failed::Retry { .. } => outputs.push(redelivered(RedeliveryCause::VisibilityExpired)),
                Failed::DeadLettered => outputs.push(Output::DeadLettered {
                    message: held.message,
                    reason: DeadReason::AttemptsExhausted,
                    attempts,
                    at,
                }),
                Failed::Undeliverable => outputs.push(Output::Undeliverable { position, id, attempts, at }),
            }
        }
        outputs
    }

    fn redrive(
        &mut self,
        now: Timestamp,
        id: &MessageId,
        outputs: &mut Vec<Output>,
    ) -> Result<u64, RedriveRefused> {
        let index =
            self.dead.iter().position(|dead| dead.message.id == *id).ok_or(RedriveRefused::Unknown)?;
        // What it would hold afterwards, with the first undeliverable message gone.
        let leaving = self.undeliverable.first().copied();
        let staying = self.held.iter().filter(|held| Some(held.position) != leaving);
        let bytes: u64 = staying.clone().map(|held| held.message.bytes()).sum();
        if staying.count() as u32 + 1 > self.config.capacity_messages
            || bytes + self.dead[index].message.bytes() > self.config.capacity_bytes
        {
            return Err(RedriveRefused::Busy { depth: self.held.len() as u32, retry_after_micros: 5 });
        }
        let dead = self.dead.remove(index);
        self.bury(outputs);
        self.totals.redriven += 1;
        Ok(self.append(now, dead.message))
    }

    fn redrive_oldest(&mut self, now: Timestamp, max: u32, outputs: &mut Vec<Output>) -> Redriven {
        let ids: Vec<MessageId> = self.dead.iter().map(|dead| dead.message.id).collect();
        let mut redriven = Redriven { count: 0, refused: None };
        for id in ids.iter().take(max as usize) {
            // The first with this id is the first of all.
            match self.redrive(now, id, outputs) {
                Ok(_) => redriven.count += 1,
                Err(refused) => return Redriven { refused: Some(refused), ..redriven },
            }
        }
        redriven
    }

    fn purge(&mut self, id: &MessageId, outputs: &mut Vec<Output>) -> Option<DeadLetter> {
        let index = self.dead.iter().position(|dead| dead.message.id == *id)?;
        let purged = self.dead.remove(index);
        self.totals.purged += 1;
        self.bury(outputs);
        Some(purged)
    }
}
