//! Two hundred requests at once with one id: one effect, and equal answers, also across kill -9.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use super::harness::Files;
use super::http_client::{Answer, Client, Server};

const REQUESTS: usize = 200;

/// Sends the requests at the same moment, each on a connection of its own.
fn at_once(address: SocketAddr, request: impl Fn(&mut Client, usize) -> Answer + Sync) -> Vec<Answer> {
    let ready = Barrier::new(REQUESTS);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..REQUESTS)
            .map(|number| {
                let (ready, request) = (&ready, &request);
                scope.spawn(move || {
                    let mut client = Client::connect(address).expect("connected");
                    ready.wait();
                    request(&mut client, number)
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("no panic")).collect()
    })
}

/// All answers are the same, and as many as `first` are no repeats.
#[track_caller]
fn all_equal(answers: &[Answer], first: usize) -> Answer {
    for answer in answers {
        assert_eq!(answer.text(), answers[0].text());
        assert_eq!(answer.status, answers[0].status);
    }
    assert_eq!(
        answers.iter().filter(|answer| !answer.is_replayed()).count(),
        first,
        "answers that are no repeats"
    );
    answers[0].clone()
}

fn open(server: &Server, name: &str, opening_balance: i64) {
    let body = json!({"account_id": name, "opening_balance": opening_balance});
    server.client().post("/v1/wallet/accounts", &body).expect("answered").is(201);
}

fn balance(server: &Server, name: &str) -> Value {
    let answer = server.client().get(&format!("/v1/wallet/balance/{name}")).expect("answered").is(200);
    answer.json()["balance"].clone()
}

const ID: &str = "0198c2f0-6f1e-7c3a-9b1d-2f6f3a1e5b7c";

/// The same transfer, written in four ways: the id in the body, in the header, in both, and with other fields first.
fn transfer(client: &mut Client, number: usize) -> Answer {
    let bare = "{\"from_account\":\"payer\",\"to_account\":\"payee\",\"amount\":70}";
    let key = format!("idempotency-key: {ID}\r\n");
    let (headers, body) = match number % 4 {
        0 => (String::new(), bare.replacen('{', &format!("{{\"transaction_id\":\"{ID}\","), 1)),
        1 => (key, bare.to_owned()),
        2 => (key, bare.replacen('{', &format!("{{\"transaction_id\":\"{}\",", ID.to_uppercase()), 1)),
        _ => (
            String::new(),
            format!(
                " {{ \"amount\" : 70, \"to_account\":\"pay\\u0065e\",\"from_account\":\"payer\",\"transaction_id\":\"{ID}\"}} \n"
            ),
        ),
    };
    client.post_with("/v1/wallet/transfer", &headers, body.as_bytes()).expect("answered")
}

#[test]
fn one_id_has_one_effect_and_one_answer_also_after_kill_9() {
    let files = Files::new();
    let data = files.path("data");
    let server = Server::start(&data, &[]);
    open(&server, "payer", 100);
    open(&server, "payee", 0);
    let first = all_equal(&at_once(server.address, transfer), 1).is(200);
    assert_eq!(first.json(), json!({"transaction_id": ID, "status": "completed", "sequence": 2}));
    assert_eq!((balance(&server, "payer"), balance(&server, "payee")), (json!(30), json!(70)));
    assert_eq!(server.sequence(), 3);
    server.kill();

    let server = Server::start(&data, &[]);
    let again = all_equal(&at_once(server.address, transfer), 0).is(200);
    assert_eq!(again.text(), first.text());
    assert_eq!((balance(&server, "payer"), balance(&server, "payee")), (json!(30), json!(70)));
    assert_eq!(server.sequence(), 3);
    server.stop();
}

#[test]
fn a_refusal_is_one_record_and_outlives_a_top_up_and_kill_9() {
    let files = Files::new();
    let data = files.path("data");
    let server = Server::start(&data, &[]);
    open(&server, "payer", 10);
    open(&server, "payee", 0);
    let refused = all_equal(&at_once(server.address, transfer), 1).is(422);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    let body = refused.json();
    assert_eq!(
        (&body["code"], &body["reason"]),
        (&json!("insufficient_funds"), &json!("insufficient_funds"))
    );
    assert_eq!((&body["transaction_id"], &body["sequence"]), (&json!(ID), &json!(2)));
    server
        .client()
        .post("/v1/wallet/deposits", &json!({"account": "payer", "amount": 1000}))
        .expect("answered")
        .is(200);
    assert_eq!(all_equal(&at_once(server.address, transfer), 0).text(), refused.text());
    server.kill();

    let server = Server::start(&data, &[]);
    assert_eq!(all_equal(&at_once(server.address, transfer), 0).text(), refused.text());
    assert_eq!((balance(&server, "payer"), balance(&server, "payee")), (json!(1010), json!(0)));
    assert_eq!(server.sequence(), 4);
    server.stop();
}

#[test]
fn an_account_is_opened_once() {
    let files = Files::new();
    let data = files.path("data");
    let server = Server::start(&data, &[]);
    let opening = |client: &mut Client, _: usize| {
        let body = json!({"account_id": "Zoë/+ %2F?#", "asset": "EUR", "opening_balance": 5});
        client.post("/v1/wallet/accounts", &body).expect("answered")
    };
    let answers = at_once(server.address, opening);
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200 && answer.is_replayed()).count(),
        REQUESTS - 1
    );
    assert!(answers.iter().all(|answer| answer.text() == answers[0].text()));
    assert_eq!(answers[0].json()["account_id"], "Zoë/+ %2F?#");
    server.kill();

    let server = Server::start(&data, &[]);
    let again = all_equal(&at_once(server.address, opening), 0).is(200);
    assert_eq!(again.text(), answers[0].text());
    let other = json!({"account_id": "Zoë/+ %2F?#", "asset": "EUR", "opening_balance": 6});
    let conflict = server.client().post("/v1/wallet/accounts", &other).expect("answered").is(409);
    assert_eq!(conflict.json()["code"], "account_exists");
    let read =
        server.client().get("/v1/wallet/balance/Zo%C3%AB%2F+%20%252F%3F%23").expect("answered").is(200);
    assert_eq!(read.json()["balance"], 5, "{}", read.text());
    assert_eq!(server.sequence(), 1);
    server.stop();
}

#[test]
fn of_different_bodies_with_one_id_one_wins_and_the_others_conflict() {
    let files = Files::new();
    let server = Server::start(&files.path("data"), &[]);
    open(&server, "payer", 1_000_000);
    open(&server, "payee", 0);
    let answers = at_once(server.address, |client, number| {
        let body = json!({"transaction_id": ID, "from_account": "payer", "to_account": "payee", "amount": 1 + number % 10});
        client.post("/v1/wallet/transfer", &body).expect("answered")
    });
    let moved = balance(&server, "payee").as_u64().expect("a number");
    for (number, answer) in answers.iter().enumerate() {
        let expected = if moved == 1 + number as u64 % 10 { 200 } else { 409 };
        assert_eq!(answer.status, expected, "{moved} were moved, number {number}: {}", answer.text());
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), REQUESTS / 10);
    assert_eq!(server.sequence(), 3);
    server.stop();
}
