//! What a database holds, for comparing it with a bucket.

use super::{KnownReject, Store};
use crate::error::Result;

/// An object that the database holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject<K> {
    pub key: K,
    /// `None` where a row does not say: with quotes or without.
    pub etag: Option<K>,
    /// Its row was stored after a time.
    pub is_newer: bool,
    /// Its row is of this key. If not, when it was stored is not known.
    pub has_own_row: bool,
}

/// A database whose objects can be compared with those of a bucket.
pub trait AuditStore: Store {
    /// Returns an id that is not above that of any row which is stored from now on.
    fn next_id(&mut self) -> Result<i64>;

    /// Calls `each` with every object; of several rows of a key the newest comes last. `since`
    /// is the time, in RFC 3339, after which an object is newer.
    fn for_each_stored(
        &mut self,
        since: &str,
        each: &mut dyn FnMut(&StoredObject<&str>),
    ) -> Result<()>;

    /// Returns the objects with these keys that were dealt with by a loader, or have a row with
    /// an id from `from` on, in no order.
    fn look_up_objects(
        &mut self,
        keys: &[&str],
        since: &str,
        from: i64,
    ) -> Result<Vec<StoredObject<String>>>;

    /// Calls `each` with those of the objects with these keys that were rejected at a known ETag.
    fn look_up_rejects(
        &mut self,
        keys: &[&str],
        each: &mut dyn FnMut(&KnownReject<'_>),
    ) -> Result<()>;

    /// Returns whether a loader may have stored something after `since`.
    fn is_loaded_since(&mut self, since: &str) -> Result<bool>;
}

/// Ids are given before rows are committed: so many rows may be on their way.
pub const IN_FLIGHT: i64 = 10_000;
