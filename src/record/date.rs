//! Dates as builds write them, for the index.
//!
//! Elasticsearch reads ISO 8601 alone, and takes a text of digits for
//! milliseconds: `20180801100000` would be in the year 2609. So dates are
//! rewritten for it, as Buildhub2 does with Python's dateutil.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use regex::{Captures, Regex};

/// A date at the start of a text: the form of it, and what it captures, as
/// `y`, `m` and `d`.
struct DateForm {
    order: &'static str,
    /// A time may follow without anything in between.
    is_compact: bool,
    pattern: Regex,
}

#[expect(
    clippy::expect_used,
    reason = "a constant of this file, compiled in every test"
)]
fn pattern(text: &str) -> Regex {
    Regex::new(&format!("^(?i-u:{text})")).expect("a constant pattern")
}

static DATES: LazyLock<[DateForm; 6]> = LazyLock::new(|| {
    let form = |order, text| DateForm {
        order,
        is_compact: false,
        pattern: pattern(text),
    };
    [
        form("ymd", r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?"),
        DateForm {
            is_compact: true,
            ..form("ymd", r"(\d{4})(\d{2})(\d{2})")
        },
        form("mdy", r"(\d{1,2})[-/](\d{1,2})[-/](\d{4})"),
        form(
            "dmy",
            r"(\d{1,2})(?:st|nd|rd|th)?[- ]+([a-z]+)\.?,?[- ]+(\d{4})",
        ),
        form(
            "mdy",
            r"([a-z]+)\.?[- ]+(\d{1,2})(?:st|nd|rd|th)?,?[- ]+(\d{4})",
        ),
        form("ymd", r"(\d{4})[- ]([a-z]+)[- ](\d{1,2})"),
    ]
});

static WEEKDAY: LazyLock<Regex> =
    LazyLock::new(|| pattern("(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +"));

/// As ctime(3) and date(1) write it: month, day, time, zone, year.
static YEAR_LAST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"([a-z]+ +\d{1,2}) +([\d:.]+(?: +[a-z]+| +[-+]\d{4})?) +(\d{4})$"));

/// Hour, minute, second and fraction of a second.
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?:t|-|,? +(?:at +)?)(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d+))?)?")
});
static COMPACT_TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[t -]?(\d{2})(\d{2})(?:(\d{2})(?:[.,](\d+))?)?"));
static HOUR: LazyLock<Regex> = LazyLock::new(|| pattern(r"t(\d{2})"));

/// AM or PM; UTC or an offset; a comment, as in RFC 2822.
static ZONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r" *(?:([ap])\.?m\.?)? *(?:(z|utc|gmt)|([-+])(\d{1,2})(?::?(\d{2}))?(?: *\([a-z]+\))?)?$",
    )
});

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Returns the date in ISO 8601, as Python's `isoformat` prints what dateutil
/// reads: with microseconds if there are any, and with an offset if the text has
/// one. `None` if it is not a date, or its zone is not known.
pub fn iso_8601(text: &str) -> Option<String> {
    let text = text.trim();
    let text = WEEKDAY.find(text).map_or(text, |day| &text[day.end()..]);
    let text = YEAR_LAST.replace(text, "$1 $3 $2");
    DATES.iter().find_map(|form| {
        let found = form.pattern.captures(&text)?;
        let rest = &text[found.get(0)?.end()..];
        with_time(date(form, &found)?, rest, form.is_compact)
    })
}

/// Returns the time `milliseconds` after 1970, in ISO 8601.
pub fn from_milliseconds(milliseconds: i64) -> Option<String> {
    let moment = Timestamp::from_millisecond(milliseconds).ok()?;
    print(TimeZone::UTC.to_datetime(moment), "+00:00")
}

fn date(form: &DateForm, found: &Captures<'_>) -> Option<Date> {
    let part = |name: char| found.get(form.order.find(name)? + 1);
    let year: i16 = part('y')?.as_str().parse().ok()?;
    let month = month(part('m')?.as_str())?;
    let day = part('d').map_or(Some(1), |day| day.as_str().parse().ok())?;
    // Of two numbers before the year the first is the month, if it can be.
    if month > 12 && form.order == "mdy" {
        return Date::new(year, day, month).ok();
    }
    Date::new(year, month, day).ok()
}

