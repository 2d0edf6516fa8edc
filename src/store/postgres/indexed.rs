//! The rows with the state of their documents.

use postgres::types::Type;

use super::Postgres;
use crate::error::Result;
use crate::store::QUEUED_BYTES;
use crate::store::indexed::{DocumentState, IndexedRow, IndexedStore};

/// The sizes are known without reading the builds.
const ROWS: &str = "SELECT m.id::bigint, m.s3_object_key, m.s3_object_etag, m.build::text,
        o.id IS NOT NULL, o.error
    FROM (SELECT id, sum(size) OVER (ORDER BY id) - size AS before
          FROM (SELECT id, pg_column_size(build) AS size FROM main_build
                WHERE id > $1 ORDER BY id LIMIT $2) AS page) AS sized
    JOIN main_build m USING (id) LEFT JOIN bh_outbox o USING (id)
    WHERE before < $3 ORDER BY id";

impl IndexedStore for Postgres {
    fn rows_after(&mut self, after: i64, limit: usize) -> Result<Vec<IndexedRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.retry(|client| {
            let rows = client.query_typed(
                ROWS,
                &[
                    (&after, Type::INT8),
                    (&limit, Type::INT8),
                    (&QUEUED_BYTES, Type::INT8),
                ],
            )?;
            let rows = rows.iter().map(|row| {
                Ok(IndexedRow {
                    id: row.try_get(0)?,
                    key: row.try_get(1)?,
                    etag: row.try_get(2)?,
                    build: row.try_get(3)?,
                    document: DocumentState::from_queue(row.try_get(4)?, row.try_get(5)?),
                })
            });
            Ok(rows.collect::<Result<_, postgres::Error>>()?)
        })
    }

    fn unconfirmed(&mut self, ids: &[i64]) -> Result<Vec<(i64, DocumentState)>> {
        self.retry(|client| {
            let query = "SELECT id, error FROM bh_outbox WHERE id = ANY ($1)";
            let rows = client.query_typed(query, &[(&ids, Type::INT8_ARRAY)])?;
            let states = rows.iter().map(|row| {
                let state = DocumentState::from_queue(true, row.try_get(1)?);
                Ok((row.try_get(0)?, state))
            });
            Ok(states.collect::<Result<_, postgres::Error>>()?)
        })
    }

    fn existing(&mut self, ids: &[i64]) -> Result<Vec<i64>> {
        self.retry(|client| {
            let query = "SELECT id::bigint FROM main_build WHERE id = ANY ($1)";
            let rows = client.query_typed(query, &[(&ids, Type::INT8_ARRAY)])?;
            let ids = rows.iter().map(|row| row.try_get(0));
            Ok(ids.collect::<Result<_, postgres::Error>>()?)
        })
    }

    fn queue(&mut self, ids: &[i64]) -> Result<()> {
        self.retry(|client| {
            let queue = "INSERT INTO bh_outbox (id) SELECT id FROM main_build WHERE id = ANY ($1)
                ON CONFLICT (id) DO NOTHING";
            client.execute_typed(queue, &[(&ids, Type::INT8_ARRAY)])?;
            Ok(())
        })
    }
}
