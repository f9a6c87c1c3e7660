//! The page's files, with the headers that a browser needs to cache them well and to run them safely.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY as CSP, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::services::ServeDir;

use crate::health;

/// What the page may do: its own files only, WebAssembly, and style *attributes* (bar widths), never inline script.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
     worker-src 'self'; connect-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; \
     img-src 'self' data: blob:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The router: `/health`, and for every other path the file of that name under `page`.
///
/// A file `x` is sent as its brotli neighbour `x.br`, when there is one and the client takes it. `page` is read at
/// each request: a page that is built anew needs no restart.
pub fn app(page: &Path) -> Router {
    let files = ServeDir::new(page).precompressed_br();
    Router::new()
        .route("/health", health::route())
        .fallback_service(files)
        .layer(middleware::from_fn(headers))
}

async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_FOUND && method != Method::HEAD {
        *response.body_mut() = format!("{path}: not found. The page is at /\n").into();
        response.headers_mut().remove("content-length");
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    let found = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let cache = if found && is_content_hashed(&path) {
        "public, max-age=31536000, immutable"
    } else if path == "/health" {
        "no-store"
    } else {
        "no-cache" // kept, but asked for again each time: a new build must show at the next load
    };
    let set: [(HeaderName, &'static str); 4] = [
        (CACHE_CONTROL, cache),
        (CSP, CONTENT_SECURITY_POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in set {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
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
    use std::fs;

    use axum::body::{Body, to_bytes};
    use axum::http::HeaderMap;
    use tower::ServiceExt;

    use super::*;

    struct Site {
        directory: tempfile::TempDir,
    }

    impl Site {
        fn new() -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            for (name, content) in [
                ("page/index.html", "<!doctype html>hello"),
                ("page/worker_loader.js", "import init from './w.js';"),
                ("page/app-0123456789abcdef.js", "export {};"),
                ("page/app-0123456789abcdef_bg.wasm", "\0asm"),
                ("page/app-0123456789abcdef_bg.wasm.br", "small"),
                ("secret.txt", "not for the page"),
            ] {
                let path = directory.path().join(name);
                fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                fs::write(path, content).expect("a file");
            }
            Self { directory }
        }

        async fn call(&self, method: Method, path: &str, accept: &str) -> (StatusCode, HeaderMap, String) {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("accept-encoding", accept)
                .body(Body::empty())
                .expect("a request");
            let app = app(&self.directory.path().join("page"));
            let response = app.oneshot(request).await.expect("an answer");
            let (head, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a body");
            (head.status, head.headers, String::from_utf8_lossy(&body).into_owned())
        }

        async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
            self.call(Method::GET, path, "identity").await
        }
    }

    #[tokio::test]
    async fn files_have_their_type_cache_and_security_headers() {
        let site = Site::new();
        let forever = "public, max-age=31536000, immutable";
        for (path, content_type, cache) in [
            ("/", "text/html", "no-cache"),
            ("/index.html", "text/html", "no-cache"),
            ("/worker_loader.js", "text/javascript", "no-cache"),
            ("/app-0123456789abcdef.js", "text/javascript", forever),
            ("/app-0123456789abcdef_bg.wasm", "application/wasm", forever),
        ] {
            let (status, headers, _) = site.get(path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert_eq!(headers["content-type"], content_type, "{path}");
            assert_eq!(headers["cache-control"], cache, "{path}");
            assert_eq!(headers["content-security-policy"], CONTENT_SECURITY_POLICY, "{path}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        }
    }

    #[tokio::test]
    async fn a_compressed_neighbour_is_sent_to_who_takes_it() {
        let site = Site::new();
        let (_, headers, body) =
            site.call(Method::GET, "/app-0123456789abcdef_bg.wasm", "gzip, deflate, br").await;
        assert_eq!((&headers["content-encoding"], body.as_str()), (&HeaderValue::from_static("br"), "small"));
        assert_eq!(headers["content-type"], "application/wasm");
        let (_, headers, body) = site.get("/app-0123456789abcdef_bg.wasm").await;
        assert_eq!((headers.get("content-encoding"), body.as_str()), (None, "\0asm"));
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found_and_never_cached() {
        let site = Site::new();
        for path in ["/nothing", "/app-aaaaaaaaaaaaaaaa.js", "/../secret.txt", "/%2e%2e/secret.txt"] {
            let (status, headers, body) = site.get(path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(headers["cache-control"], "no-cache", "{path}");
            assert_eq!(headers["content-security-policy"], CONTENT_SECURITY_POLICY, "{path}");
            assert_eq!(body, format!("{path}: not found. The page is at /\n"));
        }
    }

    #[tokio::test]
    async fn health_says_ok_version_and_uptime() {
        let site = Site::new();
        let (status, headers, body) = site.get("/health").await;
        assert_eq!(
            (status, &headers["cache-control"]),
            (StatusCode::OK, &HeaderValue::from_static("no-store"))
        );
        let health: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (&health["status"], &health["version"]),
            (&"ok".into(), &env!("CARGO_PKG_VERSION").into())
        );
        assert!(health["uptime_seconds"].is_u64(), "{body}");
    }

    #[tokio::test]
    async fn other_methods_get_405_and_allow() {
        let site = Site::new();
        for (path, allowed) in [("/health", "GET,HEAD"), ("/index.html", "GET,HEAD")] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let (status, headers, _) = site.call(method.clone(), path, "identity").await;
                assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
                assert_eq!(headers["allow"], allowed, "{method} {path}");
            }
        }
    }

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
