//! What page and worker say about a server whose log the page follows.

use serde::{Deserialize, Serialize};

use super::Replayed;

/// Where what is shown comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The world that runs in this tab and keeps its log in this browser.
    #[default]
    Browser,
    /// The log of the server that the page came from, folded in this tab.
    Server,
}

/// What the page asks about the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LiveRequest {
    /// Use this token from now on, or none, and try at once. It is kept in memory only.
    Token(Option<String>),
    /// Do not wait any longer: try at once.
    Retry,
    /// Throw the copy away and begin again from the server's state.
    StartAgain,
    /// A command made by hand, sent over the server's API; answered by [`super::Response::HandAnswer`].
    Send(HandCommand),
}

/// A command made by hand for the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandCommand {
    /// Chosen by the page and returned in the answer.
    pub request: u32,
    /// The idempotency key, a UUID in text form, made by the page. The opening of an account carries none: its whole
    /// body is its key.
    pub transaction_id: String,
    /// What to do.
    pub body: HandBody,
}

/// What a command made by hand does. Amounts are minor units of `asset`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandBody {
    /// Money from one account to another.
    Transfer {
        /// Who pays.
        from_account: String,
        /// Who is paid.
        to_account: String,
        /// How much.
        amount: i64,
        /// The asset that the amount was typed in.
        asset: String,
    },
    /// Money from outside into an account.
    Deposit {
        /// Who is paid.
        account: String,
        /// How much.
        amount: i64,
        /// The asset that the amount was typed in.
        asset: String,
    },
    /// A new account.
    OpenAccount {
        /// Its name.
        account: String,
        /// The asset's code.
        asset: String,
        /// The asset's decimals.
        scale: u8,
        /// What it is opened with.
        opening_balance: i64,
    },
}

/// What became of a command made by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandAnswer {
    /// It took effect and is durable.
    Completed {
        /// The record that holds it.
        sequence: u64,
        /// Whether this is the first answer or the same again.
        replayed: Replayed,
    },
    /// The ledger said no, and that is recorded.
    Refused {
        /// The record that holds the refusal.
        sequence: u64,
        /// The reason as it stands in the log: `insufficient_funds` and so on.
        reason: String,
        /// Whether this is the first answer or the same again.
        replayed: Replayed,
    },
    /// The id, or the account's name, stands for something else. Nothing was written.
    Conflict {
        /// The server's words.
        why: String,
    },
    /// The queue was full. The id was not consumed.
    Busy {
        /// Try again after so many seconds.
        retry_after_seconds: u32,
    },
    /// The server or the network gave no answer in time: it may or may not have happened. The same id tells.
    Unknown {
        /// What is known.
        why: String,
    },
    /// It could not be worked on and waits among the dead letters; a redrive may still carry it out.
    DeadLettered,
    /// The server does not take commands from whoever asks. Nothing was written.
    NotAllowed {
        /// What it wants.
        why: String,
    },
    /// It never became a command. The id was not consumed.
    Malformed {
        /// What is wrong with which field.
        why: String,
    },
}

/// How the page follows the server, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveView {
    /// The server's address.
    pub server: String,
    /// How the connection is.
    pub connection: Connection,
    /// Whether a token goes with every request.
    pub token: TokenUse,
    /// The id of the log that is followed; empty before there is one.
    pub log_id: String,
    /// The sequence of the snapshot that the copy began with; events and entries before it are not here.
    pub began_at: u64,
    /// The last position that the server told.
    pub position: Option<Position>,
    /// Records that the server has and this copy has not: the told position less the own sequence.
    pub lag: u64,
    /// What came of comparing digests.
    pub verdict: Verdict,
    /// How often digests were compared at the same sequence.
    pub compared: u64,
    /// Seals of the log that were checked against the chain.
    pub seals: u64,
    /// Records folded since the page attached.
    pub records: u64,
    /// Bytes that came from the server since then.
    pub received_bytes: u64,
    /// Bytes that came in the last second.
    pub bytes_per_second: u64,
    /// Records folded in the last second.
    pub records_per_second: u64,
    /// How often the connection was made again.
    pub reconnects: u64,
    /// How often the copy began from a snapshot.
    pub snapshots: u64,
    /// Why the copy last began again from a snapshot, in words; empty if it never did.
    pub remark: String,
}

/// Whether requests carry a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenUse {
    /// None was given.
    Absent,
    /// One was given and goes with every request.
    Sent,
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connection {
    /// The state is being fetched.
    FetchingState {
        /// Bytes of it that came.
        bytes: u64,
    },
    /// The stream of events is being opened.
    OpeningStream,
    /// Events come, and the copy is behind the position it heads for.
    CatchingUp,
    /// Events come as they become durable.
    Live,
    /// It broke and is made again.
    Waiting {
        /// What broke.
        why: String,
        /// In so many seconds, rounded up.
        seconds: u32,
        /// How often that was tried in vain.
        attempts: u32,
    },
    /// The server wants a token.
    NeedsToken {
        /// Whether it did not take the one it got.
        refused: bool,
    },
    /// The server does not want this page; nothing is tried again.
    Refused {
        /// Its words.
        why: String,
    },
    /// No wallet server answers where the page came from.
    NoServer {
        /// What answered.
        why: String,
    },
    /// The copy and the log contradict each other; nothing more is folded.
    Diverged {
        /// Where and how.
        why: String,
    },
}

/// A position that the server told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Its next sequence: the number of its durable records.
    pub sequence: u64,
    /// Its digest there, 32 lower-case hex digits.
    pub digest: String,
    /// When the last of those records was recorded, in microseconds since the Unix epoch.
    pub recorded_at_micros: u64,
}

/// What came of comparing the copy's digest with the server's at the same sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// They were not compared yet.
    NotYet,
    /// They were equal.
    Equal {
        /// At this sequence.
        sequence: u64,
        /// What was computed here, and what the server said.
        digest: String,
    },
    /// They were not.
    Differs {
        /// At this sequence.
        sequence: u64,
        /// What was computed here.
        ours: String,
        /// What the server said.
        theirs: String,
    },
}
