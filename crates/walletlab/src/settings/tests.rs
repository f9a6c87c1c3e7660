use std::path::Path;

use clap::{Args as _, Command, FromArgMatches};
use expect_test::{Expect, expect};

use super::*;

/// Merges flags with a file in TOML.
fn merged(flags: &[&str], file: &str) -> Merged {
    let words = std::iter::once(&"test").chain(flags);
    let matches = command().try_get_matches_from(words).expect("good flags");
    let given = Given::from_arg_matches(&matches).expect("good flags");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("a.toml");
    std::fs::write(&path, file).expect("written");
    let in_file = read_file(&path).expect("a good file");
    Merged::new(given.settings, &matches, Some((Path::new("a.toml").to_owned(), in_file)))
}

/// The flags without their variables: what the environment of a test holds is nobody's business.
fn command() -> Command {
    with_variables().mut_args(|argument| argument.env(None::<&str>))
}

fn with_variables() -> Command {
    Given::augment_args(Command::new("test"))
}

#[track_caller]
fn check(flags: &[&str], file: &str, expected: &Expect) {
    expected.assert_eq(&merged(flags, file).to_string());
}

#[test]
fn without_a_word_everything_is_a_default() {
    check(
        &[],
        "",
        &expect![[r#"
            listen = "127.0.0.1:8080"  # default
            data = "walletlab-data"    # default
            # page is not set          # default
            # token_file is not set    # default
            host = []                  # default
            log_format = "binary"      # default
            durability = "synced"      # default
            segment_bytes = 67108864   # default
            log_level = "info"         # default
            log_output = "text"        # default

            [limits]
            connections_max = 10000    # default
            body_bytes_max = 65536     # default
            header_bytes_max = 16384   # default
            header_timeout_ms = 30000  # default
            body_timeout_ms = 10000    # default
            write_timeout_ms = 20000   # default
            answer_timeout_ms = 10000  # default
            read_wait_ms_max = 10000   # default
            streams_max = 256          # default
            snapshots_max = 4          # default
            stop_timeout_ms = 10000    # default
            commands_max = 65536       # default
        "#]],
    );
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = "\
listen = \"127.0.0.1:1\"
data = \"of the \\\"file\\\"\"
host = [\"of.the.file\"]
log_format = \"jsonl\"
[limits]
streams_max = 1
body_bytes_max = 2
";
    let flags = [
        "--listen=127.0.0.1:3",
        "--host=a.example",
        "--host",
        "b.example,c.example",
        "--streams-max=4",
        "--page=dist",
        "--log-level=warn",
    ];
    check(
        &flags,
        file,
        &expect![[r#"
            listen = "127.0.0.1:3"                        # flag --listen
            data = "of the \"file\""                      # file a.toml
            page = "dist"                                 # flag --page
            # token_file is not set                       # default
            host = ["a.example","b.example","c.example"]  # flag --host
            log_format = "jsonl"                          # file a.toml
            durability = "synced"                         # default
            segment_bytes = 67108864                      # default
            log_level = "warn"                            # flag --log-level
            log_output = "text"                           # default

            [limits]
            connections_max = 10000                       # default
            body_bytes_max = 2                            # file a.toml
            header_bytes_max = 16384                      # default
            header_timeout_ms = 30000                     # default
            body_timeout_ms = 10000                       # default
            write_timeout_ms = 20000                      # default
            answer_timeout_ms = 10000                     # default
            read_wait_ms_max = 10000                      # default
            streams_max = 4                               # flag --streams-max
            snapshots_max = 4                             # default
            stop_timeout_ms = 10000                       # default
            commands_max = 65536                          # default
        "#]],
    );
}

#[test]
fn what_is_shown_is_a_file_that_says_the_same() {
    let flags = ["--listen=[::1]:9", "--data=a \"b\" \\c\t\u{e9}", "--host=x,y", "--commands-max=5"];
    let once = merged(&flags, "");
    let again = merged(&[], &once.to_string());
    let values = |merged: &Merged| {
        let mut json = merged.to_json();
        for setting in json["settings"].as_object_mut().expect("settings").values_mut() {
            *setting = setting["value"].clone();
        }
        json
    };
    assert_eq!(values(&once), values(&again));
    assert!(again.to_string().contains("listen = \"[::1]:9\""), "{again}");
}

#[test]
fn json_names_the_origin_of_each_value() {
    let json = merged(&["--streams-max=4"], "data = \"d\"\n").to_json();
    let expected = [
        ("data", serde_json::json!({"value": "d", "origin": "file", "name": "a.toml"})),
        ("limits.streams_max", serde_json::json!({"value": 4, "origin": "flag", "name": "--streams-max"})),
        ("token_file", serde_json::json!({"value": null, "origin": "default", "name": null})),
    ];
    for (key, setting) in expected {
        assert_eq!(json["settings"][key], setting, "{key}");
    }
}

#[test]
fn without_tokens_only_a_loopback_address_will_do() {
    for listen in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8080"] {
        assert_eq!(merged(&["--listen", listen], "").check(), Ok(()), "{listen}");
    }
    for listen in ["0.0.0.0:0", "192.0.2.1:1", "[::]:8080"] {
        let flag = merged(&["--listen", listen], "").check().expect_err(listen);
        assert!(flag.starts_with(&format!("listen = {listen} (flag --listen): ")), "{flag}");
        assert!(flag.contains("--token-file"), "{flag}");
        let file = merged(&[], &format!("listen = \"{listen}\"\n")).check().expect_err(listen);
        assert!(file.starts_with(&format!("listen = {listen} (file a.toml): ")), "{file}");
        assert_eq!(merged(&["--token-file=t", "--listen", listen], "").check(), Ok(()), "{listen}");
    }
}

#[test]
fn every_flag_is_a_variable_and_a_key_and_tells_its_default() {
    let command = with_variables();
    let defaults = merged(&[], "").to_json();
    let mut keys = 0;
    for argument in command.get_arguments() {
        let key = argument.get_id().as_str();
        let variable = argument.get_env().expect("a variable").to_string_lossy().into_owned();
        assert_eq!(variable, format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase()));
        assert_eq!(argument.get_long().map(|flag| flag.replace('-', "_")).as_deref(), Some(key));
        if key == "config" {
            continue;
        }
        keys += 1;
        let settings = &defaults["settings"];
        let limit = &settings[format!("limits.{key}")];
        let shown = if limit.is_null() { &settings[key] } else { limit };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let default = match &shown["value"] {
            serde_json::Value::Null => "[default: ".to_owned(),
            serde_json::Value::Array(none) if none.is_empty() => "[default: none]".to_owned(),
            serde_json::Value::String(text) => format!("[default: {text}]"),
            value => format!("[default: {value}]"),
        };
        assert!(help.contains(&default), "--{key}: {help:?} does not say {default:?}");
    }
    assert_eq!(defaults["settings"].as_object().map(serde_json::Map::len), Some(keys));
}

#[test]
fn a_variable_is_named_only_if_the_flag_was_not_given() {
    let command = || Command::new("walletlab").subcommand(with_variables().name("serve"));
    let error = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
        let mut built = command();
        let error = built.try_get_matches_from_mut(&arguments).expect_err("a bad value");
        blame_environment(error, &built, &arguments).to_string()
    };
    let given = error(&["walletlab", "serve", "--streams-max=0"]);
    assert!(given.contains("--streams-max") && !given.contains("WALLETLAB"), "{given}");
    let unknown = error(&["walletlab", "serve", "--stream-max=0"]);
    assert!(unknown.contains("--streams-max") && !unknown.contains("WALLETLAB"), "{unknown}");
}
