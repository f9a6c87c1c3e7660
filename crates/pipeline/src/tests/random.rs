//! Whatever comes in whatever order: nothing is said that the durable log does not hold.

use super::{Rig, command, recover};
use crate::{Config, Input, Recovery, Request};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use ledger::{Command, LinkedTransfers, TransactionResult};
use proptest::prelude::*;

pub(super) fn any_command() -> impl Strategy<Value = Command> {
    let group = prop::collection::btree_map(0u8..12, any_single(), 2..5).prop_map(|members| {
        let renamed = members.into_iter().map(|(id, command)| renamed(command, id));
        let members: Vec<Command> = renamed.filter(|member| member.kind().is_member()).collect();
        LinkedTransfers::new(members).map_or_else(
            |_| command(&["deposit", "12", "alice", "1"]).1,
            |transfers| Command::Linked { transfers },
        )
    });
    prop_oneof![6 => any_single(), 1 => group]
}

/// The same command with another id.
fn renamed(mut command: Command, id: u8) -> Command {
    match &mut command {
        Command::Transfer { transaction_id, .. }
        | Command::Deposit { transaction_id, .. }
        | Command::Withdrawal { transaction_id, .. }
        | Command::PendingTransfer { transaction_id, .. }
        | Command::PostTransfer { transaction_id, .. }
        | Command::VoidTransfer { transaction_id, .. }
        | Command::SetFloor { transaction_id, .. } => *transaction_id = super::labelled(&id.to_string()),
        Command::OpenAccount { .. } | Command::Linked { .. } => {}
    }
    command
}

fn any_single() -> impl Strategy<Value = Command> {
    let account = || prop::sample::select(["alice", "bob", "carol", "nobody", "@world/USD"].as_slice());
    let amount = -1i64..60;
    prop_oneof![
        (account(), amount.clone()).prop_map(|(a, n)| command(&["open", a, &n.to_string()]).1),
        (0u8..12, account(), account(), amount.clone())
            .prop_map(|(id, a, b, n)| { command(&["transfer", &id.to_string(), a, b, &n.to_string()]).1 }),
        (0u8..12, account(), amount.clone()).prop_map(|(id, a, n)| command(&[
            "deposit",
            &id.to_string(),
            a,
            &n.to_string()
        ])
        .1),
        (0u8..12, account(), amount.clone()).prop_map(|(id, a, n)| command(&[
            "withdraw",
            &id.to_string(),
            a,
            &n.to_string()
        ])
        .1),
        (0u8..12, account(), account(), 1i64..60, 0u64..20_000).prop_map(|(id, a, b, n, at)| {
            let (id, n, at) = (id.to_string(), n.to_string(), at.to_string());
            command(&["pend", &id, a, b, &n, &at]).1
        }),
        (0u8..12, 0u8..12, prop::option::of(amount)).prop_map(|(id, pending, n)| {
            let n = n.map_or("all".to_string(), |n| n.to_string());
            command(&["post", &id.to_string(), &pending.to_string(), &n]).1
        }),
        (0u8..12, 0u8..12).prop_map(|(id, pending)| command(&[
            "void",
            &id.to_string(),
            &pending.to_string()
        ])
        .1),
        (0u8..12, account(), -40i64..2)
            .prop_map(|(id, a, n)| { command(&["floor", &id.to_string(), a, &n.to_string()]).1 }),
        (0u8..12, account(), account()).prop_map(|(id, a, b)| {
            command(&["transfer", &id.to_string(), a, b, "1", r#"{"b":[1,null],"a":"x"}"#]).1
        }),
    ]
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit(Vec<Command>),
    Lookups,
    LoseLookups,
    Durable,
    Wait(u64),
    Redrive,
    Restart,
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(any_command(), 1..6).prop_map(Step::Submit),
        4 => Just(Step::Lookups),
        1 => Just(Step::LoseLookups),
        3 => Just(Step::Durable),
        1 => (0u64..3_000).prop_map(Step::Wait),
        1 => Just(Step::Redrive),
        1 => Just(Step::Restart),
    ]
}

pub(super) fn take_step(rig: &mut Rig, step: Step) {
    match step {
        Step::Submit(commands) => {
            let request = |command| {
                rig.requests += 1;
                Request { request_id: rig.requests, command }
            };
            let requests = commands.into_iter().map(request).collect();
            rig.input(Input::Submit(requests));
        }
        Step::Lookups => rig.answer_lookups(),
        Step::LoseLookups => rig.asked.clear(),
        Step::Durable => {
            if !rig.appends.is_empty() {
                rig.make_durable();
            }
        }
        Step::Wait(micros) => rig.run(&format!("wait {micros}")),
        Step::Redrive => rig.input(Input::Redrive { max: 2 }),
        Step::Restart => rig.restart(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens: one record an id, every answer is in the durable log when it is given, the read models
    /// equal the fold of the durable log, and the log replays to the digest of the settled pipeline.
    #[test]
    fn nothing_is_said_that_the_durable_log_does_not_hold(steps in prop::collection::vec(any_step(), 1..60)) {
        let config = Config {
            commands_max: 6,
            stage_commands_max: 3,
            append_records_max: 2,
            recent_ids_max: 7,
            visibility_timeout_micros: 2_000,
            attempts_max: 2,
            repeats_waiting_max: 2,
            gateway_lookups_max: 2,
            pending_transfers_max: 3,
            expiries_max: 2,
            ..Config::default()
        };
        let mut rig = Rig::new(config);
        for step in steps {
            take_step(&mut rig, step);
            check_visible(&rig);
        }
        rig.settle();
        check_visible(&rig);
        let recovered = recover(&rig.durable);
        prop_assert_eq!(recovered.ledger.digest(), rig.pipeline.ledger().digest());
    }
}

/// Everything said so far is in the durable log, and each id has one outcome there.
fn check_visible(rig: &Rig) {
    let mut results = BTreeMap::new();
    let mut recovery = Recovery::new(1);
    let each = |record: &ledger::Record<'_>| {
        for transaction in record.transactions() {
            let transaction = transaction.expect("whole records");
            let before = results.insert(transaction.transaction_id, (record.sequence, transaction.result()));
            assert!(before.is_none(), "two outcomes for one id");
        }
    };
    recovery.push(&rig.durable, each).expect("a readable log");
    let recovered = recovery.finish().expect("a whole log");
    let said: Vec<(u64, TransactionResult)> = results.values().copied().collect();
    let lines = rig.text.lines().filter(|line| line.contains(" at "));
    for line in lines.flat_map(|line| line.split(',')) {
        let known = said.iter().any(|(sequence, result)| {
            let told = match result {
                TransactionResult::Completed => format!("completed at {sequence}"),
                TransactionResult::Refused(reason) => format!("refused {} at {sequence}", reason.as_str()),
            };
            line.contains(&told)
        });
        assert!(known, "said but not durable: {line}");
    }
    let balances = |projections: &projection::Projections| -> Vec<(i64, i64, i64)> {
        projections.balances.iter().map(|(_, row)| (row.posted, row.pending, row.floor)).collect()
    };
    let open = |projections: &projection::Projections| projections.pending.holds().clone();
    assert_eq!(open(&recovered.projections), open(rig.pipeline.projections()));
    assert_eq!(balances(&recovered.projections), balances(rig.pipeline.projections()));
    assert_eq!(recovered.ledger.digest(), rig.pipeline.durable_digest());
    assert_eq!(recovered.projections.checkpoint(), rig.pipeline.projections().checkpoint());
}
