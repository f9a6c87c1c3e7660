//! The store of one log: both copies, the markers, and the rule that only what is in both counts as saved.

use super::error::StoreError;
use super::format::{BLOCK_BYTES, COMMIT_BYTES_MAX, Change, FileEntry, Head, State, index};
use super::frames::{FrameKind, Scan};
use super::indexed_db::Database;
use super::js;
use super::marker::Markers;
use super::opfs::{LOG_FILE, OpfsFile};
use super::read::{LogReader, NoteSender};
use super::recovery::{Copied, CopyState, Decision, MarkerKind, decide};
use super::{check_environment, check_name};

/// One commit: all of it is saved, or nothing of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// New bytes at the log's end; may be empty.
    pub bytes: &'a [u8],
    /// Cuts the log to so many bytes first.
    pub cut_to: Option<u64>,
    /// The run as it stands after these bytes: its seed, options, inputs and the step reached, in a form that the
    /// store does not look into.
    pub run: &'a [u8],
    /// Files to add or replace, by key.
    pub files: &'a [(&'a str, &'a [u8])],
}

/// What opening a store found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No log: a new user, or one who reset it.
    Fresh,
    /// Both copies were equal.
    Intact,
    /// Everything stopped between the two copies of a commit. It was whole in one of them and is now in both.
    Completed {
        /// The copy that had it.
        from: Copied,
        /// The log's bytes with it.
        log_bytes: u64,
    },
    /// One copy was gone, damaged or behind and was built anew from the other. Nothing is lost.
    Restored {
        /// The copy that was whole.
        from: Copied,
        /// The log's bytes.
        log_bytes: u64,
    },
    /// A log was saved here, and both copies of it are gone. The store is empty; this is said again at each opening
    /// until the first commit or a reset.
    Lost {
        /// Its length when it was last marked; it may have been up to twice as long.
        log_bytes: u64,
    },
}

/// A store that was opened.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// What was found.
    pub found: Found,
}

/// The log of one name, open for writing. Closes its copies when dropped.
pub struct Store {
    database: Database,
    file: OpfsFile,
    markers: Markers,
    notes: NoteSender,
    state: Option<State>,
    /// The identity that the first commit gives to the log.
    next_epoch: [u8; 16],
    /// The bytes of the last block if it is not full.
    tail: Vec<u8>,
    /// Where the next frame goes.
    file_end: u64,
    stopped: bool,
}

impl Store {
    /// Opens the log `name`, checks both copies in full and repairs what can be repaired. Hold the
    /// [`Lock`](super::Lock) of the same name; without it this waits up to two seconds for another holder and then
    /// gives up with [`StoreError::HeldElsewhere`].
    ///
    /// A repair needs room: where the browser has none, this fails with [`StoreError::Quota`] and touches neither
    /// copy that is whole; an [`Onlooker`](super::Onlooker) can read and export what is in IndexedDB.
    pub async fn open(name: &str) -> Result<Opened, StoreError> {
        check_name(name)?;
        check_environment()?;
        // The file comes first: whoever holds it is the only writer, and everything below may repair.
        let file = OpfsFile::open(name, LOG_FILE).await?;
        let markers = Markers::open(name).await?;
        let scan = survey_file(&file)?;
        let (database, in_idb, idb_state) = survey_database(name).await?;
        let decision = decide(&in_idb, &scan.copy_state(), markers.newest());
        if let Decision::Refuse { what } = decision {
            return Err(StoreError::Damaged { what });
        }
        let database = match database {
            Some(database) => database,
            // It cannot be read, and the decision rests on the other copy.
            None => {
                Database::delete(name).await?;
                Database::open(name).await?
            }
        };
        let notes = NoteSender::open(name)?;
        let next_epoch = js::random_id()?;
        let mut store = Store {
            database,
            file,
            markers,
            notes,
            state: None,
            next_epoch,
            tail: Vec::new(),
            file_end: 0,
            stopped: false,
        };
        let found = store.recover(decision, idb_state, scan).await?;
        Ok(Opened { store, found })
    }

    /// Saves one commit in both copies. When this returns `Ok`, it is on disk in both.
    ///
    /// After an error (other than one that names a fault of the commit itself: too large, cut behind the end) nothing
    /// counts as saved and the store takes no further commit; the caller still has its bytes. Open the store again:
    /// the commit is then there as a whole or not at all. The same holds if the future is dropped before its end.
    pub async fn commit(&mut self, commit: Commit<'_>) -> Result<(), StoreError> {
        if self.stopped {
            return Err(StoreError::Stopped);
        }
        let change = Change::new(commit.bytes, commit.run, commit.files);
        let total = change.total_bytes();
        if total > COMMIT_BYTES_MAX {
            return Err(StoreError::CommitTooLarge { bytes: total });
        }
        let log_bytes = self.log_bytes();
        let cut_to = commit.cut_to.unwrap_or(log_bytes);
        if cut_to > log_bytes {
            return Err(StoreError::CutBehindEnd { cut_to, log_bytes });
        }
        self.stopped = true;
        let tail = self.tail_before(cut_to).await?;
        let state = State::after(self.state.as_ref(), self.next_epoch, cut_to, &change);
        self.file_end = self.save(&state, &change, &tail).await?;
        self.tail = tail_after(tail, commit.bytes);
        let head = self.state.insert(state).head;
        self.mark(&head).await?;
        self.stopped = false;
        self.notes.saved(head.log_bytes);
        Ok(())
    }

