//! The copy in IndexedDB: blocks of the log, one state, the files.
//!
//! A commit is one readwrite transaction with durability `strict`. All its requests are queued before anything is
//! awaited, because a transaction ends by itself once control returns to the browser without a pending request.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    IdbDatabase, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest, IdbTransaction, IdbTransactionMode,
};

use super::error::StoreError;
use super::format::{self, BLOCK_BYTES, Change, State, block_checksum, blocks_count, index};
use super::js::{self, CommitNow, StrictDatabase, answer, completion, failure};
use super::recovery::{Chain, CopyState};

const BLOCKS: &str = "blocks";
const STATE: &str = "state";
const FILES: &str = "files";
const STATE_KEY: &str = "state";
const DATABASE_VERSION: u32 = 1;
/// So long other connections to the database may take to close.
const BLOCKED_MILLIS_MAX: f64 = 3000.0;
/// Blocks read in one transaction: some 4 MiB.
const READ_BLOCKS_MAX: u32 = 16;
/// Blocks written in one transaction while the whole copy is built anew: some 8 MiB.
const REBUILD_BLOCKS_MAX: u64 = 32;

/// An open database. Other tabs can open it too: only the holder of the OPFS file may write.
#[derive(Clone)]
pub(super) struct Database {
    db: IdbDatabase,
    closed: Rc<RefCell<Option<String>>>,
}

impl Database {
    pub(super) async fn open(name: &str) -> Result<Database, StoreError> {
        let factory = factory()?;
        let request = factory
            .open_with_u32(&database_name(name), DATABASE_VERSION)
            .map_err(|error| failure("opening IndexedDB", &error))?;
        let made = request.clone();
        let upgrade = Closure::once(move || {
            let db: IdbDatabase = made.result().expect("an upgrade has its database").unchecked_into();
            for store in [BLOCKS, STATE, FILES] {
                db.create_object_store(store).expect("a new database has no stores yet");
            }
        });
        request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
        let db: IdbDatabase = opened(&request).await?.unchecked_into();
        let closed = Rc::new(RefCell::new(None));
        let database = Database { db, closed };
        database.watch_closing();
        Ok(database)
    }

    /// Removes the database. Waits for nobody: fails if another tab keeps it open.
    pub(super) async fn delete(name: &str) -> Result<(), StoreError> {
        let request = factory()?
            .delete_database(&database_name(name))
            .map_err(|error| failure("removing the database", &error))?;
        opened(&request).await.map(drop)
    }

    /// The state, decoded; `None` in an empty database. The inner error says in what way it does not fit.
    pub(super) async fn state(&self) -> Result<Option<Result<State, String>>, StoreError> {
        let transaction = self.read(&[STATE])?;
        let value = get(&transaction, STATE, STATE_KEY)?.await.map_err(reading)?;
        Ok(bytes_of(&value).map(|bytes| State::decode(&bytes)))
    }

    /// A file's bytes; `None` if there is none of this name.
    pub(super) async fn file(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.read(&[FILES])?;
        let value = get(&transaction, FILES, key)?.await.map_err(reading)?;
        Ok(bytes_of(&value))
    }

    /// The state, and the payloads of the blocks from `number` on, as one moment saw them.
    pub(super) async fn blocks(&self, number: u64) -> Result<(Option<State>, Vec<Vec<u8>>), StoreError> {
        let transaction = self.read(&[STATE, BLOCKS])?;
        let state = get(&transaction, STATE, STATE_KEY)?;
        let range = IdbKeyRange::lower_bound(&key_of(number)).map_err(reading)?;
        let blocks = store(&transaction, BLOCKS)?
            .get_all_with_key_and_limit(&range, READ_BLOCKS_MAX)
            .map_err(reading)?;
        let blocks = answer(&blocks);
        let state = state.await.map_err(reading)?;
        let blocks: Array = blocks.await.map_err(reading)?.unchecked_into();
        let state = match bytes_of(&state) {
            Some(bytes) => Some(State::decode(&bytes).map_err(damaged)?),
            None => None,
        };
        let mut payloads = Vec::new();
        for (value, number) in blocks.iter().zip(number..) {
            let value = bytes_of(&value).unwrap_or_default();
            let payload = format::open_block(number, &value)
                .ok_or_else(|| damaged(format!("block {number} of the log does not fit its checksum")))?;
            payloads.push(payload.to_vec());
        }
        Ok((state, payloads))
    }

