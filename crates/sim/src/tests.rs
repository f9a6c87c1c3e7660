//! Worlds as a whole: they are reproducible, their invariants hold under every fault, and a planted bug is found.

use super::*;

mod feeds;
mod planted;
mod seam;

/// A small world with every fault switched on.
pub(crate) fn stormy(seed: u64) -> Options {
    Options {
        seed,
        accounts: 50,
        workload: Workload::Closed { clients: 40, think: Micros { min: 0, max: 3_000 } },
        duplicates_per_mille: 50,
        deposits_per_mille: 30,
        withdrawals_per_mille: 30,
        bad_commands_per_mille: 50,
        link: Link { loss_per_mille: 20, duplication_per_mille: 20, ..Link::default() },
        client: Client { timeout_micros: 30_000, attempts_max: 100 },
        lookups: Lookups { delay: Micros { min: 0, max: 300 }, loss_per_mille: 3 },
        read_store: ReadStoreOptions { redelivery_per_mille: 200, ..ReadStoreOptions::default() },
        crashes: Crashes {
            every_micros: 150_000,
            down: Micros { min: 1_000, max: 40_000 },
            late_appends_per_mille: 500,
        },
        faults: vec![
            Fault { at: FaultTime::Micros(90_000), kind: FaultKind::FailAppend },
            Fault { at: FaultTime::Micros(120_000), kind: FaultKind::LinkDown { micros: 15_000 } },
            Fault { at: FaultTime::Step(400), kind: FaultKind::CrashPipeline { down_micros: 5_000 } },
        ],
        redrive_every_micros: 50_000,
        pipeline: pipeline::Config {
            visibility_timeout_micros: 20_000,
            attempts_max: 1,
            stage_commands_max: 16,
            append_records_max: 64,
            appends_in_flight_max: 2,
            recent_ids_max: 256,
            commands_max: 24,
            retry_after_micros: 2_000,
            ..pipeline::Config::default()
        },
        events_max: 6_000,
        full_check_every_records: 1_024,
        refold_every_records: 256,
        ..Options::default()
    }
}

/// Runs to the end and returns the world with its report.
pub(crate) fn finished(options: Options) -> (World, Report) {
    let mut world = World::new(options).unwrap();
    let stop = world.finish();
    let report = world.report();
    assert_eq!(stop, Ok(()), "{report}");
    (world, report)
}

pub(crate) fn log_of(world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    world.read_log(0, &mut bytes);
    bytes
}

#[test]
fn the_same_seed_makes_the_same_log_twice_and_another_seed_another() {
    let (first, report) = finished(stormy(1));
    let (second, again) = finished(stormy(1));
    assert_eq!(log_of(&first), log_of(&second));
    assert_eq!(report, again);
    let (other, _) = finished(stormy(2));
    assert_ne!(other.digest(), first.digest());
}

#[test]
fn invariants_hold_for_thirty_seeds_with_every_fault() {
    let mut totals = WorldTotals::default();
    for seed in 0..30 {
        let (world, report) = finished(stormy(seed));
        assert!(report.is_fine(), "{report}");
        let seen = world.totals();
        totals.crashes += seen.crashes;
        totals.appends_failed += seen.appends_failed;
        totals.appends_fenced += seen.appends_fenced;
        totals.bytes_torn += seen.bytes_torn;
        totals.lookups_lost += seen.lookups_lost;
        totals.dead_letters_answered += seen.dead_letters_answered;
        totals.busy_answered += seen.busy_answered;
        totals.conflicts_answered += seen.conflicts_answered;
        totals.requests_lost += seen.requests_lost;
        totals.requests_unheard += seen.requests_unheard;
        totals.answers_duplicated += seen.answers_duplicated;
    }
    let WorldTotals { crashes, appends_failed, appends_fenced, bytes_torn, lookups_lost, .. } = totals;
    assert!(
        [crashes, appends_failed, appends_fenced, bytes_torn, lookups_lost].iter().all(|count| *count > 10)
    );
    let WorldTotals { dead_letters_answered, conflicts_answered, requests_lost, requests_unheard, .. } =
        totals;
    assert!(
        [dead_letters_answered, conflicts_answered, requests_lost, requests_unheard]
            .iter()
            .all(|count| *count > 10)
    );
}

/// As [`stormy`], with transfers in two steps, groups and floors.
pub(crate) fn two_phase(seed: u64) -> Options {
    let options = stormy(seed);
    let pipeline = pipeline::Config {
        // Small enough to be hit.
        pending_transfers_max: 12,
        expiries_max: 2,
        recent_ids_max: 512,
        ..options.pipeline.clone()
    };
    Options { pending_per_mille: 350, linked_per_mille: 100, floors_per_mille: 30, pipeline, ..options }
}

#[test]
fn invariants_hold_with_pending_transfers_groups_and_floors() {
    use ledger::{CommandKind, Reason};
    let mut completed = std::collections::BTreeMap::new();
    let mut refused = std::collections::BTreeMap::new();
    for seed in 0..20 {
        let (world, report) = finished(two_phase(seed));
        assert!(report.is_fine(), "{report}");
        let counts = &world.projections().counts;
        for kind in CommandKind::ALL {
            *completed.entry(kind).or_insert(0) += counts.completed(kind);
        }
        for reason in Reason::ALL {
            *refused.entry(reason).or_insert(0) += counts.failed_for(reason);
        }
    }
    assert!(completed.values().all(|count| *count > 20), "{completed:?}");
    assert!(refused.values().all(|count| *count > 0), "{refused:?}");
    let (first, report) = finished(two_phase(3));
    let (second, again) = finished(two_phase(3));
    assert_eq!((log_of(&first), report), (log_of(&second), again));
}
