//! From the bytes of a log back to state.

use std::hint::black_box;
use std::ops::ControlFlow;

use pipeline::{Recovery, Replay};

use super::Args;
use super::figure::{Figure, Took, time};
use super::workload::{InMemory, openings, requests, transfers};
use crate::outcome::Failure;

const ACCOUNTS: u32 = 10_000;
const TRANSFERS: u64 = 1_000_000;
const BATCH: u32 = 1_024;
/// Bytes given to the decoder at once.
const CHUNK_BYTES: usize = 1 << 20;
const AIM_EVENTS_PER_SECOND: f64 = 10_000_000.0;

pub(super) fn measure(args: &Args) -> Result<Vec<Figure>, Failure> {
    let log = log();
    let mut events = 0;
    let mut ledger_only = || -> Took {
        events = 0;
        let (took, replay) = time(|| {
            let mut replay = Replay::new(1);
            for chunk in log.chunks(CHUNK_BYTES) {
                let pushed = replay.push(chunk, |record| {
                    events += record.events.len() as u64;
                    ControlFlow::Continue(())
                });
                pushed.expect("the log was just made");
            }
            replay
        });
        black_box(replay.ledger().digest());
        took
    };
    let ledger_only: Vec<Took> = (0..args.runs).map(|_| ledger_only()).collect();
    let with_read_models = (0..args.runs).map(|_| {
        let (took, recovery) = time(|| {
            let mut recovery = Recovery::new(1);
            for chunk in log.chunks(CHUNK_BYTES) {
                recovery.push(chunk, |_| {}).expect("the log was just made");
            }
            recovery
        });
        black_box(recovery.next_sequence());
        took
    });
    let with_read_models: Vec<Took> = with_read_models.collect();
    let settings = [
        ("accounts", ACCOUNTS.into()),
        ("transfers", TRANSFERS),
        ("events", events),
        ("log bytes", log.len() as u64),
    ];
    let figure = |name, what, took: &[Took]| {
        Figure::rates(name, what, "events/s", events, took)
            .settings(settings)
            .aim_at_least(AIM_EVENTS_PER_SECOND)
    };
    Ok(vec![
        figure("replay-ledger", "decode, checksums, seals, check, apply, digest", &ledger_only),
        figure(
            "replay-read-models",
            "as replay-ledger, and all read models and the index of ids",
            &with_read_models,
        ),
    ])
}

fn log() -> Vec<u8> {
    let mut driver = InMemory::new(BATCH);
    driver.log = Some(Vec::new());
    for batch in requests(openings(ACCOUNTS).chain(transfers(ACCOUNTS, TRANSFERS)), BATCH as usize) {
        driver.submit(batch);
    }
    driver.log.unwrap_or_default()
}
