//! Planted bugs: each safeguard of the surroundings that is switched off must turn its checker red, for a dozen seeds.

use super::*;

/// Runs until something breaks; which invariants broke first, at the same step.
fn first_broken(options: Options) -> Vec<Broken> {
    let mut world = World::new(options).unwrap();
    let stop = world.finish();
    let report = world.report();
    let Some(first) = report.broken.first() else { panic!("nothing broke, {stop:?}: {report}") };
    assert!(!report.is_fine());
    let text = report.to_string();
    assert!(text.starts_with(&format!("seed {}\noptions Options {{", report.seed)), "{text}");
    assert!(text.contains("broken: ") && !report.last_steps.is_empty(), "{text}");
    report.broken.iter().filter(|broken| broken.step == first.step).cloned().collect()
}

/// The safeguard is off: for every seed what it guards is the first thing to break.
fn is_found(safeguard: Safeguard, expected: &[Invariant], change: fn(&mut Options)) {
    for seed in 100..112 {
        let mut options = Options { safeguards_off: vec![safeguard], ..stormy(seed) };
        change(&mut options);
        let broken = first_broken(options);
        let found = broken.iter().any(|broken| expected.contains(&broken.invariant));
        assert!(found, "seed {seed}, {safeguard:?}: {broken:?}");
    }
}

#[test]
fn a_disk_that_loses_what_it_acknowledged_is_found() {
    is_found(Safeguard::DurableAppends, &[Invariant::AcknowledgedIsDurable], |_| {});
}

#[test]
fn a_store_that_accepts_an_old_generation_is_found() {
    is_found(Safeguard::Fencing, &[Invariant::GenerationsNeverFall], |options| {
        options.crashes.late_appends_per_mille = 1_000;
    });
}

#[test]
fn bits_that_flip_in_the_log_are_found() {
    is_found(Safeguard::IntactLog, &[Invariant::LogIsIntact], |_| {});
}

#[test]
fn a_network_that_changes_an_amount_is_found() {
    is_found(Safeguard::IntactRequests, &[Invariant::AnswersAgree], |_| {});
}

#[test]
fn a_network_that_changes_an_answer_is_found() {
    is_found(Safeguard::IntactReplies, &[Invariant::AnswersAgree], |_| {});
}

#[test]
fn a_stale_index_that_lets_a_repeat_take_effect_twice_is_found() {
    // An opening that is repeated cannot take effect twice, because its name is taken; its client is told of a conflict.
    is_found(Safeguard::FreshLookups, &[Invariant::OneEffectPerId, Invariant::AnswersAgree], |options| {
        // A small memory of recent ids and many repeats: the index is what stands between a repeat and a second effect.
        options.duplicates_per_mille = 300;
        options.pipeline.recent_ids_max = 208;
    });
}

#[test]
fn a_read_store_that_forgets_its_checkpoint_is_found() {
    is_found(Safeguard::AtomicCheckpoint, &[Invariant::ProjectionsEqualFold], |_| {});
}

#[test]
fn a_read_store_that_misses_an_entry_is_found() {
    is_found(Safeguard::GaplessFeed, &[Invariant::ProjectionsEqualFold], |_| {});
}

#[test]
fn a_pipeline_that_stays_deaf_is_found_at_the_end() {
    // The whole disk is unreadable from the second byte on, so the pipeline cannot start again.
    let mut world = World::new(Options { events_max: 0, faults: Vec::new(), ..stormy(1) }).unwrap();
    let until = Until { sequence: 300, ..Until::default() };
    assert_eq!(world.run(&until), Stop::Sequence);
    world.journal.spoil();
    world.crash(1);
    let stop = world.finish();
    let report = world.report();
    assert_eq!(stop, Err(Stop::Broken), "{report}");
    assert_eq!(report.broken[0].invariant, Invariant::LogIsIntact, "{report}");
    // Clients give up one after the other, until nothing happens any more.
    assert_eq!(world.finish(), Ok(()));
    assert!(world.report().broken.iter().any(|broken| broken.invariant == Invariant::EverythingIsAnswered));
}
