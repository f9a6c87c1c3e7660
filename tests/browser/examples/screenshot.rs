//! Screenshots of a page for people to look at: three widths, light and dark.
//!
//! `cargo run -p browser-tests --example screenshot -- URL OUT_DIR [SCRIPT]` writes `1440x900-light.png`,
//! `1440x900-light-full.png` (with what needs scrolling), and so on. SCRIPT is JavaScript that is awaited after each
//! load, as in `document.querySelector('[data-testid=run]').click(); await new Promise(r => setTimeout(r, 2000))`.

use std::path::PathBuf;
use std::process::ExitCode;

use browser_tests::Browser;

const SIZES: [(u32, u32); 3] = [(1440, 900), (768, 1024), (360, 740)];

/// Lets fonts load and the first frames be drawn.
const SETTLE: &str = "await document.fonts.ready; await new Promise(done => setTimeout(done, 1000))";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, directory, script @ ..] = arguments.as_slice() else {
        eprintln!("usage: screenshot URL OUT_DIR [SCRIPT]");
        return ExitCode::from(2);
    };
    let directory = PathBuf::from(directory);
    let browser = Browser::start();
    for scheme in ["light", "dark"] {
        browser.emulate_media(&[("prefers-color-scheme", scheme)]);
        for (width, height) in SIZES {
            browser.resize(width, height);
            browser.goto(url);
            browser.execute_async(SETTLE, &[]);
            if let Some(script) = script.first() {
                browser.execute_async(script, &[]);
            }
            let name = format!("{width}x{height}-{scheme}");
            browser.screenshot(&directory.join(format!("{name}.png")));
            browser.screenshot_full(&directory.join(format!("{name}-full.png")));
            let overflow = browser.execute(
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
                &[],
            );
            println!("{name}: {overflow} px wider than the window");
        }
    }
    for entry in browser.console_problems() {
        println!("console: {} {}", entry.level, entry.message);
    }
    println!("written to {}", directory.display());
    ExitCode::SUCCESS
}
