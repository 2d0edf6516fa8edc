//! Values that are fetched once, and shared.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::error::Result;

type Cells<K, V> = HashMap<K, (Instant, Arc<OnceCell<V>>)>;

/// Values by key, each with the time when it was requested.
pub struct Memo<K, V> {
    cells: Mutex<Cells<K, V>>,
}

/// With this many values, old ones are removed.
const MANY: usize = 4096;

impl<K: Clone + Eq + Hash, V: Clone> Memo<K, V> {
    pub fn new(known: impl IntoIterator<Item = (K, V)>) -> Self {
        let now = Instant::now();
        let cell = |value| (now, Arc::new(OnceCell::new_with(Some(value))));
        let cells = known.into_iter().map(|(key, value)| (key, cell(value)));
        Self {
            cells: Mutex::new(cells.collect()),
        }
    }

    /// Returns the value of `key`; if there is none younger than `max_age`, calls `ask`.
    /// Concurrent callers wait for the first.
    ///
    /// # Errors
    /// That of `ask`; the next caller calls it again.
    pub async fn get<F>(
        &self,
        key: &K,
        max_age: Option<Duration>,
        ask: impl FnOnce() -> F,
    ) -> Result<V>
    where
        F: Future<Output = Result<V>>,
    {
        let cell = self.cell(key, max_age);
        cell.get_or_try_init(ask).await.cloned()
    }

    /// Removes the value of `key` unless `is_wanted`.
    pub fn remove_unless(&self, key: &K, is_wanted: impl Fn(&V) -> bool) {
        let mut cells = self.cells.lock();
        let value = cells.get(key).and_then(|(_, cell)| cell.get());
        if value.is_some_and(|value| !is_wanted(value)) {
            cells.remove(key);
        }
    }

    fn cell(&self, key: &K, max_age: Option<Duration>) -> Arc<OnceCell<V>> {
        let now = Instant::now();
        let is_old = |at: Instant| max_age.is_some_and(|age| now.duration_since(at) >= age);
        let new = || (now, Arc::default());
        let mut cells = self.cells.lock();
        if max_age.is_some() && cells.len() >= MANY {
            cells.retain(|_, (at, _)| !is_old(*at));
        }
        let entry = cells.entry(key.clone()).or_insert_with(new);
        if is_old(entry.0) {
            *entry = new();
        }
        Arc::clone(&entry.1)
    }
}
