//! The binary `walletlab`, built beside the tests that start it.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    walletlab::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {}
