//! How many requests a listing may send, and have in flight. Nobody knows how large a bucket
//! is before it is listed, so the pages listed so far pay for what a sequential listing would
//! not request.

use super::Planner;
use crate::listing::HistogramBound;
use crate::listing::range::{ActiveRange, Chain};

/// Requests per page, and besides.
const REQUESTS_PER_PAGE: u64 = 2;
const SPARE_REQUESTS: u64 = 3;
/// Requests that a doubted end costs, besides those for the directories around it.
const DOUBT: u64 = 2;

/// What is known of the size of a bucket.
#[derive(Debug)]
pub struct Budget {
    page_size: u64,
    /// Full pages received: the number of requests in flight exceeds it by at most one.
    pub full_pages: u64,
    keys: u64,
    /// The last key of a full page, until later ones are listed: one comes after it.
    more_after: Option<String>,
}

impl Budget {
    /// Returns the budget at the start of a listing. The keys that an earlier run saw count as
    /// listed, and a listing that was interrupted resumes in all its gaps at once.
    pub fn new(page_size: usize, gaps: usize, histogram: &[HistogramBound]) -> Self {
        let counts = histogram.iter().map(|&(_, count)| count);
        let keys = counts.fold(0, u64::saturating_add);
        let page_size = page_size.max(1) as u64;
        Self {
            page_size,
            full_pages: (gaps.max(1) as u64 - 1).max(keys / page_size),
            keys,
            more_after: None,
        }
    }

    /// Records a response with `keys` accepted keys through `last`, of the last range or of
    /// another one. It is full if it is truncated.
    pub fn add(&mut self, keys: u64, last: Option<&str>, is_full: bool, of_last_range: bool) {
        self.keys = self.keys.saturating_add(keys);
        self.full_pages += u64::from(is_full);
        if self.more_after.as_deref() < last {
            let last = last.filter(|_| is_full && of_last_range);
            self.more_after = last.map(str::to_owned);
        }
    }

    /// Returns how many requests the pages pay for that certainly exist.
    fn requests(&self) -> u64 {
        let more = u64::from(self.more_after.is_some());
        let pages = self.keys.saturating_add(more).div_ceil(self.page_size);
        pages
            .saturating_mul(REQUESTS_PER_PAGE)
            .saturating_add(SPARE_REQUESTS)
    }
}

impl Planner {
    /// Returns whether the listing can pay for a request that it could do without.
    pub(super) fn can_afford_more(&self) -> bool {
        let proven = |chain: &Chain| chain.proven && chain.token.is_some() && !chain.names_key;
        let proofs = self.ranges.last().map_or(0, |last| match &last.chain {
            chain if proven(chain) => 0,
            _ => self.proofs(last.at_key),
        });
        self.can_afford(proofs)
    }

    /// Returns whether the listing can pay for a split of the range at `index`, too.
    pub(super) fn can_afford_split(&self, index: usize) -> bool {
        index + 1 < self.ranges.len() || self.can_afford(self.proofs(false))
    }

    /// Every range that waits for a connection costs a request, too. A range in flight costs
    /// no more than it finds keys.
    fn can_afford(&self, proofs: u64) -> bool {
        let waiting = self.ranges.iter().filter(|range| range.flight.is_none());
        let waiting = waiting.count() as u64;
        self.requests.out + waiting <= self.budget.full_pages
            && self.last_id + waiting + proofs < self.budget.requests()
    }

    /// Returns how many requests it takes as a rule to prove the end of the last range, which
    /// does not continue the first request by tokens. Its first page pays for one of them.
    fn proofs(&self, has_page: bool) -> u64 {
        let prefix = self.settings.prefix.as_str();
        let cursor = self.ranges.last().map_or("", ActiveRange::cursor);
        let last = self.evidence.last.as_str().max(cursor);
        let dirs = self.evidence.levels.unproven_dirs(prefix, last);
        dirs.count() as u64 + DOUBT - u64::from(!has_page)
    }
}
