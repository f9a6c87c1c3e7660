use expect_test::expect;

use super::{Rig, Setup};
use crate::options::Limits;

#[tokio::test]
async fn pages_follow_each_other() {
    let rig = Rig::new();
    for name in ["a", "b", "c"] {
        rig.run(&format!("POST /v1/wallet/accounts {{\"account_id\":\"{name}\",\"opening_balance\":10}}"))
            .await;
    }
    let answers = rig
        .run(
            "
GET /v1/wallet/accounts?limit=2
GET /v1/wallet/accounts?limit=2&after=2
GET /v1/wallet/accounts?limit=2&after=3
GET /v1/wallet/accounts?limit=1&system=true
GET /v1/wallet/accounts?after=4294967295
GET /v1/wallet/accounts?limit=0
GET /v1/wallet/accounts?limit=1001
GET /v1/wallet/accounts?limits=1
GET /v1/wallet/accounts/%40world%2FUSD
GET /v1/wallet/accounts/nobody
GET /v1/wallet/accounts/%FF
GET /v1/wallet/accounts/a%00
",
        )
        .await;
    expect![[r#"
        200 {"accounts":[{"account_id":"a","asset":"USD","available":10,"balance":10,"floor":0,"pending":0,"posted":10,"scale":2},{"account_id":"b","asset":"USD","available":10,"balance":10,"floor":0,"pending":0,"posted":10,"scale":2}],"balances_total":{"USD":30},"next_cursor":"2","sequence":3}
        200 {"accounts":[{"account_id":"c","asset":"USD","available":10,"balance":10,"floor":0,"pending":0,"posted":10,"scale":2}],"balances_total":{"USD":30},"next_cursor":null,"sequence":3}
        200 {"accounts":[],"balances_total":{"USD":30},"next_cursor":null,"sequence":3}
        200 {"accounts":[{"account_id":"@world/USD","asset":"USD","available":9223372036854775778,"balance":-30,"floor":-9223372036854775808,"pending":0,"posted":-30,"scale":2}],"balances_total":{"USD":30},"next_cursor":"0","sequence":3}
        200 {"accounts":[],"balances_total":{"USD":30},"next_cursor":null,"sequence":3}
        400 {"code":"invalid_query","detail":"the parameter `limit` must be an integer from 1 to 1000","field":"limit","status":400,"title":"A query parameter is unknown, stands twice or has a value that it cannot have","type":"/problems#invalid_query"}
        400 {"code":"invalid_query","detail":"the parameter `limit` must be an integer from 1 to 1000","field":"limit","status":400,"title":"A query parameter is unknown, stands twice or has a value that it cannot have","type":"/problems#invalid_query"}
        400 {"code":"invalid_query","detail":"there is no parameter `limits` here; the parameters are `limit`, `after` and `system`","field":"limits","status":400,"title":"A query parameter is unknown, stands twice or has a value that it cannot have","type":"/problems#invalid_query"}
        200 {"account_id":"@world/USD","asset":"USD","available":9223372036854775778,"balance":-30,"floor":-9223372036854775808,"pending":0,"posted":-30,"scale":2,"sequence":3}
        404 {"code":"account_not_found","detail":"there is no account `nobody`","status":404,"title":"No account has this id","type":"/problems#account_not_found"}
        400 {"code":"invalid_path","detail":"`account_id`: Invalid URL: Invalid UTF-8 in `account_id`","field":"account_id","status":400,"title":"A part of the path cannot be what it stands for","type":"/problems#invalid_path"}
        400 {"code":"invalid_path","detail":"`account_id`: the account name has a control character at byte 1; remove it","field":"account_id","status":400,"title":"A part of the path cannot be what it stands for","type":"/problems#invalid_path"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn entries_are_the_newest_first() {
    let rig = Rig::new();
    let id = "01900000-0000-7000-8000-00000000000";
    rig.run(&format!(
        r#"
POST /v1/wallet/accounts {{"account_id":"a","opening_balance":10}}
POST /v1/wallet/accounts {{"account_id":"b"}}
POST /v1/wallet/transfer {{"transaction_id":"{id}1","from_account":"a","to_account":"b","amount":3}}
POST /v1/wallet/withdrawals {{"transaction_id":"{id}2","account":"a","amount":4}}
"#
    ))
    .await;
    let page = rig.run("GET /v1/wallet/accounts/a/entries?limit=2").await;
    let page: serde_json::Value =
        serde_json::from_str(page.strip_prefix("200 ").expect("an answer")).expect("JSON");
    let row = |row: &serde_json::Value| {
        format!("{} {} {} {}", row["sequence"], row["counterparty"], row["amount"], row["balance_after"])
    };
    let rows: Vec<String> = page["entries"].as_array().expect("rows").iter().map(row).collect();
    assert_eq!(rows, ["3 \"@world/USD\" -4 3", "2 \"b\" -3 7"]);
    let transaction = rig.run(&format!("GET /v1/wallet/transactions/{id}1")).await;
    for must in [
        r#""amount":3"#,
        r#""from_account":"a""#,
        r#""status":"completed""#,
        r#""reason":null"#,
        r#""sequence":2"#,
    ] {
        assert!(transaction.contains(must), "{transaction}");
    }
    let before = page["next_cursor"].as_str().expect("a further page");
    let page = rig.run(&format!("GET /v1/wallet/accounts/a/entries?limit=2&before={before}")).await;
    assert!(page.contains("\"balance_after\":10") && page.contains("\"next_cursor\":null"), "{page}");
}

#[tokio::test]
async fn a_read_waits_for_a_record_but_not_for_ever() {
    let limits = Limits { read_wait_ms_max: 1, ..Limits::default() };
    let rig = Rig::with(Setup { limits, ..Setup::default() });
    let answers = rig
        .run(
            r#"
POST /v1/wallet/accounts {"account_id":"a","opening_balance":10}
GET /v1/wallet/balance/a?min_sequence=0
GET /v1/wallet/balance/a?min_sequence=1
GET /v1/wallet/balance/a?min_sequence=-1
GET /v1/wallet/balance/b
GET /v1/wallet/transactions/01900000-0000-7000-8000-000000000001
GET /v1/wallet/transactions/7
"#,
        )
        .await;
    expect![[r#"
        201 {"account_id":"a","asset":"USD","opening_balance":10,"scale":2,"sequence":0,"status":"completed","transaction_id":"6ecc1b61-3c17-8fc9-ac73-0b4b47a02fc7"}
        200 {"account_id":"a","asset":"USD","available":10,"balance":10,"pending":0,"posted":10,"sequence":1}
        504 {"code":"not_yet","detail":"record 1 was not durable within 1 ms; ask again","field":"min_sequence","status":504,"title":"The record that min_sequence names is not there yet","type":"/problems#not_yet"}
        400 {"code":"invalid_query","detail":"the parameter `min_sequence` must be a record's sequence, an integer of 0 or more","field":"min_sequence","status":400,"title":"A query parameter is unknown, stands twice or has a value that it cannot have","type":"/problems#invalid_query"}
        404 {"code":"account_not_found","detail":"there is no account `b`","status":404,"title":"No account has this id","type":"/problems#account_not_found"}
        404 {"code":"transaction_not_found","detail":"no transaction has the id 01900000-0000-7000-8000-000000000001","status":404,"title":"No transaction has this id","type":"/problems#transaction_not_found"}
        400 {"code":"invalid_path","detail":"`transaction_id`: the transaction id is not a UUID; write it like 018f4e9a-7c1b-7a52-9d3e-0123456789ab","field":"transaction_id","status":400,"title":"A part of the path cannot be what it stands for","type":"/problems#invalid_path"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn a_waiting_read_is_answered_when_the_record_is_durable() {
    let rig = Rig::new();
    rig.run(r#"POST /v1/wallet/accounts {"account_id":"a","opening_balance":10}"#).await;
    let (read, _) = tokio::join!(
        rig.run("GET /v1/wallet/balance/a?min_sequence=1"),
        rig.run(r#"POST /v1/wallet/deposits {"account":"a","amount":5}"#)
    );
    assert!(read.contains("\"balance\":15"), "{read}");
}

#[tokio::test]
async fn health_stats_and_metrics_say_how_it_goes() {
    let rig = Rig::new();
    rig.run(r#"POST /v1/wallet/accounts {"account_id":"a","opening_balance":10}"#).await;
    let answers = rig.run("GET /health/live\nGET /health/ready\nGET /health\nGET /stats\nGET /metrics").await;
    for must in [
        "200 {\"status\":\"ok\"}",
        "200 {\"status\":\"ready\"}",
        "\"memory_mb\":",
        "\"queues\":{\"commands\":{",
        "\"balances_total\":{\"USD\":10}",
        "\nwalletlab_durable_sequence 1\n",
        "\nwalletlab_journal_sync_duration_seconds_count 1\n",
        "\nwalletlab_http_requests_total{method=\"POST\",route=\"/v1/wallet/accounts\",status=\"201\"} 1\n",
        "\nwalletlab_refusals{reason=\"insufficient_funds\"} 0\n",
    ] {
        assert!(answers.contains(must), "{must} is not in {answers}");
    }
    rig.stopping.send_replace(true);
    let answers = rig.run("GET /health/ready").await;
    assert!(answers.starts_with("503 retry-after: 1 {\"code\":\"not_ready\""), "{answers}");
}
