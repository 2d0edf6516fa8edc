//! Events of S3: which objects have come, whoever handed the news on.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::merge::File;
use crate::json;
use crate::record::object as listing;

/// The news of one object.
#[derive(Debug)]
pub struct News {
    /// The event with this object alone: what is refused, to be read again.
    pub line: Vec<u8>,
    pub object: Result<Object, String>,
}

#[derive(Debug)]
pub struct Object {
    pub key: String,
    pub file: File,
}

/// An event: S3's own, or a notification of SNS around it.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    #[serde(rename = "Message")]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "EventSource")]
    source: Option<String>,
    #[serde(rename = "Sns")]
    sns: Option<Notification>,
}

#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Message")]
    message: String,
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

/// The news in a line, in order: an event, with SNS around it or not, or the
/// line of a listing.
///
/// # Errors
/// It is none of these.
pub fn read(line: &[u8]) -> Result<Vec<News>, String> {
    let members = json::members(line).map_err(|error| error.to_string())?;
    if members.get("Records").or(members.get("Message")).is_none() {
        let object = listed(&members);
        return Ok(vec![News {
            line: line.to_vec(),
            object: Ok(object?),
        }]);
    }
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    let mut news = Vec::new();
    unwrap(text, &mut news)?;
    Ok(news)
}

fn unwrap(text: &str, news: &mut Vec<News>) -> Result<(), String> {
    let event: Event = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let (None, Some(message)) = (&event.records, &event.message) {
        return unwrap(message, news);
    }
    for raw in event.records.ok_or("the event has no \"Records\"")? {
        let envelope: Option<Envelope> = serde_json::from_str(raw.get()).ok();
        let sns = envelope.filter(|from| from.source.as_deref() == Some("aws:sns"));
        match sns.map(|from| from.sns) {
            Some(Some(sns)) => unwrap(&sns.message, news)?,
            Some(None) => return Err("a record of SNS has no \"Sns\"".to_owned()),
            None => news.push(News {
                line: format!("{{\"Records\":[{}]}}", one_line(raw.get())).into(),
                object: created(raw.get()),
            }),
        }
    }
    Ok(())
}

/// White space between tokens may hold line ends, strings may not.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn created(text: &str) -> Result<Object, String> {
    let record: Record = serde_json::from_str(text).map_err(|error| error.to_string())?;
    object(
        record.s3.object.key,
        record.s3.object.size.get(),
        &record.time,
    )
}

/// What the line of a listing says of an object, as it says it.
pub struct Row<'a> {
    pub key: String,
    pub date: Cow<'a, str>,
    pub size: Cow<'a, str>,
}

impl<'a> Row<'a> {
    /// # Errors
    /// What is missing, or of the wrong type.
    pub fn of(members: &json::Members<'a>) -> Result<Self, String> {
        let key = listing::Object::of(members)?.key.into_owned();
        let date = ["last_modified", "LastModified", "ModTime"];
        let date = date.iter().find_map(|name| members.get(name)?.text);
        let date = date.ok_or("no date: expected a string for \"last_modified\"")?;
        let size = ["size", "Size"].iter().find_map(|name| members.value(name));
        let size = size.ok_or("no size: expected a member \"size\"")?;
        Ok(Self {
            key,
            date: date.to_string_lossy(),
            size: String::from_utf8_lossy(size),
        })
    }
}

fn listed(members: &json::Members<'_>) -> Result<Object, String> {
    let row = Row::of(members)?;
    object(row.key, &row.size, &row.date)
}

fn object(key: String, size: &str, date: &str) -> Result<Object, String> {
    let file = File::read(size, date)?;
    Ok(Object { key, file })
}
