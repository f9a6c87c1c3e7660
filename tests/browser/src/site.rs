//! The product under test: the built page, served by the built binary.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running `walletlab serve` on a free port of the loopback interface; it ends when this is dropped.
#[derive(Debug)]
pub struct Site {
    server: Child,
    /// Kept open: a server must not find its standard output closed.
    _stdout: BufReader<ChildStdout>,
    url: String,
}

impl Site {
    /// Starts the built binary with the built page.
    ///
    /// # Panics
    /// When one of the two is not built, naming the command that builds them; when the server ends at once.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let (binary, page) = (walletlab_binary(), page_directory());
        for (path, what) in [(&binary, "binary"), (&page.join("index.html"), "page")] {
            assert!(
                path.exists(),
                "{}: the {what} is not built; `cargo xtask build` builds it, `cargo xtask test` does so by itself",
                path.display()
            );
        }
        let mut server = Command::new(&binary)
            .args(["serve", "--listen", "127.0.0.1:0", "--page"])
            .arg(&page)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let stdout = server.stdout.take().unwrap_or_else(|| panic!("no standard output"));
        let mut stdout = BufReader::new(stdout);
        let url = loop {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            assert!(read.is_ok_and(|bytes| bytes > 0), "{} serve ended before it listened", binary.display());
            if let Some(url) = line.trim().strip_prefix("listening on ") {
                break url.to_owned();
            }
        };
        Self { server, _stdout: stdout, url }
    }

    /// Where it listens, as in `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The release binary: `WALLETLAB_BIN`, or where `cargo xtask build` puts it.
#[must_use]
pub fn walletlab_binary() -> PathBuf {
    match std::env::var_os("WALLETLAB_BIN") {
        Some(path) => path.into(),
        None => target_directory().join("release").join("walletlab"),
    }
}

/// The built page: `WALLETLAB_PAGE`, or `dist` at the root of the repository.
#[must_use]
pub fn page_directory() -> PathBuf {
    match std::env::var_os("WALLETLAB_PAGE") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist"),
    }
}

/// Cargo's target directory: the one that this very program was built into.
pub(crate) fn target_directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let profile = program.ancestors().skip(1).find(|path| path.join(".fingerprint").is_dir());
    profile.and_then(Path::parent).map_or_else(|| "target".into(), Path::to_owned)
}
