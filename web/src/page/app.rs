//! The whole page: holds the state, starts the worker, lays the components out.

use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{Element, KeyboardEvent};
use yew::prelude::*;

use super::balances::Balances;
use super::charts::Charts;
use super::csv::LoadCsv;
use super::dom::{ask_to_persist, source_of_address, use_address, write_source};
use super::events::Events;
use super::facts::{Facts, FactsProps};
use super::files::LogFile;
use super::format::{duration, factor, origin_tag, short};
use super::header::Header;
use super::invariants::Invariants;
use super::link::Link;
use super::live::{self, Wanted};
use super::notices::{self, Notices};
use super::pipeline::Pipeline;
use super::queues::Queues;
use super::reset::ResetDialog;
use super::state::{self, Action, Part, State, WorkerState};
use super::transfer::Transfer;
use crate::protocol::{BalancesWindow, Origin, Request, RunOptions, RunState, RunView, Source};

/// Draws the page into the element `app`.
///
/// # Panics
/// When the document has no such element: the page and its frame are of different builds.
pub fn start() {
    console_error_panic_hook::set_once();
    let root = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.get_element_by_id("app"))
        .expect("index.html holds the element `app`");
    yew::Renderer::<App>::with_root(root).render();
}

/// The whole page.
#[component]
fn App() -> Html {
    let state = use_reducer(|| State { source: source_of_address(), ..State::default() });
    let ask = use_link(&state);
    let wanted = use_state_eq(|| None::<RunOptions>);
    let token_wanted = use_state_eq(|| Wanted::No);
    let is_live = state.worker == WorkerState::Live;
    use_shortcuts(&state.run, is_live && state.source == Source::Browser, &ask);
    let tell = {
        let dispatcher = state.dispatcher();
        use_callback((), move |action, ()| dispatcher.dispatch(action))
    };
    let dismiss = use_callback(tell.clone(), |place, tell| tell.emit(Action::Dismiss(place)));
    let reset = {
        let wanted = wanted.clone();
        use_callback(state.options.clone(), move |seed, options| {
            wanted.set(Some(RunOptions { seed, ..RunOptions::clone(options) }));
        })
    };
    let close = {
        let wanted = wanted.clone();
        use_callback((), move |(), ()| wanted.set(None))
    };
    let choose = use_source(&state, &ask);
    let want_token = {
        let token_wanted = token_wanted.clone();
        use_callback((), move |(), ()| token_wanted.set(Wanted::Yes))
    };
    let log_bytes = state.log.as_ref().map_or(0, |log| log.bytes);
    html! {
        <>
            <a class="skip" href="#main">{ "Skip to the pipeline" }</a>
            <Header source={state.source} live={is_live} run={state.run.clone()} options={state.options.clone()}
                ask={ask.clone()} {reset} {choose} {want_token} />
            { status_line(&state) }
            <main id="main">
                { dead(&state.worker) }
                <Notices notices={state.notices.clone()} {dismiss} />
                { match state.source {
                    Source::Browser => html! { <>
                        <Facts ..FactsProps::of(&state) />
                        { panels(&state, &ask, &tell) }
                    </> },
                    Source::Server => live::body(&state, &ask, &tell, &token_wanted),
                } }
            </main>
            { foot(state.source) }
            <AccountNames balances={match state.source {
                Source::Browser => state.balances.clone(),
                Source::Server => state.live.balances.clone(),
            }} />
            <ResetDialog wanted={(*wanted).clone()} sequence={state.sequence} {log_bytes} scale={state.default_asset().1}
                {ask} {close} />
        </>
    }
}

fn panels(state: &State, ask: &Callback<Request>, tell: &Callback<Action>) -> Html {
    let (asset, scale) = state.default_asset();
    let (can_act, origin) = (state.can_act(), state.run.origin);
    html! {
        <div class="panels">
            <Pipeline stages={state.stages.clone()} />
            <Transfer sent={state.transfer.clone()} {asset} {scale} {can_act} ask={ask.clone()} tell={tell.clone()} />
            <Invariants invariants={state.invariants.clone()} />
            <Charts chart={state.chart.clone()} />
            <Events events={state.events.clone()} {origin} ask={ask.clone()} />
            <Balances balances={state.balances.clone()} entries={state.entries.clone()} {origin} ask={ask.clone()} />
            <Queues queues={state.queues.clone()} dead_letters={state.dead_letters.clone()} {can_act} ask={ask.clone()} />
            <LogFile sequence={state.sequence} {can_act} notice={state.file_notice.clone()} ask={ask.clone()} />
            <LoadCsv notice={state.csv.clone()} {can_act} ask={ask.clone()} tell={tell.clone()} />
        </div>
    }
}

