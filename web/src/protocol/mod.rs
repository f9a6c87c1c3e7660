//! The words in which page and worker talk.
//!
//! Two enums cross as plain JavaScript objects: [`Request`] from the page, [`Response`] from the worker. 64-bit
//! numbers are BigInts there, so an amount of `i64::MAX` arrives as it was sent. What the page draws crosses as a
//! [`Frame`]: one postcard buffer in the transfer list, holding only what changed since the frame before.
//!
//! Order of a conversation:
//!
//! 1. The worker sets its `onmessage` and says [`Response::Ready`]; before that the page sends nothing.
//! 2. The page says [`Request::Start`]; the worker opens the log, brings the world back and keeps telling how far
//!    it is by [`Response::Status`].
//! 3. The worker holds **one frame of credit**: it may send one frame, and the next only after the page said
//!    [`Request::FrameShown`], and never more than the asked number a second. Credit starts with one at `Start`.
//! 4. Tables (events, balances, entries, queues, dead letters) go into a frame at most ten times a second, except in
//!    answer to a new view or a finished step, which goes with the next frame.
//! 5. [`Request::SetSource`] says whether the world in this tab is meant or the server that the page came from. Each
//!    frame names its source; views begin anew with it.
//!
//! What is absent here: no `usize`, no floating point, no type of the core. The page cannot reach the world other
//! than by a request, and a frame cannot change it.

mod frame;
mod live;

pub use frame::*;
pub use live::*;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

/// Raised whenever a message changes shape. Page and worker of different builds must not talk to each other.
pub const PROTOCOL: u32 = 2;

/// What the page asks of the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first message, once the worker is [`Response::Ready`].
    Start {
        /// The page's [`PROTOCOL`]; another number than the worker's is answered by [`Response::Failed`].
        protocol: u32,
        /// At most so many frames a second, 1 to 60. People who asked for reduced motion get 2.
        frames_per_second_max: u32,
        /// The options of the world to make if there is no log yet. A stored run keeps its own.
        options: RunOptions,
        /// What is shown first. The log in this browser is not opened before it is asked for.
        source: Source,
    },
    /// What is shown from now on. The world in this tab stands still while the server is.
    SetSource(Source),
    /// About the server; refused while the world in this tab is shown.
    Live(LiveRequest),
    /// Let virtual time flow.
    Run,
    /// Stop virtual time after the event at hand.
    Pause,
    /// Do exactly `count` steps of the world, then stand still.
    Step {
        /// Steps of the world, at least 1.
        count: u32,
    },
    /// How fast virtual time flows.
    SetSpeed(Speed),
    /// Throw the log away, in both copies, and make a new world. The page has asked the user before.
    Reset {
        /// The new world.
        options: RunOptions,
    },
    /// A transfer made by hand; answered by [`Response::TransferAnswer`].
    Transfer {
        /// Chosen by the page and returned in the answer.
        request: u32,
        /// The idempotency key, a UUID in text form.
        transaction_id: String,
        /// Who pays.
        from_account: String,
        /// Who is paid.
        to_account: String,
        /// Minor units of the default asset. The ledger, not the page, refuses what is not positive.
        amount: i64,
    },
    /// Feed CSV files through the pipeline; answered by [`Response::Csv`].
    LoadCsv {
        /// The accounts with their opening balances, if there is such a file.
        accounts: Option<FileHandle>,
        /// The transfers, in file order.
        transfers: FileHandle,
        /// Which column is which.
        mapping: CsvMapping,
        /// Decimals of the amounts in the files, 0 to 18.
        scale: u8,
    },
    /// What the event table shows from now on.
    ViewEvents {
        /// Chosen by the page and returned in each window, so that it can tell an old one.
        view: u32,
        /// Which events count.
        filter: EventFilter,
        /// The first wanted row among the matching events, oldest first. Ignored while following.
        first_row: u64,
        /// So many rows, at most [`ROWS_MAX`].
        rows: u32,
        /// Stay where it is, or at the newest rows.
        follow: Follow,
    },
    /// What the balance table shows from now on.
    ViewBalances {
        /// Chosen by the page and returned in each window.
        view: u32,
        /// Accounts whose name holds this text; empty for all.
        search: String,
        /// By what the accounts are sorted.
        sort: BalanceSort,
        /// Which end comes first.
        direction: Direction,
        /// The first wanted row.
        first_row: u64,
        /// So many rows, at most [`ROWS_MAX`].
        rows: u32,
    },
    /// Whose entries are shown from now on, newest first.
    ViewEntries {
        /// The account, or nobody.
        account: Option<String>,
        /// Only entries older than this place, from [`EntriesWindow::older`]; `None` for the newest, which are then kept
        /// up to date.
        before: Option<u64>,
    },
    /// How many dead letters are listed from now on, at most [`ROWS_MAX`].
    ViewDeadLetters {
        /// 0 while nobody looks.
        rows: u32,
    },
    /// Put dead letters back into the queue they came from.
    Redrive {
        /// The name of the queue.
        queue: String,
        /// At most so many, oldest first.
        count_max: u32,
    },
    /// Write the whole log as a file; answered by [`Response::ExportReady`].
    Export {
        /// Which form of the file.
        form: LogForm,
    },
    /// Verify a log file and continue from it in place of the present log; answered by [`Response::ImportDone`].
    /// The page has asked the user before.
    Import {
        /// Either form; the worker tells them apart by their first bytes.
        file: FileHandle,
    },
    /// The last frame has been drawn: the worker may send the next one.
    FrameShown,
}

