//! A file with settings.

use std::fs;
use std::path::Path;

use serde_saphyr::{DefaultMessageFormatter, MessageFormatter as _};

use super::Settings;
use crate::outcome::Failure;

/// What the libraries say, and what it means to somebody who writes a file.
const WORDS: [(&str, &str); 5] = [
    ("a nonzero u32", "a whole number from 1 to 4294967295"),
    ("a nonzero u64", "a whole number from 1 to 18446744073709551615"),
    ("invalid u32", "it must be a whole number from 1 to 4294967295"),
    ("invalid u64", "it must be a whole number from 1 to 18446744073709551615"),
    (", set DuplicateKeyPolicy in Options if acceptable", ""),
];

/// Reads a file in TOML or YAML, by the ending of its name. A file without any key says nothing, which is fine.
///
/// # Errors
/// A file that cannot be read; another ending; a key or a value that is not one, by line and with what is allowed.
pub(crate) fn read(path: &Path) -> Result<Settings, Failure> {
    let parse = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => from_toml,
        Some("yaml" | "yml") => from_yaml,
        Some(_) | None => {
            let what = "a file with settings is TOML or YAML, and its name ends in .toml, .yaml or .yml to say which";
            return Err(Failure::Usage(format!("{}: {what}", path.display())));
        }
    };
    let text = fs::read_to_string(path).map_err(|error| Failure::unreadable(path, &error))?;
    parse(&text).map_err(|refused| Failure::Usage(refused.in_file(path, &text)))
}

/// Why a text says no settings.
struct Refused {
    /// From 1, if it is known.
    line: Option<usize>,
    what: String,
}

impl Refused {
    /// With the line itself, which names the key.
    fn in_file(&self, path: &Path, text: &str) -> String {
        let path = path.display();
        let what = WORDS.iter().fold(self.what.clone(), |what, (said, meant)| what.replace(said, meant));
        match self.line.and_then(|line| Some((line, text.lines().nth(line - 1)?.trim()))) {
            Some((line, content)) => format!("{path}: line {line}, `{content}`: {what}"),
            None => format!("{path}: {what}"),
        }
    }
}

fn from_toml(text: &str) -> Result<Settings, Refused> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        Refused { line, what: error.message().trim_end().to_owned() }
    })
}

