//! What a world is made of: every number that, with the inputs made by hand, decides a run.

use core::fmt;

use ledger::{AccountName, Asset};
use serde::{Deserialize, Serialize};
use time::Timestamp;

use crate::zipf::RANKS_MAX;

/// Everything that decides a run but the inputs made by hand. The default is a lively demonstration without crashes.
///
/// Shares are in 1,000. Times are virtual microseconds. A missing field of a JSON form has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Every draw comes from it.
    pub seed: u64,
    /// Virtual time at step 0, microseconds since the Unix epoch.
    pub starts_at_micros: u64,
    /// Accounts that the generated workload opens before its first transfer; 2 or more.
    pub accounts: u32,
    /// What each of them is opened with, in minor units; 0 or more.
    pub opening_balance: i64,
    /// The asset of the generated accounts.
    pub asset: String,
    /// Its decimal places.
    pub scale: u8,
    /// Who sends commands, and how fast.
    pub workload: Workload,
    /// How uneven the use of accounts is: 0 is uniform, 1,000 is the classic Zipf.
    pub zipf_exponent_per_mille: u32,
    /// Generated amounts are between 1 and this, in minor units.
    pub amount_max: i64,
    /// Commands that repeat an earlier one, same id and body.
    pub duplicates_per_mille: u32,
    /// Commands that are deposits.
    pub deposits_per_mille: u32,
    /// Commands that are withdrawals.
    pub withdrawals_per_mille: u32,
    /// Commands that will be refused or answered as a conflict, one kind after the other.
    pub bad_commands_per_mille: u32,
    /// Commands that hold an amount for a transfer, or post or void one that was held.
    pub pending_per_mille: u32,
    /// Commands that are groups of transfers.
    pub linked_per_mille: u32,
    /// Commands that give an account another floor.
    pub floors_per_mille: u32,
    /// The network between clients and gateway.
    pub link: Link,
    /// How patient clients are.
    pub client: Client,
    /// How long an append takes to become durable.
    pub disk: Micros,
    /// How look-ups of transaction ids are answered.
    pub lookups: Lookups,
    /// The store that follows the log behind the pipeline.
    pub read_store: ReadStore,
    /// Crashes drawn from the seed.
    pub crashes: Crashes,
    /// Faults at a fixed time or step.
    pub faults: Vec<Fault>,
    /// An operator redrives every dead letter this often; 0: never.
    pub redrive_every_micros: u64,
    /// Safeguards of the simulated surroundings that are switched off; each lets something go wrong that a checker finds.
    pub safeguards_off: Vec<Safeguard>,
    /// The limits of the pipeline.
    pub pipeline: pipeline::Config,
    /// Rows of a feed that are on their way through the pipeline at once, if the command queue has room for them.
    pub feed_window: u32,
    /// The generated workload ends when so many events are durable; 0: never.
    pub events_max: u64,
    /// The world stands still when its log has so many bytes.
    pub log_bytes_max: u64,
    /// The log is refolded from where the last refold ended after so many records.
    pub refold_every_records: u64,
    /// The whole log is replayed from empty memory after so many records, which costs O(log); 0: only when asked.
    pub full_check_every_records: u64,
    /// Length of one sample of throughput and latency.
    pub sample_micros: u64,
}

/// Who sends commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Nobody: only inputs made by hand.
    Idle,
    /// Closed loop: each client waits for its answer, thinks, and sends its next command.
    Closed {
        /// How many clients there are.
        clients: u32,
        /// How long they think.
        think: Micros,
    },
    /// Open loop: commands arrive whether or not earlier ones are answered.
    Open {
        /// Commands in a virtual second.
        arrivals_per_second: u32,
        /// Commands that wait for an answer at most; those that would be more are not sent, and counted.
        clients_max: u32,
    },
}

/// A range of durations in virtual microseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Micros {
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

/// The network between clients and gateway, in both directions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// How long a message travels.
    pub delay: Micros,
    /// Messages that never arrive.
    pub loss_per_mille: u32,
    /// Messages that arrive twice.
    pub duplication_per_mille: u32,
    /// Messages are handed over at multiples of this, several in one delivery; 1 or more.
    pub tick_micros: u64,
}

/// How patient clients are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// Without an answer for so long, the command is sent again with the same id.
    pub timeout_micros: u64,
    /// How often a command is sent at most; then the client gives it up without knowing its outcome.
    pub attempts_max: u32,
}

