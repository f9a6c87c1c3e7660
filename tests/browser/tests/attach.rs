//! The page and a live server: it follows the log under load, across a kill, into another log, and past a token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use browser_tests::{Api, Browser, ConsoleEntry, Files, Load, Site, SiteOptions};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const ACCOUNTS: u32 = 20;
const BALANCE: i64 = 100_000;
const READ: &str = "the-reader-s-token-0001";
const WRITE: &str = "the-writer-s-token-0001";

fn open_live(site: &Site) -> Browser {
    let browser = Browser::start();
    browser.goto(&format!("{}/#live", site.url()));
    browser
}

fn text(browser: &Browser, hook: &str) -> String {
    browser.test_id(hook).texts().into_iter().next().unwrap_or_default()
}

fn sequence(browser: &Browser) -> u64 {
    text(browser, "sequence").parse().unwrap_or(0)
}

fn wait_connection(browser: &Browser, word: &str) {
    browser.wait_until(&format!("the connection is {word}"), PATIENCE, |browser| {
        text(browser, "connection-status").starts_with(word)
    });
}

/// Waits until the page stands where the server stands, and both say the same about everything.
fn assert_equal(browser: &Browser, api: &mut Api) -> Value {
    let (status, stats) = api.get("/stats");
    assert_eq!(status, 200, "{stats}");
    let wanted = stats["sequence"].as_u64().expect("a number");
    browser.wait_until(&format!("the page has the {wanted} records of the server"), PATIENCE, |browser| {
        sequence(browser) == wanted
    });
    browser.wait_until("the digests are compared there", PATIENCE, |browser| {
        text(browser, "digest-verdict").replace(',', "").ends_with(&format!("at {wanted}"))
    });
    assert_eq!(text(browser, "digest"), stats["digest"].as_str().expect("text"));
    assert_eq!(text(browser, "server-digest"), stats["digest"].as_str().expect("text"));
    assert!(text(browser, "digest-verdict").starts_with("Equal"), "{}", text(browser, "digest-verdict"));
    assert_eq!(text(browser, "lag"), "0");
    assert_eq!(text(browser, "balances-total"), stats["balances_total"]["USD"].to_string());
    stats
}

/// What the console says besides that a server was away.
fn problems(browser: &Browser) -> Vec<ConsoleEntry> {
    let mut problems = browser.console_problems();
    problems.retain(|entry| !entry.message.contains("/v1/"));
    problems
}

fn restart(port: u16, data: &Path) -> Site {
    Site::start_with(&SiteOptions { port, data: Some(data.to_owned()), ..SiteOptions::default() })
}

#[test]
fn it_follows_a_server_under_load_across_a_kill() {
    let data = tempfile::tempdir().expect("a directory");
    let site = restart(0, data.path());
    let (url, port) = (site.url().to_owned(), site.port());
    let mut api = Api::new(&url);
    api.open_accounts("client", ACCOUNTS, BALANCE);
    let browser = open_live(&site);
    wait_connection(&browser, "Live");
    let load = Load::start(&url, 4, "client", ACCOUNTS);
    browser.wait_until("records flow", PATIENCE, |browser| sequence(browser) > 200);
    browser.wait_until("digests are compared under load", PATIENCE, |browser| {
        text(browser, "digest-verdict").starts_with("Equal")
    });

    site.kill();
    wait_connection(&browser, "Reconnecting");
    assert!(browser.test_id("live-message").text().contains("Reconnecting"));
    assert_eq!(text(&browser, "lag"), "unknown");
    let before = sequence(&browser);
    assert!(before > 200, "what was folded is still shown");

    let site = restart(port, data.path());
    wait_connection(&browser, "Live");
    let answered = load.completed();
    browser.wait_until("records flow again", PATIENCE, |browser| sequence(browser) > before + 200);
    assert!(load.stop() > answered, "the load went on");
    let stats = assert_equal(&browser, &mut Api::new(&url));
    assert!(!browser.test_id("live-remark").exists(), "the copy was gone on with, not begun anew");
    let began_at = browser.css(".link-copy .small").text();
    assert!(began_at.starts_with(&format!("state at {ACCOUNTS},")), "{began_at}");
    let total = i64::from(ACCOUNTS) * BALANCE;
    assert_eq!(stats["balances_total"]["USD"], total, "not a cent more or less");
    assert_eq!(problems(&browser), []);
    drop(site);
}

