//! Brings the stored run back.

use std::sync::Arc;

use sim::csv::Feed;
use sim::{HandInput, Options, Reproduction, RunRecord, World};

use super::choices;
use super::clock::now_ms;
use super::frames::{Frames, Views};
use super::keeper::{Keeper, StoredRun};
use super::lab::{Lab, status_of};
use super::{LOG, Shell, look_on};
use crate::protocol::{Origin, PauseReason, Response, RunOptions, Status};
use crate::storage::{Acquired, Found, Lock, LogReader, Opened, Store, StoreError};

/// Steps of a run that is brought back between two looks at the clock.
const SLICE_STEPS: u64 = 512;
/// How often the page is told how far it is, in milliseconds.
const TELL_MS: f64 = 50.0;

/// Opens the log and gives the tab that writes it. Waits, looking on, while another tab does.
pub(super) async fn open(shell: &Shell, frames: Frames, views: Views, options: RunOptions) -> Lab {
    shell.post(&Response::Status(Status::Opening));
    let mut frames = frames;
    let mut views = views;
    let lock = match Lock::acquire(LOG).await {
        Ok(Acquired::Granted(lock)) => Ok(lock),
        Ok(Acquired::HeldElsewhere(waiting)) => {
            shell.post(&Response::Status(Status::ReadOnly));
            let lock = look_on::until_granted(shell, waiting, &mut frames, &mut views).await;
            if lock.is_ok() {
                shell.post(&Response::Status(Status::TookOver));
            }
            lock
        }
        Err(error) => Err(error),
    };
    let lock = match lock {
        Ok(lock) => lock,
        Err(error) => return without_store(shell, frames, views, &options, &error),
    };
    // The lock is held until the worker ends.
    std::mem::forget(lock);
    match Store::open(LOG).await {
        Ok(opened) => with_store(shell, opened, frames, views, &options).await,
        Err(error) => without_store(shell, frames, views, &options, &error),
    }
}

/// A world that is not stored: in memory where there is no storage, standing still where it cannot be trusted.
fn without_store(
    shell: &Shell,
    frames: Frames,
    views: Views,
    options: &RunOptions,
    error: &StoreError,
) -> Lab {
    shell.post(&Response::Status(status_of(error, 0)));
    let reason = match error {
        StoreError::Unavailable { .. } => PauseReason::Fresh,
        _ => PauseReason::Storage,
    };
    let world = new_world(shell, options);
    let keeper = Keeper::new(None, shell.bell.clone(), &world, 0);
    let mut lab = Lab::new(world, keeper, reason, frames, views);
    lab.is_storeless = matches!(error, StoreError::Unavailable { .. });
    lab
}

async fn with_store(
    shell: &Shell,
    opened: Opened,
    frames: Frames,
    views: Views,
    options: &RunOptions,
) -> Lab {
    let Opened { mut store, found } = opened;
    match found {
        Found::Restored { from, log_bytes } => {
            let why = format!("{log_bytes} bytes of the log came back from {}.", from.name());
            shell.post(&Response::Status(Status::RestoredFromCopy { why }));
        }
        Found::Lost { log_bytes } => {
            let why =
                format!("about {log_bytes} bytes were stored here; the browser has removed both copies.");
            shell.post(&Response::Status(Status::LostLog { why }));
        }
        Found::Fresh => shell.post(&Response::Status(Status::NewLog)),
        Found::Intact | Found::Completed { .. } => {}
    }
    match restore(shell, &mut store).await {
        Ok(Some((world, feeds, base_bytes))) => {
            let keeper = Keeper::new(Some(store), shell.bell.clone(), &world, base_bytes);
            let sequence = world.sequence();
            let mut lab = Lab::new(world, keeper, PauseReason::Restored, frames, views);
            lab.origin = Origin::Replayed;
            lab.feeds = feeds;
            lab.go_on_loading();
            if !matches!(found, Found::Restored { .. }) {
                shell.post(&Response::Status(Status::Restored { sequence }));
            }
            lab
        }
        Ok(None) => {
            let world = new_world(shell, options);
            let keeper = Keeper::new(Some(store), shell.bell.clone(), &world, 0);
            Lab::new(world, keeper, PauseReason::Fresh, frames, views)
        }
        Err(Trouble::Store(error)) => without_store(shell, frames, views, options, &error),
        Err(Trouble::Diverged { why, log }) => diverged(shell, store, why, &log, frames, views, options),
    }
}

/// The stored log is whole but the run does not make it again: the log is what counts.
fn diverged(
    shell: &Shell,
    store: Store,
    why: String,
    log: &[u8],
    frames: Frames,
    views: Views,
    options: &RunOptions,
) -> Lab {
    shell.post(&Response::Status(Status::Diverged { why }));
    match World::from_log(quiet(Options::default()), log) {
        Ok(world) => {
            let base_bytes = world.log_len();
            let keeper = Keeper::new(Some(store), shell.bell.clone(), &world, base_bytes);
            let mut lab = Lab::new(world, keeper, PauseReason::Imported, frames, views);
            lab.origin = Origin::Replayed;
            lab
        }
        Err(error) => {
            let error = StoreError::Damaged { what: error.to_string() };
            without_store(shell, frames, views, options, &error)
        }
    }
}

