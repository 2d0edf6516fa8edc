//! Messages on standard error, as text or as JSON lines.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde_json::json;

use crate::progress::Terminal;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Where a program's messages go; clones write to the same place.
#[derive(Clone)]
pub struct Log {
    program: &'static str,
    format: Format,
    terminal: Option<Arc<Terminal>>,
}

impl Log {
    pub fn new(program: &'static str, format: Format, terminal: Option<Arc<Terminal>>) -> Self {
        Self {
            program,
            format,
            terminal,
        }
    }

    /// Logs a message that needs no action.
    pub fn info(&self, message: impl Display) {
        self.write("info", &message.to_string());
    }

    /// Logs a warning.
    pub fn warn(&self, message: impl Display) {
        self.write("warning", &message.to_string());
    }

    /// Logs why the run ends.
    pub fn error(&self, message: impl Display) {
        self.write("error", &message.to_string());
    }

    /// Logs `message` unless the guard is dropped before a person would begin to
    /// wonder.
    pub fn notify_if_slow(&self, message: impl Display) -> SlowNotice {
        let (done, receiver) = channel();
        let (log, message) = (self.clone(), message.to_string());
        std::thread::spawn(move || {
            if receiver.recv_timeout(SLOW) == Err(RecvTimeoutError::Timeout) {
                log.info(message);
            }
        });
        SlowNotice(done)
    }

    /// The run's last line: `text` for people, `json` for programs.
    pub fn summary(&self, text: &str, json: &serde_json::Value) {
        match self.format {
            Format::Text => self.put(&format!("{}: {text}", self.program)),
            Format::Json => self.put(
                &json!({"time": now(), "level": "info", "program": self.program, "summary": json})
                    .to_string(),
            ),
        }
    }

    fn write(&self, level: &str, message: &str) {
        let message = one_line(message);
        let line = match self.format {
            Format::Text if level == "warning" => format!("{}: warning: {message}", self.program),
            Format::Text => format!("{}: {message}", self.program),
            Format::Json => json!({
                "time": now(), "level": level, "program": self.program, "message": message,
            })
            .to_string(),
        };
        self.put(&line);
    }

    fn put(&self, line: &str) {
        match &self.terminal {
            Some(terminal) => terminal.print(line),
            // If standard error is closed, there is no place left to report to.
            None => drop(std::io::stderr().write_all(format!("{line}\n").as_bytes())),
        }
    }
}

/// Keys may hold anything: what would end the line or steer the terminal is
/// escaped.
fn one_line(message: &str) -> Cow<'_, str> {
    if !message.contains(char::is_control) {
        return Cow::Borrowed(message);
    }
    let escaped = message.chars().map(|c| match c {
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    });
    Cow::Owned(escaped.collect())
}

const SLOW: Duration = Duration::from_millis(80);

/// Keeps the notice pending; dropped when the wait is over.
pub struct SlowNotice(#[expect(dead_code, reason = "dropping it is the signal")] Sender<()>);

/// Returns a number with its noun: `1 range`, `2 ranges`.
pub fn counted(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// This moment, as RFC 3339 in UTC with milliseconds.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
