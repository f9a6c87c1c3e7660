//! PostgreSQL with one function that is one transfer.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::{OPENING_BALANCE, Process, Server, free_port, fresh};
use crate::workspace::{on_path, output};

/// PostgreSQL refuses to run as root.
const USER: &str = "postgres";

/// What it is told. Checkpoints stay out of the runs, which is to its advantage.
const SETTINGS: [&str; 10] = [
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "wal_sync_method=fdatasync",
    "max_connections=300",
    "shared_buffers=1GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=1h",
    "jit=off",
    "listen_addresses=127.0.0.1",
];

/// Balances are changed in the order of the accounts' ids, so that two transfers never wait for each other in a circle.
/// Room in the pages lets an update stay in its page; entries have no index.
const SCHEMA: &str = "
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE transfers (id uuid PRIMARY KEY, from_account int NOT NULL, to_account int NOT NULL,
    amount bigint NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE entries (account int NOT NULL, transfer uuid NOT NULL, amount bigint NOT NULL);
CREATE FUNCTION transfer(p_id uuid, p_from int, p_to int, p_amount bigint) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO transfers (id, from_account, to_account, amount) VALUES (p_id, p_from, p_to, p_amount)
        ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        PERFORM 1 FROM transfers WHERE id = p_id AND from_account = p_from AND to_account = p_to AND amount = p_amount;
        IF NOT FOUND THEN RAISE EXCEPTION 'the id was used with another body'; END IF;
        RETURN 0;
    END IF;
    IF p_from < p_to THEN
        UPDATE accounts SET balance = balance - p_amount WHERE id = p_from AND balance >= p_amount;
        IF NOT FOUND THEN RAISE EXCEPTION 'insufficient funds'; END IF;
        UPDATE accounts SET balance = balance + p_amount WHERE id = p_to;
    ELSE
        UPDATE accounts SET balance = balance + p_amount WHERE id = p_to;
        UPDATE accounts SET balance = balance - p_amount WHERE id = p_from AND balance >= p_amount;
        IF NOT FOUND THEN RAISE EXCEPTION 'insufficient funds'; END IF;
    END IF;
    INSERT INTO entries VALUES (p_from, p_id, -p_amount), (p_to, p_id, p_amount);
    RETURN 1;
END $$;
";

/// The most connections that it is given; each is a process.
pub(crate) const CONNECTIONS_MAX: u32 = 290;

/// At once, without a last checkpoint: its data is thrown away.
const STOP: &str = "QUIT";

/// A running PostgreSQL.
pub(crate) struct Postgres {
    process: Process,
    port: u16,
    settings: Vec<String>,
}

impl Postgres {
    /// Starts it on a fresh directory, with so many accounts.
    pub(crate) fn start(data: &Path, accounts: u32) -> anyhow::Result<Postgres> {
        let programs = programs().context("PostgreSQL's programs are not found")?;
        let (directory, port) = (fresh(data, "postgres")?, free_port()?);
        let log = directory.with_extension("log");
        own(&directory)?;
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.args([
            "--username",
            USER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--pgdata",
        ]);
        output(initdb.arg(&directory).current_dir(data))?;
        let mut command = as_user(&programs.join("postgres"));
        command.arg("-D").arg(&directory).args(["-p", &port.to_string()]).current_dir(data);
        command.arg("-c").arg(format!("unix_socket_directories={}", directory.display()));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let mut process = Process::start("postgres", STOP, &mut command)?;
        process.wait_until(|| query(port, "SELECT 1").is_ok(), &log)?;
        query(port, SCHEMA)?;
        query(
            port,
            &format!(
                "INSERT INTO accounts SELECT n, {OPENING_BALANCE} FROM generate_series(0, {accounts} - 1) n"
            ),
        )?;
        query(port, "VACUUM ANALYZE")?;
        query(port, "CHECKPOINT")?;
        let version = query(port, "SHOW server_version")?;
        let settings = vec![
            format!("PostgreSQL {version}"),
            SETTINGS.join(", "),
            "one prepared SELECT transfer(..) a transfer: insert of the id, two updates in the order of the accounts, two \
             entries, in one transaction; no index on entries"
                .to_owned(),
        ];
        Ok(Postgres { process, port, settings })
    }
}

impl Server for Postgres {
    fn name(&self) -> String {
        "PostgreSQL".to_owned()
    }

    fn durability(&self) -> &'static str {
        "synced before the answer"
    }

    fn settings(&self) -> &[String] {
        &self.settings
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn load_arguments(&self) -> Vec<String> {
        ["run", "--target", "postgres"].map(str::to_owned).into()
    }
}

/// The directory of `initdb` and `postgres`: Debian's, of the newest version, or that on `PATH`.
pub(super) fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest =
        debian.map(|entry| entry.path()).filter(|path| path.join("bin/initdb").is_file()).max_by_key(version);
    newest.map(|path| path.join("bin")).or_else(|| Some(on_path("initdb")?.parent()?.to_owned()))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The program, as PostgreSQL's own user if this one is root; it becomes the process, without a shell between.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--init-groups"]).arg(program);
    command
}

fn own(directory: &Path) -> anyhow::Result<()> {
    if !is_root() {
        return Ok(());
    }
    let uid: u32 = output(Command::new("id").args(["-u", USER]))?.parse()?;
    chown(directory, Some(uid), None).with_context(|| directory.display().to_string())
}

fn query(port: u16, text: &str) -> anyhow::Result<String> {
    let mut command = Command::new("psql");
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-U",
        USER,
        "-d",
        USER,
        "-X",
        "-q",
        "-A",
        "-t",
    ]);
    command.args(["-v", "ON_ERROR_STOP=1", "-c", text]);
    output(&mut command)
}
