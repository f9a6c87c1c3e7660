//! Read models with bounded memory: a second ledger for what is, windows and runs for what was.

use std::cell::RefCell;

use journal::SealBorder;
use ledger::{AccountIndex, AccountName, Asset, CommandKind, Digest, Ledger, Record, TransactionId};
use pipeline::{DurableBatch, Fold, LogIdentity, Lookup, SnapshotWriter};
use projection::history::Chunks;
use projection::{Counts, Found, Settlement, Totals, TransactionRow};

use super::history::{History, RecordEntry, entries_of, settlement_id};
use super::keeper::Part;
use super::models::{EntryRow, ReadError};
use super::take::{Slice, Take};
use super::window::Place;
use crate::files::{LogShared, ReadBegin, RecordReader, Wanted};
use crate::runs::EntryAt;

/// Accounts that one turn of a snapshot writes at most.
pub(crate) const SLICE_ACCOUNTS: u32 = 8_192;

/// What a recovery folds the log into, beside the ledger.
pub(crate) struct Rebuilt {
    pub(crate) totals: Totals,
    pub(crate) counts: Counts,
    pub(crate) names: Chunks<AccountName>,
    pub(crate) history: History,
    /// Records of which ids are looked for twice; by a reader of the files that are recovered.
    pub(crate) records: RefCell<RecordReader>,
}

/// The read models of a running server.
pub(crate) struct Windowed {
    identity: LogIdentity,
    ledger: Ledger,
    rebuilt: Rebuilt,
    border: Option<SealBorder>,
    log: LogShared,
    /// Records between two snapshots on disk, at least.
    snapshot_records: u64,
    /// The last snapshot that was begun.
    snapshot_at: u64,
    /// The snapshot that goes to disk now.
    take: Option<Box<Take>>,
    /// Snapshots that go to clients, each with its number.
    streams: Vec<(u64, Box<Take>)>,
    streams_begun: u64,
}

impl Fold for Rebuilt {
    fn sequence_of(&self, id: &TransactionId) -> Option<u64> {
        // What cannot be read says nothing against the record at hand; a damaged run is told when it is asked again.
        let candidates = self.history.find(id).unwrap_or_default();
        candidates.into_iter().find_map(|at_byte| {
            let mut records = self.records.borrow_mut();
            let record = records.read(at_byte).ok()?;
            record.transactions().flatten().any(|one| one.transaction_id == *id).then_some(record.sequence)
        })
    }

    fn fold(&mut self, ledger: &Ledger, record: &Record<'_>, at_byte: u64) {
        if self.history.is_window_full() {
            self.history.settle();
            self.history.rotate(Place { sequence: record.sequence, byte: at_byte });
        }
        self.take(ledger, record, at_byte);
    }
}

impl Rebuilt {
    fn take(&mut self, ledger: &Ledger, record: &Record<'_>, at_byte: u64) {
        for index in self.names.len()..ledger.accounts_count() {
            self.names.push(ledger.account(AccountIndex(index)).name.clone());
        }
        self.totals.fold(record);
        self.counts.fold(record, |index| ledger.account(index).name);
        self.history.push(ledger, record, at_byte);
    }
}

impl Windowed {
    /// Goes on behind a recovery. The ledger is a second one, as of the same record.
    pub(crate) fn new(begin: ReadBegin<Rebuilt>, ledger: Ledger, snapshot_records: u64) -> Windowed {
        let ReadBegin { models: rebuilt, log, identity, border, digest: _ } = begin;
        let snapshot_at = rebuilt.history.kept().covered().sequence;
        Windowed {
            identity,
            ledger,
            rebuilt,
            border,
            log,
            snapshot_records,
            snapshot_at,
            take: None,
            streams: Vec::new(),
            streams_begun: 0,
        }
    }

    pub(crate) fn log(&self) -> &LogShared {
        &self.log
    }

    pub(crate) fn border(&self) -> Option<SealBorder> {
        self.border
    }

    pub(crate) fn identity(&self) -> LogIdentity {
        self.identity
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.rebuilt.counts
    }

    pub(crate) fn totals(&self) -> Vec<(Asset, i128)> {
        self.rebuilt.totals.balances_total()
    }

    pub(crate) fn history(&self) -> &History {
        &self.rebuilt.history
    }

