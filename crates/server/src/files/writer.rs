//! The thread that owns the journal.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use pipeline::Append;

use super::{FileJournal, FilesError};

/// Called by the writing thread after each report, and when that thread ends, so that a thread that waits for
/// something else too learns of it.
pub(super) type Wake = Box<dyn Fn() + Send>;

/// Writes and syncs on a thread of its own what it is given, and reports each sync.
pub(super) struct Writer {
    appends: Option<Sender<Append>>,
    pub(super) done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

/// What one sync came to.
pub(super) struct Done {
    /// How many appends it covers.
    pub(super) appends: u32,
    /// Every record with a smaller sequence is durable.
    pub(super) durable_before: Result<u64, FilesError>,
    /// How many bytes the store has now.
    pub(super) store_bytes: u64,
    /// How long writing and syncing took, in microseconds.
    pub(super) micros: u32,
}

impl Writer {
    pub(super) fn start(mut journal: FileJournal, wake: Wake) -> Writer {
        // How many appends wait is bounded by the pipeline's `appends_in_flight_max`.
        let (appends, to_write) = channel::<Append>();
        let (report, done) = channel();
        let path = journal.path().to_owned();
        let thread = std::thread::spawn(move || {
            // The report's end is gone before the last wake, however this thread ends: locals go in reverse order.
            let wake = WakeAtEnd(wake);
            let report = report;
            let mut bytes = Vec::new();
            while let Ok(first) = to_write.recv() {
                let (mut appends, mut before) = (1, first.next_sequence);
                bytes.clear();
                bytes.extend_from_slice(&first.bytes);
                for next in to_write.try_iter() {
                    appends += 1;
                    before = next.next_sequence;
                    bytes.extend_from_slice(&next.bytes);
                }
                let started = Instant::now();
                let durable_before = journal.append(&bytes).map(|()| before);
                let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
                let store_bytes = journal.bytes();
                if report.send(Done { appends, durable_before, store_bytes, micros }).is_err() {
                    return;
                }
                (wake.0)();
            }
        });
        Writer { appends: Some(appends), done, thread: Some(thread), path }
    }

    /// An append to a thread that is gone is reported by its missing answer.
    pub(super) fn append(&mut self, append: Append) {
        if let Some(appends) = &self.appends {
            let _ = appends.send(append);
        }
    }

    /// The file that is written to.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What to say if no answer comes any more.
    pub(super) fn panicked(&self) -> FilesError {
        let stopped = std::io::Error::other("the writing thread panicked");
        FilesError::io(&self.path, "append to it", stopped)
    }

    /// Ends the thread, which gives the directory's lock back.
    pub(super) fn stop(&mut self) {
        self.appends = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A thread that panics wakes its waiter too, which then finds the report's other end gone.
struct WakeAtEnd(Wake);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}
