//! The limits of a pipeline, each with a name, a unit and an answer when it is hit.

use alloc::format;
use alloc::string::String;
use core::fmt;
use journal::FRAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// Every limit of a [`Pipeline`](crate::Pipeline). All of them are positive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Commands in the queue and in flight, in messages. Full: [`Answer::Busy`](crate::Answer::Busy).
    pub commands_max: u32,
    /// Commands in the queue and in flight, in bytes. Full: `Busy`.
    pub commands_bytes_max: u64,
    /// How long a pulled command may stay unacknowledged before it is delivered again, in microseconds.
    pub visibility_timeout_micros: u64,
    /// Deliveries of one command before it becomes a dead letter.
    pub attempts_max: u32,
    /// Dead letters held. Full: the poisoned command stays in the queue and the queue says so.
    pub dead_letters_max: u32,
    /// What `Busy` tells the client to wait, in microseconds.
    pub retry_after_micros: u64,
    /// Commands taken from the queue and not yet executed (they wait for their id to be looked up). A group is one.
    pub stage_commands_max: u32,
    /// Records gathered for one append; the members of a group count one by one, and the last group may go beyond. Full:
    /// nothing more is executed until the append before is done.
    pub append_records_max: u32,
    /// Bytes gathered for one append; the last record may go beyond. Full: as above.
    pub append_bytes_max: u64,
    /// Appends handed to the driver and not yet durable.
    pub appends_in_flight_max: u32,
    /// Ids answered from memory, the most recent ones; older ones are looked up.
    pub recent_ids_max: u32,
    /// Look-ups made for clients while the queue is full. Beyond: `Busy` without a look-up.
    pub gateway_lookups_max: u32,
    /// Answers to repeats and conflicts that wait for the append in flight. Beyond: `Busy`.
    pub repeats_waiting_max: u32,
    /// Pending transfers that are open at once. Beyond: `Busy` for a command that would open one.
    pub pending_transfers_max: u32,
    /// Pending transfers that expire in one call of [`Pipeline::handle_timeout`](crate::Pipeline::handle_timeout); the rest
    /// do at the next, for which it asks at once.
    pub expiries_max: u32,
    /// Sealed batches kept in the event topic for its subscribers.
    pub event_batches_retained_max: u32,
    /// Bytes kept in the event topic for its subscribers.
    pub event_bytes_retained_max: u64,
    /// Subscribers of the event topic. Full: a subscription is refused.
    pub event_subscribers_max: u32,
    /// Bytes of a segment of the log at most, about: see [`segment_limit`](crate::segment_limit). Each segment must be
    /// announced by [`Input::SegmentReady`](crate::Input::SegmentReady) before a record is made for it. `None`: the log is
    /// one segment, for which there is always room.
    pub segment_bytes: Option<u64>,
    /// What an append that is reported done vouches for.
    pub appended_is: AppendedIs,
    /// Key of the in-memory hash tables; never influences order, bytes or digest.
    pub hash_seed: u64,
}

/// What [`Input::Appended`](crate::Input::Appended) says of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppendedIs {
    /// They survive the loss of power. Seals name them as durable.
    #[default]
    Durable,
    /// They survive the end of the process, but perhaps not the loss of power. The durable mark of the seals stays at what
    /// was recovered, until [`Input::Close`](crate::Input::Close), before which the driver makes all of it durable.
    Written,
}

/// A header and a seal, and the record that goes beyond the limit.
const BATCH_BYTES_FIXED_MAX: u64 = 512 + FRAME_BYTES_MAX as u64;

impl Default for Config {
    fn default() -> Self {
        Config {
            commands_max: 65_536,
            commands_bytes_max: 32 << 20,
            visibility_timeout_micros: 30_000_000,
            attempts_max: 5,
            dead_letters_max: 10_000,
            retry_after_micros: 50_000,
            stage_commands_max: 1_024,
            append_records_max: 8_192,
            append_bytes_max: 4 << 20,
            appends_in_flight_max: 1,
            recent_ids_max: 32_768,
            gateway_lookups_max: 1_024,
            repeats_waiting_max: 8_192,
            pending_transfers_max: 100_000,
            expiries_max: 1_024,
            event_batches_retained_max: 1_024,
            event_bytes_retained_max: 8 << 20,
            event_subscribers_max: 1_024,
            segment_bytes: None,
            appended_is: AppendedIs::Durable,
            hash_seed: 0,
        }
    }
}

/// A limit that cannot work, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub must: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipeline configuration: {} must be {}", self.field, self.must)
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Refuses zero limits, and a memory of recent ids too small to cover what is in flight.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive: [(&'static str, u64); 18] = [
            ("commands_max", self.commands_max.into()),
            ("commands_bytes_max", self.commands_bytes_max),
            ("visibility_timeout_micros", self.visibility_timeout_micros),
            ("attempts_max", self.attempts_max.into()),
            ("dead_letters_max", self.dead_letters_max.into()),
            ("stage_commands_max", self.stage_commands_max.into()),
            ("append_records_max", self.append_records_max.into()),
            ("append_bytes_max", self.append_bytes_max),
            ("appends_in_flight_max", self.appends_in_flight_max.into()),
            ("recent_ids_max", self.recent_ids_max.into()),
            ("gateway_lookups_max", self.gateway_lookups_max.into()),
            ("repeats_waiting_max", self.repeats_waiting_max.into()),
            ("pending_transfers_max", self.pending_transfers_max.into()),
            ("expiries_max", self.expiries_max.into()),
            ("event_batches_retained_max", self.event_batches_retained_max.into()),
            ("event_bytes_retained_max", self.event_bytes_retained_max),
            ("event_subscribers_max", self.event_subscribers_max.into()),
            ("segment_bytes", self.segment_bytes.unwrap_or(1)),
        ];
        for (field, number) in positive {
            if number == 0 {
                return Err(ConfigError { field, must: String::from("at least 1") });
            }
        }
        let in_flight = self.in_flight_max();
        if u64::from(self.recent_ids_max) < in_flight {
            return Err(ConfigError {
                field: "recent_ids_max",
                must: format!(
                    "at least {in_flight} (stage_commands_max + append_records_max * (appends_in_flight_max + 1)), \
                     because an id must be remembered until a look-up can find it"
                ),
            });
        }
        let batch_bytes = self.append_bytes_max.saturating_add(BATCH_BYTES_FIXED_MAX);
        if self.event_bytes_retained_max < batch_bytes {
            return Err(ConfigError {
                field: "event_bytes_retained_max",
                must: format!("at least {batch_bytes}, the largest batch of append_bytes_max bytes"),
            });
        }
        Ok(())
    }

    /// Records whose ids a look-up may not find yet although they are taken: executed but not durable, or executed while
    /// a look-up was on its way.
    pub(crate) fn in_flight_max(&self) -> u64 {
        u64::from(self.append_records_max) * (u64::from(self.appends_in_flight_max) + 1)
            + u64::from(self.stage_commands_max)
    }
}