/// What the worker tells the page, frames apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Response {
    /// The worker listens.
    Ready {
        /// The worker's [`PROTOCOL`].
        protocol: u32,
    },
    /// The state of the log and of its storage changed.
    Status(Status),
    /// The answer to [`Request::Transfer`], when it is durable.
    TransferAnswer {
        /// The number from the request.
        request: u32,
        /// The idempotency key from the request.
        transaction_id: String,
        /// What became of it.
        answer: TransferAnswer,
    },
    /// The answer to [`LiveRequest::Send`].
    HandAnswer {
        /// The number from the request.
        request: u32,
        /// What became of it.
        answer: HandAnswer,
    },
    /// How far [`Request::LoadCsv`] is.
    Csv(CsvNotice),
    /// The answer to [`Request::Export`]: the page offers it as a download.
    ExportReady {
        /// The form of the file.
        form: LogForm,
        /// The file under its suggested name.
        file: FileHandle,
    },
    /// The answer to [`Request::Import`]: the file was verified, replayed and stored.
    ImportDone {
        /// The name of the file.
        file: String,
        /// The digest after its last record.
        digest: String,
        /// The next sequence: the number of records.
        sequence: u64,
        /// Accounts opened, system accounts included.
        accounts: u64,
        /// Client transfers completed.
        transfers_completed: u64,
        /// Client transfers refused.
        transfers_failed: u64,
    },
    /// Something asked for did not happen, and nothing changed.
    Failed {
        /// What was tried, for people: "Import of yesterday.log".
        what: String,
        /// What was wrong, and where.
        why: String,
        /// What to do now.
        advice: String,
    },
}

/// The most rows that one view may ask for.
pub const ROWS_MAX: u32 = 200;

/// A file, handed over by reference: the browser's structured clone shares its bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileHandle {
    /// The file's name without a folder.
    pub name: String,
    /// Its bytes; the reader takes slices of them.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub blob: web_sys::Blob,
}

