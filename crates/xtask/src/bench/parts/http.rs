//! This server over HTTP, beside the others.

use super::stage::Stage;
use crate::bench::Bench;
use crate::bench::aims::{Aim, Figure};
use crate::bench::compare::{Comparison, Contender, Distribution, Load, Run, alternate, alternate_turns};
use crate::bench::report::{HEADLINE, Report};
use crate::bench::servers::{AppendSync, BareDisk, POSTGRES_CONNECTIONS_MAX, REDIS_CONNECTIONS_MAX};

const ACCOUNTS: u32 = 10_000;
const ACCOUNTS_MANY: u32 = 1_000_000;
const POSTGRES_32: &str = "PostgreSQL at 32";
const POSTGRES_64: &str = "PostgreSQL at 64";
const DISK: &str = "one bare fdatasync";
/// The words of the load for `POST /v1/wallet/transfers`.
pub(super) const BATCH_TARGET: [&str; 3] = ["run", "--target", "http-batch"];
/// The same in the compact form.
const BINARY_TARGET: [&str; 3] = ["run", "--target", "http-binary"];

/// The comparison that most aims are about.
pub(super) fn single(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let stage = Stage::new(bench, ACCOUNTS);
    let load = Load::closed(bench, ACCOUNTS, 64);
    let load_32 = Load::closed(bench, ACCOUNTS, 32);
    let contenders = [
        Contender::new(stage.wallet()?, &load),
        Contender::new(stage.postgres()?, &load_32).named(POSTGRES_32),
        Contender::new(stage.postgres()?, &load).named(POSTGRES_64),
        Contender::new(stage.redis(AppendSync::Always)?, &load),
        Contender::new(stage.without_ledger()?, &load),
        Contender::new(stage.echo()?, &load),
    ];
    let comparison = alternate(bench, HEADLINE, "one transfer a request, 64 connections", &contenders)?;
    let aims = [
        (POSTGRES_32, 6.0),
        (POSTGRES_64, 6.0),
        ("Redis, appendfsync always", 2.0),
        ("walletlab without ledger", 0.8),
        ("axum echo", 0.7),
    ];
    for (side, aim) in aims {
        let name = format!("single transfers over HTTP / {side}");
        report.figure_if(&name, || {
            let ratio = comparison.ratio(side, Run::rate)?;
            Some(Figure::new(&name, "rates, turn by turn", "times", ratio, Some(Aim::AtLeast(aim))))
        });
    }
    let p99 = "p99 of single transfers at 64 connections";
    report.figure_if(p99, || {
        let millis = comparison.sides.first()?.spread(|run| Some(run.latency?.p99_us / 1_000.0))?;
        Some(Figure::new(p99, "closed loop", "ms", millis, Some(Aim::AtMost(15.0))))
    });
    report.compared(comparison);
    let load = Load::closed(bench, ACCOUNTS, 256);
    let contenders = [Contender::new(stage.wallet()?, &load)];
    let comparison =
        alternate(bench, "syncs-256", "how many transfers share a sync at 256 connections", &contenders)?;
    let name = "transfers for each sync at 256 connections";
    report.figure_if(name, || {
        let shared = comparison.sides.first()?.spread(|run| run.requests_per_sync)?;
        Some(Figure::new(name, "from /stats", "transfers", shared, Some(Aim::AtLeast(50.0))))
    });
    report.compared(comparison);
    Ok(())
}

/// One at a time: the disk is all there is to wait for.
pub(super) fn one(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let stage = Stage::new(bench, ACCOUNTS);
    let load = Load::closed(bench, ACCOUNTS, 1);
    let disk = BareDisk::new(bench);
    let contenders = [
        Contender::new(stage.wallet()?, &load),
        Contender::new(&disk, &load).named(DISK),
        Contender::new(stage.echo()?, &load),
        Contender::new(stage.postgres()?, &load),
        Contender::new(stage.redis(AppendSync::Always)?, &load),
    ];
    // A disk that has been idle can take ten times as long, so one turn says little.
    let turns = bench.lengths.pairs * 2;
    let comparison = alternate_turns(bench, turns, "one", "one transfer in flight", &contenders)?;
    let name = "one transfer in flight / one bare fdatasync";
    report.figure_if(name, || {
        let ratio = comparison.ratio(DISK, |run| Some(run.latency?.p50_us))?;
        Some(Figure::new(name, "p50, turn by turn", "times", ratio, Some(Aim::AtMost(2.0))))
    });
    report.compared(comparison);
    Ok(())
}

/// What changes with accounts, distribution and number in flight.
pub(super) fn matrix(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let accounts: &[u32] = if bench.lengths.quick { &[ACCOUNTS] } else { &[ACCOUNTS, ACCOUNTS_MANY] };
    for accounts in accounts {
        let stage = Stage::new(bench, *accounts);
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            for connections in [1, 64, 256, 4_096, 10_000] {
                let load = Load { distribution, ..Load::closed(bench, *accounts, connections) };
                let name = format!("matrix-{accounts}-{}-{connections}", distribution.word());
                let what = format!("{accounts} accounts, {}, {connections} in flight", distribution.text());
                report.compared(cell(bench, &stage, &load, &name, &what)?);
            }
        }
    }
    Ok(())
}

