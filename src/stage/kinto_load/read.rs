//! A line as a record for Kinto, checked and compared on any core.

use std::ops::Range;

use super::known::{Known, hash};
use crate::json::{self, Members, Value};
use crate::ndjson::Block;
use crate::record::mark::Mark;
use crate::record::reject::{Reject, cleared};
use crate::remote::kinto::batch::Put;
use crate::remote::kinto::records_path;

/// What a line of the input is to the loader.
pub enum Item {
    Put(Box<Put>, u64),
    /// One that the server had when the run began.
    Unchanged(Box<Put>, u64),
    Mark(Mark, Vec<u8>),
    Reject(Reject),
}

/// The lines of a block, for this bucket and collection where a line names no
/// other.
pub fn items(block: Block<'_>, place: (&str, &str), known: Option<&Known>) -> Vec<Item> {
    let item = |(number, line): (u64, &[u8])| match Mark::parse(line) {
        Some(mark) => Item::Mark(mark, line.to_vec()),
        None => record(&cleared(line), number, place, known).unwrap_or_else(Item::Reject),
    };
    block.lines().map(item).collect()
}

fn record(
    line: &[u8],
    number: u64,
    (bucket, collection): (&str, &str),
    known: Option<&Known>,
) -> Result<Item, Reject> {
    let refused = |kind, message: &str| Reject::new(line, number, kind, message);
    let bad_line = |message: &str| refused("bad_line", message);
    let (members, whole) = json::object(line).map_err(|error| bad_line(&error.to_string()))?;
    let (member, value) = (members.get("data").zip(whole.get("data")))
        .ok_or_else(|| bad_line("no member \"data\": has bh-derive been here?"))?;
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
            &format!("Kinto takes letters, digits, - and _ in an id, not {id:?}"),
        ));
    }
    let (other_bucket, other_collection) = (text("bucket"), text("collection"));
    let elsewhere = other_bucket.is_some() || other_collection.is_some();
    let path = records_path(
        other_bucket.as_deref().unwrap_or(bucket),
        other_collection.as_deref().unwrap_or(collection),
    );
    let mut unchanged = false;
    if let Some(known) = known
        && !elsewhere
        && members.value("permissions").is_none()
    {
        let hash = hash(member.value).map_err(|error| bad_line(&error.to_string()))?;
        unchanged = known.has(&id, hash);
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
    let item = if unchanged {
        Item::Unchanged
    } else {
        Item::Put
    };
    Ok(item(Box::new(put), number))
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

/// Kinto's own rule.
fn is_id(id: &str) -> bool {
    let mut bytes = id.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
