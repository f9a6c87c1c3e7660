//! The native driver's HTTP side: it serves the page's directory and `GET /health`.
//!
//! - [`app`] is the whole router, apart from any socket, so tests call it without one.
//! - [`bind`] opens the socket, [`Bound::run`] answers until it is told to stop, [`serve`] is both with the process's
//!   own signals.
//!
//! Invariants, as absences: nothing here holds money, runs a machine or writes a file; no route but `/health` is code,
//! everything else is a file of the page's directory; nothing outside of that directory is ever sent; no response
//! lacks the security headers.

pub mod files;
mod health;
mod page;
mod serve;

pub use page::{CONTENT_SECURITY_POLICY, app};
pub use serve::{Bound, ServeError, ServeOptions, bind, serve};
