//! The socket, the signals and the errors of starting.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::app;

/// How long requests that are being answered may take after a stop was asked for.
const STOP_SECONDS_MAX: u64 = 5;

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The address to listen on. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The directory with the built page: `index.html` stands in it.
    pub page: PathBuf,
}

/// Why a server did not start, or stopped by itself. Each says what to do.
#[derive(Debug)]
pub enum ServeError {
    /// The page's directory has no `index.html`.
    PageMissing {
        /// The directory that was looked at.
        page: PathBuf,
    },
    /// Somebody else listens on the address.
    AddressInUse {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// The address cannot be listened on, or the socket failed later.
    Socket {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A server whose socket is open and which answers nothing yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    page: PathBuf,
}

/// Opens the socket.
///
/// # Errors
/// A page that is not built, an address in use, any other refusal of the system.
pub async fn bind(options: ServeOptions) -> Result<Bound, ServeError> {
    let ServeOptions { listen, page } = options;
    if !page.join("index.html").is_file() {
        return Err(ServeError::PageMissing { page });
    }
    let listener = TcpListener::bind(listen).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ServeError::AddressInUse { listen },
        _ => ServeError::Socket { listen, source },
    })?;
    let address = listener.local_addr().map_err(|source| ServeError::Socket { listen, source })?;
    Ok(Bound { listener, address, page })
}

/// Opens the socket, prints `listening on http://ADDRESS` as one line, and answers until SIGTERM or Ctrl-C.
///
/// # Errors
/// As [`bind`]; and a socket that fails while serving.
pub async fn serve(options: ServeOptions) -> Result<(), ServeError> {
    let bound = bind(options).await?;
    let mut out = io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "listening on http://{}", bound.address()).and_then(|()| out.flush());
    drop(out);
    bound.run(stop_signal()).await
}

impl Bound {
    /// The address in use; its port is never 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is ready, then lets what is being answered finish, for 5 seconds at most.
    ///
    /// # Errors
    /// A socket that fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let Self { listener, address, page } = self;
        let (stopping, stopped) = oneshot::channel();
        let server = axum::serve(listener, app(&page)).with_graceful_shutdown(async move {
            stop.await;
            // The receiver is only gone when the server has ended by itself.
            let _ = stopping.send(());
        });
        let too_late = async move {
            match stopped.await {
                Ok(()) => tokio::time::sleep(Duration::from_secs(STOP_SECONDS_MAX)).await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            result = server => result.map_err(|source| ServeError::Socket { listen: address, source }),
            () = too_late => Ok(()),
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageMissing { page } => write!(
                f,
                "{}: no index.html there, so there is no page to serve; build it with `cargo xtask build`, \
                 or name the directory of a built page with --page",
                page.display()
            ),
            Self::AddressInUse { listen } => write!(
                f,
                "{listen}: another program listens there already; stop it, or choose another address with --listen \
                 (port 0 picks a free one)"
            ),
            Self::Socket { listen, source } => write!(f, "{listen}: cannot listen there: {source}"),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Socket { source, .. } => Some(source),
            Self::PageMissing { .. } | Self::AddressInUse { .. } => None,
        }
    }
}

/// Ready at the first SIGTERM or Ctrl-C; never ready where the system offers neither.
async fn stop_signal() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = interrupt => {}
        () = terminate() => {}
    }
}

#[cfg(unix)]
async fn terminate() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use super::*;

    fn page() -> tempfile::TempDir {
        let page = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(page.path().join("index.html"), "hello").expect("a file");
        page
    }

    fn options(page: &tempfile::TempDir) -> ServeOptions {
        ServeOptions { listen: "127.0.0.1:0".parse().expect("an address"), page: page.path().to_owned() }
    }

    fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[tokio::test]
    async fn it_answers_on_a_free_port_until_it_is_stopped() {
        let page = page();
        let bound = bind(options(&page)).await.expect("bound");
        let address = bound.address();
        assert_ne!(address.port(), 0);
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(bound.run(async move {
            let _ = stopped.await;
        }));
        let answers =
            tokio::task::spawn_blocking(move || [request(address, "/"), request(address, "/health")])
                .await
                .expect("two answers");
        assert!(
            answers[0].starts_with("HTTP/1.1 200 OK\r\n") && answers[0].ends_with("\r\n\r\nhello"),
            "{answers:?}"
        );
        assert!(answers[1].contains("\"status\":\"ok\""), "{answers:?}");
        stop.send(()).expect("still running");
        server.await.expect("no panic").expect("a clean stop");
        assert!(TcpStream::connect(address).is_err(), "the socket is closed");
    }

    #[tokio::test]
    async fn an_address_in_use_says_so() {
        let page = page();
        let first = bind(options(&page)).await.expect("bound");
        let again = ServeOptions { listen: first.address(), page: page.path().to_owned() };
        let error = bind(again).await.expect_err("in use");
        assert!(matches!(error, ServeError::AddressInUse { listen } if listen == first.address()));
        let text = error.to_string();
        assert!(text.starts_with(&first.address().to_string()) && text.contains("--listen"), "{text}");
    }

    #[tokio::test]
    async fn a_page_that_is_not_built_says_how_to_build_it() {
        let empty = tempfile::tempdir().expect("a temporary directory");
        let error = bind(options(&empty)).await.expect_err("no page");
        let text = error.to_string();
        assert!(text.contains(&empty.path().display().to_string()), "{text}");
        assert!(text.contains("cargo xtask build"), "{text}");
    }
}
