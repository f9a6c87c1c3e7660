//! The engine alone, and the whole pipeline in memory.

use std::hint::black_box;

use ledger::{Command, Ledger};
use time::Timestamp;

use super::Args;
use super::figure::{Figure, Took, time};
use super::workload::{InMemory, openings, requests, transfers};
use crate::outcome::Failure;

const TRANSFERS: u64 = 1_000_000;
/// Commands in a batch of the pipeline.
const BATCH: u32 = 1_024;
const AIM_TRANSFERS_PER_SECOND: f64 = 5_000_000.0;

/// Ledger only: execute, apply, digest.
pub(super) fn measure(args: &Args) -> Result<Vec<Figure>, Failure> {
    Ok([10_000, 1_000_000].map(|accounts| one(args, accounts)).into())
}

fn one(args: &Args, accounts: u32) -> Figure {
    let mut opened = Ledger::new(1);
    let mut events = Vec::new();
    openings(accounts).for_each(|command| step(&mut opened, &command, &mut events));
    let commands: Vec<Command> = transfers(accounts, TRANSFERS).collect();
    let mut run = || {
        let mut ledger = opened.clone();
        let (took, ()) = time(|| {
            for command in &commands {
                step(&mut ledger, command, &mut events);
            }
            black_box(ledger.digest());
        });
        took
    };
    let took: Vec<Took> = (0..args.runs).map(|_| run()).collect();
    let what = "ledger alone: execute, apply, digest kept up to date; accounts by name";
    Figure::rates(&format!("engine-{accounts}"), what, "transfers/s", TRANSFERS, &took)
        .settings([("accounts", accounts.into()), ("transfers", TRANSFERS)])
        .aim_at_least(AIM_TRANSFERS_PER_SECOND)
}

fn step(ledger: &mut Ledger, command: &Command, events: &mut Vec<ledger::Event>) {
    events.clear();
    ledger.execute(Timestamp::ZERO, command, events);
    events.iter().for_each(|event| ledger.apply(event));
}

/// Gateway, queue, idempotency, ledger, log bytes with seals, replies, read models.
pub(super) fn measure_pipeline(args: &Args) -> Result<Vec<Figure>, Failure> {
    const ACCOUNTS: u32 = 10_000;
    let run = || -> Took {
        let mut driver = InMemory::new(BATCH);
        for batch in requests(openings(ACCOUNTS), BATCH as usize) {
            driver.submit(batch);
        }
        let batches = requests(transfers(ACCOUNTS, TRANSFERS), BATCH as usize);
        let (took, ()) = time(|| batches.into_iter().for_each(|batch| driver.submit(batch)));
        assert_eq!(driver.pipeline.projections().counts.transfers_completed(), TRANSFERS);
        took
    };
    let took: Vec<Took> = (0..args.runs).map(|_| run()).collect();
    let what = "whole pipeline: gateway, queue, look-ups, ledger, log bytes and seals, replies, read models";
    let settings = [("accounts", ACCOUNTS.into()), ("transfers", TRANSFERS), ("batch", BATCH.into())];
    Ok(vec![Figure::rates("pipeline", what, "transfers/s", TRANSFERS, &took).settings(settings)])
}
