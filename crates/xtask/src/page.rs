//! From the crate `web` and index.html to a directory that any static server can serve.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use wasm_bindgen_cli_support::Bindgen;

use crate::html::{self, Link};
use crate::plan::Plan;
use crate::workspace::{Workspace, cargo, check};

/// Names what the directory was built from; a directory without it was not built here and is never replaced.
const STAMP: &str = "build-stamp.txt";

/// The variable by which the build of `walletlab` learns where the page is that becomes a part of it.
const EMBED_PAGE: &str = "WALLETLAB_EMBED_PAGE";

/// The directory for the built page as an absolute path.
///
/// # Errors
/// When something else than a built page lies there: building would delete it.
pub(crate) fn checked_dist(workspace: &Workspace, dist: &Path) -> anyhow::Result<PathBuf> {
    let dist = workspace.root().join(dist);
    let is_empty = !dist.exists() || fs::read_dir(&dist).is_ok_and(|mut files| files.next().is_none());
    if !is_empty && !dist.join(STAMP).is_file() {
        bail!(
            "{}: not empty, and not a page built before; choose another --dist, or remove it",
            dist.display()
        );
    }
    Ok(dist)
}

/// Adds the steps that build the page, and the binary with the page in it.
pub(crate) fn plan(plan: &mut Plan, workspace: &Workspace, dist: &Path) {
    plan.step("compiling the page to WebAssembly, optimised (a minute or two the first time)", compile);
    let (here, there) = (workspace.clone(), dist.to_owned());
    plan.step(format!("putting the page together in {}", shown(workspace, dist)), move || {
        assemble(&here, &there)
    });
    let page = dist.to_owned();
    plan.step("building the binary walletlab, optimised, with the page in it", move || {
        let mut command = cargo();
        command.env(EMBED_PAGE, page).args(["build", "--release", "--package", "walletlab"]);
        check(&mut command)
    });
}

fn compile() -> anyhow::Result<()> {
    check(cargo().args([
        "build",
        "--package=web",
        "--bin=app",
        "--bin=worker",
        "--target=wasm32-unknown-unknown",
        "--profile=wasm-release",
    ]))
}

/// Makes the directory anew beside the old one and then replaces it, so a server never shows half a page.
fn assemble(workspace: &Workspace, dist: &Path) -> anyhow::Result<()> {
    let template = read(&workspace.root().join("index.html"))?;
    let template = String::from_utf8(template).context("index.html is not UTF-8")?;
    let stamp = stamp(workspace, &template)?;
    if fs::read_to_string(dist.join(STAMP)).is_ok_and(|old| old.lines().next() == Some(stamp.as_str())) {
        println!("nothing changed");
        return print_sizes(&fs::read_to_string(dist.join(STAMP))?);
    }
    let mut site = Site { workspace, files: Vec::new() };
    let html = html::rewrite(&template, |link| site.add(link))?;
    site.files.push(File { path: "index.html".into(), bytes: html.into_bytes() });
    let new = dist.with_extension("tmp");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    let mut report = format!("{stamp}\n");
    for file in &site.files {
        let compressed = brotli(&file.bytes)?;
        write(&new.join(&file.path), &file.bytes)?;
        let sent = compressed.len().min(file.bytes.len());
        if sent < file.bytes.len() {
            write(&new.join(format!("{}.br", file.path)), &compressed)?;
        }
        report.push_str(&format!("{} {} {sent}\n", file.path, file.bytes.len()));
    }
    write(&new.join(STAMP), report.as_bytes())?;
    if dist.exists() {
        fs::remove_dir_all(dist)?;
    }
    fs::rename(&new, dist).with_context(|| format!("{} to {}", new.display(), dist.display()))?;
    print_sizes(&report)
}

/// The built files in the order of their making.
struct Site<'a> {
    workspace: &'a Workspace,
    files: Vec<File>,
}

struct File {
    path: String,
    bytes: Vec<u8>,
}

