//! Raw bytes on a connection of a real server, in this very process, so that libFuzzer sees which code they reach.
//!
//! No input may make the server panic (the hook of libfuzzer-sys aborts on a panic in any thread), answer 5xx, or fall
//! silent for others. Inputs that are good commands are carried out: the sum of all clients' money stays what deposits
//! and withdrawals make of it, which the ledger's own assertions hold.

#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use server::files::DriverOptions;
use server::{ClockKind, Limits, PageSource, ServeOptions};

const SECONDS_MAX: u64 = 20;
const MOMENT: Duration = Duration::from_millis(50);

/// The server; it runs until the process ends.
static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(start);

fuzz_target!(|request: &[u8]| {
    let answer = exchange(request);
    for line in String::from_utf8_lossy(&answer).split("HTTP/1.1 ").skip(1) {
        // The one 5xx that a client may ask for: a record that does not come within a millisecond.
        assert!(!line.starts_with('5') || line.starts_with("504"), "{line}");
    }
    // On a machine that is busy a moment may be too short for the answer; then there is none, but an end.
    let alive = exchange(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert!(alive.is_empty() || alive.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&alive));
});

/// Sends everything and reads what is answered. When nothing more comes for a moment it hangs up, and the server must end
/// the connection too.
fn exchange(request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(*ADDRESS).expect("the server listens");
    stream.set_read_timeout(Some(MOMENT)).expect("set");
    // The server may close before it has everything.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut part = [0; 4_096];
    let mut hung_up = false;
    loop {
        match stream.read(&mut part) {
            Ok(0) => return answer,
            Ok(length) => answer.extend_from_slice(&part[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock && !hung_up => {
                hung_up = true;
                stream.set_read_timeout(Some(Duration::from_secs(SECONDS_MAX))).expect("set");
                let _ = stream.shutdown(Shutdown::Write);
            }
            Err(error) => {
                assert!(error.kind() != ErrorKind::WouldBlock, "silent for {SECONDS_MAX} s");
                return answer;
            }
        }
    }
}

fn start() -> SocketAddr {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let data = tempfile::tempdir().expect("a temporary directory");
    let options = ServeOptions {
        listen: "127.0.0.1:0".parse().expect("an address"),
        page: PageSource::None,
        data: data.path().join("data"),
        journal: DriverOptions::default(),
        tokens: None,
        hosts: Vec::new(),
        clock: ClockKind::Wall,
        limits: Limits {
            header_timeout_ms: 5_000,
            body_timeout_ms: 1_000,
            write_timeout_ms: 1_000,
            read_wait_ms_max: 1,
            ..Limits::default()
        },
    };
    let bound = runtime.block_on(server::bind(options)).expect("it starts");
    let address = bound.address();
    std::thread::spawn(move || {
        // The directory lives as long as the server.
        let _data = data;
        runtime.block_on(bound.run(std::future::pending())).expect("it never stops");
    });
    address
}
