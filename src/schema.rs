//! The schema of builds, compiled once.

mod quick;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use md5::{Digest, Md5};
use serde_json::Value;

use self::quick::AsRead;

use crate::error::{Error, Kind, Result};
use crate::hex;
use crate::json;
use crate::record::reject::Violation;
use crate::record::verdict;
use crate::yaml;

const BUILT_IN: &str = include_str!("../schema.yaml");

/// Which schema is used.
#[derive(Debug, Clone, clap::Args)]
pub struct SchemaArgs {
    /// Use this schema instead of the built-in one: YAML or JSON
    #[arg(long, value_name = "FILE", help_heading = "Schema")]
    pub schema: Option<PathBuf>,

    /// Check formats such as date-time too
    #[arg(long, help_heading = "Schema")]
    pub assert_formats: bool,
}

/// A schema that was read.
struct Text {
    place: String,
    schema: Value,
    assert_formats: bool,
}

impl Text {
    /// Reads the schema in a file, or the built-in one.
    ///
    /// # Errors
    /// The file cannot be read, or is not YAML (or JSON).
    fn read(args: &SchemaArgs) -> Result<Self> {
        let (place, text) = match &args.schema {
            None => ("the built-in schema".to_owned(), BUILT_IN.to_owned()),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(Error::at(Kind::Configuration, path.display()))?;
                (path.display().to_string(), text)
            }
        };
        let mut document: Value = yaml::parse(&text).map_err(|error| broken(&place, &error))?;
        let schema = match document.get_mut("schema") {
            Some(schema) => schema.take(),
            None => document,
        };
        if !(schema.is_object() || schema.is_boolean()) {
            let expected = "expected a mapping, or one below the key `schema`";
            return Err(broken(&place, &expected));
        }
        Ok(Self {
            place,
            schema,
            assert_formats: args.assert_formats,
        })
    }

    /// Returns the verdict of this program with this schema.
    fn verdict(&self) -> String {
        let formats = if self.assert_formats { " formats" } else { "" };
        let text = format!("{}{formats}", self.schema);
        verdict::with_schema(&hex::text(&Md5::digest(text)))
    }
}

fn broken(place: &str, what: &dyn std::fmt::Display) -> Error {
    Error::configuration(format!("{place}: not a usable schema: {what}"))
}

/// Returns the verdict of this program with a schema, which is not compiled.
///
/// # Errors
/// Those of [`Schema::load`].
pub fn verdict(args: &SchemaArgs) -> Result<String> {
    Ok(Text::read(args)?.verdict())
}

/// A compiled schema, in two forms.
pub struct Schema {
    /// The verdict of its rejects.
    pub verdict: &'static str,
    /// Finds every violation.
    exact: Validator,
    /// Checks whether there is a violation, without copying the document.
    quick: Validator<AsRead>,
}

impl Schema {
    /// Loads a schema.
    ///
    /// # Errors
    /// The file cannot be read, is not YAML (or JSON), or is not a schema.
    pub fn load(args: &SchemaArgs) -> Result<Self> {
        let text = Text::read(args)?;
        let compiled = Self::new(&text.schema, text.assert_formats);
        let compiled = compiled.map_err(|error| broken(&text.place, &error))?;
        Ok(Self {
            verdict: text.verdict().leak(),
            ..compiled
        })
    }

    fn new(schema: &Value, assert_formats: bool) -> Result<Self, ValidationError<'_>> {
        let exact = jsonschema::options().should_validate_formats(assert_formats);
        let quick = jsonschema::options_for().should_validate_formats(assert_formats);
        Ok(Self {
            verdict: verdict::OF_PROGRAM,
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
