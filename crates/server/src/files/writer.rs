//! The thread that owns the journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use pipeline::{Append, Place};

use super::prepare::{Plan, Preparer};
use super::{FileJournal, FilesError};

/// Called after each report, and when a thread that reports ends, so that a thread that waits for something else too
/// learns of it.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Writes and syncs on a thread of its own what it is given, and reports each sync; and has the next segment got ready.
pub(super) struct Writer {
    work: Option<Sender<Work>>,
    pub(super) reports: Receiver<Report>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

/// What the driver is told.
pub(super) enum Report {
    /// Appends were written.
    Appended(Done),
    /// One more segment can be written to.
    SegmentReady,
    /// There is no room for the next segment; it is tried again, until it is reported ready.
    StorageFull {
        /// What was tried and what the system said.
        why: String,
    },
    /// The next segment cannot be got ready, and not for lack of room.
    Failed(FilesError),
}

/// What one write, with its sync, came to.
pub(super) struct Done {
    /// How many appends it covers.
    pub(super) appends: u32,
    /// Every record with a smaller sequence is as durable as was asked for.
    pub(super) written_before: Result<u64, FilesError>,
    /// How many bytes the store has now.
    pub(super) store_bytes: u64,
    /// How many syncs returned since the journal was opened.
    pub(super) syncs: u64,
    /// The segment that was begun: where it begins in the log, and its file.
    pub(super) begun: Option<(u64, PathBuf)>,
    /// How long writing and syncing took, in microseconds.
    pub(super) micros: u32,
}

/// Where reports go, and who is woken. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reports {
    sender: Sender<Report>,
    wake: Wake,
}

impl Reports {
    /// Reports to a driver that is gone are for nobody.
    pub(super) fn send(&self, report: Report) {
        let _ = self.sender.send(report);
        (self.wake)();
    }
}

enum Work {
    Append(Append),
    /// The seal that calls everything before it durable.
    Closing(Append),
}

impl Writer {
    /// `plan`: of the segments, if the log has any.
    pub(super) fn start(journal: FileJournal, plan: Option<Plan>, wake: Wake) -> Writer {
        // How many appends wait is bounded by the pipeline's `appends_in_flight_max`.
        let (work, to_do) = channel();
        let (sender, reports) = channel();
        let path = journal.path().to_owned();
        let last_wake = Arc::clone(&wake);
        let reporting = Reports { sender, wake };
        let preparer = plan.map(|plan| Preparer::start(plan, reporting.clone()));
        let thread = std::thread::spawn(move || {
            // The report's end is gone before the last wake, however this thread ends: locals go in reverse order.
            let _wake = WakeAtEnd(last_wake);
            Thread { to_do, carried: None, joined: Vec::new(), reports: reporting, preparer, journal }.run();
        });
        Writer { work: Some(work), reports, thread: Some(thread), path }
    }

    /// An append to a thread that is gone is reported by its missing answer.
    pub(super) fn append(&mut self, append: Append) {
        self.send(Work::Append(append));
    }

    /// As [`Writer::append`], for the log's last seal.
    pub(super) fn close(&mut self, append: Append) {
        self.send(Work::Closing(append));
    }

    /// The file that was written to first.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What to say if no answer comes any more.
    pub(super) fn panicked(&self) -> FilesError {
        FilesError::io(&self.path, "append to it", io::Error::other("the writing thread panicked"))
    }

    /// Ends the thread, which gives the directory's lock back.
    pub(super) fn stop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn send(&self, to_do: Work) {
        if let Some(work) = &self.work {
            let _ = work.send(to_do);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the writing thread has.
struct Thread {
    to_do: Receiver<Work>,
    /// What ended a group and begins the next.
    carried: Option<Work>,
    /// The bytes of a group of several.
    joined: Vec<u8>,
    reports: Reports,
    preparer: Option<Preparer>,
    journal: FileJournal,
}

impl Thread {
    fn run(mut self) {
        while let Some(work) = self.carried.take().or_else(|| self.to_do.recv().ok()) {
            let done = match work {
                Work::Append(first) => {
                    let group = self.group(first);
                    self.write(&group)
                }
                Work::Closing(append) => self.close(append),
            };
            self.reports.send(Report::Appended(done));
        }
        // Nothing is prepared any more when the left-overs are removed, and the lock goes last.
        drop(self.preparer);
        self.journal.tidy();
    }

    /// The append and those that wait behind it, up to one that begins another segment.
    fn group(&mut self, first: Append) -> Vec<Append> {
        let mut group = vec![first];
        for next in self.to_do.try_iter() {
            match next {
                Work::Append(append) if append.place == Place::Same => group.push(append),
                other => {
                    self.carried = Some(other);
                    break;
                }
            }
        }
        group
    }

    /// One write, one sync.
    fn write(&mut self, group: &[Append]) -> Done {
        let (first, last) = (&group[0], &group[group.len() - 1]);
        let bytes: &[u8] = if group.len() == 1 {
            &first.bytes
        } else {
            self.joined.clear();
            group.iter().for_each(|append| self.joined.extend_from_slice(&append.bytes));
            &self.joined
        };
        let started = Instant::now();
        let at_byte = self.journal.bytes();
        let (written, begun) = match (&self.preparer, first.place) {
            (Some(preparer), Place::New) => {
                let begun = self.journal.begin_segment(|| preparer.take(), first.first_sequence, bytes);
                if begun.is_ok() {
                    preparer.placed(at_byte);
                }
                (begun, Some(at_byte))
            }
            (Some(_) | None, _) => (self.journal.append(bytes), None),
        };
        let begun = begun.map(|at_byte| (at_byte, self.journal.path().to_owned()));
        self.done(group.len(), written.map(|()| last.next_sequence), begun, started)
    }

    /// What the seal calls durable is so before the seal is written.
    fn close(&mut self, append: Append) -> Done {
        let started = Instant::now();
        if let Err(error) = self.journal.sync() {
            return self.done(1, Err(error), None, started);
        }
        let mut done = self.write(&[append]);
        if done.written_before.is_ok()
            && let Err(error) = self.journal.sync()
        {
            done.written_before = Err(error);
        }
        done
    }

    fn done(
        &self,
        appends: usize,
        written_before: Result<u64, FilesError>,
        begun: Option<(u64, PathBuf)>,
        started: Instant,
    ) -> Done {
        Done {
            appends: u32::try_from(appends).unwrap_or(u32::MAX),
            written_before,
            store_bytes: self.journal.bytes(),
            syncs: self.journal.syncs(),
            begun,
            micros: u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX),
        }
    }
}

/// A thread that panics wakes its waiter too, which then finds the report's other end gone.
struct WakeAtEnd(Wake);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        (self.0)();
    }
}
