//! The copy of a server's ledger: begun from its state, kept up by its lines, compared with its digest.
//!
//! Records are folded when the seal behind them came, batch by batch. So what is shown is vouched for by a seal that was
//! checked, and the copy always stands where the server's log can be read on.

use std::collections::VecDeque;

use ledger::{AccountName, Event};
use pipeline::{Follower, Snapshot};
use serde::Deserialize;

use super::sse::Message;
use crate::protocol::{
    CHART_POINTS_MAX, ChartPoint, ChartView, Connection, Frame, HandBody, LiveView, Position, TokenUse,
    Verdict,
};
use crate::worker::balances::{BalancesOrder, entries_window};
use crate::worker::events::Events;
use crate::worker::frames::{Views, balances_total, counts};

/// Records folded on top of one snapshot. Entries and ids of all of them are in memory, so behind these the copy begins
/// again from a newer snapshot.
pub(super) const COPY_RECORDS_MAX: u64 = 1_000_000;
/// Bytes of the lines of one batch; a server seals after some thousand records at most.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// The length of an interval of the chart, in milliseconds.
const INTERVAL_MS: u64 = 500;
/// Intervals over which the numbers "a second" are counted.
const RATE_INTERVALS: usize = 2;

/// The copy.
pub(super) struct Copy {
    follower: Follower,
    events: Events,
    order: BalancesOrder,
    log_id: String,
    began_at: u64,
    /// The lines of records whose seal has not come.
    batch: String,
    /// The header line, once it is folded: a stream from the beginning says it each time.
    header: String,
    /// The seal behind which the copy stands, 64 hex digits: a stream that goes on there may say it again.
    seal: String,
    position: Option<Position>,
    /// Whether `position` is to be compared.
    awaits_position: bool,
    verdict: Verdict,
    compared: u64,
    seals: u64,
    meter: Meter,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was kept, folded or passed over.
    Nothing,
    /// The copy stands where the server said, and the digests are equal.
    ReachedPosition,
    /// The server ends the stream, and why.
    Dropped(String),
    /// The copy holds as much as it may.
    Full,
}

/// The data of a `position` message.
#[derive(Deserialize)]
struct PositionData {
    sequence: u64,
    digest: String,
    recorded_at: u64,
}

/// A seal line, as far as it matters here.
#[derive(Deserialize)]
struct SealData {
    seal: String,
}

/// The data of a `dropped` message.
#[derive(Deserialize)]
struct DroppedData {
    reason: String,
    #[serde(default)]
    detail: String,
}

impl Copy {
    /// The copy that a snapshot's bytes make. `hash_seed` keys the tables in memory and shows in nothing.
    ///
    /// # Errors
    /// The bytes are no snapshot, or no ledger has this state; in words.
    pub(super) fn from_state(bytes: &[u8], hash_seed: u64, now_ms: u64) -> Result<Self, String> {
        let in_words = |error| format!("The server's state cannot be taken: {error}.");
        let snapshot = Snapshot::decode(bytes).map_err(|error| in_words(error.to_string()))?;
        let follower = Follower::resume(&snapshot, hash_seed).map_err(|error| in_words(error.to_string()))?;
        let began_at = snapshot.next_sequence();
        let mut copy = Self {
            follower,
            events: Events::default(),
            order: BalancesOrder::default(),
            log_id: format!("{:032x}", u128::from_be_bytes(snapshot.identity.log_id)),
            began_at,
            batch: String::new(),
            header: String::new(),
            seal: snapshot.border.map(|border| hex(&border.seal.0)).unwrap_or_default(),
            position: Some(Position {
                sequence: began_at,
                digest: snapshot.digest.to_string(),
                recorded_at_micros: snapshot.recorded_at().micros(),
            }),
            awaits_position: false,
            verdict: Verdict::NotYet,
            compared: 0,
            seals: 0,
            meter: Meter::new(now_ms),
        };
        copy.meter.received_bytes = bytes.len() as u64;
        Ok(copy)
    }

    /// The id of the log, 32 lower-case hex digits.
    pub(super) fn log_id(&self) -> &str {
        &self.log_id
    }

    /// The record that comes next.
    pub(super) fn next_sequence(&self) -> u64 {
        self.follower.next_sequence()
    }

    /// A stream begins at [`Copy::next_sequence`]: what the one before left unfinished comes again.
    pub(super) fn stream_begins(&mut self) {
        self.batch.clear();
    }

    /// So many bytes came from the server.
    pub(super) fn received(&mut self, bytes: usize) {
        self.meter.received_bytes += bytes as u64;
        self.meter.interval_bytes += bytes as u64;
    }

