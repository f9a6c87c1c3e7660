//! What a server is asked, in its own words, and what it answers.

mod batch;
mod http;
mod postgres;
mod redis;

use bytes::BytesMut;
use clap::ValueEnum;

pub(crate) use self::http::opening;
use crate::workload::Transfer;

/// A server, by the words it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// `POST /v1/wallet/transfer`, JSON, one transfer a request
    Http,
    /// `POST /v1/wallet/transfers`, a JSON array of transfers a request
    HttpBatch,
    /// `POST /v1/wallet/transfers`, the compact form, many transfers a request
    HttpBinary,
    /// `SELECT transfer(..)`, prepared, one transfer a statement
    Postgres,
    /// `EVALSHA`, one transfer a call
    Redis,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// All of it succeeded.
    Done,
    /// Some of it did not; what the server said, cut to a line.
    Refused(String),
}

/// One connection's words. Answers come in the order of the requests.
pub(crate) trait Speak {
    /// Sent one after the other, each when the one before is answered, before anything else.
    fn greetings(&self) -> Vec<BytesMut>;

    /// Appends a request for these transfers to `out`.
    fn ask(&mut self, transfers: &[Transfer], out: &mut BytesMut);

    /// Takes the next whole answer off `input`, if there is one.
    ///
    /// # Errors
    /// What came is no answer, so nothing after it can be understood.
    fn hear(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, String>;
}

/// The words for a connection to `target`. `script` is the hash by which Redis knows its script.
pub(crate) fn speaker(target: Target, script: Option<&str>) -> Result<Box<dyn Speak>, String> {
    Ok(match target {
        Target::Http => Box::new(http::Single::default()),
        Target::HttpBatch => Box::new(batch::Json::default()),
        Target::HttpBinary => Box::new(batch::Binary::default()),
        Target::Postgres => Box::new(postgres::Prepared),
        Target::Redis => {
            let script = script.ok_or("Redis needs --script, the hash of its loaded script")?;
            Box::new(redis::Script::new(script))
        }
    })
}

/// The first line of what a server said, for people.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    text.lines().next().unwrap_or_default().to_owned()
}
