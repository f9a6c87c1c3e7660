//! What stands between the page and the server, in words, with what can be done about it.

use web_sys::{HtmlInputElement, SubmitEvent};
use yew::prelude::*;

use super::Wanted;
use crate::amount::grouped;
use crate::page::format::bytes;
use crate::page::state::Part;
use crate::protocol::{Connection, LiveRequest, LiveView, Request, TokenUse};

#[derive(Properties, PartialEq)]
pub(super) struct GateProps {
    pub view: Part<Option<LiveView>>,
    /// Whether the user asked to enter a token.
    pub token_wanted: Wanted,
    pub ask: Callback<Request>,
    /// The token was entered, or is not to be.
    pub close: Callback<()>,
}

/// The messages about the connection; nothing while all is well.
#[component]
pub(super) fn Gate(props: &GateProps) -> Html {
    let Some(view) = props.view.as_ref() else { return Html::default() };
    let needs_token = matches!(view.connection, Connection::NeedsToken { .. });
    html! {
        <>
            { message(view, &props.ask) }
            if !view.remark.is_empty() {
                { notice("info", "i", "live-remark", html! { <p>{ &view.remark }</p> }, Html::default()) }
            }
            if needs_token || props.token_wanted == Wanted::Yes {
                <TokenForm token={view.token} {needs_token} refused={view.connection == Connection::NeedsToken { refused: true }}
                    ask={props.ask.clone()} close={props.close.clone()} />
            }
        </>
    }
}

fn message(view: &LiveView, ask: &Callback<Request>) -> Html {
    let button = |label: &'static str, hook: &'static str, request: LiveRequest| {
        let onclick = ask.reform(move |_: MouseEvent| Request::Live(request.clone()));
        html! { <button type="button" data-testid={hook} {onclick}>{ label }</button> }
    };
    let retry = |label| button(label, "live-retry", LiveRequest::Retry);
    match &view.connection {
        Connection::Live | Connection::CatchingUp | Connection::NeedsToken { .. } => Html::default(),
        Connection::OpeningStream if !view.log_id.is_empty() => Html::default(),
        Connection::FetchingState { bytes: count } => {
            let text = html! { <p>{ "Fetching the server's state: " }{ bytes(*count) }{ " so far." }</p> };
            notice("info", "i", "live-message", text, Html::default())
        }
        Connection::OpeningStream => notice(
            "info",
            "i",
            "live-message",
            html! { <p>{ "Opening the stream of events." }</p> },
            Html::default(),
        ),
        Connection::Waiting { why, seconds, attempts } => {
            let text = html! {
                <p><strong>{ "Reconnecting" }{ in_seconds(*seconds) }{ ". " }</strong>{ why }
                    if *attempts > 1 { { format!(" {} tries so far.", grouped((*attempts).into())) } }
                    <em>{ " What is shown is as of the last record that came; the stream goes on behind it." }</em></p>
            };
            notice("warning", "!", "live-message", text, retry("Try now"))
        }
        Connection::Refused { why } => {
            let text = html! { <p><strong>{ "The server refuses this page. " }</strong>{ why }
            <em>{ " Nothing is tried again by itself." }</em></p> };
            notice("error", "×", "live-message", text, retry("Try again"))
        }
        Connection::NoServer { why } => {
            let text = html! {
                <p><strong>{ "No wallet server answers here. " }</strong>
                    { format!("This page came from {}, and there {why}: it is served as plain files. ", view.server) }
                    <em>{ "Start one and open its page: " }<code>{ "walletlab serve --data DIRECTORY" }</code></em></p>
            };
            notice("warning", "!", "live-message", text, retry("Try again"))
        }
        Connection::Diverged { why } => {
            let text = html! { <p><strong>{ "The copy and the server's log disagree. " }</strong>{ why }
            <em>{ " Nothing more is folded, so that what is shown stays as evidence." }</em></p> };
            let again = button("Start again from the state", "live-start-again", LiveRequest::StartAgain);
            notice("error", "×", "live-message", text, again)
        }
    }
}

