//! The bytes of a log in memory: shared chunks, so that a clone does not cost what the log has cost.

use std::sync::Arc;

/// An append-only run of bytes that can also be cut at its end.
///
/// Full chunks are shared between clones; only the last one, which is still written to, is copied. A clone costs
/// O([`CHUNK_BYTES`]). The list of chunks itself is copied by the first clone that fills another chunk, which is one
/// pointer for each [`CHUNK_BYTES`].
#[derive(Clone, Debug, Default)]
pub struct LogBytes {
    full: Arc<Vec<Arc<[u8]>>>,
    last: Vec<u8>,
}

/// Bytes in a full chunk.
pub const CHUNK_BYTES: usize = 64 << 10;

impl LogBytes {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        (self.full.len() * CHUNK_BYTES + self.last.len()) as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    pub fn append(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.last.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.last.extend_from_slice(now);
            bytes = later;
            if self.last.len() == CHUNK_BYTES {
                Arc::make_mut(&mut self.full).push(Arc::from(&self.last[..]));
                self.last.clear();
            }
        }
    }

    /// Drops every byte from `len` on. Nothing happens if there are fewer.
    pub fn truncate(&mut self, len: u64) {
        if len >= self.len() {
            return;
        }
        let (chunk, rest) = split(len);
        if chunk < self.full.len() {
            let full = Arc::make_mut(&mut self.full);
            self.last = full[chunk][..rest].to_vec();
            full.truncate(chunk);
        } else {
            self.last.truncate(rest);
        }
    }

    /// The bytes from `from` to `to`, or to the end if that comes first, in slices of at most [`CHUNK_BYTES`].
    pub fn slices(&self, from: u64, to: u64) -> impl Iterator<Item = &[u8]> {
        let to = to.min(self.len());
        let from = from.min(to);
        let ((first, _), (last, _)) = (split(from), split(to));
        (first..=last).filter_map(move |chunk| {
            let bytes = self.full.get(chunk).map_or(&self.last[..], |full| &full[..]);
            let start = if chunk == first { split(from).1 } else { 0 };
            let end = if chunk == last { split(to).1 } else { bytes.len() };
            (start < end).then(|| &bytes[start..end])
        })
    }

    /// Appends the bytes from `from` to `to` to `out`.
    pub fn read(&self, from: u64, to: u64, out: &mut Vec<u8>) {
        for slice in self.slices(from, to) {
            out.extend_from_slice(slice);
        }
    }

    /// How many full chunks this shares with `other`.
    #[cfg(test)]
    pub(crate) fn shared_with(&self, other: &LogBytes) -> usize {
        let pairs = self.full.iter().zip(other.full.iter());
        pairs.filter(|(ours, theirs)| Arc::ptr_eq(ours, theirs)).count()
    }
}

/// The number of the chunk that holds byte `at`, and the place in it.
fn split(at: u64) -> (usize, usize) {
    let at = usize::try_from(at).expect("a log in memory is counted by usize");
    (at / CHUNK_BYTES, at % CHUNK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_like_a_vector() {
        let mut plain: Vec<u8> = Vec::new();
        let mut log = LogBytes::default();
        for length in [1, CHUNK_BYTES - 1, 7, 3 * CHUNK_BYTES, 0, CHUNK_BYTES / 2] {
            let piece: Vec<u8> = (0..=250).cycle().take(length).collect();
            plain.extend_from_slice(&piece);
            log.append(&piece);
        }
        for cut in [plain.len(), plain.len() - 5, 3 * CHUNK_BYTES, 2 * CHUNK_BYTES + 9, 1, 0] {
            plain.truncate(cut);
            log.truncate(cut as u64);
            assert_eq!((log.len(), log.is_empty()), (cut as u64, cut == 0));
            for from in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, cut / 2, cut] {
                let mut read = Vec::new();
                log.read(from as u64, u64::MAX, &mut read);
                assert_eq!(read, plain[from.min(cut)..]);
            }
        }
    }

    #[test]
    fn a_clone_shares_all_full_chunks() {
        let mut log = LogBytes::default();
        log.append(&vec![1; 10 * CHUNK_BYTES + 5]);
        let mut other = log.clone();
        assert_eq!(other.shared_with(&log), 10);
        other.append(&vec![2; CHUNK_BYTES]);
        assert_eq!((other.shared_with(&log), log.len()), (10, 10 * CHUNK_BYTES as u64 + 5));
    }
}