/// The world of a run: the same options give the same run, event for event, in every driver.
///
/// Shares are of a million, in multiples of 1,000: the world draws in a thousand, so 5,000 is half a percent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// The only source of chance in the world.
    pub seed: u64,
    /// Client accounts that are opened at the start.
    pub accounts: u32,
    /// Clients that send commands.
    pub clients: u32,
    /// What each account is opened with, in minor units of the default asset.
    pub opening_balance: i64,
    /// Commands a virtual second, all clients together.
    pub commands_per_second: u32,
    /// Commands that a client sends twice with the same id, of a million.
    pub repeats_per_million: u32,
    /// Commands that the ledger must refuse, of a million.
    pub bad_per_million: u32,
    /// Messages lost between client and gateway, of a million.
    pub loss_per_million: u32,
    /// Messages delivered twice between client and gateway, of a million.
    pub duplication_per_million: u32,
    /// Look-ups of ids that are never answered, of a million; a command that loses all of its attempts is a dead letter.
    pub lookup_loss_per_million: u32,
    /// Crash and restart of the pipeline, on average each so many virtual seconds; 0 for never.
    pub crash_every_seconds: u32,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            seed: 7,
            accounts: 1_000,
            clients: 1_000,
            opening_balance: 100_000,
            commands_per_second: 5_000,
            repeats_per_million: 20_000,
            bad_per_million: 20_000,
            loss_per_million: 5_000,
            duplication_per_million: 5_000,
            lookup_loss_per_million: 0,
            crash_every_seconds: 0,
        }
    }
}

/// How fast virtual time flows against the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speed {
    /// 100 virtual milliseconds a second.
    Tenth,
    /// One virtual second a second.
    Real,
    /// Ten virtual seconds a second.
    Ten,
    /// A hundred virtual seconds a second.
    Hundred,
    /// As fast as this machine can.
    Max,
}

impl Speed {
    /// All speeds, slowest first.
    pub const ALL: [Self; 5] = [Self::Tenth, Self::Real, Self::Ten, Self::Hundred, Self::Max];

    /// Virtual microseconds that pass in 1,000 microseconds of real time; `None` for no limit.
    pub fn virtual_per_mille(self) -> Option<u64> {
        match self {
            Self::Tenth => Some(100),
            Self::Real => Some(1_000),
            Self::Ten => Some(10_000),
            Self::Hundred => Some(100_000),
            Self::Max => None,
        }
    }

    /// The word in a control and in a test: `0.1x`, `1x`, `10x`, `100x`, `max`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tenth => "0.1x",
            Self::Real => "1x",
            Self::Ten => "10x",
            Self::Hundred => "100x",
            Self::Max => "max",
        }
    }

    /// The speed of a label, if it is one.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|speed| speed.label() == label)
    }
}

/// Which events a view of the event table counts. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// The account's name, whole; empty for any. Matches a refused transfer by either of its accounts.
    pub account: String,
    /// The type, or any.
    pub kind: Option<EventKind>,
    /// The transaction id or its beginning, lower case; empty for any.
    pub transaction_id: String,
}

/// Whether a view stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Follow {
    /// Always the newest rows.
    Newest,
    /// The asked rows, whatever comes after them.
    Still,
}

/// By what balances are sorted. Equal rows keep the order in which the accounts were opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BalanceSort {
    /// The order in which the accounts were opened.
    Opened,
    /// The account's name, by code point.
    Account,
    /// The posted balance.
    Balance,
}

/// Which end of a sorted list comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Smallest, first or oldest on top.
    Ascending,
    /// Greatest, last or newest on top.
    Descending,
}

/// Which columns of the CSV files hold what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CsvMapping {
    /// Accounts file: the account's name.
    pub account: String,
    /// Accounts file: the balance it is opened with.
    pub opening_balance: String,
    /// Transfers file: who pays.
    pub from_account: String,
    /// Transfers file: who is paid.
    pub to_account: String,
    /// Transfers file: how much.
    pub amount: String,
}

impl Default for CsvMapping {
    /// The columns of the AMLSim data sets.
    fn default() -> Self {
        Self {
            account: "nodeid".into(),
            opening_balance: "init_balance".into(),
            from_account: "sourceNodeId".into(),
            to_account: "targetNodeId".into(),
            amount: "value".into(),
        }
    }
}

/// The two forms of a log file. They turn into each other byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogForm {
    /// The log as it is stored.
    Binary,
    /// One line of JSON an event.
    JsonLines,
}

