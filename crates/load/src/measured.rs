//! What a run comes to, as one line of JSON.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart from longer ones, in nanoseconds.
const LONGEST_NANOS: u64 = 120_000_000_000;
/// Of a latency; the error is a thousandth.
const DIGITS: u8 = 3;

/// A run, in numbers. Times are those of the window alone.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Measured {
    /// How long the window was.
    pub(crate) seconds: f64,
    /// Answers that came in the window, and succeeded.
    pub(crate) requests: u64,
    /// Transfers, or syncs, or openings in them.
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    /// Answers that were no success, and connections that broke.
    pub(crate) errors: u64,
    /// What the first of them said.
    pub(crate) first_error: Option<String>,
    pub(crate) latency: Option<Latency>,
    /// Processor time of the server's processes for each operation.
    pub(crate) server_nanos_each: Option<f64>,
    /// Processor time of the server's processes: 100 is one processor.
    pub(crate) server_processor_percent: Option<f64>,
    /// Of the server's processes when the window ends.
    pub(crate) server_resident_mib: Option<f64>,
    /// The same of the load itself.
    pub(crate) load_processor_percent: f64,
    /// Connections that were held without work and still open at the end.
    pub(crate) held_open: u64,
    /// Requests that were due in the window and not begun when it ended; of a fixed rate alone.
    pub(crate) late: u64,
}

/// How long requests took, in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    pub(crate) mean_us: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Latencies as they come.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, LONGEST_NANOS, DIGITS);
        Latencies(histogram.expect("the bounds are in order and the digits few"))
    }

    pub(crate) fn add(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST_NANOS));
    }

    /// `None` if there are none.
    pub(crate) fn latency(&self) -> Option<Latency> {
        let at = |quantile: f64| float(self.0.value_at_quantile(quantile)) / 1_000.0;
        (!self.0.is_empty()).then(|| Latency {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: float(self.0.max()) / 1_000.0,
            mean_us: self.0.mean() / 1_000.0,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; counts stay far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_their_percentiles() {
        let mut latencies = Latencies::new();
        assert!(latencies.latency().is_none());
        for micros in 1..=1_000 {
            latencies.add(Duration::from_micros(micros));
        }
        let latency = latencies.latency().expect("there are some");
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 0.001;
        assert!(near(latency.p50_us, 500.0) && near(latency.p99_us, 990.0), "{latency:?}");
        (0..1_000).for_each(|_| latencies.add(Duration::from_secs(9)));
        assert!(near(latencies.latency().expect("more").p99_us, 9e6));
    }
}
