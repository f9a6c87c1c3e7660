//! The queues with their book-keeping, and what lies among the dead letters.

use yew::prelude::*;

use super::format::{bytes, duration, origin_tag, time_of_day};
use super::state::Part;
use crate::amount::grouped;
use crate::protocol::{DeadLetterRow, Origin, QueueView, Request};

/// Dead letters listed at once.
const DEAD_LETTERS_SHOWN: u32 = 50;

/// Dead letters put back by one press.
const REDRIVE_MAX: u32 = 100;

#[derive(Properties, PartialEq)]
pub(super) struct QueuesProps {
    pub queues: Part<Vec<QueueView>>,
    pub dead_letters: Part<Vec<DeadLetterRow>>,
    pub can_act: bool,
    pub ask: Callback<Request>,
}

/// The table of queues.
#[component]
pub(super) fn Queues(props: &QueuesProps) -> Html {
    {
        let ask = props.ask.clone();
        use_effect_with((), move |()| ask.emit(Request::ViewDeadLetters { rows: DEAD_LETTERS_SHOWN }));
    }
    html! {
        <section class="card queues" aria-labelledby="queues-title">
            <div class="card-head">
                <h2 id="queues-title">{ "Queues" }</h2>
                { origin_tag(Origin::Modelled) }
                <p class="hint">{ "At-least-once delivery: what is not acked comes back, what keeps failing is set aside." }</p>
            </div>
            <div class="scroll-x" tabindex="0" role="region" aria-label="Queues, scrollable">
                <table data-testid="queues">
                    <caption class="visually-hidden">{ "Queues" }</caption>
                    <thead><tr>
                        <th scope="col">{ "Queue" }</th>
                        <th scope="col" class="number">{ "Depth" }</th>
                        <th scope="col" class="number">{ "Bytes" }</th>
                        <th scope="col" class="number">{ "In flight" }</th>
                        <th scope="col" class="number">{ "Oldest" }</th>
                        <th scope="col" class="number">{ "Attempts" }</th>
                        <th scope="col" class="number">{ "Busy" }</th>
                        <th scope="col" class="number">{ "Dead letters" }</th>
                    </tr></thead>
                    <tbody>{ for props.queues.iter().map(row) }</tbody>
                </table>
            </div>
            if props.queues.is_empty() { <p class="empty">{ "The queues appear when the world is there." }</p> }
            { for props.queues.iter().map(books) }
            { dead_letters(props) }
        </section>
    }
}

fn row(queue: &QueueView) -> Html {
    let depth_id = format!("queue-{}-depth", queue.name);
    let oldest = queue.oldest_age_micros.map_or_else(|| "–".into(), duration);
    html! {
        <tr key={queue.name.clone()}>
            <th scope="row">{ &queue.name }</th>
            <td class="number">
                <span data-testid={depth_id}>{ queue.depth.to_string() }</span>
                <span class="of">{ format!(" of {}", grouped(queue.depth_max)) }</span>
                <meter min="0" max={queue.depth_max.max(1).to_string()} value={queue.depth.to_string()}
                    high={(queue.depth_max * 9 / 10).to_string()} aria-label={format!("{}: how full", queue.name)}></meter>
            </td>
            <td class="number">{ bytes(queue.bytes) }<span class="of">{ format!(" of {}", bytes(queue.bytes_max)) }</span></td>
            <td class="number">{ grouped(queue.in_flight) }</td>
            <td class="number">{ oldest }</td>
            <td class="number">{ queue.attempts.to_string() }</td>
            <td class="number">{ grouped(queue.busy) }</td>
            <td class={classes!("number", (queue.dead_letters > 0).then_some("refused"))}>{ grouped(queue.dead_letters) }</td>
        </tr>
    }
}

/// The book-keeping equation in the queue's own numbers.
fn books(queue: &QueueView) -> Html {
    let sum = queue.depth + queue.in_flight + queue.acked + queue.dead_letters;
    let (class, mark) = if sum == queue.accepted {
        ("books good", "✓ balances")
    } else {
        ("books bad", "✗ does not balance")
    };
    html! {
        <p {class} key={queue.name.clone()}>
            <b>{ format!("{} accepted", grouped(queue.accepted)) }</b>
            { format!(
                " = {} queued + {} in flight + {} acked + {} dead letters ",
                grouped(queue.depth), grouped(queue.in_flight), grouped(queue.acked), grouped(queue.dead_letters)
            ) }
            <span class="mark">{ mark }</span>
        </p>
    }
}

fn dead_letters(props: &QueuesProps) -> Html {
    if props.dead_letters.is_empty() {
        return html! { <p class="empty">{ "No dead letters." }</p> };
    }
    let rows = props.dead_letters.iter().map(|letter| {
        html! {
            <tr>
                <td class="mono">{ &letter.transaction_id }</td>
                <td>{ &letter.reason }</td>
                <td class="number">{ letter.attempts.to_string() }</td>
                <td class="number">{ time_of_day(letter.at_micros) }</td>
            </tr>
        }
    });
    let queues = props.queues.iter().filter(|queue| queue.dead_letters > 0).map(|queue| {
        let request = Request::Redrive { queue: queue.name.clone(), count_max: REDRIVE_MAX };
        let onclick = props.ask.reform(move |_: MouseEvent| request.clone());
        let is_full = queue.depth >= queue.depth_max;
        html! {
            <>
                <button type="button" data-testid={format!("redrive-{}", queue.name)} disabled={!props.can_act || is_full}
                    {onclick}>{ format!("Redrive up to {REDRIVE_MAX} of “{}”", queue.name) }</button>
                if is_full {
                    <p class="hint" data-testid={format!("redrive-full-{}", queue.name)}>
                        { format!("“{}” is full: there is no room for what would be redriven.", queue.name) }
                    </p>
                }
            </>
        }
    });
    html! {
        <>
            <h3>{ "Dead letters" }</h3>
            <div class="scroll-x" tabindex="0" role="region" aria-label="Dead letters, scrollable">
                <table data-testid="dead-letters">
                    <caption class="visually-hidden">{ "Dead letters, oldest first" }</caption>
                    <thead><tr>
                        <th scope="col">{ "Transaction" }</th>
                        <th scope="col">{ "Reason" }</th>
                        <th scope="col" class="number">{ "Attempts" }</th>
                        <th scope="col" class="number">{ "Set aside at" }</th>
                    </tr></thead>
                    <tbody>{ for rows }</tbody>
                </table>
            </div>
            <div class="buttons left">{ for queues }</div>
        </>
    }
}
