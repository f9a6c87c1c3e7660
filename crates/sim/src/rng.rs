//! Seeded draws: the only source of chance in a world.

/// What a stream of draws is for. Each concern has its own, so that switching one fault on does not reshuffle the
/// rest of the run. The numbers are part of what a seed means: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// The identity of the log.
    Identity = 1,
    /// What clients ask for.
    Workload = 2,
    /// How long messages travel.
    Delay = 3,
    /// Which messages are lost.
    Loss = 4,
    /// Which messages arrive twice.
    Duplication = 5,
    /// How long the disk takes.
    Disk = 6,
    /// How long look-ups take, and which are never answered.
    Lookups = 7,
    /// When the pipeline crashes, and for how long.
    Crashes = 8,
    /// What a crash leaves of appends that were not acknowledged.
    Tails = 9,
    /// How long the read store takes, and what it is sent twice.
    ReadStore = 10,
    /// What a safeguard that is switched off lets happen.
    Safeguards = 11,
    /// How long clients think.
    Think = 12,
}

/// A stream of draws: xoshiro256++, seeded by SplitMix64. The same values on every machine.
///
/// Not for secrets: who sees some draws knows the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The stream of `seed` for one concern.
    pub fn new(seed: u64, stream: Stream) -> Rng {
        let mut mixer = seed ^ (stream as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
        Rng { state: core::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number from 0 to `n - 1`, near enough uniform (the bias is below `n` in 2^32); 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let bits = self.bits();
        match u32::try_from(n) {
            Ok(n) => ((bits >> 32) * u64::from(n)) >> 32,
            Err(_) => bits % n,
        }
    }

    /// A number from `min` to `max`, both included; `min` if `max` is not larger. One draw in every case.
    pub fn between(&mut self, min: u64, max: u64) -> u64 {
        let width = max.saturating_sub(min).saturating_add(1);
        min + self.below(width)
    }

    /// Does something happen that happens `per_mille` times in 1,000? One draw in every case.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_fixed_for_ever_and_differ() {
        let draws = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.bits(), rng.bits()]
        };
        assert_eq!(draws(1, Stream::Workload), draws(1, Stream::Workload));
        assert_ne!(draws(1, Stream::Workload), draws(1, Stream::Loss));
        assert_ne!(draws(1, Stream::Workload), draws(2, Stream::Workload));
        assert_eq!(draws(0, Stream::Identity), FIXED);
    }

    const FIXED: [u64; 2] = [7_244_514_807_350_303_979, 12_139_256_785_028_356_227];

    #[test]
    fn draws_stay_in_range_and_reach_its_ends() {
        let mut rng = Rng::new(7, Stream::Delay);
        let draws: Vec<u64> = (0..10_000).map(|_| rng.between(5, 9)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&5), Some(&9)));
        assert_eq!((rng.below(0), rng.below(1), rng.between(3, 3), rng.between(3, 1)), (0, 0, 3, 3));
        assert!(rng.below(u64::MAX) < u64::MAX);
        let happened = (0..100_000).filter(|_| rng.happens(250)).count();
        assert!((24_000..26_000).contains(&happened), "{happened}");
        assert!(!rng.happens(0) && rng.happens(1_000));
    }
}
