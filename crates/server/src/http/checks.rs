//! What must hold for any bytes that a client sends as a command or as a batch. The tests call these with what they make up,
//! and so does the fuzzer.

use ledger::{Command, CommandKind, TransactionId};

use super::batch::{binary, json};
use super::item::{Given, Item, Link, explain_item, read_command, read_item};

/// Items of a batch at most.
const ITEMS_MAX: usize = 8_190;

/// The JSON of a command, or of an item of a batch: the quick reading and the careful one say the same.
///
/// # Panics
/// If they do not.
pub fn json_command(text: &[u8]) {
    let quick = serde_json::from_slice::<Item>(text).ok().and_then(Item::into_item);
    let careful = explain_item(text);
    match (&quick, &careful) {
        (Some(quick), Ok(careful)) => assert_eq!(quick, careful),
        // The careful one may read what the quick one leaves to it, and refuses nothing that the quick one takes.
        (None, _) => {}
        (Some(quick), Err(problem)) => panic!("{quick:?} is refused by the careful reading: {problem:?}"),
    }
    assert_eq!(read_item(text).ok(), careful.ok());
    let id = |sent: Option<TransactionId>| Ok(sent.unwrap_or(TransactionId::from_bytes([7; 16])));
    for kind in [CommandKind::Transfer, CommandKind::PendingTransfer, CommandKind::SetFloor] {
        if let Ok(command) = read_command(text, kind, &Given::default(), id) {
            assert_eq!(command.kind(), kind);
        }
    }
}

/// A JSON array of items: it is read as a whole like item by item.
///
/// # Panics
/// If it is not.
pub fn json_batch(text: &[u8]) {
    let Ok(batch) = json::read(text, ITEMS_MAX) else { return };
    let texts: Vec<&serde_json::value::RawValue> =
        serde_json::from_slice(text).expect("a batch is a JSON array");
    let items = texts.iter().map(|text| read_item(text.get().as_bytes()).expect("each of them is an item").0);
    let members = batch.commands.iter().flat_map(Command::members);
    assert!(members.eq(items.collect::<Vec<_>>().iter()), "the items in order are the members in order");
}

/// The compact form of a batch: what is read can be written again, and is read as the same.
///
/// # Panics
/// If it is not.
pub fn binary_batch(bytes: &[u8]) {
    let Ok(batch) = binary::read(bytes, ITEMS_MAX) else { return };
    let written = write(&batch.commands);
    let again = binary::read(&written, ITEMS_MAX).expect("what was read can be read again");
    assert_eq!(again.commands, batch.commands);
}

/// A batch in the compact form, as a client would write it.
fn write(commands: &[Command]) -> Vec<u8> {
    let mut out = b"WLTB\x01\0\0\0\0\0\0\0".to_vec();
    let mut count = 0_u32;
    for command in commands {
        let members = command.members();
        for (number, member) in members.iter().enumerate() {
            let link = if number + 1 < members.len() { Link::ToNext } else { Link::No };
            write_item(member, link, &mut out);
            count += 1;
        }
    }
    out[8..12].copy_from_slice(&count.to_le_bytes());
    out
}

