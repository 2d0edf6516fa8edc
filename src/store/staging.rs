//! Stagings: databases of their own beside the main one, which `bh-promote` takes over.
//!
//! In PostgreSQL a staging is a schema, beside an SQLite file it is another file. It has the
//! tables of the main database, and its id says that it is a staging.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The beginning of a staging's id in `bh_database`.
pub const MARK: &str = "staging-";

/// The name of a staging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StagingName(&'static str);

/// The longest name, in characters.
const LONGEST: usize = 48;

impl StagingName {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for StagingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for StagingName {
    type Err = String;

    /// Parses a name that can be a schema and a file.
    fn from_str(name: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        let first = name.chars().next();
        if !first.is_some_and(|c| c.is_ascii_alphanumeric())
            || !name.chars().all(is_plain)
            || name.len() > LONGEST
        {
            return Err(format!(
                "use up to {LONGEST} of a-z, 0-9, - and _, beginning with a letter or digit"
            ));
        }
        if name.starts_with("pg_") || ["public", "information_schema"].contains(&name) {
            return Err("it is a schema of PostgreSQL's own; use another name".to_owned());
        }
        // A process names few stagings, and all its connections keep the name.
        Ok(Self(name.to_owned().leak()))
    }
}

/// Which staging is used instead of the main database.
#[derive(Debug, Clone, clap::Args)]
pub struct IntoArgs {
    /// Use the staging NAME: a schema beside the main tables, or NAME.db beside the SQLite file
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    pub into: Option<StagingName>,
}

/// Returns the id, in the table of runs, of the promotion of the staging with this id.
pub fn promotion_of(id: &str) -> String {
    format!("promotion-{id}")
}

/// Returns the error of a place that holds something else than a staging.
pub fn not_a_staging(name: StagingName, place: &str) -> Error {
    Error::configuration(format!(
        "{place} is not a staging, so --into {name} cannot use it; choose another name"
    ))
}

/// Returns the error of a staging that is named as if it were a main database.
pub fn is_a_staging(address: &str) -> Error {
    Error::configuration(format!(
        "{address} is a staging: name the main database, and the staging with --into"
    ))
}

/// Returns the error of a staging that nothing can be added to any more.
pub fn is_promoted(name: StagingName) -> Error {
    Error::configuration(format!(
        "the staging {name} has been promoted, so nothing more is stored in it; load into \
         the main database, or into another staging, and remove this one with bh-promote {name} \
         --drop"
    ))
}
