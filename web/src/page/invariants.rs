//! The invariants: what must hold after every event, and how often that was checked.

use yew::prelude::*;

use super::format::{origin_tag, short};
use super::state::Part;
use crate::amount::grouped;
use crate::protocol::{InvariantView, Origin};

#[derive(Properties, PartialEq)]
pub(super) struct InvariantsProps {
    pub invariants: Part<Vec<InvariantView>>,
}

/// The list of invariants.
#[component]
pub(super) fn Invariants(props: &InvariantsProps) -> Html {
    let broken = props.invariants.iter().filter(|invariant| invariant.broken.is_some()).count();
    let (class, verdict) = match (broken, props.invariants.iter().any(|invariant| invariant.checked > 0)) {
        (0, false) => ("verdict", "not checked yet".to_owned()),
        (0, true) => ("verdict good", "all hold".to_owned()),
        (broken, _) => ("verdict bad", format!("{broken} broken")),
    };
    html! {
        <section class="card invariants" aria-labelledby="invariants-title" data-testid="invariants">
            <div class="card-head">
                <h2 id="invariants-title">{ "Invariants" }</h2>
                { origin_tag(Origin::Measured) }
                <span {class}>{ verdict }</span>
            </div>
            if props.invariants.is_empty() {
                <p class="empty">{ "After every event the world checks itself: no cent appears, none is lost, nothing takes effect twice." }</p>
            }
            <ul>{ for props.invariants.iter().map(row) }</ul>
        </section>
    }
}

fn row(invariant: &InvariantView) -> Html {
    let (state, mark, word) = match (&invariant.broken, invariant.checked) {
        (Some(_), _) => ("broken", "M4 4l8 8M12 4l-8 8", "broken"),
        (None, 0) => ("unchecked", "M4 8h8", "not checked yet"),
        (None, _) => ("holds", "M3.5 8.5l3 3 6-7", "holds"),
    };
    html! {
        <li key={invariant.name.clone()} class={state} data-state={state}>
            <svg class="mark" viewBox="0 0 16 16" role="img" aria-label={word}><path d={mark} /></svg>
            <div>
                <p class="name" title={invariant.name.clone()}>{ &invariant.meaning }
                    <span class="checked" title={format!("checked {} times", grouped(invariant.checked))}>
                        { format!("{}×", short(invariant.checked)) }<span class="visually-hidden">{ " checked" }</span>
                    </span>
                </p>
                if let Some(broken) = &invariant.broken {
                    <p class="wrong"><span class="mono">{ &invariant.name }</span>{ ": " }{ broken }</p>
                }
            </div>
        </li>
    }
}
