//! A segment: a stretch of a range with one estimate.

use super::dir_class::{DirClass, dir_class};

/// The unlisted part of a range: the keys after `cursor`, through `end`.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    pub cursor: &'a str,
    pub end: Option<&'a str>,
}

impl<'a> Bounds<'a> {
    pub fn new(cursor: Option<&'a str>, end: Option<&'a str>) -> Self {
        let cursor = cursor.unwrap_or_default();
        Self { cursor, end }
    }
}

/// The estimated number of keys in a segment.
#[derive(Debug, Clone, Copy)]
pub enum SizeEstimate {
    /// The mean of its directory class; `unknown` without one.
    Dirs {
        class: DirClass,
        dirs: f64,
        unknown: f64,
    },
    /// As many as an earlier run saw there; `left` of them are not listed yet.
    Histogram { then: f64, left: f64 },
    /// A fixed number, or the interpolation if there is one.
    Plain(f64),
}

/// How to find a split in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// List its directory with the delimiter.
    ListPrefixes,
    /// Such a listing is in flight.
    Pending,
    /// Read names as numbers.
    Interpolate,
}

/// The first and the last name of a page in a segment, and its keys.
#[derive(Debug, Clone)]
pub struct SegmentSample {
    pub first: String,
    pub last: String,
    pub keys: f64,
}

/// The keys after `start`, through the start of the next segment.
#[derive(Debug, Clone)]
pub struct Segment {
    pub start: String,
    /// All its keys are below `start[..dir]`, or directly next to it.
    pub dir: usize,
    pub size: SizeEstimate,
    pub strategy: Strategy,
    /// Keys listed of it so far.
    pub counted: f64,
    /// Whether its first keys were listed before the segment was known.
    pub partial: bool,
    /// Whether it ends where its directories or its histogram bound end.
    pub ends: bool,
    pub sample: Option<Box<SegmentSample>>,
}

impl Segment {
    pub fn new(start: String, dir: usize, size: SizeEstimate, strategy: Strategy) -> Self {
        Self {
            start,
            dir,
            size,
            strategy,
            counted: 0.0,
            partial: false,
            ends: true,
            sample: None,
        }
    }

    /// Returns the segment of a directory of which only the name is known.
    pub fn directory(name: &str, unknown: f64) -> Self {
        let size = SizeEstimate::Dirs {
            class: dir_class(name),
            dirs: 1.0,
            unknown,
        };
        Self::new(name.to_owned(), name.len(), size, Strategy::ListPrefixes)
    }

    /// Returns the directory that contains the segment.
    pub fn dir(&self) -> &str {
        &self.start[..self.dir]
    }

    /// Adds the next directory to the segment; all of them are in `..dir`.
    pub fn add_dir(&mut self, dir: usize) {
        self.dir = dir;
        self.strategy = Strategy::Interpolate;
        if let SizeEstimate::Dirs { dirs, .. } = &mut self.size {
            *dirs += 1.0;
        }
    }

    /// Moves the start to `position`, which is in the segment.
    pub fn start_at(&mut self, position: &str) {
        if !position.starts_with(self.dir()) {
            self.dir = 0;
            self.strategy = Strategy::Interpolate;
        }
        self.start.clear();
        self.start.push_str(position);
    }

    /// Returns the part after `position`, which is in the segment.
    pub fn tail_from(&self, position: &str) -> Self {
        let mut part = self.clone();
        part.start_at(position);
        part.counted = 0.0;
        part.partial = true;
        part
    }

    /// Ends the segment at `position` and returns the rest, with a `share` of the keys left.
    pub fn split(&mut self, position: &str, share: f64) -> Self {
        let mut after = self.tail_from(position);
        self.ends = false;
        if let (SizeEstimate::Histogram { left, .. }, SizeEstimate::Histogram { left: rest, .. }) =
            (&mut self.size, &mut after.size)
        {
            *rest *= share;
            *left -= *rest;
        }
        after
    }
}
