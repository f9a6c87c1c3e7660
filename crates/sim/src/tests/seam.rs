//! The seams to drivers: reproduction, clones, real persistence, inputs by hand.

use ledger::{Command, LinkedTransfers, Reason, TransactionId, TransactionResult};
use pipeline::Answer;

use super::*;

fn transfer(id: u8, from: &str, to: &str, amount: i64) -> Command {
    Command::Transfer {
        transaction_id: TransactionId::from_bytes([id; 16]),
        from_account: from.parse().unwrap(),
        to_account: to.parse().unwrap(),
        amount,
        metadata: None,
    }
}

fn open(account: &str, opening_balance: i64) -> Command {
    let (account, asset) = (account.parse().unwrap(), "USD".parse().unwrap());
    Command::OpenAccount { account, asset, scale: 2, floor: None, opening_balance }
}

/// A world in which nothing happens but what is done by hand.
fn idle() -> World {
    World::new(Options { workload: Workload::Idle, ..Options::default() }).unwrap()
}

/// Runs until nothing is left to do, and returns each answer in a word, in the order of the commands.
fn answers(world: &mut World) -> Vec<String> {
    assert_eq!(world.run(&Until::default()), Stop::Idle);
    let word = |answer: HandAnswer| match answer.answer {
        Answer::Done { outcome, replayed } => format!("{} {replayed:?}", outcome.result),
        Answer::Linked { outcomes, replayed } => {
            let results: Vec<String> = outcomes.iter().map(|outcome| outcome.result.to_string()).collect();
            format!("{} {replayed:?}", results.join(" "))
        }
        Answer::Conflict { .. } => String::from("conflict"),
        Answer::DeadLettered { .. } => String::from("dead letter"),
        Answer::Busy { .. } | Answer::StorageFull | Answer::Unavailable => String::from("no answer"),
    };
    let mut answers = world.take_answers();
    answers.sort_by_key(|answer| answer.number);
    answers.into_iter().map(word).collect()
}

#[test]
fn a_group_a_floor_and_a_pending_transfer_made_by_hand() {
    let mut world = idle();
    world.submit(open("alice", 100));
    world.submit(open("bob", 0));
    let group = |members: Vec<Command>| Command::Linked { transfers: LinkedTransfers::new(members).unwrap() };
    let first = group(vec![transfer(1, "alice", "bob", 100), transfer(2, "bob", "alice", 40)]);
    world.submit(first.clone());
    world.submit(first);
    world.submit(group(vec![transfer(3, "alice", "bob", 1), transfer(4, "alice", "bob", 40)]));
    let transaction_id = TransactionId::from_bytes([5; 16]);
    world.submit(Command::SetFloor { transaction_id, account: "bob".parse().unwrap(), floor: -10 });
    let expires_at = time::Timestamp::from_micros(world.now().micros() + 5_000_000);
    world.submit(Command::PendingTransfer {
        transaction_id: TransactionId::from_bytes([6; 16]),
        from_account: "bob".parse().unwrap(),
        to_account: "alice".parse().unwrap(),
        amount: 70,
        expires_at,
        metadata: None,
    });
    let answers = answers(&mut world);
    assert_eq!(
        answers[2..],
        [
            "completed completed First",
            "completed completed Again",
            "linked_failed insufficient_funds First",
            "completed First",
            "completed First",
        ]
    );
    // Nothing is left to do, so the deadline has passed.
    assert!(world.now() >= expires_at.unwrap());
    assert!(world.ledger().holds().is_empty());
    assert_eq!(world.finish(), Ok(()));
    assert!(world.report().is_fine(), "{}", world.report());
}

#[test]
fn ten_transfers_of_20_from_an_account_with_100() {
    let mut world = idle();
    world.submit(open("alice", 100));
    world.submit(open("bob", 0));
    (0..10).for_each(|id| {
        world.submit(transfer(id, "alice", "bob", 20));
    });
    let answers = answers(&mut world);
    assert_eq!(answers[..2], ["completed First", "completed First"]);
    assert_eq!(answers[2..7], ["completed First"; 5]);
    assert_eq!(answers[7..], ["insufficient_funds First"; 5]);
    let alice = world.ledger().find(&"alice".parse().unwrap()).unwrap();
    assert_eq!(world.ledger().account(alice).posted, 0);
    let entries = world.projections().entries_of(alice, None, 100);
    assert_eq!(entries.iter().filter(|entry| entry.amount < 0).count(), 5);
    assert_eq!(world.projections().counts.transfers_failed(), 5);
    assert_eq!((world.sequence(), world.finish()), (12, Ok(())));
    assert!(world.report().is_fine(), "{}", world.report());
}

