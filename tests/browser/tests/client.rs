//! The client itself, on a page of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use browser_tests::{Browser, Options};
use serde_json::json;

const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Client</title>
<style>html { scroll-behavior: smooth } h1 { color: rgb(1, 2, 3) } @media (prefers-color-scheme: dark) { h1 { color: rgb(4, 5, 6) } }</style>
<h1 data-testid=title>hello</h1>
<input data-testid=name value=before>
<input type=file multiple data-testid=files>
<select data-testid=letter onchange=\"document.title = this.value\"><option>a<option>b</select>
<button data-testid=go onclick=\"document.querySelector('h1').textContent = document.querySelector('input').value\">go</button>
<button data-testid=off disabled>off</button>
<a data-testid=save download=saved.txt href=\"data:text/plain,content\">save</a>
<p data-testid=hidden hidden>none</p>
<ul data-testid=list><li>one</li><li>two</li></ul>
<p style=\"height: 5000px\"></p><button data-testid=far onclick=\"this.textContent = 'clicked'\">far</button>";

const PATIENCE: Duration = Duration::from_secs(10);

/// The page as a file, because `data:` pages have no storage.
fn page(directory: &Path) -> String {
    let path = directory.join("client.html");
    fs::write(&path, PAGE).expect("a page");
    format!("file://{}", path.display())
}

#[test]
fn questions_and_actions() {
    let directory = tempfile::tempdir().expect("a directory");
    let browser = Browser::start();
    browser.goto(&page(directory.path()));
    assert_eq!(browser.test_id("list").css("li").texts(), ["one", "two"]);
    assert_eq!(browser.test_id("go").attribute("data-testid").as_deref(), Some("go"));
    assert_eq!(browser.test_id("go").attribute("title"), None);
    assert!(browser.test_id("go").is_enabled() && !browser.test_id("off").is_enabled());
    assert!(browser.test_id("hidden").exists() && !browser.test_id("hidden").is_visible());
    assert!(!browser.test_id("nowhere").exists());

    browser.test_id("name").fill("Grüße");
    browser.test_id("go").click();
    assert_eq!(browser.test_id("title").wait_text(PATIENCE, |text| text != "hello"), "Grüße");
    browser.test_id("name").fill("");
    assert_eq!(browser.test_id("name").value(), "");
    browser.test_id("far").click();
    assert_eq!(browser.test_id("far").text(), "clicked");
    browser.test_id("letter").select("b");
    assert_eq!(browser.title(), "b");

    let (one, two) = (directory.path().join("1.csv"), directory.path().join("2.csv"));
    fs::write(&one, "1").expect("a file");
    fs::write(&two, "22").expect("a file");
    browser.test_id("files").upload(&[&one, &two]);
    let sizes = "return Array.from(document.querySelector('[type=file]').files).map(file => file.size)";
    assert_eq!(browser.execute(sizes, &[]), json!([1, 2]));

    browser.test_id("save").click();
    let saved = browser.wait_for_download("saved.txt", PATIENCE);
    assert_eq!(fs::read_to_string(saved).expect("a download"), "content");
}

#[test]
fn scripts_console_media_and_tabs() {
    let directory = tempfile::tempdir().expect("a directory");
    let browser = Browser::start_with(&Options { size: (360, 740), profile: None });
    browser.goto(&page(directory.path()));
    assert_eq!(browser.execute("return [innerWidth, innerHeight]", &[]), json!([360, 740]));
    assert_eq!(
        browser.execute_async("return (await Promise.resolve(arguments[0])) + 1", &[json!(41)]),
        json!(42)
    );
    browser.execute("console.warn('careful'); console.error('broken'); console.info('fine')", &[]);
    let problems = browser.console_problems();
    assert_eq!(problems.iter().map(|entry| entry.level.as_str()).collect::<Vec<_>>(), ["WARNING", "SEVERE"]);
    assert!(problems[1].message.contains("broken"), "{problems:?}");
    assert_eq!(browser.console_problems(), []);

    let color = "return getComputedStyle(document.querySelector('h1')).color";
    browser.emulate_media(&[("prefers-color-scheme", "dark"), ("prefers-reduced-motion", "reduce")]);
    assert_eq!(browser.execute(color, &[]), "rgb(4, 5, 6)");
    assert_eq!(browser.execute("return matchMedia('(prefers-reduced-motion: reduce)').matches", &[]), true);
    browser.emulate_media(&[]);
    assert_eq!(browser.execute(color, &[]), "rgb(1, 2, 3)");

    let first = browser.current_tab();
    let second = browser.new_tab();
    browser.goto("data:text/html,<title>second</title>");
    assert_eq!(browser.title(), "second");
    browser.close_tab();
    browser.switch_to(&first);
    assert_ne!(first, second);
    assert_eq!(browser.title(), "Client");

    let shot = directory.path().join("shot.png");
    browser.screenshot(&shot);
    assert!(fs::read(shot).expect("a screenshot").starts_with(b"\x89PNG"));
}

#[test]
fn a_profile_outlives_a_kill() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = page(directory.path());
    let options = Options { profile: Some(directory.path().join("profile")), ..Options::default() };
    let browser = Browser::start_with(&options);
    browser.goto(&url);
    let write = "const open = indexedDB.open('d', 1);
        await new Promise((done, failed) => {
            open.onerror = failed;
            open.onupgradeneeded = () => open.result.createObjectStore('s');
            open.onsuccess = () => {
                const transaction = open.result.transaction('s', 'readwrite', {durability: 'strict'});
                transaction.objectStore('s').put('kept', 1);
                transaction.oncomplete = done;
                transaction.onabort = failed;
            };
        })";
    browser.execute_async(write, &[]);
    browser.kill();

    let browser = Browser::start_with(&options);
    browser.goto(&url);
    let read = "const open = indexedDB.open('d', 1);
        return await new Promise((done, failed) => {
            open.onerror = failed;
            open.onupgradeneeded = () => done('the database is gone');
            open.onsuccess = () => {
                const get = open.result.transaction('s').objectStore('s').get(1);
                get.onsuccess = () => done(get.result);
            };
        })";
    assert_eq!(browser.execute_async(read, &[]), "kept");
}
