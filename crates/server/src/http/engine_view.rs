//! One look at the engine, for `/health`, `/stats` and `/metrics`.

use broker::QueueStats;
use ledger::Asset;
use pipeline::{LogIdentity, Stats};
use projection::Counts;

use super::App;
use super::problem::Problem;
use super::reads::too_busy;
use crate::files::JournalStats;
use crate::reading::Position;

/// What the engine says of itself, and right after it the read models.
pub(super) struct EngineView {
    pub(super) durable: Position,
    /// Every record with a smaller sequence is in the read models.
    pub(super) checkpoint: u64,
    pub(super) generation: u64,
    pub(super) identity: LogIdentity,
    pub(super) accounts: u32,
    pub(super) counts: Counts,
    pub(super) balances_total: Vec<(Asset, i128)>,
    pub(super) commands: QueueStats,
    pub(super) commands_max: u32,
    pub(super) pipeline: Stats,
    pub(super) journal: JournalStats,
    /// Why nothing is written any more.
    pub(super) failure: Option<String>,
    /// Why commands are refused now.
    pub(super) storage_full: Option<String>,
    /// Why there is no room for the next segment of the log.
    pub(super) storage_short: Option<String>,
}

impl App {
    /// Looks at the engine and then at the read models, each on its thread.
    pub(super) async fn look(&self) -> Result<EngineView, Problem> {
        let failure = self.engine.failure().map(str::to_owned);
        let durable = self.engine.durable();
        let identity = self.engine.identity();
        let commands_max = self.limits.commands_max;
        let journal_metrics = self.metrics.journal.clone();
        let asked = self.engine.ask(move |driver| {
            let journal = driver.journal_stats();
            journal_metrics.synced(&journal);
            let now = driver.now();
            let pipeline = driver.pipeline();
            let commands = pipeline.commands().stats(now);
            let storage_full = driver.storage_full().map(str::to_owned);
            let storage_short = driver.storage_short().map(str::to_owned);
            (pipeline.generation(), commands, pipeline.stats(), journal, storage_full, storage_short)
        });
        let (generation, commands, pipeline, journal, storage_full, storage_short) =
            asked.await.ok_or_else(too_busy)?;
        self.read(move |models| EngineView {
            durable: *durable.borrow(),
            checkpoint: models.checkpoint(),
            generation,
            identity,
            accounts: models.accounts_count(),
            counts: models.counts().clone(),
            balances_total: models.balances_total(),
            commands,
            commands_max,
            pipeline,
            journal,
            failure,
            storage_full,
            storage_short,
        })
        .await
    }
}

impl EngineView {
    /// Messages of the command queue now.
    pub(super) fn queue_states(&self) -> [(&'static str, u64); 3] {
        let queue = &self.commands;
        [("queued", queue.depth), ("in_flight", queue.in_flight), ("dead_lettered", queue.dead_lettered)]
    }

    /// What became of the messages of the command queue since the start.
    pub(super) fn queue_fates(&self) -> [(&'static str, u64); 6] {
        let queue = &self.commands;
        [
            ("accepted", queue.accepted),
            ("acked", queue.acked),
            ("busy", queue.busy),
            ("redelivered", queue.redelivered),
            ("redriven", queue.redriven),
            ("purged", queue.purged),
        ]
    }

    /// What waits where in the pipeline.
    pub(super) fn stages(&self) -> [(&'static str, u64); 6] {
        let stats = &self.pipeline;
        [
            ("staged", stats.staged.into()),
            ("gateway_lookups", stats.gateway_lookups.into()),
            ("gathered_records", stats.gathered_records.into()),
            ("appends_in_flight", stats.appends_in_flight.into()),
            ("records_in_flight", stats.records_in_flight.into()),
            ("replies_waiting", stats.replies_waiting.into()),
        ]
    }

    /// What the pipeline did since the start.
    pub(super) fn totals(&self) -> [(&'static str, u64); 10] {
        let totals = &self.pipeline.totals;
        [
            ("requests", totals.requests),
            ("executed", totals.executed),
            ("repeats", totals.repeats),
            ("conflicts", totals.conflicts),
            ("busy", totals.busy),
            ("storage_full", totals.storage_full),
            ("dead_lettered", totals.dead_lettered),
            ("lookups", totals.lookups),
            ("appends", totals.appends),
            ("replies", totals.replies),
        ]
    }
}
