//! What the figures were measured on.

use std::fmt;
use std::fs;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    processor: String,
    threads: usize,
    memory_bytes: Option<u64>,
    system: String,
    kernel: String,
    version: &'static str,
    build: &'static str,
}

impl Machine {
    pub(super) fn this() -> Machine {
        let build = if cfg!(debug_assertions) {
            "with debug assertions: these figures mean nothing"
        } else {
            "release"
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            threads: std::thread::available_parallelism().map_or(0, usize::from),
            memory_bytes: kibibytes("/proc/meminfo", "MemTotal"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            kernel: kernel.trim().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            build,
        }
    }
}

/// Bytes of this process in physical memory; `None` where the system does not say.
pub(super) fn resident_bytes() -> Option<u64> {
    resident_bytes_of("self")
}

/// Bytes of a process, by its number, in physical memory; `None` where the system does not say.
pub(super) fn resident_bytes_of(process: &str) -> Option<u64> {
    kibibytes(&format!("/proc/{process}/status"), "VmRSS")
}

/// The most bytes that this process ever had in physical memory; `None` where the system does not say.
pub(super) fn peak_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM")
}

fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let kibibytes: u64 = field(file, name)?.strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1_024)
}

/// The first `name: value` of a file.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, threads, memory_bytes, system, kernel, version, build } = self;
        writeln!(f, "{processor}, {threads} threads, {} MiB", memory_bytes.unwrap_or(0) >> 20)?;
        writeln!(f, "{system}, kernel {kernel}; walletlab {version}, {build}")
    }
}
