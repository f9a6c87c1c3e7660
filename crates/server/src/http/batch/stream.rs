//! A batch as a stream: items come in line by line, and answers go out line by line while more come in.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::super::App;
use super::super::fields::Query;
use super::super::item::read_item;
use super::super::problem::Problem;
use super::{Batch, Collector, Items, json, late_body};
use crate::engine::Told;

/// Items handed over at once at most, but for the rest of a group.
const PART_ITEMS: usize = 1_024;
/// Parts that wait for their answers at most; what bounds them as a rule is `batch_items_max`.
const PARTS_MAX: usize = 1_024;
/// Pieces of the answer that wait for the client.
const PIECES_MAX: usize = 4;

/// Answers with a stream, which goes on as long as the body does.
pub(super) fn answer(app: App, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let query = Query::parse(head.uri.query());
    if let Err(problem) = query.and_then(|query| query.finish("this request has no parameters")) {
        return problem.into_response();
    }
    let Ok(permit) = Arc::clone(&app.batch_streams).try_acquire_owned() else {
        app.metrics.streams_refused.inc();
        let max = app.limits.batch_streams_max;
        let detail = format!("{max} streams of transfers are open, which is the limit; nothing was accepted");
        return Problem::new("too_many_streams", detail).retry_after_micros(1_000_000).into_response();
    };
    let (pieces, answer) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let _permit = permit;
        run(&app, body, pieces).await;
    });
    let kind = [(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"))];
    (kind, Body::from_stream(ReceiverStream::new(answer))).into_response()
}

/// What goes out next.
enum Part {
    Answers {
        items: Items,
        told: oneshot::Receiver<Vec<Told>>,
        held: OwnedSemaphorePermit,
    },
    /// The last line.
    Problem {
        line: usize,
        problem: Problem,
    },
}

/// Reads and answers at once, until one of them has come to its end.
async fn run(app: &App, body: Body, pieces: mpsc::Sender<Result<Bytes, Infallible>>) {
    let (parts, answers) = mpsc::channel(PARTS_MAX);
    let read = Lines::new(app, parts).read(body);
    let write = write(app, answers, pieces);
    tokio::pin!(read, write);
    tokio::select! {
        // The client takes nothing any more.
        () = &mut write => return,
        () = &mut read => {}
    }
    write.await;
}

/// The reading half.
struct Lines<'a> {
    app: &'a App,
    parts: mpsc::Sender<Part>,
    /// One permit for each item that may be unanswered.
    room: Arc<Semaphore>,
    /// The part that is gathered.
    collector: Collector,
    /// The beginning of a line whose end has not come yet.
    rest: Vec<u8>,
    /// How many lines came to their end.
    lines: usize,
}

/// Nothing more is read.
enum Stop {
    /// Because of the last line.
    Problem(Problem),
    /// The writing half is gone.
    Gone,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Stop {
        Stop::Problem(problem)
    }
}

impl<'a> Lines<'a> {
    fn new(app: &'a App, parts: mpsc::Sender<Part>) -> Lines<'a> {
        let items_max = app.limits.batch_items_max as usize;
        let room = Arc::new(Semaphore::new(items_max));
        let collector = Collector::new(items_max);
        Lines { app, parts, room, collector, rest: Vec::new(), lines: 0 }
    }

    async fn read(mut self, mut body: Body) {
        let mut stopping = self.app.stopping.clone();
        let idle = Duration::from_millis(self.app.limits.body_timeout_ms);
        let ended = loop {
            let frame = tokio::select! {
                frame = tokio::time::timeout(idle, body.frame()) => frame,
                _ = async { drop(stopping.wait_for(|stopping| *stopping).await) } => {
                    break Err(Problem::new("not_ready", "the server is stopping").into());
                }
            };
            let taken = match frame {
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.take(&data).await,
                    Err(_) => Ok(()),
                },
                Ok(Some(Err(_))) => break Err(Stop::Gone),
                Ok(None) => break self.end().await,
                Err(_) => {
                    self.app.metrics.slow_bodies.inc();
                    Err(late_body(self.app.limits.body_timeout_ms).into())
                }
            };
            if let Err(stop) = taken {
                break Err(stop);
            }
        };
        if let Err(Stop::Problem(problem)) = ended {
            // What is whole before the fault is accepted; a group whose end did not come is not.
            let line = self.lines + 1;
            if self.hand_over().await.is_ok() {
                let _ = self.parts.send(Part::Problem { line, problem }).await;
            }
        }
    }

