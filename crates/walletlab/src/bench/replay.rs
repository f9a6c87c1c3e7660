//! From the bytes of a log back to state.

use std::collections::HashMap;
use std::hint::black_box;
use std::ops::ControlFlow;

use pipeline::{Recovery, Replay};
use serde::Deserialize;

use super::Args;
use super::figure::{Figure, Took, time};
use super::workload::{InMemory, openings, requests, transfers};
use crate::export::{Converter, Format};
use crate::outcome::Failure;

const ACCOUNTS: u32 = 10_000;
const TRANSFERS: u64 = 1_000_000;
const BATCH: u32 = 1_024;
/// Bytes given to the decoder at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Of the same log as JSON Lines, which is far longer.
const TRANSFERS_AS_LINES: u64 = 100_000;
const AIM_EVENTS_PER_SECOND: f64 = 10_000_000.0;

pub(super) fn measure(args: &Args) -> Result<Vec<Figure>, Failure> {
    let log = log(TRANSFERS);
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
        of_lines(args),
    ])
}

/// An event, as far as a balance needs it.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    account: Option<&'a str>,
    amount: Option<i64>,
}

/// The same events as JSON Lines, by serde into a map of strings: what a log of text and a map by name cost, without any
/// checksum, seal, check or digest.
fn of_lines(args: &Args) -> Figure {
    let mut lines = Vec::new();
    let mut converter = Converter::new(Format::Jsonl);
    converter.push(&log(TRANSFERS_AS_LINES), &mut lines).expect("the log was just made");
    let mut events = 0;
    let mut run = || -> Took {
        events = 0;
        let (took, balances) = time(|| {
            let mut balances: HashMap<String, i64> = HashMap::new();
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let line: Line<'_> = serde_json::from_slice(line).expect("a line of JSON");
                let signed = match line.kind {
                    Some("MoneyCredited") => line.amount,
                    Some("MoneyDeducted") => line.amount.map(|amount| -amount),
                    Some(_) => None,
                    None => continue, // a header or a seal
                };
                events += 1;
                if let (Some(account), Some(amount)) = (line.account, signed) {
                    match balances.get_mut(account) {
                        Some(balance) => *balance += amount,
                        None => drop(balances.insert(account.to_owned(), amount)),
                    }
                }
            }
            balances
        });
        assert_eq!(balances.values().sum::<i64>(), 0, "what is credited is deducted elsewhere");
        took
    };
    let took: Vec<Took> = (0..args.runs).map(|_| run()).collect();
    let what = "the same events as JSON Lines, by serde into a map of strings; nothing is checked";
    let settings = [
        ("accounts", ACCOUNTS.into()),
        ("transfers", TRANSFERS_AS_LINES),
        ("events", events),
        ("log bytes", lines.len() as u64),
    ];
    Figure::rates("replay-json-lines", what, "events/s", events, &took).settings(settings)
}

fn log(count: u64) -> Vec<u8> {
    let mut driver = InMemory::new(BATCH);
    driver.log = Some(Vec::new());
    for batch in requests(openings(ACCOUNTS).chain(transfers(ACCOUNTS, count)), BATCH as usize) {
        driver.submit(batch);
    }
    driver.log.unwrap_or_default()
}
