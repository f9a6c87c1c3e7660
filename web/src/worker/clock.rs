//! The worker's clock and its turns in the event loop.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageChannel};

/// The worker's global scope.
pub(super) fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Milliseconds since the worker began; never falls.
pub(super) fn now_ms() -> f64 {
    scope().performance().map_or(0.0, |performance| performance.now())
}

/// Lets the event loop go on, and comes back with its next turn; unlike a timer it is not slowed down.
pub(super) struct Turns {
    channel: MessageChannel,
    resolve: Rc<RefCell<Option<Function>>>,
    _on_message: Closure<dyn FnMut()>,
}

impl Turns {
    /// A channel to oneself.
    pub(super) fn new() -> Result<Self, JsValue> {
        let channel = MessageChannel::new()?;
        let resolve: Rc<RefCell<Option<Function>>> = Rc::default();
        let on_message = {
            let resolve = Rc::clone(&resolve);
            Closure::<dyn FnMut()>::new(move || call(resolve.borrow_mut().take()))
        };
        channel.port1().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Ok(Self { channel, resolve, _on_message: on_message })
    }

    /// The next turn.
    pub(super) async fn next(&self) {
        let promise = Promise::new(&mut |resolve, _| *self.resolve.borrow_mut() = Some(resolve));
        // A message to oneself is always taken.
        let _ = self.channel.port2().post_message(&JsValue::NULL);
        let _ = JsFuture::from(promise).await;
    }
}

/// Wakes the loop while it rests.
#[derive(Clone, Default)]
pub(super) struct Bell {
    resolve: Rc<RefCell<Option<Function>>>,
}

impl Bell {
    /// Ends the rest, if there is one.
    pub(super) fn ring(&self) {
        call(self.resolve.borrow_mut().take());
    }

    /// Rests until the bell rings or so many milliseconds are over.
    pub(super) async fn rest(&self, ms: i32) {
        let promise = Promise::new(&mut |resolve, _| {
            // Without a timer the next ring ends the rest all the same.
            let _ = scope().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms);
            *self.resolve.borrow_mut() = Some(resolve);
        });
        let _ = JsFuture::from(promise).await;
        self.resolve.borrow_mut().take();
    }
}

fn call(resolve: Option<Function>) {
    if let Some(resolve) = resolve {
        // A promise's own function does not fail.
        let _ = resolve.call0(&JsValue::UNDEFINED);
    }
}
