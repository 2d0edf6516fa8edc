//! Decides which pages to request from a bucket when many requests are in flight.
//!
//! A [`Planner`] knows nothing of sockets or time: it returns the next request for a free
//! connection, and takes the responses. The unlisted keys are a set of disjoint ranges.
//! Each is listed page by page, and a free connection splits the range with the highest
//! estimate in two. A wrong estimate costs a request, never a key. docs/listing.md explains
//! the algorithm.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "numbers of keys are estimates"
)]

mod accept;
mod alphabet;
mod dir_class;
mod doubt;
mod evidence;
mod interpolate;
mod levels;
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
mod token;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::record::coverage::Interval;

pub use page::{Encoding, Oddity, Page, PageError, PageParser, find_text};
pub use planner::Planner;
pub use survey::{PlannedRange, Survey};

/// The options of a listing.
#[derive(Debug, Clone)]
pub struct ListingOptions {
    pub prefix: String,
    /// Keys in a full page.
    pub page_size: usize,
    /// Maximum number of requests in flight; 1 lists sequentially.
    pub connections: usize,
}

/// A key of an earlier run, and how many keys that run saw after the previous bound, through
/// this one. The bounds of a histogram are in key order.
pub type HistogramBound = (String, u64);

/// Identifies a request in flight. A retry keeps its ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

/// A request to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A page of the keys that begin with `prefix`: from `token` if there is one, otherwise
    /// after `after`.
    Page {
        prefix: String,
        after: Option<String>,
        token: Option<String>,
    },
    /// The keys and common prefixes directly below `prefix`, with the delimiter `/`.
    Children {
        prefix: String,
        after: Option<String>,
    },
}

/// Whether more pages follow a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// `IsTruncated` is false.
    End,
    /// `IsTruncated` is true, with the `NextContinuationToken`.
    More(Option<String>),
}

/// The keys of a response.
pub trait ResponseKeys {
    fn len(&self) -> usize;

    fn key(&self, index: usize) -> Cow<'_, str>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the index of the first key that is not after the key before it. A page
    /// parser already knows it without this walk.
    fn unordered(&self) -> Option<usize> {
        (1..self.len()).find(|&index| self.key(index) <= self.key(index - 1))
    }
}

impl<S: AsRef<str>> ResponseKeys for [S] {
    fn len(&self) -> usize {
        self.len()
    }

    fn key(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self[index].as_ref())
    }
}

impl<S: AsRef<str>> ResponseKeys for Vec<S> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn key(&self, index: usize) -> Cow<'_, str> {
        Cow::Borrowed(self[index].as_ref())
    }
}

/// The part of a page that belongs to the range that requested it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The keys to write; no other response contains them.
    pub keys: Range<usize>,
    /// The interval that they complete; `None` if a page was empty but truncated.
    pub covers: Option<Interval>,
}

/// Counts of the requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Pages with accepted keys.
    pub pages: u64,
    /// Listings with a delimiter.
    pub probes: u64,
    /// Pages without accepted keys.
    pub wasted: u64,
    /// In flight.
    pub out: u64,
}

/// The server's listing contradicts itself; how, as a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InconsistentListing(String);

impl InconsistentListing {
    fn new(what: &str) -> Self {
        Self(format!(
            "the server's listing is inconsistent and makes no progress: {what}"
        ))
    }

    /// A page from `after` to `last` leaves out what is there by another response.
    fn left_out(after: &str, last: &str, name: &str) -> Self {
        Self::new(&format!(
            "asked for keys after {after:?}, got keys up to {last:?} without {name:?}, which it \
             lists when asked for that prefix"
        ))
    }
}

impl fmt::Display for InconsistentListing {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for InconsistentListing {}
