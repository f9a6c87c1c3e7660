//! Content kind 1, the ledger's log: how the events of a record become bytes and back (docs/LOG.md).

use alloc::boxed::Box;
use alloc::vec::Vec;
use journal::{Header, Seal};
use ledger::{AccountIndex, CommandKind, Event, Failure, Metadata, Reason, TransactionId};

use crate::command_bytes::{Malformed, Reader, put_long_text, put_text, put_time};
use crate::metadata::canonical_metadata;

/// The content kind of the ledger's log, in each log's header.
pub const CONTENT_KIND: u16 = 1;
/// The version of every record kind of this content.
pub const RECORD_VERSION: u8 = 1;

const ACCOUNT_OPENED: u8 = 1;
const MONEY_DEDUCTED: u8 = 2;
const MONEY_CREDITED: u8 = 3;
/// Of the commands of the first version, which all have an amount and no more than the first five fields.
const TRANSACTION_FAILED: u8 = 4;
const TRANSFER_PENDING: u8 = 5;
const TRANSFER_POSTED: u8 = 6;
const TRANSFER_VOIDED: u8 = 7;
const TRANSFER_EXPIRED: u8 = 8;
const FLOOR_CHANGED: u8 = 9;
const METADATA_ATTACHED: u8 = 10;
/// Of all other commands.
const TRANSACTION_FAILED_WIDE: u8 = 11;

const HAS_FROM: u16 = 1;
const HAS_TO: u16 = 2;
const HAS_ASSET: u16 = 4;
const HAS_SCALE: u16 = 8;
const HAS_FLOOR: u16 = 16;
const HAS_AMOUNT: u16 = 32;
const HAS_PENDING_ID: u16 = 64;
const HAS_EXPIRES_AT: u16 = 128;
const HAS_METADATA: u16 = 256;

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
        Event::TransferPending { transaction_id: _, from_account, to_account, amount, expires_at } => {
            payload.push(TRANSFER_PENDING);
            encode_sides(*from_account, *to_account, *amount, payload);
            put_time(*expires_at, payload);
        }
        Event::TransferPosted {
            transaction_id: _,
            pending_id,
            from_account,
            to_account,
            amount,
            pending_amount,
            asked_amount,
        } => {
            payload.push(TRANSFER_POSTED);
            payload.extend_from_slice(&pending_id.as_bytes()[..]);
            encode_sides(*from_account, *to_account, *amount, payload);
            payload.extend_from_slice(&pending_amount.to_le_bytes());
            // What was asked is what moved, so it is enough to know that it was.
            payload.push(u8::from(asked_amount.is_some()));
        }
        Event::TransferVoided { transaction_id: _, pending_id, from_account, to_account, amount } => {
            payload.push(TRANSFER_VOIDED);
            payload.extend_from_slice(&pending_id.as_bytes()[..]);
            encode_sides(*from_account, *to_account, *amount, payload);
        }
        Event::TransferExpired { transaction_id: _, pending_id, from_account, to_account, amount } => {
            payload.push(TRANSFER_EXPIRED);
            payload.extend_from_slice(&pending_id.as_bytes()[..]);
            encode_sides(*from_account, *to_account, *amount, payload);
        }
        Event::FloorChanged { transaction_id: _, account, floor } => {
            payload.push(FLOOR_CHANGED);
            payload.extend_from_slice(&account.0.to_le_bytes());
            payload.extend_from_slice(&floor.to_le_bytes());
        }
        Event::MetadataAttached { transaction_id: _, metadata } => {
            payload.push(METADATA_ATTACHED);
            put_long_text(metadata.as_str(), payload);
        }
        Event::TransactionFailed(failure) => encode_failure(failure, payload),
    }
}

fn encode_sides(from: AccountIndex, to: AccountIndex, amount: i64, payload: &mut Vec<u8>) {
    payload.extend_from_slice(&from.0.to_le_bytes());
    payload.extend_from_slice(&to.0.to_le_bytes());
    payload.extend_from_slice(&amount.to_le_bytes());
}

