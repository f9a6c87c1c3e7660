//! The ledger's records in the JSON Lines form: the same events with names instead of account numbers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::str::FromStr;

use journal::{Content, ContentError, EventFields, EventsWriter, FieldsWriter, RecordKind, RecordMeta};
use ledger::{AccountIndex, AccountName, CommandKind, Event, Failure, Metadata, Reason, TransactionId};
use projection::history::Chunks;
use time::Timestamp;

use crate::content::{CONTENT_KIND, RECORD_VERSION, decode_events, encode_events};
use crate::metadata::parse_metadata;
use crate::replay::known_kind;

/// Content kind 1 for [`journal::ToLines`] and [`journal::FromLines`]. It interns account names as they are opened,
/// so one value serves one log, from its first record on or from where [`LedgerContent::resume`] says.
#[derive(Clone, Debug, Default)]
pub struct LedgerContent {
    /// By account number. There may be more than are open: a log that is read again knows what comes.
    names: Chunks<AccountName>,
    /// How many accounts are open at the record that comes.
    opened: u32,
    /// The numbers of the first names, as many as it has: all of them from when one is looked for.
    indexes: BTreeMap<AccountName, AccountIndex>,
    events: Vec<Event>,
}

impl Content for LedgerContent {
    const KIND: u16 = CONTENT_KIND;
    const NAME: &'static str = "ledger";

    fn write_events(
        &mut self,
        meta: &RecordMeta,
        payload: &[u8],
        writer: &mut EventsWriter,
    ) -> Result<&'static str, ContentError> {
        let kind = known_kind(meta.kind, meta.kind_version)
            .ok_or(ContentError::UnknownKind { kind: meta.kind, version: meta.kind_version })?;
        let mut events = core::mem::take(&mut self.events);
        events.clear();
        decode_events(payload, &mut events).map_err(|error| ContentError::Payload(error.to_string()))?;
        for (index, event) in (0..).zip(&events) {
            self.write_event(kind, event, writer)
                .map_err(|message| ContentError::Event { index, message })?;
        }
        self.events = events;
        Ok(kind.as_str())
    }

    fn read_events(
        &mut self,
        kind: &str,
        fields: &mut [EventFields],
        payload: &mut Vec<u8>,
    ) -> Result<RecordKind, ContentError> {
        let kind =
            CommandKind::from_str(kind).map_err(|_| ContentError::UnknownKindName(kind.to_string()))?;
        let mut events = core::mem::take(&mut self.events);
        events.clear();
        for fields in fields {
            events.push(self.read_event(kind, fields)?);
        }
        encode_events(&events, payload);
        self.events = events;
        Ok(RecordKind { kind: u16::from(kind.as_u8()), version: RECORD_VERSION })
    }
}

impl LedgerContent {
    /// The content of a log whose first records were read elsewhere: they opened the first `opened` of these accounts,
    /// which stand in the order of their numbers. Names beyond those are what the records to come open; an opening of
    /// another name is refused. Costs O(1).
    ///
    /// # Panics
    /// If there are fewer names than open accounts.
    pub fn resume(names: Chunks<AccountName>, opened: u32) -> LedgerContent {
        assert!(opened <= names.len(), "every open account has a name");
        LedgerContent { names, opened, ..LedgerContent::default() }
    }

    /// The names of all accounts known, by number. A clone of them costs O(1).
    pub fn names(&self) -> &Chunks<AccountName> {
        &self.names
    }

    /// How many accounts are open behind the records so far.
    pub fn opened(&self) -> u32 {
        self.opened
    }

    fn write_event(
        &mut self,
        kind: CommandKind,
        event: &Event,
        writer: &mut EventsWriter,
    ) -> Result<(), String> {
        let mut fields = writer.event(event.name());
        fields.text("transaction_id", &event.transaction_id().to_string());
        match event {
            Event::AccountOpened { transaction_id: _, account, asset, scale, floor } => {
                self.intern(account.clone())?;
                fields
                    .text("account", account.as_str())
                    .text("asset", asset.as_str())
                    .u64("scale", u64::from(*scale))
                    .i64("floor", *floor);
            }
            Event::MoneyDeducted { transaction_id: _, account, amount }
            | Event::MoneyCredited { transaction_id: _, account, amount } => {
                fields.text("account", self.name(*account)?).i64("amount", *amount);
            }
            Event::TransferPending { transaction_id: _, from_account, to_account, amount, expires_at } => {
                fields
                    .text("from_account", self.name(*from_account)?)
                    .text("to_account", self.name(*to_account)?)
                    .i64("amount", *amount);
                if let Some(expires_at) = expires_at {
                    fields.u64("expires_at", expires_at.micros());
                }
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
                fields
                    .text("pending_id", &pending_id.to_string())
                    .text("from_account", self.name(*from_account)?)
                    .text("to_account", self.name(*to_account)?)
                    .i64("amount", *amount)
                    .i64("pending_amount", *pending_amount);
                if let Some(asked_amount) = asked_amount {
                    fields.i64("asked_amount", *asked_amount);
                }
            }
            Event::TransferVoided { transaction_id: _, pending_id, from_account, to_account, amount }
            | Event::TransferExpired { transaction_id: _, pending_id, from_account, to_account, amount } => {
                fields
                    .text("pending_id", &pending_id.to_string())
                    .text("from_account", self.name(*from_account)?)
                    .text("to_account", self.name(*to_account)?)
                    .i64("amount", *amount);
            }
            Event::FloorChanged { transaction_id: _, account, floor } => {
                fields.text("account", self.name(*account)?).i64("floor", *floor);
            }
            Event::MetadataAttached { transaction_id: _, metadata } => {
                fields.json("metadata", metadata.as_str());
            }
            Event::TransactionFailed(failure) => write_failure(kind, failure, &mut fields)?,
        }
        Ok(())
    }

