//! One measured number, with everything that it depends on.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What was measured, how, and what came out.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) what: &'static str,
    /// What is on the disk, and synced, when it counts.
    pub(super) durability: &'static str,
    pub(super) settings: Vec<(&'static str, u64)>,
    pub(super) unit: &'static str,
    /// The median of the runs.
    pub(super) value: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) runs: usize,
    /// Processor time for each of them in nanoseconds, the median of the runs; of the thread that calls, and `None` where
    /// the system does not say. It depends far less than the rate on what else the machine does.
    pub(super) processor_nanos_each: Option<f64>,
    /// How long one takes, where that was measured.
    pub(super) latency: Option<Latency>,
    /// What is aimed for.
    pub(super) aim: Option<f64>,
    /// `value / aim`; of a figure that should be small, `aim / value`.
    pub(super) of_aim: Option<f64>,
}

/// How long things took, over all runs, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Latency {
    p50_micros: u32,
    p95_micros: u32,
    p99_micros: u32,
}

impl Latency {
    /// The percentiles of all of them; `None` if there are none. It sorts them.
    pub(super) fn of(micros: &mut [u32]) -> Option<Latency> {
        micros.sort_unstable();
        let at =
            |percent: usize| micros.get((micros.len() * percent / 100).min(micros.len().checked_sub(1)?));
        Some(Latency { p50_micros: *at(50)?, p95_micros: *at(95)?, p99_micros: *at(99)? })
    }
}

impl Figure {
    /// From the values of all runs, at least one.
    pub(super) fn new(name: &str, what: &'static str, unit: &'static str, mut values: Vec<f64>) -> Figure {
        values.sort_by(f64::total_cmp);
        let (value, min, max) = (values[values.len() / 2], values[0], values[values.len() - 1]);
        let (durability, settings) = (IN_MEMORY, Vec::new());
        let (name, runs) = (name.to_owned(), values.len());
        Figure {
            name,
            what,
            durability,
            settings,
            unit,
            value,
            min,
            max,
            runs,
            processor_nanos_each: None,
            latency: None,
            aim: None,
            of_aim: None,
        }
    }

    /// From runs that each did `count` things.
    pub(super) fn rates(
        name: &str,
        what: &'static str,
        unit: &'static str,
        count: u64,
        took: &[Took],
    ) -> Figure {
        let rates = took.iter().map(|took| float(count) / took.wall.as_secs_f64().max(f64::MIN_POSITIVE));
        let mut figure = Figure::new(name, what, unit, rates.collect());
        let mut nanos: Vec<f64> =
            took.iter().filter_map(|took| Some(float(took.processor_nanos?) / float(count))).collect();
        nanos.sort_by(f64::total_cmp);
        figure.processor_nanos_each = nanos.get(nanos.len() / 2).copied();
        figure
    }

    pub(super) fn settings<const N: usize>(mut self, settings: [(&'static str, u64); N]) -> Figure {
        self.settings = settings.into();
        self
    }

    pub(super) fn durability(mut self, durability: &'static str) -> Figure {
        self.durability = durability;
        self
    }

    /// At least so much is aimed for.
    pub(super) fn aim_at_least(mut self, aim: f64) -> Figure {
        self.aim = Some(aim);
        self.of_aim = Some(self.value / aim);
        self
    }

    /// At most so much is aimed for.
    pub(super) fn aim_at_most(mut self, aim: f64) -> Figure {
        self.aim = Some(aim);
        self.of_aim = Some(aim / self.value);
        self
    }
}

/// The durability of what never touches a disk.
pub(super) const IN_MEMORY: &str = "in memory, nothing is durable";

/// How long something took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    pub(super) wall: Duration,
    /// What the thread spent on a processor.
    pub(super) processor_nanos: Option<u64>,
}

/// How long `work` takes.
pub(super) fn time<T>(work: impl FnOnce() -> T) -> (Took, T) {
    let processor_before = processor_nanos();
    let started = Instant::now();
    let result = work();
    let wall = started.elapsed();
    let processor_nanos = processor_nanos().zip(processor_before).map(|(after, before)| after - before);
    (Took { wall, processor_nanos }, result)
}

/// What this thread has spent on a processor so far.
fn processor_nanos() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; counts stay far below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { name, what, durability, settings, unit, value, min, max, runs, .. } = self;
        write!(f, "{name:<22} {} {unit}", grouped(*value))?;
        if *runs > 1 {
            write!(f, " [{}..{}, {runs} runs]", grouped(*min), grouped(*max))?;
        }
        if let Some(nanos) = self.processor_nanos_each {
            write!(f, ", {nanos:.0} ns of processor each")?;
        }
        if let Some(Latency { p50_micros, p95_micros, p99_micros }) = self.latency {
            write!(f, ", p50 {p50_micros} us, p95 {p95_micros} us, p99 {p99_micros} us")?;
        }
        if let (Some(aim), Some(of_aim)) = (self.aim, self.of_aim) {
            write!(f, ", {of_aim:.2} of the aim {}", grouped(aim))?;
        }
        write!(f, "\n{:<22} {what}; {durability}", "")?;
        for (setting, number) in settings {
            write!(f, "; {setting} {}", grouped(float(*number)))?;
        }
        writeln!(f)
    }
}

/// With thousands apart; small numbers with two decimals.
fn grouped(value: f64) -> String {
    if value.abs() < 100.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_with_its_range() {
        let figure = Figure::new("engine", "transfers", "transfers/s", vec![3.0, 1.0, 2.0]).aim_at_least(4.0);
        assert_eq!((figure.value, figure.min, figure.max, figure.of_aim), (2.0, 1.0, 3.0, Some(0.5)));
        let small = Figure::new("clone", "a world", "ms", vec![2.5]).aim_at_most(5.0);
        assert_eq!(small.of_aim, Some(2.0));
    }

    #[test]
    fn a_latency_is_its_percentiles() {
        let mut micros: Vec<u32> = (1..=200).rev().collect();
        let latency = Latency::of(&mut micros).expect("there are some");
        assert_eq!((latency.p50_micros, latency.p95_micros, latency.p99_micros), (101, 191, 199));
        assert!(Latency::of(&mut []).is_none());
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0.25, 12.0, 1_234_567.8, 999.4].map(grouped), ["0.25", "12", "1,234,568", "999"]);
    }
}
