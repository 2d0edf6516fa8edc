//! The objects of the database, for comparing them with a bucket.

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;
use postgres::{Client, Row};

use super::runs::time;
use super::{Postgres, rejects};
use crate::error::Result;
use crate::retry::Failure;
use crate::store::KnownReject;
use crate::store::audit::{AuditStore, IN_FLIGHT, StoredObject};

const ROWS: &str =
    "SELECT s3_object_key, s3_object_etag, coalesce(created_at >= $1, true), true FROM main_build
    WHERE s3_object_key IS NOT NULL ORDER BY id";
const OTHER_ROWS: &str =
    "SELECT s3_object_key, s3_object_etag, coalesce(created_at >= $1, true), true
    FROM main_build WHERE s3_object_key IS NOT NULL
    AND NOT EXISTS (SELECT FROM bh_object WHERE key = s3_object_key) ORDER BY id";
/// One whose row is gone is not stored.
const OBJECTS: &str = "SELECT o.key, o.etag, coalesce(m.created_at >= $1, true),
        coalesce(m.s3_object_key = o.key, false)
    FROM bh_object o JOIN main_build m ON m.build_hash = o.build_hash";
const NEW_ROWS: &str =
    "SELECT s3_object_key, s3_object_etag, coalesce(created_at >= $1, true), true
    FROM main_build WHERE id >= $3 AND s3_object_key = ANY ($2)";

fn object<'a, K: postgres::types::FromSql<'a>>(
    row: &'a Row,
) -> Result<StoredObject<K>, postgres::Error> {
    Ok(StoredObject {
        key: row.try_get(0)?,
        etag: row.try_get(1)?,
        is_newer: row.try_get(2)?,
        has_own_row: row.try_get(3)?,
    })
}

fn read(
    client: &mut Client,
    query: &str,
    since: &str,
    each: &mut dyn FnMut(&StoredObject<&str>),
) -> Result<(), Failure> {
    let mut rows = client.query_typed_raw(query, [(time(since), Type::TIMESTAMPTZ)])?;
    while let Some(row) = rows.next()? {
        each(&object(&row)?);
    }
    Ok(())
}

impl AuditStore for Postgres {
    fn next_id(&mut self) -> Result<i64> {
        if !self.has("main_build")? {
            return Ok(0);
        }
        let schema = self.schema;
        self.retry(|client| {
            let last = "SELECT coalesce(max(id), 0)::bigint FROM main_build";
            let last: i64 = client
                .query_typed_one(&schema.qualify(last), &[])?
                .try_get(0)?;
            Ok(last - IN_FLIGHT)
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
        let schema = self.schema;
        for query in queries {
            self.retry(|client| read(client, &schema.qualify(query), since, each))?;
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
            query = format!("{query} UNION ALL {OBJECTS} WHERE o.key = ANY ($2)");
        }
        let schema = self.schema;
        self.retry(|client| {
            let rows = client.query_typed(
                &schema.qualify(&query),
                &[
                    (&time(since), Type::TIMESTAMPTZ),
                    (&keys, Type::TEXT_ARRAY),
                    (&from, Type::INT8),
                ],
            )?;
            let objects = rows.iter().map(object);
            Ok(objects.collect::<Result<_, postgres::Error>>()?)
        })
    }

    fn look_up_rejects(
        &mut self,
        keys: &[&str],
        each: &mut dyn FnMut(&KnownReject<'_>),
    ) -> Result<()> {
        let schema = self.schema;
        self.retry(|client| {
            if rejects::are_readable(client, schema)? {
                rejects::look_up(client, schema, keys, each)?;
            }
            Ok(())
        })
    }

    fn is_loaded_since(&mut self, since: &str) -> Result<bool> {
        if !self.has("main_build")? {
            return Ok(false);
        }
        let schema = self.schema;
        self.retry(|client| {
            let newest = "SELECT coalesce((SELECT coalesce(created_at >= $1, true) FROM main_build
                    ORDER BY id DESC LIMIT 1), false),
                coalesce(has_table_privilege(to_regclass('bh_run'), 'SELECT'), false)";
            let since = (
                &time(since) as &(dyn postgres::types::ToSql + Sync),
                Type::TIMESTAMPTZ,
            );
            let row =
                client.query_typed_one(&schema.qualify(newest), std::slice::from_ref(&since))?;
            if row.try_get(0)? || !row.try_get(1)? {
                return Ok(true);
            }
            let at_work = "SELECT EXISTS (SELECT FROM bh_run
                WHERE finished IS NULL OR finished >= $1)";
            let row = client.query_typed_one(&schema.qualify(at_work), &[since])?;
            Ok(row.try_get(0)?)
        })
    }
}