    /// The name of an account that is open at this record.
    fn name(&self, account: AccountIndex) -> Result<&str, String> {
        let name = self.names.at(account.0).filter(|_| account.0 < self.opened);
        name.map(AccountName::as_str).ok_or_else(|| {
            format!("account number {} is not opened; {} accounts are", account.0, self.opened)
        })
    }

    fn read_event(&mut self, kind: CommandKind, fields: &mut EventFields) -> Result<Event, ContentError> {
        let transaction_id: TransactionId = parse(fields, "transaction_id")?;
        match fields.type_name() {
            "AccountOpened" => {
                let account: AccountName = parse(fields, "account")?;
                self.intern(account.clone()).map_err(|message| fields.error(message))?;
                Ok(Event::AccountOpened {
                    transaction_id,
                    account,
                    asset: parse(fields, "asset")?,
                    scale: fields.integer("scale")?,
                    floor: fields.integer("floor")?,
                })
            }
            "MoneyDeducted" => {
                let account = self.account(fields, "account")?;
                Ok(Event::MoneyDeducted { transaction_id, account, amount: fields.integer("amount")? })
            }
            "MoneyCredited" => {
                let account = self.account(fields, "account")?;
                Ok(Event::MoneyCredited { transaction_id, account, amount: fields.integer("amount")? })
            }
            "TransferPending" => Ok(Event::TransferPending {
                transaction_id,
                from_account: self.account(fields, "from_account")?,
                to_account: self.account(fields, "to_account")?,
                amount: fields.integer("amount")?,
                expires_at: optional_time(fields, "expires_at")?,
            }),
            "TransferPosted" => Ok(Event::TransferPosted {
                transaction_id,
                pending_id: parse(fields, "pending_id")?,
                from_account: self.account(fields, "from_account")?,
                to_account: self.account(fields, "to_account")?,
                amount: fields.integer("amount")?,
                pending_amount: fields.integer("pending_amount")?,
                asked_amount: fields.optional_integer("asked_amount")?,
            })
            .and_then(|event| checked_post(event, fields)),
            "TransferVoided" => Ok(Event::TransferVoided {
                transaction_id,
                pending_id: parse(fields, "pending_id")?,
                from_account: self.account(fields, "from_account")?,
                to_account: self.account(fields, "to_account")?,
                amount: fields.integer("amount")?,
            }),
            "TransferExpired" => Ok(Event::TransferExpired {
                transaction_id,
                pending_id: parse(fields, "pending_id")?,
                from_account: self.account(fields, "from_account")?,
                to_account: self.account(fields, "to_account")?,
                amount: fields.integer("amount")?,
            }),
            "FloorChanged" => Ok(Event::FloorChanged {
                transaction_id,
                account: self.account(fields, "account")?,
                floor: fields.integer("floor")?,
            }),
            "MetadataAttached" => match optional_metadata(fields)? {
                Some(metadata) => Ok(Event::MetadataAttached { transaction_id, metadata }),
                None => Err(fields.error("field `metadata` is missing")),
            },
            "TransactionFailed" => read_failure(kind, transaction_id, fields),
            other => Err(fields.error(format!("type `{other}` is unknown"))),
        }
    }

    fn account(&mut self, fields: &mut EventFields, field: &str) -> Result<AccountIndex, ContentError> {
        let name: AccountName = parse(fields, field)?;
        self.index_names();
        let index = self.indexes.get(&name).copied().filter(|index| index.0 < self.opened);
        index.ok_or_else(|| fields.error(format!("account `{}` is not opened before", name.as_str())))
    }