/// Starts the worker once, with what the address asks for, and gives the way to ask it.
#[hook]
fn use_link(state: &UseReducerHandle<State>) -> Callback<Request> {
    let link = use_mut_ref(|| None::<Link>);
    let ask = {
        let link = link.clone();
        use_callback((), move |request: Request, ()| {
            if let Some(link) = link.borrow().as_ref() {
                link.send(&request);
            }
        })
    };
    // The link must be there before the first render ends, because the tables ask for their rows in it.
    if link.borrow().is_none() {
        let dispatcher = state.dispatcher();
        match Link::spawn(state.source, Callback::from(move |action| dispatcher.dispatch(action))) {
            Ok(spawned) => *link.borrow_mut() = Some(spawned),
            Err(why) => state.dispatch(Action::Died(why)),
        }
    }
    {
        let dispatcher = state.dispatcher();
        // Some browsers ask the user, so only who sees this browser's log is asked, and once.
        let is_asked = state.source == Source::Browser && state.persist.is_none();
        use_effect_with(is_asked, move |is_asked| {
            if *is_asked {
                spawn_local(async move {
                    dispatcher.dispatch(Action::Persist(ask_to_persist().await));
                });
            }
        });
    }
    ask
}

/// Gives the way to see something else; the page's address says what is seen.
#[hook]
fn use_source(state: &UseReducerHandle<State>, ask: &Callback<Request>) -> Callback<Source> {
    let choose = {
        let (dispatcher, ask) = (state.dispatcher(), ask.clone());
        use_callback((), move |source, ()| {
            // In this order: the tables of the other source ask for their rows when they are drawn, and that comes after.
            ask.emit(Request::SetSource(source));
            dispatcher.dispatch(Action::Source(source));
            write_source(source);
        })
    };
    use_address(choose.clone());
    choose
}

/// Space runs and pauses, S steps, unless somebody types or presses a control.
#[hook]
fn use_shortcuts(run: &Part<RunView>, live: bool, ask: &Callback<Request>) {
    use_effect_with((run.clone(), live, ask.clone()), |(run, live, ask)| {
        let (run, live, ask) = (run.clone(), *live, ask.clone());
        let closure = Closure::<dyn FnMut(KeyboardEvent)>::new(move |event: KeyboardEvent| {
            if let Some(request) = shortcut(&event, &run.state).filter(|_| live) {
                event.prevent_default();
                ask.emit(request);
            }
        });
        let document = web_sys::window().and_then(|window| window.document());
        if let Some(document) = &document {
            // It fails only for a type of event that does not exist.
            let _ = document.add_event_listener_with_callback("keydown", closure.as_ref().unchecked_ref());
        }
        move || {
            if let Some(document) = document {
                let _ =
                    document.remove_event_listener_with_callback("keydown", closure.as_ref().unchecked_ref());
            }
        }
    });
}

fn shortcut(event: &KeyboardEvent, state: &RunState) -> Option<Request> {
    let taken = event.target_dyn_into::<Element>().is_some_and(|element| {
        element
            .closest("input, select, textarea, button, a, summary, dialog, [tabindex], [contenteditable]")
            .is_ok_and(|found| found.is_some())
    });
    if taken || event.ctrl_key() || event.alt_key() || event.meta_key() || event.repeat() {
        return None;
    }
    match event.key().as_str() {
        " " if *state == RunState::Running => Some(Request::Pause),
        " " if state::can_run(state) => Some(Request::Run),
        "s" | "S" if state::can_run(state) => Some(Request::Step { count: 1 }),
        _ => None,
    }
}

