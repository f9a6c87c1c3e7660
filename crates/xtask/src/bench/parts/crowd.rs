//! Many connections, few at work.

use crate::bench::Bench;
use crate::bench::aims::{Aim, Figure};
use crate::bench::compare::{Contender, Load, alternate_turns, float};
use crate::bench::report::Report;
use crate::bench::servers::{Form, Wallet};

const ACCOUNTS: u32 = 10_000;
const OPEN: u32 = 10_000;
const WORKING: u32 = 1_000;
const RATE: u64 = 5_000;

/// 10,000 connections are open, and 1,000 of them send 5,000 transfers a second.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    // A connection may be idle for the whole run, and one more than those of the load asks for /stats.
    let further = ["--header-timeout-ms", "3600000", "--connections-max", "10100"];
    let wallet = Wallet::start(&bench.workspace, &bench.data, Form::Serve, ACCOUNTS, &further)?;
    let load = Load {
        held: OPEN - WORKING,
        rate: Some(RATE),
        seconds: bench.lengths.crowd_seconds,
        ..Load::closed(bench, ACCOUNTS, WORKING)
    };
    let what = "10,000 open connections, 1,000 of them at work at 5,000 transfers/s";
    let comparison = alternate_turns(bench, 1, "crowd", what, &[Contender::new(&wallet, &load)])?;
    let run = comparison.sides.first().and_then(|side| side.runs.first()).cloned().unwrap_or_default();
    let settings = load.text();
    let p95 = run.latency.map_or(f64::NAN, |latency| latency.p95_us / 1_000.0);
    let figure =
        |name, unit, value, most| Figure::single(name, &settings, unit, value, Some(Aim::AtMost(most)));
    report.figure(figure("crowd: p95", "ms", p95, 200.0));
    let tried = float(run.requests + run.errors + run.late);
    let failed = float(run.errors + run.late);
    report.figure(figure(
        "crowd: errors, and requests that were late at the end",
        "%",
        100.0 * failed / tried,
        0.1,
    ));
    let closed = float(u64::from(load.held) - run.held_open);
    report.figure(figure("crowd: idle connections that the server closed", "connections", closed, 0.0));
    let resident = run.server_resident_mib.unwrap_or(f64::NAN);
    report.figure(figure("crowd: memory", "MiB", resident, 500.0));
    report.compared(comparison);
    Ok(())
}
