//! Filling another index beside loaders.

use postgres::error::SqlState;
use postgres::types::Type;
use postgres::{Client, GenericClient, Transaction};

use super::schema::SchemaName;
use super::{Postgres, outbox, runs, tables};
use crate::error::{Kind, Result};
use crate::retry::Failure;
use crate::store::rebuild::{ChangedRows, Horizon, Locked, LockedRows, Rebuild, RebuildStore};
use crate::store::{DatabaseIdentity, StoredBuild};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS SCHEMA.bh_reindex (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    \"index\" text NOT NULL,
    previous text,
    owner text NOT NULL,
    heartbeat timestamp with time zone NOT NULL DEFAULT now()
)";

/// Loaders write in savepoints, which have transaction ids of their own, and
/// `pg_visible_in_snapshot` takes those of a transaction in progress for visible. But they are
/// above the id of their transaction, so no row that a snapshot does not see is older than the
/// oldest transaction in progress.
const HORIZON: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text::bigint";

const CHANGED: &str = "SELECT count(*),
        array_agg(id::bigint) FILTER (WHERE age(xmin) <= age($1::text::xid)),
        array_agg(xmin::text::bigint) FILTER (WHERE age(xmin) <= age($1::text::xid))
    FROM main_build";

fn changed_since(
    client: &mut impl GenericClient,
    horizon: Horizon,
) -> Result<ChangedRows, postgres::Error> {
    let horizon = horizon.0.to_string();
    let row = client.query_typed_one(CHANGED, &[(&horizon, Type::TEXT)])?;
    let rows: i64 = row.try_get(0)?;
    let ids: Option<Vec<i64>> = row.try_get(1)?;
    let versions: Option<Vec<i64>> = row.try_get(2)?;
    let versions = ids.into_iter().flatten().zip(versions.unwrap_or_default());
    Ok(ChangedRows {
        rows: rows.unsigned_abs(),
        versions: versions.collect(),
    })
}

impl RebuildStore for Postgres {
    fn rebuild(&mut self) -> Result<Option<Rebuild>> {
        self.retry(|client| {
            create_table(client)?;
            let rows = client.query_typed(
                "SELECT \"index\", previous, owner, heartbeat < now() - interval '10 minutes'
                 FROM bh_reindex",
                &[],
            )?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            Ok(Some(Rebuild {
                index: row.try_get(0)?,
                previous: row.try_get(1)?,
                owner: row.try_get(2)?,
                is_stale: row.try_get(3)?,
            }))
        })
    }

    fn begin_rebuild(&mut self, rebuild: &Rebuild, dead: Option<&str>) -> Result<bool> {
        self.retry(|client| {
            let noted = client.execute_typed(
                "INSERT INTO bh_reindex AS r (\"index\", previous, owner) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET \"index\" = $1, previous = $2, owner = $3,
                     heartbeat = now() WHERE r.owner IN ($3, $4)",
                &[
                    (&rebuild.index, Type::TEXT),
                    (&rebuild.previous, Type::TEXT),
                    (&rebuild.owner, Type::TEXT),
                    (&dead, Type::TEXT),
                ],
            )?;
            Ok(noted == 1)
        })
    }

    fn continue_rebuild(&mut self, owner: &str) -> Result<bool> {
        self.retry(|client| {
            let alive = "UPDATE bh_reindex SET heartbeat = now() WHERE owner = $1";
            Ok(client.execute_typed(alive, &[(&owner, Type::TEXT)])? == 1)
        })
    }

    fn end_rebuild(&mut self, owner: &str) -> Result<()> {
        self.retry(|client| {
            let end = "DELETE FROM bh_reindex WHERE owner = $1";
            client.execute_typed(end, &[(&owner, Type::TEXT)])?;
            Ok(())
        })
    }

    fn horizon(&mut self) -> Result<Horizon> {
        self.retry(|client| Ok(Horizon(client.query_typed_one(HORIZON, &[])?.try_get(0)?)))
    }

    fn changed_since(&mut self, horizon: Horizon) -> Result<ChangedRows> {
        self.retry(|client| Ok(changed_since(client, horizon)?))
    }

