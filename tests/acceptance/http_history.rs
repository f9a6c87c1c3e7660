//! The history checker: what clients were told, held against what the journal says.
//!
//! It knows nothing of the pipeline. The rules of the ledger are written down once more, as plainly as possible, and
//! the order of the journal must be one in which every client was told the truth.

use std::collections::BTreeMap;

use ledger::{
    AccountName, CommandKind, Event, Transaction, TransactionBody, TransactionId, TransactionResult,
};
use pipeline::Recovery;

/// A command that moves money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) kind: CommandKind,
    /// Who pays; nobody in a deposit.
    pub(super) from: Option<String>,
    /// Who is paid; nobody in a withdrawal.
    pub(super) to: Option<String>,
    pub(super) amount: i64,
}

/// What a client was told about a command: which record it is, and what came of it (`completed`, or a reason).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) sequence: u64,
    pub(super) result: String,
}

/// A command as its client saw it. Moments are numbers of one counter that all clients share.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) wish: Wish,
    /// Before it was sent for the first time.
    pub(super) sent_at: u64,
    /// Every answer, with the moment after it came. A command whose answers were all lost has none.
    pub(super) told: Vec<(u64, Told)>,
}

/// What all clients saw.
pub(super) type History = BTreeMap<TransactionId, Seen>;

/// A record of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Logged {
    Opened { account: String, opening_balance: i64 },
    Moved { transaction_id: TransactionId, wish: Wish, result: String },
}

/// Reads a journal, in the order of its records.
pub(super) fn journal(log: &[u8]) -> Vec<Logged> {
    let (mut logged, mut names) = (Vec::new(), Vec::<String>::new());
    let mut recovery = Recovery::new(1);
    recovery
        .push(log, |record| {
            for event in record.events {
                if let Event::AccountOpened { account, .. } = event {
                    names.push(account.to_string());
                }
            }
            let client = |index: ledger::AccountIndex| {
                let name = &names[usize::try_from(index.0).expect("few accounts")];
                (!name.starts_with('@')).then(|| name.clone())
            };
            for transaction in record.transactions() {
                logged.push(read(record.kind, &transaction.expect("a whole record"), client));
            }
        })
        .expect("a good log");
    recovery.finish().expect("a good log");
    logged
}

fn read(
    kind: CommandKind,
    transaction: &Transaction<'_>,
    client: impl Fn(ledger::AccountIndex) -> Option<String>,
) -> Logged {
    match transaction.body {
        TransactionBody::Opened(opening) => Logged::Opened {
            account: opening.account.to_string(),
            opening_balance: opening.opening_balance(),
        },
        TransactionBody::Moved { from_account, to_account, amount } => Logged::Moved {
            transaction_id: transaction.transaction_id,
            wish: Wish { kind, from: client(from_account), to: client(to_account), amount },
            result: TransactionResult::Completed.to_string(),
        },
        TransactionBody::Failed(failure) => Logged::Moved {
            transaction_id: failure.transaction_id,
            wish: Wish {
                kind: failure.kind,
                from: failure.from_account.as_ref().map(AccountName::to_string),
                to: failure.to_account.as_ref().map(AccountName::to_string),
                amount: failure.amount.expect("every wish has an amount"),
            },
            result: failure.reason.to_string(),
        },
        TransactionBody::Pending { .. }
        | TransactionBody::Posted { .. }
        | TransactionBody::Voided(_)
        | TransactionBody::Expired(_)
        | TransactionBody::FloorSet { .. } => panic!("nobody wished for {kind}"),
    }
}

/// Nothing acknowledged is lost, nothing is doubled, nothing was made up, every result follows from the records before
/// it, and no command that was answered before another was sent stands behind it. Returns the balances at the end.
pub(super) fn check(history: &History, journal: &[Logged]) -> Result<BTreeMap<String, i64>, String> {
    let mut at = BTreeMap::new();
    let mut balances = BTreeMap::new();
    for (sequence, logged) in (0_u64..).zip(journal) {
        match logged {
            Logged::Opened { account, opening_balance } => {
                balances.insert(account.clone(), *opening_balance);
            }
            Logged::Moved { transaction_id, wish, result } => {
                if let Some(first) = at.insert(*transaction_id, sequence) {
                    return Err(format!("{transaction_id} is doubled: records {first} and {sequence}"));
                }
                let Some(seen) = history.get(transaction_id) else {
                    return Err(format!("record {sequence}: nobody sent {transaction_id}"));
                };
                if seen.wish != *wish {
                    return Err(format!("record {sequence}: {:?} was sent, {wish:?} is recorded", seen.wish));
                }
                let expected = carry_out(wish, &mut balances);
                if expected != result {
                    return Err(format!("record {sequence}: {wish:?} is {result}, and should be {expected}"));
                }
            }
        }
    }
    for (id, seen) in history {
        for (_, told) in &seen.told {
            let recorded =
                at.get(id).ok_or_else(|| format!("{id} was acknowledged ({told:?}) and is lost"))?;
            let index = usize::try_from(*recorded).map_err(|error| error.to_string())?;
            let same = matches!(&journal[index], Logged::Moved { result, .. } if *result == told.result);
            if *recorded != told.sequence || !same {
                return Err(format!("{id}: told {told:?}, but record {recorded} is {:?}", journal[index]));
            }
        }
    }
    check_order(history, &at)?;
    Ok(balances)
}

