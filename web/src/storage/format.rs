//! The bytes of the two copies. Pure: no browser, no clock.
//!
//! *IndexedDB* holds the log in blocks of [`BLOCK_BYTES`]; block `n` holds the log's bytes from `n * BLOCK_BYTES`
//! on, so a byte's block is found by a division. Beside them stand one [`State`] and the files.
//!
//! *OPFS* holds one file of frames (see [`super::frames`]), one a commit, only ever appended to.
//!
//! Both carry the same [`Head`], whose `link` chains over the contents of every commit: two copies with the same
//! link hold the same commits. All numbers are little-endian.
//!
//! Absent here: any knowledge of what the log, the run or the files mean.

use crc::{CRC_32_ISCSI, CRC_64_XZ, Crc, Digest, Table};

/// Bytes of the log in one IndexedDB block (the last one may be shorter, and is written again when it grows). Smaller
/// blocks make large commits and opening slower, larger ones make small commits slower: 64 KiB took up to three times
/// as long to open, 1 MiB twice as long for a commit of 64 KiB.
pub const BLOCK_BYTES: u64 = 256 * 1024;

/// Most bytes of log, run and files together in one commit.
pub const COMMIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

static CRC32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
static CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

const STATE_MAGIC: u32 = u32::from_le_bytes(*b"WLSt");
const STATE_VERSION: u32 = 1;

/// Where a copy stands: which log, after which commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Random identity of the log, new after every reset.
    pub epoch: [u8; 16],
    /// Number of the newest commit; the first one is 1.
    pub commit: u64,
    /// How many commits have cut bytes off the log's end.
    pub cuts: u64,
    /// Where the newest commit's bytes begin in the log.
    pub cut_to: u64,
    /// Bytes of the log after the newest commit.
    pub log_bytes: u64,
    /// Checksum chained over everything committed.
    pub link: u64,
    /// `link` before the newest commit; 0 for the first.
    pub previous_link: u64,
}

/// What one commit brings, checked and ready for both copies.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Log bytes appended at `cut_to` of the head.
    pub bytes: &'a [u8],
    /// CRC32C of `bytes`, computed once for all who need it.
    pub bytes_checksum: u32,
    /// The run's description after this commit.
    pub run: &'a [u8],
    /// Files that the commit adds or replaces.
    pub files: &'a [(&'a str, &'a [u8])],
}

impl<'a> Change<'a> {
    /// Bytes, run and files of one commit.
    pub fn new(bytes: &'a [u8], run: &'a [u8], files: &'a [(&'a str, &'a [u8])]) -> Change<'a> {
        Change { bytes, bytes_checksum: checksum(bytes), run, files }
    }

    /// Bytes of log, run and files together.
    pub fn total_bytes(&self) -> u64 {
        let files: usize = self.files.iter().map(|(key, bytes)| key.len() + bytes.len()).sum();
        (self.bytes.len() + self.run.len() + files) as u64
    }
}

/// A stored file, as the state lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// The caller's name for it.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// CRC32C of its bytes.
    pub checksum: u32,
    /// The commit that stored it.
    pub commit: u64,
}

/// Everything a copy says about itself besides the log's bytes and the files' bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the copy stands.
    pub head: Head,
    /// The run that belongs to exactly these bytes.
    pub run: Vec<u8>,
    /// The files, sorted by key.
    pub files: Vec<FileEntry>,
}

impl State {
    /// The state after `change`, of which `cut_to` is where its bytes begin. `epoch` counts only if nothing
    /// precedes.
    pub fn after(previous: Option<&State>, epoch: [u8; 16], cut_to: u64, change: &Change<'_>) -> State {
        let before = previous.map(|state| state.head);
        let mut head = Head {
            epoch: before.map_or(epoch, |head| head.epoch),
            commit: before.map_or(1, |head| head.commit + 1),
            cuts: before.map_or(0, |head| head.cuts + u64::from(cut_to < head.log_bytes)),
            cut_to,
            log_bytes: cut_to + change.bytes.len() as u64,
            link: 0,
            previous_link: before.map_or(0, |head| head.link),
        };
        let mut files = previous.map_or_else(Vec::new, |state| state.files.clone());
        let mut link = CRC64.digest();
        link.update(&head.previous_link.to_le_bytes());
        link.update(&head.epoch);
        for number in [head.commit, head.cuts, head.cut_to, head.log_bytes] {
            link.update(&number.to_le_bytes());
        }
        link.update(&change.bytes_checksum.to_le_bytes());
        link.update(&checksum(change.run).to_le_bytes());
        for (key, bytes) in change.files {
            let entry = FileEntry {
                key: (*key).to_owned(),
                bytes: bytes.len() as u64,
                checksum: checksum(bytes),
                commit: head.commit,
            };
            link.update(&(key.len() as u64).to_le_bytes());
            link.update(key.as_bytes());
            link.update(&entry.checksum.to_le_bytes());
            place_file(&mut files, entry);
        }
        head.link = link.finalize();
        State { head, run: change.run.to_vec(), files }
    }

