//! The door: every request comes in here, and every answer goes out here with its headers.
//!
//! The routes that a wallet lives on, one command in one small body, are answered right here: no router, no boxed future,
//! no copy of the body. Everything else goes through the router. Both kinds pass the same guard.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::MatchedPath;
use axum::http::{Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use http_body_util::{Either, Full};
use hyper::body::Body as HttpBody;
use ledger::CommandKind;
use tokio::time::Sleep;
use tower::Service;

use super::guard::{Admitted, request_id, set_headers, settle};
use super::item::Given;
use super::problem::{self, Code};
use super::wallet::Reply;
use super::{App, routes};
use crate::options::PageSource;
use crate::tokens::Role;

/// The body of an answer.
pub(crate) type FrontBody = Either<Full<Bytes>, Body>;

/// Everything that answers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front(Arc<Parts>);

struct Parts {
    app: App,
    router: Router,
}

impl Front {
    /// Every route, with the page behind them.
    pub(crate) fn new(app: App, page: &PageSource) -> Front {
        let router = routes(&app, page);
        Front(Arc::new(Parts { app, router }))
    }

    /// Answers one request.
    pub(crate) async fn answer<B>(&self, request: Request<B>) -> Response<FrontBody>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        match Hot::of(request.method(), request.uri().path()) {
            Some(hot) => self.answer_hot(hot, request).await,
            None => self.answer_routed(request.map(Body::new)).await,
        }
    }

    async fn answer_hot<B>(&self, hot: Hot, request: Request<B>) -> Response<FrontBody>
    where
        B: HttpBody<Data = Bytes> + Unpin,
        B::Error: std::error::Error + 'static,
    {
        let began = Instant::now();
        let app = &self.0.app;
        let (head, body) = request.into_parts();
        let (route, kind) = (hot.route(), hot.kind());
        let reply = match app.admit(&Admitted::of(&head)) {
            Ok(_) => caught(app.command(&head, body, kind, &Given::default())).await,
            Err(problem) => Some(Reply::Other(problem.into_response())),
        };
        let mut response = match reply {
            Some(Reply::Completed(answer)) => answer.into_response_of(),
            Some(Reply::Other(response)) => response.map(Either::Right),
            None => problem::failed().map(Either::Right),
        };
        set_headers(response.headers_mut(), route, request_id(&head.headers));
        let problem = response.extensions().get::<Code>().map(|code| code.0);
        app.metrics.answered_hot(hot as usize, route, response.status(), problem, began.elapsed());
        note(&head.method, route, response.status(), problem, &response);
        response
    }

    async fn answer_routed(&self, mut request: Request<Body>) -> Response<FrontBody> {
        let began = Instant::now();
        let app = &self.0.app;
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let request_id = request_id(request.headers());
        let mut response = match app.admit(&Admitted::of_request(&request)) {
            Ok(role) => {
                if role < Role::Admin {
                    request.extensions_mut().insert(role);
                }
                // A router is always ready; its clone shares everything.
                let Ok(response) = self.0.router.clone().call(request).await;
                settle(response, &method, &path)
            }
            Err(problem) => problem.into_response(),
        };
        set_headers(response.headers_mut(), &path, request_id);
        let status = response.status();
        let problem = response.extensions().get::<Code>().map(|code| code.0);
        let route = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        app.metrics.answered(route, &method, status, problem, began.elapsed());
        let response = response.map(Either::Right);
        note(&method, &path, status, problem, &response);
        response
    }
}

/// What a full queue or a late answer comes to is counted; a line for each would flood the log when it matters.
fn note(
    method: &Method,
    path: &str,
    status: StatusCode,
    problem: Option<&'static str>,
    response: &Response<FrontBody>,
) {
    let request_id = || response.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(%method, path, status = status.as_u16(), problem, request_id = request_id(), "answered");
    } else {
        tracing::debug!(%method, path, status = status.as_u16(), problem, request_id = request_id(), "answered");
    }
}

/// The routes that are answered without the router.
#[derive(Clone, Copy)]
enum Hot {
    Transfer,
    Deposit,
    Withdrawal,
}

/// The routes of [`Hot`], for metrics that are made before the first of them is counted.
pub(super) const HOT_ROUTES: [&str; 3] =
    ["/v1/wallet/transfer", "/v1/wallet/deposits", "/v1/wallet/withdrawals"];

impl Hot {
    fn of(method: &Method, path: &str) -> Option<Hot> {
        let path = path.strip_prefix("/v1/wallet/").filter(|_| *method == Method::POST)?;
        match path {
            "transfer" => Some(Hot::Transfer),
            "deposits" => Some(Hot::Deposit),
            "withdrawals" => Some(Hot::Withdrawal),
            _ => None,
        }
    }

    fn route(self) -> &'static str {
        HOT_ROUTES[self as usize]
    }

    fn kind(self) -> CommandKind {
        match self {
            Hot::Transfer => CommandKind::Transfer,
            Hot::Deposit => CommandKind::Deposit,
            Hot::Withdrawal => CommandKind::Withdrawal,
        }
    }
}

/// Runs a future; `None` if it panicked, which is a mistake of ours that ends this request alone.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Runs a future until `sleep` is over; `None` then. One timer serves all waits of a request.
pub(super) async fn within<F: Future>(mut sleep: Pin<&mut Sleep>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(context).map(|()| None),
    })
    .await
}
