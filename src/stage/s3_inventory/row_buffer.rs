//! A buffer of CSV that returns blocks of complete rows.

use crate::error::{Error, Result};
use crate::inventory::csv::RowBlock;
use crate::inventory::row_ends::RowEnds;
use crate::limits::CSV_ROW;

/// Bytes per read.
pub const BLOCK: usize = 256 * 1024;

/// Bytes that were read and do not belong to a returned block yet.
#[derive(Default)]
pub struct RowBuffer {
    buffer: Vec<u8>,
    pub filled: usize,
    ends: RowEnds,
}

impl RowBuffer {
    /// Returns the space to read into; the caller adds to `filled`.
    pub fn spare(&mut self) -> &mut [u8] {
        let room = (self.filled + BLOCK / 2).max(BLOCK);
        self.buffer.resize(room, 0);
        &mut self.buffer[self.filled..]
    }

    /// Checks that the rest can be the start of a row.
    ///
    /// # Errors
    /// It is longer than a row may be (78).
    pub fn check_length(&self, line: u64) -> Result<()> {
        if self.filled < CSV_ROW {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "line {line}: longer than {} MiB: is this CSV?",
            CSV_ROW >> 20
        )))
    }

    /// Ends the input. Returns whether the last row has no newline; it gets one.
    pub fn finish(&mut self) -> bool {
        self.buffer.truncate(self.filled);
        let unterminated = self.filled > 0 && self.buffer.last() != Some(&b'\n');
        if unterminated {
            self.buffer.push(b'\n');
            self.filled += 1;
        }
        unterminated
    }

    /// Returns the complete rows, with the number of their first line; after the end of the
    /// input (`last`), all that is left, whose last row came `unterminated`.
    pub fn take_block(
        &mut self,
        first_line: u64,
        last: bool,
        unterminated: bool,
    ) -> Option<RowBlock> {
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
            unterminated,
        })
    }
}
