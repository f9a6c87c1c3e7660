//! When to fetch the server's state, when to open its stream, when to wait, and when to stop trying.
//!
//! A pure machine: time and chance are arguments, so its tests need neither a clock nor a network.
//!
//! | phase | its timeout |
//! |---|---|
//! | fetching, opening | [`ANSWER_MS_MAX`] without a byte: the connection is given up |
//! | streaming | [`SILENCE_MS_MAX`] without a byte, though the server speaks every 10 seconds: the same |
//! | waiting | the delay is over: the next try |

use super::http::HttpError;

/// So long nothing may come after a request, in milliseconds.
pub(super) const ANSWER_MS_MAX: u64 = 30_000;
/// So long a stream may be silent; the server tells its position every 10 seconds.
pub(super) const SILENCE_MS_MAX: u64 = 25_000;
/// The delay before the second try; each further one is twice as long.
const DELAY_MS_MIN: u64 = 500;
/// The longest delay that is not the server's wish.
const DELAY_MS_MAX: u64 = 15_000;
/// The longest delay that a server may wish for.
const RETRY_AFTER_MS_MAX: u64 = 120_000;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Fetch the state.
    State,
    /// Open the stream at this record of this log.
    Events {
        /// The id of the log.
        log_id: String,
        /// The first wanted record.
        from: u64,
    },
    /// Nothing new: go on with what is under way, or rest.
    Nothing,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection, or it broke.
    Broken(String),
    /// The server ended the stream, with its reason.
    Dropped(String),
    /// It answered, but not with what was asked for.
    Answered(HttpError),
    /// What answers is no wallet server.
    NoServer(String),
    /// The log is another one than before.
    OtherLog,
    /// The copy holds as much history as it may.
    CopyFull,
    /// The log and the copy contradict each other.
    Diverged(String),
}

/// Why nothing is tried any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// A token is needed.
    NeedsToken,
    /// The server does not want this page.
    Refused(String),
    /// No wallet server answers.
    NoServer(String),
    /// The copy and the log contradict each other.
    Diverged(String),
}

/// Where the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The next thing can begin at once.
    Ready,
    /// The state is on its way.
    FetchingState { until_ms: u64 },
    /// The stream was asked for.
    OpeningStream { until_ms: u64 },
    /// Events come.
    Streaming { until_ms: u64 },
    /// It goes on at a time.
    Waiting { until_ms: u64, why: String },
    /// Somebody must decide.
    Standing(Stand),
}

/// The connection to the server.
pub(super) struct Connector {
    phase: Phase,
    /// Tries in a row that did not reach a position of the server.
    attempts: u32,
    /// Where the copy is, once there is one.
    copy: Option<(String, u64)>,
    /// Why the copy is made anew.
    remark: String,
    reconnects: u64,
}

impl Connector {
    /// Not connected, and ready to be.
    pub(super) fn new() -> Self {
        Self { phase: Phase::Ready, attempts: 0, copy: None, remark: String::new(), reconnects: 0 }
    }

    /// Where it is.
    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Tries in a row that came to nothing.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How often the connection was made again.
    pub(super) fn reconnects(&self) -> u64 {
        self.reconnects
    }

    /// Why the copy was made anew, or is going to be; empty if it never was.
    pub(super) fn remark(&self) -> &str {
        &self.remark
    }

    /// What to do next; what it names is from then on under way.
    pub(super) fn wanted(&mut self, now_ms: u64) -> Wanted {
        if self.phase != Phase::Ready {
            return Wanted::Nothing;
        }
        let until_ms = now_ms + ANSWER_MS_MAX;
        match self.copy.clone() {
            None => {
                self.phase = Phase::FetchingState { until_ms };
                Wanted::State
            }
            Some((log_id, from)) => {
                self.phase = Phase::OpeningStream { until_ms };
                Wanted::Events { log_id, from }
            }
        }
    }

    /// Bytes of the state or of the stream came.
    pub(super) fn heard(&mut self, now_ms: u64) {
        match &mut self.phase {
            Phase::FetchingState { until_ms } => *until_ms = now_ms + ANSWER_MS_MAX,
            Phase::Streaming { until_ms } => *until_ms = now_ms + SILENCE_MS_MAX,
            Phase::Ready | Phase::OpeningStream { .. } | Phase::Waiting { .. } | Phase::Standing(_) => {}
        }
    }

    /// The state is here: the copy begins at this record of this log.
    pub(super) fn attached(&mut self, log_id: String, sequence: u64) {
        self.copy = Some((log_id, sequence));
        self.phase = Phase::Ready;
    }

    /// The stream is open.
    pub(super) fn streaming(&mut self, now_ms: u64) {
        self.phase = Phase::Streaming { until_ms: now_ms + SILENCE_MS_MAX };
    }

    /// The copy has all records below this one.
    pub(super) fn folded(&mut self, next_sequence: u64) {
        if let Some((_, sequence)) = &mut self.copy {
            *sequence = next_sequence;
        }
    }

