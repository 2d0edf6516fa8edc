//! Estimates of how many keys each segment of a range contains.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::alphabet::Alphabet;
use super::dir_class::ClassStats;
use super::order::partition;
use super::position::{common_dir, is_before};
use super::segment::{Bounds, Segment, SegmentSample, SizeEstimate, Strategy};
use super::{HistogramBound, ResponseKeys};

/// Statistics of the bucket as a whole.
#[derive(Debug, Default)]
pub struct BucketStats {
    /// Keys in a full page.
    pub page: f64,
    pub classes: ClassStats,
    /// The characters of the names in each directory.
    pub alphabets: HashMap<String, Alphabet>,
    /// The server rejects listings with a delimiter.
    pub no_delimiter: bool,
}

impl BucketStats {
    /// Returns how to find a split in `segment`, with this server.
    pub fn strategy(&self, segment: &Segment) -> Strategy {
        if self.no_delimiter {
            Strategy::Interpolate
        } else {
            segment.strategy
        }
    }

    /// Returns the alphabet of a directory, empty if nothing is known of it.
    pub fn alphabet(&mut self, dir: &str) -> &mut Alphabet {
        // The alphabets still in use are learned again.
        if self.alphabets.len() >= MAX_ALPHABETS && !self.alphabets.contains_key(dir) {
            self.alphabets.clear();
        }
        self.alphabets.entry(dir.to_owned()).or_default()
    }
}

/// The estimate for a directory of an unknown class, in pages.
pub const UNKNOWN_PAGES: f64 = 16.0;
/// Segments of a page whose keys are counted exactly; others share the rest equally.
const EXACT_SEGMENTS: usize = 16;
/// Keys remembered of a page.
pub const SAMPLE_KEYS: usize = 12;
/// Alphabets known at a time.
const MAX_ALPHABETS: usize = 1000;

/// A sample of the keys of a page.
#[derive(Debug, Default)]
pub struct LastPage {
    pub keys: Vec<String>,
    /// All keys from the first of the sample through the last.
    pub count: f64,
}

impl LastPage {
    fn of(page: &impl ResponseKeys, range: Range<usize>) -> Self {
        let last = range.len() - 1;
        let mut indices: Vec<usize> = (0..SAMPLE_KEYS)
            .map(|turn| turn * last / (SAMPLE_KEYS - 1))
            .collect();
        indices.dedup();
        let key = |index| page.key(range.start + index).into_owned();
        Self {
            keys: indices.into_iter().map(key).collect(),
            count: range.len() as f64,
        }
    }
}

/// The segments of a range, in order; there is always one.
#[derive(Debug, Default)]
pub struct RangeModel {
    pub segments: VecDeque<Segment>,
    /// Whether the end is a known key or directory rather than an interpolated one.
    pub closed: bool,
    /// Whether the range starts at an interpolated key and no page has arrived yet.
    pub unconfirmed: bool,
    /// The length of the deepest directory around the cursor that was probed.
    pub probed_dir: usize,
    /// The length of the directory that contains the whole last page.
    pub page_dir: usize,
    /// A sample of the last page, for when its directory turns out to be flat.
    pub last_page: LastPage,
}

impl RangeModel {
    pub fn new(prefix: &str, after: Option<&str>, through: Option<&str>, page: f64) -> Self {
        let start = after.unwrap_or_default().max(prefix);
        let common = through.map_or(0, |through| common_dir(start, through));
        let dir = if start.starts_with(prefix) {
            prefix.len().max(common)
        } else {
            0
        };
        let mut segment = Segment::directory(&start[..dir], UNKNOWN_PAGES * page);
        segment.start_at(start);
        segment.partial = true;
        Self {
            segments: VecDeque::from([segment]),
            ..Self::default()
        }
    }

    /// Replaces the segments by those of an earlier run.
    pub fn apply_histogram(
        &mut self,
        histogram: &[HistogramBound],
        bounds: Bounds,
        stats: &mut BucketStats,
    ) {
        let Some(root) = self.segments.front() else {
            return;
        };
        let mut segments = VecDeque::new();
        let mut from = "";
        for (key, count) in histogram {
            let start = from.max(&root.start);
            let before_it = std::mem::replace(&mut from, key);
            if **key <= *bounds.cursor || !is_before(before_it, bounds.end) {
                continue;
            }
            let dir = common_dir(start, key);
            let mut segment = root.tail_from(start);
            if dir > root.dir {
                segment.dir = dir;
            }
            let nested = |key: &str| key.get(dir..).is_some_and(|name| name.contains('/'));
            let dirs = nested(start) || nested(key);
            segment.strategy = if dirs {
                Strategy::ListPrefixes
            } else {
                Strategy::Interpolate
            };
            let then = *count as f64;
            segment.size = SizeEstimate::Histogram { then, left: then };
            if segment.strategy == Strategy::Interpolate {
                let alphabet = stats.alphabet(segment.dir());
                for name in [start, key] {
                    alphabet.add(name.strip_prefix(segment.dir()).unwrap_or_default());
                }
            }
            segment.partial = before_it < bounds.cursor;
            segment.ends = bounds.end.is_none_or(|end| **key <= *end);
            segments.push_back(segment);
        }
        if from > bounds.cursor && is_before(from, bounds.end) {
            let mut segment = root.tail_from(from.max(&root.start));
            segment.size = SizeEstimate::Plain(0.0);
            segments.push_back(segment);
        }
        if !segments.is_empty() {
            self.segments = segments;
        }
    }