    /// Takes a message of the stream.
    ///
    /// # Errors
    /// What it says contradicts the log so far, or the server's digest differs at the same sequence; in words.
    pub(super) fn take(&mut self, message: &Message) -> Result<Taken, String> {
        match message.event.as_str() {
            "record" => self.gather(&message.data).map(|()| Taken::Nothing),
            "seal" => {
                let SealData { seal } = parsed(message)?;
                if self.batch.is_empty() && seal == self.seal {
                    return Ok(Taken::Nothing);
                }
                self.gather(&message.data)?;
                let taken = self.fold_batch()?;
                self.seal = seal;
                self.seals += 1;
                Ok(taken)
            }
            "header" if message.data == self.header => Ok(Taken::Nothing),
            "header" => {
                message.data.clone_into(&mut self.header);
                self.gather(&message.data)?;
                self.fold_batch()
            }
            "position" => {
                let PositionData { sequence, digest, recorded_at } = parsed(message)?;
                self.position = Some(Position { sequence, digest, recorded_at_micros: recorded_at });
                self.awaits_position = true;
                self.compare()
            }
            "dropped" => {
                let DroppedData { reason, detail } = parsed(message)?;
                let why = match reason.as_str() {
                    "slow_reader" => "The server ended the stream, because this page read it too slowly.",
                    "stopping" => "The server is stopping.",
                    _ => {
                        return Ok(Taken::Dropped(format!(
                            "The server ended the stream: {reason}. {detail}"
                        )));
                    }
                };
                Ok(Taken::Dropped(why.to_owned()))
            }
            // A later version of the server may say more.
            _ => Ok(Taken::Nothing),
        }
    }

    fn gather(&mut self, lines: &str) -> Result<(), String> {
        if self.batch.len() + lines.len() >= BATCH_BYTES_MAX {
            return Err(format!("More than {BATCH_BYTES_MAX} bytes of records came without a seal."));
        }
        self.batch.push_str(lines);
        self.batch.push('\n');
        Ok(())
    }

    fn fold_batch(&mut self) -> Result<Taken, String> {
        let (events, meter) = (&mut self.events, &mut self.meter);
        let folded = self.follower.push_lines_with(&self.batch, |record| {
            events.push(record);
            meter.count(matches!(record.events, [Event::TransactionFailed(_), ..]));
        });
        self.batch.clear();
        folded.map_err(|error| format!("The log cannot be followed: {error}."))?;
        if self.next_sequence() - self.began_at >= COPY_RECORDS_MAX {
            return Ok(Taken::Full);
        }
        self.compare()
    }

    /// Compares digests if the copy stands exactly where the server told its own.
    fn compare(&mut self) -> Result<Taken, String> {
        let Some(position) = &self.position else { return Ok(Taken::Nothing) };
        if !self.awaits_position || position.sequence != self.next_sequence() {
            return Ok(Taken::Nothing);
        }
        self.awaits_position = false;
        self.compared += 1;
        let (sequence, ours) = (position.sequence, self.follower.digest().to_string());
        if ours == position.digest {
            self.verdict = Verdict::Equal { sequence, digest: ours };
            return Ok(Taken::ReachedPosition);
        }
        let theirs = position.digest.clone();
        let why =
            format!("At sequence {sequence} the server's digest is {theirs}, and this tab computed {ours}.");
        self.verdict = Verdict::Differs { sequence, ours, theirs };
        Err(why)
    }

    /// Why a command that was typed cannot be meant, as far as the copy knows.
    pub(super) fn why_not(&self, body: &HandBody) -> Option<String> {
        let (account, typed_in) = match body {
            HandBody::Transfer { from_account, asset, .. } => (from_account, asset),
            HandBody::Deposit { account, asset, .. } => (account, asset),
            HandBody::OpenAccount { .. } => return None,
        };
        let balances = &self.follower.projections().balances;
        let row = balances.row(balances.find(&account.parse::<AccountName>().ok()?)?);
        let (holds, asset) = (row.asset.as_str(), typed_in.as_str());
        (holds != asset).then(|| {
            format!(
                "{account} holds {holds}, and the amount was typed in {asset}. Choose {holds} as the asset."
            )
        })
    }

    /// Time passed on the worker's clock.
    pub(super) fn tick(&mut self, now_ms: u64) {
        self.meter.tick(now_ms);
    }

    /// What every frame shows.
    pub(super) fn fast_parts(&self, frame: &mut Frame) {
        let projections = self.follower.projections();
        frame.sequence = Some(self.next_sequence());
        frame.digest = Some(self.follower.digest().to_string());
        frame.balances_total = Some(balances_total(projections));
        frame.counts = Some(counts(projections, self.events.total()));
    }

