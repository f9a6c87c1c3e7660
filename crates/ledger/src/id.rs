//! The id of a transaction: the client-made idempotency key.

use core::{fmt, str::FromStr};

use uuid::Uuid;

/// Keeps these hashes apart from every other use of BLAKE3. Changing it changes every derived id.
const DERIVE_CONTEXT: &str = "Wallet Lab 2026 transaction id v1";

/// A UUID that a client made for one command (version 7 is recommended): the same id with the same body gets the same
/// answer again, the same id with another body a conflict. Orders by its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId([u8; 16]);

impl TransactionId {
    /// The id with these bytes, in the order in which they are written. Every 16 bytes are an id.
    pub const fn from_bytes(bytes: [u8; 16]) -> TransactionId {
        TransactionId(bytes)
    }

    /// The bytes of the id, in the order in which they are written.
    pub const fn as_bytes(&self) -> [u8; 16] {
        self.0
    }

    /// An id for what has none of its own, such as a row of a file: a UUID of version 8 from the BLAKE3 hash of the
    /// domain and the parts, each with its length, so that no two lists of parts run together.
    ///
    /// The same on every machine and for ever. `domain` names what the parts are.
    pub fn derived(domain: &str, parts: &[&[u8]]) -> TransactionId {
        let mut hasher = blake3::Hasher::new_derive_key(DERIVE_CONTEXT);
        for part in core::iter::once(&domain.as_bytes()).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        TransactionId(uuid::Builder::from_custom_bytes(bytes).into_uuid().into_bytes())
    }
}

impl FromStr for TransactionId {
    type Err = TransactionIdError;

    /// Reads the hyphenated form, 36 characters, in either case.
    fn from_str(text: &str) -> Result<TransactionId, TransactionIdError> {
        // The uuid crate also reads braces, URNs and 32 bare digits; one way to write an id is enough.
        if text.len() != uuid::fmt::Hyphenated::LENGTH {
            return Err(TransactionIdError);
        }
        match Uuid::try_parse(text) {
            Ok(uuid) => Ok(TransactionId(uuid.into_bytes())),
            Err(_) => Err(TransactionIdError),
        }
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a transaction id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionIdError;

impl fmt::Display for TransactionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the transaction id is not a UUID; write it like 018f4e9a-7c1b-7a52-9d3e-0123456789ab")
    }
}

impl core::error::Error for TransactionIdError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn text_and_back() {
        let text = "018f4e9a-7c1b-7a52-9d3e-0123456789ab";
        let id: TransactionId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!(TransactionId::from_bytes(id.as_bytes()), id);
        for bad in ["", "018f4e9a7c1b7a529d3e0123456789ab", "018f4e9a-7c1b-7a52-9d3e-0123456789ag", "{x}"] {
            assert_eq!(bad.parse::<TransactionId>(), Err(TransactionIdError), "{bad}");
        }
    }

    #[test]
    fn derived_ids_are_fixed_for_ever_and_keep_parts_apart() {
        let id = TransactionId::derived("row", &[b"ab", b"c"]);
        expect_test::expect!["1500adee-2bf7-83fe-b3a1-5c663c019180"].assert_eq(&id.to_string());
        assert_ne!(id, TransactionId::derived("row", &[b"a", b"bc"]));
        assert_ne!(id, TransactionId::derived("rowa", &[b"b", b"c"]));
        assert_ne!(id, TransactionId::derived("row", &[b"ab", b"c", b""]));
        assert_eq!(Uuid::from_bytes(id.as_bytes()).get_version_num(), 8);
    }
}
