//! `walletlab`: the server, and the two that answer the same requests without a ledger.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::{OPENING_BALANCE, Process, Server, fresh, get};
use crate::workspace::{Workspace, output};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `walletlab serve`
    Serve,
    /// The same server, whose engine answers at once and keeps nothing.
    WithoutLedger,
    /// A bare axum handler that answers with the request's body.
    Echo,
}

/// A running one.
pub(crate) struct Wallet {
    form: Form,
    process: Process,
    address: SocketAddr,
    settings: Vec<String>,
}

impl Wallet {
    /// Starts the release binary on a fresh directory, with further arguments, and opens so many accounts.
    pub(crate) fn start(
        workspace: &Workspace,
        data: &Path,
        form: Form,
        accounts: u32,
        further: &[&str],
    ) -> anyhow::Result<Wallet> {
        let mut command = Command::new(workspace.binary());
        // What the person who measures has set for a server of their own is not for this one.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WALLETLAB_"))
        {
            command.env_remove(name);
        }
        let words: &[&str] = match form {
            Form::Serve => &["serve", "--listen", "127.0.0.1:0", "--log-level", "error"],
            Form::WithoutLedger => &["bench", "--server-without-ledger"],
            Form::Echo => &["bench", "--echo-server"],
        };
        let settings = vec![[&["walletlab"], words, further].concat().join(" ")];
        let directory = fresh(data, form.directory())?;
        command.args(words).args(further);
        match form {
            Form::Serve | Form::WithoutLedger => {
                command.arg("--data").arg(&directory);
            }
            Form::Echo => {}
        }
        let log = directory.with_extension("log");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        let mut process = Process::start("walletlab", "TERM", &mut command)?;
        let mut line = String::new();
        let out = process.child.stdout.take().context("its standard output is a pipe")?;
        BufReader::new(out).read_line(&mut line)?;
        let Some(address) = line.trim_end().strip_prefix("listening on http://") else {
            bail!(
                "walletlab does not say where it listens: {line}{}",
                std::fs::read_to_string(&log)?.trim_end()
            );
        };
        let address = address.parse().context("the address that walletlab listens on")?;
        let mut wallet = Wallet { form, process, address, settings };
        if form == Form::Serve {
            let stats = wallet.stats()?;
            let durability = stats["journal"]["durability"].as_str().unwrap_or("not told");
            ensure!(
                durability == "synced",
                "the server says that its durability is {durability}, and not synced"
            );
            wallet.settings.push("durability synced, as /stats says".to_owned());
            open(workspace, address, accounts)?;
        }
        Ok(wallet)
    }

    /// `/stats`, as it is now.
    pub(crate) fn stats(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&get(self.address, "/stats")?).context("/stats")
    }

    /// `/metrics`, as it is now.
    pub(crate) fn metrics(&self) -> anyhow::Result<String> {
        get(self.address, "/metrics")
    }

    /// Bytes in physical memory.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1_024)
    }
}

impl Form {
    fn directory(self) -> &'static str {
        match self {
            Form::Serve => "walletlab",
            Form::WithoutLedger => "without-ledger",
            Form::Echo => "echo",
        }
    }
}

impl Server for Wallet {
    fn name(&self) -> String {
        match self.form {
            Form::Serve => "walletlab".to_owned(),
            Form::WithoutLedger => "walletlab without ledger".to_owned(),
            Form::Echo => "axum echo".to_owned(),
        }
    }

    fn durability(&self) -> &'static str {
        match self.form {
            Form::Serve => "synced before the answer",
            Form::WithoutLedger | Form::Echo => "nothing is kept",
        }
    }

    fn settings(&self) -> &[String] {
        &self.settings
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn load_arguments(&self) -> Vec<String> {
        ["run", "--target", "http"].map(str::to_owned).into()
    }

    fn syncs(&self) -> anyhow::Result<Option<u64>> {
        match self.form {
            Form::Serve => Ok(self.stats()?["journal"]["syncs"].as_u64()),
            Form::WithoutLedger | Form::Echo => Ok(None),
        }
    }
}

fn open(workspace: &Workspace, address: SocketAddr, accounts: u32) -> anyhow::Result<()> {
    if accounts == 0 {
        return Ok(());
    }
    let mut command = Command::new(workspace.load());
    command.args(["open", "--address", &address.to_string(), "--accounts", &accounts.to_string()]);
    output(command.args(["--balance", &OPENING_BALANCE.to_string()])).map(drop)
}
