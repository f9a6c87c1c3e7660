//! Redis' protocol, RESP 2: `EVALSHA` of one script that knows a transfer's id, both balances and the amount.

use std::fmt::Write;

use bytes::{Buf, BytesMut};

use super::{Heard, Speak, first_line};
use crate::workload::Transfer;

/// Calls of a script that is loaded already.
pub(super) struct Script {
    hash: String,
    word: String,
}

impl Script {
    pub(super) fn new(hash: &str) -> Script {
        Script { hash: hash.to_owned(), word: String::new() }
    }

    /// Appends `*count` words, each with its length.
    fn word(&mut self, out: &mut BytesMut, arguments: std::fmt::Arguments<'_>) {
        self.word.clear();
        // Both take everything.
        let _ = self.word.write_fmt(arguments);
        let _ = write!(out, "${}\r\n{}\r\n", self.word.len(), self.word);
    }
}

impl Speak for Script {
    fn greetings(&self) -> Vec<BytesMut> {
        Vec::new()
    }

    fn ask(&mut self, transfers: &[Transfer], out: &mut BytesMut) {
        for Transfer { id, from, to } in transfers {
            out.extend_from_slice(b"*7\r\n$7\r\nEVALSHA\r\n");
            let hash = std::mem::take(&mut self.hash);
            self.word(out, format_args!("{hash}"));
            self.hash = hash;
            self.word(out, format_args!("3"));
            self.word(out, format_args!("id:{id}"));
            self.word(out, format_args!("account:{from}"));
            self.word(out, format_args!("account:{to}"));
            self.word(out, format_args!("1"));
        }
    }

    /// The script answers the integer 1, or an error.
    fn hear(&mut self, input: &mut BytesMut) -> Result<Option<Heard>, String> {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let heard = match &input[..end] {
            b":1" => Heard::Done,
            line if matches!(line.first(), Some(b'-' | b':')) => Heard::Refused(first_line(line)),
            line => return Err(format!("no integer and no error from Redis: {}", first_line(line))),
        };
        input.advance(end + 2);
        Ok(Some(heard))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_call_has_its_words_with_their_lengths() {
        let mut out = BytesMut::new();
        Script::new("abc").ask(&[Transfer { id: Uuid::nil(), from: 1, to: 20 }], &mut out);
        let expected = "*7\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$1\r\n3\r\n$39\r\nid:00000000-0000-0000-0000-000000000000\r\n\
                        $9\r\naccount:1\r\n$10\r\naccount:20\r\n$1\r\n1\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn only_the_integer_1_is_a_success() {
        let mut input = BytesMut::from(":1\r\n:0\r\n-NOSCRIPT none\r\n:1\r");
        let mut script = Script::new("abc");
        assert_eq!(script.hear(&mut input), Ok(Some(Heard::Done)));
        assert_eq!(script.hear(&mut input), Ok(Some(Heard::Refused(":0".to_owned()))));
        assert_eq!(script.hear(&mut input), Ok(Some(Heard::Refused("-NOSCRIPT none".to_owned()))));
        assert_eq!(script.hear(&mut input), Ok(None));
        assert!(script.hear(&mut BytesMut::from("*0\r\n")).is_err());
    }
}
