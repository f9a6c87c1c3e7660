//! Answers that say no: RFC 9457, `application/problem+json`.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::docs;

/// One problem, ready to be answered. Its status and title stand in the table of all problems, under its code.
#[derive(Debug)]
pub(crate) struct Problem {
    code: &'static str,
    detail: String,
    members: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem with a code of [`docs::PROBLEMS`]. `detail` says what was wrong with this request and what to do.
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { code, detail: detail.into(), members: Vec::new(), headers: Vec::new() }
    }

    /// Names the field of the body, the parameter or the header that is wrong.
    pub(crate) fn field(self, field: &str) -> Problem {
        self.with("field", field)
    }

    /// Says where in a batch it is: `item` 3 or `line` 7.
    pub(crate) fn at(mut self, what: &'static str, number: usize) -> Problem {
        self.detail = format!("{what} {number}: {}", self.detail);
        self.with(what, number)
    }

    /// A further member of the body.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        self.members.push((name, value.into()));
        self
    }

    /// When to try again. The header counts whole seconds, at least one.
    pub(crate) fn retry_after_micros(mut self, micros: u64) -> Problem {
        let seconds = HeaderValue::from(micros.div_ceil(1_000_000).max(1));
        self.headers.push((RETRY_AFTER, seconds));
        self.with("retry_after_ms", micros.div_ceil(1_000))
    }

    /// The methods that are allowed.
    pub(crate) fn allow(mut self, methods: HeaderValue) -> Problem {
        self.headers.push((ALLOW, methods));
        self
    }

    /// How to authenticate.
    pub(crate) fn wants_bearer(mut self) -> Problem {
        self.headers.push((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        self
    }
}

impl Problem {
    /// Its body.
    pub(crate) fn to_json(&self) -> Value {
        let Problem { code, detail, members, headers: _ } = self;
        let known = docs::problem(code).expect("every code stands in the table of problems");
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("/problems#{code}").into());
        body.insert("title".to_owned(), known.title.into());
        body.insert("status".to_owned(), known.status.into());
        body.insert("detail".to_owned(), detail.as_str().into());
        body.insert("code".to_owned(), (*code).into());
        body.extend(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        let Problem { code, headers, .. } = self;
        let known = docs::problem(code).expect("every code stands in the table of problems");
        *response.status_mut() = StatusCode::from_u16(known.status).expect("the table holds statuses");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(Code(code));
        response
    }
}

/// The answer of a handler that panicked, which is a mistake of ours.
pub(super) fn failed() -> Response {
    let detail = "the server made a mistake with this request; a command may have taken effect: repeat it with the same id";
    Problem::new("internal_error", detail).into_response()
}

/// The code of a problem, left on its response for metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(pub(crate) &'static str);
