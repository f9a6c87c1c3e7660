//! Steps that say what they do, how far they are and how long they took.

use std::time::{Duration, Instant};

use anyhow::Context;

type Work = Box<dyn FnOnce() -> anyhow::Result<()>>;

/// Steps in their order. The first one that fails ends the run.
#[derive(Default)]
pub(crate) struct Plan {
    steps: Vec<(String, Work)>,
}

impl Plan {
    /// Adds a step; `what` completes the sentence "this step is ...".
    pub(crate) fn step(
        &mut self,
        what: impl Into<String>,
        work: impl FnOnce() -> anyhow::Result<()> + 'static,
    ) {
        self.steps.push((what.into(), Box::new(work)));
    }

    /// Runs the steps and prints a summary when there is more than one thing to sum up.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let total = self.steps.len();
        let started = Instant::now();
        let mut summary = Vec::new();
        for (at, (what, work)) in self.steps.into_iter().enumerate() {
            let number = at + 1;
            println!("[{number}/{total}] {what} ...");
            let step_started = Instant::now();
            let result = work();
            let took = step_started.elapsed();
            let word = if result.is_ok() { "done" } else { "FAILED" };
            println!("[{number}/{total}] {word} after {}", seconds(took));
            summary.push((word, took, what.clone()));
            if let Err(error) = result {
                print_summary(&summary, started.elapsed());
                let left = total - number;
                return Err(error)
                    .with_context(|| format!("step {number} of {total}, {what}; {left} more were not run"));
            }
        }
        print_summary(&summary, started.elapsed());
        Ok(())
    }
}

fn print_summary(steps: &[(&str, Duration, String)], took: Duration) {
    println!();
    for (word, took, what) in steps {
        println!("  {:>8}  {word:<6}  {what}", seconds(*took));
    }
    println!("  {:>8}  in all", seconds(took));
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