/// How look-ups of transaction ids are answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lookups {
    /// How long the answer takes; 0 to 0 answers at once.
    pub delay: Micros,
    /// Look-ups that are never answered, so that commands run out of attempts and become dead letters.
    pub loss_per_mille: u32,
}

/// The store that follows the log behind the pipeline, as a database beside it would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadStore {
    /// How long it takes to fold what is there.
    pub delay: Micros,
    /// Batches that it is sent twice.
    pub redelivery_per_mille: u32,
}

/// Crashes of the pipeline that are drawn from the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Crashes {
    /// Mean time from one start to the next crash; 0: never.
    pub every_micros: u64,
    /// How long the pipeline is down.
    pub down: Micros,
    /// Crashes after which an append of the dead pipeline reaches the store late, when there is a new one.
    pub late_appends_per_mille: u32,
}

/// Something that goes wrong at a fixed point of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When.
    pub at: FaultTime,
    /// What.
    pub kind: FaultKind,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTime {
    /// So many virtual microseconds after the start.
    Micros(u64),
    /// Before the step with this number.
    Step(u64),
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The pipeline loses its memory; unacknowledged appends survive wholly, in part or not at all.
    CrashPipeline {
        /// How long it is down.
        down_micros: u64,
    },
    /// The next append fails; the pipeline stops and is started again from the durable log.
    FailAppend,
    /// No message gets through between clients and gateway.
    LinkDown {
        /// For so long.
        micros: u64,
    },
}

/// A property of the simulated surroundings that holds unless it is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Safeguard {
    /// The disk keeps what it reported as durable. Off: a crash takes the last acknowledged append away as well.
    DurableAppends,
    /// The journal store refuses an append of an older generation. Off: it writes it.
    Fencing,
    /// The log's bytes come back as they were written. Off: now and then a bit flips.
    IntactLog,
    /// Requests arrive as they were sent. Off: now and then an amount changes on the way.
    IntactRequests,
    /// Answers arrive as they were given. Off: now and then a result changes on the way.
    IntactReplies,
    /// Look-ups see every durable record. Off: now and then one is answered from an old copy of the index.
    FreshLookups,
    /// The read store commits its checkpoint with what it folded. Off: what it is sent twice it folds twice.
    AtomicCheckpoint,
    /// The read store is sent every record. Off: now and then it misses one.
    GaplessFeed,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            seed: 1,
            starts_at_micros: 1_767_225_600_000_000, // 2026-01-01 00:00:00 UTC
            accounts: 1_000,
            opening_balance: 100_000,
            asset: String::from("USD"),
            scale: 2,
            workload: Workload::Closed { clients: 256, think: Micros { min: 500, max: 4_500 } },
            zipf_exponent_per_mille: 800,
            amount_max: 25_000,
            duplicates_per_mille: 10,
            deposits_per_mille: 20,
            withdrawals_per_mille: 20,
            bad_commands_per_mille: 10,
            pending_per_mille: 0,
            linked_per_mille: 0,
            floors_per_mille: 0,
            link: Link::default(),
            client: Client::default(),
            disk: Micros { min: 300, max: 1_500 },
            lookups: Lookups::default(),
            read_store: ReadStore::default(),
            crashes: Crashes::default(),
            faults: Vec::new(),
            redrive_every_micros: 0,
            safeguards_off: Vec::new(),
            pipeline: pipeline::Config {
                visibility_timeout_micros: 1_000_000,
                ..pipeline::Config::default()
            },
            feed_window: 4_096,
            events_max: 0,
            log_bytes_max: 256 << 20,
            refold_every_records: 4_096,
            full_check_every_records: 4_096,
            sample_micros: 100_000,
        }
    }
}

impl Default for Link {
    fn default() -> Self {
        Link {
            delay: Micros { min: 100, max: 1_000 },
            loss_per_mille: 2,
            duplication_per_mille: 2,
            tick_micros: 50,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Client { timeout_micros: 200_000, attempts_max: 20 }
    }
}

impl Default for Lookups {
    fn default() -> Self {
        Lookups { delay: Micros { min: 0, max: 0 }, loss_per_mille: 0 }
    }
}

impl Default for ReadStore {
    fn default() -> Self {
        ReadStore { delay: Micros { min: 200, max: 3_000 }, redelivery_per_mille: 20 }
    }
}

impl Default for Crashes {
    fn default() -> Self {
        let down = Micros { min: 50_000, max: 500_000 };
        Crashes { every_micros: 0, down, late_appends_per_mille: 500 }
    }
}

/// An option that cannot work, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsError {
    /// The field, with a dot between a group and its field.
    pub field: &'static str,
    /// What it must be.
    pub must: String,
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "option {} must be {}", self.field, self.must)
    }
}

