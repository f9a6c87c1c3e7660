//! The real server, as the tools of other people see it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::http_tools::HttpTool;
use crate::plan::Plan;
use crate::workspace::{Workspace, check, check_within};

/// How long one tool may take; each is told to be done long before.
const TOOL_LIMIT: Duration = Duration::from_secs(600);
/// How long the server may take to start or to stop.
const SERVER_LIMIT: Duration = Duration::from_secs(30);
/// What the load test is told: users, and for how long they send.
const LOAD: [&str; 2] = ["VUS=100", "DURATION=10s"];
/// Test cases of schemathesis for each operation and phase; some 2,000 in all, because most operations have fewer.
const EXAMPLES: &str = "170";

/// Adds the step that runs these tools, one after the other, against one server.
pub(crate) fn plan(plan: &mut Plan, workspace: &Workspace, tools: Vec<HttpTool>) {
    let names: Vec<&str> = tools.iter().map(|tool| tool.name()).collect();
    let here = workspace.clone();
    plan.step(format!("HTTP tools against the real server: {}", names.join(", ")), move || {
        run(&here, &tools)
    });
}

fn run(workspace: &Workspace, tools: &[HttpTool]) -> anyhow::Result<()> {
    let scratch = workspace.target().join("xtask").join("http");
    if scratch.exists() {
        fs::remove_dir_all(&scratch)?;
    }
    fs::create_dir_all(&scratch)?;
    let server = Server::start(workspace, &scratch)?;
    let ran = tools.iter().try_for_each(|tool| {
        println!("\n{}:", tool.name());
        let tested = match tool {
            HttpTool::K6 => k6(workspace, &server),
            HttpTool::Schemathesis => schemathesis(workspace, &server, &scratch),
            HttpTool::Promtool => promtool(workspace, &server),
        };
        tested.with_context(|| format!("{} found something", tool.name()))
    });
    let log = server.log.clone();
    let data = server.data.clone();
    let stopped = server.stop();
    ran.and(stopped).with_context(|| format!("the server's own log is {}", log.display()))?;
    println!("\nthe log that it left:");
    check(Command::new(workspace.binary()).arg("verify").arg(&data))
}

/// A server on a directory of its own.
struct Server {
    child: Child,
    /// As in `127.0.0.1:40123`.
    address: String,
    data: PathBuf,
    /// Where its standard error goes.
    log: PathBuf,
}

impl Server {
    /// Starts the release binary, with the page inside, and waits until it answers.
    fn start(workspace: &Workspace, scratch: &Path) -> anyhow::Result<Server> {
        let (data, log) = (scratch.join("data"), scratch.join("server.log"));
        let mut command = Command::new(workspace.binary());
        // What the person who runs the tests has set for a server of their own is not for this one.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WALLETLAB_"))
        {
            command.env_remove(name);
        }
        // A read that waits for a record which does not come is one of the cases, and need not take its 10 seconds.
        command.args(["serve", "--listen", "127.0.0.1:0", "--read-wait-ms-max", "100", "--data"]).arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", workspace.binary().display()))?;
        let mut line = String::new();
        let out = child.stdout.take().context("its standard output is a pipe")?;
        BufReader::new(out).read_line(&mut line)?;
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            let status = child.wait()?;
            bail!("the server ended with {status}: {}", fs::read_to_string(&log)?.trim_end());
        };
        let address = address.to_owned();
        println!("the server listens on {address}");
        Ok(Server { child, address, data, log })
    }

    /// The body of an answer with status 200.
    fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(SERVER_LIMIT))?;
        // Of HTTP/1.0, so the body ends with the connection.
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let (head, body) = split_head(&answer).context("an answer has a head")?;
        if head.split(' ').nth(1) != Some("200") {
            bail!("GET {path}: {head}");
        }
        Ok(body.to_vec())
    }

    /// Asks it to stop, as systemd does, and waits until it has.
    fn stop(mut self) -> anyhow::Result<()> {
        check(Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]))?;
        let asked = Instant::now();
        while asked.elapsed() < SERVER_LIMIT {
            if let Some(status) = self.child.try_wait()? {
                if status.success() {
                    return Ok(());
                }
                bail!("after SIGTERM the server ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("{} s after SIGTERM the server still ran", SERVER_LIMIT.as_secs())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of one that has ended there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status line and headers, and the body.
fn split_head(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn k6(workspace: &Workspace, server: &Server) -> anyhow::Result<()> {
    let mut command = Command::new(HttpTool::K6.program(workspace));
    command.env("K6_NO_USAGE_REPORT", "true").args(["run", "--quiet"]);
    command.arg("-e").arg(format!("BASE_URL=http://{}", server.address));
    for setting in LOAD {
        command.args(["-e", setting]);
    }
    command.arg("tests/load/transfer.js").current_dir(workspace.root());
    check_within(&mut command, TOOL_LIMIT)
}

fn schemathesis(workspace: &Workspace, server: &Server, scratch: &Path) -> anyhow::Result<()> {
    let files = workspace.root().join("tests/schemathesis");
    let mut command = Command::new(HttpTool::Schemathesis.program(workspace));
    // It keeps examples in the directory that it runs in.
    command.current_dir(scratch);
    command.arg("--config-file").arg(files.join("schemathesis.toml"));
    // The module hooks.py beside it.
    command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONPATH", &files).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg("run").arg(format!("http://{}/openapi.json", server.address));
    command.args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", EXAMPLES]);
    command.args(["--continue-on-failure", "--request-timeout", "20", "--seed", "1"]);
    check_within(&mut command, TOOL_LIMIT)
}

/// Last, when every metric has something to tell.
fn promtool(workspace: &Workspace, server: &Server) -> anyhow::Result<()> {
    let metrics = server.get("/metrics")?;
    let mut command = Command::new(HttpTool::Promtool.program(workspace));
    let mut child = command.args(["check", "metrics"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("its standard input is a pipe")?.write_all(&metrics)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("`promtool check metrics` ended with {status}");
    }
    println!("{} lines of metrics", String::from_utf8_lossy(&metrics).lines().count());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_head_and_a_body() {
        assert_eq!(split_head(b"HTTP/1.0 200 OK\r\na: b\r\n\r\nx\r\n\r\ny"), {
            Some(("HTTP/1.0 200 OK\r\na: b", &b"x\r\n\r\ny"[..]))
        });
        assert_eq!(split_head(b"HTTP/1.0 200 OK\r\n"), None);
    }
}
