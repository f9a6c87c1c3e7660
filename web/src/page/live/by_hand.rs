//! Commands by hand for a live server: a transfer, a deposit, a new account, and the same again with the same id.

use web_sys::SubmitEvent;
use yew::prelude::*;

use super::state::SentCommand;
use crate::amount::{self, grouped};
use crate::page::dom::{new_transaction_id, text_of};
use crate::page::state::{Action, Part};
use crate::page::words;
use crate::protocol::{AssetTotal, HandAnswer, HandBody, HandCommand, LiveRequest, Replayed, Request};

/// Decimals of an asset that the ledger does not have yet, as the server itself assumes.
const SCALE_DEFAULT: u8 = 2;

#[derive(Properties, PartialEq)]
pub(super) struct ByHandProps {
    pub sent: Part<Option<SentCommand>>,
    pub totals: Part<Vec<AssetTotal>>,
    pub can_act: bool,
    pub ask: Callback<Request>,
    pub tell: Callback<Action>,
}

/// What the form makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Transfer,
    Deposit,
    OpenAccount,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Transfer, Self::Deposit, Self::OpenAccount];

    fn word(self) -> &'static str {
        match self {
            Self::Transfer => "Transfer",
            Self::Deposit => "Deposit",
            Self::OpenAccount => "Open account",
        }
    }

    fn hook(self) -> &'static str {
        match self {
            Self::Transfer => "hand-transfer",
            Self::Deposit => "hand-deposit",
            Self::OpenAccount => "hand-open",
        }
    }
}

#[derive(Clone, Default, PartialEq)]
struct Typed {
    kind: Kind,
    account: String,
    to_account: String,
    amount: String,
    asset: String,
    transaction_id: String,
    wrong: Option<String>,
}

/// The form for a command, and its answer.
#[component]
pub(super) fn ByHand(props: &ByHandProps) -> Html {
    let typed = use_state_eq(Typed::default);
    let send = {
        let (ask, tell) = (props.ask.clone(), props.tell.clone());
        let number = props.sent.as_ref().map_or(1, |sent| sent.command.request.wrapping_add(1));
        Callback::from(move |sent: SentCommand| {
            let command = HandCommand { request: number, ..sent.command.clone() };
            ask.emit(Request::Live(LiveRequest::Send(command.clone())));
            tell.emit(Action::CommandSent(SentCommand { command, answer: None, ..sent }));
        })
    };
    let onsubmit = {
        let (typed, send, totals) = (typed.clone(), send.clone(), props.totals.clone());
        move |event: SubmitEvent| {
            event.prevent_default();
            match typed.read(&totals) {
                Ok(sent) => {
                    typed.set(Typed { wrong: None, ..Typed::clone(&typed) });
                    send.emit(sent);
                }
                Err(wrong) => typed.set(Typed { wrong: Some(wrong), ..Typed::clone(&typed) }),
            }
        }
    };
    let is_waiting = props.sent.as_ref().is_some_and(|sent| sent.answer.is_none());
    let disabled = !props.can_act || is_waiting;
    html! {
        <section class="card transfer by-hand" aria-labelledby="by-hand-title">
            <div class="card-head"><h2 id="by-hand-title">{ "By hand, over the API" }</h2></div>
            <form data-testid="hand-form" {onsubmit}>
                { kinds(&typed) }
                { fields(props, &typed) }
                if let Some(wrong) = &typed.wrong { <p class="wrong" data-testid="hand-wrong">{ wrong }</p> }
                <button type="submit" class="primary" data-testid="hand-send" {disabled}>{ send_label(typed.kind) }</button>
            </form>
            if let Some(sent) = props.sent.as_ref() {
                <Answer sent={sent.clone()} {disabled} {send} />
            } else {
                <p class="empty">{ "Each command carries an id made here. If an answer is lost, send it again with the same id: it takes effect once." }</p>
            }
        </section>
    }
}

fn send_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Transfer => "Send transfer",
        Kind::Deposit => "Send deposit",
        Kind::OpenAccount => "Open account",
    }
}

