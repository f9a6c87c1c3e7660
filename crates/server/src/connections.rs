//! The socket side of HTTP: how many connections, how large their headers, how slow their clients may be.

mod first_bytes;
mod http2;

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

use self::first_bytes::{FirstBytes, Protocol};
use crate::http::front::{Front, FrontBody};
use crate::http::metrics::Metrics;
use crate::options::Limits;

/// What a connection beyond the limit is told before it is closed.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    cache-control: no-store\r\ncontent-length: 144\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
    {\"type\":\"/problems#busy\",\"title\":\"The server is busy\",\"status\":503,\"detail\":\"too many connections are open\",\"code\":\"busy\",\"retry_after_ms\":1000}";
/// Bytes of an answer that wait here for its client, besides those in the system's own buffer.
const BUFFER_BYTES: usize = 64 << 10;
/// The system's buffer for what a client does not take. A larger one would let those that take nothing keep more.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4_096;
/// After an error of `accept`, such as too many open files, others need time to close theirs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the socket.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that starts anew takes its address back at once.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Answers on `listener` until `stop` is ready; then lets what is being answered finish, within the limit. Says whether
/// everything did.
pub(crate) async fn answer(
    listener: TcpListener,
    front: Front,
    limits: &Limits,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) -> Finished {
    let server = Arc::new(Server::new(front, limits, &metrics));
    let connections = Arc::new(Semaphore::new(limits.connections_max as usize));
    // Each connection holds a receiver as long as it is open.
    let (finish, finishing) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("no connection could be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
            metrics.connections_refused.inc();
            // Whoever does not take it at once is not waited for.
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        // Small answers go out at once. A socket that does not know the option still works.
        let _ = stream.set_nodelay(true);
        let (server, finishing) = (Arc::clone(&server), finishing.clone());
        tokio::spawn(async move {
            server.serve(stream, finishing).await;
            drop(permit);
        });
    }
    drop(listener);
    drop(finishing);
    // Without a connection nobody is told.
    let _ = finish.send(());
    match tokio::time::timeout(Duration::from_millis(limits.stop_timeout_ms), finish.closed()).await {
        Ok(()) => Finished::All,
        Err(_) => Finished::Some,
    }
}

/// What every connection is served with.
struct Server {
    front: Front,
    http1: http1::Builder,
    http2: hyper::server::conn::http2::Builder<TokioExecutor>,
    header_timeout: Duration,
    write_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Server {
    fn new(front: Front, limits: &Limits, metrics: &Arc<Metrics>) -> Server {
        let header_timeout = Duration::from_millis(limits.header_timeout_ms);
        let mut http1 = http1::Builder::new();
        // A client that closes its side is gone: what was being done for it, an event stream above all, ends at once.
        http1
            .timer(TokioTimer::new())
            .half_close(false)
            .header_read_timeout(header_timeout)
            .max_buf_size(BUFFER_BYTES.max(limits.header_bytes_max as usize))
            .max_header_size(limits.header_bytes_max as usize);
        let write_timeout = Duration::from_millis(limits.write_timeout_ms);
        let metrics = Arc::clone(metrics);
        Server { front, http1, http2: http2::builder(limits), header_timeout, write_timeout, metrics }
    }

    /// Answers on one connection until it ends; `finishing` tells it to take nothing more.
    async fn serve(&self, stream: TcpStream, mut finishing: watch::Receiver<()>) {
        let _open = Open::count(&self.metrics);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write_timeout));
        let first = tokio::time::timeout(self.header_timeout, FirstBytes::read(Box::pin(stream)));
        let first = tokio::select! {
            first = first => first,
            _ = finishing.changed() => return,
        };
        let ended = match first {
            Err(_) => return self.failed("timeout"),
            Ok(Err(_)) => return self.failed("gone"),
            Ok(Ok((Protocol::Http1, stream))) => {
                let mut connection =
                    pin!(self.http1.serve_connection(TokioIo::new(stream), service(self.front.clone())));
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => ended,
                    _ = finishing.changed() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
            Ok(Ok((Protocol::Http2, stream))) => {
                let (io, front) = (TokioIo::new(stream), self.front.clone());
                match http2::serve(&self.http2, io, front, self.header_timeout, &mut finishing).await {
                    http2::Ended::ByItself(ended) => ended,
                    http2::Ended::Idle => return self.failed("timeout"),
                }
            }
        };
        if let Err(error) = ended {
            self.failed(cause(&error));
            tracing::debug!("a connection ended: {error}");
        }
    }

    fn failed(&self, cause: &str) {
        self.metrics.connections_failed.with_label_values(&[cause]).inc();
    }
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// Everything that was being answered got its answer.
    All,
    /// Some clients took longer than the limit.
    Some,
}

/// Counts a connection as long as it is open, however it ends.
struct Open(IntGauge);

impl Open {
    fn count(metrics: &Metrics) -> Open {
        metrics.connections.inc();
        Open(metrics.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn service(
    front: Front,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<FrontBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<FrontBody>, Infallible>> + Send,
> {
    service_fn(move |request: Request<Incoming>| {
        let front = front.clone();
        async move { Ok(front.answer(request).await) }
    })
}

/// Whether the client took no byte for too long.
fn is_slow(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

/// The cause of a connection's end, in one of few words.
fn cause(error: &hyper::Error) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_parse_too_large() {
        "headers_too_large"
    } else if error.is_parse() {
        "malformed"
    } else if is_slow(error) {
        "slow_reader"
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        "gone"
    } else {
        "other"
    }
}

#[cfg(test)]
mod http2_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_of_a_connection_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
