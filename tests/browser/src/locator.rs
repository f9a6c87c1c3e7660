//! Elements of a page, named by a selector and looked up anew at each use, so a page that renders again in between
//! never leaves a stale element behind.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Browser, string};
use crate::webdriver::WebDriverError;

/// The key under which WebDriver wraps an element's id.
const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How often a click or key press is tried again when the page replaces the element in between.
const STALE_RETRIES_MAX: u32 = 5;

/// The elements that a selector matches; actions and questions are about the first of them.
#[derive(Clone, Debug)]
pub struct Locator<'a> {
    browser: &'a Browser,
    selector: String,
}

impl<'a> Locator<'a> {
    pub(crate) fn new(browser: &'a Browser, selector: &str) -> Self {
        Self { browser, selector: selector.to_owned() }
    }

    /// The elements inside of these that `selector` matches.
    #[must_use]
    pub fn css(&self, selector: &str) -> Self {
        Self::new(self.browser, &format!("{} {selector}", self.selector))
    }

    /// How many there are now.
    #[track_caller]
    #[must_use]
    pub fn count(&self) -> usize {
        let count = self.script("return elements.length", &[]);
        usize::try_from(count.as_u64().unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Whether there is one now.
    #[track_caller]
    #[must_use]
    pub fn exists(&self) -> bool {
        self.count() > 0
    }

    /// Whether the first one is there and takes up space.
    #[track_caller]
    #[must_use]
    pub fn is_visible(&self) -> bool {
        self.script("return elements.length > 0 && elements[0].checkVisibility() && elements[0].getClientRects().length > 0", &[])
            == json!(true)
    }

    /// Whether the first one can be used: there, and not `disabled`.
    #[track_caller]
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.script("return elements.length > 0 && !elements[0].matches(':disabled')", &[]) == json!(true)
    }

    /// The first one's text content without white space around it.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> String {
        string(self.first("return element.textContent.trim()", &[]))
    }

    /// The text content of each, in document order.
    #[track_caller]
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let texts = self.script("return elements.map(element => element.textContent.trim())", &[]);
        texts.as_array().cloned().unwrap_or_default().into_iter().map(string).collect()
    }

    /// An attribute of the first one; `None` when it has none of that name.
    ///
    /// # Panics
    /// When there is no element.
    #[track_caller]
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        match self.first("return element.getAttribute(extra[0])", &[json!(name)]) {
            Value::Null => None,
            value => Some(string(value)),
        }
    }

    /// What is in a form field.
    ///
    /// # Panics
    /// When there is no element.
    #[track_caller]
    #[must_use]
    pub fn value(&self) -> String {
        string(self.first("return element.value", &[]))
    }

    /// Waits until the first one is there and visible.
    #[track_caller]
    pub fn wait_visible(&self, timeout: Duration) -> &Self {
        self.browser.wait_until(&format!("{} is visible", self.selector), timeout, |_| self.is_visible());
        self
    }

    /// Waits until the first one is there and its text satisfies `condition`; answers the text.
    #[track_caller]
    pub fn wait_text(&self, timeout: Duration, condition: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let waited = format!("the text of {} is as wanted", self.selector);
        self.browser.wait_until(&waited, timeout, |_| {
            last = self.texts().into_iter().next().unwrap_or_default();
            condition(&last)
        });
        last
    }

    /// Clicks the middle of the first one as a mouse would, scrolling to it before.
    #[track_caller]
    pub fn click(&self) {
        self.act("click", &json!({}));
    }

    /// Replaces what is in a text field, key by key.
    #[track_caller]
    pub fn fill(&self, text: &str) {
        // Ctrl+A first instead of WebDriver's clear: that one sets the value behind the page's back.
        self.act("value", &json!({"text": "\u{E009}a\u{E000}"}));
        self.act("value", &json!({"text": if text.is_empty() { "\u{E017}" } else { text }}));
    }

    /// Presses keys while the first one has the focus; WebDriver's own codes for special keys (`"\u{E007}"` = Enter,
    /// `"\u{E004}"` = Tab, `"\u{E00C}"` = Escape, `"\u{E015}"` = arrow down).
    #[track_caller]
    pub fn press(&self, keys: &str) {
        self.act("value", &json!({"text": keys}));
    }

    /// Gives an `<input type=file>` these files.
    #[track_caller]
    pub fn upload(&self, files: &[&Path]) {
        let paths: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
        self.act("value", &json!({"text": paths.join("\n")}));
    }

    /// Chooses the `<option>` of a `<select>` with this `value`, and lets the page hear of it.
    ///
    /// # Panics
    /// When there is no such option.
    #[track_caller]
    pub fn select(&self, value: &str) {
        let chosen = self.first(
            "const option = Array.from(element.options).find(option => option.value === extra[0]);\
             if (!option) return Array.from(element.options).map(option => option.value);\
             element.value = extra[0];\
             element.dispatchEvent(new Event('input', {bubbles: true}));\
             element.dispatchEvent(new Event('change', {bubbles: true}));\
             return true",
            &[json!(value)],
        );
        assert!(chosen == json!(true), "{} has no option {value:?}; it has {chosen}", self.selector);
    }

    /// Sets a field such as `<input type=range>` that keys cannot fill, and lets the page hear of it.
    #[track_caller]
    pub fn set_value(&self, value: &str) {
        self.first(
            "element.value = extra[0];\
             element.dispatchEvent(new Event('input', {bubbles: true}));\
             element.dispatchEvent(new Event('change', {bubbles: true}))",
            &[json!(value)],
        );
    }

    /// Runs `body` with `elements` = all of them and `extra` = the arguments.
    #[track_caller]
    fn script(&self, body: &str, extra: &[Value]) -> Value {
        let script = format!(
            "const elements = Array.from(document.querySelectorAll(arguments[0])), extra = arguments[1]; {body}"
        );
        self.browser.execute(&script, &[json!(self.selector), json!(extra)])
    }

    /// As [`Locator::script`], with `element` = the first.
    #[track_caller]
    fn first(&self, body: &str, extra: &[Value]) -> Value {
        let script = format!("const element = elements[0]; if (!element) return {{missing: true}}; {body}");
        let result = self.script(&script, extra);
        assert!(result["missing"] != json!(true), "no element {}", self.selector);
        result
    }

    /// One WebDriver command on the first element, which is found anew when it was replaced in between.
    #[track_caller]
    fn act(&self, action: &str, body: &Value) {
        let mut result = self.try_act(action, body);
        for _ in 0..STALE_RETRIES_MAX {
            if !result.as_ref().is_err_and(|error| error.code == "stale element reference") {
                break;
            }
            result = self.try_act(action, body);
        }
        if let Err(error) = result {
            panic!("{action} on {}: {error}", self.selector);
        }
    }

    fn try_act(&self, action: &str, body: &Value) -> Result<(), WebDriverError> {
        let by = json!({"using": "css selector", "value": self.selector});
        let found = self.browser.try_command("POST", "/element", &by)?;
        let id = found[ELEMENT_KEY].as_str().unwrap_or_default();
        // At once and to the middle: the driver's own way may still scroll smoothly while it clicks, and stops at the
        // window's edge, where a header that stays lies above the element.
        let script = "arguments[0].scrollIntoView({behavior: 'instant', block: 'center', inline: 'nearest'})";
        self.browser.try_command("POST", "/execute/sync", &json!({"script": script, "args": [found]}))?;
        self.browser.try_command("POST", &format!("/element/{id}/{action}"), body).map(|_| ())
    }
}
