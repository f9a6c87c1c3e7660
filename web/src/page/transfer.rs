//! A transfer made by hand, and the same again with its id, to see that nothing happens twice.

use web_sys::SubmitEvent;
use yew::prelude::*;

use super::dom::{new_transaction_id, text_of};
use super::state::{Action, Part, SentTransfer};
use super::words;
use crate::amount::{self, grouped};
use crate::protocol::{Replayed, Request, TransferAnswer};

#[derive(Properties, PartialEq)]
pub(super) struct TransferProps {
    pub sent: Part<Option<SentTransfer>>,
    pub asset: AttrValue,
    pub scale: u8,
    pub can_act: bool,
    pub ask: Callback<Request>,
    pub tell: Callback<Action>,
}

#[derive(Clone, Default, PartialEq)]
struct Typed {
    from_account: String,
    to_account: String,
    amount: String,
    transaction_id: String,
    wrong: Option<String>,
}

/// The form for a transfer, and its answer.
#[component]
pub(super) fn Transfer(props: &TransferProps) -> Html {
    let typed = use_state_eq(Typed::default);
    let send = {
        let (ask, tell) = (props.ask.clone(), props.tell.clone());
        let number = props.sent.as_ref().map_or(1, |sent| sent.request.wrapping_add(1));
        Callback::from(move |sent: SentTransfer| {
            let sent = SentTransfer { request: number, answer: None, ..sent };
            ask.emit(request_of(&sent));
            tell.emit(Action::TransferSent(sent));
        })
    };
    let onsubmit = {
        let (typed, send, scale) = (typed.clone(), send.clone(), props.scale);
        move |event: SubmitEvent| {
            event.prevent_default();
            match typed.read(scale) {
                Ok(sent) => {
                    typed.set(Typed { wrong: None, ..Typed::clone(&typed) });
                    send.emit(sent);
                }
                Err(wrong) => typed.set(Typed { wrong: Some(wrong), ..Typed::clone(&typed) }),
            }
        }
    };
    html! {
        <section class="card transfer" aria-labelledby="transfer-title">
            <div class="card-head"><h2 id="transfer-title">{ "Transfer by hand" }</h2></div>
            <form data-testid="transfer-form" {onsubmit}>
                { fields(props, &typed) }
                if let Some(wrong) = &typed.wrong { <p class="wrong">{ wrong }</p> }
                <button type="submit" class="primary" data-testid="transfer-send" disabled={!props.can_act}>{ "Send transfer" }</button>
            </form>
            if let Some(sent) = props.sent.as_ref() {
                <Answer sent={sent.clone()} scale={props.scale} asset={props.asset.clone()} can_act={props.can_act} {send} />
            } else {
                <p class="empty">{ "Every transfer carries an id made here. Send the same id twice and the money still moves once." }</p>
            }
        </section>
    }
}

fn fields(props: &TransferProps, typed: &UseStateHandle<Typed>) -> Html {
    let field = |label: String,
                 hook: &'static str,
                 class: &'static str,
                 hint: &'static str,
                 value: &str,
                 set: fn(&mut Typed, String)| {
        let typed = typed.clone();
        let oninput = move |event: InputEvent| {
            let mut next = Typed::clone(&typed);
            set(&mut next, text_of(&event));
            typed.set(next);
        };
        let is_account = class == "account";
        html! {
            <label class={classes!("field", class)}><span>{ label }</span>
                <input data-testid={hook} list={is_account.then_some("accounts")} placeholder={hint} autocomplete="off" spellcheck="false"
                    inputmode={(class == "amount").then_some("decimal")} value={value.to_owned()} {oninput} /></label>
        }
    };
    html! {
        <div class="field-grid">
            { field("From".into(), "transfer-from", "account", "account", &typed.from_account, |typed, text| typed.from_account = text) }
            { field("To".into(), "transfer-to", "account", "account", &typed.to_account, |typed, text| typed.to_account = text) }
            { field(format!("Amount, {}", props.asset), "transfer-amount", "amount", "0.00", &typed.amount, |typed, text| typed.amount = text) }
            { field("Transaction id".into(), "transfer-id", "id", "made for you", &typed.transaction_id, |typed, text| typed.transaction_id = text) }
        </div>
    }
}