#[test]
fn it_begins_anew_when_the_log_is_another_one() {
    let data = tempfile::tempdir().expect("a directory");
    let site = restart(0, &data.path().join("first"));
    let (url, port) = (site.url().to_owned(), site.port());
    Api::new(&url).open_accounts("first", 3, BALANCE);
    let browser = open_live(&site);
    wait_connection(&browser, "Live");
    assert_equal(&browser, &mut Api::new(&url));

    site.kill();
    wait_connection(&browser, "Reconnecting");
    let _site = restart(port, &data.path().join("second"));
    let mut api = Api::new(&url);
    api.open_accounts("second", 5, BALANCE);
    browser
        .test_id("live-remark")
        .wait_text(PATIENCE, |text| text.contains("another log") || text.contains("ends before"));
    wait_connection(&browser, "Live");
    assert_equal(&browser, &mut api);
    let accounts = browser.css(".balance-rows tbody th").texts();
    assert!(accounts.iter().any(|name| name == "second-4"), "{accounts:?}");
    assert!(!accounts.iter().any(|name| name == "first-0"), "{accounts:?}");
    assert_eq!(problems(&browser), []);
}

fn answer(browser: &Browser, wanted: &str) -> String {
    browser.test_id("hand-answer").wait_text(PATIENCE, |text| text.contains(wanted))
}

#[test]
fn commands_by_hand_go_over_the_api() {
    let site = Site::start();
    let mut api = Api::new(site.url());
    let browser = open_live(&site);
    wait_connection(&browser, "Live");
    for name in ["alice", "bob"] {
        browser.css("[data-testid=hand-open] + span").click();
        browser.test_id("open-account").fill(name);
        browser.test_id("transfer-amount").fill("10.00");
        browser.test_id("hand-send").click();
        answer(&browser, name);
        answer(&browser, "Completed");
    }
    browser.css("[data-testid=hand-deposit] + span").click();
    browser.test_id("deposit-account").fill("bob");
    browser.test_id("transfer-amount").fill("5");
    browser.test_id("hand-send").click();
    answer(&browser, "Deposit into bob, 5.00 USD");
    answer(&browser, "Completed");

    browser.css("[data-testid=hand-transfer] + span").click();
    browser.test_id("transfer-from").fill("alice");
    browser.test_id("transfer-to").fill("bob");
    browser.test_id("transfer-amount").fill("2.50");
    browser.test_id("hand-send").click();
    answer(&browser, "alice → bob, 2.50 USD");
    let first = answer(&browser, "Completed");
    assert!(!first.contains("known"), "{first}");
    let id = browser.test_id("hand-answer-id").text();
    assert_eq!(id.as_bytes()[14], b'7', "a UUID of version 7: {id}");
    let rows = |browser: &Browser| browser.css(".balance-rows tbody tr").texts().join(" ");
    browser.wait_until("the balances moved", PATIENCE, |browser| {
        let rows = rows(browser);
        rows.contains("7.50") && rows.contains("17.50")
    });
    assert_eq!(api.get("/v1/wallet/balance/bob").1["balance"], 1_750);

    browser.test_id("hand-repeat").click();
    answer(&browser, "It was known: the first answer again");
    assert_eq!(browser.test_id("hand-answer-id").text(), id, "the same id");
    browser.test_id("hand-conflict").click();
    answer(&browser, "Conflict");
    browser.test_id("transfer-amount").fill("1000000");
    browser.test_id("hand-send").click();
    answer(&browser, "Refused: insufficient funds");
    assert_eq!(api.get("/v1/wallet/balance/bob").1["balance"], 1_750);
    let stats = assert_equal(&browser, &mut api);
    assert_eq!(stats["counts"]["transfers_completed"], 1, "{stats}");
    // A refused transfer is what the browser itself reports of a status of 409 or 422.
    assert_eq!(problems(&browser), []);
}

fn tokens(directory: &Path) -> PathBuf {
    let path = directory.join("tokens");
    fs::write(&path, format!("# for the test\nread {READ}\nwrite {WRITE}\n")).expect("a file");
    // The server warns of tokens that every user of the machine can read.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the test's own file");
    path
}

