//! What goes through queues and topics.

use core::fmt;

use bytes::Bytes;
use time::Timestamp;

/// A message's 16-byte identity, chosen by the producer. The broker never requires it to be unique.
///
/// Its text form is 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A message. Its clone shares the body.
///
/// The first clone of a body made from a `Vec` allocates its reference count; a body cut from a frozen `BytesMut`
/// brings one along for the whole batch, which is the cheaper way to push many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chosen by the producer.
    pub id: MessageId,
    /// Opaque to the broker. Only these bytes count against limits in bytes.
    pub body: Bytes,
    /// When the producer made it. The broker hands it on and decides nothing by it.
    pub timestamp: Timestamp,
}

impl Message {
    /// The length of the body, in bytes.
    pub fn bytes(&self) -> u64 {
        self.body.len() as u64
    }
}
