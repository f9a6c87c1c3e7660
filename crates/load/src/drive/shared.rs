//! What the connections of a run share: where requests come from, when they are due, and what has been counted.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::Semaphore;

use crate::measured::{Latencies, Measured, float};
use crate::speak::{self, Heard, Speak};
use crate::workload::{Transfer, Workload};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing counts yet.
    WarmingUp,
    /// Answers count.
    Measuring,
    /// Nothing new is sent.
    Stopping,
}

/// Of one thread alone.
pub(super) struct Shared {
    pub(super) phase: Cell<Phase>,
    source: RefCell<Source>,
    schedule: Option<Schedule>,
    tally: RefCell<Tally>,
}

/// Where requests come from.
pub(super) enum Source {
    Transfers { workload: Box<Workload>, batch: usize, drawn: Vec<Transfer> },
    Openings { next: u32, accounts: u32, balance: i64 },
}

/// A fixed rate.
struct Schedule {
    nanos_each: u64,
    began: Cell<Instant>,
    /// Requests that are due and not taken by a connection yet.
    due: Semaphore,
    /// Requests that have become due so far.
    released: Cell<u64>,
    /// Requests that a connection has taken.
    taken: Cell<u64>,
}

struct Tally {
    requests: u64,
    operations: u64,
    errors: u64,
    first_error: Option<String>,
    latencies: Latencies,
    late: u64,
}

impl Source {
    pub(super) fn transfers(workload: Workload, batch: usize) -> Source {
        Source::Transfers { workload: Box::new(workload), batch: batch.max(1), drawn: Vec::new() }
    }

    pub(super) fn openings(accounts: u32, balance: i64) -> Source {
        Source::Openings { next: 0, accounts, balance }
    }

    fn ask(&mut self, speaker: &mut dyn Speak, out: &mut BytesMut) -> Option<u64> {
        match self {
            Source::Transfers { workload, batch, drawn } => {
                drawn.clear();
                drawn.extend((0..*batch).map(|_| workload.next()));
                speaker.ask(drawn, out);
                Some(drawn.len() as u64)
            }
            Source::Openings { next, accounts, .. } if next == accounts => None,
            Source::Openings { next, balance, .. } => {
                speak::opening(*next, *balance, out);
                *next += 1;
                Some(1)
            }
        }
    }
}

impl Shared {
    /// With a rate, requests a second are due; without, as many as there is room for.
    pub(super) fn new(source: Source, rate: Option<u64>) -> Shared {
        let schedule = rate.map(|rate| Schedule {
            nanos_each: 1_000_000_000 / rate.max(1),
            began: Cell::new(Instant::now()),
            due: Semaphore::new(0),
            released: Cell::new(0),
            taken: Cell::new(0),
        });
        let tally = Tally {
            requests: 0,
            operations: 0,
            errors: 0,
            first_error: None,
            latencies: Latencies::new(),
            late: 0,
        };
        let (phase, source) = (Cell::new(Phase::WarmingUp), RefCell::new(source));
        Shared { phase, source, schedule, tally: RefCell::new(tally) }
    }

    /// Waits until a request is due, and says when it was. `None` when the run is over.
    pub(super) async fn due(&self) -> Option<Instant> {
        if self.phase.get() == Phase::Stopping {
            return None;
        }
        let Some(schedule) = &self.schedule else { return Some(Instant::now()) };
        schedule.due.acquire().await.ok()?.forget();
        let number = schedule.taken.replace(schedule.taken.get() + 1);
        Some(schedule.when(number))
    }

    /// Appends the next request to `out`: how many operations it has. `None` when there is nothing more to ask for.
    pub(super) fn ask(&self, speaker: &mut dyn Speak, out: &mut BytesMut) -> Option<u64> {
        self.source.borrow_mut().ask(speaker, out)
    }

    /// Counts an answer to a request that was due then.
    pub(super) fn count(&self, heard: Heard, due: Instant, operations: u64) {
        if self.phase.get() == Phase::WarmingUp {
            return self.note_early_refusal(heard);
        }
        let mut tally = self.tally.borrow_mut();
        match heard {
            Heard::Refused(why) => tally.fail(why),
            Heard::Done if self.phase.get() == Phase::Measuring => {
                tally.requests += 1;
                tally.operations += operations;
                tally.latencies.add(due.elapsed());
            }
            // After the window it is no part of the rate. At a fixed rate it was due in it, and its time counts.
            Heard::Done if self.schedule.is_some() => tally.latencies.add(due.elapsed()),
            Heard::Done => {}
        }
    }

    /// Counts requests that will never be answered.
    pub(super) fn count_broken(&self, requests: usize, why: String) {
        let mut tally = self.tally.borrow_mut();
        tally.fail(why);
        tally.errors += requests.saturating_sub(1) as u64;
    }

    pub(super) fn begin_window(&self) {
        self.phase.set(Phase::Measuring);
        let mut tally = self.tally.borrow_mut();
        tally.errors = 0;
        tally.first_error = None;
    }

    /// Nothing new is sent from here on; what waited to be sent counts with the time that it waited.
    pub(super) fn end_window(&self) {
        self.phase.set(Phase::Stopping);
        let Some(schedule) = &self.schedule else { return };
        schedule.due.close();
        let mut tally = self.tally.borrow_mut();
        let now = Instant::now();
        for number in schedule.taken.get()..schedule.released.get() {
            tally.late += 1;
            tally.latencies.add(now.saturating_duration_since(schedule.when(number)));
        }
    }

    pub(super) fn operations(&self) -> u64 {
        self.tally.borrow().operations
    }

    pub(super) fn begin_schedule(&self) {
        if let Some(schedule) = &self.schedule {
            schedule.began.set(Instant::now());
        }
    }

    /// Makes due what is due by now.
    pub(super) fn release_due(&self) {
        let Some(schedule) = &self.schedule else { return };
        let nanos = u64::try_from(schedule.began.get().elapsed().as_nanos()).unwrap_or(u64::MAX);
        let due = nanos / schedule.nanos_each;
        let new = due.saturating_sub(schedule.released.replace(due));
        // A closed semaphore takes permits, too, and gives none.
        schedule.due.add_permits(usize::try_from(new).unwrap_or_default());
    }

    /// Adds what was counted.
    pub(super) fn complete(&self, measured: &mut Measured) {
        let tally = self.tally.borrow();
        measured.requests = tally.requests;
        measured.operations = tally.operations;
        measured.operations_per_second = float(tally.operations) / measured.seconds;
        measured.errors = tally.errors;
        measured.first_error.clone_from(&tally.first_error);
        measured.latency = tally.latencies.latency();
        measured.late = tally.late;
    }

    /// What goes wrong before the window is told when nothing goes wrong later.
    fn note_early_refusal(&self, heard: Heard) {
        if let Heard::Refused(why) = heard {
            self.tally.borrow_mut().fail(why);
        }
    }
}

impl Schedule {
    fn when(&self, number: u64) -> Instant {
        self.began.get() + Duration::from_nanos(self.nanos_each.saturating_mul(number + 1))
    }
}

impl Tally {
    fn fail(&mut self, why: String) {
        self.errors += 1;
        self.first_error.get_or_insert(why);
    }
}
