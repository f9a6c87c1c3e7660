//! The network between clients and gateway: a model of delay, loss and duplication.

use time::Timestamp;

use crate::options;
use crate::rng::{Rng, Stream};

/// What becomes of one message: when its copies arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) first: Option<Timestamp>,
    pub(crate) second: Option<Timestamp>,
}

/// Draws routes. Delay, loss and duplication have a stream each.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    delay: Rng,
    loss: Rng,
    duplication: Rng,
    /// Messages sent before this time are lost.
    down_until: Timestamp,
}

impl Link {
    pub(crate) fn new(seed: u64) -> Link {
        Link {
            delay: Rng::new(seed, Stream::Delay),
            loss: Rng::new(seed, Stream::Loss),
            duplication: Rng::new(seed, Stream::Duplication),
            down_until: Timestamp::ZERO,
        }
    }

    /// Nothing gets through for so long.
    pub(crate) fn go_down(&mut self, now: Timestamp, micros: u64) {
        self.down_until = self.down_until.max(now.saturating_add_micros(micros));
    }

    /// Whether messages get through.
    pub(crate) fn is_up(&self, now: Timestamp) -> bool {
        now >= self.down_until
    }

    /// What becomes of a message that is sent now.
    pub(crate) fn route(&mut self, now: Timestamp, options: &options::Link) -> Route {
        let lost = options.loss_per_mille > 0 && self.loss.happens(options.loss_per_mille);
        let twice =
            options.duplication_per_mille > 0 && self.duplication.happens(options.duplication_per_mille);
        let first = self.arrival(now, options);
        let second = if twice { Some(self.arrival(now, options)) } else { None };
        if lost || !self.is_up(now) {
            return Route { first: None, second: None };
        }
        Route { first: Some(first), second }
    }

    fn arrival(&mut self, now: Timestamp, options: &options::Link) -> Timestamp {
        let at = now.saturating_add_micros(self.delay.between(options.delay.min, options.delay.max));
        aligned(at, options.tick_micros)
    }
}

/// The first tick at or after this time.
pub(crate) fn aligned(at: Timestamp, tick_micros: u64) -> Timestamp {
    let past = at.micros() % tick_micros;
    if past == 0 { at } else { at.saturating_add_micros(tick_micros - past) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Micros;

    #[test]
    fn loss_does_not_reshuffle_delays() {
        let now = Timestamp::from_micros(1_000).unwrap();
        let routes = |loss_per_mille| -> Vec<Route> {
            let delay = Micros { min: 10, max: 90 };
            let options =
                options::Link { delay, loss_per_mille, duplication_per_mille: 100, tick_micros: 20 };
            let mut link = Link::new(5);
            (0..500).map(|_| link.route(now, &options)).collect()
        };
        let (all, some) = (routes(0), routes(300));
        let lost = some.iter().filter(|route| route.first.is_none()).count();
        assert!((110..190).contains(&lost), "{lost}");
        for (kept, lossy) in all.iter().zip(&some) {
            assert!(lossy.first.is_none() || lossy == kept);
            assert_eq!(kept.first.unwrap().micros() % 20, 0);
        }
    }

    #[test]
    fn a_link_that_is_down_loses_everything() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let mut link = Link::new(5);
        link.go_down(at(100), 50);
        let options = options::Link { loss_per_mille: 0, ..options::Link::default() };
        assert_eq!(link.route(at(149), &options).first, None);
        assert!(link.route(at(150), &options).first.is_some() && link.is_up(at(150)));
    }
}
