//! The page: files of a directory, or of the program itself.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

use crate::http::is_unwanted;
use crate::options::{EmbeddedFile, PageSource};

/// What the page may do: its own files only, WebAssembly, and style *attributes* (bar widths), never inline script.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     worker-src 'self'; connect-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
     img-src 'self' data: blob:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The answers that are kept nowhere.
pub(crate) const NO_STORE: &str = "no-store";

/// Puts the page behind the routes of `api`: every other path is a file of the page.
///
/// A file `x` is sent as its brotli form, when there is one and the client takes it.
pub(crate) fn behind(api: Router, page: &PageSource) -> Router {
    match page {
        PageSource::Directory(directory) => api.fallback_service(ServeDir::new(directory).precompressed_br()),
        PageSource::Embedded(files) => {
            let files: Arc<[Known]> = files.iter().map(Known::new).collect();
            api.fallback(async move |request: Request| embedded(&files, &request))
        }
        PageSource::None => api.fallback(async |request: Request| nothing(&request)),
    }
}

/// How long an answer may be kept: a file that says its own content for ever; the page only if it is asked for again each
/// time, since a new build must show at the next load; what the API says not at all.
pub(crate) fn cache_of(path: &str) -> &'static str {
    let is_api = ["/v1", "/admin", "/health", "/stats", "/metrics"]
        .iter()
        .any(|route| path.strip_prefix(route).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    if is_api {
        NO_STORE
    } else if is_content_hashed(path) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    }
}

/// A file and what tells its versions apart.
struct Known {
    file: EmbeddedFile,
    tag: String,
}

impl Known {
    fn new(file: &EmbeddedFile) -> Known {
        let hash = blake3::hash(file.brotli.unwrap_or(file.bytes)).to_hex();
        Known { file: *file, tag: hash[..16].to_owned() }
    }
}

fn embedded(files: &[Known], request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(Known { file, tag }) = files.iter().find(|known| known.file.path == path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if let Some(refused) = only_read(request.method()) {
        return refused;
    }
    let takes_brotli = request
        .headers()
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|coding| !is_unwanted(coding))
        .any(|coding| coding.split(';').next().is_some_and(|name| name.trim() == "br"));
    let (bytes, coding) = match file.brotli {
        Some(brotli) if takes_brotli => (brotli, Some("br")),
        Some(_) | None => (file.bytes, None),
    };
    let etag = format!("\"{tag}{}\"", coding.unwrap_or_default());
    let mut response = if request.headers().get(IF_NONE_MATCH).is_some_and(|known| *known == etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        bytes.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(type_of(path)));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(ETAG, HeaderValue::from_str(&etag).expect("hex digits fit into a header"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn nothing(request: &Request) -> Response {
    if request.uri().path() != "/" {
        return StatusCode::NOT_FOUND.into_response();
    }
    if let Some(refused) = only_read(request.method()) {
        return refused;
    }
    let text = "This program was built without the page: build both with `cargo xtask build`, or name the directory \
                of a built page with --page.\nThe API is here: /docs\n";
    text.into_response()
}

/// The refusal of a method that no file knows.
fn only_read(method: &Method) -> Option<Response> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    let allow = [(ALLOW, HeaderValue::from_static("GET,HEAD"))];
    if is_read { None } else { Some((StatusCode::METHOD_NOT_ALLOWED, allow).into_response()) }
}

/// The types of the files that a page is made of.
fn type_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html",
        "js" => "text/javascript",
        "css" => "text/css",
        "wasm" => "application/wasm",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether a path's file name says its own content, as in `app-0123456789abcdef.js` or `app-0123456789abcdef_bg.wasm`.
fn is_content_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.split('.').next().unwrap_or(name);
    let stem = stem.strip_suffix("_bg").unwrap_or(stem);
    let Some((_, hash)) = stem.rsplit_once('-') else { return false };
    hash.len() == 16 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hash_of_sixteen_digits_counts() {
        for path in
            ["/app-0123456789abcdef.css", "/x/y-0123456789abcdef_bg.wasm", "/a-b-0123456789abcdef.js.br"]
        {
            assert!(is_content_hashed(path), "{path}");
        }
        for path in [
            "/",
            "/index.html",
            "/worker_loader.js",
            "/app-0123.js",
            "/0123456789abcdef.js",
            "/a-0123456789ABCDEF.js",
        ] {
            assert!(!is_content_hashed(path), "{path}");
        }
    }
}
