//! What must hold in every world, checked from the outside.

use std::collections::VecDeque;

use broker::Queue;
use ledger::{AccountIndex, Command, Digest, TransactionResult};
use pipeline::{Outcome, Pipeline, Recovery};
use projection::Projections;
use serde::{Deserialize, Serialize};
use time::Timestamp;

use crate::fold::{Entry, Fold, half};
use crate::journal_store::JournalStore;

/// Something that must hold whatever happens to a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Invariant {
    /// Over all accounts of an asset the balances add up to 0. Checked after every event of the durable log.
    SumIsZero,
    /// No balance, less what is held of it, is below its account's floor. After every event.
    BalancesKeepFloors,
    /// A transaction id has one record. After every record.
    OneEffectPerId,
    /// Every answer that leaves the pipeline stands in the durable log, then and after every restart. For every answer given.
    AcknowledgedIsDurable,
    /// What a client receives is what the log says of the command that this client sent. For every answer received.
    AnswersAgree,
    /// Balances of the pipeline's projections and of the read store equal the fold of the log. For every entry, and for all
    /// accounts at every refold.
    ProjectionsEqualFold,
    /// No record, and no append that the store accepts, has a lower generation than one before. For every record and append.
    GenerationsNeverFall,
    /// Accepted = queued + in flight + acked + dead-lettered. After every input of the pipeline.
    QueueIsBalanced,
    /// The bytes of the log decode, with every checksum and seal. For every stretch that becomes durable.
    LogIsIntact,
    /// The digest that the pipeline had when it wrote a batch is that of the ledger folded from the durable bytes. For every
    /// batch, and after every restart.
    RefoldEqualsState,
    /// A replay of the whole log from empty memory comes to the same digest, balances, totals and counts. Every so many records
    /// ([`full_check_every_records`](crate::Options::full_check_every_records)), and when asked.
    ReplayEqualsState,
    /// When the workload has ended, nothing waits for an answer any more. At the end, and when a feed has ended.
    EverythingIsAnswered,
    /// What is held of a balance is the sum of the account's open pending transfers, in the ledger too; and no pending
    /// transfer ends twice. After every record, and for all accounts at every refold.
    PendingIsHeld,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 13] = [
        Invariant::SumIsZero,
        Invariant::BalancesKeepFloors,
        Invariant::OneEffectPerId,
        Invariant::AcknowledgedIsDurable,
        Invariant::AnswersAgree,
        Invariant::ProjectionsEqualFold,
        Invariant::GenerationsNeverFall,
        Invariant::QueueIsBalanced,
        Invariant::LogIsIntact,
        Invariant::RefoldEqualsState,
        Invariant::ReplayEqualsState,
        Invariant::EverythingIsAnswered,
        Invariant::PendingIsHeld,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Invariant::SumIsZero => "sum_is_zero",
            Invariant::BalancesKeepFloors => "balances_keep_floors",
            Invariant::OneEffectPerId => "one_effect_per_id",
            Invariant::AcknowledgedIsDurable => "acknowledged_is_durable",
            Invariant::AnswersAgree => "answers_agree",
            Invariant::ProjectionsEqualFold => "projections_equal_fold",
            Invariant::GenerationsNeverFall => "generations_never_fall",
            Invariant::QueueIsBalanced => "queue_is_balanced",
            Invariant::LogIsIntact => "log_is_intact",
            Invariant::RefoldEqualsState => "refold_equals_state",
            Invariant::ReplayEqualsState => "replay_equals_state",
            Invariant::EverythingIsAnswered => "everything_is_answered",
            Invariant::PendingIsHeld => "pending_is_held",
        }
    }

    /// What it says, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Invariant::SumIsZero => "The balances of each asset add up to 0",
            Invariant::BalancesKeepFloors => "No balance is below its floor",
            Invariant::OneEffectPerId => "One effect for each transaction id",
            Invariant::AcknowledgedIsDurable => "Nothing acknowledged is lost",
            Invariant::AnswersAgree => "Clients are told what the log says",
            Invariant::ProjectionsEqualFold => "Projections equal the fold of the log",
            Invariant::GenerationsNeverFall => "Generations never fall",
            Invariant::QueueIsBalanced => "The queue's books balance",
            Invariant::LogIsIntact => "The log's checksums and seals are right",
            Invariant::RefoldEqualsState => "The pipeline's state is what its log says",
            Invariant::ReplayEqualsState => "A replay from empty memory gives the same state",
            Invariant::EverythingIsAnswered => "In the end nothing waits for an answer",
            Invariant::PendingIsHeld => "What is held is what is pending",
        }
    }
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Which one.
    pub invariant: Invariant,
    /// The step in which it was found.
    pub step: u64,
    /// Virtual time then, microseconds since the Unix epoch.
    pub at_micros: u64,
    /// What was found.
    pub message: String,
}

