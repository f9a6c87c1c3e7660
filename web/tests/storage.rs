//! The storage against a real browser: what is saved is found again, whatever happened to one copy or to both.
//!
//! A crash between the two copies is made by saving a commit and then putting one copy back to what it was before.

#![cfg(target_arch = "wasm32")]

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web::storage::{
    Acquired, BLOCK_BYTES, Commit, Copied, Found, Lock, Notes, Onlooker, Opened, Store, StoreError, reset,
    usage_bytes,
};
use web_sys::{
    DedicatedWorkerGlobalScope, FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemRemoveOptions,
    FileSystemSyncAccessHandle, IdbDatabase, IdbRequest, IdbTransactionMode,
};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[expect(clippy::cast_possible_truncation, reason = "a block is far below 4 GiB")]
const BLOCK: usize = BLOCK_BYTES as usize;

#[wasm_bindgen_test]
async fn a_new_user_gets_an_empty_store() {
    let Opened { store, found } = open("fresh").await;
    assert_eq!(found, Found::Fresh);
    assert_eq!((store.log_bytes(), store.run(), store.files().len()), (0, None, 0));
    drop(store);
    // Opening alone saves nothing: the next one is as new.
    assert_eq!(open("fresh").await.found, Found::Fresh);
}

#[wasm_bindgen_test]
async fn what_is_committed_is_found_again() {
    let mut expected = Expected::default();
    let mut store = open("reopen").await.store;
    // Borders of blocks, empty commits, and more than one block at once.
    for (step, length) in [1, BLOCK - 1, 0, BLOCK, 3 * BLOCK + 7, 5, BLOCK - 12].into_iter().enumerate() {
        expected.commit(&mut store, None, length, &format!("step {step}")).await;
    }
    store
        .commit(Commit {
            run: b"with files",
            files: &[("a.csv", b"1,2"), ("b.csv", b"")],
            ..Commit::default()
        })
        .await
        .unwrap();
    store
        .commit(Commit { run: b"with files", files: &[("a.csv", b"3,4,5")], ..Commit::default() })
        .await
        .unwrap();
    expected.run = b"with files".to_vec();
    expected.check(&store).await;
    drop(store);

    let Opened { mut store, found } = open("reopen").await;
    assert_eq!(found, Found::Intact);
    expected.check(&store).await;
    assert_eq!(store.file("a.csv").await.unwrap().unwrap(), b"3,4,5");
    assert_eq!(store.file("b.csv").await.unwrap().unwrap(), b"");
    assert_eq!(store.file("c.csv").await.unwrap(), None);
    assert_eq!(store.state().unwrap().head.commit, 9);
    // A reading may begin anywhere.
    for from in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 4 * BLOCK, expected.log.len()] {
        assert_eq!(store.read(from as u64).rest().await.unwrap(), expected.log[from..], "from {from}");
    }
    expected.commit(&mut store, None, 100, "and goes on").await;
    expected.check(&store).await;
}

#[wasm_bindgen_test]
async fn a_log_is_cut_and_goes_on() {
    let mut expected = Expected::default();
    let mut store = open("cut").await.store;
    expected.commit(&mut store, None, 3 * BLOCK + 50, "long").await;
    // Inside the last block, at its start, inside an earlier one with more than a block behind, to nothing.
    let cuts =
        [(3 * BLOCK + 20, 0), (3 * BLOCK, 9), (2 * BLOCK, 0), (BLOCK + 3, 2 * BLOCK), (7, 1), (0, 0), (0, 3)];
    for (cut_to, length) in cuts {
        expected.commit(&mut store, Some(cut_to), length, &format!("cut to {cut_to}")).await;
        expected.check(&store).await;
        drop(store);
        let opened = open("cut").await;
        assert_eq!(opened.found, Found::Intact, "cut to {cut_to}");
        store = opened.store;
        expected.check(&store).await;
    }
    let error = store.commit(Commit { cut_to: Some(4), ..Commit::default() }).await.unwrap_err();
    assert_eq!(error, StoreError::CutBehindEnd { cut_to: 4, log_bytes: 3 });
    // A fault of the commit itself does not stop the store.
    expected.commit(&mut store, None, 1, "goes on").await;
    // The file alone gives the log back, the cut bytes left out.
    drop(store);
    delete_database("cut").await;
    let Opened { store, found } = open("cut").await;
    assert_eq!(found, Found::Restored { from: Copied::Opfs, log_bytes: 4 });
    expected.check(&store).await;
}

