//! Parses lines as rows: checks and hashes them, on all cores.

use crate::json::{self, Value};
use crate::ndjson::{Parsed, RecordLine};
use crate::record::build::{Canonical, Document, beta_twin};
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
    /// The same build in the channel beta, with --beta-twin.
    pub twin: Option<Box<PendingRow>>,
}

/// What is made of each record.
#[derive(Clone, Copy)]
pub struct RowOptions {
    /// Whether rows are indexed.
    pub documents: bool,
    /// Whether releases of Firefox have a twin in the channel beta.
    pub beta_twin: bool,
    pub provenance: Provenance,
}

impl PendingRow {
    /// Returns what it adds to a batch: its records, and the bytes that are held here,
    /// by the indexer, and in the body of a request.
    pub fn weight(&self) -> (usize, usize) {
        let (records, bytes) = self.twin.as_ref().map_or((0, 0), |twin| twin.weight());
        let (one, own) = self.own_weight();
        (records + one, bytes + own)
    }

    /// Returns its rows. The own row comes last, since the last one of an object is remembered.
    pub fn rows(&mut self) -> impl Iterator<Item = &mut BuildRow> {
        let twin = self.twin.as_mut().map(|twin| &mut twin.row);
        twin.into_iter().chain([&mut self.row])
    }

    /// Returns itself after its twin.
    pub fn with_twin(mut self) -> impl Iterator<Item = Self> {
        let twin = self.twin.take().map(|twin| *twin);
        twin.into_iter().chain([self])
    }

    fn own_weight(&self) -> (usize, usize) {
        let document = self
            .document
            .as_ref()
            .map_or(0, |document| document.members.len());
        (1, self.row.line.len() + self.row.build.len() + 3 * document)
    }
}

/// Returns the row of a record.
pub fn pending_row(record: RecordLine<'_>, options: RowOptions) -> Parsed<Box<PendingRow>> {
    match check(record, options) {
        Ok(row) => Parsed::Record(Box::new(row)),
        Err(reject) => Parsed::reject(reject),
    }
}

fn check(record: RecordLine<'_>, options: RowOptions) -> Result<PendingRow, Reject> {
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
    let row = |build: &Value<'_>| {
        let canonical = Canonical::new(build, member.value.len());
        PendingRow {
            document: options.documents.then(|| canonical.document(build)),
            row: BuildRow {
                hash: canonical.hash(),
                line: text.to_owned(),
                build: canonical.into_text(),
                key: key.clone(),
                etag: etag.clone(),
                provenance: options.provenance,
                run: None,
            },
            number,
            twin: None,
        }
    };
    let twin = options.beta_twin.then(|| beta_twin(value)).flatten();
    Ok(PendingRow {
        twin: twin.map(|twin| Box::new(row(&twin))),
        ..row(value)
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
