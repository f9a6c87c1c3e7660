//! Who may write: one tab of an origin, by a Web Lock.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortController;

use super::error::StoreError;
use super::js::{self, failure};

/// The right to write one log, held until dropped or until the worker ends.
#[derive(Debug)]
pub struct Lock {
    release: Function,
}

/// The answer to a request for the lock.
#[derive(Debug)]
pub enum Acquired {
    /// It is ours.
    Granted(Lock),
    /// Another tab has it; this stands in line for it.
    HeldElsewhere(Waiting),
}

/// A place in the line for the lock, left when dropped.
#[derive(Debug)]
pub struct Waiting {
    outcome: JsFuture,
    place: Place,
}

impl Lock {
    /// Asks for the lock of the log `name`, without waiting for another tab to let go of it.
    pub async fn acquire(name: &str) -> Result<Acquired, StoreError> {
        let (outcome, place) = request(name, Patience::Answer)?;
        outcome.await.map_err(|error| failure("asking for the lock of the log", &error))?;
        match place.take() {
            Some(release) => Ok(Acquired::Granted(Lock { release })),
            None => {
                let (outcome, place) = request(name, Patience::Wait)?;
                Ok(Acquired::HeldElsewhere(Waiting { outcome, place }))
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let_go(&self.release);
    }
}

impl Waiting {
    /// Waits until the other tab closes or lets go. Whoever looked on must then open the store to go on from its end.
    pub async fn granted(mut self) -> Result<Lock, StoreError> {
        (&mut self.outcome).await.map_err(|error| failure("waiting for the lock of the log", &error))?;
        match self.place.take() {
            Some(release) => Ok(Lock { release }),
            None => Err(StoreError::Failed { what: "the lock of the log was granted and lost".to_owned() }),
        }
    }
}

#[derive(Clone, Copy)]
enum Patience {
    Answer,
    Wait,
}

/// Where a granted lock is put; what is left there is let go.
#[derive(Debug)]
struct Place {
    granted: Rc<RefCell<Option<Function>>>,
    abort: AbortController,
}

impl Place {
    fn take(&self) -> Option<Function> {
        self.granted.borrow_mut().take()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Ends the wait if it has not ended; means nothing to a granted lock.
        self.abort.abort();
        if let Some(release) = self.take() {
            let_go(&release);
        }
    }
}

fn request(name: &str, patience: Patience) -> Result<(JsFuture, Place), StoreError> {
    let locks = js::scope().navigator().locks().ok_or_else(|| StoreError::Unavailable {
        what: "this page cannot keep a second tab from writing (no Web Locks)".to_owned(),
    })?;
    let abort = AbortController::new().map_err(|error| failure("asking for the lock of the log", &error))?;
    let granted = Rc::new(RefCell::new(None));
    let options = match patience {
        // The two options exclude each other.
        Patience::Answer => js::object(&[("ifAvailable", JsValue::TRUE)]),
        Patience::Wait => js::object(&[("signal", abort.signal().into())]),
    };
    let outcome = Promise::new(&mut |resolve: Function, reject: Function| {
        let granted = granted.clone();
        let on_answer = Closure::once_into_js(move |lock: JsValue| -> JsValue {
            // The lock is held for as long as the promise returned here is pending.
            let held = if lock.is_null() {
                JsValue::UNDEFINED
            } else {
                Promise::new(&mut |release, _| *granted.borrow_mut() = Some(release)).into()
            };
            let_go(&resolve);
            held
        });
        let name = format!("walletlab-{name}");
        match locks.request(&name, &options, on_answer.unchecked_ref()) {
            // Without this, a refused request would be waited for for ever.
            Ok(ended) => {
                let refuse = Closure::once_into_js(move |error: JsValue| {
                    // Calling a promise's own function does not fail.
                    let _ = reject.call1(&JsValue::UNDEFINED, &error);
                });
                let refuse: Function = refuse.unchecked_into();
                let _ = ended.unchecked_ref::<js::Catching>().catch(&refuse);
            }
            Err(error) => {
                let _ = reject.call1(&JsValue::UNDEFINED, &error);
            }
        }
    });
    Ok((JsFuture::from(outcome), Place { granted, abort }))
}

fn let_go(resolve: &Function) {
    // Calling a promise's own function does not fail.
    let _ = resolve.call0(&JsValue::UNDEFINED);
}
