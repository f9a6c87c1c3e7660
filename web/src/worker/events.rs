//! The newest events of the log and the window of the event table over them.

use std::collections::VecDeque;

use ledger::{AccountIndex, AccountName, Event, Record};
use projection::Balances;

use crate::protocol::{EventFilter, EventKind, EventRow, EventsWindow, Follow, ROWS_MAX};

/// Events kept for the table; older ones are in the log, in the entries of each account and in an export.
pub const EVENTS_KEPT_MAX: usize = 100_000;
/// Kept events that a new filter looks at in one go; the rest waits for the next call.
const SEARCHED_AT_ONCE_MAX: u64 = 25_000;

/// What the event table asked for.
#[derive(Clone, Debug)]
pub struct EventsView {
    /// Number of the view.
    pub view: u32,
    /// Which events count.
    pub filter: EventFilter,
    /// First wanted row.
    pub first_row: u64,
    /// Wanted rows.
    pub rows: u32,
    /// Whether the newest rows are wanted.
    pub follow: Follow,
}

/// A ring of the newest events, with those that match the filter at hand.
#[derive(Default)]
pub struct Events {
    kept: VecDeque<Kept>,
    /// Events of the log in front of the ring.
    dropped: u64,
    filter: EventFilter,
    /// Numbers of the kept events that match, in order.
    matched: VecDeque<u64>,
    /// The number of the next event that the filter looks at.
    searched: u64,
}

struct Kept {
    sequence: u64,
    index: u32,
    recorded_at_micros: u64,
    event: Event,
}

impl Events {
    /// Takes in a durable record.
    pub fn push(&mut self, record: &Record<'_>) {
        for (index, event) in (0..).zip(record.events) {
            if self.kept.len() == EVENTS_KEPT_MAX {
                self.kept.pop_front();
                self.dropped += 1;
                while self.matched.front().is_some_and(|number| *number < self.dropped) {
                    self.matched.pop_front();
                }
                self.searched = self.searched.max(self.dropped);
            }
            self.kept.push_back(Kept {
                sequence: record.sequence,
                index,
                recorded_at_micros: record.recorded_at.micros(),
                event: event.clone(),
            });
        }
    }

    /// Forgets everything: the log is another one.
    pub fn clear(&mut self) {
        *self = Events { filter: std::mem::take(&mut self.filter), ..Events::default() };
    }

    /// Events in the log.
    pub fn total(&self) -> u64 {
        self.dropped + self.kept.len() as u64
    }

    /// Whether the filter of the view has looked at every kept event.
    pub fn is_searched(&self) -> bool {
        self.filter == EventFilter::default() || self.searched == self.total()
    }

    /// The rows that `view` asks for.
    pub fn window(&mut self, view: &EventsView, balances: &Balances) -> EventsWindow {
        if self.filter != view.filter {
            self.filter = view.filter.clone();
            self.matched.clear();
            self.searched = self.dropped;
        }
        let everything = self.filter == EventFilter::default();
        if !everything {
            self.search(&Filter::new(&view.filter, balances));
        }
        let matched = if everything { self.kept.len() } else { self.matched.len() } as u64;
        let rows = u64::from(view.rows.min(ROWS_MAX));
        let last_first = matched.saturating_sub(rows);
        let first_row = match view.follow {
            Follow::Newest => last_first,
            Follow::Still => view.first_row.min(last_first),
        };
        let rows = (first_row..matched.min(first_row + rows))
            .filter_map(|row| {
                let row = usize::try_from(row).ok()?;
                let at = if everything {
                    row
                } else {
                    usize::try_from(self.matched.get(row)? - self.dropped).ok()?
                };
                Some(event_row(self.kept.get(at)?, balances))
            })
            .collect();
        let searched = if everything { self.total() } else { self.searched };
        EventsWindow { view: view.view, total: self.total(), matched, searched, first_row, rows }
    }

    fn search(&mut self, filter: &Filter<'_>) {
        let end = self.total().min(self.searched + SEARCHED_AT_ONCE_MAX);
        while self.searched < end {
            let at = usize::try_from(self.searched - self.dropped).expect("inside the ring");
            if filter.matches(&self.kept[at].event) {
                self.matched.push_back(self.searched);
            }
            self.searched += 1;
        }
    }
}

/// A filter whose account was looked up once.
struct Filter<'a> {
    filter: &'a EventFilter,
    account: Option<AccountIndex>,
}

impl<'a> Filter<'a> {
    fn new(filter: &'a EventFilter, balances: &Balances) -> Self {
        let account = filter.account.parse::<AccountName>().ok().and_then(|name| balances.find(&name));
        Filter { filter, account }
    }

