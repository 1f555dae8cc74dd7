//! RFC 3339 as Go writes it: `2026-11-20T12:40:51.425432018Z`, trailing zeros trimmed, always UTC.

use model::Timestamp;

/// What Go writes for a time that is not set.
pub(super) const UNSET: &[u8] = b"0001-01-01T00:00:00Z";

/// Reads the time an engine writes; `None` where it is written in another way, or is no time.
pub(crate) fn parse(text: &[u8]) -> Option<Timestamp> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, b'T', h0, h1, b':', mi0, mi1, b':', s0, s1] = *head else {
        return None;
    };
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(mo0, mo1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(mi0, mi1)?, two(s0, s1)?);
    // Years for which 64 bits of nanoseconds suffice, with room to spare.
    if !(1700..=2200).contains(&year)
        || hour > 23
        || minute > 59
        || second > 59
        || day == 0
        || day > days_in(year, month)?
    {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_nanos(seconds * 1_000_000_000 + fraction(tail)?))
}

/// `Z`, or up to nine decimals and `Z`: in nanoseconds.
#[inline]
fn fraction(tail: &[u8]) -> Option<i64> {
    let (&b'Z', fraction) = tail.split_last()? else { return None };
    let Some((&point, digits)) = fraction.split_first() else { return Some(0) };
    if point != b'.' || digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut nanos = 0_i64;
    for digit in digits {
        nanos = nanos * 10 + one(*digit)?;
    }
    Some(nanos * [100_000_000, 10_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10, 1][digits.len() - 1])
}

#[inline]
fn one(byte: u8) -> Option<i64> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(i64::from(digit))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    Some(one(tens)? * 10 + one(ones)?)
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => Some(29),
        2 => Some(28),
        _ => None,
    }
}

/// Days of the civil calendar since 1970-01-01, counting years from March so that the leap day comes last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_written_otherwise_is_left_to_the_full_parser() {
        for text in [
            "2026-11-20T12:40:51.4254320181Z",
            "2026-11-20T12:40:51.Z",
            "2026-11-20T12:40:51+01:00",
            "2026-11-20 12:40:51Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T12:40:60Z",
            "0001-01-01T00:00:00Z",
            "2026-11-20T12:40:51",
            "",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_time_reads_as_the_full_parser_reads_it(nanos in -8_500_000_000_000_000_000..7_200_000_000_000_000_000_i64, zeros in 0..9_u32) {
            let nanos = nanos - nanos.rem_euclid(10_i64.pow(zeros));
            let full = Timestamp::from_nanos(nanos).to_string();
            let trimmed = format!("{}Z", full.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.'));
            // Trimming zeros may eat into whole seconds only where no decimals are left, which Go never writes.
            prop_assume!(trimmed.len() >= 20);
            prop_assert_eq!(parse(trimmed.as_bytes()), Some(Timestamp::from_nanos(nanos)));
            prop_assert_eq!(parse(full.as_bytes()), full.parse().ok());
        }
    }
}
