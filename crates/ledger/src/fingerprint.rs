//! The fingerprint of a command's body, computed from the command or from what was recorded of it.

use alloc::vec::Vec;
use core::fmt;

use time::Timestamp;
use twox_hash::XxHash3_128;

use crate::{
    command::CommandKind,
    id::TransactionId,
    metadata::Metadata,
    names::{AccountName, Asset},
};

/// 128 bits of a command's whole body without its transaction id: tells a repeat from a conflict.
///
/// It is the XXH3-128 hash (seed 0, little-endian) of the canonical body: the number of the kind; from account, to account
/// and asset, each as a length byte and its bytes, length 0 if the kind has no such field; the amount or 0; the scale or
/// 255; the floor if one was given; then, each behind a byte that tells which, the id of the pending transfer (1), the
/// deadline in microseconds (2), that there is no amount (3, nothing behind it) and the XXH3-128 hash of the metadata (4),
/// as far as they are there. The events of a record are enough to compute it again. It is not cryptographic: whoever
/// forges a collision fools only the answer to his own id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Fingerprint {
    /// Of a group: the hash of the ids and fingerprints of its members.
    pub(crate) fn of_all(members: impl Iterator<Item = (TransactionId, Fingerprint)>) -> Fingerprint {
        let mut bytes = Vec::new();
        for (transaction_id, fingerprint) in members {
            bytes.extend_from_slice(&transaction_id.as_bytes());
            bytes.extend_from_slice(&fingerprint.0);
        }
        Fingerprint(XxHash3_128::oneshot(&bytes).to_le_bytes())
    }
}

/// The fields of a command, borrowed from wherever they are.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) kind: CommandKind,
    pub(crate) from_account: Option<&'a AccountName>,
    pub(crate) to_account: Option<&'a AccountName>,
    pub(crate) amount: Option<i64>,
    pub(crate) asset: Option<&'a Asset>,
    pub(crate) scale: Option<u8>,
    pub(crate) floor: Option<i64>,
    pub(crate) pending_id: Option<TransactionId>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) metadata: Option<&'a Metadata>,
}

/// Kind, two names and the asset with their lengths, amount, scale, floor; then what has a tag before it: pending id, deadline,
/// no amount, hash of the metadata.
const BODY_BYTES_MAX: usize =
    1 + 2 * (1 + AccountName::BYTES_MAX) + 1 + Asset::BYTES_MAX + 8 + 1 + 8 + 17 + 9 + 1 + 17;

/// Before the id of the pending transfer.
const TAG_PENDING_ID: u8 = 1;
/// Before the deadline.
const TAG_EXPIRES_AT: u8 = 2;
/// There is no amount.
const TAG_NO_AMOUNT: u8 = 3;
/// Before the hash of the metadata.
const TAG_METADATA: u8 = 4;

/// Stands for "no scale"; no asset has so many decimal places.
const NO_SCALE: u8 = u8::MAX;

impl<'a> Body<'a> {
    pub(crate) fn opening(
        account: &'a AccountName,
        asset: &'a Asset,
        scale: u8,
        floor: Option<i64>,
        opening_balance: i64,
    ) -> Body<'a> {
        Body {
            asset: Some(asset),
            scale: Some(scale),
            floor,
            ..Body::moving(CommandKind::OpenAccount, None, Some(account), Some(opening_balance))
        }
    }

    pub(crate) fn transfer(from: &'a AccountName, to: &'a AccountName, amount: i64) -> Body<'a> {
        Body::moving(CommandKind::Transfer, Some(from), Some(to), Some(amount))
    }

    pub(crate) fn deposit(account: &'a AccountName, amount: i64) -> Body<'a> {
        Body::moving(CommandKind::Deposit, None, Some(account), Some(amount))
    }

    pub(crate) fn withdrawal(account: &'a AccountName, amount: i64) -> Body<'a> {
        Body::moving(CommandKind::Withdrawal, Some(account), None, Some(amount))
    }

    pub(crate) fn pending(
        from: &'a AccountName,
        to: &'a AccountName,
        amount: i64,
        expires_at: Option<Timestamp>,
    ) -> Body<'a> {
        let moving = Body::moving(CommandKind::PendingTransfer, Some(from), Some(to), Some(amount));
        Body { expires_at, ..moving }
    }

    pub(crate) fn post(pending_id: TransactionId, amount: Option<i64>) -> Body<'a> {
        let moving = Body::moving(CommandKind::PostTransfer, None, None, amount);
        Body { pending_id: Some(pending_id), ..moving }
    }

    pub(crate) fn void(pending_id: TransactionId) -> Body<'a> {
        let moving = Body::moving(CommandKind::VoidTransfer, None, None, None);
        Body { pending_id: Some(pending_id), ..moving }
    }

    pub(crate) fn expire(pending_id: TransactionId) -> Body<'a> {
        let moving = Body::moving(CommandKind::ExpireTransfer, None, None, None);
        Body { pending_id: Some(pending_id), ..moving }
    }

    pub(crate) fn set_floor(account: &'a AccountName, floor: i64) -> Body<'a> {
        Body { floor: Some(floor), ..Body::moving(CommandKind::SetFloor, None, Some(account), None) }
    }

    /// The same body with what the client attached.
    pub(crate) fn with(self, metadata: Option<&'a Metadata>) -> Body<'a> {
        Body { metadata, ..self }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut bytes = [0; BODY_BYTES_MAX];
        let mut length = 0;
        let mut put = |part: &[u8]| {
            bytes[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        };
        put(&[self.kind.as_u8()]);
        for name in [self.from_account, self.to_account] {
            put_text(&mut put, name.map_or("", AccountName::as_str));
        }
        put_text(&mut put, self.asset.map_or("", Asset::as_str));
        put(&self.amount.unwrap_or(0).to_le_bytes());
        put(&[self.scale.unwrap_or(NO_SCALE)]);
        if let Some(floor) = self.floor {
            put(&floor.to_le_bytes());
        }
        if let Some(pending_id) = self.pending_id {
            put(&[TAG_PENDING_ID]);
            put(&pending_id.as_bytes());
        }
        if let Some(expires_at) = self.expires_at {
            put(&[TAG_EXPIRES_AT]);
            put(&expires_at.micros().to_le_bytes());
        }
        if self.amount.is_none() {
            put(&[TAG_NO_AMOUNT]);
        }
        if let Some(metadata) = self.metadata {
            put(&[TAG_METADATA]);
            put(&XxHash3_128::oneshot(metadata.as_str().as_bytes()).to_le_bytes());
        }
        Fingerprint(XxHash3_128::oneshot(&bytes[..length]).to_le_bytes())
    }

    fn moving(
        kind: CommandKind,
        from_account: Option<&'a AccountName>,
        to_account: Option<&'a AccountName>,
        amount: Option<i64>,
    ) -> Body<'a> {
        Body {
            kind,
            from_account,
            to_account,
            amount,
            asset: None,
            scale: None,
            floor: None,
            pending_id: None,
            expires_at: None,
            metadata: None,
        }
    }
}

/// A length byte and the text; names and assets are checked to be shorter than 256 bytes.
pub(crate) fn put_text(put: &mut impl FnMut(&[u8]), text: &str) {
    let length = u8::try_from(text.len()).expect("names have at most 64 bytes");
    put(&[length]);
    put(text.as_bytes());
}
