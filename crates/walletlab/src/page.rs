//! The page that is part of this program, if it was built with one.

use server::EmbeddedFile;

// Defines `FILES: &[EmbeddedFile]`: build.rs writes it.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// What to do about a program without a page.
pub(crate) const HOW_TO_BUILD: &str = "this program was built without the page, so only the API is served; `cargo \
     xtask build` builds one with it, or --page names the directory of a built page";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_index_and_no_path_leaves_it() {
        for EmbeddedFile { path, bytes, brotli } in FILES {
            assert!(!path.starts_with('/') && !path.contains("..") && !path.contains('\\'), "{path}");
            assert!(!path.ends_with(".br"), "{path}");
            assert!(brotli.is_none_or(|brotli| brotli.len() < bytes.len()), "{path}");
        }
        assert!(FILES.is_empty() || FILES.iter().any(|file| file.path == "index.html"));
    }
}
