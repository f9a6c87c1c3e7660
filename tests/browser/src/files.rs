//! The built page as plain files, behind a server that knows nothing else: how any static hosting serves it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::site::page_directory;

/// Serves the built page on a free port of the loopback interface; it ends when this is dropped.
#[derive(Debug)]
pub struct Files {
    url: String,
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Files {
    /// Starts it.
    ///
    /// # Panics
    /// When no port is free.
    #[track_caller]
    #[must_use]
    pub fn start() -> Self {
        let listener =
            TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("no free port: {error}"));
        let address = listener.local_addr().unwrap_or_else(|error| panic!("no address: {error}")).to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // A browser that goes away in between misses nothing.
                    drop(stream.map(|stream| answer(&stream)));
                }
            })
        };
        Self { url: format!("http://{address}/"), address, stop, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One more connection lets it see that.
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            // A panic there is no reason for a second one here.
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or("/").split('?').next().unwrap_or("/").to_owned();
    while reader.read_line(&mut line)? > 2 {}
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let kind = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    };
    let file = if name.contains("..") { None } else { fs::read(page_directory().join(name)).ok() };
    let (status, body) = match file {
        Some(bytes) => ("200 OK", bytes),
        None => ("404 Not Found", b"<!doctype html>not found".to_vec()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    (&*stream).write_all(head.as_bytes())?;
    (&*stream).write_all(&body)
}
