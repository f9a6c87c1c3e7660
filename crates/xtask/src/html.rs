//! Reads the links for trunk in index.html and replaces them by what a browser understands.
//!
//! Only what this repository's page uses: one link a line, style sheets, the program of the page and module workers.

use anyhow::{Context, bail};

/// What one `data-trunk` link asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// A style sheet, by its path from the root.
    Css { href: String },
    /// The program that runs in the page, by the name of its binary.
    Main { bin: String },
    /// A module worker, by the name of its binary.
    Worker { bin: String },
}

/// Replaces each line with a `data-trunk` link by the lines that `replace` answers for it, at the same indentation.
pub(crate) fn rewrite(
    html: &str,
    mut replace: impl FnMut(&Link) -> anyhow::Result<Vec<String>>,
) -> anyhow::Result<String> {
    let mut out = String::with_capacity(html.len());
    for (at, line) in html.lines().enumerate() {
        let tag = line.trim_start();
        if tag.starts_with("<!--") && tag.ends_with("-->") {
            continue; // a comment is for who reads the source
        }
        if !line.contains("data-trunk") {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let link = parse(tag).with_context(|| format!("index.html:{}: {tag}", at + 1))?;
        let indentation = &line[..line.len() - tag.len()];
        for new in replace(&link)? {
            out.push_str(indentation);
            out.push_str(&new);
            out.push('\n');
        }
    }
    Ok(out)
}

fn parse(tag: &str) -> anyhow::Result<Link> {
    if !tag.starts_with("<link ") || !tag.trim_end().ends_with('>') {
        bail!("a link for trunk must stand alone on its line");
    }
    let needed = |name: &str| attribute(tag, name).with_context(|| format!("the link has no {name}"));
    match (needed("rel")?, attribute(tag, "data-type")) {
        ("css", _) => Ok(Link::Css { href: needed("href")?.to_owned() }),
        ("rust", None | Some("main")) => Ok(Link::Main { bin: needed("data-bin")?.to_owned() }),
        ("rust", Some("worker")) => Ok(Link::Worker { bin: needed("data-bin")?.to_owned() }),
        (rel, data_type) => {
            bail!("cargo xtask knows no rel={rel:?} data-type={data_type:?}; add it to html.rs")
        }
    }
}

/// The value of `name="value"` in a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    tag[start..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_link_is_found_and_replaced_in_place() {
        let html = "<head>\n  <!-- for trunk -->\n  <link data-trunk rel=\"css\" href=\"web/a.css\">\n  \
                    <link data-trunk rel=\"rust\" href=\"web/Cargo.toml\" data-bin=\"app\" data-type=\"main\">\n\
                    <link data-trunk rel=\"rust\" data-bin=\"worker\" data-type=\"worker\" data-loader-shim>\n</head>";
        let mut links = Vec::new();
        let rewritten = rewrite(html, |link| {
            links.push(format!("{link:?}"));
            Ok(vec![format!("<{}>", links.len()), "<x>".to_owned()])
        })
        .expect("a page");
        assert_eq!(rewritten, "<head>\n  <1>\n  <x>\n  <2>\n  <x>\n<3>\n<x>\n</head>\n");
        assert_eq!(
            links,
            ["Css { href: \"web/a.css\" }", "Main { bin: \"app\" }", "Worker { bin: \"worker\" }"]
        );
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        for (html, expected) in [
            ("\n<link data-trunk rel=\"sass\" href=\"a\">", "index.html:2: "),
            ("<link data-trunk href=\"a\">", "index.html:1: "),
            ("<p><link data-trunk rel=\"css\" href=\"a\">", "index.html:1: "),
            ("<link data-trunk rel=\"rust\" data-type=\"main\">", "index.html:1: "),
        ] {
            let error = rewrite(html, |_| Ok(Vec::new())).expect_err(html);
            assert!(format!("{error:#}").starts_with(expected), "{error:#}");
        }
    }
}
