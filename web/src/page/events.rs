//! The event stream, oldest first, with filters; it follows the newest event until it is scrolled away.

use web_sys::Element;
use yew::prelude::*;

use super::dom::text_of;
use super::format::{origin_tag, time_of_day};
use super::scroll::{FIRST_ROWS, Scroll, Seen, Space};
use super::state::Part;
use super::words;
use crate::amount::{self, grouped};
use crate::protocol::{EventFilter, EventKind, EventRow, EventsWindow, Follow, Origin, ROWS_MAX, Request};

/// Height of a row; the style sheet sets the same.
pub(super) const ROW_PX: u64 = 30;

#[derive(Properties, PartialEq)]
pub(super) struct EventsProps {
    pub events: Part<Option<EventsWindow>>,
    pub origin: Origin,
    /// The record from which on events are here, where the beginning of the log is not.
    #[prop_or_default]
    pub since: Option<u64>,
    pub ask: Callback<Request>,
}

/// The event stream.
#[component]
pub(super) fn Events(props: &EventsProps) -> Html {
    let frame = use_node_ref();
    let filter = use_state_eq(EventFilter::default);
    let follow = use_state_eq(|| Follow::Newest);
    let seen = use_state_eq(Seen::default);
    let asked = use_state_eq(|| (0_u64, FIRST_ROWS));
    let view = use_mut_ref(|| 0_u32);
    {
        let ask = props.ask.clone();
        use_effect_with(((*filter).clone(), *follow, *asked), move |(filter, follow, (first_row, rows))| {
            *view.borrow_mut() += 1;
            ask.emit(Request::ViewEvents {
                view: *view.borrow(),
                filter: filter.clone(),
                first_row: *first_row,
                rows: u32::try_from(*rows).unwrap_or(ROWS_MAX).min(ROWS_MAX),
                follow: *follow,
            });
        });
    }
    {
        let frame = frame.clone();
        use_effect_with((props.events.clone(), *follow), move |(_, follow)| {
            if let (Follow::Newest, Some(element)) = (follow, frame.cast::<Element>()) {
                element.set_scroll_top(element.scroll_height());
            }
        });
    }
    let matched = props.events.as_ref().map_or(0, |window| window.matched);
    let onscroll = {
        let (follow, seen, asked) = (follow.clone(), seen.clone(), asked.clone());
        move |event: Event| {
            let Some(element) = event.target_dyn_into::<Element>() else { return };
            let place = Place::of(&element, matched);
            // Only the user moves up: rows that come or a window that changes its size never do.
            let moved_up = place.scroll_top < seen.scroll_top;
            if place.at_end {
                follow.set(Follow::Newest);
            } else if moved_up {
                follow.set(Follow::Still);
            }
            seen.set(place.scroll.seen(place.scroll_top));
            if !place.at_end && !place.scroll.is_covered(place.scroll_top, asked.0, asked.1) {
                asked.set(place.scroll.wanted(place.scroll_top));
            }
        }
    };
    html! {
        <section class="card events" aria-labelledby="events-title">
            <div class="card-head">
                <h2 id="events-title">{ "Events" }</h2>
                { origin_tag(props.origin) }
                <p class="hint">{ matches(props.events.as_ref(), &filter, props.since) }</p>
                { follow_button(&follow) }
            </div>
            { filters(&filter) }
            <div ref={frame} class="scroll" tabindex="0" role="region" aria-label="Event rows, scrollable" {onscroll}>
                { table(props, *seen, &filter) }
                if matched == 0 { <p class="empty">{ why_empty(props.events.as_ref(), &filter, props.since) }</p> }
            </div>
        </section>
    }
}

/// Where a scrolled element stands.
struct Place {
    scroll: Scroll,
    scroll_top: u64,
    at_end: bool,
}

impl Place {
    fn of(element: &Element, rows: u64) -> Self {
        let viewport_px = u64::from(element.client_height().unsigned_abs());
        let scroll_top = u64::from(element.scroll_top().unsigned_abs());
        let end = u64::from(element.scroll_height().unsigned_abs()).saturating_sub(viewport_px);
        Self {
            scroll: Scroll { rows, row_px: ROW_PX, viewport_px },
            scroll_top,
            at_end: scroll_top + ROW_PX / 2 >= end,
        }
    }
}