    /// The copy reached a position of the server: whatever broke before is over.
    pub(super) fn reached_position(&mut self) {
        self.attempts = 0;
    }

    /// What was under way came to nothing. `chance` spreads the tries of many pages.
    pub(super) fn failed(&mut self, now_ms: u64, failure: Failure, chance: u32) {
        match failure {
            Failure::Broken(why) | Failure::Dropped(why) => self.wait(now_ms, why, 0, chance),
            Failure::Answered(error) => self.answered(now_ms, &error, chance),
            Failure::NoServer(why) => self.phase = Phase::Standing(Stand::NoServer(why)),
            Failure::Diverged(why) => self.phase = Phase::Standing(Stand::Diverged(why)),
            Failure::OtherLog => {
                let why = "The server has another log now: the copy begins again from its state.";
                self.make_anew(now_ms, why, chance);
            }
            Failure::CopyFull => {
                let why = "The copy held as much history as it may: it began again from the server's state.";
                self.make_anew(now_ms, why, chance);
            }
        }
    }

    fn answered(&mut self, now_ms: u64, error: &HttpError, chance: u32) {
        let asked_for_events = matches!(self.phase, Phase::OpeningStream { .. });
        match error.status {
            401 => self.phase = Phase::Standing(Stand::NeedsToken),
            // The place is behind the server's end: its log is a shorter one than it was.
            400 if asked_for_events => {
                let why = "The server's log ends before this copy: it begins again from the server's state.";
                self.make_anew(now_ms, why, chance);
            }
            408 | 425 | 429 | 500..=599 => {
                let wish = error.retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
                self.wait(now_ms, error.to_string(), wish, chance);
            }
            _ => self.phase = Phase::Standing(Stand::Refused(error.to_string())),
        }
    }

    fn make_anew(&mut self, now_ms: u64, why: &str, chance: u32) {
        self.copy = None;
        why.clone_into(&mut self.remark);
        // The first time at once: nothing is wrong with the server.
        if self.attempts == 0 {
            self.attempts = 1;
            self.phase = Phase::Ready;
        } else {
            self.wait(now_ms, why.to_owned(), 0, chance);
        }
    }

    fn wait(&mut self, now_ms: u64, why: String, wish_ms: u64, chance: u32) {
        let until_ms = now_ms + delay_ms(self.attempts, chance).max(wish_ms);
        self.attempts = self.attempts.saturating_add(1);
        self.phase = Phase::Waiting { until_ms, why };
    }

    /// When [`Connector::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::FetchingState { until_ms }
            | Phase::OpeningStream { until_ms }
            | Phase::Streaming { until_ms }
            | Phase::Waiting { until_ms, .. } => Some(until_ms),
            Phase::Ready | Phase::Standing(_) => None,
        }
    }

    /// Time passed. Says whether what is under way is to be given up.
    pub(super) fn handle_timeout(&mut self, now_ms: u64, chance: u32) -> bool {
        if self.poll_timeout().is_none_or(|until_ms| now_ms < until_ms) {
            return false;
        }
        if matches!(self.phase, Phase::Waiting { .. }) {
            self.again();
            return false;
        }
        let why = "The server is silent: the connection is given up.".to_owned();
        self.wait(now_ms, why, 0, chance);
        true
    }

    /// The user wants it tried now. Whatever is under way ends.
    pub(super) fn again(&mut self) {
        // A copy that contradicts the log is not gone on with.
        if matches!(self.phase, Phase::Standing(Stand::Diverged(_))) {
            self.copy = None;
        }
        self.reconnects += 1;
        self.phase = Phase::Ready;
    }

    /// The user wants a copy from the beginning.
    pub(super) fn begin_anew(&mut self) {
        self.copy = None;
        self.attempts = 0;
        self.remark.clear();
        self.again();
    }
}

