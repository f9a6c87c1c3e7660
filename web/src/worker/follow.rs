//! Follows the durable log behind the world: the newest events for their table, and the counts for the charts.

use std::collections::VecDeque;

use journal::{Decoder, Item};
use ledger::{CommandKind, Event, Record};
use pipeline::decode_events;
use sim::World;

use super::events::Events;
use crate::protocol::{CHART_POINTS_MAX, ChartPoint, ChartView};

/// Reads every durable record once, in order.
pub(super) struct Follower {
    decoder: Decoder,
    position: u64,
    scratch: Vec<Event>,
    /// The newest events.
    pub(super) events: Events,
    outcomes: VecDeque<Outcomes>,
}

/// Outcomes in one interval of virtual time.
#[derive(Clone, Copy)]
struct Outcomes {
    from_micros: u64,
    completed: u32,
    refused: u32,
}

impl Follower {
    /// At the beginning of a log.
    pub(super) fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            position: 0,
            scratch: Vec::new(),
            events: Events::default(),
            outcomes: VecDeque::new(),
        }
    }

    /// Reads what has become durable in the world since the last time.
    pub(super) fn follow(&mut self, world: &World) {
        let until = world.journal().durable_bytes();
        if until <= self.position {
            return;
        }
        let interval = world.options().sample_micros;
        for slice in world.journal().log().slices(self.position, until) {
            self.push(slice, interval);
        }
        self.position = until;
    }

    /// Takes the next bytes of the log. Where it cannot be read this stops; whoever verifies the log says why.
    pub(super) fn push(&mut self, bytes: &[u8], interval_micros: u64) {
        self.decoder.push(bytes);
        while let Ok(Some(item)) = self.decoder.next() {
            let Item::Record { meta, payload, .. } = item else { continue };
            self.scratch.clear();
            let kind = u8::try_from(meta.kind).ok().and_then(CommandKind::from_u8);
            let (Some(kind), Ok(())) = (kind, decode_events(payload, &mut self.scratch)) else { return };
            let record = Record {
                sequence: meta.sequence,
                recorded_at: meta.recorded_at,
                generation: meta.generation,
                kind,
                events: &self.scratch,
            };
            self.events.push(&record);
            let is_refused = matches!(self.scratch.as_slice(), [Event::TransactionFailed(_), ..]);
            self.count(meta.recorded_at.micros() / interval_micros * interval_micros, is_refused);
        }
    }

    fn count(&mut self, from_micros: u64, is_refused: bool) {
        if self.outcomes.back().is_none_or(|last| last.from_micros < from_micros) {
            if self.outcomes.len() > CHART_POINTS_MAX {
                self.outcomes.pop_front();
            }
            self.outcomes.push_back(Outcomes { from_micros, completed: 0, refused: 0 });
        }
        if let Some(last) = self.outcomes.back_mut() {
            let count = if is_refused { &mut last.refused } else { &mut last.completed };
            *count += 1;
        }
    }

    /// The points of the charts: counts from the log, latencies from the world's samples.
    pub(super) fn chart(&self, world: &World) -> ChartView {
        let interval_micros = world.options().sample_micros;
        let skip = world.samples().len().saturating_sub(CHART_POINTS_MAX);
        let short = |micros: u64| u32::try_from(micros).unwrap_or(u32::MAX);
        let points = world
            .samples()
            .skip(skip)
            .map(|sample| {
                // The log's intervals begin at multiples of their length, the world's at its own beginning.
                let from = sample.from_micros / interval_micros * interval_micros;
                let found = self.outcomes.binary_search_by_key(&from, |outcomes| outcomes.from_micros);
                let (completed, refused) =
                    found.map_or((0, 0), |at| (self.outcomes[at].completed, self.outcomes[at].refused));
                ChartPoint {
                    at_micros: sample.from_micros + sample.micros,
                    completed,
                    refused,
                    latency_p50_micros: short(sample.p50_micros),
                    latency_p95_micros: short(sample.p95_micros),
                    latency_p99_micros: short(sample.p99_micros),
                }
            })
            .collect();
        ChartView { interval_micros, points }
    }
}
