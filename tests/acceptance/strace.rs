//! Faults in the calls that a process makes to the system, by `strace`.

use std::path::Path;
use std::process::{Command, Stdio};

/// A command that runs what is added to it as arguments and lets one call go wrong: `call` is its name (or several, with
/// commas), `fault` what strace's `inject` takes behind it, as in `error=EIO:when=3`. Each thread counts its own calls.
/// The calls are written to `trace`. The process is the one that was asked for, not strace's own.
///
/// # Panics
/// If strace is not there, with the way to get it.
pub(super) fn command(trace: &Path, call: &str, fault: &str) -> Command {
    let version = Command::new("strace").arg("--version").stdout(Stdio::null()).status();
    assert!(
        version.is_ok_and(|status| status.success()),
        "this test needs strace: `cargo xtask test` installs it, and so does `apt-get install strace` as root"
    );
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-q", "-o"]).arg(trace);
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{fault}")]);
    command
}