    /// Checks the whole copy. What does not fit is a finding, not an error.
    pub(super) async fn survey(&self) -> Result<(CopyState, Option<State>), StoreError> {
        let found = match self.state().await? {
            None => return Ok((CopyState::Empty, None)),
            Some(Err(what)) => return Ok((CopyState::Damaged { what }, None)),
            Some(Ok(state)) => state,
        };
        match self.check(&found).await {
            Ok(()) => {
                let chain = Chain::of_head(found.head);
                Ok((CopyState::Valid { chain, commit_seen: found.head.commit }, Some(found)))
            }
            Err(StoreError::Damaged { what }) => Ok((CopyState::Damaged { what }, None)),
            Err(other) => Err(other),
        }
    }

    /// Queues one commit. It counts once [`Pending::complete`] says so, and can be dropped until then.
    ///
    /// `tail` holds the bytes of the block in which the change begins that stand before it.
    pub(super) fn begin(
        &self,
        previous: Option<&State>,
        state: &State,
        change: &Change<'_>,
        tail: &[u8],
    ) -> Result<Pending, StoreError> {
        let transaction = self.write(&[STATE, BLOCKS, FILES])?;
        let blocks = store(&transaction, BLOCKS)?;
        let first = state.head.cut_to / BLOCK_BYTES;
        let cut = previous.is_some_and(|previous| state.head.cut_to < previous.head.log_bytes);
        if cut {
            let range = IdbKeyRange::lower_bound(&key_of(first)).map_err(writing)?;
            blocks.delete(&range).map_err(writing)?;
        }
        if cut || !change.bytes.is_empty() {
            put_blocks(&blocks, first, tail, change.bytes)?;
        }
        let files = store(&transaction, FILES)?;
        for (key, bytes) in change.files {
            files.put_with_key(&Uint8Array::from(*bytes), &JsValue::from_str(key)).map_err(writing)?;
        }
        self.put_state(&transaction, state)?;
        let done = Box::pin(completion(&transaction));
        Ok(Pending { transaction, done })
    }

    /// Empties the database.
    pub(super) async fn clear(&self) -> Result<(), StoreError> {
        let transaction = self.write(&[STATE, BLOCKS, FILES])?;
        for name in [STATE, BLOCKS, FILES] {
            store(&transaction, name)?.clear().map_err(writing)?;
        }
        completion(&transaction).await.map_err(writing)
    }

