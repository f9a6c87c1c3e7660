//! The rules about what stands in a file.

use super::source::{Source, has_float_literal, has_word};
use super::{File, Finding};

/// The longest a source file may be, in lines.
const LINES_MAX: usize = 800;

/// Files that may be longer, each with its reason.
const LONGER: [(&str, &str); 0] = [];

const PURE: [&str; 6] = ["time", "ledger", "broker", "journal", "projection", "pipeline"];

/// Words that no pure crate's code has, and why.
const IMPURE_WORDS: [(&str, &str); 17] = [
    ("std", "the pure crates are no_std"),
    ("f32", "no floats"),
    ("f64", "no floats"),
    ("RandomState", "the hash key is an argument"),
    ("DefaultHashBuilder", "the hash key is an argument"),
    ("Instant", "time is an argument"),
    ("SystemTime", "time is an argument"),
    ("thread", "no threads"),
    ("rand", "no randomness"),
    ("getrandom", "no randomness"),
    ("async", "no async"),
    ("await", "no async"),
    ("unsafe", "no unsafe code"),
    ("print", "no output"),
    ("println", "no output"),
    ("eprintln", "no output"),
    ("dbg", "no output"),
];

/// Words that the simulator's code has not, and why.
const UNSEEDED_WORDS: [(&str, &str); 14] = [
    ("f32", "no floats"),
    ("f64", "no floats"),
    ("RandomState", "its order differs from run to run"),
    ("DefaultHashBuilder", "its order differs from run to run"),
    ("HashMap", "its order must not influence a run: BTreeMap, or a Vec by index"),
    ("HashSet", "its order must not influence a run: BTreeSet, or a Vec by index"),
    ("Instant", "time is virtual"),
    ("SystemTime", "time is virtual"),
    ("thread", "no threads"),
    ("rand", "chance comes from the seed"),
    ("getrandom", "chance comes from the seed"),
    ("available_parallelism", "the machine must not influence a run"),
    ("std::env", "the machine must not influence a run"),
    ("std::process", "the machine must not influence a run"),
];

/// What no text file says, and why. In pieces, so this list does not complain about itself.
const UNSAID: [(&str, &str); 6] = [
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("arti", "factory"), "a package registry's host"),
    (concat!("exactly-once ", "delivery"), "delivery is at least once; its effect is once"),
];

/// The one source that Cargo.lock may name.
const REGISTRY: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// Applies every rule that is about one file alone.
pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    check_length(file, findings);
    check_text(file, findings);
    if file.path.ends_with(".rs") {
        let source = Source::read(&file.path, &file.text);
        check_header(file, &source, findings);
        check_code(file, &source, findings);
    }
}

/// A file of tests that no binary names would never run.
pub(super) fn check_modules(files: &[File], findings: &mut Vec<Finding>) {
    for (directory, main) in
        [("tests/", "tests/all.rs"), ("tests/browser/tests/", "tests/browser/tests/main.rs")]
    {
        let Some(main) = files.iter().find(|file| file.path == main) else { continue };
        for file in files {
            let Some(name) = file.path.strip_prefix(directory).and_then(|name| name.strip_suffix(".rs"))
            else {
                continue;
            };
            if !name.contains('/') && file.path != main.path && !main.text.contains(&format!("mod {name};")) {
                let rule = format!("no module of {}, so its tests never run", main.path);
                findings.push(Finding { path: file.path.clone(), line: 1, rule });
            }
        }
    }
}

fn check_length(file: &File, findings: &mut Vec<Finding>) {
    let is_source = [".rs", ".css", ".js", ".py", ".html"].iter().any(|ending| file.path.ends_with(ending));
    let lines = file.text.lines().count();
    if is_source && lines > LINES_MAX && !LONGER.iter().any(|(path, _)| *path == file.path) {
        let rule = format!("{lines} lines, and {LINES_MAX} is the most; split it");
        findings.push(Finding { path: file.path.clone(), line: LINES_MAX + 1, rule });
    }
}

fn check_text(file: &File, findings: &mut Vec<Finding>) {
    for (at, line) in file.text.lines().enumerate() {
        let lower = line.to_ascii_lowercase();
        for (phrase, why) in UNSAID {
            let is_path = phrase.starts_with('/');
            let is_denied = |at: usize| lower[..at].contains("never") || lower[..at].contains("not ");
            let found = if is_path {
                has_path(line, phrase)
            } else {
                lower.find(phrase).is_some_and(|at| !is_denied(at))
            };
            if found {
                add(file, at, format!("{phrase:?}: {why}"), findings);
            }
        }
        if file.path == "Cargo.lock" && line.starts_with("source = ") && line != REGISTRY {
            add(file, at, "a package from elsewhere than crates.io".to_owned(), findings);
        }
    }
}

