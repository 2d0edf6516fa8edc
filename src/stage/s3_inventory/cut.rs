//! Bytes as they come, cut into blocks of whole rows.

use crate::error::{Error, Result};
use crate::inventory::csv::{RowBlock, RowEnds};

/// Bytes that are read at once.
pub const BLOCK: usize = 256 * 1024;
/// No row has as many.
const LONGEST: usize = 16 << 20;

/// Cuts what is read behind its last whole row.
#[derive(Default)]
pub struct Cut {
    buffer: Vec<u8>,
    pub filled: usize,
    ends: RowEnds,
}

impl Cut {
    /// Where to read to.
    pub fn room(&mut self) -> &mut [u8] {
        let room = (self.filled + BLOCK / 2).max(BLOCK);
        self.buffer.resize(room, 0);
        &mut self.buffer[self.filled..]
    }

    /// Whether what is left may be a part of a row still.
    pub fn check(&self, line: u64) -> Result<()> {
        if self.filled < LONGEST {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "line {line}: longer than 16 MiB: is this CSV?"
        )))
    }

    /// Nothing more comes: what is left is rows. Whether the last one came
    /// without its newline.
    pub fn end(&mut self) -> bool {
        self.buffer.truncate(self.filled);
        let unterminated = self.filled > 0 && self.buffer.last() != Some(&b'\n');
        if unterminated {
            self.buffer.push(b'\n');
            self.filled += 1;
        }
        unterminated
    }

    pub fn whole(&mut self, first_line: u64, last: bool) -> Option<RowBlock> {
        let ended = self.buffer.len() == self.filled;
        let end = match self.ends.find(&self.buffer[..self.filled]) {
            _ if last && ended => self.filled,
            end => end,
        };
        if end == 0 {
            return None;
        }
        let mut rest = Vec::with_capacity(BLOCK.max(self.filled - end));
        rest.extend_from_slice(&self.buffer[end..self.filled]);
        self.filled = rest.len();
        self.ends = RowEnds::default();
        let mut bytes = std::mem::replace(&mut self.buffer, rest);
        bytes.truncate(end);
        Some(RowBlock {
            bytes,
            first_line,
            unterminated: false,
        })
    }
}
