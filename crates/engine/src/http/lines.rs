//! Content cut into lines: one document each.

use std::collections::VecDeque;

use bytes::Bytes;

use super::documents::{Cut, End};

/// Most bytes of one document. A stats frame has 2 KB, an event 10 KB when its labels are many.
pub(super) const DOCUMENT: usize = 1024 * 1024;

/// Lines that are complete, and the beginning of the next one.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    ready: VecDeque<Bytes>,
}

/// A document does not end within [`DOCUMENT`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a document is longer than 1 MiB")]
pub(crate) struct TooLong;

impl Cut for Lines {
    const ACCEPT: &str = "application/json";
    type Item = Bytes;
    type Error = TooLong;

    fn push(&mut self, mut content: &[u8]) -> Result<(), TooLong> {
        while let Some(end) = memchr::memchr(b'\n', content) {
            let line = &content[..end];
            if self.partial.len() + line.len() > DOCUMENT {
                return Err(TooLong);
            }
            if self.partial.is_empty() {
                self.ready(line);
            } else {
                self.partial.extend_from_slice(line);
                self.end_line();
            }
            content = &content[end + 1..];
        }
        if self.partial.len() + content.len() > DOCUMENT {
            return Err(TooLong);
        }
        self.partial.extend_from_slice(content);
        Ok(())
    }

    /// What stands at the end without a line end is a document too: whether it is whole is for its decoder to tell,
    /// so that a frame cut off is seen and counted.
    fn finish(&mut self, _: End) -> Result<(), TooLong> {
        self.end_line();
        Ok(())
    }

    fn pop(&mut self) -> Option<Bytes> {
        let line = self.ready.pop_front();
        if self.ready.is_empty() && self.ready.capacity() > 8 {
            // After a burst, an idle stream goes back to holding nothing.
            self.ready = VecDeque::new();
        }
        line
    }
}

impl Lines {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.ready(&line);
    }

    fn ready(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            self.ready.push_back(Bytes::copy_from_slice(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<Bytes> {
        std::iter::from_fn(|| lines.pop()).collect()
    }

    #[test]
    fn lines_come_out_whole_and_without_their_ends() {
        let mut lines = Lines::default();
        lines.push(b"{\"a\":1}\n{\"b\"").unwrap();
        assert_eq!(all(&mut lines), ["{\"a\":1}"]);
        lines.push(b":2}\r\n\n\r\n{}").unwrap();
        assert_eq!(all(&mut lines), ["{\"b\":2}"]);
        lines.finish(End::Clean).unwrap();
        assert_eq!(all(&mut lines), ["{}"]);
        lines.finish(End::Clean).unwrap();
        assert_eq!(all(&mut lines), Vec::<Bytes>::new());
    }

    #[test]
    fn a_document_of_just_the_most_bytes_passes_and_one_more_is_refused() {
        let most = vec![b'x'; DOCUMENT];
        for pieces in [1, 3] {
            let mut lines = Lines::default();
            most.chunks(DOCUMENT.div_ceil(pieces)).try_for_each(|piece| lines.push(piece)).unwrap();
            lines.push(b"\n").unwrap();
            assert_eq!(all(&mut lines)[0].len(), DOCUMENT);
            most.chunks(DOCUMENT.div_ceil(pieces)).try_for_each(|piece| lines.push(piece)).unwrap();
            assert_eq!(lines.push(b"x"), Err(TooLong));
        }
    }

    #[test]
    fn after_a_burst_nothing_is_held() {
        let mut lines = Lines::default();
        lines.push(&b"{}\n".repeat(1_000)).unwrap();
        assert_eq!(all(&mut lines).len(), 1_000);
        assert_eq!((lines.ready.capacity(), lines.partial.capacity()), (0, 0));
    }
}
