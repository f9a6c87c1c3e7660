//! What reproduces a run: its options, and the inputs made by hand with the step at which they were made.

use std::sync::Arc;

use core::fmt;
use ledger::{Command, LinkedTransfers, Metadata, TransactionId};
use serde::{Deserialize, Serialize};
use time::Timestamp;

use crate::csv::{Feed, FeedId, FeedOptions};
use crate::options::{Options, OptionsError};
use crate::world::{Step, World};

/// Everything that a run is made of. Two worlds made from equal records are equal, byte for byte of their logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// What decides the run but for the inputs.
    pub options: Options,
    /// Inputs made by hand, each with the number of the step before which it was made, in order.
    pub inputs: Vec<(u64, HandInput)>,
    /// Steps made.
    pub step: u64,
}

/// An input made by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandInput {
    /// A command, sent straight to the gateway.
    Submit(HandCommand),
    /// Files of accounts and transfers; their bytes are kept elsewhere, by this name.
    LoadFeed {
        /// What names the files.
        feed: FeedId,
        /// What their numbers mean.
        options: FeedOptions,
    },
    /// Dead letters go back into the queue, the oldest first.
    Redrive {
        /// How many at most.
        max: u32,
    },
    /// The pipeline crashes.
    Crash {
        /// How long it is down, virtual microseconds.
        down_micros: u64,
    },
    /// The generated workload ends: clients finish what they have sent.
    EndWorkload,
}

/// A [`Command`] in a form that can be stored and that later versions read. Texts are checked again when it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandCommand {
    /// [`Command::OpenAccount`].
    OpenAccount {
        /// The new name.
        account: String,
        /// What it holds.
        asset: String,
        /// Decimal places of the asset.
        scale: u8,
        /// `None` for a client account.
        floor: Option<i64>,
        /// Minor units.
        opening_balance: i64,
    },
    /// [`Command::Transfer`].
    Transfer {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// Who pays.
        from_account: String,
        /// Who is paid.
        to_account: String,
        /// Minor units.
        amount: i64,
        /// What is attached, as JSON text.
        #[serde(default)]
        metadata: Option<String>,
    },
    /// [`Command::Deposit`].
    Deposit {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// Who is paid.
        account: String,
        /// Minor units.
        amount: i64,
        /// What is attached, as JSON text.
        #[serde(default)]
        metadata: Option<String>,
    },
    /// [`Command::Withdrawal`].
    Withdrawal {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// Who pays.
        account: String,
        /// Minor units.
        amount: i64,
        /// What is attached, as JSON text.
        #[serde(default)]
        metadata: Option<String>,
    },
    /// [`Command::PendingTransfer`].
    PendingTransfer {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// Who is to pay.
        from_account: String,
        /// Who is to be paid.
        to_account: String,
        /// Minor units.
        amount: i64,
        /// When it expires, microseconds since the Unix epoch.
        expires_at: Option<u64>,
        /// What is attached, as JSON text.
        metadata: Option<String>,
    },
    /// [`Command::PostTransfer`].
    PostTransfer {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// The pending transfer.
        pending_id: [u8; 16],
        /// Minor units; `None` for all.
        amount: Option<i64>,
        /// What is attached, as JSON text.
        metadata: Option<String>,
    },
    /// [`Command::VoidTransfer`].
    VoidTransfer {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// The pending transfer.
        pending_id: [u8; 16],
        /// What is attached, as JSON text.
        metadata: Option<String>,
    },
    /// [`Command::SetFloor`].
    SetFloor {
        /// The idempotency key.
        transaction_id: [u8; 16],
        /// Whose floor.
        account: String,
        /// Minor units.
        floor: i64,
    },
    /// [`Command::Linked`].
    Linked {
        /// The members.
        transfers: Vec<HandCommand>,
    },
}

/// Why a stored run cannot be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReproduceError {
    /// Its options do not work (any more).
    Options(OptionsError),
    /// The log that the world began with cannot be gone on from.
    Log {
        /// What is wrong with it.
        what: String,
    },
    /// The files of a feed are not there.
    FeedMissing {
        /// What names them.
        feed: FeedId,
    },
    /// A command in it is not well-formed.
    Command {
        /// The step before which it was made.
        step: u64,
        /// What is wrong.
        what: String,
    },
    /// The world stood still before it reached the step, so it is not the world that was stored.
    StoodStill {
        /// Where it stands.
        step: u64,
        /// Where it was to go.
        wanted: u64,
    },
}