/// The only live region, so that a screen reader hears what the world does and no counting.
fn status_line(state: &State) -> Html {
    if state.source == Source::Server && state.worker == WorkerState::Live {
        return live_status_line(state);
    }
    let measured = &state.measured;
    let class = match (&state.worker, &state.run.state) {
        (WorkerState::Dead(_), _) => "status bad",
        (_, RunState::Running | RunState::Loading) => "status running",
        _ => "status",
    };
    html! {
        <section {class} aria-label="Status">
            <p class="sentence" role="status" aria-live="polite" data-testid="status">{ notices::sentence(state) }</p>
            if let RunState::CatchingUp { step, steps } = state.run.state {
                <progress max={steps.to_string()} value={step.to_string()} aria-label="Steps of the stored run brought back"></progress>
            }
            <p class="machine">
                { origin_tag(Origin::Measured) }
                <span><b data-testid="events-per-second">{ short(measured.events_per_second) }</b>{ " events/s" }</span>
                <span><b>{ factor(measured.virtual_per_mille) }</b>{ " time" }</span>
                <span><b>{ if measured.commit_p50_micros == 0 { "–".into() } else { duration(measured.commit_p50_micros) } }</b>{ " to save" }</span>
            </p>
        </section>
    }
}

fn live_status_line(state: &State) -> Html {
    let view = state.live.view.as_ref();
    let class = match (live::is_wrong(view), live::is_flowing(view)) {
        (true, _) => "status bad",
        (false, true) => "status running",
        (false, false) => "status",
    };
    html! {
        <section {class} aria-label="Status">
            <p class="sentence" role="status" aria-live="polite" data-testid="status">{ live::sentence(view) }</p>
            { live::machine(&state.live) }
        </section>
    }
}

fn dead(worker: &WorkerState) -> Html {
    let WorkerState::Dead(why) = worker else { return Html::default() };
    let reload = |_: MouseEvent| {
        if let Some(window) = web_sys::window() {
            // A refused reload leaves the message standing, with the browser's own button beside it.
            let _ = window.location().reload();
        }
    };
    html! {
        <div class="notice error" data-testid="worker-dead">
            <span class="mark" aria-hidden="true">{ "×" }</span>
            <p><strong>{ "The worker stopped. " }</strong>{ why }<em>{ " What was saved is safe: load the page again to go on." }</em></p>
            <button type="button" onclick={reload}>{ "Load again" }</button>
        </div>
    }
}

fn foot(source: Source) -> Html {
    let replayed = match source {
        Source::Browser => "computed again from the stored log",
        Source::Server => "computed in this tab from the server's state and log",
    };
    let measured = match source {
        Source::Browser => "counted or clocked while the real code ran in this tab",
        Source::Server => "counted or clocked in this tab, or told by the server",
    };
    html! {
        <footer class="foot">
            <section aria-labelledby="legend-title">
                <h2 id="legend-title">{ "Where a number comes from" }</h2>
                <ul>
                    <li>{ origin_tag(Origin::Measured) }{ measured }</li>
                    <li>{ origin_tag(Origin::Replayed) }{ replayed }</li>
                    if source == Source::Browser {
                        <li>{ origin_tag(Origin::Modelled) }{ "decided by the seed: network, disk latency and time of the simulated world" }</li>
                    }
                </ul>
            </section>
            <section aria-labelledby="keys-title">
                <h2 id="keys-title">{ "Keys" }</h2>
                <ul>
                    if source == Source::Browser {
                        <li><kbd>{ "Space" }</kbd>{ "run or pause" }</li>
                        <li><kbd>{ "S" }</kbd>{ "one step" }</li>
                    }
                    <li><kbd>{ "Tab" }</kbd>{ "through every control" }</li>
                </ul>
            </section>
        </footer>
    }
}

#[derive(Properties, PartialEq)]
struct AccountNamesProps {
    balances: Part<Option<BalancesWindow>>,
}

/// Suggestions for the fields that want an account.
#[component]
fn AccountNames(props: &AccountNamesProps) -> Html {
    let rows = props.balances.as_ref().map_or([].as_slice(), |window| window.rows.as_slice());
    let names = rows.iter().filter(|row| !row.account.starts_with('@')).take(20);
    html! {
        <datalist id="accounts">
            { for names.map(|row| html! { <option key={row.account.clone()} value={row.account.clone()} /> }) }
        </datalist>
    }
}