    /// Takes batches in, and lets the readers of the log see them.
    pub(crate) fn fold(&mut self, batches: impl IntoIterator<Item = DurableBatch>, store_bytes: u64) {
        for batch in batches {
            for (record, at_byte) in batch.records() {
                for take in self.take.iter_mut().chain(self.streams.iter_mut().map(|(_, take)| take)) {
                    take.before(&self.ledger, record.events);
                }
                for event in record.events {
                    self.ledger.apply(event);
                }
                self.rebuilt.take(&self.ledger, &record, at_byte);
            }
            self.border = Some(batch.border);
            debug_assert_eq!(self.ledger.digest(), batch.digest);
            let end = Place { sequence: batch.border.next_sequence, byte: batch.border.bytes };
            self.rotate_if_due(end);
        }
        if let Some(border) = &self.border {
            self.log.publish(border, store_bytes, &self.rebuilt.names);
        }
    }

    fn rotate_if_due(&mut self, end: Place) {
        let history = &mut self.rebuilt.history;
        history.settle();
        if !history.is_window_full() || !history.rotate(end) {
            return;
        }
        let is_due = end.sequence >= self.snapshot_at + self.snapshot_records;
        if is_due && self.take.is_none() {
            self.snapshot_at = end.sequence;
            let (take, first) = self.begin_take();
            self.rebuilt.history.keeper().write_index(end.sequence, self.log.index_bytes());
            self.rebuilt.history.keeper().write_snapshot(end.sequence, first, Part::First);
            self.take = Some(take);
        }
    }

    /// A snapshot as of now, with its first piece.
    pub(crate) fn begin_take(&self) -> (Box<Take>, Vec<u8>) {
        let mut first = Vec::new();
        let writer = SnapshotWriter::begin(
            &self.identity,
            self.border.as_ref(),
            self.ledger.digest(),
            &self.rebuilt.counts,
            self.ledger.assets(),
            self.ledger.accounts_count(),
            &mut first,
        );
        (Box::new(Take::new(self.checkpoint(), writer, &self.ledger)), first)
    }

    /// Writes a slice of the snapshot that goes to disk, if there is one and the disk takes it. Says whether to come again.
    pub(crate) fn work(&mut self) -> bool {
        if !self.rebuilt.history.keeper().takes_pieces() {
            return false;
        }
        let Some(take) = self.take.take() else { return false };
        let (sequence, keeper) = (take.sequence(), self.rebuilt.history.keeper());
        match take.slice(&self.ledger, SLICE_ACCOUNTS) {
            Slice::Piece(take, piece) => {
                keeper.write_snapshot(sequence, piece, Part::Middle);
                self.take = Some(take);
                true
            }
            Slice::Last(piece) => {
                keeper.write_snapshot(sequence, piece, Part::Last);
                false
            }
        }
    }

    /// Begins a snapshot for a client, as of now.
    pub(crate) fn begin_stream(&mut self) -> (u64, Vec<u8>) {
        let (take, first) = self.begin_take();
        let number = self.streams_begun;
        self.streams_begun += 1;
        self.streams.push((number, take));
        (number, first)
    }

    /// The next piece of a client's snapshot; `None` after the last one.
    pub(crate) fn stream(&mut self, number: u64) -> Option<Vec<u8>> {
        let at = self.streams.iter().position(|(known, _)| *known == number)?;
        let (_, take) = self.streams.swap_remove(at);
        Some(match take.slice(&self.ledger, SLICE_ACCOUNTS) {
            Slice::Piece(take, piece) => {
                self.streams.push((number, take));
                piece
            }
            Slice::Last(piece) => piece,
        })
    }

    /// Lets go of a client's snapshot.
    pub(crate) fn end_stream(&mut self, number: u64) {
        self.streams.retain(|(known, _)| *known != number);
    }

    /// Every record with a smaller sequence is folded.
    pub(crate) fn checkpoint(&self) -> u64 {
        self.rebuilt.counts.checkpoint()
    }

    pub(crate) fn digest(&self) -> Digest {
        self.ledger.digest()
    }

    pub(crate) fn recorded_at(&self) -> u64 {
        self.border.map_or(0, |border| border.recorded_at.micros())
    }

