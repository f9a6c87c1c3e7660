//! The compact form of a batch. docs/API.md describes it byte by byte; everything is little-endian.
//!
//! An item is read straight into its command: names are copied once, into the command, and short ones without an
//! allocation.

use ledger::{AccountName, Command, CommandKind, Metadata, TransactionId, TransactionResult};
use pipeline::Replayed;
use time::Timestamp;

use super::super::item::Link;
use super::super::problem::Problem;
use super::{Batch, Collector, ItemTold, Items};
use crate::engine::Told;

const REQUEST_MAGIC: [u8; 4] = *b"WLTB";
const ANSWER_MAGIC: [u8; 4] = *b"WLTA";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 12;
const ANSWER_BYTES: usize = 16;

const LINKED: u8 = 1;
const HAS_AMOUNT: u8 = 2;
const HAS_EXPIRES_AT: u8 = 4;
const HAS_METADATA: u8 = 8;

const REPLAYED: u8 = 1;

/// Reads a batch.
pub(in super::super) fn read(body: &[u8], items_max: usize) -> Result<Batch, Problem> {
    let mut reader = Reader { bytes: body, at: 0 };
    let count = read_header(&mut reader).map_err(|wrong| wrong.problem(&reader))?;
    let mut collector = Collector::new(items_max);
    for item in 0..count {
        let read = read_item(&mut reader).map_err(|wrong| wrong.problem(&reader));
        let pushed = read.and_then(|(command, link)| collector.push(command, link));
        pushed.map_err(|problem| problem.at("item", item as usize))?;
    }
    if reader.at < body.len() {
        return Err(Wrong {
            field: "count",
            must: "as many items as the header says, and nothing behind them",
        }
        .problem(&reader));
    }
    let last = collector.len().saturating_sub(1);
    collector.finish().map_err(|problem| problem.at("item", last))
}

/// Writes the answers.
pub(in super::super) fn write(items: &Items, told: &[Told]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + items.len() * ANSWER_BYTES);
    let count = u32::try_from(items.len()).expect("a batch has at most batch_items_max items, a u32");
    out.extend_from_slice(&ANSWER_MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 2]);
    out.extend_from_slice(&count.to_le_bytes());
    items.zip(told, |_, told| out.extend_from_slice(&answer(told)));
    out
}

