//! Every test there is, in the order in which a mistake shows soonest.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;
use clap::ValueEnum;

use crate::http_tests;
use crate::http_tools::{self, HttpTool};
use crate::machine;
use crate::page;
use crate::plan::Plan;
use crate::workspace::{Workspace, cargo, check};

/// What runs a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TestKind {
    /// This machine
    Native,
    /// WebAssembly in headless Chromium
    Wasm,
    /// Load, contract and metrics tools against the real server
    Http,
    /// The real page, served by the real binary
    Browser,
}

/// Which tests are wanted.
pub(crate) struct Selection {
    /// Part of the names of the tests; `None` = all.
    pub(crate) filter: Option<String>,
    /// Their kind; `None` = each.
    pub(crate) only: Option<TestKind>,
}

impl Selection {
    fn wants(&self, kind: TestKind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }

    /// The tools whose name the filter does not exclude: each is one test.
    fn http_tools(&self) -> Vec<HttpTool> {
        let fits = |tool: &HttpTool| self.filter.as_ref().is_none_or(|part| tool.name().contains(part));
        HttpTool::ALL.into_iter().filter(fits).collect()
    }
}

/// The steps that run the selected tests.
pub(crate) fn plan(workspace: &Workspace, dist: &Path, selection: &Selection) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    if selection.wants(TestKind::Native) {
        plan_native(&mut plan, selection);
    }
    let http_tools = if selection.wants(TestKind::Http) { selection.http_tools() } else { Vec::new() };
    let is_page_wanted = selection.wants(TestKind::Browser) || !http_tools.is_empty();
    if selection.wants(TestKind::Wasm) || is_page_wanted {
        machine::plan_wasm_target(&mut plan);
    }
    if selection.wants(TestKind::Wasm) || selection.wants(TestKind::Browser) {
        machine::plan_chromium(&mut plan);
    }
    if selection.wants(TestKind::Wasm) {
        machine::plan_wasm_test_tools(&mut plan, workspace);
        if workspace.wasm_packages().is_empty() {
            bail!("no package depends on wasm-bindgen-test, so there would be no WebAssembly test");
        }
        for (name, directory) in workspace.wasm_packages() {
            plan_wasm(&mut plan, workspace, name, directory, selection);
        }
    }
    if is_page_wanted {
        page::plan(&mut plan, workspace, dist);
    }
    if !http_tools.is_empty() {
        http_tools::plan(&mut plan, workspace, &http_tools);
        http_tests::plan(&mut plan, workspace, http_tools);
    }
    if selection.wants(TestKind::Browser) {
        plan_browser(&mut plan, workspace, dist, selection);
    }
    Ok(plan)
}

fn plan_native(plan: &mut Plan, selection: &Selection) {
    machine::plan_native_test_tools(plan);
    let filter = selection.filter.clone();
    plan.step("native tests: cargo test", move || check(cargo().arg("test").args(filter)));
    for package in ["xtask", "load", "web"] {
        let filter = selection.filter.clone();
        plan.step(format!("native tests of {package}"), move || {
            // One by one and in the profile in which they are built anyway: else cargo builds their dependencies anew.
            check(cargo().args(["test", "--profile=dev", "--package", package]).args(filter))
        });
    }
}

fn plan_wasm(plan: &mut Plan, workspace: &Workspace, name: &str, directory: &Path, selection: &Selection) {
    let (here, directory, filter) = (workspace.clone(), directory.to_owned(), selection.filter.clone());
    plan.step(
        format!("WebAssembly tests in Chromium: wasm-pack test --headless --chrome {name}"),
        move || {
            let mut command = Command::new("wasm-pack");
            command.current_dir(here.root()).env("PATH", here.path_with_tools()?);
            // Without an installation by wasm-pack itself: the tools stand on PATH at the right version.
            command
                .args(["--log-level=error", "test", "--headless", "--chrome", "--mode=no-install"])
                .arg(directory);
            if let Some(filter) = filter {
                command.args(["--", &filter]);
            }
            check(&mut command)
        },
    );
}

fn plan_browser(plan: &mut Plan, workspace: &Workspace, dist: &Path, selection: &Selection) {
    let (binary, page): (PathBuf, PathBuf) = (workspace.binary(), dist.to_owned());
    let filter = selection.filter.clone();
    plan.step("browser tests of the real page", move || {
        let mut command = cargo();
        command.env("WALLETLAB_BIN", binary).env("WALLETLAB_PAGE", page);
        // One at a time: the tests look at frame rates, and a browser takes more than one core.
        command.args(["test", "--profile=dev", "--package=browser-tests"]).args(filter);
        check(command.args(["--", "--test-threads=1"]))
    });
}
