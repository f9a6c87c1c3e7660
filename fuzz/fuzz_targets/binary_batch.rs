//! Bytes as a batch in the compact form.

#![no_main]

use libfuzzer_sys::fuzz_target;
use server::any_bytes::binary_batch;

fuzz_target!(|bytes: &[u8]| binary_batch(bytes));