/// Real time: what was answered before something else was first sent has the smaller sequence.
fn check_order(history: &History, at: &BTreeMap<TransactionId, u64>) -> Result<(), String> {
    let mut by_sequence: Vec<_> =
        history.iter().filter_map(|(id, seen)| Some((*at.get(id)?, id, seen))).collect();
    by_sequence.sort_by_key(|(sequence, ..)| *sequence);
    let mut sent_last = 0;
    for (sequence, id, seen) in by_sequence {
        if let Some((answered_at, _)) = seen.told.first()
            && *answered_at < sent_last
        {
            return Err(format!(
                "{id} was answered before another was sent, and stands behind it at {sequence}"
            ));
        }
        sent_last = sent_last.max(seen.sent_at);
    }
    Ok(())
}

/// The ledger's rules, for the commands that the tests send. Floors are 0 and there is one asset.
fn carry_out(wish: &Wish, balances: &mut BTreeMap<String, i64>) -> &'static str {
    let Wish { kind: _, from, to, amount } = wish;
    if *amount <= 0 {
        return "amount_not_positive";
    }
    if from == to {
        return "same_account";
    }
    if let Some(from) = from {
        if !balances.contains_key(from) {
            return "unknown_from_account";
        }
        if to.as_ref().is_some_and(|to| !balances.contains_key(to)) {
            return "unknown_to_account";
        }
        if balances[from] < *amount {
            return "insufficient_funds";
        }
    } else if to.as_ref().is_none_or(|to| !balances.contains_key(to)) {
        return "unknown_to_account";
    }
    for (account, amount) in [(from, -amount), (to, *amount)] {
        if let Some(balance) = account.as_ref().and_then(|account| balances.get_mut(account)) {
            *balance += amount;
        }
    }
    "completed"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> TransactionId {
        TransactionId::from_bytes([number; 16])
    }

    fn wish(amount: i64) -> Wish {
        let [from, to] = ["a", "b"].map(|name| Some(name.to_owned()));
        Wish { kind: CommandKind::Transfer, from, to, amount }
    }

    fn seen(amount: i64, sent_at: u64, told: &[(u64, u64, &str)]) -> Seen {
        let told = told
            .iter()
            .map(|(at, sequence, result)| (*at, Told { sequence: *sequence, result: (*result).to_owned() }));
        Seen { wish: wish(amount), sent_at, told: told.collect() }
    }

    fn moved(number: u8, amount: i64, result: &str) -> Logged {
        Logged::Moved { transaction_id: id(number), wish: wish(amount), result: result.to_owned() }
    }

    fn opened() -> [Logged; 2] {
        ["a", "b"].map(|account| Logged::Opened { account: account.to_owned(), opening_balance: 10 })
    }

    #[track_caller]
    fn says(history: &[(TransactionId, Seen)], records: &[Logged], expected: &str) {
        let journal: Vec<Logged> = opened().iter().chain(records).cloned().collect();
        match check(&history.iter().cloned().collect(), &journal) {
            Ok(balances) => assert_eq!(format!("{balances:?}"), expected),
            Err(error) => assert!(error.contains(expected), "{error}"),
        }
    }

    #[test]
    fn it_finds_what_is_planted() {
        let done = "completed";
        let one = (id(1), seen(4, 1, &[(3, 2, done)]));
        let lost_answer = (id(2), seen(7, 2, &[]));
        let later = (id(3), seen(1, 4, &[(5, 3, done)]));
        let log = [moved(1, 4, done), moved(2, 7, "insufficient_funds")];
        says(&[one.clone(), lost_answer.clone()], &log, "{\"a\": 6, \"b\": 14}");
        says(&[one.clone(), lost_answer.clone()], &log[..1], "{\"a\": 6, \"b\": 14}");
        let alone = std::slice::from_ref(&one);
        says(alone, &[], "is lost");
        says(alone, &[moved(1, 4, done), moved(1, 4, done)], "is doubled");
        says(alone, &log, "nobody sent");
        says(alone, &[moved(1, 5, done)], "is recorded");
        says(alone, &[moved(1, 4, "insufficient_funds")], "should be completed");
        says(&[(id(1), seen(4, 1, &[(3, 2, "overflow")]))], &log[..1], "told");
        says(&[(id(1), seen(4, 1, &[(3, 2, done), (4, 3, done)]))], &log[..1], "told");
        says(
            &[one.clone(), (id(3), seen(1, 4, &[(5, 2, done)]))],
            &[moved(3, 1, done), moved(1, 4, done)],
            "told",
        );
        let swapped = [(id(1), seen(4, 1, &[(3, 3, done)])), (later.0, seen(1, 4, &[(5, 2, done)]))];
        says(&swapped, &[moved(3, 1, done), moved(1, 4, done)], "stands behind it");
    }
}
