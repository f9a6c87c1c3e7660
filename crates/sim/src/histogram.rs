//! Latencies counted in buckets, for quantiles without floats.

/// Counts of durations in microseconds. Buckets are a sixteenth of a power of two wide, so a quantile is at most 6.25 %
/// too high. Small, and cheap to clone: its size does not depend on how much was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

const SUB_BITS: u32 = 4;
const SUB: u64 = 1 << SUB_BITS;

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, micros: u64) {
        let bucket = bucket_of(micros);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest duration, in microseconds; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// A duration that `per_mille` of 1,000 durations do not exceed, in microseconds; 0 if none was counted.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return last_of(bucket as u64).min(self.max);
            }
        }
        0
    }

    /// Forgets every duration, and keeps the memory.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.count = 0;
        self.max = 0;
    }
}

fn bucket_of(micros: u64) -> usize {
    let bucket = if micros < SUB {
        micros
    } else {
        let shift = micros.ilog2() - SUB_BITS;
        u64::from(shift + 1) * SUB + ((micros >> shift) - SUB)
    };
    usize::try_from(bucket).expect("fewer than 1,024 buckets")
}

/// The longest duration that falls into a bucket.
fn last_of(bucket: u64) -> u64 {
    match (bucket / SUB).checked_sub(1) {
        None => bucket,
        Some(shift) => ((SUB + bucket % SUB) << shift) + ((1 << shift) - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_tile_all_durations() {
        for micros in (0..5_000).chain([u64::from(u32::MAX), 1 << 52, u64::MAX]) {
            let bucket = bucket_of(micros) as u64;
            assert!(last_of(bucket) >= micros, "{micros}");
            assert!(last_of(bucket) - micros <= micros / SUB, "{micros}");
            assert!(bucket == 0 || last_of(bucket - 1) < micros, "{micros}");
        }
    }

    #[test]
    fn quantiles_are_near() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(500), histogram.count()), (0, 0));
        (1..=1_000).for_each(|micros| histogram.add(micros));
        let quantiles = [500, 950, 990, 1_000].map(|per_mille| histogram.quantile(per_mille));
        assert_eq!(quantiles, [511, 959, 991, 1_000]);
        assert_eq!((histogram.count(), histogram.max()), (1_000, 1_000));
        histogram.clear();
        assert_eq!(histogram, Histogram { buckets: Vec::new(), ..Histogram::default() });
    }
}
