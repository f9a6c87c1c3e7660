//! One connection: requests out, answers in, in their order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::shared::Shared;
use crate::speak::{Heard, Speak};

/// Room for answers before it has to grow.
const INPUT_BYTES: usize = 4_096;
/// How long the answers to what is in flight may take.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    speaker: Box<dyn Speak>,
    depth: usize,
    input: BytesMut,
    out: BytesMut,
    /// When each request in flight was due, and its operations.
    in_flight: VecDeque<(Instant, u64)>,
}

impl Connection {
    /// Opens and greets it. So many requests will be in flight on it.
    pub(super) async fn open(
        address: SocketAddr,
        speaker: Box<dyn Speak>,
        depth: usize,
    ) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        let mut connection = Connection {
            address,
            stream,
            speaker,
            depth: depth.max(1),
            input: BytesMut::with_capacity(INPUT_BYTES),
            out: BytesMut::with_capacity(INPUT_BYTES),
            in_flight: VecDeque::new(),
        };
        connection.greet().await?;
        Ok(connection)
    }

    /// Sends and receives until nothing more is due, and what is in flight is answered.
    pub(super) async fn talk(mut self, shared: Rc<Shared>) -> anyhow::Result<()> {
        loop {
            while self.in_flight.len() < self.depth {
                let Some(due) = shared.due().await else { break };
                let Some(operations) = shared.ask(&mut *self.speaker, &mut self.out) else { break };
                self.in_flight.push_back((due, operations));
            }
            if self.in_flight.is_empty() {
                return Ok(());
            }
            let exchanged = tokio::time::timeout(ANSWER_PATIENCE, self.exchange(&shared)).await;
            if let Err(error) = exchanged.context("no answer").and_then(|done| done) {
                shared.count_broken(self.in_flight.len(), format!("{error:#}"));
                self.reopen().await?;
            }
        }
    }

    /// Sends what is ready, and takes every answer that is there, at least one.
    async fn exchange(&mut self, shared: &Shared) -> anyhow::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        loop {
            let mut any = false;
            while let Some(heard) = self.speaker.hear(&mut self.input).map_err(|error| anyhow!(error))? {
                let (due, operations) =
                    self.in_flight.pop_front().context("an answer that nobody asked for")?;
                shared.count(heard, due, operations);
                any = true;
            }
            if any {
                return Ok(());
            }
            self.read().await?;
        }
    }

    async fn greet(&mut self) -> anyhow::Result<()> {
        self.stream.set_nodelay(true)?;
        for greeting in self.speaker.greetings() {
            self.stream.write_all(&greeting).await?;
            let heard = loop {
                if let Some(heard) = self.speaker.hear(&mut self.input).map_err(|error| anyhow!(error))? {
                    break heard;
                }
                self.read().await?;
            };
            if let Heard::Refused(why) = heard {
                bail!("it was not welcome: {why}");
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.input).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }

    /// A new one in its place; what was in flight is forgotten.
    async fn reopen(&mut self) -> anyhow::Result<()> {
        self.input.clear();
        self.out.clear();
        self.in_flight.clear();
        let address = self.address;
        let failed = || format!("opening a broken connection to {address} again");
        self.stream = TcpStream::connect(self.address).await.with_context(failed)?;
        self.greet().await.with_context(failed)
    }
}
