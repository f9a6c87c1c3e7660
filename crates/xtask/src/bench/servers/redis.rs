//! Redis with an append-only file, and a script that is one transfer.

use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;

use super::{OPENING_BALANCE, Process, Server, free_port, fresh};
use crate::workspace::{check, output};

/// Keys: the id and both accounts. 1: done. An id that is known answers 0, with the same body; else an error.
const SCRIPT: &str = "\
local body = KEYS[2] .. '>' .. KEYS[3] .. ':' .. ARGV[1]
local known = redis.call('GET', KEYS[1])
if known then
  if known == body then return 0 end
  return redis.error_reply('the id was used with another body')
end
local amount = tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[2])) < amount then
  return redis.error_reply('insufficient funds')
end
redis.call('SET', KEYS[1], body)
redis.call('DECRBY', KEYS[2], ARGV[1])
redis.call('INCRBY', KEYS[3], ARGV[1])
return 1
";

const MAXCLIENTS: &str = "11000";

/// The most connections that it is given.
pub(crate) const CONNECTIONS_MAX: u32 = 10_500;

/// When its file is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendSync {
    /// Before the answers of each turn of its loop.
    Always,
    /// Once a second: up to a second of answers is lost with the machine.
    EverySecond,
}

/// A running Redis.
pub(crate) struct Redis {
    sync: AppendSync,
    process: Process,
    port: u16,
    script: String,
    settings: Vec<String>,
}

impl Redis {
    /// Starts it on a fresh directory, with so many accounts.
    pub(crate) fn start(data: &Path, sync: AppendSync, accounts: u32) -> anyhow::Result<Redis> {
        let (name, word) = match sync {
            AppendSync::Always => ("redis-always", "always"),
            AppendSync::EverySecond => ("redis-everysec", "everysec"),
        };
        let (directory, port) = (fresh(data, name)?, free_port()?);
        let log = directory.with_extension("log");
        let port_text = port.to_string();
        let arguments = [
            ["--appendonly", "yes"],
            ["--appendfsync", word],
            ["--save", ""],
            // A rewrite of the file in the middle of a run would be Redis' loss.
            ["--auto-aof-rewrite-percentage", "0"],
            ["--maxclients", MAXCLIENTS],
        ];
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port_text, "--dir"]).arg(&directory);
        command.args(arguments.as_flattened()).stdin(Stdio::null()).stdout(File::create(&log)?);
        let mut process = Process::start("redis-server", "TERM", &mut command)?;
        let is_ready = || output(client(port).arg("ping")).is_ok_and(|answer| answer == "PONG");
        process.wait_until(is_ready, &log)?;
        fill(port, accounts)?;
        let script = output(client(port).args(["script", "load", SCRIPT]))?;
        let version = output(Command::new("redis-server").arg("--version"))?;
        let words: Vec<String> =
            arguments.iter().map(|[name, value]| format!("{} {value:?}", &name[2..])).collect();
        let settings = vec![
            version,
            words.join(", "),
            "one EVALSHA a transfer: id, two balances; no history".to_owned(),
        ];
        Ok(Redis { sync, process, port, script, settings })
    }
}

impl Server for Redis {
    fn name(&self) -> String {
        match self.sync {
            AppendSync::Always => "Redis, appendfsync always".to_owned(),
            AppendSync::EverySecond => "Redis, appendfsync everysec".to_owned(),
        }
    }

    fn durability(&self) -> &'static str {
        match self.sync {
            AppendSync::Always => "synced before the answer",
            AppendSync::EverySecond => "synced once a second, after the answer",
        }
    }

    fn settings(&self) -> &[String] {
        &self.settings
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn load_arguments(&self) -> Vec<String> {
        ["run", "--target", "redis", "--script", &self.script].map(str::to_owned).into()
    }
}

fn client(port: u16) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]);
    command
}

/// Every account, through a pipe.
fn fill(port: u16, accounts: u32) -> anyhow::Result<()> {
    let mut command = client(port);
    let mut child = command.arg("--pipe").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut pipe = std::io::BufWriter::new(child.stdin.take().context("its standard input is a pipe")?);
    for account in 0..accounts {
        let (key, value) = (format!("account:{account}"), OPENING_BALANCE.to_string());
        write!(pipe, "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len())?;
    }
    pipe.flush()?;
    drop(pipe);
    anyhow::ensure!(child.wait()?.success(), "redis-cli --pipe could not fill {accounts} accounts");
    check(client(port).arg("ping").stdout(Stdio::null()))
}
