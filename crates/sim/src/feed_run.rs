//! Feeding a file to the pipeline of a world, in order and within a window.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ledger::{Command, Reason, TransactionResult};
use pipeline::{Answer, Input, Replayed, Request};
use serde::{Deserialize, Serialize};

use crate::clients::{Sender, request_id};
use crate::csv::{Commands, Feed, FeedId};
use crate::drive::outcomes;
use crate::schedule::Occurrence;
use crate::world::{LEADER, World};

/// What came of a feed's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedSummary {
    /// The feed.
    pub feed: FeedId,
    /// Rows of both files.
    pub rows: u64,
    /// Openings and transfers that completed.
    pub completed: u64,
    /// Those that were refused, with the reason's number less 1 as index.
    pub refused: [u64; Reason::ALL.len()],
    /// Those of both that had been answered before this feed, and changed nothing.
    pub repeated: u64,
    /// Rows whose id or account name was taken by another body.
    pub conflicts: u64,
    /// Rows that became dead letters.
    pub dead_letters: u64,
}

impl FeedSummary {
    /// Rows that have their answer.
    pub fn answered(&self) -> u64 {
        self.completed + self.refused.iter().sum::<u64>() + self.conflicts + self.dead_letters
    }

    /// Rows refused for this reason.
    pub fn refused_for(&self, reason: Reason) -> u64 {
        self.refused[usize::from(reason.as_u8()) - 1]
    }

    fn count(&mut self, result: TransactionResult) {
        match result {
            TransactionResult::Completed => self.completed += 1,
            TransactionResult::Refused(reason) => self.refused[usize::from(reason.as_u8()) - 1] += 1,
        }
    }
}

/// A feed under way. A clone costs O(rows in flight).
#[derive(Clone, Debug)]
pub(crate) struct FeedRun {
    commands: Commands,
    rows_drawn: u64,
    /// Rows without an answer, by number.
    unanswered: BTreeMap<u64, Command>,
    /// Those of them that the pipeline does not have (any more).
    unsent: BTreeSet<u64>,
    summary: FeedSummary,
    sending: Sending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Scheduled,
    NotScheduled,
}

/// Room in the queue for one command of the longest kind.
const COMMAND_BYTES_MAX: u64 = 256;

impl FeedRun {
    /// The first sending is scheduled by whoever makes the run.
    pub(crate) fn new(feed: &Arc<Feed>) -> FeedRun {
        let summary = FeedSummary {
            feed: feed.id(),
            rows: feed.rows_count(),
            completed: 0,
            refused: Default::default(),
            repeated: 0,
            conflicts: 0,
            dead_letters: 0,
        };
        FeedRun {
            commands: feed.commands(),
            rows_drawn: 0,
            unanswered: BTreeMap::new(),
            unsent: BTreeSet::new(),
            summary,
            sending: Sending::Scheduled,
        }
    }

    /// Rows answered, and rows in all.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.summary.answered(), self.summary.rows)
    }

    /// Rows that the pipeline has and has not answered.
    fn in_flight(&self) -> u64 {
        (self.unanswered.len() - self.unsent.len()) as u64
    }

    fn is_done(&self) -> bool {
        self.rows_drawn == self.summary.rows && self.unanswered.is_empty()
    }

    /// The next rows to send, those that were sent before first; at most `room`.
    fn next_rows(&mut self, room: u64) -> Vec<Request> {
        let mut requests = Vec::new();
        while (requests.len() as u64) < room {
            let number = match self.unsent.pop_first() {
                Some(number) => number,
                None => {
                    let Some(command) = self.commands.next() else { break };
                    self.rows_drawn += 1;
                    self.unanswered.insert(self.rows_drawn, command);
                    self.rows_drawn
                }
            };
            if let Some(command) = self.unanswered.get(&number) {
                let request_id = request_id(number, Sender::Feed);
                requests.push(Request { request_id, command: command.clone() });
            }
        }
        requests
    }
}

