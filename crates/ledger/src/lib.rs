//! The ledger: accounts, transfers, the decision about a command and the state that events make.
//!
//! [`Ledger::execute`] only decides, [`Ledger::apply`] only changes, [`Ledger::check`] stands before `apply` where bytes
//! come from outside. What is absent, and stays so:
//!
//! - No clock, no input or output, no threads, no randomness, no floats; `now` is an argument.
//! - No `apply` that looks at a [`Command`]: events alone make the state, so a log replays without the code of today's rules.
//! - No money out of nothing: over all accounts of an asset the balances add up to 0, because every amount has two sides and
//!   what comes from outside comes from `@world/ASSET`.
//! - No balance below its account's floor, and no refusal with a second reason: [`Reason`] is ordered by precedence.
//! - No interned index, sequence, time or order of arrival of other transactions in the [`Digest`].
//! - No state taken on trust that can be checked: [`Ledger::restore`] applies every rule for accounts to a snapshot's.
//! - No memory of answered ids: the caller knows that an id, or the name of an opening, is new.

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
mod id;
mod inconsistent;
mod names;
mod restore;

pub use command::{Command, CommandKind, Reason, TransactionResult, UnknownWord};
pub use digest::Digest;
pub use engine::{AccountView, Ledger};
pub use event::{AccountIndex, Event, Failure, Funding, Opening, Record, Transaction};
pub use fingerprint::Fingerprint;
pub use id::{TransactionId, TransactionIdError};
pub use inconsistent::Inconsistent;
pub use names::{AccountName, AccountNameError, Asset, AssetError, SCALE_MAX};
pub use restore::Unrestorable;
