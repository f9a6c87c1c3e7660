//! What a browser test needs: a WebDriver client ([`Browser`], [`Locator`]), the built product ([`Site`]) and clients of
//! its API ([`Api`], [`Load`]).
//!
//! ```no_run
//! use browser_tests::{Browser, Site};
//! use std::time::Duration;
//!
//! let site = Site::start();
//! let browser = Browser::start();
//! browser.goto(site.url());
//! browser.test_id("run").click();
//! browser.wait_until("records appear", Duration::from_secs(10), |browser| {
//!     browser.test_id("sequence").text() != "0"
//! });
//! ```
//!
//! Whatever goes wrong panics at the test's own line and says what was asked of the browser; a test that fails leaves
//! a screenshot and the page's console behind. Tests wait by asking the page again ([`Browser::wait_until`]), and only
//! here is that allowed: a test never sleeps.
//!
//! Invariants, as absences: no network but loopback, no browser profile that outlives its [`Browser`] (unless a
//! directory for it was named), no process that outlives its owner.

mod api;
mod browser;
mod files;
mod locator;
mod site;
mod webdriver;

pub use api::{Answer, Api, Load};
pub use browser::{Browser, ConsoleEntry, Options, WindowHandle};
pub use files::Files;
pub use locator::Locator;
pub use site::{Site, SiteOptions, page_directory, walletlab_binary};
pub use webdriver::WebDriverError;
