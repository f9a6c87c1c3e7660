//! Another copy of a ledger that follows the first by its JSON Lines.

use alloc::vec::Vec;
use core::fmt;

use journal::{FromLines, LineError, SealBorder, Tail};
use ledger::{Digest, Ledger, Record};
use projection::Projections;

use crate::lines::LedgerContent;
use crate::replay::{Replay, ReplayError};
use crate::snapshot::{Snapshot, SnapshotError};

/// Folds the JSON Lines form of a log into a ledger and its read models, from the log's header or from a [`Snapshot`].
///
/// It trusts nothing that it can check: every line under the rules of the log, every event against the ledger, and every
/// seal against the chain that the snapshot's seal or the header begins. A record is folded as soon as its last line is
/// there; [`Follower::sealed_before`] tells which of them a seal vouches for already. The first error is final.
///
/// The text "from record N" begins with the seals that stand right before record N, because only the follower knows which
/// of them it has: seals that cover nothing new and do not go on with its chain are skipped.
pub struct Follower {
    lines: FromLines<LedgerContent>,
    replay: Replay,
    projections: Projections,
    /// Of the log that is followed, if it is known before the header comes.
    log_id: Option<[u8; 16]>,
    /// The binary form of the lines at hand.
    log: Vec<u8>,
    failed: Option<FollowError>,
}

/// Why a log cannot be followed any further.
#[derive(Clone, Debug)]
pub enum FollowError {
    /// A line is not the next one of the log. Lines are counted from where the follower began.
    Line(LineError),
    /// The lines are those of a log, but what they say cannot be.
    Replay(ReplayError),
    /// The header names another log than the snapshot.
    OtherLog {
        /// The snapshot's log.
        expected: [u8; 16],
        /// The header's.
        found: [u8; 16],
    },
}

impl Follower {
    /// Waits for the header line of a log. `hash_seed` keys the tables in memory.
    pub fn new(hash_seed: u64) -> Follower {
        Follower {
            lines: FromLines::new(LedgerContent::default()).skipping_known_seals(),
            replay: Replay::new(hash_seed),
            projections: Projections::new(hash_seed),
            log_id: None,
            log: Vec::new(),
            failed: None,
        }
    }

    /// Goes on from a snapshot: waits for the lines from [`Snapshot::next_sequence`] on, or for the header line if the
    /// log had no seal yet. Costs O(accounts).
    ///
    /// # Errors
    /// No ledger has the snapshot's accounts, or no log its seal.
    pub fn resume(snapshot: &Snapshot, hash_seed: u64) -> Result<Follower, SnapshotError> {
        let Some(border) = &snapshot.border else {
            return Ok(Follower { log_id: Some(snapshot.identity.log_id), ..Follower::new(hash_seed) });
        };
        let no_border = |what| SnapshotError { at_byte: 56, field: "the seal", what };
        let tail = Tail::at_border(border).map_err(|error| no_border(alloc::format!("{error}")))?;
        if border.next_sequence != snapshot.next_sequence() {
            return Err(no_border(alloc::format!("it stands before record {}", border.next_sequence)));
        }
        let ledger = snapshot.ledger(hash_seed)?;
        let rows = snapshot.accounts.iter().map(|account| account.row());
        let projections =
            Projections::restore(hash_seed, rows, snapshot.holds.iter().copied(), snapshot.counts.clone());
        let names = projections.balances.names().clone();
        let opened = names.len();
        Ok(Follower {
            lines: FromLines::resume(LedgerContent::resume(names, opened), tail.clone())
                .skipping_known_seals(),
            replay: Replay::resume(tail, ledger),
            projections,
            log_id: Some(border.header.log_id),
            log: Vec::new(),
            failed: None,
        })
    }

    /// Takes the next piece of the text: header, event and seal lines, each ended by `\n`, cut anywhere. Returns how many
    /// records it completed.
    ///
    /// # Errors
    /// The text is not that of the log; every further call returns the same. The ledger may then be anywhere between the
    /// text before and the error: begin again from a snapshot.
    pub fn push_lines(&mut self, text: &str) -> Result<u64, FollowError> {
        self.push_lines_with(text, |_| {})
    }

    /// As [`Follower::push_lines`], and shows `each` every record after it was folded.
    ///
    /// # Errors
    /// As [`Follower::push_lines`].
    pub fn push_lines_with(
        &mut self,
        text: &str,
        mut each: impl FnMut(&Record<'_>),
    ) -> Result<u64, FollowError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let before = self.next_sequence();
        let pushed = self.push(text, &mut each);
        if let Err(error) = &pushed {
            self.failed = Some(error.clone());
        }
        pushed.map(|()| self.next_sequence() - before)
    }

    /// The ledger behind the records so far.
    pub fn ledger(&self) -> &Ledger {
        self.replay.ledger()
    }

    /// The read models behind the same records. Entries and transactions begin at the snapshot
    /// ([`Projections::begins_at`]).
    pub fn projections(&self) -> &Projections {
        &self.projections
    }

    /// The digest of the ledger behind the records so far.
    pub fn digest(&self) -> Digest {
        self.replay.ledger().digest()
    }

    /// The sequence of the record that it waits for.
    pub fn next_sequence(&self) -> u64 {
        self.projections.checkpoint()
    }

    /// Records with a smaller sequence are vouched for by a seal that was checked, or were in the snapshot.
    pub fn sealed_before(&self) -> u64 {
        self.replay.tail().map_or(0, |tail| tail.sealed_before())
    }

    /// The seal behind which it stands; `None` before the first and between seals.
    pub fn border(&self) -> Option<SealBorder> {
        self.replay.tail().and_then(|tail| tail.border())
    }

    /// The log that is followed; `None` before the header if there was no snapshot.
    pub fn log_id(&self) -> Option<[u8; 16]> {
        self.lines.header().map(|header| header.log_id).or(self.log_id)
    }

    /// Whether the text so far ends behind a whole header, record or seal, so that the text from
    /// [`Follower::next_sequence`] on may follow.
    pub fn is_at_border(&self) -> bool {
        self.lines.is_at_border()
    }

    fn push(&mut self, text: &str, each: &mut dyn FnMut(&Record<'_>)) -> Result<(), FollowError> {
        self.log.clear();
        self.lines.push(text.as_bytes(), &mut self.log).map_err(FollowError::Line)?;
        if let (Some(expected), Some(header)) = (self.log_id, self.lines.header())
            && header.log_id != expected
        {
            return Err(FollowError::OtherLog { expected, found: header.log_id });
        }
        self.replay.fold(&self.log, &mut self.projections, each).map_err(FollowError::Replay)
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FollowError::Line(error) => error.fmt(f),
            FollowError::Replay(error) => error.fmt(f),
            FollowError::OtherLog { expected, found } => {
                let [expected, found] = [expected, found].map(|id| u128::from_be_bytes(*id));
                write!(f, "the header names log {found:032x}, but the snapshot is of log {expected:032x}")
            }
        }
    }
}

impl core::error::Error for FollowError {}