/// How often an invariant was checked and broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Checks made.
    pub checks: u64,
    /// Checks that failed.
    pub failures: u64,
}

/// What the checkers found so far.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    tallies: [Tally; Invariant::ALL.len()],
    /// The first failures.
    broken: Vec<Broken>,
    step: u64,
    now: Timestamp,
}

/// Failures that are kept with their message.
const BROKEN_MAX: usize = 16;
/// Answers that are looked up again after a restart.
const ACKNOWLEDGED_MAX: usize = 1_024;

impl Findings {
    /// How often this invariant was checked and broken.
    pub fn tally(&self, invariant: Invariant) -> Tally {
        self.tallies[invariant as usize]
    }

    /// The first failures, in order.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    pub(crate) fn at(&mut self, step: u64, now: Timestamp) {
        self.step = step;
        self.now = now;
    }

    pub(crate) fn checked(&mut self, invariant: Invariant, times: u64) {
        self.tallies[invariant as usize].checks += times;
    }

    pub(crate) fn broke(&mut self, invariant: Invariant, message: &str) {
        self.tallies[invariant as usize].failures += 1;
        if self.broken.len() < BROKEN_MAX {
            let (step, at_micros) = (self.step, self.now.micros());
            self.broken.push(Broken { invariant, step, at_micros, message: String::from(message) });
        }
    }

    fn check(&mut self, invariant: Invariant, result: Result<(), String>) {
        self.checked(invariant, 1);
        if let Err(message) = result {
            self.broke(invariant, &message);
        }
    }
}

/// The checkers of one world. They see inputs, outputs and the bytes of the log, and decide nothing.
///
/// A clone costs O(accounts), not O(log).
#[derive(Clone)]
pub(crate) struct Checkers {
    pub(crate) findings: Findings,
    fold: Fold,
    hash_seed: u64,
    /// Digests that the pipeline had when it wrote a batch, by the sequence behind it, until the batch is durable.
    digests: VecDeque<(u64, Digest)>,
    acknowledged: VecDeque<Outcome>,
    refold_next: u64,
    replay_next: u64,
}

impl Checkers {
    pub(crate) fn new(hash_seed: u64) -> Checkers {
        Checkers {
            findings: Findings::default(),
            fold: Fold::new(hash_seed),
            hash_seed,
            digests: VecDeque::new(),
            acknowledged: VecDeque::new(),
            refold_next: 0,
            replay_next: 0,
        }
    }

    /// What the durable log says.
    pub(crate) fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The pipeline took an input.
    pub(crate) fn queue(&mut self, queue: &Queue) {
        let balanced = queue.is_balanced();
        let result = if balanced {
            Ok(())
        } else {
            Err(String::from("the books of the command queue do not balance"))
        };
        self.findings.check(Invariant::QueueIsBalanced, result);
    }

    /// The pipeline wrote a batch that ends before `next_sequence`, with this digest.
    pub(crate) fn wrote(&mut self, next_sequence: u64, digest: Digest) {
        self.digests.push_back((next_sequence, digest));
    }

    /// The store accepted an append.
    pub(crate) fn accepted(&mut self, generation: u64, newest: u64) {
        let fell = format!("the store accepted an append of generation {generation} after one of {newest}");
        let result = if generation < newest { Err(fell) } else { Ok(()) };
        self.findings.check(Invariant::GenerationsNeverFall, result);
    }

