//! `walletlab serve`, `config` and `health` as processes: settings and their order, what is refused and how, the line on
//! standard output, signals, both stores. And that the files in `deploy/` say only what the command line knows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command as Process, Stdio};

use serde_json::{Value, json};
use walletlab_tests::repository_root;

use super::harness::{Ended, Files, binary, commands, digests, log_of};

/// The binary without the settings of whoever runs the tests.
fn process(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
    let mut process = binary(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WALLETLAB_"))
    {
        process.env_remove(name);
    }
    process.envs(variables.iter().copied());
    process
}

fn ended(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let output = process(arguments, variables).output().expect("the binary starts");
    Ended {
        code: output.status.code().expect("it was not killed"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A server that answers. Dropped, it is killed.
struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Server {
    /// Starts it on a free port.
    fn start(data: &str, arguments: &[&str]) -> Server {
        let words = [&["serve", "--listen", "127.0.0.1:0", "--data", data], arguments].concat();
        let mut process = process(&words, &[]);
        let mut child =
            process.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let address = line.strip_prefix("listening on http://").map(|address| address.trim_end().to_owned());
        let Some(address) = address else {
            let mut stderr = String::new();
            child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
            panic!("no address: {line:?} {stderr}");
        };
        Server { child, out, address }
    }

    /// Sends a request and reads status and body.
    fn request(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        let length = body.len();
        write!(stream, "{head}{headers}content-length: {length}\r\n\r\n{body}").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// Opens an account.
    fn open(&self, account: &str, balance: i64) {
        let body = json!({"account_id": account, "opening_balance": balance}).to_string();
        let (status, answer) =
            self.request("POST", "/v1/wallet/accounts", "content-type: application/json\r\n", &body);
        assert_eq!(status, 201, "{answer}");
    }

    /// Sends SIGTERM, waits for the end, and answers it with the rest of what was printed.
    fn terminate(mut self) -> Ended {
        let id = self.child.id().to_string();
        assert!(Process::new("kill").args(["-s", "TERM", &id]).status().expect("kill starts").success());
        let mut stdout = Vec::new();
        self.out.read_to_end(&mut stdout).expect("text");
        let mut stderr = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut stderr).expect("text");
        let status = self.child.wait().expect("it ends");
        Ended { code: status.code().expect("it was not killed"), stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of one that has ended there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `walletlab config` prints about one key, without the padding.
#[track_caller]
fn shown(config: &str, key: &str) -> String {
    let line = config.lines().find(|line| line.starts_with(&format!("{key} = ")));
    let line = line.unwrap_or_else(|| panic!("no {key} in {config}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let files = Files::new();
    let toml = "listen = \"127.0.0.1:1\"\ndata = \"of-the-file\"\nhost = [\"of.the.file\"]\n\
                [limits]\nstreams_max = 1\ncommands_max = 1\nbody_bytes_max = 1\n";
    let yaml = "listen: 127.0.0.1:1\ndata: of-the-file\nhost: [of.the.file]\n\
                limits:\n  streams_max: 1\n  commands_max: 1\n  body_bytes_max: 1\n";
    for (name, text) in [("a.toml", toml), ("a.yaml", yaml), ("a.yml", yaml)] {
        let file = files.write(name, text);
        let variables = [
            ("WALLETLAB_CONFIG", file.as_str()),
            ("WALLETLAB_LISTEN", "127.0.0.1:2"),
            ("WALLETLAB_STREAMS_MAX", "2"),
            ("WALLETLAB_COMMANDS_MAX", "2"),
            ("WALLETLAB_HOST", "a.example,b.example"),
        ];
        let config =
            ended(&["config", "--listen", "127.0.0.1:3", "--streams-max=3"], &variables).exits(0).text();
        for (key, expected) in [
            ("listen", "listen = \"127.0.0.1:3\" # flag --listen".to_owned()),
            ("streams_max", "streams_max = 3 # flag --streams-max".to_owned()),
            ("commands_max", "commands_max = 2 # environment WALLETLAB_COMMANDS_MAX".to_owned()),
            ("host", "host = [\"a.example\",\"b.example\"] # environment WALLETLAB_HOST".to_owned()),
            ("data", format!("data = \"of-the-file\" # file {file}")),
            ("body_bytes_max", format!("body_bytes_max = 1 # file {file}")),
            ("connections_max", "connections_max = 10000 # default".to_owned()),
        ] {
            assert_eq!(shown(&config, key), expected, "{name}");
        }
        // The file that a flag names wins over the one that the environment names.
        let empty = files.write("empty.toml", "");
        let config = ended(&["config", "--config", &empty], &variables).exits(0).text();
        assert_eq!(shown(&config, "data"), "data = \"walletlab-data\" # default");
        // What it prints is a file that says the same.
        let printed = files.write("printed.toml", &config);
        let again = ended(&["config", "--config", &printed], &[]).exits(0).text();
        assert_eq!(shown(&again, "listen"), format!("listen = \"127.0.0.1:2\" # file {printed}"), "{again}");
    }
}

/// Flags and variables, and the words that the refusal has.
type BadSetting<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn a_bad_setting_is_refused_by_its_flag_variable_or_line() {
    let files = Files::new();
    let unknown = files.write("unknown.toml", "\n[limits]\nstream_max = 1\n");
    let bad = files.write("bad.yaml", "listen: localhost\n");
    let ending = files.write("settings.ini", "");
    let nowhere = files.text("nowhere.toml");
    let none: &[(&str, &str)] = &[];
    let cases: [BadSetting<'_>; 9] = [
        (&["--streams-max", "0"], none, &["'--streams-max <COUNT>'"]),
        (&["--listen", "localhost:80"], none, &["--listen", "127.0.0.1:8080"]),
        (&[], &[("WALLETLAB_LISTEN", "here")], &["--listen", "environment variable WALLETLAB_LISTEN"]),
        (&[], &[("WALLETLAB_LOG_LEVEL", "loud")], &["environment variable WALLETLAB_LOG_LEVEL", "debug"]),
        (&["--config", &unknown], none, &["unknown.toml: line 3, `stream_max = 1`", "`streams_max`"]),
        (&["--config", &bad], none, &["bad.yaml: line 1, `listen: localhost`", "127.0.0.1:8080"]),
        (&[], &[("WALLETLAB_CONFIG", &ending)], &["settings.ini", ".toml, .yaml or .yml"]),
        (&["--config", &nowhere], none, &["nowhere.toml: cannot read it"]),
        (&["--listen", "0.0.0.0:0"], none, &["listen = 0.0.0.0:0 (flag --listen)", "--token-file"]),
    ];
    for (flags, variables, parts) in cases {
        for subcommand in ["config", "serve"] {
            let mut words = vec![subcommand];
            // A server that starts by mistake starts nowhere else.
            let data = files.text("data");
            words.extend(["--data", &data]);
            words.extend(flags);
            let refused = ended(&words, variables).exits(2).stderr;
            assert!(parts.iter().all(|part| refused.contains(part)), "{words:?} {variables:?}: {refused}");
        }
    }
    assert!(!files.path("data").exists());
}

#[test]
fn a_token_file_is_shown_as_its_path_and_read_with_care() {
    let files = Files::new();
    let token = "0123456789abcdef-of-the-test";
    let tokens = files.write("tokens", format!("# mine\nread {token}\n"));
    let config = ended(&["config", "--token-file", &tokens, "--listen=0.0.0.0:0"], &[]).exits(0).text();
    assert_eq!(shown(&config, "token_file"), format!("token_file = \"{tokens}\" # flag --token-file"));
    assert!(!config.contains(token));

    set_mode(&tokens, 0o644);
    let server = Server::start(&files.text("data"), &["--token-file", &tokens]);
    assert_eq!(server.request("GET", "/stats", "", "").0, 401);
    let bearer = format!("authorization: Bearer {token}\r\n");
    assert_eq!(server.request("GET", "/stats", &bearer, "").0, 200);
    let stderr = server.terminate().exits(0).stderr;
    assert!(stderr.contains(&tokens) && stderr.contains("chmod o="), "{stderr}");
    assert!(!stderr.contains(token), "{stderr}");

    set_mode(&tokens, 0o600);
    let server = Server::start(&files.text("data"), &["--token-file", &tokens]);
    let stderr = server.terminate().exits(0).stderr;
    assert!(!stderr.contains("chmod"), "{stderr}");

    let short = files.write("short", "admin secret\n");
    let refused =
        ended(&["serve", "--data", &files.text("data"), "--token-file", &short], &[]).exits(2).stderr;
    assert!(refused.contains(&format!("{short}: line 1: ")) && !refused.contains("secret"), "{refused}");
    let nowhere = files.text("nowhere");
    let refused = ended(&["serve", "--data", &files.text("data"), "--token-file", &nowhere], &[]).exits(2);
    assert!(refused.stderr.starts_with(&format!("{nowhere}: cannot read it")), "{}", refused.stderr);
}

#[cfg(unix)]
fn set_mode(path: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

#[test]
fn one_line_says_where_it_listens_and_a_signal_stops_it() {
    let files = Files::new();
    let data = files.text("data");
    let server = Server::start(&data, &["--log-output", "json", "--log-level", "debug"]);
    assert!(!server.address.ends_with(":0"), "{}", server.address);
    server.open("alice", 100);
    let health = ended(&["health", "--listen", &server.address], &[]).exits(0);
    assert_eq!(health.json()["status"], "ready");
    let listens = [("WALLETLAB_LISTEN", server.address.as_str())];
    ended(&["health"], &listens).exits(0);
    let address = server.address.clone();
    let stopped = server.terminate().exits(0);
    assert_eq!(stopped.text(), "", "one line on standard output, and no more");
    for line in stopped.stderr.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
        assert!(!line.to_string().contains("alice"), "no accounts in the log: {line}");
    }
    let health = ended(&["health", "--listen", &address], &[]).exits(1);
    assert!(health.stderr.starts_with(&format!("{address}: ")), "{}", health.stderr);

    let report = ended(&["verify", &data, "--json"], &[]).exits(0).json();
    let mark = report["durable_before"].as_u64();
    assert_eq!(mark, report["records"].as_u64(), "it was closed in order: {report}");
    let server = Server::start(&data, &[]);
    let (status, account) = server.request("GET", "/v1/wallet/balance/alice", "", "");
    assert_eq!((status, account.contains("\"balance\":100")), (200, true), "{account}");
}

#[test]
fn a_directory_or_an_address_in_use_is_refused() {
    let files = Files::new();
    let (data, other) = (files.text("data"), files.text("other"));
    let server = Server::start(&data, &[]);
    let second = ended(&["serve", "--listen", "127.0.0.1:0", "--data", &data], &[]).exits(2);
    assert!(second.stderr.contains(&format!("{data}: another process is writing")), "{}", second.stderr);
    assert_eq!(second.text(), "");
    let taken = ended(&["serve", "--listen", &server.address, "--data", &other], &[]).exits(2);
    assert!(taken.stderr.contains(&server.address) && taken.stderr.contains("--listen"), "{}", taken.stderr);
    server.open("alice", 1);
    server.terminate().exits(0);
    let other_form = ended(&["serve", "--data", &data, "--log-format", "jsonl"], &[]).exits(2).stderr;
    assert!(other_form.contains("--log-format binary"), "{other_form}");
    Server::start(&data, &[]).terminate().exits(0);
}

#[test]
fn a_damaged_log_is_a_finding() {
    let files = Files::new();
    let data = files.text("data");
    let server = Server::start(&data, &[]);
    server.open("alice", 1);
    server.open("bob", 1);
    server.terminate().exits(0);
    let path = files.log("data");
    let mut bytes = fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");
    let refused = ended(&["serve", "--listen", "127.0.0.1:0", "--data", &data], &[]).exits(1);
    assert!(refused.stderr.contains(&format!("{}: byte ", path.display())), "{}", refused.stderr);
    assert_eq!(refused.text(), "");
}

#[test]
fn a_store_in_json_lines_is_one_file_that_every_reader_takes() {
    let files = Files::new();
    let data = files.text("data");
    let server = Server::start(&data, &["--log-format", "jsonl"]);
    server.open("alice", 100);
    server.open("bob", 0);
    server.terminate().exits(0);
    assert!(files.path("data").join("events.log").is_file());
    assert!(!files.log("data").exists(), "no segment beside it");
    let text = fs::read_to_string(files.path("data").join("events.log")).expect("text");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");

    // A log is not kept in two forms.
    let refused = ended(&["serve", "--listen", "127.0.0.1:0", "--data", &data], &[]).exits(2).stderr;
    assert!(refused.starts_with(&format!("{data}: ")) && refused.contains("--log-format jsonl"), "{refused}");
    let server = Server::start(&data, &["--log-format=jsonl"]);
    let (status, accounts) = server.request("GET", "/v1/wallet/accounts", "", "");
    assert!(status == 200 && accounts.contains("\"alice\"") && accounts.contains("\"bob\""), "{accounts}");
    server.open("carol", 1);
    server.terminate().exits(0);
    assert!(!files.log("data").exists(), "no segment beside it");

    let verified = ended(&["verify", &data, "--json"], &[]).exits(0).json();
    assert_eq!((&verified["form"], &verified["records"]), (&json!("jsonl"), &json!(3)));
    let replayed = ended(&["replay", &data, "--json"], &[]).exits(0).json();
    let exported = ended(&["export", &data, "--format", "binary"], &[]).exits(0);
    let copy = files.write("copy.wlog", &exported.stdout);
    assert_eq!(ended(&["replay", &copy, "--json"], &[]).exits(0).json(), replayed);
    let lines = ended(&["export", &copy, "--format", "jsonl"], &[]).exits(0);
    assert_eq!(lines.text(), fs::read_to_string(files.path("data").join("events.log")).expect("text"));

    // Which of two stores is the log, nobody can know.
    fs::write(files.log("data"), &exported.stdout).expect("written");
    let refused = ended(&["replay", &data], &[]).exits(2);
    assert!(refused.stderr.contains("events.log") && refused.stderr.contains(".wlog"), "{}", refused.stderr);
}

#[test]
fn a_text_that_an_interrupted_append_ends_is_read_up_to_there() {
    let files = Files::new();
    let log = log_of(&commands(3, 12), 4);
    let digests = digests(&log);
    let binary = files.write("log.wlog", &log);
    let text = ended(&["export", &binary, "--format", "jsonl"], &[]).exits(0).text();
    fs::create_dir(files.path("data")).expect("made");
    let (data, store) = (files.text("data"), files.path("data").join("events.log"));
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    let last = ends.len() - 9;
    for at in ends[last..].iter().flat_map(|end| [end - 40, end - 1, *end]) {
        fs::write(&store, &text[..at]).expect("written");
        let replayed = ended(&["replay", &data, "--json"], &[]).exits(0);
        let sequence = replayed.json()["sequence"].as_u64().and_then(|at| usize::try_from(at).ok());
        let digest = digests[sequence.expect("a number")].to_string();
        assert_eq!(replayed.json()["digest"], digest, "cut at {at}");
        let is_torn = replayed.stderr.contains(&format!("left out: {}: line ", store.display()));
        let verified = ended(&["verify", &data, "--json"], &[]);
        let findings = verified.json()["findings"].as_array().cloned().expect("findings");
        assert_eq!(findings.iter().any(|finding| finding["kind"] == "torn_tail"), is_torn, "cut at {at}");
        assert_eq!(verified.code, i32::from(!findings.is_empty()), "cut at {at}");
        let exported = ended(&["export", &data, "--format", "binary"], &[]).exits(i32::from(is_torn));
        assert!(log.starts_with(&exported.stdout), "cut at {at}");
        let copy = files.text("copy");
        let imported = ended(&["import", store.to_str().expect("UTF-8"), "--data", &copy], &[]);
        assert_eq!(imported.code, i32::from(is_torn), "cut at {at}: {}", imported.stderr);
        let _ = fs::remove_dir_all(copy);
    }
    // A seal behind the bad line says that it was durable: that is damage, as is an edited line.
    let broken = [&text[..ends[1] - 9], &text[ends[1]..]].concat();
    let edited = text.replacen("1000", "9000", 1);
    for bad in [broken, edited] {
        fs::write(&store, &bad).expect("written");
        let refused = ended(&["replay", &data], &[]).exits(1);
        assert!(refused.stderr.starts_with(&format!("{}: line ", store.display())), "{}", refused.stderr);
        let verified = ended(&["verify", &data, "--json"], &[]).exits(1).json();
        assert_eq!(verified["findings"][0]["kind"], "damage");
    }
    let refused = ended(&["import", &binary, "--data", &data], &[]).exits(2);
    assert!(refused.stderr.contains("has a log already"), "{}", refused.stderr);
}

#[test]
fn a_page_that_is_not_there_is_refused_and_none_at_all_is_told() {
    let files = Files::new();
    let nowhere = files.text("nowhere");
    let data = files.text("data");
    let refused =
        ended(&["serve", "--listen=127.0.0.1:0", "--data", &data, "--page", &nowhere], &[]).exits(2);
    assert!(
        refused.stderr.contains(&nowhere) && refused.stderr.contains("cargo xtask build"),
        "{}",
        refused.stderr
    );
    let server = Server::start(&data, &[]);
    let has_page = server.request("GET", "/index.html", "", "").0 == 200;
    assert_eq!(server.request("GET", "/health/live", "", "").0, 200);
    let stderr = server.terminate().exits(0).stderr;
    assert_eq!(stderr.contains("cargo xtask build"), !has_page, "{stderr}");
}

/// The text of a file in `deploy/`.
fn deployed(name: &str) -> String {
    let path = repository_root().join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_example_of_settings_names_every_setting_with_its_default() {
    let path = repository_root().join("deploy/walletlab.example.toml");
    let path = path.to_str().expect("UTF-8");
    let example = ended(&["config", "--json", "--config", path], &[]).exits(0).json();
    let defaults = ended(&["config", "--json"], &[]).exits(0).json();
    let text = deployed("walletlab.example.toml");
    let settings = defaults["settings"].as_object().expect("settings");
    for (key, default) in settings {
        let setting = &example["settings"][key];
        assert_eq!(setting["value"], default["value"], "{key}");
        let name = key.rsplit('.').next().unwrap_or(key);
        let stands = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
        assert!(text.lines().any(stands), "the example does not name {key}");
        assert_eq!(setting["origin"] == "file", !default["value"].is_null(), "{key}");
    }
}

#[test]
fn what_deploy_mentions_the_command_line_knows() {
    let help = |subcommand: &str| ended(&[subcommand, "--help"], &[]).exits(0).text();
    let known: String = ["serve", "config", "health", "verify"].map(help).concat();
    let known = words(&known);
    let mut seen = 0;
    for name in ["walletlab.service", "Dockerfile", "compose.yaml", "walletlab.example.toml", "README.md"] {
        let text = deployed(name);
        let ours = text.lines().filter(|line| {
            // The flags of other programs are not ours to know.
            let other =
                ["docker ", "systemctl ", "systemd-analyze ", "HEALTHCHECK", "COPY ", "RUN ", "--mount"];
            !other.iter().any(|other| line.contains(other))
        });
        for line in ours {
            for word in words(line) {
                let is_ours = word.starts_with("--") || word.starts_with("WALLETLAB_");
                if is_ours && !word.trim_matches('-').is_empty() {
                    assert!(known.contains(&word), "{name}: {word}, in {line:?}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 12, "only {seen} flags and variables were found");
    let health = deployed("Dockerfile").lines().any(|line| line.contains("\"health\", \"--timeout-ms\""));
    assert!(health && known.contains("--timeout-ms"));
}

#[test]
fn the_unit_and_the_containers_wait_longer_than_the_server_takes_to_stop() {
    let defaults = ended(&["config", "--json"], &[]).exits(0).json();
    let stop = defaults["settings"]["limits.stop_timeout_ms"]["value"].as_u64().expect("a number");
    let connections = defaults["settings"]["limits.connections_max"]["value"].as_u64().expect("a number");
    let number = |file: &str, before: &str| {
        let text = deployed(file);
        let line = text.lines().find_map(|line| line.trim().strip_prefix(before).map(str::to_owned));
        let digits: String = line.expect(before).chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().expect("a number")
    };
    assert!(number("walletlab.service", "TimeoutStopSec=") * 1_000 >= stop * 2);
    assert!(number("compose.yaml", "stop_grace_period: ") * 1_000 >= stop * 2);
    assert!(number("walletlab.service", "LimitNOFILE=") > connections);
    assert!(number("compose.yaml", "soft: ") > connections);
}

/// The flags, variables and other words of a text.
fn words(text: &str) -> BTreeSet<String> {
    let is_word = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    text.split(|char: char| !is_word(char)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
