//! Dates and times as ISO 8601 text, over the whole range of the stored integers.
//!
//! Years outside 0000–9999 carry a sign (`+10000-01-01`), so that every i32 of days and every i64 of a
//! timestamp has a text that reads back as itself.

use arrow_schema::TimeUnit;

const SECONDS_PER_DAY: i64 = 86_400;

/// How many units make a second.
pub fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// How many units make a day; times of day are below it.
pub fn per_day(unit: TimeUnit) -> i64 {
    SECONDS_PER_DAY * per_second(unit)
}

fn digits(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is a year's last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let of_year = (153 * m + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date (year, month, day) of a count of days since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let m = (5 * of_year + 2) / 153;
    let day = of_year - (153 * m + 2) / 5 + 1;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// DATE: days since 1970-01-01.
pub fn date_to_text(days: i64) -> String {
    let (year, month, day) = date_of(days);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// Reads what [`date_to_text`] writes; `None` where it is not a date that an i32 of days holds.
pub fn date_from_text(text: &str) -> Option<i32> {
    i32::try_from(parse_date(text)?).ok()
}

fn parse_date(text: &str) -> Option<i64> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (Some(1), &text[1..]),
        b'-' => (Some(-1), &text[1..]),
        _ => (None, text),
    };
    let mut parts = rest.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year_len_ok = if sign.is_some() {
        (4..=9).contains(&year.len())
    } else {
        year.len() == 4
    };
    if parts.next().is_some() || !year_len_ok || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let date = (
        sign.unwrap_or(1) * number(year)?,
        number(month)?,
        number(day)?,
    );
    let days = days_of(date.0, date.1, date.2);
    // A month 13 or a 30 February comes back as another date.
    (date_of(days) == date).then_some(days)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn clock_to_text(units: i64, unit: TimeUnit, digits: usize) -> String {
    let (seconds, fraction) = (units / per_second(unit), units % per_second(unit));
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if digits == 0 {
        return format!("{h:02}:{m:02}:{s:02}");
    }
    let nanos = fraction * (1_000_000_000 / per_second(unit));
    let fraction = format!("{nanos:09}");
    format!("{h:02}:{m:02}:{s:02}.{}", &fraction[..digits])
}

/// TIME: units since midnight, at least six digits after the point.
pub fn time_to_text(units: i64, unit: TimeUnit) -> String {
    clock_to_text(units, unit, digits(unit).max(6))
}

/// Reads `hh:mm`, `hh:mm:ss` and fractions; `None` where it is not a time of day in whole units.
pub fn time_from_text(text: &str, unit: TimeUnit) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let mut parts = clock.split(':');
    let (h, m, s) = (parts.next()?, parts.next()?, parts.next().unwrap_or("00"));
    if parts.next().is_some()
        || [h, m, s].iter().any(|p| p.len() != 2)
        || !(1..=9).contains(&fraction.len())
    {
        return None;
    }
    let (h, m, s) = (number(h)?, number(m)?, number(s)?);
    if h > 23 || m > 59 || s > 59 {
        return None;
    }
    let nanos = number(&format!("{fraction:0<9}"))?;
    let per_unit = 1_000_000_000 / per_second(unit);
    (nanos % per_unit == 0).then_some((h * 3600 + m * 60 + s) * per_second(unit) + nanos / per_unit)
}

/// TIMESTAMP, or with `utc` TIMESTAMP_LTZ: units since 1970-01-01T00:00.
pub fn timestamp_to_text(units: i64, unit: TimeUnit, utc: bool) -> String {
    let (days, of_day) = (
        units.div_euclid(per_day(unit)),
        units.rem_euclid(per_day(unit)),
    );
    let clock = clock_to_text(of_day, unit, digits(unit));
    format!(
        "{}T{clock}{}",
        date_to_text(days),
        if utc { "Z" } else { "" }
    )
}

/// Reads an ISO timestamp: with a zone (`Z` or `±hh:mm`) where `utc`, without one otherwise.
pub fn timestamp_from_text(text: &str, unit: TimeUnit, utc: bool) -> Option<i64> {
    let at = text.find(['T', 't', ' '])?;
    let (date, clock) = (&text[..at], &text[at + 1..]);
    let (clock, offset_seconds) = if utc { split_zone(clock)? } else { (clock, 0) };
    let units = i128::from(parse_date(date)?) * i128::from(per_day(unit))
        + i128::from(time_from_text(clock, unit)?)
        - i128::from(offset_seconds) * i128::from(per_second(unit));
    i64::try_from(units).ok()
}

/// Splits a clock from its zone; the zone in seconds east of UTC.
fn split_zone(clock: &str) -> Option<(&str, i64)> {
    if let Some(clock) = clock.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = clock.rfind(['+', '-'])?;
    let sign = if clock.as_bytes()[at] == b'-' { -1 } else { 1 };
    let seconds = time_from_text(&clock[at + 1..], TimeUnit::Second)?;
    Some((&clock[..at], sign * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        assert_eq!(date_to_text(0), "1970-01-01");
        assert_eq!(date_to_text(15_706), "2013-01-01");
        assert_eq!(date_to_text(-719_529), "-0001-12-31");
        assert_eq!(date_from_text("2000-02-29"), Some(11_016));
        assert_eq!(
            time_to_text(45_296_789, TimeUnit::Millisecond),
            "12:34:56.789000"
        );
        assert_eq!(
            timestamp_to_text(1_356_998_400_123, TimeUnit::Millisecond, true),
            "2013-01-01T00:00:00.123Z"
        );
        assert_eq!(
            timestamp_from_text("2013-01-01T01:00:00+01:00", TimeUnit::Millisecond, true),
            Some(1_356_998_400_000)
        );
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "2013-02-30",
            "2013-13-01",
            "2013-1-1",
            "13-01-01",
            "",
            "2013-01-01-01",
            "é-1-1",
        ] {
            assert_eq!(date_from_text(text), None, "{text}");
        }
        let ms = TimeUnit::Millisecond;
        for text in [
            "24:00:00",
            "12",
            "12:60",
            "12:00:00.0001",
            "12:00:00.",
            "12:00:00.-1",
        ] {
            assert_eq!(time_from_text(text, ms), None, "{text}");
        }
        assert_eq!(timestamp_from_text("2013-01-01T00:00:00", ms, true), None);
        assert_eq!(timestamp_from_text("2013-01-01T00:00:00Z", ms, false), None);
    }

    proptest! {
        #[test]
        fn texts_round_trip(days: i32, stamp: i64, utc: bool) {
            prop_assert_eq!(date_from_text(&date_to_text(i64::from(days))), Some(days));
            for unit in [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
                let text = timestamp_to_text(stamp, unit, utc);
                prop_assert_eq!(timestamp_from_text(&text, unit, utc), Some(stamp), "{}", text);
                let time = stamp.rem_euclid(per_day(unit));
                prop_assert_eq!(time_from_text(&time_to_text(time, unit), unit), Some(time));
            }
        }

        #[test]
        fn reading_never_panics(text in ".{0,40}") {
            let _ = date_from_text(&text);
            let _ = timestamp_from_text(&text, TimeUnit::Millisecond, true);
        }
    }
}