fn kinds(typed: &UseStateHandle<Typed>) -> Html {
    html! {
        <fieldset class="segments">
            <legend class="visually-hidden">{ "What to send" }</legend>
            { for Kind::ALL.into_iter().map(|kind| {
                let onchange = {
                    let typed = typed.clone();
                    move |_: Event| typed.set(Typed { kind, wrong: None, ..Typed::clone(&typed) })
                };
                html! {
                    <label><input type="radio" name="hand-kind" class="visually-hidden" data-testid={kind.hook()}
                        checked={typed.kind == kind} {onchange} /><span>{ kind.word() }</span></label>
                }
            }) }
        </fieldset>
    }
}

fn fields(props: &ByHandProps, typed: &UseStateHandle<Typed>) -> Html {
    let units = match typed.kind {
        Kind::OpenAccount => String::new(),
        Kind::Transfer | Kind::Deposit => format!(", {}", typed.asset_of(&props.totals).0),
    };
    html! {
        <div class="field-grid">
            { match typed.kind {
                Kind::Transfer => html! { <>
                    { field(typed, "From".into(), "transfer-from", Hint::Account("account"), |typed| &mut typed.account) }
                    { field(typed, "To".into(), "transfer-to", Hint::Account("account"), |typed| &mut typed.to_account) }
                </> },
                Kind::Deposit => field(typed, "Into".into(), "deposit-account", Hint::Account("account"), |typed| &mut typed.account),
                Kind::OpenAccount => html! { <>
                    { field(typed, "Name".into(), "open-account", Hint::Text("1 to 64 bytes"), |typed| &mut typed.account) }
                    { field(typed, "Asset".into(), "open-asset", Hint::Text("USD"), |typed| &mut typed.asset) }
                </> },
            } }
            { field(typed, format!("{}{units}", amount_label(typed.kind)), "transfer-amount", Hint::Amount, |typed| &mut typed.amount) }
            if typed.kind != Kind::OpenAccount {
                { unit(props, typed) }
                { field(typed, "Transaction id".into(), "transfer-id", Hint::Text("made for you"), |typed| &mut typed.transaction_id) }
            }
        </div>
    }
}

fn amount_label(kind: Kind) -> &'static str {
    match kind {
        Kind::Transfer | Kind::Deposit => "Amount",
        Kind::OpenAccount => "Opening balance",
    }
}

/// A ledger with several assets needs to know in which one an amount was typed.
fn unit(props: &ByHandProps, typed: &UseStateHandle<Typed>) -> Html {
    if props.totals.len() < 2 {
        return Html::default();
    }
    let chosen = typed.asset_of(&props.totals).0;
    let onchange = {
        let typed = typed.clone();
        move |event: Event| typed.set(Typed { asset: text_of(&event), ..Typed::clone(&typed) })
    };
    html! {
        <label class="field"><span>{ "Asset" }</span>
            <select data-testid="transfer-asset" {onchange}>
                { for props.totals.iter().map(|total| html! {
                    <option value={total.asset.clone()} selected={total.asset == chosen}>{ &total.asset }</option>
                }) }
            </select></label>
    }
}

