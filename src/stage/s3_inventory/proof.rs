//! Proves that standard input is the same as in an earlier run, by checksums of all bytes up
//! to lines that are done.

use std::collections::VecDeque;

use flate2::Crc;
use memchr::memchr_iter;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The checksum of all bytes through a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub line: u64,
    crc: u32,
}

/// Compares standard input with the checks of an earlier run.
#[derive(Default)]
pub struct Proof {
    crc: Crc,
    line: u64,
    expected: VecDeque<Check>,
}

impl Proof {
    pub fn new(expected: &[Check]) -> Self {
        Self {
            expected: expected.iter().copied().collect(),
            ..Self::default()
        }
    }

    /// Takes the next lines; returns the check of all lines so far.
    ///
    /// # Errors
    /// They differ from the earlier run (78).
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<Check> {
        let through = self.line + memchr_iter(b'\n', bytes).count() as u64;
        while let Some(check) = self.expected.front().copied()
            && check.line <= through
        {
            let lines = usize::try_from(check.line - self.line).unwrap_or(usize::MAX);
            let ends = lines
                .checked_sub(1)
                .and_then(|last| memchr_iter(b'\n', bytes).nth(last));
            let (before, rest) = bytes.split_at(ends.map_or(0, |newline| newline + 1));
            self.crc.update(before);
            bytes = rest;
            self.line = check.line;
            if self.crc.sum() != check.crc {
                return Err(other(&format!(
                    "line {} or one before it differs",
                    check.line
                )));
            }
            self.expected.pop_front();
        }
        self.crc.update(bytes);
        self.line = through;
        Ok(Check {
            line: through,
            crc: self.crc.sum(),
        })
    }

    /// Takes the end of the input.
    ///
    /// # Errors
    /// It was longer in the earlier run (78).
    pub fn end(&self) -> Result<()> {
        match self.expected.front() {
            None => Ok(()),
            Some(check) => Err(other(&format!("it had {} lines and more", check.line))),
        }
    }
}

fn other(why: &str) -> Error {
    Error::configuration(format!(
        "standard input differs from what this run began with: {why}; pipe in the same data \
         again, or delete the resume file to start over"
    ))
}
