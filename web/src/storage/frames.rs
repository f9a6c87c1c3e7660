//! The file of frames in the origin private file system. Pure: no browser, no clock.
//!
//! One commit is one frame, appended; nothing before it is ever touched, so a commit that stops half-way leaves all
//! earlier ones as they were. A commit that cuts the log says so in its frame, and the bytes it cut stay behind in
//! the file, skipped by every reader. A *base* frame stands first in a file that was built anew: it carries the whole
//! log instead of one commit's share.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | magic `WLFr` |
//! | 4 | 2, 2 | version 1; kind 1 = commit, 2 = base |
//! | 8 | 8 | bytes of the lead |
//! | 16 | 8 | bytes of the log in this frame |
//! | 24 | 4, 4, 4 | the run: bytes kept from the front of the one before, bytes kept from its back, new bytes between |
//! | 36 | 4 | number of files |
//! | 40 | 4, 4 | CRC32C of the lead; CRC32C of the log's bytes |
//! | 48 | 64 | the head after this frame |
//! | 112 | 4 | CRC32C of the header before this field |
//! | 116 | | lead: the run's new bytes, then each file as key, commit, bytes; then the log's bytes |
//!
//! A run changes little from one commit to the next, so a frame carries only what changed: otherwise a long list of
//! inputs made by hand would be written again with each commit.

use std::collections::BTreeMap;

use super::format::{
    Bytes, Change, Checksum, FileEntry, HEAD_BYTES, Head, State, checksum, count, index, place_file,
    put_bytes, put_head, put_u32, put_u64,
};
use super::recovery::{Chain, CopyState};

/// Bytes of a frame before its lead.
pub const HEADER_BYTES: u64 = HEADER_LENGTH as u64;

const HEADER_LENGTH: usize = 48 + HEAD_BYTES + 4;

const MAGIC: [u8; 4] = *b"WLFr";
const VERSION: u16 = 1;
/// Bytes looked at in one read while a file is checked.
const WINDOW_BYTES: u64 = 1024 * 1024;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The bytes of one commit.
    Commit = 1,
    /// The whole log up to one commit.
    Base = 2,
}

/// A frame in the making. Its log bytes pass by [`FrameMaker::push`]; only their checksum is kept.
pub struct FrameMaker {
    kind: FrameKind,
    lead: Vec<u8>,
    run_kept: [u32; 3],
    files: u32,
    bytes: u64,
    sum: Checksum,
}

/// The log's bytes in a frame: how many, and their CRC32C.
type Body = (u64, u32);

impl FrameMaker {
    /// A frame whose run is `run` where the one before was `previous_run`. Files come with the commit that stored
    /// them.
    pub fn new(kind: FrameKind, previous_run: &[u8], run: &[u8], files: &[(&str, u64, &[u8])]) -> FrameMaker {
        let front = previous_run.iter().zip(run).take_while(|(one, other)| one == other).count();
        let back = previous_run[front..]
            .iter()
            .rev()
            .zip(run[front..].iter().rev())
            .take_while(|(one, other)| one == other)
            .count();
        let fresh = &run[front..run.len() - back];
        let mut lead = fresh.to_vec();
        for (key, commit, bytes) in files {
            put_bytes(&mut lead, key.as_bytes());
            put_u64(&mut lead, *commit);
            put_bytes(&mut lead, bytes);
        }
        let run_kept = [count(front), count(back), count(fresh.len())];
        FrameMaker { kind, lead, run_kept, files: count(files.len()), bytes: 0, sum: Checksum::default() }
    }

    /// The frame of one commit, complete but for `change.bytes`, which belong directly behind it.
    pub fn commit(previous: Option<&State>, state: &State, change: &Change<'_>) -> Vec<u8> {
        let files: Vec<_> =
            change.files.iter().map(|(key, bytes)| (*key, state.head.commit, *bytes)).collect();
        let previous_run = previous.map_or(&[][..], |state| &state.run);
        let frame = FrameMaker::new(FrameKind::Commit, previous_run, change.run, &files);
        let mut out = frame.header(&state.head, (change.bytes.len() as u64, change.bytes_checksum));
        out.extend_from_slice(&frame.lead);
        out
    }

    /// The bytes that stand between the header and the log's bytes.
    pub fn lead(&self) -> &[u8] {
        &self.lead
    }

