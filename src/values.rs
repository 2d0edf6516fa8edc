//! Values of flags: each parser returns the value, or says what it expected.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp, Unit};
use regex::Regex;

/// Returns a number of bytes above 0: bare, or with a unit, which is binary for `K`, `KiB`
/// and decimal for `KB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let expected = || "expected a size, such as 1000000, 16M, 16MiB or 16MB".to_owned();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let unit = text[digits.len()..].trim_start();
    let (start, base) = match unit.as_bytes() {
        [] | [b'B'] => ("", 1_u64),
        [_] | [_, b'i', b'B'] => (&unit[..1], 1024),
        [_, b'B'] => (&unit[..1], 1000),
        _ => return Err(expected()),
    };
    let power = match start.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        _ => return Err(expected()),
    };
    let bytes = number.checked_mul(base.pow(power));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "out of range".to_owned())
}

/// Returns a rate per second above 0.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && Duration::try_from_secs_f64(1.0 / rate).is_ok() => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// Returns the text of a regular expression that compiles.
pub(crate) fn pattern(text: &str) -> Result<String, String> {
    match Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let told = error.to_string();
            let last = told.lines().last().unwrap_or_default();
            let last = last.trim_start_matches("error: ");
            Err(match text.strip_prefix('*') {
                Some(rest) => format!(
                    "{last}; this is a regular expression, not a glob: try '.*{}$'",
                    regex::escape(rest)
                ),
                None => last.to_owned(),
            })
        }
    }
}

/// Returns the end of keys, which is no glob.
pub(crate) fn suffix(text: &str) -> Result<String, String> {
    match text.rsplit_once('*') {
        None => Ok(text.to_owned()),
        Some((_, rest)) => Err(format!(
            "a suffix is taken as it stands, without wildcards: try {}",
            if rest.is_empty() { "another one" } else { rest }
        )),
    }
}

/// Returns a time: `30s`, `5m`, `1h30m`, `7d`; a bare number is seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    duration(text, "seconds", 1.0)
}

/// Does the same, but at least a second.
pub(crate) fn whole_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time.as_secs() > 0 => Ok(time),
        _ => Err("expected at least 1s".to_owned()),
    }
}

/// Returns a time: `30m`, `12h`, `7d`; a bare number is hours.
pub(crate) fn hours(text: &str) -> Result<Duration, String> {
    duration(text, "hours", 3600.0)
}

fn duration(text: &str, unit: &str, seconds: f64) -> Result<Duration, String> {
    let expected =
        || format!("expected a time, such as 30s, 5m, 12h or 7d; a bare number is {unit}");
    let seconds = if let Ok(number) = text.parse::<f64>() {
        number * seconds
    } else {
        let span: Span = text.parse().map_err(|_| expected())?;
        let days = SpanRelativeTo::days_are_24_hours();
        span.total((Unit::Second, days)).map_err(|_| expected())?
    };
    match Duration::try_from_secs_f64(seconds) {
        // As far as the clock reaches for certain.
        Ok(duration) if u32::try_from(duration.as_secs()).is_ok() => Ok(duration),
        _ => Err("out of range".to_owned()),
    }
}

/// Returns a time: in RFC 3339, or a date, which is its first instant in UTC.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    let day = || format!("{text}T00:00:00Z").parse();
    let instant = text.parse::<Timestamp>().or_else(|_| day());
    instant.map_err(|_| "expected a date, such as 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}

/// Returns a Kinto timestamp in milliseconds: bare, as an ETag (`"1795250788754"`), or as a
/// date in RFC 3339.
pub(crate) fn timestamp(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_start_matches("W/").trim_matches('"');
    let milliseconds = digits.parse().ok().or_else(|| {
        let instant = instant(digits).ok()?;
        u64::try_from(instant.as_millisecond()).ok()
    });
    milliseconds
        .filter(|number| *number < 1 << 43)
        .ok_or_else(|| {
            "expected a date, such as 2026-01-31 or 2026-01-31T12:00:00Z, or milliseconds"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, size) in [
            ("1", 1),
            ("12B", 12),
            ("16K", 16 << 10),
            ("16KiB", 16 << 10),
            ("16KB", 16_000),
            ("16 MB", 16_000_000),
            ("16m", 16 << 20),
            ("2G", 2 << 30),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "0",
            "M",
            "16X",
            "16MBB",
            "-1",
            "1.5M",
            "1T",
            "99999999999G",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units_and_bare_numbers_the_old_one() {
        for (text, seconds_of, hours_of) in [
            ("0.5", 0.5, 1800.0),
            ("12", 12.0, 43200.0),
            ("30s", 30.0, 30.0),
            ("500ms", 0.5, 0.5),
            ("5m", 300.0, 300.0),
            ("1h30m", 5400.0, 5400.0),
            ("12h", 43200.0, 43200.0),
            ("2d", 172_800.0, 172_800.0),
        ] {
            assert_eq!(
                seconds(text),
                Ok(Duration::from_secs_f64(seconds_of)),
                "{text}"
            );
            assert_eq!(hours(text), Ok(Duration::from_secs_f64(hours_of)), "{text}");
        }
        for text in ["", "s", "5 apples", "-1", "-5m", "1e30", "nan", "1y"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(whole_seconds("0").is_err() && whole_seconds("500ms").is_err());
        let error = hours("soon").unwrap_err();
        assert_eq!(
            error,
            "expected a time, such as 30s, 5m, 12h or 7d; a bare number is hours"
        );
    }

    #[test]
    fn dates_are_milliseconds() {
        for (text, milliseconds) in [
            ("1795250788754", 1_795_250_788_754),
            ("\"1795250788754\"", 1_795_250_788_754),
            ("W/\"7\"", 7),
            ("1970-01-02", 86_400_000),
            ("1970-01-01T00:00:01Z", 1000),
            ("1970-01-01T01:00:01.5+01:00", 1500),
        ] {
            assert_eq!(timestamp(text), Ok(milliseconds), "{text}");
        }
        for text in ["yesterday", "1960-01-01", "2026-13-01", ""] {
            assert!(timestamp(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_glob_is_distinguished_from_a_regular_expression() {
        let error = pattern("*.json").unwrap_err();
        assert!(
            error.ends_with("this is a regular expression, not a glob: try '.*\\.json$'"),
            "{error}"
        );
        assert!(!pattern("(").unwrap_err().contains("glob"));
        let error = suffix("*.json").unwrap_err();
        assert_eq!(
            error,
            "a suffix is taken as it stands, without wildcards: try .json"
        );
        assert_eq!(suffix(".json"), Ok(".json".to_owned()));
    }
}
