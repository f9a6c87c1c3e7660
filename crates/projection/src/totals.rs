//! How much the clients have together.

use alloc::vec::Vec;

use ledger::{AccountIndex, AccountName, Asset, Event, Record};

use crate::{BalanceRow, advance};

/// For each asset the sum of the balances of all accounts whose names do not begin with `@`.
#[derive(Clone, Default)]
pub struct Totals {
    checkpoint: u64,
    /// The asset of each account, or `SYSTEM`.
    asset_of: Vec<u32>,
    sums: Vec<(Asset, i128)>,
}

/// Stands for the asset of a system account, which counts in no sum.
const SYSTEM: u32 = u32::MAX;

impl Totals {
    /// No accounts.
    pub fn new() -> Totals {
        Totals::default()
    }

    /// The sums over these accounts, which come in the order of their indices, as of a checkpoint.
    pub fn restore<'a>(checkpoint: u64, rows: impl IntoIterator<Item = BalanceRow<'a>>) -> Totals {
        let mut totals = Totals { checkpoint, ..Totals::new() };
        for BalanceRow { name, asset, posted, .. } in rows {
            totals.open(name, asset);
            totals.add(AccountIndex(small(totals.asset_of.len()) - 1), i128::from(posted));
        }
        totals
    }

    /// Every record with a smaller sequence is folded.
    pub fn checkpoint(&self) -> u64 {
        self.checkpoint
    }

    /// The sum for each asset in minor units, in the order in which the assets were first seen; 0 for an asset without
    /// client accounts.
    pub fn balances_total(&self) -> Vec<(Asset, i128)> {
        self.sums.clone()
    }

    /// Takes the next record in.
    ///
    /// # Panics
    /// If the record is not the next one or contradicts those before it.
    pub fn fold(&mut self, record: &Record<'_>) {
        advance(&mut self.checkpoint, record);
        for event in record.events {
            match event {
                Event::AccountOpened { account, asset, .. } => self.open(account, asset),
                Event::MoneyDeducted { account, amount, .. } => self.add(*account, -i128::from(*amount)),
                Event::MoneyCredited { account, amount, .. } => self.add(*account, i128::from(*amount)),
                Event::TransferPosted { from_account, to_account, amount, .. } => {
                    self.add(*from_account, -i128::from(*amount));
                    self.add(*to_account, i128::from(*amount));
                }
                Event::TransferPending { .. }
                | Event::TransferVoided { .. }
                | Event::TransferExpired { .. }
                | Event::FloorChanged { .. }
                | Event::MetadataAttached { .. }
                | Event::TransactionFailed(_) => {}
            }
        }
    }

    /// How many elements a clone copies: one for each account and each asset.
    pub(crate) fn clone_cost(&self) -> u64 {
        (self.asset_of.len() + self.sums.len()) as u64
    }

    fn open(&mut self, name: &AccountName, asset: &Asset) {
        let asset_index = self.asset_index(asset);
        self.asset_of.push(if name.is_system() { SYSTEM } else { asset_index });
    }

    fn asset_index(&mut self, asset: &Asset) -> u32 {
        let known = self.sums.iter().rposition(|(known, _)| known == asset);
        let index = known.unwrap_or_else(|| {
            self.sums.push((asset.clone(), 0));
            self.sums.len() - 1
        });
        small(index)
    }

    fn add(&mut self, account: AccountIndex, amount: i128) {
        let asset = self.asset_of[account.0 as usize];
        if asset != SYSTEM {
            self.sums[asset as usize].1 += amount;
        }
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("there are no more assets than accounts, which an index counts")
}
