//! Packs the built page into the program: the directory that `WALLETLAB_EMBED_PAGE` names becomes a table of files.
//!
//! Without the variable the table is empty, so that plain cargo commands need no page. `cargo xtask` sets it.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The variable that names the directory of the built page.
const VARIABLE: &str = "WALLETLAB_EMBED_PAGE";
/// A file that says what the page was built from, and is no part of it.
const STAMP: &str = "build-stamp.txt";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let mut files = Vec::new();
    if let Some(page) = env::var_os(VARIABLE).filter(|page| !page.is_empty()) {
        let page = absolute(Path::new(&page));
        println!("cargo::rerun-if-changed={}", page.display());
        collect(&page, &page, &mut files);
        if !files.iter().any(|file| file.path == "index.html") {
            fail(&format!("{VARIABLE}: {}: no index.html there, so this is no built page", page.display()));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    let table = table(&files);
    let out = env::var_os("OUT_DIR").map(PathBuf::from).expect("cargo sets it");
    fs::write(out.join("page.rs"), table).expect("the output directory can be written to");
}

struct File {
    /// From the page's directory, with `/` between its parts.
    path: String,
    on_disk: PathBuf,
}

/// Every file below `directory` but the compressed neighbours of others.
fn collect(root: &Path, directory: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(directory);
    let entries = entries.unwrap_or_else(|error| fail(&format!("{}: {error}", directory.display())));
    for entry in entries {
        let on_disk = entry.expect("a directory entry").path();
        if on_disk.is_dir() {
            collect(root, &on_disk, files);
            continue;
        }
        let Some(path) = on_disk.strip_prefix(root).ok().and_then(Path::to_str) else {
            fail(&format!("{}: the name is not UTF-8", on_disk.display()));
        };
        let path = path.replace('\\', "/");
        let is_neighbour = path.strip_suffix(".br").is_some_and(|of| root.join(of).is_file());
        if !is_neighbour && path != STAMP {
            files.push(File { path, on_disk });
        }
    }
}

/// Rust's text of the table. Both forms of a file are kept: together they are some 3 MB of a program of 13.
fn table(files: &[File]) -> String {
    let mut table = String::from("/// The page's files, sorted by path; empty without a page.\n");
    table.push_str("pub(crate) static FILES: &[EmbeddedFile] = &[\n");
    for File { path, on_disk } in files {
        let neighbour = PathBuf::from(format!("{}.br", on_disk.display()));
        let brotli = if neighbour.is_file() {
            format!("Some(include_bytes!({neighbour:?}))")
        } else {
            String::from("None")
        };
        writeln!(
            table,
            "    EmbeddedFile {{ path: {path:?}, bytes: include_bytes!({on_disk:?}), brotli: {brotli} }},"
        )
        .expect("a text takes everything");
    }
    table.push_str("];\n");
    table
}

/// A relative path means the directory that cargo was called in, which a build script does not know; the workspace's
/// root is the nearest thing.
fn absolute(page: &Path) -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).expect("cargo sets it");
    let root = package.join("../..").join(page);
    root.canonicalize().unwrap_or_else(|error| fail(&format!("{VARIABLE}: {}: {error}", root.display())))
}

fn fail(what: &str) -> ! {
    eprintln!("{what}");
    std::process::exit(1)
}
