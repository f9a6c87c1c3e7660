//! What each occurrence does.

use pipeline::{Input, Reply, Request};

use crate::options::{FaultKind, Safeguard};
use crate::read_store::Checkpointing;
use crate::schedule::{NodeIndex, Occurrence};
use crate::world::{LEADER, What, World};

impl World {
    /// Works off one occurrence. Says what it was, and of how many things.
    pub(crate) fn happen(&mut self, occurrence: Occurrence) -> (What, u64) {
        match occurrence {
            Occurrence::Fault(kind) => self.fault(&kind),
            Occurrence::Crash => {
                let down = self.options.crashes.down;
                let micros = self.streams.crashes.between(down.min, down.max);
                self.crash_node(LEADER, micros)
            }
            Occurrence::CrashByHand { down_micros } => self.crash_node(LEADER, down_micros),
            Occurrence::Restart(node) => self.restart_node(node),
            Occurrence::Resume(node) => self.resume_node(node),
            Occurrence::Appended(node) => self.appended(node),
            Occurrence::AppendFailed(node) => self.append_failed(node),
            Occurrence::LateAppend(late) => self.late_append(&late),
            Occurrence::Lookups(ids) => {
                let count = ids.len() as u64;
                let answers = ids.into_iter().filter_map(|id| self.look_up(LEADER, id)).collect();
                self.drive(LEADER, Input::Lookups(answers));
                (What::LookupsAnswered, count)
            }
            Occurrence::PipelineTimeout(node) => self.pipeline_timeout(node),
            Occurrence::ByHand(requests) => self.requests(What::CommandsByHand, requests),
            Occurrence::Redrive { max } => {
                self.drive(LEADER, Input::Redrive { max });
                (What::Redrive, max.into())
            }
            Occurrence::RedriveRound => self.redrive_round(),
            Occurrence::Requests(requests) => self.requests(What::RequestsDelivered, requests),
            Occurrence::Feed => (What::FeedRows, self.send_feed()),
            Occurrence::Answers(replies) => self.answers(replies),
            Occurrence::ClientTimeouts => (What::ClientTimeouts, self.client_timeouts()),
            Occurrence::Wakes(clients) => self.wakes(clients),
            Occurrence::Arrivals => (What::Arrivals, self.arrivals()),
            Occurrence::ReadStore => self.read_store_folds(),
            Occurrence::WorkloadStarts => {
                self.start_workload();
                (What::WorkloadStarted, self.clients.count().into())
            }
        }
    }

    fn fault(&mut self, kind: &FaultKind) -> (What, u64) {
        match kind {
            FaultKind::CrashPipeline { down_micros } => self.crash_node(LEADER, *down_micros),
            FaultKind::FailAppend => {
                self.node_mut(LEADER).next_append = crate::node::NextAppend::Fails;
                (What::AppendWillFail, 1)
            }
            FaultKind::LinkDown { micros } => {
                self.link.go_down(self.now, *micros);
                (What::LinkDown, *micros)
            }
        }
    }

    /// Requests at the gateway; a dead pipeline does not hear them.
    fn requests(&mut self, what: What, requests: Vec<Request>) -> (What, u64) {
        let count = requests.len() as u64;
        if self.node(LEADER).running().is_some() {
            self.drive(LEADER, Input::Submit(requests));
        } else {
            self.totals.requests_unheard += count;
        }
        (what, count)
    }

    fn answers(&mut self, replies: Vec<Reply>) -> (What, u64) {
        let count = replies.len() as u64;
        for reply in replies {
            self.receive(&reply);
        }
        (What::AnswersDelivered, count)
    }

    fn wakes(&mut self, clients: Vec<u32>) -> (What, u64) {
        let count = clients.len() as u64;
        for client in clients {
            self.wake(client);
        }
        (What::ClientsWoke, count)
    }

    fn appended(&mut self, node: NodeIndex) -> (What, u64) {
        let before = self.journal.durable_before();
        match self.journal.complete() {
            Some(written) => {
                self.drive(node, Input::Appended { before: written.next_sequence });
                (What::Appended, written.next_sequence - before)
            }
            None => (What::Appended, 0),
        }
    }

    fn pipeline_timeout(&mut self, node: NodeIndex) -> (What, u64) {
        self.node_mut(node).timer = None;
        self.drive_timeout(node);
        (What::PipelineTimeout, 1)
    }

    fn redrive_round(&mut self) -> (What, u64) {
        let every = self.options.redrive_every_micros;
        self.schedule.add(self.now.saturating_add_micros(every), Occurrence::RedriveRound);
        self.drive(LEADER, Input::Redrive { max: u32::MAX });
        (What::Redrive, 0)
    }

    fn read_store_folds(&mut self) -> (What, u64) {
        let before = self.read_store.checkpoint();
        let lost = self.options.lacks(Safeguard::AtomicCheckpoint);
        let checkpointing = if lost { Checkpointing::Lost } else { Checkpointing::Atomic };
        let World { read_store, streams, checkers, options, .. } = self;
        let per_mille = options.read_store.redelivery_per_mille;
        read_store.fold(&mut streams.read_store, per_mille, checkpointing, |change, balance| {
            checkers.read_store(change.sequence, change.account, balance, change.balance_after);
        });
        let folded = self.read_store.checkpoint() - before;
        self.send_to_read_store();
        (What::ReadStoreFolded, folded)
    }
}
