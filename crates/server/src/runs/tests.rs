//! Runs against maps: small blocks, few ids a run, files cut and flipped at every byte.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

mod damage;
mod entries;
mod golden;
mod ids;

const LOG_ID: [u8; 16] = [7; 16];

/// Three cells a block, four hashes a part of a filter.
fn tiny() -> RunsConfig {
    RunsConfig {
        block_bytes: 64,
        merge_fan_out: 2,
        merged_cells_max: 1_000,
        filter_part_ids_max: 4,
        sync_every_bytes: 256,
        merge_read_bytes: 192,
        ..RunsConfig::default()
    }
}

/// Only eight hashes there are.
fn colliding() -> RunsConfig {
    RunsConfig { hash_mask: 7 << 61, ..tiny() }
}

/// Records that follow, each of 100 bytes.
fn range(first_sequence: u64, next_sequence: u64) -> RunRange {
    RunRange {
        first_sequence,
        next_sequence,
        first_byte: 128 + first_sequence * 100,
        end_byte: 128 + next_sequence * 100,
    }
}

/// The files in a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
