//! HTTP/2 with prior knowledge, under the limits that HTTP/1.1 has.
//!
//! hyper has a time limit for the headers of HTTP/1.1 alone, so a connection is looked after here: one on which nothing was
//! being done, and of whose answers nothing was taken, for as long as a client may take for its headers, is closed.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::{Read, Write};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::http::front::{Front, FrontBody};
use crate::options::Limits;

/// What a client may send for one request before somebody reads it.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// The same for all requests of a connection together, which bounds what a connection keeps in memory.
const CONNECTION_WINDOW_BYTES: u32 = 512 << 10;
/// Bytes of one answer that wait for the client.
const SEND_BUFFER_BYTES: usize = 16 << 10;
/// Requests that a client has reset and that were not looked at yet; beyond, the connection is closed.
const RESETS_PENDING_MAX: usize = 20;
/// Requests that were reset here for what their client did; beyond, the connection is closed.
const RESETS_BY_FAULT_MAX: usize = 100;

/// How connections of HTTP/2 are served.
pub(super) fn builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(limits.requests_per_connection_max)
        .max_header_list_size(limits.header_bytes_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(RESETS_PENDING_MAX)
        .max_local_error_reset_streams(RESETS_BY_FAULT_MAX);
    http
}

/// How a connection ended.
pub(super) enum Ended {
    ByItself(hyper::Result<()>),
    /// Nothing happened on it for too long.
    Idle,
}

/// Answers on one connection until it ends, is idle for `idle_max`, or `stop` tells to finish what is being answered.
pub(super) async fn serve(
    http: &http2::Builder<TokioExecutor>,
    io: impl Read + Write + Unpin + Send + 'static,
    front: Front,
    idle_max: Duration,
    stop: &mut watch::Receiver<()>,
) -> Ended {
    let activity = Arc::new(Activity::default());
    let noted = Arc::clone(&activity);
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, working) = (front.clone(), Working::begin(&noted));
        async move {
            let response = front.answer(request).await;
            let activity = Arc::clone(&working.0);
            Ok::<Response<Watched>, Infallible>(response.map(|body| Watched { body, activity }))
        }
    });
    let mut connection = pin!(http.serve_connection(io, service));
    let mut tick = pin!(tokio::time::sleep(idle_max));
    let (mut seen, mut is_ending, mut is_stopping) = (activity.count(), false, false);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return Ended::ByItself(ended),
            _ = stop.changed(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = tick.as_mut() => {
                let count = activity.count();
                if activity.is_working() || count != seen {
                    (seen, is_ending) = (count, false);
                } else if is_ending {
                    return Ended::Idle;
                } else {
                    // Tells the client; one that says nothing to that is not waited for.
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                tick.as_mut().reset(Instant::now() + idle_max);
            }
        }
    }
}

/// What is done on a connection.
#[derive(Default)]
struct Activity {
    /// Requests whose answer is being made.
    working: AtomicU32,
    /// Requests that came, and pieces of answers that were taken.
    count: AtomicU64,
}

impl Activity {
    fn note(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn is_working(&self) -> bool {
        self.working.load(Ordering::Relaxed) > 0
    }
}

/// One request whose answer is being made, however that ends.
struct Working(Arc<Activity>);

impl Working {
    fn begin(activity: &Arc<Activity>) -> Working {
        activity.note();
        activity.working.fetch_add(1, Ordering::Relaxed);
        Working(Arc::clone(activity))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer, which notes when a piece of it is taken.
struct Watched {
    body: FrontBody,
    activity: Arc<Activity>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <FrontBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.activity.note();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
