//! Where rows of CSV end: quotes may enclose line breaks.

use memchr::memchr;

use crate::limits::CSV_LINES;

/// Where a row ends.
#[derive(Debug, PartialEq, Eq)]
pub enum RowEnd {
    /// After its newline.
    At(usize),
    /// A quote is not closed within the maximum length of a row: its first line is bad.
    Unclosed,
    /// Its last bytes have not arrived.
    Unknown,
}

/// Finds where rows end, each byte once: lines that are enclosed in quotes by one row are
/// enclosed by the next one, too.
#[derive(Debug, Default)]
pub struct RowEnds {
    /// All lines of the row found last, from its second one to this offset, start in quotes.
    through: usize,
    /// The quotes are closed in the line that ends at `through`.
    closed: bool,
    /// The start of the first row that is not complete.
    row: usize,
}

impl RowEnds {
    /// Scans growing `bytes`, which begin with a row. Returns where the last complete row, or
    /// bad line, ends.
    pub fn find(&mut self, bytes: &[u8]) -> usize {
        loop {
            self.row = match self.end_of_row(bytes, self.row) {
                RowEnd::At(end) => end,
                RowEnd::Unclosed => line_end(bytes, self.row).unwrap_or(bytes.len()),
                RowEnd::Unknown => return self.row,
            };
        }
    }

    /// Finds where the row that starts at `at` ends. Rows are to be asked for in order.
    pub fn end_of_row(&mut self, bytes: &[u8], at: usize) -> RowEnd {
        let Some(first) = line_end(bytes, at) else {
            return RowEnd::Unknown;
        };
        if !ends_quoted(&bytes[at..first], false) {
            return RowEnd::At(first);
        }
        if first >= self.through {
            (self.through, self.closed) = (first, false);
        }
        while !self.closed && self.through - at <= CSV_LINES {
            let start = self.through;
            let Some(end) = line_end(bytes, start) else {
                return RowEnd::Unknown;
            };
            self.closed = !ends_quoted(&bytes[start..end], true);
            self.through = end;
        }
        if self.closed && self.through - at <= CSV_LINES {
            RowEnd::At(self.through)
        } else {
            RowEnd::Unclosed
        }
    }
}

/// Returns the offset after the newline of the line that starts at `at`.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    Some(at + memchr(b'\n', &bytes[at..])? + 1)
}

/// Returns whether the newline of a line is in quotes; `quoted` if the line starts so.
fn ends_quoted(line: &[u8], mut quoted: bool) -> bool {
    let mut at = 0;
    while let Some(quote) = memchr(b'"', &line[at..]).map(|quote| at + quote) {
        at = quote + 1;
        if !quoted {
            // Only the first character of a field opens a quote.
            quoted = quote == 0 || line[quote - 1] == b',';
        } else if line.get(at) == Some(&b'"') {
            at += 1;
        } else {
            quoted = false;
        }
    }
    quoted
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
