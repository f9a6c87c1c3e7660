//! `POST /v1/wallet/transfers`: many commands in one request, with an answer to each, in their order.
//!
//! | form | |
//! |---|---|
//! | `application/json` | an array in, an array out ([`json`]) |
//! | `application/jsonl` | a stream of lines in both directions at once ([`stream`]) |
//! | `application/vnd.walletlab.transfers` | bytes, with answers of one width ([`binary`]) |
//!
//! Items with `linked` are tied to the next one; each run of such items is one command, a group that happens as a whole or
//! not at all.

pub(super) mod binary;
pub(super) mod json;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use ledger::{Command, LINKED_MAX, LinkedError, LinkedTransfers, TransactionId, TransactionResult};
use pipeline::{Outcome, Replayed};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::fields::Query;
use super::item::Link;
use super::problem::Problem;
use super::wallet::{is_type, problem_of};
use crate::engine::Told;

/// The compact form.
pub(super) const BINARY_TYPE: &str = "application/vnd.walletlab.transfers";
/// What memory for bodies is counted in.
const KIB: usize = 1_024;

/// `POST /v1/wallet/transfers`.
pub(super) async fn transfers(State(app): State<App>, request: Request<Body>) -> Response {
    match Form::of(request.headers().get(CONTENT_TYPE)) {
        Ok(Form::Stream) => stream::answer(app, request),
        Ok(Form::Json) => app.whole(request, json::read, json::write, "application/json").await,
        Ok(Form::Binary) => app.whole(request, binary::read, binary::write, BINARY_TYPE).await,
        Err(problem) => problem.into_response(),
    }
}

/// How a batch is written.
enum Form {
    Json,
    Stream,
    Binary,
}

impl Form {
    fn of(kind: Option<&HeaderValue>) -> Result<Form, Problem> {
        if is_type(kind, "application/json") {
            Ok(Form::Json)
        } else if is_type(kind, "application/jsonl") || is_type(kind, "application/x-ndjson") {
            Ok(Form::Stream)
        } else if is_type(kind, BINARY_TYPE) {
            Ok(Form::Binary)
        } else {
            let detail = format!(
                "send the batch as `Content-Type: application/json`, `application/jsonl` or `{BINARY_TYPE}`"
            );
            Err(Problem::new("unsupported_media_type", detail))
        }
    }
}

impl App {
    /// Answers a batch that is read to its end before anything of it is accepted.
    async fn whole(
        &self,
        request: Request<Body>,
        read: fn(&[u8], usize) -> Result<Batch, Problem>,
        write: fn(&Items, &[Told]) -> Vec<u8>,
        kind: &'static str,
    ) -> Response {
        let items_max = self.limits.batch_items_max as usize;
        let body = match self.batch_body(request).await {
            Ok(body) => body,
            Err(problem) => return problem.into_response(),
        };
        let Batch { commands, items } = match read(&body.bytes, items_max) {
            Ok(batch) => batch,
            Err(problem) => return problem.into_response(),
        };
        self.metrics.batch_items.inc_by(items.len() as u64);
        let told = self.submit_batch(commands).await;
        if let [Told::NotWriting { why }, ..] = told.as_slice()
            && told.iter().all(|told| matches!(told, Told::NotWriting { .. }))
        {
            return not_writing(why).into_response();
        }
        ([(CONTENT_TYPE, HeaderValue::from_static(kind))], write(&items, &told)).into_response()
    }

    /// Hands commands over and waits for what comes of all of them, but not for ever.
    async fn submit_batch(&self, commands: Vec<Command>) -> Vec<Told> {
        let count = commands.len();
        let told = self.engine.submit_batch(commands);
        let longest = Duration::from_millis(self.limits.answer_timeout_ms);
        match tokio::time::timeout(longest, told).await {
            Ok(Ok(told)) => told,
            // The engine is gone with them, or is too slow for this client: nobody knows here what became of them.
            Ok(Err(_)) => vec![Told::Unknown; count],
            Err(_) => {
                self.metrics.answers_late.inc_by(count as u64);
                vec![Told::Unknown; count]
            }
        }
    }

    /// Reads a body within its own limits, and within the memory that all such bodies have together.
    async fn batch_body(&self, request: Request<Body>) -> Result<Held, Problem> {
        let (head, mut body) = request.into_parts();
        Query::parse(head.uri.query())?.finish("this request has no parameters")?;
        let bytes_max = self.limits.batch_bytes_max as usize;
        let announced = announced(&head.headers).unwrap_or(0);
        if announced > bytes_max as u64 {
            return Err(self.batch_too_large());
        }
        let mut held = Held { bytes: Vec::new(), memory: None };
        let longest = Duration::from_millis(self.limits.body_timeout_ms);
        let whole = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    Problem::new("malformed_json", format!("the body did not arrive whole: {error}"))
                })?;
                let Ok(data) = frame.into_data() else { continue };
                if held.bytes.len() + data.len() > bytes_max {
                    return Err(self.batch_too_large());
                }
                held.add(&data, &self.batch_memory)?;
            }
            Ok(())
        };
        match tokio::time::timeout(longest, whole).await {
            Ok(Ok(())) => Ok(held),
            Ok(Err(problem)) => Err(problem),
            Err(_) => {
                self.metrics.slow_bodies.inc();
                Err(late_body(self.limits.body_timeout_ms))
            }
        }
    }

    fn batch_too_large(&self) -> Problem {
        self.metrics.bodies_too_large.inc();
        let bytes_max = self.limits.batch_bytes_max;
        Problem::new("body_too_large", format!("the body of a batch may have {bytes_max} bytes at most"))
    }
}

