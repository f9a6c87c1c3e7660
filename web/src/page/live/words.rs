//! What the page says about the connection.

use crate::protocol::{Connection, LiveView};

/// How grave a connection's state is, which chooses its colour and mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// Everything is as it should be.
    Good,
    /// It is on its way.
    Busy,
    /// It is not, but may come back.
    Warn,
    /// It does not come back by itself.
    Bad,
}

impl Grade {
    /// The style's class.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Busy => "busy",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// The state in one or two words.
pub(super) fn word(view: Option<&LiveView>) -> (Grade, &'static str) {
    let Some(view) = view else { return (Grade::Busy, "Connecting") };
    match &view.connection {
        Connection::FetchingState { .. } | Connection::OpeningStream if view.reconnects > 0 => {
            (Grade::Busy, "Reconnecting")
        }
        Connection::FetchingState { .. } | Connection::OpeningStream => (Grade::Busy, "Connecting"),
        Connection::CatchingUp => (Grade::Busy, "Catching up"),
        Connection::Live => (Grade::Good, "Live"),
        Connection::Waiting { .. } => (Grade::Warn, "Reconnecting"),
        Connection::NeedsToken { .. } => (Grade::Warn, "Needs a token"),
        Connection::Refused { .. } => (Grade::Bad, "Refused"),
        Connection::NoServer { .. } => (Grade::Warn, "No server"),
        Connection::Diverged { .. } => (Grade::Bad, "Diverged"),
    }
}

/// The sentence of the status line. It changes with the connection, never with a number that counts.
pub(in crate::page) fn sentence(view: Option<&LiveView>) -> &'static str {
    let Some(view) = view else { return "Connecting to the server." };
    match &view.connection {
        Connection::FetchingState { .. } => "Fetching the server's state.",
        Connection::OpeningStream => "Opening the stream of events.",
        Connection::CatchingUp => "Catching up with the server's log.",
        Connection::Live => "Live: what becomes durable on the server is folded here.",
        Connection::Waiting { .. } => "The connection broke. It is made again by itself.",
        Connection::NeedsToken { refused: false } => "The server wants a token.",
        Connection::NeedsToken { refused: true } => "The server did not take the token.",
        Connection::Refused { .. } => "The server refuses this page.",
        Connection::NoServer { .. } => "No wallet server answers here.",
        Connection::Diverged { .. } => "Stopped: the copy in this tab and the server's log disagree.",
    }
}

/// Whether the status line shows that something flows.
pub(in crate::page) fn is_flowing(view: Option<&LiveView>) -> bool {
    view.is_some_and(|view| matches!(view.connection, Connection::Live | Connection::CatchingUp))
}

/// Whether the status line shows that something is wrong.
pub(in crate::page) fn is_wrong(view: Option<&LiveView>) -> bool {
    word(view).0 == Grade::Bad
}