impl fmt::Display for ReproduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stored run cannot be reproduced: ")?;
        match self {
            ReproduceError::Options(error) => error.fmt(f),
            ReproduceError::Log { what } => write!(f, "the log it began with: {what}"),
            ReproduceError::FeedMissing { feed } => write!(f, "the files of feed {feed} are not there"),
            ReproduceError::Command { step, what } => write!(f, "the command made at step {step}: {what}"),
            ReproduceError::StoodStill { step, wanted } => {
                write!(
                    f,
                    "the world stands still at step {step} of {wanted}; it was stored by another version"
                )
            }
        }
    }
}

impl std::error::Error for ReproduceError {}

/// A stored run on its way back, step by step, so that whoever waits can be shown how far it is.
#[derive(Clone)]
pub struct Reproduction {
    world: World,
    inputs: Vec<(u64, HandInput)>,
    next_input: usize,
    feeds: Vec<Arc<Feed>>,
    step: u64,
}

impl Reproduction {
    /// Begins at step 0. `feeds` holds every feed that the record names, in any order.
    pub fn new(record: RunRecord, feeds: Vec<Arc<Feed>>) -> Result<Reproduction, ReproduceError> {
        Reproduction::with_log(record, feeds, &[])
    }

    /// As [`Reproduction::new`], for a world that began with a log ([`World::from_log`]) unless `log` is empty.
    pub fn with_log(
        record: RunRecord,
        feeds: Vec<Arc<Feed>>,
        log: &[u8],
    ) -> Result<Reproduction, ReproduceError> {
        let world = if log.is_empty() {
            World::new(record.options).map_err(ReproduceError::Options)?
        } else {
            World::from_log(record.options, log)
                .map_err(|error| ReproduceError::Log { what: error.to_string() })?
        };
        Ok(Reproduction { world, inputs: record.inputs, next_input: 0, feeds, step: record.step })
    }

    /// Makes at most `steps` steps. `Ok(true)` when the world stands where the record ends.
    pub fn advance(&mut self, steps: u64) -> Result<bool, ReproduceError> {
        for _ in 0..steps {
            self.make_inputs()?;
            if self.world.step_number() >= self.step {
                return Ok(true);
            }
            match self.world.step() {
                Step::Done(_) | Step::FeedEnded(_) => {}
                Step::Idle | Step::LogFull { .. } | Step::AwaitCommit(_) => {
                    let step = self.world.step_number();
                    return Err(ReproduceError::StoodStill { step, wanted: self.step });
                }
            }
        }
        self.make_inputs()?;
        Ok(self.world.step_number() >= self.step)
    }

    /// Steps made, and steps to make.
    pub fn progress(&self) -> (u64, u64) {
        (self.world.step_number(), self.step)
    }

    /// The world as far as it is back; the driver compares its log with the one that it stored.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The world. Answers to inputs that were made by hand before are not given again.
    pub fn into_world(mut self) -> World {
        self.world.take_answers();
        self.world
    }

    fn make_inputs(&mut self) -> Result<(), ReproduceError> {
        while let Some((step, input)) = self.inputs.get(self.next_input) {
            if *step > self.world.step_number() {
                return Ok(());
            }
            let step = *step;
            match input {
                HandInput::Submit(command) => {
                    let command =
                        command.to_command().map_err(|what| ReproduceError::Command { step, what })?;
                    self.world.submit(command);
                }
                HandInput::LoadFeed { feed, options } => {
                    let wanted =
                        self.feeds.iter().find(|known| known.id() == *feed && known.options() == options);
                    let loaded = wanted.ok_or(ReproduceError::FeedMissing { feed: *feed })?;
                    self.world.load_feed(Arc::clone(loaded));
                }
                HandInput::Redrive { max } => self.world.redrive(*max),
                HandInput::Crash { down_micros } => self.world.crash(*down_micros),
                HandInput::EndWorkload => self.world.end_workload(),
            }
            self.next_input += 1;
        }
        Ok(())
    }
}

