//! Of several records with one id the last one counts: which of them are sent.

use std::collections::{HashMap, HashSet};

use super::known::{Hash, digest};
use super::read::PendingPut;
use crate::ndjson::Parsed;

type Item = Parsed<Box<PendingPut>>;

/// A content of an id, both by their hashes.
pub type RecordVersion = (u64, Hash);

/// Contents that the input of a run held before another one of the same id.
pub type Superseded = HashSet<RecordVersion>;

/// The reason of versions that are not sent, for a later one takes their place.
const SUPERSEDED: &str = "superseded";

/// What the input holds of the same records.
#[derive(Default)]
pub struct Versions {
    /// What was sent last of a path, by its hash.
    sent: HashMap<u64, Option<RecordVersion>>,
    superseded: Superseded,
    /// Records of which a later version is to come, as in the last run.
    put_off: HashMap<u64, Box<PendingPut>>,
}

impl Versions {
    /// Returns what of a batch is sent, of each record the last version if the
    /// server does not have it, with the other items in their places.
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
                }
                _ => chosen.push(self.send(path, pending)),
            }
        }
        chosen
    }

    /// Decides about a record that was put off, now that another one came.
    fn settle_earlier(&mut self, path: u64, is_replaced: bool, chosen: &mut Vec<Item>) {
        let Some(earlier) = self.put_off.remove(&path) else {
            return;
        };
        if is_replaced {
            self.superseded.extend(earlier.version);
            chosen.push(Parsed::Dropped(SUPERSEDED, 1));
        } else {
            chosen.push(self.send(path, earlier));
        }
    }

    fn send(&mut self, path: u64, mut pending: Box<PendingPut>) -> Item {
        let sent = self.sent.get(&path).copied();
        // What the server had is sent all the same after another version of it.
        pending.unchanged &= sent.is_none();
        if !pending.unchanged {
            let earlier = sent.flatten();
            self.superseded
                .extend(earlier.filter(|earlier| Some(*earlier) != pending.version));
            self.sent.insert(path, pending.version);
        }
        Parsed::Record(pending)
    }

    /// Returns the records of which no later version came, and what was
    /// superseded.
    pub fn finish(mut self) -> (Vec<Item>, Superseded) {
        let mut rest: Vec<_> = std::mem::take(&mut self.put_off).into_iter().collect();
        rest.sort_unstable_by_key(|(_, pending)| pending.number);
        let rest = rest.into_iter();
        let items = rest
            .map(|(path, pending)| self.send(path, pending))
            .collect();
        (items, self.superseded)
    }
}
