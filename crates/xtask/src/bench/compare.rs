//! Sides under the same load, in turns.

use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Bench;
use super::servers::Server;
use crate::workspace::{check, output};

/// How accounts are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Distribution {
    Uniform,
    /// With exponent 1.
    Zipf,
}

/// What is sent, apart from where to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) accounts: u32,
    pub(crate) distribution: Distribution,
    pub(crate) connections: u32,
    /// Connections that are open besides, and idle.
    pub(crate) held: u32,
    /// Requests in flight on each connection.
    pub(crate) depth: u32,
    /// Transfers in a request.
    pub(crate) batch: u32,
    /// Requests a second, whatever the answers do; `None`: a closed loop.
    pub(crate) rate: Option<u64>,
    /// Of the window.
    pub(crate) seconds: f64,
}

/// A server, with what is particular to it in one comparison.
pub(crate) struct Contender<'a> {
    pub(crate) server: &'a dyn Server,
    /// Its name here.
    pub(crate) name: String,
    pub(crate) load: Load,
    /// Instead of the server's own words to the load.
    pub(crate) load_arguments: Option<Vec<String>>,
}

/// One run, as `walletlab-load` tells it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) operations: u64,
    pub(crate) operations_per_second: f64,
    pub(crate) errors: u64,
    pub(crate) first_error: Option<String>,
    pub(crate) latency: Option<Latency>,
    pub(crate) server_nanos_each: Option<f64>,
    pub(crate) server_processor_percent: Option<f64>,
    pub(crate) server_resident_mib: Option<f64>,
    pub(crate) load_processor_percent: f64,
    pub(crate) held_open: u64,
    pub(crate) late: u64,
    /// Where the server counts its syncs; warm-up included on both sides of the division.
    #[serde(default)]
    pub(crate) requests_per_sync: Option<f64>,
}

/// Of requests, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    pub(crate) mean_us: f64,
}

/// Sides that took turns; the ratios are of the first one to each other.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) sides: Vec<Side>,
    /// Sides that cannot do it, each with the reason.
    pub(crate) missing: Vec<Missing>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) durability: String,
    pub(crate) settings: Vec<String>,
    pub(crate) load: Option<Load>,
    pub(crate) runs: Vec<Run>,
}

/// Who does not take part, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// Median, smallest and largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Distribution {
    /// In the load's own words.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Zipf => "zipf",
        }
    }

    /// For people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Zipf => "Zipf 1.0",
        }
    }
}

impl Load {
    /// A closed loop of single transfers, one in flight on each connection.
    pub(crate) fn closed(bench: &Bench, accounts: u32, connections: u32) -> Load {
        Load {
            accounts,
            distribution: Distribution::Uniform,
            connections,
            held: 0,
            depth: 1,
            batch: 1,
            rate: None,
            seconds: bench.lengths.seconds,
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Load { accounts, distribution, connections, held, depth, batch, rate, seconds } = self;
        let drawn = distribution.text();
        let mut text = format!("{connections} connections");
        if *held > 0 {
            text.push_str(&format!(" and {held} idle ones"));
        }
        if *depth > 1 {
            text.push_str(&format!(", {depth} requests in flight on each"));
        }
        if *batch > 1 {
            text.push_str(&format!(", {batch} transfers a request"));
        }
        if let Some(rate) = rate {
            text.push_str(&format!(", {rate} requests/s due, latency from when each is due"));
        }
        text.push_str(&format!("; {accounts} accounts, {drawn}; {seconds} s"));
        text
    }
}

impl<'a> Contender<'a> {
    /// Under its own name and in its own words.
    pub(crate) fn new(server: &'a dyn Server, load: &Load) -> Contender<'a> {
        Contender { server, name: server.name(), load: load.clone(), load_arguments: None }
    }

    pub(crate) fn named(mut self, name: &str) -> Contender<'a> {
        name.clone_into(&mut self.name);
        self
    }

    fn run(&self, bench: &Bench, turn: u32) -> anyhow::Result<Run> {
        let mut command = Command::new(bench.workspace.load());
        command.args(self.load_arguments.clone().unwrap_or_else(|| self.server.load_arguments()));
        command.args(["--seconds", &self.load.seconds.to_string()]);
        if self.server.takes_load() {
            command.args(self.arguments(bench, turn));
        }
        // What earlier runs have left to the disk is not this run's.
        check(&mut Command::new("sync"))?;
        let syncs_before = self.server.syncs()?;
        let text = output(&mut command).with_context(|| format!("the load on {}", self.name))?;
        let mut run: Run =
            serde_json::from_str(&text).with_context(|| format!("what the load says: {text}"))?;
        if let (Some(before), Some(after)) = (syncs_before, self.server.syncs()?) {
            let whole = bench.lengths.warm_up + run.seconds;
            let requests = float(run.requests) * whole / run.seconds;
            run.requests_per_sync = (after > before).then(|| requests / float(after - before));
        }
        Ok(run)
    }

