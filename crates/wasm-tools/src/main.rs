//! `wasm-bindgen` and `wasm-bindgen-test-runner` in one binary, picked by the name it is called by.
//!
//! The tools must equal the `wasm-bindgen` crate to the digit, so they are built from the same lock file instead of
//! being fetched. `cargo xtask` hard-links this binary under both names; `cargo test --target
//! wasm32-unknown-unknown` runs it under its own name, and then it is the test runner.
//!
//! It adds nothing to the tools: no option, no download, no file of its own.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().collect();
    let called_as = arguments.first().and_then(|name| Path::new(name).file_stem()).unwrap_or_default();
    if called_as == "wasm-bindgen" {
        wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(arguments)
    } else {
        wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(arguments)
    }
}
