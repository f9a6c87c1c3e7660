//! Requests to a wallet server, or to an echo of them.

use std::fmt::Write;

use bytes::{Buf, BytesMut};

use super::{Heard, Speak, first_line};
use crate::workload::Transfer;

pub(super) const JSON: &str = "application/json";
const HEADERS_MAX: usize = 32;

/// One transfer a request.
#[derive(Default)]
pub(super) struct Single {
    body: String,
}

impl Speak for Single {
    fn greetings(&self) -> Vec<BytesMut> {
        Vec::new()
    }

    fn ask(&mut self, transfers: &[Transfer], out: &mut BytesMut) {
        for transfer in transfers {
            self.body.clear();
            write_transfer(&mut self.body, transfer);
            post("transfer", JSON, self.body.as_bytes(), out);
        }
    }

    fn hear(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, String> {
        let Some(answer) = Answer::read(input)? else { return Ok(None) };
        let heard = if answer.is_success() { Heard::Done } else { answer.refused(input) };
        answer.take_off(input);
        Ok(Some(heard))
    }
}

/// The request that opens an account.
pub(crate) fn opening(account: u32, balance: i64, out: &mut BytesMut) {
    let body = format!("{{\"account_id\":\"account-{account}\",\"opening_balance\":{balance}}}");
    post("accounts", JSON, body.as_bytes(), out);
}

pub(super) fn write_transfer(body: &mut String, Transfer { id, from, to }: &Transfer) {
    // A string takes everything.
    let _ = write!(
        body,
        "{{\"transaction_id\":\"{id}\",\"from_account\":\"account-{from}\",\"to_account\":\"account-{to}\",\"amount\":1}}"
    );
}

pub(super) fn post(route: &str, kind: &str, body: &[u8], out: &mut BytesMut) {
    // A buffer takes everything.
    let _ = write!(
        out,
        "POST /v1/wallet/{route} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(body);
}

/// Where a whole answer with a content length stands in what has come.
pub(super) struct Answer {
    status: u16,
    head: usize,
    bytes: usize,
}

impl Answer {
    pub(super) fn read(input: &[u8]) -> Result<Option<Answer>, String> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let head = match answer.parse(input) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("no HTTP answer ({error}): {}", first_line(input))),
        };
        let length = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
        let length =
            length.and_then(|length| std::str::from_utf8(length.value).ok()?.trim().parse::<usize>().ok());
        let length = length.ok_or("an answer without a content length")?;
        let (status, bytes) = (answer.code.unwrap_or_default(), head + length);
        Ok((input.len() >= bytes).then_some(Answer { status, head, bytes }))
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn refused(&self, input: &[u8]) -> Heard {
        Heard::Refused(format!("{} {}", self.status, first_line(self.body(input))))
    }

    /// The body, of the same input that it was read from.
    pub(super) fn body<'a>(&self, input: &'a [u8]) -> &'a [u8] {
        &input[self.head..self.bytes]
    }

    /// Takes it off the input.
    pub(super) fn take_off(self, input: &mut BytesMut) {
        input.advance(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_transfer_is_a_post_with_its_length() {
        let mut out = BytesMut::new();
        Single::default().ask(&[Transfer { id: Uuid::nil(), from: 1, to: 20 }], &mut out);
        let text = String::from_utf8(out.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(
            body,
            "{\"transaction_id\":\"00000000-0000-0000-0000-000000000000\",\"from_account\":\"account-1\",\
             \"to_account\":\"account-20\",\"amount\":1}"
        );
    }

    #[test]
    fn answers_are_taken_whole_and_one_by_one() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 503 Busy\r\nContent-Length: 3\r\n\r\nfull";
        let mut http = Single::default();
        for cut in 0..whole.len() {
            let mut input = BytesMut::from(&whole[..cut]);
            let first = http.hear(&mut input).expect("no mistake");
            assert_eq!(first.is_some(), cut >= 40, "{cut}");
        }
        let mut input = BytesMut::from(&whole[..]);
        assert_eq!(http.hear(&mut input), Ok(Some(Heard::Done)));
        assert_eq!(http.hear(&mut input), Ok(Some(Heard::Refused("503 ful".to_owned()))));
        assert!(http.hear(&mut BytesMut::from("SSH-2.0\r\n\r\n")).is_err());
    }
}
