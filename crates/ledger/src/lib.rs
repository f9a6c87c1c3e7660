//! The ledger: accounts, transfers, the decision about a command and the state that events make.
//!
//! [`Ledger::execute`] only decides, [`Ledger::apply`] only changes, [`Ledger::check`] stands before `apply` where bytes
//! come from outside. What is absent, and stays so:
//!
//! - No clock, no input or output, no threads, no randomness, no floats; `now` is an argument.
//! - No `apply` that looks at a [`Command`]: events alone make the state, so a log replays without the code of today's rules.
//! - No money out of nothing: over all accounts of an asset the balances add up to 0, because every amount has two sides and
//!   what comes from outside comes from `@world/ASSET`.
//! - No expiry that is inferred: a pending transfer stays open, however late it is, until an event says that it expired.
//! - No reading of metadata: they are a text that is kept and hashed.
//! - No balance, less what is held of it, below its account's floor, and no refusal with a second reason: [`Reason`] is ordered by precedence.
//! - No interned index, sequence, time or order of arrival of other transactions in the [`Digest`].
//! - No state taken on trust that can be checked: [`Ledger::restore`] applies every rule for accounts to a snapshot's.
//! - No memory of answered ids but those of open pending transfers: the caller knows that an id, or the name of an opening, is new.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

mod command;
mod digest;
mod engine;
mod event;
mod fingerprint;
mod holds;
mod id;
mod inconsistent;
mod linked;
mod metadata;
mod names;
mod record;
mod restore;

pub use command::{Command, CommandKind, Reason, TransactionResult, UnknownWord};
pub use digest::Digest;
pub use engine::{AccountView, Ledger};
pub use event::{AccountIndex, Event, Failure};
pub use fingerprint::Fingerprint;
pub use holds::{Hold, Holds};
pub use id::{TransactionId, TransactionIdError};
pub use inconsistent::Inconsistent;
pub use linked::{LINKED_MAX, LinkedError, LinkedTransfers};
pub use metadata::{METADATA_BYTES_MAX, Metadata, MetadataTooLong};
pub use names::{AccountName, AccountNameError, Asset, AssetError, SCALE_MAX};
pub use record::{Funding, Opening, Record, Released, Transaction, TransactionBody, Transactions};
pub use restore::Unrestorable;