    /// Takes in the next bytes of the log.
    pub fn push(&mut self, bytes: &[u8]) {
        self.sum.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The header, now that everything behind it is known.
    pub fn finish(mut self, head: &Head) -> Vec<u8> {
        let sum = std::mem::take(&mut self.sum).finish();
        self.header(head, (self.bytes, sum))
    }

    fn header(&self, head: &Head, (bytes, bytes_checksum): Body) -> Vec<u8> {
        let lead_bytes = self.lead.len() as u64;
        let mut out = Vec::with_capacity(index(HEADER_BYTES + lead_bytes));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(self.kind as u16).to_le_bytes());
        put_u64(&mut out, lead_bytes);
        put_u64(&mut out, bytes);
        for part in self.run_kept {
            put_u32(&mut out, part);
        }
        put_u32(&mut out, self.files);
        put_u32(&mut out, checksum(&self.lead));
        put_u32(&mut out, bytes_checksum);
        put_head(&mut out, head);
        let sum = checksum(&out);
        put_u32(&mut out, sum);
        out
    }
}

/// Bytes of the log that stand somewhere in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where they stand in the log.
    pub log_at: u64,
    /// Where they stand in the file.
    pub file_at: u64,
    /// How many they are.
    pub bytes: u64,
}

/// What a whole file of frames holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The state after the last whole frame; `None` without one.
    pub state: Option<State>,
    /// The last whole frame's kind.
    pub last_kind: Option<FrameKind>,
    /// The log, piece by piece, in order and without gaps.
    pub pieces: Vec<Piece>,
    /// Where each file's bytes begin.
    pub file_places: BTreeMap<String, u64>,
    /// Bytes up to the end of the last whole frame.
    pub valid_bytes: u64,
    /// Why the bytes behind are not a frame; `None` if there are none.
    pub damage: Option<String>,
    links: Vec<u64>,
    commit_seen: u64,
    /// Something stands here that must not be taken for a torn end.
    foreign: bool,
}

