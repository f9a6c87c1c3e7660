//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use time::Timestamp;

/// The time now; the pipeline itself makes sure that recorded times never fall.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
}
