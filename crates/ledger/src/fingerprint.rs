//! The fingerprint of a command's body, computed from the command or from what was recorded of it.

use core::fmt;

use twox_hash::XxHash3_128;

use crate::{
    command::CommandKind,
    names::{AccountName, Asset},
};

/// 128 bits of a command's whole body without its transaction id: tells a repeat from a conflict.
///
/// It is the XXH3-128 hash (seed 0, little-endian) of the canonical body: the number of the kind; from account, to account
/// and asset, each as a length byte and its bytes, length 0 if the kind has no such field; the amount; the scale or 255;
/// then the floor if one was given. The events of a record are enough to compute it again. It is not cryptographic: whoever
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

/// The fields of a command, borrowed from wherever they are.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) kind: CommandKind,
    pub(crate) from_account: Option<&'a AccountName>,
    pub(crate) to_account: Option<&'a AccountName>,
    pub(crate) amount: i64,
    pub(crate) asset: Option<&'a Asset>,
    pub(crate) scale: Option<u8>,
    pub(crate) floor: Option<i64>,
}

/// Kind, two names and the asset with their lengths, amount, scale, floor.
const BODY_BYTES_MAX: usize = 1 + 2 * (1 + AccountName::BYTES_MAX) + 1 + Asset::BYTES_MAX + 8 + 1 + 8;

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
            ..Body::moving(CommandKind::OpenAccount, None, Some(account), opening_balance)
        }
    }

    pub(crate) fn transfer(from: &'a AccountName, to: &'a AccountName, amount: i64) -> Body<'a> {
        Body::moving(CommandKind::Transfer, Some(from), Some(to), amount)
    }

    pub(crate) fn deposit(account: &'a AccountName, amount: i64) -> Body<'a> {
        Body::moving(CommandKind::Deposit, None, Some(account), amount)
    }

    pub(crate) fn withdrawal(account: &'a AccountName, amount: i64) -> Body<'a> {
        Body::moving(CommandKind::Withdrawal, Some(account), None, amount)
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
        put(&self.amount.to_le_bytes());
        put(&[self.scale.unwrap_or(NO_SCALE)]);
        if let Some(floor) = self.floor {
            put(&floor.to_le_bytes());
        }
        Fingerprint(XxHash3_128::oneshot(&bytes[..length]).to_le_bytes())
    }

    fn moving(
        kind: CommandKind,
        from_account: Option<&'a AccountName>,
        to_account: Option<&'a AccountName>,
        amount: i64,
    ) -> Body<'a> {
        Body { kind, from_account, to_account, amount, asset: None, scale: None, floor: None }
    }
}

/// A length byte and the text; names and assets are checked to be shorter than 256 bytes.
pub(crate) fn put_text(put: &mut impl FnMut(&[u8]), text: &str) {
    let length = u8::try_from(text.len()).expect("names have at most 64 bytes");
    put(&[length]);
    put(text.as_bytes());
}
