//! Transfers that happen together or not at all.

use alloc::{collections::BTreeSet, vec::Vec};
use core::fmt;

use crate::{
    command::{Command, CommandKind},
    id::TransactionId,
};

/// The most members of a group.
pub const LINKED_MAX: usize = 512;

/// The members of a group, in order: 2 to [`LINKED_MAX`] transfers, deposits, withdrawals, pending transfers and settlements
/// of those, with pairwise different ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedTransfers(Vec<Command>);

impl LinkedTransfers {
    /// A group of these members.
    ///
    /// # Errors
    /// They are too few or too many, one of them cannot be in a group, or two have the same id.
    pub fn new(members: Vec<Command>) -> Result<LinkedTransfers, LinkedError> {
        if !(2..=LINKED_MAX).contains(&members.len()) {
            return Err(LinkedError::Count { members: members.len() });
        }
        let mut ids = BTreeSet::new();
        for (member, command) in members.iter().enumerate() {
            let kind = command.kind();
            if !kind.is_member() {
                return Err(LinkedError::Kind { member, kind });
            }
            let transaction_id = command.transaction_id();
            if !ids.insert(transaction_id) {
                return Err(LinkedError::RepeatedId { member, transaction_id });
            }
        }
        Ok(LinkedTransfers(members))
    }

    /// The members in order; at least two.
    pub fn members(&self) -> &[Command] {
        &self.0
    }
}

/// Why commands are not a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkedError {
    /// There are less than 2 or more than [`LINKED_MAX`] members.
    Count {
        /// How many there are.
        members: usize,
    },
    /// A command of this kind cannot be a member.
    Kind {
        /// Which member, from 0.
        member: usize,
        /// Its kind.
        kind: CommandKind,
    },
    /// An earlier member has the same id.
    RepeatedId {
        /// Which member, from 0.
        member: usize,
        /// The id.
        transaction_id: TransactionId,
    },
}

impl fmt::Display for LinkedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkedError::Count { members } => {
                write!(f, "the group has {members} members; give it 2 to {LINKED_MAX}")
            }
            LinkedError::Kind { member, kind } => {
                write!(f, "member {member} is of kind {kind}, which cannot be in a group")
            }
            LinkedError::RepeatedId { member, transaction_id } => {
                write!(
                    f,
                    "member {member} has the id {transaction_id} of a member before it; give it its own"
                )
            }
        }
    }
}

impl core::error::Error for LinkedError {}
