//! Measures the real page in headless Chromium: sizes, start, events a second with persistence, gaps between frames.
//!
//! `cargo run --release -p browser-tests --example bench` after `cargo xtask build`; prints JSON. The figures are this
//! machine's, with software painting; docs/PERFORMANCE.md says how to read them.

use std::fs;
use std::time::Duration;

use browser_tests::{Browser, Site, page_directory};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const SECONDS: u64 = 10;

/// Gathers the gaps between animation frames and the tasks over 50 ms, for so many milliseconds.
const WATCH: &str = "
    const gaps = [], tasks = [];
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(entry => entry.duration)))
        .observe({entryTypes: ['longtask']});
    const end = performance.now() + arguments[0];
    let last = performance.now();
    const sequence = () => Number(document.querySelector('[data-testid=sequence]').textContent.replace(/[^0-9]/g, ''));
    const from = sequence();
    await new Promise(done => {
        const frame = now => {
            gaps.push(now - last);
            last = now;
            if (now < end) requestAnimationFrame(frame); else done();
        };
        requestAnimationFrame(frame);
    });
    gaps.shift();
    gaps.sort((a, b) => a - b);
    return {
        frames: gaps.length,
        gap_p50_ms: gaps[Math.floor(gaps.length * 0.5)],
        gap_p99_ms: gaps[Math.floor(gaps.length * 0.99)],
        gap_max_ms: gaps[gaps.length - 1],
        tasks_over_50_ms: tasks.length,
        longest_task_ms: Math.max(0, ...tasks),
        records: sequence() - from,
        events_per_second_shown: document.querySelector('[data-testid=events-per-second]').textContent,
    };";

fn main() {
    let site = Site::start();
    let mut report = json!({ "sizes": sizes(), "seconds": SECONDS });
    for (name, commands_per_second, clients) in
        [("default", None, None), ("full_speed", Some("400000"), Some("10000"))]
    {
        let browser = Browser::start();
        browser.goto(site.url());
        browser.wait_until("the run can go on", PATIENCE, |browser| {
            browser.test_id("run").exists() && browser.test_id("run").is_enabled()
        });
        let started = browser.execute(
            "return {first_paint_ms: performance.getEntriesByName('first-contentful-paint')[0]?.startTime}",
            &[],
        );
        if let (Some(rate), Some(clients)) = (commands_per_second, clients) {
            browser.test_id("reset").click();
            browser.test_id("reset-confirm").wait_visible(PATIENCE);
            browser.css("#option-2").fill(clients);
            browser.css("#option-4").fill(rate);
            browser.test_id("reset-confirm").click();
            browser.test_id("speed").select("max");
        }
        browser.test_id("run").click();
        browser.wait_until("the accounts are open", PATIENCE, |browser| {
            let digits: String =
                browser.test_id("sequence").text().chars().filter(char::is_ascii_digit).collect();
            digits.parse::<u64>().unwrap_or(0) > 2_000
        });
        let watched = browser.execute_async(WATCH, &[(SECONDS * 1_000).into()]);
        report[name] = json!({
            "commands_per_second": commands_per_second.unwrap_or("5000"),
            "clients": clients.unwrap_or("1000"),
            "start": started,
            "watched": watched,
            "status": browser.test_id("status").text(),
        });
    }
    println!("{report:#}");
}

fn sizes() -> Value {
    let mut files = serde_json::Map::new();
    let mut total = (0, 0);
    for entry in fs::read_dir(page_directory()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".br") || name == "build-stamp.txt" {
            continue;
        }
        let raw = entry.metadata().map_or(0, |metadata| metadata.len());
        let compressed =
            fs::metadata(page_directory().join(format!("{name}.br"))).map_or(raw, |file| file.len());
        total = (total.0 + raw, total.1 + compressed);
        files.insert(name, json!({ "bytes": raw, "brotli_bytes": compressed }));
    }
    json!({ "files": files, "bytes": total.0, "brotli_bytes": total.1 })
}
