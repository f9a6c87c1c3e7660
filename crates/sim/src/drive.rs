//! The driver of a world's pipeline: inputs go in, outputs are worked off, what is durable is checked.

use bytes::Bytes;
use ledger::TransactionId;
use pipeline::{Answer, Append, Input, Lookup, Outcome, Output, Reply};

use crate::checkers::Checkers;
use crate::clients::{Sender, sender_of};
use crate::journal_store::Fenced;
use crate::node::{NextAppend, Node};
use crate::options::Safeguard;
use crate::read_store::Change;
use crate::schedule::{NodeIndex, Occurrence};
use crate::world::World;

/// Of 1,000 chances that a safeguard which is off gives, so many are taken.
pub(crate) const UNSAFE_PER_MILLE: u32 = 20;

impl World {
    /// Gives an input to a pipeline that is up, and works until it wants nothing more at once.
    pub(crate) fn drive(&mut self, node: NodeIndex, input: Input) {
        let mut outputs = core::mem::take(&mut self.outputs);
        let mut next = Some(input);
        while let Some(input) = next {
            let now = self.now;
            let Some(pipeline) = self.node_mut(node).running_mut() else { break };
            pipeline.handle_input(now, input, &mut outputs);
            next = self.work_off(node, &mut outputs);
        }
        outputs.clear();
        self.outputs = outputs;
        self.after_input(node);
    }

    /// Calls a pipeline because of the time.
    pub(crate) fn drive_timeout(&mut self, node: NodeIndex) {
        let mut outputs = core::mem::take(&mut self.outputs);
        let now = self.now;
        let mut next = None;
        if let Some(pipeline) = self.node_mut(node).running_mut() {
            pipeline.handle_timeout(now, &mut outputs);
            next = self.work_off(node, &mut outputs);
        }
        outputs.clear();
        self.outputs = outputs;
        match next {
            Some(input) => self.drive(node, input),
            None => self.after_input(node),
        }
    }

