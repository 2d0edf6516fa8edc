//! Values of flags: each parser returns the value, or says what it expected.

use std::time::Duration;

use regex::Regex;

/// Returns a number of bytes above 0, which may have a binary suffix: `16M`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("expected bytes, such as 1000000, 16M or 1G".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number".to_owned())?;
    number
        .checked_mul(factor)
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
            Err(last.trim_start_matches("error: ").to_owned())
        }
    }
}

/// Returns a time in seconds, with a fraction if need be: `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        // As far as the clock reaches for certain.
        Ok(duration) if u32::try_from(duration.as_secs()).is_ok() => Ok(duration),
        _ => Err("out of range".to_owned()),
    }
}

/// Returns a Kinto timestamp in milliseconds, bare or as an ETag: `"1795250788754"`.
pub(crate) fn timestamp(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_start_matches("W/").trim_matches('"');
    let number = digits.parse().ok().filter(|number| *number < 1 << 43);
    number.ok_or_else(|| "expected milliseconds, such as 1795250788754".to_owned())
}