impl std::error::Error for OptionsError {}

/// The longest virtual duration that an option may have: ten years.
const DURATION_MICROS_MAX: u64 = 10 * 366 * 86_400 * 1_000_000;
/// Clients at most; their numbers stand in request ids beside a running number.
pub(crate) const CLIENTS_MAX: u32 = 1 << 20;

impl Options {
    /// Refuses what cannot work; the error names the field.
    pub fn validate(&self) -> Result<(), OptionsError> {
        self.validate_accounts()?;
        self.validate_shares()?;
        self.validate_workload()?;
        self.validate_durations()?;
        self.pipeline
            .validate()
            .map_err(|error| OptionsError { field: pipeline_field(error.field), must: error.must })?;
        in_range("feed_window", self.feed_window.into(), 1, u32::MAX.into())?;
        in_range("log_bytes_max", self.log_bytes_max, 1 << 16, u64::MAX)?;
        in_range("refold_every_records", self.refold_every_records, 1, u64::MAX)
    }

    /// Is this safeguard of the surroundings switched off?
    pub(crate) fn lacks(&self, safeguard: Safeguard) -> bool {
        self.safeguards_off.contains(&safeguard)
    }

    fn validate_accounts(&self) -> Result<(), OptionsError> {
        in_range("accounts", self.accounts.into(), 2, RANKS_MAX.into())?;
        if let Err(error) = self.asset.parse::<Asset>() {
            return Err(OptionsError { field: "asset", must: format!("an asset code: {error}") });
        }
        in_range("scale", self.scale.into(), 0, ledger::SCALE_MAX.into())?;
        in_range("starts_at_micros", self.starts_at_micros, 0, Timestamp::MAX.micros() / 2)?;
        in_range("zipf_exponent_per_mille", self.zipf_exponent_per_mille.into(), 0, 10_000)?;
        if self.opening_balance < 0 {
            return Err(OptionsError { field: "opening_balance", must: String::from("0 or more") });
        }
        if self.opening_balance.checked_mul(i64::from(self.accounts)).is_none() {
            let must = format!("so small that {} accounts together stay below 2^63", self.accounts);
            return Err(OptionsError { field: "opening_balance", must });
        }
        if self.amount_max < 1 {
            return Err(OptionsError { field: "amount_max", must: String::from("1 or more") });
        }
        Ok(())
    }

    fn validate_shares(&self) -> Result<(), OptionsError> {
        for (field, share) in [
            ("link.loss_per_mille", self.link.loss_per_mille),
            ("link.duplication_per_mille", self.link.duplication_per_mille),
            ("lookups.loss_per_mille", self.lookups.loss_per_mille),
            ("read_store.redelivery_per_mille", self.read_store.redelivery_per_mille),
            ("crashes.late_appends_per_mille", self.crashes.late_appends_per_mille),
        ] {
            in_range(field, share.into(), 0, 1_000)?;
        }
        let mut sum = 0_u64;
        for (field, share) in [
            ("duplicates_per_mille", self.duplicates_per_mille),
            ("deposits_per_mille", self.deposits_per_mille),
            ("withdrawals_per_mille", self.withdrawals_per_mille),
            ("bad_commands_per_mille", self.bad_commands_per_mille),
            ("pending_per_mille", self.pending_per_mille),
            ("linked_per_mille", self.linked_per_mille),
            ("floors_per_mille", self.floors_per_mille),
        ] {
            sum += u64::from(share);
            if sum > 1_000 {
                let must = String::from("at most 1000 together with the other shares of commands");
                return Err(OptionsError { field, must });
            }
        }
        Ok(())
    }

    fn validate_workload(&self) -> Result<(), OptionsError> {
        match &self.workload {
            Workload::Idle => Ok(()),
            Workload::Closed { clients, think } => {
                in_range("workload.clients", (*clients).into(), 1, CLIENTS_MAX.into())?;
                duration("workload.think", *think)
            }
            Workload::Open { arrivals_per_second, clients_max } => {
                in_range("workload.arrivals_per_second", (*arrivals_per_second).into(), 1, 100_000_000)?;
                in_range("workload.clients_max", (*clients_max).into(), 1, CLIENTS_MAX.into())
            }
        }
    }

