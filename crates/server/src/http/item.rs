//! The JSON of one command, as the single routes and the items of a batch have it.
//!
//! It is read twice if it must: first field by field straight into what a command is made of, without anything in between;
//! and if that fails, for whatever reason, once more by [`Fields`], which says what is wrong. Both accept the same texts.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use ledger::{AccountName, Command, CommandKind, Metadata, TransactionId};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use time::Timestamp;

use super::fields::Fields;
use super::problem::Problem;

/// What the path of a request says of its command; it is not in the body then.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) pending_id: Option<TransactionId>,
    pub(super) account: Option<AccountName>,
}

/// Whether an item of a batch belongs together with the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    No,
    ToNext,
}

/// Reads the body of a single command. `id` makes its id of the one in the body, if there is one.
pub(super) fn read_command(
    body: &[u8],
    kind: CommandKind,
    given: &Given,
    id: impl Fn(Option<TransactionId>) -> Result<TransactionId, Problem>,
) -> Result<Command, Problem> {
    if let Ok(item) = serde_json::from_slice::<Item>(body)
        && item.kind.is_none()
        && item.linked.is_none()
    {
        let transaction_id = id(item.transaction_id)?;
        if let Some(command) = item.with(given).and_then(|item| item.command(kind, transaction_id)) {
            return Ok(command);
        }
    }
    let mut fields = Fields::parse(body)?;
    let transaction_id = id(fields.optional_text("transaction_id")?)?;
    let command = command_of(&mut fields, kind, transaction_id, given)?;
    fields.finish(&known_fields(kind, given, &[]))?;
    Ok(command)
}

/// Reads an item of a batch from its own text.
pub(super) fn read_item(text: &[u8]) -> Result<(Command, Link), Problem> {
    match serde_json::from_slice::<Item>(text).ok().and_then(Item::into_item) {
        Some(item) => Ok(item),
        None => explain_item(text),
    }
}

/// Reads an item of a batch and says what is wrong with it.
pub(super) fn explain_item(text: &[u8]) -> Result<(Command, Link), Problem> {
    let mut fields = Fields::parse(text)?;
    let kind = match fields.optional_text::<String>("kind")? {
        None => CommandKind::Transfer,
        Some(word) => word.parse().ok().filter(|kind: &CommandKind| kind.is_member()).ok_or_else(|| {
            let words: Vec<_> = members().map(|kind| format!("`{kind}`")).collect();
            let detail =
                format!("`kind` must be one of {}; it is `transfer` if it is absent", words.join(", "));
            Problem::new("invalid_field", detail).field("kind")
        })?,
    };
    let transaction_id = fields.text("transaction_id")?;
    let link = if fields.flag("linked")? { Link::ToNext } else { Link::No };
    let command = command_of(&mut fields, kind, transaction_id, &Given::default())?;
    fields.finish(&known_fields(kind, &Given::default(), &["kind", "linked"]))?;
    Ok((command, link))
}

/// The kinds that an item of a batch can have.
pub(super) fn members() -> impl Iterator<Item = CommandKind> {
    CommandKind::ALL.into_iter().filter(|kind| kind.is_member())
}

/// The fields of a command as they are sent, each of its type, whatever the kind.
#[derive(Debug, Default)]
pub(super) struct Item {
    transaction_id: Option<TransactionId>,
    kind: Option<CommandKind>,
    linked: Option<bool>,
    from_account: Option<AccountName>,
    to_account: Option<AccountName>,
    account: Option<AccountName>,
    amount: Option<i64>,
    pending_id: Option<TransactionId>,
    expires_at: Option<Timestamp>,
    floor: Option<i64>,
    metadata: Option<Metadata>,
}

impl Item {
    /// As an item of a batch; `None` if it is none.
    pub(super) fn into_item(self) -> Option<(Command, Link)> {
        let kind = self.kind.unwrap_or(CommandKind::Transfer);
        let link = if self.linked == Some(true) { Link::ToNext } else { Link::No };
        let transaction_id = self.transaction_id?;
        let command = if kind.is_member() { self.command(kind, transaction_id) } else { None };
        Some((command?, link))
    }

