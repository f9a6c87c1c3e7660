//! `walletlab run`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use ledger::{Command, CommandKind, Ledger, Reason, TransactionResult};
use pipeline::{Answer, Replayed, Reply, Request};
use serde::Serialize;
use server::files::{Closed, Driver, DriverOpened, FilesError};
use sim::csv::{Commands, Feed, FeedError, FeedFile, FeedOptions, Mapping};

use crate::interrupt::Interrupt;
use crate::log_source::hash_seed;
use crate::outcome::{Failure, Outcome, Verdict, not_printed, print, print_json};
use crate::summary::{Summary, violations};

/// Batches under way at once: as many as the driver has room for.
const WINDOW_BATCHES: u32 = Driver::BATCHES_MAX;

/// Run CSV files of accounts and transfers through the pipeline into a data directory.
///
/// The files may be gzipped. All rows are read and checked before the first is run, so a malformed row changes nothing.
/// The id of a transfer is derived from the file's decompressed bytes and the row's number, as in the page: running a
/// file twice changes nothing, a run that was interrupted goes on where it ended, and two equal rows are two transfers.
///
/// A transfer that is refused (insufficient funds, the same account twice, ...) is an outcome, not an error.
#[derive(Debug, clap::Args)]
#[command(after_long_help = concat!("\
Examples:
  walletlab run --accounts accounts.csv --transfers transfers.csv --data data
  walletlab run --accounts nodes.csv.gz --transfers transactions.csv.gz --data data --json \\
    --map account=nodeid,opening_balance=init_balance,from_account=sourceNodeId,to_account=targetNodeId,amount=value

Columns are named in the first line; those that --map leaves out have the names of its fields.

With --json: what `replay --json` prints of the data directory, and `this_run`: {rows, opened, openings_failed,
transfers_completed, transfers_failed, failed_by_reason, repeats, conflicts, seconds, transfers_per_second}

Exit codes:
  0  every row has its outcome, and the log is closed with a seal
  1  a malformed row (file:line: what), an account that is open already with another body, a damaged log, an append
     that failed, or Ctrl-C; what was durable before stays, and the same command goes on from there
  2  wrong options, a file that is missing, a data directory that is in use"))]
pub(crate) struct Args {
    /// CSV file of accounts to open
    #[arg(long, value_name = "FILE", required_unless_present = "transfers")]
    accounts: Option<PathBuf>,
    /// CSV file of transfers to make, after the accounts
    #[arg(long, value_name = "FILE")]
    transfers: Option<PathBuf>,
    /// The data directory; made if there is none
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which column holds what: field=column,field=column; the fields are account, opening_balance, from_account,
    /// to_account, amount
    #[arg(long, value_name = "FIELD=COLUMN,...", default_value = "")]
    map: Mapping,
    /// Decimal places of the asset, and how many an amount may have
    #[arg(long, value_name = "DIGITS", default_value_t = 2)]
    scale: u8,
    /// The asset of the accounts
    #[arg(long, value_name = "CODE", default_value = "USD")]
    asset: String,
    /// Records in one append at most; appends that wait for the disk share a sync
    #[arg(long, value_name = "RECORDS", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    batch: u32,
    /// After each sync print the line `durable N`: every record with a sequence below N is on the disk
    #[arg(long)]
    report_durable: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a run did and what its log comes to now.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    summary: Summary,
    this_run: ThisRun,
}

