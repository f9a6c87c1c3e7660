//! The worker: runs the world, withholds `Appended` until the log is stored, and tells the page what changed.
//!
//! | module | what |
//! |---|---|
//! | `open` | brings the stored run back, and waits behind another tab |
//! | `lab` | the world, the clock, the page's requests |
//! | `keeper` | one commit at a time to the store, while the world goes on |
//! | `files` | CSV files, export, import, reset |
//! | `frames`, `stages`, `events`, `balances`, `follow` | what the page shows |
//! | `live` | the log of a server in the place of the world in this tab |
//!
//! Absent here: any decision of the core, any number that is not counted or clocked, a queue of frames.

pub mod balances;
pub mod events;

mod choices;
mod clock;
mod files;
mod follow;
mod frames;
mod keeper;
mod lab;
mod live;
mod look_on;
mod open;
mod stages;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::MessageEvent;

use self::clock::{Bell, Turns, now_ms, scope};
use self::frames::{Frames, Views};
use self::lab::Lab;
use crate::protocol::{self, Frame, PROTOCOL, PauseReason, Request, Response, RunOptions, Source};

/// The log's name in the store, and the name of its lock.
const LOG: &str = "main";
/// How often the browser is asked for what the stored data takes, in milliseconds.
const USAGE_MS: f64 = 5_000.0;

/// What connects the worker with its page.
struct Shell {
    inbox: RefCell<VecDeque<Request>>,
    bell: Bell,
    turns: Turns,
    /// Goes with every request to a live server. It is here and nowhere else, so it ends with the tab.
    token: RefCell<Option<String>>,
}

/// Starts the worker inside its own global scope.
pub fn start() {
    console_error_panic_hook::set_once();
    let turns = Turns::new().expect("a browser with workers has message channels");
    let shell =
        Rc::new(Shell { inbox: RefCell::default(), bell: Bell::default(), turns, token: RefCell::default() });
    let listener = {
        let shell = Rc::clone(&shell);
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| shell.receive(event.data()))
    };
    scope().set_onmessage(Some(listener.as_ref().unchecked_ref()));
    // The worker listens as long as it lives.
    listener.forget();
    shell.post(&Response::Ready { protocol: PROTOCOL });
    spawn_local(run(shell));
}

async fn run(shell: Rc<Shell>) {
    let (frames_per_second_max, options, source) = shell.wait_for_start().await;
    let (mut frames, mut views) = (Frames::new(frames_per_second_max), Views::default());
    if source == Source::Server {
        live::run(&shell, &mut frames, &mut views, || ()).await;
    }
    let mut lab = open::open(&shell, frames, views, options).await;
    let mut usage_at = f64::MIN;
    loop {
        while let Some(request) = shell.next_request() {
            if request == Request::SetSource(Source::Server) {
                lab.stand_aside(&shell).await;
            } else if lab.needs_waiting(&request) {
                lab.handle_waiting(&shell, request).await;
            } else {
                lab.handle(&shell, request);
            }
        }
        let went_on = lab.turn(&shell);
        if lab.keeper.is_saving() && now_ms() - usage_at >= USAGE_MS {
            usage_at = now_ms();
            lab.usage_bytes = crate::storage::usage_bytes().await.ok();
        }
        if went_on {
            shell.turns.next().await;
        } else {
            shell.bell.rest(lab.rest_ms()).await;
        }
    }
}

impl Lab {
    /// The world stands still while the page shows a live server. What it had done already is still stored.
    async fn stand_aside(&mut self, shell: &Shell) {
        self.pause(PauseReason::Asked);
        let mut frames = mem::replace(&mut self.frames, Frames::new(1));
        let mut views = mem::take(&mut self.views);
        live::run(shell, &mut frames, &mut views, || self.go_on_saving(shell)).await;
        self.frames = frames;
        self.views = views;
    }

    fn go_on_saving(&mut self, shell: &Shell) {
        if let Err(error) = self.keeper.poll(&mut self.world) {
            self.storage_failed(shell, &error);
        }
        if self.keeper.is_saving() && self.keeper.is_behind_run(&self.world) {
            self.keeper.begin(&self.world);
        }
    }

    /// One turn of the loop: the store, the world, a frame. Says whether the world went on.
    fn turn(&mut self, shell: &Shell) -> bool {
        if let Err(error) = self.keeper.poll(&mut self.world) {
            self.storage_failed(shell, &error);
        }
        let went_on = self.wants_turn() && self.advance(shell);
        let went_on = self.advance_audit() || went_on;
        let is_behind = if self.wants_turn() {
            self.keeper.is_behind_log(&self.world)
        } else {
            self.keeper.is_behind_run(&self.world)
        };
        if is_behind && self.keeper.is_saving() {
            self.keeper.begin(&self.world);
        }
        if let Some(frame) = self.frame() {
            shell.post_frame(&frame);
        }
        went_on
    }

    fn rest_ms(&self) -> i32 {
        let wait = if self.wants_turn() { 4.0 } else { self.frames.wait_ms(now_ms()) };
        #[expect(clippy::cast_possible_truncation, reason = "at most a second")]
        let wait = wait.ceil() as i32;
        wait.max(1)
    }
}

impl Shell {
    fn receive(&self, message: JsValue) {
        match protocol::from_js::<Request>(message) {
            Ok(request) => self.inbox.borrow_mut().push_back(request),
            Err(error) => self.post(&Response::Failed {
                what: "A request of the page".to_owned(),
                why: error.to_string(),
                advice: "Page and worker are of different builds: load the page again.".to_owned(),
            }),
        }
        self.bell.ring();
    }

    fn next_request(&self) -> Option<Request> {
        self.inbox.borrow_mut().pop_front()
    }

    async fn wait_for_start(&self) -> (u32, RunOptions, Source) {
        loop {
            match self.next_request() {
                Some(Request::Start { protocol, frames_per_second_max, options, source })
                    if protocol == PROTOCOL =>
                {
                    return (frames_per_second_max, options, source);
                }
                Some(_) => self.post(&Response::Failed {
                    what: "The start of the worker".to_owned(),
                    why: "the page speaks another protocol".to_owned(),
                    advice: "Load the page again.".to_owned(),
                }),
                None => self.bell.rest(1_000).await,
            }
        }
    }

    /// Says something to the page.
    fn post(&self, response: &Response) {
        match protocol::to_js(response) {
            // A page that is gone does not listen.
            Ok(message) => drop(scope().post_message(&message)),
            Err(error) => web_sys::console::error_1(&JsValue::from_str(&error.to_string())),
        }
    }

    fn post_frame(&self, frame: &Frame) {
        let buffer = Uint8Array::from(frame.to_bytes().as_slice()).buffer();
        drop(scope().post_message_with_transfer(&buffer, &Array::of1(&buffer)));
    }
}
