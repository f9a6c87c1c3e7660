//! Files through the world's pipeline.

use std::path::PathBuf;
use std::sync::Arc;

use ledger::Reason;

use super::*;
use crate::csv::{Feed, FeedOptions, Mapping};

fn options(mapping: &str) -> FeedOptions {
    FeedOptions { mapping: mapping.parse().unwrap(), asset: String::from("USD"), scale: 2 }
}

/// Three accounts and a few hundred transfers, two of them equal.
pub(super) fn small_feed() -> Arc<Feed> {
    let accounts = "account,opening_balance\nann,10\nben,20.5\ncem,0\n";
    let mut transfers =
        String::from("from_account,to_account,amount\nann,ben,1\nann,ben,1\nann,ann,1\ncem,ben,0.01\n");
    (0..300).for_each(|_| transfers.push_str("ben,cem,0.01\n"));
    let options = FeedOptions { mapping: Mapping::default(), asset: String::from("USD"), scale: 2 };
    Arc::new(Feed::new(Some(accounts.as_bytes()), Some(transfers.as_bytes()), options).unwrap())
}

#[test]
fn a_feed_on_a_fresh_world_is_all_that_happens_and_once() {
    let digest = |seed, change: fn(&mut Options)| {
        let mut options = Options { seed, ..Options::default() };
        change(&mut options);
        let mut world = World::new(options).unwrap();
        world.load_feed(small_feed());
        let Stop::FeedEnded(summary) = world.run(&Until::default()) else { panic!("the feed ends") };
        assert_eq!((summary.rows, summary.completed, summary.answered()), (307, 305, 307), "{summary:?}");
        assert_eq!(summary.refused_for(Reason::SameAccount), 1);
        assert_eq!(summary.refused_for(Reason::InsufficientFunds), 1);
        assert_eq!((world.sequence(), world.ledger().accounts_count()), (307, 4));
        let digest = world.digest();
        world.load_feed(small_feed());
        let Stop::FeedEnded(summary) = world.run(&Until::default()) else { panic!("the feed ends") };
        assert_eq!(
            (summary.repeated, world.sequence(), world.digest()),
            (307, 307, digest),
            "nothing changed"
        );
        assert!(world.report().broken.is_empty(), "{}", world.report());
        digest
    };
    let plain = digest(1, |_| {});
    assert_eq!(plain, digest(2, |options| options.feed_window = 7));
    // Crashes interrupt a feed, and do not change what it comes to; nor does a queue that is nearly always full.
    let stormy_digest = digest(3, |options| {
        *options = stormy(3);
        options.feed_window = 40;
        options.faults = (1..20)
            .map(|round| Fault {
                at: FaultTime::Micros(round * 3_000),
                kind: FaultKind::CrashPipeline { down_micros: 500 },
            })
            .collect();
    });
    assert_eq!(plain, stormy_digest);
}

#[test]
fn a_feed_holds_the_workload_back_and_then_lets_it_go_on() {
    let mut world = World::new(Options { events_max: 9_000, ..stormy(7) }).unwrap();
    world.run(&Until { sequence: 500, ..Until::default() });
    world.load_feed(small_feed());
    let before = world.totals().commands_drawn;
    let Stop::FeedEnded(summary) = world.run(&Until::default()) else { panic!("the feed ends") };
    assert_eq!((summary.answered(), world.feed_progress()), (307, None));
    assert_eq!(world.totals().commands_drawn, before);
    assert_eq!(world.finish(), Ok(()), "{}", world.report());
    assert!(world.totals().commands_drawn > before && world.report().is_fine(), "{}", world.report());
}

#[test]
fn a_feed_behind_a_feed_waits_for_it() {
    let mut world = World::new(Options { workload: Workload::Idle, ..Options::default() }).unwrap();
    let second = Feed::new(None, Some(b"from_account,to_account,amount\nben,ann,2\n"), options("")).unwrap();
    world.load_feed(small_feed());
    world.load_feed(Arc::new(second));
    assert!(matches!(world.run(&Until::default()), Stop::FeedEnded(summary) if summary.rows == 307));
    assert!(matches!(world.run(&Until::default()), Stop::FeedEnded(summary) if summary.completed == 1));
    assert_eq!((world.finish(), world.report().is_fine()), (Ok(()), true), "{}", world.report());
}

/// 120,558 transfers between 20,000 accounts, with a result that an independent program derived.
#[test]
fn the_aml_transfers_come_to_the_expected_result() {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/aml_transfers");
    let read = |name: &str| std::fs::read(data.join(name));
    let (Ok(accounts), Ok(transfers)) = (read("nodes.csv.gz"), read("transactions.csv.gz")) else {
        println!("SKIPPED: the data set aml_transfers is not beside the repository (../shared/data)");
        return;
    };
    let mapping = "account=nodeid,opening_balance=init_balance,\
                   from_account=sourceNodeId,to_account=targetNodeId,amount=value";
    let feed = Arc::new(Feed::new(Some(&accounts), Some(&transfers), options(mapping)).unwrap());
    assert_eq!((feed.accounts_count(), feed.transfers_count()), (20_000, 120_558));
    let options = Options { workload: Workload::Idle, full_check_every_records: 0, ..Options::default() };
    let mut world = World::new(options).unwrap();
    world.load_feed(feed);
    let Stop::FeedEnded(summary) = world.run(&Until::default()) else { panic!("{}", world.report()) };
    assert_eq!(summary.completed, 20_000 + 46_538);
    assert_eq!(summary.refused_for(Reason::InsufficientFunds), 74_005);
    assert_eq!(summary.refused_for(Reason::SameAccount), 15);
    let counts = &world.projections().counts;
    assert_eq!((counts.transfers_completed(), counts.transfers_failed()), (46_538, 74_020));

    let expected = String::from_utf8(read("expected_balances_cents.csv").unwrap()).unwrap();
    let mut compared = 0;
    for line in expected.lines().skip(1) {
        let (account, cents) = line.split_once(',').unwrap();
        let index = world.ledger().find(&account.parse().unwrap()).unwrap();
        assert_eq!(world.ledger().account(index).posted.to_string(), cents, "account {account}");
        compared += 1;
    }
    assert_eq!(compared, 20_000);
    assert_eq!((world.finish(), world.report().is_fine()), (Ok(()), true), "{}", world.report());
}