    /// Reads what has become durable, and compares. Returns the entries for other folds.
    pub(crate) fn durable(&mut self, journal: &JournalStore, pipeline: &Pipeline) -> Vec<Entry> {
        self.fold.advance(journal, &mut self.findings);
        self.compare_digests();
        let entries = self.fold.take_entries();
        self.compare_entries(&entries, pipeline.projections());
        entries
    }

    /// A pipeline has recovered from the log; what it was going to write is forgotten.
    pub(crate) fn recovered(&mut self, journal: &JournalStore, pipeline: &Pipeline) -> Vec<Entry> {
        self.digests.clear();
        let entries = self.durable(journal, pipeline);
        self.compare_state(pipeline, "after the restart");
        let acknowledged = core::mem::take(&mut self.acknowledged);
        for outcome in &acknowledged {
            self.findings.check(Invariant::AcknowledgedIsDurable, self.fold.holds(outcome));
            if pipeline.projections().transactions.found(&outcome.transaction_id).is_none() {
                let message = format!(
                    "transaction {} was answered, but is unknown after the restart",
                    outcome.transaction_id
                );
                self.findings.broke(Invariant::AcknowledgedIsDurable, &message);
            }
        }
        self.acknowledged = acknowledged;
        entries
    }

    /// Gives the memory of entries back.
    pub(crate) fn give_back(&mut self, entries: Vec<Entry>) {
        self.fold.give_back(entries);
    }

    /// An outcome left the pipeline.
    pub(crate) fn acknowledge(&mut self, outcome: &Outcome) {
        self.findings.check(Invariant::AcknowledgedIsDurable, self.fold.holds(outcome));
        if self.acknowledged.len() == ACKNOWLEDGED_MAX {
            self.acknowledged.pop_front();
        }
        self.acknowledged.push_back(*outcome);
    }

    /// A client received outcomes for the command that it sent: one, or one for each member of its group.
    pub(crate) fn received(&mut self, command: &Command, outcomes: &[Outcome]) {
        let members = command.members();
        let mut result = self.together(command, outcomes);
        for (member, outcome) in members.iter().zip(outcomes) {
            result = result.and_then(|()| self.is_of(member, outcome));
        }
        self.findings.check(Invariant::AnswersAgree, result);
    }

    /// Is this what the log says of this command?
    fn is_of(&self, command: &Command, outcome: &Outcome) -> Result<(), String> {
        self.fold.holds(outcome)?;
        let recorded = self.fold.fingerprint(outcome.transaction_id);
        if outcome.transaction_id != command.transaction_id() {
            return Err(format!("{} was answered with {}", command.transaction_id(), outcome.transaction_id));
        }
        if recorded == Some(half(&command.fingerprint().0)) {
            return Ok(());
        }
        Err(format!(
            "transaction {} took effect with another body than its client sent",
            outcome.transaction_id
        ))
    }

    /// Do the members of a group have their outcomes in one record, all completed or none?
    fn together(&self, command: &Command, outcomes: &[Outcome]) -> Result<(), String> {
        let (members, answered) = (command.members().len(), outcomes.len());
        if members != answered {
            return Err(format!(
                "{} has {members} members, but {answered} outcomes",
                command.transaction_id()
            ));
        }
        let completed =
            outcomes.iter().filter(|outcome| outcome.result == TransactionResult::Completed).count();
        let one_record = outcomes.iter().all(|outcome| outcome.sequence == outcomes[0].sequence);
        if one_record && (completed == 0 || completed == answered) {
            return Ok(());
        }
        Err(format!(
            "of the group {} {completed} members of {members} completed, in one record: {one_record}",
            command.transaction_id()
        ))
    }

