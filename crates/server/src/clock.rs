//! What time it is: the wall clock, or one that stands still until it is told to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::{Deadline, Timestamp};

/// Which clock a server goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockKind {
    /// The machine's.
    #[default]
    Wall,
    /// One that stands still and moves by `POST /v1/clock/advance` only, for tests of what time brings about.
    Test,
}

/// The one source of time for a pipeline. Clones are the same clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    Wall,
    Test(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock. The pipeline itself makes sure that recorded times never fall.
    pub(crate) fn wall() -> Clock {
        Clock(Source::Wall)
    }

    /// A clock that stands at this time.
    pub(crate) fn standing_at(time: Timestamp) -> Clock {
        Clock(Source::Test(Arc::new(AtomicU64::new(time.micros()))))
    }

    pub(crate) fn kind(&self) -> ClockKind {
        match self.0 {
            Source::Wall => ClockKind::Wall,
            Source::Test(_) => ClockKind::Test,
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        let micros = match &self.0 {
            Source::Wall => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX)
            }
            Source::Test(micros) => micros.load(Ordering::SeqCst),
        };
        Timestamp::from_micros(micros).unwrap_or(Timestamp::MAX)
    }

    /// Moves a test clock on and returns the time then; `None` if that is later than [`Timestamp::MAX`], or if this is no
    /// test clock.
    pub(crate) fn advance(&self, micros: u64) -> Option<Timestamp> {
        let Source::Test(now) = &self.0 else { return None };
        let later = |now: u64| now.checked_add(micros).and_then(Timestamp::from_micros);
        let advance = |now: u64| later(now).map(Timestamp::micros);
        let before = now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, advance).ok()?;
        later(before)
    }

    /// How long to wait for a deadline; `None` if waiting does not bring it nearer.
    pub(crate) fn until(&self, deadline: &Deadline) -> Option<Duration> {
        let left = deadline.at.micros_since(self.now());
        match self.0 {
            Source::Test(_) if left > 0 => None,
            Source::Wall | Source::Test(_) => Some(Duration::from_micros(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_clock_moves_when_it_is_told_to_and_never_beyond_the_end_of_time() {
        let at = |micros: u64| Timestamp::from_micros(micros).expect("in range");
        let clock = Clock::standing_at(at(100));
        let same = clock.clone();
        assert_eq!(clock.advance(5), Some(at(105)));
        assert_eq!((same.now(), same.kind()), (at(105), ClockKind::Test));
        let deadline = |micros| Deadline { at: at(micros), reason: "a test" };
        assert_eq!(clock.until(&deadline(105)), Some(Duration::ZERO));
        assert_eq!(clock.until(&deadline(106)), None);
        assert_eq!(clock.advance(Timestamp::MAX.micros()), None);
        assert_eq!(clock.advance(u64::MAX), None);
        assert_eq!(clock.now(), at(105));
        assert_eq!(Clock::wall().advance(1), None);
    }
}
