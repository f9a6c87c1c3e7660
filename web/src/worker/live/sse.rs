//! Server-sent events: bytes in, messages out, as the HTML standard has it.
//!
//! Absent here: any buffer that grows with the stream. Besides the chunk at hand only one unfinished message is kept,
//! and that has a limit.

use core::fmt;
use std::mem;

/// The most bytes of one message; a record with its lines is far below.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Takes a stream apart, however it was cut into chunks.
#[derive(Default)]
pub(super) struct SseParser {
    chunk: Vec<u8>,
    /// How much of the chunk is read.
    at: usize,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// The first line was seen; only before it a byte order mark may stand.
    began: bool,
    /// Bytes of the message at hand.
    message_bytes: usize,
    event: String,
    data: Vec<u8>,
    last_id: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its type; `message` when it names none.
    pub(super) event: String,
    /// Its data lines, with a line feed between them.
    pub(super) data: String,
    /// The last id that the stream named so far; empty if none.
    pub(super) last_id: String,
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SseError {
    /// A message is greater than [`MESSAGE_BYTES_MAX`].
    TooLong,
    /// A message's data is not UTF-8.
    NotUtf8,
}

impl fmt::Display for SseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "an event of the stream has more than {MESSAGE_BYTES_MAX} bytes"),
            Self::NotUtf8 => f.write_str("an event of the stream is not UTF-8"),
        }
    }
}

impl SseParser {
    /// Takes the next chunk. The one before must have been read to its end.
    pub(super) fn push(&mut self, chunk: Vec<u8>) {
        debug_assert!(self.is_empty(), "the chunk before is read first, so that at most one is kept");
        self.chunk = chunk;
        self.at = 0;
    }

