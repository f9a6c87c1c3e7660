//! Which protocol a client speaks: HTTP/2 begins with a fixed preface, and nothing else begins like that.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client of HTTP/2 says first (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A stream of which the first bytes were read already; they are read once more.
pub(super) struct FirstBytes<S> {
    bytes: [u8; PREFACE.len()],
    /// How many of the bytes there are, and how many of those were read again.
    count: usize,
    read: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> FirstBytes<S> {
    /// Reads until it is clear what the client speaks. Waits as long as the client does.
    pub(super) async fn read(stream: S) -> io::Result<(Protocol, FirstBytes<S>)> {
        let mut first = FirstBytes { bytes: [0; PREFACE.len()], count: 0, read: 0, stream };
        while first.count < PREFACE.len() {
            let FirstBytes { bytes, count, stream, .. } = &mut first;
            let mut buffer = ReadBuf::new(&mut bytes[*count..]);
            poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await?;
            let more = buffer.filled().len();
            *count += more;
            if more == 0 || !PREFACE.starts_with(&bytes[..*count]) {
                return Ok((Protocol::Http1, first));
            }
        }
        Ok((Protocol::Http2, first))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.bytes[self.read..self.count];
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        self.read += taken;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in these pieces, and then its end.
    struct Pieces(Vec<Vec<u8>>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.0.is_empty() {
                let mut piece = self.0.remove(0);
                let rest = piece.split_off(piece.len().min(buffer.remaining()));
                buffer.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.insert(0, rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn whatever_is_not_the_preface_is_http_1_and_no_byte_is_lost() {
        for (text, protocol) in [
            ("GET / HTTP/1.1\r\n\r\n", Protocol::Http1),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore", Protocol::Http2),
            ("PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", Protocol::Http1),
            ("POST /v1/wallet/transfer HTTP/1.1\r\n", Protocol::Http1),
            ("PRI * HT", Protocol::Http1),
            ("P", Protocol::Http1),
            ("", Protocol::Http1),
        ] {
            for size in [1, 2, 7, 100] {
                let pieces = Pieces(text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect());
                let (spoken, mut stream) = FirstBytes::read(pieces).await.expect("read");
                assert_eq!(spoken, protocol, "{text:?} in pieces of {size}");
                let mut all = Vec::new();
                loop {
                    let mut bytes = [0; 5];
                    let mut buffer = ReadBuf::new(&mut bytes);
                    poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer))
                        .await
                        .expect("read");
                    if buffer.filled().is_empty() {
                        break;
                    }
                    all.extend_from_slice(buffer.filled());
                }
                assert_eq!(String::from_utf8_lossy(&all), text);
            }
        }
    }
}
