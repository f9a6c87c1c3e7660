//! Small concurrent histories of transfers and reads are linearizable: there is one order of all of them, in line with
//! real time, in which each answer is right. Stateright's tester looks for that order.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::json;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};

use super::harness::Files;
use super::http_client::{Client, Server};

const ACCOUNTS: usize = 3;
const OPENING_BALANCE: i64 = 10;
const CLIENTS: usize = 3;
const OPERATIONS: usize = 4;

/// The balances of a history's accounts.
#[derive(Clone, Debug, PartialEq)]
struct Wallet([i64; ACCOUNTS]);

#[derive(Clone, Debug, PartialEq)]
enum Operation {
    Transfer {
        from: usize,
        to: usize,
        amount: i64,
    },
    Balance(usize),
    /// All of them, by the list of accounts.
    Balances,
}

#[derive(Clone, Debug, PartialEq)]
enum Told {
    Completed,
    Refused,
    Balance(i64),
    Balances([i64; ACCOUNTS]),
}

impl SequentialSpec for Wallet {
    type Op = Operation;
    type Ret = Told;

    fn invoke(&mut self, operation: &Operation) -> Told {
        match operation {
            Operation::Transfer { from, to, amount } if from == to || self.0[*from] < *amount => {
                Told::Refused
            }
            Operation::Transfer { from, to, amount } => {
                self.0[*from] -= amount;
                self.0[*to] += amount;
                Told::Completed
            }
            Operation::Balance(account) => Told::Balance(self.0[*account]),
            Operation::Balances => Told::Balances(self.0),
        }
    }
}

type Tester = LinearizabilityTester<usize, Wallet>;

/// A history while it is made.
struct History {
    name: String,
    tester: Mutex<Tester>,
    /// Told of every answer.
    answered: Sender<()>,
}

impl History {
    /// Opens its accounts.
    fn begin(name: &str, client: &mut Client) -> (History, Receiver<()>) {
        for account in 0..ACCOUNTS {
            let body = json!({"account_id": format!("{name}-{account}"), "opening_balance": OPENING_BALANCE});
            client.post("/v1/wallet/accounts", &body).expect("answered").is(201);
        }
        let tester = Tester::new(Wallet([OPENING_BALANCE; ACCOUNTS]));
        let (answered, answers) = channel();
        (History { name: name.to_owned(), tester: Mutex::new(tester), answered }, answers)
    }

    fn tester(&self) -> MutexGuard<'_, Tester> {
        self.tester.lock().expect("no client panicked")
    }

    /// Does operations one after the other, until the server is gone. What is then on its way stays so.
    fn run(&self, client: &mut Client, thread: usize, seed: usize) {
        for number in 0..OPERATIONS {
            let operation = operation(seed.wrapping_mul(31).wrapping_add(number * 7 + thread * 13));
            self.tester().on_invoke(thread, operation.clone()).expect("one at a time");
            let Some(told) = self.ask(client, &operation) else { return };
            self.tester().on_return(thread, told).expect("it was invoked");
            // Not every test listens.
            let _ = self.answered.send(());
        }
    }

    fn ask(&self, client: &mut Client, operation: &Operation) -> Option<Told> {
        let name = |account: usize| format!("{}-{account}", self.name);
        match operation {
            Operation::Transfer { from, to, amount } => {
                let body = json!({"from_account": name(*from), "to_account": name(*to), "amount": amount});
                match client.post("/v1/wallet/transfer", &body).ok()? {
                    answer if answer.status == 422 => Some(Told::Refused),
                    answer => Some(answer.is(200)).map(|_| Told::Completed),
                }
            }
            Operation::Balance(account) => {
                let answer = client.get(&format!("/v1/wallet/balance/{}", name(*account))).ok()?.is(200);
                Some(Told::Balance(answer.json()["balance"].as_i64()?))
            }
            Operation::Balances => {
                let answer = client.get("/v1/wallet/accounts?limit=1000").ok()?.is(200).json();
                let balance = |account: usize| {
                    let rows = answer["accounts"].as_array()?;
                    rows.iter().find(|row| row["account_id"] == name(account))?["balance"].as_i64()
                };
                let mut balances = [0; ACCOUNTS];
                for (account, shown) in balances.iter_mut().enumerate() {
                    *shown = balance(account)?;
                }
                Some(Told::Balances(balances))
            }
        }
    }

    #[track_caller]
    fn is_linearizable(&self) {
        let tester = self.tester();
        assert!(tester.is_consistent(), "{}: no order explains it: {tester:#?}", self.name);
    }
}

/// An operation by number: half of them move money, and some of those are refused.
fn operation(number: usize) -> Operation {
    let (from, to) = (number / 5 % ACCOUNTS, number / 2 % ACCOUNTS);
    match number % 6 {
        0 => Operation::Balances,
        1 | 2 => Operation::Balance(from),
        amount => Operation::Transfer { from, to, amount: i64::try_from(amount).expect("small") },
    }
}

/// Runs clients with these numbers at once.
fn at_once(history: &History, address: SocketAddr, first: usize, seed: usize) {
    let ready = Barrier::new(CLIENTS);
    thread::scope(|scope| {
        for thread in first..first + CLIENTS {
            let ready = &ready;
            scope.spawn(move || {
                let mut client = Client::connect(address).expect("connected");
                ready.wait();
                history.run(&mut client, thread, seed);
            });
        }
    });
}

#[test]
fn transfers_and_reads_are_linearizable() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &[]);
    let mut client = server.client();
    for seed in 0..60 {
        let (history, _) = History::begin(&format!("history-{seed}"), &mut client);
        at_once(&history, server.address, 0, seed);
        history.is_linearizable();
    }
    server.stop();
}

#[test]
fn they_are_across_kill_9() {
    let files = Files::new();
    let data = files.path("data");
    for seed in 0..10 {
        let server = Server::start(&data, &[]);
        let (history, answers) = History::begin(&format!("history-{seed}"), &mut server.client());
        kill_while_running(&history, server, seed, &answers);
        restart(&data, &history, seed);
        history.is_linearizable();
    }
}

/// The server is killed after `seed` answers, while the clients wait for more.
fn kill_while_running(history: &History, server: Server, seed: usize, answers: &Receiver<()>) {
    let address = server.address;
    thread::scope(|scope| {
        for thread in 0..CLIENTS {
            scope.spawn(move || {
                let Ok(mut client) = Client::connect(address) else { return };
                history.run(&mut client, thread, seed);
            });
        }
        for _ in 0..seed {
            answers.recv_timeout(Duration::from_secs(60)).expect("the clients are answered until then");
        }
        server.kill();
    });
}

fn restart(data: &Path, history: &History, seed: usize) {
    let server = Server::start(data, &[]);
    at_once(history, server.address, CLIENTS, seed + 1_000);
    server.stop();
}

#[test]
fn the_tester_sees_a_stale_read_and_a_torn_one() {
    let transfer = Operation::Transfer { from: 0, to: 1, amount: 4 };
    let after = |read: Operation, told: Told| {
        let mut tester = Tester::new(Wallet([OPENING_BALANCE; ACCOUNTS]));
        tester.on_invret(0, transfer.clone(), Told::Completed).expect("in order");
        tester.on_invret(1, read, told).expect("in order");
        tester.is_consistent()
    };
    assert!(after(Operation::Balance(1), Told::Balance(14)));
    assert!(!after(Operation::Balance(1), Told::Balance(10)), "a stale read");
    assert!(after(Operation::Balances, Told::Balances([6, 14, 10])));
    assert!(!after(Operation::Balances, Told::Balances([6, 10, 10])), "half of a transfer");
}
