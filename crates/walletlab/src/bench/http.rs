//! The server over HTTP, beside a bare echo of the same library under the same load.
//!
//! Server and echo are processes of their own; the load comes from this one, over loopback, one request in flight on each
//! connection, and shares the machine with them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use server::files::DriverOptions;
use server::{ClockKind, Limits, PageSource, ServeOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Args;
use super::figure::{Figure, Latency, Took, float};
use super::machine::resident_bytes_of;
use crate::outcome::Failure;

const ACCOUNTS: u32 = 10_000;
const CONNECTIONS: [u32; 3] = [1, 64, 256];
/// The number of connections that the aims are about.
const CONNECTIONS_AIM: u32 = 64;
const TRANSFERS_AIM: f64 = 25_000.0;
const OF_ECHO_AIM: f64 = 0.5;
const IDLE_MIB_AIM: f64 = 30.0;
const RUN: Duration = Duration::from_secs(3);
const DURABLE: &str = "every answer after the fdatasync that covers it";
const ECHO: &str = "nothing is kept";

/// What a connection sends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Openings,
    Transfers,
    Balances,
    Echo,
}

pub(super) fn measure(args: &Args) -> Result<Vec<Figure>, Failure> {
    let directory = super::durable::temporary(args)?;
    let server =
        Server::start(Command::new(own_program()?).arg("serve").arg("--data").arg(directory.path()))?;
    let echo = Server::start(Command::new(own_program()?).args(["bench", "--echo-server"]))?;
    let idle = server.resident_mib();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::Usage(format!("cannot start the load's thread: {error}")))?;
    let run = |server: &Server, load, connections| runtime.block_on(load_on(server, load, connections));
    run(&server, Load::Openings, 64)?;
    let mut figures = vec![
        Figure::new("http-idle-memory", "resident memory of a server with an empty log", "MiB", vec![idle])
            .durability("an empty log")
            .aim_at_most(IDLE_MIB_AIM),
    ];
    let mut ratios = Vec::new();
    for connections in CONNECTIONS {
        let (mut transfers, mut echoes) = (Vec::new(), Vec::new());
        for _ in 0..args.runs {
            transfers.push(run(&server, Load::Transfers, connections)?);
            echoes.push(run(&echo, Load::Echo, connections)?);
        }
        let paired = transfers.iter().zip(&echoes).map(|(transfers, echo)| transfers.rate() / echo.rate());
        if connections == CONNECTIONS_AIM {
            ratios.extend(paired);
        }
        let figure = figure("transfers", "one transfer a request", "transfers/s", connections, &transfers);
        let figure = figure.durability(DURABLE);
        figures.push(match connections {
            CONNECTIONS_AIM => figure.aim_at_least(TRANSFERS_AIM),
            _ => figure,
        });
        let what = "the same requests, answered by a bare axum echo";
        figures.push(figure_of_echo(what, connections, &echoes));
    }
    let what = "transfers/s divided by the echo's requests/s, run by run";
    figures.push(
        Figure::new("http-of-echo", what, "of the echo", ratios)
            .settings([("connections", CONNECTIONS_AIM.into())])
            .durability(DURABLE)
            .aim_at_least(OF_ECHO_AIM),
    );
    let reads: Result<Vec<Run>, Failure> =
        (0..args.runs).map(|_| run(&server, Load::Balances, CONNECTIONS_AIM)).collect();
    figures.push(
        figure("reads", "one balance a request", "reads/s", CONNECTIONS_AIM, &reads?)
            .durability("read from what is durable"),
    );
    Ok(figures)
}

/// Answers every POST with its own body, until it is killed: what the HTTP library alone can do.
pub(super) fn echo_server() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let failed = |error| Failure::Usage(format!("the echo cannot be served: {error}"));
    runtime.map_err(failed)?.block_on(async {
        let router =
            axum::Router::new().route("/v1/wallet/transfer", axum::routing::post(async |body: String| body));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        println!("listening on http://{}", listener.local_addr().map_err(failed)?);
        axum::serve(listener, router).await.map_err(failed)
    })
}

/// The server itself, with connections, routes, limits and JSON, whose engine answers every command at once and keeps
/// nothing; until it is stopped.
pub(super) fn server_without_ledger(args: &Args) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Usage(format!("the server without ledger cannot be served: {error}"))
    };
    let listen = "127.0.0.1:0".parse().map_err(|error: std::net::AddrParseError| failed(&error))?;
    let options = ServeOptions {
        listen,
        page: PageSource::None,
        data: args.data.clone(),
        journal: DriverOptions::default(),
        clock: ClockKind::Wall,
        tokens: None,
        hosts: Vec::new(),
        limits: Limits::default(),
    };
    runtime.map_err(|error| failed(&error))?.block_on(async {
        let bound = server::bind(options).await.map_err(|error| failed(&error))?.without_ledger();
        println!("listening on http://{}", bound.address());
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        bound.run(stop).await.map_err(|error| failed(&error))
    })
}

fn figure(name: &str, what: &'static str, unit: &'static str, connections: u32, runs: &[Run]) -> Figure {
    let rates = runs.iter().map(Run::rate).collect();
    let mut nanos: Vec<f64> = runs.iter().map(|run| float(run.server_nanos) / float(run.count())).collect();
    nanos.sort_by(f64::total_cmp);
    let mut micros: Vec<u32> = runs.iter().flat_map(|run| run.micros.iter().copied()).collect();
    let mut figure = Figure::new(&format!("http-{name}-{connections}"), what, unit, rates)
        .settings([("connections", connections.into()), ("accounts", ACCOUNTS.into())]);
    figure.processor_nanos_each = nanos.get(nanos.len() / 2).copied();
    figure.latency = Latency::of(&mut micros);
    figure
}

