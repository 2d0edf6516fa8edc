//! Parses lines as rows: checks and hashes them, on all cores.

use crate::json::{self, Value};
use crate::ndjson::{Parsed, RecordLine};
use crate::record::build::{Canonical, Document};
use crate::record::misfit::is_build;
use crate::record::object::Object;
use crate::record::reject::Reject;
use crate::store::{BuildRow, LONGEST, Provenance};

/// A row, with what is needed to reject or index it.
pub struct PendingRow {
    pub row: BuildRow,
    /// The number of its line in the input.
    pub number: u64,
    /// Its search document, if Elasticsearch is used.
    pub document: Option<Document>,
}

impl PendingRow {
    /// Returns what it adds to a batch: one record, and the bytes that are held here,
    /// by the indexer, and in the body of a request.
    pub fn weight(&self) -> (usize, usize) {
        let document = self
            .document
            .as_ref()
            .map_or(0, |document| document.members.len());
        (1, self.row.line.len() + self.row.build.len() + 3 * document)
    }
}

/// Returns the row of a record; `documents` says whether it will be indexed.
pub fn pending_row(
    record: RecordLine<'_>,
    documents: bool,
    provenance: Provenance,
) -> Parsed<Box<PendingRow>> {
    match check(record, documents, provenance) {
        Ok(row) => Parsed::Record(Box::new(row)),
        Err(reject) => Parsed::reject(reject),
    }
}

fn check(
    record: RecordLine<'_>,
    documents: bool,
    provenance: Provenance,
) -> Result<PendingRow, Reject> {
    let (number, line) = (record.number, record.bytes);
    let refused = |kind, message: String| record.reject(kind, message);
    let bad_line = |message: String| refused("bad_line", message);
    let (members, whole) = json::object(line).map_err(|error| bad_line(error.to_string()))?;
    if is_build(&members) {
        return Err(bad_line("a build without a record around it".to_owned()));
    }
    let (member, value) = (members.get("build").zip(whole.get("build")))
        .ok_or_else(|| bad_line("no member \"build\"".to_owned()))?;
    let (key, etag) = object(&members).map_err(bad_line)?;
    for (what, text, quotes) in [("key", &key, 0), ("ETag", &etag, 2)] {
        let Some(text) = text else { continue };
        let characters = text.chars().count() + quotes;
        if characters > LONGEST {
            return Err(refused(
                "too_long",
                format!(
                    "the {what} has {characters} characters, but the table holds at most \
                         {LONGEST}"
                ),
            ));
        }
        if text.contains('\0') {
            return Err(refused(
                "unstorable",
                format!("the {what} contains a NUL character"),
            ));
        }
    }
    if !matches!(value, Value::Object(_)) {
        return Err(refused(
            "not_an_object",
            format!("expected an object for \"build\", found {}", value.kind()),
        ));
    }
    if let Some(place) = value.unstorable() {
        return Err(refused("unstorable", place.reason.to_string()).at(place.pointer));
    }
    let text = std::str::from_utf8(line).map_err(|error| bad_line(error.to_string()))?;
    let canonical = Canonical::new(value, member.value.len());
    let document = documents.then(|| canonical.document(value));
    Ok(PendingRow {
        row: BuildRow {
            hash: canonical.hash(),
            line: text.to_owned(),
            build: canonical.into_text(),
            key,
            etag,
            provenance,
            run: None,
        },
        number,
        document,
    })
}

/// Returns key and ETag, if the line has an object; a build may have none.
fn object(members: &json::Members<'_>) -> Result<(Option<String>, Option<String>), String> {
    let named = ["key", "Key", "Path"];
    if named
        .iter()
        .all(|name| members.value(name).is_none_or(|value| value == b"null"))
    {
        return Ok((None, None));
    }
    let object = Object::parse(members)?;
    let etag = object.etag.map(std::borrow::Cow::into_owned);
    Ok((Some(object.key.into_owned()), etag))
}
