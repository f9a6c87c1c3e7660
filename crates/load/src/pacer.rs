//! A clock that ticks more finely than a millisecond, which is the finest that the runtime's own timers do.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;

/// Ticks about once in an interval, from a thread of its own. Ticks that nobody waited for are one.
pub(crate) struct Pacer(Arc<Notify>);

impl Pacer {
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn every(interval: Duration) -> io::Result<Pacer> {
        let ticks = Arc::new(Notify::new());
        let weak = Arc::downgrade(&ticks);
        std::thread::Builder::new().name("pacer".to_owned()).spawn(move || tick(&weak, interval))?;
        Ok(Pacer(ticks))
    }

    /// Waits for the next tick.
    pub(crate) async fn tick(&self) {
        self.0.notified().await;
    }
}

/// Until nobody is left to tick for.
fn tick(ticks: &Weak<Notify>, interval: Duration) {
    while let Some(ticks) = ticks.upgrade() {
        ticks.notify_one();
        drop(ticks);
        std::thread::sleep(interval);
    }
}
