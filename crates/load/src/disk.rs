//! What the disk alone gives: one append, one `fdatasync`, one after the other.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::measured::{Latencies, Measured, float};
use crate::process;

/// Zeros are written into the file first, so that a sync has no new blocks to note.
const PREPARED_BYTES: u64 = 64 << 20;

/// Where and how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory of the file, on the disk that matters
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
    /// Bytes of an append
    #[arg(long, value_name = "N", default_value_t = 512)]
    bytes: usize,
    /// How long
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
}

/// Writes at the next place of a file of written zeros, and syncs, for a while.
pub(crate) fn run(args: &Args) -> anyhow::Result<Measured> {
    let path = args.directory.join("bare-syncs");
    let failed = || format!("{}: the disk alone", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).with_context(failed)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..PREPARED_BYTES).step_by(1 << 20) {
        file.write_all_at(&zeros, at).with_context(failed)?;
    }
    file.sync_all().with_context(failed)?;
    let block = vec![0x5a; args.bytes];
    let window = Duration::from_secs_f64(args.seconds);
    let (mut latencies, mut syncs, mut at) = (Latencies::new(), 0, 0);
    let (began, nanos_before) = (Instant::now(), process::own_nanos());
    while began.elapsed() < window {
        let started = Instant::now();
        file.write_all_at(&block, at).and_then(|()| file.sync_data()).with_context(failed)?;
        latencies.add(started.elapsed());
        syncs += 1;
        at = (at + args.bytes as u64) % (PREPARED_BYTES - args.bytes as u64);
    }
    let seconds = began.elapsed().as_secs_f64();
    let nanos = process::own_nanos() - nanos_before;
    drop(file);
    std::fs::remove_file(&path).with_context(failed)?;
    Ok(Measured {
        seconds,
        requests: syncs,
        operations: syncs,
        operations_per_second: float(syncs) / seconds,
        latency: latencies.latency(),
        server_nanos_each: Some(float(nanos) / float(syncs)),
        ..Measured::default()
    })
}
