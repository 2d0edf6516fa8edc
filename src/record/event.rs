//! Events of object storage, in every envelope: as S3 and MinIO send them, inside a
//! notification of SNS or a Lambda event, and as EventBridge sends them.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::line::{LastModified, ListedRecord, RecordText, write_bucket};
use super::s3;

/// An event of one object, as JSON.
#[derive(Debug)]
pub struct RawEvent {
    pub json: String,
    /// The place in its envelope, for messages.
    pub place: String,
}

impl RawEvent {
    /// Returns the event as a line that [`unwrap`] reads again.
    pub fn line(&self) -> Vec<u8> {
        let json = one_line(&self.json);
        if is_bridged(&self.json) {
            return json.into_bytes();
        }
        format!("{{\"Records\":[{json}]}}").into_bytes()
    }
}

/// White space between tokens may contain line ends, strings may not.
pub fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

/// What may contain events.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<&'a RawValue>>,
    #[serde(rename = "Message")]
    message: Option<String>,
    #[serde(rename = "Event")]
    test: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
}

/// A record of an event of Lambda.
#[derive(Deserialize)]
struct LambdaRecord {
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

/// Returns the events in `text`, in order; none of the event that S3 sends when notifications
/// are set up.
///
/// # Errors
/// It contains something else.
pub fn unwrap(text: &str) -> Result<Vec<RawEvent>, String> {
    let mut events = Vec::new();
    collect(text, &mut events)?;
    Ok(events)
}

fn collect(text: &str, events: &mut Vec<RawEvent>) -> Result<(), String> {
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Some(records) = envelope.records else {
        if let Some(message) = &envelope.message {
            return collect(message, events);
        }
        if envelope.detail_type.is_some() {
            events.push(RawEvent {
                json: text.trim().to_owned(),
                place: "the event".to_owned(),
            });
            return Ok(());
        }
        return match envelope.test.as_deref() {
            Some("s3:TestEvent") => Ok(()),
            _ => Err("the event has no \"Records\"".to_owned()),
        };
    };
    for (at, raw) in records.iter().enumerate() {
        let record: Option<LambdaRecord> = serde_json::from_str(raw.get()).ok();
        let sns = record.filter(|from| from.source.as_deref() == Some("aws:sns"));
        match sns.map(|from| from.sns) {
            Some(Some(sns)) => collect(&sns.message, events)?,
            Some(None) => return Err("a record of SNS has no \"Sns\"".to_owned()),
            None => events.push(RawEvent {
                json: raw.get().to_owned(),
                place: format!("Records[{at}]"),
            }),
        }
    }
    Ok(())
}

/// What an event says of itself.
#[derive(Deserialize)]
struct EventKind {
    #[serde(rename = "eventSource")]
    event_source: Option<String>,
    /// Of EventBridge a name; of MinIO the client.
    source: Option<serde_json::Value>,
    #[serde(rename = "eventName")]
    name: Option<String>,
    #[serde(rename = "detail-type")]
    detail_type: Option<String>,
}

fn is_bridged(json: &str) -> bool {
    let kind: Option<EventKind> = serde_json::from_str(json).ok();
    kind.is_some_and(|kind| kind.detail_type.is_some())
}

/// An event of S3.
#[derive(Deserialize)]
struct S3Event {
    #[serde(rename = "eventTime")]
    time: Option<String>,
    s3: Detail,
}

/// An event of EventBridge.
#[derive(Deserialize)]
struct BridgedEvent {
    time: Option<String>,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    bucket: Named,
    object: CreatedObject,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct CreatedObject {
    key: String,
    size: Option<u64>,
    #[serde(rename = "eTag", alias = "etag")]
    etag: Option<String>,
}

/// Writes the record of the object that an event says was created, with its newline; returns
/// false for another event.
///
/// # Errors
/// The event does not name the object.
pub fn write_created(event: &RawEvent, out: &mut Vec<u8>) -> Result<bool, String> {
    let kind: EventKind = parse(&event.json)?;
    let (detail, time, key) = if let Some(detail_type) = kind.detail_type {
        let source = kind.source.as_ref().and_then(|source| source.as_str());
        if source != Some("aws.s3") || detail_type != "Object Created" {
            return Ok(false);
        }
        let BridgedEvent { time, detail } = parse(&event.json)?;
        // EventBridge does not encode it.
        let key = detail.object.key.clone();
        (detail, time, key)
    } else {
        let source = kind.event_source.as_deref();
        if source.is_some_and(|source| !source.ends_with(":s3")) {
            return Ok(false);
        }
        let name = kind.name.ok_or("the event has no \"eventName\"")?;
        let name = name.strip_prefix("s3:").unwrap_or(&name);
        if !name.starts_with("ObjectCreated") {
            return Ok(false);
        }
        let S3Event { time, s3: detail } = parse(&event.json)?;
        let key = String::from_utf8(s3::decode_key(detail.object.key.as_bytes()));
        let key = key.map_err(|_| "the key is not UTF-8")?;
        (detail, time, key)
    };
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    let text = |text: String| RecordText::Text(text.into());
    write_bucket(&text(detail.bucket.name), out);
    let instant = time.as_deref().and_then(|time| time.parse().ok());
    let record = ListedRecord {
        key: text(key),
        etag: detail.object.etag.map(|etag| text(etag).unquote()),
        size: detail.object.size,
        last_modified: instant.map(LastModified::Instant),
        version_id: None,
        is_latest: None,
        is_delete_marker: false,
    };
    record.write(out);
    Ok(true)
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| {
        // The position is one in the event, which is a part of the line.
        let text = error.to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(reason, _)| reason);
        reason.replace('`', "\"")
    })
}
