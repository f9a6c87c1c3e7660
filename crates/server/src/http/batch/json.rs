//! A batch as a JSON array, and answers as JSON.

use std::fmt::{self, Write as _};

use ledger::TransactionId;
use pipeline::Replayed;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::item::{Item, read_item};
use super::super::problem::Problem;
use super::{Batch, Collector, ItemTold, Items, item_problem, refused_for};
use crate::engine::Told;

/// Bytes of an answer to one item, as a rule.
const ANSWER_BYTES: usize = 112;

/// Reads an array of items.
pub(in super::super) fn read(body: &[u8], items_max: usize) -> Result<Batch, Problem> {
    let mut collector = Collector::new(items_max);
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Straight(&mut collector).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if read.is_ok()
        && let Ok(batch) = collector.finish()
    {
        return Ok(batch);
    }
    explain(body, items_max)
}

/// Writes an array of answers.
pub(in super::super) fn write(items: &Items, told: &[Told]) -> Vec<u8> {
    let mut out = String::with_capacity(items.len() * ANSWER_BYTES + 2);
    out.push('[');
    items.zip(told, |id, told| {
        if out.len() > 1 {
            out.push(',');
        }
        write_item(id, told, &mut out);
    });
    out.push(']');
    out.into_bytes()
}

/// Writes the answer to one item.
pub(super) fn write_item(id: TransactionId, told: ItemTold<'_>, out: &mut String) {
    let mut text = uuid::Uuid::encode_buffer();
    out.push_str("{\"transaction_id\":\"");
    out.push_str(uuid::Uuid::from_bytes(id.as_bytes()).as_hyphenated().encode_lower(&mut text));
    match told {
        ItemTold::Done(outcome, replayed) => {
            match refused_for(outcome.result) {
                None => out.push_str("\",\"status\":\"completed\",\"sequence\":"),
                Some(reason) => {
                    out.push_str("\",\"status\":\"refused\",\"reason\":\"");
                    out.push_str(reason);
                    out.push_str("\",\"sequence\":");
                }
            }
            // Writing to a string never fails.
            let _ = write!(out, "{}", outcome.sequence);
            out.push_str(match replayed {
                Replayed::First => ",\"replayed\":false}",
                Replayed::Again => ",\"replayed\":true}",
            });
        }
        ItemTold::Not(told) => {
            let _ = write!(out, "\",\"problem\":{}}}", item_problem(told, id).to_json());
        }
    }
}

/// Reads items straight into commands, and stops at anything that is not right.
struct Straight<'a>(&'a mut Collector);

impl<'de> DeserializeSeed<'de> for Straight<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Straight<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Item>()? {
            let (command, link) = item.into_item().ok_or_else(|| A::Error::custom(""))?;
            self.0.push(command, link).map_err(|_| A::Error::custom(""))?;
        }
        Ok(())
    }
}

/// Reads once more, item by item, and says what is wrong where.
fn explain(body: &[u8], items_max: usize) -> Result<Batch, Problem> {
    let mut collector = Collector::new(items_max);
    let mut problem = None;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let careful = Careful { collector: &mut collector, problem: &mut problem };
    let read = careful.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if let Some(problem) = problem {
        return Err(problem);
    }
    read.map_err(|error| {
        Problem::new("malformed_json", format!("the body is not one JSON array in UTF-8: {error}"))
    })?;
    let last = collector.len().saturating_sub(1);
    collector.finish().map_err(|problem| problem.at("item", last))
}

struct Careful<'a> {
    collector: &'a mut Collector,
    problem: &'a mut Option<Problem>,
}

impl<'de> DeserializeSeed<'de> for Careful<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Careful<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(text) = items.next_element::<&RawValue>()? {
            let item = self.collector.len();
            let read = read_item(text.get().as_bytes());
            let pushed = read.and_then(|(command, link)| self.collector.push(command, link));
            if let Err(problem) = pushed {
                *self.problem = Some(problem.at("item", item));
                return Err(A::Error::custom("an item is wrong"));
            }
        }
        Ok(())
    }
}
