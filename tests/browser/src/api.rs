//! A client of the server's HTTP API, and the load that some of them make.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

/// How long a client waits before it looks for a server that is away again.
const AWAY_MILLIS: u64 = 20;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// One client with one connection, made anew when it broke.
#[derive(Debug)]
pub struct Api {
    address: String,
    token: Option<String>,
    connection: Option<BufReader<TcpStream>>,
}

/// A status and a JSON body; `null` where the body is none.
pub type Answer = (u16, Value);

impl Api {
    /// A client of the server at `url`, as in `http://127.0.0.1:40123`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { address, token: None, connection: None }
    }

    /// The same with a bearer token.
    #[must_use]
    pub fn with_token(url: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::new(url) }
    }

    /// Asks for `path`.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, None).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Posts JSON to `path`.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some(body)).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Opens accounts `NAME-0`, `NAME-1` and so on, each with `balance` minor units of USD.
    ///
    /// # Panics
    /// When the server does not.
    #[track_caller]
    pub fn open_accounts(&mut self, name: &str, count: u32, balance: i64) {
        for number in 0..count {
            let body = json!({"account_id": format!("{name}-{number}"), "opening_balance": balance});
            let (status, answer) = self.post("/v1/wallet/accounts", &body);
            assert!(matches!(status, 200 | 201), "{status} {answer}");
        }
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// The connection could not be made or broke. Whether the server did what was asked is not known then.
    pub fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let outcome = self.try_ask(method, path, body);
        if outcome.is_err() {
            self.connection = None;
        }
        outcome
    }

    fn try_ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream = TcpStream::connect(&self.address)?;
                stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                stream.set_nodelay(true)?;
                none.insert(BufReader::new(stream))
            }
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if let Some(token) = &self.token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if !body.is_empty() {
            request
                .push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(&body);
        connection.get_mut().write_all(request.as_bytes())?;
        read_answer(connection)
    }
}

fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    connection.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken("no status line"))?;
    let mut length = 0_usize;
    loop {
        line.clear();
        connection.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| broken("content-length is no number"))?;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}

/// Clients that send transfers one after the other until they are stopped, whether the server is there or not.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Begins: `clients` of them send 1 minor unit around among the accounts `NAME-0` to `NAME-(accounts - 1)`.
    #[must_use]
    pub fn start(url: &str, clients: u32, name: &str, accounts: u32) -> Self {
        let (stop, completed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients).map(|client| {
            let (stop, completed) = (Arc::clone(&stop), Arc::clone(&completed));
            let (mut api, name) = (Api::new(url), name.to_owned());
            thread::spawn(move || {
                let mut number = client;
                while !stop.load(Ordering::Relaxed) {
                    number = number.wrapping_add(1);
                    let (from, to) = (number % accounts, (number + 1 + number / accounts) % accounts);
                    let body = json!({"from_account": format!("{name}-{from}"), "to_account": format!("{name}-{to}"), "amount": 1});
                    match api.ask("POST", "/v1/wallet/transfer", Some(&body)) {
                        Ok((200, _)) => drop(completed.fetch_add(1, Ordering::Relaxed)),
                        Ok(_) => {}
                        Err(_) => thread::sleep(Duration::from_millis(AWAY_MILLIS)),
                    }
                }
            })
        });
        let clients = clients.collect();
        Self { stop, completed, clients }
    }

    /// Transfers that were answered as completed so far.
    #[must_use]
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Ends the load; answers how many transfers were answered as completed.
    ///
    /// # Panics
    /// When a client panicked.
    #[track_caller]
    pub fn stop(mut self) -> u64 {
        self.end();
        self.completed()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let ended = client.join();
            assert!(ended.is_ok() || thread::panicking(), "a client of the load panicked");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}
