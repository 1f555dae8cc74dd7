//! The body of an answer, decoded as it comes, in pieces of any size.

/// Longest chunk-size line and trailer line, extensions and all.
const LINE: usize = 4 * 1024;

/// Where in a body we are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body(State);

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Content up to the end of the connection.
    UntilClose,
    /// So much content is left.
    Length(u64),
    /// In a chunk's size line: the size so far, how many digits it has, how long the line is.
    Size { size: u64, digits: u8, line: usize, extension: bool },
    /// In a chunk, so much of it left.
    Chunk(u64),
    /// Between a chunk and its line end.
    ChunkEnd,
    /// In the lines behind the last chunk; how long this one is.
    Trailer(usize),
    /// At its end.
    Done,
}

/// The chunks are not what HTTP says they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its chunks are broken")]
pub(super) struct BadChunk;

const SIZE: State = State::Size { size: 0, digits: 0, line: 0, extension: false };

impl Body {
    pub(super) const fn until_close() -> Self {
        Self(State::UntilClose)
    }

    pub(super) const fn chunked() -> Self {
        Self(SIZE)
    }

    pub(super) const fn length(length: u64) -> Self {
        Self(if length == 0 { State::Done } else { State::Length(length) })
    }

    /// True once all of it was seen.
    pub(super) fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// True where the connection may end here.
    pub(super) fn may_close(&self) -> bool {
        matches!(self.0, State::Done | State::UntilClose)
    }

    /// Takes the next stretch of content out of `input`, and moves `input` past it. `None` once `input` is used up
    /// or the body is done.
    pub(super) fn content<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadChunk> {
        while !input.is_empty() {
            match &mut self.0 {
                State::Done => return Ok(None),
                State::UntilClose => return Ok(Some(std::mem::take(input))),
                State::Length(left) => {
                    let content = take(input, left);
                    if *left == 0 {
                        self.0 = State::Done;
                    }
                    return Ok(Some(content));
                }
                State::Chunk(left) => {
                    let content = take(input, left);
                    if *left == 0 {
                        self.0 = State::ChunkEnd;
                    }
                    return Ok(Some(content));
                }
                _ => {
                    let byte = input[0];
                    *input = &input[1..];
                    self.between_chunks(byte)?;
                }
            }
        }
        Ok(None)
    }

    fn between_chunks(&mut self, byte: u8) -> Result<(), BadChunk> {
        match &mut self.0 {
            State::Size { size, digits, line, extension } => {
                *line += 1;
                match byte {
                    b'\n' if *digits > 0 => self.0 = if *size == 0 { State::Trailer(0) } else { State::Chunk(*size) },
                    _ if *line > LINE => return Err(BadChunk),
                    b'\r' | b' ' | b'\t' if *digits > 0 => *extension = true,
                    b';' if *digits > 0 => *extension = true,
                    b'\n' => return Err(BadChunk),
                    _ if *extension => {}
                    _ => {
                        let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                        *digits += 1;
                        if *digits > 15 {
                            return Err(BadChunk);
                        }
                        *size = *size * 16 + u64::from(digit);
                    }
                }
            }
            State::ChunkEnd => match byte {
                b'\r' => {}
                b'\n' => self.0 = SIZE,
                _ => return Err(BadChunk),
            },
            State::Trailer(length) => match byte {
                b'\n' if *length == 0 => self.0 = State::Done,
                b'\n' => *length = 0,
                b'\r' => {}
                _ if *length >= LINE => return Err(BadChunk),
                _ => *length += 1,
            },
            State::UntilClose | State::Length(_) | State::Chunk(_) | State::Done => {}
        }
        Ok(())
    }
}

/// Splits off as much of `input` as `left` allows, and counts it down.
fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    let (content, rest) = input.split_at(length);
    *input = rest;
    *left -= length as u64;
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `pieces` one after the other; the content, and whether the body ended.
    fn decode<'a>(mut body: Body, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<(String, bool), BadChunk> {
        let mut content = Vec::new();
        for mut piece in pieces {
            while let Some(part) = body.content(&mut piece)? {
                content.extend_from_slice(part);
            }
        }
        Ok((String::from_utf8(content).unwrap(), body.is_done()))
    }

    const CHUNKED: &[u8] =
        b"5;name=\"v\"\r\nhello\r\n1\r\n,\r\n0F\r\n 0123456789abcd\r\n0\r\nX-Trailer: yes\r\n\r\nrest";

    #[test]
    fn chunks_give_the_same_content_however_they_are_cut() {
        let whole = Ok(("hello, 0123456789abcd".to_owned(), true));
        assert_eq!(decode(Body::chunked(), [CHUNKED]), whole);
        for cut in 0..CHUNKED.len() {
            assert_eq!(decode(Body::chunked(), [&CHUNKED[..cut], &CHUNKED[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(decode(Body::chunked(), CHUNKED.chunks(1)), whole);
    }

    #[test]
    fn a_body_cut_before_its_end_is_not_done() {
        let end = CHUNKED.len() - "rest".len();
        for cut in 0..end {
            let (_, done) = decode(Body::chunked(), [&CHUNKED[..cut]]).unwrap();
            assert!(!done, "cut at {cut}");
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for broken in ["x\r\n", "\r\n", "5\r\nhelloworld", "1000000000000000\r\n", "-1\r\n", "5x\r\n"] {
            assert_eq!(decode(Body::chunked(), [broken.as_bytes()]), Err(BadChunk), "{broken:?}");
        }
        let endless = format!("5;{}", "x".repeat(LINE + 1));
        assert_eq!(decode(Body::chunked(), [endless.as_bytes()]), Err(BadChunk));
    }

    #[test]
    fn a_body_of_known_length_ends_there() {
        assert_eq!(decode(Body::length(5), [b"hel".as_slice(), b"lo!"]), Ok(("hello".to_owned(), true)));
        assert_eq!(decode(Body::length(0), [b"x".as_slice()]), Ok((String::new(), true)));
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        let body = Body::until_close();
        assert!(body.may_close());
        assert_eq!(decode(body, [b"a".as_slice(), b"b"]), Ok(("ab".to_owned(), false)));
    }
}
