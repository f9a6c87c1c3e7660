//! The composed machine: gateway, command queue, idempotency stage, ledger, append, replies, projections.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use broker::{Delivery, Message, MessageId, PushRefused, Queue, QueueConfig, Topic, TopicConfig};
use bytes::Bytes;
use journal::{Encoder, Header, RecordMeta, SealBorder};
use ledger::{Command, CommandKind, Digest, Event, Ledger, TransactionId, TransactionResult};
use projection::{Found, Projections};
use time::{Deadline, Timestamp};

use crate::command_bytes::{decode_command, encode_command};
use crate::content::{self, LogIdentity};
use crate::read_models::{Executed, ReadModels};
use crate::recent::RecentIds;
use crate::replay::Recovered;
use crate::segments::{Place, Room, Segments};
use crate::types::{Answer, Input, Lookup, Outcome, Output, Replayed, Reply, Request};
use crate::{Config, ConfigError};

mod append;
mod expiry;
mod ids;
mod known;
mod reads;

use ids::{Asked, Ids, LookupState};
use known::result_of;

/// One wallet pipeline: the single writer of one log.
///
/// Whoever drives it answers each [`Output::FindTransaction`] with [`Input::Lookups`] and each [`Output::Append`]
/// with [`Input::Appended`] or [`Input::AppendFailed`], and calls [`Pipeline::handle_timeout`] when
/// [`Pipeline::poll_timeout`] says so; being late is correct.
///
/// Nothing is visible before it is durable: replies, acks and projections wait for `Appended`; only
/// [`Pipeline::ledger`] is ahead. A clone costs O(accounts + in flight).
#[derive(Clone)]
pub struct Pipeline<R = Projections> {
    config: Config,
    identity: LogIdentity,
    generation: u64,
    state: State,
    ledger: Ledger,
    read_models: R,
    recent: RecentIds,
    commands: Queue,
    /// Commands that were pushed and not pulled yet, by their positions in the queue, so that they need not be read from
    /// their bytes. What comes back to the queue later is read.
    fresh: VecDeque<(u64, Request)>,
    events: Topic,
    /// Commands pulled from the queue, in order; the head is executed as soon as its look-up is answered.
    stage: VecDeque<Staged>,
    gateway_lookups: VecDeque<GatewayLookup>,
    /// How many ids those ask for.
    gateway_ids: u32,
    encoder: Encoder,
    segments: Segments,
    gathering: Batch,
    in_flight: VecDeque<Batch>,
    /// Replies and acks that wait for an append, in order of what they need.
    waiting: VecDeque<Waiting>,
    repeats_waiting: u32,
    next_sequence: u64,
    durable_before: u64,
    /// The durable mark of the seals while appends are only [`AppendedIs::Written`].
    known_durable_before: u64,
    durable_digest: Digest,
    /// The seal behind the last durable record; `None` if there is no seal, or records stand behind it.
    durable_border: Option<SealBorder>,
    recorded_at: Timestamp,
    totals: Totals,
}

/// What a pipeline did since it started, and what waits in it now; for people and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Commands pulled that wait for their look-up.
    pub staged: u32,
    /// Look-ups made for clients while the queue is full.
    pub gateway_lookups: u32,
    /// Records executed and not yet handed to the driver.
    pub gathered_records: u32,
    /// Appends handed to the driver and not yet durable.
    pub appends_in_flight: u32,
    /// Records in those appends.
    pub records_in_flight: u32,
    /// Replies and acks that wait for an append.
    pub replies_waiting: u32,
    /// Pending transfers that are open in the ledger.
    pub pending_transfers: u64,
    /// Totals since the pipeline started.
    pub totals: Totals,
}

