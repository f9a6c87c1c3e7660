//! The WebDriver protocol by hand: one HTTP request a command, JSON both ways.

use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The longest a single command may take: a script that waits for a page's promise is the slowest.
const ANSWER_SECONDS_MAX: u64 = 330;

/// What a command answered instead of its result.
#[derive(Debug)]
pub struct WebDriverError {
    /// WebDriver's error code, as in `no such element`; `transport` when no answer came.
    pub code: String,
    /// What the driver or the system said about it.
    pub message: String,
}

impl fmt::Display for WebDriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl Error for WebDriverError {}

impl From<io::Error> for WebDriverError {
    fn from(error: io::Error) -> Self {
        Self { code: "transport".into(), message: error.to_string() }
    }
}

/// A running chromedriver with one session; both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    driver: Child,
    /// Kept open: chromedriver would die of a closed standard output.
    _stdout: BufReader<ChildStdout>,
    port: u16,
    id: String,
    browser_process: Option<u64>,
}

impl Session {
    /// Starts `chromedriver` (or what `CHROMEDRIVER` names) on a free port, and a browser.
    pub(crate) fn start(capabilities: &Value) -> Result<Self, WebDriverError> {
        let program = std::env::var_os("CHROMEDRIVER").unwrap_or_else(|| "chromedriver".into());
        let mut driver =
            Command::new(&program).arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(
                |error| WebDriverError {
                    code: "no chromedriver".into(),
                    message: format!(
                        "{}: {error}; `cargo xtask test` installs it, or `apt-get install chromium chromium-driver`",
                        program.display()
                    ),
                },
            )?;
        let stdout = driver.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut stdout = BufReader::new(stdout);
        let port = read_port(&mut stdout);
        // From here on a failure ends the driver, because the session owns it.
        let mut session =
            Self { driver, _stdout: stdout, port: port?, id: String::new(), browser_process: None };
        let answer =
            session.send("POST", "/session", &json!({"capabilities": {"alwaysMatch": capabilities}}))?;
        session.id = answer["sessionId"].as_str().unwrap_or_default().to_owned();
        session.browser_process = answer["capabilities"]["goog:processID"].as_u64();
        Ok(session)
    }

    /// One command of the session, as in `command("POST", "/url", &json!({"url": ".."}))`; answers its `value`.
    pub(crate) fn command(&self, method: &str, path: &str, body: &Value) -> Result<Value, WebDriverError> {
        self.send(method, &format!("/session/{}{path}", self.id), body)
    }

    /// The browser's main process.
    pub(crate) fn browser_process(&self) -> Option<u64> {
        self.browser_process
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, WebDriverError> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))?;
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let port = self.port;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        (&stream).write_all(request.as_bytes())?;
        let mut answer: Value = serde_json::from_slice(&read_body(stream)?).map_err(io::Error::other)?;
        let value = answer["value"].take();
        match value["error"].as_str() {
            None => Ok(value),
            Some(code) => Err(WebDriverError {
                code: code.to_owned(),
                message: value["message"].as_str().unwrap_or_default().to_owned(),
            }),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The browser may be gone already; then there is nothing to end.
        if !self.id.is_empty() {
            let _ = self.command("DELETE", "", &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Reads chromedriver's lines up to the one that names the port it picked.
fn read_port(stdout: &mut impl BufRead) -> io::Result<u16> {
    let mut said = String::new();
    loop {
        let start = said.len();
        if stdout.read_line(&mut said)? == 0 {
            return Err(io::Error::other(format!("chromedriver ended before it was ready: {said}")));
        }
        let line = &said[start..];
        if line.contains("started successfully on port") {
            let digits: String = line.chars().filter(char::is_ascii_digit).collect();
            return digits.parse().map_err(|_| io::Error::other(format!("no port in {line:?}")));
        }
    }
}

/// Reads one HTTP answer's body: exactly `content-length` bytes, because chromedriver leaves the connection open.
fn read_body(stream: TcpStream) -> io::Result<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::Error::other("chromedriver closed the connection without an answer"));
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}
