//! Content kind 1, the ledger's log: how the events of a record become bytes and back (docs/LOG.md).

use alloc::boxed::Box;
use alloc::vec::Vec;
use journal::{Header, Seal};
use ledger::{AccountIndex, CommandKind, Event, Failure, Reason, TransactionId};

use crate::command_bytes::{Malformed, Reader, put_text};

/// The content kind of the ledger's log, in each log's header.
pub const CONTENT_KIND: u16 = 1;
/// The version of every record kind of this content.
pub const RECORD_VERSION: u8 = 1;

const ACCOUNT_OPENED: u8 = 1;
const MONEY_DEDUCTED: u8 = 2;
const MONEY_CREDITED: u8 = 3;
const TRANSACTION_FAILED: u8 = 4;

const HAS_FROM: u8 = 1;
const HAS_TO: u8 = 2;
const HAS_ASSET: u8 = 4;
const HAS_SCALE: u8 = 8;
const HAS_FLOOR: u8 = 16;

/// What names a log, in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// This log; another one after a reseal.
    pub log_id: [u8; 16],
    /// The ledger it belongs to.
    pub ledger_id: [u8; 16],
    /// The part of that ledger, 0 if there is only one.
    pub partition: u32,
}

/// The header of a new log.
pub(crate) fn header(identity: LogIdentity) -> Header {
    Header {
        log_id: identity.log_id,
        ledger_id: identity.ledger_id,
        partition: identity.partition,
        content: CONTENT_KIND,
        first_sequence: 0,
        previous_seal: Seal([0; 32]),
    }
}

/// Appends the payload of a record: its transactions, each with its events. Events of one transaction stand together.
pub fn encode_events(events: &[Event], payload: &mut Vec<u8>) {
    let same = |a: &Event, b: &Event| a.transaction_id() == b.transaction_id();
    let transactions = u16::try_from(events.chunk_by(same).count()).expect("a record holds few transactions");
    payload.extend_from_slice(&transactions.to_le_bytes());
    for transaction in events.chunk_by(same) {
        payload.extend_from_slice(&transaction[0].transaction_id().as_bytes()[..]);
        payload.push(u8::try_from(transaction.len()).expect("a transaction has few events"));
        for event in transaction {
            encode_event(event, payload);
        }
    }
}

fn encode_event(event: &Event, payload: &mut Vec<u8>) {
    match event {
        Event::AccountOpened { transaction_id: _, account, asset, scale, floor } => {
            payload.push(ACCOUNT_OPENED);
            put_text(account.as_str(), payload);
            put_text(asset.as_str(), payload);
            payload.push(*scale);
            payload.extend_from_slice(&floor.to_le_bytes());
        }
        Event::MoneyDeducted { transaction_id: _, account, amount } => {
            payload.push(MONEY_DEDUCTED);
            payload.extend_from_slice(&account.0.to_le_bytes());
            payload.extend_from_slice(&amount.to_le_bytes());
        }
        Event::MoneyCredited { transaction_id: _, account, amount } => {
            payload.push(MONEY_CREDITED);
            payload.extend_from_slice(&account.0.to_le_bytes());
            payload.extend_from_slice(&amount.to_le_bytes());
        }
        Event::TransactionFailed(failure) => {
            payload.push(TRANSACTION_FAILED);
            encode_failure(failure, payload);
        }
    }
}

fn encode_failure(failure: &Failure, payload: &mut Vec<u8>) {
    let bit = |present: bool, bit: u8| if present { bit } else { 0 };
    payload.push(failure.kind as u8);
    payload.push(failure.reason as u8);
    payload.push(
        bit(failure.from_account.is_some(), HAS_FROM)
            | bit(failure.to_account.is_some(), HAS_TO)
            | bit(failure.asset.is_some(), HAS_ASSET)
            | bit(failure.scale.is_some(), HAS_SCALE)
            | bit(failure.floor.is_some(), HAS_FLOOR),
    );
    payload.extend_from_slice(&failure.amount.to_le_bytes());
    for name in [&failure.from_account, &failure.to_account].into_iter().flatten() {
        put_text(name.as_str(), payload);
    }
    if let Some(asset) = &failure.asset {
        put_text(asset.as_str(), payload);
    }
    payload.extend(failure.scale);
    if let Some(floor) = failure.floor {
        payload.extend_from_slice(&floor.to_le_bytes());
    }
}

/// Reads what [`encode_events`] wrote, appending to `events`; all of `payload` must be used, and only the bytes that
/// `encode_events` would write are accepted.
pub fn decode_events(payload: &[u8], events: &mut Vec<Event>) -> Result<(), Malformed> {
    let mut reader = Reader::new(payload);
    let transactions = reader.u16("the number of transactions")?;
    if transactions == 0 {
        return Err(reader.malformed("at least one transaction"));
    }
    let mut previous = None;
    for _ in 0..transactions {
        let transaction_id = reader.transaction_id()?;
        if previous == Some(transaction_id) {
            return Err(reader.malformed("another transaction id than the one before"));
        }
        previous = Some(transaction_id);
        let count = reader.u8("the number of events")?;
        if count == 0 {
            return Err(reader.malformed("at least one event"));
        }
        for _ in 0..count {
            events.push(decode_event(transaction_id, &mut reader)?);
        }
    }
    reader.end()
}

fn decode_event(transaction_id: TransactionId, reader: &mut Reader<'_>) -> Result<Event, Malformed> {
    match reader.u8("an event type")? {
        ACCOUNT_OPENED => Ok(Event::AccountOpened {
            transaction_id,
            account: reader.account()?,
            asset: reader.asset()?,
            scale: reader.u8("a scale")?,
            floor: reader.i64("a floor")?,
        }),
        MONEY_DEDUCTED => {
            let account = AccountIndex(reader.u32("an account index")?);
            Ok(Event::MoneyDeducted { transaction_id, account, amount: reader.i64("an amount")? })
        }
        MONEY_CREDITED => {
            let account = AccountIndex(reader.u32("an account index")?);
            Ok(Event::MoneyCredited { transaction_id, account, amount: reader.i64("an amount")? })
        }
        TRANSACTION_FAILED => decode_failure(transaction_id, reader),
        _ => Err(reader.malformed("a known event type")),
    }
}

fn decode_failure(transaction_id: TransactionId, reader: &mut Reader<'_>) -> Result<Event, Malformed> {
    let kind =
        CommandKind::from_u8(reader.u8("a command kind")?).ok_or(reader.malformed("a command kind"))?;
    let reason = Reason::from_u8(reader.u8("a reason")?).ok_or(reader.malformed("a known reason"))?;
    let present = reader.u8("the presence bits")?;
    if present & !(HAS_FROM | HAS_TO | HAS_ASSET | HAS_SCALE | HAS_FLOOR) != 0 {
        return Err(reader.malformed("known presence bits"));
    }
    let has = |bit: u8| present & bit != 0;
    Ok(Event::TransactionFailed(Box::new(Failure {
        transaction_id,
        kind,
        reason,
        amount: reader.i64("an amount")?,
        from_account: has(HAS_FROM).then(|| reader.account()).transpose()?,
        to_account: has(HAS_TO).then(|| reader.account()).transpose()?,
        asset: has(HAS_ASSET).then(|| reader.asset()).transpose()?,
        scale: has(HAS_SCALE).then(|| reader.u8("a scale")).transpose()?,
        floor: has(HAS_FLOOR).then(|| reader.i64("a floor")).transpose()?,
    })))
}