    /// Takes the lines that end in these bytes, and hands over what is whole.
    async fn take(&mut self, mut data: &[u8]) -> Result<(), Stop> {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = (&data[..end], &data[end + 1..]);
            if self.rest.is_empty() {
                self.line(line).await?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.line(&whole).await?;
            }
            data = behind;
        }
        self.rest.extend_from_slice(data);
        self.check_length(self.rest.len())?;
        self.hand_over().await
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), Stop> {
        self.check_length(line.len())?;
        let (command, link) = read_item(line)?;
        self.collector.push(command, link)?;
        self.lines += 1;
        if self.collector.len() >= PART_ITEMS.min(self.app.limits.batch_items_max as usize) {
            self.hand_over().await?;
        }
        Ok(())
    }

    fn check_length(&self, bytes: usize) -> Result<(), Problem> {
        let bytes_max = self.app.limits.body_bytes_max;
        if bytes <= bytes_max as usize {
            return Ok(());
        }
        self.app.metrics.bodies_too_large.inc();
        Err(Problem::new("body_too_large", format!("a line may have {bytes_max} bytes at most")))
    }

    /// The end of the body; its last line may lack a line break.
    async fn end(&mut self) -> Result<(), Stop> {
        let last = std::mem::take(&mut self.rest);
        if !last.is_empty() {
            self.line(&last).await?;
        }
        if self.collector.open_items() > 0 {
            self.lines -= 1;
            let detail = "this line is linked to a next one, and there is none; the last line of a group has no `linked`";
            return Err(Problem::new("invalid_field", detail).field("linked").into());
        }
        self.hand_over().await
    }

    /// Hands over what is gathered, but for an open group, as soon as there is room for it.
    async fn hand_over(&mut self) -> Result<(), Stop> {
        let Batch { commands, items } = self.collector.take();
        if commands.is_empty() {
            return Ok(());
        }
        let count = u32::try_from(items.len()).expect("a part has at most batch_items_max items, a u32");
        let held = Arc::clone(&self.room).acquire_many_owned(count).await.map_err(|_| Stop::Gone)?;
        self.app.metrics.batch_items.inc_by(count.into());
        let told = self.app.engine.submit_batch(commands);
        self.parts.send(Part::Answers { items, told, held }).await.map_err(|_| Stop::Gone)
    }
}

/// The writing half: answers in the order of the lines.
async fn write(app: &App, mut parts: mpsc::Receiver<Part>, pieces: mpsc::Sender<Result<Bytes, Infallible>>) {
    let longest = Duration::from_millis(app.limits.answer_timeout_ms);
    let stall = Duration::from_millis(app.limits.write_timeout_ms);
    while let Some(part) = parts.recv().await {
        let mut out = String::new();
        let held = match part {
            Part::Answers { items, told, held } => {
                let told = match tokio::time::timeout(longest, told).await {
                    Ok(Ok(told)) => told,
                    late => {
                        if late.is_err() {
                            app.metrics.answers_late.inc_by(items.len() as u64);
                        }
                        vec![Told::Unknown; items.commands()]
                    }
                };
                items.zip(&told, |id, told| {
                    json::write_item(id, told, &mut out);
                    out.push('\n');
                });
                Some(held)
            }
            Part::Problem { line, problem } => {
                let problem = problem.at("line", line);
                out = format!("{{\"line\":{line},\"problem\":{}}}\n", problem.to_json());
                None
            }
        };
        let sent = tokio::time::timeout(stall, pieces.send(Ok(Bytes::from(out)))).await;
        drop(held);
        // A client that is gone or too slow finds its outcomes under its ids.
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}
