//! The head of the page: name, run controls, seed, reset.

use web_sys::SubmitEvent;
use yew::prelude::*;

use super::dom::text_of;
use super::state::{self, Part};
use crate::protocol::{LiveRequest, Request, RunOptions, RunState, RunView, Source, Speed};

#[derive(Properties, PartialEq)]
pub(super) struct HeaderProps {
    /// What is shown.
    pub source: Source,
    /// Whether the worker lives.
    pub live: bool,
    pub run: Part<RunView>,
    pub options: Part<RunOptions>,
    pub ask: Callback<Request>,
    /// The user wants a new world with this seed.
    pub reset: Callback<u64>,
    /// The user wants to see something else.
    pub choose: Callback<Source>,
    /// The user wants to enter a token.
    pub want_token: Callback<()>,
}

/// The head of the page.
#[component]
pub(super) fn Header(props: &HeaderProps) -> Html {
    html! {
        <header class="top">
            <div class="brand">
                { logo() }
                <div>
                    <h1>{ "Wallet Lab" }</h1>
                    <p>{ "A wallet pipeline you can stop, step and replay" }</p>
                </div>
            </div>
            { sources(props) }
            <div class="controls">
                { match props.source {
                    Source::Browser => html! { <>
                        { run_controls(props) }
                        <SeedForm seed={props.options.seed} can_reset={props.live && props.run.state != RunState::LookingOn}
                            reset={props.reset.clone()} />
                    </> },
                    Source::Server => server_controls(props),
                } }
            </div>
        </header>
    }
}

/// The choice between the world in this tab and the server that the page came from.
fn sources(props: &HeaderProps) -> Html {
    let choice = |source: Source, hook: &'static str, word: &'static str, meaning: &'static str| {
        let onchange = props.choose.reform(move |_: Event| source);
        html! {
            <label title={meaning}><input type="radio" name="source" class="visually-hidden" data-testid={hook}
                checked={props.source == source} {onchange} /><span>{ word }</span></label>
        }
    };
    html! {
        <fieldset class="segments sources">
            <legend class="visually-hidden">{ "What is shown" }</legend>
            { choice(Source::Browser, "source-browser", "In this browser", "A simulated world, run and stored in this tab") }
            { choice(Source::Server, "source-server", "Live server", "The log of the server that this page came from, followed as it grows") }
        </fieldset>
    }
}

fn server_controls(props: &HeaderProps) -> Html {
    let again = props.ask.reform(|_: MouseEvent| Request::Live(LiveRequest::Retry));
    let token = props.want_token.reform(|_: MouseEvent| ());
    html! {
        <div class="run" role="group" aria-label="Connection">
            <button type="button" data-testid="reconnect" disabled={!props.live} onclick={again}
                title="Close the stream and open it again at the next record">{ "Reconnect" }</button>
            <button type="button" data-testid="token-open" disabled={!props.live} onclick={token}>{ "Token…" }</button>
        </div>
    }
}

fn run_controls(props: &HeaderProps) -> Html {
    let can_run = props.live && state::can_run(&props.run.state);
    let running = props.live && props.run.state == RunState::Running;
    let ask = |request: Request| props.ask.reform(move |_: MouseEvent| request.clone());
    let set_speed = props
        .ask
        .reform(|event: Event| Request::SetSpeed(Speed::from_label(&text_of(&event)).unwrap_or(Speed::Real)));
    html! {
        <div class="run" role="group" aria-label="Run">
            <button type="button" class="primary" data-testid="run" disabled={!can_run} onclick={ask(Request::Run)}
                aria-keyshortcuts="Space">{ icon("M4 2.5v11l9-5.5z") }{ "Run" }</button>
            <button type="button" data-testid="pause" disabled={!running} onclick={ask(Request::Pause)}
                aria-keyshortcuts="Space">{ icon("M4 2.5h3v11H4zM9 2.5h3v11H9z") }{ "Pause" }</button>
            <button type="button" data-testid="step" disabled={!can_run} onclick={ask(Request::Step { count: 1 })}
                aria-keyshortcuts="S">{ icon("M3 2.5v11l7-5.5zM11 2.5h2v11h-2z") }{ "Step" }</button>
            <label class="field inline">
                <span>{ "Speed" }</span>
                <select data-testid="speed" onchange={set_speed} disabled={!props.live}>
                    { for Speed::ALL.iter().map(|speed| html! {
                        <option value={speed.label()} selected={*speed == props.run.speed}>{ speed_text(*speed) }</option>
                    }) }
                </select>
            </label>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct SeedFormProps {
    seed: u64,
    can_reset: bool,
    reset: Callback<u64>,
}

/// The seed and the button that begins a new world with it.
#[component]
fn SeedForm(props: &SeedFormProps) -> Html {
    let typed = use_state(|| None::<String>);
    {
        let typed = typed.clone();
        use_effect_with(props.seed, move |_| typed.set(None));
    }
    let text = typed.as_ref().cloned().unwrap_or_else(|| props.seed.to_string());
    let seed = text.trim().parse::<u64>();
    let oninput = {
        let typed = typed.clone();
        move |event: InputEvent| typed.set(Some(text_of(&event)))
    };
    let onsubmit = {
        let (seed, reset) = (seed.clone(), props.reset.clone());
        move |event: SubmitEvent| {
            event.prevent_default();
            if let Ok(seed) = seed {
                reset.emit(seed);
            }
        }
    };
    html! {
        <form class="seed" aria-label="New world" {onsubmit}>
            <label class="field inline">
                <span>{ "Seed" }</span>
                <input data-testid="seed" inputmode="numeric" autocomplete="off" spellcheck="false" value={text} {oninput}
                    aria-invalid={seed.is_err().then_some("true")} title="The only source of chance: same seed, same run" />
            </label>
            <button type="submit" data-testid="reset" disabled={!props.can_reset || seed.is_err()}>{ "Reset…" }</button>
        </form>
    }
}

fn speed_text(speed: Speed) -> &'static str {
    match speed {
        Speed::Tenth => "0.1× slow",
        Speed::Real => "1× real time",
        Speed::Ten => "10×",
        Speed::Hundred => "100×",
        Speed::Max => "Max",
    }
}

fn icon(path: &'static str) -> Html {
    html! { <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d={path} /></svg> }
}

/// Two entries of one transfer: what one account pays, the other gets.
fn logo() -> Html {
    html! {
        <svg class="logo" viewBox="0 0 40 40" aria-hidden="true">
            <rect x="1" y="1" width="38" height="38" rx="9" class="logo-ground" />
            <path d="M9 15h18m0 0-5-5m5 5-5 5" class="logo-out" />
            <path d="M31 26H13m0 0 5-5m-5 5 5 5" class="logo-in" />
        </svg>
    }
}
