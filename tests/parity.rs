//! One answer on every target: these tests run natively and, from `web/tests/parity.rs`, in headless Chromium.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::fmt::Write;

use ledger::CommandKind;
use pipeline::{Recovered, Recovery};
use sim::{Crashes, Link, Lookups, Micros, Options, Workload, World};

/// One line a seed: seed, records, digest, BLAKE3 of the log's bytes.
const SEEDS: &str = include_str!("fixtures/seeds.txt");
/// A log of format version 1 (docs/LOG.md). It is never written again: every later version opens it.
const GOLDEN: &[u8] = include_bytes!("fixtures/golden.wlog");
const GOLDEN_RECORDS: u64 = 457;
const GOLDEN_DIGEST: &str = "bb7aa44439b3680b54f7e9265b6c7970";
/// A log with every kind of record, two-phase transfers, groups, floors and metadata among them. It is never written again
/// either.
const GOLDEN_2: &[u8] = include_bytes!("fixtures/golden-2.wlog");
const GOLDEN_2_RECORDS: u64 = 687;
const GOLDEN_2_DIGEST: &str = "767ce54fc1c17e85d6dd92d61aca7607";

/// A small world in which everything goes wrong that can.
fn options(seed: u64) -> Options {
    Options {
        seed,
        accounts: 40,
        workload: Workload::Closed { clients: 30, think: Micros { min: 0, max: 3_000 } },
        duplicates_per_mille: 50,
        deposits_per_mille: 30,
        withdrawals_per_mille: 30,
        bad_commands_per_mille: 50,
        link: Link { loss_per_mille: 20, duplication_per_mille: 20, ..Link::default() },
        lookups: Lookups { delay: Micros { min: 0, max: 300 }, loss_per_mille: 3 },
        crashes: Crashes { every_micros: 100_000, ..Crashes::default() },
        events_max: 700,
        full_check_every_records: 0,
        ..Options::default()
    }
}

fn finished(seed: u64) -> World {
    let mut world = World::new(options(seed)).expect("valid options");
    world.finish().expect("an end");
    assert!(world.findings().broken().is_empty(), "seed {seed}: {:?}", world.findings().broken());
    world
}

fn line(seed: u64) -> String {
    let world = finished(seed);
    let mut log = Vec::new();
    world.read_log(0, &mut log);
    format!("{seed} {} {} {}\n", world.sequence(), world.digest(), blake3::hash(&log))
}

#[test]
fn a_hundred_seeds_make_the_logs_that_they_make_everywhere() {
    let mut lines = String::new();
    for seed in 0..100 {
        lines.push_str(&line(seed));
    }
    if lines != SEEDS {
        let differs = lines.lines().zip(SEEDS.lines()).find(|(ours, known)| ours != known);
        let mut message = format!("the first line that differs: {differs:?}");
        // A change of the world changes them all; what they are then goes into the file.
        write!(message, "\ntests/fixtures/seeds.txt would be:\n{lines}").expect("a string takes everything");
        panic!("{message}");
    }
}

/// Recovers a golden log, to this state.
fn opens(log: &[u8], records: u64, digest: &str) -> Recovered {
    let mut recovery = Recovery::new(0);
    recovery.push(log, |_| ()).expect("the golden log verifies");
    let recovered = recovery.finish().expect("the golden log verifies");
    assert!(recovered.cut.is_none());
    assert_eq!(recovered.projections.checkpoint(), records);
    assert_eq!(recovered.ledger.digest().to_string(), digest);
    recovered
}

#[test]
fn the_golden_log_opens_for_ever() {
    opens(GOLDEN, GOLDEN_RECORDS, GOLDEN_DIGEST);
}

#[test]
fn the_golden_log_of_two_phases_opens_for_ever() {
    let recovered = opens(GOLDEN_2, GOLDEN_2_RECORDS, GOLDEN_2_DIGEST);
    let counts = &recovered.projections.counts;
    for kind in CommandKind::ALL {
        assert!(counts.completed(kind) > 0, "the log has no {kind} that completed");
    }
    assert_eq!(recovered.projections.pending.holds(), recovered.ledger.holds());
    assert_eq!(recovered.ledger.holds().len(), 62);
}