fn follow_button(follow: &UseStateHandle<Follow>) -> Html {
    let (pressed, next) = match **follow {
        Follow::Newest => ("true", Follow::Still),
        Follow::Still => ("false", Follow::Newest),
    };
    let onclick = {
        let follow = follow.clone();
        move |_: MouseEvent| follow.set(next)
    };
    html! { <button type="button" class="toggle" data-testid="follow" aria-pressed={pressed} {onclick}>{ "Follow newest" }</button> }
}

fn filters(filter: &UseStateHandle<EventFilter>) -> Html {
    let change = |change: fn(&mut EventFilter, String)| {
        let filter = filter.clone();
        move |text: String| {
            let mut next = EventFilter::clone(&filter);
            change(&mut next, text.trim().to_owned());
            filter.set(next);
        }
    };
    let account = change(|filter, text| filter.account = text);
    let kind = change(|filter, text| filter.kind = EventKind::from_name(&text));
    let transaction = change(|filter, text| filter.transaction_id = text.to_lowercase());
    html! {
        <div class="filters" role="search" aria-label="Filter events">
            <label class="field"><span>{ "Account" }</span>
                <input data-testid="filter-account" list="accounts" autocomplete="off" spellcheck="false" placeholder="any"
                    value={filter.account.clone()} oninput={move |event: InputEvent| account(text_of(&event))} /></label>
            <label class="field"><span>{ "Type" }</span>
                <select data-testid="filter-type" onchange={move |event: Event| kind(text_of(&event))}>
                    <option value="" selected={filter.kind.is_none()}>{ "any" }</option>
                    { for EventKind::ALL.iter().map(|kind| html! {
                        <option value={kind.name()} selected={filter.kind == Some(*kind)}>{ kind.name() }</option>
                    }) }
                </select></label>
            <label class="field wide"><span>{ "Transaction" }</span>
                <input data-testid="filter-transaction" autocomplete="off" spellcheck="false" placeholder="id or its beginning" class="mono"
                    value={filter.transaction_id.clone()} oninput={move |event: InputEvent| transaction(text_of(&event))} /></label>
            if **filter != EventFilter::default() {
                <button type="button" class="quiet" onclick={{
                    let filter = filter.clone();
                    move |_: MouseEvent| filter.set(EventFilter::default())
                }}>{ "Clear" }</button>
            }
        </div>
    }
}

fn table(props: &EventsProps, seen: Seen, filter: &UseStateHandle<EventFilter>) -> Html {
    let (rows, matched, first) = match props.events.as_ref() {
        Some(window) => (window.rows.as_slice(), window.matched, window.first_row),
        None => ([].as_slice(), 0, 0),
    };
    let scroll = Scroll { rows: matched, row_px: ROW_PX, viewport_px: 12 * ROW_PX };
    let (above, below) = scroll.spaces(seen, first, u64::try_from(rows.len()).unwrap_or(0));
    html! {
        <table data-testid="events" aria-rowcount={matched.to_string()}>
            <caption class="visually-hidden">{ "Events, oldest first" }</caption>
            <thead><tr>
                <th scope="col" class="number">{ "Sequence" }</th>
                <th scope="col">{ "Type" }</th>
                <th scope="col">{ "Account" }</th>
                <th scope="col" class="number">{ "Amount" }</th>
                <th scope="col">{ "Refused because" }</th>
                <th scope="col">{ "Transaction" }</th>
                <th scope="col" class="number">{ "Recorded at" }</th>
            </tr></thead>
            <tbody>
                <Space px={above} columns={7} />
                { for rows.iter().zip(first..).map(|(event, place)| row(event, place, filter)) }
                <Space px={below} columns={7} />
            </tbody>
        </table>
    }
}

