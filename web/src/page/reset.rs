//! The dialog that begins a new world: nothing is deleted before it was confirmed here.

use web_sys::{HtmlDialogElement, SubmitEvent};
use yew::prelude::*;

use super::dom::text_of;
use super::format::bytes;
use crate::amount::{self, grouped};
use crate::protocol::{Request, RunOptions};

#[derive(Properties, PartialEq)]
pub(super) struct ResetDialogProps {
    /// The wanted world; `None` while the dialog is closed.
    pub wanted: Option<RunOptions>,
    /// Records that would be deleted.
    pub sequence: u64,
    /// Their bytes.
    pub log_bytes: u64,
    /// Decimals of the default asset.
    pub scale: u8,
    pub ask: Callback<Request>,
    pub close: Callback<()>,
}

/// The dialog that begins a new world.
#[component]
pub(super) fn ResetDialog(props: &ResetDialogProps) -> Html {
    let dialog = use_node_ref();
    let fields = use_state(Fields::default);
    {
        let (dialog, fields, scale) = (dialog.clone(), fields.clone(), props.scale);
        use_effect_with(props.wanted.clone(), move |wanted| {
            let Some(element) = dialog.cast::<HtmlDialogElement>() else { return };
            match wanted {
                Some(options) => {
                    fields.set(Fields::of(options, scale));
                    if !element.open() {
                        // It fails only when the element has left the document.
                        let _ = element.show_modal();
                    }
                }
                None => element.close(),
            }
        });
    }
    let options = fields.options(props.scale);
    let onsubmit = {
        let (options, ask, close) = (options.clone(), props.ask.clone(), props.close.clone());
        move |event: SubmitEvent| {
            event.prevent_default();
            if let Ok(options) = &options {
                ask.emit(Request::Reset { options: options.clone() });
                close.emit(());
            }
        }
    };
    html! {
        <dialog ref={dialog} aria-labelledby="reset-title" data-testid="reset-dialog"
            onclose={props.close.reform(|_: Event| ())}>
            <form {onsubmit}>
                <h2 id="reset-title">{ "Begin a new world" }</h2>
                { what_goes(props) }
                <div class="field-grid">{ for Field::ALL.iter().map(|field| input(*field, &fields)) }</div>
                if let Err(field) = &options {
                    <p class="wrong">{ format!("{} is not a number in its range.", field.label()) }</p>
                }
                <div class="buttons">
                    <button type="button" onclick={props.close.reform(|_: MouseEvent| ())}>{ "Cancel" }</button>
                    <button type="submit" class="danger" data-testid="reset-confirm" disabled={options.is_err()}>
                        { if props.sequence == 0 { "Begin" } else { "Delete the log and begin" } }
                    </button>
                </div>
            </form>
        </dialog>
    }
}

fn what_goes(props: &ResetDialogProps) -> Html {
    if props.sequence == 0 {
        return html! { <p>{ "The log is empty: nothing is lost." }</p> };
    }
    html! {
        <p>
            { "This deletes the present log from this browser, both copies: " }
            <strong>{ format!("{} records, {}", grouped(props.sequence), bytes(props.log_bytes)) }</strong>
            { ". Export it first if you need it." }
        </p>
    }
}

fn input(field: Field, fields: &UseStateHandle<Fields>) -> Html {
    let id = format!("option-{}", field.place());
    let oninput = {
        let fields = fields.clone();
        move |event: InputEvent| {
            let mut next = Fields::clone(&fields);
            next.0[field.place()] = text_of(&event);
            fields.set(next);
        }
    };
    html! {
        <div class="field" key={id.clone()}>
            <label for={id.clone()}>{ field.label() }</label>
            <input id={id.clone()} inputmode="decimal" autocomplete="off" value={fields.0[field.place()].clone()} {oninput} />
            <small>{ field.help() }</small>
        </div>
    }
}

/// What the user typed, a text for each [`Field`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields([String; Field::ALL.len()]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Seed,
    Accounts,
    Clients,
    OpeningBalance,
    Rate,
    Repeats,
    Bad,
    Loss,
    Duplication,
    LookupLoss,
    Crash,
}

impl Field {
    const ALL: [Self; 11] = [
        Self::Seed,
        Self::Accounts,
        Self::Clients,
        Self::OpeningBalance,
        Self::Rate,
        Self::Repeats,
        Self::Bad,
        Self::Loss,
        Self::Duplication,
        Self::LookupLoss,
        Self::Crash,
    ];