    fn arguments(&self, bench: &Bench, turn: u32) -> Vec<String> {
        let load = &self.load;
        let distribution = load.distribution.word();
        let mut arguments = vec![
            format!("--address={}", self.server.address()),
            format!("--pid={}", self.server.pid()),
            format!("--accounts={}", load.accounts),
            format!("--distribution={distribution}"),
            format!("--connections={}", load.connections),
            format!("--hold={}", load.held),
            format!("--depth={}", load.depth),
            format!("--batch={}", load.batch),
            // The same accounts for every side of a turn.
            format!("--seed={}", turn + 1),
            format!("--warm-up={}", bench.lengths.warm_up),
        ];
        arguments.extend(load.rate.map(|rate| format!("--rate={rate}")));
        arguments
    }
}

/// Runs every side once a turn, in their order.
pub(crate) fn alternate(
    bench: &Bench,
    name: &str,
    what: &str,
    contenders: &[Contender<'_>],
) -> anyhow::Result<Comparison> {
    alternate_turns(bench, bench.lengths.pairs, name, what, contenders)
}

/// As [`alternate`], with so many turns.
pub(crate) fn alternate_turns(
    bench: &Bench,
    turns: u32,
    name: &str,
    what: &str,
    contenders: &[Contender<'_>],
) -> anyhow::Result<Comparison> {
    println!("\n{name}: {what}");
    let side = |contender: &Contender<'_>| Side {
        name: contender.name.clone(),
        durability: contender.server.durability().to_owned(),
        settings: contender.server.settings().to_vec(),
        load: Some(contender.load.clone()),
        runs: Vec::new(),
    };
    let mut sides: Vec<Side> = contenders.iter().map(side).collect();
    for turn in 0..turns {
        for (side, contender) in sides.iter_mut().zip(contenders) {
            let run = contender.run(bench, turn)?;
            println!("  {:<32} {}", side.name, run.text());
            side.runs.push(run);
        }
    }
    Ok(Comparison { name: name.to_owned(), what: what.to_owned(), sides, missing: Vec::new() })
}

impl Comparison {
    /// Says that a side cannot take part.
    pub(crate) fn without(&mut self, name: &str, why: &str) {
        println!("  {name:<32} not run: {why}");
        self.missing.push(Missing { name: name.to_owned(), why: why.to_owned() });
    }

    pub(crate) fn side(&self, name: &str) -> Option<&Side> {
        self.sides.iter().find(|side| side.name == name)
    }

    /// `of` the first side divided by `of` the named one, turn by turn.
    pub(crate) fn ratio(&self, to: &str, of: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        let (first, other) = (self.sides.first()?, self.side(to)?);
        let ratios = first.runs.iter().zip(&other.runs).map(|(first, other)| Some(of(first)? / of(other)?));
        Spread::of(ratios.collect::<Option<Vec<f64>>>()?)
    }
}

impl Side {
    /// Of all runs; `None` if a run has none.
    pub(crate) fn spread(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().map(of).collect::<Option<Vec<f64>>>()?)
    }
}

impl Run {
    pub(crate) fn rate(&self) -> Option<f64> {
        Some(self.operations_per_second)
    }

    fn text(&self) -> String {
        let mut text = format!("{:>9.0}/s", self.operations_per_second);
        if let Some(latency) = self.latency {
            let millis = |micros: f64| micros / 1_000.0;
            text.push_str(&format!(
                "  p50 {:.2} p95 {:.2} p99 {:.2} ms",
                millis(latency.p50_us),
                millis(latency.p95_us),
                millis(latency.p99_us)
            ));
        }
        if let Some(nanos) = self.server_nanos_each {
            text.push_str(&format!("  {nanos:.0} ns CPU each"));
        }
        if self.errors > 0 {
            let first = self.first_error.as_deref().unwrap_or_default();
            text.push_str(&format!("  {} ERRORS, the first: {first}", self.errors));
        }
        text
    }
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Spread { median: values[values.len() / 2], min, max })
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people; counts stay far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, rates: &[f64]) -> Side {
        let run = |rate: &f64| Run { operations_per_second: *rate, ..Run::default() };
        let runs = rates.iter().map(run).collect();
        Side { name: name.to_owned(), durability: String::new(), settings: Vec::new(), load: None, runs }
    }

    #[test]
    fn ratios_are_made_turn_by_turn() {
        let sides = vec![side("a", &[10.0, 40.0, 90.0]), side("b", &[1.0, 2.0, 30.0])];
        let comparison = Comparison { name: "n".into(), what: "w".into(), sides, missing: Vec::new() };
        let ratio = comparison.ratio("b", Run::rate).expect("both ran");
        assert_eq!(ratio, Spread { median: 10.0, min: 3.0, max: 20.0 });
        assert_eq!(comparison.ratio("c", Run::rate), None);
    }

    #[test]
    fn what_a_run_lacks_has_no_spread() {
        let side = side("a", &[1.0]);
        assert_eq!(side.spread(|run| run.server_nanos_each), None);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
