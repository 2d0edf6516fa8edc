//! The checks that every record must pass.

use std::sync::LazyLock;

use regex::Regex;

use super::pattern;

static LOCALE: LazyLock<Regex> = LazyLock::new(|| pattern("^(?:[A-Za-z]{2,3}-?){1,3}$"));
static VERSION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^(?:\d|\.|-|esr|rc|b|a|pre|funnelcake|real|plugin)+$"));

const CHANNELS: [&str; 5] = ["release", "aurora", "beta", "esr", "nightly"];
const PLATFORMS: [&str; 6] = ["win", "mac", "linux", "android", "maemo", "eabi"];

/// The members of a record that are checked.
#[derive(Debug, Clone, Copy)]
pub struct RecordTarget<'a> {
    pub channel: &'a str,
    pub platform: &'a str,
    pub locale: &'a str,
    pub version: &'a str,
}

impl RecordTarget<'_> {
    /// Checks the members.
    ///
    /// # Errors
    /// The first failed check: its kind, and a message.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let channel = trimmed(self.channel);
        let channel = channel.strip_suffix("-old-id").unwrap_or(channel);
        let platform = PLATFORMS
            .iter()
            .any(|start| self.platform.starts_with(start));
        let checks = [
            ("channel", self.channel, CHANNELS.contains(&channel)),
            ("platform", self.platform, platform),
            ("locale", self.locale, LOCALE.is_match(trimmed(self.locale))),
            (
                "version",
                self.version,
                VERSION.is_match(trimmed(self.version)),
            ),
        ];
        match checks.into_iter().find(|(.., passes)| !passes) {
            None => Ok(()),
            Some((what, value, _)) => Err((what, format!("suspicious {what} {value:?}"))),
        }
    }
}

/// Removes one line feed at the end.
fn trimmed(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}
