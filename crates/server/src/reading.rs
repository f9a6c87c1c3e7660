//! The thread that owns the read models, and answers every read.
//!
//! It takes the durable batches that the engine hands on, in order, folds them, and moves the readable end of the log.
//! Reads are functions that run between two folds. A batch is in its inbox before the answers to the batch's clients go
//! out, and it folds what is there before it reads, so whoever has an answer reads what it says.
//!
//! Invariants, as absences: nothing here decides about money, and nothing waits for a client or for the engine; no read
//! sees a part of a batch, or what is not durable.

mod history;
mod inbox;
mod keeper;
mod known_ids;
mod models;
mod take;
mod window;
mod windowed;

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{Digest, Event, TransactionId};
use pipeline::{DurableBatch, Lookup};
use tokio::sync::{oneshot, watch};

pub(crate) use self::history::{History, WINDOW_IDS};
pub(crate) use self::inbox::{Inbox, Read};
use self::inbox::{Taken, Wait};
pub(crate) use self::keeper::{
    KeepSnapshots, Keeper, Kept, News, Told, derived_directory, index_name, snapshots,
};
use self::known_ids::KnownIds;
pub(crate) use self::models::{At, EntryRow, Models, ReadError, Rest, SnapshotBegun};
pub(crate) use self::windowed::{Rebuilt, Windowed};
use crate::files::ReadEnd;

/// How long reads may keep the thread from folding at a time. Those that are left over wait for the next turn.
const READS_AT_ONCE: Duration = Duration::from_millis(2);

/// How far the log is durable and folded, for whoever waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Every record with a smaller sequence is durable and in the read models.
    pub(crate) sequence: u64,
    /// Of the ledger as of the record before.
    pub(crate) digest: Digest,
    /// When the record before was written, in microseconds since the Unix epoch; 0 if there is none.
    pub(crate) recorded_at: u64,
}

/// What is told of the thread's work.
pub(crate) trait Listener: Send {
    /// These look-ups are answered.
    fn answered(&self, lookups: Vec<Lookup>);

    /// Look-ups cannot be answered: what they need is damaged. Nothing can be decided any more.
    fn cannot_tell(&self, error: &ReadError);

    /// Records were folded so long after they had become durable.
    fn folded(&self, lag: Duration);

    /// The thread ended; nothing is read any more.
    fn ended(&self);
}

/// The way to the read models. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reading {
    inbox: Arc<Inbox>,
    durable: watch::Receiver<Position>,
}

impl Reading {
    /// Starts the thread.
    pub(crate) fn start(
        models: Models,
        inbox: Arc<Inbox>,
        listener: impl Listener + 'static,
    ) -> std::io::Result<(Reading, JoinHandle<()>)> {
        let (publish, durable) = watch::channel(models.position());
        let worker = Worker { models, inbox: Arc::clone(&inbox), publish, listener: Box::new(listener) };
        let thread = std::thread::Builder::new().name("reading".to_owned());
        let thread = thread.spawn(move || worker.run())?;
        Ok((Reading { inbox, durable }, thread))
    }

    /// Runs `read` on the thread, between two folds. `None` when the thread has stopped or takes no more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Models) -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let read = Box::new(move |models: &mut Models| {
            // Whoever asked may have gone away, also while it is read.
            if !tell.is_closed() {
                let _ = tell.send(read(models));
            }
        });
        self.inbox.push_read(read).ok()?;
        told.await.ok()
    }

    /// What is durable and folded, now and whenever it changes.
    pub(crate) fn durable(&self) -> watch::Receiver<Position> {
        self.durable.clone()
    }
}

/// The reading end of the engine's driver: hands everything to the thread, but what it can answer at once.
pub(crate) struct Remote {
    inbox: Arc<Inbox>,
    known: Option<Known>,
    asked: Vec<TransactionId>,
}

/// What tells that an id was never seen.
pub(crate) struct Known {
    ids: KnownIds,
    kept: Arc<Kept>,
}

