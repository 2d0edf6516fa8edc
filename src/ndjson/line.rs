//! Classifies lines: a record, a mark, or neither.

use std::fmt::Display;

use crate::record::mark::{self, Mark};
use crate::record::reject::Reject;

/// A record or a mark.
pub enum Line<'a> {
    Record(RecordLine<'a>),
    /// A mark, and the line that it was read from.
    Mark(Mark, &'a [u8]),
}

/// A record as it came.
#[derive(Clone, Copy)]
pub struct RecordLine<'a> {
    /// Its number in the input, from 1.
    pub number: u64,
    /// Without its newline.
    pub bytes: &'a [u8],
}

impl RecordLine<'_> {
    /// Returns a reject of this record.
    pub fn reject(self, kind: &'static str, message: impl Display) -> Reject {
        Reject::new(self.bytes, self.number, kind, message)
    }
}

/// What the lines of an input contain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Framing {
    /// Records and marks.
    #[default]
    Records,
    /// Records and marks, or the listing of another tool: blanks around an object, and the
    /// brackets and commas of `rclone lsjson`, are ignored.
    Listing,
    /// Each line is a document itself: there are no marks.
    Bare,
}

impl Framing {
    /// Parses a line; `None` for a blank one and for a bracket.
    pub fn parse(self, number: u64, line: &[u8]) -> Option<Line<'_>> {
        let bytes = line.strip_suffix(b"\r").unwrap_or(line);
        if self != Self::Bare
            && let Some(mark) = Mark::parse(bytes)
        {
            return Some(Line::Mark(mark, bytes));
        }
        self.record(bytes)
            .map(|bytes| Line::Record(RecordLine { number, bytes }))
    }

    /// Returns whether `line` is a record, as [`parse`](Self::parse) tells.
    pub(super) fn is_record(self, line: &[u8]) -> bool {
        match line {
            [b'{', ..] if !line.starts_with(mark::OPENING) => true,
            _ => matches!(self.parse(0, line), Some(Line::Record(_))),
        }
    }

    fn record(self, line: &[u8]) -> Option<&[u8]> {
        let text = line.trim_ascii();
        match (self, text) {
            (_, []) | (Self::Listing, b"[" | b"]" | b"[]") => None,
            (Self::Listing, [object @ .., b',']) if object.ends_with(b"}") => Some(object),
            (Self::Listing, text) => Some(text),
            _ => Some(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(framing: Framing, lines: &[&str]) -> Vec<String> {
        let records = lines.iter().filter_map(|line| {
            let parsed = framing.parse(1, line.as_bytes());
            let is_record = matches!(parsed, Some(Line::Record(_)));
            assert_eq!(framing.is_record(line.as_bytes()), is_record, "{line:?}");
            match parsed {
                Some(Line::Record(record)) => Some(String::from_utf8_lossy(record.bytes).into()),
                _ => None,
            }
        });
        records.collect()
    }

    const LINES: &[&str] = &[
        "[",
        "{\"Path\":\"a\"},",
        "{\"Path\":\"b\"}\r",
        "]",
        "[]",
        "",
        " \t",
        "x,",
        " {} ",
        "{\"mark\":{\"end\":{}}}",
        "{\"mark\":1,\"key\":\"k\"}",
    ];

    #[test]
    fn blank_lines_and_marks_are_not_records() {
        let records = records(Framing::Records, LINES);
        assert_eq!(records.len(), LINES.len() - 3);
        assert_eq!(records[6], " {} ");
    }

    #[test]
    fn the_frame_of_a_listing_is_removed() {
        assert_eq!(
            records(Framing::Listing, LINES),
            [
                "{\"Path\":\"a\"}",
                "{\"Path\":\"b\"}",
                "x,",
                "{}",
                "{\"mark\":1,\"key\":\"k\"}"
            ]
        );
    }

    #[test]
    fn bare_documents_are_not_changed() {
        assert_eq!(records(Framing::Bare, LINES).len(), LINES.len() - 2);
    }
}
