//! Holds the rules of the house that no compiler holds: which crate may need which, what the pure crates must not
//! touch, and what no file may say. Each violation is one line, `file:line: rule`.
//!
//! - [`arrows`]: the dependency rule.
//! - [`rules`]: the rules about what stands in a file.
//! - [`source`]: Rust without its comments and texts, and with its tests told apart.

mod arrows;
mod rules;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;

use walletlab_tests::repository_root;

/// Directories that hold no source: what is built, what git keeps, what a tool fetched.
const SKIPPED: [&str; 6] = [".git", "target", "dist", "node_modules", "__pycache__", "proptest-regressions"];

/// Kinds of files whose text the rules are about.
const TEXT: [&str; 14] =
    ["rs", "toml", "md", "html", "css", "js", "json", "jsonl", "lock", "yml", "yaml", "sh", "py", "txt"];

/// A violated rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// A file by its path from the root, with `/` between its parts.
struct File {
    path: String,
    text: String,
}

#[test]
fn the_repository_is_tidy() {
    let files = files(&repository_root());
    assert!(files.len() > 40, "only {} files found: the walk is broken", files.len());
    for must in ["Cargo.toml", "Cargo.lock", "crates/ledger/src/lib.rs", "tests/tidy/mod.rs", ".ci/run"] {
        assert!(files.iter().any(|file| file.path == must), "{must} was not looked at");
    }
    let findings = check(&files);
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

/// Everything that is wrong, in the order of paths and lines.
fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        arrows::check(file, &mut findings);
        rules::check(file, &mut findings);
    }
    rules::check_modules(files, &mut findings);
    findings.sort();
    findings
}

/// The text files below `root`.
fn files(root: &Path) -> Vec<File> {
    let mut files = Vec::new();
    collect(root, root, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    for entry in entries {
        let entry = entry.expect("a directory entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let (path, kind) = (entry.path(), entry.file_type().expect("a file type"));
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) && !name.ends_with(".tmp") {
                collect(root, &path, files);
            }
            continue;
        }
        let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if !kind.is_file() || !(TEXT.contains(&ending) || relative == ".ci/run") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"));
        files.push(File { path: relative, text });
    }
}

/// What [`check`] says about one file, as lines.
#[cfg(test)]
fn complaints(path: &str, text: &str) -> Vec<String> {
    let file = File { path: path.to_owned(), text: text.to_owned() };
    check(&[file]).iter().map(Finding::to_string).collect()
}