/// Whether a refusal has the form that refusals had from the first version on.
fn is_narrow(kind: CommandKind, has_metadata: Presence) -> bool {
    let first = matches!(
        kind,
        CommandKind::OpenAccount | CommandKind::Transfer | CommandKind::Deposit | CommandKind::Withdrawal
    );
    first && has_metadata == Presence::Absent
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Absent,
    Present,
}

impl Presence {
    fn of<T>(field: &Option<T>) -> Presence {
        if field.is_some() { Presence::Present } else { Presence::Absent }
    }
}

fn encode_failure(failure: &Failure, payload: &mut Vec<u8>) {
    let bit = |present: bool, bit: u16| if present { bit } else { 0 };
    let names = bit(failure.from_account.is_some(), HAS_FROM)
        | bit(failure.to_account.is_some(), HAS_TO)
        | bit(failure.asset.is_some(), HAS_ASSET)
        | bit(failure.scale.is_some(), HAS_SCALE)
        | bit(failure.floor.is_some(), HAS_FLOOR);
    let more = bit(failure.amount.is_some(), HAS_AMOUNT)
        | bit(failure.pending_id.is_some(), HAS_PENDING_ID)
        | bit(failure.expires_at.is_some(), HAS_EXPIRES_AT)
        | bit(failure.metadata.is_some(), HAS_METADATA);
    let is_narrow = is_narrow(failure.kind, Presence::of(&failure.metadata)) && more == HAS_AMOUNT;
    payload.push(if is_narrow { TRANSACTION_FAILED } else { TRANSACTION_FAILED_WIDE });
    payload.push(failure.kind as u8);
    payload.push(failure.reason as u8);
    if is_narrow {
        payload.extend_from_slice(&names.to_le_bytes()[..1]);
        payload.extend_from_slice(&failure.amount.unwrap_or(0).to_le_bytes());
    } else {
        payload.extend_from_slice(&(names | more).to_le_bytes());
    }
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
    if is_narrow {
        return;
    }
    if let Some(amount) = failure.amount {
        payload.extend_from_slice(&amount.to_le_bytes());
    }
    if let Some(pending_id) = failure.pending_id {
        payload.extend_from_slice(&pending_id.as_bytes()[..]);
    }
    if let Some(expires_at) = failure.expires_at {
        payload.extend_from_slice(&expires_at.micros().to_le_bytes());
    }
    if let Some(metadata) = &failure.metadata {
        put_long_text(metadata.as_str(), payload);
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
        TRANSFER_PENDING => {
            let (from_account, to_account, amount) = decode_sides(reader)?;
            let expires_at = reader.optional_time()?;
            Ok(Event::TransferPending { transaction_id, from_account, to_account, amount, expires_at })
        }
        TRANSFER_POSTED => {
            let pending_id = reader.transaction_id()?;
            let (from_account, to_account, amount) = decode_sides(reader)?;
            let pending_amount = reader.i64("an amount")?;
            let asked_amount = match reader.u8("a flag")? {
                0 => None,
                1 => Some(amount),
                _ => return Err(reader.malformed("a flag")),
            };
            Ok(Event::TransferPosted {
                transaction_id,
                pending_id,
                from_account,
                to_account,
                amount,
                pending_amount,
                asked_amount,
            })
        }
        TRANSFER_VOIDED => {
            let pending_id = reader.transaction_id()?;
            let (from_account, to_account, amount) = decode_sides(reader)?;
            Ok(Event::TransferVoided { transaction_id, pending_id, from_account, to_account, amount })
        }
        TRANSFER_EXPIRED => {
            let pending_id = reader.transaction_id()?;
            let (from_account, to_account, amount) = decode_sides(reader)?;
            Ok(Event::TransferExpired { transaction_id, pending_id, from_account, to_account, amount })
        }
        FLOOR_CHANGED => {
            let account = AccountIndex(reader.u32("an account index")?);
            Ok(Event::FloorChanged { transaction_id, account, floor: reader.i64("a floor")? })
        }
        METADATA_ATTACHED => {
            Ok(Event::MetadataAttached { transaction_id, metadata: decode_metadata(reader)? })
        }
        TRANSACTION_FAILED => decode_failure(transaction_id, reader),
        TRANSACTION_FAILED_WIDE => decode_failure_wide(transaction_id, reader),
        _ => Err(reader.malformed("a known event type")),
    }
}

