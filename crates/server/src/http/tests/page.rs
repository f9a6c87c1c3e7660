use super::{Answer, Rig, Setup, request_of};
use crate::options::{EmbeddedFile, PageSource};
use crate::page::CONTENT_SECURITY_POLICY;

static FILES: &[EmbeddedFile] = &[
    EmbeddedFile { path: "index.html", bytes: b"<!doctype html>hello", brotli: None },
    EmbeddedFile { path: "worker_loader.js", bytes: b"import init from './w.js';", brotli: None },
    EmbeddedFile { path: "app-0123456789abcdef.js", bytes: b"export {};", brotli: None },
    EmbeddedFile { path: "app-0123456789abcdef_bg.wasm", bytes: b"\0asm", brotli: Some(b"small") },
];

/// The same page in a directory and in the program.
fn both() -> (Rig, Rig, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let page = directory.path().join("page");
    std::fs::create_dir(&page).expect("a directory");
    for file in FILES {
        std::fs::write(page.join(file.path), file.bytes).expect("a file");
        if let Some(brotli) = file.brotli {
            std::fs::write(page.join(format!("{}.br", file.path)), brotli).expect("a file");
        }
    }
    std::fs::write(directory.path().join("secret.txt"), "not for the page").expect("a file");
    let rig = |page| Rig::with(Setup { page, ..Setup::default() });
    (rig(PageSource::Directory(page)), rig(PageSource::Embedded(FILES)), directory)
}

async fn get(rig: &Rig, path: &str, headers: &str) -> Answer {
    rig.send(request_of(&format!("GET {path} [{headers}]"))).await
}

#[tokio::test]
async fn files_have_their_type_cache_and_security_headers() {
    let (on_disk, embedded, _directory) = both();
    let forever = "public, max-age=31536000, immutable";
    for rig in [&on_disk, &embedded] {
        for (path, content_type, cache) in [
            ("/", "text/html", "no-cache"),
            ("/index.html", "text/html", "no-cache"),
            ("/worker_loader.js", "text/javascript", "no-cache"),
            ("/app-0123456789abcdef.js", "text/javascript", forever),
            ("/app-0123456789abcdef_bg.wasm", "application/wasm", forever),
        ] {
            let answer = get(rig, path, "Accept-Encoding: identity").await;
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.headers["content-type"], content_type, "{path}");
            assert_eq!(answer.headers["cache-control"], cache, "{path}");
            assert_eq!(answer.headers["content-security-policy"], CONTENT_SECURITY_POLICY, "{path}");
        }
    }
}

#[tokio::test]
async fn a_compressed_form_is_sent_to_who_takes_it() {
    let (on_disk, embedded, _directory) = both();
    for rig in [&on_disk, &embedded] {
        let answer = get(rig, "/app-0123456789abcdef_bg.wasm", "Accept-Encoding: gzip, deflate, br").await;
        assert_eq!(
            (&answer.headers["content-encoding"], answer.body.as_str()),
            (&"br".parse().expect("a value"), "small")
        );
        assert_eq!(answer.headers["content-type"], "application/wasm");
        let answer = get(rig, "/app-0123456789abcdef_bg.wasm", "").await;
        assert_eq!((answer.headers.get("content-encoding"), answer.body.as_str()), (None, "\0asm"));
    }
}

#[tokio::test]
async fn an_embedded_file_that_is_known_is_not_sent_again() {
    let (_, embedded, _directory) = both();
    let first = get(&embedded, "/", "").await;
    let etag = first.headers["etag"].to_str().expect("ASCII").to_owned();
    let again = get(&embedded, "/", &format!("If-None-Match: {etag}")).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    assert_eq!(get(&embedded, "/", "If-None-Match: \"other\"").await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_never_kept() {
    let (on_disk, embedded, _directory) = both();
    for rig in [&on_disk, &embedded] {
        for path in ["/nothing", "/app-aaaaaaaaaaaaaaaa.js", "/../secret.txt", "/%2e%2e/secret.txt"] {
            let answer = get(rig, path, "").await;
            assert_eq!(answer.status, 404, "{path}");
            assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
            assert!(answer.body.contains("\"code\":\"not_found\""), "{}", answer.body);
        }
        let answer = rig.send(request_of("DELETE /index.html")).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &"GET,HEAD,OPTIONS".parse().expect("a value"))
        );
    }
}

#[tokio::test]
async fn without_a_page_it_says_how_to_build_one() {
    let rig = Rig::new();
    let answer = get(&rig, "/", "").await;
    assert!(answer.body.contains("cargo xtask build"), "{}", answer.body);
}
