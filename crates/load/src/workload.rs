//! The transfers: drawn from a seed, by integers alone, so that every machine draws the same accounts.

use clap::ValueEnum;
use uuid::{Builder, Uuid};

/// Scatters the ranks of a Zipf draw over the accounts: it has no factor in common with a number of accounts that is a
/// product of twos and fives, so no two ranks meet.
const SCATTER: u64 = 611_953;

/// How often an account is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// Each as often as any other
    Uniform,
    /// Zipf with exponent 1: the n-th most frequent one n times less often than the first
    Zipf,
}

/// Which ids the client makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ids {
    /// Random
    V4,
    /// Ordered by time
    V7,
}

/// One transfer of 1 between two accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) id: Uuid,
    /// Numbers of accounts, from 0.
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// Draws transfers without end. Accounts depend on the seed alone; the ids differ from run to run, or the second run
/// would only repeat the first.
pub(crate) struct Workload {
    accounts: Accounts,
    draws: Draws,
    ids: Ids,
    id_draws: Draws,
}

impl Workload {
    /// Between so many accounts, at least 2.
    pub(crate) fn new(accounts: u32, distribution: Distribution, ids: Ids, seed: u64) -> Workload {
        let fresh = Uuid::now_v7().as_u128();
        let fresh = u64::try_from(fresh & u128::from(u64::MAX)).unwrap_or_default();
        let accounts = Accounts::new(accounts, distribution);
        Workload { accounts, draws: Draws(seed), ids, id_draws: Draws(fresh) }
    }

    pub(crate) fn next(&mut self) -> Transfer {
        let from = self.accounts.draw(&mut self.draws);
        let to = loop {
            let to = self.accounts.draw(&mut self.draws);
            if to != from {
                break to;
            }
        };
        Transfer { id: self.id(), from, to }
    }

    fn id(&mut self) -> Uuid {
        let (high, low) = (self.id_draws.next(), self.id_draws.next());
        let random = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
        match self.ids {
            Ids::V4 => Builder::from_random_bytes(random).into_uuid(),
            Ids::V7 => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let millis = now.map_or(0, |since| since.as_millis());
                let mut counter = [0; 10];
                counter.copy_from_slice(&random[..10]);
                Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or_default(), &counter)
                    .into_uuid()
            }
        }
    }
}

/// Draws numbers of accounts.
enum Accounts {
    Uniform { count: u32 },
    Zipf { count: u32, table: Vec<Column> },
}

/// A column of Vose's alias table: the share of it that is its own, and whose the rest is.
#[derive(Clone, Copy)]
struct Column {
    own: u32,
    alias: u32,
}

impl Accounts {
    fn new(count: u32, distribution: Distribution) -> Accounts {
        match distribution {
            Distribution::Uniform => Accounts::Uniform { count },
            Distribution::Zipf => Accounts::Zipf { count, table: zipf(count) },
        }
    }

    fn draw(&self, draws: &mut Draws) -> u32 {
        match self {
            Accounts::Uniform { count } => draws.below(*count),
            Accounts::Zipf { count, table } => {
                let at = draws.below(*count);
                let column = table[at as usize];
                let rank = if draws.half() < column.own { at } else { column.alias };
                let scattered = u64::from(rank) * SCATTER % u64::from(*count);
                u32::try_from(scattered).unwrap_or_default()
            }
        }
    }
}

/// The alias table of the weights 1, 1/2, 1/3, ... in integers.
fn zipf(count: u32) -> Vec<Column> {
    let weights: Vec<u64> = (1..=u64::from(count)).map(|rank| (1 << 40) / rank).collect();
    let total: u128 = weights.iter().copied().map(u128::from).sum();
    // Scaled, so that a full column is 2^32.
    let full = 1_u64 << 32;
    let scaled = |weight: u64| {
        let share = u128::from(weight) * u128::from(count) * u128::from(full) / total;
        u64::try_from(share).unwrap_or(u64::MAX)
    };
    let mut left: Vec<u64> = weights.into_iter().map(scaled).collect();
    let mut table = vec![Column { own: u32::MAX, alias: 0 }; left.len()];
    let (mut small, mut large): (Vec<u32>, Vec<u32>) =
        (0..count).partition(|rank| left[*rank as usize] < full);
    while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
        let own = left[less as usize];
        table[less as usize] = Column { own: u32::try_from(own).unwrap_or(u32::MAX), alias: more };
        left[more as usize] -= full - own;
        if left[more as usize] < full { small.push(more) } else { large.push(more) }
    }
    // What rounding left over is a whole column of its own; its alias is never drawn, or once in 2^32.
    for rank in small.into_iter().chain(large) {
        table[rank as usize] = Column { own: u32::MAX, alias: rank };
    }
    table
}

/// Splitmix64.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn half(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or_default()
    }

    fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u64::from(self.half()) * u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(distribution: Distribution, accounts: u32, draws: u32) -> Vec<u32> {
        let mut workload = Workload::new(accounts, distribution, Ids::V4, 7);
        let mut counts = vec![0; accounts as usize];
        for _ in 0..draws {
            let transfer = workload.next();
            assert_ne!(transfer.from, transfer.to);
            counts[transfer.from as usize] += 1;
        }
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn the_first_rank_of_zipf_is_drawn_twice_as_often_as_the_second() {
        let counts = counts(Distribution::Zipf, 10_000, 1_000_000);
        // 1 / H(10,000) = 0.1022 of all draws, half of it, a third of it.
        for (rank, share) in [(0, 102_170), (1, 51_085), (2, 34_056)] {
            assert!(counts[rank].abs_diff(share) < share / 20, "rank {rank}: {}", counts[rank]);
        }
        assert!(counts.iter().filter(|count| **count > 0).count() > 9_900, "nearly all are drawn");
    }

    #[test]
    fn uniform_is_uniform() {
        let counts = counts(Distribution::Uniform, 100, 1_000_000);
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 600), "{counts:?}");
    }

    #[test]
    fn a_seed_draws_the_same_accounts_and_other_ids() {
        let draw = || {
            let mut workload = Workload::new(1_000, Distribution::Zipf, Ids::V7, 3);
            [workload.next(), workload.next()]
        };
        let (first, second) = (draw(), draw());
        assert_eq!(first.map(|t| (t.from, t.to)), second.map(|t| (t.from, t.to)));
        assert_ne!(first[0].id, second[0].id);
        assert_eq!(first[0].id.get_version_num(), 7);
    }
}
