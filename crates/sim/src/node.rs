//! One pipeline of a world, alive or dead.

use bytes::Bytes;
use pipeline::{Config, LogIdentity, Pipeline};
use projection::Projections;
use time::Timestamp;

use crate::schedule::Key;

/// A pipeline and what its surroundings know of it. A clone costs O(accounts + in flight).
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) identity: LogIdentity,
    generation: u64,
    state: State,
    /// The call that the pipeline wanted, if one is scheduled.
    pub(crate) timer: Option<Key>,
    /// When the last append in flight is due.
    pub(crate) append_due: Timestamp,
    pub(crate) next_append: NextAppend,
    /// An append of the dead pipeline that is still on its way to the store.
    pub(crate) late: Option<LateAppend>,
}

#[derive(Clone)]
enum State {
    Running(Box<Pipeline>),
    /// What reads saw last.
    Down(Box<Projections>),
    /// It has read its log, and begins when the store holds it.
    Recovered(Box<Pipeline>),
}

/// What becomes of the next append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextAppend {
    Succeeds,
    Fails,
}

/// An append that its pipeline did not outlive.
#[derive(Clone, Debug)]
pub(crate) struct LateAppend {
    pub(crate) generation: u64,
    pub(crate) bytes: Bytes,
}

impl Node {
    /// A pipeline with an empty log.
    pub(crate) fn start(config: Config, identity: LogIdentity) -> Node {
        let generation = 1;
        let pipeline = Pipeline::start(&config, identity, generation).expect("options are validated");
        Node {
            config,
            identity,
            generation,
            state: State::Running(Box::new(pipeline)),
            timer: None,
            append_due: Timestamp::ZERO,
            next_append: NextAppend::Succeeds,
            late: None,
        }
    }

    /// The generation of the last pipeline.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// The pipeline, if it works.
    pub(crate) fn running(&self) -> Option<&Pipeline> {
        match &self.state {
            State::Running(pipeline) => Some(pipeline),
            State::Down(_) | State::Recovered(_) => None,
        }
    }

    /// The pipeline, if it works.
    pub(crate) fn running_mut(&mut self) -> Option<&mut Pipeline> {
        match &mut self.state {
            State::Running(pipeline) => Some(pipeline),
            State::Down(_) | State::Recovered(_) => None,
        }
    }

    /// What reads may see, or saw last.
    pub(crate) fn projections(&self) -> &Projections {
        match &self.state {
            State::Running(pipeline) | State::Recovered(pipeline) => pipeline.projections(),
            State::Down(projections) => projections,
        }
    }

    /// The pipeline loses its memory.
    pub(crate) fn die(&mut self) {
        self.state = State::Down(Box::new(self.projections().clone()));
        self.timer = None;
        self.next_append = NextAppend::Succeeds;
    }

    /// A pipeline of the next generation has read the log.
    pub(crate) fn recover(&mut self, recovered: pipeline::Recovered) {
        let written = recovered.tail.as_ref().map_or(0, journal::Tail::generation);
        self.generation = self.generation.max(written) + 1;
        let pipeline = Pipeline::recover(&self.config, recovered, self.identity, self.generation);
        self.state = State::Recovered(Box::new(pipeline.expect("options are validated")));
    }

    /// The pipeline that has read the log begins to work. Nothing happens if there is none.
    pub(crate) fn resume(&mut self) {
        let nothing = State::Down(Box::new(Projections::new(0)));
        self.state = match core::mem::replace(&mut self.state, nothing) {
            State::Recovered(pipeline) => State::Running(pipeline),
            other @ (State::Running(_) | State::Down(_)) => other,
        };
    }
}
