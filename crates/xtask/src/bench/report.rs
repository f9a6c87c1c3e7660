//! What was measured, as files and for people.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use super::aims::{self, Figure};
use super::compare::{Comparison, Load, Run, Side, Spread};
use super::machine::Machine;
use super::table::Table;
use super::{Bench, chart};

/// The comparison whose first side stands in `performance-report.json`.
pub(crate) const HEADLINE: &str = "single-64";

/// What the figures do not say, and a reader must know.
const NOTES: [&str; 6] = [
    "The load shares the processors with the server that it measures; ratios and CPU nanoseconds are steadier than rates.",
    "CPU is processor time of the server's own processes, the kernel's share in system calls included, for each operation.",
    "In a closed loop each connection waits for its answer; at a fixed rate latency counts from when a request was due.",
    "walletlab does not replicate: one machine, one disk. PostgreSQL and Redis can, and run here without it as well.",
    "Redis keeps no history of entries and PostgreSQL no index on them; walletlab answers the history of an account.",
    "PostgreSQL and Redis have general data models and many other talents; one kind of transaction is compared.",
];

/// Grows from part to part.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    lengths: String,
    comparisons: Vec<Comparison>,
    figures: Vec<Figure>,
    /// What was not measured, and why; and what else a reader should know.
    notes: Vec<String>,
    /// What other programs of the product say about themselves, as they say it.
    others: Vec<(String, Value)>,
}

impl Report {
    pub(crate) fn new(bench: &Bench, machine: Machine) -> Report {
        let lengths = bench.lengths;
        let lengths = format!(
            "{} turns; windows of {} s after {} s of warm-up{}",
            lengths.pairs,
            lengths.seconds,
            lengths.warm_up,
            if lengths.quick { "; QUICK: too short for conclusions" } else { "" }
        );
        let notes = NOTES.map(str::to_owned).into();
        Report { machine, lengths, comparisons: Vec::new(), figures: Vec::new(), notes, others: Vec::new() }
    }

    pub(crate) fn compared(&mut self, comparison: Comparison) {
        self.comparisons.push(comparison);
    }

    pub(crate) fn figure(&mut self, figure: Figure) {
        let value = aims::spread(figure.value);
        println!("  {}: {value} {} {} {}", figure.name, figure.unit, figure.aim_text(), figure.verdict());
        self.figures.push(figure);
    }

    /// A figure from a comparison; if that has none, a note says so.
    pub(crate) fn figure_if(&mut self, name: &str, make: impl FnOnce() -> Option<Figure>) {
        match make() {
            Some(figure) => self.figure(figure),
            None => self.note(&format!("{name}: no figure, because a side of it has none")),
        }
    }

    pub(crate) fn note(&mut self, note: &str) {
        println!("  note: {note}");
        self.notes.push(note.to_owned());
    }

    pub(crate) fn other(&mut self, name: &str, value: Value) {
        self.others.push((name.to_owned(), value));
    }

    pub(crate) fn heading(&self) -> String {
        format!("{}\n{}", self.machine.text(), self.lengths)
    }

    /// Everything, as files in `out`; those of an earlier part are replaced.
    pub(crate) fn write(&self, out: &Path, took: Duration) -> anyhow::Result<()> {
        let write = |name: &str, text: &str| {
            let path = out.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())
        };
        let minutes = format!("{:.1} minutes in all", took.as_secs_f64() / 60.0);
        write("raw.json", &serde_json::to_string_pretty(&json!({ "took": minutes, "report": self }))?)?;
        write("ratios.md", &format!("{}\n{minutes}\n", self.rendered(Table::markdown)))?;
        write("ratios.txt", &format!("{}\n{minutes}\n", self.rendered(Table::text)))?;
        write("chart.svg", &chart::svg(&self.comparisons))?;
        let headline = self.comparisons.iter().find(|comparison| comparison.name == HEADLINE);
        if let Some(headline) = headline {
            write("performance-report.json", &serde_json::to_string_pretty(&performance(headline))?)?;
        }
        Ok(())
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        self.rendered(Table::text)
    }

    fn rendered(&self, table: impl Fn(&Table) -> String) -> String {
        let mut text = format!("{}\n", self.heading());
        for comparison in &self.comparisons {
            text.push_str(&format!("\n## {}: {}\n\n", comparison.name, comparison.what));
            text.push_str(&table(&sides(comparison)));
            for missing in &comparison.missing {
                text.push_str(&format!("\n{}: not run, {}\n", missing.name, missing.why));
            }
        }
        if !self.figures.is_empty() {
            text.push_str(&format!("\n## Figures and aims\n\n{}", table(&figures(&self.figures))));
        }
        text.push_str("\n## Settings\n\n");
        for line in self.settings() {
            text.push_str(&format!("- {line}\n"));
        }
        text.push_str("\n## Notes\n\n");
        self.notes.iter().for_each(|note| text.push_str(&format!("- {note}\n")));
        text
    }

    /// Of every side, each once.
    fn settings(&self) -> Vec<String> {
        let mut known: Vec<(Vec<&str>, String)> = Vec::new();
        for side in self.comparisons.iter().flat_map(|comparison| &comparison.sides) {
            let words = format!("{}; {}", side.durability, side.settings.join("; "));
            match known.iter_mut().find(|(_, other)| *other == words) {
                Some((names, _)) if names.contains(&side.name.as_str()) => {}
                Some((names, _)) => names.push(&side.name),
                None => known.push((vec![&side.name], words)),
            }
        }
        known.into_iter().map(|(names, words)| format!("{}: {words}", names.join(" and "))).collect()
    }
}

