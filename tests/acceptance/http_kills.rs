//! Kill -9 of a server under load, fifty times: nothing acknowledged is lost, nothing is doubled.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use ledger::{CommandKind, TransactionId};
use serde_json::{Value, json};

use super::harness::{Files, walletlab};
use super::http_client::{Client, Server};
use super::http_history::{History, Seen, Told, Wish, check, journal};

const ROUNDS: u64 = 50;
const CLIENTS: u64 = 8;
const ACCOUNTS: u64 = 6;
const OPENING_BALANCE: i64 = 1_000;

/// A client that lives through all rounds: what it is not sure of, it sends again.
struct Payer {
    number: u64,
    made: u64,
    /// Commands whose answer a kill took away.
    sent_again: u64,
    unsure: Option<TransactionId>,
    history: History,
}

/// What all clients of a round share.
struct Round {
    address: SocketAddr,
    answered: AtomicU64,
    answers_until_kill: u64,
}

impl Payer {
    /// Sends one command after another until the server is gone.
    fn pay(&mut self, round: &Round, moment: &AtomicU64, enough: &Sender<()>) {
        let Ok(mut client) = Client::connect(round.address) else { return };
        self.sent_again += u64::from(self.unsure.is_some());
        loop {
            let id = self.unsure.take().unwrap_or_else(|| self.next(moment));
            self.unsure = Some(id);
            let Ok(told) = send(&mut client, id, &self.history[&id].wish) else { return };
            let now = moment.fetch_add(1, SeqCst);
            if let Some(told) = told {
                self.unsure = None;
                self.history.get_mut(&id).expect("it was made").told.push((now, told));
            }
            if round.answered.fetch_add(1, SeqCst) + 1 == round.answers_until_kill {
                // The other side is gone only when the test fails anyway.
                let _ = enough.send(());
            }
        }
    }

    /// The next command: mostly transfers, some of which are refused.
    fn next(&mut self, moment: &AtomicU64) -> TransactionId {
        self.made += 1;
        let id =
            TransactionId::derived("http kills", &[&self.number.to_le_bytes(), &self.made.to_le_bytes()]);
        let [from, to, kind, amount, ..] = id.as_bytes();
        // Account number 6 does not exist.
        let account =
            |byte: u8| Some(format!("account-{}", u64::from(byte) % (ACCOUNTS + u64::from(byte > 250))));
        let amount = i64::from(amount);
        let wish = match kind % 8 {
            0 => Wish { kind: CommandKind::Deposit, from: None, to: account(to), amount },
            1 => Wish { kind: CommandKind::Withdrawal, from: account(from), to: None, amount },
            _ => Wish { kind: CommandKind::Transfer, from: account(from), to: account(to), amount },
        };
        let sent_at = moment.fetch_add(1, SeqCst);
        self.history.insert(id, Seen { wish, sent_at, told: Vec::new() });
        id
    }
}

/// `None`: the server was busy, and the id is as good as new.
fn send(client: &mut Client, id: TransactionId, wish: &Wish) -> io::Result<Option<Told>> {
    let (target, mut body) = match wish.kind {
        CommandKind::Deposit => ("/v1/wallet/deposits", json!({"account": wish.to})),
        CommandKind::Withdrawal => ("/v1/wallet/withdrawals", json!({"account": wish.from})),
        CommandKind::Transfer => {
            ("/v1/wallet/transfer", json!({"from_account": wish.from, "to_account": wish.to}))
        }
        kind => panic!("no wish is of kind {kind}"),
    };
    body["transaction_id"] = json!(id.to_string());
    body["amount"] = json!(wish.amount);
    let answer = client.post(target, &body)?;
    let said = answer.json();
    let told = |result: &Value| {
        assert_eq!(said["transaction_id"], id.to_string());
        let sequence = said["sequence"].as_u64().expect("a number");
        Ok(Some(Told { sequence, result: result.as_str().expect("a word").to_owned() }))
    };
    match answer.status {
        200 => told(&said["status"]),
        422 => told(&said["reason"]),
        503 => Ok(None),
        status => panic!("{status}: {}", answer.text()),
    }
}

#[test]
fn fifty_kills_under_load_lose_nothing_and_double_nothing() {
    let files = Files::new();
    let data = files.path("data");
    let server = Server::start(&data, &[]);
    for number in 0..ACCOUNTS {
        let body = json!({"account_id": format!("account-{number}"), "opening_balance": OPENING_BALANCE});
        server.client().post("/v1/wallet/accounts", &body).expect("answered").is(201);
    }
    server.kill();

    let moment = AtomicU64::new(1);
    let mut payers: Vec<Payer> = (0..CLIENTS)
        .map(|number| Payer { number, made: 0, sent_again: 0, unsure: None, history: BTreeMap::new() })
        .collect();
    for number in 0..ROUNDS {
        let server = Server::start(&data, &[]);
        let answers_until_kill = 1 + number * 13 % 150;
        let round = Round { address: server.address, answered: AtomicU64::new(0), answers_until_kill };
        let (enough, was_enough) = channel();
        thread::scope(|scope| {
            for payer in &mut payers {
                let (round, moment, enough) = (&round, &moment, enough.clone());
                scope.spawn(move || payer.pay(round, moment, &enough));
            }
            drop(enough);
            was_enough.recv().expect("the clients are answered until the server is killed");
            server.has_not_panicked();
            server.kill();
        });
    }
    let sent_again: u64 = payers.iter().map(|payer| payer.sent_again).sum();
    assert!(sent_again > ROUNDS, "only {sent_again} answers were lost: the kills do not hit");
    settle(&data, &mut payers, &moment);
    let history: History = payers.into_iter().flat_map(|payer| payer.history).collect();
    println!("{} commands, {sent_again} of them sent again after a kill", history.len());

    let server = Server::start(&data, &[]);
    let accounts = server.client().get("/v1/wallet/accounts").expect("answered").is(200).json();
    server.stop();
    walletlab(&["verify", data.to_str().expect("UTF-8")]).exits(0);
    let log = fs::read(files.log("data")).expect("read");
    let balances = check(&history, &journal(&log)).unwrap_or_else(|error| panic!("{error}"));
    let shown: BTreeMap<String, i64> = accounts["accounts"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|account| {
            (
                account["account_id"].as_str().expect("a name").to_owned(),
                account["balance"].as_i64().expect("a number"),
            )
        })
        .collect();
    assert_eq!(shown, balances, "the server shows what follows from its journal");
    assert_eq!(accounts["balances_total"]["USD"], balances.values().sum::<i64>());
}

/// Sends again, to a server that nobody kills, what a client is not sure of, and everything that was acknowledged: each
/// gets the answer that it got.
fn settle(data: &std::path::Path, payers: &mut [Payer], moment: &AtomicU64) {
    let server = Server::start(data, &[]);
    let mut client = server.client();
    for payer in payers {
        payer.unsure = None;
        for (id, seen) in &mut payer.history {
            let told = send(&mut client, *id, &seen.wish).expect("answered").expect("nobody else is here");
            if let Some((_, first)) = seen.told.first() {
                assert_eq!(told, *first, "{id}");
            }
            seen.told.push((moment.fetch_add(1, SeqCst), told));
        }
    }
    server.stop();
}