fn check_header(file: &File, source: &Source, findings: &mut Vec<Finding>) {
    let Some((owner, name)) = file.path.rsplit_once("/src/") else { return };
    if !matches!(name, "lib.rs" | "main.rs") {
        return;
    }
    if !file.text.starts_with("//!") {
        add(file, 0, "a crate starts with a //! header that says what it is".to_owned(), findings);
    }
    let is_pure = owner.strip_prefix("crates/").is_some_and(|name| PURE.contains(&name));
    for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
        if is_pure && !source.code.iter().any(|line| line.trim() == attribute) {
            add(file, 0, format!("a pure crate has {attribute}"), findings);
        }
    }
}

fn check_code(file: &File, source: &Source, findings: &mut Vec<Finding>) {
    let owner =
        file.path.strip_prefix("crates/").and_then(|path| path.split_once("/src/")).map(|(name, _)| name);
    let words: &[(&str, &str)] = match owner {
        Some(name) if PURE.contains(&name) => &IMPURE_WORDS,
        Some("sim") => &UNSEEDED_WORDS,
        _ => &[],
    };
    let polls = file.path.starts_with("tests/browser/"); // a browser can only be asked again
    for (at, line) in source.code.iter().enumerate() {
        if source.is_test(at) {
            if !polls
                && let Some(word) =
                    ["sleep", "Instant", "SystemTime"].iter().find(|word| has_word(line, word))
            {
                add(file, at, format!("{word} in a test: no sleeps, no real clock"), findings);
            }
        } else {
            for (word, why) in words.iter().filter(|(word, _)| has_word(line, word)) {
                add(file, at, format!("{word} in {}: {why}", owner.unwrap_or_default()), findings);
            }
            if !words.is_empty() && has_float_literal(line) {
                add(file, at, format!("a float in {}: no floats", owner.unwrap_or_default()), findings);
            }
        }
        check_everywhere(file, at, line, findings);
    }
}

/// What no Rust code has, tests included.
fn check_everywhere(file: &File, at: usize, line: &str, findings: &mut Vec<Finding>) {
    for (code, rule) in [
        ("#[ignore", "a test that never runs; make it run, or delete it"),
        ("#[allow(", "#[expect(lint, reason = \"..\")] instead of allow"),
        ("#![allow(", "#![expect(lint, reason = \"..\")] instead of allow"),
        ("todo!(", "unfinished"),
        ("unimplemented!(", "unfinished"),
        ("fn get_", "no get_ in names"),
    ] {
        if line.contains(code) {
            add(file, at, format!("{code}: {rule}"), findings);
        }
    }
}

/// Whether a path that starts with `prefix` stands in `line`; the middle of a longer path or URL is none.
fn has_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before
            .is_some_and(|char| char.is_alphanumeric() || matches!(char, '.' | '_' | '-' | '~' | '}' | '*'))
    })
}

fn add(file: &File, at: usize, rule: String, findings: &mut Vec<Finding>) {
    findings.push(Finding { path: file.path.clone(), line: at + 1, rule });
}

#[cfg(test)]
mod tests {
    use super::super::{File, check, complaints};
    use super::*;

    /// Asserts that the one line `code`, as the second line of the file `path`, breaks exactly the rules that start
    /// with `expected`.
    fn breaks(path: &str, code: &str, expected: &[&str]) {
        let complaints = complaints(path, &format!("//! A file.\n{code}\n"));
        let fits = complaints.len() == expected.len()
            && complaints
                .iter()
                .zip(expected)
                .all(|(complaint, rule)| complaint.starts_with(&format!("{path}:2: {rule}")));
        assert!(fits, "{code:?} in {path}: {complaints:?}, expected {expected:?}");
    }

    #[test]
    fn pure_code_has_no_clock_chance_float_thread_or_output() {
        let path = "crates/ledger/src/engine.rs";
        for (word, _) in IMPURE_WORDS {
            breaks(path, &format!("let x = {word};"), &[&format!("{word} in ledger: ")]);
        }
        breaks(path, "let rate = 1.5;", &["a float in ledger"]);
        breaks(path, "println!(\"std f64 1.5\"); // std", &["println in ledger"]);
        breaks(path, "let strand = \"std\"; // f64", &[]);
        breaks(path, "use hashbrown::HashMap;", &[]);
        breaks("crates/server/src/page.rs", "use std::time::Instant;", &[]);
    }

