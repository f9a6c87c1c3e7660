//! The pipeline with its file journal, and the disk without the pipeline.

use std::fs::OpenOptions;
use std::io::{Seek, Write};

use server::files::{Driver, DriverOptions, Durability, FilesError};
use tempfile::TempDir;

use super::Args;
use super::figure::{Figure, Took, time};
use super::workload::{openings, requests, transfers};
use crate::outcome::Failure;

const ACCOUNTS: u32 = 10_000;
/// Records an append, and transfers in all.
const SIZES: [(u32, u64); 4] = [(1, 2_000), (128, 256_000), (1_024, 1_024_000), (8_190, 2_047_500)];
/// Batches under way, as many as the driver has room for; of single transfers one.
const WINDOW_BATCHES: u64 = Driver::BATCHES_MAX as u64;
/// About the bytes of a completed transfer in the log.
const TRANSFER_BYTES: u64 = 81;
/// The size that the aim is about.
const AIM: (u32, f64) = (1_024, 3_000_000.0);

pub(super) fn measure(args: &Args) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (batch, count) in SIZES {
        // The size of the aim is measured without syncs, too, in turns, to see what they cost.
        let levels: &[Durability] = if batch == AIM.0 {
            &[Durability::Synced, Durability::Written, Durability::Memory]
        } else {
            &[Durability::Synced]
        };
        let mut took: Vec<Vec<Took>> = levels.iter().map(|_| Vec::new()).collect();
        for _ in 0..args.runs {
            for (level, took) in levels.iter().zip(&mut took) {
                took.push(run(args, batch, count, *level)?);
            }
        }
        figures.extend(levels.iter().zip(&took).map(|(level, took)| figure(batch, count, *level, took)));
    }
    Ok(figures)
}

fn figure(batch: u32, count: u64, level: Durability, took: &[Took]) -> Figure {
    let (name, durability) = match level {
        Durability::Synced => {
            ("durable", "one append a batch, an fdatasync before its replies; appends that wait share one")
        }
        Durability::Written => {
            ("written", "one append a batch, in the page cache before its replies; no sync")
        }
        Durability::Memory => ("unwritten", "in memory, nothing is durable"),
    };
    let what = "whole pipeline with its file journal, from the first command to the last reply";
    let window = if batch == 1 { 1 } else { WINDOW_BATCHES };
    let settings = [
        ("accounts", ACCOUNTS.into()),
        ("transfers", count),
        ("batch", batch.into()),
        ("batches in flight", window),
    ];
    let figure = Figure::rates(&format!("{name}-{batch}"), what, "transfers/s", count, took)
        .settings(settings)
        .durability(durability);
    if (batch, level) == (AIM.0, Durability::Synced) { figure.aim_at_least(AIM.1) } else { figure }
}

/// A driver with all accounts open.
fn opened(directory: &TempDir, batch: u32, durability: Durability) -> Result<Driver, FilesError> {
    let options = DriverOptions { durability, ..DriverOptions::default() };
    let open = |config: &_| Driver::open_with(directory.path(), config, &options, std::sync::Arc::new(|| {}));
    // Many at a time. What only memory keeps has to be opened where it is used.
    let opening_batch = if durability == Durability::Memory { batch } else { 1_024 };
    let mut driver = open(&Driver::config(opening_batch, 1))?.driver;
    for openings in requests(openings(ACCOUNTS), opening_batch as usize) {
        driver.submit(openings);
        driver.wait()?;
    }
    while driver.appends_pending() > 0 {
        driver.wait()?;
    }
    if durability == Durability::Memory {
        drop(driver.take_replies());
        return Ok(driver);
    }
    driver.close()?;
    Ok(open(&Driver::config(batch, 1))?.driver)
}

fn run(args: &Args, batch: u32, count: u64, durability: Durability) -> Result<Took, Failure> {
    let directory = temporary(args)?;
    let mut driver = opened(&directory, batch, durability)?;
    let batches = requests(transfers(ACCOUNTS, count), batch as usize);
    let window = if batch == 1 { 1 } else { u64::from(batch) * WINDOW_BATCHES };
    let (took, done) = time(|| -> Result<(), FilesError> {
        let mut pending = 0;
        for batch in batches {
            // Never more than the queue takes: while the next segment is got ready, none of it goes on.
            while pending > 0 && pending + batch.len() as u64 > window {
                driver.wait()?;
                pending -= driver.take_replies().len() as u64;
            }
            pending += batch.len() as u64;
            driver.submit(batch);
            driver.poll()?;
            pending -= driver.take_replies().len() as u64;
        }
        while pending > 0 {
            driver.wait()?;
            pending -= driver.take_replies().len() as u64;
        }
        Ok(())
    });
    done?;
    assert_eq!(driver.projections().counts.transfers_completed(), count);
    driver.close()?;
    Ok(took)
}

/// What the disk alone gives for the same bytes, to set the durable figures against.
pub(super) fn measure_disk(args: &Args) -> Result<Vec<Figure>, Failure> {
    let files = [Space::Growing, Space::Zeroed];
    let pairs = SIZES.into_iter().flat_map(|(batch, _)| files.map(|file| (batch, file)));
    pairs.map(|(batch, file)| disk(args, batch, file)).collect()
}

/// The file that is written to.
#[derive(Clone, Copy)]
enum Space {
    /// Grows with each write.
    Growing,
    /// Holds zeros that were synced before, as a segment of the log does.
    Zeroed,
}

impl Space {
    fn name(self) -> &'static str {
        match self {
            Space::Growing => "disk-growing",
            Space::Zeroed => "disk-zeroed",
        }
    }
}

fn disk(args: &Args, batch: u32, space: Space) -> Result<Figure, Failure> {
    const SYNCS: u64 = 500;
    let bytes = u64::from(batch) * TRANSFER_BYTES;
    let mut runs = Vec::new();
    for _ in 0..args.runs {
        let directory = temporary(args)?;
        let path = directory.path().join("appended");
        let failed = |error: std::io::Error| Failure::Usage(format!("{}: {error}", path.display()));
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        let buffer = vec![0x5a; usize::try_from(bytes).expect("some hundred KiB")];
        if let Space::Zeroed = space {
            let zeros = vec![0; buffer.len()];
            let written = (0..SYNCS).try_for_each(|_| file.write_all(&zeros));
            written.and_then(|()| file.sync_all()).and_then(|()| file.rewind()).map_err(failed)?;
        }
        let (took, done) =
            time(|| (0..SYNCS).try_for_each(|_| file.write_all(&buffer).and_then(|()| file.sync_data())));
        done.map_err(failed)?;
        runs.push(took);
    }
    let what = match space {
        Space::Growing => "the disk alone: as many bytes, one write after the other, to a file that grows",
        Space::Zeroed => {
            "the disk alone: as many bytes, one write after the other, into zeros that are on the disk"
        }
    };
    Ok(Figure::rates(
        &format!("{}-{batch}", space.name()),
        what,
        "transfers/s",
        SYNCS * u64::from(batch),
        &runs,
    )
    .settings([("batch", batch.into()), ("bytes an append", bytes), ("appends", SYNCS)])
    .durability("one write and one fdatasync a batch"))
}

pub(super) fn temporary(args: &Args) -> Result<TempDir, Failure> {
    let made = tempfile::Builder::new().prefix("walletlab-bench-").tempdir_in(&args.data);
    made.map_err(|error| {
        Failure::Usage(format!("{}: cannot make a directory in it: {error}", args.data.display()))
    })
}