impl Site<'_> {
    /// Builds what a link asks for and answers the tags that stand for it in the page.
    fn add(&mut self, link: &Link) -> anyhow::Result<Vec<String>> {
        match link {
            Link::Css { href } => {
                let bytes = read(&self.workspace.root().join(href))?;
                let stem = Path::new(href).file_stem().unwrap_or_default().to_string_lossy();
                let name = self.add_hashed(&stem, "css", bytes);
                Ok(vec![format!("<link rel=\"stylesheet\" href=\"./{name}\">")])
            }
            Link::Main { bin } => {
                let (script, wasm) = self.add_program(bin)?;
                // A file of its own instead of an inline script: the policy of the server forbids those.
                let boot = self.add_hashed("boot", "js", loader(&script).into_bytes());
                Ok(vec![
                    format!("<link rel=\"modulepreload\" href=\"./{script}\">"),
                    format!(
                        "<link rel=\"preload\" href=\"./{wasm}\" as=\"fetch\" type=\"application/wasm\" crossorigin>"
                    ),
                    format!("<script type=\"module\" src=\"./{boot}\"></script>"),
                ])
            }
            Link::Worker { bin } => {
                let (script, _) = self.add_program(bin)?;
                // The page starts it by this name, which trunk gives it too, so it has no hash.
                self.files
                    .push(File { path: format!("{bin}_loader.js"), bytes: loader(&script).into_bytes() });
                Ok(Vec::new())
            }
        }
    }

    /// Adds a compiled program: its glue script, its WebAssembly, and the scripts that its crates bring along.
    /// Answers the names of the first two.
    fn add_program(&mut self, bin: &str) -> anyhow::Result<(String, String)> {
        let directory = self.workspace.target().join("xtask").join("bindings").join(bin);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        Bindgen::new()
            .input_path(compiled(self.workspace, bin))
            .web(true)?
            .omit_default_module_path(false) // else init() would need the path of the WebAssembly as an argument
            .typescript(false)
            .remove_name_section(true)
            .remove_producers_section(true)
            .generate(&directory)
            .with_context(|| format!("making the bindings of {bin}"))?;
        let wasm = self.add_hashed_as(bin, "_bg.wasm", read(&directory.join(format!("{bin}_bg.wasm")))?);
        let script = String::from_utf8(read(&directory.join(format!("{bin}.js")))?)?;
        let unhashed = format!("{bin}_bg.wasm");
        if !script.contains(&unhashed) {
            bail!("the bindings of {bin} do not load {unhashed}: wasm-bindgen's output has changed");
        }
        let script = script.replace(&unhashed, &wasm);
        let script = self.add_hashed(bin, "js", script.into_bytes());
        self.add_snippets(&directory, "snippets")?;
        Ok((script, wasm))
    }

    /// Adds the files below a directory under their own names.
    fn add_snippets(&mut self, directory: &Path, below: &str) -> anyhow::Result<()> {
        let Ok(entries) = fs::read_dir(directory.join(below)) else { return Ok(()) };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        for name in names {
            let path = format!("{below}/{name}");
            if directory.join(&path).is_dir() {
                self.add_snippets(directory, &path)?;
            } else if !self.files.iter().any(|file| file.path == path) {
                self.files.push(File { bytes: read(&directory.join(&path))?, path });
            }
        }
        Ok(())
    }

    fn add_hashed(&mut self, stem: &str, extension: &str, bytes: Vec<u8>) -> String {
        self.add_hashed_as(stem, &format!(".{extension}"), bytes)
    }

    /// Adds a file whose name says its content, as in `app-0123456789abcdef_bg.wasm`, and answers the name.
    fn add_hashed_as(&mut self, stem: &str, ending: &str, bytes: Vec<u8>) -> String {
        let hash = blake3::hash(&bytes).to_hex();
        let path = format!("{stem}-{}{ending}", &hash[..16]);
        self.files.push(File { path: path.clone(), bytes });
        path
    }
}

/// A script that starts a program.
fn loader(script: &str) -> String {
    format!("import init from './{script}';\nawait init();\n")
}

/// A hash of everything that the page is made from, this program included.
fn stamp(workspace: &Workspace, template: &str) -> anyhow::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(include_bytes!("page.rs")).update(include_bytes!("html.rs")).update(template.as_bytes());
    html::rewrite(template, |link| {
        let source = match link {
            Link::Css { href } => workspace.root().join(href),
            Link::Main { bin } | Link::Worker { bin } => compiled(workspace, bin),
        };
        hasher.update(&read(&source)?);
        Ok(Vec::new())
    })?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn compiled(workspace: &Workspace, bin: &str) -> PathBuf {
    workspace.target().join("wasm32-unknown-unknown").join("wasm-release").join(format!("{bin}.wasm"))
}

fn brotli(mut bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let parameters = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, ..Default::default() };
    brotli::BrotliCompress(&mut bytes, &mut compressed, &parameters)?;
    Ok(compressed)
}

/// Prints the lines behind the first of a stamp: name, bytes raw, bytes with brotli.
fn print_sizes(report: &str) -> anyhow::Result<()> {
    println!("  {:<44} {:>10} {:>10}", "file", "bytes", "brotli 11");
    let mut sums = [0u64; 2];
    for line in report.lines().skip(1) {
        let mut words = line.rsplitn(3, ' ');
        let mut number = || words.next().unwrap_or_default().parse::<u64>();
        let (compressed, raw) = (number()?, number()?);
        let name = words.next().unwrap_or_default();
        println!("  {name:<44} {raw:>10} {compressed:>10}");
        sums = [sums[0] + raw, sums[1] + compressed];
    }
    println!("  {:<44} {:>10} {:>10}", "page and worker together", sums[0], sums[1]);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let directory = path.parent().context("a file lies in a directory")?;
    fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    fs::write(path, bytes).with_context(|| path.display().to_string())
}

fn shown(workspace: &Workspace, path: &Path) -> String {
    path.strip_prefix(workspace.root()).unwrap_or(path).display().to_string()
}
