//! What a world shows: the stages of the flow.

use broker::QueueStats;
use pipeline::Stats;

use crate::world::World;

/// What waits where at this moment, from the clients to the read store. All of it is counted in the world, not animated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    /// Clients that wait for an answer.
    pub clients_waiting: u32,
    /// Requests on their way to the gateway.
    pub requests_travelling: u64,
    /// Answers on their way to clients.
    pub answers_travelling: u64,
    /// Whether the pipeline is up.
    pub pipeline: PipelineState,
    /// The command queue; `None` while the pipeline is down.
    pub commands: Option<QueueStats>,
    /// The stages behind it; `None` while the pipeline is down.
    pub stages: Option<Stats>,
    /// The generation of the pipeline.
    pub generation: u64,
    /// Appends at the journal store.
    pub appends_in_flight: u32,
    /// Bytes of the log that are not durable.
    pub bytes_in_flight: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Records that are durable.
    pub durable_before: u64,
    /// Records that the read store has not folded.
    pub read_store_lag: u64,
    /// Messages get through between clients and gateway.
    pub link: LinkState,
}

/// Whether a pipeline is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineState {
    /// It works.
    Up,
    /// It is dead, or reads its log.
    Down,
}

/// Whether messages get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// They do.
    Up,
    /// They do not.
    Down,
}

impl World {
    /// What waits where. Costs O(messages travelling).
    pub fn stages(&self) -> Stages {
        let (requests_travelling, answers_travelling) = self.schedule.messages();
        let running = self.pipeline();
        let durable_before = self.journal.durable_before();
        Stages {
            clients_waiting: self.clients.waiting(),
            requests_travelling,
            answers_travelling,
            pipeline: if running.is_some() { PipelineState::Up } else { PipelineState::Down },
            commands: running.map(|pipeline| pipeline.commands().stats(self.now)),
            stages: running.map(pipeline::Pipeline::stats),
            generation: self.nodes[0].generation(),
            appends_in_flight: self.journal.in_flight(),
            bytes_in_flight: self.journal.log().len() - self.journal.durable_bytes(),
            log_bytes: self.journal.log().len(),
            durable_before,
            read_store_lag: durable_before.saturating_sub(self.read_store.checkpoint()),
            link: if self.link.is_up(self.now) { LinkState::Up } else { LinkState::Down },
        }
    }

    /// What happened since the world began.
    pub fn totals(&self) -> crate::world::WorldTotals {
        self.totals
    }
}