    /// With what the path says; `None` if the body says it too.
    fn with(mut self, given: &Given) -> Option<Item> {
        if let Some(pending_id) = given.pending_id
            && self.pending_id.replace(pending_id).is_some()
        {
            return None;
        }
        if let Some(account) = &given.account
            && self.account.replace(account.clone()).is_some()
        {
            return None;
        }
        Some(self)
    }

    /// The command, if exactly the fields of its kind are there.
    fn command(self, kind: CommandKind, transaction_id: TransactionId) -> Option<Command> {
        let Item {
            from_account, to_account, account, amount, pending_id, expires_at, floor, metadata, ..
        } = self;
        match (kind, from_account, to_account, account, amount, pending_id, expires_at, floor) {
            (
                CommandKind::Transfer,
                Some(from_account),
                Some(to_account),
                None,
                Some(amount),
                None,
                None,
                None,
            ) => Some(Command::Transfer { transaction_id, from_account, to_account, amount, metadata }),
            (CommandKind::Deposit, None, None, Some(account), Some(amount), None, None, None) => {
                Some(Command::Deposit { transaction_id, account, amount, metadata })
            }
            (CommandKind::Withdrawal, None, None, Some(account), Some(amount), None, None, None) => {
                Some(Command::Withdrawal { transaction_id, account, amount, metadata })
            }
            (
                CommandKind::PendingTransfer,
                Some(from_account),
                Some(to_account),
                None,
                Some(amount),
                None,
                _,
                None,
            ) => Some(Command::PendingTransfer {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at,
                metadata,
            }),
            (CommandKind::PostTransfer, None, None, None, _, Some(pending_id), None, None) => {
                Some(Command::PostTransfer { transaction_id, pending_id, amount, metadata })
            }
            (CommandKind::VoidTransfer, None, None, None, None, Some(pending_id), None, None) => {
                Some(Command::VoidTransfer { transaction_id, pending_id, metadata })
            }
            (CommandKind::SetFloor, None, None, Some(account), None, None, None, Some(floor))
                if metadata.is_none() =>
            {
                Some(Command::SetFloor { transaction_id, account, floor })
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                let mut item = Item::default();
                while let Some(name) = map.next_key::<Name>()? {
                    match name {
                        Name::TransactionId => once(&mut item.transaction_id, map.next_value_seed(text())?)?,
                        Name::Kind => once(&mut item.kind, map.next_value_seed(text())?)?,
                        Name::Linked => once(&mut item.linked, map.next_value()?)?,
                        Name::FromAccount => once(&mut item.from_account, map.next_value_seed(text())?)?,
                        Name::ToAccount => once(&mut item.to_account, map.next_value_seed(text())?)?,
                        Name::Account => once(&mut item.account, map.next_value_seed(text())?)?,
                        Name::Amount => once(&mut item.amount, map.next_value()?)?,
                        Name::PendingId => once(&mut item.pending_id, map.next_value_seed(text())?)?,
                        Name::ExpiresAt => {
                            let time = Timestamp::from_micros(map.next_value()?).ok_or_else(wrong)?;
                            once(&mut item.expires_at, time)?;
                        }
                        Name::Floor => once(&mut item.floor, map.next_value()?)?,
                        Name::Metadata => {
                            let text = map.next_value::<&RawValue>()?.get();
                            once(&mut item.metadata, pipeline::parse_metadata(text).map_err(|_| wrong())?)?;
                        }
                    }
                }
                Ok(item)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

enum Name {
    TransactionId,
    Kind,
    Linked,
    FromAccount,
    ToAccount,
    Account,
    Amount,
    PendingId,
    ExpiresAt,
    Floor,
    Metadata,
}

impl FromStr for Name {
    type Err = ();

    fn from_str(text: &str) -> Result<Name, ()> {
        Ok(match text {
            "transaction_id" => Name::TransactionId,
            "from_account" => Name::FromAccount,
            "to_account" => Name::ToAccount,
            "amount" => Name::Amount,
            "account" => Name::Account,
            "kind" => Name::Kind,
            "linked" => Name::Linked,
            "pending_id" => Name::PendingId,
            "expires_at" => Name::ExpiresAt,
            "floor" => Name::Floor,
            "metadata" => Name::Metadata,
            _ => return Err(()),
        })
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        text::<Name>().deserialize(deserializer)
    }
}

/// Reads a JSON string by `FromStr`, without a copy of it.
struct Text<T>(PhantomData<T>);

fn text<T>() -> Text<T> {
    Text(PhantomData)
}

impl<'de, T: FromStr> DeserializeSeed<'de> for Text<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<T: FromStr> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|_| wrong())
    }
}

/// What is wrong is found by the second reading.
fn wrong<E: Error>() -> E {
    E::custom("")
}

fn once<T, E: Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong()),
    }
}

