//! The product under test: the built page, served by the built binary.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running `walletlab serve` on the loopback interface; it ends when this is dropped.
#[derive(Debug)]
pub struct Site {
    server: Child,
    /// Kept open: a server must not find its standard output closed.
    _stdout: BufReader<ChildStdout>,
    url: String,
    /// Ends with the site, unless a directory was named.
    _data: Option<tempfile::TempDir>,
}

/// What a server starts with.
#[derive(Clone, Debug, Default)]
pub struct SiteOptions {
    /// The port; 0 picks a free one.
    pub port: u16,
    /// Where its log lives; `None`: a new directory that ends with the server.
    pub data: Option<PathBuf>,
    /// A file with tokens; without one, whoever reaches the server may do everything.
    pub token_file: Option<PathBuf>,
}

impl Site {
    /// Starts the built binary with the built page, a new log and a free port.
    ///
    /// # Panics
    /// When one of the two is not built, naming the command that builds them; when the server ends at once.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&SiteOptions::default())
    }

    /// Starts the built binary with the built page, as `options` say.
    ///
    /// # Panics
    /// As [`Site::start`].
    #[track_caller]
    #[must_use]
    pub fn start_with(options: &SiteOptions) -> Self {
        let (binary, page) = (walletlab_binary(), page_directory());
        for (path, what) in [(&binary, "binary"), (&page.join("index.html"), "page")] {
            assert!(
                path.exists(),
                "{}: the {what} is not built; `cargo xtask build` builds it, `cargo xtask test` does so by itself",
                path.display()
            );
        }
        let own = options.data.is_none().then(|| {
            tempfile::tempdir().unwrap_or_else(|error| panic!("no directory for the server's log: {error}"))
        });
        let data = own.as_ref().map_or(options.data.as_deref(), |own| Some(own.path()));
        let mut command = Command::new(&binary);
        command.args(["serve", "--listen", &format!("127.0.0.1:{}", options.port), "--page"]).arg(&page);
        command.arg("--data").args(data);
        if let Some(tokens) = &options.token_file {
            command.arg("--token-file").arg(tokens);
        }
        let mut server = command
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
        Self { server, _stdout: stdout, url, _data: own }
    }

    /// Where it listens, as in `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The port that it listens on.
    ///
    /// # Panics
    /// When its URL names none.
    #[track_caller]
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok());
        port.unwrap_or_else(|| panic!("no port in {}", self.url))
    }

    /// Kills the server as a power button would, and waits until it is gone.
    pub fn kill(self) {
        // Dropping it does just that.
        drop(self);
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
