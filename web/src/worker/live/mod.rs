//! Follows the log of the server that the page came from: its state once, then its stream, folded by the same crates.
//!
//! | module | what |
//! |---|---|
//! | `connector` | when to fetch, open, wait or stop; time and chance are arguments |
//! | `sse` | server-sent events out of bytes |
//! | `http` | what goes to the API and what its answers mean |
//! | `copy` | the folded copy of the server's ledger, its checks and its measures |
//! | `net` | the browser's `fetch` |
//!
//! Absent here: any touch of the log in this browser, a buffer without a limit, a chunk that is read before the one
//! before it is folded, and a token anywhere but in memory.

mod connector;
mod copy;
mod http;
mod net;
mod sse;

use self::connector::{Connector, Failure, Phase, Stand, Wanted};
use self::copy::{Copy, Taken};
use self::http::{ANSWER_BYTES_MAX, Head, HttpError};
use self::net::{Ask, Exchange};
use self::sse::SseParser;
use super::Shell;
use super::balances::BalancesView;
use super::clock::now_ms;
use super::events::EventsView;
use super::frames::{Frames, Views};
use crate::protocol::{
    Connection, Frame, HandAnswer, HandCommand, LiveRequest, Request, Response, Source, TokenUse,
};

/// Real milliseconds that lines may be folded before the event loop gets a turn.
const SLICE_MS: f64 = 8.0;
/// Messages between two looks at the clock.
const SLICE_MESSAGES: u32 = 32;
/// The greatest state that is taken, in bytes.
const STATE_BYTES_MAX: usize = 256 << 20;
/// Commands by hand that may wait for their answers.
const HAND_COMMANDS_MAX: usize = 8;
/// So long an answer to a command is waited for, in milliseconds; the server's own limit is below.
const HAND_MS_MAX: f64 = 20_000.0;
/// How often a waiting connection tells how long it still waits, in milliseconds.
const REST_MS_MAX: f64 = 250.0;
/// How often the loop looks whether a frame may go, in milliseconds; what comes from outside rings.
const REST_MS_MIN: f64 = 20.0;

/// What is under way with the server.
enum Job {
    Nothing,
    State { exchange: Exchange, head: Option<Head>, body: Vec<u8> },
    Stream { exchange: Exchange, head: Option<Head>, error: Vec<u8>, parser: SseParser, log_id: String },
}

/// A command by hand whose answer is waited for.
struct Sent {
    request: u32,
    exchange: Exchange,
    head: Option<Head>,
    body: Vec<u8>,
    until_ms: f64,
}

struct Live {
    connector: Connector,
    job: Job,
    copy: Option<Copy>,
    sent: Vec<Sent>,
    snapshots: u64,
    /// Bytes of the state that came so far.
    state_bytes: u64,
}

/// Follows the server until the page wants the world in this browser. `background` gets a turn as often as the loop.
pub(super) async fn run(shell: &Shell, frames: &mut Frames, views: &mut Views, mut background: impl FnMut()) {
    frames.begin(Source::Server);
    *views = Views::default();
    let mut live = Live::new();
    loop {
        while let Some(request) = shell.next_request() {
            if request == Request::SetSource(Source::Browser) {
                frames.begin(Source::Browser);
                *views = Views::default();
                return;
            }
            live.handle(shell, request, frames, views);
        }
        background();
        let goes_on = live.turn(shell);
        let now = now_ms();
        if frames.is_due(now)
            && let Some(frame) = frames.changes(live.frame(shell, frames.tables_due(now), views), now)
        {
            shell.post_frame(&frame);
        }
        if goes_on {
            shell.turns.next().await;
        } else {
            shell.bell.rest(rest_ms(live.wait_ms().min(frames.wait_ms(now).max(REST_MS_MIN)))).await;
        }
    }
}

impl Live {
    fn new() -> Self {
        Self {
            connector: Connector::new(),
            job: Job::Nothing,
            copy: None,
            sent: Vec::new(),
            snapshots: 0,
            state_bytes: 0,
        }
    }

