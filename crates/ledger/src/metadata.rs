//! What a client attaches to a transfer: a small JSON object that the ledger keeps and never reads.

use alloc::boxed::Box;
use core::fmt;

/// The longest metadata, in bytes of their canonical text.
pub const METADATA_BYTES_MAX: usize = 1_024;

/// A JSON object as canonical text: keys sorted by their bytes, no spaces, no key twice. The ledger does not parse it:
/// whoever makes one from a client's text brings it into that form first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata(Box<str>);

impl Metadata {
    /// Metadata with this text, which is canonical already; only its size is checked.
    ///
    /// # Errors
    /// The text is longer than [`METADATA_BYTES_MAX`].
    pub fn from_canonical(text: &str) -> Result<Metadata, MetadataTooLong> {
        if text.len() > METADATA_BYTES_MAX {
            return Err(MetadataTooLong { bytes: text.len() });
        }
        Ok(Metadata(Box::from(text)))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A canonical text is longer than [`METADATA_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataTooLong {
    /// How long it is.
    pub bytes: usize,
}

impl fmt::Display for MetadataTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        write!(f, "the metadata has {bytes} bytes in canonical form; give it at most {METADATA_BYTES_MAX}")
    }
}

impl core::error::Error for MetadataTooLong {}
