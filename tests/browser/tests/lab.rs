//! The lab in the page: runs, reloads, files, a second tab. Each test has a browser profile of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use browser_tests::{Browser, Site, walletlab_binary};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const MAP: &str = "account=nodeid,opening_balance=init_balance,from_account=sourceNodeId,to_account=targetNodeId,amount=value";
const ID: &str = "0190b2a0-0000-7000-8000-000000000001";

/// What a log came to, as the page shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    sequence: String,
    digest: String,
    balances_total: String,
}

fn shown(browser: &Browser) -> Shown {
    let text = |hook| browser.test_id(hook).text();
    Shown { sequence: text("sequence"), digest: text("digest"), balances_total: text("balances-total") }
}

fn sequence(browser: &Browser) -> u64 {
    browser.test_id("sequence").text().parse().unwrap_or(0)
}

fn open(site: &Site) -> Browser {
    let browser = Browser::start();
    open_in(&browser, site);
    browser
}

fn open_in(browser: &Browser, site: &Site) {
    browser.goto(site.url());
    wait_for_worker(browser);
}

/// The worker has brought back whatever there is: it can be run.
fn wait_for_worker(browser: &Browser) {
    browser.wait_until("the run can go on", PATIENCE, |browser| {
        browser.test_id("run").exists() && browser.test_id("run").is_enabled()
    });
}

fn run_to(browser: &Browser, records: u64) {
    browser.test_id("speed").select("max");
    browser.test_id("run").click();
    browser.wait_until("records appear", PATIENCE, |browser| sequence(browser) >= records);
    pause(browser);
}

fn pause(browser: &Browser) {
    if browser.test_id("pause").is_enabled() {
        browser.test_id("pause").click();
    }
    browser.wait_until("it stands still", PATIENCE, |browser| browser.test_id("run").is_enabled());
    wait_saved(browser);
}

/// Everything is stored, and what is shown does not change any more.
fn wait_saved(browser: &Browser) {
    let (mut last, mut equal) = (None, 0);
    browser.wait_until("it is saved and stands still", PATIENCE, |browser| {
        let now = (shown(browser), step_number(browser), browser.test_id("storage-status").text());
        equal = if last.as_ref() == Some(&now) { equal + 1 } else { 0 };
        let is_saved = now.2.contains("Saved");
        last = Some(now);
        is_saved && equal >= 4
    });
}

fn transfer(browser: &Browser, from: &str, to: &str, amount: &str, id: &str) -> String {
    browser.test_id("transfer-from").fill(from);
    browser.test_id("transfer-to").fill(to);
    browser.test_id("transfer-amount").fill(amount);
    browser.test_id("transfer-id").fill(id);
    browser.test_id("transfer-send").click();
    browser
        .test_id("transfer-answer")
        .wait_text(PATIENCE, |text| text.contains("record") || text.contains("nothing"))
}

fn export(browser: &Browser, hook: &str, name: &str) -> PathBuf {
    browser.test_id(hook).click();
    browser.wait_for_download(name, PATIENCE)
}