    /// Builds the whole copy anew. `log` fills the buffer from a place in the log. The state comes last: a copy
    /// without one counts as empty, so stopping half-way leaves nothing that could be taken for whole.
    pub(super) async fn rebuild(
        &self,
        state: &State,
        files: &[(String, Vec<u8>)],
        log: &mut impl FnMut(u64, &mut [u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.clear().await?;
        let step = REBUILD_BLOCKS_MAX * BLOCK_BYTES;
        let mut at = 0;
        while at < state.head.log_bytes {
            let mut bytes = vec![0; index((state.head.log_bytes - at).min(step))];
            log(at, &mut bytes)?;
            let transaction = self.write(&[BLOCKS])?;
            put_blocks(&store(&transaction, BLOCKS)?, at / BLOCK_BYTES, &[], &bytes)?;
            completion(&transaction).await.map_err(writing)?;
            at += bytes.len() as u64;
        }
        let transaction = self.write(&[FILES, STATE])?;
        let store = store(&transaction, FILES)?;
        for (key, bytes) in files {
            store.put_with_key(&Uint8Array::from(&bytes[..]), &JsValue::from_str(key)).map_err(writing)?;
        }
        self.put_state(&transaction, state)?;
        completion(&transaction).await.map_err(writing)
    }

    pub(super) fn close(&self) {
        self.db.close();
    }

    async fn check(&self, state: &State) -> Result<(), StoreError> {
        let mut at = 0;
        while at < state.head.log_bytes {
            let (_, blocks) = self.blocks(at / BLOCK_BYTES).await?;
            if blocks.is_empty() {
                return Err(damaged(format!("the log ends at byte {at} of {}", state.head.log_bytes)));
            }
            for payload in blocks {
                let expected = (state.head.log_bytes - at).min(BLOCK_BYTES);
                if payload.len() as u64 != expected {
                    let found = payload.len();
                    return Err(damaged(format!("the block at byte {at} has {found} bytes, not {expected}")));
                }
                at += expected;
            }
        }
        let transaction = self.read(&[BLOCKS])?;
        let count = store(&transaction, BLOCKS)?.count().map_err(reading)?;
        let count = js::whole(answer(&count).await.map_err(reading)?.as_f64().unwrap_or(0.0));
        if count != blocks_count(state.head.log_bytes) {
            return Err(damaged(format!("there are {count} blocks for {} bytes", state.head.log_bytes)));
        }
        for file in &state.files {
            let bytes = self.file(&file.key).await?.unwrap_or_default();
            if bytes.len() as u64 != file.bytes || format::checksum(&bytes) != file.checksum {
                return Err(damaged(format!("the file {} does not fit its checksum", file.key)));
            }
        }
        Ok(())
    }

    fn put_state(&self, transaction: &IdbTransaction, state: &State) -> Result<(), StoreError> {
        let value = Uint8Array::from(&state.encode()[..]);
        store(transaction, STATE)?
            .put_with_key(&value, &JsValue::from_str(STATE_KEY))
            .map_err(writing)
            .map(drop)
    }

    fn read(&self, stores: &[&str]) -> Result<IdbTransaction, StoreError> {
        self.check_open()?;
        self.db
            .transaction_with_str_sequence_and_mode(&names(stores), IdbTransactionMode::Readonly)
            .map_err(reading)
    }

    fn write(&self, stores: &[&str]) -> Result<IdbTransaction, StoreError> {
        self.check_open()?;
        // Left unset, durability reads "default", and what that means is the browser's choice.
        let options = js::object(&[("durability", JsValue::from_str("strict"))]);
        self.db
            .unchecked_ref::<StrictDatabase>()
            .transaction(&names(stores), "readwrite", &options)
            .map_err(writing)
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match &*self.closed.borrow() {
            Some(what) => Err(StoreError::Closed { what: what.clone() }),
            None => Ok(()),
        }
    }

    /// Lets go of the database when another tab must change it, and remembers when the browser closed it.
    fn watch_closing(&self) {
        let (db, closed) = (self.db.clone(), self.closed.clone());
        let asked = Closure::<dyn FnMut()>::new(move || {
            db.close();
            *closed.borrow_mut() = Some("another tab replaces or removes the database".to_owned());
        });
        self.db.set_onversionchange(Some(asked.into_js_value().unchecked_ref()));
        let closed = self.closed.clone();
        let gone = Closure::<dyn FnMut()>::new(move || {
            *closed.borrow_mut() = Some("the database was closed by the browser".to_owned());
        });
        self.db.set_onclose(Some(gone.into_js_value().unchecked_ref()));
    }
}

/// A commit that is queued, not yet complete.
pub(super) struct Pending {
    transaction: IdbTransaction,
    done: std::pin::Pin<Box<dyn Future<Output = Result<(), JsValue>>>>,
}

impl Pending {
    /// Says that no further request comes, so that the browser need not wait a turn.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.transaction.unchecked_ref::<CommitNow>().commit().map_err(writing)
    }

    /// Takes everything back. Only before [`Pending::commit`].
    pub(super) async fn abort(self) {
        // Both ways of failing mean that it is already aborted.
        let _ = self.transaction.abort();
        let _ = self.done.await;
    }

    /// Waits until the commit is on disk.
    pub(super) async fn complete(self) -> Result<(), StoreError> {
        self.done.await.map_err(writing)
    }
}

/// The database of a log.
pub(super) fn database_name(name: &str) -> String {
    format!("walletlab-{name}")
}

/// Writes `tail` and `bytes` behind it as blocks from number `first` on.
fn put_blocks(blocks: &IdbObjectStore, first: u64, tail: &[u8], bytes: &[u8]) -> Result<(), StoreError> {
    let mut rest = bytes;
    let mut tail = tail;
    let mut number = first;
    while !(tail.is_empty() && rest.is_empty()) {
        let room = index(BLOCK_BYTES) - tail.len();
        let (part, behind) = rest.split_at(rest.len().min(room));
        let value = Uint8Array::new_with_length(format::count(4 + tail.len() + part.len()));
        let (sum, payload) = (block_checksum(number, [tail, part]), format::count(4 + tail.len()));
        value.subarray(0, 4).copy_from(&sum.to_le_bytes());
        value.subarray(4, payload).copy_from(tail);
        value.subarray(payload, value.length()).copy_from(part);
        if tail.is_empty() {
            // `add` refuses a block that is already there, so no second writer can overwrite one.
            blocks.add_with_key(&value, &key_of(number)).map_err(writing)?;
        } else {
            blocks.put_with_key(&value, &key_of(number)).map_err(writing)?;
        }
        (rest, tail, number) = (behind, &[], number + 1);
    }
    Ok(())
}

fn get(
    transaction: &IdbTransaction,
    name: &str,
    key: &str,
) -> Result<impl Future<Output = Result<JsValue, JsValue>> + use<>, StoreError> {
    let request = store(transaction, name)?.get(&JsValue::from_str(key)).map_err(reading)?;
    Ok(answer(&request))
}

fn store(transaction: &IdbTransaction, name: &str) -> Result<IdbObjectStore, StoreError> {
    transaction.object_store(name).map_err(|error| match js::error_name(&error).as_str() {
        "NotFoundError" => damaged(format!("the database has no \"{name}\"")),
        _ => reading(error),
    })
}

fn names(stores: &[&str]) -> JsValue {
    stores.iter().map(|name| JsValue::from_str(name)).collect::<Array>().into()
}

fn key_of(number: u64) -> JsValue {
    JsValue::from_f64(number as f64)
}

fn bytes_of(value: &JsValue) -> Option<Vec<u8>> {
    value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}

fn factory() -> Result<web_sys::IdbFactory, StoreError> {
    js::scope()
        .indexed_db()
        .map_err(|error| failure("asking for IndexedDB", &error))?
        .ok_or_else(|| StoreError::Unavailable { what: "this browser has no IndexedDB".to_owned() })
}

/// Waits for an opening or removing request. Connections that are asked to close get a moment to do so; then being
/// blocked by them is the answer.
async fn opened(request: &IdbOpenDbRequest) -> Result<JsValue, StoreError> {
    let blocked = Promise::new(&mut |resolve, _| request.set_onblocked(Some(&resolve)));
    let done = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    });
    let mut first = first_of(&done, &blocked).await;
    if first.as_ref().is_ok_and(is_blocked) {
        first = first_of(&done, &js::timer(BLOCKED_MILLIS_MAX)).await;
    }
    match first {
        Ok(event) if event.is_undefined() => Err(StoreError::Blocked),
        Ok(_) => request.result().map_err(|error| failure("opening IndexedDB", &error)),
        Err(_) => {
            let error = request.error().ok().flatten().map_or(JsValue::UNDEFINED, JsValue::from);
            Err(match failure("opening IndexedDB", &error) {
                StoreError::Failed { what } if js::error_name(&error) == "VersionError" => {
                    StoreError::Unavailable {
                        what: format!("{what} (a newer version of this page wrote it)"),
                    }
                }
                StoreError::Failed { what } => StoreError::Damaged { what },
                other => other,
            })
        }
    }
}

async fn first_of(one: &Promise, other: &Promise) -> Result<JsValue, JsValue> {
    JsFuture::from(Promise::race(&Array::of2(one, other))).await
}

fn is_blocked(event: &JsValue) -> bool {
    event.dyn_ref::<web_sys::Event>().is_some_and(|event| event.type_() == "blocked")
}

fn damaged(what: String) -> StoreError {
    StoreError::Damaged { what }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands errors over by value")]
fn reading(error: JsValue) -> StoreError {
    failure("reading IndexedDB", &error)
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands errors over by value")]
fn writing(error: JsValue) -> StoreError {
    failure("writing to IndexedDB", &error)
}