/// One load on everybody who can take it.
fn cell(bench: &Bench, stage: &Stage<'_>, load: &Load, name: &str, what: &str) -> anyhow::Result<Comparison> {
    let mut contenders = vec![Contender::new(stage.wallet()?, load)];
    if load.connections <= POSTGRES_CONNECTIONS_MAX {
        contenders.push(Contender::new(stage.postgres()?, load));
    }
    if load.connections <= REDIS_CONNECTIONS_MAX {
        contenders.push(Contender::new(stage.redis(AppendSync::Always)?, load));
    }
    let mut comparison = alternate(bench, name, what, &contenders)?;
    if load.connections > POSTGRES_CONNECTIONS_MAX {
        let why = format!(
            "a connection is a process there, and max_connections is {POSTGRES_CONNECTIONS_MAX} here: {} of them need a \
             pooler in front, which would be measured instead",
            load.connections
        );
        comparison.without("PostgreSQL", &why);
    }
    Ok(comparison)
}

/// Fixed rates: some that everybody can keep up with, and some that not everybody can. PostgreSQL gets a pool of 64,
/// with which it is faster than with more.
pub(super) fn open(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let stage = Stage::new(bench, ACCOUNTS);
    for rate in [1_000, 4_000, 10_000, 20_000] {
        let load = Load { rate: Some(rate), ..Load::closed(bench, ACCOUNTS, 256) };
        let pool = Load { connections: 64, ..load.clone() };
        let contenders = [
            Contender::new(stage.wallet()?, &load),
            Contender::new(stage.postgres()?, &pool),
            Contender::new(stage.redis(AppendSync::Always)?, &load),
        ];
        let what = format!("{rate} transfers/s due, whatever the answers do");
        report.compared(alternate(bench, &format!("open-{rate}"), &what, &contenders)?);
    }
    Ok(())
}

/// For the record: what Redis does when many requests share a connection, and when it syncs later.
pub(super) fn redis(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let stage = Stage::new(bench, ACCOUNTS);
    let load = Load::closed(bench, ACCOUNTS, 64);
    let pipelined = Load { depth: 64, ..load.clone() };
    let contenders = [
        Contender::new(stage.wallet()?, &load),
        Contender::new(stage.wallet()?, &pipelined).named("walletlab, pipelined"),
        Contender::new(stage.redis(AppendSync::Always)?, &load),
        Contender::new(stage.redis(AppendSync::Always)?, &pipelined).named("Redis always, pipelined"),
        Contender::new(stage.redis(AppendSync::EverySecond)?, &load),
        Contender::new(stage.redis(AppendSync::EverySecond)?, &pipelined).named("Redis everysec, pipelined"),
    ];
    let what = "Redis pipelined and with everysec, which loses up to a second of answers, for the record";
    report.compared(alternate(bench, "redis", what, &contenders)?);
    Ok(())
}

/// Many transfers a request: few clients with 100 each, and the largest batches in the compact form.
pub(super) fn batch(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let stage = Stage::new(bench, ACCOUNTS);
    let side = |load: &Load, words: [&str; 3], name| -> anyhow::Result<Contender<'_>> {
        let load_arguments = Some(words.map(str::to_owned).into());
        Ok(Contender { load_arguments, ..Contender::new(stage.wallet()?, load).named(name) })
    };
    let load = Load { batch: 100, ..Load::closed(bench, ACCOUNTS, 16) };
    let contenders = [side(&load, BATCH_TARGET, "JSON array")?, side(&load, BINARY_TARGET, "compact form")?];
    let comparison = alternate(bench, "batch-100", "100 transfers a request, 16 clients", &contenders)?;
    let name = "batches of 100 from 16 clients";
    report.figure_if(name, || {
        let rate = comparison.sides.first()?.spread(Run::rate)?;
        Some(Figure::new(name, "JSON arrays over HTTP", "transfers/s", rate, Some(Aim::AtLeast(150_000.0))))
    });
    report.compared(comparison);
    let load = Load { batch: 8_190, ..Load::closed(bench, ACCOUNTS, 4) };
    let contenders = [side(&load, BINARY_TARGET, "compact form")?, side(&load, BATCH_TARGET, "JSON array")?];
    let comparison = alternate(bench, "batch-8190", "8,190 transfers a request, 4 clients", &contenders)?;
    let what = "the compact form over HTTP, 4 clients";
    let name = "batches of 8,190";
    report.figure_if(name, || {
        let rate = comparison.sides.first()?.spread(Run::rate)?;
        Some(Figure::new(name, what, "transfers/s", rate, Some(Aim::AtLeast(800_000.0))))
    });
    let name = "CPU of batches of 8,190";
    report.figure_if(name, || {
        let nanos = comparison.sides.first()?.spread(|run| run.server_nanos_each)?;
        Some(Figure::new(name, what, "ns a transfer", nanos, Some(Aim::AtMost(500.0))))
    });
    report.compared(comparison);
    Ok(())
}
