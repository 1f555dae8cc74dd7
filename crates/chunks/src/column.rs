//! One column: which rows have a value, how the values are guessed, and how far off the guesses are.
//!
//! ```text
//! presence   1 byte: 1 all rows, 2 some: then a bit for each row
//! guess      1 byte, and the columns it names
//! manner     1 byte: 0 both sides of `base`, 1 above it, 2 other bits
//! base       where the guesses are off by about the same: that much (not with other bits)
//! unit       what all of them are multiples of
//! bare       values without a guess, one after the other
//! off        the rest, as a list of numbers
//! ```

use crate::bits::{put_varint, take_byte, take_varint, unzigzag, zigzag};
use crate::layout::{Column, Guess};
use crate::numbers;

/// The values of a column, each as 64 bits: a float as its own, a moment as its nanoseconds.
pub(crate) type Values = Vec<Option<u64>>;

const ALL: u8 = 1;
const SOME: u8 = 2;

/// How a value is made of a guess and a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// `guess + base + unit × number`, the number of either sign.
    Around,
    /// The same, the number never negative.
    Above,
    /// `guess ^ unit × number`: for floats, and `unit` is a power of two.
    Bits,
}

impl Manner {
    const ALL: [Self; 3] = [Self::Around, Self::Above, Self::Bits];
}

/// Writes `values`, which are not all unknown, over the other columns that `of` gives.
pub(crate) fn encode<'a>(values: &Values, guess: Guess, of: impl Fn(Column) -> Option<&'a Values>) -> Option<Vec<u8>> {
    let needed: Vec<&Values> = guess.needs().into_iter().map(of).collect::<Option<_>>()?;
    let mut head = presence(values);
    let (number, columns) = guess.number();
    head.push(number);
    head.extend(columns);
    let (mut bare, mut pairs) = (Vec::new(), Vec::new());
    let mut before = None;
    for (row, value) in values.iter().enumerate() {
        let Some(value) = *value else { continue };
        match guessed(guess, &needed, row, before) {
            Some(guess) => pairs.push((guess, value)),
            None => put_varint(&mut bare, value),
        }
        before = Some(value);
    }
    let is_float = matches!(guess, Guess::CpuOverSystem | Guess::CpuOverWall | Guess::MemoryPercent);
    let whole: &[Manner] = &[Manner::Around, Manner::Above];
    let manners = if is_float { &[Manner::Bits] } else { whole };
    let tried = manners.iter().map(|manner| [head.clone(), off(*manner, &pairs, &bare)].concat());
    tried.min_by_key(Vec::len)
}

/// A column of floats without a better guess than the row before.
pub(crate) fn encode_floats(values: &Values) -> Vec<u8> {
    let mut out = presence(values);
    out.push(Guess::Before.number().0);
    let known: Vec<u64> = values.iter().flatten().copied().collect();
    let mut bare = Vec::new();
    known.iter().take(1).for_each(|first| put_varint(&mut bare, *first));
    let pairs: Vec<(u64, u64)> = known.windows(2).map(|pair| (pair[0], pair[1])).collect();
    out.extend(off(Manner::Bits, &pairs, &bare));
    out
}

fn presence(values: &Values) -> Vec<u8> {
    if values.iter().all(Option::is_some) {
        return vec![ALL];
    }
    let mut out = vec![SOME];
    let bits = |eight: &[Option<u64>]| {
        eight.iter().enumerate().fold(0, |bits, (bit, value)| bits | u8::from(value.is_some()) << bit)
    };
    out.extend(values.chunks(8).map(bits));
    out
}

