//! The records since the last mark, by outcome.

use std::borrow::Cow;

use super::Place;
use crate::record::stage_counts::StageCounts;
use crate::record::unit_mark::{self, Held};

/// The records of the current unit.
#[derive(Default)]
pub struct Unit {
    made: u64,
    written: u64,
    dropped: Vec<(Cow<'static, str>, u64)>,
    rejected: Vec<(&'static str, u64)>,
    /// Records that were put off, and that were taken up again.
    put_off: u64,
    taken_up: u64,
    /// A reject is not in a file.
    has_unsaved_reject: bool,
    /// A record could not be finished now.
    has_failed: bool,
}

impl Unit {
    /// Counts records beyond the first that one line gave.
    pub fn add_made(&mut self, records: u64) {
        self.made += records;
    }

    /// Counts records that were written or stored.
    pub fn add_written(&mut self, records: u64) {
        self.written += records;
    }

    /// Counts records that were left out on purpose.
    pub fn add_dropped(&mut self, reason: &str, records: u64) {
        match self.dropped.iter_mut().find(|(own, _)| own == reason) {
            Some((_, count)) => *count += records,
            None => self.dropped.push((reason.to_owned().into(), records)),
        }
    }

    /// Counts a reject; `is_kept` says whether a file has it.
    pub fn add_rejected(&mut self, kind: &'static str, is_kept: bool) {
        self.has_unsaved_reject |= !is_kept;
        match self.rejected.iter_mut().find(|(own, _)| *own == kind) {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((kind, 1)),
        }
    }

    /// Counts a record whose outcome comes in a later unit, so that this one cannot be finished.
    pub fn put_off(&mut self) {
        self.put_off += 1;
        self.has_failed = true;
    }

    /// Counts a record that an earlier unit put off; its outcome follows.
    pub fn take_up(&mut self) {
        self.taken_up += 1;
    }

    /// Notes that a record could not be finished now.
    pub fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Returns whether a record was neither finished nor rejected to a file.
    pub fn is_open(&self) -> bool {
        self.has_unsaved_reject || self.has_failed
    }

    /// Returns whether any record was rejected.
    pub fn has_rejects(&self) -> bool {
        !self.rejected.is_empty()
    }

    /// Returns why the unit is not accepted.
    fn fault(&self) -> Option<&'static str> {
        match (self.has_failed, self.has_unsaved_reject) {
            (true, _) => Some(unit_mark::FAILED),
            (false, true) => Some(unit_mark::REJECTED),
            (false, false) => None,
        }
    }

    /// Compares the number of records with how many were `sent`; returns how many a filter
    /// between the programs has dropped, and why the unit is held.
    pub fn check(&self, sent: Option<u64>, allow_drops: bool, by: &str) -> (u64, Option<Held>) {
        let came = self.came();
        let hold = |why: &str| Some(Held::new(by, why));
        match sent {
            Some(sent) if came > sent => {
                return (0, hold(&format!("{came} records came instead of {sent}")));
            }
            Some(sent) if came < sent && !allow_drops => {
                return (0, hold(&format!("{came} of {sent} records came")));
            }
            _ => {}
        }
        let outside = sent.map_or(0, |sent| sent - came);
        (outside, self.fault().and_then(hold))
    }

    /// Returns the number of records that were read.
    pub fn came(&self) -> u64 {
        let dropped: u64 = self.dropped.iter().map(|(_, count)| count).sum();
        let rejected: u64 = self.rejected.iter().map(|(_, count)| count).sum();
        let finished = self.written + dropped + rejected;
        (finished + self.put_off).saturating_sub(self.made + self.taken_up)
    }

    /// Returns the entry of `stage`: a source has read no records, and a sink writes none.
    pub fn counts(self, stage: &str, place: Place, outside: u64) -> StageCounts {
        let (out, stored) = match place {
            Place::Sink => (0, self.written),
            Place::Source | Place::Between => (self.written, 0),
        };
        StageCounts {
            stage: stage.to_owned(),
            read: if place == Place::Source {
                0
            } else {
                self.came()
            },
            made: self.made,
            out,
            stored,
            dropped: (self.dropped.into_iter())
                .map(|(reason, count)| (reason.into_owned(), count))
                .collect(),
            rejected: (self.rejected.into_iter())
                .map(|(kind, count)| (kind.to_owned(), count))
                .collect(),
            outside,
        }
    }
}
