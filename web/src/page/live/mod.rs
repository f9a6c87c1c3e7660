//! The page while it shows a live server: how it follows, what it found, and commands by hand over the API.
//!
//! What is absent here: the controls of the world in this tab, and any number that the worker did not tell.

mod by_hand;
mod counts;
mod facts;
mod follow;
mod gate;
mod state;
mod words;

use yew::prelude::*;

use super::balances::Balances;
use super::charts::Throughput;
use super::events::Events;
use super::format::{bytes, origin_tag, short};
use super::state::{Action, State, WorkerState};
use crate::protocol::{Origin, Request};

use self::by_hand::ByHand;
use self::counts::Counts;
use self::facts::facts;
use self::follow::Follow;
use self::gate::Gate;
pub(super) use self::state::{LiveState, SentCommand};
pub(super) use self::words::{is_flowing, is_wrong, sentence};

/// Everything below the status line. `token_wanted` is whether the user asked to enter another token.
pub(super) fn body(
    state: &State,
    ask: &Callback<Request>,
    tell: &Callback<Action>,
    token_wanted: &UseStateHandle<Wanted>,
) -> Html {
    let live = &state.live;
    let close = {
        let token_wanted = token_wanted.clone();
        Callback::from(move |()| token_wanted.set(Wanted::No))
    };
    html! {
        <>
            <Gate view={live.view.clone()} token_wanted={**token_wanted} ask={ask.clone()} {close} />
            if live.is_attached() {
                { facts(live) }
                { panels(state, ask, tell) }
            }
        </>
    }
}

/// Whether the user wants something to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is asked for.
    Yes,
    /// It is not.
    No,
}

fn panels(state: &State, ask: &Callback<Request>, tell: &Callback<Action>) -> Html {
    let live = &state.live;
    let origin = Origin::Replayed;
    let since = live.view.as_ref().map(|view| view.began_at);
    html! {
        <div class="panels live-panels">
            <Follow view={live.view.clone()} sequence={live.sequence} digest={live.digest.clone()} />
            <ByHand sent={live.sent.clone()} totals={live.totals.clone()}
                can_act={state.worker == WorkerState::Live} ask={ask.clone()} tell={tell.clone()} />
            <div class="charts">
                <Throughput chart={live.chart.clone()} />
                <Counts counts={live.counts.clone()} />
            </div>
            <Events events={live.events.clone()} {origin} {since} ask={ask.clone()} />
            <Balances balances={live.balances.clone()} entries={live.entries.clone()} {origin} {since} ask={ask.clone()} />
        </div>
    }
}

/// The numbers at the end of the status line.
pub(super) fn machine(live: &LiveState) -> Html {
    let Some(view) = live.view.as_ref() else { return Html::default() };
    html! {
        <p class="machine">
            { origin_tag(Origin::Measured) }
            <span><b data-testid="records-per-second">{ short(view.records_per_second) }</b>{ " records/s" }</span>
            <span><b>{ bytes(view.bytes_per_second) }</b>{ "/s" }</span>
            <span><b>{ short(view.reconnects) }</b>{ " reconnects" }</span>
        </p>
    }
}
