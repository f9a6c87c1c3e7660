//! Wallet Lab in a browser tab.
//!
//! Two programs share this library. The *app* is the page: it draws what it is told and holds views only. The
//! *worker* runs the world and owns the log. They talk in the words of [`protocol`] and in nothing else.
//!
//! What is absent here: no ledger state on the page, no clock or randomness that reaches the world, no request to
//! any other origin, no inline script or style.

pub mod amount;
pub mod page;
pub mod protocol;
pub mod storage;
pub mod worker;
