//! The bytes of a command in the queue: an envelope with the request it came from. Not stored anywhere, so without
//! a promise over versions; the log has its own layout.

use alloc::vec::Vec;
use core::fmt;
use ledger::{AccountName, Asset, Command, CommandKind, TransactionId};

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
        Command::Transfer { transaction_id, from_account, to_account, amount } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            put_text(from_account.as_str(), out);
            put_text(to_account.as_str(), out);
            out.extend_from_slice(&amount.to_le_bytes());
        }
        Command::Deposit { transaction_id, account, amount }
        | Command::Withdrawal { transaction_id, account, amount } => {
            out.extend_from_slice(&transaction_id.as_bytes()[..]);
            put_text(account.as_str(), out);
            out.extend_from_slice(&amount.to_le_bytes());
        }
    }
}

/// Reads what [`encode_command`] wrote; all of `bytes` must be used.
pub fn decode_command(bytes: &[u8]) -> Result<Command, Malformed> {
    let mut reader = Reader::new(bytes);
    let kind =
        CommandKind::from_u8(reader.u8("a command kind")?).ok_or(reader.malformed("a command kind"))?;
    let command = match kind {
        CommandKind::OpenAccount => {
            let account = reader.account()?;
            let asset = reader.asset()?;
            let scale = reader.u8("a scale")?;
            let has_floor = reader.u8("a flag")?;
            let floor = reader.i64("a floor")?;
            let floor = (has_floor == 1).then_some(floor);
            Command::OpenAccount { account, asset, scale, floor, opening_balance: reader.i64("a balance")? }
        }
        CommandKind::Transfer => Command::Transfer {
            transaction_id: reader.transaction_id()?,
            from_account: reader.account()?,
            to_account: reader.account()?,
            amount: reader.i64("an amount")?,
        },
        CommandKind::Deposit => Command::Deposit {
            transaction_id: reader.transaction_id()?,
            account: reader.account()?,
            amount: reader.i64("an amount")?,
        },
        CommandKind::Withdrawal => Command::Withdrawal {
            transaction_id: reader.transaction_id()?,
            account: reader.account()?,
            amount: reader.i64("an amount")?,
        },
    };
    reader.end()?;
    Ok(command)
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
