//! The reason of an Elasticsearch error, in one line.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Enough for every reason; what is longer quotes the document.
const LONGEST: usize = 500;

/// The error's type, and its whole explanation.
#[derive(Debug, Default, PartialEq)]
pub struct Reason {
    pub kind: String,
    pub text: String,
}

#[derive(Deserialize)]
struct Cause<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    caused_by: Option<Box<Cause<'a>>>,
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

impl Reason {
    /// Parses an error response; empty if it is not from Elasticsearch.
    pub fn from_answer(text: &str) -> Self {
        let whole = serde_json::from_str::<Whole>(text);
        whole.map_or_else(|_| Self::default(), |whole| Self::from_error(whole.error))
    }

    /// Parses an `error` member, which is an object or a string.
    pub fn from_error(error: &RawValue) -> Self {
        let Ok(cause) = serde_json::from_str::<Cause>(error.get()) else {
            return Self {
                kind: String::new(),
                text: shorten(&unquoted(error)),
            };
        };
        let mut text = String::new();
        let mut next = Some(&cause);
        while let Some(cause) = next {
            let said = cause.reason.map(unquoted).unwrap_or_default();
            // The second line quotes the whole document.
            let said = said
                .lines()
                .next()
                .unwrap_or_default()
                .trim_end_matches([';', '.']);
            // Causes often repeat each other.
            if text.is_empty() || !text.contains(said) {
                let kind = cause.kind.map(unquoted).unwrap_or_default();
                let link = if text.is_empty() { "" } else { "; caused by " };
                let colon = if said.is_empty() { "" } else { ": " };
                text = [&text, link, &kind, colon, said].concat();
            }
            next = cause.caused_by.as_deref();
        }
        Self {
            kind: cause.kind.map(unquoted).unwrap_or_default(),
            text: shorten(&text),
        }
    }
}

/// Returns the text of a JSON string; verbatim if it is not Unicode, because the reason may
/// quote a lone surrogate of the document.
fn unquoted(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().trim_matches('"').to_owned())
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &str) -> String {
        Reason::from_answer(&format!(r#"{{"error":{error},"status":400}}"#)).text
    }

    #[test]
    fn a_reason_lists_each_cause_once() {
        let error = r#"{"type":"a","reason":"no size\n at [Source: {}]","caused_by":{"type":"b",
            "reason":"no size","caused_by":{"type":"c","reason":"beyond a long"}}}"#;
        assert_eq!(text(error), "a: no size; caused by c: beyond a long");
    }

    #[test]
    fn any_json_is_accepted_as_a_reason() {
        assert_eq!(text(r#""just text""#), "just text");
        assert_eq!(text(r#"{"type":"npe","reason":null}"#), "npe");
        assert_eq!(text(r#"{"type":"a","reason":"\ud800"}"#), r"a: \ud800");
        assert_eq!(text(r#"{"type":"a","reason":"\u00e9"}"#), "a: é");
        assert_eq!(Reason::from_answer("<html>"), Reason::default());
        assert!(text(&format!(r#""{}""#, "é".repeat(900))).ends_with("é…"));
    }
}
