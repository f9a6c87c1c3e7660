//! The strip of facts: what is true right now, in five numbers.

use yew::prelude::*;

use super::dom::PersistAnswer;
use super::format::{bytes, date_time, factor, in_groups, origin_tag, short};
use super::state::{Part, State};
use crate::amount;
use crate::protocol::{AssetTotal, LogView, Origin, RunState, Status};

#[derive(Properties, PartialEq)]
pub(super) struct FactsProps {
    pub sequence: u64,
    pub step: u64,
    pub events: u64,
    pub digest: AttrValue,
    pub virtual_micros: u64,
    pub virtual_per_mille: u64,
    pub origin: Origin,
    pub running: bool,
    pub totals: Part<Vec<AssetTotal>>,
    pub log: Part<Option<LogView>>,
    pub status: Part<Status>,
    pub persist: Option<PersistAnswer>,
}

impl FactsProps {
    /// The facts of a state.
    pub(super) fn of(state: &State) -> Self {
        Self {
            sequence: state.sequence,
            step: state.step,
            events: state.counts.events,
            digest: state.digest.clone(),
            virtual_micros: state.virtual_micros,
            virtual_per_mille: state.measured.virtual_per_mille,
            origin: state.run.origin,
            running: state.run.state == RunState::Running,
            totals: state.totals.clone(),
            log: state.log.clone(),
            status: state.status.clone(),
            persist: state.persist,
        }
    }
}

/// The strip of facts.
#[component]
pub(super) fn Facts(props: &FactsProps) -> Html {
    html! {
        <dl class="facts" aria-label="Facts">
            <div class="fact">
                <dt>{ "Sequence" }{ origin_tag(props.origin) }</dt>
                <dd class="big" data-testid="sequence">{ in_groups(&props.sequence.to_string(), 3) }</dd>
                <dd class="small">{ format!("{} events · step {}", short(props.events), short(props.step)) }</dd>
            </div>
            <div class="fact digest">
                <dt>{ "Digest" }{ origin_tag(props.origin) }</dt>
                <dd class="big mono" data-testid="digest">{ in_groups(&props.digest, 4) }</dd>
                <dd class="small">{ "Same log, same digest, on every machine" }</dd>
            </div>
            <div class="fact">
                <dt>{ "Virtual time" }{ origin_tag(Origin::Modelled) }</dt>
                { clock(props) }
            </div>
            { balances_total(props) }
            { storage(props) }
        </dl>
    }
}

fn clock(props: &FactsProps) -> Html {
    let text = date_time(props.virtual_micros);
    let (date, time) = text.split_once(' ').unwrap_or((text.as_str(), ""));
    let pace = if props.running {
        format!("{date} UTC · flows {}", factor(props.virtual_per_mille))
    } else {
        format!("{date} UTC · stands still")
    };
    html! {
        <>
            <dd class="big" data-testid="virtual-time" title={text.clone()}>{ time.to_owned() }</dd>
            <dd class="small">{ pace }</dd>
        </>
    }
}

fn balances_total(props: &FactsProps) -> Html {
    let Some(total) = props.totals.first() else {
        return html! {
            <div class="fact">
                <dt>{ "Balances total" }{ origin_tag(props.origin) }</dt>
                <dd class="big">{ "0" }</dd>
                <dd class="small"><span data-testid="balances-total">{ "0" }</span>{ " minor units" }</dd>
            </div>
        };
    };
    let others = props.totals.iter().skip(1).map(|other| {
        html! { <dd class="small" key={other.asset.clone()}>{ amount::format(other.total, other.scale) }{ " " }{ &other.asset }</dd> }
    });
    html! {
        <div class="fact">
            <dt>{ "Balances total" }{ origin_tag(props.origin) }</dt>
            <dd class="big">{ amount::format(total.total, total.scale) }<span class="unit">{ &total.asset }</span></dd>
            <dd class="small"><span data-testid="balances-total">{ total.total.to_string() }</span>{ " minor units" }</dd>
            { for others }
        </div>
    }
}

fn storage(props: &FactsProps) -> Html {
    let (mark, word) = match word(&props.status, props.sequence) {
        // While it runs the last steps are always on their way; when it stands still they arrive.
        ("good", _)
            if !props.running && props.log.as_ref().is_some_and(|log| log.saved_step < props.step) =>
        {
            ("busy", "Saving")
        }
        other => other,
    };
    let log = props.log.as_ref().map_or_else(String::new, |log| {
        format!("{} of {}, two copies", bytes(log.bytes), bytes(log.bytes_max))
    });
    let persist = match props.persist {
        None => "Asking the browser to keep it",
        Some(PersistAnswer::Granted) => "Kept until you delete it",
        Some(PersistAnswer::Refused) => "Browser may evict it when full",
        Some(PersistAnswer::Unavailable) => "Browser cannot promise to keep it",
    };
    html! {
        <div class="fact storage">
            <dt>{ "Storage" }{ origin_tag(Origin::Measured) }</dt>
            <dd data-testid="storage-status">
                <span class={classes!("big", mark)}>{ word }</span>
                <span class="small">{ log }</span>
                <span class="small">{ persist }</span>
            </dd>
        </div>
    }
}

fn word(status: &Status, sequence: u64) -> (&'static str, &'static str) {
    match status {
        Status::Opening => ("busy", "Opening"),
        Status::CatchingUp { .. } => ("busy", "Replaying"),
        Status::NewLog if sequence == 0 => ("good", "New log"),
        Status::NewLog | Status::Restored { .. } | Status::TookOver => ("good", "Saved"),
        Status::RestoredFromCopy { .. } => ("good", "Saved, restored"),
        Status::ReadOnly => ("warn", "Read only"),
        Status::QuotaExceeded { .. } => ("bad", "Full"),
        Status::Blocked => ("bad", "Blocked"),
        Status::Damaged { .. } => ("bad", "Damaged"),
        Status::LostLog { .. } => ("bad", "Log lost"),
        Status::Diverged { .. } => ("bad", "Diverged"),
        Status::Unavailable { .. } => ("warn", "In memory only"),
        Status::WriteFailed { .. } => ("bad", "Write failed"),
    }
}