/// Running totals of one pipeline since it started (they begin at 0 after a restart).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that came in.
    pub requests: u64,
    /// Commands executed and pending transfers expired: records made.
    pub executed: u64,
    /// Pending transfers expired.
    pub expired: u64,
    /// Repeats answered with the first outcome.
    pub repeats: u64,
    /// Conflicts answered.
    pub conflicts: u64,
    /// `Busy` answered.
    pub busy: u64,
    /// `StorageFull` answered.
    pub storage_full: u64,
    /// Dead letters answered.
    pub dead_lettered: u64,
    /// Look-ups asked.
    pub lookups: u64,
    /// Appends made durable.
    pub appends: u64,
    /// Replies given.
    pub replies: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// Sealed for good by [`Input::Close`].
    Closed,
    /// Stopped by [`Input::AppendFailed`].
    Stopped,
}

#[derive(Clone)]
struct Staged {
    token: broker::Token,
    request_id: u64,
    command: Command,
    ids: Ids,
}

#[derive(Clone)]
struct GatewayLookup {
    request_id: u64,
    command: Command,
    ids: Ids,
    busy: Answer,
    expires_at: Timestamp,
}

/// Records of one append, as they are executed.
#[derive(Clone, Default)]
struct Batch {
    bytes: Vec<u8>,
    place: Place,
    sealed: Bytes,
    /// Of the ledger as of the batch's last record.
    digest: Digest,
    /// Behind the batch's seal.
    border: Option<SealBorder>,
    first_sequence: u64,
    records: Vec<Executed>,
    /// The transactions in the records: more than records if there are groups.
    transactions: u32,
    events: Vec<Event>,
}

#[derive(Clone)]
struct Waiting {
    /// Given when every record below this sequence is durable.
    needs_before: u64,
    reply: Reply,
    token: Option<broker::Token>,
}

impl Pipeline {
    /// A pipeline with an empty log. The log's header goes out with the first append.
    pub fn start(config: &Config, identity: LogIdentity, generation: u64) -> Result<Self, ConfigError> {
        Pipeline::start_with(config, identity, generation, Projections::new(config.hash_seed))
    }
}

impl<R: ReadModels> Pipeline<R> {
    /// As [`Pipeline::start`], with the read models of an empty log.
    pub fn start_with(
        config: &Config,
        identity: LogIdentity,
        generation: u64,
        read_models: R,
    ) -> Result<Self, ConfigError> {
        let mut bytes = Vec::new();
        let encoder = Encoder::start(&content::header(identity), &mut bytes);
        let ledger = Ledger::new(config.hash_seed);
        let mut pipeline = Pipeline::build(config, identity, generation, ledger, read_models, encoder)?;
        pipeline.gathering.bytes = bytes;
        pipeline.gathering.place = Place::New;
        pipeline.segments.begins_at(0);
        Ok(pipeline)
    }

    /// Goes on from a durable log, whose torn tail, if it had one, is cut; a log that has not even a header yet is
    /// begun as [`Pipeline::start`] does. `generation` must be above the log's last one.
    ///
    /// # Panics
    /// If `generation` is not above the generation of the log's last record: two writers would share it.
    pub fn recover(
        config: &Config,
        recovered: Recovered<R>,
        identity: LogIdentity,
        generation: u64,
    ) -> Result<Self, ConfigError> {
        let Recovered { ledger, projections, tail, .. } = recovered;
        let Some(tail) = tail else {
            return Pipeline::start_with(config, identity, generation, projections);
        };
        assert!(generation > tail.generation(), "a new writer needs a new generation");
        let (next_sequence, recorded_at) = (tail.next_sequence(), tail.recorded_at());
        let Header { log_id, ledger_id, partition, .. } = *tail.header();
        let identity = LogIdentity { log_id, ledger_id, partition };
        let encoder = Encoder::resume(tail);
        let mut pipeline = Pipeline::build(config, identity, generation, ledger, projections, encoder)?;
        pipeline.next_sequence = next_sequence;
        pipeline.durable_before = next_sequence;
        pipeline.known_durable_before = next_sequence;
        pipeline.gathering.first_sequence = next_sequence;
        pipeline.recorded_at = recorded_at;
        Ok(pipeline)
    }

