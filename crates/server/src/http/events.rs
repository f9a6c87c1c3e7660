//! `GET /v1/events`: the log as server-sent events that go on for ever, or as JSON Lines that end where it ends now.
//!
//! Nothing is buffered for a reader: each has its own place in the log, and is read for only when it takes what it was
//! sent. A reader that takes nothing for too long is dropped and told why.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::App;
use super::fields::{Query, refused_parameter};
use super::problem::Problem;
use super::reads::{LOG_ID_HEADER, header_value, hex};
use crate::files::{FilesError, LogLine, LogLines};
use crate::reading::Position;

/// Chunks on their way to a reader, besides the one that its socket takes.
const CHUNKS_MAX: usize = 2;
/// How often a reader at the end of the log is told where it stands, at most and at least.
const POSITION_EVERY_MIN: Duration = Duration::from_millis(100);
const POSITION_EVERY_MAX: Duration = Duration::from_secs(10);
/// New records are gathered for this long, so that a busy log costs a reader some reads a second and not thousands.
const GATHER: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `text/event-stream`.
    Events,
    /// `application/jsonl`.
    Lines,
}

/// `GET /v1/events`.
pub(super) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let from_query = query.take::<u64>("from", "a record's sequence, an integer of 0 or more")?;
    query.finish("the only parameter is `from`")?;
    let form = form_of(&headers)?;
    let from = match headers.get("last-event-id") {
        None => from_query.unwrap_or(0),
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse::<u64>().ok());
            let must = "the sequence of the last record that came";
            let id = id.and_then(|id| id.checked_add(1));
            id.ok_or_else(|| refused_parameter("Last-Event-ID", must))?
        }
    };
    // Asked of the reading thread, so that whoever has an answer finds its record here.
    let end = app.read(|models| models.checkpoint()).await?;
    if from > end {
        let detail = format!("the log ends before record {end}; there is no record {from} yet");
        return Err(Problem::new("invalid_query", detail).field("from").with("sequence", end));
    }
    let permit = app.streams.clone().try_acquire_owned().map_err(|_| {
        app.metrics.streams_refused.inc();
        let max = app.limits.streams_max;
        Problem::new("too_many_streams", format!("{max} event streams are open, which is the limit"))
            .retry_after_micros(1_000_000)
    })?;
    let log = app.engine.log().clone();
    let log_id = hex(&log.log_id());
    let lines = tokio::task::spawn_blocking(move || log.read_from(from)).await;
    let lines = match lines {
        Ok(Ok(lines)) => lines,
        Ok(Err(error)) => return Err(unreadable(&error)),
        Err(error) => return Err(Problem::new("internal_error", format!("the log cannot be read: {error}"))),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    // Shorter than the socket's own limit, so that the reader can still be told.
    let stall = Duration::from_millis(app.limits.write_timeout_ms / 2);
    let (durable, stopping) = (app.engine.durable(), app.stopping.clone());
    let reader = Reader {
        app,
        form,
        end,
        lines: Some(lines),
        is_whole: false,
        sender,
        durable,
        stopping,
        stall,
        _permit: permit,
    };
    tokio::spawn(reader.run());
    let content_type = match form {
        Form::Events => "text/event-stream",
        Form::Lines => "application/jsonl",
    };
    let headers =
        [(CONTENT_TYPE, HeaderValue::from_static(content_type)), (LOG_ID_HEADER, header_value(&log_id))];
    Ok((headers, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

/// The form that the client takes; server-sent events if it takes everything.
fn form_of(headers: &HeaderMap) -> Result<Form, Problem> {
    let Some(accept) = headers.get(ACCEPT) else { return Ok(Form::Events) };
    let accept = accept.to_str().unwrap_or_default();
    for range in accept.split(',').filter(|range| !is_unwanted(range)) {
        match range.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" | "text/*" | "*/*" => return Ok(Form::Events),
            "application/jsonl" | "application/x-ndjson" | "application/*" => return Ok(Form::Lines),
            _ => {}
        }
    }
    let detail = "events come as `text/event-stream` or `application/jsonl`; name one of them in `Accept`";
    Err(Problem::new("not_acceptable", detail).field("Accept"))
}

/// Whether a range or a coding is named to say that it is not taken.
pub(crate) fn is_unwanted(range: &str) -> bool {
    let weights = range.split(';').skip(1).filter_map(|parameter| parameter.trim().strip_prefix("q="));
    weights.into_iter().any(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight == 0.0))
}

fn unreadable(error: &FilesError) -> Problem {
    Problem::new("internal_error", format!("the log cannot be read: {error}"))
}

/// One client's way through the log.
struct Reader {
    app: App,
    form: Form,
    /// Where the log ended when the client came.
    end: u64,
    /// `None` only while another thread reads with it.
    lines: Option<LogLines>,
    /// Whether a file was read to the seal at which it ends.
    is_whole: bool,
    sender: mpsc::Sender<io::Result<Bytes>>,
    durable: watch::Receiver<Position>,
    stopping: watch::Receiver<bool>,
    stall: Duration,
    _permit: OwnedSemaphorePermit,
}

/// Why a stream ends.
enum End {
    /// The client went away, or has the whole file.
    Silent,
    /// The client is told.
    Told { reason: &'static str, detail: String },
}

impl Reader {
    async fn run(mut self) {
        self.app.metrics.streams.inc();
        let end = self.stream().await;
        self.app.metrics.streams.dec();
        let End::Told { reason, detail } = end else { return };
        if reason == "slow_reader" {
            self.app.metrics.streams_dropped.inc();
            tracing::info!("{detail}");
        }
        let last = match self.form {
            Form::Events => {
                let why = json!({ "reason": reason, "detail": detail });
                Ok(format!("event: dropped\ndata: {why}\n\n").into())
            }
            // Half a file that ended in order would pass for a whole, shorter log; a broken connection does not.
            Form::Lines => Err(io::Error::other(detail)),
        };
        // It arrives if the client takes what was sent before, within the socket's own limit.
        let _ = tokio::time::timeout(self.stall, self.sender.send(last)).await;
    }

    async fn stream(&mut self) -> End {
        let mut told: Option<(Instant, Position)> = None;
        loop {
            let chunk = match self.next_chunk().await {
                Ok(chunk) => chunk,
                Err(end) => return end,
            };
            if let Some(chunk) = chunk {
                if let Err(end) = self.send(chunk).await {
                    return end;
                }
                if self.is_whole {
                    return End::Silent;
                }
                continue;
            }
            if self.form == Form::Lines {
                return End::Silent;
            }
            let durable = *self.durable.borrow_and_update();
            if self.sequence() < durable.sequence {
                continue;
            }
            let due = told.is_none_or(|(at, last)| {
                let since = at.elapsed();
                since >= POSITION_EVERY_MAX || (last != durable && since >= POSITION_EVERY_MIN)
            });
            if due && self.sequence() == durable.sequence {
                if let Err(end) = self.send(position(&durable)).await {
                    return end;
                }
                told = Some((Instant::now(), durable));
            }
            let is_told = told.is_some_and(|(_, last)| last == durable);
            if let Err(end) = self.wait(if is_told { POSITION_EVERY_MAX } else { POSITION_EVERY_MIN }).await {
                return end;
            }
        }
    }

    /// Waits for new records, for `longest` at most.
    async fn wait(&mut self, longest: Duration) -> Result<(), End> {
        let stop = stopped(&mut self.stopping);
        tokio::select! {
            changed = self.durable.changed() => {
                if changed.is_err() {
                    return Err(stopping());
                }
                tokio::time::sleep(GATHER).await;
            }
            () = stop => return Err(stopping()),
            () = self.sender.closed() => return Err(End::Silent),
            () = tokio::time::sleep(longest) => {}
        }
        Ok(())
    }

    /// The next piece of the log as it is sent; `None` at its durable end.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, End> {
        let Some(mut lines) = self.lines.take() else { unreachable!("only one piece is read at a time") };
        let (form, end) = (self.form, self.end);
        let read = tokio::task::spawn_blocking(move || {
            let before = lines.next_sequence();
            let mut found = Vec::new();
            let read = lines.next_chunk(&mut found);
            let (text, is_whole) = written(&found, form, before, end);
            (lines, read, text, is_whole)
        });
        let internal = |detail: String| End::Told { reason: "internal", detail };
        let (lines, read, text, is_whole) = read.await.map_err(|error| internal(error.to_string()))?;
        self.lines = Some(lines);
        self.is_whole = is_whole;
        read.map_err(|error| internal(error.to_string()))?;
        Ok(if text.is_empty() { None } else { Some(text.into()) })
    }

    /// Waits until there is room, but not for ever.
    async fn send(&mut self, chunk: Bytes) -> Result<(), End> {
        self.app.metrics.stream_bytes.inc_by(chunk.len() as u64);
        tokio::select! {
            () = stopped(&mut self.stopping) => Err(stopping()),
            sent = tokio::time::timeout(self.stall, self.sender.send(Ok(chunk))) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Silent),
                Err(_) => Err(End::Told {
                    reason: "slow_reader",
                    detail: format!(
                        "the reader took nothing for {} ms; go on from record {} when there is time to read",
                        self.stall.as_millis(),
                        self.sequence()
                    ),
                }),
            },
        }
    }

    /// The record that comes next.
    fn sequence(&self) -> u64 {
        self.lines.as_ref().map_or(0, LogLines::next_sequence)
    }
}

