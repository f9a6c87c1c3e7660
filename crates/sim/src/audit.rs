//! The replay from empty memory in pieces, for drivers that must not stand still while a long log is read.

use ledger::Digest;
use pipeline::Recovery;

use crate::world::World;

/// A replay of the durable log from empty memory that goes on beside the world, a piece at a time. It covers what was durable when
/// it began; the world may move on meanwhile.
///
/// It is [`World::check_replay`] without its pause: digest and record count are compared, and counted as a check of
/// [`Invariant::ReplayEqualsState`](crate::Invariant::ReplayEqualsState). The count is the driver's doing, so a reproduced run does not have it.
pub struct Audit {
    recovery: Recovery,
    position: u64,
    until: u64,
    sequence: u64,
    digest: Digest,
}

/// How far an [`Audit`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditProgress {
    /// So many bytes of so many are read.
    Reading {
        /// Bytes read.
        done: u64,
        /// Bytes to read.
        all: u64,
    },
    /// The replay has come to the end, or to an error; the world's findings say which.
    Done,
}

impl Audit {
    /// Begins an audit of what is durable in this world now.
    pub fn new(world: &World) -> Audit {
        Audit {
            recovery: Recovery::new(world.options().seed),
            position: 0,
            until: world.checkers.fold().position(),
            sequence: world.sequence(),
            digest: world.digest(),
        }
    }

    /// Reads at most `bytes` more, of the same world as before. Not to be called again when it is done.
    pub fn advance(&mut self, world: &mut World, bytes: u64) -> AuditProgress {
        let end = self.position.saturating_add(bytes).min(self.until);
        for slice in world.journal.log().slices(self.position, end) {
            if let Err(error) = self.recovery.push(slice, |_| {}) {
                world.checkers.audited(Err(error.to_string()));
                return AuditProgress::Done;
            }
        }
        self.position = end;
        if end < self.until {
            return AuditProgress::Reading { done: end, all: self.until };
        }
        let (digest, sequence) = (self.recovery.ledger().digest(), self.recovery.next_sequence());
        let same = (digest, sequence) == (self.digest, self.sequence);
        let differs = format!(
            "the replay came to digest {digest} at record {sequence}, the log made {} at record {} as it was written",
            self.digest, self.sequence
        );
        world.checkers.audited(if same { Ok(()) } else { Err(differs) });
        AuditProgress::Done
    }
}