/// Half of the delay is certain, the other half is chance.
fn delay_ms(attempts: u32, chance: u32) -> u64 {
    let whole = DELAY_MS_MIN.checked_shl(attempts.min(16)).unwrap_or(DELAY_MS_MAX).min(DELAY_MS_MAX);
    whole / 2 + u64::from(chance) * (whole / 2) / u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16) -> Failure {
        Failure::Answered(HttpError { status, code: String::new(), why: "why".into(), retry_after_ms: None })
    }

    /// A connector that streams from record 7 of log `a`, at millisecond 1,000.
    fn streaming() -> Connector {
        let mut connector = Connector::new();
        assert_eq!(connector.wanted(0), Wanted::State);
        connector.attached("a".into(), 7);
        assert_eq!(connector.wanted(500), Wanted::Events { log_id: "a".into(), from: 7 });
        assert_eq!(connector.wanted(501), Wanted::Nothing, "asked once");
        connector.streaming(1_000);
        connector
    }

    /// Lets the time pass to the next deadline and says when that was.
    fn pass(connector: &mut Connector) -> u64 {
        let until_ms = connector.poll_timeout().expect("it waits for something");
        assert!(!connector.handle_timeout(until_ms - 1, 0), "not before its time");
        connector.handle_timeout(until_ms, 0);
        until_ms
    }

    #[test]
    fn a_broken_stream_goes_on_at_the_next_record() {
        let mut connector = streaming();
        connector.reached_position();
        connector.folded(42);
        connector.failed(2_000, Failure::Broken("reset".into()), 0);
        assert_eq!(connector.phase(), &Phase::Waiting { until_ms: 2_250, why: "reset".into() });
        assert_eq!(pass(&mut connector), 2_250);
        assert_eq!(connector.wanted(2_250), Wanted::Events { log_id: "a".into(), from: 42 });
        assert_eq!(connector.reconnects(), 1);
    }

    #[test]
    fn the_delay_doubles_to_a_limit_and_is_spread() {
        let mut connector = streaming();
        let mut now = 1_000;
        let mut delays = Vec::new();
        for _ in 0..8 {
            connector.failed(now, Failure::Broken("refused".into()), 0);
            let until = pass(&mut connector);
            delays.push(until - now);
            now = until;
            assert_ne!(connector.wanted(now), Wanted::Nothing);
        }
        assert_eq!(delays, [250, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500]);
        assert_eq!(delay_ms(0, u32::MAX), 500);
        assert_eq!(delay_ms(99, u32::MAX), DELAY_MS_MAX);
        connector.streaming(now);
        connector.reached_position();
        connector.failed(now, Failure::Dropped("stopping".into()), 0);
        assert_eq!(pass(&mut connector) - now, 250, "a position ends the row of failures");
    }

    #[test]
    fn silence_ends_a_connection_and_bytes_prolong_it() {
        let mut connector = streaming();
        connector.heard(20_000);
        assert!(!connector.handle_timeout(1_000 + SILENCE_MS_MAX, 0));
        assert!(connector.handle_timeout(20_000 + SILENCE_MS_MAX, 0), "the driver is told to give it up");
        assert!(matches!(connector.phase(), Phase::Waiting { .. }));

        let mut connector = Connector::new();
        connector.wanted(0);
        connector.heard(10);
        assert!(connector.handle_timeout(10 + ANSWER_MS_MAX, 0));
    }

    #[test]
    fn a_server_may_wish_for_a_delay_up_to_a_limit() {
        for (wish, delay) in [(9_000, 9_000), (1, 250), (u64::MAX, RETRY_AFTER_MS_MAX)] {
            let mut connector = streaming();
            let error = HttpError {
                status: 503,
                code: "busy".into(),
                why: "busy".into(),
                retry_after_ms: Some(wish),
            };
            connector.failed(1_000, Failure::Answered(error), 0);
            assert_eq!(pass(&mut connector), 1_000 + delay);
        }
    }

    #[test]
    fn another_log_or_a_lost_place_begins_from_the_state() {
        let mut other = streaming();
        other.failed(1_000, Failure::OtherLog, 0);
        assert_eq!(other.wanted(1_000), Wanted::State, "at once");
        assert!(!other.remark().is_empty());
        other.failed(1_000, Failure::OtherLog, 0);
        assert_eq!(other.wanted(1_000), Wanted::Nothing, "but not in a circle");
        pass(&mut other);
        assert_eq!(other.wanted(9_000), Wanted::State);

        let mut lost = Connector::new();
        lost.wanted(0);
        lost.attached("a".into(), 7);
        lost.wanted(0);
        lost.failed(1, error(400), 0);
        assert_eq!(lost.wanted(1), Wanted::State);
    }

    #[test]
    fn what_a_person_must_decide_is_not_tried_again() {
        for (failure, stand) in [
            (error(401), Stand::NeedsToken),
            (error(403), Stand::Refused("why (status 403)".into())),
            (error(421), Stand::Refused("why (status 421)".into())),
            (Failure::NoServer("files".into()), Stand::NoServer("files".into())),
            (Failure::Diverged("seal".into()), Stand::Diverged("seal".into())),
        ] {
            let mut connector = streaming();
            connector.failed(1_000, failure, 0);
            assert_eq!(connector.phase(), &Phase::Standing(stand));
            assert_eq!(connector.poll_timeout(), None);
            assert!(!connector.handle_timeout(u64::MAX, 0));
            assert_eq!(connector.wanted(u64::MAX / 2), Wanted::Nothing);
        }
    }

    #[test]
    fn a_decision_goes_on_where_it_can() {
        let mut connector = streaming();
        connector.failed(1_000, error(401), 0);
        connector.again();
        assert_eq!(connector.wanted(2_000), Wanted::Events { log_id: "a".into(), from: 7 });

        let mut connector = streaming();
        connector.failed(1_000, Failure::Diverged("seal".into()), 0);
        connector.again();
        assert_eq!(connector.wanted(2_000), Wanted::State, "never on top of a copy that is wrong");

        let mut connector = streaming();
        connector.begin_anew();
        assert_eq!(connector.wanted(2_000), Wanted::State);
    }
}
