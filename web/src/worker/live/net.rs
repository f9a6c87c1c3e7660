//! The browser's `fetch`: one request, its answer's head, and its body chunk by chunk, each only when it is asked for.
//!
//! Absent here: a chunk that nobody asked for. The browser stops reading from the network while nobody does, so a page
//! that cannot keep up slows the server's stream down instead of filling its own memory.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Error, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortController, Headers, ReadableStreamDefaultReader, ReadableStreamReadResult, Request, RequestCache,
    RequestCredentials, RequestInit, RequestRedirect, Response,
};

use super::http::Head;
use crate::worker::clock::{Bell, scope};

/// A request under way. Dropping it ends it.
pub(super) struct Exchange {
    abort: AbortController,
    came: Rc<RefCell<Came>>,
    bell: Bell,
    reader: Option<ReadableStreamDefaultReader>,
    is_reading: bool,
}

/// What is asked of the server.
pub(super) struct Ask<'a> {
    /// Path and query.
    pub(super) path: &'a str,
    /// The wanted type of the answer.
    pub(super) accept: &'a str,
    /// A bearer token.
    pub(super) token: Option<&'a str>,
    /// JSON to post; without it the request is a GET.
    pub(super) body: Option<&'a str>,
}

#[derive(Default)]
struct Came {
    answer: Option<Result<Response, String>>,
    chunk: Option<Result<Option<Vec<u8>>, String>>,
}

impl Exchange {
    /// Sends a request to the page's own origin. The bell rings when something came.
    ///
    /// # Errors
    /// When the browser refuses to make it, as for a token that is no header value; in words.
    pub(super) fn begin(ask: &Ask<'_>, bell: &Bell) -> Result<Self, String> {
        let abort = AbortController::new().map_err(|error| in_words(&error))?;
        let request = request_of(ask, &abort).map_err(|error| in_words(&error))?;
        let came: Rc<RefCell<Came>> = Rc::default();
        {
            let (came, bell) = (Rc::clone(&came), bell.clone());
            spawn_local(async move {
                let answer = JsFuture::from(scope().fetch_with_request(&request)).await;
                let answer = answer.map(Response::unchecked_from_js).map_err(|error| in_words(&error));
                came.borrow_mut().answer = Some(answer);
                bell.ring();
            });
        }
        Ok(Self { abort, came, bell: bell.clone(), reader: None, is_reading: false })
    }

    /// The answer's head, once, when it came; its body can be read from then on.
    pub(super) fn take_head(&mut self) -> Option<Result<Head, String>> {
        let answer = self.came.borrow_mut().answer.take()?;
        Some(answer.map(|response| {
            self.reader = response.body().map(|body| body.get_reader().unchecked_into());
            head_of(&response)
        }))
    }

    /// The next chunk of the body, when it came: `None` inside for its end. Asks for it if nobody has.
    pub(super) fn take_chunk(&mut self) -> Option<Result<Option<Vec<u8>>, String>> {
        let chunk = self.came.borrow_mut().chunk.take();
        if chunk.is_some() {
            self.is_reading = false;
        } else {
            self.read();
        }
        chunk
    }

    fn read(&mut self) {
        if self.is_reading {
            return;
        }
        self.is_reading = true;
        let Some(reader) = &self.reader else {
            // An answer without a body is at its end.
            self.came.borrow_mut().chunk = Some(Ok(None));
            self.bell.ring();
            return;
        };
        let (read, came, bell) = (reader.read(), Rc::clone(&self.came), self.bell.clone());
        spawn_local(async move {
            let chunk = JsFuture::from(read).await.map_err(|error| in_words(&error)).map(|result| {
                let result: ReadableStreamReadResult = result.unchecked_into();
                let is_done = result.get_done().unwrap_or(false);
                (!is_done).then(|| Uint8Array::new(&result.get_value()).to_vec())
            });
            came.borrow_mut().chunk = Some(chunk);
            bell.ring();
        });
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

/// The address that the page came from.
pub(super) fn origin() -> String {
    scope().location().origin()
}

fn request_of(ask: &Ask<'_>, abort: &AbortController) -> Result<Request, JsValue> {
    let headers = Headers::new()?;
    headers.set("Accept", ask.accept)?;
    if let Some(token) = ask.token {
        headers.set("Authorization", &format!("Bearer {token}"))?;
    }
    let init = RequestInit::new();
    if let Some(body) = ask.body {
        headers.set("Content-Type", "application/json")?;
        init.set_method("POST");
        init.set_body_opt_str(Some(body));
    }
    init.set_headers_headers(&headers);
    init.set_cache(RequestCache::NoStore);
    init.set_credentials(RequestCredentials::Omit);
    init.set_redirect(RequestRedirect::Error);
    init.set_signal(Some(&abort.signal()));
    Request::new_with_str_and_init(&format!("{}{}", origin(), ask.path), &init)
}

fn head_of(response: &Response) -> Head {
    let headers = response.headers();
    // A name that is a constant is never refused; what is not there is empty.
    let text = |name: &str| headers.get(name).ok().flatten().unwrap_or_default();
    let content_type = text("content-type");
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    Head {
        status: response.status(),
        content_type,
        log_id: text("walletlab-log-id"),
        is_repeat: text("idempotency-replayed") == "true",
        retry_after_seconds: text("retry-after").parse().ok(),
    }
}

fn in_words(error: &JsValue) -> String {
    let words = error.dyn_ref::<Error>().map(|error| String::from(error.message()));
    // The browser says next to nothing about a network, and what it says is the same for every cause.
    match words.as_deref() {
        None
        | Some(
            "" | "Failed to fetch" | "network error" | "NetworkError when attempting to fetch resource.",
        ) => "The server cannot be reached.".to_owned(),
        Some(words) => format!("The browser says: {words}."),
    }
}