    fn intern(&mut self, name: AccountName) -> Result<(), String> {
        let Some(opened) = self.opened.checked_add(1) else {
            return Err(format!("more than {} accounts", u32::MAX));
        };
        match self.names.at(self.opened) {
            Some(known) if *known == name => {}
            Some(known) => {
                let (number, name, known) = (self.opened, name.as_str(), known.as_str());
                return Err(format!("account number {number} is `{name}`, but it is known as `{known}`"));
            }
            None => {
                self.index_names();
                if self.indexes.insert(name.clone(), AccountIndex(self.opened)).is_some() {
                    return Err(format!("account `{}` is opened twice", name.as_str()));
                }
                self.names.push(name);
            }
        }
        self.opened = opened;
        Ok(())
    }

    /// Names that were given and not read get their numbers when they are first needed.
    fn index_names(&mut self) {
        let indexed = u32::try_from(self.indexes.len()).unwrap_or(u32::MAX);
        for number in indexed..self.names.len() {
            let name = self.names.at(number).expect("every number below the length has a name").clone();
            self.indexes.insert(name, AccountIndex(number));
        }
    }
}

fn write_failure(kind: CommandKind, failure: &Failure, fields: &mut FieldsWriter<'_>) -> Result<(), String> {
    if kind == CommandKind::Linked {
        fields.text("member_kind", failure.kind.as_str());
    } else if failure.kind != kind {
        return Err(format!("a failed {} in a record of {}", failure.kind.as_str(), kind.as_str()));
    }
    if let Some(pending_id) = &failure.pending_id {
        fields.text("pending_id", &pending_id.to_string());
    }
    for (field, name) in [("from_account", &failure.from_account), ("to_account", &failure.to_account)] {
        if let Some(name) = name {
            fields.text(field, name.as_str());
        }
    }
    if let Some(amount) = failure.amount {
        fields.i64("amount", amount);
    }
    if let Some(expires_at) = failure.expires_at {
        fields.u64("expires_at", expires_at.micros());
    }
    if let Some(asset) = &failure.asset {
        fields.text("asset", asset.as_str());
    }
    if let Some(scale) = failure.scale {
        fields.u64("scale", u64::from(scale));
    }
    if let Some(floor) = failure.floor {
        fields.i64("floor", floor);
    }
    if let Some(metadata) = &failure.metadata {
        fields.json("metadata", metadata.as_str());
    }
    fields.text("reason", failure.reason.as_str());
    Ok(())
}

fn read_failure(
    kind: CommandKind,
    transaction_id: TransactionId,
    fields: &mut EventFields,
) -> Result<Event, ContentError> {
    let kind = if kind == CommandKind::Linked { parse(fields, "member_kind")? } else { kind };
    let reason: Reason = parse(fields, "reason")?;
    Ok(Event::TransactionFailed(Box::new(Failure {
        from_account: parse_optional(fields, "from_account")?,
        to_account: parse_optional(fields, "to_account")?,
        amount: fields.optional_integer("amount")?,
        asset: parse_optional(fields, "asset")?,
        scale: fields.optional_integer("scale")?,
        floor: fields.optional_integer("floor")?,
        pending_id: parse_optional(fields, "pending_id")?,
        expires_at: optional_time(fields, "expires_at")?,
        metadata: optional_metadata(fields)?,
        ..Failure::blank(transaction_id, kind, reason)
    })))
}

/// What was asked for is what moved: the binary form keeps only that something was asked.
fn checked_post(event: Event, fields: &EventFields) -> Result<Event, ContentError> {
    if let Event::TransferPosted { amount, asked_amount: Some(asked), .. } = &event
        && asked != amount
    {
        return Err(fields.error(format!("field `asked_amount` is {asked}, but the amount is {amount}")));
    }
    Ok(event)
}

fn optional_time(fields: &mut EventFields, name: &str) -> Result<Option<Timestamp>, ContentError> {
    match fields.optional_integer::<u64>(name)? {
        None => Ok(None),
        Some(micros) => Timestamp::from_micros(micros)
            .map(Some)
            .ok_or_else(|| fields.error(format!("field `{name}` is {micros}, expected less than 2^53"))),
    }
}

fn optional_metadata(fields: &mut EventFields) -> Result<Option<Metadata>, ContentError> {
    match fields.optional_json("metadata")? {
        None => Ok(None),
        Some(text) => parse_metadata(&text).map(Some).map_err(|error| fields.error(error.to_string())),
    }
}

fn parse<T: FromStr<Err: core::fmt::Display>>(
    fields: &mut EventFields,
    name: &str,
) -> Result<T, ContentError> {
    let text = fields.text(name)?;
    text.parse().map_err(|error| fields.error(format!("field `{name}`: {error}")))
}

fn parse_optional<T: FromStr<Err: core::fmt::Display>>(
    fields: &mut EventFields,
    name: &str,
) -> Result<Option<T>, ContentError> {
    match fields.optional_text(name)? {
        None => Ok(None),
        Some(text) => {
            text.parse().map(Some).map_err(|error| fields.error(format!("field `{name}`: {error}")))
        }
    }
}
