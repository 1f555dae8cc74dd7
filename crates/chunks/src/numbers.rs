//! A list of whole numbers, most of them small, in few bits: the shortest of four codes.

use crate::bits::{BitReader, BitWriter, put_varint, take_byte, take_varint};

/// All are 0: no bytes at all.
const ZEROS: u8 = 0;
/// Each by Rice's code: how often 2^k goes into it as so many ones, then k bits.
const RICE: u8 = 1;
/// Few are not 0: the distances between those, and what they are, both by Rice's code.
const SPARSE: u8 = 2;
/// Each in the same number of bits.
const FIXED: u8 = 3;

/// So many ones say that all 64 bits of the number follow.
const ESCAPE: u32 = 24;

/// Appends `values`.
pub(crate) fn encode(values: &[u64], out: &mut Vec<u8>) {
    let largest = values.iter().copied().max().unwrap_or(0);
    if largest == 0 {
        return out.push(ZEROS);
    }
    let width = 64 - largest.leading_zeros();
    let (k, rice) = best_rice(values);
    let fixed = u64::from(width) * values.len() as u64;
    let (gaps, present) = split(values);
    let (gap_k, gap_bits) = best_rice(&gaps);
    let (present_k, present_bits) = best_rice(&present);
    // The numbers ahead of the bits weigh in as well.
    let sparse = gap_bits + present_bits + 24;
    let mut bits = BitWriter::default();
    if sparse < rice.min(fixed) {
        out.push(SPARSE);
        put_varint(out, present.len() as u64);
        out.extend([byte(gap_k), byte(present_k)]);
        for (gap, value) in gaps.iter().zip(&present) {
            put_rice(&mut bits, *gap, gap_k);
            put_rice(&mut bits, *value, present_k);
        }
    } else if rice < fixed {
        out.extend([RICE, byte(k)]);
        values.iter().for_each(|value| put_rice(&mut bits, *value, k));
    } else {
        out.extend([FIXED, byte(width)]);
        values.iter().for_each(|value| bits.put(*value, width));
    }
    out.extend(bits.finish());
}

/// Reads `count` numbers; `None` where the bytes are not what [`encode`] makes.
pub(crate) fn decode(mut bytes: &[u8], count: usize) -> Option<Vec<u64>> {
    match take_byte(&mut bytes)? {
        ZEROS => Some(vec![0; count]),
        RICE => {
            let k = width(&mut bytes)?;
            let mut bits = BitReader::new(bytes);
            (0..count).map(|_| take_rice(&mut bits, k)).collect()
        }
        SPARSE => {
            let present = take_varint(&mut bytes)?;
            let (gap_k, present_k) = (width(&mut bytes)?, width(&mut bytes)?);
            let mut bits = BitReader::new(bytes);
            let (mut values, mut next) = (vec![0; count], 0_usize);
            for _ in 0..present {
                let at = next.checked_add(usize::try_from(take_rice(&mut bits, gap_k)?).ok()?)?;
                *values.get_mut(at)? = take_rice(&mut bits, present_k)?;
                next = at + 1;
            }
            Some(values)
        }
        FIXED => {
            let width = width(&mut bytes)?;
            let mut bits = BitReader::new(bytes);
            (0..count).map(|_| bits.take(width)).collect()
        }
        _ => None,
    }
}

fn width(bytes: &mut &[u8]) -> Option<u32> {
    Some(u32::from(take_byte(bytes)?)).filter(|width| *width <= 64)
}

#[expect(clippy::cast_possible_truncation, reason = "a width is at most 64")]
fn byte(width: u32) -> u8 {
    width as u8
}

/// The distances to those that are not 0, and those themselves.
fn split(values: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let mut next = 0;
    let positions = values.iter().enumerate().filter(|(_, value)| **value != 0);
    positions
        .map(|(at, value)| {
            let gap = (at - next) as u64;
            next = at + 1;
            (gap, *value)
        })
        .unzip()
}

/// The `k` that takes the fewest bits, of those near the mean, and how many.
fn best_rice(values: &[u64]) -> (u32, u64) {
    let mean = values.iter().map(|value| u128::from(*value)).sum::<u128>() / values.len().max(1) as u128;
    let near = (128 - mean.leading_zeros()).min(63);
    let cost = |k: u32| {
        let bits = |value: &u64| match value >> k {
            ones if ones >= u64::from(ESCAPE) => u64::from(ESCAPE) + 64,
            ones => ones + 1 + u64::from(k),
        };
        (k, values.iter().map(bits).sum::<u64>())
    };
    (near.saturating_sub(3)..=near).map(cost).min_by_key(|(_, bits)| *bits).unwrap_or_default()
}

fn put_rice(bits: &mut BitWriter, value: u64, k: u32) {
    match u32::try_from(value >> k) {
        Ok(ones) if ones < ESCAPE => {
            bits.ones(ones);
            bits.put(0, 1);
            bits.put(value, k);
        }
        _ => {
            bits.ones(ESCAPE);
            bits.put(value, 64);
        }
    }
}

fn take_rice(bits: &mut BitReader<'_>, k: u32) -> Option<u64> {
    match bits.take_ones(ESCAPE)? {
        ESCAPE => bits.take(64),
        ones => Some(u64::from(ones) << k | bits.take(k)?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(values: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        bytes
    }

    #[test]
    fn each_code_is_taken_where_it_is_the_shortest() {
        let few: Vec<u64> = (0..600_u64).map(|at| if at.is_multiple_of(97) { 1_000 } else { 0 }).collect();
        let level: Vec<u64> = (0..600).map(|at| at * 37 % 1_024).collect();
        let wide: Vec<u64> = (0..600_u64).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
        let small: Vec<u64> = (0..600_u64).map(|at| u64::from(at.is_multiple_of(7)) * (at % 5) + at % 2).collect();
        for (values, code, at_most) in
            [(vec![0; 600], ZEROS, 1), (few, SPARSE, 22), (level, FIXED, 752), (wide, FIXED, 4_802), (small, RICE, 160)]
        {
            let bytes = encoded(&values);
            assert_eq!(bytes[0], code);
            assert!(bytes.len() <= at_most, "code {code}: {} bytes", bytes.len());
            assert_eq!(decode(&bytes, values.len()), Some(values));
        }
    }

    proptest! {
        #[test]
        fn any_numbers_come_back(values in prop::collection::vec(prop_oneof![
            4 => 0..4_u64, 4 => 0..1_000_000_u64, 1 => any::<u64>(), 6 => Just(0)
        ], 0..300)) {
            prop_assert_eq!(decode(&encoded(&values), values.len()), Some(values));
        }

        #[test]
        fn any_bytes_are_numbers_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0..500_usize) {
            prop_assert!(decode(&bytes, count).is_none_or(|values| values.len() == count));
        }
    }
}
