//! The balances, sorted and searched by the worker; a press on an account shows its entries.

use web_sys::Element;
use yew::prelude::*;

use super::dom::text_of;
use super::entries::Entries;
use super::events::ROW_PX;
use super::format::origin_tag;
use super::scroll::{FIRST_ROWS, Scroll, Seen, Space};
use super::state::Part;
use crate::amount::{self, grouped};
use crate::protocol::{
    BalanceRow, BalanceSort, BalancesWindow, Direction, EntriesWindow, Origin, ROWS_MAX, Request,
};

#[derive(Properties, PartialEq)]
pub(super) struct BalancesProps {
    pub balances: Part<Option<BalancesWindow>>,
    pub entries: Part<Option<EntriesWindow>>,
    pub origin: Origin,
    /// The record from which on entries are here, where the beginning of the log is not.
    #[prop_or_default]
    pub since: Option<u64>,
    pub ask: Callback<Request>,
}

/// The balances, or the entries of one account.
#[component]
pub(super) fn Balances(props: &BalancesProps) -> Html {
    let account = use_state_eq(|| None::<String>);
    let choose = {
        let (account, ask) = (account.clone(), props.ask.clone());
        Callback::from(move |chosen: Option<String>| {
            ask.emit(Request::ViewEntries { account: chosen.clone(), before: None });
            account.set(chosen);
        })
    };
    html! {
        <section class="card balances" aria-labelledby="balances-title" data-testid="balances">
            if let Some(name) = account.as_ref() {
                <Entries account={name.clone()} entries={props.entries.clone()} origin={props.origin} since={props.since}
                    ask={props.ask.clone()} close={choose.reform(|()| None)} />
            } else {
                <BalanceTable balances={props.balances.clone()} origin={props.origin} since={props.since} ask={props.ask.clone()}
                    choose={choose.reform(Some)} />
            }
        </section>
    }
}

#[derive(Properties, PartialEq)]
struct BalanceTableProps {
    balances: Part<Option<BalancesWindow>>,
    origin: Origin,
    since: Option<u64>,
    ask: Callback<Request>,
    choose: Callback<String>,
}

#[component]
fn BalanceTable(props: &BalanceTableProps) -> Html {
    let search = use_state_eq(String::new);
    let order = use_state_eq(|| (BalanceSort::Opened, Direction::Ascending));
    let asked = use_state_eq(|| (0_u64, FIRST_ROWS));
    let seen = use_state_eq(Seen::default);
    let view = use_mut_ref(|| 0_u32);
    {
        let ask = props.ask.clone();
        use_effect_with(
            ((*search).clone(), *order, *asked),
            move |(search, (sort, direction), (first_row, rows))| {
                *view.borrow_mut() += 1;
                ask.emit(Request::ViewBalances {
                    view: *view.borrow(),
                    search: search.clone(),
                    sort: *sort,
                    direction: *direction,
                    first_row: *first_row,
                    rows: u32::try_from(*rows).unwrap_or(ROWS_MAX).min(ROWS_MAX),
                });
            },
        );
    }
    let matched = props.balances.as_ref().map_or(0, |window| window.matched);
    let onscroll = {
        let (asked, seen) = (asked.clone(), seen.clone());
        move |event: Event| {
            let Some(element) = event.target_dyn_into::<Element>() else { return };
            let top = u64::from(element.scroll_top().unsigned_abs());
            let scroll = Scroll {
                rows: matched,
                row_px: ROW_PX,
                viewport_px: element.client_height().unsigned_abs().into(),
            };
            seen.set(scroll.seen(top));
            if !scroll.is_covered(top, asked.0, asked.1) {
                asked.set(scroll.wanted(top));
            }
        }
    };
    let oninput = {
        let search = search.clone();
        move |event: InputEvent| search.set(text_of(&event).trim().to_owned())
    };
    html! {
        <>
            <div class="card-head">
                <h2 id="balances-title">{ "Balances" }</h2>
                { origin_tag(props.origin) }
                <p class="hint">{ count(props.balances.as_ref()) }</p>
            </div>
            <div class="filters" role="search" aria-label="Search accounts">
                <label class="field wide"><span>{ "Account" }</span>
                    <input type="search" data-testid="balances-search" autocomplete="off" spellcheck="false"
                        placeholder="part of a name" value={(*search).clone()} {oninput} /></label>
            </div>
            <div class="scroll" tabindex="0" role="region" aria-label="Balance rows, scrollable" {onscroll}>
                { table(props, *seen, &order) }
                if matched == 0 { <p class="empty">{ if search.is_empty() && props.since.is_some() {
                    "The server has no account yet. Open one by hand, or over its API."
                } else if search.is_empty() {
                    "Accounts appear here as they are opened. Press Run, or load a CSV file."
                } else {
                    "No account has that in its name."
                } }</p> }
            </div>
        </>
    }
}

