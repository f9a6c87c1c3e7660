//! The checkers' own fold of the durable log: from its bytes, beside the pipeline, never from what the pipeline says.

use std::collections::BTreeMap;

use journal::{Decoder, Item};
use ledger::{
    AccountIndex, AccountName, CommandKind, Event, Ledger, Record, TransactionId, TransactionResult,
};
use pipeline::{Outcome, RECORD_VERSION};
use projection::history::{Chunks, IdIndex};

use crate::checkers::{Findings, Invariant};
use crate::journal_store::JournalStore;

/// What the durable bytes of a log say, folded twice: by plain sums of its own, and by the ledger's `check` and `apply`.
///
/// Every record is read once, when it has become durable. A clone costs O(accounts), not O(log).
#[derive(Clone)]
pub(crate) struct Fold {
    decoder: Decoder,
    /// Bytes given to the decoder.
    position: u64,
    ledger: Ledger,
    accounts: Vec<Account>,
    /// For each asset the sum over all accounts.
    sums: Vec<i128>,
    assets: Vec<ledger::Asset>,
    /// Open pending transfers: who is to pay, who is to be paid, and how much.
    pending: BTreeMap<TransactionId, (AccountIndex, AccountIndex, i64)>,
    outcomes: Chunks<KnownOutcome>,
    ids: IdIndex,
    generation: u64,
    events_count: u64,
    /// The log cannot be read on, so nothing more is folded.
    halted: Halted,
    events: Vec<Event>,
    /// Entries since they were last taken: what other folds must have come to.
    entries: Vec<Entry>,
}

/// One entry, and the balance that it made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) account: AccountIndex,
    pub(crate) amount: i64,
    pub(crate) balance_after: i64,
}

/// What the log says of one command.
#[derive(Clone, Copy, Debug)]
struct KnownOutcome {
    id: TransactionId,
    /// The first half of the fingerprint.
    fingerprint: u64,
    sequence: u64,
    result: TransactionResult,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    balance: i64,
    pending: i64,
    floor: i64,
    asset: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halted {
    No,
    Yes,
}

impl Fold {
    pub(crate) fn new(hash_seed: u64) -> Fold {
        Fold {
            decoder: Decoder::new(),
            position: 0,
            ledger: Ledger::new(hash_seed),
            accounts: Vec::new(),
            sums: Vec::new(),
            assets: Vec::new(),
            pending: BTreeMap::new(),
            outcomes: Chunks::new(),
            ids: IdIndex::new(hash_seed),
            generation: 0,
            events_count: 0,
            halted: Halted::No,
            events: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Reads what has become durable since the last time.
    pub(crate) fn advance(&mut self, journal: &JournalStore, findings: &mut Findings) {
        if self.halted == Halted::Yes {
            return;
        }
        let until = journal.durable_bytes();
        if until < self.position {
            let message =
                format!("durable bytes fell from {} to {until}: what was durable is gone", self.position);
            findings.broke(Invariant::AcknowledgedIsDurable, &message);
            self.halted = Halted::Yes;
            return;
        }
        for slice in journal.log().slices(self.position, until) {
            self.decoder.push(slice);
            if let Err(message) = self.read(findings) {
                findings.broke(Invariant::LogIsIntact, &message);
                self.halted = Halted::Yes;
                return;
            }
        }
        self.position = until;
        findings.checked(Invariant::LogIsIntact, 1);
        let folded = self.next_sequence();
        if folded != journal.durable_before() {
            let message = format!(
                "the durable bytes hold {folded} records, but {} were reported durable",
                journal.durable_before()
            );
            findings.broke(Invariant::AcknowledgedIsDurable, &message);
            self.halted = Halted::Yes;
        }
    }

    /// The sequence of the next record.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.decoder.next_sequence()
    }

    /// Bytes folded.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Events folded.
    pub(crate) fn events_count(&self) -> u64 {
        self.events_count
    }

    /// The ledger that the log makes.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The balance of an account by plain sums.
    pub(crate) fn balance(&self, account: AccountIndex) -> Option<i64> {
        self.accounts.get(account.0 as usize).map(|account| account.balance)
    }

    /// The balances of all accounts by plain sums, in the order of their indices.
    pub(crate) fn balances(&self) -> impl ExactSizeIterator<Item = i64> {
        self.accounts.iter().map(|account| account.balance)
    }

    /// Takes the entries that were folded since the last time; the memory comes back by [`Fold::give_back`].
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        core::mem::take(&mut self.entries)
    }

    pub(crate) fn give_back(&mut self, mut entries: Vec<Entry>) {
        entries.clear();
        self.entries = entries;
    }

    /// Whether the log holds this outcome; otherwise what it holds instead.
    pub(crate) fn holds(&self, outcome: &Outcome) -> Result<(), String> {
        let Outcome { transaction_id, sequence, result } = outcome;
        match self.find(*transaction_id) {
            Some(known) if known.sequence == *sequence && known.result == *result => Ok(()),
            Some(known) => Err(format!(
                "transaction {transaction_id} was answered as {result} in record {sequence}, \
                 but the log has it as {} in record {}",
                known.result, known.sequence
            )),
            None => Err(format!(
                "transaction {transaction_id} was answered as {result} in record {sequence}, but the log does not have it"
            )),
        }
    }