#[wasm_bindgen_test]
async fn either_copy_restores_the_other() {
    let mut expected = Expected::default();
    let mut store = open("restore").await.store;
    store.commit(Commit { files: &[("a.csv", b"1,2,3")], ..Commit::default() }).await.unwrap();
    for step in 0..5 {
        expected.commit(&mut store, None, BLOCK - 1000, &format!("step {step}")).await;
    }
    expected.commit(&mut store, Some(BLOCK), 10, "cut").await;
    drop(store);
    let log_bytes = expected.log.len() as u64;
    for round in 0..2 {
        delete_database("restore").await;
        let Opened { mut store, found } = open("restore").await;
        assert_eq!(found, Found::Restored { from: Copied::Opfs, log_bytes: log_bytes + round * 2 });
        expected.check(&store).await;
        assert_eq!(store.file("a.csv").await.unwrap().unwrap(), b"1,2,3");
        expected.commit(&mut store, None, 1, "after the first loss").await;
        drop(store);
        assert_eq!(open("restore").await.found, Found::Intact);

        delete_log_file("restore").await;
        let Opened { mut store, found } = open("restore").await;
        let bytes = log_bytes + round * 2 + 1;
        assert_eq!(found, Found::Restored { from: Copied::IndexedDb, log_bytes: bytes });
        expected.check(&store).await;
        expected.commit(&mut store, None, 1, "after the second loss").await;
        drop(store);
        assert_eq!(open("restore").await.found, Found::Intact);
    }
}

#[wasm_bindgen_test]
async fn a_log_lost_in_both_copies_is_no_new_user() {
    for (name, cache, file) in
        [("lost-both", true, true), ("lost-file", true, false), ("lost-cache", false, true)]
    {
        let mut store = open(name).await.store;
        Expected::default().commit(&mut store, None, 1000, "gone").await;
        drop(store);
        delete_database(name).await;
        if file {
            delete_log_file(name).await;
        } else {
            // The whole directory, the marker in it too: the one in Cache Storage remembers.
            delete_directory(name).await;
        }
        if !cache {
            delete_cache_marker(name).await;
        }
        for _ in 0..2 {
            // It is said until somebody acts on it.
            assert_eq!(open(name).await.found, Found::Lost { log_bytes: 1000 }, "{name}");
        }
        let mut store = open(name).await.store;
        Expected::default().commit(&mut store, None, 10, "anew").await;
        drop(store);
        assert_eq!(open(name).await.found, Found::Intact, "{name}");
    }
}

#[wasm_bindgen_test]
async fn a_commit_that_reached_only_indexed_db_is_completed() {
    let mut expected = Expected::default();
    let mut store = open("idb-ahead").await.store;
    expected.commit(&mut store, None, BLOCK + 10, "both have it").await;
    drop(store);
    for (cut_to, length) in [(None, 20), (Some(5), 0), (Some(3), 2 * BLOCK), (None, 0)] {
        let before = log_file("idb-ahead").await;
        let mut store = open("idb-ahead").await.store;
        store.commit(Commit { run: &expected.run, ..Commit::default() }).await.unwrap();
        drop(store);
        set_log_file("idb-ahead", &before).await;
        let Opened { mut store, found } = open("idb-ahead").await;
        let log_bytes = expected.log.len() as u64;
        assert_eq!(found, Found::Completed { from: Copied::IndexedDb, log_bytes });

        let before = {
            drop(store);
            let before = log_file("idb-ahead").await;
            store = open("idb-ahead").await.store;
            before
        };
        expected.commit(&mut store, cut_to, length, &format!("{length} bytes in one copy")).await;
        drop(store);
        set_log_file("idb-ahead", &before).await;
        let Opened { store, found } = open("idb-ahead").await;
        let log_bytes = expected.log.len() as u64;
        assert_eq!(found, Found::Completed { from: Copied::IndexedDb, log_bytes });
        expected.check(&store).await;
        drop(store);
        // And now the file stands for itself.
        delete_database("idb-ahead").await;
        expected.check(&open("idb-ahead").await.store).await;
    }
}

