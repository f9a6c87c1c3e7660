//! What the page draws: a [`Frame`] of parts, each there only when it changed.

use serde::{Deserialize, Serialize};

use super::{LiveView, RunOptions, Source, Speed};

/// What changed since the frame before. An absent part is as it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    /// Counts the frames of this worker, from 1.
    pub number: u64,
    /// What the frame is about.
    pub source: Source,
    /// How the page follows the server; never there for the world in this tab.
    pub live: Option<LiveView>,
    /// Whether the world runs, and if not, why.
    pub run: Option<RunView>,
    /// The options of the world.
    pub options: Option<RunOptions>,
    /// The next sequence of the log: the number of durable records.
    pub sequence: Option<u64>,
    /// The digest at that sequence, 32 lower-case hex digits.
    pub digest: Option<String>,
    /// Virtual time in microseconds since the Unix epoch.
    pub virtual_micros: Option<u64>,
    /// Steps of the world since its beginning.
    pub step: Option<u64>,
    /// The sum over all client accounts, for each asset; the default asset first.
    pub balances_total: Option<Vec<AssetTotal>>,
    /// The stages of the pipeline, in the order of [`Stage::ALL`].
    pub stages: Option<Vec<StageView>>,
    /// The queues of the world.
    pub queues: Option<Vec<QueueView>>,
    /// The asked dead letters, oldest first.
    pub dead_letters: Option<Vec<DeadLetterRow>>,
    /// The window of the event table.
    pub events: Option<EventsWindow>,
    /// The window of the balance table.
    pub balances: Option<BalancesWindow>,
    /// The entries of the asked account.
    pub entries: Option<EntriesWindow>,
    /// The invariants.
    pub invariants: Option<Vec<InvariantView>>,
    /// The points of the charts.
    pub chart: Option<ChartView>,
    /// The log and its limit.
    pub log: Option<LogView>,
    /// How many of what.
    pub counts: Option<CountsView>,
    /// What this machine did, by the clock on the wall.
    pub measured: Option<MeasuredView>,
}

impl Frame {
    /// The buffer that crosses.
    ///
    /// # Panics
    /// Never: a frame holds nothing that postcard refuses, and the buffer grows.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a frame holds only plain values and the buffer grows")
    }

    /// The frame in a buffer.
    ///
    /// # Errors
    /// When the bytes are not a frame of this build.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }
}

/// Whether the world runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunView {
    /// What it does.
    pub state: RunState,
    /// How fast virtual time flows while it runs.
    pub speed: Speed,
    /// Whether the shown state was computed now or brought back from the log.
    pub origin: Origin,
}

/// What the world does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    /// The log is being opened; nothing can be asked yet.
    Opening,
    /// The stored run is being brought back.
    CatchingUp {
        /// Steps done.
        step: u64,
        /// Steps to do.
        steps: u64,
    },
    /// Virtual time flows.
    Running,
    /// Virtual time stands still.
    Paused(PauseReason),
    /// CSV files are being fed through the pipeline.
    Loading,
    /// Another tab writes; this one looks on.
    LookingOn,
}

/// Why virtual time stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PauseReason {
    /// A new world that has never run.
    Fresh,
    /// The user asked for it, or a step is done.
    Asked,
    /// The stored run is back and waits.
    Restored,
    /// The log reached its limit; export it or reset.
    LogFull {
        /// Bytes of the log.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// An invariant broke; the world is kept as it is.
    InvariantBroken {
        /// Which one.
        name: String,
    },
    /// The log cannot be written; the last status says why.
    Storage,
    /// The world was imported from a file: it can be looked at, and transfers can be made by hand.
    Imported,
}

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Counted or clocked while the real code ran in this tab.
    Measured,
    /// Computed again from the stored log.
    Replayed,
    /// Made by a model: the seed decides it, not this machine.
    Modelled,
}

/// The balance of all clients in one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetTotal {
    /// The asset's code.
    pub asset: String,
    /// Its decimals.
    pub scale: u8,
    /// The sum over the accounts whose names do not start with `@`, in minor units.
    pub total: i128,
}

/// A stage of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The clients of the world; depth = commands waiting to be sent, in flight = waiting for an answer.
    Clients,
    /// Commands on their way between client and gateway, and their answers.
    Gateway,
    /// The queue of commands.
    Commands,
    /// Looks up whether an id is known; in flight = lookups asked and not yet answered.
    Idempotency,
    /// Executed and applied in memory; in flight = not yet durable.
    Ledger,
    /// Appends; in flight = bytes being written, depth = records that wait.
    Journal,
    /// Read models; depth = their lag in records.
    Projections,
    /// Answers that left the pipeline.
    Replies,
}

