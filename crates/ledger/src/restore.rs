//! A ledger from what a snapshot says of it, instead of from all events.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use crate::{
    digest::Digest,
    engine::{AccountView, Ledger},
    event::AccountIndex,
    holds::Hold,
    id::TransactionId,
    inconsistent::Inconsistent,
    names::{AccountName, Asset},
};

/// Why accounts are not those of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrestorable {
    /// The account cannot follow the ones before it.
    Account {
        /// Which account, from 0.
        index: AccountIndex,
        /// What does not fit.
        inconsistent: Inconsistent,
    },
    /// What is available of a balance is below its floor.
    BelowFloor {
        /// Whose balance.
        account: AccountName,
        /// The balance in minor units.
        posted: i64,
        /// What is held of it, in minor units.
        pending: i64,
        /// The floor in minor units.
        floor: i64,
    },
    /// The pending transfer cannot be open.
    Hold {
        /// Which one.
        pending_id: TransactionId,
        /// What does not fit.
        inconsistent: Inconsistent,
    },
    /// The pending transfers of an account do not add up to what is held of it.
    Pending {
        /// Which account.
        account: AccountName,
        /// What is held of it, in minor units.
        pending: i64,
        /// What its pending transfers add up to, in minor units.
        sum: i128,
    },
    /// The balances of an asset do not add up to 0: money appeared or is gone.
    Unbalanced {
        /// The asset.
        asset: Asset,
        /// What they add up to, in minor units.
        sum: i128,
    },
}

impl Ledger {
    /// A ledger that has these accounts, in the order of their indices, and these open pending transfers, in any order,
    /// between two records. It decides, checks and
    /// changes as the ledger that they are from would. `digest` is that ledger's, because the answers that it covers are
    /// not kept here: it cannot be checked, and only another ledger's digest shows whether it is right.
    ///
    /// Every rule that holds for accounts holds for these: unique names, floors that fit the names, one scale for an
    /// asset, its world account before the others, no balance below its floor even without what is held of it, pending
    /// transfers that add up to that for each account, and balances that add up to 0 for each asset. Costs O(accounts),
    /// and O(log n) for each pending transfer.
    ///
    /// # Errors
    /// No ledger has these accounts and pending transfers.
    pub fn restore<'a>(
        hash_seed: u64,
        accounts: impl IntoIterator<Item = AccountView<'a>>,
        holds: impl IntoIterator<Item = (TransactionId, Hold)>,
        digest: Digest,
    ) -> Result<Ledger, Unrestorable> {
        let mut ledger = Ledger::new(hash_seed);
        for view in accounts {
            let AccountView { name, floor, posted, pending, .. } = view;
            let available = posted.checked_sub(pending);
            if pending < 0 || available.is_none_or(|available| available < floor) {
                return Err(Unrestorable::BelowFloor { account: name.clone(), posted, pending, floor });
            }
            ledger.restore_account(&view).map_err(|inconsistent| {
                let index = AccountIndex(ledger.accounts_count());
                Unrestorable::Account { index, inconsistent }
            })?;
        }
        ledger.restore_holds(holds)?;
        let sums: Vec<(Asset, i128)> = ledger.sum_by_asset();
        if let Some((asset, sum)) = sums.into_iter().find(|(_, sum)| *sum != 0) {
            return Err(Unrestorable::Unbalanced { asset, sum });
        }
        ledger.set_digest(digest);
        Ok(ledger)
    }

    fn restore_holds(
        &mut self,
        holds: impl IntoIterator<Item = (TransactionId, Hold)>,
    ) -> Result<(), Unrestorable> {
        let mut sums: BTreeMap<AccountIndex, i128> = BTreeMap::new();
        for (pending_id, hold) in holds {
            self.restore_hold(pending_id, hold)
                .map_err(|inconsistent| Unrestorable::Hold { pending_id, inconsistent })?;
            *sums.entry(hold.from_account).or_default() += i128::from(hold.amount);
        }
        for (index, view) in (0..).map(AccountIndex).zip(self.accounts()) {
            let sum = sums.get(&index).copied().unwrap_or(0);
            if sum != i128::from(view.pending) {
                let (account, pending) = (view.name.clone(), view.pending);
                return Err(Unrestorable::Pending { account, pending, sum });
            }
        }
        Ok(())
    }
}

