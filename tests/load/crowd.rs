//! A crowd of clients that do nothing useful, held beside a load to see what it costs the others:
//!
//! ```sh
//! cargo run --release -p walletlab-tests --example crowd -- 127.0.0.1:8080 5000
//! ```
//!
//! Of all connections nine in ten are idle; of the rest a third each begins a request and never ends it, sends a body
//! byte by byte, and follows the log without reading. Those that the server lets go are opened again. It ends with Enter,
//! or with the end of its standard input.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// The slow ones send a byte, and dead ones are replaced, this often.
const BEAT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy)]
enum Kind {
    Idle,
    /// Headers that never end.
    SlowHead,
    /// A body that comes byte by byte.
    SlowBody,
    /// A stream of events that nobody reads.
    Deaf,
}

struct Member {
    kind: Kind,
    stream: Option<TcpStream>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().and_then(|text| text.parse().ok());
    let count = arguments.next().and_then(|text| text.parse().ok());
    let (Some(address), Some(count)) = (address, count) else {
        eprintln!("crowd ADDRESS:PORT CONNECTIONS");
        return ExitCode::from(2);
    };
    let (end, over) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || hold(address, count, &over));
        let _ = io::stdin().read_line(&mut String::new());
        drop(end);
    });
    ExitCode::SUCCESS
}

/// Keeps so many connections open until the other end of `over` is gone.
fn hold(address: SocketAddr, count: usize, over: &Receiver<()>) {
    let kinds = [Kind::SlowHead, Kind::SlowBody, Kind::Deaf];
    let kind = |number: usize| if number.is_multiple_of(10) { kinds[number / 10 % 3] } else { Kind::Idle };
    let mut crowd: Vec<Member> =
        (0..count).map(|number| Member { kind: kind(number), stream: None }).collect();
    let mut opened = 0;
    loop {
        let before = opened;
        for member in &mut crowd {
            if !member.is_there() {
                member.stream = begin(address, member.kind).ok();
                opened += usize::from(member.stream.is_some());
            }
        }
        if opened != before {
            let there = crowd.iter().filter(|member| member.stream.is_some()).count();
            println!("{there} connections are open, {opened} were opened");
        }
        if over.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

impl Member {
    /// Sends its byte, if it is one that sends, and says whether the server still holds it.
    fn is_there(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        match self.kind {
            Kind::SlowHead | Kind::SlowBody => stream.write_all(b"x").is_ok(),
            // Something to read says nothing about whether it ended: a deaf one does not look.
            Kind::Deaf => true,
            Kind::Idle => match stream.peek(&mut [0]) {
                Ok(length) => length > 0,
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            },
        }
    }
}

fn begin(address: SocketAddr, kind: Kind) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    let beginning = match kind {
        Kind::Idle => "",
        Kind::SlowHead => "GET /health HTTP/1.1\r\nhost: localhost\r\nx: ",
        Kind::SlowBody => {
            "POST /v1/wallet/transfer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n"
        }
        Kind::Deaf => "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
    };
    stream.write_all(beginning.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
