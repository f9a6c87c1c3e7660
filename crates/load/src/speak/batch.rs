//! Requests of many transfers, whose answers have a result for each.

use std::collections::VecDeque;

use bytes::{BufMut, BytesMut};
use memchr::memmem;

use super::http::{Answer, JSON, post, write_transfer};
use super::{Heard, Speak, first_line};
use crate::workload::Transfer;

const ROUTE: &str = "transfers";

/// A JSON array.
#[derive(Default)]
pub(super) struct Json {
    body: String,
    /// How many transfers each request in flight has.
    asked: VecDeque<usize>,
}

impl Speak for Json {
    fn greetings(&self) -> Vec<BytesMut> {
        Vec::new()
    }

    fn ask(&mut self, transfers: &[Transfer], out: &mut BytesMut) {
        self.body.clear();
        for (at, transfer) in transfers.iter().enumerate() {
            self.body.push(if at == 0 { '[' } else { ',' });
            write_transfer(&mut self.body, transfer);
        }
        self.body.push(']');
        post(ROUTE, JSON, self.body.as_bytes(), out);
        self.asked.push_back(transfers.len());
    }

    fn hear(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, String> {
        hear(input, &mut self.asked, |body| memmem::find_iter(body, b"\"status\":\"completed\"").count())
    }
}

/// The compact form, `application/vnd.walletlab.transfers`; everything is little-endian.
#[derive(Default)]
pub(super) struct Binary {
    body: Vec<u8>,
    asked: VecDeque<usize>,
}

impl Binary {
    const KIND: &str = "application/vnd.walletlab.transfers";
    const REQUEST: [u8; 8] = *b"WLTB\x01\0\0\0";
    const ANSWER: [u8; 8] = *b"WLTA\x01\0\0\0";
    /// Magic, version, two zeros, and how many items follow.
    const HEADER_BYTES: usize = 12;
    /// Of one result; the first byte is its status.
    const RESULT_BYTES: usize = 16;
    const TRANSFER: u8 = 2;
    const COMPLETED: u8 = 0;

    /// How many of the results of an answer are completed transfers.
    fn completed(body: &[u8]) -> usize {
        if !body.starts_with(&Self::ANSWER) {
            return 0;
        }
        let results = body.get(Self::HEADER_BYTES..).unwrap_or_default().chunks_exact(Self::RESULT_BYTES);
        results.filter(|result| result[0] == Self::COMPLETED).count()
    }

    fn push_account(&mut self, account: u32) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut left = account;
        while at == digits.len() || left > 0 {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).unwrap_or_default();
            left /= 10;
        }
        let (name, digits) = (b"account-", &digits[at..]);
        self.body.push(u8::try_from(name.len() + digits.len()).unwrap_or_default());
        self.body.extend_from_slice(name);
        self.body.extend_from_slice(digits);
    }
}

impl Speak for Binary {
    fn greetings(&self) -> Vec<BytesMut> {
        Vec::new()
    }

    fn ask(&mut self, transfers: &[Transfer], out: &mut BytesMut) {
        self.body.clear();
        self.body.extend_from_slice(&Self::REQUEST);
        self.body.put_u32_le(u32::try_from(transfers.len()).unwrap_or_default());
        for Transfer { id, from, to } in transfers {
            // Kind, and no flags.
            self.body.extend_from_slice(&[Self::TRANSFER, 0]);
            self.body.extend_from_slice(id.as_bytes());
            self.body.put_i64_le(1);
            self.push_account(*from);
            self.push_account(*to);
        }
        post(ROUTE, Self::KIND, &self.body, out);
        self.asked.push_back(transfers.len());
    }

    fn hear(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, String> {
        hear(input, &mut self.asked, Self::completed)
    }
}

/// Takes an answer off `input`, if one is there, and counts what is completed in it.
fn hear(
    input: &mut BytesMut,
    asked: &mut VecDeque<usize>,
    completed: impl Fn(&[u8]) -> usize,
) -> Result<Option<Heard>, String> {
    let Some(answer) = Answer::read(input)? else { return Ok(None) };
    let asked = asked.pop_front().unwrap_or_default();
    let done = completed(answer.body(input));
    let heard = if !answer.is_success() {
        answer.refused(input)
    } else if done < asked {
        Heard::Refused(format!("{done} of {asked} completed: {}", first_line(answer.body(input))))
    } else {
        Heard::Done
    };
    answer.take_off(input);
    Ok(Some(heard))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn body(out: &BytesMut) -> &[u8] {
        let head = out.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        &out[head + 4..]
    }

    #[test]
    fn the_compact_form_is_as_documented() {
        let mut out = BytesMut::new();
        Binary::default().ask(&[Transfer { id: Uuid::from_u128(1), from: 0, to: 90 }], &mut out);
        let mut expected = b"WLTB\x01\0\0\0\x01\0\0\0\x02\0".to_vec();
        expected.extend([0; 15]);
        expected.extend(b"\x01\x01\0\0\0\0\0\0\0\x09account-0\x0aaccount-90");
        assert_eq!(body(&out), expected);
    }

    #[test]
    fn every_result_counts() {
        let mut binary = Binary::default();
        let transfer = Transfer { id: Uuid::nil(), from: 1, to: 2 };
        let mut answer = |statuses: [u8; 2]| {
            binary.ask(&[transfer, transfer], &mut BytesMut::new());
            let mut input =
                BytesMut::from("HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\nWLTA\x01\0\0\0\x02\0\0\0");
            for status in statuses {
                input.extend_from_slice(&[status; 1]);
                input.extend_from_slice(&[7; 15]);
            }
            binary.hear(&mut input)
        };
        assert_eq!(answer([0, 0]), Ok(Some(Heard::Done)));
        assert!(
            matches!(answer([0, 1]), Ok(Some(Heard::Refused(why))) if why.starts_with("1 of 2 completed"))
        );
    }

    #[test]
    fn an_array_is_answered_by_an_array() {
        let mut json = Json::default();
        let (mut out, transfer) = (BytesMut::new(), Transfer { id: Uuid::nil(), from: 1, to: 2 });
        json.ask(&[transfer, transfer], &mut out);
        assert!(body(&out).starts_with(b"[{\"transaction_id\"") && body(&out).ends_with(b"}]"));
        let answer = "[{\"status\":\"completed\"},{\"status\":\"completed\"}]";
        let mut input = BytesMut::from(
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).as_str(),
        );
        assert_eq!(json.hear(&mut input), Ok(Some(Heard::Done)));
    }
}
