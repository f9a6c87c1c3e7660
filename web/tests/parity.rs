//! The tests of `tests/parity.rs`, in headless Chromium.

#![cfg(target_arch = "wasm32")]

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[path = "../../tests/parity.rs"]
mod parity;
