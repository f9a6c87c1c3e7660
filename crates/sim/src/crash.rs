//! Death and recovery of a world's pipeline.

use pipeline::{Input, Recovered, Recovery, RecoveryError, ReplayError};

use crate::checkers::{Checkers, Invariant};
use crate::node::LateAppend;
use crate::options::Safeguard;
use crate::schedule::{NodeIndex, Occurrence};
use crate::world::{What, World};

impl World {
    /// The next crash drawn from the seed, if there are any.
    pub(crate) fn schedule_crash(&mut self) {
        let every = self.options.crashes.every_micros;
        if every > 0 {
            let micros = self.streams.crashes.between(1, 2 * every);
            self.schedule.add(self.now.saturating_add_micros(micros), Occurrence::Crash);
        }
    }

    /// The pipeline loses its memory, and the disk what it had not made durable, or a part of it. A dead one cannot die again.
    pub(crate) fn crash_node(&mut self, node: NodeIndex, down_micros: u64) -> (What, u64) {
        let Some(pipeline) = self.node(node).running() else { return (What::Crashed, 0) };
        let generation = pipeline.generation();
        self.totals.crashes += 1;
        self.node_mut(node).die();
        self.schedule.forget_node(node);
        let (cuts, bytes) = (self.journal.cuts(), self.journal.log().len());
        let lost = self.journal.crash(&mut self.streams.tails);
        if self.options.lacks(Safeguard::DurableAppends) {
            self.journal.lose_acknowledged();
        }
        self.totals.bytes_torn += bytes.saturating_sub(self.journal.log().len());
        self.forget_commits(cuts);
        let late = self.streams.crashes.happens(self.options.crashes.late_appends_per_mille);
        self.node_mut(node).late = lost.filter(|_| late).map(|bytes| LateAppend { generation, bytes });
        self.schedule.add(self.now.saturating_add_micros(down_micros), Occurrence::Restart(node));
        (What::Crashed, 1)
    }

    /// A new pipeline reads the log, and cuts off what an interrupted append left behind.
    pub(crate) fn restart_node(&mut self, node: NodeIndex) -> (What, u64) {
        let recovered = match self.read_whole_log(node) {
            Ok(recovered) => recovered,
            Err(error) => {
                let message = format!("the pipeline cannot start again: {error}");
                let invariant = match error {
                    RecoveryError::Replay(ReplayError::RepeatedId { .. }) => Invariant::OneEffectPerId,
                    RecoveryError::Replay(_) | RecoveryError::Corrupt(_) => Invariant::LogIsIntact,
                };
                self.checkers.findings.broke(invariant, &message);
                return (What::Restarted, 0);
            }
        };
        let records = recovered.projections.checkpoint();
        if let Some(cut) = &recovered.cut {
            let cuts = self.journal.cuts();
            self.totals.bytes_torn += cut.bytes_cut;
            self.journal.cut(cut.cut_at_byte);
            self.forget_commits(cuts);
        }
        self.node_mut(node).recover(recovered);
        // What was read must be durable before anybody is told of it, so this is an occurrence of its own.
        self.schedule.add(self.now, Occurrence::Resume(node));
        (What::Restarted, records)
    }

    /// The new pipeline begins to work.
    pub(crate) fn resume_node(&mut self, node: NodeIndex) -> (What, u64) {
        self.node_mut(node).resume();
        let Some(pipeline) = self.node(node).running() else { return (What::Resumed, 0) };
        let (generation, next_sequence) = (pipeline.generation(), pipeline.next_sequence());
        self.journal.open(generation);
        self.journal.recovered(next_sequence);
        self.node_mut(node).append_due = self.now;
        self.fold_with(node, Checkers::recovered);
        if let Some(late) = self.node_mut(node).late.take() {
            let disk = self.options.disk;
            let micros = self.streams.disk.between(disk.min, disk.max);
            self.schedule.add(self.now.saturating_add_micros(micros), Occurrence::LateAppend(late));
        }
        self.schedule_crash();
        self.resend_by_hand();
        self.resend_feed();
        (What::Resumed, next_sequence)
    }

    /// The pipeline is told that its append failed, stops, and is started again.
    pub(crate) fn append_failed(&mut self, node: NodeIndex) -> (What, u64) {
        self.totals.appends_failed += 1;
        self.drive(node, Input::AppendFailed);
        let down = self.options.crashes.down;
        let micros = self.streams.crashes.between(down.min, down.max);
        self.crash_node(node, micros);
        (What::AppendFailed, 1)
    }

    /// An append of a dead pipeline reaches the store, which knows of the new one.
    pub(crate) fn late_append(&mut self, late: &LateAppend) -> (What, u64) {
        let newest = self.journal.newest_generation();
        if self.options.lacks(Safeguard::Fencing) {
            self.checkers.accepted(late.generation, newest);
            self.journal.write_unfenced(&late.bytes);
        } else if self.journal.append(late.generation, 0, &late.bytes).is_err() {
            self.totals.appends_fenced += 1;
        }
        (What::LateAppend, late.bytes.len() as u64)
    }

    fn read_whole_log(&self, node: NodeIndex) -> Result<Recovered, RecoveryError> {
        let mut recovery = Recovery::new(self.node(node).config.hash_seed);
        for slice in self.journal.log().slices(0, u64::MAX) {
            recovery.push(slice, |_| {})?;
        }
        recovery.finish()
    }
}
