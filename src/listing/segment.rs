//! A stretch of a range of which one thing is known or thought.

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

/// How many keys a segment is thought to hold.
#[derive(Debug, Clone, Copy)]
pub enum SizeEstimate {
    /// As many as other directories of the class; `unknown` if there are none.
    Dirs {
        class: DirClass,
        dirs: f64,
        unknown: f64,
    },
    /// As many as an earlier run saw there, of which so many are left.
    Hint { then: f64, left: f64 },
    /// So many, or as far as numbers tell.
    Plain(f64),
}

/// How to look into a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// List its directory with the delimiter.
    ListPrefixes,
    /// That was asked, and is not yet answered.
    Pending,
    /// Read its names as numbers.
    Interpolate,
}

/// What a page of a segment held.
#[derive(Debug, Clone)]
pub struct Sample {
    pub first: String,
    pub last: String,
    pub keys: f64,
}

/// The keys behind `start`, through the start of the next segment.
#[derive(Debug, Clone)]
pub struct Segment {
    pub start: String,
    /// All its keys are below `start[..dir]`, or next to it.
    pub dir: usize,
    pub size: SizeEstimate,
    pub look: Strategy,
    /// Keys listed of it.
    pub counted: f64,
    /// Whether it began before it was known.
    pub partial: bool,
    /// Whether it ends where what it describes does.
    pub ends: bool,
    pub sample: Option<Box<Sample>>,
}

impl Segment {
    pub fn new(start: String, dir: usize, size: SizeEstimate, look: Strategy) -> Self {
        Self {
            start,
            dir,
            size,
            look,
            counted: 0.0,
            partial: false,
            ends: true,
            sample: None,
        }
    }

    /// A directory of which nothing is known but its name.
    pub fn directory(name: &str, unknown: f64) -> Self {
        let size = SizeEstimate::Dirs {
            class: dir_class(name),
            dirs: 1.0,
            unknown,
        };
        Self::new(name.to_owned(), name.len(), size, Strategy::ListPrefixes)
    }

    pub fn dir(&self) -> &str {
        &self.start[..self.dir]
    }

    /// Has it hold one more directory, next to the first, all of them in `..dir`.
    pub fn join(&mut self, dir: usize) {
        self.dir = dir;
        self.look = Strategy::Interpolate;
        if let SizeEstimate::Dirs { dirs, .. } = &mut self.size {
            *dirs += 1.0;
        }
    }

    /// Has it begin at `place`, which lies in it.
    pub fn begin(&mut self, place: &str) {
        if !place.starts_with(self.dir()) {
            self.dir = 0;
            self.look = Strategy::Interpolate;
        }
        self.start.clear();
        self.start.push_str(place);
    }

    /// The part behind `place`, which lies in this segment.
    pub fn behind(&self, place: &str) -> Self {
        let mut part = self.clone();
        part.begin(place);
        part.counted = 0.0;
        part.partial = true;
        part
    }

    /// Has it end at `place`, and gives back what lies behind: a `share` of what is left.
    pub fn split(&mut self, place: &str, share: f64) -> Self {
        let mut behind = self.behind(place);
        self.ends = false;
        if let (SizeEstimate::Hint { left, .. }, SizeEstimate::Hint { left: rest, .. }) =
            (&mut self.size, &mut behind.size)
        {
            *rest *= share;
            *left -= *rest;
        }
        behind
    }
}