fn figure_of_echo(what: &'static str, connections: u32, runs: &[Run]) -> Figure {
    figure("echo", what, "requests/s", connections, runs).durability(ECHO)
}

/// What one run came to.
struct Run {
    took: Took,
    /// How long each request took, in microseconds.
    micros: Vec<u32>,
    /// Processor time of the server in all.
    server_nanos: u64,
}

impl Run {
    fn count(&self) -> u64 {
        self.micros.len() as u64
    }

    fn rate(&self) -> f64 {
        float(self.count()) / self.took.wall.as_secs_f64()
    }
}

/// A process of this program that listens.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(command: &mut Command) -> Result<Server, Failure> {
        let failed = |what: String| Failure::Usage(format!("the server to be measured: {what}"));
        if command.get_args().any(|argument| argument == "serve") {
            command.args(["--listen", "127.0.0.1:0", "--log-level", "error"]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| failed(error.to_string()))?;
        let mut line = String::new();
        let out = child.stdout.take().ok_or_else(|| failed("it has no output".to_owned()))?;
        let read = BufReader::new(out).read_line(&mut line);
        let address = line.trim().strip_prefix("listening on http://").and_then(|text| text.parse().ok());
        match (read, address) {
            (Ok(_), Some(address)) => Ok(Server { child, address }),
            (read, _) => {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                Err(failed(format!("it does not say where it listens ({read:?}): {line}")))
            }
        }
    }

    fn resident_mib(&self) -> f64 {
        resident_bytes_of(&self.child.id().to_string()).map_or(f64::NAN, |bytes| float(bytes) / 1_048_576.0)
    }

    /// What all its threads have spent on a processor so far.
    fn processor_nanos(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        nanos.sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to be done about either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_program() -> Result<std::path::PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::Usage(format!("cannot find the program to be measured: {error}")))
}

async fn load_on(server: &Server, load: Load, connections: u32) -> Result<Run, Failure> {
    let before = server.processor_nanos();
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for connection in 0..connections {
        tasks.spawn(client(server.address, load, connection, connections, started));
    }
    let mut micros = Vec::new();
    while let Some(done) = tasks.join_next().await {
        let done = done.map_err(|error| error.to_string()).and_then(|done| done);
        micros.extend(done.map_err(|error| Failure::Finding(format!("the load failed: {error}")))?);
    }
    let took = Took { wall: started.elapsed(), processor_nanos: None };
    Ok(Run { took, micros, server_nanos: server.processor_nanos() - before })
}

/// One connection with one request in flight.
async fn client(
    address: SocketAddr,
    load: Load,
    number: u32,
    clients: u32,
    started: Instant,
) -> Result<Vec<u32>, String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let mut random = u64::from(number) * 0x9E37_79B9_7F4A_7C15 + 1;
    let mut micros = Vec::new();
    let mut answer = Vec::with_capacity(4_096);
    let mut accounts = (number..ACCOUNTS).step_by(clients as usize);
    loop {
        let request = match load {
            Load::Openings => match accounts.next() {
                Some(account) => opening(account),
                None => return Ok(micros),
            },
            _ if started.elapsed() >= RUN => return Ok(micros),
            Load::Transfers | Load::Echo => transfer(&mut random),
            Load::Balances => {
                let account = next(&mut random) % u64::from(ACCOUNTS);
                format!("GET /v1/wallet/balance/account-{account} HTTP/1.1\r\nhost: localhost\r\n\r\n")
            }
        };
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
        read_answer(&mut stream, &mut answer).await?;
        micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        if !answer.starts_with(b"HTTP/1.1 20") {
            return Err(String::from_utf8_lossy(&answer).into_owned());
        }
    }
}

fn opening(account: u32) -> String {
    post("accounts", &format!("{{\"account_id\":\"account-{account}\",\"opening_balance\":1000000000000}}"))
}

/// Between two random accounts, with an id of the client's own.
fn transfer(random: &mut u64) -> String {
    let (high, low) = (next(random), next(random));
    let from = next(random) % u64::from(ACCOUNTS);
    let to = (from + 1 + next(random) % u64::from(ACCOUNTS - 1)) % u64::from(ACCOUNTS);
    let body = format!(
        "{{\"transaction_id\":\"{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}\",\"from_account\":\"account-{from}\",\
         \"to_account\":\"account-{to}\",\"amount\":1}}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        low >> 52,
        low & 0xffff_ffff_ffff
    );
    post("transfer", &body)
}

fn post(route: &str, body: &str) -> String {
    format!(
        "POST /v1/wallet/{route} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Xorshift: fast, and the same in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

/// Reads one whole answer, which has a content length.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<(), String> {
    answer.clear();
    loop {
        let read = stream.read_buf(answer).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the server closed the connection".to_owned());
        }
        let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&answer[..head]).map_err(|error| error.to_string())?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        let length = length.ok_or("an answer without a length")?;
        if answer.len() >= head + 4 + length {
            return Ok(());
        }
    }
}
