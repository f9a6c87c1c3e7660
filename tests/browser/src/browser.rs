//! One headless Chromium with its own profile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::locator::Locator;
use crate::site::target_directory;
use crate::webdriver::{Session, WebDriverError};

/// How often [`Browser::wait_until`] asks again.
const POLL_MILLIS: u64 = 25;

/// What a browser starts with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Width and height of the page in CSS pixels.
    pub size: (u32, u32),
    /// Where the profile lives; `None`: a new one that ends with the browser.
    pub profile: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: (1440, 900), profile: None }
    }
}

/// A browser with one session. Dropping it ends Chromium and its driver; in a test that fails it first leaves a
/// screenshot and the console's lines behind and says where.
#[derive(Debug)]
pub struct Browser {
    session: Session,
    downloads: tempfile::TempDir,
}

/// One line of the page's console, or a failure that the browser logged itself (a file not found, a blocked script).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleEntry {
    /// `SEVERE`, `WARNING`, `INFO` or `DEBUG`.
    pub level: String,
    /// Where from and what, as Chromium words it.
    pub message: String,
}

/// Names one tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowHandle(String);

impl Browser {
    /// A browser of 1440 x 900 with a new profile.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&Options::default())
    }

    /// A browser as `options` say.
    #[track_caller]
    #[must_use]
    pub fn start_with(options: &Options) -> Self {
        let mut arguments = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(), // Chromium refuses to run as root with it, and CI runs as root
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--force-device-scale-factor=1".to_owned(),
        ];
        if let Some(profile) = &options.profile {
            arguments.push(format!("--user-data-dir={}", profile.display()));
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"script": 300_000, "pageLoad": 60_000, "implicit": 0},
        });
        let session = Session::start(&capabilities).unwrap_or_else(|error| panic!("no browser: {error}"));
        let downloads =
            tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for downloads: {error}"));
        let browser = Self { session, downloads };
        browser.resize(options.size.0, options.size.1);
        let folder = browser.downloads.path().display().to_string();
        browser.cdp("Browser.setDownloadBehavior", &json!({"behavior": "allow", "downloadPath": folder}));
        browser
    }

    /// Opens a URL and waits for its `load` event.
    #[track_caller]
    pub fn goto(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// Loads the page again.
    #[track_caller]
    pub fn reload(&self) {
        self.command("POST", "/refresh", &json!({}));
    }

    /// The document's title.
    #[track_caller]
    #[must_use]
    pub fn title(&self) -> String {
        string(self.command("GET", "/title", &Value::Null))
    }

    /// The elements with this `data-testid`.
    #[must_use]
    pub fn test_id(&self, id: &str) -> Locator<'_> {
        self.css(&format!("[data-testid=\"{id}\"]"))
    }

    /// The elements that a CSS selector matches.
    #[must_use]
    pub fn css(&self, selector: &str) -> Locator<'_> {
        Locator::new(self, selector)
    }

    /// Runs `script` as a function's body in the page; `arguments[i]` are `arguments`; answers what it returns.
    #[track_caller]
    pub fn execute(&self, script: &str, arguments: &[Value]) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// As [`Browser::execute`], for a script that `await`s: its body may use `await` and `return`.
    #[track_caller]
    pub fn execute_async(&self, script: &str, arguments: &[Value]) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; const given = Array.from(arguments).slice(0, -1);\
             (async function () {{ {script} }}).apply(null, given)\
             .then(result => done({{result}}), error => done({{error: String(error && error.stack || error)}}));"
        );
        let mut answer =
            self.command("POST", "/execute/async", &json!({"script": script, "args": arguments}));
        assert!(answer["error"].is_null(), "the script failed: {}", answer["error"]);
        answer["result"].take()
    }

    /// Asks `condition` again and again until it holds.
    ///
    /// # Panics
    /// After `timeout`, naming `what` was waited for.
    #[track_caller]
    pub fn wait_until(&self, what: &str, timeout: Duration, mut condition: impl FnMut(&Self) -> bool) {
        let started = Instant::now();
        while !condition(self) {
            assert!(started.elapsed() < timeout, "waited {timeout:?} in vain until {what}");
            std::thread::sleep(Duration::from_millis(POLL_MILLIS));
        }
    }

    /// The console's lines since the last call, oldest first.
    #[track_caller]
    #[must_use]
    pub fn console(&self) -> Vec<ConsoleEntry> {
        let log = self.command("POST", "/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        entries
            .iter()
            .map(|entry| ConsoleEntry { level: text(&entry["level"]), message: text(&entry["message"]) })
            .collect()
    }

    /// The console's errors and warnings since the last call of this or of [`Browser::console`].
    #[track_caller]
    #[must_use]
    pub fn console_problems(&self) -> Vec<ConsoleEntry> {
        let mut entries = self.console();
        entries.retain(|entry| matches!(entry.level.as_str(), "SEVERE" | "WARNING"));
        entries
    }

    /// One command of the Chrome DevTools Protocol for the current tab.
    #[track_caller]
    pub fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Gives the current tab this many CSS pixels.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Makes media features hold in the current tab, as in `&[("prefers-color-scheme", "dark")]`; each call replaces
    /// the features of the one before.
    #[track_caller]
    pub fn emulate_media(&self, features: &[(&str, &str)]) {
        let features: Vec<Value> =
            features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Opens a new tab and makes it the current one. It has the size and media of a new browser, not those set before.
    #[track_caller]
    pub fn new_tab(&self) -> WindowHandle {
        let window = self.command("POST", "/window/new", &json!({"type": "tab"}));
        let handle = WindowHandle(string(window["handle"].clone()));
        self.switch_to(&handle);
        handle
    }

    /// The current tab.
    #[track_caller]
    #[must_use]
    pub fn current_tab(&self) -> WindowHandle {
        WindowHandle(string(self.command("GET", "/window", &Value::Null)))
    }

    /// Makes another tab the current one.
    #[track_caller]
    pub fn switch_to(&self, tab: &WindowHandle) {
        self.command("POST", "/window", &json!({"handle": tab.0}));
    }

    /// Closes the current tab. Another one must be chosen then with [`Browser::switch_to`].
    #[track_caller]
    pub fn close_tab(&self) {
        self.command("DELETE", "/window", &Value::Null);
    }

    /// Saves what the current tab shows, as PNG.
    #[track_caller]
    pub fn screenshot(&self, path: &Path) {
        let base64 = string(self.command("GET", "/screenshot", &Value::Null));
        write_base64(path, &base64);
    }

    /// Saves the whole page of the current tab, also what would need scrolling, as PNG.
    #[track_caller]
    pub fn screenshot_full(&self, path: &Path) {
        let mut shot =
            self.cdp("Page.captureScreenshot", &json!({"format": "png", "captureBeyondViewport": true}));
        write_base64(path, &string(shot["data"].take()));
    }

    /// Where files go that the page lets its user download; they end with the browser.
    #[must_use]
    pub fn downloads(&self) -> &Path {
        self.downloads.path()
    }

    /// Waits for a download to be complete and answers its path. `name` is the whole file name.
    ///
    /// # Panics
    /// After `timeout`, naming what is there instead.
    #[track_caller]
    #[must_use]
    pub fn wait_for_download(&self, name: &str, timeout: Duration) -> PathBuf {
        let path = self.downloads.path().join(name);
        // Chromium writes to another name and renames at the end.
        self.wait_until(&format!("{name} is downloaded"), timeout, |_| path.is_file());
        path
    }

    /// Kills Chromium as a crash or a power button would: nothing is flushed, no page hears of it.
    /// The browser answers nothing any more; start another one with the same [`Options::profile`].
    ///
    /// # Panics
    /// When its process is not found.
    #[track_caller]
    pub fn kill(self) {
        let process = self.session.browser_process();
        let pid = process.unwrap_or_else(|| panic!("chromedriver does not name Chromium's process"));
        let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "cannot kill Chromium, process {pid}");
    }

    /// One WebDriver command, as in `command("POST", "/url", &json!({..}))`, for what has no method here.
    ///
    /// # Panics
    /// When the driver refuses it.
    #[track_caller]
    pub fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_command(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path} {}: {error}", shortened(&body.to_string())))
    }

    /// As [`Browser::command`], with the refusal as a value.
    ///
    /// # Errors
    /// What the driver refused, or that it did not answer.
    pub fn try_command(&self, method: &str, path: &str, body: &Value) -> Result<Value, WebDriverError> {
        self.session.command(method, path, body)
    }

    /// Leaves behind what helps to understand a failure.
    fn leave_traces(&self) -> Result<(), WebDriverError> {
        let directory = target_directory().join("browser-failures");
        fs::create_dir_all(&directory)?;
        let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
        let screenshot = self.session.command("GET", "/screenshot", &Value::Null)?;
        let path = directory.join(format!("{name}.png"));
        fs::write(&path, base64_decoded(screenshot.as_str().unwrap_or_default()))?;
        eprintln!("what the page showed: {}", path.display());
        let log = self.session.command("POST", "/se/log", &json!({"type": "browser"}))?;
        for entry in log.as_array().into_iter().flatten() {
            eprintln!("console: {} {}", entry["level"], entry["message"]);
        }
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Err(error) = self.leave_traces()
        {
            eprintln!("no screenshot of the failure: {error}");
        }
    }
}

/// A JSON string's text; anything else as JSON.
pub(crate) fn string(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= 300 { text.to_owned() } else { text.chars().take(300).collect::<String>() + ".." }
}

#[track_caller]
fn write_base64(path: &Path, base64: &str) {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    }
    fs::write(path, base64_decoded(base64)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Standard base64; what is no digit of it (padding, line ends) is skipped.
fn base64_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut bits_count) = (0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(digit);
        bits_count += 6;
        if bits_count >= 8 {
            bits_count -= 8;
            bytes.push((bits >> bits_count).to_le_bytes()[0]);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (text, bytes) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9v\nYmE=", "fooba"),
            ("/+//", "\u{0}"),
        ] {
            let decoded = base64_decoded(text);
            if text == "/+//" {
                assert_eq!(decoded, [0xff, 0xef, 0xff]);
            } else {
                assert_eq!(decoded, bytes.as_bytes(), "{text}");
            }
        }
    }
}
