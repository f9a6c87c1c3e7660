//! Keeps requests in flight over so many connections: each answered one makes room for the next (closed loop), or they
//! start at a fixed rate whatever the answers do (open loop).
//!
//! In an open loop a request's latency counts from when it was due, not from when it was sent: a server that stalls for a
//! second is charged for everything that was due in that second (no coordinated omission). What was due in the window and
//! never begun counts with the time it has waited so far.

mod connection;
mod shared;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use self::connection::Connection;
use self::shared::{Phase, Shared, Source};
use crate::measured::{Measured, float};
use crate::pacer::Pacer;
use crate::process::{self, Tree};
use crate::speak::{Target, speaker};
use crate::workload::{Distribution, Ids, Workload};

/// Connections that are being opened at once.
const CONNECTING_MAX: usize = 128;
/// How long a connection, its greeting, and the last answers may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The shortest time between two looks at what is due.
const TICK_MIN: Duration = Duration::from_micros(50);

/// What is sent, where to, and how much of it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The words that the server understands
    #[arg(long, value_enum)]
    target: Target,
    /// Where it listens
    #[arg(long, value_name = "ADDRESS")]
    address: SocketAddr,
    /// Its process; what that one started belongs to it
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// The hash by which Redis knows its script
    #[arg(long, value_name = "SHA1")]
    script: Option<String>,
    /// Connections that work
    #[arg(long, value_name = "N", default_value_t = 64)]
    connections: u32,
    /// Further connections that are open and idle
    #[arg(long, value_name = "N", default_value_t = 0)]
    hold: u32,
    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    depth: usize,
    /// Transfers in a request
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,
    /// Requests a second, whatever the answers do; without it as many as the connections can take
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// Accounts that transfers are drawn from
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..))]
    accounts: u32,
    /// How they are drawn
    #[arg(long, value_enum, default_value = "uniform")]
    distribution: Distribution,
    /// The ids that transfers get
    #[arg(long, value_enum, default_value = "v7")]
    ids: Ids,
    /// What the accounts are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long the load runs before the window
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    warm_up: f64,
    /// The window
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
}

/// What accounts are opened with.
#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    /// Where the wallet server listens
    #[arg(long, value_name = "ADDRESS")]
    address: SocketAddr,
    /// How many
    #[arg(long, value_name = "N")]
    accounts: u32,
    /// What each has at first, in the smallest unit
    #[arg(long, value_name = "AMOUNT")]
    balance: i64,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 256)]
    connections: u32,
}

/// Sends transfers, and measures a window of it.
pub(crate) fn run(args: &Args) -> anyhow::Result<Measured> {
    if args.rate.is_some() && args.depth != 1 {
        bail!("a fixed rate has one request in flight on each connection: leave --depth away");
    }
    let workload = Workload::new(args.accounts, args.distribution, args.ids, args.seed);
    let shared = Rc::new(Shared::new(Source::transfers(workload, args.batch), args.rate));
    on_this_thread(async {
        let connections = connect_all(args, args.connections, args.depth).await?;
        let held = hold(args.address, args.hold).await?;
        let clients = spawn_all(connections, &shared);
        if let Some(rate) = args.rate {
            tokio::task::spawn_local(pace(Rc::clone(&shared), rate));
        }
        let mut measured = window(args, &shared).await;
        measured.held_open = held.iter().filter(|stream| is_open(stream)).count() as u64;
        finish(clients).await?;
        shared.complete(&mut measured);
        Ok(measured)
    })
}

/// Opens accounts, each once; all of them must succeed.
pub(crate) fn open(args: &OpenArgs) -> anyhow::Result<Measured> {
    let shared = Rc::new(Shared::new(Source::openings(args.accounts, args.balance), None));
    on_this_thread(async {
        shared.phase.set(Phase::Measuring);
        let began = Instant::now();
        let connections = Connecting { address: args.address, target: Target::Http, script: None, depth: 1 };
        let clients = spawn_all(connections.all(args.connections).await?, &shared);
        finish(clients).await?;
        let mut measured = Measured { seconds: began.elapsed().as_secs_f64(), ..Measured::default() };
        shared.complete(&mut measured);
        if let Some(error) = measured.first_error.filter(|_| measured.errors > 0) {
            bail!("{} of {} accounts could not be opened: {error}", measured.errors, args.accounts);
        }
        Ok(Measured { first_error: None, ..measured })
    })
}

