//! The bytes of a command in the queue: an envelope with the request it came from. Not stored anywhere, so without
//! a promise over versions; the log has its own layout.

use alloc::vec::Vec;
use core::fmt;
use ledger::{AccountName, Asset, Command, CommandKind, LinkedTransfers, Metadata, TransactionId};
use time::Timestamp;

/// Why bytes are not a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where the reading stopped.
    pub at_byte: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a command: expected {} at byte {}", self.expected, self.at_byte)
    }
}

impl core::error::Error for Malformed {}

/// Appends the bytes of `command` to `out`.
pub fn encode_command(command: &Command, out: &mut Vec<u8>) {
    out.push(command.kind() as u8);
    match command {
        Command::OpenAccount { account, asset, scale, floor, opening_balance } => {
            put_text(account.as_str(), out);
            put_text(asset.as_str(), out);
            out.push(*scale);
            out.push(u8::from(floor.is_some()));
            out.extend_from_slice(&floor.unwrap_or(0).to_le_bytes());
            out.extend_from_slice(&opening_balance.to_le_bytes());
        }
        Command::Transfer { transaction_id, from_account, to_account, amount, metadata } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            put_text(from_account.as_str(), out);
            put_text(to_account.as_str(), out);
            out.extend_from_slice(&amount.to_le_bytes());
            put_metadata(metadata.as_ref(), out);
        }
        Command::Deposit { transaction_id, account, amount, metadata }
        | Command::Withdrawal { transaction_id, account, amount, metadata } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            put_text(account.as_str(), out);
            out.extend_from_slice(&amount.to_le_bytes());
            put_metadata(metadata.as_ref(), out);
        }
        Command::PendingTransfer {
            transaction_id,
            from_account,
            to_account,
            amount,
            expires_at,
            metadata,
        } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            put_text(from_account.as_str(), out);
            put_text(to_account.as_str(), out);
            out.extend_from_slice(&amount.to_le_bytes());
            put_time(*expires_at, out);
            put_metadata(metadata.as_ref(), out);
        }
        Command::PostTransfer { transaction_id, pending_id, amount, metadata } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            out.extend_from_slice(&pending_id.as_bytes()[..]);
            out.push(u8::from(amount.is_some()));
            out.extend_from_slice(&amount.unwrap_or(0).to_le_bytes());
            put_metadata(metadata.as_ref(), out);
        }
        Command::VoidTransfer { transaction_id, pending_id, metadata } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            out.extend_from_slice(&pending_id.as_bytes()[..]);
            put_metadata(metadata.as_ref(), out);
        }
        Command::SetFloor { transaction_id, account, floor } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            put_text(account.as_str(), out);
            out.extend_from_slice(&floor.to_le_bytes());
        }
        Command::Linked { transfers } => {
            let count =
                u16::try_from(transfers.members().len()).expect("a group has at most LINKED_MAX members");
            out.extend_from_slice(&count.to_le_bytes());
            transfers.members().iter().for_each(|member| encode_command(member, out));
        }
    }
}

/// Reads what [`encode_command`] wrote; all of `bytes` must be used.
pub fn decode_command(bytes: &[u8]) -> Result<Command, Malformed> {
    let mut reader = Reader::new(bytes);
    let command = read_command(&mut reader, Depth::Outside)?;
    reader.end()?;
    Ok(command)
}

/// Whether a group can stand here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outside,
    InGroup,
}

fn read_command(reader: &mut Reader<'_>, depth: Depth) -> Result<Command, Malformed> {
    let kind =
        CommandKind::from_u8(reader.u8("a command kind")?).ok_or(reader.malformed("a command kind"))?;
    match kind {
        CommandKind::OpenAccount => {
            let account = reader.account()?;
            let asset = reader.asset()?;
            let scale = reader.u8("a scale")?;
            let has_floor = reader.u8("a flag")?;
            let floor = reader.i64("a floor")?;
            let floor = (has_floor == 1).then_some(floor);
            let opening_balance = reader.i64("a balance")?;
            Ok(Command::OpenAccount { account, asset, scale, floor, opening_balance })
        }
        CommandKind::Transfer => Ok(Command::Transfer {
            transaction_id: reader.transaction_id()?,
            from_account: reader.account()?,
            to_account: reader.account()?,
            amount: reader.i64("an amount")?,
            metadata: reader.optional_metadata()?,
        }),
        CommandKind::Deposit => Ok(Command::Deposit {
            transaction_id: reader.transaction_id()?,
            account: reader.account()?,
            amount: reader.i64("an amount")?,
            metadata: reader.optional_metadata()?,
        }),
        CommandKind::Withdrawal => Ok(Command::Withdrawal {
            transaction_id: reader.transaction_id()?,
            account: reader.account()?,
            amount: reader.i64("an amount")?,
            metadata: reader.optional_metadata()?,
        }),
        CommandKind::PendingTransfer => Ok(Command::PendingTransfer {
            transaction_id: reader.transaction_id()?,
            from_account: reader.account()?,
            to_account: reader.account()?,
            amount: reader.i64("an amount")?,
            expires_at: reader.optional_time()?,
            metadata: reader.optional_metadata()?,
        }),
        CommandKind::PostTransfer => Ok(Command::PostTransfer {
            transaction_id: reader.transaction_id()?,
            pending_id: reader.transaction_id()?,
            amount: {
                let has_amount = reader.u8("a flag")?;
                let amount = reader.i64("an amount")?;
                (has_amount == 1).then_some(amount)
            },
            metadata: reader.optional_metadata()?,
        }),
        CommandKind::VoidTransfer => Ok(Command::VoidTransfer {
            transaction_id: reader.transaction_id()?,
            pending_id: reader.transaction_id()?,
            metadata: reader.optional_metadata()?,
        }),
        CommandKind::SetFloor => Ok(Command::SetFloor {
            transaction_id: reader.transaction_id()?,
            account: reader.account()?,
            floor: reader.i64("a floor")?,
        }),
        CommandKind::Linked if depth == Depth::Outside => {
            let count = reader.u16("the number of members")?;
            let members: Result<Vec<Command>, Malformed> =
                (0..count).map(|_| read_command(reader, Depth::InGroup)).collect();
            let transfers = LinkedTransfers::new(members?).map_err(|_| reader.malformed("a group"))?;
            Ok(Command::Linked { transfers })
        }
        CommandKind::Linked | CommandKind::ExpireTransfer => {
            Err(reader.malformed("a kind that can stand here"))
        }
    }
}

