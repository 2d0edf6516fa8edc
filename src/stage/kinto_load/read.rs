//! Parses lines as records for Kinto, on all cores.

use std::ops::Range;

use super::contents::{KintoContents, digest, hash};
use super::versions::RecordVersion;
use crate::json::{self, Members, Value};
use crate::ndjson::{Parsed, RecordLine};
use crate::record::reject::{Reject, cleared};
use crate::remote::kinto::batch::Put;
use crate::remote::kinto::records_path;

/// A record to store.
pub struct PendingPut {
    pub put: Put,
    /// The number of its line in the input.
    pub number: u64,
    /// The server had it when the run began.
    pub unchanged: bool,
    /// Its id and its content, if a later version may replace it before it is sent.
    pub version: Option<RecordVersion>,
    /// Whether a later version did so in the last run.
    pub superseded: bool,
}

/// Returns the record to store; `place` is the bucket and collection of lines that name
/// none.
pub fn pending_put(
    line: RecordLine<'_>,
    place: (&str, &str),
    known: Option<&KintoContents>,
) -> Parsed<Box<PendingPut>> {
    let (number, bytes) = (line.number, &*cleared(line.bytes));
    match record(RecordLine { number, bytes }, place, known) {
        Ok(pending) => Parsed::Record(Box::new(pending)),
        Err(reject) => Parsed::reject(reject),
    }
}

fn record(
    record: RecordLine<'_>,
    (bucket, collection): (&str, &str),
    known: Option<&KintoContents>,
) -> Result<PendingPut, Reject> {
    let (number, line) = (record.number, record.bytes);
    let refused = |kind, message: &str| record.reject(kind, message);
    let bad_line = |message: &str| refused("bad_line", message);
    let (members, whole) = json::object(line).map_err(|error| bad_line(&error.to_string()))?;
    let (member, value) = (members.get("data").zip(whole.get("data")))
        .ok_or_else(|| bad_line("no member \"data\""))?;
    let Value::Object(_) = value else {
        let message = format!("expected an object for \"data\", found {}", value.kind());
        return Err(bad_line(&message));
    };
    if let Some(place) = whole.unstorable() {
        return Err(refused("unstorable", &place.reason.to_string()).at(place.pointer));
    }
    let text = |name: &str| named(&members, name);
    let own = text("id").or_else(|| string(value.get("id")));
    let id = own.ok_or_else(|| bad_line("the record has no \"id\""))?;
    if !is_id(&id) {
        return Err(refused(
            "bad_id",
            &format!("an id may only have letters, digits, - and _; found {id:?}"),
        ));
    }
    let (other_bucket, other_collection) = (text("bucket"), text("collection"));
    let elsewhere = other_bucket.is_some() || other_collection.is_some();
    let path = records_path(
        other_bucket.as_deref().unwrap_or(bucket),
        other_collection.as_deref().unwrap_or(collection),
    );
    let (mut content, mut unchanged) = (None, false);
    if let Some(known) = known
        && !elsewhere
        && members.value("permissions").is_none()
    {
        let hash = hash(member.value).map_err(|error| bad_line(&error.to_string()))?;
        (content, unchanged) = (Some(hash), known.has(&id, hash));
    }
    let place =
        |member: &json::Member<'_>| -> Range<usize> { member.end - member.value.len()..member.end };
    let safe = members.value("safe") != Some(b"false");
    let version = whole
        .get("if_match")
        .or_else(|| value.get("last_modified").filter(|_| safe));
    let put = Put {
        path: format!("{path}/{id}"),
        data: place(member),
        permissions: members.get("permissions").map(place),
        if_match: version.and_then(integer),
        line: line.to_vec(),
    };
    // One that is to replace a certain version says more than its content.
    let version = content.filter(|_| put.if_match.is_none());
    let version = version.map(|content| (digest(&id), content));
    Ok(PendingPut {
        put,
        number,
        unchanged,
        version,
        superseded: (version.zip(known)).is_some_and(|(version, known)| known.supersedes(version)),
    })
}

fn named(members: &Members<'_>, name: &str) -> Option<String> {
    let text = members.get(name)?.text?;
    Some(text.to_string_lossy().into_owned())
}

fn string(value: Option<&Value<'_>>) -> Option<String> {
    match value {
        Some(Value::String(text)) => Some(text.to_string_lossy().into_owned()),
        _ => None,
    }
}

fn integer(value: &Value<'_>) -> Option<u64> {
    match value {
        Value::Number(number) => number.token().parse().ok(),
        Value::String(text) => text.to_string_lossy().trim_matches('"').parse().ok(),
        _ => None,
    }
}

/// Returns whether Kinto accepts the id.
fn is_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