/// Ready when the server stops. The sender is only gone when the server is.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    drop(stopping.wait_for(|stopping| *stopping).await);
}

fn stopping() -> End {
    End::Told { reason: "stopping", detail: "the server is stopping".to_owned() }
}

fn position(durable: &Position) -> Bytes {
    let Position { sequence, digest, recorded_at } = durable;
    let body = json!({ "sequence": sequence, "digest": digest.to_string(), "recorded_at": recorded_at });
    format!("event: position\ndata: {body}\n\n").into()
}

/// The lines as they are sent, and whether they reach the end of a file: the first seal behind which the log has all
/// records below `end`. A file ends in a seal, and does not run after a log that is written to.
fn written(lines: &[LogLine], form: Form, mut next_sequence: u64, end: u64) -> (String, bool) {
    let mut text = String::new();
    for line in lines {
        match form {
            Form::Events => write_event(line, &mut text),
            Form::Lines => write_lines(line, &mut text),
        }
        match line {
            LogLine::Record { sequence, lines: _ } => next_sequence = sequence + 1,
            LogLine::Seal(_) if form == Form::Lines && next_sequence >= end => return (text, true),
            LogLine::Header(_) | LogLine::Seal(_) => {}
        }
    }
    (text, false)
}

fn write_event(line: &LogLine, text: &mut String) {
    // Writing to a string never fails.
    let _ = match line {
        LogLine::Header(line) => write!(text, "event: header\ndata: {line}\n\n"),
        LogLine::Seal(line) => write!(text, "event: seal\ndata: {line}\n\n"),
        LogLine::Record { sequence, lines } => {
            let _ = write!(text, "id: {sequence}\nevent: record\n");
            for line in lines.lines() {
                let _ = writeln!(text, "data: {line}");
            }
            writeln!(text)
        }
    };
}

