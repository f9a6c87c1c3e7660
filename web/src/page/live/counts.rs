//! How many of what the server's log holds.

use yew::prelude::*;

use crate::amount::grouped;
use crate::page::format::origin_tag;
use crate::page::state::Part;
use crate::page::words;
use crate::protocol::{CountsView, Origin};

#[derive(Properties, PartialEq)]
pub(super) struct CountsProps {
    pub counts: Part<CountsView>,
}

/// The counts of the whole log, from the server's state on kept up to date here.
#[component]
pub(super) fn Counts(props: &CountsProps) -> Html {
    let counts = &props.counts;
    let rows = [
        ("Transfers completed", counts.transfers_completed),
        ("Transfers refused", counts.transfers_failed),
        ("Deposits", counts.deposits),
        ("Withdrawals", counts.withdrawals),
        ("Accounts, with the system's", counts.accounts),
    ];
    let refusals = counts.refusals.iter().map(|(reason, count)| {
        html! { <div key={reason.clone()}><dt><span class="reason">{ words::reason_short(reason) }</span></dt><dd>{ grouped(*count) }</dd></div> }
    });
    html! {
        <section class="card counts" aria-labelledby="counts-title" data-testid="counts">
            <div class="card-head">
                <h2 id="counts-title">{ "Since the log began" }</h2>
                { origin_tag(Origin::Replayed) }
            </div>
            <dl>
                { for rows.into_iter().map(|(name, count)| html! {
                    <div key={name}><dt>{ name }</dt><dd><b>{ grouped(count) }</b></dd></div>
                }) }
                { for refusals }
            </dl>
        </section>
    }
}