    fn validate_durations(&self) -> Result<(), OptionsError> {
        duration("link.delay", self.link.delay)?;
        duration("disk", self.disk)?;
        duration("lookups.delay", self.lookups.delay)?;
        duration("read_store.delay", self.read_store.delay)?;
        duration("crashes.down", self.crashes.down)?;
        in_range("link.tick_micros", self.link.tick_micros, 1, 1_000_000)?;
        in_range("client.timeout_micros", self.client.timeout_micros, 1, DURATION_MICROS_MAX)?;
        in_range("client.attempts_max", self.client.attempts_max.into(), 1, u32::MAX.into())?;
        in_range("crashes.every_micros", self.crashes.every_micros, 0, DURATION_MICROS_MAX)?;
        in_range("redrive_every_micros", self.redrive_every_micros, 0, DURATION_MICROS_MAX)?;
        in_range("sample_micros", self.sample_micros, 1, DURATION_MICROS_MAX)?;
        for fault in &self.faults {
            if let FaultTime::Micros(micros) = fault.at {
                in_range("faults.at", micros, 0, DURATION_MICROS_MAX)?;
            }
            match fault.kind {
                FaultKind::CrashPipeline { down_micros } => {
                    in_range("faults.down_micros", down_micros, 0, DURATION_MICROS_MAX)?;
                }
                FaultKind::LinkDown { micros } => in_range("faults.micros", micros, 0, DURATION_MICROS_MAX)?,
                FaultKind::FailAppend => {}
            }
        }
        Ok(())
    }
}

/// The name of account `number` of the generated workload, counted from 0.
pub(crate) fn account_name(number: u32) -> AccountName {
    format!("account-{number:05}").parse().expect("short, and without control characters")
}

fn duration(field: &'static str, range: Micros) -> Result<(), OptionsError> {
    if range.min > range.max {
        return Err(OptionsError {
            field,
            must: format!("a range, but min {} is above max {}", range.min, range.max),
        });
    }
    in_range(field, range.max, 0, DURATION_MICROS_MAX)
}

fn in_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), OptionsError> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(OptionsError { field, must: format!("from {min} to {max}, not {value}") })
    }
}

/// The pipeline's own fields keep their names; only the ones that an error can name are listed.
fn pipeline_field(field: &'static str) -> &'static str {
    match field {
        "commands_max" => "pipeline.commands_max",
        "commands_bytes_max" => "pipeline.commands_bytes_max",
        "visibility_timeout_micros" => "pipeline.visibility_timeout_micros",
        "attempts_max" => "pipeline.attempts_max",
        "dead_letters_max" => "pipeline.dead_letters_max",
        "stage_commands_max" => "pipeline.stage_commands_max",
        "append_records_max" => "pipeline.append_records_max",
        "append_bytes_max" => "pipeline.append_bytes_max",
        "pending_transfers_max" => "pipeline.pending_transfers_max",
        "expiries_max" => "pipeline.expiries_max",
        "appends_in_flight_max" => "pipeline.appends_in_flight_max",
        "recent_ids_max" => "pipeline.recent_ids_max",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_both_forms() {
        let options = Options::default();
        options.validate().unwrap();
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
        assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), options);
        let bytes = postcard::to_stdvec(&options).unwrap();
        assert_eq!(postcard::from_bytes::<Options>(&bytes).unwrap(), options);
    }

    #[test]
    fn errors_name_the_field() {
        let refused = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        type Change = fn(&mut Options);
        let cases: [(Change, &str); 9] = [
            (|o| o.accounts = 1, "option accounts must be from 2 to 4194304, not 1"),
            (|o| o.asset = String::from("usd"), "option asset must be an asset code: "),
            (|o| o.opening_balance = -1, "option opening_balance must be 0 or more"),
            (|o| o.opening_balance = i64::MAX, "option opening_balance must be so small that 1000 accounts"),
            (|o| o.deposits_per_mille = 990, "option withdrawals_per_mille must be at most 1000 together"),
            (|o| o.disk.min = 9_999, "option disk must be a range, but min 9999 is above max 1500"),
            (
                |o| o.link.loss_per_mille = 1_001,
                "option link.loss_per_mille must be from 0 to 1000, not 1001",
            ),
            (|o| o.pipeline.attempts_max = 0, "option pipeline.attempts_max must be at least 1"),
            (|o| o.feed_window = 0, "option feed_window must be from 1 to"),
        ];
        for (change, expected) in cases {
            let message = refused(change);
            assert!(message.starts_with(expected), "{message}");
        }
        let unknown = serde_json::from_str::<Options>(r#"{"acounts":3}"#).unwrap_err().to_string();
        assert!(unknown.contains("unknown field `acounts`"), "{unknown}");
    }
}