    /// Bytes of the log.
    pub fn log_bytes(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.head.log_bytes)
    }

    /// Commits so far, and the run that the newest one brought; `None` before the first.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// The run that belongs to exactly the bytes of the log; `None` before the first commit.
    pub fn run(&self) -> Option<&[u8]> {
        self.state.as_ref().map(|state| &state.run[..])
    }

    /// The stored files, sorted by key.
    pub fn files(&self) -> &[FileEntry] {
        self.state.as_ref().map_or(&[], |state| &state.files)
    }

    /// A stored file's bytes; `None` if there is none of this name.
    pub async fn file(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.file(key).await
    }

    /// Reads the log from a byte on. Commits may go on meanwhile; the reading ends where the log ends now.
    pub fn read(&self, from: u64) -> LogReader {
        LogReader::new(self.database.clone(), self.state.as_ref(), from)
    }

    /// Empties both copies. From the moment the markers say so the reset is certain: if everything stops in between,
    /// the next opening finishes it.
    pub async fn reset(&mut self) -> Result<(), StoreError> {
        self.stopped = true;
        let epoch = self.state.as_ref().map_or([0; 16], |state| state.head.epoch);
        self.markers.write(MarkerKind::Resetting, epoch, 0, 0).await?;
        self.empty().await?;
        self.stopped = false;
        self.notes.saved(0);
        Ok(())
    }

    /// What makes a commit saved: queued in IndexedDB, written to the file, and then both brought to disk side by
    /// side. What can be taken back after a failure is taken back; what cannot is sorted out at the next opening.
    async fn save(&self, state: &State, change: &Change<'_>, tail: &[u8]) -> Result<u64, StoreError> {
        let before = self.state.as_ref();
        let pending = self.database.begin(before, state, change, tail)?;
        let end = match self.file.append(self.file_end, before, state, change) {
            Ok(end) => end,
            Err(error) => {
                pending.abort().await;
                self.take_back_frame();
                return Err(error);
            }
        };
        if let Err(error) = pending.commit() {
            pending.abort().await;
            self.take_back_frame();
            return Err(error);
        }
        let flushed = self.file.flush();
        if let Err(error) = pending.complete().await {
            self.take_back_frame();
            return Err(error);
        }
        flushed.map(|()| end)
    }

    /// A frame left behind would do no harm, so a failure here changes nothing.
    fn take_back_frame(&self) {
        if self.file.truncate(self.file_end).is_ok() {
            let _ = self.file.flush();
        }
    }

    /// The bytes that stand before `cut_to` in its block.
    async fn tail_before(&self, cut_to: u64) -> Result<Vec<u8>, StoreError> {
        let keep = index(cut_to % BLOCK_BYTES);
        if keep == 0 {
            return Ok(Vec::new());
        }
        if cut_to / BLOCK_BYTES == self.log_bytes() / BLOCK_BYTES {
            return Ok(self.tail[..keep].to_vec());
        }
        block_start(&self.database, cut_to).await
    }

    async fn recover(
        &mut self,
        decision: Decision,
        idb_state: Option<State>,
        scan: Scan,
    ) -> Result<Found, StoreError> {
        let opfs_state = scan.state.clone();
        if scan.damage.is_some() {
            // Only a commit that was never acknowledged, or a copy that is built anew below.
            self.file.truncate(scan.valid_bytes)?;
            self.file.flush()?;
        }
        self.file_end = scan.valid_bytes;
        let found = match decision {
            Decision::Fresh => Found::Fresh,
            Decision::Lost { log_bytes, .. } => Found::Lost { log_bytes },
            Decision::FinishReset => {
                self.empty().await?;
                return Ok(Found::Fresh);
            }
            Decision::Keep => {
                self.state = idb_state;
                Found::Intact
            }
            Decision::Complete { from } => {
                match (from, idb_state, opfs_state) {
                    (Copied::IndexedDb, Some(ahead), behind) => self.complete_file(ahead, behind).await?,
                    (Copied::Opfs, Some(behind), Some(ahead))
                        if scan.last_kind == Some(FrameKind::Commit) =>
                    {
                        self.complete_database(ahead, &behind, &scan).await?;
                    }
                    (_, _, ahead) => self.rebuild_database(ahead, &scan).await?,
                }
                Found::Completed { from, log_bytes: self.log_bytes() }
            }
            Decision::Rebuild { from } => {
                match from {
                    Copied::IndexedDb => self.rebuild_file(idb_state).await?,
                    Copied::Opfs => self.rebuild_database(opfs_state, &scan).await?,
                }
                Found::Restored { from, log_bytes: self.log_bytes() }
            }
            Decision::Refuse { what } => return Err(StoreError::Damaged { what }),
        };
        if let Some(head) = self.state.as_ref().map(|state| state.head) {
            if head.log_bytes % BLOCK_BYTES > 0 {
                self.tail = block_start(&self.database, head.log_bytes).await?;
            }
            self.mark(&head).await?;
        }
        Ok(found)
    }

    /// Makes the newest commit of IndexedDB in the file too.
    async fn complete_file(&mut self, ahead: State, behind: Option<State>) -> Result<(), StoreError> {
        let head = ahead.head;
        let bytes = LogReader::new(self.database.clone(), Some(&ahead), head.cut_to).rest().await?;
        let mut files = Vec::new();
        for file in ahead.files.iter().filter(|file| file.commit == head.commit) {
            let bytes = self.database.file(&file.key).await?.unwrap_or_default();
            files.push((file.key.clone(), bytes));
        }
        let files: Vec<_> = files.iter().map(|(key, bytes)| (&key[..], &bytes[..])).collect();
        let change = Change::new(&bytes, &ahead.run, &files);
        self.file_end = self.file.append(self.file_end, behind.as_ref(), &ahead, &change)?;
        self.file.flush()?;
        self.state = Some(ahead);
        Ok(())
    }

    /// Makes the newest commit of the file in IndexedDB too.
    async fn complete_database(
        &mut self,
        ahead: State,
        behind: &State,
        scan: &Scan,
    ) -> Result<(), StoreError> {
        let head = ahead.head;
        let mut bytes = vec![0; index(head.log_bytes - head.cut_to)];
        read_log(&self.file, scan, head.cut_to, &mut bytes)?;
        let files = read_files(&self.file, scan, &ahead, |file| file.commit == head.commit)?;
        let files: Vec<_> = files.iter().map(|(key, bytes)| (&key[..], &bytes[..])).collect();
        let change = Change::new(&bytes, &ahead.run, &files);
        let tail = match head.cut_to % BLOCK_BYTES {
            0 => Vec::new(),
            _ => block_start(&self.database, head.cut_to).await?,
        };
        let pending = self.database.begin(Some(behind), &ahead, &change, &tail)?;
        pending.commit()?;
        pending.complete().await?;
        self.state = Some(ahead);
        Ok(())
    }

    async fn rebuild_database(&mut self, state: Option<State>, scan: &Scan) -> Result<(), StoreError> {
        let state = whole(state)?;
        let files = read_files(&self.file, scan, &state, |_| true)?;
        let file = &self.file;
        self.database.rebuild(&state, &files, &mut |at, buffer| read_log(file, scan, at, buffer)).await?;
        self.state = Some(state);
        Ok(())
    }

    async fn rebuild_file(&mut self, state: Option<State>) -> Result<(), StoreError> {
        let state = whole(state)?;
        let mut files = Vec::new();
        for file in &state.files {
            files.push(self.database.file(&file.key).await?.unwrap_or_default());
        }
        let files: Vec<_> = state
            .files
            .iter()
            .zip(&files)
            .map(|(file, bytes)| (&file.key[..], file.commit, &bytes[..]))
            .collect();
        let mut rebuild = self.file.rebuild(&state, &files)?;
        let mut log = LogReader::new(self.database.clone(), Some(&state), 0);
        while let Some(bytes) = log.next().await? {
            rebuild.push(&bytes)?;
        }
        self.file_end = rebuild.finish(&state)?;
        self.state = Some(state);
        Ok(())
    }

    /// Empties both copies and lets the markers say so.
    async fn empty(&mut self) -> Result<(), StoreError> {
        self.file.truncate(0)?;
        self.file.flush()?;
        self.database.clear().await?;
        self.markers.write(MarkerKind::Reset, [0; 16], 0, 0).await?;
        self.next_epoch = js::random_id()?;
        (self.state, self.file_end) = (None, 0);
        self.tail.clear();
        Ok(())
    }

    /// Renews the markers when they know of another log, or of less than half of this one.
    async fn mark(&mut self, head: &Head) -> Result<(), StoreError> {
        if self.markers.tell_of(head.epoch, head.log_bytes) {
            return Ok(());
        }
        self.markers.write(MarkerKind::Live, head.epoch, head.commit, head.log_bytes).await
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.database.close();
    }
}