    /// The state as one value for IndexedDB, ending in its checksum.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.run.len());
        put_u32(&mut out, STATE_MAGIC);
        put_u32(&mut out, STATE_VERSION);
        put_head(&mut out, &self.head);
        put_bytes(&mut out, &self.run);
        put_u32(&mut out, count(self.files.len()));
        for file in &self.files {
            put_bytes(&mut out, file.key.as_bytes());
            put_u64(&mut out, file.bytes);
            put_u32(&mut out, file.checksum);
            put_u64(&mut out, file.commit);
        }
        let sum = checksum(&out);
        put_u32(&mut out, sum);
        out
    }

    /// Reads [`State::encode`]'s bytes. `Err` says in what way they do not fit.
    pub fn decode(bytes: &[u8]) -> Result<State, String> {
        let Some((body, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(format!("the state has only {} bytes", bytes.len()));
        };
        if checksum(body) != u32::from_le_bytes(*sum) {
            return Err("the state's checksum does not fit".to_owned());
        }
        let mut rest = Bytes(body);
        let too_short = || "the state ends early".to_owned();
        if rest.u32() != Some(STATE_MAGIC) {
            return Err("the state does not begin as one of ours".to_owned());
        }
        match rest.u32() {
            Some(STATE_VERSION) => {}
            Some(other) => {
                return Err(format!("the state has version {other}, this page knows {STATE_VERSION}"));
            }
            None => return Err(too_short()),
        }
        let head = rest.head().ok_or_else(too_short)?;
        let run = rest.bytes().ok_or_else(too_short)?.to_vec();
        let mut files = Vec::new();
        for _ in 0..rest.u32().ok_or_else(too_short)? {
            files.push(rest.file().ok_or_else(too_short)?);
        }
        Ok(State { head, run, files })
    }
}

/// Puts or replaces a file's entry, keeping the list sorted by key.
pub fn place_file(files: &mut Vec<FileEntry>, entry: FileEntry) {
    match files.binary_search_by(|file| file.key.cmp(&entry.key)) {
        Ok(at) => files[at] = entry,
        Err(at) => files.insert(at, entry),
    }
}

/// CRC32C of `bytes`.
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC32C.checksum(bytes)
}

/// CRC32C in the making, for bytes that come in parts.
pub struct Checksum(Digest<'static, u32, Table<16>>);

impl Default for Checksum {
    fn default() -> Self {
        Checksum(CRC32C.digest())
    }
}

impl Checksum {
    /// Takes in further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes taken in.
    pub fn finish(self) -> u32 {
        self.0.finalize()
    }
}

/// Checksum of an IndexedDB block. The number is part of it, so a block in another's place is found out.
pub fn block_checksum(number: u64, parts: [&[u8]; 2]) -> u32 {
    let mut sum = Checksum::default();
    sum.update(&number.to_le_bytes());
    sum.update(parts[0]);
    sum.update(parts[1]);
    sum.finish()
}

/// A block's value without its checksum, or `None` if the two do not fit.
pub fn open_block(number: u64, value: &[u8]) -> Option<&[u8]> {
    let (sum, payload) = value.split_first_chunk::<4>()?;
    (block_checksum(number, [payload, &[]]) == u32::from_le_bytes(*sum)).then_some(payload)
}

/// How many blocks a log of so many bytes has.
pub fn blocks_count(log_bytes: u64) -> u64 {
    log_bytes.div_ceil(BLOCK_BYTES)
}

/// A length that is known to fit into memory as an index.
pub fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("lengths that reach memory are far below 4 GiB")
}

