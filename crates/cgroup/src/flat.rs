//! The kernel's plain texts: numbers, and lines of a key and a number.

/// The number that `text` is, white space aside; `None` for `max`, for what is no number, and beyond 64 bits.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii();
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The keys and numbers of lines like `nr_throttled 12`; other lines are passed over.
pub(crate) fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    lines(text).filter_map(|line| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        Some((&line[..space], number(&line[space..])?))
    })
}

/// The lines of a text.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_number_is_not_known() {
        for text in ["", " ", "max", "-1", "1.5", "12a", "18446744073709551616", "999999999999999999999999999"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(number(b"18446744073709551615\n"), Some(u64::MAX));
    }

    #[test]
    fn lines_that_hold_no_pair_are_passed_over() {
        let text = b"usage_usec 12\n\nnonsense\ncore_sched.force_idle_usec x\nnr_periods 0\n";
        let told: Vec<_> = pairs(text).collect();
        assert_eq!(told, [(&b"usage_usec"[..], 12), (&b"nr_periods"[..], 0)]);
    }

    proptest! {
        #[test]
        fn every_number_is_read_as_it_was_written(number: u64) {
            prop_assert_eq!(super::number(format!("{number}\n").as_bytes()), Some(number));
        }

        #[test]
        fn no_text_is_too_much(text: Vec<u8>) {
            number(&text);
            pairs(&text).count();
            lines(&text).flat_map(words).count();
        }
    }
}
