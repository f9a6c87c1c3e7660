//! The limits of queues and topics, each with a name.

use core::fmt;

use time::Timestamp;

/// The limits of a [`Queue`](crate::Queue). All are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Most messages held at once, waiting and in flight together.
    pub capacity_messages: u32,
    /// Most body bytes held at once, waiting and in flight together. A larger message is refused for good.
    pub capacity_bytes: u64,
    /// How long a delivery may take, in microseconds, before the message is ready again.
    pub visibility_timeout_micros: u64,
    /// After how many failed deliveries a message becomes a dead letter.
    pub attempts_max: u32,
    /// Most dead letters held at once. The queue's module says what happens when they are full.
    pub dead_letters_max: u32,
    /// What `Busy` tells the producer: try again after so many microseconds.
    pub retry_after_micros: u64,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            capacity_messages: 16_384,
            capacity_bytes: 16 << 20,
            visibility_timeout_micros: 30_000_000,
            attempts_max: 5,
            dead_letters_max: 1_024,
            retry_after_micros: 10_000,
        }
    }
}

impl QueueConfig {
    /// The first field out of range, in the order of declaration.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = u64::from(u32::MAX);
        let micros = Timestamp::MAX.micros();
        in_range("capacity_messages", u64::from(self.capacity_messages), counts)?;
        in_range("capacity_bytes", self.capacity_bytes, u64::MAX)?;
        in_range("visibility_timeout_micros", self.visibility_timeout_micros, micros)?;
        in_range("attempts_max", u64::from(self.attempts_max), counts)?;
        in_range("dead_letters_max", u64::from(self.dead_letters_max), counts)?;
        in_range("retry_after_micros", self.retry_after_micros, micros)
    }
}

/// The limits of a [`Topic`](crate::Topic). All are at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Most messages retained; the oldest is dropped for a new one.
    pub retained_messages_max: u32,
    /// Most body bytes retained; the oldest are dropped for a new one. A larger message is refused.
    pub retained_bytes_max: u64,
    /// Most subscribers at once.
    pub subscribers_max: u32,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self { retained_messages_max: 16_384, retained_bytes_max: 16 << 20, subscribers_max: 1_024 }
    }
}

impl TopicConfig {
    /// The first field out of range, in the order of declaration.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let counts = u64::from(u32::MAX);
        in_range("retained_messages_max", u64::from(self.retained_messages_max), counts)?;
        in_range("retained_bytes_max", self.retained_bytes_max, u64::MAX)?;
        in_range("subscribers_max", u64::from(self.subscribers_max), counts)
    }
}

/// A config's field is out of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field's name.
    pub field: &'static str,
    /// What it is set to.
    pub value: u64,
    /// The least it may be.
    pub min: u64,
    /// The most it may be.
    pub max: u64,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigError { field, value, min, max } = self;
        write!(f, "{field} is {value}; set it to a number from {min} to {max}")
    }
}

impl core::error::Error for ConfigError {}

fn in_range(field: &'static str, value: u64, max: u64) -> Result<(), ConfigError> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(ConfigError { field, value, min: 1, max }) }
}