fn from_yaml(text: &str) -> Result<Settings, Refused> {
    let is_empty = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line == "---";
    if text.lines().all(is_empty) {
        return Ok(Settings::default());
    }
    // Without the excerpt of the text that the library would draw: the line is ours to show, as for TOML.
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
        let what = DefaultMessageFormatter.format_message(error.without_snippet()).into_owned();
        Refused { line: line.filter(|line| *line > 0), what }
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expected: &Expect) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        let text = match read(&path) {
            Ok(settings) => format!("{settings:?}"),
            Err(Failure::Usage(message)) => message.replace(&format!("{}", path.display()), name),
            Err(other) => panic!("{other:?}"),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn both_forms_say_the_same() {
        let toml = "\
listen = \"[::1]:0\"
data = \"wallet\"
host = [\"a.example\", \"b.example\"]
log_format = \"jsonl\"
log_level = \"debug\"
log_output = \"json\"

[limits]
connections_max = 7
read_wait_ms_max = 9_000
";
        let yaml = "\
---
# The same.
listen: '[::1]:0'
data: wallet
host: [a.example, b.example]
log_format: jsonl
log_level: debug
log_output: json
limits:
  connections_max: 7
  read_wait_ms_max: 9000
";
        let (toml, yaml) = (from_toml(toml), from_yaml(yaml));
        let (toml, yaml) = (toml.map_err(|refused| refused.what), yaml.map_err(|refused| refused.what));
        assert_eq!(toml, yaml);
        let settings = toml.expect("a good file");
        assert_eq!(settings.listen().map(|listen| listen.to_string()).as_deref(), Some("[::1]:0"));
        assert_eq!(settings.limits.connections_max.map(std::num::NonZero::get), Some(7));
    }

    #[test]
    fn a_file_without_a_key_says_nothing() {
        for (name, text) in [
            ("a.toml", ""),
            ("a.toml", "# nothing\n[limits]\n"),
            ("a.yaml", ""),
            ("a.yml", "---\n# nothing\n\n"),
            ("a.yaml", "limits: {}\n"),
        ] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let path = directory.path().join(name);
            fs::write(&path, text).expect("written");
            assert_eq!(read(&path).expect(text), Settings::default(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_setting_is_named_by_line_with_what_is_allowed() {
        check(
            "a.toml",
            "\nlisten = \"localhost:80\"\n",
            &expect![[
                r#"a.toml: line 2, `listen = "localhost:80"`: an IP address and a port are wanted, as in 127.0.0.1:8080 or [::1]:8080"#
            ]],
        );
        check(
            "a.yaml",
            "\nlisten: localhost:80\n",
            &expect![
                "a.yaml: line 2, `listen: localhost:80`: an IP address and a port are wanted, as in 127.0.0.1:8080 or [::1]:8080"
            ],
        );
        check(
            "a.toml",
            "data = \"a\"\nlissen = 3\n",
            &expect![
                "a.toml: line 2, `lissen = 3`: unknown field `lissen`, expected one of `listen`, `data`, `page`, `token_file`, `host`, `log_format`, `durability`, `segment_bytes`, `log_level`, `log_output`, `limits`"
            ],
        );
        check(
            "a.yaml",
            "data: a\nlissen: 3\n",
            &expect![
                "a.yaml: line 2, `lissen: 3`: unknown field `lissen`, expected one of listen, data, page, token_file, host, log_format, durability, segment_bytes, log_level, log_output, limits"
            ],
        );
        check(
            "a.toml",
            "[limits]\nconnections = 1\n",
            &expect![
                "a.toml: line 2, `connections = 1`: unknown field `connections`, expected one of `connections_max`, `body_bytes_max`, `header_bytes_max`, `header_timeout_ms`, `body_timeout_ms`, `write_timeout_ms`, `answer_timeout_ms`, `read_wait_ms_max`, `streams_max`, `snapshots_max`, `stop_timeout_ms`, `commands_max`"
            ],
        );
        check(
            "a.yaml",
            "limits:\n  connections: 1\n",
            &expect![
                "a.yaml: line 2, `connections: 1`: unknown field `connections`, expected one of connections_max, body_bytes_max, header_bytes_max, header_timeout_ms, body_timeout_ms, write_timeout_ms, answer_timeout_ms, read_wait_ms_max, streams_max, snapshots_max, stop_timeout_ms, commands_max"
            ],
        );
        check(
            "a.toml",
            "[limits]\nstreams_max = 0\n",
            &expect![
                "a.toml: line 2, `streams_max = 0`: invalid value: integer `0`, expected a whole number from 1 to 4294967295"
            ],
        );
        check(
            "a.yaml",
            "limits:\n  streams_max: 0\n",
            &expect![
                "a.yaml: line 2, `streams_max: 0`: invalid value: integer `0`, expected a whole number from 1 to 4294967295"
            ],
        );
        check(
            "a.toml",
            "[limits]\nstreams_max = -1\n",
            &expect![
                "a.toml: line 2, `streams_max = -1`: invalid value: integer `-1`, expected a whole number from 1 to 4294967295"
            ],
        );
        check(
            "a.yaml",
            "limits:\n  streams_max: many\n",
            &expect!["a.yaml: line 2, `streams_max: many`: it must be a whole number from 1 to 4294967295"],
        );
        check(
            "a.toml",
            "log_level = \"loud\"\n",
            &expect![[
                r#"a.toml: line 1, `log_level = "loud"`: unknown variant `loud`, expected one of `off`, `error`, `warn`, `info`, `debug`, `trace`"#
            ]],
        );
        check(
            "a.yaml",
            "log_level: loud\n",
            &expect![
                "a.yaml: line 1, `log_level: loud`: unknown variant `loud`, expected one of off, error, warn, info, debug, trace"
            ],
        );
        check(
            "a.toml",
            "data = \"a\"\ndata = \"b\"\n",
            &expect![[r#"a.toml: line 2, `data = "b"`: duplicate key"#]],
        );
        check(
            "a.yaml",
            "data: a\ndata: b\n",
            &expect!["a.yaml: line 2, `data: b`: duplicate mapping key: data"],
        );
        check(
            "a.toml",
            "listen = \n",
            &expect!["a.toml: line 1, `listen =`: string values must be quoted, expected literal string"],
        );
        check("a.yaml", "listen: [\n", &expect!["a.yaml: line 1, `listen: [`: expected string scalar"]);
        check("a.yaml", "- listen\n", &expect!["a.yaml: line 1, `- listen`: expected mapping start"]);
        check(
            "a.yaml",
            "log_level: off\nlimits: {header_timeout_ms: 1.5}\n",
            &expect![
                "a.yaml: line 2, `limits: {header_timeout_ms: 1.5}`: it must be a whole number from 1 to 18446744073709551615"
            ],
        );
        check(
            "a.toml",
            "[limits]\nheader_timeout_ms = 0\n",
            &expect![
                "a.toml: line 2, `header_timeout_ms = 0`: invalid value: integer `0`, expected a whole number from 1 to 18446744073709551615"
            ],
        );
        check(
            "a.conf",
            "listen = 1\n",
            &expect![
                "a.conf: a file with settings is TOML or YAML, and its name ends in .toml, .yaml or .yml to say which"
            ],
        );
    }
}
