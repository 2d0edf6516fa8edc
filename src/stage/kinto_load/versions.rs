//! Decides which of several records with one id are sent: the last one counts.

use std::collections::{HashMap, HashSet};

use super::contents::{Hash, digest};
use super::read::PendingPut;
use crate::ndjson::Parsed;

type Item = Parsed<Box<PendingPut>>;

/// A content of an id, both by their hashes.
pub type RecordVersion = (u64, Hash);

/// Contents that the input of a run had before another one of the same id.
pub type Superseded = HashSet<RecordVersion>;

/// The reason of versions that are not sent, because a later one replaces them.
const SUPERSEDED: &str = "superseded";

/// The versions of records in the input.
#[derive(Default)]
pub struct Versions {
    /// The version that was last sent of each path, by its hash.
    sent: HashMap<u64, Option<RecordVersion>>,
    superseded: Superseded,
    /// Records of which a later version is expected, as in the last run.
    put_off: HashMap<u64, Box<PendingPut>>,
}

impl Versions {
    /// Returns the items of a batch that are to be sent: of each record the last version,
    /// unless the server has it; other items stay in place.
    pub fn choose(&mut self, batch: Vec<Item>) -> Vec<Item> {
        let mut last = HashMap::new();
        for (at, item) in batch.iter().enumerate() {
            if let Parsed::Record(pending) = item {
                let replaces = pending.version.is_some();
                last.insert(digest(&pending.put.path), (at, replaces));
            }
        }
        let mut chosen = Vec::with_capacity(batch.len());
        for (at, item) in batch.into_iter().enumerate() {
            let Parsed::Record(pending) = item else {
                chosen.push(item);
                continue;
            };
            let path = digest(&pending.put.path);
            let later = last
                .get(&path)
                .is_some_and(|(last, replaces)| *last > at && *replaces);
            self.settle_earlier(path, pending.version.is_some(), &mut chosen);
            match pending.version {
                Some(version) if later => {
                    self.superseded.insert(version);
                    chosen.push(Parsed::Dropped(SUPERSEDED, 1));
                }
                _ if pending.superseded && !self.sent.contains_key(&path) => {
                    self.put_off.insert(path, pending);
                    chosen.push(Parsed::PutOff);
                }
                _ => chosen.push(self.send(path, pending)),
            }
        }
        chosen
    }

    /// Sends or drops a record that was put off, because another version has arrived.
    fn settle_earlier(&mut self, path: u64, is_replaced: bool, chosen: &mut Vec<Item>) {
        let Some(earlier) = self.put_off.remove(&path) else {
            return;
        };
        chosen.push(Parsed::TakenUp);
        if is_replaced {
            self.superseded.extend(earlier.version);
            chosen.push(Parsed::Dropped(SUPERSEDED, 1));
        } else {
            chosen.push(self.send(path, earlier));
        }
    }

    fn send(&mut self, path: u64, mut pending: Box<PendingPut>) -> Item {
        let sent = self.sent.get(&path).copied();
        // After another version was sent, even an unchanged one has to be sent.
        pending.unchanged &= sent.is_none();
        if !pending.unchanged {
            let earlier = sent.flatten();
            self.superseded
                .extend(earlier.filter(|earlier| Some(*earlier) != pending.version));
            self.sent.insert(path, pending.version);
        }
        Parsed::Record(pending)
    }

    /// Returns the records of which no later version arrived, and what was superseded.
    pub fn finish(mut self) -> (Vec<Item>, Superseded) {
        let mut rest: Vec<_> = std::mem::take(&mut self.put_off).into_iter().collect();
        rest.sort_unstable_by_key(|(_, pending)| pending.number);
        let rest = rest.into_iter();
        let items = rest
            .flat_map(|(path, pending)| [Parsed::TakenUp, self.send(path, pending)])
            .collect();
        (items, self.superseded)
    }
}