impl fmt::Display for Unrestorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unrestorable::Account { index, inconsistent } => {
                write!(f, "account {index} cannot be: {inconsistent}")
            }
            Unrestorable::BelowFloor { account, posted, pending: 0, floor } => {
                write!(f, "account {account} has {posted}, below its floor of {floor}")
            }
            Unrestorable::BelowFloor { account, posted, pending, floor } => {
                write!(
                    f,
                    "account {account} has {posted}, of which {pending} are held: below its floor of {floor}"
                )
            }
            Unrestorable::Hold { pending_id, inconsistent } => {
                write!(f, "pending transfer {pending_id} cannot be: {inconsistent}")
            }
            Unrestorable::Pending { account, pending, sum } => {
                write!(f, "account {account} has {pending} held, but its pending transfers add up to {sum}")
            }
            Unrestorable::Unbalanced { asset, sum } => {
                write!(f, "the balances of {asset} add up to {sum}, expected 0")
            }
        }
    }
}

impl core::error::Error for Unrestorable {}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use expect_test::{Expect, expect};
    use time::Timestamp;

    use super::*;
    use crate::{Command, TransactionId};

    type Row = (&'static str, &'static str, u8, i64, i64);

    const ROWS: [Row; 4] = [
        ("@world/USD", "USD", 2, i64::MIN, -150),
        ("alice", "USD", 2, 0, 150),
        ("@credit", "USD", 2, -1_000, -70),
        ("bob", "USD", 2, 0, 70),
    ];

    fn restore(rows: &[Row]) -> Result<Ledger, Unrestorable> {
        let names: Vec<(AccountName, Asset)> =
            rows.iter().map(|row| (row.0.parse().unwrap(), row.1.parse().unwrap())).collect();
        let views = rows.iter().zip(&names).map(|(row, (name, asset))| AccountView {
            name,
            asset,
            scale: row.2,
            floor: row.3,
            posted: row.4,
            pending: 0,
        });
        Ledger::restore(7, views, [], Digest::from_u128(5))
    }

    fn refused(change: impl Fn(&mut Vec<Row>), expected: &Expect) {
        let mut rows = ROWS.to_vec();
        change(&mut rows);
        let Err(error) = restore(&rows) else { panic!("restored") };
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn what_no_ledger_has_is_refused() {
        restore(&[]).unwrap();
        refused(
            |rows| rows[3].0 = "alice",
            &expect!["account #3 cannot be: account alice is opened a second time"],
        );
        refused(
            |rows| rows[3].3 = 5,
            &expect![
                "account #3 cannot be: account bob has floor 5, which an account of its name cannot have"
            ],
        );
        refused(
            |rows| rows[3].2 = 3,
            &expect!["account #3 cannot be: account bob has scale 3, but its asset has scale 2"],
        );
        refused(
            |rows| rows[0].2 = 19,
            &expect!["account #0 cannot be: account @world/USD has scale 19, more than 18"],
        );
        refused(
            |rows| rows.swap(0, 1),
            &expect!["account #0 cannot be: account alice is opened before the world account of USD"],
        );
        refused(
            |rows| rows[0].1 = "EUR",
            &expect!["account #0 cannot be: @world/USD is not the name of the world account of EUR"],
        );
        refused(|rows| rows[2].4 = -1_001, &expect!["account @credit has -1001, below its floor of -1000"]);
        refused(|rows| rows[1].4 = -1, &expect!["account alice has -1, below its floor of 0"]);
        refused(|rows| rows[1].4 = 151, &expect!["the balances of USD add up to 1, expected 0"]);
        refused(
            |rows| (rows[1].4, rows[3].4) = (i64::MAX, i64::MAX),
            &expect!["the balances of USD add up to 18446744073709551394, expected 0"],
        );
    }

    #[test]
    fn a_restored_ledger_goes_on_as_the_first_does() {
        let mut first = Ledger::new(3);
        let mut events = Vec::new();
        let open = |account: &str, asset: &str, opening_balance| Command::OpenAccount {
            account: account.parse().unwrap(),
            asset: asset.parse().unwrap(),
            scale: 2,
            floor: account.starts_with('@').then_some(-500),
            opening_balance,
        };
        let transfer = |from: &str, to: &str, amount: i64| Command::Transfer {
            transaction_id: TransactionId::derived("test", &[from.as_bytes(), &amount.to_le_bytes()]),
            from_account: from.parse().unwrap(),
            to_account: to.parse().unwrap(),
            amount,
            metadata: None,
        };
        let pend = |from: &str, to: &str, amount: i64| Command::PendingTransfer {
            transaction_id: TransactionId::derived("pend", &[from.as_bytes(), &amount.to_le_bytes()]),
            from_account: from.parse().unwrap(),
            to_account: to.parse().unwrap(),
            amount,
            expires_at: Timestamp::from_micros(50),
            metadata: None,
        };
        let settle = |amount: i64, asked| Command::PostTransfer {
            transaction_id: TransactionId::derived("post", &[&amount.to_le_bytes()]),
            pending_id: TransactionId::derived("pend", &[b"a", &amount.to_le_bytes()]),
            amount: asked,
            metadata: None,
        };
        let mut step = |ledgers: &mut [&mut Ledger], command: &Command| {
            let mut all = Vec::new();
            for ledger in ledgers {
                events.clear();
                ledger.execute(Timestamp::ZERO, command, &mut events);
                for event in &events {
                    ledger.check(event).unwrap();
                    ledger.apply(event);
                }
                all.push((events.clone(), ledger.digest()));
            }
            assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        };
        // The last one before the snapshot is an opening without money, whose answer the ledger still could extend.
        for command in [
            open("a", "USD", 90),
            open("b", "USD", 0),
            transfer("a", "b", 30),
            pend("a", "b", 11),
            pend("a", "b", 12),
            open("c", "EUR", 0),
        ] {
            step(&mut [&mut first], &command);
        }
        let holds: Vec<_> = first.holds().iter().collect();
        let backwards = holds.iter().rev().copied();
        let mut second = Ledger::restore(9, first.accounts(), backwards, first.digest()).unwrap();
        assert_eq!(first.holds(), second.holds());
        assert!(first.accounts().eq(second.accounts()));
        assert_eq!(first.digest(), second.digest());
        for command in [
            settle(12, Some(5)),
            settle(11, None),
            settle(11, None),
            transfer("b", "a", 7),
            transfer("b", "nobody", 7),
            transfer("b", "c", 7),
            open("d", "USD", 5),
            open("@fees", "EUR", 0),
            Command::Deposit {
                transaction_id: TransactionId::derived("test", &[b"d"]),
                account: "c".parse().unwrap(),
                amount: 3,
                metadata: None,
            },
        ] {
            step(&mut [&mut first, &mut second], &command);
        }
    }

    #[test]
    fn pending_transfers_must_be_those_of_the_accounts() {
        let mut first = Ledger::new(3);
        let mut run = |command: Command| {
            let mut events = Vec::new();
            first.execute(Timestamp::ZERO, &command, &mut events);
            events.iter().for_each(|event| first.apply(event));
        };
        for account in ["a", "b"] {
            run(Command::OpenAccount {
                account: account.parse().unwrap(),
                asset: "USD".parse().unwrap(),
                scale: 2,
                floor: None,
                opening_balance: 9,
            });
        }
        let pending_id = TransactionId::from_bytes([1; 16]);
        run(Command::PendingTransfer {
            transaction_id: pending_id,
            from_account: "a".parse().unwrap(),
            to_account: "b".parse().unwrap(),
            amount: 9,
            expires_at: None,
            metadata: None,
        });
        let (_, hold) = first.holds().iter().next().unwrap();
        let refused = |holds: &[(TransactionId, Hold)], pending: i64| {
            let views = first.accounts().map(|view| match view.name.as_str() {
                "a" => AccountView { pending, ..view },
                _ => view,
            });
            let restored = Ledger::restore(1, views, holds.iter().copied(), first.digest());
            restored.err().map_or(String::from("restored"), |error| error.to_string())
        };
        let other = TransactionId::from_bytes([2; 16]);
        let to_world = Hold { to_account: AccountIndex(0), ..hold };
        let shown = [
            refused(&[(pending_id, hold)], 9),
            refused(&[], 9),
            refused(&[(pending_id, hold)], 0),
            refused(&[(pending_id, hold)], 10),
            refused(&[(pending_id, hold)], -1),
            refused(&[(pending_id, hold), (pending_id, hold)], 9),
            refused(&[(pending_id, hold), (other, hold)], 9),
            refused(&[(pending_id, to_world)], 9),
            refused(&[(pending_id, Hold { amount: 0, ..hold })], 0),
            refused(&[(pending_id, Hold { from_account: AccountIndex(7), ..hold })], 9),
        ];
        expect![[r#"
            restored
            account a has 9 held, but its pending transfers add up to 0
            account a has 0 held, but its pending transfers add up to 9
            account a has 9, of which 10 are held: below its floor of 0
            account a has 9, of which -1 are held: below its floor of 0
            pending transfer 01010101-0101-0101-0101-010101010101 cannot be: pending transfer 01010101-0101-0101-0101-010101010101 is opened a second time
            account a has 9 held, but its pending transfers add up to 18
            pending transfer 01010101-0101-0101-0101-010101010101 cannot be: pending transfer 01010101-0101-0101-0101-010101010101 is not between two client accounts of one asset
            pending transfer 01010101-0101-0101-0101-010101010101 cannot be: amount 0 is not positive
            pending transfer 01010101-0101-0101-0101-010101010101 cannot be: account #7 is named before it is opened; 3 accounts are open"#]].assert_eq(&shown.join("\n"));
    }
}
