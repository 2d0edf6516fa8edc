//! Dates of inventories and build ids.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use regex::Regex;

use super::pattern;

/// A time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(DateTime);

impl Date {
    fn new(year: i16, [month, day, hour, minute, second]: [i8; 5]) -> Option<Self> {
        let date = DateTime::new(year, month, day, hour, minute, second, 0);
        date.ok().filter(|date| date.year() > 0).map(Self)
    }

    /// Returns the time in UTC.
    pub fn timestamp(self) -> Option<Timestamp> {
        TimeZone::UTC.to_timestamp(self.0).ok()
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// Month and day are optional, and so is the time; text after a date that can
/// be parsed is ignored.
static ISO: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x)^([0-9]{4})-?(0[0-9]|1[0-2])-?([0-9]{0,2})
        (?:(?<time>[T\ ])
          (?:([01][0-9]|2[0-3]):?
             (?:([0-5][0-9])|(?<no_minute>[0-9])|):?
             (?:([0-5][0-9])|(?<no_second>[0-9])|)
             (?:[.,][0-9]*)?
          )?
        )?
        (?:(?<sign>[+-])([0-9]{0,2}):?([0-9]{0,2}))?",
    )
});

/// Parses a date of ISO 8601 into UTC, without its fraction of a second.
pub fn iso(text: &str) -> Option<Date> {
    let found = ISO.captures(text)?;
    if found
        .name("no_minute")
        .or(found.name("no_second"))
        .is_some()
    {
        return None;
    }
    let text = |at: usize| found.get(at).map_or("", |group| group.as_str());
    let number = |at: usize| text(at).parse().unwrap_or(0_i8);
    if found.name("time").is_some() && found.get(5).is_none() {
        return None;
    }
    let day = number(3).max(1);
    let rest = [number(2), day, number(5), number(6), number(8)];
    let date = Date::new(text(1).parse().ok()?, rest)?;
    let Some(sign) = found.name("sign") else {
        return Some(date);
    };
    let minutes = 60 * i64::from(number(11)) + i64::from(number(12));
    let minutes = if sign.as_str() == "-" {
        minutes
    } else {
        -minutes
    };
    let shifted = date.0.checked_add(Span::new().try_minutes(minutes).ok()?);
    shifted.ok().map(Date)
}

/// How the parts of a build id are parsed, each as wide as the rest allows.
static BUILD_ID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        "^([0-9]{4})(1[0-2]|0[1-9]|[1-9])(3[01]|[12][0-9]|0[1-9]|[1-9]| [1-9])\
         (2[0-3]|[01][0-9]|[0-9])([0-5][0-9]|[0-9])(6[01]|[0-5][0-9]|[0-9])",
    )
});

/// Parses the date in the first 14 characters of a build id.
pub fn from_build_id(id: &str) -> Option<Date> {
    let end = id.char_indices().nth(14).map_or(id.len(), |(at, _)| at);
    let text = &id[..end];
    let found = BUILD_ID.captures(text)?;
    if found.get(0)?.end() != text.len() {
        return None;
    }
    let (_, [year, rest @ ..]) = found.extract::<6>();
    let rest = rest.map(|part| part.trim_start().parse().unwrap_or(0));
    Date::new(year.parse().ok()?, rest)
}
