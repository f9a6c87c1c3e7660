//! Names of accounts and assets: short texts that are checked once, at the border.

use core::{fmt, str::FromStr};

use smol_str::SmolStr;

/// The most decimal places that an asset may have: 10^18 minor units still fit an `i64`.
pub const SCALE_MAX: u8 = 18;

/// What every name of an account from which money comes in and to which it goes out begins with.
pub(crate) const WORLD_PREFIX: &str = "@world/";

/// The name of an account: 1 to 64 bytes of UTF-8 without control characters.
///
/// Names that begin with `@` belong to system accounts. Two names are the same if their bytes are; nothing is folded,
/// trimmed or normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(SmolStr);

impl AccountName {
    /// The longest name, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 64;

    /// The account that money of `asset` comes from and goes to: `@world/USD`.
    pub fn world(asset: &Asset) -> AccountName {
        AccountName(smol_str::format_smolstr!("{WORLD_PREFIX}{asset}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Does the name begin with `@`, as system accounts do and client accounts never?
    pub fn is_system(&self) -> bool {
        self.as_str().starts_with('@')
    }

    /// Is this the name of a world account, which only the ledger itself opens?
    pub(crate) fn is_world(&self) -> bool {
        self.as_str().starts_with(WORLD_PREFIX)
    }
}

impl TryFrom<&str> for AccountName {
    type Error = AccountNameError;

    fn try_from(text: &str) -> Result<AccountName, AccountNameError> {
        if text.is_empty() {
            return Err(AccountNameError::Empty);
        }
        if text.len() > AccountName::BYTES_MAX {
            return Err(AccountNameError::TooLong { bytes: text.len() });
        }
        match text.char_indices().find(|(_, character)| character.is_control()) {
            Some((byte, _)) => Err(AccountNameError::ControlCharacter { byte }),
            None => Ok(AccountName(SmolStr::new(text))),
        }
    }
}

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(text: &str) -> Result<AccountName, AccountNameError> {
        AccountName::try_from(text)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is not the name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountNameError {
    /// The text has no bytes.
    Empty,
    /// The text is longer than [`AccountName::BYTES_MAX`].
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text contains a control character (a line break, a tab, ...).
    ControlCharacter {
        /// Where the first one stands, counted in bytes from 0.
        byte: usize,
    },
}

impl fmt::Display for AccountNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountNameError::Empty => write!(f, "the account name is empty; give it 1 to 64 bytes"),
            AccountNameError::TooLong { bytes } => {
                write!(f, "the account name has {bytes} bytes; give it at most {}", AccountName::BYTES_MAX)
            }
            AccountNameError::ControlCharacter { byte } => {
                write!(f, "the account name has a control character at byte {byte}; remove it")
            }
        }
    }
}

impl core::error::Error for AccountNameError {}

/// The code of an asset, such as `USD` or `BTC.TEST`: 1 to 16 bytes of `A-Z 0-9 . _ -`, the first an upper-case letter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asset(SmolStr);

impl Asset {
    /// The longest code, in bytes.
    pub const BYTES_MAX: usize = 16;

    /// The code as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<&str> for Asset {
    type Error = AssetError;

    fn try_from(text: &str) -> Result<Asset, AssetError> {
        if text.is_empty() {
            return Err(AssetError::Empty);
        }
        if text.len() > Asset::BYTES_MAX {
            return Err(AssetError::TooLong { bytes: text.len() });
        }
        if !text.starts_with(|first: char| first.is_ascii_uppercase()) {
            return Err(AssetError::FirstNotLetter);
        }
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        match text.bytes().position(|byte| !fits(byte)) {
            Some(byte) => Err(AssetError::Character { byte }),
            None => Ok(Asset(SmolStr::new(text))),
        }
    }
}

impl FromStr for Asset {
    type Err = AssetError;

    fn from_str(text: &str) -> Result<Asset, AssetError> {
        Asset::try_from(text)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is not the code of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetError {
    /// The text has no bytes.
    Empty,
    /// The text is longer than [`Asset::BYTES_MAX`].
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text does not begin with an upper-case letter.
    FirstNotLetter,
    /// The text contains something other than `A-Z 0-9 . _ -`.
    Character {
        /// Where the first such byte stands, counted from 0.
        byte: usize,
    },
}

impl fmt::Display for AssetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssetError::Empty => write!(f, "the asset code is empty; give it 1 to 16 bytes, such as USD"),
            AssetError::TooLong { bytes } => {
                write!(f, "the asset code has {bytes} bytes; give it at most {}", Asset::BYTES_MAX)
            }
            AssetError::FirstNotLetter => {
                write!(f, "the asset code does not begin with a letter A-Z; write it like USD")
            }
            AssetError::Character { byte } => {
                write!(f, "the asset code has a character other than A-Z 0-9 . _ - at byte {byte}")
            }
        }
    }
}

impl core::error::Error for AssetError {}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;

    #[test]
    fn account_names_are_checked() {
        let longest = "ä".repeat(32);
        for good in ["a", "@world/USD", "alice smith", "0001", longest.as_str()] {
            assert_eq!(good.parse::<AccountName>().unwrap().to_string(), good);
        }
        assert_eq!("".parse::<AccountName>(), Err(AccountNameError::Empty));
        assert_eq!("x".repeat(65).parse::<AccountName>(), Err(AccountNameError::TooLong { bytes: 65 }));
        assert_eq!("ä\n".parse::<AccountName>(), Err(AccountNameError::ControlCharacter { byte: 2 }));
        assert_eq!("\u{85}".parse::<AccountName>(), Err(AccountNameError::ControlCharacter { byte: 0 }));
    }

    #[test]
    fn assets_are_checked() {
        for good in ["U", "USD", "BTC.TEST", "X-1_2", "ABCDEFGHIJKLMNOP"] {
            assert_eq!(good.parse::<Asset>().unwrap().to_string(), good);
        }
        assert_eq!("".parse::<Asset>(), Err(AssetError::Empty));
        assert_eq!("ABCDEFGHIJKLMNOPQ".parse::<Asset>(), Err(AssetError::TooLong { bytes: 17 }));
        assert_eq!("1A".parse::<Asset>(), Err(AssetError::FirstNotLetter));
        assert_eq!("Äa".parse::<Asset>(), Err(AssetError::FirstNotLetter));
        assert_eq!("USd".parse::<Asset>(), Err(AssetError::Character { byte: 2 }));
    }

    #[test]
    fn the_world_account_of_every_asset_has_a_valid_name() {
        let asset: Asset = "ABCDEFGHIJKLMNOP".parse().unwrap();
        let world = AccountName::world(&asset);
        assert_eq!(world.as_str(), format!("@world/{asset}"));
        assert_eq!(world.as_str().parse(), Ok(world.clone()));
        assert!(world.is_system() && world.is_world());
    }
}
