//! The windows of the balance table and of the entries of one account.

use ledger::{AccountIndex, AccountName};
use projection::{EntryCursor, Projections};

use crate::protocol::{
    BalanceRow, BalanceSort, BalancesWindow, Direction, EntriesWindow, EntryRow, ROWS_MAX,
};

/// Entries in one window.
const ENTRIES_ROWS: u32 = 50;

/// What the balance table asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancesView {
    /// Number of the view.
    pub view: u32,
    /// Text in the names.
    pub search: String,
    /// By what they are sorted.
    pub sort: BalanceSort,
    /// Which end comes first.
    pub direction: Direction,
    /// First wanted row.
    pub first_row: u64,
    /// Wanted rows.
    pub rows: u32,
}

/// The order of the balance table, kept between windows.
#[derive(Default)]
pub struct BalancesOrder {
    /// The rows in their order, ascending.
    order: Vec<u32>,
    /// What the order was made for.
    made_for: Option<(String, BalanceSort, u32, u64)>,
}

impl BalancesOrder {
    /// The rows that `view` asks for.
    pub fn window(&mut self, view: &BalancesView, projections: &Projections) -> BalancesWindow {
        self.sort(view, projections);
        let balances = &projections.balances;
        let matched = self.order.len() as u64;
        let rows = u64::from(view.rows.min(ROWS_MAX));
        let first_row = view.first_row.min(matched.saturating_sub(rows));
        let rows = (first_row..matched.min(first_row + rows))
            .filter_map(|row| {
                let row = match view.direction {
                    Direction::Ascending => row,
                    Direction::Descending => matched - 1 - row,
                };
                let index = *self.order.get(usize::try_from(row).ok()?)?;
                let row = balances.row(AccountIndex(index));
                Some(BalanceRow {
                    account: row.name.to_string(),
                    asset: row.asset.to_string(),
                    scale: row.scale,
                    posted: row.posted,
                })
            })
            .collect();
        BalancesWindow { view: view.view, total: u64::from(balances.len()), matched, first_row, rows }
    }

    fn sort(&mut self, view: &BalancesView, projections: &Projections) {
        let balances = &projections.balances;
        // Only an order by balance changes while no account is opened.
        let checkpoint = match view.sort {
            BalanceSort::Balance => balances.checkpoint(),
            BalanceSort::Opened | BalanceSort::Account => 0,
        };
        let made_for = Some((view.search.clone(), view.sort, balances.len(), checkpoint));
        if self.made_for == made_for {
            return;
        }
        let fits =
            |index: &u32| balances.row(AccountIndex(*index)).name.as_str().contains(view.search.as_str());
        self.order.clear();
        self.order.extend((0..balances.len()).filter(|index| view.search.is_empty() || fits(index)));
        match view.sort {
            BalanceSort::Opened => {}
            BalanceSort::Account => {
                self.order.sort_by_key(|index| balances.row(AccountIndex(*index)).name.as_str());
            }
            BalanceSort::Balance => {
                self.order.sort_by_cached_key(|index| balances.row(AccountIndex(*index)).posted);
            }
        }
        self.made_for = made_for;
    }

    /// Forgets the order: the log is another one.
    pub fn clear(&mut self) {
        *self = BalancesOrder::default();
    }
}

/// The entries of `account`, the newest first, only those older than the place `before` if that is given.
pub fn entries_window(
    account: &str,
    before: Option<u64>,
    projections: &Projections,
) -> Option<EntriesWindow> {
    let name: AccountName = account.parse().ok()?;
    let index = projections.balances.find(&name)?;
    let row = projections.balances.row(index);
    let cursor = before.map(|before| EntryCursor(u32::try_from(before).unwrap_or(u32::MAX)));
    let mut entries = projections.entries_of(index, cursor, ENTRIES_ROWS + 1);
    let has_older = entries.len() > ENTRIES_ROWS as usize;
    entries.truncate(ENTRIES_ROWS as usize);
    let older = if has_older { entries.last().map(|entry| u64::from(entry.cursor.0)) } else { None };
    let rows = entries
        .iter()
        .map(|entry| EntryRow {
            sequence: entry.sequence,
            recorded_at_micros: entry.recorded_at.micros(),
            transaction_id: entry.transaction_id.to_string(),
            counterparty: projections.balances.row(entry.counterparty).name.to_string(),
            amount: entry.amount,
            balance_after: entry.balance_after,
        })
        .collect();
    Some(EntriesWindow {
        account: row.name.to_string(),
        asset: row.asset.to_string(),
        scale: row.scale,
        posted: row.posted,
        before,
        rows,
        older,
    })
}