fn row(event: &EventRow, place: u64, filter: &UseStateHandle<EventFilter>) -> Html {
    // The first word of a type gives way on narrow screens; the whole name stays in the document.
    let (class, mark, sign, prefix, word) = match event.kind {
        EventKind::AccountOpened => ("opened", "○", "", "Account", "Opened"),
        EventKind::MoneyDeducted => ("deducted", "−", "−", "Money", "Deducted"),
        EventKind::MoneyCredited => ("credited", "+", "+", "Money", "Credited"),
        EventKind::TransferPending => ("opened", "…", "", "Transfer", "Pending"),
        EventKind::TransferPosted => ("credited", "✓", "", "Transfer", "Posted"),
        EventKind::TransferVoided => ("deducted", "⌀", "", "Transfer", "Voided"),
        EventKind::TransferExpired => ("deducted", "⌛", "", "Transfer", "Expired"),
        EventKind::FloorChanged => ("opened", "⎵", "", "Floor", "Changed"),
        EventKind::MetadataAttached => ("opened", "¶", "", "Metadata", "Attached"),
        EventKind::TransactionFailed => ("failed", "×", "", "Transaction", "Failed"),
    };
    let amount = event.amount.map_or_else(String::new, |units| {
        format!("{sign}{}", amount::format(i128::from(units), event.scale))
    });
    let both = (!event.to_account.is_empty()).then(|| format!("{} → {}", event.account, event.to_account));
    let short_id: String = event.transaction_id.chars().take(13).collect();
    html! {
        <tr {class} aria-rowindex={(place + 1).to_string()}>
            <td class="number">{ event.sequence.to_string() }<span class="of">{ format!(".{}", event.index) }</span></td>
            <td><span class="mark" aria-hidden="true">{ mark }</span><span class="prefix">{ prefix }</span>{ word }</td>
            <td title={both}>{ pick(filter, &event.account, |filter, text| filter.account = text) }
                if !event.to_account.is_empty() { { " → " }{ &event.to_account } }</td>
            <td class="number">{ amount }if event.amount.is_some() { <span class="of">{ " " }{ &event.asset }</span> }</td>
            <td>if !event.reason.is_empty() { <span class="reason">{ words::reason_short(&event.reason) }</span> }
                if !event.note.is_empty() { <span class="small">{ &event.note }</span> }</td>
            <td class="mono" title={event.transaction_id.clone()}>
                { pick_as(filter, &event.transaction_id, format!("{short_id}…"), |filter, text| filter.transaction_id = text) }</td>
            <td class="number">{ time_of_day(event.recorded_at_micros) }</td>
        </tr>
    }
}

fn pick(filter: &UseStateHandle<EventFilter>, text: &str, set: fn(&mut EventFilter, String)) -> Html {
    pick_as(filter, text, text.to_owned(), set)
}

/// A word of a row that filters by itself when it is pressed.
fn pick_as(
    filter: &UseStateHandle<EventFilter>,
    text: &str,
    shown: String,
    set: fn(&mut EventFilter, String),
) -> Html {
    let onclick = {
        let (filter, text) = (filter.clone(), text.to_owned());
        move |_: MouseEvent| {
            let mut next = EventFilter::clone(&filter);
            set(&mut next, text.clone());
            filter.set(next);
        }
    };
    html! { <button type="button" class="link" {onclick}>{ shown }</button> }
}

fn matches(window: Option<&EventsWindow>, filter: &EventFilter, since: Option<u64>) -> String {
    let place =
        since.map_or_else(|| "in the log".to_owned(), |record| format!("since record {}", grouped(record)));
    match window {
        None => String::new(),
        Some(window) if window.matched == window.total => format!("{} {place}", grouped(window.total)),
        Some(window) if *filter == EventFilter::default() => {
            format!("the newest {} of {} {place}", grouped(window.matched), grouped(window.total))
        }
        Some(window) if window.searched < window.total => {
            format!("{} of {} match so far, searching …", grouped(window.matched), grouped(window.total))
        }
        Some(window) => format!("{} of {} match", grouped(window.matched), grouped(window.total)),
    }
}

fn why_empty(window: Option<&EventsWindow>, filter: &EventFilter, since: Option<u64>) -> &'static str {
    if window.is_some_and(|window| window.total > 0) && *filter != EventFilter::default() {
        "No event matches. Clear the filter to see them all."
    } else if since.is_some() {
        "Nothing has happened since this page attached. What the server records from now on appears here."
    } else {
        "Nothing has happened yet. Press Run to start the clients, or send one transfer by hand."
    }
}
