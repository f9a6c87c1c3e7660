//! Throughput and latency in virtual time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use time::Timestamp;

use crate::histogram::Histogram;

/// What happened in one stretch of virtual time. All of it is modelled: the times come from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// When the stretch began, microseconds since the Unix epoch.
    pub from_micros: u64,
    /// How long it was.
    pub micros: u64,
    /// Records that became durable.
    pub records: u64,
    /// Events that became durable.
    pub events: u64,
    /// Answers that clients received.
    pub answers: u64,
    /// Half of the answers took at most so long, microseconds from the first sending to the answer.
    pub p50_micros: u64,
    /// 95 % of them.
    pub p95_micros: u64,
    /// 99 % of them.
    pub p99_micros: u64,
}

/// Counts what happens in stretches of virtual time, and keeps the last [`SAMPLES_MAX`] of them.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    current: Sample,
    histogram: Histogram,
    pub(crate) latency: Histogram,
    samples: VecDeque<Sample>,
    /// Samples that were ever finished.
    pub(crate) finished: u64,
}

/// Samples kept.
pub const SAMPLES_MAX: usize = 600;

impl Meter {
    pub(crate) fn new(start: Timestamp, sample_micros: u64) -> Meter {
        Meter {
            current: Sample { from_micros: start.micros(), micros: sample_micros, ..Sample::default() },
            histogram: Histogram::default(),
            latency: Histogram::default(),
            samples: VecDeque::new(),
            finished: 0,
        }
    }

    pub(crate) fn durable(&mut self, now: Timestamp, records: u64, events: u64) {
        self.roll(now);
        self.current.records += records;
        self.current.events += events;
    }

    pub(crate) fn answered(&mut self, now: Timestamp, micros: u64) {
        self.roll(now);
        self.current.answers += 1;
        self.histogram.add(micros);
        self.latency.add(micros);
    }

    /// Finished samples, the oldest first.
    pub(crate) fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }

    fn roll(&mut self, now: Timestamp) {
        let micros = self.current.micros;
        let passed = now.micros().saturating_sub(self.current.from_micros) / micros;
        if passed == 0 {
            return;
        }
        let mut done = self.current;
        done.p50_micros = self.histogram.quantile(500);
        done.p95_micros = self.histogram.quantile(950);
        done.p99_micros = self.histogram.quantile(990);
        self.histogram.clear();
        self.push(done);
        // A long silence leaves as many empty samples as are kept.
        let empty = (passed - 1).min(SAMPLES_MAX as u64);
        for back in (1..=empty).rev() {
            let from_micros = self.current.from_micros + (passed - back) * micros;
            self.push(Sample { from_micros, micros, ..Sample::default() });
        }
        self.current =
            Sample { from_micros: self.current.from_micros + passed * micros, micros, ..Sample::default() };
    }

    fn push(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        self.finished += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_cover_all_time_without_overlap() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let mut meter = Meter::new(at(1_000), 100);
        meter.durable(at(1_010), 1, 2);
        meter.answered(at(1_099), 7);
        meter.answered(at(1_350), 9);
        meter.durable(at(1_400), 1, 1);
        let samples: Vec<(u64, u64, u64, u64)> =
            meter.samples().map(|s| (s.from_micros, s.events, s.answers, s.p99_micros)).collect();
        assert_eq!(samples, [(1_000, 2, 1, 7), (1_100, 0, 0, 0), (1_200, 0, 0, 0), (1_300, 0, 1, 9)]);
        meter.durable(at(10_000_000), 0, 0);
        let starts: Vec<u64> = meter.samples().map(|sample| sample.from_micros).collect();
        assert_eq!((starts.len(), starts.first(), starts.last()), (600, Some(&9_940_000), Some(&9_999_900)));
    }
}
