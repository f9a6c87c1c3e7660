//! The stages of the pipeline and its queues, as the page draws them.

use std::collections::VecDeque;

use sim::World;

use crate::protocol::{DeadLetterRow, QueueView, Stage, StageView};

/// The name of the one queue of the pipeline.
pub(super) const COMMANDS: &str = "commands";

/// Virtual time between two notes of the totals, and how many are kept: rates are over about a virtual second.
const NOTE_MICROS: u64 = 100_000;
const NOTES_MAX: usize = 11;

/// Notes of what left each stage, for rates over the last virtual second.
#[derive(Default)]
pub(super) struct Rates {
    notes: VecDeque<(u64, [u64; Stage::ALL.len()])>,
}

impl Rates {
    fn rates(&mut self, now_micros: u64, totals: [u64; Stage::ALL.len()]) -> [u64; Stage::ALL.len()] {
        if self.notes.back().is_none_or(|(at, _)| *at + NOTE_MICROS <= now_micros) {
            if self.notes.len() == NOTES_MAX {
                self.notes.pop_front();
            }
            self.notes.push_back((now_micros, totals));
        }
        let Some((from, before)) = self.notes.front() else { return [0; Stage::ALL.len()] };
        let micros = (now_micros - from).max(1);
        std::array::from_fn(|stage| totals[stage].saturating_sub(before[stage]) * 1_000_000 / micros)
    }
}

/// The stages in the order of [`Stage::ALL`].
pub(super) fn stages(world: &World, rates: &mut Rates) -> Vec<StageView> {
    let now = world.stages();
    let totals = world.totals();
    let config = &world.options().pipeline;
    let pipeline = now.stages.unwrap_or_default();
    let queue = now.commands;
    let of_queue = |count: fn(&broker::QueueStats) -> u64| queue.as_ref().map_or(0, count);
    let left: [u64; Stage::ALL.len()] = [
        totals.requests_sent,
        totals.requests_sent + totals.answers_sent,
        of_queue(|queue| queue.acked),
        pipeline.totals.lookups,
        pipeline.totals.executed,
        now.durable_before,
        now.durable_before - now.read_store_lag.min(now.durable_before),
        pipeline.totals.replies,
    ];
    let rates = rates.rates(world.now().micros(), left);
    let held: [(u64, u64, u64); Stage::ALL.len()] = [
        (0, 0, u64::from(now.clients_waiting)),
        (0, 0, now.requests_travelling + now.answers_travelling),
        (
            of_queue(broker::QueueStats::queued),
            u64::from(config.commands_max),
            of_queue(|queue| queue.in_flight),
        ),
        (0, u64::from(config.stage_commands_max), u64::from(pipeline.staged)),
        (
            u64::from(pipeline.gathered_records),
            u64::from(config.append_records_max),
            u64::from(pipeline.records_in_flight),
        ),
        (0, u64::from(config.appends_in_flight_max), u64::from(now.appends_in_flight)),
        (now.read_store_lag, 0, 0),
        (u64::from(pipeline.replies_waiting), 0, now.answers_travelling),
    ];
    Stage::ALL
        .into_iter()
        .enumerate()
        .map(|(at, stage)| {
            let (depth, depth_max, in_flight) = held[at];
            StageView { stage, depth, depth_max, in_flight, rate_per_second: rates[at], total: left[at] }
        })
        .collect()
}

/// The queues; none while the pipeline is down.
pub(super) fn queues(world: &World) -> Vec<QueueView> {
    let Some(queue) = world.stages().commands else { return Vec::new() };
    let config = &world.options().pipeline;
    let attempts = queue.attempts.iter().rposition(|count| *count > 0).map_or(0, |at| at + 1);
    vec![QueueView {
        name: COMMANDS.to_owned(),
        depth: queue.queued(),
        depth_max: u64::from(config.commands_max),
        bytes: queue.bytes,
        bytes_max: config.commands_bytes_max,
        in_flight: queue.in_flight,
        oldest_age_micros: (queue.depth > 0).then_some(queue.oldest_age_micros),
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        accepted: queue.accepted,
        acked: queue.acked,
        dead_letters: queue.dead_lettered,
        busy: queue.busy,
    }]
}

/// At most `rows` dead letters, the oldest first.
pub(super) fn dead_letters(world: &World, rows: u32) -> Vec<DeadLetterRow> {
    let Some(pipeline) = world.pipeline() else { return Vec::new() };
    let letters = pipeline.commands().dead_letters();
    letters
        .take(usize::try_from(rows).unwrap_or(usize::MAX))
        .map(|letter| DeadLetterRow {
            queue: COMMANDS.to_owned(),
            transaction_id: ledger::TransactionId::from_bytes(letter.message.id.0).to_string(),
            attempts: letter.attempts,
            reason: format!("{}: {}", letter.reason.as_str(), letter.last_error),
            at_micros: letter.last_failed_at.micros(),
        })
        .collect()
}
