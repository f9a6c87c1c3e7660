//! What stands before and behind every handler: who may come in, and the headers that every answer has.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY as CSP, CONTENT_TYPE, HOST, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::{Code, Problem};
use crate::page::{CONTENT_SECURITY_POLICY, NO_STORE, cache_of};
use crate::tokens::Role;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const X_FRAME_OPTIONS: HeaderName = HeaderName::from_static("x-frame-options");
/// Headers that every answer gets, with those that its route or hyper gives it.
pub(super) const HEADERS_ADDED: usize = 14;
const REQUEST_ID_CHARS_MAX: usize = 64;
/// What JSON may do in a browser.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// What decides whether a request may come in.
#[derive(Clone, Copy)]
pub(super) struct Admitted<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
}

impl<'a> Admitted<'a> {
    pub(super) fn of(head: &'a Parts) -> Admitted<'a> {
        Admitted { method: &head.method, uri: &head.uri, headers: &head.headers }
    }

    pub(super) fn of_request<B>(request: &'a axum::http::Request<B>) -> Admitted<'a> {
        Admitted { method: request.method(), uri: request.uri(), headers: request.headers() }
    }
}

/// Leaves the route that matched on the answer, for metrics.
pub(super) async fn note_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}

impl App {
    /// What the request may do, if it may come in.
    pub(super) fn admit(&self, request: &Admitted<'_>) -> Result<Role, Problem> {
        let Admitted { method, uri, headers } = *request;
        let host = host_of(headers, uri)?;
        if !self.is_known(host) {
            let detail = format!(
                "this server does not go by the name `{host}`; use an IP address or localhost, or start it with --host"
            );
            return Err(Problem::new("misdirected_request", detail).field("Host"));
        }
        let is_write = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_write && is_cross_site(headers, uri) {
            let detail = "a page of another site may not write here";
            return Err(Problem::new("cross_site", detail).field("Origin"));
        }
        if is_foreign_read(headers) && role_for(method, uri.path()).is_some() {
            let detail = "a page of another site may not read here";
            return Err(Problem::new("cross_site", detail).field("Sec-Fetch-Site"));
        }
        self.authorize(request)
    }

    /// DNS rebinding needs a name that an attacker owns; an address and `localhost` are nobody's.
    fn is_known(&self, host: &str) -> bool {
        let name = name_of(host);
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn authorize(&self, request: &Admitted<'_>) -> Result<Role, Problem> {
        let (Some(tokens), Some(needed)) = (&self.tokens, role_for(request.method, request.uri.path()))
        else {
            return Ok(Role::Admin);
        };
        let sent = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = sent.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(role) = token.and_then(|token| tokens.role_of(token)) else {
            let detail = "this needs a token of the server's token file: `Authorization: Bearer TOKEN`";
            return Err(Problem::new("unauthorized", detail).field("Authorization").wants_bearer());
        };
        if role < needed { Err(forbidden("this", needed, role)) } else { Ok(role) }
    }
}

/// Refuses a request that needs the role `admin` for something in its body.
pub(super) fn must_be_admin(extensions: &Extensions, what: &str) -> Result<(), Problem> {
    match extensions.get::<Role>() {
        Some(role) if *role < Role::Admin => Err(forbidden(what, Role::Admin, *role)),
        Some(_) | None => Ok(()),
    }
}

fn forbidden(what: &str, needed: Role, role: Role) -> Problem {
    let detail = format!(
        "{what} needs the role `{}`, and the token has the role `{}`",
        needed.as_str(),
        role.as_str()
    );
    Problem::new("forbidden", detail).field("Authorization")
}

/// What a request needs where there are tokens; `None` if it is open to all.
fn role_for(method: &Method, path: &str) -> Option<Role> {
    // The one write that an operator alone may do to an account.
    let is_floor =
        *method == Method::PUT && path.starts_with("/v1/wallet/accounts/") && path.ends_with("/floor");
    let is_admin = path.starts_with("/admin/") || path == "/admin" || path == "/v1/clock/advance" || is_floor;
    let is_api = path.starts_with("/v1/") || path == "/v1" || path == "/stats" || path == "/metrics";
    match *method {
        // Which methods there are is no secret.
        Method::OPTIONS => None,
        _ if is_admin => Some(Role::Admin),
        Method::GET | Method::HEAD => is_api.then_some(Role::Read),
        _ => is_api.then_some(Role::Write),
    }
}

/// The host that the client believes to talk to. HTTP/1.1 wants exactly one.
fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, Problem> {
    let wrong = || {
        let detail = "a request must have exactly one `Host` header, in ASCII";
        Problem::new("invalid_field", detail).field("Host")
    };
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() {
        return Err(wrong());
    }
    // An absolute target overrules the header.
    uri.authority().map(axum::http::uri::Authority::as_str).or(host).ok_or_else(wrong)
}

/// A host without its port and brackets; as it is, and so nobody's, if it is not of that form.
fn name_of(host: &str) -> &str {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some(parts) => parts,
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if is_port { name } else { host }
}

/// Whether a browser says that a page of somebody else's makes this request.
fn is_cross_site(headers: &HeaderMap, uri: &Uri) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site != "same-origin" && site != "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = host_of(headers, uri).ok();
    let own = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    own.is_none() || own != host
}

/// Whether a browser says that a page of somebody else's loads this as a part of itself. It could not see the answer, but
/// it could keep the server busy. A link that somebody follows is none.
fn is_foreign_read(headers: &HeaderMap) -> bool {
    let site = headers.get(SEC_FETCH_SITE);
    let is_link = headers.get(SEC_FETCH_DEST).is_some_and(|dest| dest == "document");
    site.is_some_and(|site| site == "cross-site" || site == "same-site") && !is_link
}

/// Turns the router's own short answers into ones that help: 405 and 404 are problems, OPTIONS is answered.
pub(super) fn settle(response: Response, method: &Method, path: &str) -> Response {
    let is_problem = response.extensions().get::<Code>().is_some();
    let route = response.extensions().get::<MatchedPath>().cloned();
    let mut settled = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED if !is_problem => {
            let allow = response.headers().get(ALLOW).cloned();
            let allow = allow.unwrap_or_else(|| HeaderValue::from_static("GET,HEAD"));
            let allow = format!("{},OPTIONS", allow.to_str().unwrap_or("GET,HEAD"));
            let allow = HeaderValue::from_str(&allow).expect("method names fit into a header");
            if method == Method::OPTIONS {
                let mut answer = StatusCode::NO_CONTENT.into_response();
                answer.headers_mut().insert(ALLOW, allow);
                answer
            } else {
                let detail = format!("{method} is not allowed here; `Allow` names what is");
                Problem::new("method_not_allowed", detail).allow(allow).into_response()
            }
        }
        StatusCode::NOT_FOUND if !is_problem => {
            Problem::new("not_found", format!("there is nothing at {path}")).into_response()
        }
        _ => return response,
    };
    if let Some(route) = route {
        settled.extensions_mut().insert(route);
    }
    settled
}

