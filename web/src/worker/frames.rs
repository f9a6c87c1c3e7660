//! Makes frames: what the page shows, and of it only what changed.

use std::mem;

use ledger::{Digest, Reason};
use projection::Projections;
use sim::{Invariant, World};

use super::balances::{BalancesOrder, BalancesView, entries_window};
use super::events::{Events, EventsView};
use crate::protocol::{
    AssetTotal, BalanceSort, CountsView, Direction, EventFilter, Follow, Frame, InvariantView, LogView,
    Source,
};

/// What the tables of the page ask for.
pub(super) struct Views {
    pub(super) events: EventsView,
    pub(super) balances: BalancesView,
    pub(super) entries: Option<(String, Option<u64>)>,
    pub(super) dead_letters: u32,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            events: EventsView {
                view: 0,
                filter: EventFilter::default(),
                first_row: 0,
                rows: 0,
                follow: Follow::Newest,
            },
            balances: BalancesView {
                view: 0,
                search: String::new(),
                sort: BalanceSort::Opened,
                direction: Direction::Ascending,
                first_row: 0,
                rows: 0,
            },
            entries: None,
            dead_letters: 0,
        }
    }
}

/// What the page has, and when it got it.
pub(super) struct Frames {
    shown: Frame,
    /// What the page has of the world in this tab while it is shown a server.
    kept: Frame,
    number: u64,
    credit: bool,
    interval_ms: f64,
    sent_ms: f64,
    tables_ms: f64,
    tables_wanted: bool,
}

/// Tables go out at most so often, in milliseconds.
const TABLES_MS: f64 = 100.0;

impl Frames {
    /// At most so many frames a second.
    pub(super) fn new(frames_per_second_max: u32) -> Self {
        Self {
            shown: Frame::default(),
            kept: Frame::default(),
            number: 0,
            credit: true,
            interval_ms: 1_000.0 / f64::from(frames_per_second_max.clamp(1, 60)),
            sent_ms: f64::MIN,
            tables_ms: f64::MIN,
            tables_wanted: true,
        }
    }

    /// The frames from now on are about `source`. What the page has of the world in this tab it keeps meanwhile; about
    /// a server it is told everything anew.
    pub(super) fn begin(&mut self, source: Source) {
        if self.shown.source != source {
            let fresh = Frame { source: Source::Server, ..Frame::default() };
            let before = mem::replace(&mut self.shown, fresh);
            match source {
                Source::Server => self.kept = before,
                Source::Browser => self.shown = mem::take(&mut self.kept),
            }
        }
        self.tables_wanted = true;
    }

    /// The page has drawn the last frame.
    pub(super) fn give_credit(&mut self) {
        self.credit = true;
    }

    /// The next frame brings the tables.
    pub(super) fn want_tables(&mut self) {
        self.tables_wanted = true;
    }

    /// Whether a frame may go now.
    pub(super) fn is_due(&self, now_ms: f64) -> bool {
        // A frame that is a little early keeps the page's own rhythm.
        self.credit && now_ms - self.sent_ms >= self.interval_ms - 1.0
    }

    /// How long until the next frame or table may go, in milliseconds.
    pub(super) fn wait_ms(&self, now_ms: f64) -> f64 {
        (self.sent_ms + self.interval_ms - now_ms)
            .max(self.tables_ms + TABLES_MS - now_ms)
            .clamp(0.0, 1_000.0)
    }

    /// Whether the next frame should hold the tables.
    pub(super) fn tables_due(&self, now_ms: f64) -> bool {
        self.tables_wanted || now_ms - self.tables_ms >= TABLES_MS
    }

    /// What of `next` the page does not have yet; `None` if it has everything.
    pub(super) fn changes(&mut self, next: Frame, now_ms: f64) -> Option<Frame> {
        if next.events.is_some() {
            self.tables_ms = now_ms;
            self.tables_wanted = false;
        }
        let shown = &mut self.shown;
        let mut frame = Frame { source: shown.source, ..Frame::default() };
        let mut any = false;
        macro_rules! changed {
            ($($part:ident),*) => {$(
                if next.$part.is_some() && next.$part != shown.$part {
                    shown.$part = next.$part.clone();
                    frame.$part = next.$part;
                    any = true;
                }
            )*};
        }
        changed!(run, options, sequence, digest, virtual_micros, step, balances_total, stages, queues);
        changed!(dead_letters, events, balances, entries, invariants, chart, log, counts, measured, live);
        if !any {
            return None;
        }
        self.number += 1;
        frame.number = self.number;
        self.credit = false;
        self.sent_ms = now_ms;
        Some(frame)
    }
}

/// The parts that come from the read models and the log alone: every driver of a log has them.
pub(super) fn log_parts(frame: &mut Frame, projections: &Projections, digest: Digest, log: LogView) {
    frame.sequence = Some(projections.checkpoint());
    frame.digest = Some(digest.to_string());
    frame.balances_total = Some(balances_total(projections));
    frame.log = Some(log);
}

/// The tables over the same.
pub(super) fn table_parts(
    frame: &mut Frame,
    views: &Views,
    projections: &Projections,
    events: &mut Events,
    order: &mut BalancesOrder,
) {
    frame.events = Some(events.window(&views.events, &projections.balances));
    frame.balances = Some(order.window(&views.balances, projections));
    frame.entries =
        views.entries.as_ref().and_then(|(account, before)| entries_window(account, *before, projections));
}

/// The counts that the log itself holds.
pub(super) fn counts(projections: &Projections, events: u64) -> CountsView {
    let counts = &projections.counts;
    let mut refusals: Vec<(String, u64)> = Reason::ALL
        .into_iter()
        .map(|reason| (reason.as_str().to_owned(), counts.failed_for(reason)))
        .filter(|(_, count)| *count > 0)
        .collect();
    refusals.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    CountsView {
        events,
        accounts: u64::from(projections.balances.len()),
        transfers_completed: counts.transfers_completed(),
        transfers_failed: counts.transfers_failed(),
        deposits: counts.deposits(),
        withdrawals: counts.withdrawals(),
        refusals,
        ..CountsView::default()
    }
}

/// The invariants of a world.
pub(super) fn invariants(world: &World) -> Vec<InvariantView> {
    let findings = world.findings();
    let view = |invariant: Invariant| InvariantView {
        name: invariant.name().to_owned(),
        meaning: invariant.title().to_owned(),
        checked: findings.tally(invariant).checks,
        broken: findings
            .broken()
            .iter()
            .find(|broken| broken.invariant == invariant)
            .map(|broken| format!("{} (step {})", broken.message, broken.step)),
    };
    Invariant::ALL.into_iter().map(view).collect()
}

pub(super) fn balances_total(projections: &Projections) -> Vec<AssetTotal> {
    let balances = &projections.balances;
    let totals = projections.totals.balances_total();
    totals
        .into_iter()
        .map(|(asset, total)| {
            let world = balances.find(&ledger::AccountName::world(&asset));
            let scale = world.map_or(0, |index| balances.row(index).scale);
            AssetTotal { asset: asset.to_string(), scale, total }
        })
        .collect()
}