#[derive(Debug, Default, Serialize)]
struct ThisRun {
    /// Rows that have been answered.
    rows: u64,
    opened: u64,
    openings_failed: u64,
    transfers_completed: u64,
    transfers_failed: u64,
    failed_by_reason: BTreeMap<&'static str, u64>,
    /// Rows whose outcome was there before.
    repeats: u64,
    /// Accounts that were open already with another body.
    conflicts: u64,
    seconds: f64,
    transfers_per_second: f64,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let feed = Arc::new(feed(args)?);
    let interrupt = Interrupt::listen();
    let started = Instant::now();
    let config = Driver::config(args.batch, hash_seed());
    let DriverOpened { driver, cut } = Driver::open(&args.data, &config)?;
    if let Some(cut) = cut {
        eprintln!("{cut}");
    }
    check_scale(args, driver.pipeline().ledger())?;
    let mut run = Run::new(args, &feed, driver);
    run.report_durable()?;
    let ended = run.feed(&interrupt);
    let (closed, mut this_run, problems) = run.close(ended)?;
    let (ledger, projections) = (closed.pipeline.ledger(), closed.reads.projections());
    this_run.seconds = started.elapsed().as_secs_f64();
    let transfers = this_run.transfers_completed + this_run.transfers_failed;
    this_run.transfers_per_second = rate(transfers, this_run.seconds);
    let summary = Summary::new(ledger, projections);
    let was_cut_short = this_run.rows < feed.rows_count();
    let report = Report { summary, this_run };
    if args.json {
        print_json(&report)?;
    } else {
        print(&report)?;
    }
    if was_cut_short {
        eprintln!(
            "interrupted after {} of {} rows; what is there is durable, and the same command goes on from there",
            report.this_run.rows,
            feed.rows_count()
        );
    }
    let broken = violations(ledger, &projections.balances, &projections.totals, Some(&projections.pending));
    problems.iter().chain(&broken).for_each(|problem| eprintln!("{problem}"));
    let is_fine = problems.is_empty() && broken.is_empty() && !was_cut_short;
    Ok(if is_fine { Verdict::Fine } else { Verdict::Finding })
}

/// The amounts of the files mean what they mean in the log: the asset's decimal places there are those given here.
fn check_scale(args: &Args, ledger: &Ledger) -> Result<(), Failure> {
    let dir = args.data.display();
    let (asset, scale) = (&args.asset, args.scale);
    for account in ledger.accounts() {
        if account.asset.as_str() == asset && account.scale != scale {
            let stored = account.scale;
            return Err(Failure::Usage(format!(
                "--scale {scale}: the log in {dir} counts {asset} with {stored} decimal places; give --scale {stored}"
            )));
        }
    }
    let has_others =
        ledger.accounts_count() > 0 && ledger.accounts().all(|account| account.asset.as_str() != asset);
    if has_others && args.accounts.is_none() {
        return Err(Failure::Usage(format!(
            "--asset {asset}: the log in {dir} has no account in {asset}; give the asset of its accounts with --asset"
        )));
    }
    Ok(())
}

/// Reads and checks both files.
fn feed(args: &Args) -> Result<Feed, Failure> {
    let read = |path: &Option<PathBuf>| match path {
        None => Ok(None),
        Some(path) => fs::read(path).map(Some).map_err(|error| Failure::unreadable(path, &error)),
    };
    let (accounts, transfers) = (read(&args.accounts)?, read(&args.transfers)?);
    if let Err(error) = args.asset.parse::<ledger::Asset>() {
        return Err(Failure::Usage(format!("--asset {}: {error}", args.asset)));
    }
    if args.scale > ledger::SCALE_MAX {
        return Err(Failure::Usage(format!("--scale {}: at most {}", args.scale, ledger::SCALE_MAX)));
    }
    let options = FeedOptions { mapping: args.map.clone(), asset: args.asset.clone(), scale: args.scale };
    let feed = Feed::new(accounts.as_deref(), transfers.as_deref(), options);
    feed.map_err(|error| Failure::Finding(in_file(args, &error)))
}

/// `file:line: what`.
fn in_file(args: &Args, error: &FeedError) -> String {
    let file = path_of(args, error.file).display();
    match error.line {
        Some(line) => format!("{file}:{line}: {}", error.what),
        None => format!("{file}: {}", error.what),
    }
}

fn path_of(args: &Args, file: FeedFile) -> &Path {
    let path = match file {
        FeedFile::Accounts => &args.accounts,
        FeedFile::Transfers => &args.transfers,
    };
    path.as_deref().unwrap_or(Path::new("the options"))
}

/// A feed on its way through a pipeline.
struct Run<'a> {
    args: &'a Args,
    feed: &'a Feed,
    commands: Commands,
    driver: Driver,
    /// The row that the next command comes from, counted over both files from 0. It is the command's request id.
    next_row: u64,
    /// Commands without an answer, by their row.
    pending: HashMap<u64, Command>,
    /// Rows that were answered `Busy`, to be sent again.
    busy: Vec<u64>,
    durable_before: Option<u64>,
    tally: ThisRun,
    problems: Vec<String>,
    /// Whether a row found no room on the disk, which ends the run.
    storage_full: bool,
    progress: ProgressBar,
}