#[wasm_bindgen_test]
async fn a_commit_that_reached_only_the_file_is_completed() {
    let mut expected = Expected::default();
    let mut store = open("opfs-ahead").await.store;
    expected.commit(&mut store, None, BLOCK + 10, "both have it").await;
    drop(store);
    for (cut_to, length) in [(None, 20), (Some(5), 0), (Some(3), 2 * BLOCK), (None, 0)] {
        let before = database_image("opfs-ahead").await;
        let mut store = open("opfs-ahead").await.store;
        expected.commit(&mut store, cut_to, length, &format!("{length} bytes in one copy")).await;
        store
            .commit(Commit { run: &expected.run, files: &[("f", b"1")], ..Commit::default() })
            .await
            .unwrap();
        drop(store);
        // Two commits behind: no crash does that, so it is a loss.
        set_database("opfs-ahead", &before).await;
        let log_bytes = expected.log.len() as u64;
        let Opened { store, found } = open("opfs-ahead").await;
        assert_eq!(found, Found::Restored { from: Copied::Opfs, log_bytes });
        expected.check(&store).await;
        drop(store);

        let before = database_image("opfs-ahead").await;
        let mut store = open("opfs-ahead").await.store;
        expected.commit(&mut store, cut_to, length, "again").await;
        drop(store);
        set_database("opfs-ahead", &before).await;
        let Opened { store, found } = open("opfs-ahead").await;
        let log_bytes = expected.log.len() as u64;
        assert_eq!(found, Found::Completed { from: Copied::Opfs, log_bytes });
        expected.check(&store).await;
        assert_eq!(store.file("f").await.unwrap().unwrap(), b"1");
        drop(store);
        // And now IndexedDB stands for itself.
        delete_log_file("opfs-ahead").await;
        expected.check(&open("opfs-ahead").await.store).await;
    }
}

#[wasm_bindgen_test]
async fn a_torn_frame_is_cut_off() {
    let mut expected = Expected::default();
    let mut store = open("torn").await.store;
    expected.commit(&mut store, None, 100, "saved").await;
    drop(store);
    let (saved, database) = (log_file("torn").await, database_image("torn").await);
    let mut store = open("torn").await.store;
    Expected { log: expected.log.clone(), ..Expected::default() }.commit(&mut store, None, 60, "torn").await;
    drop(store);
    let longer = log_file("torn").await;
    // Only the start of it arrived, or its length without its bytes: the browser stopped before it was flushed.
    let mut holes = longer.clone();
    holes[saved.len() + 50..].fill(0);
    for torn in [&longer[..saved.len() + 1], &longer[..longer.len() - 1], &holes[..]] {
        set_database("torn", &database).await;
        set_log_file("torn", torn).await;
        let Opened { store, found } = open("torn").await;
        assert_eq!(found, Found::Intact);
        expected.check(&store).await;
        drop(store);
        assert_eq!(log_file("torn").await, saved);
        // The same with IndexedDB emptied by the same stop.
        set_log_file("torn", torn).await;
        delete_database("torn").await;
        let Opened { mut store, found } = open("torn").await;
        assert_eq!(found, Found::Restored { from: Copied::Opfs, log_bytes: 100 });
        expected.check(&store).await;
        let mut further = expected.clone();
        further.commit(&mut store, None, 7, "goes on").await;
        further.check(&store).await;
    }
}

#[wasm_bindgen_test]
async fn a_damaged_copy_is_built_anew_and_two_damaged_ones_are_refused() {
    let mut expected = Expected::default();
    let mut store = open("damage").await.store;
    for step in 0..4 {
        expected.commit(&mut store, None, BLOCK, &format!("step {step}")).await;
    }
    drop(store);
    let log_bytes = expected.log.len() as u64;
    let whole = log_file("damage").await;
    let mut broken = whole.clone();
    broken[BLOCK * 3 / 2] ^= 4;

    set_log_file("damage", &broken).await;
    let Opened { store, found } = open("damage").await;
    assert_eq!(found, Found::Restored { from: Copied::IndexedDb, log_bytes });
    expected.check(&store).await;
    drop(store);

    let whole_database = database_image("damage").await;
    for broken_database in
        [flip_block(&whole_database, 2), without(&whole_database, "blocks"), flip_state(&whole_database)]
    {
        set_database("damage", &broken_database).await;
        let Opened { store, found } = open("damage").await;
        assert_eq!(found, Found::Restored { from: Copied::Opfs, log_bytes });
        expected.check(&store).await;
    }

    set_log_file("damage", &broken).await;
    set_database("damage", &flip_block(&whole_database, 0)).await;
    for _ in 0..2 {
        let Err(StoreError::Damaged { what }) = Store::open("damage").await else {
            panic!("opened damaged copies")
        };
        assert!(what.contains("block 0"), "{what}");
        assert_eq!(log_file("damage").await, broken, "nothing is touched");
    }
    reset("damage").await.unwrap();
    assert_eq!(open("damage").await.found, Found::Fresh);
}

