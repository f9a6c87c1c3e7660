//! The few calls to the browser that several components need.

use js_sys::{Function, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, HtmlElement, HtmlInputElement, HtmlSelectElement, ResizeObserver, Window};
use yew::prelude::*;

use crate::protocol::Source;

/// Runs `function` once, just before the browser paints.
pub(super) fn before_paint(function: &Function) {
    if let Some(window) = web_sys::window() {
        // It fails only in a document that is being thrown away, where nothing is painted any more.
        let _ = window.request_animation_frame(function);
    }
}

/// The end of an address that shows the live server.
const LIVE: &str = "#live";

/// What the page's address asks for.
pub(super) fn source_of_address() -> Source {
    let hash = web_sys::window().and_then(|window| window.location().hash().ok());
    if hash.as_deref() == Some(LIVE) { Source::Server } else { Source::Browser }
}

/// Makes the page's address ask for `source`, without a new entry in the history.
pub(super) fn write_source(source: Source) {
    let Some(window) = web_sys::window() else { return };
    if source_of_address() == source {
        return;
    }
    let (Ok(history), Ok(path), Ok(query)) =
        (window.history(), window.location().pathname(), window.location().search())
    else {
        return;
    };
    let end = if source == Source::Server { LIVE } else { "" };
    // A browser that refuses, as it does after too many changes, shows an old address and nothing worse.
    let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&format!("{path}{query}{end}")));
}

/// Calls `changed` with what the address asks for whenever somebody edits its end, as long as the component lives.
#[hook]
pub(super) fn use_address(changed: Callback<Source>) {
    use_effect_with((), move |()| {
        let closure = Closure::<dyn FnMut()>::new(move || {
            let hash = web_sys::window().and_then(|window| window.location().hash().ok());
            // Other ends are places in the page, as that of the link that skips the header.
            if matches!(hash.as_deref(), Some(LIVE | "")) {
                changed.emit(source_of_address());
            }
        });
        let window = web_sys::window();
        if let Some(window) = &window {
            // It fails only for a type of event that does not exist.
            let _ = window.add_event_listener_with_callback("hashchange", closure.as_ref().unchecked_ref());
        }
        move || {
            if let Some(window) = window {
                let _ = window
                    .remove_event_listener_with_callback("hashchange", closure.as_ref().unchecked_ref());
            }
        }
    });
}

/// Whether the user asked the system for less motion.
pub(super) fn wants_reduced_motion() -> bool {
    web_sys::window()
        .and_then(|window| window.match_media("(prefers-reduced-motion: reduce)").ok().flatten())
        .is_some_and(|query| query.matches())
}

/// What the browser said when it was asked not to throw the log away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PersistAnswer {
    /// It keeps the log until the user deletes it.
    Granted,
    /// It may evict the log when the disk is full.
    Refused,
    /// It cannot be asked here: no secure context, or no such function.
    Unavailable,
}

/// Asks the browser to keep this origin's data.
pub(super) async fn ask_to_persist() -> PersistAnswer {
    let Some(window) = web_sys::window() else { return PersistAnswer::Unavailable };
    if !has_storage(&window) {
        return PersistAnswer::Unavailable;
    }
    let Ok(promise) = window.navigator().storage().persist() else { return PersistAnswer::Unavailable };
    match JsFuture::from(promise).await.map(|answer| answer.is_truthy()) {
        Ok(true) => PersistAnswer::Granted,
        Ok(false) => PersistAnswer::Refused,
        Err(_) => PersistAnswer::Unavailable,
    }
}

/// A new random idempotency key: a UUID of version 7, so that ids made later sort later.
pub(super) fn new_transaction_id() -> String {
    let mut bytes = [0; 16];
    if let Some(crypto) = web_sys::window().and_then(|window| window.crypto().ok()) {
        // Without entropy the id is still unique by its millisecond, and a repeat would be answered, not doubled.
        let _ = crypto.get_random_values_with_u8_array(&mut bytes);
    }
    uuid_v7(js_sys::Date::now(), bytes)
}

/// The text of an input or select when it changed.
pub(super) fn text_of(event: &Event) -> String {
    let target: Option<Element> = event.target_dyn_into();
    target.map_or_else(String::new, |target| match target.dyn_into::<HtmlInputElement>() {
        Ok(input) => input.value(),
        Err(other) => {
            other.dyn_into::<HtmlSelectElement>().map_or_else(|_| String::new(), |select| select.value())
        }
    })
}

/// Width and height of an element in CSS pixels, kept up to date; 0 until they are known.
#[hook]
pub(super) fn use_size(node: &NodeRef) -> (u32, u32) {
    let size = use_state_eq(|| (0, 0));
    let setter = size.setter();
    let node = node.clone();
    use_effect_with((), move |()| {
        let element = node.cast::<Element>();
        let observed = element.clone();
        let closure = Closure::<dyn FnMut()>::new(move || {
            if let Some(element) = &observed {
                setter.set((element.client_width().unsigned_abs(), element.client_height().unsigned_abs()));
            }
        });
        let observer = ResizeObserver::new(closure.as_ref().unchecked_ref()).ok();
        if let (Some(observer), Some(element)) = (&observer, &element) {
            observer.observe(element);
        }
        move || {
            if let Some(observer) = observer {
                observer.disconnect();
            }
            drop(closure);
        }
    });
    *size
}

/// Sets the height of an element through its style object, which a strict content policy allows.
pub(super) fn set_height(node: &NodeRef, px: u64) {
    if let Some(element) = node.cast::<HtmlElement>() {
        // The property exists in every browser; a refused value leaves the height as it was.
        let _ = element.style().set_property("height", &format!("{px}px"));
    }
}

fn has_storage(window: &Window) -> bool {
    Reflect::get(&window.navigator(), &JsValue::from_str("storage")).is_ok_and(|storage| storage.is_object())
}

fn uuid_v7(now_millis: f64, mut bytes: [u8; 16]) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "milliseconds since 1970 are positive and stay below 2^48 until the year 10889"
    )]
    let millis = now_millis as u64;
    bytes[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (position, byte) in bytes.into_iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_carries_version_variant_and_time() {
        assert_eq!(uuid_v7(1_735_689_600_000.0, [0xff; 16]), "01941f29-7c00-7fff-bfff-ffffffffffff");
    }
}