    /// What is held of an account by plain sums, and its floor.
    pub(crate) fn pending(&self, account: AccountIndex) -> Option<(i64, i64)> {
        self.accounts.get(account.0 as usize).map(|account| (account.pending, account.floor))
    }

    /// How many pending transfers are open.
    pub(crate) fn pending_count(&self) -> u64 {
        self.pending.len() as u64
    }

    /// Is what is held of every account the sum of its open pending transfers, here and in the ledger?
    pub(crate) fn check_pending(&self) -> Result<(), String> {
        let mut sums: BTreeMap<AccountIndex, i64> = BTreeMap::new();
        for (from, _, amount) in self.pending.values() {
            *sums.entry(*from).or_default() += amount;
        }
        for (number, account) in (0..).zip(&self.accounts) {
            let index = AccountIndex(number);
            let sum = sums.get(&index).copied().unwrap_or(0);
            let view = self.ledger.account(index);
            if account.pending != sum || view.pending != sum {
                return Err(format!(
                    "{} has {} held by plain sums and {} in the ledger, but its pending transfers add up to {sum}",
                    view.name, account.pending, view.pending
                ));
            }
        }
        let ledgers = self.ledger.holds().len();
        if ledgers != self.pending_count() {
            return Err(format!(
                "the ledger has {ledgers} pending transfers, the log {}",
                self.pending_count()
            ));
        }
        Ok(())
    }

    /// The first half of the fingerprint of the command that took this id.
    pub(crate) fn fingerprint(&self, id: TransactionId) -> Option<u64> {
        self.find(id).map(|known| known.fingerprint)
    }

    fn find(&self, id: TransactionId) -> Option<&KnownOutcome> {
        let id_of = |row| self.outcomes.at(row).expect("the index knows rows only").id;
        self.outcomes.at(self.ids.find(&id, id_of)?)
    }

    /// Folds every record that is complete.
    fn read(&mut self, findings: &mut Findings) -> Result<(), String> {
        loop {
            let mut events = core::mem::take(&mut self.events);
            events.clear();
            let item = self.decoder.next().map_err(|damage| damage.to_string())?;
            let Some(item) = item else {
                self.events = events;
                return Ok(());
            };
            let Item::Record { meta, payload, at_byte } = item else {
                self.events = events;
                continue;
            };
            let unreadable = |what: &str| format!("record {} at byte {at_byte}: {what}", meta.sequence);
            let kind = u8::try_from(meta.kind).ok().and_then(CommandKind::from_u8);
            let kind = kind
                .filter(|_| meta.kind_version == RECORD_VERSION)
                .ok_or_else(|| unreadable("unknown kind"))?;
            pipeline::decode_events(payload, &mut events).map_err(|error| unreadable(&error.to_string()))?;
            let (sequence, recorded_at, generation) = (meta.sequence, meta.recorded_at, meta.generation);
            let record = Record { sequence, recorded_at, generation, kind, events: &events };
            self.record(&record, findings)
                .map_err(|what| format!("record {sequence} at byte {at_byte}: {what}"))?;
            self.events = events;
        }
    }

    fn record(&mut self, record: &Record<'_>, findings: &mut Findings) -> Result<(), String> {
        self.check_generation(record.generation, findings);
        self.ledger.check_record(record).map_err(|error| error.to_string())?;
        for event in record.events {
            self.ledger.check(event).map_err(|error| error.to_string())?;
            self.ledger.apply(event);
            self.event(record, event, findings);
        }
        let events = record.events.len() as u64;
        self.events_count += events;
        findings.checked(Invariant::SumIsZero, events);
        findings.checked(Invariant::BalancesKeepFloors, events);
        findings.checked(Invariant::PendingIsHeld, 1);
        self.check_sums(record.sequence, findings);
        self.outcome(record, findings)
    }