/// Removes the log `name` even if it is too damaged to be opened. Nobody may have it open.
pub async fn reset(name: &str) -> Result<(), StoreError> {
    check_name(name)?;
    check_environment()?;
    let file = OpfsFile::open(name, LOG_FILE).await?;
    let mut markers = Markers::open(name).await?;
    // All zero stands for whichever log there is: a damaged one may no longer tell.
    markers.write(MarkerKind::Resetting, [0; 16], 0, 0).await?;
    file.truncate(0)?;
    file.flush()?;
    match Database::open(name).await {
        Ok(database) => {
            let cleared = database.clear().await;
            database.close();
            cleared?;
        }
        Err(StoreError::Damaged { .. }) => Database::delete(name).await?,
        Err(other) => return Err(other),
    }
    markers.write(MarkerKind::Reset, [0; 16], 0, 0).await
}

/// Checks the file. Bytes that cannot be read are a finding, not an error.
fn survey_file(file: &OpfsFile) -> Result<Scan, StoreError> {
    match file.scan() {
        Err(StoreError::Failed { what }) => Ok(Scan::unreadable(what)),
        other => other,
    }
}

/// Checks the database; `None` if it cannot be read.
async fn survey_database(name: &str) -> Result<(Option<Database>, CopyState, Option<State>), StoreError> {
    let what = match Database::open(name).await {
        Ok(database) => match database.survey().await {
            Ok((CopyState::Damaged { what }, _)) | Err(StoreError::Failed { what }) => {
                database.close();
                what
            }
            Ok((copy, state)) => return Ok((Some(database), copy, state)),
            Err(other) => return Err(other),
        },
        Err(StoreError::Damaged { what }) => what,
        Err(other) => return Err(other),
    };
    Ok((None, CopyState::Damaged { what }, None))
}

