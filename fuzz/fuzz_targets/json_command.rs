//! Bytes as the JSON of a command, of an item of a batch, and of a batch.

#![no_main]

use libfuzzer_sys::fuzz_target;
use server::any_bytes::{json_batch, json_command};

fuzz_target!(|bytes: &[u8]| {
    json_command(bytes);
    json_batch(bytes);
});
