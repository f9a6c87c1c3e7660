//! Where the log is kept: in IndexedDB and, a second time, in the origin private file system (OPFS).
//!
//! A log is an append-only stream of bytes, with a description of the run that made it. It is saved by commits. A
//! commit is a strict transaction in IndexedDB *and* a flushed frame with checksums in a private file; only when both
//! are done does it count. Browsers have been seen to empty the whole of IndexedDB when they were killed, so each copy
//! can restore the other, and markers in further places tell a lost log from a new user.
//!
//! | state at the end | what the next opening does |
//! |---|---|
//! | both copies equal | goes on |
//! | one copy has one whole commit more | makes that commit in the other, too ([`Found::Completed`]) |
//! | a torn frame at the file's end | cuts it off: it was never acknowledged |
//! | one copy empty, damaged or further behind | builds it anew from the other ([`Found::Restored`]) |
//! | both empty, and a marker remembers a log | says so ([`Found::Lost`]) |
//! | both empty, no marker | a new user ([`Found::Fresh`]) |
//! | a marker says that a reset began | finishes the reset ([`Found::Fresh`]) |
//! | acknowledged commits missing in both, or copies that contradict each other | refuses, touches nothing ([`StoreError::Damaged`]) |
//!
//! Why this is safe stands in [`recovery`]; the bytes are described in [`mod@format`] and [`frames`].
//!
//! Absent here: knowledge of what the log, the run or the files mean; a retry of a write that failed; a clock.
//! Everything runs in a dedicated worker, because only there a private file can be written synchronously.

pub mod error;
pub mod format;
pub mod frames;
pub mod recovery;

mod indexed_db;
mod js;
mod lock;
mod marker;
mod opfs;
mod read;
mod store;

use wasm_bindgen_futures::JsFuture;
use web_sys::StorageEstimate;

pub use error::StoreError;
pub use format::{BLOCK_BYTES, COMMIT_BYTES_MAX, FileEntry, Head, State};
pub use lock::{Acquired, Lock, Waiting};
pub use read::{LogReader, Notes, Onlooker};
pub use recovery::Copied;
pub use store::{Commit, Found, Opened, Store, reset};

/// Bytes that this origin takes up in all its storage, as the browser estimates it. What it says about the room that
/// is left is of no use (Chromium answers "what is used, and 10 GiB") and is not passed on.
pub async fn usage_bytes() -> Result<u64, StoreError> {
    let storage = js::scope()
        .navigator()
        .storage()
        .ok_or_else(|| StoreError::Unavailable { what: "this page has no storage manager".to_owned() })?;
    let estimate = async { JsFuture::from(storage.estimate()?).await };
    let estimate = estimate.await.map_err(|error| js::failure("asking how much is used", &error))?;
    let estimate: StorageEstimate = wasm_bindgen::JsCast::unchecked_into(estimate);
    Ok(js::whole(estimate.get_usage().unwrap_or(0.0)))
}

/// Names what the store needs and this page does not have.
fn check_environment() -> Result<(), StoreError> {
    let scope = js::scope();
    let mut missing = Vec::new();
    if !scope.is_secure_context() {
        missing.push("the page was not opened over https or on localhost");
    }
    if !matches!(scope.indexed_db(), Ok(Some(_))) {
        missing.push("there is no IndexedDB");
    }
    if scope.navigator().storage().is_none() {
        missing.push("there is no private file system (OPFS)");
    }
    if !matches!(scope.caches(), Ok(Some(_))) {
        missing.push("there is no Cache Storage");
    }
    if missing.is_empty() { Ok(()) } else { Err(StoreError::Unavailable { what: missing.join("; ") }) }
}

fn check_name(name: &str) -> Result<(), StoreError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=40).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(StoreError::BadName { name: name.to_owned() })
}