    /// The plain sums of one event.
    fn event(&mut self, record: &Record<'_>, event: &Event, findings: &mut Findings) {
        match event {
            Event::AccountOpened { asset, floor, .. } => {
                let known = self.assets.iter().position(|known| known == asset);
                let asset_index = known.unwrap_or_else(|| {
                    self.assets.push(asset.clone());
                    self.sums.push(0);
                    self.assets.len() - 1
                });
                let asset = u32::try_from(asset_index).expect("fewer assets than accounts");
                self.accounts.push(Account { balance: 0, pending: 0, floor: *floor, asset });
            }
            Event::MoneyDeducted { account, amount, .. } => self.change(record, *account, -*amount, findings),
            Event::MoneyCredited { account, amount, .. } => self.change(record, *account, *amount, findings),
            Event::TransferPending { transaction_id, from_account, to_account, amount, .. } => {
                self.pending.insert(*transaction_id, (*from_account, *to_account, *amount));
                self.hold(record, *from_account, *amount, findings);
            }
            Event::TransferPosted {
                pending_id, from_account, to_account, amount, pending_amount, ..
            } => {
                let ended = (*from_account, *to_account, *pending_amount);
                self.end_pending(record, *pending_id, ended, findings);
                self.change(record, *from_account, -*amount, findings);
                self.change(record, *to_account, *amount, findings);
            }
            Event::TransferVoided { pending_id, from_account, to_account, amount, .. }
            | Event::TransferExpired { pending_id, from_account, to_account, amount, .. } => {
                let ended = (*from_account, *to_account, *amount);
                self.end_pending(record, *pending_id, ended, findings);
            }
            Event::FloorChanged { account, floor, .. } => {
                self.accounts[account.0 as usize].floor = *floor;
                self.check_floor(record, *account, findings);
            }
            Event::MetadataAttached { .. } | Event::TransactionFailed(_) => {}
        }
    }

    fn hold(&mut self, record: &Record<'_>, index: AccountIndex, amount: i64, findings: &mut Findings) {
        let account = &mut self.accounts[index.0 as usize];
        account.pending = account.pending.wrapping_add(amount);
        self.check_floor(record, index, findings);
    }

    fn end_pending(
        &mut self,
        record: &Record<'_>,
        pending_id: TransactionId,
        ended: (AccountIndex, AccountIndex, i64),
        findings: &mut Findings,
    ) {
        let opened = self.pending.remove(&pending_id);
        if opened != Some(ended) {
            let message = format!(
                "record {}: pending transfer {pending_id} ends as {ended:?}, but it was {opened:?}",
                record.sequence
            );
            findings.broke(Invariant::PendingIsHeld, &message);
        }
        self.hold(record, ended.0, -ended.2, findings);
    }

    fn check_floor(&self, record: &Record<'_>, index: AccountIndex, findings: &mut Findings) {
        let Account { balance, pending, floor, .. } = self.accounts[index.0 as usize];
        if i128::from(balance) - i128::from(pending) < i128::from(floor) {
            let message = format!(
                "record {}: balance {balance} of {}, of which {pending} is held, is below its floor {floor}",
                record.sequence,
                self.ledger.account(index).name
            );
            findings.broke(Invariant::BalancesKeepFloors, &message);
        }
    }

    fn change(&mut self, record: &Record<'_>, index: AccountIndex, amount: i64, findings: &mut Findings) {
        let account = &mut self.accounts[index.0 as usize];
        account.balance = account.balance.wrapping_add(amount);
        self.sums[account.asset as usize] += i128::from(amount);
        let balance = account.balance;
        self.check_floor(record, index, findings);
        self.entries.push(Entry {
            sequence: record.sequence,
            account: index,
            amount,
            balance_after: balance,
        });
    }

    fn check_sums(&self, sequence: u64, findings: &mut Findings) {
        // There are a handful of assets, so looking at each costs nothing.
        for (asset, sum) in self.assets.iter().zip(&self.sums) {
            if *sum != 0 {
                let message =
                    format!("record {sequence}: the balances of all {asset} accounts add up to {sum}");
                findings.broke(Invariant::SumIsZero, &message);
            }
        }
    }

    fn check_generation(&mut self, generation: u64, findings: &mut Findings) {
        findings.checked(Invariant::GenerationsNeverFall, 1);
        if generation < self.generation {
            let message = format!("the generation of a record fell from {} to {generation}", self.generation);
            findings.broke(Invariant::GenerationsNeverFall, &message);
        }
        self.generation = self.generation.max(generation);
    }

    fn outcome(&mut self, record: &Record<'_>, findings: &mut Findings) -> Result<(), String> {
        for transaction in record.transactions() {
            let transaction = transaction.map_err(|error| error.to_string())?;
            let id = transaction.transaction_id;
            findings.checked(Invariant::OneEffectPerId, 1);
            let known = self.find(id).map(|known| known.sequence);
            // The id of an expiry is derived, and a client may have sent the same one before.
            if record.kind == CommandKind::ExpireTransfer && known.is_some() {
                continue;
            }
            if let Some(sequence) = known {
                let message = format!("record {} has the id {id} of record {sequence}", record.sequence);
                findings.broke(Invariant::OneEffectPerId, &message);
            }
            let ledger = &self.ledger;
            let name = |index: AccountIndex| -> &AccountName { ledger.account(index).name };
            let fingerprint = half(&transaction.fingerprint(name).0);
            let (sequence, result) = (record.sequence, transaction.result());
            let row = self.outcomes.push(KnownOutcome { id, fingerprint, sequence, result });
            self.ids.insert(&id, row);
        }
        Ok(())
    }
}

/// The first half of a fingerprint.
pub(crate) fn half(fingerprint: &[u8; 16]) -> u64 {
    let (first, _) = fingerprint.split_first_chunk::<8>().expect("16 bytes");
    u64::from_le_bytes(*first)
}
