//! Where rows of CSV end: quotes may enclose line breaks.

use std::ops::Range;

use memchr::{memchr, memrchr};

/// The maximum length of a row in bytes; a key has at most 1024.
const LONGEST: usize = 1 << 20;

/// Finds where the rows of a growing buffer end.
#[derive(Debug, Default)]
pub struct RowEnds {
    at: usize,
    quoted: bool,
    /// The offset after the last complete row.
    end: usize,
}

impl RowEnds {
    /// Scans to the end of `bytes`, which begin with a row. Returns where the
    /// last complete row ends, or 0.
    pub fn find(&mut self, bytes: &[u8]) -> usize {
        let mut at = self.at;
        while let Some(quote) = memchr(b'"', &bytes[at..]).map(|quote| at + quote) {
            if self.quoted {
                match bytes.get(quote + 1) {
                    Some(b'"') => at = quote + 2,
                    Some(_) => {
                        self.quoted = false;
                        at = quote + 1;
                    }
                    // The next byte has not arrived yet.
                    None => {
                        at = quote;
                        break;
                    }
                }
            } else {
                self.newlines(bytes, at..quote);
                // Only the first character of a field opens a quote.
                self.quoted = quote == 0 || matches!(bytes[quote - 1], b',' | b'\n');
                at = quote + 1;
            }
        }
        if !self.quoted {
            self.newlines(bytes, at..bytes.len());
            at = bytes.len();
        } else if self.end == 0 && bytes.len() > LONGEST {
            // A quote that is never closed makes one bad line.
            self.end = memchr(b'\n', bytes).map_or(0, |newline| newline + 1);
        }
        self.at = at;
        self.end
    }

    fn newlines(&mut self, bytes: &[u8], range: Range<usize>) {
        match range.len() {
            0 => {}
            1 if bytes[range.start] != b'\n' => {}
            _ => {
                if let Some(newline) = memrchr(b'\n', &bytes[range.clone()]) {
                    self.end = range.start + newline + 1;
                }
            }
        }
    }
}

/// Returns where the first row of `bytes` ends, after its newline; `None` if a
/// quote is not closed.
pub fn end_of_row(bytes: &[u8]) -> Option<usize> {
    let mut end = 0;
    loop {
        end += memchr(b'\n', &bytes[end..])? + 1;
        if RowEnds::default().find(&bytes[..end]) == end {
            return Some(end);
        }
    }
}

/// Returns whether every quote of a row is closed at the end of its field.
pub fn is_well_quoted(row: &[u8]) -> bool {
    let (mut quoted, mut at) = (false, 0);
    while let Some(quote) = memchr(b'"', &row[at..]).map(|quote| at + quote) {
        at = quote + 1;
        if !quoted {
            quoted = quote == 0 || matches!(row[quote - 1], b',');
            continue;
        }
        match row.get(at) {
            Some(b'"') => at += 1,
            Some(b',' | b'\n') | None => quoted = false,
            Some(b'\r') if matches!(row.get(at + 1), Some(b'\n') | None) => quoted = false,
            Some(_) => return false,
        }
    }
    !quoted
}
