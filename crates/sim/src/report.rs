//! What a run came to, for people and programs.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::checkers::{Broken, Invariant};
use crate::options::Options;
use crate::world::{Happened, World, WorldTotals};

/// What a run came to. Everything in it follows from the options and the inputs made by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The seed, also in the options.
    pub seed: u64,
    /// What the world was made of.
    pub options: Options,
    /// Records that are durable.
    pub sequence: u64,
    /// Events that are durable.
    pub events: u64,
    /// The digest of the durable log, 32 hexadecimal digits.
    pub digest: String,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Steps made.
    pub step: u64,
    /// Virtual time since the start, microseconds.
    pub elapsed_micros: u64,
    /// Half of the answers took at most so long, in virtual microseconds.
    pub latency_p50_micros: u64,
    /// 95 % of them.
    pub latency_p95_micros: u64,
    /// 99 % of them.
    pub latency_p99_micros: u64,
    /// What happened.
    pub totals: WorldTotals,
    /// Every invariant, how often it was checked, and how often it was broken.
    pub invariants: Vec<InvariantReport>,
    /// The first failures.
    pub broken: Vec<Broken>,
    /// The last steps, if something broke.
    pub last_steps: Vec<Happened>,
}

/// One invariant in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvariantReport {
    /// Its name.
    pub name: String,
    /// How often it was checked.
    pub checks: u64,
    /// How often it did not hold.
    pub failures: u64,
}

impl Report {
    /// Whether every invariant was checked and held.
    pub fn is_fine(&self) -> bool {
        self.invariants.iter().all(|invariant| invariant.checks > 0 && invariant.failures == 0)
    }

    /// Invariants that were never checked: a run that leaves any proves less than it seems to.
    pub fn unchecked(&self) -> impl Iterator<Item = &str> {
        let unchecked = self.invariants.iter().filter(|invariant| invariant.checks == 0);
        unchecked.map(|invariant| invariant.name.as_str())
    }
}

impl World {
    /// What the run came to so far.
    pub fn report(&self) -> Report {
        let findings = self.findings();
        let invariants = Invariant::ALL.map(|invariant| {
            let tally = findings.tally(invariant);
            InvariantReport {
                name: String::from(invariant.name()),
                checks: tally.checks,
                failures: tally.failures,
            }
        });
        let broke = !findings.broken().is_empty();
        Report {
            seed: self.options().seed,
            options: self.options().clone(),
            sequence: self.sequence(),
            events: self.events_count(),
            digest: self.digest().to_string(),
            log_bytes: self.log_len(),
            step: self.step_number(),
            elapsed_micros: self.elapsed_micros(),
            latency_p50_micros: self.meter.latency.quantile(500),
            latency_p95_micros: self.meter.latency.quantile(950),
            latency_p99_micros: self.meter.latency.quantile(990),
            totals: self.totals,
            invariants: invariants.into(),
            broken: findings.broken().to_vec(),
            last_steps: if broke { self.trace().copied().collect() } else { Vec::new() },
        }
    }
}

impl fmt::Display for Report {
    /// Seed and options first, so that a failure can be run again; then what happened, then the invariants.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "options {:?}", self.options)?;
        writeln!(f, "sequence {}, events {}, log {} bytes", self.sequence, self.events, self.log_bytes)?;
        writeln!(f, "digest {}", self.digest)?;
        writeln!(f, "step {}, virtual time {} us", self.step, self.elapsed_micros)?;
        let (p50, p95, p99) = (self.latency_p50_micros, self.latency_p95_micros, self.latency_p99_micros);
        writeln!(f, "modelled latency p50 {p50} us, p95 {p95} us, p99 {p99} us")?;
        for InvariantReport { name, checks, failures } in &self.invariants {
            let verdict = match (checks, failures) {
                (0, _) => "NEVER CHECKED",
                (_, 0) => "holds",
                (_, _) => "BROKEN",
            };
            writeln!(f, "{name:<26} {verdict:<13} {checks} checks, {failures} failures")?;
        }
        for Broken { invariant, step, at_micros, message } in &self.broken {
            writeln!(f, "broken: {} at step {step}, {at_micros} us: {message}", invariant.name())?;
        }
        for Happened { step, at_micros, what, count } in &self.last_steps {
            writeln!(f, "step {step}, {at_micros} us: {} ({count})", what.text())?;
        }
        Ok(())
    }
}