/// A new world; options that cannot work are told, and the default ones taken.
pub(super) fn new_world(shell: &Shell, options: &RunOptions) -> World {
    match World::new(choices::to_world(options)) {
        Ok(world) => world,
        Err(error) => {
            shell.post(&Response::Failed {
                what: "The options of the run".to_owned(),
                why: error.to_string(),
                advice: "The default options are used instead.".to_owned(),
            });
            World::new(choices::to_world(&RunOptions::default())).expect("the default options work")
        }
    }
}

/// The options of a world that sends nothing by itself.
pub(super) fn quiet(options: Options) -> Options {
    Options { workload: sim::Workload::Idle, full_check_every_records: 0, ..options }
}

enum Trouble {
    Store(StoreError),
    Diverged { why: String, log: Vec<u8> },
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Trouble::Store(error)
    }
}

type Restored = Option<(World, Vec<Arc<Feed>>, u64)>;

async fn restore(shell: &Shell, store: &mut Store) -> Result<Restored, Trouble> {
    let Some(run) = store.run() else { return Ok(None) };
    let (base_bytes, record) = match serde_json::from_slice::<StoredRun>(run) {
        Ok(StoredRun::Run { base_bytes, record, .. }) => (base_bytes, *record),
        Ok(StoredRun::Importing) => {
            store.reset().await?;
            shell.post(&Response::Failed {
                what: "The import before".to_owned(),
                why: "it was interrupted".to_owned(),
                advice: "Import the file again.".to_owned(),
            });
            return Ok(None);
        }
        Err(error) => {
            let why = format!("the description of the run cannot be read: {error}");
            return Err(Trouble::Diverged { why, log: store.read(0).rest().await? });
        }
    };
    let feeds = match feeds(store, &record).await? {
        Ok(feeds) => feeds,
        Err(why) => return Err(Trouble::Diverged { why, log: store.read(0).rest().await? }),
    };
    let steps = record.step;
    let mut base = Vec::new();
    if base_bytes > 0 {
        base = store.read(0).rest().await?;
        base.truncate(usize::try_from(base_bytes).unwrap_or(usize::MAX));
    }
    let reproduced = reproduce(shell, record, feeds.clone(), &base).await;
    let world = match reproduced {
        Ok(world) => world,
        Err(why) => return Err(Trouble::Diverged { why, log: store.read(0).rest().await? }),
    };
    match compare(&world, store.read(0), store.log_bytes()).await? {
        None => Ok(Some((world, feeds, base_bytes))),
        Some(byte) => {
            let why = format!(
                "at step {steps} the run makes another log than the stored one, from byte {byte} on; \
                 the stored log is shown"
            );
            Err(Trouble::Diverged { why, log: store.read(0).rest().await? })
        }
    }
}

async fn reproduce(
    shell: &Shell,
    record: RunRecord,
    feeds: Vec<Arc<Feed>>,
    base: &[u8],
) -> Result<World, String> {
    let mut reproduction = Reproduction::with_log(record, feeds, base).map_err(|error| error.to_string())?;
    let mut told = now_ms();
    while !reproduction.advance(SLICE_STEPS).map_err(|error| error.to_string())? {
        if now_ms() - told >= TELL_MS {
            told = now_ms();
            let (step, steps) = reproduction.progress();
            shell.post(&Response::Status(Status::CatchingUp { step, steps }));
            shell.turns.next().await;
        }
    }
    Ok(reproduction.into_world())
}

/// The first byte that differs between the world's log and the stored one.
async fn compare(world: &World, mut stored: LogReader, stored_bytes: u64) -> Result<Option<u64>, StoreError> {
    let mut at = 0;
    let mut ours = Vec::new();
    while let Some(bytes) = stored.next().await? {
        let end = at + bytes.len() as u64;
        ours.clear();
        world.journal().log().read(at, end, &mut ours);
        let same = ours.iter().zip(&bytes).take_while(|(ours, stored)| ours == stored).count();
        if same < bytes.len() {
            return Ok(Some(at + same as u64));
        }
        at = end;
    }
    Ok((world.log_len() != stored_bytes).then_some(at))
}

/// The feeds that a run names, from their stored files.
async fn feeds(store: &Store, record: &RunRecord) -> Result<Result<Vec<Arc<Feed>>, String>, StoreError> {
    let mut feeds = Vec::new();
    for (_, input) in &record.inputs {
        let HandInput::LoadFeed { feed, options } = input else { continue };
        let accounts = store.file(&feed_key(feed, "accounts")).await?;
        let transfers = store.file(&feed_key(feed, "transfers")).await?;
        match Feed::new(accounts.as_deref(), transfers.as_deref(), options.clone()) {
            Ok(feed) => feeds.push(Arc::new(feed)),
            Err(error) => return Ok(Err(format!("the stored CSV files cannot be read: {error}"))),
        }
    }
    Ok(Ok(feeds))
}

/// The key of a feed's file in the store.
pub(super) fn feed_key(feed: &sim::csv::FeedId, role: &str) -> String {
    format!("{feed}-{role}")
}
