//! The digest of a ledger's state and the hashes that add up to it.

use core::fmt;

use time::Timestamp;
use twox_hash::XxHash3_128;

use crate::{
    command::TransactionResult,
    fingerprint::{Fingerprint, put_text},
    id::TransactionId,
    names::{AccountName, Asset},
};

/// 128 bits that tell whether two ledgers will answer alike for ever: the sum, wrapping at 2^128, of one hash for each
/// account, one for each open pending transfer and one for each answered command.
///
/// An account's hash (XXH3-128, seed 0) covers name, asset, scale, floor, posted and pending amount; that of a pending
/// transfer covers id, names, amount and deadline; an answer's hash covers id, fingerprint and result. No index, sequence or time is in it, and no order: two ledgers that hold different accounts
/// and answered different commands have digests that add up to the digest of one ledger that holds both. (The same world
/// account in both is one account in the whole, with the sum of their balances; so partitions add up exactly if each has
/// world accounts of its own.)
///
/// It is not cryptographic. Proof against forgery is what the seals of a log are for.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest(u128);

impl Digest {
    /// The digest that [`Digest::as_u128`] gave as a number.
    pub const fn from_u128(number: u128) -> Digest {
        Digest(number)
    }

    /// The digest as a number; digests of disjoint parts add up, wrapping.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The digest of two ledgers that share no account and no answered command.
    #[must_use]
    pub const fn plus(self, other: Digest) -> Digest {
        Digest(self.0.wrapping_add(other.0))
    }

    pub(crate) fn add(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    pub(crate) fn remove(&mut self, hash: u128) {
        self.0 = self.0.wrapping_sub(hash);
    }
}

impl fmt::Display for Digest {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The part of an account's hash that never changes, so that a new balance costs one hash of 32 bytes.
pub(crate) fn account_key(name: &AccountName, asset: &Asset, scale: u8, floor: i64) -> u128 {
    let mut bytes = [0; 1 + AccountName::BYTES_MAX + 1 + Asset::BYTES_MAX + 1 + 8];
    let mut length = 0;
    let mut put = |part: &[u8]| {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    };
    put_text(&mut put, name.as_str());
    put_text(&mut put, asset.as_str());
    put(&[scale]);
    put(&floor.to_le_bytes());
    XxHash3_128::oneshot(&bytes[..length])
}

/// The hash of an account with these balances.
pub(crate) fn account_hash(key: u128, posted: i64, pending: i64) -> u128 {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&key.to_le_bytes());
    bytes[16..24].copy_from_slice(&posted.to_le_bytes());
    bytes[24..].copy_from_slice(&pending.to_le_bytes());
    XxHash3_128::oneshot(&bytes)
}

/// The hash of an open pending transfer. It is of 37 bytes or more where the others are of 32 and 33.
pub(crate) fn hold_hash(
    id: TransactionId,
    from: &AccountName,
    to: &AccountName,
    amount: i64,
    expires_at: Option<Timestamp>,
) -> u128 {
    let mut bytes = [0; 16 + 2 * (1 + AccountName::BYTES_MAX) + 8 + 1 + 8];
    let mut length = 0;
    let mut put = |part: &[u8]| {
        bytes[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    };
    put(&id.as_bytes());
    put_text(&mut put, from.as_str());
    put_text(&mut put, to.as_str());
    put(&amount.to_le_bytes());
    put(&[u8::from(expires_at.is_some())]);
    put(&expires_at.map_or(0, Timestamp::micros).to_le_bytes());
    XxHash3_128::oneshot(&bytes[..length])
}

/// The hash of an answered command. It is of 33 bytes where an account's is of 32: XXH3 mixes the length in.
pub(crate) fn outcome_hash(id: TransactionId, fingerprint: Fingerprint, result: TransactionResult) -> u128 {
    let mut bytes = [0; 33];
    bytes[..16].copy_from_slice(&id.as_bytes());
    bytes[16..32].copy_from_slice(&fingerprint.0);
    bytes[32] = result.as_u8();
    XxHash3_128::oneshot(&bytes)
}