impl<'a> Run<'a> {
    fn new(args: &'a Args, feed: &'a Arc<Feed>, driver: Driver) -> Run<'a> {
        Run {
            args,
            feed,
            commands: feed.commands(),
            driver,
            next_row: 0,
            pending: HashMap::new(),
            busy: Vec::new(),
            durable_before: None,
            tally: ThisRun::default(),
            problems: Vec::new(),
            storage_full: false,
            progress: progress_bar(feed.rows_count()),
        }
    }

    /// Feeds rows until all are answered, or somebody interrupts.
    fn feed(&mut self, interrupt: &Interrupt) -> Result<(), Stopped> {
        loop {
            let requests = self.next_requests(interrupt);
            let is_waiting = requests.is_empty();
            if is_waiting && self.pending.is_empty() {
                return Ok(());
            }
            if !is_waiting {
                self.driver.submit(requests);
            }
            // With a batch waiting behind those under way there is nothing to do but wait for the disk.
            let is_full = self.pending.len() >= self.window() - self.batch();
            let progressed = if is_full || is_waiting { self.driver.wait() } else { self.driver.poll() };
            self.take_replies();
            progressed.map_err(Stopped::Files)?;
            self.report_durable().map_err(Stopped::Output)?;
        }
    }

    fn next_requests(&mut self, interrupt: &Interrupt) -> Vec<Request> {
        let mut requests = Vec::new();
        for row in self.busy.drain(..) {
            if let Some(command) = self.pending.get(&row) {
                requests.push(Request { request_id: row, command: command.clone() });
            }
        }
        if interrupt.is_raised() || self.storage_full {
            return requests;
        }
        let room = self.window().saturating_sub(self.pending.len()).min(self.batch());
        for command in self.commands.by_ref().take(room) {
            let request_id = self.next_row;
            self.next_row += 1;
            requests.push(Request { request_id, command: command.clone() });
            self.pending.insert(request_id, command);
        }
        requests
    }

    fn batch(&self) -> usize {
        self.args.batch as usize
    }

    fn window(&self) -> usize {
        self.batch() * WINDOW_BATCHES as usize
    }

    fn take_replies(&mut self) {
        let replies: Vec<Reply> = self.driver.take_replies().collect();
        for reply in replies {
            self.take_reply(&reply);
        }
        self.progress.set_position(self.tally.rows);
    }

    fn take_reply(&mut self, reply: &Reply) {
        let row = reply.request_id;
        if let Answer::Busy { .. } = reply.answer {
            self.busy.push(row);
            return;
        }
        // An answer that nobody waits for is a second one.
        let Some(command) = self.pending.remove(&row) else { return };
        let tally = &mut self.tally;
        match &reply.answer {
            Answer::Done { outcome, replayed } => {
                tally.rows += 1;
                tally.count(&command, outcome.result, *replayed);
            }
            Answer::Linked { outcomes, replayed } => {
                tally.rows += 1;
                for (member, outcome) in command.members().iter().zip(outcomes) {
                    tally.count(member, outcome.result, *replayed);
                }
            }
            Answer::Conflict { .. } => {
                tally.rows += 1;
                tally.conflicts += 1;
                let problem = self.at_row(row, &conflict(&command));
                self.problems.push(problem);
            }
            Answer::DeadLettered { transaction_id } => {
                tally.rows += 1;
                let problem = self.at_row(row, &format!("transaction {transaction_id} became a dead letter"));
                self.problems.push(problem);
            }
            Answer::StorageFull => {
                if !self.storage_full {
                    self.storage_full = true;
                    let why = self.driver.storage_short().unwrap_or("the disk was full");
                    let problem = format!("{why}; make room, and the same command goes on from there");
                    self.problems.push(problem);
                }
            }
            // The failed append that this comes from is reported for all of them.
            Answer::Busy { .. } | Answer::Unavailable => {}
        }
    }

    /// A problem with a row, by file and number.
    fn at_row(&self, row: u64, what: &str) -> String {
        let (file, number) = if row < self.feed.accounts_count() {
            (FeedFile::Accounts, row + 1)
        } else {
            (FeedFile::Transfers, row - self.feed.accounts_count() + 1)
        };
        format!("{}: row {number} behind the header: {what}", path_of(self.args, file).display())
    }

    fn report_durable(&mut self) -> Result<(), Failure> {
        let durable_before = self.driver.pipeline().durable_before();
        if !self.args.report_durable || self.durable_before == Some(durable_before) {
            return Ok(());
        }
        self.durable_before = Some(durable_before);
        let mut out = io::stdout().lock();
        let printed = writeln!(out, "durable {durable_before}").and_then(|()| out.flush());
        printed.map_err(|error| not_printed(&error))
    }

    /// Ends the log with a seal, whatever ended the feed but a failed append.
    fn close(self, ended: Result<(), Stopped>) -> Result<(Closed, ThisRun, Vec<String>), Failure> {
        self.progress.finish_and_clear();
        match ended {
            Ok(()) => {}
            Err(Stopped::Output(failure)) => {
                self.driver.close().map_err(|error| append_failed(&error))?;
                return Err(failure);
            }
            Err(Stopped::Files(error)) => return Err(append_failed(&error)),
        }
        let Run { driver, tally, problems, .. } = self;
        let closed = driver.close().map_err(|error| append_failed(&error))?;
        Ok((closed, tally, problems))
    }
}