fn table(props: &BalanceTableProps, seen: Seen, order: &UseStateHandle<(BalanceSort, Direction)>) -> Html {
    let (rows, matched, first) = match props.balances.as_ref() {
        Some(window) => (window.rows.as_slice(), window.matched, window.first_row),
        None => ([].as_slice(), 0, 0),
    };
    let scroll = Scroll { rows: matched, row_px: ROW_PX, viewport_px: 12 * ROW_PX };
    let (above, below) = scroll.spaces(seen, first, u64::try_from(rows.len()).unwrap_or(0));
    html! {
        <table class="balance-rows" aria-rowcount={matched.to_string()}>
            <caption class="visually-hidden">{ "Balances of all accounts" }</caption>
            <thead><tr>
                { sort_head(order, BalanceSort::Opened, "#", "number col-place") }
                { sort_head(order, BalanceSort::Account, "Account", "") }
                { sort_head(order, BalanceSort::Balance, "Balance", "number") }
            </tr></thead>
            <tbody>
                <Space px={above} columns={3} />
                { for rows.iter().zip(first..).map(|(balance, place)| row(balance, place, &props.choose)) }
                <Space px={below} columns={3} />
            </tbody>
        </table>
    }
}

fn sort_head(
    order: &UseStateHandle<(BalanceSort, Direction)>,
    sort: BalanceSort,
    label: &'static str,
    class: &'static str,
) -> Html {
    let (current, direction) = **order;
    let (aria_sort, mark, next) = match (current == sort, direction) {
        (true, Direction::Ascending) => ("ascending", "▲", Direction::Descending),
        (true, Direction::Descending) => ("descending", "▼", Direction::Ascending),
        (false, _) if sort == BalanceSort::Balance => ("none", "", Direction::Descending),
        (false, _) => ("none", "", Direction::Ascending),
    };
    let onclick = {
        let order = order.clone();
        move |_: MouseEvent| order.set((sort, next))
    };
    let name = match sort {
        BalanceSort::Opened => "Sort by the order of opening",
        BalanceSort::Account => "Sort by account",
        BalanceSort::Balance => "Sort by balance",
    };
    html! {
        <th scope="col" {class} aria-sort={aria_sort}>
            <button type="button" class="sort" title={name} {onclick}>{ label }<span class="mark" aria-hidden="true">{ mark }</span></button>
        </th>
    }
}

fn row(balance: &BalanceRow, place: u64, choose: &Callback<String>) -> Html {
    let name = balance.account.clone();
    let onclick = choose.reform(move |_: MouseEvent| name.clone());
    let class = balance.account.starts_with('@').then_some("system");
    html! {
        <tr {class} aria-rowindex={(place + 1).to_string()}>
            <td class="number col-place">{ grouped(place + 1) }</td>
            <th scope="row"><button type="button" class="link" title="Show its entries" {onclick}>{ &balance.account }</button></th>
            <td class="number">{ amount::format(i128::from(balance.posted), balance.scale) }<span class="of">{ " " }{ &balance.asset }</span></td>
        </tr>
    }
}

fn count(window: Option<&BalancesWindow>) -> String {
    match window {
        None => String::new(),
        Some(window) if window.matched == window.total => format!("{} accounts", grouped(window.total)),
        Some(window) => format!("{} of {} accounts", grouped(window.matched), grouped(window.total)),
    }
}