/// How far each value is off its guess, in one manner.
fn off(manner: Manner, pairs: &[(u64, u64)], bare: &[u8]) -> Vec<u8> {
    let differences = || pairs.iter().map(|(guess, value)| value.wrapping_sub(*guess).cast_signed());
    let base = match manner {
        Manner::Around => median(differences().collect()),
        Manner::Above => differences().min().unwrap_or(0),
        Manner::Bits => 0,
    };
    let numbers: Vec<u64> = match manner {
        Manner::Around => differences().map(|difference| difference.wrapping_sub(base).cast_unsigned()).collect(),
        Manner::Above => differences().map(|difference| difference.wrapping_sub(base).cast_unsigned()).collect(),
        Manner::Bits => pairs.iter().map(|(guess, value)| guess ^ value).collect(),
    };
    let unit = match manner {
        Manner::Around => common(numbers.iter().map(|number| number.cast_signed().unsigned_abs())),
        Manner::Above => common(numbers.iter().copied()),
        Manner::Bits => 1 << numbers.iter().fold(0, |all, number| all | number).trailing_zeros().min(63),
    };
    let numbers: Vec<u64> = match manner {
        Manner::Around => numbers.iter().map(|number| zigzag(divided(number.cast_signed(), unit))).collect(),
        Manner::Above | Manner::Bits => numbers.iter().map(|number| number / unit).collect(),
    };
    let mut out = vec![Manner::ALL.iter().position(|one| *one == manner).map_or(0, |at| at.to_le_bytes()[0])];
    if manner != Manner::Bits {
        put_varint(&mut out, zigzag(base));
    }
    put_varint(&mut out, unit);
    out.extend(bare);
    numbers::encode(&numbers, &mut out);
    out
}

/// `number / unit`, where it goes in without a rest: also for the lowest number, whose opposite there is not.
fn divided(number: i64, unit: u64) -> i64 {
    let quotient = (number.unsigned_abs() / unit).cast_signed();
    if number < 0 { quotient.wrapping_neg() } else { quotient }
}

fn median(mut values: Vec<i64>) -> i64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0 } else { *values.select_nth_unstable(middle).1 }
}

/// The largest number that all are multiples of; 1 where all are 0.
fn common(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut unit = 0;
    for number in numbers {
        let (mut a, mut b) = (unit, number);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        unit = a;
        if unit == 1 {
            break;
        }
    }
    unit.max(1)
}

/// Which other columns must be read before this one.
pub(crate) fn needs(bytes: &[u8], rows: usize) -> Option<Vec<Column>> {
    let mut rest = bytes;
    take_presence(&mut rest, rows)?;
    Some(take_guess(&mut rest)?.needs())
}

/// Reads what [`encode`] wrote; `needed` are the columns that [`needs`] named, in that order. `None` where the bytes are
/// not such.
pub(crate) fn decode(mut bytes: &[u8], rows: usize, needed: &[&Values]) -> Option<Values> {
    let known = take_presence(&mut bytes, rows)?;
    let guess = take_guess(&mut bytes)?;
    let manner = *Manner::ALL.get(usize::from(take_byte(&mut bytes)?))?;
    let base = if manner == Manner::Bits { 0 } else { unzigzag(take_varint(&mut bytes)?) };
    let unit = take_varint(&mut bytes)?;
    // How many values have a guess does not depend on the values, and the bare ones come first.
    let has_guess = |row: usize, is_first: bool| match guess {
        Guess::Before => !is_first,
        _ => guessed(guess, needed, row, None).is_some(),
    };
    let mut is_first = true;
    let mut plan = Vec::with_capacity(rows);
    let mut bare = Vec::new();
    for (row, known) in known.iter().enumerate() {
        plan.push(if !known {
            Place::Unknown
        } else if has_guess(row, std::mem::take(&mut is_first)) {
            Place::Guessed
        } else {
            bare.push(take_varint(&mut bytes)?);
            Place::Bare
        });
    }
    let guesses = plan.iter().filter(|place| **place == Place::Guessed).count();
    let mut numbers = numbers::decode(bytes, guesses)?.into_iter();
    let mut bare = bare.into_iter();
    let mut before = None;
    let mut values = Vec::with_capacity(rows);
    for (row, place) in plan.into_iter().enumerate() {
        let value = match place {
            Place::Unknown => None,
            Place::Bare => Some(bare.next()?),
            Place::Guessed => {
                let (guess, number) = (guessed(guess, needed, row, before)?, numbers.next()?);
                Some(match manner {
                    Manner::Around => {
                        let off = unzigzag(number).wrapping_mul(unit.cast_signed()).wrapping_add(base);
                        guess.wrapping_add(off.cast_unsigned())
                    }
                    Manner::Above => guess.wrapping_add(number.wrapping_mul(unit)).wrapping_add(base.cast_unsigned()),
                    Manner::Bits => guess ^ number.wrapping_mul(unit),
                })
            }
        };
        before = value.or(before);
        values.push(value);
    }
    Some(values)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Unknown,
    Bare,
    Guessed,
}