/// A length that is known to fit into 32 bits.
pub fn count(items: usize) -> u32 {
    u32::try_from(items).expect("a commit is limited far below 4 GiB")
}

/// Reads little-endian fields off the front of a slice; `None` where it ends early.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(front)
    }

    /// The next four bytes as a number.
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    /// The next eight bytes as a number.
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Bytes that begin with their length in four.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// The fields of a [`Head`].
    pub fn head(&mut self) -> Option<Head> {
        Some(Head {
            epoch: self.take(16)?.try_into().ok()?,
            commit: self.u64()?,
            cuts: self.u64()?,
            cut_to: self.u64()?,
            log_bytes: self.u64()?,
            link: self.u64()?,
            previous_link: self.u64()?,
        })
    }

    fn file(&mut self) -> Option<FileEntry> {
        Some(FileEntry {
            key: String::from_utf8(self.bytes()?.to_vec()).ok()?,
            bytes: self.u64()?,
            checksum: self.u32()?,
            commit: self.u64()?,
        })
    }
}

/// Bytes that [`put_head`] writes.
pub const HEAD_BYTES: usize = 64;

/// Writes the fields of a [`Head`].
pub fn put_head(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(&head.epoch);
    for number in [head.commit, head.cuts, head.cut_to, head.log_bytes, head.link, head.previous_link] {
        put_u64(out, number);
    }
}

/// Writes a number in four bytes.
pub fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Writes a number in eight bytes.
pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Writes bytes with their length in four bytes before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, count(bytes.len()));
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: [u8; 16] = [7; 16];

    #[test]
    fn state_survives_encoding_and_any_flipped_bit_is_found() {
        let files: [(&str, &[u8]); 2] = [("b.csv", b"1,2"), ("a.csv", b"")];
        let change = Change::new(b"abc", b"run", &files);
        let state = State::after(None, EPOCH, 0, &change);
        let bytes = state.encode();
        assert_eq!(State::decode(&bytes), Ok(state));
        for at in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[at / 8] ^= 1 << (at % 8);
            assert!(State::decode(&broken).is_err(), "flipped bit {at} went unnoticed");
        }
        for length in 0..bytes.len() {
            assert!(State::decode(&bytes[..length]).is_err(), "cut at {length} went unnoticed");
        }
    }

    #[test]
    fn link_covers_everything_a_commit_brings() {
        let base = State::after(None, EPOCH, 0, &Change::new(b"abcdef", b"r", &[]));
        let next = |cut_to, bytes, run, files| {
            State::after(Some(&base), EPOCH, cut_to, &Change::new(bytes, run, files)).head
        };
        let plain = next(6, b"x", b"r", &[]);
        assert_eq!(
            (plain.commit, plain.cuts, plain.log_bytes, plain.previous_link),
            (2, 0, 7, base.head.link)
        );
        let others = [
            next(5, b"x", b"r", &[]),
            next(6, b"y", b"r", &[]),
            next(6, b"x", b"s", &[]),
            next(6, b"x", b"r", &[("f", b"")]),
            next(6, b"x", b"r", &[("f", b"1")]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(other.link, plain.link, "{at}");
            assert!(others[..at].iter().all(|earlier| earlier.link != other.link), "{at}");
        }
        assert_eq!(others[0].cuts, 1);
        assert_eq!(next(6, b"x", b"r", &[]), plain, "the same commit made again has the same link");
    }

    #[test]
    fn a_block_fits_its_own_place_only() {
        let mut value = block_checksum(3, [b"ab", b"c"]).to_le_bytes().to_vec();
        value.extend_from_slice(b"abc");
        assert_eq!(open_block(3, &value), Some(&b"abc"[..]));
        assert_eq!(open_block(4, &value), None);
        assert_eq!(open_block(3, &value[..6]), None);
        assert_eq!(open_block(3, &[]), None);
    }

    #[test]
    fn a_replaced_file_is_listed_once() {
        let first = State::after(None, EPOCH, 0, &Change::new(b"", b"", &[("f", b"1")]));
        let second = State::after(Some(&first), EPOCH, 0, &Change::new(b"", b"", &[("f", b"22")]));
        assert_eq!(second.files.len(), 1);
        assert_eq!((second.files[0].bytes, second.files[0].commit), (2, 2));
    }
}