fn decode_sides(reader: &mut Reader<'_>) -> Result<(AccountIndex, AccountIndex, i64), Malformed> {
    let from = AccountIndex(reader.u32("an account index")?);
    let to = AccountIndex(reader.u32("an account index")?);
    Ok((from, to, reader.i64("an amount")?))
}

fn decode_metadata(reader: &mut Reader<'_>) -> Result<Metadata, Malformed> {
    let text = reader.long_text("metadata")?;
    canonical_metadata(text).ok_or(reader.malformed("metadata in canonical form"))
}

/// Kind and reason.
fn decode_refusal(reader: &mut Reader<'_>) -> Result<(CommandKind, Reason), Malformed> {
    let kind =
        CommandKind::from_u8(reader.u8("a command kind")?).ok_or(reader.malformed("a command kind"))?;
    let reason = Reason::from_u8(reader.u8("a reason")?).ok_or(reader.malformed("a known reason"))?;
    Ok((kind, reason))
}

fn decode_failure(transaction_id: TransactionId, reader: &mut Reader<'_>) -> Result<Event, Malformed> {
    let (kind, reason) = decode_refusal(reader)?;
    if !is_narrow(kind, Presence::Absent) {
        return Err(reader.malformed("a command of the first four kinds"));
    }
    let present = u16::from(reader.u8("the presence bits")?);
    if present & !(HAS_FROM | HAS_TO | HAS_ASSET | HAS_SCALE | HAS_FLOOR) != 0 {
        return Err(reader.malformed("known presence bits"));
    }
    let amount = Some(reader.i64("an amount")?);
    let blank = Failure { amount, ..Failure::blank(transaction_id, kind, reason) };
    decode_names(present, blank, reader).map(|failure| Event::TransactionFailed(Box::new(failure)))
}

fn decode_failure_wide(transaction_id: TransactionId, reader: &mut Reader<'_>) -> Result<Event, Malformed> {
    let (kind, reason) = decode_refusal(reader)?;
    let present = reader.u16("the presence bits")?;
    if present >= HAS_METADATA << 1 {
        return Err(reader.malformed("known presence bits"));
    }
    let blank = Failure::blank(transaction_id, kind, reason);
    let names = decode_names(present, blank, reader)?;
    let has = |bit: u16| present & bit != 0;
    let failure = Failure {
        amount: has(HAS_AMOUNT).then(|| reader.i64("an amount")).transpose()?,
        pending_id: has(HAS_PENDING_ID).then(|| reader.transaction_id()).transpose()?,
        expires_at: has(HAS_EXPIRES_AT).then(|| reader.time()).transpose()?,
        metadata: has(HAS_METADATA).then(|| decode_metadata(reader)).transpose()?,
        ..names
    };
    // One refusal has one form.
    if is_narrow(kind, Presence::of(&failure.metadata))
        && failure.amount.is_some()
        && failure.pending_id.is_none()
        && failure.expires_at.is_none()
    {
        return Err(reader.malformed("a refusal that needs this form"));
    }
    Ok(Event::TransactionFailed(Box::new(failure)))
}

/// The fields that refusals had from the first version on, but the amount.
fn decode_names(present: u16, blank: Failure, reader: &mut Reader<'_>) -> Result<Failure, Malformed> {
    let has = |bit: u16| present & bit != 0;
    Ok(Failure {
        from_account: has(HAS_FROM).then(|| reader.account()).transpose()?,
        to_account: has(HAS_TO).then(|| reader.account()).transpose()?,
        asset: has(HAS_ASSET).then(|| reader.asset()).transpose()?,
        scale: has(HAS_SCALE).then(|| reader.u8("a scale")).transpose()?,
        floor: has(HAS_FLOOR).then(|| reader.i64("a floor")).transpose()?,
        ..blank
    })
}