    fn with_rows_locked(
        &mut self,
        owner: &str,
        work: &mut dyn FnMut(&mut dyn LockedRows) -> Result<()>,
    ) -> Result<Locked> {
        // Not repeated: without an answer to COMMIT, the caller has to ask what became of it.
        let done = self.attempt(&mut |client| locked(client, owner, work));
        done.map_err(|failure| failure.into_error(&self.address))
    }
}

fn locked(
    client: &mut Client,
    owner: &str,
    work: &mut dyn FnMut(&mut dyn LockedRows) -> Result<()>,
) -> Result<Locked, Failure> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute("SET LOCAL lock_timeout = '2s'")?;
    // Loaders lock main_build first, too.
    let lock = "LOCK TABLE main_build IN SHARE MODE";
    if let Err(error) = transaction.batch_execute(lock) {
        let is_busy = [
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        if error.code().is_some_and(|code| is_busy.contains(code)) {
            return Ok(Locked::Busy);
        }
        return Err(error.into());
    }
    let mine = "SELECT FROM bh_reindex WHERE owner = $1 FOR UPDATE";
    if transaction
        .query_typed(mine, &[(&owner, Type::TEXT)])?
        .is_empty()
    {
        return Ok(Locked::TakenOver);
    }
    work(&mut Rows(&mut transaction)).map_err(Failure::Permanent)?;
    transaction.commit()?;
    Ok(Locked::Done)
}

struct Rows<'a, 'b>(&'a mut Transaction<'b>);

impl Rows<'_, '_> {
    fn ask<T>(
        &mut self,
        ask: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T> {
        ask(self.0).map_err(|failure| failure.into_error("the locked database"))
    }
}

impl LockedRows for Rows<'_, '_> {
    fn identity(&mut self) -> Result<DatabaseIdentity> {
        self.ask(|transaction| outbox::identity(transaction, SchemaName::default(), ""))
    }

    fn changed_since(&mut self, horizon: Horizon) -> Result<ChangedRows> {
        self.ask(|transaction| Ok(changed_since(transaction, horizon)?))
    }

    fn builds(&mut self, ids: &[i64]) -> Result<Vec<StoredBuild>> {
        let query = "SELECT id::bigint, build::text FROM main_build WHERE id = ANY ($1)";
        self.ask(|transaction| {
            Ok(outbox::builds(
                transaction,
                query,
                &[(&ids, Type::INT8_ARRAY)],
            )?)
        })
    }

    fn conclude(&mut self, refused: &[(i64, String)]) -> Result<()> {
        self.ask(|transaction| {
            let (mut ids, mut reasons) = (Vec::new(), Vec::new());
            for (id, reason) in refused {
                ids.push(*id);
                reasons.push(runs::storable(transaction, reason)?);
            }
            transaction.query_typed(
                "DELETE FROM bh_outbox WHERE error IS NOT NULL AND id <> ALL ($1)",
                &[(&ids, Type::INT8_ARRAY)],
            )?;
            transaction.query_typed(
                "INSERT INTO bh_outbox (id, error) SELECT unnest($1), unnest($2)
                 ON CONFLICT (id) DO UPDATE SET error = excluded.error",
                &[(&ids, Type::INT8_ARRAY), (&reasons, Type::TEXT_ARRAY)],
            )?;
            transaction.execute_typed("DELETE FROM bh_reindex", &[])?;
            Ok(())
        })
    }
}

/// Only this program needs the table, so loaders do not create it.
fn create_table(client: &mut Client) -> Result<(), Failure> {
    let there = "SELECT to_regclass('bh_reindex') IS NOT NULL";
    if client.query_typed_one(there, &[])?.try_get(0)? {
        return Ok(());
    }
    let mut transaction = client.transaction()?;
    tables::lock_creation(&mut transaction)?;
    let schema = "SELECT quote_ident(nspname) FROM pg_namespace JOIN pg_class c
        ON c.relnamespace = pg_namespace.oid WHERE c.oid = to_regclass('main_build')";
    let rows = transaction.query_typed(schema, &[])?;
    let Some(row) = rows.first() else {
        return Err(Failure::permanent(
            Kind::Configuration,
            "main_build is not there; load builds with bh-load first",
        ));
    };
    let schema: &str = row.try_get(0)?;
    transaction.batch_execute(&TABLE.replace("SCHEMA", schema))?;
    transaction.commit()?;
    Ok(())
}