impl World {
    /// Sends as many rows as the window and the queue have room for, so that none is answered `Busy` and the order is kept.
    pub(crate) fn send_feed(&mut self) -> u64 {
        let Some(run) = &mut self.feed else { return 0 };
        run.sending = Sending::NotScheduled;
        let Some(pipeline) = self.nodes[0].running() else { return 0 };
        let stats = pipeline.commands().stats(self.now);
        let config = &self.options.pipeline;
        let slots = u64::from(config.commands_max).saturating_sub(stats.depth);
        let by_bytes = config.commands_bytes_max.saturating_sub(stats.bytes) / COMMAND_BYTES_MAX;
        let window = u64::from(self.options.feed_window).saturating_sub(run.in_flight());
        // An empty queue takes one command, however few bytes it has room for.
        let by_bytes = by_bytes.max(u64::from(stats.depth == 0));
        let requests = run.next_rows(window.min(slots).min(by_bytes));
        let (count, waits) = (requests.len() as u64, run.in_flight() > 0);
        if count > 0 {
            self.drive(LEADER, Input::Submit(requests));
        } else if !waits && !self.feed.as_ref().is_some_and(FeedRun::is_done) {
            self.schedule_feed(self.options.pipeline.retry_after_micros);
        }
        self.end_feed_if_done();
        count
    }

    /// A row has an answer.
    pub(crate) fn answer_feed(&mut self, number: u64, answer: &Answer) {
        let World { feed, checkers, options, .. } = self;
        let Some(run) = feed else { return };
        match answer {
            Answer::Busy { retry_after_micros, .. } => {
                if run.unanswered.contains_key(&number) {
                    run.unsent.insert(number);
                    self.schedule_feed(*retry_after_micros);
                }
                return;
            }
            // Everything unanswered is sent again when there is a pipeline.
            Answer::StorageFull | Answer::Unavailable => return,
            Answer::Done { .. }
            | Answer::Linked { .. }
            | Answer::Conflict { .. }
            | Answer::DeadLettered { .. } => {}
        }
        let Some(command) = run.unanswered.remove(&number) else { return };
        run.unsent.remove(&number);
        match answer {
            Answer::Done { replayed, .. } | Answer::Linked { replayed, .. } => {
                let outcomes = outcomes(answer);
                checkers.received(&command, outcomes);
                outcomes.iter().for_each(|outcome| run.summary.count(outcome.result));
                run.summary.repeated += u64::from(*replayed == Replayed::Again);
            }
            Answer::Conflict { .. } => {
                checkers.conflict(&command);
                run.summary.conflicts += 1;
            }
            Answer::DeadLettered { .. } => run.summary.dead_letters += 1,
            Answer::Busy { .. } | Answer::StorageFull | Answer::Unavailable => {}
        }
        let half = u64::from(options.feed_window / 2);
        if run.in_flight() <= half && run.sending == Sending::NotScheduled {
            self.schedule_feed(0);
        }
    }

    /// What the dead pipeline did not answer goes to the new one, in order.
    pub(crate) fn resend_feed(&mut self) {
        if let Some(run) = &mut self.feed {
            run.unsent = run.unanswered.keys().copied().collect();
            self.schedule_feed(0);
        }
    }

    fn schedule_feed(&mut self, micros: u64) {
        if let Some(run) = &mut self.feed
            && run.sending == Sending::NotScheduled
        {
            run.sending = Sending::Scheduled;
            self.schedule.add(self.now.saturating_add_micros(micros), Occurrence::Feed);
        }
    }

    /// The last row is answered: the workload goes on, unless another feed waits.
    fn end_feed_if_done(&mut self) {
        let Some(run) = self.feed.take_if(|run| run.is_done()) else { return };
        let (answered, rows) = run.progress();
        let missing = format!("the feed ended with {answered} of {rows} rows answered");
        self.checkers.drained(if answered == rows { None } else { Some(missing) });
        self.feed_ended = Some(run.summary);
        if !self.has_feed_waiting() {
            self.thaw();
        }
    }
}
