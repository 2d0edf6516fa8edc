//! Messages on standard error, as text or as JSON lines.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::environment::variable;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// Which messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and the summary.
    Quiet,
    Normal,
    /// Also messages that may be logged thousands of times.
    Verbose,
}

/// Where a program's messages go; clones write to the same place.
#[derive(Clone)]
pub struct Log {
    program: &'static str,
    format: Format,
    verbosity: Verbosity,
    /// Messages go to a file, so each needs its time.
    is_dated: bool,
}

impl Log {
    pub fn new(program: &'static str, format: Format, verbosity: Verbosity) -> Self {
        Self {
            program,
            format,
            verbosity,
            is_dated: !std::io::stderr().is_terminal(),
        }
    }

    /// Logs a message that needs no action.
    pub fn info(&self, message: impl Display) {
        if self.verbosity > Verbosity::Quiet {
            self.write("info", &message.to_string());
        }
    }

    /// Logs a warning.
    pub fn warn(&self, message: impl Display) {
        if self.verbosity > Verbosity::Quiet {
            self.write("warning", &message.to_string());
        }
    }

    /// Returns whether everything is logged, however often it comes.
    pub fn is_verbose(&self) -> bool {
        self.verbosity == Verbosity::Verbose
    }

    /// Logs why the run ends.
    pub fn error(&self, message: impl Display) {
        self.write("error", &message.to_string());
    }

    /// Logs `message` unless the guard is dropped before a person would begin to
    /// wonder.
    pub fn notify_if_slow(&self, message: impl Display) -> SlowNotice {
        self.notify_after(SLOW, message)
    }

    /// Logs `message` unless the guard is dropped within `time`.
    pub fn notify_after(&self, time: Duration, message: impl Display) -> SlowNotice {
        let (done, receiver) = channel();
        let (log, message) = (self.clone(), message.to_string());
        std::thread::spawn(move || {
            if receiver.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                log.info(message);
            }
        });
        SlowNotice(done)
    }

    /// Logs the run's last line: `text` for people, `json` for programs.
    pub fn summary(&self, text: &str, json: &serde_json::Value) {
        let program = self.program;
        write_line(&match self.format {
            Format::Text => printable(&format!("{}{program}: {text}", self.date())),
            Format::Json => json_line(
                &json!({"time": now(), "level": "info", "program": program, "summary": json}),
            ),
        });
    }

    /// Returns the start of a line of text.
    fn date(&self) -> String {
        if self.is_dated {
            format!("{:.0} ", jiff::Timestamp::now())
        } else {
            String::new()
        }
    }

    fn write(&self, level: &str, message: &str) {
        let (program, message) = (self.program, printable(&without_numbers(message)));
        write_line(&match self.format {
            Format::Text => {
                let level = if level == "warning" { "warning: " } else { "" };
                format!("{}{program}: {level}{message}", self.date())
            }
            Format::Json => json_line(&json!({
                "time": now(), "level": level, "program": program, "message": message,
            })),
        });
    }
}

/// Writes lines for a person, each of them printable.
pub fn write_lines(text: &str) {
    for line in text.lines() {
        write_line(&printable(line));
    }
}

/// Removes the numbers of system errors, which do not help a person: `(os error 2)`.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once(')').map_or(part, |(_, rest)| rest)
    })
}

fn write_line(line: &str) {
    write(&format!("{line}\n"));
}

/// Writes to standard error, in one write if it can, so that a line is never torn.
pub(crate) fn write(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match std::io::stderr().write(rest) {
            Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Any program on the terminal may have made it non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let stderr = std::io::stderr();
                let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
                let _ = poll(&mut fds, Timespec::try_from(FULL).ok().as_ref());
            }
            // If standard error is closed, there is no place left to report to.
            _ => return,
        }
    }
}

/// Escapes what does not print in text for a person: line breaks, terminal sequences,
/// bidirectional controls. Keys, documents and the words of servers may hold anything.
pub fn printable(text: &str) -> String {
    escape(text, |c| c.escape_default().to_string())
}

/// Returns JSON in which the same is escaped.
fn json_line(value: &serde_json::Value) -> String {
    escape(&value.to_string(), |c| {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units).iter();
        let escapes: Vec<_> = units.map(|unit| format!("\\u{unit:04x}")).collect();
        escapes.concat()
    })
}

fn escape(text: &str, escaped: impl Fn(char) -> String) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            shown.push(c);
        } else {
            shown += &escaped(c);
        }
    }
    shown
}

/// Returns whether `c` takes a place of its own in a line, as `{:?}` decides it.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~') || c.escape_debug().len() == 1
}

/// How long to wait for room at a time.
const FULL: Duration = Duration::from_millis(200);

const SLOW: Duration = Duration::from_millis(80);

/// Keeps the notice pending; dropped when the wait is over.
pub struct SlowNotice(#[expect(dead_code, reason = "dropping it is the signal")] Sender<()>);

/// Returns what to run again: what the script that started this program has put into
/// `BUILDHUB_PIPES_RERUN`, or else `otherwise`.
pub fn again_or(otherwise: impl Display) -> String {
    variable("BUILDHUB_PIPES_RERUN").unwrap_or_else(|| otherwise.to_string())
}

/// Returns a number with its noun: `1 range`, `2 ranges`.
pub fn counted(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

/// Returns the time, as RFC 3339 in UTC with milliseconds.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