fn replay(path: &Path) -> Value {
    let output = Command::new(walletlab_binary())
        .arg("replay")
        .arg(path)
        .arg("--json")
        .output()
        .expect("walletlab is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn assert_replays_to(path: &Path, shown: &Shown) {
    let replayed = replay(path);
    assert_eq!(replayed["digest"], shown.digest.as_str());
    assert_eq!(replayed["sequence"].to_string(), shown.sequence);
    assert_eq!(replayed["balances_total"]["USD"].to_string(), shown.balances_total);
}

#[test]
fn a_reload_finds_every_cent_and_the_native_program_agrees() {
    let site = Site::start();
    let browser = open(&site);
    run_to(&browser, 1_500);
    let answer = transfer(&browser, "account-00001", "account-00002", "1.00", ID);
    assert!(answer.contains("Completed") || answer.contains("completed"), "{answer}");
    wait_saved(&browser);
    let before = shown(&browser);

    browser.reload();
    wait_for_worker(&browser);
    browser.wait_until("the frames are there", PATIENCE, |browser| sequence(browser) > 0);
    assert_eq!(shown(&browser), before);

    // The same id again, in another life of the tab: the first answer, and nothing happens.
    let again = transfer(&browser, "account-00001", "account-00002", "1.00", ID);
    assert!(again.contains("again"), "{again}");
    assert_eq!(shown(&browser), before);

    assert_replays_to(&export(&browser, "export-binary", "events.wlog"), &before);
    assert_replays_to(&export(&browser, "export-jsonl", "events.log"), &before);
    assert_eq!(browser.console_problems(), []);
}

/// Presses Step so many times, and waits until the world made the steps.
fn step(browser: &Browser, count: u64, step_after: u64) {
    browser.execute(
        "for (let i = 0; i < arguments[0]; i += 1) document.querySelector('[data-testid=step]').click()",
        &[count.into()],
    );
    browser.wait_until("the steps are made", PATIENCE, |browser| step_number(browser) >= step_after);
    wait_saved(browser);
}

fn step_number(browser: &Browser) -> u64 {
    let text = browser.css(".facts").text();
    let digits: String = text
        .split("step ")
        .nth(1)
        .unwrap_or("")
        .chars()
        .take_while(|character| character.is_ascii_digit() || *character == ',')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

#[test]
fn an_interrupted_run_is_the_uninterrupted_one_byte_for_byte() {
    let site = Site::start();
    let logs: Vec<Vec<u8>> = [true, false]
        .into_iter()
        .map(|interrupted| {
            let browser = open(&site);
            let mut at = 0;
            for part in [700, 300, 200] {
                step(&browser, part, at + part);
                if at == 0 {
                    transfer(&browser, "account-00001", "account-00002", "1.00", ID);
                    wait_saved(&browser);
                }
                at = step_number(&browser);
                if interrupted {
                    browser.reload();
                    wait_for_worker(&browser);
                    browser.wait_until("the step is back", PATIENCE, |browser| step_number(browser) == at);
                }
            }
            fs::read(export(&browser, "export-binary", "events.wlog")).expect("the exported log")
        })
        .collect();
    assert!(logs[0].len() > 4_000, "{} bytes", logs[0].len());
    assert!(logs[0] == logs[1], "{} and {} bytes differ", logs[0].len(), logs[1].len());
}

#[test]
fn an_import_in_either_form_shows_the_same_log() {
    let site = Site::start();
    let browser = open(&site);
    run_to(&browser, 1_200);
    let before = shown(&browser);
    let files =
        [export(&browser, "export-binary", "events.wlog"), export(&browser, "export-jsonl", "events.log")];
    let other = open(&site);
    for (number, file) in files.iter().enumerate() {
        other.test_id("import").upload(&[file]);
        // Only a log that holds something is asked about.
        if number > 0 {
            other.test_id("import-confirm").wait_visible(PATIENCE).click();
        }
        other.wait_until("the log is there", PATIENCE, |browser| shown(browser) == before);
        wait_saved(&other);
        let answer = transfer(&other, "account-00001", "account-00002", "0.01", ID);
        assert!(answer.to_lowercase().contains("completed"), "{answer}");
        wait_saved(&other);
        let after = shown(&other);
        assert_ne!(after, before);
        other.reload();
        wait_for_worker(&other);
        other.wait_until("the imported log is back", PATIENCE, |browser| shown(browser) == after);
    }
}

fn load_csv(browser: &Browser, accounts: &Path, transfers: &Path) {
    browser.test_id("csv-accounts").upload(&[accounts]);
    browser.test_id("csv-transfers").upload(&[transfers]);
    browser.test_id("csv-load").click();
}

fn run_natively(accounts: &Path, transfers: &Path, data: &Path) -> Value {
    let output = Command::new(walletlab_binary())
        .args(["run", "--json", "--map", MAP, "--scale", "2", "--accounts"])
        .arg(accounts)
        .arg("--transfers")
        .arg(transfers)
        .arg("--data")
        .arg(data)
        .output()
        .expect("walletlab is built");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    replay(data)
}

#[test]
fn csv_files_come_to_the_same_digest_in_the_page_and_natively() {
    let site = Site::start();
    let directory = tempfile::tempdir().expect("a directory");
    let accounts = directory.path().join("accounts.csv");
    let transfers = directory.path().join("transfers.csv");
    fs::write(&accounts, "nodeid,init_balance\nalice,100\nbob,0.50\n").expect("written");
    let row = "alice,bob,20\n";
    fs::write(&transfers, format!("sourceNodeId,targetNodeId,value\n{}", row.repeat(10))).expect("written");
    let native = run_natively(&accounts, &transfers, &directory.path().join("data"));
    assert_eq!((native["completed"].as_u64(), native["failed"].as_u64()), (Some(5), Some(5)));

    let browser = open(&site);
    load_csv(&browser, &accounts, &transfers);
    browser.test_id("csv-notice").wait_text(PATIENCE, |text| text.contains("10"));
    wait_saved(&browser);
    assert_eq!(browser.test_id("digest").text(), native["digest"].as_str().unwrap_or_default());
    let before = shown(&browser);

    // The same files again change nothing.
    load_csv(&browser, &accounts, &transfers);
    wait_saved(&browser);
    assert_eq!(shown(&browser), before);
}

#[test]
fn a_bad_row_is_named_by_file_and_line() {
    let site = Site::start();
    let directory = tempfile::tempdir().expect("a directory");
    let accounts = directory.path().join("accounts.csv");
    let transfers = directory.path().join("transfers.csv");
    fs::write(&accounts, "nodeid,init_balance\nalice,100\n").expect("written");
    fs::write(&transfers, "sourceNodeId,targetNodeId,value\nalice,bob,1\nalice,bob,x\n").expect("written");
    let browser = open(&site);
    load_csv(&browser, &accounts, &transfers);
    let text = browser.test_id("csv-notice").wait_text(PATIENCE, |text| text.contains("line"));
    assert!(text.contains("transfers.csv, line 3"), "{text}");
    assert_eq!(sequence(&browser), 0);
}

#[test]
fn the_aml_files_come_to_the_known_result() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/aml_transfers");
    let Ok(data) = data.canonicalize() else {
        println!("SKIPPED: the AML transfer files are not beside the repository (shared/data/aml_transfers)");
        return;
    };
    let (accounts, transfers) = (data.join("nodes.csv.gz"), data.join("transactions.csv.gz"));
    let directory = tempfile::tempdir().expect("a directory");
    let native = run_natively(&accounts, &transfers, &directory.path().join("data"));
    assert_eq!((native["completed"].as_u64(), native["failed"].as_u64()), (Some(46_538), Some(74_020)));
    let site = Site::start();
    let browser = open(&site);
    load_csv(&browser, &accounts, &transfers);
    browser.wait_until("every row is answered", Duration::from_secs(180), |browser| {
        sequence(browser) == 140_558 && browser.test_id("run").is_enabled()
    });
    wait_saved(&browser);
    assert_eq!(browser.test_id("digest").text(), native["digest"].as_str().unwrap_or_default());
    assert_eq!(browser.test_id("balances-total").text(), native["balances_total"]["USD"].to_string());
}

#[test]
fn a_second_tab_looks_on_and_takes_over() {
    let site = Site::start();
    let browser = open(&site);
    run_to(&browser, 1_100);
    let before = shown(&browser);
    let first = browser.current_tab();
    let second = browser.new_tab();
    browser.switch_to(&second);
    browser.goto(site.url());
    browser.wait_until("it shows what the first tab saved", PATIENCE, |browser| {
        browser.test_id("sequence").exists() && shown(browser).sequence == before.sequence
    });
    assert!(!browser.test_id("run").is_enabled());
    let text = browser.css("body").text();
    assert!(text.contains("nother tab"), "{text}");
    browser.switch_to(&first);
    browser.close_tab();
    browser.switch_to(&second);
    wait_for_worker(&browser);
    browser.wait_until("the log is back", PATIENCE, |browser| shown(browser) == before);
}

#[test]
fn a_reset_is_confirmed_and_begins_anew() {
    let site = Site::start();
    let browser = open(&site);
    run_to(&browser, 1_100);
    browser.test_id("seed").fill("42");
    browser.test_id("reset").click();
    browser.test_id("reset-confirm").wait_visible(PATIENCE).click();
    browser.wait_until("it is empty", PATIENCE, |browser| sequence(browser) == 0);
    browser.reload();
    wait_for_worker(&browser);
    assert_eq!(sequence(&browser), 0);
}

#[test]
fn a_command_that_cannot_be_worked_on_is_a_dead_letter_and_can_be_redriven() {
    let site = Site::start();
    let browser = open(&site);
    browser.test_id("reset").click();
    browser.test_id("reset-confirm").wait_visible(PATIENCE);
    browser.css("#option-1").fill("100");
    // Few commands, so that the queue has room for what is redriven however late the pause comes.
    browser.css("#option-4").fill("50");
    browser.css("#option-9").fill("90");
    browser.test_id("reset-confirm").click();
    browser.test_id("speed").select("max");
    browser.test_id("run").click();
    browser.wait_until("there are dead letters", PATIENCE, |browser| {
        browser.test_id("dead-letters").exists()
            && browser.test_id("dead-letters").text().contains("attempts_exhausted")
    });
    pause(&browser);
    let dead = || browser.test_id("dead-letters").text();
    let before = dead();
    browser.test_id("redrive-commands").click();
    browser.wait_until("the dead letters are others or none", PATIENCE, |browser| {
        !browser.test_id("dead-letters").exists() || dead() != before
    });
    let invariants = browser.test_id("invariants").text();
    assert!(invariants.contains("all hold"), "{invariants}");
}

#[test]
fn the_largest_balance_is_shown_exactly() {
    let site = Site::start();
    let directory = tempfile::tempdir().expect("a directory");
    let accounts = directory.path().join("accounts.csv");
    let transfers = directory.path().join("transfers.csv");
    fs::write(&accounts, "nodeid,init_balance\nrich,92233720368547758.07\n").expect("written");
    fs::write(&transfers, "sourceNodeId,targetNodeId,value\n").expect("written");
    let browser = open(&site);
    load_csv(&browser, &accounts, &transfers);
    browser.wait_until("the account is there", PATIENCE, |browser| sequence(browser) == 1);
    wait_saved(&browser);
    assert_eq!(browser.test_id("balances-total").text(), i64::MAX.to_string());
    let balances = browser.test_id("balances").text();
    assert!(balances.contains("92,233,720,368,547,758.07"), "{balances}");
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let site = Site::start();
    let browser = open(&site);
    run_to(&browser, 1_100);
    let origin = site.url().trim_end_matches('/');
    browser.cdp(
        "Storage.overrideQuotaForOrigin",
        &serde_json::json!({ "origin": origin, "quotaSize": 1_500_000 }),
    );
    browser.test_id("speed").select("max");
    browser.test_id("run").click();
    browser.wait_until("it says that there is no room", PATIENCE, |browser| {
        browser.css("body").text().contains("No room left")
    });
    browser.cdp("Storage.overrideQuotaForOrigin", &serde_json::json!({ "origin": origin }));
    browser.reload();
    wait_for_worker(&browser);
    browser.wait_until("the log is back", PATIENCE, |browser| sequence(browser) >= 1_100);
    let before = shown(&browser);
    assert_replays_to(&export(&browser, "export-binary", "events.wlog"), &before);
}
