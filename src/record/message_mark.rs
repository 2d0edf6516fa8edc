//! The mark of a queue message: which one it is, and the handle that deletes it.

use serde::{Deserialize, Serialize};

/// A received message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MessageMark {
    /// The URL of the queue, as sqs-receive was given it.
    pub queue: String,
    /// The run that received it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    pub receipt_handle: String,
    /// When it was received: RFC 3339, UTC, with milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<String>,
    /// Its group, in a FIFO queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl MessageMark {
    /// Reads the line of a mark, held or not; `None` for a mark of another kind.
    pub fn parse(line: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Line {
            mark: Body,
        }
        #[derive(Deserialize)]
        struct Body {
            message: Option<MessageMark>,
            held: Option<Held>,
        }
        #[derive(Deserialize)]
        struct Held {
            message: Option<MessageMark>,
        }
        let Line { mark } = serde_json::from_slice(line).ok()?;
        mark.message.or_else(|| mark.held?.message)
    }

    /// Returns the line of the mark, without newline, still without counts.
    pub fn line(&self) -> Vec<u8> {
        let body = serde_json::to_string(self).unwrap_or_default();
        format!("{{\"mark\":{{\"message\":{body},\"counts\":[]}}}}").into_bytes()
    }
}