    /// The tables and the chart.
    pub(super) fn slow_parts(&mut self, frame: &mut Frame, views: &Views) {
        let projections = self.follower.projections();
        frame.events = Some(self.events.window(&views.events, &projections.balances));
        frame.balances = Some(self.order.window(&views.balances, projections));
        frame.entries = views
            .entries
            .as_ref()
            .and_then(|(account, before)| entries_window(account, *before, projections));
        frame.chart = Some(self.meter.chart());
    }

    /// What is known of the server, the connection apart.
    pub(super) fn view(&self) -> LiveView {
        let told = self.position.as_ref().map_or(0, |position| position.sequence);
        LiveView {
            log_id: self.log_id.clone(),
            began_at: self.began_at,
            position: self.position.clone(),
            lag: told.saturating_sub(self.next_sequence()),
            verdict: self.verdict.clone(),
            compared: self.compared,
            seals: self.seals,
            records: self.next_sequence() - self.began_at,
            received_bytes: self.meter.received_bytes,
            bytes_per_second: self.meter.per_second(|interval| interval.bytes),
            records_per_second: self.meter.per_second(|interval| interval.records),
            ..nothing()
        }
    }
}

/// What is known of a server before there is a copy.
pub(super) fn nothing() -> LiveView {
    LiveView {
        server: String::new(),
        connection: Connection::OpeningStream,
        token: TokenUse::Absent,
        log_id: String::new(),
        began_at: 0,
        position: None,
        lag: 0,
        verdict: Verdict::NotYet,
        compared: 0,
        seals: 0,
        records: 0,
        received_bytes: 0,
        bytes_per_second: 0,
        records_per_second: 0,
        reconnects: 0,
        snapshots: 0,
        remark: String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parsed<T: for<'a> Deserialize<'a>>(message: &Message) -> Result<T, String> {
    serde_json::from_str(&message.data)
        .map_err(|error| format!("The server's {} message cannot be read: {error}.", message.event))
}

/// Counts by the clock on the wall, as records arrive.
struct Meter {
    intervals: VecDeque<Interval>,
    interval_began_ms: u64,
    completed: u32,
    refused: u32,
    interval_bytes: u64,
    received_bytes: u64,
}

/// What arrived in an interval.
#[derive(Clone, Copy, Default)]
struct Interval {
    completed: u32,
    refused: u32,
    records: u64,
    bytes: u64,
}

impl Meter {
    fn new(now_ms: u64) -> Self {
        Self {
            intervals: VecDeque::new(),
            interval_began_ms: now_ms,
            completed: 0,
            refused: 0,
            interval_bytes: 0,
            received_bytes: 0,
        }
    }

    fn count(&mut self, is_refused: bool) {
        let count = if is_refused { &mut self.refused } else { &mut self.completed };
        *count = count.saturating_add(1);
    }

    /// Closes the intervals that are over; those in which nothing came are there too.
    fn tick(&mut self, now_ms: u64) {
        let over = now_ms.saturating_sub(self.interval_began_ms) / INTERVAL_MS;
        self.interval_began_ms += over * INTERVAL_MS;
        for _ in 0..over.min(CHART_POINTS_MAX as u64) {
            let (completed, refused) =
                (std::mem::take(&mut self.completed), std::mem::take(&mut self.refused));
            if self.intervals.len() == CHART_POINTS_MAX {
                self.intervals.pop_front();
            }
            self.intervals.push_back(Interval {
                completed,
                refused,
                records: u64::from(completed) + u64::from(refused),
                bytes: std::mem::take(&mut self.interval_bytes),
            });
        }
    }

    fn per_second(&self, of: impl Fn(&Interval) -> u64) -> u64 {
        let last = self.intervals.iter().rev().take(RATE_INTERVALS);
        last.map(of).sum::<u64>() * 1_000 / (INTERVAL_MS * RATE_INTERVALS as u64)
    }

    fn chart(&self) -> ChartView {
        let points = self.intervals.iter().zip(1..).map(|(interval, number)| ChartPoint {
            at_micros: number * INTERVAL_MS * 1_000,
            completed: interval.completed,
            refused: interval.refused,
            latency_p50_micros: 0,
            latency_p95_micros: 0,
            latency_p99_micros: 0,
        });
        ChartView { interval_micros: INTERVAL_MS * 1_000, points: points.collect() }
    }
}

#[cfg(test)]
mod tests {
    use journal::{Decoder, Item, ToLines};
    use pipeline::{LedgerContent, LogIdentity, SnapshotAccount};
    use sim::{Options, Until, World};

    use super::*;

    fn message(event: &str, data: impl Into<String>) -> Message {
        Message { event: event.to_owned(), data: data.into(), last_id: String::new() }
    }

    fn position(sequence: u64, digest: &str) -> Message {
        let data = format!(r#"{{"sequence":{sequence},"digest":"{digest}","recorded_at":7}}"#);
        message("position", data)
    }

    /// The messages of a world's whole log, as a server sends them, and its digest.
    fn log() -> (Vec<Message>, u64, String) {
        let mut world = World::new(Options { accounts: 20, ..Options::default() }).expect("good options");
        world.run(&Until { sequence: 300, ..Until::default() });
        let mut decoder = Decoder::new();
        let mut to_lines = ToLines::new(LedgerContent::default());
        let mut messages = Vec::new();
        let mut take = |item: Item<'_>| {
            let mut lines = Vec::new();
            to_lines.push(&item, &mut lines).expect("a record that a ledger wrote");
            let event = match item {
                Item::Header(_) => "header",
                Item::Record { .. } => "record",
                Item::Seal { .. } => "seal",
            };
            let lines = String::from_utf8(lines).expect("text");
            messages.push(message(event, lines.trim_end_matches('\n')));
        };
        for slice in world.journal().log().slices(0, world.journal().durable_bytes()) {
            decoder.push(slice);
            while let Some(item) = decoder.next().expect("a log without damage") {
                take(item);
            }
        }
        // In the world's own time the last batch is on its way: what is durable is what the lines fold to.
        let mut follower = Follower::new(0);
        for message in &messages {
            follower.push_lines(&format!("{}\n", message.data)).expect("the log's own lines");
        }
        (messages, follower.next_sequence(), follower.digest().to_string())
    }

    /// The snapshot behind the seal that ends the first `count` messages.
    fn state_behind(messages: &[Message]) -> Vec<u8> {
        let mut follower = Follower::new(0);
        for message in messages {
            follower.push_lines(&format!("{}\n", message.data)).expect("the log's own lines");
        }
        let border = follower.border().expect("the last message is a seal");
        let accounts = follower.projections().balances.iter().map(|(_, row)| SnapshotAccount {
            name: row.name.clone(),
            asset: row.asset.clone(),
            scale: row.scale,
            floor: row.floor,
            posted: row.posted,
            pending: row.pending,
        });
        let snapshot = Snapshot {
            identity: LogIdentity {
                log_id: border.header.log_id,
                ledger_id: border.header.ledger_id,
                partition: border.header.partition,
            },
            border: Some(border),
            digest: follower.digest(),
            counts: follower.projections().counts.clone(),
            accounts: accounts.collect(),
            holds: follower.projections().pending.holds().iter().collect(),
        };
        snapshot.encode()
    }

    /// Splits the log behind its `count`th seal.
    fn split(messages: &[Message], count: usize) -> (&[Message], &[Message]) {
        let seals = messages.iter().enumerate().filter(|(_, message)| message.event == "seal");
        let at = seals.map(|(at, _)| at + 1).nth(count - 1).expect("so many seals");
        messages.split_at(at)
    }

    fn take_all(copy: &mut Copy, messages: &[Message]) {
        for message in messages {
            copy.take(message).expect("the log's own messages");
        }
    }

    #[test]
    fn a_copy_from_a_state_and_the_stream_has_the_server_s_digest() {
        let (messages, sequence, digest) = log();
        let (before, behind) = split(&messages, 3);
        let mut copy = Copy::from_state(&state_behind(before), 9, 0).expect("a state");
        let began_at = copy.next_sequence();
        assert!(began_at > 0 && began_at < sequence);
        assert_eq!(copy.take(&position(sequence, &digest)), Ok(Taken::Nothing), "not there yet");
        assert_eq!(copy.view().lag, sequence - began_at);
        take_all(&mut copy, behind);
        let equal = Verdict::Equal { sequence, digest: digest.clone() };
        assert_eq!(copy.view().verdict, equal, "compared when it got there");
        assert_eq!(copy.take(&position(sequence, &digest)), Ok(Taken::ReachedPosition));
        let view = copy.view();
        assert_eq!((view.lag, view.records, view.compared), (0, sequence - began_at, 2));
        assert_eq!(view.began_at, began_at);
    }

    #[test]
    fn a_stream_that_breaks_inside_a_batch_goes_on_at_the_last_seal() {
        let (messages, sequence, digest) = log();
        let (before, behind) = split(&messages, 3);
        let mut copy = Copy::from_state(&state_behind(before), 9, 0).expect("a state");
        let began_at = copy.next_sequence();
        assert_eq!(behind[0].event, "record");
        take_all(&mut copy, &behind[..1]);
        assert_eq!(copy.next_sequence(), began_at, "nothing is folded before its seal");
        copy.stream_begins();
        take_all(&mut copy, behind);
        assert_eq!(copy.take(&position(sequence, &digest)), Ok(Taken::ReachedPosition));
    }

    #[test]
    fn a_stream_may_say_the_seal_again_behind_which_it_goes_on() {
        let (messages, sequence, digest) = log();
        let (before, behind) = split(&messages, 2);
        let mut copy = Copy::from_state(&state_behind(before), 9, 0).expect("a state");
        take_all(&mut copy, &before[before.len() - 1..]);
        let (next, rest) = split(behind, 1);
        take_all(&mut copy, next);
        copy.stream_begins();
        take_all(&mut copy, &next[next.len() - 1..]);
        take_all(&mut copy, rest);
        assert_eq!(copy.take(&position(sequence, &digest)), Ok(Taken::ReachedPosition));
        assert!(copy.take(&before[before.len() - 1]).is_err(), "but no older one");
    }

    #[test]
    fn a_digest_that_differs_is_said_and_kept() {
        let (messages, sequence, digest) = log();
        let (before, behind) = split(&messages, 1);
        let mut copy = Copy::from_state(&state_behind(before), 9, 0).expect("a state");
        take_all(&mut copy, behind);
        let other = digest.chars().rev().collect::<String>();
        let why = copy.take(&position(sequence, &other)).expect_err("it differs");
        assert!(why.contains(&other) && why.contains(&digest), "{why}");
        assert_eq!(copy.view().verdict, Verdict::Differs { sequence, ours: digest, theirs: other });
    }

    #[test]
    fn a_changed_line_and_a_missing_record_are_refused() {
        let (messages, ..) = log();
        let (before, behind) = split(&messages, 2);
        let state = state_behind(before);
        let outcome = |messages: &[Message]| {
            let mut copy = Copy::from_state(&state, 9, 0).expect("a state");
            messages.iter().find_map(|message| copy.take(message).err())
        };
        assert_eq!(outcome(behind), None);
        assert!(outcome(&behind[1..]).is_some(), "a record is missing");
        let mut changed = behind.to_vec();
        changed[0].data = changed[0].data.replacen("\"amount\":", "\"amount\":1", 1);
        assert!(outcome(&changed).is_some(), "an amount was changed");
        assert!(Copy::from_state(&state[1..], 9, 0).is_err());
    }

    #[test]
    fn the_server_s_last_word_ends_the_stream() {
        let (messages, ..) = log();
        let mut copy = Copy::from_state(&state_behind(split(&messages, 1).0), 9, 0).expect("a state");
        let dropped = message("dropped", r#"{"reason":"stopping","detail":"bye"}"#);
        assert_eq!(copy.take(&dropped), Ok(Taken::Dropped("The server is stopping.".into())));
        assert_eq!(copy.take(&message("news", "of a later version")), Ok(Taken::Nothing));
        assert!(copy.take(&message("position", "{}")).is_err());
    }

    #[test]
    fn a_command_in_the_wrong_asset_is_not_sent() {
        let (messages, ..) = log();
        let copy = Copy::from_state(&state_behind(split(&messages, 2).0), 9, 0).expect("a state");
        let deposit = |account: &str, asset: &str| HandBody::Deposit {
            account: account.into(),
            amount: 1,
            asset: asset.into(),
        };
        assert_eq!(copy.why_not(&deposit("account-00001", "USD")), None);
        assert_eq!(copy.why_not(&deposit("unknown", "EUR")), None, "the server decides");
        assert!(copy.why_not(&deposit("account-00001", "EUR")).is_some());
    }

    #[test]
    fn rates_are_counted_by_the_clock_and_fall_to_zero() {
        let mut meter = Meter::new(1_000);
        (0..30).for_each(|_| meter.count(false));
        (0..10).for_each(|_| meter.count(true));
        meter.interval_bytes = 400;
        meter.tick(1_999);
        assert_eq!(meter.per_second(|interval| interval.records), 40, "over the last second");
        assert_eq!(meter.per_second(|interval| interval.bytes), 400);
        meter.tick(3_000);
        assert_eq!(meter.per_second(|interval| interval.records), 0);
        assert_eq!(meter.chart().points.len(), 4);
        meter.tick(u64::MAX);
        assert_eq!(meter.chart().points.len(), CHART_POINTS_MAX);
    }
}