impl Scan {
    /// Checks a file of `file_bytes` bytes from its start to its end. `read` fills the whole buffer from an offset.
    pub fn read<E>(
        file_bytes: u64,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Scan, E> {
        let mut scan = Scan::default();
        while scan.valid_bytes < file_bytes {
            match scan.next_frame(file_bytes, read)? {
                Ok(()) => {}
                Err(what) => {
                    scan.damage = Some(format!("at byte {} of the file {what}", scan.valid_bytes));
                    scan.search_traces(file_bytes, read)?;
                    break;
                }
            }
        }
        Ok(scan)
    }

    /// What stands for a file that the browser cannot read.
    pub fn unreadable(what: String) -> Scan {
        Scan { damage: Some(what), foreign: true, ..Scan::default() }
    }

    /// What this says about the copy.
    pub fn copy_state(&self) -> CopyState {
        match (&self.state, &self.damage) {
            (_, Some(what)) if self.foreign => CopyState::Damaged { what: what.clone() },
            (Some(state), _) => {
                let chain = Chain { head: state.head, links: self.links.clone() };
                CopyState::Valid { chain, commit_seen: self.commit_seen }
            }
            (None, Some(what)) if self.commit_seen > 1 => CopyState::Damaged { what: what.clone() },
            // The first commit was never acknowledged if it is torn.
            (None, _) => CopyState::Empty,
        }
    }

    fn next_frame<E>(
        &mut self,
        file_bytes: u64,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Result<(), String>, E> {
        let at = self.valid_bytes;
        if file_bytes - at < HEADER_BYTES {
            return Ok(Err("a frame's header ends early".to_owned()));
        }
        let mut header = [0; HEADER_LENGTH];
        read(at, &mut header)?;
        if header[..4] == MAGIC && header[4..6] != VERSION.to_le_bytes() {
            self.foreign = true;
            return Ok(Err("a frame of another version begins".to_owned()));
        }
        let Some(header) = Header::decode(&header) else {
            return Ok(Err("no frame begins".to_owned()));
        };
        if let Err(what) = self.check(&header, file_bytes - at - HEADER_BYTES) {
            return Ok(Err(what));
        }
        let mut lead = vec![0; index(header.lead_bytes)];
        read(at + HEADER_BYTES, &mut lead)?;
        if checksum(&lead) != header.lead_checksum {
            return Ok(Err(format!("the checksum of commit {} does not fit", header.head.commit)));
        }
        let mut sum = Checksum::default();
        let bytes_at = at + HEADER_BYTES + header.lead_bytes;
        let mut window = vec![0; index(header.bytes.min(WINDOW_BYTES))];
        let mut done = 0;
        while done < header.bytes {
            let part = &mut window[..index((header.bytes - done).min(WINDOW_BYTES))];
            read(bytes_at + done, part)?;
            sum.update(part);
            done += part.len() as u64;
        }
        if sum.finish() != header.bytes_checksum {
            return Ok(Err(format!("the checksum of commit {} does not fit", header.head.commit)));
        }
        Ok(self.take_in(&header, &lead, at, bytes_at).ok_or_else(|| "a frame's lead ends early".to_owned()))
    }

    /// Whether a frame can follow what was read so far.
    fn check(&self, header: &Header, behind: u64) -> Result<(), String> {
        let head = &header.head;
        let commit = head.commit;
        if header.lead_bytes.checked_add(header.bytes).is_none_or(|bytes| bytes > behind) {
            return Err(format!("commit {commit} ends early"));
        }
        if header.kind == FrameKind::Base {
            return if self.state.is_none() && header.bytes == head.log_bytes && header.run_kept[..2] == [0, 0]
            {
                Ok(())
            } else {
                Err(format!("a base at commit {commit} is out of place"))
            };
        }
        let follows = match &self.state {
            None => commit == 1 && head.previous_link == 0 && head.cut_to == 0,
            Some(state) => {
                commit == state.head.commit + 1
                    && head.epoch == state.head.epoch
                    && head.previous_link == state.head.link
                    && head.cut_to <= state.head.log_bytes
            }
        };
        let run_before = self.state.as_ref().map_or(0, |state| state.run.len() as u64);
        let run_kept = u64::from(header.run_kept[0]) + u64::from(header.run_kept[1]);
        if follows && head.cut_to.checked_add(header.bytes) == Some(head.log_bytes) && run_kept <= run_before
        {
            Ok(())
        } else {
            Err(format!("commit {commit} does not follow the one before"))
        }
    }

    /// Makes a checked frame part of the picture. `None`: its lead is not in order.
    fn take_in(&mut self, header: &Header, lead: &[u8], at: u64, bytes_at: u64) -> Option<()> {
        let [front, back, fresh] = header.run_kept.map(|part| index(u64::from(part)));
        let (previous_run, mut files) =
            self.state.take().map_or_else(Default::default, |state| (state.run, state.files));
        let mut rest = Bytes(lead);
        let mut run = previous_run[..front].to_vec();
        run.extend_from_slice(rest.take(fresh)?);
        run.extend_from_slice(&previous_run[previous_run.len() - back..]);
        for _ in 0..header.files {
            let key = String::from_utf8(rest.bytes()?.to_vec()).ok()?;
            let commit = rest.u64()?;
            let bytes = rest.bytes()?;
            let value_at = at + HEADER_BYTES + (lead.len() - rest.0.len() - bytes.len()) as u64;
            self.file_places.insert(key.clone(), value_at);
            place_file(
                &mut files,
                FileEntry { key, bytes: bytes.len() as u64, checksum: checksum(bytes), commit },
            );
        }
        if self.links.is_empty() {
            self.links.push(header.head.previous_link);
        }
        self.links.push(header.head.link);
        let log_at = header.head.log_bytes - header.bytes;
        cut(&mut self.pieces, log_at);
        if header.bytes > 0 {
            self.pieces.push(Piece { log_at, file_at: bytes_at, bytes: header.bytes });
        }
        self.commit_seen = header.head.commit;
        self.last_kind = Some(header.kind);
        self.valid_bytes = bytes_at + header.bytes;
        self.state = Some(State { head: header.head, run, files });
        Some(())
    }

    /// Looks behind the last whole frame for any header that is whole: a trace of a later commit.
    fn search_traces<E>(
        &mut self,
        file_bytes: u64,
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let epoch = self.state.as_ref().map(|state| state.head.epoch);
        let mut at = self.valid_bytes;
        while file_bytes - at >= HEADER_BYTES {
            let mut window = vec![0; index((file_bytes - at).min(WINDOW_BYTES))];
            read(at, &mut window)?;
            for candidate in window.windows(HEADER_LENGTH) {
                if candidate[..4] == MAGIC
                    && let Some(header) = Header::decode(candidate)
                    && epoch.is_none_or(|epoch| epoch == header.head.epoch)
                {
                    self.commit_seen = self.commit_seen.max(header.head.commit);
                }
            }
            // A header across the border of two windows is found in the second.
            at += window.len() as u64 - (HEADER_BYTES - 1);
        }
        Ok(())
    }
}

struct Header {
    kind: FrameKind,
    lead_bytes: u64,
    bytes: u64,
    run_kept: [u32; 3],
    files: u32,
    lead_checksum: u32,
    bytes_checksum: u32,
    head: Head,
}

impl Header {
    fn decode(bytes: &[u8]) -> Option<Header> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if body[..4] != MAGIC || checksum(body) != u32::from_le_bytes(*sum) {
            return None;
        }
        let kind = match u16::from_le_bytes([body[6], body[7]]) {
            1 => FrameKind::Commit,
            2 => FrameKind::Base,
            _ => return None,
        };
        let mut rest = Bytes(&body[8..]);
        Some(Header {
            kind,
            lead_bytes: rest.u64()?,
            bytes: rest.u64()?,
            run_kept: [rest.u32()?, rest.u32()?, rest.u32()?],
            files: rest.u32()?,
            lead_checksum: rest.u32()?,
            bytes_checksum: rest.u32()?,
            head: rest.head()?,
        })
    }
}

/// Cuts the log's pieces to `log_bytes`.
fn cut(pieces: &mut Vec<Piece>, log_bytes: u64) {
    while pieces.last().is_some_and(|piece| piece.log_at >= log_bytes) {
        pieces.pop();
    }
    if let Some(last) = pieces.last_mut() {
        last.bytes = last.bytes.min(log_bytes - last.log_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Disk {
        bytes: Vec<u8>,
        states: Vec<State>,
        ends: Vec<usize>,
    }

    impl Disk {
        fn commit(&mut self, cut_to: Option<u64>, bytes: &[u8], run: &[u8], files: &[(&str, &[u8])]) {
            let before = self.states.last();
            let cut_to = cut_to.or(before.map(|state| state.head.log_bytes)).unwrap_or(0);
            let change = Change::new(bytes, run, files);
            let state = State::after(before, [9; 16], cut_to, &change);
            self.bytes.extend(FrameMaker::commit(before, &state, &change));
            self.bytes.extend_from_slice(bytes);
            self.ends.push(self.bytes.len());
            self.states.push(state);
        }

        fn log(&self, scan: &Scan) -> Vec<u8> {
            let mut log = Vec::new();
            for piece in &scan.pieces {
                assert_eq!(piece.log_at, log.len() as u64);
                let at = index(piece.file_at);
                log.extend_from_slice(&self.bytes[at..at + index(piece.bytes)]);
            }
            log
        }
    }

    fn scan(bytes: &[u8]) -> Scan {
        let read = &mut |at: u64, buffer: &mut [u8]| -> Result<(), ()> {
            let at = index(at);
            buffer.copy_from_slice(&bytes[at..at + buffer.len()]);
            Ok(())
        };
        Scan::read(bytes.len() as u64, read).unwrap()
    }

    fn disk() -> Disk {
        let mut disk = Disk { bytes: Vec::new(), states: Vec::new(), ends: Vec::new() };
        disk.commit(None, b"hello ", b"step 1 of seed 7", &[("a.csv", b"x,y")]);
        disk.commit(None, b"world", b"step 2 of seed 7", &[]);
        disk.commit(Some(8), b"", b"step 2 of seed 7", &[]);
        disk.commit(
            Some(7),
            b"orld, again",
            b"step 30 of seed 7 + by hand",
            &[("b.csv", b""), ("a.csv", b"z")],
        );
        disk
    }

    #[test]
    fn frames_give_back_log_run_and_files() {
        let disk = disk();
        let scan = scan(&disk.bytes);
        assert_eq!(scan.state.as_ref(), disk.states.last());
        assert_eq!(disk.log(&scan), b"hello world, again");
        let place = index(scan.file_places["a.csv"]);
        assert_eq!(&disk.bytes[place..=place], b"z");
        assert_eq!(scan.damage, None);
        let CopyState::Valid { chain, commit_seen } = scan.copy_state() else { panic!("{scan:?}") };
        assert_eq!(commit_seen, 4);
        for state in &disk.states {
            assert_eq!(chain.link_after(state.head.commit), Some(state.head.link));
        }
        assert_eq!(chain.link_after(0), Some(0));
    }

    #[test]
    fn a_file_cut_anywhere_ends_at_the_last_whole_commit() {
        let disk = disk();
        for length in 0..=disk.bytes.len() {
            let scan = scan(&disk.bytes[..length]);
            let whole = disk.ends.iter().filter(|end| **end <= length).count();
            assert_eq!(scan.state.as_ref(), whole.checked_sub(1).map(|last| &disk.states[last]), "{length}");
            let end = whole.checked_sub(1).map_or(0, |last| disk.ends[last]);
            assert_eq!((scan.valid_bytes, scan.damage.is_some()), (end as u64, end != length), "{length}");
            match scan.copy_state() {
                CopyState::Empty => assert_eq!(whole, 0),
                CopyState::Valid { commit_seen, .. } => assert!(commit_seen <= whole as u64 + 1),
                CopyState::Damaged { what } => panic!("cut at {length} is only torn: {what}"),
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_found_and_what_stood_behind_it_is_noticed() {
        let disk = disk();
        for at in 0..disk.bytes.len() * 8 {
            let mut broken = disk.bytes.clone();
            broken[at / 8] ^= 1 << (at % 8);
            let scan = scan(&broken);
            let whole = disk.ends.iter().filter(|end| **end <= at / 8).count();
            assert_eq!(scan.state.as_ref(), whole.checked_sub(1).map(|last| &disk.states[last]), "bit {at}");
            let frame_at = whole.checked_sub(1).map_or(0, |last| disk.ends[last]);
            let in_version = (frame_at + 4..frame_at + 6).contains(&(at / 8));
            match scan.copy_state() {
                CopyState::Valid { commit_seen, .. } => {
                    assert!(whole > 0 && !in_version, "bit {at}");
                    assert!(whole == 3 || commit_seen == 4, "bit {at}");
                }
                CopyState::Damaged { .. } => assert!(whole == 0 || in_version, "bit {at}"),
                CopyState::Empty => panic!("bit {at} made the file look empty"),
            }
        }
    }

    #[test]
    fn a_base_stands_for_all_before_it() {
        let disk = disk();
        let state = disk.states.last().unwrap();
        let files = [("a.csv", 4, &b"z"[..]), ("b.csv", 4, &b""[..])];
        let mut maker = FrameMaker::new(FrameKind::Base, &[], &state.run, &files);
        maker.push(b"hello world");
        maker.push(b", again");
        let lead = maker.lead().to_vec();
        let mut bytes = maker.finish(&state.head);
        bytes.extend(lead);
        bytes.extend_from_slice(b"hello world, again");
        let mut rebuilt = Disk { bytes, states: disk.states.clone(), ends: Vec::new() };
        let found = scan(&rebuilt.bytes);
        assert_eq!(found.state.as_ref(), Some(state));
        assert_eq!(rebuilt.log(&found), b"hello world, again");
        rebuilt.commit(None, b"!", b"step 31", &[]);
        let found = scan(&rebuilt.bytes);
        assert_eq!(found.state.as_ref(), rebuilt.states.last());
        assert_eq!(rebuilt.log(&found), b"hello world, again!");
    }

    #[test]
    fn a_frame_of_a_later_version_is_never_cut_off_as_torn() {
        let disk = disk();
        for at in [0, disk.ends[2]] {
            let mut bytes = disk.bytes.clone();
            bytes[at + 4] = 2;
            assert!(matches!(scan(&bytes).copy_state(), CopyState::Damaged { .. }), "{at}");
        }
    }

    #[test]
    fn any_two_runs_are_told_apart() {
        let runs: [&[u8]; 7] = [b"", b"a", b"aa", b"aba", b"abba", b"ba", b"aab"];
        for one in runs {
            for other in runs {
                let mut disk = Disk { bytes: Vec::new(), states: Vec::new(), ends: Vec::new() };
                disk.commit(None, b"", one, &[]);
                disk.commit(None, b"", other, &[]);
                assert_eq!(scan(&disk.bytes).state.unwrap().run, other);
            }
        }
    }
}
