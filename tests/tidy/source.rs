//! Enough of Rust's grammar to tell code from comments and texts, and tests from the product.

/// A Rust file line by line: code only, and whether a line belongs to tests.
pub(super) struct Source {
    /// Lines with every comment and the inside of every text replaced by spaces.
    pub(super) code: Vec<String>,
    /// The first line (0-based) of `#[cfg(test)]` at the left edge, or of a file that is nothing but tests.
    tests_from: usize,
    /// Lines before that which a `#[cfg(test)]` of their own makes part of the tests, as in `extern crate std;`.
    tests_alone: Vec<usize>,
}

impl Source {
    /// Reads a file; `path` is its path from the root of the repository.
    pub(super) fn read(path: &str, text: &str) -> Self {
        let code: Vec<String> = without_comments_and_texts(text).lines().map(str::to_owned).collect();
        let in_tests = path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"));
        // Tests come last in a file, so everything from their attribute on is tests.
        let tests_from = if in_tests {
            0
        } else {
            let attribute =
                |at: &usize| code[*at].trim_end() == "#[cfg(test)]" && starts_module(&code[at + 1..]);
            (0..code.len()).find(attribute).unwrap_or(code.len())
        };
        let tests_alone = (1..code.len()).filter(|at| code[at - 1].trim() == "#[cfg(test)]").collect();
        Self { code, tests_from, tests_alone }
    }

    /// Whether a line (0-based) is part of a test.
    pub(super) fn is_test(&self, line: usize) -> bool {
        line >= self.tests_from || self.tests_alone.contains(&line)
    }
}

/// Whether `word` stands in `code` as a whole identifier.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word).any(|(at, _)| {
        let bytes = code.as_bytes();
        !is_part(at.checked_sub(1).map(|before| &bytes[before])) && !is_part(bytes.get(at + word.len()))
    })
}

/// Whether a float stands in `code` as a literal, as in `1.5`; `pair.0.1` and `0..9` are none.
pub(super) fn has_float_literal(code: &str) -> bool {
    let bytes = code.as_bytes();
    code.match_indices('.').any(|(dot, _)| {
        let digits =
            bytes[..dot].iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b'_').count();
        let before = (dot - digits).checked_sub(1).map(|at| bytes[at]);
        let starts_number =
            !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.');
        digits > 0 && starts_number && bytes.get(dot + 1).is_some_and(u8::is_ascii_digit)
    })
}

/// Whether a module with a body follows: `#[cfg(test)] mod tests;` names a file instead, which is tests by its name.
fn starts_module(lines: &[String]) -> bool {
    let item = lines.iter().map(|line| line.trim()).find(|line| !line.is_empty() && !line.starts_with("#["));
    item.is_some_and(|item| item.starts_with("mod ") && item.ends_with('{'))
}

fn without_comments_and_texts(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest));
        match skipped {
            Some(length) => {
                let inside = &rest[..length];
                code.extend(inside.chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                // An identifier is taken whole, so the `r` at its end does not start a raw text.
                let length = identifier(rest).unwrap_or(first.len_utf8());
                code.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    code
}

/// The length of the comment that `rest` starts with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(rest.len())
}

/// The length of the text, byte text or character that `rest` starts with.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|behind| behind.starts_with('"') || (prefix.ends_with('r') && is_raw(behind)))
    });
    let Some(prefix) = prefix else { return character(rest) };
    let behind = &rest[prefix.len()..];
    let hashes = behind.bytes().take_while(|byte| *byte == b'#').count();
    if prefix.ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        let start = prefix.len() + hashes + 1;
        return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
    }
    let mut bytes = behind.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

fn is_raw(behind: &str) -> bool {
    let text = behind.trim_start_matches('#');
    text.len() < behind.len() && text.starts_with('"')
}

/// The length of a character such as `'"'` or `'\n'`; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        // The escaped character may itself be a quote.
        return inside[2..].find('\'').map(|at| 1 + 2 + at + 1);
    }
    let char = inside.chars().next()?;
    inside[char.len_utf8()..].starts_with('\'').then(|| 1 + char.len_utf8() + 1)
}

fn identifier(rest: &str) -> Option<usize> {
    let length = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    (length > 0).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_texts_are_blanked_and_lines_kept() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */\n d */ e", "a             \n      e"),
            ("x(\"a \\\" b\") + y", "x(        ) + y"),
            ("r\"\\\" + r#\"a\" b\"# + br\"x\" + bar\"y\"", "     +           +       + bar   "),
            ("'\"' + '\\'' + '\\u{1}' + &'a str", "    +      +         + &'a str"),
            ("b'\"' + b\"x\"", "b    +     "),
        ] {
            assert_eq!(without_comments_and_texts(text), code, "{text}");
        }
    }

    #[test]
    fn tests_are_told_apart() {
        let source = Source::read(
            "crates/x/src/a.rs",
            "a\n#[cfg(test)]\nmod far;\nb\n#[cfg(test)]\n#[x]\nmod tests {\n",
        );
        assert_eq!(
            (0..7).map(|line| source.is_test(line)).collect::<Vec<_>>(),
            [false, false, true, false, true, true, true]
        );
        assert!(Source::read("crates/x/src/tests.rs", "a").is_test(0));
        assert!(Source::read("crates/x/tests/all.rs", "a").is_test(0));
    }

    #[test]
    fn words_and_floats() {
        assert!(has_word("use std::f64;", "f64") && !has_word("xf64 f64_x", "f64"));
        for code in ["1.5", "x(0.25)", "-1_000.0"] {
            assert!(has_float_literal(code), "{code}");
        }
        for code in ["0..9", "pair.0.1", "a1.0", "1.max(2)", "x.0", "0..=5"] {
            assert!(!has_float_literal(code), "{code}");
        }
    }
}