    /// A client was told that the id, or the account's name, is taken by another body. The log must say so.
    pub(crate) fn conflict(&mut self, command: &Command) {
        let id = command.transaction_id();
        let recorded = self.fold.fingerprint(id);
        let result = match command {
            Command::OpenAccount { account, .. } => match (recorded, self.fold.ledger().find(account)) {
                (Some(_), _) => {
                    Err(format!("opening {id} was answered as a conflict, but the log has its outcome"))
                }
                (None, None) => {
                    Err(format!("opening {id} was answered as a conflict, but {account} does not exist"))
                }
                (None, Some(_)) => Ok(()),
            },
            Command::Transfer { .. }
            | Command::Deposit { .. }
            | Command::Withdrawal { .. }
            | Command::PendingTransfer { .. }
            | Command::PostTransfer { .. }
            | Command::VoidTransfer { .. }
            | Command::SetFloor { .. } => {
                if recorded.is_some_and(|recorded| recorded != half(&command.fingerprint().0)) {
                    Ok(())
                } else {
                    Err(format!("{id} was answered as a conflict, but the log has no other body for it"))
                }
            }
            Command::Linked { transfers } => {
                let is_taken = |member: &Command| self.fold.fingerprint(member.transaction_id()).is_some();
                if transfers.members().iter().any(is_taken) {
                    Ok(())
                } else {
                    Err(format!("the group {id} was answered as a conflict, but none of its ids is taken"))
                }
            }
        };
        self.findings.check(Invariant::AnswersAgree, result);
    }

    /// A client that used an id for one body only was told of a conflict.
    pub(crate) fn unexpected_conflict(&mut self, command: &Command) {
        let message = format!(
            "{} was answered as a conflict, but its client used the id once",
            command.transaction_id()
        );
        self.findings.broke(Invariant::AnswersAgree, &message);
    }

    /// A client was given an outcome for an id that was taken by another body.
    pub(crate) fn unexpected_outcome(&mut self, command: &Command) {
        let message =
            format!("{} has an outcome, but its id was taken by another body", command.transaction_id());
        self.findings.check(Invariant::AnswersAgree, Err(message));
    }

    /// The read store folded an entry.
    pub(crate) fn read_store(&mut self, sequence: u64, account: u32, balance: i64, expected: i64) {
        self.findings.checked(Invariant::ProjectionsEqualFold, 1);
        if balance != expected {
            let name = self.fold.ledger().account(AccountIndex(account)).name;
            let message = format!(
                "read store, record {sequence}: {name} has {balance}, but the log makes it {expected}"
            );
            self.findings.broke(Invariant::ProjectionsEqualFold, &message);
        }
    }

    /// The periodic checks that are due: all balances, and the replay from empty memory.
    pub(crate) fn periodic(&mut self, journal: &JournalStore, pipeline: &Pipeline, refold: u64, replay: u64) {
        let sequence = self.fold.next_sequence();
        if sequence >= self.refold_next.max(refold) {
            self.refold_next = sequence - sequence % refold + refold;
            self.compare_all(pipeline.projections());
        }
        if replay > 0 && sequence >= self.replay_next.max(replay) {
            self.replay_next = sequence - sequence % replay + replay;
            self.replay(journal, Some(pipeline));
        }
    }

    /// Replays the durable log from empty memory, and compares everything. Costs O(log).
    pub(crate) fn replay(&mut self, journal: &JournalStore, pipeline: Option<&Pipeline>) {
        let mut recovery = Recovery::new(self.hash_seed);
        for slice in journal.log().slices(0, self.fold.position()) {
            if let Err(error) = recovery.push(slice, |_| {}) {
                self.findings.check(Invariant::ReplayEqualsState, Err(error.to_string()));
                return;
            }
        }
        let result = match recovery.finish() {
            Err(error) => Err(error.to_string()),
            Ok(recovered) => match recovered.cut {
                Some(cut) if cut.bytes_cut > 0 => Err(format!("the durable log has a torn tail: {cut}")),
                // An empty log ends inside its header, and nothing is cut.
                Some(_) | None => {
                    self.compare_replayed(recovered.ledger.digest(), &recovered.projections, pipeline)
                }
            },
        };
        self.findings.check(Invariant::ReplayEqualsState, result);
    }

    /// An audit has come to its end.
    pub(crate) fn audited(&mut self, result: Result<(), String>) {
        self.findings.check(Invariant::ReplayEqualsState, result);
    }

    /// In the end nothing waits: `waiting` says what does.
    pub(crate) fn drained(&mut self, waiting: Option<String>) {
        self.findings.check(Invariant::EverythingIsAnswered, waiting.map_or(Ok(()), Err));
    }

