//! The simulator.

use std::hint::black_box;

use sim::{Options, Until, World};

use super::Args;
use super::figure::{Figure, time};
use crate::outcome::Failure;

/// What a clone of a world may take, in milliseconds.
const AIM_CLONE_MILLISECONDS: f64 = 5.0;
const CLONES: u32 = 21;

/// A world with 20,000 accounts, with a short and with a long log.
pub(super) fn measure_clone(_args: &Args) -> Result<Vec<Figure>, Failure> {
    let options = Options { accounts: 20_000, full_check_every_records: 0, ..Options::default() };
    let mut world = world(options)?;
    let figures = [40_000, 200_000].map(|sequence| {
        world.run(&Until { sequence, ..Until::default() });
        let values = (0..CLONES).map(|_| {
            let (took, clone) = time(|| black_box(&world).clone());
            drop(clone);
            took.wall.as_secs_f64() * 1_000.0
        });
        let name = format!("clone-{}", world.sequence());
        Figure::new(&name, "a clone of a whole simulated world", "ms", values.collect())
            .settings([("accounts", 20_000), ("records", world.sequence()), ("log bytes", world.log_len())])
            .aim_at_most(AIM_CLONE_MILLISECONDS)
    });
    Ok(figures.into())
}

/// The default world, with all its checkers, and without the replays from empty memory.
pub(super) fn measure_sim(args: &Args) -> Result<Vec<Figure>, Failure> {
    const EVENTS: u64 = 200_000;
    let every = Options::default().full_check_every_records;
    let mut figures = Vec::new();
    for (name, full_check_every_records) in [("sim", every), ("sim-without-replays", 0)] {
        let (mut took, mut events) = (Vec::new(), EVENTS);
        for _ in 0..args.runs {
            let options = Options { events_max: EVENTS, full_check_every_records, ..Options::default() };
            let mut world = world(options)?;
            let (run, ended) = time(|| world.finish().map_err(Box::new));
            ended.map_err(|stop| Failure::Finding(format!("the world did not come to its end: {stop:?}")))?;
            took.push(run);
            events = world.events_count();
        }
        let what =
            "seeded world: clients, network, disk, read store, every invariant checked after every event";
        let settings =
            [("events", events), ("replay from empty memory every records", full_check_every_records)];
        figures.push(Figure::rates(name, what, "events/s", events, &took).settings(settings));
    }
    Ok(figures)
}

fn world(options: Options) -> Result<World, Failure> {
    World::new(options).map_err(|error| Failure::Usage(error.to_string()))
}
