use expect_test::expect;

use super::{Rig, Setup, request_of};
use crate::tokens::Tokens;

#[tokio::test]
async fn a_stranger_s_name_or_page_is_turned_away() {
    let rig = Rig::with(Setup { hosts: vec!["wallet.example".to_owned()], ..Setup::default() });
    let answers = rig
        .run(
            "
GET /health/live [Host: evil.example]
GET /health/live [Host:]
GET /health/live [Host: wallet.example:8080]
GET /health/live [Host: WALLET.example]
GET /health/live [Host: 10.0.0.7:8080]
POST /v1/wallet/transfer [Origin: http://evil.example] {}
POST /v1/wallet/transfer [Origin: null] {}
POST /v1/wallet/transfer [Sec-Fetch-Site: cross-site] {}
POST /v1/wallet/transfer [Sec-Fetch-Site: same-site] {}
GET /v1/state [Sec-Fetch-Site: cross-site; Sec-Fetch-Dest: image]
GET /health/live [Sec-Fetch-Site: cross-site; Sec-Fetch-Dest: document]
POST /v1/wallet/transfer [Origin: http://localhost:8080] {}
POST /v1/wallet/transfer [Sec-Fetch-Site: same-origin; Origin: http://localhost:8080] {}
",
        )
        .await;
    expect![[r#"
        421 {"code":"misdirected_request","detail":"this server does not go by the name `evil.example`; use an IP address or localhost, or start it with --host","field":"Host","status":421,"title":"The Host header names somebody else","type":"/problems#misdirected_request"}
        400 {"code":"invalid_field","detail":"a request must have exactly one `Host` header, in ASCII","field":"Host","status":400,"title":"A field has a value that it cannot have","type":"/problems#invalid_field"}
        200 {"status":"ok"}
        200 {"status":"ok"}
        200 {"status":"ok"}
        403 {"code":"cross_site","detail":"a page of another site may not write here","field":"Origin","status":403,"title":"A page of another site may not do this","type":"/problems#cross_site"}
        403 {"code":"cross_site","detail":"a page of another site may not write here","field":"Origin","status":403,"title":"A page of another site may not do this","type":"/problems#cross_site"}
        403 {"code":"cross_site","detail":"a page of another site may not write here","field":"Origin","status":403,"title":"A page of another site may not do this","type":"/problems#cross_site"}
        403 {"code":"cross_site","detail":"a page of another site may not write here","field":"Origin","status":403,"title":"A page of another site may not do this","type":"/problems#cross_site"}
        403 {"code":"cross_site","detail":"a page of another site may not read here","field":"Sec-Fetch-Site","status":403,"title":"A page of another site may not do this","type":"/problems#cross_site"}
        200 {"status":"ok"}
        400 {"code":"missing_field","detail":"the field `from_account` is missing","field":"from_account","status":400,"title":"A required field is missing","type":"/problems#missing_field"}
        400 {"code":"missing_field","detail":"the field `from_account` is missing","field":"from_account","status":400,"title":"A required field is missing","type":"/problems#missing_field"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn tokens_have_roles() {
    let text = "read reader-reader-reader\nwrite writer-writer-writer\nadmin admin-admin-admin\n";
    let tokens = Tokens::parse(text).expect("a good file");
    let rig = Rig::with(Setup { tokens: Some(tokens), ..Setup::default() });
    let mut statuses = String::new();
    for token in [
        "",
        "Bearer wrong-wrong-wrong-wrong",
        "Bearer reader-reader-reader",
        "bearer writer-writer-writer",
        "Bearer admin-admin-admin",
    ] {
        for line in [
            "GET /health",
            "GET /docs",
            "OPTIONS /v1/wallet/transfer",
            "GET /v1/wallet/accounts",
            "GET /metrics",
            "POST /v1/wallet/transfer",
            "POST /admin/queues/commands/redrive",
        ] {
            let request = request_of(&format!("{line} [Authorization: {token}] {{\"max\":1}}"));
            statuses += &format!("{} ", rig.send(request).await.status.as_u16());
        }
        statuses += "\n";
    }
    expect![[r#"
        200 200 204 401 401 401 401 
        200 200 204 401 401 401 401 
        200 200 204 200 200 403 403 
        200 200 204 200 200 400 403 
        200 200 204 200 200 400 200 
    "#]]
    .assert_eq(&statuses);
    let answers =
        rig.run("GET /stats\nPOST /v1/wallet/transfer [Authorization: Bearer reader-reader-reader] {}").await;
    expect![[r#"
        401 www-authenticate: Bearer {"code":"unauthorized","detail":"this needs a token of the server's token file: `Authorization: Bearer TOKEN`","field":"Authorization","status":401,"title":"A bearer token is needed","type":"/problems#unauthorized"}
        403 {"code":"forbidden","detail":"this needs the role `write`, and the token has the role `read`","field":"Authorization","status":403,"title":"The token's role does not allow this","type":"/problems#forbidden"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn methods_and_paths_that_are_not_there() {
    let rig = Rig::new();
    let answers = rig
        .run(
            "
GET /v1/wallet/transfer
DELETE /v1/wallet/accounts
PUT /health
OPTIONS /v1/wallet/accounts
OPTIONS /stats
HEAD /health/live
GET /v1/nothing
GET /nothing
POST /
",
        )
        .await;
    expect![[r#"
        405 allow: POST,OPTIONS {"code":"method_not_allowed","detail":"GET is not allowed here; `Allow` names what is","status":405,"title":"The route does not take this method","type":"/problems#method_not_allowed"}
        405 allow: GET,HEAD,POST,OPTIONS {"code":"method_not_allowed","detail":"DELETE is not allowed here; `Allow` names what is","status":405,"title":"The route does not take this method","type":"/problems#method_not_allowed"}
        405 allow: GET,HEAD,OPTIONS {"code":"method_not_allowed","detail":"PUT is not allowed here; `Allow` names what is","status":405,"title":"The route does not take this method","type":"/problems#method_not_allowed"}
        204 allow: GET,HEAD,POST,OPTIONS 
        204 allow: GET,HEAD,OPTIONS 
        200 
        404 {"code":"not_found","detail":"there is nothing at /v1/nothing","status":404,"title":"There is no such route","type":"/problems#not_found"}
        404 {"code":"not_found","detail":"there is nothing at /nothing","status":404,"title":"There is no such route","type":"/problems#not_found"}
        405 allow: GET,HEAD,OPTIONS {"code":"method_not_allowed","detail":"POST is not allowed here; `Allow` names what is","status":405,"title":"The route does not take this method","type":"/problems#method_not_allowed"}
    "#]].assert_eq(&answers);
}

#[tokio::test]
async fn every_answer_has_its_headers_and_the_request_s_id() {
    let rig = Rig::new();
    for (line, cache) in [
        ("GET /stats [X-Request-Id: my-id.7]", "no-store"),
        ("GET /nothing [X-Request-Id: my-id.7]", "no-store"),
        ("GET /docs [X-Request-Id: my-id.7]", "no-cache"),
        ("POST /v1/wallet/transfer [X-Request-Id: my-id.7] {}", "no-store"),
        ("GET /stats [X-Request-Id: my-id.7; Host: evil.example]", "no-store"),
    ] {
        let answer = rig.send(request_of(line)).await;
        let header = |name: &str| answer.headers[name].to_str().expect("ASCII").to_owned();
        assert_eq!(header("x-request-id"), "my-id.7", "{line}");
        assert_eq!(header("cache-control"), cache, "{line}");
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{line}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{line}");
        assert_eq!(header("x-frame-options"), "DENY", "{line}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{line}");
    }
    let made = rig.send(request_of("GET /stats [X-Request-Id: not harmless!]")).await;
    assert_eq!(made.headers["x-request-id"].len(), 32);
}
