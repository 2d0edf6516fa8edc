//! Where the tables are: on the search path, or in the schema of a staging.

use std::borrow::Cow;

use super::definitions::NAMES;
use crate::store::StagingName;

/// The schema that qualifies the tables; none leaves them to the search path.
///
/// A pooler may drop a search path, so a staging never depends on it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SchemaName(Option<StagingName>);

impl From<StagingName> for SchemaName {
    fn from(name: StagingName) -> Self {
        Self(Some(name))
    }
}

impl SchemaName {
    /// Returns the staging whose schema it is.
    pub fn staging(self) -> Option<StagingName> {
        self.0
    }

    /// Returns a statement in which each of our tables has its schema.
    pub fn qualify(self, statement: &str) -> Cow<'_, str> {
        match self.0 {
            Some(name) => Cow::Owned(qualify(name.as_str(), statement)),
            None => Cow::Borrowed(statement),
        }
    }
}

/// Puts `schema` before each name of a table of ours that has none.
pub fn qualify(schema: &str, statement: &str) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut qualified = String::with_capacity(statement.len() + 64);
    for piece in statement.split_inclusive(|c| !is_of_word(c)) {
        let word = piece.trim_end_matches(|c| !is_of_word(c));
        if NAMES.contains(&word) && !qualified.ends_with('.') {
            qualified.push_str(&quoted(schema));
            qualified.push('.');
        }
        qualified.push_str(piece);
    }
    qualified
}

/// Returns a name as an identifier of SQL.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_without_a_schema_are_qualified() {
        let statement = "CREATE INDEX main_build_x ON main_build; SELECT bh_run.id \
            FROM bh_run, a.bh_object WHERE to_regclass('bh_reject')";
        let expected = "CREATE INDEX main_build_x ON \"s\".main_build; SELECT \"s\".bh_run.id \
            FROM \"s\".bh_run, a.bh_object WHERE to_regclass('\"s\".bh_reject')";
        assert_eq!(qualify("s", statement), expected);
    }
}