    fn matches(&self, event: &Event) -> bool {
        let EventFilter { account, kind, transaction_id } = self.filter;
        kind.is_none_or(|kind| kind == event_kind(event))
            && (account.is_empty() || self.is_of_account(event))
            && (transaction_id.is_empty()
                || event.transaction_id().to_string().starts_with(transaction_id.as_str()))
    }

    fn is_of_account(&self, event: &Event) -> bool {
        let is_named = |name: &AccountName| name.as_str() == self.filter.account;
        match event {
            Event::AccountOpened { account, .. } => is_named(account),
            Event::MoneyDeducted { account, .. } | Event::MoneyCredited { account, .. } => {
                self.account == Some(*account)
            }
            Event::TransferPending { from_account, to_account, .. }
            | Event::TransferPosted { from_account, to_account, .. }
            | Event::TransferVoided { from_account, to_account, .. }
            | Event::TransferExpired { from_account, to_account, .. } => {
                self.account == Some(*from_account) || self.account == Some(*to_account)
            }
            Event::FloorChanged { account, .. } => self.account == Some(*account),
            Event::MetadataAttached { .. } => false,
            Event::TransactionFailed(failure) => {
                failure.from_account.as_ref().is_some_and(is_named)
                    || failure.to_account.as_ref().is_some_and(is_named)
            }
        }
    }
}

fn event_kind(event: &Event) -> EventKind {
    match event {
        Event::AccountOpened { .. } => EventKind::AccountOpened,
        Event::MoneyDeducted { .. } => EventKind::MoneyDeducted,
        Event::MoneyCredited { .. } => EventKind::MoneyCredited,
        Event::TransferPending { .. } => EventKind::TransferPending,
        Event::TransferPosted { .. } => EventKind::TransferPosted,
        Event::TransferVoided { .. } => EventKind::TransferVoided,
        Event::TransferExpired { .. } => EventKind::TransferExpired,
        Event::FloorChanged { .. } => EventKind::FloorChanged,
        Event::MetadataAttached { .. } => EventKind::MetadataAttached,
        Event::TransactionFailed(_) => EventKind::TransactionFailed,
    }
}

fn event_row(kept: &Kept, balances: &Balances) -> EventRow {
    let mut row = EventRow {
        sequence: kept.sequence,
        index: kept.index,
        recorded_at_micros: kept.recorded_at_micros,
        kind: event_kind(&kept.event),
        transaction_id: kept.event.transaction_id().to_string(),
        account: String::new(),
        to_account: String::new(),
        amount: None,
        asset: String::new(),
        scale: 0,
        reason: String::new(),
        note: String::new(),
    };
    match &kept.event {
        Event::AccountOpened { account, asset, scale, .. } => {
            row.account = account.to_string();
            row.asset = asset.to_string();
            row.scale = *scale;
        }
        Event::MoneyDeducted { account, amount, .. } | Event::MoneyCredited { account, amount, .. } => {
            let of = balances.row(*account);
            row.account = of.name.to_string();
            row.asset = of.asset.to_string();
            row.scale = of.scale;
            row.amount = Some(*amount);
        }
        Event::TransferPending { from_account, to_account, amount, expires_at, .. } => {
            sides(&mut row, *from_account, *to_account, *amount, balances);
            row.note = expires_at.map_or_else(
                || "stays until it is settled".to_owned(),
                |at| format!("expires at {} us", at.micros()),
            );
        }
        Event::TransferPosted { pending_id, from_account, to_account, amount, pending_amount, .. } => {
            sides(&mut row, *from_account, *to_account, *amount, balances);
            let rest = pending_amount - amount;
            row.note = if rest == 0 {
                format!("all of {pending_id}")
            } else {
                format!("of {pending_id}; {rest} minor units released")
            };
        }
        Event::TransferVoided { pending_id, from_account, to_account, amount, .. }
        | Event::TransferExpired { pending_id, from_account, to_account, amount, .. } => {
            sides(&mut row, *from_account, *to_account, *amount, balances);
            row.note = format!("released {pending_id}");
        }
        Event::FloorChanged { account, floor, .. } => {
            let of = balances.row(*account);
            row.account = of.name.to_string();
            row.asset = of.asset.to_string();
            row.scale = of.scale;
            row.amount = Some(*floor);
        }
        Event::MetadataAttached { metadata, .. } => row.note = metadata.to_string(),
        Event::TransactionFailed(failure) => {
            let text =
                |name: &Option<AccountName>| name.as_ref().map(ToString::to_string).unwrap_or_default();
            row.account = text(&failure.from_account);
            row.to_account = text(&failure.to_account);
            row.amount = failure.amount;
            if let Some(pending_id) = failure.pending_id {
                row.note = format!("pending transfer {pending_id}");
            }
            row.reason = failure.reason.as_str().to_string();
            let known = [&failure.from_account, &failure.to_account]
                .into_iter()
                .flatten()
                .find_map(|name| balances.find(name))
                .map(|index| balances.row(index));
            if let Some(known) = known {
                row.asset = known.asset.to_string();
                row.scale = known.scale;
            } else if let (Some(asset), Some(scale)) = (&failure.asset, failure.scale) {
                row.asset = asset.to_string();
                row.scale = scale;
            }
        }
    }
    row
}

