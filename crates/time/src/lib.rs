//! Time as a value. Nothing here reads a clock: drivers read it, machines are told.

#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

/// A point in time: microseconds since the Unix epoch, below 2^53, so that it is exact as a JSON number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The Unix epoch.
    pub const ZERO: Timestamp = Timestamp(0);
    /// The last representable microsecond (in the year 2255).
    pub const MAX: Timestamp = Timestamp((1 << 53) - 1);

    /// `None` if `micros` is 2^53 or more.
    pub const fn from_micros(micros: u64) -> Option<Timestamp> {
        if micros <= Timestamp::MAX.0 { Some(Timestamp(micros)) } else { None }
    }

    /// Microseconds since the Unix epoch.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// This time plus `micros`, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn saturating_add_micros(self, micros: u64) -> Timestamp {
        let sum = self.0.saturating_add(micros);
        if sum < Timestamp::MAX.0 { Timestamp(sum) } else { Timestamp::MAX }
    }

    /// Microseconds from `earlier` to this time; 0 if `earlier` is later.
    pub const fn micros_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.0)
    }
}

/// When a machine wants `handle_timeout` to be called, and what for. Being late is correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Not before this time.
    pub at: Timestamp,
    /// What happens then, for people and traces; nothing decides by it.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!(Timestamp::from_micros(1 << 53), None);
        assert_eq!(Timestamp::from_micros((1 << 53) - 1), Some(Timestamp::MAX));
        assert_eq!(Timestamp::MAX.saturating_add_micros(1), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.saturating_add_micros(u64::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::ZERO.micros_since(Timestamp::MAX), 0);
        assert_eq!(Timestamp::MAX.micros_since(Timestamp::ZERO), (1 << 53) - 1);
    }
}
