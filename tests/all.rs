//! The tests that belong to no single crate.

#[cfg(not(target_arch = "wasm32"))] // it starts processes
mod acceptance;
mod parity;
#[cfg(not(target_arch = "wasm32"))] // it reads the sources
mod tidy;