/// The start of the block that holds byte `at`, up to this byte.
async fn block_start(database: &Database, at: u64) -> Result<Vec<u8>, StoreError> {
    let (_, blocks) = database.blocks(at / BLOCK_BYTES).await?;
    let block = blocks.into_iter().next().unwrap_or_default();
    let keep = index(at % BLOCK_BYTES);
    block.get(..keep).map(<[u8]>::to_vec).ok_or_else(|| StoreError::Damaged {
        what: format!("in IndexedDB the block before byte {at} of the log is too short"),
    })
}

/// The bytes of the last block if it is not full, once `bytes` stand behind `tail`.
fn tail_after(mut tail: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let total = tail.len() + bytes.len();
    let keep = total % index(BLOCK_BYTES);
    if keep <= bytes.len() && total >= index(BLOCK_BYTES) {
        return bytes[bytes.len() - keep..].to_vec();
    }
    tail.extend_from_slice(bytes);
    tail
}

/// Fills the buffer from a place in the log, wherever its pieces stand in the file.
fn read_log(file: &OpfsFile, scan: &Scan, at: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
    let mut filled = 0;
    let mut piece = scan.pieces.partition_point(|piece| piece.log_at + piece.bytes <= at);
    while filled < buffer.len() {
        let from = at + filled as u64;
        let place = scan.pieces.get(piece).ok_or_else(|| StoreError::Damaged {
            what: format!("in the private file system (OPFS) the log ends at byte {from}"),
        })?;
        let skip = from - place.log_at;
        let length = index((place.bytes - skip).min((buffer.len() - filled) as u64));
        file.read(place.file_at + skip, &mut buffer[filled..filled + length])?;
        filled += length;
        piece += 1;
    }
    Ok(())
}

fn read_files(
    file: &OpfsFile,
    scan: &Scan,
    state: &State,
    wanted: impl Fn(&FileEntry) -> bool,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut files = Vec::new();
    for entry in state.files.iter().filter(|entry| wanted(entry)) {
        let mut bytes = vec![0; index(entry.bytes)];
        file.read(scan.file_places[&entry.key], &mut bytes)?;
        files.push((entry.key.clone(), bytes));
    }
    Ok(files)
}

fn whole(state: Option<State>) -> Result<State, StoreError> {
    state.ok_or_else(|| StoreError::Damaged { what: "the copy to build from is empty".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_what_does_not_fill_a_block() {
        let block = index(BLOCK_BYTES);
        let log: Vec<u8> = (0..3 * block + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for (from, to) in
            [(0, 0), (0, 7), (5, 7), (5, block), (5, block + 1), (block - 1, 3 * block), (9, log.len())]
        {
            let tail = log[from / block * block..from].to_vec();
            let expected = &log[to / block * block..to];
            assert_eq!(tail_after(tail, &log[from..to]), expected, "{from}..{to}");
        }
    }
}