/// What became of a transfer made by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferAnswer {
    /// The money moved.
    Completed {
        /// The record that holds it.
        sequence: u64,
        /// Whether this is the first answer or the same again.
        replayed: Replayed,
    },
    /// The ledger said no, for one reason.
    Refused {
        /// The record that holds the refusal.
        sequence: u64,
        /// The reason as it stands in the log: `insufficient_funds` and so on.
        reason: String,
        /// Whether this is the first answer or the same again.
        replayed: Replayed,
    },
    /// The id is known with another body. Nothing was written.
    Conflict,
    /// The queue was full. The id was not consumed.
    Busy {
        /// Messages in the queue.
        depth: u32,
        /// Try again after so long, in virtual microseconds.
        retry_after_micros: u64,
    },
    /// It could not be worked on and waits among the dead letters; a redrive may still carry it out.
    DeadLettered,
    /// The pipeline is down. Ask again with the same id.
    Unavailable,
    /// It never became a command. The id was not consumed.
    Malformed {
        /// What is wrong with which field.
        why: String,
    },
}

/// Whether an answer was given before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replayed {
    /// This command had its effect now.
    First,
    /// The id was known: the first answer again, and no second effect.
    Again,
}

/// How far a load of CSV files is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CsvNotice {
    /// On its way, at most ten times a second.
    Progress {
        /// The file at hand.
        file: String,
        /// Rows of it that are durable.
        rows: u64,
        /// Bytes of it that were read.
        bytes: u64,
        /// Bytes of it in all.
        bytes_total: u64,
    },
    /// Both files are durable.
    Done {
        /// Rows of the accounts file.
        accounts: u64,
        /// Rows of the transfers file.
        transfers: u64,
        /// Rows of both files that completed.
        completed: u64,
        /// Rows of both files that the ledger refused.
        refused: u64,
        /// Rows that the log already knew: the same file was loaded before.
        known: u64,
    },
    /// A row is not well formed. The rows before it are durable; loading the mended file goes on behind them.
    Error {
        /// The file.
        file: String,
        /// Its line, the header being line 1.
        line: u64,
        /// What is wrong there.
        message: String,
    },
}

/// The state of the log and of its storage. The page shows the last one and keeps the warnings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// The log is being opened.
    Opening,
    /// The stored run is being brought back.
    CatchingUp {
        /// Steps of the world done.
        step: u64,
        /// Steps to do.
        steps: u64,
    },
    /// There was no log here, and no sign that there ever was one.
    NewLog,
    /// The stored run is back, byte for byte.
    Restored {
        /// Its records.
        sequence: u64,
    },
    /// Another tab writes this log: this one looks on and takes over when the other closes.
    ReadOnly,
    /// The other tab closed: this one has read its records and writes from now on.
    TookOver,
    /// The disk or the browser's allowance is full. The run stands still and nothing stored is lost.
    QuotaExceeded {
        /// Bytes of the log so far.
        log_bytes: u64,
    },
    /// The database cannot be opened because another tab holds an older version of it.
    Blocked,
    /// A stored copy does not verify and the other cannot stand in for it.
    Damaged {
        /// What is wrong, with byte and record.
        why: String,
    },
    /// One copy was lost or damaged and was made again from the other.
    RestoredFromCopy {
        /// What was lost, and from where it came back.
        why: String,
    },
    /// The marker says that a log was here, and both copies are gone.
    LostLog {
        /// What the marker remembers.
        why: String,
    },
    /// The stored run and the log disagree: the run was made by another version, or a copy was changed.
    Diverged {
        /// Where and how.
        why: String,
    },
    /// The log cannot be stored here. The run goes on in memory and is gone with the tab.
    Unavailable {
        /// What is missing.
        why: String,
    },
    /// A write failed for another reason. The run stands still.
    WriteFailed {
        /// The browser's words.
        why: String,
    },
}

/// A message as a JavaScript object, its 64-bit numbers as BigInts.
///
/// # Errors
/// None for the messages of this module; the type is the serializer's.
pub fn to_js<T: Serialize>(message: &T) -> Result<JsValue, serde_wasm_bindgen::Error> {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_large_number_types_as_bigints(true);
    message.serialize(&serializer)
}

/// A message from a JavaScript object.
///
/// # Errors
/// When the object is not such a message: page and worker are then of different builds.
pub fn from_js<T: DeserializeOwned>(value: JsValue) -> Result<T, serde_wasm_bindgen::Error> {
    serde_wasm_bindgen::from_value(value)
}