#[test]
fn a_server_with_tokens_is_attached_to_with_the_right_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let token_file = Some(tokens(directory.path()));
    let site = Site::start_with(&SiteOptions { token_file, ..SiteOptions::default() });
    let mut api = Api::with_token(site.url(), WRITE);
    api.open_accounts("client", 3, BALANCE);
    let browser = open_live(&site);
    browser.test_id("token").wait_visible(PATIENCE);
    assert!(!browser.test_id("token-refused").exists(), "none was given yet");
    assert_eq!(browser.test_id("token").attribute("type").as_deref(), Some("password"));

    // By keyboard alone: the field has the focus.
    let field = "return document.activeElement && document.activeElement.dataset.testid";
    assert_eq!(browser.execute(field, &[]), "token");
    browser.test_id("token").press("wrong-wrong-wrong-wrong\u{E007}");
    browser.test_id("token-refused").wait_visible(PATIENCE);
    browser.test_id("token").press(&format!("{READ}\u{E007}"));
    wait_connection(&browser, "Live");
    assert_equal(&browser, &mut api);
    assert!(!browser.test_id("token-card").exists());

    browser.test_id("transfer-from").fill("client-0");
    browser.test_id("transfer-to").fill("client-1");
    browser.test_id("transfer-amount").fill("1");
    browser.test_id("hand-send").click();
    answer(&browser, "Not allowed");

    browser.test_id("token-open").click();
    browser.test_id("token").wait_visible(PATIENCE);
    browser.test_id("token").fill(WRITE);
    browser.test_id("token-use").click();
    wait_connection(&browser, "Live");
    browser.test_id("hand-repeat").click();
    answer(&browser, "Completed");
    assert_equal(&browser, &mut api);

    let kept = browser.execute(
        "return location.href + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.documentElement.outerHTML",
        &[],
    );
    let kept = kept.as_str().expect("text");
    assert!(!kept.contains(WRITE) && !kept.contains(READ), "a token is in memory only");
    browser.reload();
    browser.test_id("token").wait_visible(PATIENCE);
    assert_eq!(problems(&browser), []);
}

#[test]
fn the_world_in_this_browser_stands_still_meanwhile() {
    let site = Site::start();
    Api::new(site.url()).open_accounts("client", 3, BALANCE);
    let browser = Browser::start();
    browser.goto(site.url());
    browser.wait_until("it can run", PATIENCE, |browser| browser.test_id("run").is_enabled());
    browser.test_id("speed").select("max");
    browser.test_id("run").click();
    browser.wait_until("records appear", PATIENCE, |browser| sequence(browser) > 1_500);

    // By keyboard: the arrow moves to the other choice.
    browser.test_id("source-browser").press("\u{E014}");
    wait_connection(&browser, "Live");
    assert_eq!(browser.execute("return location.hash", &[]), "#live");
    for hook in ["run", "pause", "step", "speed", "seed", "reset", "export-binary", "redrive"] {
        assert!(!browser.test_id(hook).exists(), "{hook} is for the other world");
    }
    assert_equal(&browser, &mut Api::new(site.url()));
    let live = text(&browser, "digest");

    browser.test_id("source-server").press("\u{E012}");
    browser.wait_until("the world is there again", PATIENCE, |browser| {
        browser.test_id("run").is_enabled() && sequence(browser) > 1_500
    });
    assert_ne!(text(&browser, "digest"), live);
    assert_eq!(browser.execute("return location.hash", &[]), "");
    let (records, digest) = (sequence(&browser), text(&browser, "digest"));
    browser.wait_until("it is saved", PATIENCE, |browser| text(browser, "storage-status").contains("Saved"));
    browser.test_id("source-browser").press("\u{E014}");
    wait_connection(&browser, "Live");
    Api::new(site.url()).open_accounts("later", 2, BALANCE);
    assert_equal(&browser, &mut Api::new(site.url()));
    browser.test_id("source-server").press("\u{E012}");
    browser.wait_until("the world is there again", PATIENCE, |browser| browser.test_id("run").is_enabled());
    assert_eq!((sequence(&browser), text(&browser, "digest")), (records, digest), "nothing ran meanwhile");
    assert_eq!(browser.console_problems(), []);
}

#[test]
fn a_page_from_plain_files_says_that_no_server_is_there() {
    let files = Files::start();
    let browser = Browser::start();
    browser.goto(files.url());
    browser.wait_until("it can run", PATIENCE, |browser| browser.test_id("run").is_enabled());
    browser.css("[data-testid=source-server] + span").click();
    let message =
        browser.test_id("live-message").wait_text(PATIENCE, |text| text.contains("No wallet server"));
    assert!(message.contains("walletlab serve"), "{message}");
    assert!(browser.test_id("status").text().contains("No wallet server"));
    browser.css("[data-testid=source-browser] + span").click();
    browser.wait_until("the world is there", PATIENCE, |browser| browser.test_id("run").is_enabled());
}

#[test]
fn a_link_to_the_server_leaves_the_log_in_this_browser_alone() {
    let site = Site::start();
    let browser = open_live(&site);
    wait_connection(&browser, "Live");
    let stored = browser.execute_async(
        "const all = await indexedDB.databases(); return all.map(database => database.name)",
        &[],
    );
    assert_eq!(stored, json!([]), "no database was made");
    assert_eq!(browser.console_problems(), []);
}
