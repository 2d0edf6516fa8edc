//! The body of a `_bulk` request, and its answer.

use std::borrow::Cow;
use std::io::Write;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::failure::NO_ALIAS;
use super::reason::Reason;
use super::{IndexOutcome, SearchDocument};

const BYTES: usize = 5 << 20;
const DOCUMENTS: usize = 10_000;

/// Room for an action line, and for the id.
const ACTION: usize = 72;

/// Positions of documents, to be sent together; the last batch goes first.
pub fn split(documents: &[SearchDocument]) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = BYTES;
    for (at, document) in documents.iter().enumerate() {
        bytes += document.document.members.len() + ACTION;
        match batches.last_mut() {
            Some(batch) if bytes <= BYTES && batch.len() < DOCUMENTS => batch.push(at),
            _ => {
                bytes = document.document.members.len() + ACTION;
                batches.push(vec![at]);
            }
        }
    }
    batches.reverse();
    batches
}

/// Returns the body of a request which indexes `documents`.
pub fn body<'a>(documents: impl Iterator<Item = &'a SearchDocument> + Clone) -> Bytes {
    let length = |document: &SearchDocument| document.document.members.len() + ACTION;
    let mut body = Vec::with_capacity(documents.clone().map(length).sum());
    for document in documents {
        // Writing to memory cannot fail.
        drop(writeln!(
            body,
            "{{\"index\":{{\"_id\":\"{}\"}}}}",
            document.id
        ));
        document.write(&mut body);
        body.push(b'\n');
    }
    body.into()
}

impl SearchDocument {
    /// Returns the text that the index keeps.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.document.members.len() + ACTION);
        self.write(&mut text);
        text
    }

    fn write(&self, out: &mut Vec<u8>) {
        drop(write!(out, "{{\"id\":{}", self.id));
        let start = out.len();
        out.extend_from_slice(&self.document.members);
        // A line feed between tokens would end the document here, and the rest of it
        // would be read as an action.
        if memchr::memchr(b'\n', &self.document.members).is_some() {
            let feeds = out[start..].iter_mut().filter(|byte| **byte == b'\n');
            feeds.for_each(|feed| *feed = b' ');
        }
        out.push(b'}');
    }
}

/// What the server says of one document.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Settled(IndexOutcome),
    /// To be sent again; the status and the reason.
    Again(u16, String),
    /// No document can be indexed; the status and the reason.
    Abort(u16, Reason),
}

#[derive(Deserialize)]
struct ElasticAnswer<'a> {
    errors: bool,
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    index: Result<'a>,
}

#[derive(Deserialize)]
struct Result<'a> {
    #[serde(rename = "_id", borrow)]
    id: Cow<'a, str>,
    status: u16,
    /// What was done.
    #[serde(rename = "result")]
    done: Option<&'a str>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Returns the verdicts of an answer to documents with these ids; `None` when it is not
/// one: it names other documents, or in another order.
pub fn verdicts(text: &str, sent: impl Iterator<Item = i64>) -> Option<Vec<Verdict>> {
    let answer: ElasticAnswer = serde_json::from_str(text).ok()?;
    let results = || answer.items.iter().map(|item| &item.index);
    let verdicts: Vec<_> = results().map(verdict).collect();
    let failed = |result: &Result| !(200..300).contains(&result.status);
    let named = results().map(|result| result.id.parse().ok());
    let whole = named.eq(sent.map(Some)) && (answer.errors || !results().any(failed));
    whole.then_some(verdicts)
}

/// The index is closed, or gone: its alias is then no name for an index.
const ABORTING: [&str; 2] = ["index_closed_exception", NO_ALIAS];

