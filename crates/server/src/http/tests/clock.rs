use axum::body::Body;
use axum::http::Request;
use expect_test::expect;

use super::{Rig, Setup, request_of};
use crate::clock::ClockKind;

const ID: &str = "01900000-0000-7000-8000-00000000000";

async fn json(rig: &Rig, line: &str) -> serde_json::Value {
    let answer = rig.send(request_of(line)).await;
    assert!(answer.status.is_success(), "{line}: {}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

#[tokio::test]
async fn what_time_brings_about_is_durable_when_the_clock_says_so() {
    let rig = Rig::with(Setup { clock: ClockKind::Test, ..Setup::default() });
    let begin = json(&rig, "GET /v1/clock").await["now"].as_u64().expect("a time");
    assert_eq!(json(&rig, "GET /v1/clock").await["now"], begin, "it stands still");
    let (soon, later) = (begin + 1_000, begin + 2_000);
    let script = format!(
        r#"
POST /v1/wallet/accounts {{"account_id":"alice","opening_balance":100}}
POST /v1/wallet/accounts {{"account_id":"bob"}}
POST /v1/wallet/pending-transfers {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":30,"expires_at":{soon}}}
POST /v1/wallet/pending-transfers {{"transaction_id":"{ID}2","from_account":"alice","to_account":"bob","amount":40,"expires_at":{later}}}
POST /v1/wallet/pending-transfers {{"transaction_id":"{ID}3","from_account":"alice","to_account":"bob","amount":1,"expires_at":{begin}}}
GET /v1/wallet/balance/alice
POST /v1/clock/advance {{"micros":1000}}
GET /v1/wallet/balance/alice
GET /v1/wallet/transactions/{ID}1
GET /v1/wallet/transactions/{ID}2
POST /v1/wallet/pending-transfers/{ID}1/post {{"transaction_id":"{ID}4"}}
POST /v1/wallet/pending-transfers/{ID}2/post {{"transaction_id":"{ID}5"}}
POST /v1/clock/advance {{"micros":9007199254740991}}
POST /v1/clock/advance {{"micros":-1}}
POST /v1/clock/advance {{"micros":1,"minutes":1}}
GET /v1/wallet/balance/bob
"#
    );
    let answers = rig.run(&script).await;
    let answers = answers
        .replace(&begin.to_string(), "BEGIN")
        .replace(&soon.to_string(), "SOON")
        .replace(&later.to_string(), "LATER");
    expect![[r#"
        201 {"account_id":"alice","asset":"USD","opening_balance":100,"scale":2,"sequence":0,"status":"completed","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5"}
        201 {"account_id":"bob","asset":"USD","opening_balance":0,"scale":2,"sequence":1,"status":"completed","transaction_id":"7e79a417-cee0-80b2-bebb-8817b5016882"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000001","status":"completed","sequence":2}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000002","status":"completed","sequence":3}
        422 {"code":"deadline_passed","detail":"the ledger refused the pending transfer, and the refusal is recorded under its id: nothing is held, and the same id gets the same answer for ever","reason":"deadline_passed","sequence":4,"status":422,"title":"Refused: the pending transfer would expire at once","transaction_id":"01900000-0000-7000-8000-000000000003","type":"/problems#deadline_passed"}
        200 {"account_id":"alice","asset":"USD","available":30,"balance":100,"pending":70,"posted":100,"sequence":5}
        200 {"now":SOON,"sequence":6}
        200 {"account_id":"alice","asset":"USD","available":60,"balance":100,"pending":40,"posted":100,"sequence":6}
        200 {"amount":30,"expires_at":SOON,"from_account":"alice","kind":"pending_transfer","posted_amount":0,"reason":null,"recorded_at":BEGIN,"sequence":2,"settled_by":{"recorded_at":SOON,"sequence":5,"transaction_id":"5fdac94c-a711-8d14-892f-62023db5184c"},"status":"expired","to_account":"bob","transaction_id":"01900000-0000-7000-8000-000000000001"}
        200 {"amount":40,"expires_at":LATER,"from_account":"alice","kind":"pending_transfer","reason":null,"recorded_at":BEGIN,"sequence":3,"status":"pending","to_account":"bob","transaction_id":"01900000-0000-7000-8000-000000000002"}
        422 {"code":"pending_not_open","detail":"the ledger refused to settle the pending transfer, and the refusal is recorded under its id: nothing changed, and the same id gets the same answer for ever","reason":"pending_not_open","sequence":6,"status":422,"title":"Refused: no pending transfer with this id is open","transaction_id":"01900000-0000-7000-8000-000000000004","type":"/problems#pending_not_open"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000005","status":"completed","sequence":7}
        400 {"code":"invalid_field","detail":"`micros` goes beyond the end of time, which is 9007199254740991 microseconds since 1970","field":"micros","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"`micros` must be 0 or more","field":"micros","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"unknown_field","detail":"there is no field `minutes` here; the fields are `micros`","field":"minutes","status":400,"title":"The body has a field that the route does not know","type":"/problems#unknown_field"}
        200 {"account_id":"bob","asset":"USD","available":40,"balance":40,"pending":0,"posted":40,"sequence":8}
    "#]].assert_eq(&answers);
    assert_eq!(json(&rig, "GET /health").await["clock"], "test");
}

/// More of them than fit into one append.
#[tokio::test]
async fn many_expire_at_once() {
    let rig = Rig::with(Setup { clock: ClockKind::Test, ..Setup::default() });
    let begin = json(&rig, "GET /v1/clock").await["now"].as_u64().expect("a time");
    rig.run(r#"POST /v1/wallet/accounts {"account_id":"a","opening_balance":1000}"#).await;
    rig.run(r#"POST /v1/wallet/accounts {"account_id":"b"}"#).await;
    for part in 0..8 {
        let items: Vec<String> = (0..40)
            .map(|number| {
                let (id, at) = (part * 40 + number, begin + 1 + number);
                format!(
                    "{{\"transaction_id\":\"01900000-0000-7000-8000-{id:012}\",\"kind\":\"pending_transfer\",\
                     \"from_account\":\"a\",\"to_account\":\"b\",\"amount\":1,\"expires_at\":{at}}}"
                )
            })
            .collect();
        let request = Request::post("/v1/wallet/transfers").header("host", "localhost");
        let request = request.header("content-type", "application/json");
        let request = request.body(Body::from(format!("[{}]", items.join(",")))).expect("a request");
        let answer = rig.send(request).await.body;
        assert_eq!(answer.matches("completed").count(), 40, "{answer}");
    }
    assert_eq!(json(&rig, "GET /v1/wallet/balance/a").await["pending"], 320);
    let advanced = json(&rig, r#"POST /v1/clock/advance {"micros":1000}"#).await;
    assert_eq!(advanced["sequence"], 2 + 320 + 320);
    assert_eq!(json(&rig, "GET /v1/wallet/balance/a").await["pending"], 0);
}

#[tokio::test]
async fn the_machines_clock_is_moved_by_nobody() {
    let rig = Rig::new();
    let answers = rig.run(r#"POST /v1/clock/advance {"micros":1}"#).await;
    expect![[r#"
        404 {"code":"no_test_clock","detail":"this server goes by the machine's clock, which nobody moves; start it with --test-clock","status":404,"title":"The server has no clock that can be moved","type":"/problems#no_test_clock"}
    "#]].assert_eq(&answers);
    assert_eq!(json(&rig, "GET /v1/clock").await["clock"], "wall");
}

#[tokio::test]
async fn a_balance_of_the_past() {
    let rig = Rig::with(Setup { clock: ClockKind::Test, ..Setup::default() });
    let begin = json(&rig, "GET /v1/clock").await["now"].as_u64().expect("a time");
    rig.run(&format!(
        r#"
POST /v1/wallet/accounts {{"account_id":"alice","opening_balance":100}}
POST /v1/clock/advance {{"micros":10}}
POST /v1/wallet/accounts {{"account_id":"bob"}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":30}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}2","from_account":"alice","to_account":"bob","amount":71}}
POST /v1/clock/advance {{"micros":10}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}3","from_account":"bob","to_account":"alice","amount":1}}
"#
    ))
    .await;
    let mut answers = String::new();
    for (account, query) in [
        ("alice", "at_sequence=0".to_owned()),
        ("alice", "at_sequence=1".to_owned()),
        ("alice", "at_sequence=3".to_owned()),
        ("alice", "at_sequence=4".to_owned()),
        ("alice", "at_sequence=5".to_owned()),
        ("bob", "at_sequence=0".to_owned()),
        ("bob", "at_sequence=1".to_owned()),
        ("bob", "at_sequence=2".to_owned()),
        ("@world%2FUSD", "at_sequence=0".to_owned()),
        ("nobody", "at_sequence=0".to_owned()),
        ("alice", format!("at_time={}", begin - 1)),
        ("alice", format!("at_time={}", begin + 9)),
        ("alice", format!("at_time={}", begin + 10)),
        ("alice", format!("at_time={}", begin + 1_000)),
        ("bob", format!("at_time={}", begin + 9)),
        ("alice", "at_time=9007199254740992".to_owned()),
        ("alice", "at_time=1&at_sequence=1".to_owned()),
        ("alice", "min_sequence=1&at_sequence=1".to_owned()),
    ] {
        let answer = rig.send(request_of(&format!("GET /v1/wallet/balance/{account}?{query}"))).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        answers += &match body["code"].as_str() {
            Some(code) => format!("{account} {} {code} {}\n", answer.status.as_u16(), body["field"]),
            None => {
                format!("{account} {} of {}\n", body["posted"], body["sequence"])
            }
        };
    }
    expect![[r#"
        alice 100 of 5
        alice 100 of 5
        alice 70 of 5
        alice 71 of 5
        alice 404 sequence_not_yet "at_sequence"
        bob 404 account_not_yet_open "at_sequence"
        bob 0 of 5
        bob 30 of 5
        @world%2FUSD -100 of 5
        nobody 404 account_not_found null
        alice 404 account_not_yet_open "at_time"
        alice 100 of 5
        alice 70 of 5
        alice 71 of 5
        bob 404 account_not_yet_open "at_time"
        alice 400 invalid_query "at_time"
        alice 400 invalid_query "at_time"
        alice 400 invalid_query "at_sequence"
    "#]]
    .assert_eq(&answers);
}
