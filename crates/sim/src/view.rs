//! What a world shows: stages of the flow, and the last events.

use std::collections::VecDeque;

use broker::QueueStats;
use journal::{Decoder, Item};
use ledger::Event;
use pipeline::Stats;
use time::Timestamp;

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

/// The last events of a world's durable log. The driver keeps it beside the world and lets it follow; it is not part of the world.
#[derive(Clone, Debug)]
pub struct EventRing {
    decoder: Decoder,
    position: u64,
    events: VecDeque<RecordedEvent>,
    capacity: usize,
    dropped: u64,
    scratch: Vec<Event>,
}

/// One event as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The record.
    pub sequence: u64,
    /// The event in it, from 0.
    pub index: u32,
    /// Events in the record.
    pub count: u32,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The writer.
    pub generation: u64,
    /// The event; accounts in it are numbers of this log, whose names the projections know.
    pub event: Event,
}

/// Events that a page keeps, if it does not say otherwise.
pub const EVENTS_VIEW_MAX: usize = 100_000;

impl EventRing {
    /// An empty ring that keeps the last `capacity` events, 1 or more.
    pub fn new(capacity: usize) -> EventRing {
        EventRing {
            decoder: Decoder::new(),
            position: 0,
            events: VecDeque::new(),
            capacity: capacity.max(1),
            dropped: 0,
            scratch: Vec::new(),
        }
    }

    /// Reads what has become durable since the last time. Says how many events are new. Stops where the log cannot be read; the
    /// world's checkers say why.
    pub fn follow(&mut self, world: &World) -> u64 {
        let before = self.total();
        let until = world.journal().durable_bytes();
        for slice in world.journal().log().slices(self.position, until) {
            self.decoder.push(slice);
            while let Ok(Some(item)) = self.decoder.next() {
                let Item::Record { meta, payload, .. } = item else { continue };
                self.scratch.clear();
                if pipeline::decode_events(payload, &mut self.scratch).is_err() {
                    break;
                }
                let count = u32::try_from(self.scratch.len()).expect("a record has few events");
                for (index, event) in (0..).zip(self.scratch.drain(..)) {
                    if self.events.len() == self.capacity {
                        self.events.pop_front();
                        self.dropped += 1;
                    }
                    let (sequence, recorded_at, generation) =
                        (meta.sequence, meta.recorded_at, meta.generation);
                    self.events.push_back(RecordedEvent {
                        sequence,
                        index,
                        count,
                        recorded_at,
                        generation,
                        event,
                    });
                }
            }
        }
        self.position = self.position.max(until);
        self.total() - before
    }

    /// The events kept, the oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &RecordedEvent> + ExactSizeIterator {
        self.events.iter()
    }

    /// The event with this place among those kept, 0 the oldest.
    pub fn at(&self, place: usize) -> Option<&RecordedEvent> {
        self.events.get(place)
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events there ever were: those kept, and those before them.
    pub fn total(&self) -> u64 {
        self.dropped + self.events.len() as u64
    }
}

impl Default for EventRing {
    fn default() -> Self {
        EventRing::new(EVENTS_VIEW_MAX)
    }
}