/// Both sides of a pending transfer.
fn sides(row: &mut EventRow, from: AccountIndex, to: AccountIndex, amount: i64, balances: &Balances) {
    let of = balances.row(from);
    row.account = of.name.to_string();
    row.to_account = balances.row(to).name.to_string();
    row.asset = of.asset.to_string();
    row.scale = of.scale;
    row.amount = Some(amount);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ledger::{Asset, CommandKind, TransactionId};
    use projection::Projections;
    use time::Timestamp;

    fn world(transfers: u64) -> (Projections, Events) {
        let mut projections = Projections::new(0);
        let mut events = Events::default();
        let mut sequence = 0;
        let mut record = |kind, of: &[Event]| {
            let record = Record { sequence, recorded_at: Timestamp::ZERO, generation: 1, kind, events: of };
            projections.fold(&record);
            events.push(&record);
            sequence += 1;
        };
        let asset: Asset = "USD".parse().expect("an asset");
        let world = AccountName::world(&asset);
        let names = ["alice", "bob"].map(|name| name.parse::<AccountName>().expect("a name"));
        for (number, account) in names.iter().enumerate() {
            let transaction_id = TransactionId::derived("open", &[account.as_str().as_bytes()]);
            let opened = |account: &AccountName, floor| Event::AccountOpened {
                transaction_id,
                account: account.clone(),
                asset: asset.clone(),
                scale: 2,
                floor,
            };
            let both = [opened(&world, i64::MIN), opened(account, 0)];
            record(CommandKind::OpenAccount, &both[number..]);
        }
        for number in 0..transfers {
            let transaction_id = TransactionId::derived("test", &[&number.to_le_bytes()]);
            let (from, to) = if number == 0 {
                (AccountIndex(0), AccountIndex(1))
            } else {
                (AccountIndex(1), AccountIndex(2))
            };
            let amount = if number == 0 { i64::MAX } else { 1 };
            let kind = if number == 0 { CommandKind::Deposit } else { CommandKind::Transfer };
            record(
                kind,
                &[
                    Event::MoneyDeducted { transaction_id, account: from, amount },
                    Event::MoneyCredited { transaction_id, account: to, amount },
                ],
            );
        }
        (projections, events)
    }

    fn view(account: &str, kind: Option<EventKind>, first_row: u64, follow: Follow) -> EventsView {
        let filter = EventFilter { account: account.into(), kind, transaction_id: String::new() };
        EventsView { view: 1, filter, first_row, rows: 3, follow }
    }

    #[test]
    fn a_window_holds_the_asked_rows() {
        let (projections, mut events) = world(4);
        let mut rows = |view: EventsView| {
            let window = events.window(&view, &projections.balances);
            let rows: Vec<String> = window
                .rows
                .iter()
                .map(|row| format!("{}.{} {} {}", row.sequence, row.index, row.kind.name(), row.account))
                .collect();
            (window.matched, window.first_row, rows.join(", "))
        };
        assert_eq!(
            rows(view("", None, 0, Follow::Still)),
            (11, 0, "0.0 AccountOpened @world/USD, 0.1 AccountOpened alice, 1.0 AccountOpened bob".into())
        );
        assert_eq!(
            rows(view("", None, 0, Follow::Newest)),
            (11, 8, "4.1 MoneyCredited bob, 5.0 MoneyDeducted alice, 5.1 MoneyCredited bob".into())
        );
        assert_eq!(
            rows(view("alice", Some(EventKind::MoneyDeducted), 1, Follow::Still)),
            (3, 0, "3.0 MoneyDeducted alice, 4.0 MoneyDeducted alice, 5.0 MoneyDeducted alice".into())
        );
        assert_eq!(rows(view("nobody", None, 0, Follow::Newest)), (0, 0, String::new()));
    }

    #[test]
    fn old_events_leave_the_ring_and_the_matches() {
        let transfers = EVENTS_KEPT_MAX as u64;
        let (projections, mut events) = world(transfers);
        assert_eq!(events.total(), 3 + 2 * transfers);
        let asked = view("bob", Some(EventKind::MoneyCredited), 0, Follow::Newest);
        while !events.is_searched() || events.filter != asked.filter {
            events.window(&asked, &projections.balances);
        }
        let window = events.window(&asked, &projections.balances);
        assert_eq!(window.matched, transfers / 2);
        assert_eq!(window.rows.last().map(|row| row.sequence), Some(transfers + 1));
    }
}
