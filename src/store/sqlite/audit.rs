//! The objects of the database, for comparing them with a bucket.

use jiff::Timestamp;
use rusqlite::{Row, params};

use super::{Sqlite, rejects};
use crate::error::Result;
use crate::store::KnownReject;
use crate::store::audit::{AuditStore, StoredObject};

const ROWS: &str = "SELECT s3_object_key, s3_object_etag, created_at >= ?1, 1 FROM main_build
    WHERE s3_object_key IS NOT NULL ORDER BY id";
const OTHER_ROWS: &str = "SELECT s3_object_key, s3_object_etag, created_at >= ?1, 1 FROM main_build
    WHERE s3_object_key IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM bh_object WHERE key = s3_object_key) ORDER BY id";
/// One whose row is gone is not stored.
const OBJECTS: &str = "SELECT o.key, o.etag, m.created_at >= ?1,
        coalesce(m.s3_object_key = o.key, 0)
    FROM bh_object o JOIN main_build m ON m.build_hash = o.build_hash";
const NEW_ROWS: &str = "SELECT s3_object_key, s3_object_etag, created_at >= ?1, 1
    FROM main_build WHERE id >= ?3 AND s3_object_key = ?2";

fn object<'a>(row: &'a Row<'_>) -> rusqlite::Result<StoredObject<&'a str>> {
    Ok(StoredObject {
        key: row.get_ref(0)?.as_str()?,
        etag: row.get_ref(1)?.as_str_or_null()?,
        is_newer: row.get(2)?,
        has_own_row: row.get(3)?,
    })
}

/// Times are compared as texts, so they must be written alike.
fn stored_form(time: &str) -> String {
    let time = time.parse::<Timestamp>().unwrap_or_default();
    format!("{time:.3}")
}

impl Sqlite {
    pub(super) fn has(&self, table: &str) -> Result<bool> {
        Ok(!self.columns(table)?.is_empty())
    }
}

impl AuditStore for Sqlite {
    fn next_id(&mut self) -> Result<i64> {
        if !self.has("main_build")? {
            return Ok(0);
        }
        self.within(|connection| {
            let next = "SELECT coalesce(max(id), 0) + 1 FROM main_build";
            connection.query_row(next, [], |row| row.get(0))
        })
    }

    fn for_each_stored(
        &mut self,
        since: &str,
        each: &mut dyn FnMut(&StoredObject<&str>),
    ) -> Result<()> {
        let queries: &[&str] = match (self.has("main_build")?, self.has("bh_object")?) {
            (true, true) => &[OTHER_ROWS, OBJECTS],
            (true, false) => &[ROWS],
            (false, _) => &[],
        };
        for query in queries {
            self.within(|connection| {
                let mut statement = connection.prepare(query)?;
                let mut rows = statement.query([stored_form(since)])?;
                while let Some(row) = rows.next()? {
                    each(&object(row)?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn look_up_objects(
        &mut self,
        keys: &[&str],
        since: &str,
        from: i64,
    ) -> Result<Vec<StoredObject<String>>> {
        if !self.has("main_build")? {
            return Ok(Vec::new());
        }
        let mut query = NEW_ROWS.to_owned();
        if self.has("bh_object")? {
            query = format!("{query} UNION ALL {OBJECTS} WHERE o.key = ?2");
        }
        self.within(|connection| {
            let mut statement = connection.prepare_cached(&query)?;
            let mut found = Vec::new();
            for key in keys {
                let mut rows = statement.query(params![stored_form(since), key, from])?;
                while let Some(row) = rows.next()? {
                    let object = object(row)?;
                    found.push(StoredObject {
                        key: object.key.to_owned(),
                        etag: object.etag.map(str::to_owned),
                        is_newer: object.is_newer,
                        has_own_row: object.has_own_row,
                    });
                }
            }
            Ok(found)
        })
    }

    fn look_up_rejects(
        &mut self,
        keys: &[&str],
        each: &mut dyn FnMut(&KnownReject<'_>),
    ) -> Result<()> {
        if !self.has("bh_reject")? {
            return Ok(());
        }
        self.within(|connection| rejects::look_up(connection, keys, each))
    }

    fn is_loaded_since(&mut self, since: &str) -> Result<bool> {
        if !self.has("bh_run")? {
            return Ok(true);
        }
        self.within(|connection| {
            let query = "SELECT coalesce((SELECT created_at >= ?1 FROM main_build
                    ORDER BY id DESC LIMIT 1), 0)
                OR EXISTS (SELECT 1 FROM bh_run WHERE finished IS NULL OR finished >= ?1)";
            connection.query_row(query, [stored_form(since)], |row| row.get(0))
        })
    }
}