fn month(text: &str) -> Option<i8> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let text = text.to_ascii_lowercase();
    let named = |month: &&str| text.len() >= 3 && month.starts_with(&text);
    let at = MONTHS.iter().position(named)?;
    i8::try_from(at + 1).ok()
}

fn with_time(date: Date, rest: &str, is_compact: bool) -> Option<String> {
    if rest.is_empty() || rest.eq_ignore_ascii_case("t") {
        return print(date.to_datetime(Time::midnight()), "");
    }
    let compact = is_compact || rest.starts_with(['t', 'T']);
    let compact = compact.then(|| COMPACT_TIME.captures(rest)).flatten();
    let found = TIME
        .captures(rest)
        .or(compact)
        .or_else(|| HOUR.captures(rest))?;
    let zone = ZONE.captures(&rest[found.get(0)?.end()..])?;
    let number = |at: usize| {
        found
            .get(at)
            .map_or(Some(0), |part| part.as_str().parse().ok())
    };
    let mut hour: i8 = number(1)?;
    if let Some(half) = zone.get(1) {
        let afternoon = half.as_str().eq_ignore_ascii_case("p");
        hour = (1..=12).contains(&hour).then_some(hour % 12)? + if afternoon { 12 } else { 0 };
    }
    let fraction = found.get(4).map_or("", |digits| digits.as_str());
    let microseconds: i32 = format!("{fraction:0<6.6}").parse().ok()?;
    let time = Time::new(hour, number(2)?, number(3)?, 1000 * microseconds).ok()?;
    print(date.to_datetime(time), &offset(&zone)?)
}

/// Returns the offset as it is printed, empty if the text has none.
fn offset(zone: &Captures<'_>) -> Option<String> {
    if zone.get(2).is_some() {
        return Some("+00:00".to_owned());
    }
    let Some(sign) = zone.get(3) else {
        return Some(String::new());
    };
    let number = |at: usize| {
        zone.get(at)
            .map_or(Some(0), |part| part.as_str().parse().ok())
    };
    let (hours, minutes): (u8, u8) = (number(4)?, number(5)?);
    // No offset is larger, for Elasticsearch.
    if minutes > 59 || u32::from(hours) * 60 + u32::from(minutes) > 18 * 60 {
        return None;
    }
    let sign = if hours + minutes == 0 {
        "+"
    } else {
        sign.as_str()
    };
    Some(format!("{sign}{hours:02}:{minutes:02}"))
}

/// Python knows the years from 1 to 9999.
fn print(moment: DateTime, offset: &str) -> Option<String> {
    let microseconds = moment.subsec_nanosecond() / 1000;
    let fraction = match microseconds {
        0 => String::new(),
        _ => format!(".{microseconds:06}"),
    };
    let text = moment.strftime("%Y-%m-%dT%H:%M:%S");
    (moment.year() > 0).then(|| format!("{text}{fraction}{offset}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_dateutil_reads_them() {
        let cases = include_str!("../../tests/cases/dates.ndjson");
        for line in cases.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            let text = case["text"].as_str().unwrap_or_default();
            assert_eq!(
                iso_8601(text).as_deref(),
                case["instant"].as_str(),
                "{line}"
            );
        }
    }

    #[test]
    fn what_dateutil_guesses_is_not_read() {
        let today = ["10:00", "Wed", "Aug 2018"];
        let zones_taken_for_none = ["2018-08-01 10:00:00 PDT", "2018-08-01T10:00:00 GMT+3"];
        let beyond = ["2018-08-01T10:00:00+19:00", "01 Aug 18"];
        for text in [&today[..], &zones_taken_for_none, &beyond].concat() {
            assert_eq!(iso_8601(text), None, "{text}");
        }
    }

    #[test]
    fn milliseconds_are_those_of_elasticsearch() {
        let text = from_milliseconds(1_533_117_600_500);
        assert_eq!(text.as_deref(), Some("2018-08-01T10:00:00.500000+00:00"));
        assert_eq!(from_milliseconds(i64::MAX), None);
        assert_eq!(from_milliseconds(-99_999_999_999_999), None);
    }
}