fn write_item(command: &Command, link: Link, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[command.kind().as_u8(), if link == Link::ToNext { 1 } else { 0 }]);
    out.extend_from_slice(&command.transaction_id().as_bytes());
    let put_name = |name: &str, out: &mut Vec<u8>| {
        out.push(u8::try_from(name.len()).expect("names are at most 64 bytes"));
        out.extend_from_slice(name.as_bytes());
    };
    match command {
        Command::Transfer { from_account, to_account, amount, .. }
        | Command::PendingTransfer { from_account, to_account, amount, .. } => {
            out.extend_from_slice(&amount.to_le_bytes());
            put_name(from_account.as_str(), out);
            put_name(to_account.as_str(), out);
            if let Command::PendingTransfer { expires_at: Some(at), .. } = command {
                out[start + 1] |= 4;
                out.extend_from_slice(&at.micros().to_le_bytes());
            }
        }
        Command::Deposit { account, amount, .. } | Command::Withdrawal { account, amount, .. } => {
            out.extend_from_slice(&amount.to_le_bytes());
            put_name(account.as_str(), out);
        }
        Command::PostTransfer { pending_id, amount, .. } => {
            out.extend_from_slice(&pending_id.as_bytes());
            if let Some(amount) = amount {
                out[start + 1] |= 2;
                out.extend_from_slice(&amount.to_le_bytes());
            }
        }
        Command::VoidTransfer { pending_id, .. } => out.extend_from_slice(&pending_id.as_bytes()),
        Command::OpenAccount { .. } | Command::SetFloor { .. } | Command::Linked { .. } => {
            unreachable!("no item of a batch")
        }
    }
    if let Some(metadata) = command.metadata() {
        out[start + 1] |= 8;
        let text = metadata.as_str();
        out.extend_from_slice(&u16::try_from(text.len()).expect("at most 1,024 bytes").to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that, put together, are often nearly an item.
    fn nearly_json() -> impl Strategy<Value = String> {
        let field = prop_oneof![
            Just(r#""transaction_id":"01900000-0000-7000-8000-000000000001""#.to_owned()),
            Just(r#""transaction_id":"01900000-0000-7000-8000-00000000000""#.to_owned()),
            Just(r#""\u0061mount":7"#.to_owned()),
            any::<i64>().prop_map(|amount| format!("\"amount\":{amount}")),
            Just(r#""amount":1e3"#.to_owned()),
            Just(r#""amount":-0"#.to_owned()),
            Just(r#""amount":18446744073709551615"#.to_owned()),
            "[a-z@\\\\\"é\u{1}]{0,3}".prop_map(|name| format!("\"from_account\":\"{name}\"")),
            Just(r#""from_account":"a""#.to_owned()),
            Just(r#""to_account":"\ud83d\ude00""#.to_owned()),
            Just(r#""to_account":"\ud83d""#.to_owned()),
            Just(r#""account":"b""#.to_owned()),
            Just(r#""pending_id":"01900000-0000-7000-8000-000000000002""#.to_owned()),
            any::<u64>().prop_map(|at| format!("\"expires_at\":{at}")),
            Just(r#""expires_at":null"#.to_owned()),
            "[a-z_]{4,8}".prop_map(|kind| format!("\"kind\":\"{kind}\"")),
            Just(r#""kind":"deposit""#.to_owned()),
            Just(r#""kind":"post_transfer""#.to_owned()),
            Just(r#""kind":"void_transfer""#.to_owned()),
            Just(r#""kind":"pending_transfer""#.to_owned()),
            Just(r#""linked":true"#.to_owned()),
            Just(r#""linked":1"#.to_owned()),
            Just(r#""floor":-1"#.to_owned()),
            Just(r#""metadata":{"b":[1,{"c":null}],"a":"\u0000"}"#.to_owned()),
            Just(r#""metadata":{"a":1,"a":2}"#.to_owned()),
            Just(r#""metadata":null"#.to_owned()),
            Just(r#""note":"?""#.to_owned()),
        ];
        let fields = prop::collection::vec(field, 0..7);
        fields.prop_map(|fields| format!("{{{}}}", fields.join(",")))
    }

    fn nearly_binary() -> impl Strategy<Value = Vec<u8>> {
        let item = (0..9_u8, 0..17_u8, any::<u8>(), any::<i64>(), 0..4_usize, 0..70_usize);
        let item = item.prop_map(|(kind, flags, id, amount, from, to)| {
            let mut item = vec![kind, flags];
            item.extend_from_slice(&[id; 16]);
            match kind {
                6 | 7 => item.extend_from_slice(&[id; 16]),
                _ => item.extend_from_slice(&amount.to_le_bytes()),
            }
            for length in [from, to] {
                item.push(u8::try_from(length).expect("below 70"));
                item.extend(std::iter::repeat_n(b'a', length));
            }
            if flags & 8 != 0 {
                item.extend_from_slice(b"\x09\0{\"a\": 1 }");
            }
            item
        });
        prop::collection::vec(item, 0..5).prop_map(|items| {
            let mut bytes = b"WLTB\x01\0\0\0".to_vec();
            bytes.extend_from_slice(&u32::try_from(items.len()).expect("few").to_le_bytes());
            bytes.extend(items.into_iter().flatten());
            bytes
        })
    }

    proptest! {
        #[test]
        fn both_readings_of_an_item_say_the_same(text in nearly_json()) {
            json_command(text.as_bytes());
        }

        #[test]
        fn an_array_is_its_items(texts in prop::collection::vec(nearly_json(), 0..4)) {
            json_batch(format!("[{}]", texts.join(",")).as_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            json_command(&bytes);
            json_batch(&bytes);
            binary_batch(&bytes);
        }

        #[test]
        fn the_compact_form_goes_there_and_back(bytes in nearly_binary()) {
            binary_batch(&bytes);
        }
    }
}