/// What a field is for.
#[derive(Clone, Copy, PartialEq)]
enum Hint {
    Account(&'static str),
    Amount,
    Text(&'static str),
}

fn field(
    typed: &UseStateHandle<Typed>,
    label: String,
    hook: &'static str,
    hint: Hint,
    place: fn(&mut Typed) -> &mut String,
) -> Html {
    let value = place(&mut Typed::clone(typed)).clone();
    let oninput = {
        let typed = typed.clone();
        move |event: InputEvent| {
            let mut next = Typed::clone(&typed);
            *place(&mut next) = text_of(&event);
            typed.set(next);
        }
    };
    let (list, mode, placeholder) = match hint {
        Hint::Account(text) => (Some("accounts"), None, text),
        Hint::Amount => (None, Some("decimal"), "0.00"),
        Hint::Text(text) => (None, None, text),
    };
    html! {
        <label class="field"><span>{ label }</span>
            <input data-testid={hook} {list} inputmode={mode} {placeholder} autocomplete="off" spellcheck="false" {value} {oninput} /></label>
    }
}

impl Typed {
    /// The asset that amounts are typed in, and its decimals.
    fn asset_of(&self, totals: &[AssetTotal]) -> (String, u8) {
        let known = |asset: &str| totals.iter().find(|total| total.asset == asset);
        match (self.kind, self.asset.trim()) {
            (Kind::OpenAccount, "") => {
                ("USD".to_owned(), known("USD").map_or(SCALE_DEFAULT, |total| total.scale))
            }
            (Kind::OpenAccount, asset) => {
                (asset.to_owned(), known(asset).map_or(SCALE_DEFAULT, |total| total.scale))
            }
            (Kind::Transfer | Kind::Deposit, asset) => known(asset)
                .or_else(|| totals.first())
                .map_or(("USD".to_owned(), SCALE_DEFAULT), |total| (total.asset.clone(), total.scale)),
        }
    }

    /// The command that was typed, or what is wrong with it. What the ledger decides is not decided here.
    fn read(&self, totals: &[AssetTotal]) -> Result<SentCommand, String> {
        let named = |text: &str, side| match text.trim() {
            "" => Err(format!("Name the account that {side}.")),
            name => Ok(name.to_owned()),
        };
        let (asset, scale) = self.asset_of(totals);
        let amount = || amount::parse(&self.amount, scale).map_err(|error| error.to_string());
        let body = match self.kind {
            Kind::Transfer => HandBody::Transfer {
                from_account: named(&self.account, "pays")?,
                to_account: named(&self.to_account, "is paid")?,
                amount: amount()?,
                asset: asset.clone(),
            },
            Kind::Deposit => HandBody::Deposit {
                account: named(&self.account, "is paid")?,
                amount: amount()?,
                asset: asset.clone(),
            },
            Kind::OpenAccount => HandBody::OpenAccount {
                account: named(&self.account, "is to be opened")?,
                asset: asset.clone(),
                scale,
                opening_balance: if self.amount.trim().is_empty() { 0 } else { amount()? },
            },
        };
        let transaction_id = match self.transaction_id.trim() {
            "" => new_transaction_id(),
            id => id.to_lowercase(),
        };
        let command = HandCommand { request: 0, transaction_id, body };
        Ok(SentCommand { command, asset, scale, answer: None })
    }
}

#[derive(Properties, PartialEq)]
struct AnswerProps {
    sent: SentCommand,
    disabled: bool,
    send: Callback<SentCommand>,
}

/// What became of the last command.
#[component]
fn Answer(props: &AnswerProps) -> Html {
    let (sent, disabled) = (&props.sent, props.disabled);
    let (class, title, text) = in_words(sent.answer.as_ref());
    let again = |amount: i64| {
        let same = sent.with_amount(amount);
        props.send.reform(move |_: MouseEvent| same.clone())
    };
    let is_opening = matches!(sent.command.body, HandBody::OpenAccount { .. });
    html! {
        <div class={classes!("answer", class)} data-testid="hand-answer">
            <p><strong>{ title }</strong>{ " " }{ text }</p>
            <p class="small">{ what(sent) }
                if !is_opening { <br /><span class="mono" data-testid="hand-answer-id">{ &sent.command.transaction_id }</span> }
            </p>
            <div class="buttons left">
                <button type="button" data-testid="hand-repeat" {disabled} onclick={again(sent.amount())}>
                    { if is_opening { "Repeat the same" } else { "Repeat with the same id" } }</button>
                <button type="button" data-testid="hand-conflict" {disabled} onclick={again(sent.amount().saturating_add(1))}
                    title="The same id with another body must be a conflict">
                    { if is_opening { "Same name, other balance" } else { "Same id, other amount" } }</button>
            </div>
        </div>
    }
}

fn what(sent: &SentCommand) -> String {
    let amount = format!("{} {}", amount::format(i128::from(sent.amount()), sent.scale), sent.asset);
    match &sent.command.body {
        HandBody::Transfer { from_account, to_account, .. } => {
            format!("{from_account} → {to_account}, {amount}")
        }
        HandBody::Deposit { account, .. } => format!("Deposit into {account}, {amount}"),
        HandBody::OpenAccount { account, .. } => format!("Account {account}, opened with {amount}"),
    }
}

fn in_words(answer: Option<&HandAnswer>) -> (&'static str, String, String) {
    let again = |replayed: &Replayed| match replayed {
        Replayed::First => "",
        Replayed::Again => " It was known: the first answer again, and no second effect.",
    };
    let Some(answer) = answer else { return ("pending", "On its way …".into(), String::new()) };
    match answer {
        HandAnswer::Completed { sequence, replayed } => (
            "good",
            "Completed.".into(),
            format!("Durable in record {}.{}", grouped(*sequence), again(replayed)),
        ),
        HandAnswer::Refused { sequence, reason, replayed } => (
            "refused",
            format!("Refused: {}.", words::reason_short(reason)),
            format!("{} Recorded as {}.{}", words::reason(reason), grouped(*sequence), again(replayed)),
        ),
        HandAnswer::Conflict { why } => {
            ("refused", "Conflict.".into(), format!("{}. Nothing was written.", without_stop(why)))
        }
        HandAnswer::Busy { retry_after_seconds } => (
            "refused",
            "Busy.".into(),
            format!(
                "The queue is full. The id is still free: try again in {retry_after_seconds} s or later."
            ),
        ),
        HandAnswer::Unknown { why } => (
            "refused",
            "Outcome unknown.".into(),
            format!(
                "{}. Repeat with the same id: it takes effect once at most, and the answer tells.",
                without_stop(why)
            ),
        ),
        HandAnswer::DeadLettered => (
            "refused",
            "Set aside.".into(),
            "It lies among the server's dead letters; a redrive may still carry it out.".into(),
        ),
        HandAnswer::NotAllowed { why } => {
            ("refused", "Not allowed.".into(), format!("{}. Nothing was written.", without_stop(why)))
        }
        HandAnswer::Malformed { why } => ("refused", "Not a command.".into(), why.clone()),
    }
}

fn without_stop(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals() -> [AssetTotal; 2] {
        [("USD", 2), ("JPY", 0)].map(|(asset, scale)| AssetTotal { asset: asset.into(), scale, total: 0 })
    }

    fn typed(kind: Kind, asset: &str, amount: &str) -> Typed {
        let text = |text: &str| text.to_owned();
        Typed {
            kind,
            account: text(" alice "),
            to_account: text("bob"),
            amount: text(amount),
            asset: text(asset),
            transaction_id: text("0190B2A0-0000-7000-8000-000000000001"),
            wrong: None,
        }
    }

    #[test]
    fn amounts_are_typed_in_the_chosen_asset() {
        let amount = |typed: Typed| typed.read(&totals()).map(|sent| sent.amount());
        assert_eq!(amount(typed(Kind::Transfer, "", "1.50")), Ok(150));
        assert_eq!(amount(typed(Kind::Transfer, "JPY", "150")), Ok(150));
        assert!(amount(typed(Kind::Deposit, "JPY", "1.50")).is_err());
        assert_eq!(amount(typed(Kind::OpenAccount, "", "")), Ok(0));
        assert_eq!(amount(typed(Kind::OpenAccount, "EUR", "2")), Ok(200), "as the server assumes");
    }

    #[test]
    fn what_was_typed_becomes_a_command() {
        let sent = typed(Kind::Transfer, "", "1").read(&totals()).expect("well formed");
        assert_eq!(sent.command.transaction_id, "0190b2a0-0000-7000-8000-000000000001");
        assert_eq!(
            sent.command.body,
            HandBody::Transfer {
                from_account: "alice".into(),
                to_account: "bob".into(),
                amount: 100,
                asset: "USD".into()
            }
        );
        let nobody = Typed { account: " ".into(), ..typed(Kind::Deposit, "", "1") };
        assert_eq!(nobody.read(&totals()).err().as_deref(), Some("Name the account that is paid."));
    }
}
