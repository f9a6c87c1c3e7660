//! What is measured without a load over HTTP, or by another program of the product.

use std::fs;
use std::process::Command;

use anyhow::Context;
use serde_json::Value;

use super::http::BATCH_TARGET;
use crate::bench::Bench;
use crate::bench::aims::{self, Aim, Figure};
use crate::bench::compare::{Contender, Load, Spread, alternate, float};
use crate::bench::report::Report;
use crate::bench::servers::{Form, Wallet};
use crate::workspace::{cargo, output};

const ACCOUNTS: u32 = 10_000;
const ACCOUNTS_MANY: u32 = 1_000_000;
/// 100 a request: 50,000 transfers, which are 100,000 events, a second.
const LAG_RATE: u64 = 500;
/// The histogram of `/metrics` that says how long durable records waited for the read models.
const LAG_METRIC: &str = "walletlab_read_model_lag_seconds";

/// `walletlab bench`, once a turn, so that figures that are divided by each other were measured beside each other.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let memory = own_bench(bench, &["memory"], &[])?;
    let names = ["engine", "pipeline", "durable", "disk", "replay"];
    let turns = (0..bench.lengths.pairs).map(|turn| {
        println!("  turn {} of {}: walletlab bench {}", turn + 1, bench.lengths.pairs, names.join(" "));
        own_bench(bench, &names, &[])
    });
    let turns: Vec<Value> = turns.collect::<anyhow::Result<_>>()?;
    for group in [std::slice::from_ref(&memory), &turns] {
        for figure in figures(&group[0]) {
            report.figure_if(text(figure, "name"), || combined(figure, group));
        }
    }
    for (name, of, to, aim) in [
        ("in process, 1,024 a batch, with sync / without", "durable-1024", "written-1024", 0.7),
        (
            "replay of the log / of JSON Lines by serde and a string map",
            "replay-ledger",
            "replay-json-lines",
            30.0,
        ),
    ] {
        report.figure_if(name, || {
            let ratio = |turn| Some(number_of(turn, of, "value")? / number_of(turn, to, "value")?);
            let ratio = Spread::of(turns.iter().map(ratio).collect::<Option<_>>()?)?;
            Some(Figure::new(name, "rates, turn by turn", "times", ratio, Some(Aim::AtLeast(aim))))
        });
    }
    report.other("walletlab bench memory", memory);
    report.other("walletlab bench", turns.into());
    Ok(())
}

/// What ids cost as the log grows.
pub(super) fn ids(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let most = if bench.lengths.quick { "1000000" } else { "100000000" };
    let said = own_bench(bench, &["ids"], &["--ids", most])?;
    for figure in figures(&said) {
        report.figure_if(text(figure, "name"), || combined(figure, std::slice::from_ref(&said)));
    }
    report.other("walletlab bench ids", said);
    Ok(())
}

/// What `walletlab bench` says about these.
fn own_bench(bench: &Bench, names: &[&str], further: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(bench.workspace.binary());
    command.arg("bench").args(names).args(further).args(["--json", "--runs", "1", "--data"]).arg(&bench.data);
    let text = output(&mut command)?;
    serde_json::from_str(&text).context("what `walletlab bench` says")
}

fn figures(said: &Value) -> impl Iterator<Item = &Value> {
    said["figures"].as_array().into_iter().flatten()
}

fn text<'a>(figure: &'a Value, name: &str) -> &'a str {
    figure[name].as_str().unwrap_or_default()
}

fn number_of(said: &Value, figure: &str, of: &str) -> Option<f64> {
    figures(said).find(|found| found["name"] == figure)?[of].as_f64()
}

/// A figure of every turn as one.
fn combined(figure: &Value, turns: &[Value]) -> Option<Figure> {
    let name = text(figure, "name");
    let of =
        |what: &str| Spread::of(turns.iter().map(|turn| number_of(turn, name, what)).collect::<Option<_>>()?);
    let nanos = of("processor_nanos_each").map(|nanos| format!("; {} ns of CPU each", aims::spread(nanos)));
    let pairs = figure["settings"].as_array().into_iter().flatten();
    let settings: Vec<String> =
        pairs.map(|pair| format!("{} {}", pair[0].as_str().unwrap_or_default(), pair[1])).collect();
    let (what, durability) = (text(figure, "what"), text(figure, "durability"));
    let what = format!("{what}; {durability}; {}{}", settings.join(", "), nanos.unwrap_or_default());
    let aim = (name == "durable-1024").then_some(Aim::AtLeast(3_000_000.0));
    Some(Figure::new(name, &what, text(figure, "unit"), of("value")?, aim))
}

/// At a fixed rate of events.
pub(super) fn lag(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let wallet = Wallet::start(&bench.workspace, &bench.data, Form::Serve, ACCOUNTS, &[])?;
    let load = Load { rate: Some(LAG_RATE), batch: 100, ..Load::closed(bench, ACCOUNTS, 64) };
    let before = Histogram::read(&wallet.metrics()?, LAG_METRIC);
    let what = "100,000 events/s: 500 requests/s of 100 transfers";
    let contender = Contender {
        load_arguments: Some(BATCH_TARGET.map(str::to_owned).into()),
        ..Contender::new(&wallet, &load)
    };
    report.compared(alternate(bench, "lag", what, &[contender])?);
    let waited = Histogram::read(&wallet.metrics()?, LAG_METRIC).since(&before);
    for (quantile, most, name) in
        [(0.5, 50.0, "read models' lag: p50"), (0.99, 1_000.0, "read models' lag: p99")]
    {
        report.figure_if(name, || {
            let micros = waited.quantile(quantile)? * 1e6;
            let what = format!("{what}; the upper bound of the histogram's bucket, from /metrics");
            Some(Figure::single(name, &what, "us", micros, Some(Aim::AtMost(most))))
        });
    }
    Ok(())
}