    pub(crate) fn node(&self, node: NodeIndex) -> &Node {
        &self.nodes[node.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, node: NodeIndex) -> &mut Node {
        &mut self.nodes[node.0 as usize]
    }

    /// What has become durable is folded, checked and sent on.
    pub(crate) fn fold_durable(&mut self, node: NodeIndex) {
        let fold: fn(&mut Checkers, &_, &_) -> _ = Checkers::durable;
        self.fold_with(node, fold);
    }

    /// As [`World::fold_durable`], by the given way of the checkers to look at it.
    pub(crate) fn fold_with(
        &mut self,
        node: NodeIndex,
        fold: fn(&mut Checkers, &crate::JournalStore, &pipeline::Pipeline) -> Vec<crate::fold::Entry>,
    ) {
        let World { nodes, checkers, journal, read_store, options, streams, .. } = self;
        let Some(pipeline) = nodes[node.0 as usize].running() else { return };
        let (records, events) = (checkers.fold().next_sequence(), checkers.fold().events_count());
        let entries = fold(checkers, journal, pipeline);
        let gapless = !options.lacks(Safeguard::GaplessFeed);
        for entry in &entries {
            if gapless || !streams.safeguards.happens(UNSAFE_PER_MILLE) {
                read_store.push(Change {
                    sequence: entry.sequence,
                    account: entry.account.0,
                    amount: entry.amount,
                    balance_after: entry.balance_after,
                });
            }
        }
        checkers.give_back(entries);
        checkers.periodic(journal, pipeline, options.refold_every_records, options.full_check_every_records);
        let (records, events) =
            (checkers.fold().next_sequence() - records, checkers.fold().events_count() - events);
        self.meter.durable(self.now, records, events);
        self.send_to_read_store();
        self.end_workload_if_due();
    }

    /// Sends what waits to the read store, if it is not at work.
    pub(crate) fn send_to_read_store(&mut self) {
        if self.read_store.send(self.journal.durable_before()) {
            let delay = self.options.read_store.delay;
            let micros = self.streams.read_store.between(delay.min, delay.max);
            self.schedule.add(self.now.saturating_add_micros(micros), Occurrence::ReadStore);
        }
    }

    /// The answer of the index, which covers every durable record.
    pub(crate) fn look_up(&mut self, node: NodeIndex, transaction_id: TransactionId) -> Option<Lookup> {
        let stale = self.options.lacks(Safeguard::FreshLookups)
            && self.streams.safeguards.happens(10 * UNSAFE_PER_MILLE);
        let pipeline = self.node(node).running()?;
        let found = if stale { None } else { pipeline.projections().transactions.found(&transaction_id) };
        Some(match found {
            Some(found) => Lookup::TransactionFound { transaction_id, found },
            None => Lookup::TransactionAbsent { transaction_id },
        })
    }

    /// Works off outputs; what the pipeline can be told at once comes back.
    fn work_off(&mut self, node: NodeIndex, outputs: &mut Vec<Output>) -> Option<Input> {
        if self.checkers.fold().position() != self.journal.durable_bytes() {
            self.fold_durable(node);
        }
        let mut lookups = Vec::new();
        for output in outputs.drain(..) {
            match output {
                Output::Reply(reply) => self.reply(reply),
                Output::FindTransaction(id) => lookups.extend(self.find_transaction(node, id)),
                Output::Append(append) => self.append(node, &append),
            }
        }
        if lookups.is_empty() { None } else { Some(Input::Lookups(lookups)) }
    }

    /// An answer at once, or later, or never.
    fn find_transaction(&mut self, node: NodeIndex, id: TransactionId) -> Option<Lookup> {
        let lookups = &self.options.lookups;
        let (delay, loss_per_mille) = (lookups.delay, lookups.loss_per_mille);
        // A feed is a load made by hand: nothing of it is lost, so that it ends as it does without a simulation.
        if self.feed.is_none() && loss_per_mille > 0 && self.streams.lookups.happens(loss_per_mille) {
            self.totals.lookups_lost += 1;
            return None;
        }
        let micros = if delay.max == 0 { 0 } else { self.streams.lookups.between(delay.min, delay.max) };
        if micros == 0 {
            return self.look_up(node, id);
        }
        self.schedule.add_lookup(self.now.saturating_add_micros(micros), id);
        None
    }

    /// An answer leaves the pipeline.
    fn reply(&mut self, reply: Reply) {
        for outcome in outcomes(&reply.answer) {
            self.checkers.acknowledge(outcome);
        }
        match sender_of(reply.request_id) {
            (_, Sender::Client(_)) => self.send_answer(reply),
            (number, Sender::ByHand) => self.answer_by_hand(number, reply.answer),
            (number, Sender::Feed) => self.answer_feed(number, &reply.answer),
        }
    }

    /// An append goes to the journal store.
    fn append(&mut self, node: NodeIndex, append: &Append) {
        let Some(pipeline) = self.node(node).running() else { return };
        let generation = pipeline.generation();
        // The batch holds everything that was executed, so the ledger stands at its end.
        if pipeline.next_sequence() == append.next_sequence {
            let digest = pipeline.ledger().digest();
            self.checkers.wrote(append.next_sequence, digest);
        }
        let bytes = self.written_bytes(&append.bytes);
        let newest = self.journal.newest_generation();
        let accepted = self.journal.append(generation, append.next_sequence, &bytes);
        let disk = self.options.disk;
        let due = self.now.saturating_add_micros(self.streams.disk.between(disk.min, disk.max));
        let state = self.node_mut(node);
        // Appends become durable in order.
        let due = due.max(state.append_due);
        state.append_due = due;
        let fails = state.next_append == NextAppend::Fails;
        state.next_append = NextAppend::Succeeds;
        match accepted {
            Ok(()) if !fails => {
                self.checkers.accepted(generation, newest);
                self.schedule.add(due, Occurrence::Appended(node));
            }
            Ok(()) | Err(Fenced { .. }) => {
                self.schedule.add(due, Occurrence::AppendFailed(node));
            }
        }
    }

    /// The bytes as the disk will give them back.
    fn written_bytes(&mut self, bytes: &Bytes) -> Bytes {
        if !self.options.lacks(Safeguard::IntactLog) || !self.streams.safeguards.happens(UNSAFE_PER_MILLE) {
            return bytes.clone();
        }
        let mut flipped = bytes.to_vec();
        let bit = self.streams.safeguards.below(flipped.len() as u64 * 8);
        flipped[usize::try_from(bit / 8).expect("a batch is in memory")] ^= 1 << (bit % 8);
        Bytes::from(flipped)
    }

    fn after_input(&mut self, node: NodeIndex) {
        let World { nodes, checkers, schedule, now, .. } = self;
        let state = &mut nodes[node.0 as usize];
        let Some(pipeline) = state.running() else { return };
        checkers.queue(pipeline.commands());
        // Being called too early costs a look at the time, so a call that is scheduled is only moved forward.
        match (pipeline.poll_timeout(), state.timer) {
            (None, None) => {}
            (None, Some(timer)) => {
                schedule.remove(timer);
                state.timer = None;
            }
            (Some(deadline), Some(timer)) if timer.at <= deadline.at => {}
            (Some(deadline), timer) => {
                if let Some(timer) = timer {
                    schedule.remove(timer);
                }
                state.timer = Some(schedule.add(deadline.at.max(*now), Occurrence::PipelineTimeout(node)));
            }
        }
    }
}

/// The outcomes in an answer: one, or one for each member of a group, or none.
pub(crate) fn outcomes(answer: &Answer) -> &[Outcome] {
    match answer {
        Answer::Done { outcome, .. } => core::slice::from_ref(outcome),
        Answer::Linked { outcomes, .. } => outcomes,
        Answer::Conflict { .. }
        | Answer::Busy { .. }
        | Answer::DeadLettered { .. }
        | Answer::StorageFull
        | Answer::Unavailable => &[],
    }
}
