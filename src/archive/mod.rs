//! What the file names of Mozilla's archive say about builds, as pure
//! functions: which URL is a build ([`url`]), what its record is ([`build`],
//! [`merge`]), where its metadata are ([`places`], [`candidates`]), and how
//! they are parsed ([`metadata`]).
//!
//! The rules are those of Buildhub's v1 jobs, whose records and ids are
//! kept; the faults of those jobs are fixed here and listed in the manual.

pub mod build;
pub mod candidates;
pub mod check;
pub mod date;
pub mod event;
pub mod merge;
pub mod metadata;
pub mod places;
pub mod url;

use regex::Regex;

/// The folders below `pub/` whose builds have records.
pub const PRODUCTS: [&str; 4] = ["firefox", "thunderbird", "mobile", "devedition"];

#[expect(
    clippy::expect_used,
    reason = "a constant of this folder, compiled in every test"
)]
/// Compiles a constant pattern.
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant pattern")
}

/// Returns the last part of a path.
pub fn name(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, name)| name)
}

/// Returns the spelling in which names are compared.
fn spelled(text: &str) -> String {
    text.replace(' ', "-").to_lowercase()
}

/// Returns the name that the files of a product's folder begin with.
pub fn file_product(folder: &str) -> &str {
    match folder {
        "devedition" => "firefox",
        "mobile" => "fennec",
        other => other,
    }
}