/// A histogram in Prometheus' text format: bounds, and how many were at most so large.
#[derive(Debug, Default, PartialEq)]
struct Histogram(Vec<(f64, u64)>);

impl Histogram {
    fn read(metrics: &str, name: &str) -> Histogram {
        let start = format!("{name}_bucket{{le=\"");
        let buckets = metrics.lines().filter_map(|line| {
            let (bound, count) = line.strip_prefix(&start)?.split_once("\"} ")?;
            Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?))
        });
        Histogram(buckets.collect())
    }

    fn since(&self, before: &Histogram) -> Histogram {
        let earlier = |bound: f64| {
            let mut same = before.0.iter().filter(|(other, _)| other.total_cmp(&bound).is_eq());
            same.next().map_or(0, |(_, count)| *count)
        };
        Histogram(self.0.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect())
    }

    /// The bound below which so large a share lies; `None` of nothing.
    fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.0.last().map(|(_, count)| *count).filter(|count| *count > 0)?;
        self.0.iter().find(|(_, count)| float(*count) >= share * float(total)).map(|(bound, _)| *bound)
    }
}

/// Of the whole server, and of its program.
pub(super) fn size(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mebibytes = |bytes: u64| float(bytes) / 1_048_576.0;
    for (accounts, name, most) in [
        (0, "memory of a server at rest", 30.0),
        (ACCOUNTS_MANY, "memory of a server with 1,000,000 accounts", 300.0),
    ] {
        if bench.lengths.quick && accounts > 0 {
            report.note("memory with 1,000,000 accounts: not measured by --quick");
            continue;
        }
        let wallet = Wallet::start(&bench.workspace, &bench.data, Form::Serve, accounts, &[])?;
        let what = "resident, of `walletlab serve`, each account opened over HTTP and nothing else";
        report.figure(Figure::single(
            name,
            what,
            "MiB",
            mebibytes(wallet.resident_bytes()?),
            Some(Aim::AtMost(most)),
        ));
    }
    let bytes = fs::metadata(bench.workspace.binary())?.len();
    let what = "`walletlab` with the page in it";
    report.figure(Figure::single(
        "size of the binary",
        what,
        "MiB",
        mebibytes(bytes),
        Some(Aim::AtMost(25.0)),
    ));
    Ok(())
}

/// The example of the browser tests says it in its own words.
pub(super) fn browser(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let mut command = cargo();
    command.env("WALLETLAB_BIN", bench.workspace.binary()).env("WALLETLAB_PAGE", &bench.dist);
    command.args(["run", "--quiet", "--release", "--package", "browser-tests", "--example", "bench"]);
    let text = output(&mut command)?;
    println!("{text}");
    let value: Value = serde_json::from_str(&text).context("what the browser's bench says")?;
    for (name, what) in
        [("default", "the page as it opens"), ("full_speed", "the page at full speed, 10,000 clients")]
    {
        let watched = &value[name]["watched"];
        let seconds = value["seconds"].as_f64().unwrap_or(f64::NAN);
        if let Some(records) = watched["records"].as_f64() {
            let name = format!("browser {name}: records");
            report.figure(Figure::single(&name, what, "records/s", records / seconds, None));
        }
        if let Some(gap) = watched["gap_p99_ms"].as_f64() {
            report.figure(Figure::single(
                &format!("browser {name}: p99 between frames"),
                what,
                "ms",
                gap,
                None,
            ));
        }
    }
    report.other("browser", value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_figure_of_several_turns_has_their_spread() {
        let turn = |value: f64| {
            json!({"figures": [{
                "name": "durable-1024", "what": "w", "durability": "d", "unit": "transfers/s", "value": value,
                "processor_nanos_each": 2.0 * value, "settings": [["batch", 1_024]],
            }]})
        };
        let turns = [turn(1.0), turn(3.0), turn(2.0)];
        let figure = combined(&turns[0]["figures"][0], &turns).expect("all have it");
        assert_eq!(figure.value, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(figure.what, "w; d; batch 1024; 4 [2..6] ns of CPU each");
        assert_eq!(figure.verdict(), "MISSED");
    }

    const BEFORE: &str = "# HELP x y\nx_bucket{le=\"0.00005\"} 10\nx_bucket{le=\"0.001\"} 10\nx_bucket{le=\"+Inf\"} 10\nx_sum 1\n";
    const AFTER: &str = "x_bucket{le=\"0.00005\"} 70\nx_bucket{le=\"0.001\"} 109\nx_bucket{le=\"+Inf\"} 110\ny_bucket{le=\"1\"} 5\n";

    #[test]
    fn quantiles_are_upper_bounds_of_what_came_between() {
        let between = Histogram::read(AFTER, "x").since(&Histogram::read(BEFORE, "x"));
        assert_eq!(between.quantile(0.5), Some(0.000_05));
        assert_eq!(between.quantile(0.99), Some(0.001));
        assert_eq!(between.quantile(1.0), Some(f64::INFINITY));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
