//! Where things are, and how other programs are started.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

/// How often a program with a limit is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);

/// The repository and its target directory, as cargo sees them.
#[derive(Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    /// Name and directory of each package that has tests for WebAssembly.
    wasm_packages: Vec<(String, PathBuf)>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let text = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&text).context("what `cargo metadata` printed")?;
        let path = |value: &Value| value.as_str().map(PathBuf::from).context("a path in `cargo metadata`");
        let mut wasm_packages = Vec::new();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let mut dependencies = package["dependencies"].as_array().into_iter().flatten();
            if dependencies.any(|dependency| dependency["name"] == "wasm-bindgen-test") {
                let manifest = path(&package["manifest_path"])?;
                let directory = manifest.parent().context("a manifest lies in a directory")?;
                wasm_packages
                    .push((package["name"].as_str().unwrap_or_default().to_owned(), directory.to_owned()));
            }
        }
        Ok(Self {
            root: path(&metadata["workspace_root"])?,
            target: path(&metadata["target_directory"])?,
            wasm_packages,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where the tools lie that are built here instead of being installed.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The release binary.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("release").join(format!("walletlab{}", std::env::consts::EXE_SUFFIX))
    }

    /// The load of the bench, optimised.
    #[cfg(unix)]
    pub(crate) fn load(&self) -> PathBuf {
        self.target.join("release").join(format!("walletlab-load{}", std::env::consts::EXE_SUFFIX))
    }

    /// The packages with tests for WebAssembly: they depend on `wasm-bindgen-test`.
    pub(crate) fn wasm_packages(&self) -> &[(String, PathBuf)] {
        &self.wasm_packages
    }

    /// `PATH` with the tools of this repository first.
    pub(crate) fn path_with_tools(&self) -> anyhow::Result<OsString> {
        let before = std::env::var_os("PATH").unwrap_or_default();
        let tools = [self.tools(), self.tools().join("bin")];
        Ok(std::env::join_paths(tools.into_iter().chain(std::env::split_paths(&before)))?)
    }

    /// Becomes the server; only returns when it cannot start.
    #[cfg(unix)]
    pub(crate) fn serve(&self, listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
        use std::os::unix::process::CommandExt;

        // Whoever stops this process means the server, so they are one.
        let error = self.server(listen, data).exec();
        Err(error).with_context(|| format!("cannot start {}", self.binary().display()))
    }

    /// Runs the server until it ends.
    #[cfg(not(unix))]
    pub(crate) fn serve(&self, listen: SocketAddr, data: &Path) -> anyhow::Result<()> {
        check(&mut self.server(listen, data))
    }

    fn server(&self, listen: SocketAddr, data: &Path) -> Command {
        let mut command = Command::new(self.binary());
        // The page is a part of the binary.
        command.arg("serve").arg("--listen").arg(listen.to_string()).arg("--data").arg(data);
        command
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(checkout());
    // What `cargo run` told this program about its own package must not reach the builds that it starts.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// The checkout that `cargo run` was called in, whose rust-toolchain.toml rustup obeys. Asked for at run time: with a
/// target directory that several checkouts share, this program may have been compiled in another one.
pub(crate) fn checkout() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(here).join("../..")
}

/// Runs a program with this one's input and output.
pub(crate) fn check(command: &mut Command) -> anyhow::Result<()> {
    let status =
        command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program with this one's input and output, and ends it when it takes longer than `limit`.
pub(crate) fn check_within(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let mut child =
        command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("`{}` took longer than {} s and was ended", shown(command), limit.as_secs());
        }
        std::thread::sleep(POLL);
    };
    if !status.success() {
        bail!("`{}` ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs a program and answers what it printed.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output =
        command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The first file of this name on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    words.join(" ")
}