impl Stage {
    /// All stages in the order in which a command passes them.
    pub const ALL: [Self; 8] = [
        Self::Clients,
        Self::Gateway,
        Self::Commands,
        Self::Idempotency,
        Self::Ledger,
        Self::Journal,
        Self::Projections,
        Self::Replies,
    ];
}

/// What a stage holds and does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageView {
    /// Which stage.
    pub stage: Stage,
    /// Waiting in it.
    pub depth: u64,
    /// The limit of `depth`; 0 when it has none of its own.
    pub depth_max: u64,
    /// Being worked on in it.
    pub in_flight: u64,
    /// What left it in the last virtual second.
    pub rate_per_second: u64,
    /// What left it since the world began.
    pub total: u64,
}

/// A queue and its book-keeping: accepted = depth + in flight + acked + dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// The name.
    pub name: String,
    /// Messages that wait.
    pub depth: u64,
    /// The limit of messages.
    pub depth_max: u64,
    /// Bytes of the messages in it.
    pub bytes: u64,
    /// The limit of bytes.
    pub bytes_max: u64,
    /// Delivered and neither acked nor back.
    pub in_flight: u64,
    /// The age of the oldest message, in virtual microseconds.
    pub oldest_age_micros: Option<u64>,
    /// The greatest number of attempts of a message now in it.
    pub attempts: u32,
    /// Messages ever taken in.
    pub accepted: u64,
    /// Messages done.
    pub acked: u64,
    /// Messages given up and kept apart.
    pub dead_letters: u64,
    /// Messages turned away because it was full.
    pub busy: u64,
}

/// A message that could not be worked on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRow {
    /// Its queue.
    pub queue: String,
    /// The id of the command in it.
    pub transaction_id: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When, in virtual microseconds since the Unix epoch.
    pub at_micros: u64,
}

/// The types of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// An account was opened.
    AccountOpened,
    /// An account paid.
    MoneyDeducted,
    /// An account was paid.
    MoneyCredited,
    /// An amount is held for a transfer.
    TransferPending,
    /// A pending transfer was made.
    TransferPosted,
    /// A pending transfer was released.
    TransferVoided,
    /// A pending transfer was released because its deadline passed.
    TransferExpired,
    /// An account has another floor.
    FloorChanged,
    /// Something was attached to a transfer.
    MetadataAttached,
    /// A command was refused.
    TransactionFailed,
}

impl EventKind {
    /// All types.
    pub const ALL: [Self; 10] = [
        Self::AccountOpened,
        Self::MoneyDeducted,
        Self::MoneyCredited,
        Self::TransferPending,
        Self::TransferPosted,
        Self::TransferVoided,
        Self::TransferExpired,
        Self::FloorChanged,
        Self::MetadataAttached,
        Self::TransactionFailed,
    ];

    /// The name as in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccountOpened => "AccountOpened",
            Self::MoneyDeducted => "MoneyDeducted",
            Self::MoneyCredited => "MoneyCredited",
            Self::TransferPending => "TransferPending",
            Self::TransferPosted => "TransferPosted",
            Self::TransferVoided => "TransferVoided",
            Self::TransferExpired => "TransferExpired",
            Self::FloorChanged => "FloorChanged",
            Self::MetadataAttached => "MetadataAttached",
            Self::TransactionFailed => "TransactionFailed",
        }
    }

    /// The type of a name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    /// The record.
    pub sequence: u64,
    /// The event in the record, from 0.
    pub index: u32,
    /// Virtual microseconds since the Unix epoch.
    pub recorded_at_micros: u64,
    /// The type.
    pub kind: EventKind,
    /// The transaction.
    pub transaction_id: String,
    /// The account, or who would have paid or been opened; empty when the refused command names none.
    pub account: String,
    /// Who would have been paid, in a refused transfer; empty otherwise.
    pub to_account: String,
    /// Minor units; `None` for an opening.
    pub amount: Option<i64>,
    /// The asset; empty when it is not known.
    pub asset: String,
    /// The asset's decimals; 0 when it is not known.
    pub scale: u8,
    /// Why it was refused, as in the log; empty otherwise.
    pub reason: String,
    /// What else there is to say of it, in words; empty if there is nothing.
    pub note: String,
}

