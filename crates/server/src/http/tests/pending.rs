use expect_test::expect;

use super::{Rig, Setup};
use crate::tokens::Tokens;

const ID: &str = "01900000-0000-7000-8000-00000000000";

#[tokio::test]
async fn the_life_of_a_pending_transfer() {
    let rig = Rig::new();
    let answers = rig
        .run(&format!(
            r#"
POST /v1/wallet/accounts {{"account_id":"alice","opening_balance":100}}
POST /v1/wallet/accounts {{"account_id":"bob"}}
POST /v1/wallet/pending-transfers {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":60,"metadata":{{"order":{{"id":7,"lines":["a",null]}}}}}}
POST /v1/wallet/pending-transfers {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":60,"metadata":{{ "order":{{"lines":["\u0061",null],"id":7}} }}}}
POST /v1/wallet/pending-transfers {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":60}}
POST /v1/wallet/transfer {{"transaction_id":"{ID}2","from_account":"alice","to_account":"bob","amount":41}}
GET /v1/wallet/accounts/alice
GET /v1/wallet/transactions/{ID}1
POST /v1/wallet/pending-transfers/{ID}1/post {{"transaction_id":"{ID}3","amount":61}}
POST /v1/wallet/pending-transfers/{ID}1/post {{"transaction_id":"{ID}4","amount":45,"metadata":{{}}}}
POST /v1/wallet/pending-transfers/{ID}1/post {{"transaction_id":"{ID}4","amount":45,"metadata":{{}}}}
POST /v1/wallet/pending-transfers/{ID}1/void {{"transaction_id":"{ID}5"}}
GET /v1/wallet/transactions/{ID}1
GET /v1/wallet/transactions/{ID}4
GET /v1/wallet/accounts/alice
GET /v1/wallet/accounts/bob/entries
POST /v1/wallet/pending-transfers [Idempotency-Key: {ID}6] {{"from_account":"alice","to_account":"bob","amount":5}}
POST /v1/wallet/pending-transfers/{ID}6/void {{"transaction_id":"{ID}7"}}
GET /v1/wallet/transactions/{ID}6
POST /v1/wallet/pending-transfers/7/void {{}}
POST /v1/wallet/pending-transfers/{ID}6/void {{"pending_id":"{ID}6"}}
POST /v1/wallet/pending-transfers/{ID}6/void {{"amount":1}}
POST /v1/wallet/pending-transfers {{"from_account":"alice","to_account":"bob","amount":5,"expires_at":9007199254740992}}
POST /v1/wallet/pending-transfers {{"from_account":"alice","to_account":"bob","amount":5,"expires_in_ms":5}}
POST /v1/wallet/transfer {{"from_account":"alice","to_account":"bob","amount":1,"metadata":{{"a":1,"a":2}}}}
POST /v1/wallet/transfer {{"from_account":"alice","to_account":"bob","amount":1,"metadata":[]}}
GET /v1/wallet/pending-transfers
"#
        ))
        .await;
    expect![[r#"
        201 {"account_id":"alice","asset":"USD","opening_balance":100,"scale":2,"sequence":0,"status":"completed","transaction_id":"22885ce9-2224-8e03-888d-2eb9033f25b5"}
        201 {"account_id":"bob","asset":"USD","opening_balance":0,"scale":2,"sequence":1,"status":"completed","transaction_id":"7e79a417-cee0-80b2-bebb-8817b5016882"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000001","status":"completed","sequence":2}
        200 idempotency-replayed: true {"transaction_id":"01900000-0000-7000-8000-000000000001","status":"completed","sequence":2}
        409 {"code":"transaction_id_reused","detail":"the id was used with another body; nothing was changed: make a new id for a new command","status":409,"title":"The transaction id belongs to another command","transaction_id":"01900000-0000-7000-8000-000000000001","type":"/problems#transaction_id_reused"}
        422 {"code":"insufficient_funds","detail":"the ledger refused the transfer, and the refusal is recorded under its id: no money moved, and the same id gets the same answer for ever","reason":"insufficient_funds","sequence":3,"status":422,"title":"Refused: the account would fall below its floor","transaction_id":"01900000-0000-7000-8000-000000000002","type":"/problems#insufficient_funds"}
        200 {"account_id":"alice","asset":"USD","available":40,"balance":100,"floor":0,"pending":60,"posted":100,"scale":2,"sequence":4}
        200 {"amount":60,"from_account":"alice","kind":"pending_transfer","metadata":{"order":{"id":7,"lines":["a",null]}},"reason":null,"recorded_at":T,"sequence":2,"status":"pending","to_account":"bob","transaction_id":"01900000-0000-7000-8000-000000000001"}
        422 {"code":"amount_exceeds_pending","detail":"the ledger refused to settle the pending transfer, and the refusal is recorded under its id: nothing changed, and the same id gets the same answer for ever","reason":"amount_exceeds_pending","sequence":4,"status":422,"title":"Refused: more would be posted than is held","transaction_id":"01900000-0000-7000-8000-000000000003","type":"/problems#amount_exceeds_pending"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000004","status":"completed","sequence":5}
        200 idempotency-replayed: true {"transaction_id":"01900000-0000-7000-8000-000000000004","status":"completed","sequence":5}
        422 {"code":"pending_not_open","detail":"the ledger refused to settle the pending transfer, and the refusal is recorded under its id: nothing changed, and the same id gets the same answer for ever","reason":"pending_not_open","sequence":6,"status":422,"title":"Refused: no pending transfer with this id is open","transaction_id":"01900000-0000-7000-8000-000000000005","type":"/problems#pending_not_open"}
        200 {"amount":60,"from_account":"alice","kind":"pending_transfer","metadata":{"order":{"id":7,"lines":["a",null]}},"posted_amount":45,"reason":null,"recorded_at":T,"sequence":2,"settled_by":{"recorded_at":T,"sequence":5,"transaction_id":"01900000-0000-7000-8000-000000000004"},"status":"posted","to_account":"bob","transaction_id":"01900000-0000-7000-8000-000000000001"}
        200 {"amount":45,"from_account":"alice","kind":"post_transfer","metadata":{},"pending_id":"01900000-0000-7000-8000-000000000001","reason":null,"recorded_at":T,"sequence":5,"status":"completed","to_account":"bob","transaction_id":"01900000-0000-7000-8000-000000000004"}
        200 {"account_id":"alice","asset":"USD","available":55,"balance":55,"floor":0,"pending":0,"posted":55,"scale":2,"sequence":7}
        200 {"account_id":"bob","entries":[{"amount":45,"balance_after":45,"counterparty":"alice","kind":"post_transfer","recorded_at":T,"sequence":5,"transaction_id":"01900000-0000-7000-8000-000000000004"}],"next_cursor":null,"sequence":7}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000006","status":"completed","sequence":7}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000007","status":"completed","sequence":8}
        200 {"amount":5,"from_account":"alice","kind":"pending_transfer","posted_amount":0,"reason":null,"recorded_at":T,"sequence":7,"settled_by":{"recorded_at":T,"sequence":8,"transaction_id":"01900000-0000-7000-8000-000000000007"},"status":"voided","to_account":"bob","transaction_id":"01900000-0000-7000-8000-000000000006"}
        400 {"code":"invalid_path","detail":"`pending_id`: the transaction id is not a UUID; write it like 018f4e9a-7c1b-7a52-9d3e-0123456789ab","field":"pending_id","status":400,"title":"A part of the path cannot be what it stands for","type":"/problems#invalid_path"}
        400 {"code":"unknown_field","detail":"there is no field `pending_id` here; the fields are `transaction_id` and `metadata`","field":"pending_id","status":400,"title":"The body has a field that the route does not know","type":"/problems#unknown_field"}
        400 {"code":"unknown_field","detail":"there is no field `amount` here; the fields are `transaction_id` and `metadata`","field":"amount","status":400,"title":"The body has a field that the route does not know","type":"/problems#unknown_field"}
        400 {"code":"invalid_field","detail":"`expires_at` must be microseconds since 1970-01-01T00:00:00Z, from 0 to 9007199254740991","field":"expires_at","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"unknown_field","detail":"there is no field `expires_in_ms` here; the fields are `transaction_id`, `from_account`, `to_account`, `amount`, `expires_at` and `metadata`","field":"expires_in_ms","status":400,"title":"The body has a field that the route does not know","type":"/problems#unknown_field"}
        400 {"code":"invalid_field","detail":"metadata, `a`: the key stands twice; keep one","field":"metadata.a","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        400 {"code":"invalid_field","detail":"metadata: not a JSON object; put it into braces","field":"metadata","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        405 allow: POST,OPTIONS {"code":"method_not_allowed","detail":"GET is not allowed here; `Allow` names what is","status":405,"title":"The route does not take this method","type":"/problems#method_not_allowed"}
    "#]].assert_eq(&without_times(&answers));
}

#[tokio::test]
async fn an_operator_sets_how_far_an_account_may_fall() {
    let tokens = "write 0123456789abcdef\nadmin fedcba9876543210\n";
    let tokens = Some(Tokens::parse(tokens).expect("tokens"));
    let rig = Rig::with(Setup { tokens, ..Setup::default() });
    let answers = rig
        .run(&format!(
            r#"
POST /v1/wallet/accounts [Authorization: Bearer 0123456789abcdef] {{"account_id":"alice","floor":-50}}
POST /v1/wallet/accounts [Authorization: Bearer 0123456789abcdef] {{"account_id":"bob"}}
POST /v1/wallet/accounts [Authorization: Bearer fedcba9876543210] {{"account_id":"alice","floor":-50}}
POST /v1/wallet/accounts [Authorization: Bearer fedcba9876543210] {{"account_id":"@fees","floor":-9223372036854775808}}
POST /v1/wallet/transfer [Authorization: Bearer 0123456789abcdef] {{"transaction_id":"{ID}1","from_account":"alice","to_account":"bob","amount":50}}
PUT /v1/wallet/accounts/alice/floor [Authorization: Bearer 0123456789abcdef] {{"transaction_id":"{ID}2","floor":-80}}
PUT /v1/wallet/accounts/alice/floor [Authorization: Bearer fedcba9876543210] {{"transaction_id":"{ID}2","floor":-80}}
PUT /v1/wallet/accounts/alice/floor [Authorization: Bearer fedcba9876543210] {{"transaction_id":"{ID}2","floor":-80}}
PUT /v1/wallet/accounts/alice/floor [Authorization: Bearer fedcba9876543210] {{"transaction_id":"{ID}3","floor":-49}}
PUT /v1/wallet/accounts/alice/floor [Authorization: Bearer fedcba9876543210] {{"transaction_id":"{ID}4","floor":0,"metadata":{{}}}}
PUT /v1/wallet/accounts/@world%2FUSD/floor [Authorization: Bearer fedcba9876543210] {{"transaction_id":"{ID}5","floor":0}}
GET /v1/wallet/accounts/alice [Authorization: Bearer 0123456789abcdef]
GET /v1/wallet/transactions/{ID}2 [Authorization: Bearer 0123456789abcdef]
GET /v1/wallet/accounts/floor [Authorization: Bearer 0123456789abcdef]
"#
        ))
        .await;
    expect![[r#"
        403 {"code":"forbidden","detail":"an account with a floor needs the role `admin`, and the token has the role `write`","field":"Authorization","status":403,"title":"The token's role does not allow this","type":"/problems#forbidden"}
        201 {"account_id":"bob","asset":"USD","opening_balance":0,"scale":2,"sequence":0,"status":"completed","transaction_id":"7e79a417-cee0-80b2-bebb-8817b5016882"}
        201 {"account_id":"alice","asset":"USD","floor":-50,"opening_balance":0,"scale":2,"sequence":1,"status":"completed","transaction_id":"ba82e04d-3b5e-8fd6-b746-19c05dbbce42"}
        201 {"account_id":"@fees","asset":"USD","floor":-9223372036854775808,"opening_balance":0,"scale":2,"sequence":2,"status":"completed","transaction_id":"390dc3f2-cfe1-8698-94c0-d37c462586e8"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000001","status":"completed","sequence":3}
        403 {"code":"forbidden","detail":"this needs the role `admin`, and the token has the role `write`","field":"Authorization","status":403,"title":"The token's role does not allow this","type":"/problems#forbidden"}
        200 {"transaction_id":"01900000-0000-7000-8000-000000000002","status":"completed","sequence":4}
        200 idempotency-replayed: true {"transaction_id":"01900000-0000-7000-8000-000000000002","status":"completed","sequence":4}
        422 {"code":"floor_above_balance","detail":"the ledger refused the floor, and the refusal is recorded under its id: nothing changed, and the same id gets the same answer for ever","reason":"floor_above_balance","sequence":5,"status":422,"title":"Refused: the floor is above what is available, or above 0","transaction_id":"01900000-0000-7000-8000-000000000003","type":"/problems#floor_above_balance"}
        400 {"code":"unknown_field","detail":"there is no field `metadata` here; the fields are `transaction_id` and `floor`","field":"metadata","status":400,"title":"The body has a field that the route does not know","type":"/problems#unknown_field"}
        422 {"code":"reserved_account","detail":"the ledger refused the floor, and the refusal is recorded under its id: nothing changed, and the same id gets the same answer for ever","reason":"reserved_account","sequence":6,"status":422,"title":"Refused: the account belongs to the system","transaction_id":"01900000-0000-7000-8000-000000000005","type":"/problems#reserved_account"}
        200 {"account_id":"alice","asset":"USD","available":30,"balance":-50,"floor":-80,"pending":0,"posted":-50,"scale":2,"sequence":7}
        200 {"amount":0,"floor":-80,"from_account":null,"kind":"set_floor","reason":null,"recorded_at":T,"sequence":4,"status":"completed","to_account":"alice","transaction_id":"01900000-0000-7000-8000-000000000002"}
        404 {"code":"account_not_found","detail":"there is no account `floor`","status":404,"title":"No account has this id","type":"/problems#account_not_found"}
    "#]].assert_eq(&without_times(&answers));
}

/// The digits behind `recorded_at` are the machine's clock.
fn without_times(text: &str) -> String {
    let mut parts = text.split("\"recorded_at\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "\"recorded_at\":T" + part.trim_start_matches(|character: char| character.is_ascii_digit())
    })
}