    #[test]
    fn the_simulator_takes_everything_from_its_seed() {
        let path = "crates/sim/src/world.rs";
        for (word, _) in UNSEEDED_WORDS {
            breaks(path, &format!("let x = {word};"), &[&format!("{word} in sim: ")]);
        }
        breaks(path, "let share = 0.1;", &["a float in sim"]);
        breaks(path, "use std::collections::BTreeMap;", &[]);
    }

    #[test]
    fn tests_neither_sleep_nor_read_clocks_and_always_run() {
        for path in ["crates/server/tests/all.rs", "crates/pipeline/src/tests.rs", "tests/acceptance/run.rs"]
        {
            breaks(path, "std::thread::sleep(x);", &["sleep in a test"]);
            breaks(path, "let t = Instant::now();", &["Instant in a test"]);
        }
        breaks("crates/server/src/page.rs", "tokio::time::sleep(x).await;", &[]);
        breaks("tests/browser/tests/page.rs", "std::thread::sleep(x);", &[]);
        breaks("tests/x/a.rs", concat!("#[ign", "ore = \"slow\"]"), &[concat!("#[ign", "ore")]);
        let inside = format!("//! A file.\n#[cfg(test)]\nmod tests {{\n    sleep();\n{}", "}\n");
        assert_eq!(
            complaints("crates/server/src/a.rs", &inside),
            ["crates/server/src/a.rs:4: sleep in a test: no sleeps, no real clock"]
        );
    }

    #[test]
    fn nothing_is_unfinished_allowed_or_got() {
        let path = "web/src/page.rs";
        breaks(path, concat!("#[al", "low(dead_code)]"), &["#[allow("]);
        breaks(path, concat!("#![al", "low(dead_code)]"), &["#![allow("]);
        breaks(path, concat!("tod", "o!()"), &["todo!("]);
        breaks(path, concat!("unimple", "mented!()"), &["unimplemented!("]);
        breaks(path, "pub fn get_name() {}", &["fn get_"]);
        breaks(path, "#[expect(dead_code, reason = \"none\")]", &[]);
    }

    #[test]
    fn crates_have_headers_and_the_pure_ones_their_walls() {
        let wall = |path: &str, text: &str| complaints(path, text).len();
        assert_eq!(wall("crates/time/src/lib.rs", "//! T.\n#![no_std]\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(wall("crates/time/src/lib.rs", "//! T.\n// #![no_std]\n"), 2);
        assert_eq!(wall("crates/time/src/lib.rs", "\n"), 3);
        assert_eq!(wall("crates/server/src/lib.rs", "//! T.\n"), 0);
        assert_eq!(wall("crates/walletlab/src/main.rs", "fn main() {}\n"), 1);
    }

    #[test]
    fn long_files_and_files_of_one_machine_are_found() {
        let long = "//! x\n".repeat(LINES_MAX + 1);
        assert_eq!(
            complaints("crates/server/src/long.rs", &long),
            [format!("crates/server/src/long.rs:801: 801 lines, and {LINES_MAX} is the most; split it")]
        );
        for (phrase, _) in UNSAID {
            breaks("docs/LOG.md", &format!("see `{phrase}x`"), &[&format!("{phrase:?}: ")]);
        }
        breaks("docs/LOG.md", concat!("https://example.org/ho", "me/x and a/ro", "ot/b"), &[]);
        breaks("README.md", concat!("effectively once, never exactly-once ", "delivery"), &[]);
        breaks("Cargo.lock", REGISTRY, &[]);
        breaks("Cargo.lock", "source = \"git+https://example.org/x\"", &["a package from elsewhere"]);
    }

    #[test]
    fn a_test_file_that_nobody_names_is_found() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let files = [
            file("tests/all.rs", "//! x\nmod named;\nmod folder;\n"),
            file("tests/named.rs", "//! x\n"),
            file("tests/folder/deep.rs", "//! x\n"),
            file("tests/forgotten.rs", "//! x\n"),
            file("tests/browser/tests/main.rs", "//! x\n"),
            file("tests/browser/tests/alone.rs", "//! x\n"),
        ];
        let found: Vec<String> = check(&files).into_iter().map(|finding| finding.path).collect();
        assert_eq!(found, ["tests/browser/tests/alone.rs", "tests/forgotten.rs"]);
    }
}
