//! The servers that are compared, each a process of its own on a free port and in a fresh directory.

mod disk;
mod postgres;
mod redis;
mod wallet;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

pub(crate) use self::disk::BareDisk;
pub(crate) use self::postgres::{CONNECTIONS_MAX as POSTGRES_CONNECTIONS_MAX, Postgres};
pub(crate) use self::redis::{AppendSync, CONNECTIONS_MAX as REDIS_CONNECTIONS_MAX, Redis};
pub(crate) use self::wallet::{Form, Wallet};
use crate::machine;
use crate::workspace::on_path;

/// What every account has at first: enough that no transfer is refused.
pub(crate) const OPENING_BALANCE: i64 = 1_000_000_000_000;
/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A server under load.
pub(crate) trait Server {
    /// What it is called in tables.
    fn name(&self) -> String;

    /// When an answer is on the disk.
    fn durability(&self) -> &'static str;

    /// What it was told, line by line.
    fn settings(&self) -> &[String];

    fn address(&self) -> SocketAddr;

    fn pid(&self) -> u32;

    /// The words of the load that are about this server: what to do, and how to speak to it.
    fn load_arguments(&self) -> Vec<String>;

    /// Whether it is told connections, accounts and so on; the disk alone is not.
    fn takes_load(&self) -> bool {
        true
    }

    /// Syncs so far, where it counts them.
    fn syncs(&self) -> anyhow::Result<Option<u64>> {
        Ok(None)
    }
}

/// Installs what is missing.
///
/// # Errors
/// What is missing, and how to get it.
pub(crate) fn ensure() -> anyhow::Result<()> {
    let missing = || postgres::programs().is_none() || on_path("redis-server").is_none();
    if missing() {
        machine::install(&["postgresql", "redis-server"], "PostgreSQL and Redis to compare with")?;
    }
    if missing() {
        bail!(
            "the packages postgresql and redis-server are installed, but initdb or redis-server is not found"
        );
    }
    Ok(())
}

/// A process that ends with this value.
struct Process {
    child: Child,
    stop_signal: &'static str,
    what: &'static str,
}

impl Process {
    fn start(
        what: &'static str,
        stop_signal: &'static str,
        command: &mut Command,
    ) -> anyhow::Result<Process> {
        let child = command.spawn().with_context(|| format!("cannot start {what}"))?;
        Ok(Process { child, stop_signal, what })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready` says so.
    fn wait_until(&mut self, is_ready: impl Fn() -> bool, log: &Path) -> anyhow::Result<()> {
        let began = Instant::now();
        while !is_ready() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                bail!(
                    "{} does not start ({ended:?}); its last lines, newest first: {}",
                    self.what,
                    last.join(" | ")
                );
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // Of one that has ended there is nothing left to end.
        let _ = Command::new("kill").args(["-s", self.stop_signal, &pid]).status();
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory below `data` that is new.
fn fresh(data: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let there = data.join(name);
    if there.exists() {
        std::fs::remove_dir_all(&there)?;
    }
    std::fs::create_dir(&there).with_context(|| there.display().to_string())?;
    Ok(there)
}

/// A port that is free now. Somebody else may take it before the server does; then that says so.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("looking for a free port")?.local_addr()?.port())
}

/// The body of an answer with status 200 to a GET.
fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    use std::io::Write;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Of HTTP/1.0, so the body ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    if head.split(' ').nth(1) != Some("200") {
        bail!("GET {path}: {head}");
    }
    Ok(body.to_owned())
}
