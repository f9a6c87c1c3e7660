//! The page in a real browser. Needs `cargo xtask build`, Chromium and its driver; `cargo xtask test` sees to all.

mod attach;
mod client;
mod lab;
mod page;
