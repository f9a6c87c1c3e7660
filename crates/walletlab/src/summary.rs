//! What a log comes to.

use std::collections::BTreeMap;
use std::fmt;

use ledger::Ledger;
use projection::{Balances, Counts, Pending, Projections, Totals};
use serde::Serialize;

/// What a log comes to, for people and programs. The digest covers every account and every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// Records in the log: the sequence that the next one takes.
    pub(crate) sequence: u64,
    pub(crate) digest: String,
    /// Accounts whose names do not begin with `@`.
    pub(crate) accounts: u64,
    /// The sum of their balances for each asset, in minor units.
    pub(crate) balances_total: BTreeMap<String, i128>,
    /// Client transfers that completed.
    pub(crate) completed: u64,
    /// Client transfers that were refused.
    pub(crate) failed: u64,
    /// Pending transfers that are open; in the text only.
    #[serde(skip)]
    pub(crate) pending_transfers: u64,
}

impl Summary {
    /// Of a ledger and the projections of the same records.
    pub(crate) fn new(ledger: &Ledger, projections: &Projections) -> Summary {
        Summary::of(ledger, &projections.totals, &projections.counts)
    }

    /// The same of those read models alone that it takes.
    pub(crate) fn of(ledger: &Ledger, totals: &Totals, counts: &Counts) -> Summary {
        let accounts = ledger.accounts().filter(|account| !account.name.is_system()).count();
        let totals = totals.balances_total();
        Summary {
            sequence: counts.checkpoint(),
            digest: ledger.digest().to_string(),
            accounts: accounts as u64,
            balances_total: totals.into_iter().map(|(asset, sum)| (asset.to_string(), sum)).collect(),
            completed: counts.transfers_completed(),
            failed: counts.transfers_failed(),
            pending_transfers: ledger.holds().len(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sequence        {}", self.sequence)?;
        writeln!(f, "digest          {}", self.digest)?;
        writeln!(f, "accounts        {}", self.accounts)?;
        for (asset, sum) in &self.balances_total {
            writeln!(f, "balances_total  {asset} {sum} minor units")?;
        }
        writeln!(f, "completed       {}", self.completed)?;
        writeln!(f, "failed          {}", self.failed)?;
        if self.pending_transfers > 0 {
            writeln!(f, "pending         {} transfers are open", self.pending_transfers)?;
        }
        Ok(())
    }
}

/// What must hold of every ledger and those read models that there are, in words for what does not.
pub(crate) fn violations(
    ledger: &Ledger,
    balances: &Balances,
    totals: &Totals,
    pending: Option<&Pending>,
) -> Vec<String> {
    let folded = totals.balances_total();
    let mut violations = Vec::new();
    for (asset, sum) in ledger.sum_by_asset() {
        if sum != 0 {
            violations.push(format!("the balances of all accounts of {asset} add up to {sum}, not 0"));
        }
    }
    let mut totals: BTreeMap<String, i128> = BTreeMap::new();
    for (index, account) in (0..).zip(ledger.accounts()) {
        if account.available() < account.floor {
            violations.push(format!(
                "account {} has {}, of which {} is held, which is below its floor of {}",
                account.name, account.posted, account.pending, account.floor
            ));
        }
        let total = totals.entry(account.asset.to_string()).or_default();
        if !account.name.is_system() {
            *total += i128::from(account.posted);
        }
        let row = balances.row(ledger::AccountIndex(index));
        let ledgers = (account.name, account.posted, account.pending, account.floor);
        if (row.name, row.posted, row.pending, row.floor) != ledgers {
            violations.push(format!(
                "the read models say {} has {}, {} of it held, floor {}; the ledger says {} has {}, {} held, floor {}",
                row.name, row.posted, row.pending, row.floor, ledgers.0, ledgers.1, ledgers.2, ledgers.3
            ));
        }
    }
    if let Some(pending) = pending.filter(|pending| pending.holds() != ledger.holds()) {
        violations.push(format!(
            "the read models have {} open pending transfers and the ledger {}, or not the same ones",
            pending.holds().len(),
            ledger.holds().len()
        ));
    }
    let folded: BTreeMap<String, i128> =
        folded.into_iter().map(|(asset, sum)| (asset.to_string(), sum)).collect();
    if folded != totals {
        violations.push(format!("the totals are {folded:?}, but the balances add up to {totals:?}"));
    }
    violations
}