fn on_this_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, work)
}

/// Waits for the warm-up, and looks at clocks and counters on both sides of the window.
async fn window(args: &Args, shared: &Shared) -> Measured {
    let tree = args.pid.map(|root| Tree { root });
    let spent = || (tree.map(Tree::processor_nanos), process::own_nanos());
    tokio::time::sleep(Duration::from_secs_f64(args.warm_up)).await;
    let before = spent();
    shared.begin_window();
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    shared.end_window();
    let seconds = began.elapsed().as_secs_f64();
    let after = spent();
    let server = after.0.zip(before.0).map(|(after, before)| float(after.saturating_sub(before)));
    let percent = |nanos: f64| nanos / (seconds * 1e7);
    let operations = shared.operations();
    Measured {
        seconds,
        server_nanos_each: server.filter(|_| operations > 0).map(|nanos| nanos / float(operations)),
        server_processor_percent: server.map(percent),
        server_resident_mib: tree.map(|tree| float(tree.resident_bytes()) / 1_048_576.0),
        load_processor_percent: percent(float(after.1.saturating_sub(before.1))),
        ..Measured::default()
    }
}

/// Makes requests due, evenly, until the window ends.
async fn pace(shared: Rc<Shared>, rate: u64) -> std::io::Result<()> {
    let interval = Duration::from_nanos(1_000_000_000 / rate.max(1));
    let pacer = Pacer::every(interval.max(TICK_MIN))?;
    shared.begin_schedule();
    while shared.phase.get() != Phase::Stopping {
        pacer.tick().await;
        shared.release_due();
    }
    Ok(())
}

async fn connect_all(args: &Args, count: u32, depth: usize) -> anyhow::Result<Vec<Connection>> {
    let script = args.script.as_deref();
    Connecting { address: args.address, target: args.target, script, depth }.all(count).await
}

#[derive(Clone, Copy)]
struct Connecting<'a> {
    address: SocketAddr,
    target: Target,
    script: Option<&'a str>,
    depth: usize,
}

impl Connecting<'_> {
    /// Opens and greets them, a few at a time.
    async fn all(self, count: u32) -> anyhow::Result<Vec<Connection>> {
        let mut connections = Vec::new();
        let mut opening = JoinSet::new();
        let mut left = count;
        while left > 0 || !opening.is_empty() {
            while left > 0 && opening.len() < CONNECTING_MAX {
                let speaker = speaker(self.target, self.script).map_err(|error| anyhow!(error))?;
                let opened = Connection::open(self.address, speaker, self.depth);
                opening.spawn_local(tokio::time::timeout(PATIENCE, opened));
                left -= 1;
            }
            let Some(opened) = opening.join_next().await else { break };
            let failed = || format!("connection {} of {count} to {}", connections.len() + 1, self.address);
            connections
                .push(opened?.context("it takes too long").and_then(|opened| opened).with_context(failed)?);
        }
        Ok(connections)
    }
}

/// Opens connections that do nothing.
async fn hold(address: SocketAddr, count: u32) -> anyhow::Result<Vec<TcpStream>> {
    let mut held = Vec::new();
    for number in 0..count {
        let failed = || format!("idle connection {} of {count} to {address}", number + 1);
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
        held.push(stream.with_context(failed)?.with_context(failed)?);
    }
    Ok(held)
}

/// Whether the server has neither closed it nor said anything.
fn is_open(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

fn spawn_all(connections: Vec<Connection>, shared: &Rc<Shared>) -> JoinSet<anyhow::Result<()>> {
    let mut clients = JoinSet::new();
    for connection in connections {
        clients.spawn_local(connection.talk(Rc::clone(shared)));
    }
    clients
}

/// Waits for the answers that are still on their way, so that they do not burden the next run.
async fn finish(mut clients: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = clients.join_next().await {
        done??;
    }
    Ok(())
}
