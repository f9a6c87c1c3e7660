//! A small HTTP/1.1 client on a plain socket, and the server as a process: what the tests of the API talk through.
//!
//! It sends exactly what it is told, malformed or not, keeps its connection, and reads bodies by length, in chunks or to
//! the end. Every wait has a limit, so a server that says nothing fails a test instead of hanging it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::binary;
use super::strace;

/// No answer takes longer on a machine that works, however busy.
const READ_SECONDS_MAX: u64 = 60;

/// What the server answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Names in lower case, in the order of their arrival.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Whether it repeats an earlier answer.
    pub(super) fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// Asserts the status.
    #[track_caller]
    pub(super) fn is(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{:?} {}", self.headers, self.text());
        self
    }
}

/// One connection.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(READ_SECONDS_MAX)))?;
        stream.set_write_timeout(Some(Duration::from_secs(READ_SECONDS_MAX)))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream), address })
    }

    /// Sends bytes as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub(super) fn get(&mut self, target: &str) -> io::Result<Answer> {
        self.read_with(target, "")
    }

    /// `headers` are whole lines, each with its line break.
    pub(super) fn read_with(&mut self, target: &str, headers: &str) -> io::Result<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.address);
        self.send(request.as_bytes())?;
        self.answer()
    }

    pub(super) fn post(&mut self, target: &str, body: &Value) -> io::Result<Answer> {
        self.post_with(target, "", body.to_string().as_bytes())
    }

    /// As [`Client::read_with`].
    pub(super) fn post_with(&mut self, target: &str, headers: &str, body: &[u8]) -> io::Result<Answer> {
        let mut request = format!(
            "POST {target} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.send(&request)?;
        self.answer()
    }

    /// The next answer. A connection that ends before it is `UnexpectedEof`.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        if answer.status == 204 || answer.status == 304 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk()? {
                answer.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().map_err(io::Error::other)?];
            self.stream.read_exact(&mut answer.body)?;
        } else {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// The status and headers of the next answer, whose body is not read yet.
    pub(super) fn head(&mut self) -> io::Result<Answer> {
        let line = self.line()?;
        let status = line.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status line: {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Answer { status, headers, body: Vec::new() })
    }

    /// The next chunk of a body; `None` at its end.
    pub(super) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let length = usize::from_str_radix(&line, 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; length];
        self.stream.read_exact(&mut chunk)?;
        self.line()?;
        Ok((length > 0).then_some(chunk))
    }

    /// Everything until the server closes.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\n") {
            Some(line) => Ok(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// `walletlab serve` as a process of its own; it is killed when this is dropped.
pub(super) struct Server {
    process: Child,
    pub(super) address: SocketAddr,
    errors: PathBuf,
}

impl Server {
    /// Starts it on a data directory and waits until it listens.
    pub(super) fn start(data: &Path, more: &[&str]) -> Server {
        let mut command = binary(&["serve"]);
        command.args(more);
        Server::listening(command, data)
    }

    /// As [`Server::start`], but no file that it writes can grow beyond `kib`: the system refuses such a write with
    /// `EFBIG`, as a disk would that fails.
    pub(super) fn start_with_small_files(data: &Path, kib: u64) -> Server {
        // Without the signal ignored, the write would end the process instead of being refused.
        let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" serve \"$@\"", kib * 2);
        let mut command = Command::new("sh");
        command.args(["-c", &limited]).arg(binary(&[]).get_program());
        Server::listening(command, data)
    }

    /// As [`Server::start`], but a call to the system goes wrong as [`strace::command`] describes it. Returns where the
    /// calls are written to as well.
    pub(super) fn start_with_fault(data: &Path, call: &str, fault: &str) -> (Server, PathBuf) {
        let trace = data.with_extension("trace");
        let mut command = strace::command(&trace, call, fault);
        command.arg(binary(&[]).get_program()).arg("serve");
        (Server::listening(command, data), trace)
    }

    fn listening(mut command: Command, data: &Path) -> Server {
        let errors = data.with_extension("stderr");
        let log = File::options().create(true).append(true).open(&errors).expect("a file for what it says");
        let data = data.to_str().expect("temporary paths are UTF-8");
        let command = command.args(["--listen", "127.0.0.1:0", "--data", data]);
        let mut process = command.stdout(Stdio::piped()).stderr(log).spawn().expect("started");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let address = lines.find_map(|line| line.ok()?.strip_prefix("listening on http://")?.parse().ok());
        let Some(address) = address else {
            let _ = process.kill();
            panic!("it does not listen: {}", fs::read_to_string(&errors).unwrap_or_default());
        };
        Server { process, address, errors }
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(self.address).expect("it listens")
    }

    /// Kill -9.
    pub(super) fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("it is over");
    }

    /// SIGTERM; it must end in order, and must never have panicked.
    pub(super) fn stop(mut self) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM).expect("it is told to stop");
        let status = self.process.wait().expect("it is over");
        assert!(status.success(), "{status}: {}", self.said());
        self.has_not_panicked();
    }

    /// SIGTERM to a server that has nothing good to report; returns its exit code.
    pub(super) fn exit_code(mut self) -> Option<i32> {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM).expect("it is told to stop");
        self.has_not_panicked();
        self.process.wait().expect("it is over").code()
    }

    /// What it wrote to its standard error.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn has_not_panicked(&self) {
        let said = self.said();
        assert!(!said.contains("panicked"), "{said}");
    }

    /// How many records are durable.
    pub(super) fn sequence(&self) -> u64 {
        let health = self.client().get("/health").expect("answered").is(200);
        health.json()["sequence"].as_u64().expect("a number")
    }

    /// Its resident memory in KiB; `None` where the system does not tell.
    pub(super) fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Lets this process, and those that it starts, have as many files and connections open as the system allows; returns
/// how many that are.
pub(super) fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.unwrap_or(u64::MAX)
}
