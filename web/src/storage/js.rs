//! The few calls into the browser that `web-sys` keeps unstable or does not have, and how its answers become ours.

use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{IdbFactory, IdbRequest, IdbTransaction, StorageManager};

use super::error::StoreError;

#[wasm_bindgen]
extern "C" {
    /// `WorkerGlobalScope` and `Window` alike, as far as storage needs them.
    pub(super) type Scope;

    #[wasm_bindgen(method, getter, js_name = "isSecureContext")]
    pub(super) fn is_secure_context(this: &Scope) -> bool;

    #[wasm_bindgen(method, getter, catch, js_name = "indexedDB")]
    pub(super) fn indexed_db(this: &Scope) -> Result<Option<IdbFactory>, JsValue>;

    #[wasm_bindgen(method, getter, catch)]
    pub(super) fn caches(this: &Scope) -> Result<Option<web_sys::CacheStorage>, JsValue>;

    #[wasm_bindgen(method, getter)]
    pub(super) fn navigator(this: &Scope) -> ScopeNavigator;

    #[wasm_bindgen(method, getter)]
    pub(super) fn crypto(this: &Scope) -> ScopeCrypto;

    #[wasm_bindgen(method, js_name = "setTimeout")]
    pub(super) fn set_timeout(this: &Scope, done: &Function, millis: f64) -> f64;

    pub(super) type ScopeCrypto;

    #[wasm_bindgen(method, catch, js_name = "getRandomValues")]
    pub(super) fn random(this: &ScopeCrypto, into: &Uint8Array) -> Result<JsValue, JsValue>;

    pub(super) type ScopeNavigator;

    #[wasm_bindgen(method, getter)]
    pub(super) fn storage(this: &ScopeNavigator) -> Option<StorageManager>;

    #[wasm_bindgen(method, getter)]
    pub(super) fn locks(this: &ScopeNavigator) -> Option<LockManager>;

    pub(super) type LockManager;

    #[wasm_bindgen(method, catch)]
    pub(super) fn request(
        this: &LockManager,
        name: &str,
        options: &JsValue,
        granted: &Function,
    ) -> Result<Promise, JsValue>;

    pub(super) type StrictDatabase;

    #[wasm_bindgen(method, catch)]
    pub(super) fn transaction(
        this: &StrictDatabase,
        stores: &JsValue,
        mode: &str,
        options: &JsValue,
    ) -> Result<IdbTransaction, JsValue>;

    pub(super) type CommitNow;

    #[wasm_bindgen(method, catch)]
    pub(super) fn commit(this: &CommitNow) -> Result<(), JsValue>;

    pub(super) type Catching;

    #[wasm_bindgen(method)]
    pub(super) fn catch(this: &Catching, refused: &Function) -> Promise;
}

/// The global object.
pub(super) fn scope() -> Scope {
    js_sys::global().unchecked_into()
}

/// A plain object with the given properties.
pub(super) fn object(properties: &[(&str, JsValue)]) -> JsValue {
    let object = js_sys::Object::new();
    for (key, value) in properties {
        Reflect::set(&object, &JsValue::from_str(key), value).expect("a new object takes any property");
    }
    object.into()
}

/// Waits for a request. Its handlers are set at once, not at the first poll.
pub(super) fn answer(request: &IdbRequest) -> impl Future<Output = Result<JsValue, JsValue>> + use<> {
    let request = request.clone();
    let done = JsFuture::from(Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    }));
    async move {
        match done.await {
            Ok(_) => request.result(),
            Err(_) => Err(request.error().ok().flatten().map_or(JsValue::UNDEFINED, JsValue::from)),
        }
    }
}

/// Waits until a transaction is complete, not merely answered. Its handlers are set at once.
pub(super) fn completion(transaction: &IdbTransaction) -> impl Future<Output = Result<(), JsValue>> + use<> {
    let transaction = transaction.clone();
    let done = JsFuture::from(Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onabort(Some(&reject));
    }));
    async move {
        match done.await {
            Ok(_) => Ok(()),
            Err(_) => Err(transaction.error().map_or(JsValue::UNDEFINED, JsValue::from)),
        }
    }
}

/// Lets other work go on for a while.
pub(super) async fn pause(millis: f64) {
    // A timer's promise is never rejected.
    let _ = JsFuture::from(timer(millis)).await;
}

/// A promise of `undefined` after a while.
pub(super) fn timer(millis: f64) -> Promise {
    Promise::new(&mut |resolve, _| {
        scope().set_timeout(&resolve, millis);
    })
}

/// Sixteen random bytes.
pub(super) fn random_id() -> Result<[u8; 16], StoreError> {
    let into = Uint8Array::new_with_length(16);
    scope().crypto().random(&into).map_err(|error| failure("drawing a random identity", &error))?;
    let mut id = [0; 16];
    into.copy_to(&mut id);
    Ok(id)
}

/// An error's `name`, such as `QuotaExceededError`.
pub(super) fn error_name(error: &JsValue) -> String {
    text(error, "name")
}

/// What a browser's error means while `doing` something.
pub(super) fn failure(doing: &str, error: &JsValue) -> StoreError {
    let name = error_name(error);
    let message = text(error, "message");
    let what = match (name.as_str(), message.as_str()) {
        ("", "") => format!("{doing}: {error:?}"),
        (name, "") => format!("{doing}: {name}"),
        (name, message) => format!("{doing}: {name}: {message}"),
    };
    match name.as_str() {
        "QuotaExceededError" => StoreError::Quota { what },
        "NoModificationAllowedError" => StoreError::HeldElsewhere,
        "InvalidStateError" => StoreError::Closed { what },
        "SecurityError" | "NotAllowedError" => StoreError::Unavailable { what },
        _ => StoreError::Failed { what },
    }
}

/// A count that JavaScript holds as a float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes from the browser are whole and not negative, and the cast clamps whatever is not"
)]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}

fn text(value: &JsValue, property: &str) -> String {
    Reflect::get(value, &JsValue::from_str(property))
        .ok()
        .and_then(|text| text.as_string())
        .unwrap_or_default()
}
