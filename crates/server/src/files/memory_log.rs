//! A log that is kept in memory alone.

use std::sync::{Arc, PoisonError, RwLock};

/// Some bytes, and where they begin in the log.
type Piece = (u64, Arc<[u8]>);

/// The bytes of a log in its binary form, as they were appended. Cheap to clone; all clones are one log.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryLog {
    pieces: Arc<RwLock<Vec<Piece>>>,
}

impl MemoryLog {
    /// Appends at this byte, which is where the log ends.
    pub(super) fn append(&self, at_byte: u64, bytes: &[u8]) {
        let mut pieces = self.pieces.write().unwrap_or_else(PoisonError::into_inner);
        pieces.push((at_byte, bytes.into()));
    }

    /// The piece that holds this byte, and where in it; `None` behind the end.
    pub(super) fn piece(&self, at_byte: u64) -> Option<(Arc<[u8]>, usize)> {
        let pieces = self.pieces.read().unwrap_or_else(PoisonError::into_inner);
        let behind = pieces.partition_point(|(begins_at, _)| *begins_at <= at_byte);
        let (begins_at, piece) = pieces[..behind].last()?;
        let at = usize::try_from(at_byte - begins_at).ok().filter(|at| *at < piece.len())?;
        Some((Arc::clone(piece), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_found_in_its_piece() {
        let log = MemoryLog::default();
        assert!(log.piece(0).is_none());
        log.append(0, b"ab");
        log.append(2, b"cde");
        let all: Vec<u8> =
            (0..6).filter_map(|at_byte| log.piece(at_byte).map(|(piece, at)| piece[at])).collect();
        assert_eq!(all, b"abcde");
    }
}
