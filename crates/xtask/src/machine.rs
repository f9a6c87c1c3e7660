//! What the machine must have: the compiler's WebAssembly target, and for the tests Chromium, strace and two
//! tools.

use std::fs;
use std::process::Command;

use anyhow::{Context, bail};

use crate::plan::Plan;
use crate::workspace::{Workspace, cargo, check, checkout, on_path, output};

const WASM_TARGET: &str = "wasm32-unknown-unknown";
const WASM_PACK_VERSION: &str = "0.15.1";
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Adds the step that sees to the compiler's WebAssembly target.
pub(crate) fn plan_wasm_target(plan: &mut Plan) {
    plan.step(format!("looking for the compiler's {WASM_TARGET} target"), ensure_wasm_target);
}

/// Adds the step that sees to a browser.
pub(crate) fn plan_chromium(plan: &mut Plan) {
    plan.step("looking for Chromium and its driver", ensure_chromium);
}

/// Adds the step that sees to what the native tests start besides the compiler.
pub(crate) fn plan_native_test_tools(plan: &mut Plan) {
    plan.step("looking for strace", || match on_path("strace") {
        Some(_) => Ok(()),
        None => install(&["strace"], "strace on PATH, which makes calls to the system fail"),
    });
}

/// Adds the steps that see to wasm-pack and the tools that it starts.
pub(crate) fn plan_wasm_test_tools(plan: &mut Plan, workspace: &Workspace) {
    let here = workspace.clone();
    plan.step("building wasm-bindgen's test runner", move || ensure_wasm_tools(&here));
    let here = workspace.clone();
    plan.step("looking for wasm-pack", move || ensure_wasm_pack(&here));
}

fn ensure_wasm_target() -> anyhow::Result<()> {
    let libraries = output(rustc().args(["--print", "target-libdir", "--target", WASM_TARGET]))?;
    let installed = fs::read_dir(&libraries).is_ok_and(|mut files| files.next().is_some());
    if installed {
        return Ok(());
    }
    println!("it is not installed: rustup target add {WASM_TARGET}");
    let advice = || {
        format!("the compiler cannot build for {WASM_TARGET}, and `rustup target add {WASM_TARGET}` failed")
    };
    check(Command::new("rustup").args(["target", "add", WASM_TARGET]).current_dir(checkout()))
        .with_context(advice)
}

fn ensure_chromium() -> anyhow::Result<()> {
    let missing =
        || on_path("chromedriver").is_none() || !BROWSERS.iter().any(|name| on_path(name).is_some());
    if !missing() {
        return Ok(());
    }
    install(&["chromium", "chromium-driver"], "Chromium and chromedriver on PATH")?;
    if missing() {
        bail!("apt-get installed its packages, but chromium and chromedriver are still not on PATH");
    }
    Ok(())
}

/// Installs Debian packages, or says how to.
///
/// # Errors
/// Without root or apt-get: what is `needed`, and the commands that a person can give.
pub(crate) fn install(packages: &[&str], needed: &str) -> anyhow::Result<()> {
    let mut install = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
    install.extend(packages);
    let commands = [vec!["apt-get", "update"], install];
    let by_hand = commands.each_ref().map(|words| words.join(" ")).join(" && ");
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    if !is_root || on_path("apt-get").is_none() {
        bail!("needed: {needed}; on Debian, as root: {by_hand}");
    }
    println!("missing: {needed}; {by_hand}");
    for words in commands {
        check(Command::new(words[0]).args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

/// Builds `wasm-tools` and links it to the two names by which wasm-pack looks for wasm-bindgen's tools.
fn ensure_wasm_tools(workspace: &Workspace) -> anyhow::Result<()> {
    check(cargo().args(["build", "--package", "wasm-tools"]))?;
    let built = workspace.target().join("debug").join("wasm-tools");
    fs::create_dir_all(workspace.tools())?;
    for name in ["wasm-bindgen", "wasm-bindgen-test-runner"] {
        let link = workspace.tools().join(name);
        if link.exists() {
            fs::remove_file(&link)?;
        }
        fs::hard_link(&built, &link)
            .or_else(|_| fs::copy(&built, &link).map(|_| ()))
            .with_context(|| format!("{} to {}", built.display(), link.display()))?;
    }
    Ok(())
}

fn ensure_wasm_pack(workspace: &Workspace) -> anyhow::Result<()> {
    if on_path("wasm-pack").is_some() || workspace.tools().join("bin/wasm-pack").is_file() {
        return Ok(());
    }
    println!("it is not on PATH: cargo install wasm-pack, into the target directory (a few minutes, once)");
    let install = |extra: &[&str]| {
        let root = workspace.tools();
        check(
            cargo()
                .args(["install", "wasm-pack", "--version", WASM_PACK_VERSION, "--root"])
                .arg(root)
                .args(extra),
        )
    };
    // Its own lock file first; a registry that does not have all of those versions gets the second try.
    install(&["--locked"]).or_else(|_| install(&[]))
}

fn rustc() -> Command {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.current_dir(checkout());
    command
}