    /// Says at which byte of the log the segment begins that it stands in. Without it, at the byte where the pipeline
    /// went on.
    #[must_use]
    pub fn in_segment_at(mut self, at_byte: u64) -> Self {
        self.segments.begins_at(at_byte);
        self
    }

    fn build(
        config: &Config,
        identity: LogIdentity,
        generation: u64,
        ledger: Ledger,
        read_models: R,
        encoder: Encoder,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let queue = QueueConfig {
            capacity_messages: config.commands_max,
            capacity_bytes: config.commands_bytes_max,
            visibility_timeout_micros: config.visibility_timeout_micros,
            attempts_max: config.attempts_max,
            dead_letters_max: config.dead_letters_max,
            retry_after_micros: config.retry_after_micros,
        };
        let topic = TopicConfig {
            retained_messages_max: config.event_batches_retained_max,
            retained_bytes_max: config.event_bytes_retained_max,
            subscribers_max: config.event_subscribers_max,
        };
        let durable_digest = ledger.digest();
        Ok(Pipeline {
            recent: RecentIds::new(config.recent_ids_max, config.in_flight_max(), config.hash_seed),
            commands: Queue::new(queue).expect("validated above"),
            fresh: VecDeque::new(),
            events: Topic::new(topic).expect("validated above"),
            config: config.clone(),
            identity,
            generation,
            state: State::Running,
            ledger,
            read_models,
            stage: VecDeque::new(),
            gateway_lookups: VecDeque::new(),
            gateway_ids: 0,
            durable_border: encoder.border(),
            segments: Segments::new(config.segment_bytes, encoder.bytes()),
            encoder,
            gathering: Batch::default(),
            in_flight: VecDeque::new(),
            waiting: VecDeque::new(),
            repeats_waiting: 0,
            next_sequence: 0,
            durable_before: 0,
            known_durable_before: 0,
            durable_digest,
            recorded_at: Timestamp::ZERO,
            totals: Totals::default(),
        })
    }

    /// Takes one input and works until nothing more can be done without an answer from the driver.
    pub fn handle_input(&mut self, now: Timestamp, input: Input, outputs: &mut Vec<Output>) {
        match input {
            Input::Submit(requests) => self.submit(now, requests, outputs),
            Input::Lookups(lookups) => self.take_lookups(now, &lookups, outputs),
            Input::Appended { before } => self.appended(now, before, outputs),
            Input::AppendFailed => self.stop(now, outputs),
            Input::SegmentReady => self.segments.ready(),
            Input::StorageFull => self.segments.storage_full(),
            Input::Redrive { max } => {
                let mut happened = Vec::new();
                self.commands.redrive_oldest(now, max, &mut happened);
                self.take_queue_outputs(&happened, outputs);
            }
            Input::Close => self.close(outputs),
        }
        self.work(now, outputs);
    }

    /// Redelivers what stayed unacknowledged for too long, gives up look-ups that were never answered, and lets pending
    /// transfers expire whose deadline has passed: at most `expiries_max` in one call.
    pub fn handle_timeout(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        let mut happened = Vec::new();
        self.commands.handle_timeout(now, &mut happened);
        self.take_queue_outputs(&happened, outputs);
        while self.gateway_lookups.front().is_some_and(|lookup| lookup.expires_at <= now) {
            if let Some(lookup) = self.take_gateway_lookup(0) {
                self.totals.busy += 1;
                self.reply(lookup.request_id, lookup.busy, outputs);
            }
        }
        if self.state == State::Running {
            self.recorded_at = self.recorded_at.max(now);
            self.expire_due();
        }
        self.work(now, outputs);
    }

    /// When [`Pipeline::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let lookup = self
            .gateway_lookups
            .front()
            .map(|lookup| Deadline { at: lookup.expires_at, reason: "a look-up for a full queue expires" });
        // Without room for its record it waits for the append that makes room.
        let expiry = self
            .ledger
            .next_expiry()
            .filter(|_| self.state == State::Running && self.has_room() && self.has_segment());
        let expiry = expiry.map(|(at, _)| Deadline { at, reason: "a pending transfer expires" });
        let deadlines = [lookup, self.commands.poll_timeout(), expiry];
        deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    // The gateway.