fn answer(told: ItemTold<'_>) -> [u8; ANSWER_BYTES] {
    let (mut reason, mut flags, mut retry_after_ms, mut sequence) = (0, 0, 0, 0);
    let status = match told {
        ItemTold::Done(outcome, replayed) => {
            sequence = outcome.sequence;
            flags = match replayed {
                Replayed::First => 0,
                Replayed::Again => REPLAYED,
            };
            match outcome.result {
                TransactionResult::Completed => 0,
                TransactionResult::Refused(refused) => {
                    reason = refused.as_u8();
                    1
                }
            }
        }
        ItemTold::Not(Told::Conflict) => 2,
        ItemTold::Not(Told::Busy { retry_after_micros }) => {
            retry_after_ms = u32::try_from(retry_after_micros.div_ceil(1_000)).unwrap_or(u32::MAX);
            3
        }
        ItemTold::Not(Told::DeadLettered) => 4,
        ItemTold::Not(Told::Unknown | Told::Done { .. } | Told::Linked { .. }) => 5,
        ItemTold::Not(Told::NotWriting { .. }) => 6,
        ItemTold::Not(Told::StorageFull { .. }) => 7,
    };
    let mut bytes = [0; ANSWER_BYTES];
    bytes[..3].copy_from_slice(&[status, reason, flags]);
    bytes[4..8].copy_from_slice(&retry_after_ms.to_le_bytes());
    bytes[8..].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

/// What is wrong with a body, at the byte where its reader stands.
struct Wrong {
    field: &'static str,
    must: &'static str,
}

impl Wrong {
    #[cold]
    fn problem(&self, reader: &Reader<'_>) -> Problem {
        let Wrong { field, must } = self;
        let detail = format!("at byte {}: `{field}` must be {must}", reader.at);
        Problem::new("malformed_batch", detail).field(field).with("byte", reader.at)
    }
}

fn read_header(reader: &mut Reader<'_>) -> Result<u32, Wrong> {
    if reader.array("magic", "the 4 bytes WLTB")? != REQUEST_MAGIC {
        return Err(Wrong { field: "magic", must: "the 4 bytes WLTB" });
    }
    if u16::from_le_bytes(reader.array("version", "2 bytes")?) != VERSION {
        return Err(Wrong { field: "version", must: "1" });
    }
    if reader.array::<2>("reserved", "2 bytes")? != [0; 2] {
        return Err(Wrong { field: "reserved", must: "0" });
    }
    Ok(u32::from_le_bytes(reader.array("count", "4 bytes")?))
}

fn read_item(reader: &mut Reader<'_>) -> Result<(Command, Link), Wrong> {
    let must = "2 (transfer), 3 (deposit), 4 (withdrawal), 5 (pending_transfer), 6 (post_transfer) or 7 (void_transfer)";
    let [kind, flags] = reader.array("kind", must)?;
    let kind = CommandKind::from_u8(kind).filter(|kind| kind.is_member());
    let kind = kind.ok_or(Wrong { field: "kind", must })?;
    let known = match kind {
        CommandKind::PendingTransfer => LINKED | HAS_METADATA | HAS_EXPIRES_AT,
        CommandKind::PostTransfer => LINKED | HAS_METADATA | HAS_AMOUNT,
        _ => LINKED | HAS_METADATA,
    };
    if flags & !known != 0 {
        return Err(Wrong { field: "flags", must: "a sum of the flags that this kind has" });
    }
    let transaction_id = TransactionId::from_bytes(reader.array("transaction_id", "16 bytes")?);
    let mut command = match kind {
        CommandKind::Transfer => {
            let amount = reader.i64("amount")?;
            let (from_account, to_account) = (reader.account("from_account")?, reader.account("to_account")?);
            Command::Transfer { transaction_id, from_account, to_account, amount, metadata: None }
        }
        CommandKind::PendingTransfer => {
            let amount = reader.i64("amount")?;
            let (from_account, to_account) = (reader.account("from_account")?, reader.account("to_account")?);
            let expires_at =
                if flags & HAS_EXPIRES_AT == 0 { None } else { Some(reader.time("expires_at")?) };
            Command::PendingTransfer {
                transaction_id,
                from_account,
                to_account,
                amount,
                expires_at,
                metadata: None,
            }
        }
        CommandKind::Deposit => {
            let (amount, account) = (reader.i64("amount")?, reader.account("account")?);
            Command::Deposit { transaction_id, account, amount, metadata: None }
        }
        CommandKind::Withdrawal => {
            let (amount, account) = (reader.i64("amount")?, reader.account("account")?);
            Command::Withdrawal { transaction_id, account, amount, metadata: None }
        }
        CommandKind::PostTransfer => {
            let pending_id = TransactionId::from_bytes(reader.array("pending_id", "16 bytes")?);
            let amount = if flags & HAS_AMOUNT == 0 { None } else { Some(reader.i64("amount")?) };
            Command::PostTransfer { transaction_id, pending_id, amount, metadata: None }
        }
        _ => {
            let pending_id = TransactionId::from_bytes(reader.array("pending_id", "16 bytes")?);
            Command::VoidTransfer { transaction_id, pending_id, metadata: None }
        }
    };
    if flags & HAS_METADATA != 0 {
        attach(&mut command, reader.metadata()?);
    }
    Ok((command, if flags & LINKED == 0 { Link::No } else { Link::ToNext }))
}

fn attach(command: &mut Command, attached: Metadata) {
    match command {
        Command::Transfer { metadata, .. }
        | Command::Deposit { metadata, .. }
        | Command::Withdrawal { metadata, .. }
        | Command::PendingTransfer { metadata, .. }
        | Command::PostTransfer { metadata, .. }
        | Command::VoidTransfer { metadata, .. } => *metadata = Some(attached),
        Command::OpenAccount { .. } | Command::SetFloor { .. } | Command::Linked { .. } => {
            unreachable!("no item of a batch")
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize, field: &'static str, must: &'static str) -> Result<&'a [u8], Wrong> {
        let taken = self.bytes.get(self.at..self.at + length).ok_or(Wrong { field, must })?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str, must: &'static str) -> Result<[u8; N], Wrong> {
        let taken = self.take(N, field, must)?;
        Ok(taken.try_into().expect("take returns the length asked for"))
    }

    fn i64(&mut self, field: &'static str) -> Result<i64, Wrong> {
        self.array(field, "8 bytes, a number with sign").map(i64::from_le_bytes)
    }

    fn time(&mut self, field: &'static str) -> Result<Timestamp, Wrong> {
        let must = "8 bytes, microseconds since the Unix epoch below 2^53";
        let micros = u64::from_le_bytes(self.array(field, must)?);
        Timestamp::from_micros(micros).ok_or(Wrong { field, must })
    }

    fn account(&mut self, field: &'static str) -> Result<AccountName, Wrong> {
        let must = "a length of 1 to 64 and so many bytes of UTF-8 without control characters";
        let [length] = self.array(field, must)?;
        let bytes = self.take(usize::from(length), field, must)?;
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
        text.ok_or(Wrong { field, must })
    }

    fn metadata(&mut self) -> Result<Metadata, Wrong> {
        let (field, must) =
            ("metadata", "a length (2 bytes) and the text of a JSON object as docs/API.md says");
        let length = u16::from_le_bytes(self.array(field, must)?);
        let bytes = self.take(usize::from(length), field, must)?;
        let text = std::str::from_utf8(bytes).ok().and_then(|text| pipeline::parse_metadata(text).ok());
        text.ok_or(Wrong { field, must })
    }
}
