//! The results of a block of lines.

use std::ops::Range;

use super::Block;
use crate::record::mark::Mark;
use crate::record::reject::Reject;

/// The results of a block: bytes that the stage wrote, and between them lines that pass
/// unchanged, marks and rejects.
#[derive(Default)]
pub struct Emitted {
    pub out: Vec<u8>,
    /// What comes between the bytes of `out`, each with its offset there.
    pub(super) parts: Vec<(usize, Part)>,
    /// The counts since the last [`Part::Counted`].
    pub(super) unit: UnitPart,
}

/// What comes between written bytes.
pub(super) enum Part {
    /// A range of the input that passes unchanged.
    Lines(Range<usize>),
    /// The counts since the last one, which are due before what follows.
    Counted(UnitPart),
    Reject(Box<Reject>),
    KnownBad(Box<Reject>),
    Mark(Mark, Vec<u8>),
}

/// Records of a unit that are written or left out.
#[derive(Default)]
pub(super) struct UnitPart {
    pub(super) written: u64,
    pub(super) dropped: Vec<(&'static str, u64)>,
}

impl Emitted {
    /// Adds a record with this line, without its newline.
    pub fn line(&mut self, line: &[u8]) {
        self.out.extend_from_slice(line);
        self.out.push(b'\n');
        self.unit.written += 1;
    }

    /// Adds a record that passes as `line`, which is part of `block`. Only for
    /// [`par_filter`](super::par_filter), which still has the block.
    pub fn keep(&mut self, block: &Block, line: &[u8]) {
        let Some(range) = block.place(line) else {
            return self.line(line);
        };
        self.unit.written += 1;
        let here = self.out.len();
        match self.parts.last_mut() {
            Some((at, Part::Lines(lines))) if *at == here && lines.end == range.start => {
                lines.end = range.end;
            }
            _ => self.parts.push((here, Part::Lines(range))),
        }
    }

    /// Counts records whose bytes are in `out` already.
    pub fn add_written(&mut self, records: u64) {
        self.unit.written += records;
    }

    /// Counts records that are left out on purpose.
    pub fn drop(&mut self, reason: &'static str, records: u64) {
        if records == 0 {
            return;
        }
        let dropped = &mut self.unit.dropped;
        match dropped.iter_mut().find(|(name, _)| *name == reason) {
            Some((_, sum)) => *sum += records,
            None => dropped.push((reason, records)),
        }
    }

    /// Adds a mark, which closes the unit of all records so far.
    pub fn mark(&mut self, mark: Mark, line: &[u8]) {
        let counted = Part::Counted(std::mem::take(&mut self.unit));
        self.push(counted);
        self.push(Part::Mark(mark, line.to_vec()));
    }

    /// Adds a reject.
    pub fn reject(&mut self, reject: Reject) {
        // Records before it have to be counted before it, as `FirstRecords` looks at their order.
        if self.unit.written > 0 || !self.unit.dropped.is_empty() {
            let counted = Part::Counted(std::mem::take(&mut self.unit));
            self.push(counted);
        }
        self.push(Part::Reject(Box::new(reject)));
    }

    /// Drops a record that was rejected before.
    pub fn known_bad(&mut self, reject: Reject) {
        self.push(Part::KnownBad(Box::new(reject)));
    }

    fn push(&mut self, part: Part) {
        self.parts.push((self.out.len(), part));
    }
}