    fn submit(&mut self, now: Timestamp, requests: Vec<Request>, outputs: &mut Vec<Output>) {
        self.totals.requests += requests.len() as u64;
        if self.state != State::Running {
            for request in requests {
                self.reply(request.request_id, Answer::Unavailable, outputs);
            }
            return;
        }
        // All bodies of a batch share one buffer, and none is copied again.
        let mut bodies = Vec::new();
        let mut accepted = Vec::with_capacity(requests.len());
        for request in requests {
            let transaction_id = request.command.transaction_id();
            if let Some((needs_before, answer)) = self.answer_from_memory(transaction_id, &request.command) {
                let reply = Reply { request_id: request.request_id, answer };
                self.answer_when_durable(now, needs_before, reply, None, outputs);
                continue;
            }
            let start = bodies.len();
            bodies.extend_from_slice(&request.request_id.to_le_bytes());
            encode_command(&request.command, &mut bodies);
            accepted.push((request, transaction_id, start..bodies.len()));
        }
        let bodies = Bytes::from(bodies);
        for (request, transaction_id, range) in accepted {
            let id = MessageId(transaction_id.as_bytes());
            let message = Message { id, body: bodies.slice(range), timestamp: now };
            match self.commands.push(now, message) {
                Ok(position) => self.fresh.push_back((position, request)),
                Err(refused) => self.refuse_push(now, request, &refused, outputs),
            }
        }
    }

    /// A full queue still answers what it knows: the id is looked up before `Busy` is said.
    fn refuse_push(
        &mut self,
        now: Timestamp,
        request: Request,
        refused: &PushRefused,
        outputs: &mut Vec<Output>,
    ) {
        let (depth, retry_after_micros) = match refused {
            PushRefused::Busy { depth, retry_after_micros } => (*depth, *retry_after_micros),
            PushRefused::TooLarge { .. } => (self.depth(), self.config.retry_after_micros),
        };
        let busy = Answer::Busy { depth, retry_after_micros };
        let ids = Ids::of(&request.command);
        let ids_count = count(ids.all().len());
        if self.gateway_ids.saturating_add(ids_count) > self.config.gateway_lookups_max {
            self.totals.busy += 1;
            self.reply(request.request_id, busy, outputs);
            return;
        }
        for asked in ids.all() {
            self.find_transaction(asked.transaction_id, outputs);
        }
        self.gateway_ids += ids_count;
        self.gateway_lookups.push_back(GatewayLookup {
            request_id: request.request_id,
            command: request.command,
            ids,
            busy,
            expires_at: now.saturating_add_micros(self.config.visibility_timeout_micros),
        });
    }

    fn take_gateway_lookup(&mut self, at: usize) -> Option<GatewayLookup> {
        let lookup = self.gateway_lookups.remove(at)?;
        self.gateway_ids -= count(lookup.ids.all().len());
        Some(lookup)
    }

    /// Gives `reply` (and acknowledges `token`) once every record below `needs_before` is durable.
    fn answer_when_durable(
        &mut self,
        now: Timestamp,
        needs_before: u64,
        reply: Reply,
        token: Option<broker::Token>,
        outputs: &mut Vec<Output>,
    ) {
        if needs_before <= self.durable_before {
            self.reply(reply.request_id, reply.answer, outputs);
            if let Some(token) = token {
                self.ack(now, token);
            }
            return;
        }
        if token.is_none() {
            if self.repeats_waiting >= self.config.repeats_waiting_max {
                let busy =
                    Answer::Busy { depth: self.depth(), retry_after_micros: self.config.retry_after_micros };
                self.totals.busy += 1;
                self.reply(reply.request_id, busy, outputs);
                return;
            }
            self.repeats_waiting += 1;
        }
        // What waits is in order: a repeat of an early record waits for the latest one before it at most.
        let needs_before =
            self.waiting.back().map_or(needs_before, |last| last.needs_before.max(needs_before));
        self.waiting.push_back(Waiting { needs_before, reply, token });
    }