    /// A run that is damaged is removed, so that the next start makes it again from the log.
    pub(crate) fn heal<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(ReadError::Run(damaged)) = &read {
            let kept = self.history().kept();
            // Each kind of runs removes its own.
            let removed = kept.ids.forget(damaged).and_then(|()| kept.entries.forget(damaged));
            if let Err(error) = removed {
                tracing::error!("{error}");
            }
        }
        read
    }

    /// Whether the id has an outcome.
    pub(crate) fn find(&mut self, transaction_id: TransactionId) -> Result<Lookup, ReadError> {
        let row = self.row(&transaction_id)?;
        Ok(match row {
            Some(TransactionRow { sequence, fingerprint, result, .. }) => {
                Lookup::TransactionFound { transaction_id, found: Found { sequence, fingerprint, result } }
            }
            None => Lookup::TransactionAbsent { transaction_id },
        })
    }

    /// The transaction with this id, and what became of it if it is a pending transfer.
    pub(crate) fn transaction(&mut self, id: &TransactionId) -> Result<Option<TransactionRow>, ReadError> {
        let Some(mut row) = self.row(id)? else { return Ok(None) };
        if row.is_opened_pending() {
            for at_byte in self.history().find(&settlement_id(id))? {
                let record = self.rebuilt.records.get_mut().read(at_byte)?;
                let name = |index| self.ledger.account(index).name;
                row.settlement = row.settlement.or_else(|| Settlement::of(&record, id, name));
            }
        }
        Ok(Some(row))
    }

    /// The id of an expiry is derived, and a client may have had the same one before: then that answer counts.
    fn row(&mut self, id: &TransactionId) -> Result<Option<TransactionRow>, ReadError> {
        let mut expiry = None;
        for at_byte in self.history().find(id)? {
            let record = self.rebuilt.records.get_mut().read(at_byte)?;
            let ledger = &self.ledger;
            match TransactionRow::of(&record, id, |index| ledger.account(index).name) {
                Some(row) if row.kind == CommandKind::ExpireTransfer => expiry = Some(row),
                Some(row) => return Ok(Some(row)),
                None => {}
            }
        }
        Ok(expiry)
    }

    /// At most `limit` entries of an account, the newest first, of records before the byte `before`, with the byte to ask
    /// with for older ones. Entries of one record are never torn apart, so there may be some more.
    pub(crate) fn entries(
        &mut self,
        account: AccountIndex,
        before: Option<u64>,
        limit: u32,
    ) -> Result<(Vec<EntryRow>, Option<u64>), ReadError> {
        let before = before.unwrap_or(u64::MAX);
        let mut wanted = limit as usize + 1;
        let mut found = self.history().entries_before(account, before, wanted)?;
        let first_byte = found.first().map(|entry| entry.at_byte);
        // A single record with more entries than a page has.
        while found.len() >= wanted && found.last().map(|entry| entry.at_byte) == first_byte {
            wanted *= 2;
            found = self.history().entries_before(account, before, wanted)?;
        }
        let more = found.len() >= wanted;
        if more {
            let cut = found.last().map(|entry| entry.at_byte);
            found.retain(|entry| Some(entry.at_byte) != cut);
        }
        let next = found.last().map(|entry| entry.at_byte).filter(|_| more);
        let mut rows = Vec::with_capacity(found.len());
        for group in found.chunk_by(|one, other| one.at_byte == other.at_byte) {
            self.resolve(account, group, &mut rows)?;
        }
        Ok((rows, next))
    }

    /// Reads the record of entries that are the account's newest ones in it.
    fn resolve(
        &mut self,
        account: AccountIndex,
        entries: &[EntryAt],
        rows: &mut Vec<EntryRow>,
    ) -> Result<(), ReadError> {
        let record = self.rebuilt.records.get_mut().read(entries[0].at_byte)?;
        let mut of_record: Vec<RecordEntry> = Vec::new();
        entries_of(&record, &mut of_record);
        // What remains is the opening of the account, which stands among the entries for its balance alone.
        let own = of_record.iter().rev().filter(|entry| entry.account == account);
        for (entry, at) in own.zip(entries) {
            let transaction = record.transactions().nth(entry.transaction);
            let transaction =
                transaction.and_then(Result::ok).ok_or_else(|| ReadError::unreadable(&record))?;
            let ledger = &self.ledger;
            rows.push(EntryRow {
                sequence: record.sequence,
                recorded_at: record.recorded_at,
                transaction_id: transaction.transaction_id,
                kind: transaction.kind(|index| ledger.account(index).name),
                counterparty: ledger.account(entry.counterparty).name.clone(),
                amount: entry.amount,
                balance_after: at.balance_after,
            });
        }
        Ok(())
    }

    /// The balance of an account right after the last record before what is given; `None` if there was no such account.
    pub(crate) fn balance_before(
        &mut self,
        account: AccountIndex,
        first_after: Wanted,
    ) -> Result<Option<i64>, ReadError> {
        let byte = self.rebuilt.records.get_mut().find(first_after)?;
        Ok(self.history().balance_before(account, byte)?)
    }
}