/// A body, and its part of the memory for bodies.
struct Held {
    bytes: Vec<u8>,
    memory: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn add(&mut self, data: &Bytes, memory: &Arc<Semaphore>) -> Result<(), Problem> {
        let needed = (self.bytes.len() + data.len()).div_ceil(KIB);
        let more = needed - self.memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(more).expect("a body is at most batch_bytes_max, a u32");
        let permit = Arc::clone(memory).try_acquire_many_owned(more).map_err(|_| {
            let detail = "other batches fill the memory for them; nothing was accepted: send it again";
            Problem::new("busy", detail).retry_after_micros(50_000)
        })?;
        match &mut self.memory {
            None => self.memory = Some(permit),
            Some(held) => held.merge(permit),
        }
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

pub(super) fn late_body(limit: u64) -> Problem {
    Problem::new("request_timeout", format!("the body took longer than {limit} ms to arrive"))
}

/// Nothing of it was accepted.
pub(super) fn not_writing(why: &str) -> Problem {
    let detail = format!("nothing was accepted and no id is used up: {why}");
    Problem::new("not_ready", detail).retry_after_micros(1_000_000)
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A batch that is read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In order; a group is one of them.
    pub(super) commands: Vec<Command>,
    pub(super) items: Items,
}

/// What was sent, for the answers.
#[derive(Debug, Default)]
pub(super) struct Items {
    ids: Vec<TransactionId>,
    /// Those commands that are groups, and how many items each of them has.
    groups: Vec<(usize, usize)>,
}

/// What came of one item.
#[derive(Clone, Copy, Debug)]
pub(super) enum ItemTold<'a> {
    Done(Outcome, Replayed),
    /// As [`Told`] says it, of the item or of its group.
    Not(&'a Told),
}

impl Items {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// How many commands they are.
    pub(super) fn commands(&self) -> usize {
        self.len() - self.groups.iter().map(|(_, count)| count - 1).sum::<usize>()
    }

    /// Calls `each` with every item, in order, and what came of it.
    pub(super) fn zip(&self, told: &[Told], mut each: impl FnMut(TransactionId, ItemTold)) {
        let mut ids = self.ids.iter().copied();
        let mut groups = self.groups.iter().peekable();
        for (command, told) in told.iter().enumerate() {
            let count = groups.next_if(|(group, _)| *group == command).map_or(1, |(_, count)| *count);
            for (member, id) in ids.by_ref().take(count).enumerate() {
                each(
                    id,
                    match told {
                        Told::Done { outcome, replayed } => ItemTold::Done(*outcome, *replayed),
                        Told::Linked { outcomes, replayed } => ItemTold::Done(outcomes[member], *replayed),
                        Told::Conflict
                        | Told::Busy { .. }
                        | Told::DeadLettered
                        | Told::Unknown
                        | Told::StorageFull { .. }
                        | Told::NotWriting { .. } => ItemTold::Not(told),
                    },
                );
            }
        }
    }
}

/// Puts items together to commands.
pub(super) struct Collector {
    batch: Batch,
    /// Members of the group that goes on with the next item.
    open: Vec<Command>,
    items_max: usize,
}

impl Collector {
    pub(super) fn new(items_max: usize) -> Collector {
        Collector { batch: Batch::default(), open: Vec::new(), items_max }
    }

    /// Adds an item.
    pub(super) fn push(&mut self, command: Command, link: Link) -> Result<(), Problem> {
        let Collector { batch: Batch { commands, items }, open, items_max } = self;
        if items.ids.len() >= *items_max {
            return Err(Problem::new("batch_too_large", format!("a batch has {items_max} items at most")));
        }
        items.ids.push(command.transaction_id());
        match link {
            Link::No if open.is_empty() => commands.push(command),
            Link::No => {
                open.push(command);
                let members = std::mem::take(open);
                let count = members.len();
                let transfers = LinkedTransfers::new(members).map_err(|error| no_group(&error))?;
                items.groups.push((commands.len(), count));
                commands.push(Command::Linked { transfers });
            }
            Link::ToNext if open.len() + 1 >= LINKED_MAX => {
                let detail = format!(
                    "the group that ends here or later has more than {LINKED_MAX} items; end it with an item without \
                     `linked`"
                );
                return Err(Problem::new("invalid_field", detail).field("linked"));
            }
            Link::ToNext => open.push(command),
        }
        Ok(())
    }

    /// How many items are in it.
    pub(super) fn len(&self) -> usize {
        self.batch.items.len()
    }

    /// How many items at its end wait for the rest of their group.
    pub(super) fn open_items(&self) -> usize {
        self.open.len()
    }

    /// Moves out what is whole; the members of an open group stay.
    pub(super) fn take(&mut self) -> Batch {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch.items.ids = batch.items.ids.split_off(batch.items.ids.len() - self.open.len());
        batch
    }

    /// All of it, unless a group is open.
    pub(super) fn finish(self) -> Result<Batch, Problem> {
        if self.open.is_empty() {
            return Ok(self.batch);
        }
        let detail = "the last item is linked to a next one, and there is none; the last item of a group has no `linked`";
        Err(Problem::new("invalid_field", detail).field("linked"))
    }
}

fn no_group(error: &LinkedError) -> Problem {
    let field = match error {
        LinkedError::RepeatedId { .. } => "transaction_id",
        LinkedError::Count { .. } => "linked",
        LinkedError::Kind { .. } => "kind",
    };
    Problem::new("invalid_field", format!("the group that ends here: {error}")).field(field)
}

/// The result of a command as a word for JSON: completed, or the reason.
fn refused_for(result: TransactionResult) -> Option<&'static str> {
    match result {
        TransactionResult::Completed => None,
        TransactionResult::Refused(reason) => Some(reason.as_str()),
    }
}

/// The problem of an item that has no outcome.
fn item_problem(told: &Told, id: TransactionId) -> Problem {
    problem_of(told, id)
}