    fn handle(&mut self, shell: &Shell, request: Request, frames: &mut Frames, views: &mut Views) {
        match request {
            Request::FrameShown => frames.give_credit(),
            Request::ViewEvents { view, filter, first_row, rows, follow } => {
                views.events = EventsView { view, filter, first_row, rows, follow };
                frames.want_tables();
            }
            Request::ViewBalances { view, search, sort, direction, first_row, rows } => {
                views.balances = BalancesView { view, search, sort, direction, first_row, rows };
                frames.want_tables();
            }
            Request::ViewEntries { account, before } => {
                views.entries = account.map(|account| (account, before));
                frames.want_tables();
            }
            Request::Live(LiveRequest::Token(token)) => {
                *shell.token.borrow_mut() = token;
                self.try_again();
            }
            Request::Live(LiveRequest::Retry) => self.try_again(),
            Request::Live(LiveRequest::StartAgain) => {
                self.job = Job::Nothing;
                self.connector.begin_anew();
            }
            Request::Live(LiveRequest::Send(command)) => self.send(shell, &command),
            Request::SetSource(_) | Request::ViewDeadLetters { .. } | Request::Start { .. } => {}
            Request::Run
            | Request::Pause
            | Request::Step { .. }
            | Request::SetSpeed(_)
            | Request::Reset { .. }
            | Request::Transfer { .. }
            | Request::LoadCsv { .. }
            | Request::Redrive { .. }
            | Request::Export { .. }
            | Request::Import { .. } => shell.post(&Response::Failed {
                what: "The world in this browser stands still".to_owned(),
                why: "the page shows a live server, which no control of the world reaches".to_owned(),
                advice: "Choose \u{201c}In this browser\u{201d} first.".to_owned(),
            }),
        }
    }

    fn try_again(&mut self) {
        self.job = Job::Nothing;
        self.connector.again();
    }

    /// One turn: what came, what is due. Says whether more could be done at once.
    fn turn(&mut self, shell: &Shell) -> bool {
        let now = millis(now_ms());
        if self.connector.handle_timeout(now, chance()) {
            self.job = Job::Nothing;
        }
        self.begin_wanted(shell);
        let goes_on = match &self.job {
            Job::Nothing => false,
            Job::State { .. } => {
                self.read_state();
                false
            }
            Job::Stream { .. } => self.read_stream(),
        };
        self.read_answers(shell);
        goes_on
    }

