//! The servers of a part, each started when it is first needed, with the same accounts.

use std::cell::OnceCell;

use crate::bench::Bench;
use crate::bench::servers::{AppendSync, Form, Postgres, Redis, Wallet};

/// All of them stop with this value.
pub(super) struct Stage<'a> {
    bench: &'a Bench,
    accounts: u32,
    wallet: OnceCell<Wallet>,
    without_ledger: OnceCell<Wallet>,
    echo: OnceCell<Wallet>,
    postgres: OnceCell<Postgres>,
    redis: OnceCell<Redis>,
    redis_every_second: OnceCell<Redis>,
}

impl<'a> Stage<'a> {
    /// With so many accounts in each.
    pub(super) fn new(bench: &'a Bench, accounts: u32) -> Stage<'a> {
        Stage {
            bench,
            accounts,
            wallet: OnceCell::new(),
            without_ledger: OnceCell::new(),
            echo: OnceCell::new(),
            postgres: OnceCell::new(),
            redis: OnceCell::new(),
            redis_every_second: OnceCell::new(),
        }
    }

    pub(super) fn wallet(&self) -> anyhow::Result<&Wallet> {
        self.started(&self.wallet, "walletlab", || self.start(Form::Serve))
    }

    pub(super) fn without_ledger(&self) -> anyhow::Result<&Wallet> {
        self.started(&self.without_ledger, "walletlab without ledger", || self.start(Form::WithoutLedger))
    }

    pub(super) fn echo(&self) -> anyhow::Result<&Wallet> {
        self.started(&self.echo, "the echo", || self.start(Form::Echo))
    }

    pub(super) fn postgres(&self) -> anyhow::Result<&Postgres> {
        self.started(&self.postgres, "PostgreSQL", || Postgres::start(&self.bench.data, self.accounts))
    }

    pub(super) fn redis(&self, sync: AppendSync) -> anyhow::Result<&Redis> {
        let (cell, what) = match sync {
            AppendSync::Always => (&self.redis, "Redis"),
            AppendSync::EverySecond => (&self.redis_every_second, "Redis, everysec"),
        };
        self.started(cell, what, || Redis::start(&self.bench.data, sync, self.accounts))
    }

    fn start(&self, form: Form) -> anyhow::Result<Wallet> {
        // One more than the 10,000 of the load asks for /stats.
        let further: &[&str] = match form {
            Form::Serve => &["--connections-max", "11000"],
            Form::WithoutLedger | Form::Echo => &[],
        };
        Wallet::start(&self.bench.workspace, &self.bench.data, form, self.accounts, further)
    }

    fn started<'b, T>(
        &self,
        cell: &'b OnceCell<T>,
        what: &str,
        start: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<&'b T> {
        if let Some(started) = cell.get() {
            return Ok(started);
        }
        println!("  starting {what} with {} accounts", self.accounts);
        let started = start()?;
        Ok(cell.get_or_init(|| started))
    }
}
