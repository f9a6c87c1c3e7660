//! What the page knows of a live server: the last of each part of a frame, and the last answer.

use yew::AttrValue;

use crate::page::state::{Part, take};
use crate::protocol::{
    AssetTotal, BalancesWindow, ChartView, CountsView, EntriesWindow, EventsWindow, Frame, HandAnswer,
    HandBody, HandCommand, LiveView,
};

/// Everything the page draws of a server.
#[derive(Clone, Debug, Default)]
pub(in crate::page) struct LiveState {
    /// How the page follows it; nothing until the first frame.
    pub view: Part<Option<LiveView>>,
    /// The next sequence of the copy in this tab.
    pub sequence: u64,
    /// The copy's digest at that sequence; empty until there is a copy.
    pub digest: AttrValue,
    /// The sums over all client accounts.
    pub totals: Part<Vec<AssetTotal>>,
    /// The event table.
    pub events: Part<Option<EventsWindow>>,
    /// The balance table.
    pub balances: Part<Option<BalancesWindow>>,
    /// The entries of the chosen account.
    pub entries: Part<Option<EntriesWindow>>,
    /// Commands as they arrived.
    pub chart: Part<Option<ChartView>>,
    /// The counts.
    pub counts: Part<CountsView>,
    /// The last command by hand and its answer.
    pub sent: Part<Option<SentCommand>>,
}

/// A command that was sent by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::page) struct SentCommand {
    /// The command.
    pub command: HandCommand,
    /// The asset that its amount is in.
    pub asset: String,
    /// Decimals of its amount.
    pub scale: u8,
    /// The answer, once there is one.
    pub answer: Option<HandAnswer>,
}

impl SentCommand {
    /// The command's amount in minor units.
    pub(super) fn amount(&self) -> i64 {
        match &self.command.body {
            HandBody::Transfer { amount, .. } | HandBody::Deposit { amount, .. } => *amount,
            HandBody::OpenAccount { opening_balance, .. } => *opening_balance,
        }
    }

    /// The same command with another amount.
    pub(super) fn with_amount(&self, units: i64) -> Self {
        let mut other = self.clone();
        match &mut other.command.body {
            HandBody::Transfer { amount, .. } | HandBody::Deposit { amount, .. } => *amount = units,
            HandBody::OpenAccount { opening_balance, .. } => *opening_balance = units,
        }
        other
    }
}

impl LiveState {
    /// Whether there is a copy to show.
    pub(in crate::page) fn is_attached(&self) -> bool {
        self.view.as_ref().is_some_and(|view| !view.log_id.is_empty())
    }

    /// Takes what changed.
    pub(in crate::page) fn take_frame(&mut self, frame: Frame) {
        take(&mut self.view, frame.live.map(Some));
        self.sequence = frame.sequence.unwrap_or(self.sequence);
        if let Some(digest) = frame.digest {
            self.digest = AttrValue::from(digest);
        }
        take(&mut self.totals, frame.balances_total);
        take(&mut self.events, frame.events.map(Some));
        take(&mut self.balances, frame.balances.map(Some));
        take(&mut self.entries, frame.entries.map(Some));
        take(&mut self.chart, frame.chart.map(Some));
        take(&mut self.counts, frame.counts);
    }

    /// Takes the answer to a command, if it is the one that is shown.
    pub(in crate::page) fn take_answer(&mut self, request: u32, answer: HandAnswer) {
        if let Some(sent) = self.sent.as_ref().filter(|sent| sent.command.request == request) {
            self.sent = Part::new(Some(SentCommand { answer: Some(answer), ..sent.clone() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Replayed;

    #[test]
    fn only_the_answer_to_the_shown_command_is_taken() {
        let command = HandCommand {
            request: 2,
            transaction_id: String::new(),
            body: HandBody::Deposit { account: "a".into(), amount: 7, asset: "USD".into() },
        };
        let sent = SentCommand { command, asset: "USD".into(), scale: 2, answer: None };
        assert_eq!((sent.amount(), sent.with_amount(8).amount()), (7, 8));
        let mut state = LiveState { sent: Part::new(Some(sent)), ..LiveState::default() };
        let answer = HandAnswer::Completed { sequence: 1, replayed: Replayed::First };
        state.take_answer(1, answer.clone());
        assert_eq!(state.sent.as_ref().map(|sent| sent.answer.is_some()), Some(false));
        state.take_answer(2, answer);
        assert_eq!(state.sent.as_ref().map(|sent| sent.answer.is_some()), Some(true));
    }
}