fn notice(tone: &'static str, mark: &'static str, hook: &'static str, text: Html, action: Html) -> Html {
    html! {
        <div class={classes!("notice", tone)} data-testid={hook}>
            <span class="mark" aria-hidden="true">{ mark }</span>{ text }{ action }
        </div>
    }
}

fn in_seconds(seconds: u32) -> String {
    if seconds == 0 { " now".to_owned() } else { format!(" in {seconds} s") }
}

#[derive(Properties, PartialEq)]
struct TokenFormProps {
    token: TokenUse,
    needs_token: bool,
    refused: bool,
    ask: Callback<Request>,
    close: Callback<()>,
}

/// The field for a token. What is typed goes to the worker's memory and nowhere else.
#[component]
fn TokenForm(props: &TokenFormProps) -> Html {
    let field = use_node_ref();
    let wrong = use_state_eq(|| None::<&'static str>);
    {
        let field = field.clone();
        use_effect_with((), move |()| {
            if let Some(input) = field.cast::<HtmlInputElement>() {
                // A field that cannot take the focus can still be reached by the Tab key.
                let _ = input.focus();
            }
        });
    }
    let use_token = {
        let (ask, close) = (props.ask.clone(), props.close.clone());
        Callback::from(move |token: Option<String>| {
            ask.emit(Request::Live(LiveRequest::Token(token)));
            close.emit(());
        })
    };
    let onsubmit = {
        let (field, wrong, use_token) = (field.clone(), wrong.clone(), use_token.clone());
        move |event: SubmitEvent| {
            event.prevent_default();
            let Some(input) = field.cast::<HtmlInputElement>() else { return };
            let token = input.value().trim().to_owned();
            let found = why_no_token(&token);
            wrong.set(found);
            if found.is_none() {
                input.set_value("");
                use_token.emit(Some(token));
            }
        }
    };
    let title = match (props.refused, props.needs_token) {
        (true, _) => "The server did not take this token",
        (false, true) => "This server wants a token",
        (false, false) => "Another token",
    };
    html! {
        <section class="card gate" aria-labelledby="token-title" data-testid="token-card">
            <div class="card-head"><h2 id="token-title">{ title }</h2></div>
            <p class="hint">{ "Whoever runs the server has it in its token file. A token with the role “read” can watch; one with “write” can also send commands. It stays in this tab's memory: not in the address, not in the browser's storage, and it is gone with the tab." }</p>
            <form class="token" {onsubmit}>
                <label class="field"><span>{ "Bearer token" }</span>
                    <input ref={field} type="password" data-testid="token" autocomplete="off" spellcheck="false"
                        aria-invalid={(props.refused || wrong.is_some()).then_some("true")} /></label>
                <button type="submit" class="primary" data-testid="token-use">{ "Use it" }</button>
                if props.token == TokenUse::Sent {
                    <button type="button" data-testid="token-forget"
                        onclick={use_token.reform(|_: MouseEvent| None)}>{ "Forget the token" }</button>
                }
                if !props.needs_token {
                    <button type="button" class="quiet" onclick={props.close.reform(|_: MouseEvent| ())}>{ "Cancel" }</button>
                }
            </form>
            if let Some(wrong) = *wrong {
                <p class="wrong">{ wrong }</p>
            } else if props.refused { <p class="wrong" data-testid="token-refused">{ "The server does not know it, or it is mistyped." }</p> }
        </section>
    }
}

/// Why a text cannot be a token, if it cannot.
fn why_no_token(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("Type the token first.")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("A token has no spaces and no characters beyond ASCII.")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_header_is_sent() {
        assert_eq!(why_no_token("0123456789abcdef!~"), None);
        for text in ["", "two words", "t\u{f6}ken", "line\nend"] {
            assert!(why_no_token(text).is_some(), "{text:?}");
        }
    }
}