/// The rows of the event table, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsWindow {
    /// The number of the view that asked.
    pub view: u32,
    /// Events in the log.
    pub total: u64,
    /// Events that match the filter.
    pub matched: u64,
    /// Events that the filter has looked at: less than `total` while it is still searching.
    pub searched: u64,
    /// The number of the first row among the matching events.
    pub first_row: u64,
    /// The rows.
    pub rows: Vec<EventRow>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalanceRow {
    /// The name.
    pub account: String,
    /// The asset's code.
    pub asset: String,
    /// The asset's decimals.
    pub scale: u8,
    /// The posted balance in minor units.
    pub posted: i64,
}

/// The rows of the balance table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancesWindow {
    /// The number of the view that asked.
    pub view: u32,
    /// Accounts in the ledger.
    pub total: u64,
    /// Accounts that match the search.
    pub matched: u64,
    /// The number of the first row.
    pub first_row: u64,
    /// The rows.
    pub rows: Vec<BalanceRow>,
}

/// One side of a transfer, as its account sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// The record.
    pub sequence: u64,
    /// Virtual microseconds since the Unix epoch.
    pub recorded_at_micros: u64,
    /// The transaction.
    pub transaction_id: String,
    /// The other account.
    pub counterparty: String,
    /// Minor units; negative when the account paid.
    pub amount: i64,
    /// The balance behind it.
    pub balance_after: i64,
}

/// The entries of one account, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntriesWindow {
    /// Whose.
    pub account: String,
    /// The asset's code.
    pub asset: String,
    /// The asset's decimals.
    pub scale: u8,
    /// The posted balance in minor units.
    pub posted: i64,
    /// As asked.
    pub before: Option<u64>,
    /// The entries.
    pub rows: Vec<EntryRow>,
    /// The place before which older entries begin; `None` when there are none.
    pub older: Option<u64>,
}

/// One invariant of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvariantView {
    /// A short name: "sum is zero".
    pub name: String,
    /// What it says, in one sentence for people.
    pub meaning: String,
    /// How often it was checked.
    pub checked: u64,
    /// What broke it, with the record, if something did.
    pub broken: Option<String>,
}

/// The points of the charts, oldest first, at most [`CHART_POINTS_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartView {
    /// The length of an interval in virtual microseconds.
    pub interval_micros: u64,
    /// One point an interval.
    pub points: Vec<ChartPoint>,
}

/// The most points in a chart.
pub const CHART_POINTS_MAX: usize = 240;

/// One interval of virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChartPoint {
    /// The end of the interval in virtual microseconds since the Unix epoch.
    pub at_micros: u64,
    /// Commands that were completed in it.
    pub completed: u32,
    /// Commands that were refused in it.
    pub refused: u32,
    /// Half of the answers in it took at most so long, from first sending to answer, in virtual microseconds.
    pub latency_p50_micros: u32,
    /// 95 of 100 took at most so long.
    pub latency_p95_micros: u32,
    /// 99 of 100 took at most so long.
    pub latency_p99_micros: u32,
}

/// The log and where it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogView {
    /// Bytes of the log.
    pub bytes: u64,
    /// The run pauses by itself at so many bytes.
    pub bytes_max: u64,
    /// The step that a reload brings back. Every record that is shown is in both copies all the same.
    pub saved_step: u64,
    /// Segments in the database.
    pub segments: u64,
    /// What the browser says all of this origin's data takes, in bytes, if it says so.
    pub usage_bytes: Option<u64>,
}

/// How many of what happened in this log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsView {
    /// Events.
    pub events: u64,
    /// Accounts, system accounts included.
    pub accounts: u64,
    /// Client transfers completed.
    pub transfers_completed: u64,
    /// Client transfers refused.
    pub transfers_failed: u64,
    /// Deposits completed.
    pub deposits: u64,
    /// Withdrawals completed.
    pub withdrawals: u64,
    /// Repeats that got the first answer again.
    pub repeats: u64,
    /// Crashes of the pipeline.
    pub crashes: u64,
    /// Refusals by reason, as in the log, most frequent first.
    pub refusals: Vec<(String, u64)>,
}

/// What this machine did, by the clock on the wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredView {
    /// Events a second, over the last second.
    pub events_per_second: u64,
    /// Virtual microseconds that passed in 1,000 real ones, over the last second.
    pub virtual_per_mille: u64,
    /// Half of the last commits to both copies took at most so long, in microseconds.
    pub commit_p50_micros: u64,
    /// The longest of them.
    pub commit_max_micros: u64,
}