    /// Whether everything pushed has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.at == self.chunk.len()
    }

    /// The next message that is complete; `None` when another chunk is needed.
    ///
    /// # Errors
    /// See [`SseError`]. The stream cannot be read on after one.
    pub(super) fn next(&mut self) -> Result<Option<Message>, SseError> {
        while let Some(end) = self.end_of_line() {
            let chunk = mem::take(&mut self.chunk);
            let message = self.take_line(&chunk[self.at..end]);
            self.after_return = chunk[end] == b'\r';
            self.at = end + 1;
            self.chunk = chunk;
            if let Some(message) = message? {
                return Ok(Some(message));
            }
        }
        let rest = &self.chunk[self.at..];
        self.message_bytes += rest.len();
        self.line.extend_from_slice(rest);
        self.chunk = Vec::new();
        self.at = 0;
        self.check_length()?;
        Ok(None)
    }

    /// Where the line at hand ends in the chunk.
    fn end_of_line(&mut self) -> Option<usize> {
        if mem::take(&mut self.after_return) {
            match self.chunk.get(self.at) {
                Some(b'\n') => self.at += 1,
                Some(_) => {}
                None => self.after_return = true,
            }
        }
        let ends = |byte: &u8| matches!(byte, b'\n' | b'\r');
        self.chunk[self.at..].iter().position(ends).map(|length| self.at + length)
    }

    fn check_length(&self) -> Result<(), SseError> {
        if self.message_bytes > MESSAGE_BYTES_MAX { Err(SseError::TooLong) } else { Ok(()) }
    }

    /// Takes a line whose end has come; `rest` is what the chunk at hand holds of it.
    fn take_line(&mut self, rest: &[u8]) -> Result<Option<Message>, SseError> {
        self.message_bytes += rest.len() + 1;
        self.check_length()?;
        let mut line = mem::take(&mut self.line);
        line.extend_from_slice(rest);
        let text = if self.began { &line[..] } else { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line) };
        self.began = true;
        let message = if text.is_empty() {
            self.finish()
        } else {
            self.take_field(text);
            Ok(None)
        };
        // The allocation serves the next line.
        line.clear();
        self.line = line;
        message
    }

    fn take_field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, [].as_slice()),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.last_id = String::from_utf8_lossy(value).into_owned(),
            // A comment has no name, and unknown fields are for others. The time of a reconnection is decided here.
            _ => {}
        }
    }

    fn finish(&mut self) -> Result<Option<Message>, SseError> {
        self.message_bytes = 0;
        let event = mem::take(&mut self.event);
        let mut data = mem::take(&mut self.data);
        if data.pop().is_none() {
            return Ok(None);
        }
        let data = String::from_utf8(data).map_err(|_| SseError::NotUtf8)?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Ok(Some(Message { event, data, last_id: self.last_id.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a stream in chunks of `size` bytes: `event[id] data|data`.
    fn read_in(size: usize, stream: &[u8]) -> Vec<String> {
        let mut parser = SseParser::default();
        let mut out = Vec::new();
        for chunk in stream.chunks(size) {
            parser.push(chunk.to_vec());
            while let Some(message) = parser.next().expect("a well formed stream") {
                let Message { event, data, last_id } = message;
                out.push(format!("{event}[{last_id}] {}", data.replace('\n', "|")));
            }
            assert!(parser.is_empty());
        }
        out
    }

    fn check(stream: &str, expected: &[&str]) {
        for size in 1..=stream.len().max(1) {
            assert_eq!(read_in(size, stream.as_bytes()), expected, "in chunks of {size}: {stream:?}");
        }
    }

    #[test]
    fn messages_are_the_same_however_the_stream_is_cut() {
        check(
            "id: 7\nevent: record\ndata: {\"a\":1}\ndata: {\"b\":\"ä\"}\n\n: a comment\n\nevent: seal\ndata: s\n\n",
            &["record[7] {\"a\":1}|{\"b\":\"ä\"}", "seal[7] s"],
        );
    }

    #[test]
    fn lines_end_in_three_ways() {
        check(
            "data: 1\r\ndata: 2\r\n\r\ndata: 3\r\rdata: 4\n\ndata: 5\n\r\n",
            &["message[] 1|2", "message[] 3", "message[] 4", "message[] 5"],
        );
    }

    #[test]
    fn fields_are_read_as_the_standard_says() {
        check("data:no space\n\n", &["message[] no space"]);
        check("data:  two spaces\n\n", &["message[]  two spaces"]);
        check("data\n\n", &["message[] "]);
        check("data\ndata\n\n", &["message[] |"]);
        check("data: a:b: c\n\n", &["message[] a:b: c"]);
        check(":\n:x\nretry: 10\nunknown: 1\nevent: e\ndata: d\n\n", &["e[] d"]);
        check("event: lost\n\ndata: d\n\n", &["message[] d"]);
        check(
            "id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            &["message[1] a", "message[1] b", "message[] c"],
        );
        check("id: 1\nid: 2\0\ndata: a\n\n", &["message[1] a"]);
        check("\u{feff}data: a\n\n\u{feff}data: b\n\n", &["message[] a"]);
        check("data: the end never comes\n", &[]);
        check("", &[]);
    }

    #[test]
    fn a_message_has_a_limit_in_one_line_and_in_many() {
        let mut endless = SseParser::default();
        let outcome = (0..=MESSAGE_BYTES_MAX / 65_536).find_map(|_| {
            endless.push(vec![b'x'; 65_536]);
            endless.next().err()
        });
        assert_eq!(outcome, Some(SseError::TooLong));

        let mut parser = SseParser::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1_000], b"\n"].concat();
        let outcome = (0..=MESSAGE_BYTES_MAX / 1_000).find_map(|_| {
            parser.push(line.clone());
            parser.next().err()
        });
        assert_eq!(outcome, Some(SseError::TooLong));
    }

    #[test]
    fn the_limit_is_for_one_message_not_for_the_stream() {
        let mut parser = SseParser::default();
        let message = [b"data: ".as_slice(), &[b'x'; 65_536], b"\n\n"].concat();
        for _ in 0..=2 * MESSAGE_BYTES_MAX / 65_536 {
            parser.push(message.clone());
            assert_eq!(
                parser.next().map(|message| message.map(|message| message.data.len())),
                Ok(Some(65_536))
            );
            assert_eq!(parser.next(), Ok(None));
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused() {
        let mut parser = SseParser::default();
        parser.push(b"data: \xff\n\n".to_vec());
        assert_eq!(parser.next(), Err(SseError::NotUtf8));
    }
}