#[wasm_bindgen_test]
async fn acknowledged_commits_missing_in_both_copies_are_refused() {
    let mut expected = Expected::default();
    let mut store = open("behind").await.store;
    expected.commit(&mut store, None, 10, "old").await;
    drop(store);
    let (file, database) = (log_file("behind").await, database_image("behind").await);
    let mut store = open("behind").await.store;
    expected.commit(&mut store, None, 1000, "new, and marked because the log has doubled").await;
    drop(store);
    set_log_file("behind", &file).await;
    set_database("behind", &database).await;
    let Err(StoreError::Damaged { what }) = Store::open("behind").await else { panic!("opened old copies") };
    assert!(what.contains("commit 2 was saved, but the copies end after commit 1"), "{what}");
}

#[wasm_bindgen_test]
async fn a_reset_empties_everything_and_an_interrupted_one_is_finished() {
    let mut expected = Expected::default();
    let mut store = open("reset").await.store;
    expected.commit(&mut store, None, 500, "to be removed").await;
    drop(store);
    let (file, database) = (log_file("reset").await, database_image("reset").await);
    let mut store = open("reset").await.store;
    store.reset().await.unwrap();
    assert_eq!((store.log_bytes(), store.run()), (0, None));
    drop(store);
    assert_eq!(open("reset").await.found, Found::Fresh);

    // Stopped after the markers said so: whatever is left of the copies goes.
    for (file, database) in [(Some(&file), Some(&database)), (None, Some(&database)), (Some(&file), None)] {
        set_marker_resetting("reset").await;
        if let Some(file) = file {
            set_log_file("reset", file).await;
        }
        if let Some(database) = database {
            set_database("reset", database).await;
        }
        let Opened { store, found } = open("reset").await;
        assert_eq!((found, store.log_bytes()), (Found::Fresh, 0));
        drop(store);
        assert!(log_file("reset").await.is_empty());
        assert_eq!(open("reset").await.found, Found::Fresh);
    }

    let mut store = open("reset").await.store;
    let mut expected = Expected::default();
    expected.commit(&mut store, None, 50, "a new log").await;
    drop(store);
    let Opened { store, found } = open("reset").await;
    assert_eq!(found, Found::Intact);
    expected.check(&store).await;
}

#[wasm_bindgen_test]
async fn one_log_is_written_by_one_store() {
    let mut store = open("exclusive").await.store;
    Expected::default().commit(&mut store, None, 5, "mine").await;
    let Err(error) = Store::open("exclusive").await else { panic!("opened twice") };
    assert_eq!(error, StoreError::HeldElsewhere);
    drop(store);
    assert_eq!(open("exclusive").await.found, Found::Intact);
}

#[wasm_bindgen_test]
async fn a_failed_commit_stops_the_store_until_it_is_opened_again() {
    let mut expected = Expected::default();
    let mut store = open("stopped").await.store;
    expected.commit(&mut store, None, 5, "saved").await;
    // Somebody removes the database under us: the connection is closed to let it happen.
    delete_database("stopped").await;
    let error = store.commit(Commit { bytes: b"x", run: b"r", ..Commit::default() }).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed { .. }), "{error:?}");
    let error = store.commit(Commit { bytes: b"x", run: b"r", ..Commit::default() }).await.unwrap_err();
    assert_eq!(error, StoreError::Stopped);
    drop(store);
    let Opened { store, found } = open("stopped").await;
    assert_eq!(found, Found::Restored { from: Copied::Opfs, log_bytes: 5 });
    expected.check(&store).await;
}