    /// Compares every digest whose batch is durable now. The fold stands at the end of the last one.
    fn compare_digests(&mut self) {
        let sequence = self.fold.next_sequence();
        while let Some((next_sequence, digest)) = self.digests.front().copied() {
            if next_sequence > sequence {
                return;
            }
            self.digests.pop_front();
            let folded = self.fold.ledger().digest();
            if next_sequence == sequence {
                let differs = format!(
                    "before record {sequence} the pipeline had digest {digest}, its log makes {folded}"
                );
                let result = if digest == folded { Ok(()) } else { Err(differs) };
                self.findings.check(Invariant::RefoldEqualsState, result);
            }
        }
    }

    fn compare_state(&mut self, pipeline: &Pipeline, when: &str) {
        let (theirs, folded) = (pipeline.ledger().digest(), self.fold.ledger().digest());
        let differs = format!("{when} the pipeline has digest {theirs}, its log makes {folded}");
        self.findings
            .check(Invariant::RefoldEqualsState, if theirs == folded { Ok(()) } else { Err(differs) });
        self.compare_all(pipeline.projections());
    }

    fn compare_entries(&mut self, entries: &[Entry], projections: &Projections) {
        if projections.checkpoint() != self.fold.next_sequence() {
            let (theirs, ours) = (projections.checkpoint(), self.fold.next_sequence());
            let message = format!("the projections stand at record {theirs}, the durable log at {ours}");
            self.findings.broke(Invariant::ProjectionsEqualFold, &message);
            return;
        }
        self.findings.checked(Invariant::ProjectionsEqualFold, entries.len() as u64);
        for entry in entries {
            // Later entries of the same batch count already, so the fold's balance of now is compared.
            let row = projections.balances.row(entry.account);
            if self.fold.balance(entry.account) != Some(row.posted) {
                let message = format!(
                    "record {}: the projection has {} for {}, the log makes it {:?}",
                    entry.sequence,
                    row.posted,
                    row.name,
                    self.fold.balance(entry.account)
                );
                self.findings.broke(Invariant::ProjectionsEqualFold, &message);
            }
        }
    }

    fn compare_all(&mut self, projections: &Projections) {
        let result = compare_balances(&self.fold, projections);
        self.findings.check(Invariant::ProjectionsEqualFold, result);
        self.findings.check(Invariant::PendingIsHeld, self.fold.check_pending());
    }

    fn compare_replayed(
        &self,
        digest: Digest,
        replayed: &Projections,
        pipeline: Option<&Pipeline>,
    ) -> Result<(), String> {
        let folded = self.fold.ledger().digest();
        if digest != folded {
            return Err(format!("the replay has digest {digest}, the log made {folded} as it was written"));
        }
        compare_balances(&self.fold, replayed)?;
        let Some(live) =
            pipeline.map(Pipeline::projections).filter(|live| live.checkpoint() == replayed.checkpoint())
        else {
            return Ok(());
        };
        if live.totals.balances_total() != replayed.totals.balances_total() {
            return Err(String::from("the replay's totals differ from the pipeline's"));
        }
        if live.counts != replayed.counts {
            return Err(String::from("the replay's counts differ from the pipeline's"));
        }
        Ok(())
    }
}

/// All balances, by plain sums and in a projection; both stand at the same record.
fn compare_balances(fold: &Fold, projections: &Projections) -> Result<(), String> {
    if fold.balances().len() as u64 != u64::from(projections.balances.len()) {
        let (ours, theirs) = (fold.balances().len(), projections.balances.len());
        return Err(format!("the projection has {theirs} accounts, the log opens {ours}"));
    }
    for (ours, (index, row)) in fold.balances().zip(projections.balances.iter()) {
        if ours != row.posted {
            return Err(format!(
                "the projection has {} for {}, the log makes it {ours}",
                row.posted, row.name
            ));
        }
        if fold.pending(index) != Some((row.pending, row.floor)) {
            return Err(format!(
                "the projection has {} of {} held above a floor of {}, the log makes it {:?}",
                row.pending,
                row.name,
                row.floor,
                fold.pending(index)
            ));
        }
    }
    if projections.pending.holds().len() != fold.pending_count() {
        let (ours, theirs) = (fold.pending_count(), projections.pending.holds().len());
        return Err(format!("the projection has {theirs} open pending transfers, the log {ours}"));
    }
    Ok(())
}