    fn place(self) -> usize {
        self as usize
    }

    fn label(self) -> &'static str {
        match self {
            Self::Seed => "Seed",
            Self::Accounts => "Accounts",
            Self::Clients => "Clients",
            Self::OpeningBalance => "Opening balance",
            Self::Rate => "Commands per second",
            Self::Repeats => "Repeated commands, %",
            Self::Bad => "Bad commands, %",
            Self::Loss => "Lost messages, %",
            Self::Duplication => "Doubled messages, %",
            Self::LookupLoss => "Lost look-ups, %",
            Self::Crash => "Crash every … seconds",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Seed => "Same seed, same run.",
            Self::Accounts => "2 to 100,000.",
            Self::Clients => "1 to 10,000.",
            Self::OpeningBalance => "Of each account.",
            Self::Rate => "In virtual time, all clients.",
            Self::Repeats => "Sent twice with the same id.",
            Self::Bad => "The ledger must refuse them.",
            Self::Loss => "Between client and gateway.",
            Self::Duplication => "Between client and gateway.",
            Self::LookupLoss => "Such commands end as dead letters.",
            Self::Crash => "Of virtual time; 0 for never.",
        }
    }
}

impl Fields {
    fn of(options: &RunOptions, scale: u8) -> Self {
        Self([
            options.seed.to_string(),
            options.accounts.to_string(),
            options.clients.to_string(),
            amount::format(i128::from(options.opening_balance), scale),
            options.commands_per_second.to_string(),
            percent(options.repeats_per_million),
            percent(options.bad_per_million),
            percent(options.loss_per_million),
            percent(options.duplication_per_million),
            percent(options.lookup_loss_per_million),
            options.crash_every_seconds.to_string(),
        ])
    }

    /// The options, or the first field that is wrong.
    fn options(&self, scale: u8) -> Result<RunOptions, Field> {
        Ok(RunOptions {
            seed: self.text(Field::Seed).parse().map_err(|_| Field::Seed)?,
            accounts: self.number(Field::Accounts, 2, 100_000)?,
            clients: self.number(Field::Clients, 1, 10_000)?,
            opening_balance: amount::parse(self.text(Field::OpeningBalance), scale)
                .ok()
                .filter(|units| *units >= 0)
                .ok_or(Field::OpeningBalance)?,
            commands_per_second: self.number(Field::Rate, 1, 1_000_000)?,
            repeats_per_million: self.share(Field::Repeats)?,
            bad_per_million: self.share(Field::Bad)?,
            loss_per_million: self.share(Field::Loss)?,
            duplication_per_million: self.share(Field::Duplication)?,
            lookup_loss_per_million: self.share(Field::LookupLoss)?,
            crash_every_seconds: self.number(Field::Crash, 0, 1_000_000)?,
        })
    }

    fn text(&self, field: Field) -> &str {
        self.0[field.place()].trim()
    }

    fn number(&self, field: Field, min: u32, max: u32) -> Result<u32, Field> {
        self.text(field)
            .replace(',', "")
            .parse()
            .ok()
            .filter(|number| (min..=max).contains(number))
            .ok_or(field)
    }

    fn share(&self, field: Field) -> Result<u32, Field> {
        let per_mille = amount::parse(self.text(field), 1).ok().and_then(|units| u32::try_from(units).ok());
        per_mille.filter(|share| *share <= 1_000).map(|share| share * 1_000).ok_or(field)
    }
}

/// A share of a million as a percentage with one decimal at most: 5,000 is `0.5`.
fn percent(per_million: u32) -> String {
    let text = amount::format(i128::from(per_million / 1_000), 1);
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_back_from_their_fields() {
        let options = RunOptions { seed: u64::MAX, loss_per_million: 12_000, ..RunOptions::default() };
        assert_eq!(Fields::of(&options, 2).options(2), Ok(options));
    }

    #[test]
    fn the_wrong_field_is_named() {
        let mut fields = Fields::of(&RunOptions::default(), 2);
        fields.0[Field::Loss.place()] = "100.1".into();
        assert_eq!(fields.options(2), Err(Field::Loss));
        fields.0[Field::Accounts.place()] = "1".into();
        assert_eq!(fields.options(2), Err(Field::Accounts));
    }
}