fn sides(comparison: &Comparison) -> Table {
    let head = [
        "side",
        "transfers/s",
        "first side / this",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU ns each",
        "MiB",
        "server CPU %",
        "load CPU %",
        "load",
    ];
    let mut table = Table::new(&head);
    let text = |spread: Option<Spread>| spread.map_or_else(|| "none".to_owned(), aims::spread);
    for (at, side) in comparison.sides.iter().enumerate() {
        let latency =
            |of: fn(&Run) -> Option<f64>| text(side.spread(of).map(|micros| scaled(micros, 1_000.0)));
        let ratio = if at == 0 { "1".to_owned() } else { text(comparison.ratio(&side.name, Run::rate)) };
        let cpu = comparison.ratio(&side.name, |run| run.server_nanos_each.map(f64::recip));
        let errors: u64 = side.runs.iter().map(|run| run.errors).sum();
        let errors = if errors > 0 { format!("; {errors} ERRORS") } else { String::new() };
        table.row(vec![
            side.name.clone(),
            text(side.spread(Run::rate)),
            ratio,
            latency(|run| Some(run.latency?.p50_us)),
            latency(|run| Some(run.latency?.p95_us)),
            latency(|run| Some(run.latency?.p99_us)),
            text(side.spread(|run| run.server_nanos_each)),
            if at == 0 { "1".to_owned() } else { text(cpu) },
            text(side.spread(|run| run.server_resident_mib)),
            text(side.spread(|run| run.server_processor_percent)),
            text(side.spread(|run| Some(run.load_processor_percent))),
            format!("{}{errors}", side.load.as_ref().map_or_else(String::new, Load::text)),
        ]);
    }
    table
}

fn figures(figures: &[Figure]) -> Table {
    let mut table = Table::new(&["figure", "value", "unit", "aim", "", "what"]);
    for figure in figures {
        table.row(vec![
            figure.name.clone(),
            aims::spread(figure.value),
            figure.unit.clone(),
            figure.aim_text(),
            figure.verdict().to_owned(),
            figure.what.clone(),
        ]);
    }
    table
}

fn scaled(Spread { median, min, max }: Spread, by: f64) -> Spread {
    Spread { median: median / by, min: min / by, max: max / by }
}

/// The headline, in the words that other tools read: medians of all turns, of the first side; the others beside it.
fn performance(headline: &Comparison) -> Value {
    let of = |side: &Side| {
        let median = |of: fn(&Run) -> Option<f64>| side.spread(of).map(|spread| spread.median);
        json!({
            "throughput_tps": median(Run::rate),
            "latency_p50_us": median(|run| Some(run.latency?.p50_us)),
            "latency_p95_us": median(|run| Some(run.latency?.p95_us)),
            "latency_p99_us": median(|run| Some(run.latency?.p99_us)),
            "memory_usage_mb": median(|run| run.server_resident_mib),
            "cpu_usage_percent": median(|run| run.server_processor_percent),
            "concurrent_workers": side.load.as_ref().map(|load| load.connections * load.depth),
            "cpu_nanos_per_operation": median(|run| run.server_nanos_each),
        })
    };
    let Some(first) = headline.sides.first() else { return Value::Null };
    let mut report = of(first);
    let sides: serde_json::Map<String, Value> =
        headline.sides.iter().map(|side| (side.name.clone(), of(side))).collect();
    report["comparison"] = headline.what.clone().into();
    report["sides"] = sides.into();
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::compare::Latency;

    #[test]
    fn the_performance_report_has_the_medians_of_the_first_side() {
        let run = |rate: f64| Run {
            operations_per_second: rate,
            latency: Some(Latency { p50_us: 1_000.0, ..Latency::default() }),
            server_nanos_each: Some(30_000.0),
            ..Run::default()
        };
        let runs = vec![run(1.0), run(3.0), run(2.0)];
        let side =
            Side { name: "a".into(), durability: "synced".into(), settings: Vec::new(), load: None, runs };
        let headline =
            Comparison { name: HEADLINE.into(), what: "w".into(), sides: vec![side], missing: Vec::new() };
        let report = performance(&headline);
        assert_eq!(report["throughput_tps"], 2.0);
        assert_eq!(report["latency_p50_us"], 1_000.0);
        assert_eq!(report["memory_usage_mb"], Value::Null);
        assert_eq!(report["sides"]["a"]["cpu_nanos_per_operation"], 30_000.0);
        assert!(sides(&headline).text().contains("2 [1..3]"));
    }
}
