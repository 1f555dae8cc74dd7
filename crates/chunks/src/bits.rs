//! Bits in bytes, the lowest first; and whole numbers in seven bits a byte.

/// Collects bits.
#[derive(Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    open: u64,
    used: u32,
}

impl BitWriter {
    /// The low `width` bits of `value`, at most 64.
    pub(crate) fn put(&mut self, value: u64, width: u32) {
        if width > 32 {
            self.put_short(value & 0xFFFF_FFFF, 32);
            self.put_short(value >> 32, width - 32);
        } else {
            self.put_short(value, width);
        }
    }

    /// At most 32 bits, so that they fit beside the 31 that may be open.
    fn put_short(&mut self, value: u64, width: u32) {
        let mask = (1_u64 << width) - 1;
        self.open |= (value & mask) << self.used;
        self.used += width;
        while self.used >= 8 {
            self.bytes.push(self.open.to_le_bytes()[0]);
            self.open >>= 8;
            self.used -= 8;
        }
    }

    /// `ones` ones, at most 31, without an end.
    pub(crate) fn ones(&mut self, ones: u32) {
        self.put_short(u64::from(u32::MAX), ones);
    }

    /// The bytes; what is open is filled with zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.used > 0 {
            self.bytes.push(self.open.to_le_bytes()[0]);
        }
        self.bytes
    }
}

/// Reads what a [`BitWriter`] wrote.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// At least 56 bits from here on; zeros behind the end.
    fn look(&self) -> u64 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or_default();
        let word = match rest.first_chunk::<8>() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        word >> (self.at % 8)
    }

    fn advance(&mut self, bits: u32) -> Option<()> {
        self.at += bits as usize;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// `width` bits, at most 64; `None` behind the end.
    pub(crate) fn take(&mut self, width: u32) -> Option<u64> {
        if width > 32 {
            let low = self.take(32)?;
            return Some(low | self.take(width - 32)? << 32);
        }
        let value = self.look() & ((1_u64 << width) - 1);
        self.advance(width)?;
        Some(value)
    }

    /// Ones up to the first zero, or `limit` of them, at most 31. The zero is read too.
    pub(crate) fn take_ones(&mut self, limit: u32) -> Option<u32> {
        let ones = (!self.look()).trailing_zeros();
        if ones >= limit {
            self.advance(limit)?;
            return Some(limit);
        }
        self.advance(ones + 1)?;
        Some(ones)
    }
}

/// Appends `value`, seven bits a byte.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Takes what [`put_varint`] appended off the front of `bytes`.
pub(crate) fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes a byte off the front.
pub(crate) fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Small numbers of both signs into small ones without.
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// The other way.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_as_they_went_in() {
        let values = [(5, 3), (u64::MAX, 64), (0, 0), (1, 1), (0x1234_5678_9ABC, 47), (77, 32)];
        let mut writer = BitWriter::default();
        for (value, width) in values {
            writer.put(value, width);
            writer.ones(7);
            writer.put(0, 1);
        }
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for (value, width) in values {
            assert_eq!(reader.take(width), Some(value), "{width}");
            assert_eq!(reader.take_ones(20), Some(7));
        }
        assert_eq!(reader.take(8), None, "behind the end there is nothing");
    }

    #[test]
    fn whole_numbers_come_back_and_a_torn_one_is_none() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(take_varint(&mut &bytes[..]), Some(value));
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(take_varint(&mut &[0xFF; 12][..]), None, "no number is that long");
    }

    #[test]
    fn signs_come_back() {
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
        assert_eq!([zigzag(0), zigzag(-1), zigzag(1)], [0, 1, 2]);
    }
}
