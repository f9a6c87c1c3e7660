//! How much memory a million accounts take.

use ledger::Ledger;
use time::Timestamp;

use super::Args;
use super::figure::{Figure, float};
use super::machine::resident_bytes;
use super::workload::{InMemory, openings, requests};
use crate::outcome::Failure;

const ACCOUNTS: u32 = 1_000_000;

/// The growth of the resident memory of this process, as the system counts it. One run: freed memory stays resident.
pub(super) fn measure(_args: &Args) -> Result<Vec<Figure>, Failure> {
    let Some(empty) = resident_bytes() else {
        return Err(Failure::Usage("memory: this system has no /proc/self/status to read it from".into()));
    };
    let mut ledger = Ledger::new(1);
    let mut events = Vec::new();
    for command in openings(ACCOUNTS) {
        events.clear();
        ledger.execute(Timestamp::ZERO, &command, &mut events);
        events.iter().for_each(|event| ledger.apply(event));
    }
    let with_ledger = resident_bytes().unwrap_or(empty);
    let mut driver = InMemory::new(1_024);
    let first = 0..ACCOUNTS.div_ceil(1_024);
    let mut commands = openings(ACCOUNTS);
    for _ in first {
        for batch in requests(commands.by_ref().take(1_024), 1_024) {
            driver.submit(batch);
        }
    }
    let with_pipeline = resident_bytes().unwrap_or(empty);
    assert_eq!(driver.pipeline.ledger().accounts_count(), ledger.accounts_count());
    let figure = |name, what, bytes: u64| {
        let mebibytes = float(bytes) / float(1 << 20);
        let bytes_an_account = bytes / u64::from(ACCOUNTS);
        Figure::new(name, what, "MiB resident", vec![mebibytes])
            .settings([("accounts", ACCOUNTS.into()), ("bytes an account", bytes_an_account)])
    };
    let ledger =
        figure("memory-ledger", "ledger alone, each account opened with a balance", with_ledger - empty);
    let what = "whole pipeline with its read models, ids and entries of the openings; no transfers yet";
    Ok(vec![ledger, figure("memory-pipeline", what, with_pipeline - with_ledger)])
}
