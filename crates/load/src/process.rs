//! What a server's processes have spent, from outside.

use std::collections::HashMap;
use std::fs;

/// Nanoseconds in a tick of `/proc/PID/stat`, which every Linux counts 100 of in a second.
const TICK_NANOS: u64 = 10_000_000;

/// A process and everything that it started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    pub(crate) root: u32,
}

impl Tree {
    /// Processor time in nanoseconds so far: of all threads that live, to the nanosecond, and of children that have
    /// ended, to a hundredth of a second.
    pub(crate) fn processor_nanos(self) -> u64 {
        let stats = stats();
        let ended = stats.get(&self.root).map_or(0, |stat| stat.ended_ticks * TICK_NANOS);
        let live: u64 = members(&stats, self.root).into_iter().map(threads_nanos).sum();
        live + ended
    }

    /// Bytes in physical memory. What processes share is counted once, where the system tells how much that is.
    pub(crate) fn resident_bytes(self) -> u64 {
        let of = |pid: u32| {
            kibibytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
                .or_else(|| kibibytes(&format!("/proc/{pid}/status"), "VmRSS:"))
                .unwrap_or(0)
        };
        members(&stats(), self.root).into_iter().map(of).sum()
    }
}

/// Processor time of this process so far, in nanoseconds.
pub(crate) fn own_nanos() -> u64 {
    threads_nanos(std::process::id())
}

struct Stat {
    parent: u32,
    /// Processor time of children that ended, and whose end was noticed.
    ended_ticks: u64,
}

/// Every process of the machine.
fn stats() -> HashMap<u32, Stat> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?)))
        .collect()
}

/// A line of `/proc/PID/stat`; the name in parentheses may hold anything.
fn parse(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ended_ticks: number(13)? + number(14)? })
}

/// The process, its children, theirs, and so on.
fn members(stats: &HashMap<u32, Stat>, root: u32) -> Vec<u32> {
    let mut members = vec![root];
    let mut at = 0;
    while let Some(&parent) = members.get(at) {
        members.extend(stats.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    members
}

/// The first number of each thread's `schedstat` is its time on a processor.
fn threads_nanos(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    nanos.sum()
}

fn kibibytes(file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_spaces_and_parentheses() {
        let line = "7 (a) S 1 (b) c) S 42 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 9 9 9";
        let stat = parse(line).expect("a line");
        assert_eq!((stat.parent, stat.ended_ticks), (42, 150));
        assert!(parse("7 nothing").is_none());
    }

    #[test]
    fn a_tree_has_all_generations() {
        let stat = |parent| Stat { parent, ended_ticks: 0 };
        let stats = HashMap::from([(1, stat(0)), (2, stat(1)), (3, stat(2)), (4, stat(9)), (5, stat(1))]);
        let mut members = members(&stats, 1);
        members.sort_unstable();
        assert_eq!(members, [1, 2, 3, 5]);
    }
}
