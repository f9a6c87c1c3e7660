//! PostgreSQL's protocol, version 3: one prepared `SELECT transfer(id, from, to, amount)`, parameters in binary.

use bytes::{Buf, BytesMut};
use postgres_protocol::message::frontend;
use postgres_protocol::{IsNull, Oid};

use super::{Heard, Speak};
use crate::workload::Transfer;

/// The account that the bench's own PostgreSQL trusts, and its database.
const USER: &str = "postgres";
/// The name of the prepared statement.
const STATEMENT: &str = "transfer";
/// `uuid, int4, int4, int8`.
const TYPES: [Oid; 4] = [2950, 23, 23, 20];
/// Binary.
const FORMAT: i16 = 1;
/// A message's kind and its length, which counts itself.
const HEAD_BYTES: usize = 5;

/// Bind, execute, sync: one transaction, committed when `ReadyForQuery` comes.
pub(super) struct Prepared;

impl Speak for Prepared {
    fn greetings(&self) -> Vec<BytesMut> {
        let parameters = [("user", USER), ("database", USER), ("client_encoding", "UTF8")];
        let (mut startup, mut prepare) = (BytesMut::new(), BytesMut::new());
        frontend::startup_message(parameters, &mut startup).expect("names without zeros");
        let query = "SELECT transfer($1, $2, $3, $4)";
        frontend::parse(STATEMENT, query, TYPES, &mut prepare).expect("text without zeros");
        frontend::sync(&mut prepare);
        vec![startup, prepare]
    }

    fn ask(&mut self, transfers: &[Transfer], out: &mut BytesMut) {
        for Transfer { id, from, to } in transfers {
            let (from, to, amount) = (from.to_be_bytes(), to.to_be_bytes(), 1_i64.to_be_bytes());
            let values: [&[u8]; 4] = [id.as_bytes(), &from, &to, &amount];
            let write = |value: &[u8], out: &mut BytesMut| {
                out.extend_from_slice(value);
                Ok(IsNull::No)
            };
            frontend::bind("", STATEMENT, [FORMAT], values, write, [FORMAT], out)
                .unwrap_or_else(|_| unreachable!("four short parameters fit"));
            frontend::execute("", 0, out).expect("a name without zeros");
            frontend::sync(out);
        }
    }

    /// All messages up to `ReadyForQuery`. The function answers the integer 1, or an error.
    fn hear(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, String> {
        let (mut at, mut heard) = (0, Heard::Done);
        while let Some(head) = input.get(at..at + HEAD_BYTES) {
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            let Some(body) = input.get(at + HEAD_BYTES..at + 1 + length) else { return Ok(None) };
            match head[0] {
                b'Z' => {
                    input.advance(at + 1 + length);
                    return Ok(Some(heard));
                }
                b'E' => heard = Heard::Refused(error_text(body)),
                b'D' if !body.ends_with(&1_i32.to_be_bytes()) => {
                    heard = Heard::Refused("the id was used already".to_owned());
                }
                // Authentication: only 0, "you are in", is understood.
                b'R' if body != [0; 4] => return Err("PostgreSQL wants a password".to_owned()),
                _ => {}
            }
            at += 1 + length;
        }
        Ok(None)
    }
}

/// The message (field `M`) of an error.
fn error_text(body: &[u8]) -> String {
    let message = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
    String::from_utf8_lossy(message.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_answer_ends_when_the_server_is_ready() {
        let done = b"2\0\0\0\x04D\0\0\0\x0e\0\x01\0\0\0\x04\0\0\0\x01C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
        for cut in 0..done.len() {
            assert_eq!(Prepared.hear(&mut BytesMut::from(&done[..cut])), Ok(None), "{cut}");
        }
        let mut input = BytesMut::from(&done[..]);
        assert_eq!(Prepared.hear(&mut input), Ok(Some(Heard::Done)));
        assert!(input.is_empty());
    }

    #[test]
    fn an_error_is_told_in_its_own_words() {
        let mut input = BytesMut::from(&b"E\0\0\0\x12SERROR\0Mpoor\0\0Z\0\0\0\x05I"[..]);
        assert_eq!(Prepared.hear(&mut input), Ok(Some(Heard::Refused("poor".to_owned()))));
        let mut again = BytesMut::from(&b"D\0\0\0\x0e\0\x01\0\0\0\x04\0\0\0\0Z\0\0\0\x05I"[..]);
        assert!(matches!(Prepared.hear(&mut again), Ok(Some(Heard::Refused(_)))));
        let mut password = BytesMut::from(&b"R\0\0\0\x08\0\0\0\x03"[..]);
        assert!(Prepared.hear(&mut password).is_err());
    }

    #[test]
    fn a_request_is_bind_execute_sync() {
        let mut out = BytesMut::new();
        Prepared.ask(&[Transfer { id: Uuid::nil(), from: 1, to: 20 }], &mut out);
        let kinds: Vec<u8> = {
            let (mut kinds, mut at) = (Vec::new(), 0);
            while at < out.len() {
                kinds.push(out[at]);
                at += 1 + u32::from_be_bytes([out[at + 1], out[at + 2], out[at + 3], out[at + 4]]) as usize;
            }
            kinds
        };
        assert_eq!(kinds, b"BES");
    }
}
