//! The words between page and worker, in a real browser: what is sent is what arrives.
#![cfg(target_arch = "wasm32")]

use js_sys::{Array, BigInt, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web::protocol::{
    AssetTotal, BalanceRow, BalancesWindow, CsvMapping, CsvNotice, EventFilter, EventKind, FileHandle,
    Follow, Frame, HandAnswer, HandBody, HandCommand, InvariantView, LiveRequest, LogForm, PROTOCOL,
    Replayed, Request, Response, RunOptions, RunState, RunView, Source, Speed, Status, TransferAnswer,
    from_js, to_js,
};

wasm_bindgen_test_configure!(run_in_browser);

fn there_and_back<T: serde::Serialize + serde::de::DeserializeOwned>(message: &T) -> T {
    from_js(to_js(message).expect("it becomes an object")).expect("it becomes a message again")
}

fn transfer(amount: i64) -> Request {
    Request::Transfer {
        request: u32::MAX,
        transaction_id: "01941f29-7c00-7000-8000-000000000001".into(),
        from_account: "alice".into(),
        to_account: "bob".into(),
        amount,
    }
}

#[wasm_bindgen_test]
fn the_greatest_amount_crosses_exactly() {
    for amount in [i64::MAX, i64::MIN, (1 << 53) + 1, -(1 << 53) - 1, 0] {
        let object = to_js(&transfer(amount)).expect("it becomes an object");
        let body = Reflect::get(&object, &"Transfer".into()).expect("the variant is a field");
        let sent = Reflect::get(&body, &"amount".into()).expect("the amount is a field");
        assert!(sent.is_bigint(), "64-bit numbers cross as BigInts");
        assert_eq!(sent, JsValue::from(BigInt::from(amount)));
        assert_eq!(from_js::<Request>(object).expect("it becomes a request again"), transfer(amount));
    }
}

#[wasm_bindgen_test]
fn requests_cross_unchanged() {
    let options = RunOptions { seed: u64::MAX, opening_balance: i64::MAX, ..RunOptions::default() };
    for request in [
        Request::Start {
            protocol: PROTOCOL,
            frames_per_second_max: 60,
            options: options.clone(),
            source: Source::Server,
        },
        Request::SetSource(Source::Browser),
        Request::Live(LiveRequest::Token(Some("a token".into()))),
        Request::Live(LiveRequest::Send(HandCommand {
            request: 1,
            transaction_id: "01941f29-7c00-7000-8000-000000000001".into(),
            body: HandBody::Deposit { account: "alice".into(), amount: i64::MAX, asset: "USD".into() },
        })),
        Request::Run,
        Request::SetSpeed(Speed::Max),
        Request::Reset { options },
        Request::ViewEvents {
            view: 3,
            filter: EventFilter { kind: Some(EventKind::TransactionFailed), ..EventFilter::default() },
            first_row: u64::MAX,
            rows: 40,
            follow: Follow::Still,
        },
        Request::ViewEntries { account: Some("alice".into()), before: Some(u64::MAX) },
        Request::ViewEntries { account: None, before: None },
        Request::Export { form: LogForm::JsonLines },
        Request::FrameShown,
    ] {
        assert_eq!(there_and_back(&request), request);
    }
}

#[wasm_bindgen_test]
fn responses_cross_unchanged() {
    for response in [
        Response::Ready { protocol: PROTOCOL },
        Response::Status(Status::CatchingUp { step: 1, steps: u64::MAX }),
        Response::Status(Status::ReadOnly),
        Response::TransferAnswer {
            request: 1,
            transaction_id: "01941f29-7c00-7000-8000-000000000001".into(),
            answer: TransferAnswer::Refused {
                sequence: u64::MAX,
                reason: "insufficient_funds".into(),
                replayed: Replayed::Again,
            },
        },
        Response::HandAnswer { request: 1, answer: HandAnswer::Busy { retry_after_seconds: u32::MAX } },
        Response::Csv(CsvNotice::Error {
            file: "transfers.csv".into(),
            line: 7,
            message: "no amount".into(),
        }),
        Response::Failed {
            what: "Import".into(),
            why: "byte 12".into(),
            advice: "Choose another file.".into(),
        },
    ] {
        assert_eq!(there_and_back(&response), response);
    }
}

#[wasm_bindgen_test]
fn a_file_crosses_by_reference() {
    let parts = Array::of1(&Uint8Array::from(b"a,b\n1,2\n".as_slice()));
    let blob = web_sys::Blob::new_with_u8_array_sequence(&parts).expect("a blob of bytes");
    let file = FileHandle { name: "transfers.csv".into(), blob: blob.clone() };
    let request = Request::LoadCsv {
        accounts: None,
        transfers: file.clone(),
        mapping: CsvMapping::default(),
        scale: 2,
    };
    assert_eq!(there_and_back(&request), request);
    let both = Request::LoadCsv {
        accounts: Some(file.clone()),
        transfers: file,
        mapping: CsvMapping::default(),
        scale: 2,
    };
    let Request::LoadCsv { accounts: Some(accounts), .. } = there_and_back(&both) else {
        panic!("the same variant")
    };
    assert!(js_sys::Object::is(&accounts.blob, &blob), "no byte was copied");
}

#[wasm_bindgen_test]
fn a_frame_crosses_unchanged_and_only_with_what_changed() {
    assert!(Frame::default().to_bytes().len() < 32, "nothing changed, next to nothing is sent");
    let frame = Frame {
        number: u64::MAX,
        run: Some(RunView {
            state: RunState::Running,
            speed: Speed::Tenth,
            origin: web::protocol::Origin::Measured,
        }),
        sequence: Some(u64::MAX),
        balances_total: Some(vec![AssetTotal { asset: "USD".into(), scale: 2, total: i128::MAX }]),
        balances: Some(BalancesWindow {
            view: 1,
            total: 1,
            matched: 1,
            first_row: 0,
            rows: vec![BalanceRow {
                account: "alice".into(),
                asset: "USD".into(),
                scale: 2,
                posted: i64::MAX,
            }],
        }),
        invariants: Some(vec![InvariantView {
            name: "sum is zero".into(),
            meaning: String::new(),
            checked: u64::MAX,
            broken: Some("record 7".into()),
        }]),
        ..Frame::default()
    };
    let buffer = Uint8Array::from(frame.to_bytes().as_slice()).buffer();
    let arrived = Frame::from_bytes(&Uint8Array::new(&buffer).to_vec()).expect("a frame");
    assert_eq!(arrived, frame);
}

#[wasm_bindgen_test]
fn what_is_no_message_is_refused() {
    assert!(from_js::<Response>(JsValue::from_str("Nonsense")).is_err());
    assert!(from_js::<Request>(JsValue::NULL).is_err());
    assert!(Frame::from_bytes(&[0xff; 40]).is_err());
}
