//! Events of S3: which objects were created, in every envelope.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::date::{self, Date};
use super::merge::{self, ArchiveFile};
use crate::json;
use crate::record::event::{self, RawEvent};
use crate::record::object::Object;

/// An event about one object.
#[derive(Debug)]
pub struct ObjectEvent {
    /// The event with this object alone, as it is written to the rejects.
    pub line: Vec<u8>,
    /// What was created, or why that cannot be read; `None` if it was deleted.
    pub object: Result<Option<CreatedObject>, String>,
}

/// An object that was created.
#[derive(Debug)]
pub struct CreatedObject {
    /// As it is written in the event.
    pub key: String,
    /// Its size, and when it was created.
    pub file: ArchiveFile,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "eventTime")]
    time: String,
    #[serde(borrow)]
    s3: S3<'a>,
}

#[derive(Deserialize)]
struct S3<'a> {
    #[serde(borrow)]
    object: Created<'a>,
}

#[derive(Deserialize)]
struct Created<'a> {
    key: String,
    #[serde(borrow)]
    size: &'a RawValue,
}

/// Parses the events in a line, in order: an event, with or without SNS around
/// it, or the line of a listing.
///
/// # Errors
/// Something else.
pub fn read(line: &[u8]) -> Result<Vec<ObjectEvent>, String> {
    let members = json::members(line).map_err(|error| error.to_string())?;
    if members.get("Records").or(members.get("Message")).is_none() {
        // S3 sends this one when notifications are set up.
        let test = members.get("Event").and_then(|event| event.text);
        if test.is_some_and(|test| test == *"s3:TestEvent") {
            return Ok(Vec::new());
        }
        let row = ListingRow::parse(&members)?;
        let (date, size) = (row.date()?, row.size()?);
        return Ok(vec![ObjectEvent {
            line: line.to_vec(),
            object: Ok(Some(CreatedObject {
                key: row.key,
                file: ArchiveFile { size, date },
            })),
        }]);
    }
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let object_event = |event: RawEvent| ObjectEvent {
        line: event.line(),
        object: created(&event.json).map_err(|error| format!("{}: {error}", event.place)),
    };
    Ok(event::unwrap(text)?.into_iter().map(object_event).collect())
}

/// The name of an event.
#[derive(Deserialize)]
struct Named {
    #[serde(rename = "eventName")]
    name: String,
}

/// The events of objects that are no longer there.
const DELETIONS: [&str; 3] = [
    "ObjectRemoved:",
    "LifecycleExpiration:",
    "ReducedRedundancyLostObject",
];

fn created(text: &str) -> Result<Option<CreatedObject>, String> {
    let named: Option<Named> = serde_json::from_str(text).ok();
    let name = named.map(|named| named.name).unwrap_or_default();
    let name = name.strip_prefix("s3:").unwrap_or(&name);
    if DELETIONS.iter().any(|deletion| name.starts_with(deletion)) {
        return Ok(None);
    }
    let record: Record = serde_json::from_str(text).map_err(|error| {
        // The position is one in the record, which is a part of the line.
        let text = error.to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(reason, _)| reason);
        reason.replace('`', "\"")
    })?;
    let Created { key, size } = record.s3.object;
    let file = ArchiveFile::read(size.get(), &record.time)?;
    Ok(Some(CreatedObject { key, file }))
}

/// The members of a listed object, as in its line.
pub struct ListingRow<'a> {
    /// As it is written in the listing.
    pub key: String,
    date: Option<Cow<'a, str>>,
    size: Option<&'a [u8]>,
}

impl<'a> ListingRow<'a> {
    /// # Errors
    /// The line has no key.
    pub fn parse(members: &json::Members<'a>) -> Result<Self, String> {
        let dates = ["last_modified", "LastModified", "ModTime"];
        let mut dates = dates.iter().filter_map(|name| members.get(name)?.text);
        let mut sizes = ["size", "Size"].iter();
        Ok(Self {
            key: Object::parse(members)?.key.into_owned(),
            date: dates.next().map(json::Text::to_string_lossy),
            size: sizes.find_map(|name| members.value(name)),
        })
    }

    /// # Errors
    /// It is missing or invalid.
    pub fn date(&self) -> Result<Date, String> {
        let date = self.date.as_ref();
        let date = date.ok_or("no date: expected a string for \"last_modified\"")?;
        date::iso(date).ok_or_else(|| format!("{date:?} is not a date"))
    }

    /// # Errors
    /// It is missing or invalid.
    pub fn size(&self) -> Result<String, String> {
        let size = self.size.ok_or("no size: expected a member \"size\"")?;
        merge::size(&String::from_utf8_lossy(size))
    }
}