/// Why a feed ended before its last row.
enum Stopped {
    Files(FilesError),
    Output(Failure),
}

impl ThisRun {
    fn count(&mut self, command: &Command, result: TransactionResult, replayed: Replayed) {
        if replayed == Replayed::Again {
            self.repeats += 1;
            return;
        }
        match (command.kind(), result) {
            (CommandKind::OpenAccount, TransactionResult::Completed) => self.opened += 1,
            (CommandKind::OpenAccount, TransactionResult::Refused(reason)) => {
                self.openings_failed += 1;
                self.refused(reason);
            }
            (
                CommandKind::Transfer
                | CommandKind::Deposit
                | CommandKind::Withdrawal
                | CommandKind::PendingTransfer
                | CommandKind::PostTransfer
                | CommandKind::VoidTransfer
                | CommandKind::ExpireTransfer
                | CommandKind::SetFloor
                | CommandKind::Linked,
                result,
            ) => match result {
                TransactionResult::Completed => self.transfers_completed += 1,
                TransactionResult::Refused(reason) => {
                    self.transfers_failed += 1;
                    self.refused(reason);
                }
            },
        }
    }

    fn refused(&mut self, reason: Reason) {
        *self.failed_by_reason.entry(reason.as_str()).or_default() += 1;
    }
}

fn conflict(command: &Command) -> String {
    match command {
        Command::OpenAccount { account, .. } => format!(
            "account \"{account}\" is open already with another opening balance, asset or scale; nothing was changed"
        ),
        Command::Transfer { .. }
        | Command::Deposit { .. }
        | Command::Withdrawal { .. }
        | Command::PendingTransfer { .. }
        | Command::PostTransfer { .. }
        | Command::VoidTransfer { .. }
        | Command::SetFloor { .. }
        | Command::Linked { .. } => {
            let transaction_id = command.transaction_id();
            format!("transaction id {transaction_id} is taken by another transfer; nothing was changed")
        }
    }
}

fn append_failed(error: &FilesError) -> Failure {
    Failure::Finding(format!(
        "{error}; what was reported as durable is safe, and the same command goes on from there"
    ))
}

/// Hidden unless standard error is a terminal.
fn progress_bar(rows: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} rows  {per_sec}  {eta} left");
    ProgressBar::new(rows).with_style(style.expect("the template is right"))
}

/// Per second, 0 if there is no time.
#[expect(clippy::cast_precision_loss, reason = "a rate for people; counts stay far below 2^53")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ThisRun { rows, opened, openings_failed, transfers_completed, transfers_failed, .. } =
            self.this_run;
        writeln!(f, "this run        {rows} rows: {opened} opened, {openings_failed} openings failed, ")?;
        writeln!(f, "                {transfers_completed} transfers completed, {transfers_failed} failed")?;
        for (reason, count) in &self.this_run.failed_by_reason {
            writeln!(f, "                {count} {reason}")?;
        }
        let ThisRun { repeats, conflicts, seconds, transfers_per_second, .. } = &self.this_run;
        writeln!(f, "                {repeats} repeats, {conflicts} conflicts")?;
        writeln!(f, "                {seconds:.3} s, {transfers_per_second:.0} transfers/s (measured)")?;
        writeln!(f, "the log now")?;
        self.summary.fmt(f)
    }
}
