//! The wire to the worker: sends requests, hands over what comes, returns the credit of each frame.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{ErrorEvent, MessageEvent, Worker, WorkerOptions, WorkerType};
use yew::Callback;

use super::state::Action;
use crate::protocol::{self, Frame, PROTOCOL, Request, Response, RunOptions, Source};

/// Where the worker's loader lies, beside the page.
const WORKER_URL: &str = "./worker_loader.js";

/// A worker and everything that must live as long as it.
pub(super) struct Link {
    shared: Rc<Shared>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_error: Closure<dyn FnMut(ErrorEvent)>,
}

struct Shared {
    worker: Worker,
    /// Requests made before the worker listened; a message sent earlier would be lost.
    waiting: RefCell<Vec<JsValue>>,
    listens: Cell<bool>,
    frame_shown: RefCell<Option<Closure<dyn FnMut()>>>,
    /// What is shown first.
    source: Source,
    told: Callback<Action>,
}

impl Link {
    /// Starts the worker, which shows `source` first. Everything it says goes to `told`.
    ///
    /// # Errors
    /// When the browser cannot start a module worker; in words for people.
    pub(super) fn spawn(source: Source, told: Callback<Action>) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(WORKER_URL, &options)
            .map_err(|error| format!("The browser cannot start the worker: {error:?}"))?;
        let shared = Rc::new(Shared {
            worker,
            waiting: RefCell::default(),
            listens: Cell::new(false),
            frame_shown: RefCell::default(),
            source,
            told,
        });
        shared.prepare_credit();
        let on_message = {
            let shared = Rc::clone(&shared);
            Closure::new(move |event: MessageEvent| shared.take(&event.data()))
        };
        let on_error = {
            let shared = Rc::clone(&shared);
            Closure::new(move |event: ErrorEvent| shared.told.emit(Action::Died(event.message())))
        };
        shared.worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        shared.worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        Ok(Self { shared, _on_message: on_message, _on_error: on_error })
    }

    /// Sends a request, or keeps it until the worker listens.
    pub(super) fn send(&self, request: &Request) {
        self.shared.send(request);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.worker.terminate();
        self.shared.frame_shown.borrow_mut().take();
    }
}

impl Shared {
    fn take(self: &Rc<Self>, data: &JsValue) {
        if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
            match Frame::from_bytes(&Uint8Array::new(buffer).to_vec()) {
                Ok(frame) => self.told.emit(Action::Frame(Box::new(frame))),
                Err(_) => self.other_build(),
            }
            self.return_credit();
            return;
        }
        match protocol::from_js::<Response>(data.clone()) {
            Ok(Response::Ready { protocol }) if protocol != PROTOCOL => self.other_build(),
            Ok(response) => {
                if matches!(response, Response::Ready { .. }) {
                    self.start();
                }
                if let Response::ExportReady { file, .. } = &response {
                    super::files::offer_download(file);
                }
                self.told.emit(Action::Told(response));
            }
            Err(_) => self.other_build(),
        }
    }

    fn start(&self) {
        self.listens.set(true);
        self.post(&Request::Start {
            protocol: PROTOCOL,
            frames_per_second_max: if super::dom::wants_reduced_motion() { 2 } else { 60 },
            options: RunOptions::default(),
            source: self.source,
        });
        for message in self.waiting.take() {
            self.post_js(&message);
        }
    }

    fn send(&self, request: &Request) {
        if self.listens.get() {
            self.post(request);
        } else if let Ok(message) = protocol::to_js(request) {
            self.waiting.borrow_mut().push(message);
        }
    }

    fn post(&self, request: &Request) {
        match protocol::to_js(request) {
            Ok(message) => self.post_js(&message),
            Err(error) => self.told.emit(Action::Died(error.to_string())),
        }
    }

    fn post_js(&self, message: &JsValue) {
        if let Err(error) = self.worker.post_message(message) {
            self.told.emit(Action::Died(format!("The browser cannot reach the worker: {error:?}")));
        }
    }

    fn prepare_credit(self: &Rc<Self>) {
        let weak = Rc::downgrade(self);
        let shown = Closure::new(move || {
            if let Some(shared) = weak.upgrade() {
                shared.post(&Request::FrameShown);
            }
        });
        *self.frame_shown.borrow_mut() = Some(shown);
    }

    /// The credit goes back when the browser is about to paint, so a hidden tab gets no frames at all.
    fn return_credit(&self) {
        if let Some(shown) = self.frame_shown.borrow().as_ref() {
            super::dom::before_paint(shown.as_ref().unchecked_ref());
        }
    }

    fn other_build(&self) {
        self.told.emit(Action::Died("Page and worker are of different versions.".into()));
    }
}