fn take_presence(bytes: &mut &[u8], rows: usize) -> Option<Vec<bool>> {
    match take_byte(bytes)? {
        ALL => Some(vec![true; rows]),
        SOME => {
            let (bits, rest) = bytes.split_at_checked(rows.div_ceil(8))?;
            *bytes = rest;
            Some((0..rows).map(|row| bits[row / 8] >> (row % 8) & 1 == 1).collect())
        }
        _ => None,
    }
}

fn take_guess(bytes: &mut &[u8]) -> Option<Guess> {
    let number = take_byte(bytes)?;
    Guess::numbered(number, || take_byte(bytes))
}

/// The guess for a row; `None` where there is none.
fn guessed(guess: Guess, needed: &[&Values], row: usize, before: Option<u64>) -> Option<u64> {
    let at = |column: usize| needed[column][row];
    let earlier = |column: usize| needed[column][row.checked_sub(1)?];
    let growth = |column: usize| Some(at(column)?.wrapping_sub(earlier(column)?));
    Some(match guess {
        Guess::Zero => 0,
        Guess::Before => before?,
        Guess::Growth(_) => growth(0)?,
        Guess::Beside(_) => at(0)?,
        Guess::Less(..) => at(0)?.wrapping_sub(at(1)?),
        Guess::Together(..) => at(0)?.wrapping_add(at(1)?),
        // Operation by operation as the model computes them, so that most are right to the last bit.
        Guess::CpuOverSystem => {
            let (used, passed) = (at(0)? as f64 - earlier(0)? as f64, at(1)? as f64 - earlier(1)? as f64);
            let percent = if passed > 0.0 && used > 0.0 { (used / passed) * at(2)? as f64 * 100.0 } else { 0.0 };
            percent.to_bits()
        }
        Guess::CpuOverWall => model::compute::cpu_percent_wall(growth(0)?, growth(1)?).to_bits(),
        Guess::MemoryPercent => model::compute::memory_percent(at(0)?, at(1)?).to_bits(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_what_all_are_multiples_of() {
        assert_eq!(common([12_288, 4_096, 0, 20_480].into_iter()), 4_096);
        assert_eq!(common([0, 0].into_iter()), 1);
        assert_eq!(common([7, 5].into_iter()), 1);
        assert_eq!(common([1 << 63].into_iter()), 1 << 63);
    }

    #[test]
    fn the_lowest_number_is_divided_too() {
        assert_eq!(divided(i64::MIN, 1 << 63), -1);
        assert_eq!(divided(i64::MIN, 1), i64::MIN);
        assert_eq!(divided(-8_192, 4_096), -2);
    }

    #[test]
    fn a_counter_of_pages_takes_its_steps_alone() {
        let values: Values = (0..600_u64).map(|row| Some(4_096 * (50_000 + row % 3))).collect();
        let bytes = encode(&values, Guess::Before, |_| None).unwrap();
        assert!(bytes.len() < 200, "{} bytes", bytes.len());
        assert_eq!(decode(&bytes, 600, &[]), Some(values));
    }

    #[test]
    fn a_column_that_follows_from_another_takes_next_to_nothing() {
        let counter: Values = (0..600_u64).map(|row| Some(row * row * 977)).collect();
        let delta: Values = (0..600_u64).map(|row| (row > 0).then(|| (2 * row - 1) * 977)).collect();
        let bytes = encode(&delta, Guess::Growth(4), |_| Some(&counter)).unwrap();
        assert!(bytes.len() < 90, "{} bytes", bytes.len());
        assert_eq!(needs(&bytes, 600), Some(vec![4]));
        assert_eq!(decode(&bytes, 600, &[&counter]), Some(delta));
    }
}