impl HandCommand {
    /// The stored form of a command.
    pub fn from_command(command: &Command) -> HandCommand {
        match command {
            Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
                HandCommand::OpenAccount {
                    account: account.to_string(),
                    asset: asset.to_string(),
                    scale: *scale,
                    floor: *floor,
                    opening_balance: *opening_balance,
                }
            }
            Command::Transfer { transaction_id, from_account, to_account, amount, metadata } => {
                HandCommand::Transfer {
                    transaction_id: transaction_id.as_bytes(),
                    from_account: from_account.to_string(),
                    to_account: to_account.to_string(),
                    amount: *amount,
                    metadata: stored(metadata.as_ref()),
                }
            }
            Command::Deposit { transaction_id, account, amount, metadata } => HandCommand::Deposit {
                transaction_id: transaction_id.as_bytes(),
                account: account.to_string(),
                amount: *amount,
                metadata: stored(metadata.as_ref()),
            },
            Command::Withdrawal { transaction_id, account, amount, metadata } => HandCommand::Withdrawal {
                transaction_id: transaction_id.as_bytes(),
                account: account.to_string(),
                amount: *amount,
                metadata: stored(metadata.as_ref()),
            },
            Command::PendingTransfer {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at,
                metadata,
            } => HandCommand::PendingTransfer {
                transaction_id: transaction_id.as_bytes(),
                from_account: from_account.to_string(),
                to_account: to_account.to_string(),
                amount: *amount,
                expires_at: expires_at.map(Timestamp::micros),
                metadata: stored(metadata.as_ref()),
            },
            Command::PostTransfer { transaction_id, pending_id, amount, metadata } => {
                HandCommand::PostTransfer {
                    transaction_id: transaction_id.as_bytes(),
                    pending_id: pending_id.as_bytes(),
                    amount: *amount,
                    metadata: stored(metadata.as_ref()),
                }
            }
            Command::VoidTransfer { transaction_id, pending_id, metadata } => HandCommand::VoidTransfer {
                transaction_id: transaction_id.as_bytes(),
                pending_id: pending_id.as_bytes(),
                metadata: stored(metadata.as_ref()),
            },
            Command::SetFloor { transaction_id, account, floor } => HandCommand::SetFloor {
                transaction_id: transaction_id.as_bytes(),
                account: account.to_string(),
                floor: *floor,
            },
            Command::Linked { transfers } => HandCommand::Linked {
                transfers: transfers.members().iter().map(HandCommand::from_command).collect(),
            },
        }
    }

    /// The command; the error says which name or code is not well-formed.
    pub fn to_command(&self) -> Result<Command, String> {
        let name = |text: &String| text.parse().map_err(|error| format!("account \"{text}\": {error}"));
        let id = |bytes: &[u8; 16]| TransactionId::from_bytes(*bytes);
        Ok(match self {
            HandCommand::OpenAccount { account, asset, scale, floor, opening_balance } => {
                Command::OpenAccount {
                    account: name(account)?,
                    asset: asset.parse().map_err(|error| format!("asset \"{asset}\": {error}"))?,
                    scale: *scale,
                    floor: *floor,
                    opening_balance: *opening_balance,
                }
            }
            HandCommand::Transfer { transaction_id, from_account, to_account, amount, metadata } => {
                Command::Transfer {
                    transaction_id: id(transaction_id),
                    from_account: name(from_account)?,
                    to_account: name(to_account)?,
                    amount: *amount,
                    metadata: attached(metadata.as_ref())?,
                }
            }
            HandCommand::Deposit { transaction_id, account, amount, metadata } => Command::Deposit {
                transaction_id: id(transaction_id),
                account: name(account)?,
                amount: *amount,
                metadata: attached(metadata.as_ref())?,
            },
            HandCommand::Withdrawal { transaction_id, account, amount, metadata } => Command::Withdrawal {
                transaction_id: id(transaction_id),
                account: name(account)?,
                amount: *amount,
                metadata: attached(metadata.as_ref())?,
            },
            HandCommand::PendingTransfer {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at,
                metadata,
            } => Command::PendingTransfer {
                transaction_id: id(transaction_id),
                from_account: name(from_account)?,
                to_account: name(to_account)?,
                amount: *amount,
                expires_at: expires_at.map(time).transpose()?,
                metadata: attached(metadata.as_ref())?,
            },
            HandCommand::PostTransfer { transaction_id, pending_id, amount, metadata } => {
                Command::PostTransfer {
                    transaction_id: id(transaction_id),
                    pending_id: id(pending_id),
                    amount: *amount,
                    metadata: attached(metadata.as_ref())?,
                }
            }
            HandCommand::VoidTransfer { transaction_id, pending_id, metadata } => Command::VoidTransfer {
                transaction_id: id(transaction_id),
                pending_id: id(pending_id),
                metadata: attached(metadata.as_ref())?,
            },
            HandCommand::SetFloor { transaction_id, account, floor } => Command::SetFloor {
                transaction_id: id(transaction_id),
                account: name(account)?,
                floor: *floor,
            },
            HandCommand::Linked { transfers } => {
                let members = transfers.iter().map(HandCommand::to_command).collect::<Result<_, _>>()?;
                let transfers = LinkedTransfers::new(members).map_err(|error| error.to_string())?;
                Command::Linked { transfers }
            }
        })
    }
}

