//! The schema of builds, compiled once.

mod quick;
#[cfg(test)]
mod tests;

use std::path::Path;

use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use self::quick::AsRead;

use crate::error::{Error, Kind, Result};
use crate::json;
use crate::record::reject::Violation;
use crate::yaml;

const BUILT_IN: &str = include_str!("../schema.yaml");

/// A compiled schema, in two forms.
pub struct Schema {
    /// Finds every violation.
    exact: Validator,
    /// Checks whether there is a violation, without copying the document.
    quick: Validator<AsRead>,
}

impl Schema {
    /// Loads the schema in `file`, or the built-in one. Formats are asserted
    /// only if `assert_formats` is set.
    ///
    /// # Errors
    /// The file cannot be read, is not YAML (or JSON), or is not a schema.
    pub fn load(file: Option<&Path>, assert_formats: bool) -> Result<Self> {
        let (place, text) = match file {
            None => ("the built-in schema".to_owned(), BUILT_IN.to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(Error::at(Kind::Configuration, path.display()))?;
                (path.display().to_string(), text)
            }
        };
        let broken = |what: &dyn std::fmt::Display| {
            Error::configuration(format!("{place}: not a usable schema: {what}"))
        };
        let mut document: Value = yaml::parse(&text).map_err(|error| broken(&error))?;
        let schema = match document.get_mut("schema") {
            Some(schema) => schema.take(),
            None => document,
        };
        if !(schema.is_object() || schema.is_boolean()) {
            return Err(broken(&"expected a mapping, or one below the key `schema`"));
        }
        Self::new(&schema, assert_formats).map_err(|error| broken(&error))
    }

    fn new(schema: &Value, assert_formats: bool) -> Result<Self, ValidationError<'_>> {
        let exact = jsonschema::options().should_validate_formats(assert_formats);
        let quick = jsonschema::options_for().should_validate_formats(assert_formats);
        Ok(Self {
            exact: exact.build(schema)?,
            quick: quick.build(schema)?,
        })
    }

    /// Returns every violation in `document`.
    pub fn violations(&self, document: &json::Value<'_>) -> Vec<Violation> {
        if quick::is_simple(document) && self.quick.is_valid(document) {
            return Vec::new();
        }
        let value = document.to_serde();
        if self.exact.is_valid(&value) {
            return Vec::new();
        }
        self.exact
            .iter_errors(&value)
            .map(|error| {
                // A number is quoted as written: the validator has no 1e400.
                let message = match place(document, error.instance_path()) {
                    Some(json::Value::Number(number)) => {
                        error.masked_with(number.token()).to_string()
                    }
                    _ => error.to_string(),
                };
                Violation {
                    pointer: error.instance_path().to_string(),
                    schema_path: error.schema_path().to_string(),
                    keyword: error.kind().keyword().to_owned(),
                    message: shortened(message),
                }
            })
            .collect()
    }
}

/// Returns the value that a violation is about.
fn place<'v, 'a>(
    document: &'v json::Value<'a>,
    location: &Location,
) -> Option<&'v json::Value<'a>> {
    location
        .iter()
        .try_fold(document, |value, segment| match (value, segment) {
            (json::Value::Object(_), LocationSegment::Property(name)) => value.get(&name),
            (json::Value::Array(items), LocationSegment::Index(at)) => items.get(at),
            _ => None,
        })
}

/// Shortens messages, which quote values of any size.
fn shortened(message: String) -> String {
    const LONGEST: usize = 300;
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}
