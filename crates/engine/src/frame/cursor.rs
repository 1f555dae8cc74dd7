//! A cursor over one JSON document: only what engines write, every token checked.
//!
//! `None` never means "not JSON": it means "not plain enough for me". Strings with escapes or anything beyond
//! ASCII, fractions where a count belongs, deep nesting: serde looks at those.

/// Nesting beyond this is left to serde, so recursion is bounded.
const DEPTH: u32 = 32;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A position in a document.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Walks an object; `field` gets each key and must consume its value.
    #[inline]
    pub(super) fn object(&mut self, mut field: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.token(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            let key = self.text()?;
            self.token(b':')?;
            field(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Walks an array; `element` must consume one element. Gives their number.
    #[inline]
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<usize> {
        self.token(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(0);
        }
        let mut count = 0;
        loop {
            element(self)?;
            count += 1;
            match self.next()? {
                b',' => {}
                b']' => return Some(count),
                _ => return None,
            }
        }
    }

    /// A string without escapes, of printable ASCII.
    #[inline]
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        self.token(b'"')?;
        let start = self.at;
        loop {
            if let Some(word) = self.rest().first_chunk::<8>() {
                let special = special_bytes(u64::from_le_bytes(*word));
                if special == 0 {
                    self.at += 8;
                    continue;
                }
                self.at += (special.trailing_zeros() / 8) as usize;
                break;
            }
            match *self.bytes.get(self.at)? {
                b'"' | b'\\' | 0..0x20 | 0x80.. => break,
                _ => self.at += 1,
            }
        }
        if *self.bytes.get(self.at)? != b'"' {
            return None;
        }
        let text = self.bytes.get(start..self.at)?;
        self.at += 1;
        Some(text)
    }

    /// A whole number from 0 to 2^64 − 1.
    #[inline]
    pub(super) fn number(&mut self) -> Option<u64> {
        self.space();
        let digits = self.rest();
        let mut value = 0_u64;
        let mut length = 0;
        while let Some(digit) = digits.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            // 19 digits always fit.
            value = if length < 19 {
                value.wrapping_mul(10).wrapping_add(u64::from(digit))
            } else {
                value.checked_mul(10)?.checked_add(u64::from(digit))?
            };
            length += 1;
        }
        if length == 0 || (length > 1 && digits.first() == Some(&b'0')) {
            return None;
        }
        self.at += length;
        Some(value)
    }

    /// True, and past it, where the value is `null`.
    #[inline]
    pub(super) fn null(&mut self) -> bool {
        self.space();
        let null = self.rest().starts_with(b"null");
        if null {
            self.at += 4;
        }
        null
    }

    /// A whole number, or `null`.
    #[inline]
    pub(super) fn counter(&mut self) -> Option<Option<u64>> {
        match self.peek()? {
            b'0'..=b'9' => self.number().map(Some),
            _ => self.null().then_some(None),
        }
    }

    /// Passes over one value of any kind, checking it.
    #[inline]
    pub(super) fn skip(&mut self) -> Option<()> {
        self.skip_below(DEPTH)
    }

    /// True where nothing but white space is left.
    pub(super) fn at_end(&mut self) -> bool {
        self.space();
        self.at == self.bytes.len()
    }

    fn skip_below(&mut self, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.peek()? {
            b'0'..=b'9' => {
                self.number()?;
                self.skip_fraction()
            }
            b'"' => self.text().map(|_| ()),
            b'{' => self.object(|cursor, _| cursor.skip_below(depth)),
            b'[' => self.array(|cursor| cursor.skip_below(depth)).map(|_| ()),
            b'n' => self.word(b"null"),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => None,
        }
    }

    /// The fraction and the exponent a number may have.
    #[inline]
    fn skip_fraction(&mut self) -> Option<()> {
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.skip_digits()?;
        }
        Some(())
    }

    fn skip_digits(&mut self) -> Option<()> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        (digits > 0).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().starts_with(word).then(|| self.at += word.len())
    }

    #[inline]
    fn token(&mut self, token: u8) -> Option<()> {
        (self.next()? == token).then_some(())
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// The next byte that is no white space.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        if byte > b' ' {
            return Some(byte);
        }
        self.space();
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

/// Marks, by the high bit of its byte, each quote, backslash, control character and byte beyond ASCII.
/// The lowest mark is exact; marks above it may be false.
#[inline]
fn special_bytes(word: u64) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zero_bytes(word ^ (ONES * b'"' as u64));
    let escapes = zero_bytes(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | escapes | controls | word) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_special_byte_is_found_at_every_place() {
        for special in (0..=255_u8).filter(|byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x80..)) {
            for place in 0..8 {
                let mut word = *b"~ !#[]az";
                word[place] = special;
                let marks = special_bytes(u64::from_le_bytes(word));
                assert_eq!(marks.trailing_zeros() / 8, place as u32, "{special:#x} at {place}");
            }
        }
        assert_eq!(special_bytes(u64::from_le_bytes(*b"~ !#[]az")), 0);
    }

    #[test]
    fn a_number_is_whole_and_fits_64_bits() {
        let number = |text: &str| Cursor::new(text.as_bytes()).number();
        assert_eq!(number("0"), Some(0));
        assert_eq!(number("18446744073709551615,"), Some(u64::MAX));
        for bad in ["18446744073709551616", "99999999999999999999999", "01", "-1", "", "x"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn skipping_checks_what_it_passes() {
        let skip = |text: &str| {
            let mut cursor = Cursor::new(text.as_bytes());
            cursor.skip().is_some() && cursor.at_end()
        };
        for good in
            ["{}", "[]", "0", "1.5", "4.1e-05", "1E5", "true", " { \"a\" : [ 1 , null ] } ", "[[[[]]]]", "\"text\""]
        {
            assert!(skip(good), "{good}");
        }
        let deep = "[".repeat(40) + &"]".repeat(40);
        let plain = [
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "[1,]",
            "{,}",
            "1.",
            "1e",
            "1e+",
            "-1",
            "tru",
            "nul",
            "\"\\n\"",
            "\"\u{e9}\"",
            "[1]]",
        ];
        for left in plain.into_iter().chain([deep.as_str()]) {
            assert!(!skip(left), "{left}");
        }
    }
}
