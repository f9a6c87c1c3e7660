//! The page's options of a run and the world's.

use sim::{Crashes, Link, Lookups, Micros, Options, Workload};

use crate::protocol::RunOptions;

/// The world that the page asks for. What the page does not name has the world's default.
pub(super) fn to_world(choices: &RunOptions) -> Options {
    let default = Options::default();
    Options {
        seed: choices.seed,
        accounts: choices.accounts,
        opening_balance: choices.opening_balance,
        workload: Workload::Open {
            arrivals_per_second: choices.commands_per_second,
            clients_max: choices.clients,
        },
        duplicates_per_mille: choices.repeats_per_million / 1_000,
        bad_commands_per_mille: choices.bad_per_million / 1_000,
        link: Link {
            loss_per_mille: choices.loss_per_million / 1_000,
            duplication_per_mille: choices.duplication_per_million / 1_000,
            ..default.link
        },
        lookups: Lookups { loss_per_mille: choices.lookup_loss_per_million / 1_000, ..default.lookups },
        crashes: Crashes {
            every_micros: u64::from(choices.crash_every_seconds) * 1_000_000,
            ..default.crashes
        },
        // A commit to both copies takes some milliseconds of real time, during which virtual time stands still; a modelled
        // disk of the same kind lets both flow at the same pace.
        disk: Micros { min: 8_000, max: 24_000 },
        // A replay of the whole log is made when the run pauses and each time the log has doubled.
        full_check_every_records: 0,
        ..default
    }
}

/// What the page shows of a world's options.
pub(super) fn from_world(options: &Options) -> RunOptions {
    let (clients, commands_per_second) = match options.workload {
        Workload::Idle => (0, 0),
        Workload::Closed { clients, think: Micros { min, max } } => {
            let think = u64::midpoint(min, max).max(1);
            (clients, u32::try_from(u64::from(clients) * 1_000_000 / think).unwrap_or(u32::MAX))
        }
        Workload::Open { arrivals_per_second, clients_max } => (clients_max, arrivals_per_second),
    };
    RunOptions {
        seed: options.seed,
        accounts: options.accounts,
        clients,
        opening_balance: options.opening_balance,
        commands_per_second,
        repeats_per_million: options.duplicates_per_mille * 1_000,
        bad_per_million: options.bad_commands_per_mille * 1_000,
        loss_per_million: options.link.loss_per_mille * 1_000,
        duplication_per_million: options.link.duplication_per_mille * 1_000,
        lookup_loss_per_million: options.lookups.loss_per_mille * 1_000,
        crash_every_seconds: u32::try_from(options.crashes.every_micros / 1_000_000).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_s_choices_survive() {
        let choices = RunOptions {
            seed: u64::MAX,
            crash_every_seconds: 9,
            lookup_loss_per_million: 3_000,
            ..RunOptions::default()
        };
        let options = to_world(&choices);
        assert_eq!(options.validate(), Ok(()));
        assert_eq!(from_world(&options), choices);
    }
}
