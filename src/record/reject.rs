//! A rejected line: as it came, with the member `error` added.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::Serialize;

use super::verdict;
use crate::json;

/// A rule of a schema that a document breaks.
#[derive(Debug, Clone, Serialize)]
pub struct Violation {
    /// The place in the document, as a JSON pointer.
    pub pointer: String,
    /// The place of the rule in the schema.
    pub schema_path: String,
    /// The kind of the rule, such as `required`.
    pub keyword: String,
    pub message: String,
}

/// A line that a stage refuses, and why.
#[derive(Debug, Clone)]
pub struct Reject {
    /// The line as it came, without its newline.
    pub line: Vec<u8>,
    /// Its number in the input of the stage, from 1; 0 if it was not in the input.
    pub number: u64,
    /// What is wrong, as one word to count by.
    pub kind: &'static str,
    pub message: String,
    /// The place in the line's document, as a JSON pointer.
    pub pointer: Option<Box<str>>,
    pub violations: Box<[Violation]>,
    /// Whose verdict it is; `None` if it is not about the content that the line names.
    pub verdict: Option<&'static str>,
}

#[derive(Serialize)]
struct ErrorMember<'a> {
    stage: &'a str,
    kind: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
}

impl Reject {
    pub fn new(line: &[u8], number: u64, kind: &'static str, message: impl fmt::Display) -> Self {
        Self {
            line: line.to_vec(),
            number,
            kind,
            message: message.to_string(),
            pointer: None,
            violations: Box::default(),
            verdict: Some(verdict::OF_PROGRAM),
        }
    }

    /// Sets the JSON pointer of the value that is wrong.
    pub fn at(mut self, pointer: impl Into<Box<str>>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Appends the reject of `run` as a line: the members as they came, then `error`.
    /// A line that is not a JSON object becomes a member `raw`.
    pub fn write(&self, stage: &str, run: Option<&str>, out: &mut Vec<u8>) {
        let line = cleared(&self.line);
        if let Ok(members) = json::members(&line) {
            let trimmed = line.trim_ascii_end();
            out.extend_from_slice(&trimmed[..trimmed.len() - 1]);
            if !members.is_empty() {
                out.push(b',');
            }
        } else {
            out.extend_from_slice(b"{\"raw\":");
            json::write_str(&String::from_utf8_lossy(&line), out);
            out.push(b',');
        }
        let error = ErrorMember {
            stage,
            kind: self.kind,
            message: &self.message,
            pointer: self.pointer.as_deref(),
            line: self.number,
            run,
            verdict: run.and(self.verdict),
            violations: &self.violations,
        };
        out.extend_from_slice(b"\"error\":");
        // Strings and numbers always serialise.
        drop(serde_json::to_writer(&mut *out, &error));
        out.extend_from_slice(b"}\n");
    }

    fn key(&self) -> Option<String> {
        let members = json::members(&self.line).ok()?;
        let key = json::text_of(members.value("key").or_else(|| members.value("Key"))?)?;
        Some(key.to_string_lossy().into_owned())
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.number > 0 {
            write!(f, "line {}: ", self.number)?;
        }
        write!(f, "{}: {}", self.kind, self.message)?;
        if let Some(pointer) = &self.pointer {
            write!(f, " at {pointer:?}")?;
        }
        if let Some(key) = self.key() {
            write!(f, " (key {key:?})")?;
        }
        Ok(())
    }
}

static ERROR: LazyLock<Finder> = LazyLock::new(|| Finder::new(b"\"error\""));

/// Returns `line` without the `error` member of an earlier reject.
pub fn cleared(line: &[u8]) -> Cow<'_, [u8]> {
    let unchanged = Cow::Borrowed(line);
    if ERROR.find(line).is_none() {
        return unchanged;
    }
    let Ok(members) = json::members(line) else {
        return unchanged;
    };
    let ours = |value: &[u8]| {
        json::members(value)
            .is_ok_and(|error| error.value("stage").is_some() && error.value("kind").is_some())
    };
    let kept: Vec<&[u8]> = members
        .iter()
        .filter(|member| !(member.name.raw() == b"error" && ours(member.value)))
        .map(|member| &line[member.start..member.end])
        .collect();
    if kept.len() == members.len() {
        return unchanged;
    }
    let mut line = vec![b'{'];
    line.extend_from_slice(&kept.join(&b','));
    line.push(b'}');
    Cow::Owned(line)
}