    /// Moves the start to `through`, with the first `accepted` keys of a page.
    pub fn advance(
        &mut self,
        page: &impl ResponseKeys,
        accepted: usize,
        through: Option<&str>,
        stats: &mut BucketStats,
    ) {
        self.unconfirmed = false;
        self.page_dir = match accepted.checked_sub(1) {
            Some(last) => common_dir(&page.key(0), &page.key(last)),
            None => 0,
        };
        let passed = self
            .segments
            .iter()
            .skip(1)
            .take_while(|segment| through.is_none_or(|through| *segment.start <= *through))
            .count();
        let mut counted = 0;
        for turn in 0..passed {
            let Some(mut done) = self.segments.pop_front() else {
                break;
            };
            let Some(boundary) = self.segments.front().map(|next| next.start.as_str()) else {
                break;
            };
            let exact = passed <= EXACT_SEGMENTS || turn == 0 || turn + 1 == passed;
            let index = if exact {
                partition(accepted, |index| *page.key(index) <= *boundary).max(counted)
            } else {
                counted + (accepted - counted) / (passed - turn)
            };
            record(
                &mut done,
                (index - counted) as f64,
                true,
                &mut stats.classes,
            );
            counted = index;
            self.probed_dir = 0;
        }
        if let Some(front) = self.segments.front_mut() {
            record(
                front,
                (accepted - counted) as f64,
                false,
                &mut stats.classes,
            );
        }
        if accepted > counted {
            self.last_page = LastPage::of(page, counted..accepted);
            self.learn_alphabet(stats);
        }
    }

    /// Learns the alphabet at the cursor from the last page, if it is interpolated.
    pub fn learn_alphabet(&mut self, stats: &mut BucketStats) {
        let Some(front) = self.segments.front_mut() else {
            return;
        };
        if stats.strategy(front) != Strategy::Interpolate {
            return;
        }
        let dir = front.dir().to_owned();
        let names = self
            .last_page
            .keys
            .iter()
            .filter_map(|key| key.strip_prefix(dir.as_str()));
        let names: Vec<&str> = names.collect();
        let [first, .., last] = names[..] else { return };
        if common_dir(first, last) > 0 {
            return;
        }
        front.sample = Some(Box::new(SegmentSample {
            first: first.to_owned(),
            last: last.to_owned(),
            keys: self.last_page.count,
        }));
        let alphabet = stats.alphabet(&dir);
        for name in names {
            // Only the directory's name: file names say nothing about directory names.
            alphabet.add(name.split_inclusive('/').next().unwrap_or_default());
        }
    }

    /// Records the last segment as complete: the range ends here.
    pub fn finish(&mut self, stats: &mut BucketStats) {
        if let Some(last) = self.segments.front_mut() {
            record(last, 0.0, true, &mut stats.classes);
        }
    }

    /// Splits the model at `position` and returns the part after it, with a `share` of the
    /// segment that contains it.
    pub fn split_off(&mut self, position: &str, known: bool, share: f64) -> Self {
        let at = if known {
            let starts_before = |segment: &Segment| *segment.start < *position;
            self.segments.partition_point(starts_before)
        } else {
            self.boundary(position, share)
        };
        Self {
            segments: self.segments.split_off(at),
            closed: std::mem::replace(&mut self.closed, known),
            unconfirmed: !known,
            ..Self::default()
        }
    }

    /// Returns whether the model can be split at `position`.
    pub fn starts_before(&self, position: &str) -> bool {
        let first = self.segments.front();
        first.is_some_and(|first| *first.start < *position)
    }

    /// Returns the index of the segment that starts at `position`; makes one if needed.
    pub fn boundary(&mut self, position: &str, share: f64) -> usize {
        let at = self
            .segments
            .partition_point(|segment| *segment.start < *position);
        let next = self.segments.get(at);
        if at == 0 || next.is_some_and(|next| *next.start == *position) {
            return at;
        }
        let after = self.segments[at - 1].split(position, share);
        self.segments.insert(at, after);
        at
    }
}

/// Counts `keys` more of a segment, and its end if it was reached.
fn record(segment: &mut Segment, keys: f64, end: bool, classes: &mut ClassStats) {
    segment.counted += keys;
    let ends = end && segment.ends;
    match &mut segment.size {
        SizeEstimate::Dirs { class, dirs, .. } => {
            classes.record(*class, if ends { *dirs } else { 0.0 }, keys);
        }
        SizeEstimate::Histogram { then, left } => {
            *left = (*left - keys / classes.growth()).max(0.0);
            if ends && !segment.partial {
                classes.record_growth(*then, segment.counted);
            }
        }
        SizeEstimate::Plain(_) => {}
    }
}
