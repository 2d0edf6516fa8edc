//! Which pages to ask a bucket for, when many requests are in flight.
//!
//! A [`Planner`] knows nothing of sockets or time: it says what a free
//! connection should ask next, and is listing what came back. What is not yet
//! listed is a set of disjoint ranges; each goes on page by page, and a
//! connection that is free cuts the range thought to hold most in two. Where
//! to cut is guessed from what was seen (`model`, `classes`, `number`); a wrong
//! guess costs a request, never a key (`range`).

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of keys are estimates"
)]

mod alphabet;
mod dir_class;
mod interpolate;
mod model;
mod order;
mod page;
mod planner;
mod position;
mod prefix_listing;
mod range;
mod segment;
mod split;
mod survey;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::record::coverage::Interval;

pub use page::{Encoding, Page, PageParser, ParseError};
pub use planner::Planner;
pub use survey::{PlannedRange, Survey};

/// What a listing is asked to do.
#[derive(Debug, Clone)]
pub struct Settings {
    pub prefix: String,
    /// How many keys a full page holds.
    pub page_size: usize,
    /// How many requests may be in flight; with 1 the listing is sequential.
    pub connections: usize,
}

/// A key known from an earlier run, and how many keys it stands for: those
/// behind the hint before it, through itself. In key order.
pub type Hint = (String, u64);

/// A request that is out. One that fails is asked again with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

/// What to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A page of keys: by `token` if there is one, or else behind `after`.
    Page {
        after: Option<String>,
        token: Option<String>,
    },
    /// What stands directly below `prefix`, with the delimiter `/`.
    Children {
        prefix: String,
        after: Option<String>,
    },
}

/// How an answer ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// `IsTruncated` is false.
    End,
    /// `IsTruncated` is true, with the `NextContinuationToken`.
    More(Option<String>),
}

/// The keys of an answer.
pub trait Keys {
    fn len(&self) -> usize;

    fn key(&self, index: usize) -> Cow<'_, str>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first key that does not stand behind the key before it. Who reads
    /// the page anyway may know it without this walk.
    fn unordered(&self) -> Option<usize> {
        (1..self.len()).find(|&index| self.key(index) <= self.key(index - 1))
    }
}

impl<S: AsRef<str>> Keys for [S] {
    fn len(&self) -> usize {
        self.len()
    }

    fn key(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self[index].as_ref())
    }
}

impl<S: AsRef<str>> Keys for Vec<S> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn key(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self[index].as_ref())
    }
}

/// What a page is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The keys to hand on; no other answer has them.
    pub keys: Range<usize>,
    /// What is listed with them; nothing if a page was empty but truncated.
    pub covers: Option<Interval>,
}

/// Requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Pages of which keys were kept.
    pub pages: u64,
    /// Listings with a delimiter.
    pub probes: u64,
    /// Pages that brought no key.
    pub wasted: u64,
    /// Out, not yet answered.
    pub out: u64,
}

/// A listing that cannot be relied on, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InconsistentListing(String);

impl InconsistentListing {
    fn new(what: &str) -> Self {
        Self(format!(
            "no progress: the server's listing cannot be relied on: {what}"
        ))
    }
}

impl fmt::Display for InconsistentListing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for InconsistentListing {}