    fn depth(&self) -> u32 {
        let depth = self.commands.stats(self.recorded_at).depth;
        u32::try_from(depth).expect("commands_max is a u32")
    }

    fn reply(&mut self, request_id: u64, answer: Answer, outputs: &mut Vec<Output>) {
        self.totals.replies += 1;
        outputs.push(Output::Reply(Reply { request_id, answer }));
    }

    /// A delivery that expired is not ours any more: its command comes again, or is a dead letter.
    fn take_queue_outputs(&mut self, happened: &[broker::Output], outputs: &mut Vec<Output>) {
        for event in happened {
            match event {
                broker::Output::Redelivered { position, .. } => {
                    self.stage.retain(|staged| staged.token.position != *position);
                }
                broker::Output::Undeliverable { position, .. } => {
                    let staged = self.stage.iter().position(|staged| staged.token.position == *position);
                    if let Some(staged) = staged.and_then(|at| self.stage.remove(at)) {
                        let transaction_id = staged.ids.first();
                        self.reply(staged.request_id, Answer::DeadLettered { transaction_id }, outputs);
                    }
                }
                broker::Output::DeadLettered { message, .. } => {
                    let id = TransactionId::from_bytes(message.id.0);
                    self.stage.retain(|staged| staged.ids.first() != id);
                    self.answer_dead_letter(&message.body, outputs);
                }
            }
        }
    }

    fn answer_dead_letter(&mut self, body: &[u8], outputs: &mut Vec<Output>) {
        if let Ok((request_id, command)) = open_envelope(body) {
            self.totals.dead_lettered += 1;
            let transaction_id = command.transaction_id();
            self.reply(request_id, Answer::DeadLettered { transaction_id }, outputs);
        }
    }

    // The idempotency stage.

    fn find_transaction(&mut self, transaction_id: TransactionId, outputs: &mut Vec<Output>) {
        self.totals.lookups += 1;
        outputs.push(Output::FindTransaction(transaction_id));
    }

    fn take_lookups(&mut self, now: Timestamp, lookups: &[Lookup], outputs: &mut Vec<Output>) {
        let mut cursor = 0;
        for lookup in lookups {
            let id = lookup.transaction_id();
            let found = match lookup {
                Lookup::TransactionFound { found, .. } => Some(*found),
                Lookup::TransactionAbsent { .. } => None,
            };
            self.resolve_gateway(now, id, found, outputs);
            // Answers come in the order of the questions as a rule, so the search begins where the last one was.
            let waits = |staged: &Staged| staged.ids.waits_for(&id).is_some();
            let behind = (cursor..self.stage.len()).find(|at| waits(&self.stage[*at]));
            let before = || (0..cursor.min(self.stage.len())).find(|at| waits(&self.stage[*at]));
            if let Some(at) = behind.or_else(before) {
                let ids = &mut self.stage[at].ids;
                ids.answer(&id, found);
                cursor = if ids.are_answered() { at + 1 } else { at };
            }
        }
    }

    fn resolve_gateway(
        &mut self,
        now: Timestamp,
        id: TransactionId,
        found: Option<Found>,
        outputs: &mut Vec<Output>,
    ) {
        if self.gateway_lookups.is_empty() {
            return;
        }
        let at = self.gateway_lookups.iter().position(|lookup| lookup.ids.waits_for(&id).is_some());
        let Some(at) = at else { return };
        let ids = &mut self.gateway_lookups[at].ids;
        ids.answer(&id, found);
        if !ids.are_answered() {
            return;
        }
        let Some(lookup) = self.take_gateway_lookup(at) else { return };
        match self.known_answer(&lookup.command, &lookup.ids) {
            Some((needs_before, answer)) => {
                let reply = Reply { request_id: lookup.request_id, answer };
                self.answer_when_durable(now, needs_before, reply, None, outputs);
            }
            None => {
                self.totals.busy += 1;
                self.reply(lookup.request_id, lookup.busy, outputs);
            }
        }
    }

