//! Reading a log: for the tab that writes it, and for those that look on.

use wasm_bindgen::prelude::*;
use web_sys::{BroadcastChannel, MessageEvent};

use super::check_name;
use super::error::StoreError;
use super::format::{BLOCK_BYTES, State, index};
use super::indexed_db::Database;
use super::js::{self, failure};

/// Streams a log up to the end it had when the reading began, some 4 MiB at a time.
pub struct LogReader {
    database: Database,
    epoch: [u8; 16],
    cuts: u64,
    at: u64,
    end: u64,
}

impl LogReader {
    pub(super) fn new(database: Database, state: Option<&State>, from: u64) -> LogReader {
        let (epoch, cuts, end) =
            state.map_or(([0; 16], 0, 0), |state| (state.head.epoch, state.head.cuts, state.head.log_bytes));
        LogReader { database, epoch, cuts, at: from, end }
    }

    /// Where the next bytes stand in the log.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next bytes; `None` at the end. [`StoreError::Changed`] if the log was cut or reset meanwhile: what was read
    /// before may no longer belong to it. Bytes that do not fit their checksum are [`StoreError::Damaged`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let (state, blocks) = self.database.blocks(self.at / BLOCK_BYTES).await?;
        let head = state.ok_or(StoreError::Changed)?.head;
        if head.epoch != self.epoch || head.cuts != self.cuts {
            return Err(StoreError::Changed);
        }
        let mut bytes = blocks.concat();
        bytes.truncate(index(self.end - self.at / BLOCK_BYTES * BLOCK_BYTES).min(bytes.len()));
        let skip = index(self.at % BLOCK_BYTES);
        if bytes.len() <= skip {
            let what = format!("in IndexedDB the log ends at byte {} of {}", self.at, self.end);
            return Err(StoreError::Damaged { what });
        }
        bytes.drain(..skip);
        self.at += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Everything from here to the end. For logs that are known to be small.
    pub async fn rest(mut self) -> Result<Vec<u8>, StoreError> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await? {
            all.extend(bytes);
        }
        Ok(all)
    }
}

/// Looks on at a log that another tab writes. It reads the copy in IndexedDB and never changes anything.
pub struct Onlooker {
    database: Database,
}

impl Onlooker {
    /// Opens the log `name` for reading.
    pub async fn open(name: &str) -> Result<Onlooker, StoreError> {
        check_name(name)?;
        Ok(Onlooker { database: Database::open(name).await? })
    }

    /// What is saved now; `None` if there is no log. Another `epoch` than before means that the log was reset, more
    /// `cuts` that bytes read before may be gone.
    pub async fn state(&self) -> Result<Option<State>, StoreError> {
        self.database
            .state()
            .await?
            .transpose()
            .map_err(|what| StoreError::Damaged { what: format!("in IndexedDB {what}") })
    }

    /// Reads the log that `state` describes, from a byte on.
    pub fn read(&self, state: &State, from: u64) -> LogReader {
        LogReader::new(self.database.clone(), Some(state), from)
    }

    /// A stored file's bytes; `None` if there is none of this name.
    pub async fn file(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.file(key).await
    }
}

impl Drop for Onlooker {
    fn drop(&mut self) {
        self.database.close();
    }
}

/// Calls back each time another tab or worker saved something or reset the log. Ends when dropped.
pub struct Notes {
    channel: BroadcastChannel,
    _callback: Closure<dyn FnMut(MessageEvent)>,
}

impl Notes {
    /// Listens for what is saved in the log `name`. The callback gets the log's length in bytes. Notes are hints:
    /// what counts is what [`Onlooker::state`] then says.
    pub fn listen(name: &str, mut callback: impl FnMut(u64) + 'static) -> Result<Notes, StoreError> {
        let channel = channel(name)?;
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            callback(js::whole(event.data().as_f64().unwrap_or(0.0)));
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Ok(Notes { channel, _callback: on_message })
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        self.channel.close();
    }
}

/// The writer's end of the notes.
pub(super) struct NoteSender(BroadcastChannel);

impl NoteSender {
    pub(super) fn open(name: &str) -> Result<NoteSender, StoreError> {
        channel(name).map(NoteSender)
    }

    pub(super) fn saved(&self, log_bytes: u64) {
        // A note that does not arrive makes an onlooker late, never wrong.
        let _ = self.0.post_message(&JsValue::from_f64(log_bytes as f64));
    }
}

impl Drop for NoteSender {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn channel(name: &str) -> Result<BroadcastChannel, StoreError> {
    BroadcastChannel::new(&format!("walletlab-{name}"))
        .map_err(|error| failure("opening a channel between tabs", &error))
}