#[wasm_bindgen_test]
async fn a_commit_that_is_dropped_half_way_stops_the_store() {
    let mut expected = Expected::default();
    let mut store = open("dropped").await.store;
    expected.commit(&mut store, None, 5, "saved").await;
    {
        let mut half = Box::pin(store.commit(Commit { bytes: b"half", run: b"half", ..Commit::default() }));
        let waker = std::task::Waker::noop();
        assert!(half.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    let error = store.commit(Commit::default()).await.unwrap_err();
    assert_eq!(error, StoreError::Stopped);
    drop(store);
    // It was under way to both copies, so it may be there; but then as a whole.
    let store = open("dropped").await.store;
    if store.run() == Some(b"half") {
        expected.log.extend_from_slice(b"half");
        expected.run = b"half".to_vec();
    }
    expected.check(&store).await;
}

#[wasm_bindgen_test]
async fn too_large_a_commit_is_refused_before_anything_happens() {
    let mut store = open("large").await.store;
    let bytes = vec![1; 64 * 1024 * 1024];
    let error = store.commit(Commit { bytes: &bytes, run: b"r", ..Commit::default() }).await.unwrap_err();
    assert_eq!(error, StoreError::CommitTooLarge { bytes: 64 * 1024 * 1024 + 1 });
    Expected::default().commit(&mut store, None, 5, "goes on").await;
}

#[wasm_bindgen_test]
async fn an_onlooker_follows_the_writer() {
    let onlooker = Onlooker::open("onlooker").await.unwrap();
    assert!(onlooker.state().await.unwrap().is_none());
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (sender, note) = (heard.clone(), Rc::new(RefCell::new(None::<js_sys::Function>)));
    let wake = note.clone();
    let _notes = Notes::listen("onlooker", move |log_bytes| {
        sender.borrow_mut().push(log_bytes);
        if let Some(wake) = wake.borrow_mut().take() {
            wake.call0(&JsValue::UNDEFINED).unwrap();
        }
    })
    .unwrap();
    let mut expected = Expected::default();
    let mut store = open("onlooker").await.store;
    for (length, total) in [(10, 10), (BLOCK, BLOCK + 10)] {
        let heard_one = Promise::new(&mut |resolve, _| *note.borrow_mut() = Some(resolve));
        expected.commit(&mut store, None, length, "seen").await;
        JsFuture::from(heard_one).await.unwrap();
        assert_eq!(heard.borrow().last(), Some(&(total as u64)));
        let seen = onlooker.state().await.unwrap().unwrap();
        assert_eq!((seen.head.log_bytes, &seen.run), (total as u64, &expected.run));
        assert_eq!(onlooker.read(&seen, 0).rest().await.unwrap(), expected.log);
    }
    // A reading that began before the log was cut says so instead of mixing the two.
    let before = onlooker.state().await.unwrap().unwrap();
    let mut reader = onlooker.read(&before, 0);
    expected.commit(&mut store, Some(5), 100, "cut").await;
    assert_eq!(reader.next().await, Err(StoreError::Changed));
    let after = onlooker.state().await.unwrap().unwrap();
    assert_eq!(onlooker.read(&after, 0).rest().await.unwrap(), expected.log);
    store.reset().await.unwrap();
    assert_eq!(onlooker.read(&after, 0).next().await, Err(StoreError::Changed));
    assert!(onlooker.state().await.unwrap().is_none());
}

#[wasm_bindgen_test]
async fn the_lock_goes_to_one_and_then_to_the_next() {
    let Acquired::Granted(lock) = Lock::acquire("lock").await.unwrap() else { panic!("held by nobody") };
    let Acquired::Granted(other) = Lock::acquire("other").await.unwrap() else {
        panic!("another log's lock")
    };
    drop(other);
    let Acquired::HeldElsewhere(left) = Lock::acquire("lock").await.unwrap() else { panic!("granted twice") };
    // Who leaves the line does not keep it up.
    drop(left);
    let Acquired::HeldElsewhere(waiting) = Lock::acquire("lock").await.unwrap() else {
        panic!("granted twice")
    };
    let mut granted = Box::pin(waiting.granted());
    let waker = std::task::Waker::noop();
    assert!(granted.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(lock);
    let lock = granted.await.unwrap();
    assert!(matches!(Lock::acquire("lock").await.unwrap(), Acquired::HeldElsewhere(_)));
    drop(lock);
    // A lock that was granted to somebody who no longer waits is let go again.
    let Acquired::Granted(lock) = acquire_in_turn("lock").await else { panic!("held by nobody") };
    let Acquired::HeldElsewhere(waiting) = Lock::acquire("lock").await.unwrap() else {
        panic!("granted twice")
    };
    drop(lock);
    drop(waiting);
    let Acquired::Granted(_) = acquire_in_turn("lock").await else { panic!("nobody let go") };
}

#[wasm_bindgen_test]
async fn names_are_checked_and_usage_is_told() {
    for name in ["", "UPPER", "a b", "../x", &"x".repeat(41)] {
        assert_eq!(Store::open(name).await.err(), Some(StoreError::BadName { name: name.to_owned() }));
    }
    let mut store = open("usage").await.store;
    Expected::default().commit(&mut store, None, BLOCK, "some").await;
    assert!(usage_bytes().await.unwrap() >= BLOCK as u64);
}

// What is expected, and the ways into the two copies behind the store's back.

#[derive(Clone, Default)]
struct Expected {
    log: Vec<u8>,
    run: Vec<u8>,
}

impl Expected {
    async fn commit(&mut self, store: &mut Store, cut_to: Option<usize>, length: usize, run: &str) {
        self.log.truncate(cut_to.unwrap_or(self.log.len()));
        let from = self.log.len() as u64;
        // Every commit's bytes differ: they begin with where and in which run they stand.
        let salt = run.bytes().fold(from, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let bytes: Vec<u8> =
            (0..length as u64).map(|at| (at * 7 + at / 251 + salt).to_le_bytes()[0]).collect();
        self.log.extend_from_slice(&bytes);
        self.run = run.as_bytes().to_vec();
        let cut_to = cut_to.map(|cut_to| cut_to as u64);
        store.commit(Commit { bytes: &bytes, cut_to, run: run.as_bytes(), files: &[] }).await.unwrap();
    }

    async fn check(&self, store: &Store) {
        assert_eq!(store.log_bytes(), self.log.len() as u64);
        assert_eq!(store.run().unwrap_or_default(), self.run);
        let log = store.read(0).rest().await.unwrap();
        assert!(log == self.log, "the log's bytes differ");
    }
}

async fn open(name: &str) -> Opened {
    Store::open(name).await.unwrap_or_else(|error| panic!("opening {name}: {error}"))
}

/// Asks until the browser, which hands a lock on in its own time, has done so.
async fn acquire_in_turn(name: &str) -> Acquired {
    match Lock::acquire(name).await.unwrap() {
        Acquired::HeldElsewhere(waiting) => Acquired::Granted(waiting.granted().await.unwrap()),
        granted @ Acquired::Granted(_) => granted,
    }
}

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

async fn done(promise: Promise) -> JsValue {
    JsFuture::from(promise).await.unwrap()
}

async fn answer(request: &IdbRequest) -> JsValue {
    done(Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    }))
    .await;
    request.result().unwrap()
}

async fn delete_database(name: &str) {
    let factory = scope().indexed_db().unwrap().unwrap();
    answer(&factory.delete_database(&format!("walletlab-{name}")).unwrap()).await;
}

async fn database(name: &str) -> IdbDatabase {
    let factory = scope().indexed_db().unwrap().unwrap();
    let request = factory.open_with_u32(&format!("walletlab-{name}"), 1).unwrap();
    let made = request.clone();
    let upgrade = Closure::once(move || {
        let database: IdbDatabase = made.result().unwrap().unchecked_into();
        for store in ["blocks", "state", "files"] {
            database.create_object_store(store).unwrap();
        }
    });
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    answer(&request).await.unchecked_into()
}

/// Everything in a database: store, key, bytes.
type Image = Vec<(String, JsValue, Vec<u8>)>;

async fn database_image(name: &str) -> Image {
    let database = database(name).await;
    let mut image = Vec::new();
    for store in ["blocks", "state", "files"] {
        let transaction = database.transaction_with_str(store).unwrap();
        let records = transaction.object_store(store).unwrap();
        let (keys, values) = (records.get_all_keys().unwrap(), records.get_all().unwrap());
        let keys: Array = answer(&keys).await.unchecked_into();
        let values: Array = answer(&values).await.unchecked_into();
        for (key, value) in keys.iter().zip(values.iter()) {
            image.push((store.to_owned(), key, value.unchecked_into::<Uint8Array>().to_vec()));
        }
    }
    database.close();
    image
}

async fn set_database(name: &str, image: &Image) {
    let database = database(name).await;
    for store in ["blocks", "state", "files"] {
        let transaction =
            database.transaction_with_str_and_mode(store, IdbTransactionMode::Readwrite).unwrap();
        let records = transaction.object_store(store).unwrap();
        records.clear().unwrap();
        for (_, key, bytes) in image.iter().filter(|(of, _, _)| of == store) {
            records.put_with_key(&Uint8Array::from(&bytes[..]), key).unwrap();
        }
        done(Promise::new(&mut |resolve, reject| {
            transaction.set_oncomplete(Some(&resolve));
            transaction.set_onabort(Some(&reject));
        }))
        .await;
    }
    database.close();
}

fn flip_block(image: &Image, number: u32) -> Image {
    let mut image = image.clone();
    let key = f64::from(number);
    let block =
        image.iter_mut().find(|(store, of, _)| store == "blocks" && of.as_f64() == Some(key)).unwrap();
    block.2[100] ^= 1;
    image
}

fn flip_state(image: &Image) -> Image {
    let mut image = image.clone();
    image.iter_mut().find(|(store, _, _)| store == "state").unwrap().2[30] ^= 1;
    image
}

fn without(image: &Image, store: &str) -> Image {
    image.iter().filter(|(of, _, _)| of != store).cloned().collect()
}

async fn root() -> FileSystemDirectoryHandle {
    done(scope().navigator().storage().get_directory()).await.unchecked_into()
}

async fn directory(name: &str) -> FileSystemDirectoryHandle {
    done(root().await.get_directory_handle(&format!("walletlab-{name}"))).await.unchecked_into()
}

async fn file(name: &str, file: &str) -> FileSystemSyncAccessHandle {
    let file: FileSystemFileHandle = done(directory(name).await.get_file_handle(file)).await.unchecked_into();
    done(file.create_sync_access_handle()).await.unchecked_into()
}

async fn log_file(name: &str) -> Vec<u8> {
    let handle = file(name, "log").await;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size is whole and small here"
    )]
    let mut bytes = vec![0; handle.get_size().unwrap() as usize];
    assert_eq!(handle.read_with_u8_array(&mut bytes).unwrap(), bytes.len() as f64);
    handle.close();
    bytes
}