fn command_of(
    fields: &mut Fields,
    kind: CommandKind,
    transaction_id: TransactionId,
    given: &Given,
) -> Result<Command, Problem> {
    let account = |fields: &mut Fields| match &given.account {
        Some(account) => Ok(account.clone()),
        None => fields.text("account"),
    };
    let pending_id = |fields: &mut Fields| match given.pending_id {
        Some(pending_id) => Ok(pending_id),
        None => fields.text("pending_id"),
    };
    Ok(match kind {
        CommandKind::Transfer => Command::Transfer {
            transaction_id,
            from_account: fields.text("from_account")?,
            to_account: fields.text("to_account")?,
            amount: fields.integer("amount")?,
            metadata: fields.metadata()?,
        },
        CommandKind::Deposit => Command::Deposit {
            transaction_id,
            account: account(fields)?,
            amount: fields.integer("amount")?,
            metadata: fields.metadata()?,
        },
        CommandKind::Withdrawal => Command::Withdrawal {
            transaction_id,
            account: account(fields)?,
            amount: fields.integer("amount")?,
            metadata: fields.metadata()?,
        },
        CommandKind::PendingTransfer => Command::PendingTransfer {
            transaction_id,
            from_account: fields.text("from_account")?,
            to_account: fields.text("to_account")?,
            amount: fields.integer("amount")?,
            expires_at: fields.optional_time("expires_at")?,
            metadata: fields.metadata()?,
        },
        CommandKind::PostTransfer => Command::PostTransfer {
            transaction_id,
            pending_id: pending_id(fields)?,
            amount: fields.optional_integer("amount")?,
            metadata: fields.metadata()?,
        },
        CommandKind::VoidTransfer => Command::VoidTransfer {
            transaction_id,
            pending_id: pending_id(fields)?,
            metadata: fields.metadata()?,
        },
        CommandKind::SetFloor => {
            Command::SetFloor { transaction_id, account: account(fields)?, floor: fields.integer("floor")? }
        }
        CommandKind::OpenAccount | CommandKind::ExpireTransfer | CommandKind::Linked => {
            unreachable!("no route takes a command of this kind by itself")
        }
    })
}

/// The fields that a body of this kind can have, for people.
fn known_fields(kind: CommandKind, given: &Given, more: &[&str]) -> String {
    let own: &[&str] = match kind {
        CommandKind::Transfer => &["from_account", "to_account", "amount", "metadata"],
        CommandKind::Deposit | CommandKind::Withdrawal => &["account", "amount", "metadata"],
        CommandKind::PendingTransfer => &["from_account", "to_account", "amount", "expires_at", "metadata"],
        CommandKind::PostTransfer => &["pending_id", "amount", "metadata"],
        CommandKind::VoidTransfer => &["pending_id", "metadata"],
        CommandKind::SetFloor => &["account", "floor"],
        CommandKind::OpenAccount | CommandKind::ExpireTransfer | CommandKind::Linked => &[],
    };
    let is_given = |name: &str| match name {
        "pending_id" => given.pending_id.is_some(),
        "account" => given.account.is_some(),
        _ => false,
    };
    let names = more.iter().chain(&["transaction_id"]).chain(own).filter(|name| !is_given(name));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let (last, before) = names.split_last().expect("every kind has fields");
    format!("{} and {last}", before.join(", "))
}
