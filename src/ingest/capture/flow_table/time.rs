//! Times as tables write them.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// What is understood, for messages.
pub(super) const EXPECTED: &str =
    "a time from 1970 on: a number, RFC 3339, `YYYY-MM-DD HH:MM:SS`, or `M/D/YYYY, H:MM:SS AM`";

/// Reads a time as nanoseconds since 1970.
///
/// A number is told by its size: seconds below 10^11 (the year 5138), milliseconds below 10^14, microseconds below 10^17,
/// and nanoseconds from there on; it may have decimals. A time without a zone is in UTC, as Log Analytics exports it.
pub(super) fn read(text: &str) -> Option<u64> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return number(text);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return u64::try_from(time.as_nanosecond()).ok();
    }
    let civil = text.parse::<DateTime>().ok().or_else(|| american(text))?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    u64::try_from(zoned.timestamp().as_nanosecond()).ok()
}

fn number(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let (unit_ns, digits) = match whole {
        0..100_000_000_000 => (1_000_000_000, 9),
        100_000_000_000..100_000_000_000_000 => (1_000_000, 6),
        100_000_000_000_000..100_000_000_000_000_000 => (1_000, 3),
        _ => (1, 0),
    };
    // What is finer than a nanosecond is left out.
    let fraction = format!("{decimals:0<digits$}");
    let fraction: u64 = if digits == 0 { 0 } else { fraction.get(..digits)?.parse().ok()? };
    // In nanoseconds 64 bits end in the year 2554.
    whole.checked_mul(unit_ns)?.checked_add(fraction)
}

/// `11/30/2026, 3:37:54.000 PM`, as the portal of Log Analytics exports times: the month comes first.
fn american(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once([',', ' '])?;
    let mut parts = date.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let date = Date::new(year.parse().ok()?, digits(month)?, digits(day)?).ok()?;
    let time = time.trim();
    let (clock, half) = match time.rsplit_once(' ') {
        Some((clock, half)) if half.eq_ignore_ascii_case("AM") => (clock, Some(false)),
        Some((clock, half)) if half.eq_ignore_ascii_case("PM") => (clock, Some(true)),
        Some(_) => return None,
        None => (time, None),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    if parts.next().is_some() {
        return None;
    }
    let hour = match (digits(hour)?, half) {
        (hour, None) => hour,
        (12, Some(false)) => 0,
        (12, Some(true)) => 12,
        (hour @ 1..12, Some(false)) => hour,
        (hour @ 1..12, Some(true)) => hour + 12,
        _ => return None,
    };
    let (second, decimals) = second.split_once('.').unwrap_or((second, ""));
    let nanosecond = if decimals.is_empty() {
        0
    } else if decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{decimals:0<9}").get(..9)?.parse().ok()?
    } else {
        return None;
    };
    let time = Time::new(hour, digits(minute)?, digits(second)?, nanosecond).ok()?;
    Some(DateTime::from_parts(date, time))
}

/// One or two digits.
fn digits(text: &str) -> Option<i8> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::read;

    /// 2026-11-30T15:37:54Z, by `date --date=@1796053074 --utc`.
    const SECONDS: u64 = 1_796_053_074;

    #[test]
    fn one_moment_in_many_spellings() {
        let expected = Some(SECONDS * 1_000_000_000);
        for text in [
            "1796053074",
            "1796053074000",
            "1796053074000000",
            "1796053074000000000",
            "1796053074.0",
            "2026-11-30T15:37:54Z",
            "2026-11-30T16:37:54.000+01:00",
            "2026-11-30T15:37:54.0000000Z",
            "2026-11-30 15:37:54",
            "2026-11-30 15:37:54 UTC",
            "2026-11-30T15:37:54.000",
            "11/30/2026, 3:37:54.000 PM",
            "11/30/2026 3:37:54 PM",
            "11/30/2026 15:37:54",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn parts_of_a_second_are_kept_to_the_nanosecond() {
        assert_eq!(read("1591367999.305988"), Some(1_591_367_999_305_988_000));
        assert_eq!(read("1591367999305.9887"), Some(1_591_367_999_305_988_700));
        assert_eq!(read("1.0123456789"), Some(1_012_345_678));
        assert_eq!(
            read("11/30/2026, 12:00:00.250 AM"),
            Some((SECONDS - 56_274) * 1_000_000_000 + 250_000_000)
        );
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            ".",
            "x",
            "-1",
            "1.2.3",
            "1969-12-31T23:59:59Z",
            "2026-02-30 00:00:00",
            "30/11/2026, 3:37:54 PM",
            "11/30/2026, 13:00:00 PM",
            "11/30/2026, 0:00:00 AM",
            "11/30/2026",
            "11/30/26, 1:00:00 AM",
            "18446744073709551616",
            "99999999999",
            "11/30/2026, 1:00:00 XM",
            "11/30/2026, é:00",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
