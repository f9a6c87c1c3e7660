//! The ids of a command on their way through the stage, and what is known of them.

use alloc::vec::Vec;
use ledger::{Command, TransactionId};
use projection::Found;

/// The ids of a command, of a group those of its members in order, and what is known of them.
#[derive(Clone)]
pub(super) enum Ids {
    One(Asked),
    Group(Vec<Asked>),
}

#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) transaction_id: TransactionId,
    pub(super) lookup: LookupState,
}

#[derive(Clone, Copy)]
pub(super) enum LookupState {
    Asked,
    Absent,
    Found(Found),
}

impl Ids {
    /// The ids of a command, none of which is known yet.
    pub(super) fn of(command: &Command) -> Ids {
        let asked = |transaction_id| Asked { transaction_id, lookup: LookupState::Asked };
        match command {
            Command::Linked { transfers } => {
                let ids = transfers.members().iter().map(Command::transaction_id);
                Ids::Group(ids.map(asked).collect())
            }
            Command::OpenAccount { .. }
            | Command::Transfer { .. }
            | Command::Deposit { .. }
            | Command::Withdrawal { .. }
            | Command::PendingTransfer { .. }
            | Command::PostTransfer { .. }
            | Command::VoidTransfer { .. }
            | Command::SetFloor { .. } => Ids::One(asked(command.transaction_id())),
        }
    }

    pub(super) fn all(&self) -> &[Asked] {
        match self {
            Ids::One(asked) => core::slice::from_ref(asked),
            Ids::Group(members) => members,
        }
    }

    pub(super) fn all_mut(&mut self) -> &mut [Asked] {
        match self {
            Ids::One(asked) => core::slice::from_mut(asked),
            Ids::Group(members) => members,
        }
    }

    /// The id of the command; that of the first member of a group.
    pub(super) fn first(&self) -> TransactionId {
        self.all()[0].transaction_id
    }

    /// Where a look-up of this id is awaited.
    pub(super) fn waits_for(&self, id: &TransactionId) -> Option<usize> {
        let waits = |asked: &Asked| asked.transaction_id == *id && matches!(asked.lookup, LookupState::Asked);
        self.all().iter().position(waits)
    }

    pub(super) fn answer(&mut self, id: &TransactionId, found: Option<Found>) {
        if let Some(at) = self.waits_for(id) {
            self.all_mut()[at].lookup = found.map_or(LookupState::Absent, LookupState::Found);
        }
    }

    pub(super) fn are_answered(&self) -> bool {
        self.all().iter().all(|asked| !matches!(asked.lookup, LookupState::Asked))
    }
}
