//! A world that goes on from a log which it did not make.

use core::fmt;

use pipeline::{Recovery, RecoveryError};

use crate::checkers::Checkers;
use crate::options::{Options, OptionsError};
use crate::world::{LEADER, World};

/// Why a world cannot go on from a log.
#[derive(Clone, Debug)]
pub enum FromLogError {
    /// The options do not work.
    Options(OptionsError),
    /// The log does not verify.
    Log(RecoveryError),
    /// There is not even a header.
    Empty,
    /// Bytes behind the last whole record, which must be cut off before.
    Torn {
        /// Where the log ends.
        cut_at_byte: u64,
    },
}

impl fmt::Display for FromLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FromLogError::Options(error) => error.fmt(f),
            FromLogError::Log(error) => error.fmt(f),
            FromLogError::Empty => write!(f, "there is no log in it, not even a header"),
            FromLogError::Torn { cut_at_byte } => {
                write!(f, "an interrupted append stands at its end: cut it at byte {cut_at_byte}")
            }
        }
    }
}

impl std::error::Error for FromLogError {}

impl World {
    /// A world at step 0 whose journal store holds `log`, all of it durable, and whose pipeline has recovered from it with a new
    /// generation. Equal options and equal logs make equal worlds.
    pub fn from_log(options: Options, log: &[u8]) -> Result<World, FromLogError> {
        let mut world = World::new(options).map_err(FromLogError::Options)?;
        let mut recovery = Recovery::new(world.node(LEADER).config.hash_seed);
        recovery.push(log, |_| ()).map_err(FromLogError::Log)?;
        let recovered = recovery.finish().map_err(FromLogError::Log)?;
        if let Some(cut) = &recovered.cut {
            return Err(FromLogError::Torn { cut_at_byte: cut.cut_at_byte });
        }
        let Some(tail) = &recovered.tail else { return Err(FromLogError::Empty) };
        world.now = world.now.max(tail.recorded_at());
        let next_sequence = tail.next_sequence();
        world.node_mut(LEADER).recover(recovered);
        world.node_mut(LEADER).resume();
        let generation = world.node(LEADER).generation();
        world.journal.adopt(log, generation, next_sequence);
        world.fold_with(LEADER, Checkers::recovered);
        Ok(world)
    }
}