impl Remote {
    /// Without anything known every look-up goes to the thread.
    pub(crate) fn new(inbox: Arc<Inbox>, known: Option<Known>) -> Remote {
        Remote { inbox, known, asked: Vec::new() }
    }
}

impl Known {
    /// What these models know.
    pub(crate) fn of(models: &Windowed, hash_seed: u64) -> Known {
        let kept = Arc::clone(models.history().kept());
        let mut ids = KnownIds::new(hash_seed, Arc::clone(&kept.in_runs_before));
        let before = models.checkpoint();
        models.history().ids_in_windows().for_each(|id| ids.insert(id, before));
        Known { ids, kept }
    }

    fn is_new(&self, id: &TransactionId) -> bool {
        // What cannot be read is for the reading thread to tell.
        !self.ids.may_hold(id) && self.kept.ids.find(id).is_ok_and(|found| found.is_empty())
    }
}

impl ReadEnd for Remote {
    fn take(&mut self, batches: Vec<DurableBatch>, store_bytes: u64) {
        if let Some(known) = &mut self.known {
            for (record, _) in batches.iter().flat_map(DurableBatch::records) {
                let ids = record.events.chunk_by(|one, other| one.transaction_id() == other.transaction_id());
                let ids = ids.filter_map(|events| events.first().map(Event::transaction_id));
                ids.for_each(|id| known.ids.insert(&id, record.sequence));
            }
        }
        self.inbox.push_batches(batches, store_bytes);
    }

    fn look_up(&mut self, ids: &[TransactionId], answers: &mut Vec<Lookup>) {
        for id in ids {
            match &self.known {
                Some(known) if known.is_new(id) => {
                    answers.push(Lookup::TransactionAbsent { transaction_id: *id });
                }
                Some(_) | None => self.asked.push(*id),
            }
        }
        if !self.asked.is_empty() {
            self.inbox.push_lookups(&self.asked);
            self.asked.clear();
        }
    }
}

/// The thread's own state.
struct Worker {
    models: Models,
    inbox: Arc<Inbox>,
    publish: watch::Sender<Position>,
    listener: Box<dyn Listener>,
}

impl Worker {
    fn run(mut self) {
        let _end = End(&*self.listener, &self.inbox);
        let mut taken = Taken::default();
        let mut reads: VecDeque<Read> = VecDeque::new();
        let mut more = false;
        loop {
            let wait = if reads.is_empty() && !more { Wait::ForWork } else { Wait::Not };
            let open = self.inbox.take(&mut taken, &mut reads, wait);
            let Taken { batches, store_bytes, since, lookups } = &mut taken;
            if !batches.is_empty() {
                self.models.fold(batches.drain(..), *store_bytes);
                if let Some(since) = since.take() {
                    self.listener.folded(since.elapsed());
                }
                self.publish.send_replace(self.models.position());
            }
            if !lookups.is_empty() {
                match lookups.drain(..).map(|id| self.models.look_up(id)).collect() {
                    Ok(answers) => self.listener.answered(answers),
                    Err(error) => self.listener.cannot_tell(&error),
                }
            }
            read_some(&mut self.models, &mut reads);
            more = self.models.work();
            if !open && reads.is_empty() {
                return;
            }
        }
    }
}

/// Reads for a while, and leaves the rest for the next turn, so that folding never waits long.
fn read_some(models: &mut Models, reads: &mut VecDeque<Read>) {
    let began = Instant::now();
    while let Some(read) = reads.pop_front() {
        read(models);
        if began.elapsed() >= READS_AT_ONCE {
            return;
        }
    }
}

/// Dropped when the thread ends, however it ends: nobody waits for ever.
struct End<'a>(&'a dyn Listener, &'a Inbox);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.1.close();
        self.1.clear();
        self.0.ended();
    }
}

#[cfg(test)]
mod tests;
