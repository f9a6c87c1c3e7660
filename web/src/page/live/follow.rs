//! How the copy comes about: the server's log, the stream, the fold in this tab, and the comparison of both ends.

use yew::prelude::*;

use super::words;
use crate::amount::grouped;
use crate::page::format::{bytes, date_time, origin_tag, short};
use crate::page::state::Part;
use crate::protocol::{LiveView, Origin, Verdict};

#[derive(Properties, PartialEq)]
pub(super) struct FollowProps {
    pub view: Part<Option<LiveView>>,
    pub sequence: u64,
    pub digest: AttrValue,
}

/// Server, stream and copy beside each other.
#[component]
pub(super) fn Follow(props: &FollowProps) -> Html {
    let Some(view) = props.view.as_ref() else { return Html::default() };
    html! {
        <section class="card follow" aria-labelledby="follow-title" data-testid="follow">
            <div class="card-head">
                <h2 id="follow-title">{ "One ledger, computed twice" }</h2>
                <p class="hint">{ format!("log {}", view.log_id) }</p>
            </div>
            <ol class="chain">
                { server(view) }
                { stream(view) }
                { copy(view, props) }
            </ol>
            { verdict(view) }
        </section>
    }
}

fn server(view: &LiveView) -> Html {
    let told = view.position.as_ref();
    let text =
        |tell: &dyn Fn(&crate::protocol::Position) -> String| told.map_or_else(|| "–".to_owned(), tell);
    html! {
        <li class="link-server">
            <h3>{ "Server" }{ origin_tag(Origin::Measured) }</h3>
            <p class="small">{ "decides, writes, tells its position" }</p>
            <dl>
                { row("Next record".into(), html! { <b data-testid="server-sequence">{ text(&|position| grouped(position.sequence)) }</b> }) }
                { row(digest_at(told.map(|position| position.sequence)), html! { <span class="mono" data-testid="server-digest">{ text(&|position| position.digest.clone()) }</span> }) }
                { row("Last recorded".into(), html! { { text(&|position| {
                    if position.recorded_at_micros == 0 { "–".to_owned() } else { format!("{} UTC", date_time(position.recorded_at_micros)) }
                }) } }) }
            </dl>
        </li>
    }
}

fn stream(view: &LiveView) -> Html {
    let (grade, word) = words::word(Some(view));
    html! {
        <li class="link-stream">
            <h3>{ "Stream" }{ origin_tag(Origin::Measured) }</h3>
            <p class="small">{ "read as fast as it is folded" }</p>
            <dl>
                { row("Connection".into(), html! { <b class={grade.class()}>{ word }</b> }) }
                { row("Records".into(), html! { { format!("{}/s", short(view.records_per_second)) } }) }
                { row("Received".into(), html! { { bytes(view.received_bytes) } }) }
            </dl>
        </li>
    }
}

fn copy(view: &LiveView, props: &FollowProps) -> Html {
    // Beside the server's digest stands the one of the same sequence; the copy itself is further already.
    let (at, digest) = match &view.verdict {
        Verdict::NotYet => (props.sequence, props.digest.clone()),
        Verdict::Equal { sequence, digest: ours } | Verdict::Differs { sequence, ours, .. } => {
            (*sequence, AttrValue::from(ours.clone()))
        }
    };
    html! {
        <li class="link-copy">
            <h3>{ "This tab" }{ origin_tag(Origin::Replayed) }</h3>
            <p class="small">{ format!("state at {}, then every record", grouped(view.began_at)) }</p>
            <dl>
                { row("Next record".into(), html! { <b>{ grouped(props.sequence) }</b> }) }
                { row(digest_at(Some(at)), html! { <span class="mono">{ digest }</span> }) }
                { row("Seals checked".into(), html! { { grouped(view.seals) } }) }
            </dl>
        </li>
    }
}

fn digest_at(sequence: Option<u64>) -> String {
    sequence.map_or_else(|| "Digest".to_owned(), |sequence| format!("Digest at {}", grouped(sequence)))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{} times", grouped(count)) }
}

fn row(name: String, value: Html) -> Html {
    html! { <div><dt>{ name }</dt><dd>{ value }</dd></div> }
}

fn verdict(view: &LiveView) -> Html {
    match &view.verdict {
        Verdict::NotYet => html! {
            <p class="compare">{ "Digests are compared whenever the copy stands where the server told its own." }</p>
        },
        Verdict::Equal { sequence, .. } => html! {
            <p class="compare good"><strong>{ "Equal digests" }</strong>
                { format!(" at sequence {}. Compared {}, always at the same sequence.", grouped(*sequence), times(view.compared)) }</p>
        },
        Verdict::Differs { sequence, ours, theirs } => html! {
            <p class="compare bad"><strong>{ format!("Different digests at sequence {}.", grouped(*sequence)) }</strong>
                { " The server says " }<span class="mono">{ theirs }</span>{ ", this tab computed " }<span class="mono">{ ours }</span>{ "." }</p>
        },
    }
}
