//! Tells a torn tail from corruption in the JSON Lines form.

use alloc::vec::Vec;

use crate::format::SealFrame;
use crate::json::parse_object;
use crate::read_lines::seal_of_fields;
use crate::write_lines::LINE_BYTES_MAX;

/// Looks through the lines behind a bad one for a seal that vouches for the record expected there, as
/// [`crate::TailSearch`] does in the binary form. A line has no checksum of its own, so a seal line counts if it is whole
/// and its numbers can be those of a seal.
///
/// It takes the text behind the bad line's first byte, in pieces of any size.
#[derive(Clone, Debug)]
pub struct LineSearch {
    sequence: u64,
    at_byte: u64,
    partial: Vec<u8>,
    only_zeros: bool,
    vouching: Option<LineVouching>,
}

/// A seal line behind a damage that says what was damaged had been durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineVouching {
    /// Where the line begins in the text.
    pub line_at_byte: u64,
    /// Its mark.
    pub durable_before: u64,
}

impl LineSearch {
    /// A search behind a line that begins at this byte, where this record was expected.
    pub fn new(at_byte: u64, sequence: u64) -> LineSearch {
        LineSearch { sequence, at_byte, partial: Vec::new(), only_zeros: true, vouching: None }
    }

    /// Takes the next piece of the text.
    pub fn push(&mut self, mut text: &[u8]) {
        self.only_zeros = self.only_zeros && text.iter().all(|byte| *byte == 0);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line = &text[..end];
            if self.partial.is_empty() {
                self.line(line);
            } else {
                let mut whole = core::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                self.line(&whole);
                whole.clear();
                self.partial = whole;
            }
            self.at_byte += 1;
            text = &text[end + 1..];
        }
        // A line that is too long is no seal: what matters of it is its length.
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.partial.len());
        let (kept, beyond) = text.split_at(text.len().min(room));
        self.partial.extend_from_slice(kept);
        self.at_byte += beyond.len() as u64;
    }

    /// Says that the text ends here. Returns the seal found, if one was.
    pub fn finish(&mut self) -> Option<LineVouching> {
        let last = core::mem::take(&mut self.partial);
        self.line(&last);
        self.vouching
    }

    /// Whether the text so far is nothing but zeros, as in a file whose space was reserved.
    pub fn is_only_zeros(&self) -> bool {
        self.only_zeros
    }

    fn line(&mut self, line: &[u8]) {
        let line_at_byte = self.at_byte;
        self.at_byte += line.len() as u64;
        if self.vouching.is_none()
            && let Some(SealFrame { durable_before, next_sequence, .. }) = seal_of_line(line)
            && durable_before > self.sequence
            && durable_before <= next_sequence
        {
            self.vouching = Some(LineVouching { line_at_byte, durable_before });
        }
    }
}

/// Whether a line is a whole JSON object, as every line of a log is. An interrupted append leaves lines that are not; a
/// whole line that cannot stand where it does was written on purpose.
pub fn line_is_whole(line: &[u8]) -> bool {
    parse_object(line).is_ok()
}

/// What a seal line says; `None` if the line is none.
pub fn seal_of_line(line: &[u8]) -> Option<SealFrame> {
    let start = line.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
    if !start.starts_with(b"\"seal\"") || line.len() > LINE_BYTES_MAX {
        return None;
    }
    seal_of_fields(&mut parse_object(line).ok()?).ok()
}
