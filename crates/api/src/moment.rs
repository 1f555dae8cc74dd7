//! Times as people and programs write them in a query.

use std::time::Duration;

use model::Timestamp;

/// What a time in a query may be, for messages and documents.
pub(crate) const SHAPE: &str = "an RFC 3339 time, seconds since 1970, or `now` with `-` and a span such as `now-6h`";

/// Reads a time: `2026-11-20T12:00:00Z`, `1795176000.5`, `now`, `now-6h`, `now-1d12h`. `None` where it is none.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.strip_prefix('-') {
            Some(span) => Some(now - parse_span(span)?),
            None => rest.is_empty().then_some(now),
        };
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return parse_seconds(text);
    }
    // A `+` that was not escaped arrives as a space; only an offset can be meant.
    text.replace(' ', "+").parse().ok()
}

/// Seconds since 1970 with up to nine decimals, exact to the nanosecond.
fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || decimals.len() > 9 || decimals.contains('.') {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: i64 = format!("{decimals:0<9}").parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos).map(Timestamp::from_nanos)
}

/// `90s`, `6h`, `1d12h`: numbers with the units s, m, h, d and w.
pub(crate) fn parse_span(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = match tail.bytes().next()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = &tail[1..];
    }
    (!text.is_empty()).then_some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_rfc_3339_unix_seconds_or_relative_to_now() {
        let now = at("2026-11-20T12:00:00Z");
        for (text, meant) in [
            ("2026-11-20T11:00:00Z", "2026-11-20T11:00:00Z"),
            ("2026-11-20T12:00:00+01:00", "2026-11-20T11:00:00Z"),
            ("2026-11-20T12:00:00 01:00", "2026-11-20T11:00:00Z"),
            ("1795176000", "2026-11-20T12:00:00Z"),
            ("1795176000.000000001", "2026-11-20T12:00:00.000000001Z"),
            ("1795176000.5", "2026-11-20T12:00:00.5Z"),
            ("now", "2026-11-20T12:00:00Z"),
            ("now-6h", "2026-11-20T06:00:00Z"),
            ("now-1d12h", "2026-11-19T00:00:00Z"),
            ("now-2w", "2026-11-06T12:00:00Z"),
        ] {
            assert_eq!(parse(text, now), Some(at(meant)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "soon", "now-", "now+1h", "now-6", "now-h", "now-6y", "yesterday", "1.2.3", "1.", ".", "-5", "1e9"]
        {
            assert_eq!(parse(text, Timestamp::default()), None, "{text}");
        }
        for text in ["99999999999999999999", "9223372037", "now-99999999999999999999d", "now-18446744073709551615w"] {
            assert_eq!(parse(text, Timestamp::default()), None, "{text}");
        }
    }
}
