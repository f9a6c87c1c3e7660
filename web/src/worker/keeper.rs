//! Keeps the real copy of the world's log: one commit at a time, while the world goes on.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sim::{CommitPoint, RunRecord, World};
use wasm_bindgen_futures::spawn_local;

use super::clock::{Bell, now_ms};
use crate::storage::{Commit, Store, StoreError};

/// Commits whose durations are kept for the page.
const DURATIONS_MAX: usize = 64;

/// What is stored beside the log's bytes: what brings exactly them back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoredRun {
    /// A log on its way into the store in pieces. Found at a start, the import was interrupted.
    Importing,
    /// A run of the world.
    Run {
        /// Bytes of the log that the world began with; 0 unless it was imported.
        base_bytes: u64,
        /// Bytes of the log that were durable in the world's own time: what it shows, and what an onlooker shows.
        durable_bytes: u64,
        /// The run since then.
        record: Box<RunRecord>,
    },
}

impl StoredRun {
    /// What brings this world back.
    pub(super) fn of(world: &World, base_bytes: u64) -> Self {
        Self::Run {
            base_bytes,
            durable_bytes: world.journal().durable_bytes(),
            record: Box::new(world.record()),
        }
    }
}

/// A file to store with the next commit.
pub(super) type File = (String, Vec<u8>);

/// The store, and how far the world is in it.
pub(super) struct Keeper {
    slot: Rc<RefCell<Slot>>,
    bell: Bell,
    saved: Saved,
    under_way: Option<(Saved, f64)>,
    files: Vec<File>,
    durations_micros: VecDeque<u64>,
    /// Bytes of the log that the world began with.
    pub(super) base_bytes: u64,
}

#[derive(Clone, Copy)]
struct Saved {
    point: CommitPoint,
    step: u64,
}

enum Slot {
    Idle(Box<Store>),
    Busy,
    Done(Box<Store>, Result<(), StoreError>),
    /// There is no store, or a write failed and it takes no more.
    Gone,
}

impl Keeper {
    /// Keeps the world in `store`, or nowhere. The store holds the world as it is.
    pub(super) fn new(store: Option<Store>, bell: Bell, world: &World, base_bytes: u64) -> Self {
        let slot = store.map_or(Slot::Gone, |store| Slot::Idle(Box::new(store)));
        Self {
            slot: Rc::new(RefCell::new(slot)),
            bell,
            saved: Saved { point: world.commit_point(), step: world.step_number() },
            under_way: None,
            files: Vec::new(),
            durations_micros: VecDeque::new(),
            base_bytes,
        }
    }

    /// Whether the log is stored at all.
    pub(super) fn is_saving(&self) -> bool {
        !matches!(*self.slot.borrow(), Slot::Gone)
    }

    /// Whether a commit is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Stores a file with the next commit.
    pub(super) fn add_file(&mut self, file: File) {
        self.files.push(file);
    }

    /// Bytes of the log in both copies.
    pub(super) fn saved_bytes(&self) -> u64 {
        self.saved.point.log_len
    }

    /// The step of the run that is in both copies.
    pub(super) fn saved_step(&self) -> u64 {
        self.saved.step
    }

    /// Half of the last commits took at most so long, and the longest of them; microseconds.
    pub(super) fn durations_micros(&self) -> (u64, u64) {
        let mut sorted: Vec<u64> = self.durations_micros.iter().copied().collect();
        sorted.sort_unstable();
        (sorted.get(sorted.len() / 2).copied().unwrap_or(0), sorted.last().copied().unwrap_or(0))
    }

    /// Takes note of a commit that ended. After an error nothing more is stored.
    pub(super) fn poll(&mut self, world: &mut World) -> Result<(), StoreError> {
        let done = match self.slot.replace(Slot::Busy) {
            Slot::Done(store, result) => {
                self.slot.replace(if result.is_ok() { Slot::Idle(store) } else { Slot::Gone });
                result
            }
            other @ (Slot::Idle(_) | Slot::Busy | Slot::Gone) => {
                self.slot.replace(other);
                return Ok(());
            }
        };
        let Some((saved, began_ms)) = self.under_way.take() else { return done };
        done?;
        self.saved = saved;
        world.committed(saved.point);
        if self.durations_micros.len() == DURATIONS_MAX {
            self.durations_micros.pop_front();
        }
        self.durations_micros.push_back(micros(now_ms() - began_ms));
        Ok(())
    }

    /// Whether the store is behind the log.
    pub(super) fn is_behind_log(&self, world: &World) -> bool {
        let now = world.commit_point();
        (now.cuts, now.log_len) != (self.saved.point.cuts, self.saved.point.log_len) || !self.files.is_empty()
    }

    /// Whether the store is behind the run: a reload would bring back an earlier step.
    pub(super) fn is_behind_run(&self, world: &World) -> bool {
        self.is_behind_log(world) || self.saved.step != world.step_number()
    }

    /// Begins to store what is new, if no commit is under way.
    pub(super) fn begin(&mut self, world: &World) {
        let mut store = match self.slot.replace(Slot::Busy) {
            Slot::Idle(store) => store,
            other @ (Slot::Busy | Slot::Done(..) | Slot::Gone) => {
                self.slot.replace(other);
                return;
            }
        };
        let saved = Saved { point: world.commit_point(), step: world.step_number() };
        let before = self.saved.point;
        let kept = world.log_cuts(before.cuts).fold(before.log_len, |kept, cut| kept.min(cut.log_len));
        let mut bytes = Vec::new();
        world.read_log(kept, &mut bytes);
        let run = StoredRun::of(world, self.base_bytes);
        let run = serde_json::to_vec(&run).expect("a run record is plain data");
        let files = std::mem::take(&mut self.files);
        self.under_way = Some((saved, now_ms()));
        let (slot, bell) = (Rc::clone(&self.slot), self.bell.clone());
        spawn_local(async move {
            let files: Vec<(&str, &[u8])> = files.iter().map(|(key, bytes)| (&key[..], &bytes[..])).collect();
            let cut_to = (kept < before.log_len).then_some(kept);
            let result = store.commit(Commit { bytes: &bytes, cut_to, run: &run, files: &files }).await;
            slot.replace(Slot::Done(store, result));
            bell.ring();
        });
    }

    /// Gives the store back when no commit is under way.
    pub(super) fn take_store(&mut self) -> Option<Store> {
        match self.slot.replace(Slot::Gone) {
            Slot::Idle(store) => Some(*store),
            other @ (Slot::Busy | Slot::Done(..) | Slot::Gone) => {
                self.slot.replace(other);
                None
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a duration is positive and short"
)]
fn micros(ms: f64) -> u64 {
    (ms.max(0.0) * 1_000.0) as u64
}