async fn set_log_file(name: &str, bytes: &[u8]) {
    let handle = file(name, "log").await;
    handle.truncate_with_u32(0).unwrap();
    handle.write_with_u8_array(bytes).unwrap();
    handle.flush().unwrap();
    handle.close();
}

async fn delete_log_file(name: &str) {
    done(directory(name).await.remove_entry("log")).await;
}

async fn delete_directory(name: &str) {
    let options = FileSystemRemoveOptions::new();
    options.set_recursive(true);
    done(root().await.remove_entry_with_options(&format!("walletlab-{name}"), &options)).await;
}

async fn delete_cache_marker(name: &str) {
    let cache = done(scope().caches().unwrap().open("walletlab-markers")).await;
    let cache: web_sys::Cache = cache.unchecked_into();
    done(cache.delete_with_str(&format!("https://marker.walletlab.invalid/{name}"))).await;
}

/// Lets the marker in the file say that a reset began, with a generation that overtakes all others.
async fn set_marker_resetting(name: &str) {
    let handle = file(name, "marker").await;
    let mut bytes = [0; 56];
    handle.read_with_u8_array(&mut bytes).unwrap();
    let generation = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) + 1;
    bytes[8..16].copy_from_slice(&generation.to_le_bytes());
    bytes[16..20].copy_from_slice(&2u32.to_le_bytes());
    bytes[20..52].fill(0);
    let sum = web::storage::format::checksum(&bytes[..52]);
    bytes[52..].copy_from_slice(&sum.to_le_bytes());
    let at = web_sys::FileSystemReadWriteOptions::new();
    at.set_at(0.0);
    handle.write_with_u8_array_and_options(&bytes, &at).unwrap();
    handle.flush().unwrap();
    handle.close();
}