#[test]
fn a_repeat_gets_the_first_answer_also_across_a_crash_and_after_a_top_up() {
    let mut world = idle();
    world.submit(open("alice", 10));
    world.submit(open("bob", 0));
    world.submit(transfer(1, "alice", "bob", 20));
    world.submit(transfer(2, "alice", "bob", 5));
    assert_eq!(answers(&mut world)[2..], ["insufficient_funds First", "completed First"]);
    world.crash(1_000);
    world.submit(open("carol", 1_000));
    world.submit(transfer(3, "carol", "alice", 500));
    world.submit(transfer(1, "alice", "bob", 20));
    world.submit(transfer(2, "alice", "bob", 5));
    world.submit(transfer(2, "alice", "bob", 6));
    world.submit(open("alice", 10));
    world.submit(open("alice", 11));
    let expected = [
        "completed First",
        "completed First",
        "insufficient_funds Again",
        "completed Again",
        "conflict",
        "completed Again",
        "conflict",
    ];
    assert_eq!(answers(&mut world), expected);
    assert_eq!((world.sequence(), world.totals().crashes), (6, 1));
    assert_eq!(world.projections().counts.failed_for(Reason::InsufficientFunds), 1);
}

#[test]
fn a_crash_between_append_and_reply_has_one_effect() {
    // The crash comes at each step in turn, so also between the append and its answer.
    let mut replayed = 0;
    for at_step in 0..8 {
        let mut world = idle();
        world.submit(open("alice", 100));
        world.submit(open("bob", 0));
        answers(&mut world);
        let number = world.submit(transfer(1, "alice", "bob", 30));
        world.run(&Until { steps: at_step, ..Until::default() });
        world.crash(1_000);
        assert!(matches!(world.run(&Until::default()), Stop::Idle));
        let given = world.take_answers();
        assert_eq!(given.len(), 1);
        let Answer::Done { outcome, replayed: again } = &given[0].answer else { panic!("{given:?}") };
        assert_eq!((given[0].number, outcome.result), (number, TransactionResult::Completed));
        replayed += u32::from(*again == pipeline::Replayed::Again);
        let bob = world.ledger().find(&"bob".parse().unwrap()).unwrap();
        assert_eq!(world.ledger().account(bob).posted, 30);
        assert_eq!((world.finish(), world.report().is_fine()), (Ok(()), true));
    }
    assert!(replayed > 0, "the append survived a crash that came before its answer");
}

/// A stormy run with inputs by hand in the middle.
fn disturbed(mut world: World) -> World {
    let until = |sequence| Until { sequence, ..Until::default() };
    world.run(&until(200));
    world.submit(open("alice", 5_000));
    world.submit(transfer(9, "account-00001", "alice", 7));
    world.run(&until(400));
    world.crash(2_000);
    world.redrive(10);
    world.run(&Until { steps: 777, ..Until::default() });
    world.load_feed(super::feeds::small_feed());
    assert!(matches!(world.run(&Until::default()), Stop::FeedEnded(_)));
    world.run(&Until { steps: 333, ..Until::default() });
    world.submit(transfer(10, "alice", "account-00002", 1));
    world
}

#[test]
fn a_stored_run_comes_back_byte_for_byte_and_goes_on_as_if_never_interrupted() {
    let mut uninterrupted = disturbed(World::new(stormy(3)).unwrap());
    let record = uninterrupted.record();
    assert_eq!(record.inputs.len(), 6);
    let stored = postcard::to_stdvec(&record).unwrap();
    let stored: RunRecord = postcard::from_bytes(&stored).unwrap();
    assert_eq!(stored, record);

    let mut reproduction = Reproduction::new(stored, vec![super::feeds::small_feed()]).unwrap();
    let mut pieces = 0;
    while !reproduction.advance(100).unwrap() {
        pieces += 1;
        let (done, all) = reproduction.progress();
        assert!(done <= all && done == pieces * 100);
    }
    let mut world = reproduction.into_world();
    assert_eq!(log_of(&world), log_of(&uninterrupted));
    assert_eq!((world.report(), world.record()), (uninterrupted.report(), record));
    assert_eq!((world.finish(), uninterrupted.finish()), (Ok(()), Ok(())));
    assert_eq!(log_of(&world), log_of(&uninterrupted));
    assert_eq!(world.report(), uninterrupted.report());

    let missing = Reproduction::new(world.record(), Vec::new()).unwrap().advance(u64::MAX);
    assert!(matches!(missing, Err(ReproduceError::FeedMissing { .. })));
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut world = World::new(stormy(4)).unwrap();
    world.run(&Until { sequence: 300, ..Until::default() });
    let mut other = world.clone();
    let mut same = world.clone();
    other.submit(open("alice", 1));
    for world in [&mut world, &mut other, &mut same] {
        world.run(&Until { sequence: 900, ..Until::default() });
    }
    assert_eq!((log_of(&same), same.report()), (log_of(&world), world.report()));
    assert_ne!(other.digest(), world.digest());
    for world in [&mut world, &mut other] {
        assert_eq!((world.finish(), world.report().is_fine()), (Ok(()), true));
    }
}

