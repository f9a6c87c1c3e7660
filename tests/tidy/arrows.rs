//! The dependency rule: which of our crates a crate may need, and what the pure crates may need from elsewhere.

use super::{File, Finding};

const CORE: [&str; 6] = ["time", "ledger", "broker", "journal", "projection", "pipeline"];

/// What each crate may need of ours. A new arrow is a change of the architecture: ARCHITECTURE.md has a line for each.
const ARROWS: [(&str, &[&str]); 17] = [
    ("crates/time", &[]),
    ("crates/ledger", &["time"]),
    ("crates/broker", &["time"]), // never ledger: it moves bytes
    ("crates/journal", &["time"]),
    ("crates/projection", &["time", "ledger"]), // never broker
    ("crates/pipeline", &["time", "ledger", "broker", "journal", "projection"]),
    // A crate that needs the pipeline may name the types below that pass through it.
    ("crates/sim", &CORE),
    ("crates/broker-native", &["time", "broker"]),
    ("crates/server", &CORE),
    ("crates/walletlab", &["time", "ledger", "broker", "journal", "projection", "pipeline", "sim", "server"]),
    ("crates/xtask", &[]), // it builds the others, so it compiles without them
    ("crates/load", &[]),  // it knows the product from outside only
    ("crates/wasm-tools", &[]),
    ("web", &["time", "ledger", "broker", "journal", "projection", "pipeline", "sim"]),
    (
        "tests",
        &["time", "ledger", "broker", "journal", "projection", "pipeline", "sim", "server", "walletlab"],
    ),
    ("tests/browser", &[]), // it knows the product from outside only
    ("fuzz", &["server"]),  // a workspace of its own
];

/// Crates from elsewhere that a pure crate may need: `no_std`, no clock, no randomness, no IO.
const PURE_NEEDS: [&str; 11] = [
    "arrayvec",
    "blake3",
    "bytes",
    "crc32c",
    "hashbrown",
    "postcard",
    "serde",
    "serde_json",
    "smol_str",
    "twox-hash",
    "uuid",
];

/// Crates that bring a clock, randomness, threads or IO; `sim` has none of them.
const IMPURE: [&str; 12] = [
    "chrono",
    "crossbeam",
    "fastrand",
    "getrandom",
    "instant",
    "log",
    "rand",
    "rayon",
    "tokio",
    "tracing",
    "web-sys",
    "web-time",
];

/// Looks at a manifest; other files are not its business.
pub(super) fn check(file: &File, findings: &mut Vec<Finding>) {
    let Some(directory) = file.path.strip_suffix("/Cargo.toml") else { return };
    let Some((_, allowed)) = ARROWS.iter().find(|(path, _)| *path == directory) else {
        let rule = "a crate that the layout does not name; give it a line in ARCHITECTURE.md and in tests/tidy/arrows.rs";
        findings.push(Finding { path: file.path.clone(), line: 1, rule: rule.to_owned() });
        return;
    };
    let name = directory.rsplit('/').next().unwrap_or(directory);
    for needed in dependencies(&file.text) {
        let rule = if let Some(ours) = ours(needed.name) {
            (!allowed.contains(&ours))
                .then(|| format!("{name} must not need {ours}: the layout has no such arrow"))
        } else if needed.is_for_tests {
            None
        } else if CORE.contains(&name) && !PURE_NEEDS.contains(&needed.name) {
            Some(format!("{name} is pure, and {} is not among what pure crates may need", needed.name))
        } else if name == "sim" && IMPURE.contains(&needed.name) {
            Some(format!("sim takes its time and chance from its seed, and {} has its own", needed.name))
        } else {
            None
        };
        findings.extend(rule.map(|rule| Finding { path: file.path.clone(), line: needed.line, rule }));
    }
}

struct Needed<'a> {
    name: &'a str,
    line: usize,
    is_for_tests: bool,
}

/// The name if it is one of our crates.
fn ours(name: &str) -> Option<&'static str> {
    ARROWS.iter().filter_map(|(path, _)| path.rsplit('/').next()).find(|ours| *ours == name)
}

/// The dependencies of a manifest, from `name = ..`, `name.workspace = true` and `[dependencies.name]`.
fn dependencies(manifest: &str) -> Vec<Needed<'_>> {
    let mut found = Vec::new();
    let mut section = "";
    for (at, line) in manifest.lines().enumerate() {
        let line = line.split('#').next().unwrap_or(line).trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            let named =
                section.rsplit_once("dependencies.").map(|(before, name)| (before, name.trim_matches('"')));
            if let Some((before, name)) = named {
                found.push(Needed { name, line: at + 1, is_for_tests: before.ends_with("dev-") });
            }
        } else if section.ends_with("dependencies")
            && let Some((key, _)) = line.split_once('=')
        {
            let name = key.split('.').next().unwrap_or(key).trim().trim_matches('"');
            found.push(Needed { name, line: at + 1, is_for_tests: section.ends_with("dev-dependencies") });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::complaints;

    #[test]
    fn an_arrow_that_the_layout_lacks_is_found_however_it_is_written() {
        let manifest = "[package]\nname = \"broker\"\n\n[dependencies]\ntime.workspace = true\nledger.workspace = true\n\
            sim = { path = \"../sim\" }\n[dev-dependencies]\npipeline.workspace = true\nproptest.workspace = true\n\
            [dependencies.journal]\nworkspace = true\n[target.'cfg(unix)'.dependencies]\nserver.workspace = true\n";
        let expected = [(6, "ledger"), (7, "sim"), (9, "pipeline"), (11, "journal"), (14, "server")].map(|(line, name)| {
            format!("crates/broker/Cargo.toml:{line}: broker must not need {name}: the layout has no such arrow")
        });
        assert_eq!(complaints("crates/broker/Cargo.toml", manifest), expected);
    }

    #[test]
    fn what_is_impure_stays_outside() {
        let manifest = "[dependencies]\nblake3 = \"1\"\nrand = \"0.9\"\n[dev-dependencies]\nrand = \"0.9\"\n";
        assert_eq!(
            complaints("crates/ledger/Cargo.toml", manifest),
            ["crates/ledger/Cargo.toml:3: ledger is pure, and rand is not among what pure crates may need"]
        );
        assert_eq!(
            complaints("crates/sim/Cargo.toml", manifest),
            ["crates/sim/Cargo.toml:3: sim takes its time and chance from its seed, and rand has its own"]
        );
        assert!(complaints("crates/server/Cargo.toml", manifest).is_empty());
    }

    #[test]
    fn a_crate_without_a_line_in_the_layout_is_found() {
        let complaints = complaints("crates/cqrs/Cargo.toml", "[dependencies]\n");
        assert!(
            complaints.len() == 1 && complaints[0].starts_with("crates/cqrs/Cargo.toml:1: "),
            "{complaints:?}"
        );
    }
}
