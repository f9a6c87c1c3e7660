use expect_test::expect;

use super::Rig;

const ID: &str = "01900000-0000-7000-8000-00000000000";

#[tokio::test]
async fn a_tour() {
    let rig = Rig::new();
    let answers = rig
        .run(&format!(
            r#"
POST /v1/wallet/accounts {{"account_id":"alice","opening_balance":100}}
POST /v1/wallet/accounts {{"opening_balance":100,"account_id":"alice"}}
POST /v1/wallet/accounts {{"account_id":"alice","opening_balance":101}}
POST /v1/wallet/accounts {{"account_id":"bob","asset":"USD"}}
POST /v1/wallet/accounts {{"account_id":"yen","asset":"JPY","scale":0}}
POST /v1/wallet/accounts {{"account_id":"yen too","asset":"JPY","scale":0}}
POST /v1/wallet/accounts {{"account_id":"sen","asset":"JPY"}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":30}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":30}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":31}}
POST /v1/wallet/deposits {{"transaction_id":"{ID}2","account":"bob","amount":5}}
POST /v1/wallet/withdrawals {{"transaction_id":"{ID}3","account":"bob","amount":35}}
GET /v1/wallet/accounts
"#
        ))
        .await;
    expect![[r#"
        201 {"account_id":"alice","asset":"USD","opening_balance":100,"scale":2,"sequence":0,"status":"completed","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5"}
        200 idempotency-replayed: true {"account_id":"alice","asset":"USD","opening_balance":100,"scale":2,"sequence":0,"status":"completed","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5"}
        409 {"code":"account_exists","detail":"the account `alice` was opened with another body; nothing was changed","field":"account_id","status":409,"title":"An account with this id was opened with another body","type":"/problems#account_exists"}
        201 {"account_id":"bob","asset":"USD","opening_balance":0,"scale":2,"sequence":1,"status":"completed","transaction_id":"7e79a417-cee0-80b2-bebb-8817b5016882"}
        201 {"account_id":"yen","asset":"JPY","opening_balance":0,"scale":0,"sequence":2,"status":"completed","transaction_id":"5eb7a7f5-44c6-82ee-86a8-e557cb891b26"}
        201 {"account_id":"yen too","asset":"JPY","opening_balance":0,"scale":0,"sequence":3,"status":"completed","transaction_id":"5f39958d-0629-899e-bd55-2cfb2152ce07"}
        422 {"code":"asset_mismatch","detail":"the ledger refused the opening, and the refusal is recorded","reason":"asset_mismatch","sequence":4,"status":422,"title":"Refused: the assets do not fit","transaction_id":"8765e87c-17e2-8c8d-a1f6-c00b338b1d4e","type":"/problems#asset_mismatch"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000001","status":"completed","sequence":5}
        200 idempotency-replayed: true {"transaction_id":"01900000-0000-7000-8000-000000000001","status":"completed","sequence":5}
        409 {"code":"transaction_id_reused","detail":"the id was used with another body; nothing was changed: make a new id for a new command","status":409,"title":"The transaction id belongs to another command","transaction_id":"01900000-0000-7000-8000-000000000001","type":"/problems#transaction_id_reused"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000002","status":"completed","sequence":6}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000003","status":"completed","sequence":7}
        200 {"accounts":[{"account_id":"alice","asset":"USD","available":70,"balance":70,"floor":0,"pending":0,"posted":70,"scale":2},{"account_id":"bob","asset":"USD","available":0,"balance":0,"floor":0,"pending":0,"posted":0,"scale":2},{"account_id":"yen","asset":"JPY","available":0,"balance":0,"floor":0,"pending":0,"posted":0,"scale":0},{"account_id":"yen too","asset":"JPY","available":0,"balance":0,"floor":0,"pending":0,"posted":0,"scale":0}],"balances_total":{"JPY":0,"USD":70},"next_cursor":null,"sequence":8}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn each_refusal_is_recorded_and_sticks() {
    let rig = Rig::new();
    let answers = rig
        .run(&format!(
            r#"
POST /v1/wallet/accounts {{"account_id":"alice","opening_balance":100}}
POST /v1/wallet/accounts {{"account_id":"bob","opening_balance":9223372036854770000}}
POST /v1/wallet/accounts {{"account_id":"yen","asset":"JPY"}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":0}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}2","from_account":"alice","to_account":"alice","amount":1}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}3","from_account":"@world/USD","to_account":"alice","amount":1}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}4","from_account":"nobody","to_account":"alice","amount":1}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}5","from_account":"alice","to_account":"nobody","amount":1}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}6","from_account":"alice","to_account":"yen","amount":1}}
POST /v1/wallet/deposits {{"transaction_id":"{ID}7","account":"bob","amount":9223372036854775807}}
POST /v1/wallet/withdrawals {{"transaction_id":"{ID}8","account":"alice","amount":101}}
POST /v1/wallet/deposits {{"transaction_id":"{ID}9","account":"alice","amount":5}}
POST /v1/wallet/withdrawals {{"transaction_id":"{ID}8","account":"alice","amount":101}}
POST /v1/wallet/accounts {{"account_id":"@me"}}
POST /v1/wallet/accounts {{"account_id":"carol","opening_balance":-1}}
"#
        ))
        .await;
    expect![[r#"
        201 {"account_id":"alice","asset":"USD","opening_balance":100,"scale":2,"sequence":0,"status":"completed","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5"}
        201 {"account_id":"bob","asset":"USD","opening_balance":9223372036854770000,"scale":2,"sequence":1,"status":"completed","transaction_id":"c2fbe7e3-2dcc-863c-bdfb-3e53b5c13cb5"}
        201 {"account_id":"yen","asset":"JPY","opening_balance":0,"scale":2,"sequence":2,"status":"completed","transaction_id":"34b28cdf-1869-8268-94cb-56780729baa0"}
        422 {"code":"amount_not_positive","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"amount_not_positive","sequence":3,"status":422,"title":"Refused: the amount is not positive","transaction_id":"01900000-0000-7000-8000-000000000001","type":"/problems#amount_not_positive"}
        422 {"code":"same_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"same_account","sequence":4,"status":422,"title":"Refused: both accounts are the same","transaction_id":"01900000-0000-7000-8000-000000000002","type":"/problems#same_account"}
        422 {"code":"reserved_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"reserved_account","sequence":5,"status":422,"title":"Refused: the account belongs to the system","transaction_id":"01900000-0000-7000-8000-000000000003","type":"/problems#reserved_account"}
        422 {"code":"unknown_from_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"unknown_from_account","sequence":6,"status":422,"title":"Refused: the paying account does not exist","transaction_id":"01900000-0000-7000-8000-000000000004","type":"/problems#unknown_from_account"}
        422 {"code":"unknown_to_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"unknown_to_account","sequence":7,"status":422,"title":"Refused: the paid account does not exist","transaction_id":"01900000-0000-7000-8000-000000000005","type":"/problems#unknown_to_account"}
        422 {"code":"asset_mismatch","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"asset_mismatch","sequence":8,"status":422,"title":"Refused: the assets do not fit","transaction_id":"01900000-0000-7000-8000-000000000006","type":"/problems#asset_mismatch"}
        422 {"code":"overflow","detail":"the ledger refused the deposit, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"overflow","sequence":9,"status":422,"title":"Refused: a balance would leave the range of 64 bits","transaction_id":"01900000-0000-7000-8000-000000000007","type":"/problems#overflow"}
        422 {"code":"insufficient_funds","detail":"the ledger refused the withdrawal, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"insufficient_funds","sequence":10,"status":422,"title":"Refused: the account would fall below its floor","transaction_id":"01900000-0000-7000-8000-000000000008","type":"/problems#insufficient_funds"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000009","status":"completed","sequence":11}
        422 idempotency-replayed: true {"code":"insufficient_funds","detail":"the ledger refused the withdrawal, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"insufficient_funds","sequence":10,"status":422,"title":"Refused: the account would fall below its floor","transaction_id":"01900000-0000-7000-8000-000000000008","type":"/problems#insufficient_funds"}
        422 {"code":"reserved_account","detail":"the ledger refused the opening, and the refusal is recorded","reason":"reserved_account","sequence":12,"status":422,"title":"Refused: the account belongs to the system","transaction_id":"2c2eb557-f304-8acc-8d1b-1f027cc760d6","type":"/problems#reserved_account"}
        422 {"code":"amount_not_positive","detail":"the ledger refused the opening, and the refusal is recorded","reason":"amount_not_positive","sequence":13,"status":422,"title":"Refused: the amount is not positive","transaction_id":"0f33473c-e0c0-8b82-8998-51e36a05d369","type":"/problems#amount_not_positive"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn a_key_in_the_header_is_an_id() {
    let rig = Rig::new();
    let body = r#"{"from_account":"a","to_account":"b","amount":1}"#;
    let with_id = |last: u8| {
        format!(r#"{{"transaction_id":"{ID}{last}","from_account":"a","to_account":"b","amount":1}}"#)
    };
    let answers = rig
        .run(&format!(
            "
POST /v1/wallet/transfer [Idempotency-Key: {ID}1] {body}
POST /v1/wallet/transfer [Idempotency-Key: {ID}1] {one}
POST /v1/wallet/transfer [Idempotency-Key: {ID}2] {one}
POST /v1/wallet/transfer [Idempotency-Key: order 17] {body}
POST /v1/wallet/transfer [Idempotency-Key: order 17] {body}
POST /v1/wallet/transfer [Idempotency-Key: {long}] {body}
",
            one = with_id(1),
            long = "k".repeat(256)
        ))
        .await;
    expect![[r#"
        422 {"code":"unknown_from_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"unknown_from_account","sequence":0,"status":422,"title":"Refused: the paying account does not exist","transaction_id":"01900000-0000-7000-8000-000000000001","type":"/problems#unknown_from_account"}
        422 idempotency-replayed: true {"code":"unknown_from_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"unknown_from_account","sequence":0,"status":422,"title":"Refused: the paying account does not exist","transaction_id":"01900000-0000-7000-8000-000000000001","type":"/problems#unknown_from_account"}
        400 {"code":"idempotency_key_mismatch","detail":"`transaction_id` is 01900000-0000-7000-8000-000000000001, but the header `Idempotency-Key` stands for 01900000-0000-7000-8000-000000000002; send one of them, or the same id in both","field":"transaction_id","status":400,"title":"The Idempotency-Key header and transaction_id name different transactions","type":"/problems#idempotency_key_mismatch"}
        422 {"code":"unknown_from_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"unknown_from_account","sequence":1,"status":422,"title":"Refused: the paying account does not exist","transaction_id":"4548c14a-d106-897a-94b3-40c5b2e623ad","type":"/problems#unknown_from_account"}
        422 idempotency-replayed: true {"code":"unknown_from_account","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"unknown_from_account","sequence":1,"status":422,"title":"Refused: the paying account does not exist","transaction_id":"4548c14a-d106-897a-94b3-40c5b2e623ad","type":"/problems#unknown_from_account"}
        400 {"code":"invalid_idempotency_key","detail":"the header `Idempotency-Key` must have 1 to 255 bytes","field":"Idempotency-Key","status":400,"title":"The Idempotency-Key header cannot be used","type":"/problems#invalid_idempotency_key"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn what_is_malformed_writes_nothing() {
    let rig = Rig::new();
    let answers = rig
        .run(
            r#"
POST /v1/wallet/transfer
POST /v1/wallet/transfer null
POST /v1/wallet/transfer {"from_account":"a","to_account":"b","amount":1.5}
POST /v1/wallet/transfer {"from_account":"a","to_account":"b","amount":9223372036854775808}
POST /v1/wallet/transfer {"from_account":"a","to_account":"b"}
POST /v1/wallet/transfer {"from_account":"a","to_account":"b","amount":1,"ammount":1}
POST /v1/wallet/transfer {"from_account":"a","from_account":"a","to_account":"b","amount":1}
POST /v1/wallet/transfer {"from_account":"","to_account":"b","amount":1}
POST /v1/wallet/transfer {"from_account":"a\u0000","to_account":"b","amount":1}
POST /v1/wallet/transfer {"transaction_id":"7","from_account":"a","to_account":"b","amount":1}
POST /v1/wallet/accounts {"account_id":"a","asset":"us dollars"}
POST /v1/wallet/accounts {"account_id":"a","scale":19}
POST /v1/wallet/transfer [Content-Type: text/plain] {"from_account":"a","to_account":"b","amount":1}
POST /v1/wallet/transfer [Content-Type:] {"from_account":"a","to_account":"b","amount":1}
POST /v1/wallet/transfer [Content-Length: 65537] {}
POST /v1/wallet/deposits?dry_run=true {"account":"a","amount":1}
"#,
        )
        .await;
    expect![[r#"
        400 {"code":"malformed_json","detail":"the body is not one JSON object in UTF-8: EOF while parsing a value at line 1 column 0","status":400,"title":"The body is not one JSON object","type":"/problems#malformed_json"}
        400 {"code":"malformed_json","detail":"the body is not one JSON object in UTF-8: invalid type: null, expected a JSON object at line 1 column 4","status":400,"title":"The body is not one JSON object","type":"/problems#malformed_json"}
        400 {"code":"invalid_field","detail":"`amount` must be a JSON integer from -9223372036854775808 to 9223372036854775807, without a fraction or an exponent, not a number that has one of them or is beyond that","field":"amount","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"`amount` must be a JSON integer from -9223372036854775808 to 9223372036854775807, without a fraction or an exponent, not a number beyond that","field":"amount","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"missing_field","detail":"the field `amount` is missing","field":"amount","status":400,"title":"A required field is missing","type":"/problems#missing_field"}
        400 {"code":"unknown_field","detail":"there is no field `ammount` here; the fields are `transaction_id`, `from_account`, `to_account`, `amount` and `metadata`","field":"ammount","status":400,"title":"The body has a field that the route does not know","type":"/problems#unknown_field"}
        400 {"code":"duplicate_field","detail":"the field `from_account` stands twice; send it once","field":"from_account","status":400,"title":"A field stands twice in the body","type":"/problems#duplicate_field"}
        400 {"code":"invalid_field","detail":"`from_account`: the account name is empty; give it 1 to 64 bytes","field":"from_account","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"`from_account`: the account name has a control character at byte 1; remove it","field":"from_account","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"`transaction_id`: the transaction id is not a UUID; write it like 018f4e9a-7c1b-7a52-9d3e-0123456789ab","field":"transaction_id","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"`asset`: the asset code does not begin with a letter A-Z; write it like USD","field":"asset","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"`scale` must be an integer from 0 to 18","field":"scale","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        415 {"code":"unsupported_media_type","detail":"send the body as `Content-Type: application/json`","status":415,"title":"The body is not declared as JSON","type":"/problems#unsupported_media_type"}
        415 {"code":"unsupported_media_type","detail":"send the body as `Content-Type: application/json`","status":415,"title":"The body is not declared as JSON","type":"/problems#unsupported_media_type"}
        413 {"code":"body_too_large","detail":"the body may have 65536 bytes at most","status":413,"title":"The body is too large","type":"/problems#body_too_large"}
        400 {"code":"invalid_query","detail":"there is no parameter `dry_run` here; this request has no parameters","field":"dry_run","status":400,"title":"A query parameter is unknown, stands twice or has a value that it cannot have","type":"/problems#invalid_query"}
    "#]].assert_eq(&answers);
    let large = format!("POST /v1/wallet/transfer {}", " ".repeat(70_000) + "{}");
    assert!(rig.run(&large).await.starts_with("400 "), "the script cuts spaces");
    let large = format!("POST /v1/wallet/transfer {{{}}}", " ".repeat(70_000));
    assert!(rig.run(&large).await.starts_with("413 "));
    assert_eq!(rig.sequence().await, 0);
}
