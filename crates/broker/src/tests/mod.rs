//! Tables of operations and outcomes, and random operations against naive models.

#[expect(clippy::cast_possible_truncation, reason = "a model holds a handful of messages")]
mod queue_model;
mod queue_table;
#[expect(clippy::cast_possible_truncation, reason = "a model holds a handful of messages")]
mod topic_model;
mod topic_table;

use alloc::string::String;
use alloc::vec;
use core::str::FromStr;

use bytes::Bytes;
use time::Timestamp;

use crate::{Message, MessageId};

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros).expect("test times are small")
}

/// A message with a readable id of up to 16 letters.
fn message(name: &str, bytes: usize) -> Message {
    Message { id: id(name), body: Bytes::from(vec![b'x'; bytes]), timestamp: Timestamp::ZERO }
}

fn id(name: &str) -> MessageId {
    let mut id = [0; 16];
    id[..name.len()].copy_from_slice(name.as_bytes());
    MessageId(id)
}

fn name(id: &MessageId) -> String {
    String::from_utf8_lossy(&id.0).trim_end_matches('\0').into()
}

/// One line of a table: an operation, its words, and its `key=value` settings.
struct Line<'a> {
    operation: &'a str,
    words: vec::Vec<&'a str>,
    settings: vec::Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.split('#').next()?;
        let mut parts = line.split_whitespace();
        let operation = parts.next()?;
        let (mut words, mut settings) = (vec![], vec![]);
        for part in parts {
            match part.split_once('=') {
                Some(setting) => settings.push(setting),
                None => words.push(part),
            }
        }
        Some(Self { operation, words, settings })
    }

    fn word(&self, index: usize) -> &'a str {
        self.words.get(index).unwrap_or_else(|| panic!("{}: word {index} is missing", self.operation))
    }

    fn setting<T: FromStr>(&self, key: &str) -> Option<T> {
        let (_, value) = self.settings.iter().find(|(name, _)| *name == key)?;
        Some(value.parse().unwrap_or_else(|_| panic!("{}: {key}={value} is not a number", self.operation)))
    }
}

#[test]
fn ids_print_as_hexadecimal() {
    assert_eq!(alloc::format!("{}", id("AZ")), "415a0000000000000000000000000000");
}
