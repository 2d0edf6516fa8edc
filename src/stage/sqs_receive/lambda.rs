//! The messages of an event with which Lambda calls a function.

use std::fs::File;
use std::path::Path;

use serde::Deserialize;

use super::writer::MessageWriter;
use crate::error::{Error, Result};
use crate::log;
use crate::ndjson::{Framing, Input, Io};
use crate::remote::sqs::Message;

#[derive(Deserialize)]
struct LambdaEvent {
    #[serde(rename = "Records")]
    records: Vec<LambdaMessage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LambdaMessage {
    message_id: String,
    receipt_handle: String,
    body: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(rename = "eventSourceARN", default)]
    queue: String,
}

#[derive(Default, Deserialize)]
struct Attributes {
    #[serde(rename = "MessageGroupId")]
    group: Option<String>,
}

/// Writes the messages of the event in `path`; `-` is standard input.
///
/// # Errors
/// It cannot be read (74), or is another event (78).
pub fn run(path: &Path, raw: bool, io: &mut Io) -> Result<()> {
    let text = if path == Path::new("-") {
        read(&mut io.input)?
    } else {
        let name = path.display().to_string();
        let file = File::open(path).map_err(Error::local(format!("cannot read --event {name}")))?;
        read(&mut Input::named(&name, file, &io.context))?
    };
    let event: LambdaEvent = serde_json::from_slice(&text).map_err(|error| {
        Error::configuration(format!(
            "--event {}: not an event of Lambda with messages of SQS: {error}; make a queue the \
             source of the function's events",
            path.display()
        ))
    })?;
    let queue = event.records.first().map(|record| record.queue.clone());
    let mut writer = MessageWriter::new(&queue.unwrap_or_default(), raw);
    writer.begin(&mut io.output)?;
    let received = log::now();
    for record in event.records {
        let message = Message {
            id: record.message_id,
            receipt_handle: record.receipt_handle,
            body: record.body,
            group: record.attributes.group,
        };
        writer.write(message, &received, io)?;
    }
    writer.end(&mut io.output)
}

fn read(input: &mut Input) -> Result<Vec<u8>> {
    input.set_framing(Framing::Bare);
    let mut text = Vec::new();
    while let Some(block) = input.next()? {
        text.extend_from_slice(block.bytes());
    }
    Ok(text)
}