pub(super) fn set_headers(headers: &mut HeaderMap, path: &str, request_id: HeaderValue) {
    headers.reserve(HEADERS_ADDED);
    headers.insert(REQUEST_ID, request_id);
    let cache = cache_of(path);
    // What is no page needs no right at all.
    let policy = if cache == NO_STORE { NOTHING } else { CONTENT_SECURITY_POLICY };
    for (name, value) in [
        (CSP, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let is_problem = headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/problem+json");
    let cache = if is_problem { NO_STORE } else { cache };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
}

/// The client's own id for its request, if it is harmless, or a fresh one.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_CHARS_MAX).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    headers.get(REQUEST_ID).filter(harmless).cloned().unwrap_or_else(fresh_id)
}

/// Random bits of this process, and a number: nobody needs to guess it, so no entropy is spent on each.
fn fresh_id() -> HeaderValue {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = *PROCESS.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut text = uuid::Uuid::encode_buffer();
    let id = uuid::Uuid::from_u64_pair(process, number);
    HeaderValue::from_str(id.simple().encode_lower(&mut text)).expect("hex digits fit into a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_needs_its_role() {
        for (method, path, role) in [
            (Method::GET, "/v1/wallet/accounts", Some(Role::Read)),
            (Method::HEAD, "/stats", Some(Role::Read)),
            (Method::GET, "/metrics", Some(Role::Read)),
            (Method::POST, "/v1/wallet/transfer", Some(Role::Write)),
            (Method::DELETE, "/v1/nothing", Some(Role::Write)),
            (Method::GET, "/admin/queues", Some(Role::Admin)),
            (Method::POST, "/admin/queues/commands/redrive", Some(Role::Admin)),
            (Method::POST, "/v1/wallet/transfers", Some(Role::Write)),
            (Method::PUT, "/v1/wallet/accounts/a/floor", Some(Role::Admin)),
            (Method::POST, "/v1/clock/advance", Some(Role::Admin)),
            (Method::GET, "/v1/clock", Some(Role::Read)),
            (Method::OPTIONS, "/v1/wallet/transfer", None),
            (Method::GET, "/health", None),
            (Method::GET, "/health/ready", None),
            (Method::GET, "/openapi.json", None),
            (Method::GET, "/", None),
        ] {
            assert_eq!(role_for(&method, path), role, "{method} {path}");
        }
    }

    #[test]
    fn a_host_is_a_name_and_a_port() {
        for (host, name) in [
            ("localhost:8080", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:8080", "::1"),
            ("[::1]", "::1"),
            ("wallet.example:443", "wallet.example"),
            ("localhost:x.evil.example", "localhost:x.evil.example"),
            ("localhost:99999", "localhost:99999"),
            ("[::1", "[::1"),
            ("[::1]x", "[::1]x"),
            ("", ""),
        ] {
            assert_eq!(name_of(host), name, "{host}");
        }
    }
}
