//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::workspace::{Workspace, output};

/// This machine, as far as it tells.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) threads: usize,
    pub(crate) memory: String,
    /// The file system of the data, its device and its kind.
    pub(crate) disk: String,
    pub(crate) kernel: String,
    pub(crate) system: String,
    pub(crate) compiler: String,
    /// Commit of the tree, and whether it has changes.
    pub(crate) revision: String,
    /// What else was running when the bench began: the load average of the last minute.
    pub(crate) load_average: String,
}

impl Machine {
    /// As it is now; `data` is where servers keep theirs.
    pub(crate) fn this(workspace: &Workspace, data: &Path) -> Machine {
        let mut git = Command::new("git");
        git.current_dir(workspace.root()).args(["describe", "--always", "--dirty", "--abbrev=12"]);
        let disk = output(Command::new("df").args(["--output=source,fstype,size"]).arg(data));
        let disk = disk.map(|text| {
            text.lines().last().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        });
        Machine {
            processor: field("/proc/cpuinfo", "model name"),
            threads: std::thread::available_parallelism().map_or(0, usize::from),
            memory: field("/proc/meminfo", "MemTotal"),
            disk: known(disk),
            kernel: known(output(Command::new("uname").args(["-sr"]))),
            system: field_of("/etc/os-release", "PRETTY_NAME", '=').trim_matches('"').to_owned(),
            compiler: known(output(Command::new("rustc").arg("--version"))),
            revision: known(output(&mut git)),
            load_average: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| Some(text.split(' ').next()?.to_owned()))
                .unwrap_or_default(),
        }
    }

    /// In a few words.
    pub(crate) fn text(&self) -> String {
        let Machine { processor, threads, memory, disk, kernel, system, compiler, revision, load_average } =
            self;
        format!(
            "{processor}, {threads} threads, {memory}; disk {disk}; {kernel}, {system}; {compiler}; revision {revision}; \
             load average {load_average} at the start"
        )
    }
}

fn known(text: anyhow::Result<String>) -> String {
    text.unwrap_or_else(|_| "unknown".to_owned())
}

fn field(file: &str, name: &str) -> String {
    field_of(file, name, ':')
}

/// The value of the first `name` of a file of names and values.
fn field_of(file: &str, name: &str, between: char) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let values = text.lines().filter_map(|line| line.split_once(between));
    let mut named = values.filter(|(found, _)| found.trim() == name);
    named.next().map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
}