fn verdict(result: &Result) -> Verdict {
    let status = result.status;
    if result.done == Some("noop") {
        return Verdict::Settled(IndexOutcome::Refused {
            status,
            reason: "an ingest pipeline of the index dropped it".to_owned(),
        });
    }
    if (200..300).contains(&status) {
        return Verdict::Settled(IndexOutcome::Indexed);
    }
    let reason = result.error.map(Reason::from_error).unwrap_or_default();
    match status {
        409 => Verdict::Settled(IndexOutcome::Known),
        408 | 429 | 500.. => Verdict::Again(status, reason.text),
        401 | 403 | 404 => Verdict::Abort(status, reason),
        _ if ABORTING.contains(&&*reason.kind) => Verdict::Abort(status, reason),
        _ => Verdict::Settled(IndexOutcome::Refused {
            status,
            reason: reason.text,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::Document;

    fn document(id: i64, members: &str) -> SearchDocument {
        let document = Document {
            members: members.as_bytes().to_vec(),
            ..Document::default()
        };
        SearchDocument { id, document }
    }

    #[test]
    fn bodies_have_two_lines_a_document() {
        let documents = [document(7, ""), document(8, ",\n\"source\":{}")];
        let body = body(documents.iter());
        let lines = concat!(
            r#"{"index":{"_id":"7"}}"#,
            "\n",
            r#"{"id":7}"#,
            "\n",
            r#"{"index":{"_id":"8"}}"#,
            "\n",
            r#"{"id":8, "source":{}}"#,
            "\n",
        );
        assert_eq!(String::from_utf8_lossy(&body), lines);
    }

    #[test]
    fn batches_are_bounded_by_count_and_size() {
        let lengths = |documents: &[SearchDocument]| -> Vec<usize> {
            split(documents).iter().map(Vec::len).collect()
        };
        assert!(lengths(&[]).is_empty());
        assert_eq!(
            lengths(&vec![document(1, ""); 25_000]),
            [5000, 10_000, 10_000]
        );
        let large = document(1, &" ".repeat(2 << 20));
        assert_eq!(lengths(&vec![large; 5]), [1, 2, 2]);
        let huge = document(1, &" ".repeat(9 << 20));
        assert_eq!(lengths(&[document(1, ""), huge, document(1, "")]), [1; 3]);
    }

    #[test]
    fn every_status_is_classified() {
        let of = |status: u16, kind: &str| {
            let text = format!(
                r#"{{"errors":true,"items":[{{"index":{{"_id":"1","status":{status},"error":{{"type":"{kind}","reason":"r"}}}}}}]}}"#
            );
            verdicts(&text, [1].into_iter()).and_then(|mut verdicts| verdicts.pop())
        };
        let reason = "t: r".to_owned();
        let refused = |status| {
            let reason = "t: r".to_owned();
            Some(Verdict::Settled(IndexOutcome::Refused { status, reason }))
        };
        assert_eq!(of(400, "t"), refused(400));
        assert_eq!(of(413, "t"), refused(413));
        assert_eq!(of(409, "t"), Some(Verdict::Settled(IndexOutcome::Known)));
        for status in [408, 429, 500, 503] {
            assert_eq!(
                of(status, "t"),
                Some(Verdict::Again(status, reason.clone()))
            );
        }
        for (status, kind) in [
            (403, "t"),
            (404, "t"),
            (400, "index_closed_exception"),
            (400, NO_ALIAS),
        ] {
            assert!(matches!(of(status, kind), Some(Verdict::Abort(s, _)) if s == status));
        }
    }

    #[test]
    fn what_a_pipeline_drops_is_not_indexed() {
        let text =
            r#"{"errors":false,"items":[{"index":{"_id":"1","result":"noop","status":200}}]}"#;
        let verdicts = verdicts(text, [1].into_iter());
        assert!(matches!(
            verdicts.as_deref(),
            Some([Verdict::Settled(IndexOutcome::Refused { status: 200, .. })])
        ));
    }

    #[test]
    fn a_response_must_match_its_request() {
        let indexed = r#"{"errors":false,"items":[{"index":{"_id":"7","status":201}},{"index":{"_id":"8","status":200}}]}"#;
        let both = [IndexOutcome::Indexed, IndexOutcome::Indexed].map(Verdict::Settled);
        let of = |text: &str, ids: &[i64]| verdicts(text, ids.iter().copied());
        assert_eq!(of(indexed, &[7, 8]), Some(both.into()));
        for others in [&[7][..], &[7, 8, 9], &[8, 7], &[7, 9], &[]] {
            assert_eq!(of(indexed, others), None);
        }
        assert_eq!(of("{}", &[7]), None);
        assert_eq!(of("<html>", &[7]), None);
        let lies = r#"{"errors":false,"items":[{"index":{"_id":"7","status":400}}]}"#;
        assert_eq!(of(lies, &[7]), None);
        let nameless = r#"{"errors":false,"items":[{"index":{"status":201}}]}"#;
        assert_eq!(of(nameless, &[7]), None);
    }
}
