//! A real client of HTTP/2 against a real socket.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::files::DriverOptions;
use crate::{ClockKind, Limits, PageSource, ServeError, ServeOptions, bind};

/// Nothing here takes longer on a machine that works, however busy.
const LONGEST: Duration = Duration::from_secs(60);

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    _directory: tempfile::TempDir,
}

impl Running {
    async fn start(limits: Limits) -> Running {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let bound = bind(ServeOptions {
            listen: "127.0.0.1:0".parse().expect("an address"),
            page: PageSource::None,
            data: directory.path().join("data"),
            journal: DriverOptions::default(),
            tokens: None,
            hosts: Vec::new(),
            clock: ClockKind::Wall,
            limits,
        });
        let bound = bound.await.expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let address = bound.address();
        let server = tokio::spawn(bound.run(async move { drop(stopped.await) }));
        Running { address, stop, server, _directory: directory }
    }

    /// A connection, and its end.
    async fn connect(&self) -> (Client, JoinHandle<hyper::Result<()>>) {
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let handshake = handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("a handshake");
        (Client { sender, address: self.address }, tokio::spawn(connection))
    }

    async fn stop(self) {
        self.stop.send(()).expect("still running");
        let stopped = tokio::time::timeout(LONGEST, self.server).await.expect("it stops in time");
        stopped.expect("no panic").expect("a clean stop");
    }
}

#[derive(Clone)]
struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Client {
    fn request(&self, method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
        let request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/json");
        request.body(Full::new(Bytes::from(body.to_owned()))).expect("a request")
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        let request = self.request(method, path, body);
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

async fn open_accounts(client: &mut Client) {
    for body in [r#"{"account_id":"alice","opening_balance":1000}"#, r#"{"account_id":"bob"}"#] {
        let (status, body) = client.send("POST", "/v1/wallet/accounts", body).await;
        assert_eq!(status, 201, "{body}");
    }
}

#[tokio::test]
async fn many_requests_share_a_connection_and_a_stop_ends_it() {
    let running = Running::start(Limits::default()).await;
    let (mut client, connection) = running.connect().await;
    open_accounts(&mut client).await;
    let transfers: Vec<_> = (0..200)
        .map(|_| {
            let mut client = client.clone();
            let body = r#"{"from_account":"alice","to_account":"bob","amount":1}"#;
            tokio::spawn(async move { client.send("POST", "/v1/wallet/transfer", body).await })
        })
        .collect();
    for transfer in transfers {
        let (status, body) = transfer.await.expect("no panic");
        assert_eq!(status, 200, "{body}");
    }
    let (status, body) = client.send("GET", "/v1/wallet/balance/bob", "").await;
    assert_eq!(status, 200);
    assert!(body.contains("\"balance\":200,"), "{body}");
    running.stop().await;
    let ended = tokio::time::timeout(LONGEST, connection).await.expect("it is told to end");
    ended.expect("no panic").expect("in order");
}

#[tokio::test]
async fn the_limits_are_those_of_any_connection() {
    let limits = Limits { header_bytes_max: 2_000, body_bytes_max: 100, ..Limits::default() };
    let running = Running::start(limits).await;
    let (mut client, _connection) = running.connect().await;
    let (status, body) = client.send("POST", "/v1/wallet/transfer", &" ".repeat(101)).await;
    assert_eq!(status, 413, "{body}");
    let mut request = client.request("GET", "/health/live", "");
    request.headers_mut().insert("x-long", "a".repeat(4_000).parse().expect("a value"));
    match client.sender.send_request(request).await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(!error.is_timeout(), "refused as a stream: {error}"),
    }
    let (mut client, _connection) = running.connect().await;
    let (status, _) = client.send("GET", "/health/live", "").await;
    assert_eq!(status, 200);
    running.stop().await;
}

#[tokio::test]
async fn a_connection_without_requests_ends_and_so_does_half_a_preface() {
    let limits = Limits { header_timeout_ms: 50, ..Limits::default() };
    let running = Running::start(limits).await;
    let (mut client, connection) = running.connect().await;
    let (status, _) = client.send("GET", "/health/live", "").await;
    assert_eq!(status, 200);
    let ended = tokio::time::timeout(LONGEST, connection).await.expect("it is closed");
    // In order, or as a connection that is gone: the client is told before.
    let _ = ended.expect("no panic");
    for said in ["", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let stream = TcpStream::connect(running.address).await.expect("connected");
        stream.writable().await.expect("writable");
        stream.try_write(said.as_bytes()).expect("written");
        let closed = async {
            loop {
                stream.readable().await.expect("readable");
                match stream.try_read(&mut [0; 1_024]) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        tokio::time::timeout(LONGEST, closed).await.expect("it is closed");
    }
    running.stop().await;
}

#[tokio::test]
async fn requests_that_are_given_up_at_once_keep_nobody_else_from_theirs() {
    let running = Running::start(Limits::default()).await;
    let (mut client, _connection) = running.connect().await;
    open_accounts(&mut client).await;
    for _ in 0..2_000 {
        let body = r#"{"from_account":"alice","to_account":"bob","amount":1}"#;
        let request = client.request("POST", "/v1/wallet/transfer", body);
        let mut sender = client.sender.clone();
        // Dropped when it has gone out, which resets it. A connection that was closed for that refuses it.
        let given_up = tokio::spawn(async move { sender.send_request(request).await.is_ok() });
        tokio::task::yield_now().await;
        given_up.abort();
    }
    let (mut other, _connection) = running.connect().await;
    let (status, body) = other.send("GET", "/v1/wallet/balance/bob", "").await;
    assert_eq!(status, 200, "{body}");
    running.stop().await;
}