fn stored(metadata: Option<&Metadata>) -> Option<String> {
    metadata.map(Metadata::to_string)
}

fn attached(metadata: Option<&String>) -> Result<Option<Metadata>, String> {
    let parse = |text: &String| pipeline::parse_metadata(text).map_err(|error| error.to_string());
    metadata.map(parse).transpose()
}

fn time(micros: u64) -> Result<Timestamp, String> {
    Timestamp::from_micros(micros).ok_or_else(|| format!("time {micros}: expected less than 2^53"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_phases() -> Vec<Command> {
        let id = |byte| TransactionId::from_bytes([byte; 16]);
        let pending = Command::PendingTransfer {
            transaction_id: id(1),
            from_account: "a".parse().unwrap(),
            to_account: "b".parse().unwrap(),
            amount: 9,
            expires_at: Some(Timestamp::MAX),
            metadata: None,
        };
        let (pending_id, metadata) = (id(1), None);
        let post = |byte, amount| Command::PostTransfer {
            transaction_id: id(byte),
            pending_id,
            amount,
            metadata: metadata.clone(),
        };
        let void = Command::VoidTransfer { transaction_id: id(4), pending_id, metadata: metadata.clone() };
        vec![pending, post(2, None), post(3, Some(4)), void]
    }

    #[test]
    fn stored_commands_come_back() {
        let transaction_id = TransactionId::from_bytes([7; 16]);
        let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
        let commands = [
            Command::OpenAccount {
                account: "@fees".parse().unwrap(),
                asset: "USD".parse().unwrap(),
                scale: 2,
                floor: Some(-5),
                opening_balance: 0,
            },
            Command::Transfer {
                transaction_id,
                from_account: a,
                to_account: b,
                amount: i64::MAX,
                metadata: Some(pipeline::parse_metadata(r#"{"order":[7]}"#).unwrap()),
            },
            Command::Deposit { transaction_id, account: "a".parse().unwrap(), amount: -1, metadata: None },
            Command::Withdrawal { transaction_id, account: "a".parse().unwrap(), amount: 0, metadata: None },
            Command::SetFloor { transaction_id, account: "a".parse().unwrap(), floor: -5 },
            Command::Linked { transfers: LinkedTransfers::new(two_phases()).unwrap() },
        ];
        for command in commands {
            let stored = HandCommand::from_command(&command);
            let bytes = postcard::to_stdvec(&stored).unwrap();
            assert_eq!(
                postcard::from_bytes::<HandCommand>(&bytes).unwrap().to_command(),
                Ok(command.clone())
            );
            let json = serde_json::to_string(&stored).unwrap();
            assert_eq!(serde_json::from_str::<HandCommand>(&json).unwrap().to_command(), Ok(command));
        }
        let bad = HandCommand::Deposit {
            transaction_id: [0; 16],
            account: String::new(),
            amount: 1,
            metadata: None,
        };
        let old =
            r#"{"deposit":{"transaction_id":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"account":"","amount":1}}"#;
        assert_eq!(serde_json::from_str::<HandCommand>(old).unwrap(), bad, "stored by an earlier version");
        assert!(bad.to_command().unwrap_err().starts_with("account \"\": "));
    }
}
