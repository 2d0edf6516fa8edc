//! The result of a parsed line.

use crate::record::mark::Mark;
use crate::record::reject::Reject;

/// The result of a line, before its turn in the output.
pub enum Parsed<T> {
    /// A record to work on.
    Record(T),
    /// The reason and the number of records that are not wanted.
    Dropped(&'static str, u64),
    /// The number of records beyond the first that a line gives.
    Made(u64),
    /// A record whose outcome comes in a later unit.
    PutOff,
    /// A record that was put off comes next.
    TakenUp,
    Reject(Box<Reject>),
    /// A mark, and the line that it was read from.
    Mark(Box<(Mark, Vec<u8>)>),
}

impl<T> Parsed<T> {
    /// Returns a reject as a result.
    pub fn reject(reject: Reject) -> Self {
        Self::Reject(Box::new(reject))
    }

    /// Returns a mark as a result.
    pub fn mark(mark: Mark, line: &[u8]) -> Self {
        Self::Mark(Box::new((mark, line.to_vec())))
    }

    /// Applies `make` to a record; other results stay as they are.
    pub fn and_then<U>(self, make: impl FnOnce(T) -> Parsed<U>) -> Parsed<U> {
        match self {
            Self::Record(record) => make(record),
            Self::Dropped(reason, records) => Parsed::Dropped(reason, records),
            Self::Made(records) => Parsed::Made(records),
            Self::PutOff => Parsed::PutOff,
            Self::TakenUp => Parsed::TakenUp,
            Self::Reject(reject) => Parsed::Reject(reject),
            Self::Mark(mark) => Parsed::Mark(mark),
        }
    }
}
