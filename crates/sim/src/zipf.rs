//! Zipf-distributed account numbers from an integer table.

use std::sync::Arc;

use crate::rng::Rng;

/// Draws ranks from 0 to `n - 1` in which rank `r` is about `(r + 1)^-exponent` as likely as rank 0.
///
/// An alias table of integers: one draw costs O(1), and no float decides anything. A clone shares the table.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    columns: Arc<[Column]>,
    /// What a column holds: the sum of all weights.
    total: u64,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below this the column's own rank is drawn, from it on the other one.
    own: u64,
    other: u32,
}

/// Ranks at most, so that the table's integers do not overflow.
pub(crate) const RANKS_MAX: u32 = 1 << 22;
/// The weight of rank 0; the rarest rank still has 1.
const WEIGHT_MAX_BITS: u32 = 32;

impl Zipf {
    /// `exponent_per_mille` 0 is uniform, 1,000 is the classic 1/r. `ranks` is between 1 and [`RANKS_MAX`].
    pub(crate) fn new(ranks: u32, exponent_per_mille: u32) -> Zipf {
        let ranks = ranks.clamp(1, RANKS_MAX);
        let roots = roots();
        let weight = |rank: u64| weight(rank, exponent_per_mille, &roots);
        let weights: Vec<u64> = (1..=u64::from(ranks)).map(weight).collect();
        let total: u64 = weights.iter().sum();
        // Vose's alias method on integers: every weight times the number of ranks, columns of size `total`.
        let mut left: Vec<u64> = weights.iter().map(|weight| weight * u64::from(ranks)).collect();
        let mut columns: Vec<Column> = (0..ranks).map(|rank| Column { own: total, other: rank }).collect();
        let is_small = |rank: &u32| left[*rank as usize] < total;
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..ranks).partition(is_small);
        while let (Some(less), Some(more)) = (small.pop(), large.last().copied()) {
            let own = left[less as usize];
            columns[less as usize] = Column { own, other: more };
            left[more as usize] -= total - own;
            if left[more as usize] < total {
                large.pop();
                small.push(more);
            }
        }
        Zipf { columns: columns.into(), total }
    }

    /// A rank. Always two draws.
    pub(crate) fn draw(&self, rng: &mut Rng) -> u32 {
        let rank = rng.below(self.columns.len() as u64);
        let height = rng.below(self.total);
        let rank = u32::try_from(rank).expect("at most RANKS_MAX columns");
        let column = self.columns[rank as usize];
        if height < column.own { rank } else { column.other }
    }
}

/// `2^32 / rank^(exponent / 1000)`, at least 1, by fixed-point logarithms with 32 bits behind the point.
fn weight(rank: u64, exponent_per_mille: u32, roots: &[u64; 32]) -> u64 {
    let fall = u128::from(log2(rank)) * u128::from(exponent_per_mille) / 1_000;
    let full = u128::from(WEIGHT_MAX_BITS) << 32;
    match full.checked_sub(fall).map(u64::try_from) {
        Some(Ok(exponent)) => exp2(exponent, roots).max(1),
        _ => 1,
    }
}

/// log2 of `x >= 1` with 32 bits behind the point, by repeated squaring.
fn log2(x: u64) -> u64 {
    let whole = u64::from(x.ilog2());
    // The mantissa, between 1 and 2, with 62 bits behind the point.
    let mut mantissa = u128::from(x) << (62 - whole);
    let mut result = whole << 32;
    for bit in (0..32).rev() {
        mantissa = (mantissa * mantissa) >> 62;
        if mantissa >= 1 << 63 {
            mantissa >>= 1;
            result |= 1 << bit;
        }
    }
    result
}

/// 2^(1/2), 2^(1/4), 2^(1/8), ... with 62 bits behind the point.
fn roots() -> [u64; 32] {
    let mut root: u128 = 2 << 62;
    core::array::from_fn(|_| {
        root = (root << 62).isqrt();
        u64::try_from(root).expect("below 2 with 62 bits behind the point")
    })
}

/// 2 to the power of `x`, which has 32 bits behind the point and is below 62.
fn exp2(x: u64, roots: &[u64; 32]) -> u64 {
    let (whole, fraction) = (x >> 32, x & 0xffff_ffff);
    let mut product: u128 = 1 << 62;
    for (root, bit) in roots.iter().zip((0..32).rev()) {
        if (fraction >> bit) & 1 == 1 {
            product = (product * u128::from(*root)) >> 62;
        }
    }
    u64::try_from((product << whole) >> 62).expect("x is below 62")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn fixed_point_powers_are_right() {
        assert_eq!((log2(1), log2(2), log2(1 << 20)), (0, 1 << 32, 20 << 32));
        assert_eq!((exp2(0, &roots()), exp2(10 << 32, &roots())), (1, 1024));
        assert_eq!(exp2(log2(1_000_000), &roots()).abs_diff(1_000_000), 1, "rounded down");
        assert_eq!(weight(1, 1_000, &roots()), 1 << 32);
        assert!(weight(3, 1_000, &roots()).abs_diff((1 << 32) / 3) < 8);
        assert!(weight(100, 500, &roots()).abs_diff((1 << 32) / 10) < 8);
        assert_eq!(weight(1 << 22, 9_999, &roots()), 1);
    }

    #[test]
    fn draws_follow_the_weights() {
        let draws = |exponent| {
            let zipf = Zipf::new(100, exponent);
            let mut rng = Rng::new(1, Stream::Workload);
            let mut counts = [0_u32; 100];
            (0..100_000).for_each(|_| counts[zipf.draw(&mut rng) as usize] += 1);
            counts
        };
        let uniform = draws(0);
        assert!(uniform.iter().all(|count| (850..1_150).contains(count)), "{uniform:?}");
        let classic = draws(1_000);
        // The harmonic number of 100 is 5.187, so rank 0 has 19.3 %, rank 1 half of it and rank 9 a tenth.
        assert!((18_800..19_800).contains(&classic[0]), "{classic:?}");
        assert!((9_300..10_000).contains(&classic[1]), "{classic:?}");
        assert!((1_750..2_100).contains(&classic[9]), "{classic:?}");
        assert_eq!(Zipf::new(1, 1_000).draw(&mut Rng::new(1, Stream::Workload)), 0);
    }
}
