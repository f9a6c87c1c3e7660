//! What holds for the page as a whole, whatever is done in it.

use std::time::Duration;

use browser_tests::{Browser, Site};

#[test]
fn it_opens_without_a_complaint() {
    let site = Site::start();
    let browser = Browser::start();
    browser.goto(site.url());
    browser.wait_until("something is drawn", Duration::from_secs(20), |browser| browser.css("h1").exists());
    assert_eq!(browser.title(), "Wallet Lab");
    assert_eq!(browser.execute("return document.documentElement.lang", &[]), "en");
    assert_eq!(browser.console_problems(), []);
}

#[test]
fn it_needs_nothing_from_elsewhere() {
    let site = Site::start();
    let browser = Browser::start();
    browser.goto(site.url());
    browser.wait_until("something is drawn", Duration::from_secs(20), |browser| browser.css("h1").exists());
    let elsewhere = browser.execute(
        "return performance.getEntriesByType('resource').map(entry => entry.name)\
         .filter(name => !name.startsWith(location.origin) && !name.startsWith('data:'))",
        &[],
    );
    assert_eq!(elsewhere, serde_json::json!([]));
}