fn put_metadata(metadata: Option<&Metadata>, out: &mut Vec<u8>) {
    // No metadata has no text: an object has at least its braces.
    let text = metadata.map_or("", Metadata::as_str);
    put_long_text(text, out);
}

/// A time, or none.
pub(crate) fn put_time(time: Option<Timestamp>, out: &mut Vec<u8>) {
    out.push(u8::from(time.is_some()));
    if let Some(time) = time {
        out.extend_from_slice(&time.micros().to_le_bytes());
    }
}

/// A text of at most 65,535 bytes with its length before it.
pub(crate) fn put_long_text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("metadata have at most METADATA_BYTES_MAX bytes");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A short text with its length before it. Names and assets are at most 64 bytes.
pub(crate) fn put_text(text: &str, out: &mut Vec<u8>) {
    let length = u8::try_from(text.len()).expect("names and assets are at most 64 bytes");
    out.push(length);
    out.extend_from_slice(text.as_bytes());
}

/// Reads fields from the front of a slice, with the place of the first that is not there.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn malformed(&self, expected: &'static str) -> Malformed {
        Malformed { at_byte: self.at, expected }
    }

    fn take(&mut self, length: usize, expected: &'static str) -> Result<&'a [u8], Malformed> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let taken = taken.ok_or(self.malformed(expected))?;
        self.at += length;
        Ok(taken)
    }

    /// Where the next field begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn rest_bytes(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Malformed> {
        let taken = self.take(N, expected)?;
        Ok(taken.try_into().expect("take returns the length asked for"))
    }

    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(expected).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, expected: &'static str) -> Result<u16, Malformed> {
        self.array(expected).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, expected: &'static str) -> Result<u32, Malformed> {
        self.array(expected).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, expected: &'static str) -> Result<u64, Malformed> {
        self.array(expected).map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self, expected: &'static str) -> Result<i64, Malformed> {
        self.array(expected).map(i64::from_le_bytes)
    }

    pub(crate) fn transaction_id(&mut self) -> Result<TransactionId, Malformed> {
        self.array("a transaction id").map(TransactionId::from_bytes)
    }

    /// A time, or none; only what [`put_time`] writes.
    pub(crate) fn optional_time(&mut self) -> Result<Option<Timestamp>, Malformed> {
        match self.u8("a flag")? {
            0 => Ok(None),
            1 => self.time().map(Some),
            _ => Err(self.malformed("a flag")),
        }
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, Malformed> {
        let micros = self.u64("a time")?;
        Timestamp::from_micros(micros).ok_or(self.malformed("a time below 2^53"))
    }

    /// A text with a length of two bytes.
    pub(crate) fn long_text(&mut self, expected: &'static str) -> Result<&'a str, Malformed> {
        let length = self.u16(expected)?;
        let bytes = self.take(usize::from(length), expected)?;
        core::str::from_utf8(bytes).map_err(|_| self.malformed(expected))
    }

    fn optional_metadata(&mut self) -> Result<Option<Metadata>, Malformed> {
        match self.long_text("metadata")? {
            "" => Ok(None),
            text => Metadata::from_canonical(text).map(Some).map_err(|_| self.malformed("metadata")),
        }
    }

    fn text(&mut self, expected: &'static str) -> Result<&'a str, Malformed> {
        let length = self.u8(expected)?;
        let bytes = self.take(usize::from(length), expected)?;
        core::str::from_utf8(bytes).map_err(|_| self.malformed(expected))
    }

    pub(crate) fn account(&mut self) -> Result<AccountName, Malformed> {
        let text = self.text("an account name")?;
        text.parse().map_err(|_| self.malformed("an account name"))
    }

    pub(crate) fn asset(&mut self) -> Result<Asset, Malformed> {
        let text = self.text("an asset code")?;
        text.parse().map_err(|_| self.malformed("an asset code"))
    }

    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.malformed("the end")) }
    }
}
