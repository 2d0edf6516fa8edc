//! What a batch does to the table, decided before anything is written.

use std::collections::{BTreeMap, HashMap};

use super::{Outcome, Row, Stored, quoted};

/// The changes of one batch. Indices are those of the rows.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Rows to insert, one for each new hash, sorted by hash so that loaders
    /// side by side never wait for each other in a circle.
    pub inserts: BTreeMap<&'a str, usize>,
    /// New ETags, quoted, of stored rows by id.
    pub renewals: BTreeMap<i64, String>,
    /// Every object of the batch with the ETag and the hash to remember; of
    /// one key the last.
    pub objects: BTreeMap<&'a str, (&'a str, &'a str)>,
}

impl<'a> Plan<'a> {
    /// The rows whose hash is not `found`.
    pub fn new(rows: &'a [Row], found: &HashMap<String, Stored>) -> Self {
        let mut plan = Self::default();
        for (at, row) in rows.iter().enumerate() {
            if !found.contains_key(&row.hash) {
                plan.inserts.entry(&row.hash).or_insert(at);
            }
            if let (Some(key), Some(etag)) = (&row.key, &row.etag) {
                plan.objects.insert(key, (etag, &row.hash));
            }
        }
        plan
    }

    /// The outcome of each row, once `stored` holds every hash of the batch
    /// and `inserted` the ids of those that this batch brought in; what was
    /// refused has its reason in `refused`. Notes which ETags to renew.
    pub fn outcomes(
        &mut self,
        rows: &'a [Row],
        mut stored: HashMap<String, Stored>,
        inserted: &HashMap<&str, i64>,
        refused: &HashMap<String, String>,
    ) -> Vec<Outcome> {
        rows.iter()
            .enumerate()
            .map(|(at, row)| {
                if let Some(reason) = refused.get(&row.hash) {
                    return Outcome::Refused(reason.clone());
                }
                if self.inserts.get(row.hash.as_str()) == Some(&at)
                    && let Some(id) = inserted.get(row.hash.as_str())
                {
                    return Outcome::Inserted(*id);
                }
                match stored.get_mut(&row.hash) {
                    Some(old) => self.meet(row, old),
                    None => Outcome::Known,
                }
            })
            .collect()
    }

    /// An object meets the row that holds its content.
    fn meet(&mut self, row: &Row, old: &mut Stored) -> Outcome {
        let Some(etag) = &row.etag else {
            return Outcome::Known;
        };
        let stored = old.etag.as_deref().unwrap_or_default().trim_matches('"');
        if row.key.is_none() || row.key != old.key || stored == etag {
            return Outcome::Known;
        }
        let etag = quoted(etag);
        old.etag = Some(etag.clone());
        self.renewals.insert(old.id, etag);
        Outcome::EtagRenewed
    }
}
