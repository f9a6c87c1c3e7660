use axum::body::{Body, to_bytes};
use axum::http::Request;
use expect_test::{Expect, expect};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::batch::BINARY_TYPE;
use super::{Rig, Setup};
use crate::options::Limits;

/// Ids end in the number of the item.
const ID: &str = "01900000-0000-7000-8000-0000000000";

const OPEN: &str = r#"
POST /v1/wallet/accounts {"account_id":"alice","opening_balance":100}
POST /v1/wallet/accounts {"account_id":"bob"}
"#;

fn request(kind: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post("/v1/wallet/transfers").header("host", "localhost");
    request.header("content-type", kind).body(body.into()).expect("a request")
}

/// Sends a batch, whose ids are written as `#01`, and shows an item of the answer a line.
async fn check(rig: &Rig, kind: &str, body: &str, expected: Expect) {
    let answer = rig.send(request(kind, body.replace('#', ID))).await;
    let text = answer.body.replace(ID, "#").replace("},{", "},\n{");
    expected.assert_eq(&format!("{} {}\n", answer.status.as_u16(), text.trim_end()));
}

#[tokio::test]
async fn an_array_is_answered_item_by_item() {
    let rig = Rig::new();
    rig.run(OPEN).await;
    let body = r##"[
        {"transaction_id":"#01","from_account":"alice","to_account":"bob","amount":30,"metadata":{"b":1,"a":[true,null]}},
        {"transaction_id":"#01","from_account":"alice","to_account":"bob","amount":30,"metadata":{"a":[true,null],"b":1}},
        {"transaction_id":"#01","from_account":"alice","to_account":"bob","amount":31},
        {"transaction_id":"#02","from_account":"alice","to_account":"bob","amount":71,"kind":"transfer"},
        {"transaction_id":"#03","kind":"deposit","account":"bob","amount":5},
        {"transaction_id":"#04","kind":"withdrawal","account":"bob","amount":35},
        {"transaction_id":"#05","kind":"pending_transfer","from_account":"alice","to_account":"bob","amount":50},
        {"transaction_id":"#06","kind":"post_transfer","pending_id":"#05","amount":20},
        {"transaction_id":"#07","kind":"void_transfer","pending_id":"#05"}
    ]"##;
    check(&rig, "application/json", body, expect![[r##"
        200 [{"transaction_id":"#01","status":"completed","sequence":2,"replayed":false},
        {"transaction_id":"#01","status":"completed","sequence":2,"replayed":true},
        {"transaction_id":"#01","problem":{"code":"transaction_id_reused","detail":"the id was used with another body; nothing was changed: make a new id for a new command","status":409,"title":"The transaction id belongs to another command","transaction_id":"#01","type":"/problems#transaction_id_reused"}},
        {"transaction_id":"#02","status":"refused","reason":"insufficient_funds","sequence":3,"replayed":false},
        {"transaction_id":"#03","status":"completed","sequence":4,"replayed":false},
        {"transaction_id":"#04","status":"completed","sequence":5,"replayed":false},
        {"transaction_id":"#05","status":"completed","sequence":6,"replayed":false},
        {"transaction_id":"#06","status":"completed","sequence":7,"replayed":false},
        {"transaction_id":"#07","status":"refused","reason":"pending_not_open","sequence":8,"replayed":false}]
    "##]]).await;
    check(
        &rig,
        "application/json; charset=utf-8",
        " [ ] ",
        expect![[r#"
        200 []
    "#]],
    )
    .await;
}

#[tokio::test]
async fn a_group_happens_as_a_whole_or_not_at_all() {
    let rig = Rig::new();
    rig.run(OPEN).await;
    let group = r##"[
        {"transaction_id":"#01","from_account":"alice","to_account":"bob","amount":100,"linked":true},
        {"transaction_id":"#02","from_account":"bob","to_account":"alice","amount":60,"linked":false},
        {"transaction_id":"#03","from_account":"bob","to_account":"alice","amount":1,"linked":true},
        {"transaction_id":"#04","from_account":"bob","to_account":"alice","amount":40},
        {"transaction_id":"#05","from_account":"bob","to_account":"alice","amount":40}
    ]"##;
    let answers = expect![[r##"
        200 [{"transaction_id":"#01","status":"completed","sequence":2,"replayed":false},
        {"transaction_id":"#02","status":"completed","sequence":2,"replayed":false},
        {"transaction_id":"#03","status":"refused","reason":"linked_failed","sequence":3,"replayed":false},
        {"transaction_id":"#04","status":"refused","reason":"insufficient_funds","sequence":3,"replayed":false},
        {"transaction_id":"#05","status":"completed","sequence":4,"replayed":false}]
    "##]];
    check(&rig, "application/json", group, answers).await;
    let repeated = r##"[
        {"transaction_id":"#01","from_account":"alice","to_account":"bob","amount":100,"linked":true},
        {"transaction_id":"#02","from_account":"bob","to_account":"alice","amount":60},
        {"transaction_id":"#02","from_account":"bob","to_account":"alice","amount":60,"linked":true},
        {"transaction_id":"#06","from_account":"bob","to_account":"alice","amount":60}
    ]"##;
    check(&rig, "application/json", repeated, expect![[r##"
        200 [{"transaction_id":"#01","status":"completed","sequence":2,"replayed":true},
        {"transaction_id":"#02","status":"completed","sequence":2,"replayed":true},
        {"transaction_id":"#02","problem":{"code":"transaction_id_reused","detail":"the id was used with another body; nothing was changed: make a new id for a new command","status":409,"title":"The transaction id belongs to another command","transaction_id":"#02","type":"/problems#transaction_id_reused"}},
        {"transaction_id":"#06","problem":{"code":"transaction_id_reused","detail":"the id was used with another body; nothing was changed: make a new id for a new command","status":409,"title":"The transaction id belongs to another command","transaction_id":"#06","type":"/problems#transaction_id_reused"}}]
    "##]]).await;
}

#[tokio::test]
async fn a_mistake_names_its_item_and_nothing_of_the_batch_is_accepted() {
    let limits = Limits { batch_items_max: 3, ..Limits::default() };
    let rig = Rig::with(Setup { limits, ..Setup::default() });
    let good = r##"{"transaction_id":"#01","kind":"deposit","account":"a","amount":1}"##;
    let mut answers = String::new();
    for items in [
        r##"GOOD,{"transaction_id":"#02","from_account":"a","to_account":"b","amount":1.0}"##,
        r##"GOOD,{"from_account":"a","to_account":"b","amount":1}"##,
        r##"GOOD,{"transaction_id":"#02","kind":"open_account","account":"a"}"##,
        r##"GOOD,{"transaction_id":"#02","kind":"deposit","account":"a","amount":1,"from_account":"b"}"##,
        r##"GOOD,{"transaction_id":"#02","kind":"deposit","account":"a","amount":1,"amount":1}"##,
        r##"GOOD,{"transaction_id":"#02","kind":"deposit","account":"a","amount":1,"linked":null}"##,
        r##"GOOD,{"transaction_id":"#02","kind":"deposit","account":"a","amount":1,"metadata":{"a":{"b":1.5}}}"##,
        r##"{"transaction_id":"#02","kind":"pending_transfer","from_account":"a","to_account":"b","amount":1,"expires_at":-1}"##,
        r##"GOOD,{"transaction_id":"#02","kind":"deposit","account":"a","amount":1,"linked":true}"##,
        r##"{"transaction_id":"#01","kind":"deposit","account":"a","amount":1,"linked":true},GOOD"##,
        "GOOD,7",
        "GOOD,[]",
        "GOOD,GOOD,GOOD,GOOD",
        "GOOD,",
        "GOOD] [",
    ] {
        let body = format!("[{}]", items.replace("GOOD", good).replace('#', ID));
        let answer = rig.send(request("application/json", body)).await;
        let problem: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        answers += &format!(
            "{} {} {} {} {}\n",
            answer.status.as_u16(),
            problem["code"],
            problem["item"],
            problem["field"],
            problem["detail"]
        );
    }
    expect![[r#"
        400 "invalid_field" 1 "amount" "item 1: `amount` must be a JSON integer from -9223372036854775808 to 9223372036854775807, without a fraction or an exponent, not a number that has one of them or is beyond that"
        400 "missing_field" 1 "transaction_id" "item 1: the field `transaction_id` is missing"
        400 "invalid_field" 1 "kind" "item 1: `kind` must be one of `transfer`, `deposit`, `withdrawal`, `pending_transfer`, `post_transfer`, `void_transfer`; it is `transfer` if it is absent"
        400 "unknown_field" 1 "from_account" "item 1: there is no field `from_account` here; the fields are `kind`, `linked`, `transaction_id`, `account`, `amount` and `metadata`"
        400 "duplicate_field" 1 "amount" "item 1: the field `amount` stands twice; send it once"
        400 "invalid_field" 1 "linked" "item 1: `linked` must be `true` or `false`, not null"
        400 "invalid_field" 1 "metadata.a.b" "item 1: metadata, `a.b`: not valid: invalid type: floating point `1.5`, expected a string, an integer of 64 bits, a truth value, null, an array or an object at line 1 column 13"
        400 "invalid_field" 0 "expires_at" "item 0: `expires_at` must be microseconds since 1970-01-01T00:00:00Z, from 0 to 9007199254740991"
        400 "invalid_field" 1 "linked" "item 1: the last item is linked to a next one, and there is none; the last item of a group has no `linked`"
        400 "invalid_field" 1 "transaction_id" "item 1: the group that ends here: member 1 has the id 01900000-0000-7000-8000-000000000001 of a member before it; give it its own"
        400 "malformed_json" 1 null "item 1: the body is not one JSON object in UTF-8: invalid type: integer `7`, expected a JSON object at line 1 column 1"
        400 "malformed_json" 1 null "item 1: the body is not one JSON object in UTF-8: invalid type: sequence, expected a JSON object at line 1 column 0"
        413 "batch_too_large" 3 null "item 3: a batch has 3 items at most"
        400 "malformed_json" null null "the body is not one JSON array in UTF-8: trailing comma at line 1 column 102"
        400 "malformed_json" null null "the body is not one JSON array in UTF-8: trailing characters at line 1 column 103"
    "#]].assert_eq(&answers);
    assert_eq!(rig.sequence().await, 0);
    let form = rig.send(request("text/csv", "a,b")).await;
    assert_eq!(form.status.as_u16(), 415, "{}", form.body);
}

#[tokio::test]
async fn a_stream_is_answered_line_by_line() {
    let rig = Rig::new();
    rig.run(OPEN).await;
    let lines = r##"{"transaction_id":"#01","from_account":"alice","to_account":"bob","amount":30}
{"transaction_id":"#02","from_account":"alice","to_account":"bob","amount":99,"linked":true}
{"transaction_id":"#03","from_account":"alice","to_account":"bob","amount":1}
{"transaction_id":"#04","kind":"deposit","account":"bob","amount":5}"##;
    check(&rig, "application/jsonl", lines, expect![[r##"
        200 {"transaction_id":"#01","status":"completed","sequence":2,"replayed":false}
        {"transaction_id":"#02","status":"refused","reason":"insufficient_funds","sequence":3,"replayed":false}
        {"transaction_id":"#03","status":"refused","reason":"linked_failed","sequence":3,"replayed":false}
        {"transaction_id":"#04","status":"completed","sequence":4,"replayed":false}
    "##]]).await;
    let faulty = r##"{"transaction_id":"#05","kind":"deposit","account":"bob","amount":5}
{"transaction_id":"#06","kind":"deposit","account":"bob","amount":5,"linked":true}
{"transaction_id":"#07","kind":"deposit","account":"bob"}
{"transaction_id":"#08","kind":"deposit","account":"bob","amount":5}
"##;
    check(&rig, "application/x-ndjson", faulty, expect![[r##"
        200 {"transaction_id":"#05","status":"completed","sequence":5,"replayed":false}
        {"line":3,"problem":{"code":"missing_field","detail":"line 3: the field `amount` is missing","field":"amount","line":3,"status":400,"title":"A required field is missing","type":"/problems#missing_field"}}
    "##]]).await;
    let open = r##"{"transaction_id":"#05","kind":"deposit","account":"bob","amount":5}
{"transaction_id":"#06","kind":"deposit","account":"bob","amount":5,"linked":true}
"##;
    check(&rig, "application/jsonl", open, expect![[r##"
        200 {"transaction_id":"#05","status":"completed","sequence":5,"replayed":true}
        {"line":2,"problem":{"code":"invalid_field","detail":"line 2: this line is linked to a next one, and there is none; the last line of a group has no `linked`","field":"linked","line":2,"status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}}
    "##]]).await;
}

/// Answers come while the request is still being sent, and no more items than the limit wait for theirs.
#[tokio::test]
async fn a_stream_answers_before_its_end() {
    let limits = Limits { batch_items_max: 2, ..Limits::default() };
    let rig = Rig::with(Setup { limits, ..Setup::default() });
    rig.run(OPEN).await;
    let (lines, body) = mpsc::channel::<Result<String, std::convert::Infallible>>(1);
    let body = Body::from_stream(ReceiverStream::new(body));
    let response = rig.respond(request("application/jsonl", body)).await;
    assert_eq!(response.status(), 200);
    let mut answer = response.into_body().into_data_stream();
    for number in 10..20 {
        let line = format!(
            "{{\"transaction_id\":\"{ID}{number}\",\"kind\":\"deposit\",\"account\":\"bob\",\"amount\":1}}\n"
        );
        let (first, second) = line.split_at(number);
        for part in [first, second] {
            lines.send(Ok(part.to_owned())).await.expect("it is read");
        }
        let piece = tokio_stream::StreamExt::next(&mut answer).await.expect("an answer").expect("a piece");
        let text = String::from_utf8_lossy(&piece);
        assert!(text.contains(&format!("{ID}{number}\",\"status\":\"completed\"")), "{text}");
    }
    rig.stopping.send_replace(true);
    let rest = to_bytes(Body::from_stream(answer), usize::MAX).await.expect("an end");
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(rest.starts_with("{\"line\":11,\"problem\":{\"code\":\"not_ready\""), "{rest}");
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.lines().flat_map(|line| line.split('|').next()).collect();
    let digits: Vec<char> = digits.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).expect("hex")).collect()
}

/// The example of docs/API.md: bytes, and what they are behind a `|`.
#[tokio::test]
async fn the_compact_form_is_what_the_documentation_says() {
    let page = include_str!("../../../../../docs/API.md");
    let example = |name: &str| {
        let behind = page.split_once(&format!("<!-- {name} -->\n\n```text\n")).expect(name).1;
        bytes(behind.split_once("```").expect("an end").0)
    };
    let rig = Rig::new();
    rig.run(OPEN).await;
    let response = rig.respond(request(BINARY_TYPE, example("compact request"))).await;
    assert_eq!(response.headers()["content-type"], BINARY_TYPE);
    let answer = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    assert_eq!(answer.to_vec(), example("compact answer"));
}

#[tokio::test]
async fn a_mistake_in_the_compact_form_names_its_byte() {
    let rig = Rig::new();
    let header = "574c5442 0100 0000 01000000";
    let id = "00".repeat(16);
    let mut answers = String::new();
    for body in [
        "574c".to_owned(),
        "574c5443 0100 0000 00000000".to_owned(),
        "574c5442 0200 0000 00000000".to_owned(),
        "574c5442 0100 0100 00000000".to_owned(),
        "574c5442 0100 0000 00000000 00".to_owned(),
        header.to_owned(),
        format!("{header} 0100 {id}"),
        format!("{header} 0202 {id}"),
        format!("{header} 0201 {id} 0100000000000000 0161 0162"),
        format!("{header} 0200 {id} 0100000000000000 0161 00"),
        format!("{header} 0200 {id} 0100000000000000 0161 01ff"),
        format!("{header} 0200 {id} 0100000000000000 0161 0562"),
        format!("{header} 0504 {id} 0100000000000000 0161 0162 ffffffffffffffff"),
        format!("{header} 0308 {id} 0100000000000000 0161 0200 7b7b"),
        format!("{header} 0700 {id} {id} 00"),
    ] {
        let answer = rig.send(request(BINARY_TYPE, bytes(&body))).await;
        let problem: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        answers += &format!(
            "{} {} {} {}\n",
            answer.status.as_u16(),
            problem["code"],
            problem["item"],
            problem["detail"]
        );
    }
    expect![[r#"
        400 "malformed_batch" null "at byte 0: `magic` must be the 4 bytes WLTB"
        400 "malformed_batch" null "at byte 4: `magic` must be the 4 bytes WLTB"
        400 "malformed_batch" null "at byte 6: `version` must be 1"
        400 "malformed_batch" null "at byte 8: `reserved` must be 0"
        400 "malformed_batch" null "at byte 12: `count` must be as many items as the header says, and nothing behind them"
        400 "malformed_batch" 0 "item 0: at byte 12: `kind` must be 2 (transfer), 3 (deposit), 4 (withdrawal), 5 (pending_transfer), 6 (post_transfer) or 7 (void_transfer)"
        400 "malformed_batch" 0 "item 0: at byte 14: `kind` must be 2 (transfer), 3 (deposit), 4 (withdrawal), 5 (pending_transfer), 6 (post_transfer) or 7 (void_transfer)"
        400 "malformed_batch" 0 "item 0: at byte 14: `flags` must be a sum of the flags that this kind has"
        400 "invalid_field" 0 "item 0: the last item is linked to a next one, and there is none; the last item of a group has no `linked`"
        400 "malformed_batch" 0 "item 0: at byte 41: `to_account` must be a length of 1 to 64 and so many bytes of UTF-8 without control characters"
        400 "malformed_batch" 0 "item 0: at byte 42: `to_account` must be a length of 1 to 64 and so many bytes of UTF-8 without control characters"
        400 "malformed_batch" 0 "item 0: at byte 41: `to_account` must be a length of 1 to 64 and so many bytes of UTF-8 without control characters"
        400 "malformed_batch" 0 "item 0: at byte 50: `expires_at` must be 8 bytes, microseconds since the Unix epoch below 2^53"
        400 "malformed_batch" 0 "item 0: at byte 44: `metadata` must be a length (2 bytes) and the text of a JSON object as docs/API.md says"
        400 "malformed_batch" null "at byte 46: `count` must be as many items as the header says, and nothing behind them"
    "#]].assert_eq(&answers);
    assert_eq!(rig.sequence().await, 0);
}