    // The work: pull, execute, append.

    fn work(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        if self.state != State::Running {
            return;
        }
        self.recorded_at = self.recorded_at.max(now);
        self.execute_staged(now, outputs);
        self.pull(now, outputs);
        // A pulled repeat of a recent id needs no look-up, so there may be something to do at once.
        self.execute_staged(now, outputs);
        self.append(outputs);
    }

    fn pull(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        let room = self.config.stage_commands_max.saturating_sub(count(self.stage.len()));
        if room == 0 {
            return;
        }
        let mut deliveries: Vec<Delivery> = Vec::new();
        self.commands.pull(now, CONSUMER, room, u64::MAX, &mut deliveries);
        for delivery in deliveries {
            match self.open(&delivery) {
                Ok(Request { request_id, command }) => {
                    let mut ids = Ids::of(&command);
                    for asked in ids.all_mut() {
                        match self.recent.find(&asked.transaction_id) {
                            Some(found) => asked.lookup = LookupState::Found(*found),
                            None => {
                                self.totals.lookups += 1;
                                outputs.push(Output::FindTransaction(asked.transaction_id));
                            }
                        }
                    }
                    self.stage.push_back(Staged { token: delivery.token, request_id, command, ids });
                }
                Err(malformed) => {
                    let reason = alloc::format!("{malformed}");
                    self.commands.reject(now, delivery.token, &reason).expect("the token is fresh");
                }
            }
        }
    }

    /// The command of a delivery.
    fn open(&mut self, delivery: &Delivery) -> Result<Request, crate::Malformed> {
        let position = delivery.token.position;
        while let Some((fresh, request)) = self.fresh.pop_front() {
            if fresh == position {
                return Ok(request);
            }
            if fresh > position {
                self.fresh.push_front((fresh, request));
                break;
            }
        }
        let (request_id, command) = open_envelope(&delivery.message.body)?;
        Ok(Request { request_id, command })
    }

    fn execute_staged(&mut self, now: Timestamp, outputs: &mut Vec<Output>) {
        while let Some(head) = self.stage.front() {
            if !head.ids.are_answered() || !self.has_room() {
                return;
            }
            // An equal command may have been executed while this one waited for its look-up.
            let Some(staged) = self.stage.pop_front() else { return };
            let known = self.known_answer(&staged.command, &staged.ids);
            let room = if known.is_some() { Room::Here } else { self.room() };
            if room == Room::Later {
                self.stage.push_front(staged);
                return;
            }
            match (known, room) {
                (Some((needs_before, answer)), _) => {
                    let Staged { token, request_id, .. } = staged;
                    let reply = Reply { request_id, answer };
                    self.answer_when_durable(now, needs_before, reply, Some(token), outputs);
                }
                (None, Room::None) => {
                    self.totals.storage_full += 1;
                    self.reply(staged.request_id, Answer::StorageFull, outputs);
                    self.ack(now, staged.token);
                }
                (None, Room::Here | Room::InNextSegment | Room::Later) => self.execute(now, staged, outputs),
            }
        }
    }

    /// Whether one more record may be gathered.
    fn has_room(&self) -> bool {
        self.gathering.transactions < self.config.append_records_max
            && (self.gathering.bytes.len() as u64) < self.config.append_bytes_max
    }

    /// Whether the log has a place for one more record now.
    fn has_segment(&self) -> bool {
        matches!(self.room(), Room::Here | Room::InNextSegment)
    }

    fn room(&self) -> Room {
        self.segments.room(self.encoder.bytes(), self.gathering.records.len())
    }

