//! Where one segment of the log ends and the next begins, and whether there is room for more records.

use core::cmp::min;

/// A segment is not full before it has so many bytes, unless [`Config::segment_bytes`](crate::Config::segment_bytes) is
/// smaller.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// Bytes after which a segment that begins at this byte of the log is full: as many as the log has before it, but at least
/// [`SEGMENT_BYTES_MIN`] and at most `segment_bytes`. So a small ledger reserves little, and a large one has few files.
///
/// A full segment takes no further record. The last one that it took may reach beyond the limit, and so may the seals
/// behind it.
#[must_use]
pub fn segment_limit(at_byte: u64, segment_bytes: u64) -> u64 {
    at_byte.clamp(min(SEGMENT_BYTES_MIN, segment_bytes), segment_bytes)
}

/// Which segment an [`Append`](crate::Append) goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The one that the append before it went to.
    #[default]
    Same,
    /// A new one: the bytes begin with its header.
    New,
}

/// The segment that the log stands in, and those that the driver has ready.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segments {
    /// `None`: one segment that the driver makes room in as it comes.
    segment_bytes: Option<u64>,
    /// Where the current one begins in the log.
    at_byte: u64,
    current: Current,
    further_ready: u32,
    storage: Storage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Current {
    Awaited,
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    Enough,
    Full,
}

/// Whether one more record can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// In the batch at hand.
    Here,
    /// In the batch at hand, which begins the next segment.
    InNextSegment,
    /// Not now, but without anybody's doing: the batch at hand ends, or the driver gets a segment ready.
    Later,
    /// Not before there is room on the disk.
    None,
}

impl Segments {
    /// A log that stands at this byte, where nothing is ready yet.
    pub(crate) fn new(segment_bytes: Option<u64>, at_byte: u64) -> Segments {
        Segments {
            segment_bytes,
            at_byte,
            current: Current::Awaited,
            further_ready: 0,
            storage: Storage::Enough,
        }
    }

    /// Says where the current segment begins.
    pub(crate) fn begins_at(&mut self, at_byte: u64) {
        self.at_byte = at_byte;
    }

    /// The driver has one more ready; the first is the one that the log stands in.
    pub(crate) fn ready(&mut self) {
        self.storage = Storage::Enough;
        match self.current {
            Current::Awaited => self.current = Current::Ready,
            Current::Ready => self.further_ready += 1,
        }
    }

    /// The driver cannot get one ready for now.
    pub(crate) fn storage_full(&mut self) {
        self.storage = Storage::Full;
    }

    /// Whether a record fits behind this byte of the log. `batch_records`: how many the batch at hand has.
    pub(crate) fn room(&self, log_bytes: u64, batch_records: usize) -> Room {
        let Some(segment_bytes) = self.segment_bytes else { return Room::Here };
        if self.current == Current::Ready {
            if log_bytes - self.at_byte < segment_limit(self.at_byte, segment_bytes) {
                return Room::Here;
            }
            // A header stands at the beginning of an append, so that each goes to one file.
            if batch_records > 0 {
                return Room::Later;
            }
            if self.further_ready > 0 {
                return Room::InNextSegment;
            }
        }
        match self.storage {
            Storage::Enough => Room::Later,
            Storage::Full => Room::None,
        }
    }

    /// The next segment begins at this byte of the log.
    pub(crate) fn begin(&mut self, at_byte: u64) {
        assert!(self.further_ready > 0, "a segment is begun only when it is ready");
        self.further_ready -= 1;
        self.at_byte = at_byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_grow_with_the_log_up_to_a_limit() {
        let limit = |at_byte| segment_limit(at_byte, 64 << 20);
        assert_eq!([limit(0), limit(1 << 20), limit(3 << 20)], [1 << 20, 1 << 20, 3 << 20]);
        assert_eq!([limit(64 << 20), limit(1 << 40)], [64 << 20; 2]);
        assert_eq!([segment_limit(0, 100), segment_limit(1_000, 100)], [100; 2]);
    }

    #[test]
    fn a_record_needs_a_segment_that_is_ready() {
        let mut segments = Segments::new(Some(100), 1_000);
        assert_eq!(segments.room(1_000, 0), Room::Later);
        segments.storage_full();
        assert_eq!(segments.room(1_000, 0), Room::None);
        segments.ready();
        assert_eq!([segments.room(1_099, 0), segments.room(1_099, 7)], [Room::Here; 2]);
        assert_eq!([segments.room(1_100, 0), segments.room(1_100, 7)], [Room::Later; 2]);
        segments.storage_full();
        assert_eq!([segments.room(1_100, 0), segments.room(1_100, 7)], [Room::None, Room::Later]);
        segments.ready();
        assert_eq!([segments.room(1_100, 0), segments.room(1_100, 7)], [Room::InNextSegment, Room::Later]);
        segments.begin(1_100);
        assert_eq!([segments.room(1_199, 1), segments.room(1_200, 0)], [Room::Here, Room::Later]);
        assert_eq!(Segments::new(None, 0).room(1 << 40, 9), Room::Here);
    }
}