impl Typed {
    /// The transfer that was typed, or what is wrong with it. What the ledger decides is not decided here.
    fn read(&self, scale: u8) -> Result<SentTransfer, String> {
        let account = |text: &str, side| match text.trim() {
            "" => Err(format!("Name the account that {side}.")),
            name => Ok(name.to_owned()),
        };
        let from_account = account(&self.from_account, "pays")?;
        let to_account = account(&self.to_account, "is paid")?;
        let amount = amount::parse(&self.amount, scale).map_err(|error| error.to_string())?;
        let transaction_id = match self.transaction_id.trim() {
            "" => new_transaction_id(),
            id => id.to_lowercase(),
        };
        Ok(SentTransfer { request: 0, transaction_id, from_account, to_account, amount, answer: None })
    }
}

fn request_of(sent: &SentTransfer) -> Request {
    Request::Transfer {
        request: sent.request,
        transaction_id: sent.transaction_id.clone(),
        from_account: sent.from_account.clone(),
        to_account: sent.to_account.clone(),
        amount: sent.amount,
    }
}

#[derive(Properties, PartialEq)]
struct AnswerProps {
    sent: SentTransfer,
    scale: u8,
    asset: AttrValue,
    can_act: bool,
    send: Callback<SentTransfer>,
}

/// What became of the last transfer.
#[component]
fn Answer(props: &AnswerProps) -> Html {
    let sent = &props.sent;
    let (class, title, text) = in_words(sent.answer.as_ref());
    let again = |amount: i64| {
        let same = SentTransfer { amount, ..sent.clone() };
        props.send.reform(move |_: MouseEvent| same.clone())
    };
    let disabled = !props.can_act || sent.answer.is_none();
    html! {
        <div class={classes!("answer", class)} data-testid="transfer-answer">
            <p><strong>{ title }</strong>{ " " }{ text }</p>
            <p class="small">
                { format!("{} → {}, {} {}", sent.from_account, sent.to_account,
                    amount::format(i128::from(sent.amount), props.scale), props.asset) }
                <br /><span class="mono" data-testid="transfer-answer-id">{ &sent.transaction_id }</span>
            </p>
            <div class="buttons left">
                <button type="button" data-testid="transfer-repeat" {disabled} onclick={again(sent.amount)}>
                    { "Repeat with the same id" }</button>
                <button type="button" data-testid="transfer-conflict" {disabled} onclick={again(sent.amount.saturating_add(1))}
                    title="The same id with another body must be a conflict">{ "Same id, other amount" }</button>
            </div>
        </div>
    }
}

fn in_words(answer: Option<&TransferAnswer>) -> (&'static str, String, String) {
    let again = |replayed: &Replayed| match replayed {
        Replayed::First => "",
        Replayed::Again => " The id was known: the first answer again, and no second effect.",
    };
    let Some(answer) = answer else { return ("pending", "On its way …".into(), String::new()) };
    match answer {
        TransferAnswer::Completed { sequence, replayed } => (
            "good",
            "Completed.".into(),
            format!("Durable in record {}.{}", grouped(*sequence), again(replayed)),
        ),
        TransferAnswer::Refused { sequence, reason, replayed } => (
            "refused",
            format!("Refused: {}.", words::reason_short(reason)),
            format!("{} Recorded as {}.{}", words::reason(reason), grouped(*sequence), again(replayed)),
        ),
        TransferAnswer::Conflict => (
            "refused",
            "Conflict.".into(),
            "This id stands for another transfer. Nothing was written.".into(),
        ),
        TransferAnswer::Busy { depth, .. } => (
            "refused",
            "Busy.".into(),
            format!(
                "The queue is full with {} commands. The id is still free: try again.",
                grouped((*depth).into())
            ),
        ),
        TransferAnswer::DeadLettered => (
            "refused",
            "Set aside.".into(),
            "It lies among the dead letters; a redrive may still carry it out.".into(),
        ),
        TransferAnswer::Unavailable => (
            "refused",
            "No answer.".into(),
            "The pipeline is down. Repeat with the same id: it takes effect once at most.".into(),
        ),
        TransferAnswer::Malformed { why } => ("refused", "Not a transfer.".into(), why.clone()),
    }
}