    fn begin_wanted(&mut self, shell: &Shell) {
        let token = shell.token.borrow();
        let token = token.as_deref();
        match self.connector.wanted(millis(now_ms())) {
            Wanted::Nothing => {}
            Wanted::State => {
                self.state_bytes = 0;
                let ask = Ask { path: "/v1/state", accept: "application/octet-stream", token, body: None };
                match Exchange::begin(&ask, &shell.bell) {
                    Ok(exchange) => self.job = Job::State { exchange, head: None, body: Vec::new() },
                    Err(why) => self.fail(Failure::Broken(why)),
                }
            }
            Wanted::Events { log_id, from } => {
                let path = format!("/v1/events?from={from}");
                let ask = Ask { path: &path, accept: "text/event-stream", token, body: None };
                match Exchange::begin(&ask, &shell.bell) {
                    Ok(exchange) => {
                        let (error, parser) = (Vec::new(), SseParser::default());
                        self.job = Job::Stream { exchange, head: None, error, parser, log_id };
                    }
                    Err(why) => self.fail(Failure::Broken(why)),
                }
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.job = Job::Nothing;
        self.connector.failed(millis(now_ms()), failure, chance());
    }

    fn read_state(&mut self) {
        let Job::State { exchange, head, body } = &mut self.job else { return };
        let outcome = match receive(exchange, head, body, STATE_BYTES_MAX) {
            Received::Waiting => return,
            Received::More => {
                self.state_bytes = body.len() as u64;
                self.connector.heard(millis(now_ms()));
                return;
            }
            Received::Broken(why) => Err(Failure::Broken(why)),
            Received::Whole(head) => attach(&head, body),
        };
        self.job = Job::Nothing;
        match outcome {
            Ok(copy) => {
                self.connector.attached(copy.log_id().to_owned(), copy.next_sequence());
                self.snapshots += 1;
                self.copy = Some(copy);
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Folds for a slice of time, and asks for the next chunk when the last one is folded. Says whether it is not.
    fn read_stream(&mut self) -> bool {
        let Job::Stream { exchange, head, error, parser, log_id } = &mut self.job else { return false };
        let outcome = match head {
            None => match exchange.take_head() {
                None => return false,
                Some(Err(why)) => Err(Failure::Broken(why)),
                Some(Ok(came)) if came.status == 200 && came.log_id != *log_id => Err(Failure::OtherLog),
                Some(Ok(came)) if came.status == 200 && came.content_type != "text/event-stream" => {
                    Err(Failure::NoServer("/v1/events is no stream of events".to_owned()))
                }
                Some(Ok(came)) => {
                    if came.status == 200 {
                        if let Some(copy) = &mut self.copy {
                            copy.stream_begins();
                        }
                        self.connector.streaming(millis(now_ms()));
                    }
                    *head = Some(came);
                    return true;
                }
            },
            Some(head) if head.status != 200 => match exchange.take_chunk() {
                None => return false,
                Some(Ok(Some(bytes))) if error.len() + bytes.len() <= ANSWER_BYTES_MAX => {
                    error.extend_from_slice(&bytes);
                    return true;
                }
                Some(_) => Err(Failure::Answered(HttpError::of(head, error))),
            },
            Some(_) => match self.copy.as_mut() {
                Some(copy) if !parser.is_empty() => fold(parser, copy, &mut self.connector),
                Some(copy) => match exchange.take_chunk() {
                    None => return false,
                    Some(Err(why)) => Err(Failure::Broken(why)),
                    Some(Ok(None)) => Err(Failure::Dropped("The server ended the stream.".to_owned())),
                    Some(Ok(Some(bytes))) => {
                        copy.received(bytes.len());
                        parser.push(bytes);
                        self.connector.heard(millis(now_ms()));
                        Ok(())
                    }
                },
                None => Err(Failure::OtherLog),
            },
        };
        match outcome {
            Ok(()) => true,
            Err(failure) => {
                self.fail(failure);
                false
            }
        }
    }

    fn send(&mut self, shell: &Shell, command: &HandCommand) {
        let answer = |answer| shell.post(&Response::HandAnswer { request: command.request, answer });
        if let Some(why) = self.copy.as_ref().and_then(|copy| copy.why_not(&command.body)) {
            return answer(HandAnswer::Malformed { why });
        }
        if self.sent.len() >= HAND_COMMANDS_MAX {
            return answer(HandAnswer::Busy { retry_after_seconds: 1 });
        }
        let (path, body) = http::request_of(command);
        let token = shell.token.borrow();
        let ask =
            Ask { path, accept: "application/json", token: token.as_deref(), body: Some(body.as_str()) };
        match Exchange::begin(&ask, &shell.bell) {
            Ok(exchange) => self.sent.push(Sent {
                request: command.request,
                exchange,
                head: None,
                body: Vec::new(),
                until_ms: now_ms() + HAND_MS_MAX,
            }),
            Err(why) => answer(HandAnswer::Malformed { why }),
        }
    }

    fn read_answers(&mut self, shell: &Shell) {
        let now = now_ms();
        self.sent.retain_mut(|sent| {
            let answer = match receive(&mut sent.exchange, &mut sent.head, &mut sent.body, ANSWER_BYTES_MAX) {
                Received::Waiting | Received::More if now < sent.until_ms => return true,
                Received::Waiting | Received::More => {
                    HandAnswer::Unknown { why: "No answer came in time.".to_owned() }
                }
                Received::Broken(why) => HandAnswer::Unknown { why },
                Received::Whole(head) => http::answer_of(&head, &sent.body),
            };
            shell.post(&Response::HandAnswer { request: sent.request, answer });
            false
        });
    }

    fn frame(&mut self, shell: &Shell, with_tables: bool, views: &Views) -> Frame {
        let now = now_ms();
        let mut frame = Frame::default();
        if let Some(copy) = &mut self.copy {
            copy.tick(millis(now));
            copy.fast_parts(&mut frame);
            if with_tables {
                copy.slow_parts(&mut frame, views);
            }
        }
        let mut view = self.copy.as_ref().map_or_else(copy::nothing, Copy::view);
        view.server = net::origin();
        view.token = if shell.token.borrow().is_some() { TokenUse::Sent } else { TokenUse::Absent };
        view.connection = self.connection(shell, view.lag > 0, now);
        view.reconnects = self.connector.reconnects();
        view.snapshots = self.snapshots;
        self.connector.remark().clone_into(&mut view.remark);
        frame.live = Some(view);
        frame
    }

    fn connection(&self, shell: &Shell, is_behind: bool, now: f64) -> Connection {
        match self.connector.phase().clone() {
            Phase::Ready | Phase::FetchingState { .. } if self.copy.is_none() || self.is_fetching() => {
                Connection::FetchingState { bytes: self.state_bytes }
            }
            Phase::Ready | Phase::FetchingState { .. } | Phase::OpeningStream { .. } => {
                Connection::OpeningStream
            }
            Phase::Streaming { .. } if is_behind => Connection::CatchingUp,
            Phase::Streaming { .. } => Connection::Live,
            Phase::Waiting { until_ms, why } => {
                let seconds = until_ms.saturating_sub(millis(now)).div_ceil(1_000);
                let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
                Connection::Waiting { why, seconds, attempts: self.connector.attempts() }
            }
            Phase::Standing(Stand::NeedsToken) => {
                Connection::NeedsToken { refused: shell.token.borrow().is_some() }
            }
            Phase::Standing(Stand::Refused(why)) => Connection::Refused { why },
            Phase::Standing(Stand::NoServer(why)) => Connection::NoServer { why },
            Phase::Standing(Stand::Diverged(why)) => Connection::Diverged { why },
        }
    }

    fn is_fetching(&self) -> bool {
        matches!(self.connector.phase(), Phase::FetchingState { .. })
    }

    /// How long nothing is due, in milliseconds.
    fn wait_ms(&self) -> f64 {
        let now = now_ms();
        let due = self.connector.poll_timeout().map_or(REST_MS_MAX, |until_ms| until_ms as f64 - now);
        due.clamp(1.0, REST_MS_MAX)
    }
}

/// What of an answer came.
enum Received {
    /// Nothing new.
    Waiting,
    /// Some of it.
    More,
    /// All of it: its head; the body is where it was gathered.
    Whole(Head),
    /// It ends before its end.
    Broken(String),
}

/// Gathers an answer up to `bytes_max` of its body.
fn receive(
    exchange: &mut Exchange,
    head: &mut Option<Head>,
    body: &mut Vec<u8>,
    bytes_max: usize,
) -> Received {
    if head.is_none() {
        match exchange.take_head() {
            None => return Received::Waiting,
            Some(Err(why)) => return Received::Broken(why),
            Some(Ok(came)) => *head = Some(came),
        }
    }
    let mut nothing_new = Received::Waiting;
    loop {
        match exchange.take_chunk() {
            // The next chunk is asked for, and the bell rings when it comes.
            None => return nothing_new,
            Some(Err(why)) => return Received::Broken(why),
            Some(Ok(None)) => return Received::Whole(head.take().unwrap_or_default()),
            Some(Ok(Some(bytes))) if body.len() + bytes.len() > bytes_max => {
                let why =
                    format!("The answer has more than {bytes_max} bytes, which is too much for a page.");
                return Received::Broken(why);
            }
            Some(Ok(Some(bytes))) => {
                body.extend_from_slice(&bytes);
                nothing_new = Received::More;
            }
        }
    }
}

/// The copy that the server's state makes.
fn attach(head: &Head, body: &[u8]) -> Result<Copy, Failure> {
    if let Some(why) = http::why_no_server(head) {
        return Err(Failure::NoServer(why));
    }
    if head.status != 200 {
        return Err(Failure::Answered(HttpError::of(head, body)));
    }
    let copy = Copy::from_state(body, hash_seed(), millis(now_ms())).map_err(Failure::Diverged)?;
    if copy.log_id() == head.log_id { Ok(copy) } else { Err(Failure::OtherLog) }
}

/// Folds what the parser holds, for a slice of time.
fn fold(parser: &mut SseParser, copy: &mut Copy, connector: &mut Connector) -> Result<(), Failure> {
    let began = now_ms();
    loop {
        for _ in 0..SLICE_MESSAGES {
            let Some(message) = parser.next().map_err(|error| Failure::Broken(error.to_string()))? else {
                return Ok(());
            };
            let taken = copy.take(&message).map_err(Failure::Diverged)?;
            connector.folded(copy.next_sequence());
            match taken {
                Taken::Nothing => {}
                Taken::ReachedPosition => connector.reached_position(),
                Taken::Dropped(why) => return Err(Failure::Dropped(why)),
                Taken::Full => return Err(Failure::CopyFull),
            }
        }
        if now_ms() - began >= SLICE_MS {
            return Ok(());
        }
    }
}

/// Whole milliseconds of the worker's clock.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the clock begins at 0 and runs up"
)]
fn millis(now_ms: f64) -> u64 {
    now_ms.max(0.0) as u64
}

/// Keys the tables in memory; nothing that is shown depends on it.
fn hash_seed() -> u64 {
    u64::from(chance()) << 32 | u64::from(chance())
}

/// Spreads the tries of many pages; nothing that is folded depends on it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "random() is in 0..1")]
fn chance() -> u32 {
    (js_sys::Math::random() * f64::from(u32::MAX)) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "at most a second")]
fn rest_ms(wait_ms: f64) -> i32 {
    (wait_ms.ceil() as i32).max(1)
}
