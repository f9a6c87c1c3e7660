//! The strip of facts about a server and the copy of its ledger in this tab.

use yew::prelude::*;

use super::state::LiveState;
use super::words;
use crate::amount::{self, grouped};
use crate::page::format::{in_groups, origin_tag, short};
use crate::protocol::{LiveView, Origin, TokenUse, Verdict};

/// The strip of facts.
pub(super) fn facts(live: &LiveState) -> Html {
    let Some(view) = live.view.as_ref() else { return Html::default() };
    html! {
        <dl class="facts" aria-label="Facts">
            <div class="fact">
                <dt>{ "Sequence" }{ origin_tag(Origin::Replayed) }</dt>
                <dd class="big" data-testid="sequence">{ in_groups(&live.sequence.to_string(), 3) }</dd>
                <dd class="small">{ format!("{} of them folded here", short(view.records)) }</dd>
            </div>
            <div class="fact digest">
                <dt>{ "Digest" }{ origin_tag(Origin::Replayed) }</dt>
                <dd class="big mono" data-testid="digest">{ in_groups(&live.digest, 4) }</dd>
                <dd class="small">{ verdict(view) }</dd>
            </div>
            <div class="fact">
                <dt>{ "Lag" }{ origin_tag(Origin::Measured) }</dt>
                { lag(view) }
                <dd class="small">{ view.position.as_ref().map_or_else(
                    || "The server has not told its position".to_owned(),
                    |position| format!("Server last told {}", grouped(position.sequence)),
                ) }</dd>
            </div>
            { balances_total(live) }
            { connection(view) }
        </dl>
    }
}

/// How far the copy is behind; nobody knows while the stream is broken.
fn lag(view: &LiveView) -> Html {
    if !words::is_flowing(Some(view)) {
        return html! { <dd class="big busy" data-testid="lag">{ "unknown" }</dd> };
    }
    html! { <dd class="big"><span data-testid="lag">{ grouped(view.lag) }</span><span class="unit">{ "records" }</span></dd> }
}

/// Whether the digests were equal, and where.
fn verdict(view: &LiveView) -> Html {
    let (class, text) = match &view.verdict {
        Verdict::NotYet => ("busy", "Not compared with the server's yet".to_owned()),
        Verdict::Equal { sequence, .. } => {
            ("equal good", format!("Equal to the server's at {}", grouped(*sequence)))
        }
        Verdict::Differs { sequence, .. } => {
            ("differs bad", format!("Differs from the server's at {}", grouped(*sequence)))
        }
    };
    html! { <span {class} data-testid="digest-verdict">{ text }</span> }
}

fn balances_total(live: &LiveState) -> Html {
    let first = live.totals.first();
    let big = first.map_or_else(|| "0".to_owned(), |total| amount::format(total.total, total.scale));
    let units = first.map_or_else(|| "0".to_owned(), |total| total.total.to_string());
    let others = live.totals.iter().skip(1).map(|other| {
        html! { <dd class="small" key={other.asset.clone()}>{ amount::format(other.total, other.scale) }{ " " }{ &other.asset }</dd> }
    });
    html! {
        <div class="fact">
            <dt>{ "Balances total" }{ origin_tag(Origin::Replayed) }</dt>
            <dd class="big">{ big }if let Some(total) = first { <span class="unit">{ &total.asset }</span> }</dd>
            <dd class="small"><span data-testid="balances-total">{ units }</span>{ " minor units" }</dd>
            { for others }
        </div>
    }
}

fn connection(view: &LiveView) -> Html {
    let (grade, word) = words::word(Some(view));
    let token = match view.token {
        TokenUse::Absent => "without a token",
        TokenUse::Sent => "with a token",
    };
    html! {
        <div class="fact storage">
            <dt>{ "Connection" }{ origin_tag(Origin::Measured) }</dt>
            <dd data-testid="connection-status">
                <span class={classes!("big", grade.class())}>{ word }</span>
                <span class="small">{ &view.server }</span>
                <span class="small">{ token }</span>
            </dd>
        </div>
    }
}
