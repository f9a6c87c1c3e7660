//! What the page says in words: the status line, and messages that stay.

use yew::prelude::*;

use super::state::{Part, State, WorkerState};
use crate::amount::grouped;
use crate::protocol::{PauseReason, RunState, Speed, Status};

/// How grave a message is. Each has its own mark, so that colour is never alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Good to know.
    Info,
    /// Something is restricted.
    Warning,
    /// Something went wrong and needs a decision.
    Error,
}

/// A message that stays until it is dismissed or no longer true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// How grave it is.
    pub tone: Tone,
    /// A few words.
    pub title: String,
    /// What happened.
    pub text: String,
    /// What to do.
    pub advice: String,
    /// Whether it belongs to another tab's writing, and goes when that ends.
    pub while_looking_on: bool,
}

impl Notice {
    /// The message about something that was asked for and did not happen.
    pub(super) fn failed(what: &str, why: &str, advice: &str) -> Self {
        Self::new(Tone::Error, what, why, advice)
    }

    fn new(tone: Tone, title: &str, text: &str, advice: &str) -> Self {
        Self { tone, title: title.into(), text: text.into(), advice: advice.into(), while_looking_on: false }
    }
}

/// The messages that stay, once `status` is known.
pub(super) fn after_status(notices: &[Notice], status: &Status) -> Vec<Notice> {
    let mut next: Vec<Notice> = notices
        .iter()
        .filter(|notice| !(notice.while_looking_on && *status == Status::TookOver))
        .cloned()
        .collect();
    if let Some(notice) = notice_of(status)
        && !next.contains(&notice)
    {
        next.push(notice);
    }
    next
}

fn notice_of(status: &Status) -> Option<Notice> {
    Some(match status {
        Status::Opening
        | Status::CatchingUp { .. }
        | Status::NewLog
        | Status::Restored { .. }
        | Status::TookOver => return None,
        Status::ReadOnly => Notice {
            while_looking_on: true,
            ..Notice::new(
                Tone::Warning,
                "Another tab is writing",
                "Wallet Lab is open in a second tab, and a log has one writer. This tab shows what is stored.",
                "Close the other tab and this one takes over, without losing a record.",
            )
        },
        Status::QuotaExceeded { log_bytes } => Notice::new(
            Tone::Error,
            "No room left",
            &format!(
                "The browser refuses to store more; the log has {} bytes. Nothing stored is lost.",
                grouped(*log_bytes)
            ),
            "Export the log, then reset, or free disk space and load the page again.",
        ),
        Status::Blocked => Notice::new(
            Tone::Error,
            "The database is blocked",
            "Another tab holds an older version of it open.",
            "Close all other tabs of Wallet Lab. This one goes on by itself.",
        ),
        Status::Damaged { why } => Notice::new(
            Tone::Error,
            "The stored log is damaged",
            why,
            "Export what can be read to keep it as evidence, then reset.",
        ),
        Status::RestoredFromCopy { why } => Notice::new(
            Tone::Info,
            "Restored from the second copy",
            why,
            "Nothing to do: both copies are whole again.",
        ),
        Status::LostLog { why } => Notice::new(
            Tone::Error,
            "The log is gone",
            why,
            "Import an exported log, or reset to begin a new one.",
        ),
        Status::Diverged { why } => Notice::new(
            Tone::Error,
            "The stored run cannot be repeated",
            why,
            "The log itself is whole: export it, then reset.",
        ),
        Status::Unavailable { why } => Notice::new(
            Tone::Warning,
            "Nothing is saved in this browser",
            why,
            "Open the page over https or on localhost to keep the log; until then export what you need.",
        ),
        Status::WriteFailed { why } => Notice::new(
            Tone::Error,
            "Saving failed",
            why,
            "The run stands still. Load the page again: it comes back to the last saved record.",
        ),
    })
}

/// The sentence of the status line. It changes with what the world does, never with a number that counts.
pub(super) fn sentence(state: &State) -> String {
    match &state.worker {
        WorkerState::Starting => return "Starting the worker.".into(),
        WorkerState::Dead(_) => return "The worker stopped.".into(),
        WorkerState::Live => {}
    }
    match &state.run.state {
        RunState::Opening => "Opening the log.".into(),
        RunState::CatchingUp { .. } => "Bringing back the stored run from its log.".into(),
        RunState::Running => match state.run.speed {
            Speed::Max => "Running as fast as this machine can.".into(),
            Speed::Tenth | Speed::Real | Speed::Ten | Speed::Hundred => {
                format!("Running at {} virtual time.", state.run.speed.label().replace('x', "×"))
            }
        },
        RunState::Loading => "Feeding the CSV files through the pipeline.".into(),
        RunState::LookingOn => "Looking on: another tab writes this log.".into(),
        RunState::Paused(reason) => match reason {
            PauseReason::Fresh => {
                "Press Run, or the space bar: clients start paying each other, and every cent is written to this browser."
                    .into()
            }
            PauseReason::Asked => "Paused. Virtual time stands still.".into(),
            PauseReason::Restored => "Back where you left it, replayed from the log. Press Run to go on.".into(),
            PauseReason::LogFull { bytes, bytes_max } => format!(
                "Paused: the log has {} of {} bytes. Export it, or reset to begin a new one.",
                grouped(*bytes),
                grouped(*bytes_max)
            ),
            PauseReason::InvariantBroken { name } => format!("Stopped: the invariant “{name}” broke."),
            PauseReason::Storage => "Paused: the log cannot be saved.".into(),
            PauseReason::Imported => "Imported, verified and replayed. Paused.".into(),
        },
    }
}

#[derive(Properties, PartialEq)]
pub(super) struct NoticesProps {
    pub notices: Part<Vec<Notice>>,
    pub dismiss: Callback<usize>,
}

/// The messages that stay.
#[component]
pub(super) fn Notices(props: &NoticesProps) -> Html {
    if props.notices.is_empty() {
        return Html::default();
    }
    let items = props.notices.iter().enumerate().map(|(place, notice)| {
        let (class, mark) = match notice.tone {
            Tone::Info => ("notice info", "i"),
            Tone::Warning => ("notice warning", "!"),
            Tone::Error => ("notice error", "×"),
        };
        let dismiss = props.dismiss.reform(move |_| place);
        html! {
            <li key={place.to_string()} {class}>
                <span class="mark" aria-hidden="true">{ mark }</span>
                <p><strong>{ &notice.title }{ ". " }</strong>{ &notice.text }{ " " }<em>{ &notice.advice }</em></p>
                <button type="button" class="quiet" onclick={dismiss} aria-label={format!("Dismiss: {}", notice.title)}>
                    { "Dismiss" }
                </button>
            </li>
        }
    });
    html! { <ul class="notices" aria-label="Messages">{ for items }</ul> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_on_ends_when_the_tab_takes_over() {
        let looking_on = after_status(&[], &Status::ReadOnly);
        assert_eq!(looking_on.len(), 1);
        assert_eq!(after_status(&looking_on, &Status::ReadOnly).len(), 1, "said once");
        assert_eq!(after_status(&looking_on, &Status::TookOver), []);
    }

    #[test]
    fn what_is_wrong_stays_until_it_is_dismissed() {
        let full = after_status(&[], &Status::QuotaExceeded { log_bytes: 1_234_567 });
        assert!(full[0].text.contains("1,234,567"));
        assert_eq!(after_status(&full, &Status::Restored { sequence: 3 }), full);
    }
}
