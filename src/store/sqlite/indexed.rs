//! The rows with the state of their documents.

use rusqlite::{OptionalExtension, params};

use super::Sqlite;
use crate::error::Result;
use crate::store::QUEUED_BYTES;
use crate::store::indexed::{DocumentState, IndexedRow, IndexedStore};

const ROWS: &str = "SELECT m.id, s3_object_key, s3_object_etag, build, o.id IS NOT NULL, o.error
    FROM main_build m LEFT JOIN bh_outbox o ON o.id = m.id
    WHERE m.id > ?1 ORDER BY m.id LIMIT ?2";

impl IndexedStore for Sqlite {
    fn rows_after(&mut self, after: i64, limit: usize) -> Result<Vec<IndexedRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.within(|connection| {
            let mut statement = connection.prepare_cached(ROWS)?;
            let mut rows = statement.query(params![after, limit])?;
            let (mut page, mut bytes) = (Vec::new(), 0);
            while bytes < QUEUED_BYTES
                && let Some(row) = rows.next()?
            {
                let row = IndexedRow {
                    id: row.get(0)?,
                    key: row.get(1)?,
                    etag: row.get(2)?,
                    build: row.get(3)?,
                    document: DocumentState::from_queue(row.get(4)?, row.get(5)?),
                };
                bytes += i64::try_from(row.build.len()).unwrap_or(i64::MAX / 2);
                page.push(row);
            }
            Ok(page)
        })
    }

    fn unconfirmed(&mut self, ids: &[i64]) -> Result<Vec<(i64, DocumentState)>> {
        self.within(|connection| {
            let mut queued =
                connection.prepare_cached("SELECT error FROM bh_outbox WHERE id = ?1")?;
            let states = ids.iter().map(|id| {
                let error = queued.query_row([id], |row| row.get(0)).optional()?;
                Ok(error.map(|error| (*id, DocumentState::from_queue(true, error))))
            });
            states.filter_map(Result::transpose).collect()
        })
    }

    fn existing(&mut self, ids: &[i64]) -> Result<Vec<i64>> {
        self.within(|connection| {
            let mut row = connection.prepare_cached("SELECT id FROM main_build WHERE id = ?1")?;
            let found = ids
                .iter()
                .map(|id| row.query_row([id], |row| row.get(0)).optional());
            found.filter_map(Result::transpose).collect()
        })
    }

    fn queue(&mut self, ids: &[i64]) -> Result<()> {
        self.transact(|transaction| {
            let mut queue = transaction.prepare_cached(
                "INSERT OR IGNORE INTO bh_outbox (id) SELECT id FROM main_build WHERE id = ?1",
            )?;
            ids.iter().try_for_each(|id| queue.execute([id]).map(drop))
        })
    }
}
