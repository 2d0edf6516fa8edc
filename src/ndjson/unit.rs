//! What became of the records since the last mark.

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
    /// A record was rejected, and kept nowhere.
    homeless: bool,
    /// A record could not be finished now.
    failed: bool,
}

impl Unit {
    pub fn add_made(&mut self, records: u64) {
        self.made += records;
    }

    pub fn add_written(&mut self, records: u64) {
        self.written += records;
    }

    pub fn add_dropped(&mut self, reason: &str, records: u64) {
        match self.dropped.iter_mut().find(|(own, _)| own == reason) {
            Some((_, count)) => *count += records,
            None => self.dropped.push((reason.to_owned().into(), records)),
        }
    }

    pub fn add_rejected(&mut self, kind: &'static str, is_kept: bool) {
        self.homeless |= !is_kept;
        match self.rejected.iter_mut().find(|(own, _)| *own == kind) {
            Some((_, count)) => *count += 1,
            None => self.rejected.push((kind, 1)),
        }
    }

    /// Records that a record is put off: its unit cannot be finished now.
    pub fn put_off(&mut self) {
        self.put_off += 1;
        self.failed = true;
    }

    /// Records the outcome of a record that was put off.
    pub fn take_up(&mut self) {
        self.taken_up += 1;
    }

    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Returns whether a record was neither finished nor put on disk.
    pub fn is_open(&self) -> bool {
        self.homeless || self.failed
    }

    pub fn has_rejects(&self) -> bool {
        !self.rejected.is_empty()
    }

    /// Returns why the unit is not accepted.
    fn fault(&self) -> Option<&'static str> {
        match (self.failed, self.homeless) {
            (true, _) => Some(unit_mark::FAILED),
            (false, true) => Some(unit_mark::REJECTED),
            (false, false) => None,
        }
    }

    /// Compares what came with what was `sent`; returns how many records less came, and why
    /// the unit is held.
    pub fn judge(&self, sent: Option<u64>, allow_drops: bool, by: &str) -> (u64, Option<Held>) {
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