#[test]
fn what_a_clone_costs_does_not_grow_with_the_log() {
    let mut world = World::new(Options { full_check_every_records: 0, ..Options::default() }).unwrap();
    let mut costs = Vec::new();
    for sequence in [20_000, 80_000] {
        assert_eq!(world.run(&Until { sequence, ..Until::default() }), Stop::Sequence);
        let clone = world.clone();
        let chunks = world.log_len() / CHUNK_BYTES as u64;
        assert_eq!(
            clone.journal().log().shared_with(world.journal().log()) as u64,
            chunks,
            "full chunks are shared"
        );
        costs.push(clone.projections().clone_cost());
    }
    let (small, large) = (costs[0], costs[1]);
    // The newest rows of each history are copied, up to a fixed number; accounts are as many as before.
    assert!(large < small + 8_192, "{small} elements are copied at 20,000 records, {large} at 80,000");
}

/// A driver that keeps a copy of the log: what it has synced, and what it has only read.
#[derive(Default)]
struct Copy {
    bytes: Vec<u8>,
    cuts: u64,
}

impl Copy {
    /// Makes the cuts, then reads the new bytes.
    fn follow(&mut self, world: &World) -> CommitPoint {
        for cut in world.log_cuts(self.cuts) {
            self.bytes.truncate(usize::try_from(cut.log_len).unwrap());
            assert_eq!(cut.number, self.cuts + 1);
            self.cuts = cut.number;
        }
        world.read_log(self.bytes.len() as u64, &mut self.bytes);
        world.commit_point()
    }
}

#[test]
fn real_commits_hold_time_back_and_change_nothing() {
    let mut modelled = World::new(stormy(5)).unwrap();
    assert_eq!(modelled.finish(), Ok(()));

    let mut world = World::new(stormy(5)).unwrap();
    world.await_commits(0);
    let mut copy = Copy::default();
    let mut waited = 0;
    // The real disk is slow: a commit is reported only after the world asked for it, and every third one a round late.
    let mut late: Option<CommitPoint> = None;
    loop {
        match world.run(&Until::default()) {
            Stop::AwaitCommit(wanted) => {
                waited += 1;
                let now = world.now();
                let point = copy.follow(&world);
                assert!(point.log_len >= wanted.log_len && copy.bytes == log_of(&world));
                if let Some(point) = late.take() {
                    world.committed(point);
                }
                if waited % 3 == 0 {
                    late = Some(point);
                } else {
                    world.committed(point);
                }
                assert_eq!(world.now(), now);
            }
            Stop::Idle => break,
            stop => panic!("{stop:?}"),
        }
    }
    assert!(waited > 100, "{waited}");
    world.check_replay();
    copy.follow(&world);
    assert_eq!(copy.bytes, log_of(&modelled));
    assert_eq!(world.report(), modelled.report());
}

#[test]
fn a_commit_from_before_a_cut_does_not_count_for_what_was_written_since() {
    let mut world = World::new(stormy(6)).unwrap();
    world.await_commits(0);
    let mut old = world.commit_point();
    let mut stale = 0;
    for _ in 0..20_000 {
        match world.step() {
            Step::AwaitCommit(_) => {
                let point = world.commit_point();
                if point.cuts > old.cuts {
                    // A commit of long ago is reported now.
                    let long = CommitPoint { cuts: old.cuts, log_len: u64::MAX };
                    world.committed(long);
                    let valid = world.log_cuts(old.cuts).map(|cut| cut.log_len).min().unwrap();
                    let held = matches!(world.step(), Step::AwaitCommit(wanted) if wanted.log_len > valid);
                    stale += u64::from(held);
                    old = point;
                }
                world.committed(world.commit_point());
            }
            Step::Idle => break,
            Step::Done(_) | Step::FeedEnded(_) | Step::LogFull { .. } => {}
        }
    }
    assert!(stale > 0, "a stale commit was refused");
}