fn write_lines(line: &LogLine, text: &mut String) {
    let (LogLine::Header(line) | LogLine::Seal(line) | LogLine::Record { sequence: _, lines: line }) = line;
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accept: &'static str) -> Option<Form> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        form_of(&headers).ok()
    }

    #[test]
    fn the_form_is_what_the_client_takes() {
        assert!(form_of(&HeaderMap::new()).is_ok_and(|form| form == Form::Events));
        for (accept, form) in [
            ("*/*", Some(Form::Events)),
            ("text/event-stream", Some(Form::Events)),
            ("text/html, */*;q=0.1", Some(Form::Events)),
            ("application/jsonl", Some(Form::Lines)),
            ("application/x-ndjson; q=0.9", Some(Form::Lines)),
            ("application/jsonl;q=0, */*", Some(Form::Events)),
            ("text/event-stream;q=0.0, application/jsonl", Some(Form::Lines)),
            ("text/html", None),
            ("", None),
        ] {
            assert!(accepting(accept) == form, "{accept}");
        }
    }

    #[test]
    fn a_record_is_one_message_of_many_lines() {
        let mut text = String::new();
        for line in [
            LogLine::Header("{h}".to_owned()),
            LogLine::Record { sequence: 7, lines: "{a}\n{b}".to_owned() },
            LogLine::Seal("{s}".to_owned()),
        ] {
            write_event(&line, &mut text);
        }
        assert_eq!(
            text,
            "event: header\ndata: {h}\n\nid: 7\nevent: record\ndata: {a}\ndata: {b}\n\nevent: seal\ndata: {s}\n\n"
        );
    }
}
