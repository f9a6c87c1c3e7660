//! The entries of one account: its side of each transfer, newest first, with the balance behind it.

use yew::prelude::*;

use super::format::{origin_tag, time_of_day};
use super::state::Part;
use crate::amount::{self, grouped};
use crate::protocol::{EntriesWindow, EntryRow, Origin, Request};

#[derive(Properties, PartialEq)]
pub(super) struct EntriesProps {
    pub account: String,
    pub entries: Part<Option<EntriesWindow>>,
    pub origin: Origin,
    /// The record from which on entries are here, where the beginning of the log is not.
    pub since: Option<u64>,
    pub ask: Callback<Request>,
    pub close: Callback<()>,
}

/// The entries of one account.
#[component]
pub(super) fn Entries(props: &EntriesProps) -> Html {
    let window = props.entries.as_ref().filter(|window| window.account == props.account);
    let balance = window.map_or_else(String::new, |window| {
        format!("{} {}", amount::format(i128::from(window.posted), window.scale), window.asset)
    });
    html! {
        <>
            <div class="card-head">
                <h2 id="balances-title">{ "Entries of " }<span class="mono">{ &props.account }</span></h2>
                { origin_tag(props.origin) }
            </div>
            <div class="entry-balance">
                <b>{ balance }</b>
                <button type="button" class="quiet" data-testid="entries-close"
                    onclick={props.close.reform(|_: MouseEvent| ())}>{ "← All balances" }</button>
            </div>
            <div class="scroll" tabindex="0" role="region" aria-label="Entry rows, scrollable">
                <table class="entry-rows" data-testid="entries">
                    <caption class="visually-hidden">{ format!("Entries of {}, newest first", props.account) }</caption>
                    <thead><tr>
                        <th scope="col" class="number">{ "Sequence" }</th>
                        <th scope="col">{ "Other side" }</th>
                        <th scope="col" class="number">{ "Amount" }</th>
                        <th scope="col" class="number">{ "Balance" }</th>
                    </tr></thead>
                    <tbody>{ for window.iter().flat_map(|window| window.rows.iter().map(|entry| row(entry, window.scale))) }</tbody>
                </table>
                if window.is_some_and(|window| window.rows.is_empty()) {
                    <p class="empty">{ if props.since.is_some() { "No money has moved here since this page attached." } else { "No money has moved here." } }</p>
                }
            </div>
            if let Some(record) = props.since {
                <p class="hint">{ format!("Entries since record {}; older ones are on the server.", grouped(record)) }</p>
            }
            { pager(props, window) }
        </>
    }
}

fn row(entry: &EntryRow, scale: u8) -> Html {
    let (class, sign) = if entry.amount < 0 { ("deducted", "") } else { ("credited", "+") };
    html! {
        <tr {class}
            title={format!("{} · {}", entry.transaction_id, time_of_day(entry.recorded_at_micros))}>
            <td class="number">{ entry.sequence.to_string() }</td>
            <td>{ if entry.amount < 0 { "to " } else { "from " } }{ &entry.counterparty }</td>
            <td class="number">{ sign }{ amount::format(i128::from(entry.amount), scale) }</td>
            <td class="number">{ amount::format(i128::from(entry.balance_after), scale) }</td>
        </tr>
    }
}

fn pager(props: &EntriesProps, window: Option<&EntriesWindow>) -> Html {
    let Some(window) = window else { return Html::default() };
    let go = |before: Option<u64>| {
        let request = Request::ViewEntries { account: Some(props.account.clone()), before };
        props.ask.reform(move |_: MouseEvent| request.clone())
    };
    html! {
        <div class="buttons">
            if window.before.is_some() { <button type="button" onclick={go(None)}>{ "Newest" }</button> }
            if let Some(older) = window.older { <button type="button" onclick={go(Some(older))}>{ "Older" }</button> }
        </div>
    }
}