    fn execute(&mut self, now: Timestamp, staged: Staged, outputs: &mut Vec<Output>) {
        let Staged { token, request_id, command, ids } = staged;
        if let Command::OpenAccount { account, .. } = &command
            && self.ledger.find(account).is_some()
        {
            // Another body opened it: an equal one has an equal id, and would have been found.
            self.totals.conflicts += 1;
            let reply = Reply { request_id, answer: Answer::Conflict { transaction_id: ids.first() } };
            self.answer_when_durable(now, self.next_sequence, reply, Some(token), outputs);
            return;
        }
        if self.has_too_many_pending(&command) {
            let answer =
                Answer::Busy { depth: self.depth(), retry_after_micros: self.config.retry_after_micros };
            self.totals.busy += 1;
            self.reply(request_id, answer, outputs);
            self.ack(now, token);
            return;
        }
        let events_start = self.gathering.events.len();
        self.ledger.execute(self.recorded_at, &command, &mut self.gathering.events);
        let sequence = self.record(command.kind(), count(ids.all().len()), events_start);
        let answer = match &ids {
            Ids::One(Asked { transaction_id, .. }) => {
                let result = result_of(self.gathering.events.last());
                let outcome = self.remember(*transaction_id, &command, sequence, result);
                Answer::Done { outcome, replayed: Replayed::First }
            }
            Ids::Group(members) => {
                // A refused group has one event for each member, and a completed one has no refusal.
                let mut outcomes = Vec::with_capacity(members.len());
                for (at, (asked, member)) in members.iter().zip(command.members()).enumerate() {
                    let result = result_of(self.gathering.events.get(events_start + at));
                    outcomes.push(self.remember(asked.transaction_id, member, sequence, result));
                }
                Answer::Linked { outcomes, replayed: Replayed::First }
            }
        };
        self.answer_when_durable(now, sequence + 1, Reply { request_id, answer }, Some(token), outputs);
    }

    /// Would the command open more pending transfers than there may be?
    fn has_too_many_pending(&self, command: &Command) -> bool {
        let opened = command.members().iter().filter(|member| member.kind() == CommandKind::PendingTransfer);
        let opened = opened.count() as u64;
        opened > 0 && self.ledger.holds().len() + opened > u64::from(self.config.pending_transfers_max)
    }

    /// Applies the events from `events_start` on and makes one record of them.
    fn record(&mut self, kind: CommandKind, transactions: u32, events_start: usize) -> u64 {
        if self.room() == Room::InNextSegment {
            self.segments.begin(self.encoder.bytes());
            self.encoder.next_segment(&mut self.gathering.bytes);
            self.gathering.place = Place::New;
        }
        let events = &self.gathering.events[events_start..];
        for event in events {
            self.ledger.apply(event);
        }
        let sequence = self.next_sequence;
        let meta = RecordMeta {
            kind: u16::from(kind as u8),
            kind_version: content::RECORD_VERSION,
            generation: self.generation,
            sequence,
            recorded_at: self.recorded_at,
            source: None,
        };
        let at = self.gathering.bytes.len();
        self.encoder
            .record_with(&meta, &mut self.gathering.bytes, |payload| content::encode_events(events, payload));
        let events_end = self.gathering.events.len();
        self.gathering.records.push(Executed { recorded_at: self.recorded_at, kind, events_end, at });
        self.gathering.transactions += transactions;
        self.next_sequence += 1;
        self.totals.executed += 1;
        sequence
    }

    fn remember(
        &mut self,
        transaction_id: TransactionId,
        command: &Command,
        sequence: u64,
        result: TransactionResult,
    ) -> Outcome {
        let found = Found { sequence, fingerprint: command.fingerprint(), result };
        self.recent.insert(transaction_id, found, self.durable_before);
        Outcome { transaction_id, sequence, result }
    }
}

impl Batch {
    fn next_sequence(&self) -> u64 {
        self.first_sequence + self.records.len() as u64
    }
}

/// The pipeline is the one consumer of its command queue.
const CONSUMER: u64 = 0;

fn open_envelope(body: &[u8]) -> Result<(u64, Command), crate::Malformed> {
    let too_short = crate::Malformed { at_byte: 0, expected: "a request id" };
    let (request_id, command) = body.split_first_chunk::<8>().ok_or(too_short)?;
    Ok((u64::from_le_bytes(*request_id), decode_command(command)?))
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("every collection of a pipeline has a limit below 2^32")
}
