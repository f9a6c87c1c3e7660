//! The ledger's records in the JSON Lines form: the same events with names instead of account numbers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::str::FromStr;

use journal::{Content, ContentError, EventFields, EventsWriter, RecordKind, RecordMeta};
use ledger::{AccountIndex, AccountName, CommandKind, Event, Failure, Reason, TransactionId};
use projection::history::Chunks;

use crate::content::{CONTENT_KIND, RECORD_VERSION, decode_events, encode_events};
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
    ) -> Result<(), alloc::string::String> {
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
                let name = self.names.at(account.0).filter(|_| account.0 < self.opened);
                let name = name.ok_or_else(|| {
                    format!("account number {} is not opened; {} accounts are", account.0, self.opened)
                })?;
                fields.text("account", name.as_str()).i64("amount", *amount);
            }
            Event::TransactionFailed(failure) => {
                if failure.kind != kind {
                    return Err(format!(
                        "a failed {} in a record of {}",
                        failure.kind.as_str(),
                        kind.as_str()
                    ));
                }
                for (field, name) in
                    [("from_account", &failure.from_account), ("to_account", &failure.to_account)]
                {
                    if let Some(name) = name {
                        fields.text(field, name.as_str());
                    }
                }
                fields.i64("amount", failure.amount);
                if let Some(asset) = &failure.asset {
                    fields.text("asset", asset.as_str());
                }
                if let Some(scale) = failure.scale {
                    fields.u64("scale", u64::from(scale));
                }
                if let Some(floor) = failure.floor {
                    fields.i64("floor", floor);
                }
                fields.text("reason", failure.reason.as_str());
            }
        }
        Ok(())
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
                let account = self.account(fields)?;
                Ok(Event::MoneyDeducted { transaction_id, account, amount: fields.integer("amount")? })
            }
            "MoneyCredited" => {
                let account = self.account(fields)?;
                Ok(Event::MoneyCredited { transaction_id, account, amount: fields.integer("amount")? })
            }
            "TransactionFailed" => Ok(Event::TransactionFailed(Box::new(Failure {
                transaction_id,
                kind,
                from_account: parse_optional(fields, "from_account")?,
                to_account: parse_optional(fields, "to_account")?,
                amount: fields.integer("amount")?,
                asset: parse_optional(fields, "asset")?,
                scale: fields.optional_integer("scale")?,
                floor: fields.optional_integer("floor")?,
                reason: parse::<Reason>(fields, "reason")?,
            }))),
            other => Err(fields.error(format!("type `{other}` is unknown"))),
        }
    }

    fn account(&mut self, fields: &mut EventFields) -> Result<AccountIndex, ContentError> {
        let name: AccountName = parse(fields, "account")?;
        self.index_names();
        let index = self.indexes.get(&name).copied().filter(|index| index.0 < self.opened);
        index.ok_or_else(|| fields.error(format!("account `{}` is not opened before", name.as_str())))
    }

    fn intern(&mut self, name: AccountName) -> Result<(), alloc::string::String> {
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
