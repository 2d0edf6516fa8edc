//! Writes what messages say: the records of created objects, or the bodies as they are; and
//! their marks.

use serde::de::IgnoredAny;
use serde_json::json;

use crate::address::without_password;
use crate::error::Result;
use crate::log;
use crate::ndjson::{Io, StageOutput};
use crate::record::event::{self, one_line};
use crate::record::mark::{self, Begin, End, Mark};
use crate::record::message_mark::MessageMark;
use crate::record::reject::Reject;
use crate::remote::sqs::Message;

pub struct MessageWriter {
    /// The URL of the queue, without a password.
    queue: String,
    run: String,
    started: String,
    raw: bool,
    messages: u64,
    records: u64,
    line: Vec<u8>,
}

impl MessageWriter {
    pub fn new(queue: &str, raw: bool) -> Self {
        Self {
            queue: without_password(queue),
            run: uuid::Uuid::new_v4().to_string(),
            started: log::now(),
            raw,
            messages: 0,
            records: 0,
            line: Vec::new(),
        }
    }

    /// Returns the id of the run.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Says that the run begins.
    ///
    /// # Errors
    /// The output is closed.
    pub fn begin(&self, output: &mut StageOutput) -> Result<()> {
        let begin = Begin {
            run: self.run.clone(),
            source: format!("queue {}", self.queue),
            // No keys: objects come as they are created.
            part: Some(Vec::new()),
            started: self.started.clone(),
            criteria: json!({"raw": self.raw}),
            resumable: false,
            trusted: false,
            unconfirmed: None,
        };
        let line = mark::begin(&begin);
        output.mark(&Mark::Begin(Box::new(begin)), &line)?;
        output.flush()
    }

    /// Writes the lines of a message and its mark.
    ///
    /// # Errors
    /// The output is closed, or rejects cannot be written.
    pub fn write(&mut self, message: Message, received: &str, io: &mut Io) -> Result<()> {
        if self.raw {
            self.write_body(&message, io)?;
        } else {
            self.write_events(&message, io)?;
        }
        self.messages += 1;
        let mark = MessageMark {
            queue: self.queue.clone(),
            run: Some(self.run.clone()),
            message_id: Some(message.id),
            receipt_handle: message.receipt_handle,
            received: Some(received.to_owned()),
            group: message.group,
        };
        let line = mark.line();
        match Mark::parse(&line) {
            Some(mark) => io.output.mark(&mark, &line),
            None => Ok(()),
        }
    }

    fn write_events(&mut self, message: &Message, io: &mut Io) -> Result<()> {
        let events = match event::unwrap(&message.body) {
            Ok(events) => events,
            Err(reason) => return reject("not_an_event", &message.body, &reason, message, io),
        };
        if events.is_empty() {
            io.context.counters.note("messages without events", 1);
        }
        for event in events {
            self.line.clear();
            match event::write_created(&event, &mut self.line) {
                Ok(true) => self.write_record(io)?,
                Ok(false) => {
                    io.context.counters.add_read(1);
                    io.output.drop("other events", 1);
                }
                Err(reason) => {
                    let reason = format!("{}: {reason}", event.place);
                    let line = String::from_utf8_lossy(&event.line()).into_owned();
                    reject("bad_event", &line, &reason, message, io)?;
                }
            }
        }
        Ok(())
    }

    fn write_body(&mut self, message: &Message, io: &mut Io) -> Result<()> {
        let body = &message.body;
        let is_json = || serde_json::from_str::<IgnoredAny>(body).is_ok();
        let line = if body.contains(['\n', '\r']) && is_json() {
            one_line(body)
        } else {
            body.clone()
        };
        // It would be taken for a receipt.
        if line.as_bytes().starts_with(mark::OPENING) {
            return reject("is_a_mark", body, "the body is a mark", message, io);
        }
        if line.contains(['\n', '\r']) || line.trim().is_empty() {
            return reject("not_a_line", body, "the body is not one line", message, io);
        }
        self.line.clear();
        self.line.extend_from_slice(line.as_bytes());
        self.line.push(b'\n');
        self.write_record(io)
    }

    /// Writes the record whose line is complete.
    fn write_record(&mut self, io: &mut Io) -> Result<()> {
        self.records += 1;
        io.context.counters.add_read(1);
        io.output.write_record(&self.line)
    }

    /// Ends the run.
    ///
    /// # Errors
    /// The output is closed.
    pub fn end(&self, output: &mut StageOutput) -> Result<()> {
        let units = output.runs().units(&self.run);
        let counts = [
            ("records", self.records.into()),
            ("messages", self.messages.into()),
        ];
        let line = mark::end(&self.run, units, &self.started, &counts);
        let end = End {
            run: Some(self.run.clone()),
            units: Some(units),
            ..End::default()
        };
        output.mark(&Mark::End(end), &line)?;
        output.flush()
    }
}

fn reject(
    kind: &'static str,
    text: &str,
    reason: &str,
    message: &Message,
    io: &mut Io,
) -> Result<()> {
    io.context.counters.add_read(1);
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let line = if is_json {
        one_line(text)
    } else {
        text.to_owned()
    };
    let reason = format!("{reason} (message {})", message.id);
    io.output
        .reject(&Reject::new(line.as_bytes(), 0, kind, reason))
}