#[test]
fn a_full_log_stops_the_world_without_harm() {
    let mut world = World::new(Options { log_bytes_max: 1 << 16, ..Options::default() }).unwrap();
    let Stop::LogFull { log_len } = world.run(&Until::default()) else { panic!("the log is small") };
    assert!((1 << 16..1 << 18).contains(&log_len));
    assert_eq!(world.step(), Step::LogFull { log_len });
    world.check_replay();
    assert!(world.report().broken.is_empty(), "{}", world.report());
}

#[test]
fn a_world_goes_on_from_a_log_that_it_did_not_make() {
    let (origin, _) = finished(stormy(9));
    let log = log_of(&origin);
    let goes_on = || {
        let mut world = World::from_log(Options { events_max: 9_000, ..stormy(9) }, &log).unwrap();
        assert_eq!(
            (world.digest(), world.sequence(), log_of(&world)),
            (origin.digest(), origin.sequence(), log.clone())
        );
        world.submit(open("alice", 5));
        // The accounts of the workload are open already; it finds that out and goes on.
        assert_eq!(world.finish(), Ok(()), "{}", world.report());
        assert!(world.report().is_fine() && world.sequence() > origin.sequence(), "{}", world.report());
        log_of(&world)
    };
    assert_eq!(goes_on(), goes_on());
    let torn = World::from_log(stormy(9), &log[..log.len() - 1]);
    assert!(matches!(torn.err(), Some(FromLogError::Torn { .. })));
    assert!(matches!(
        World::from_log(stormy(9), &[]).err(),
        Some(FromLogError::Empty | FromLogError::Torn { .. })
    ));
}

#[test]
fn an_account_that_was_opened_by_hand_with_another_body_is_a_conflict_for_the_workload() {
    let mut world = World::new(Options { accounts: 10, events_max: 2_000, ..stormy(10) }).unwrap();
    world.submit(open("account-00003", 7));
    assert_eq!((world.finish(), world.report().is_fine()), (Ok(()), true), "{}", world.report());
    assert!(world.totals().conflicts_answered > 0);
}

#[test]
fn an_audit_in_pieces_finds_what_a_replay_finds() {
    let mut world = World::new(Options { full_check_every_records: 0, ..stormy(8) }).unwrap();
    world.run(&Until { sequence: 500, ..Until::default() });
    let audited = |world: &mut World| {
        let mut audit = Audit::new(world);
        let mut pieces = 1;
        while let AuditProgress::Reading { done, all } = audit.advance(world, 10_000) {
            assert_eq!((done, done < all), (pieces * 10_000, true));
            pieces += 1;
            world.run(&Until { steps: 50, ..Until::default() });
        }
        assert!(pieces > 4);
        world.findings().tally(Invariant::ReplayEqualsState)
    };
    assert_eq!(audited(&mut world), Tally { checks: 1, failures: 0 });
    world.journal.spoil();
    assert_eq!(audited(&mut world.clone()).failures, 1);
}

#[test]
fn the_open_loop_sheds_what_nobody_has_time_for() {
    let workload = Workload::Open { arrivals_per_second: 200_000, clients_max: 100 };
    let mut options = Options { workload, accounts: 100, events_max: 20_000, ..Options::default() };
    options.link.loss_per_mille = 0;
    let (world, report) = finished(options);
    assert!(report.is_fine(), "{report}");
    assert!(world.totals().shed > 1_000);
    let stages = world.stages();
    assert_eq!((stages.clients_waiting, stages.requests_travelling, stages.read_store_lag), (0, 0, 0));
    assert!(world.samples().map(|sample| sample.answers).sum::<u64>() > 0);
    assert!(report.latency_p50_micros > 0 && report.latency_p50_micros <= report.latency_p99_micros);
}

#[test]
fn time_limits_stop_before_what_is_later() {
    let mut world = World::new(Options::default()).unwrap();
    let time = world.now().saturating_add_micros(20_000);
    assert_eq!(world.run(&Until { time, ..Until::default() }), Stop::Time);
    assert!(world.now() <= time && world.elapsed_micros() > 15_000);
    assert_eq!(world.run(&Until { steps: 5, ..Until::default() }), Stop::Steps);
}
