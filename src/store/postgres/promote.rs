//! The promotion of a staging, in one transaction.
//!
//! Locks are taken in one order, by loaders too: `main_build`, `bh_outbox`, `bh_object`,
//! `bh_reject`, `bh_run`.

use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient, Transaction};

use super::definitions::NAMES;
use super::schema::{SchemaName, quoted};
use super::tables::{self, Tables};
use super::{Postgres, outbox, runs};
use crate::error::{Error, Result};
use crate::retry::Failure;
use crate::store::promotion::{
    Judge, PROMOTED, Promotion, PromotionCounts, PromotionStore, StagingContents, criteria_of,
    no_staging, not_taken, promotion_in, source_of, sql,
};
use crate::store::staging::{self, promotion_of};
use crate::store::{RunRecord, StagingName};

/// Waits for a batch in flight, and no longer: later writers wait behind the lock.
const LOCK_STAGING: &str = "SET LOCAL lock_timeout = '60s';
    LOCK TABLE STAGING.main_build, STAGING.bh_object, STAGING.bh_reject IN SHARE MODE;
    SELECT FROM STAGING.bh_run FOR UPDATE";

/// `follow` waits until the promotion has ended, or has been before it.
const LOCK_MAIN: &str = "LOCK TABLE main_build IN ROW EXCLUSIVE MODE";

/// Schemas with an identity, which may be that of a staging.
const SCHEMAS: &str = "SELECT n.nspname::text FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = 'bh_database' AND c.relkind = 'r'
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY 1";

/// Rows that name none of the staging's runs.
const FOREIGN: &str = "SELECT count(*) FROM STAGING.main_build AS s
    WHERE NOT EXISTS (SELECT FROM STAGING.bh_run AS r WHERE r.id = s.metadata->>'run')";

/// Returns a statement with the schema of the staging.
fn of(name: StagingName, statement: &str) -> String {
    statement.replace("STAGING", &quoted(name.as_str()))
}

fn count(client: &mut impl GenericClient, query: &str) -> Result<u64, postgres::Error> {
    let count: i64 = client.query_typed_one(query, &[])?.try_get(0)?;
    Ok(count.unsigned_abs())
}

/// Returns whether there is such a staging.
fn exists(client: &mut Client, name: StagingName) -> Result<bool, Failure> {
    let schema = SchemaName::from(name);
    tables::check(client, schema)?;
    let table = schema.qualify("bh_database");
    let exists = "SELECT to_regclass($1) IS NOT NULL";
    let row = client.query_typed_one(exists, &[(&table, Type::TEXT)])?;
    Ok(row.try_get(0)?)
}

fn contents(
    client: &mut impl GenericClient,
    name: StagingName,
) -> Result<StagingContents, Failure> {
    let schema = SchemaName::from(name);
    let id = outbox::identity(client, schema, "")?.id;
    let mut runs = runs::all(client, schema)?;
    let own = promotion_of(&id);
    let promotion = runs.iter().find(|run| run.run == own);
    let promotion = promotion.and_then(promotion_in);
    runs.retain(|run| run.run != own);
    let mut contents = StagingContents {
        runs,
        promotion,
        rows: count(client, &of(name, sql::ROWS))?,
        foreign_rows: count(client, &of(name, FOREIGN))?,
        objects: count(client, &of(name, sql::OBJECTS))?,
        ..StagingContents::default()
    };
    for row in client.query_typed(&of(name, sql::REJECTS), &[])? {
        let rejects: i64 = row.try_get(1)?;
        contents
            .rejects
            .insert(row.try_get(0)?, rejects.unsigned_abs());
    }
    Ok(contents)
}

/// Moves what the staging holds; its tables and `main_build` are locked.
fn transfer(
    transaction: &mut Transaction<'_>,
    name: StagingName,
    address: &str,
) -> Result<PromotionCounts, Failure> {
    let first = "SELECT coalesce(max(id), 0)::bigint FROM main_build";
    let first: i64 = transaction.query_typed_one(first, &[])?.try_get(0)?;
    let mut counts = PromotionCounts {
        rows: count(transaction, &of(name, sql::ROWS))?,
        ..PromotionCounts::default()
    };
    let insert = format!(
        "WITH new AS ({} RETURNING id),
         queued AS (INSERT INTO bh_outbox (id) SELECT id FROM new WHERE $1
             ON CONFLICT (id) DO UPDATE SET error = NULL, reported = false RETURNING id)
         SELECT (SELECT count(*) FROM new), (SELECT count(*) FROM queued)",
        of(name, sql::INSERT).replace("NOW", "now()")
    );
    let queue = outbox::is_followed(transaction, SchemaName::default())?;
    let row = transaction.query_typed_one(&insert, &[(&queue, Type::BOOL)])?;
    let (inserted, queued): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    (counts.inserted, counts.queued) = (inserted.unsigned_abs(), queued.unsigned_abs());
    counts.known = counts.rows - counts.inserted;
    let missing = count(transaction, &of(name, sql::NEW))?;
    if missing > 0 || queue && counts.queued != counts.inserted {
        return Err(Failure::Permanent(not_taken(missing, address)));
    }
    for renew in sql::renewals() {
        counts.etags_renewed += transaction.execute_typed(&of(name, &renew), &[])?;
    }
    counts.objects = transaction.execute_typed(&of(name, sql::UPSERT_OBJECTS), &[])?;
    transaction.execute_typed(&of(name, sql::MEND_REJECTS), &[])?;
    counts.rejects = transaction.execute_typed(&of(name, sql::UPSERT_REJECTS), &[])?;
    let runs = of(name, sql::INSERT_RUNS).replace("FIRST", "$1");
    counts.runs = transaction.execute_typed(&runs, &[(&first, Type::INT8)])?;
    Ok(counts)
}

/// Records the promotion in the main database, and in the staging, which ends with it.
fn record(
    transaction: &mut Transaction<'_>,
    name: StagingName,
    id: &str,
    note: Option<&str>,
    counts: &PromotionCounts,
) -> Result<(), Failure> {
    let criteria = criteria_of(name, note).to_string();
    let criteria = runs::storable(transaction, &criteria)?;
    let counts = serde_json::to_string(counts).unwrap_or_default();
    let promotion = "INTO bh_run (id, source, criteria, version, started, finished, outcome,
            counts, first_id, loader)
        VALUES ($1, $2, $3::json, $4, now(), now(), $5, $6::json, 0, 'bh-promote')";
    let values: [(&(dyn ToSql + Sync), Type); 6] = [
        (&id, Type::TEXT),
        (&source_of(name), Type::TEXT),
        (&criteria, Type::TEXT),
        (&env!("CARGO_PKG_VERSION"), Type::TEXT),
        (&PROMOTED, Type::TEXT),
        (&counts, Type::TEXT),
    ];
    let ended = format!("UPDATE STAGING.bh_run SET outcome = '{PROMOTED}'");
    transaction.execute_typed(&of(name, &ended), &[])?;
    for schema in [SchemaName::default(), name.into()] {
        let insert = format!("INSERT {promotion}");
        transaction.execute_typed(&schema.qualify(&insert), &values)?;
    }
    Ok(())
}

/// Promotes a staging, unless it has been promoted.
fn promote(
    client: &mut Client,
    name: StagingName,
    note: Option<&str>,
    judge: Judge<'_>,
    tables: Tables,
    address: &str,
) -> Result<(), Failure> {
    if !exists(client, name)? {
        return Err(Failure::Permanent(no_staging(name, address)));
    }
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&of(name, LOCK_STAGING))?;
    let contents = contents(&mut transaction, name)?;
    if contents.promotion.is_some() {
        return Ok(());
    }
    judge(&contents).map_err(Failure::Permanent)?;
    transaction.batch_execute(LOCK_MAIN)?;
    tables.begin(&mut transaction, SchemaName::default())?;
    let counts = transfer(&mut transaction, name, address)?;
    let id = outbox::identity(&mut transaction, name.into(), "")?.id;
    record(&mut transaction, name, &promotion_of(&id), note, &counts)?;
    transaction.commit()?;
    Ok(())
}

/// Drops the tables of a staging, and its schema where nothing else is in it.
fn drop_staging(client: &mut Client, name: StagingName, judge: Judge<'_>) -> Result<bool, Failure> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&of(name, LOCK_STAGING))?;
    judge(&contents(&mut transaction, name)?).map_err(Failure::Permanent)?;
    let schema = SchemaName::from(name);
    let names = NAMES.map(|name| schema.qualify(name)).join(", ");
    transaction.batch_execute(&format!("DROP TABLE IF EXISTS {names}"))?;
    let mut attempt = transaction.transaction()?;
    let drop = format!("DROP SCHEMA {}", quoted(name.as_str()));
    let is_dropped = attempt.batch_execute(&drop).is_ok();
    if is_dropped {
        attempt.commit()?;
    } else {
        attempt.rollback()?;
    }
    transaction.commit()?;
    Ok(is_dropped)
}

impl PromotionStore for Postgres {
    fn address(&self) -> &str {
        &self.address
    }

    fn stagings(&mut self) -> Result<Vec<StagingName>> {
        self.retry(|client| {
            let mut names = Vec::new();
            for row in client.query_typed(SCHEMAS, &[])? {
                let schema: String = row.try_get(0)?;
                let Ok(name) = schema.parse::<StagingName>() else {
                    continue;
                };
                let marked = format!(
                    "SELECT EXISTS (SELECT FROM STAGING.bh_database WHERE id LIKE '{}%')",
                    staging::MARK
                );
                if client
                    .query_typed_one(&of(name, &marked), &[])?
                    .try_get(0)?
                {
                    names.push(name);
                }
            }
            Ok(names)
        })
    }

    fn contents(&mut self, name: StagingName) -> Result<Option<StagingContents>> {
        self.retry(|client| {
            if !exists(client, name)? {
                return Ok(None);
            }
            contents(client, name).map(Some)
        })
    }

    fn last_promotion(&mut self, name: StagingName) -> Result<Option<Promotion>> {
        if !self.has("bh_run")? {
            return Ok(None);
        }
        let runs = self.retry(|client| Ok(runs::all(client, SchemaName::default())?))?;
        let of_name = |run: &&RunRecord| run.outcome == PROMOTED && run.source == source_of(name);
        let last = runs.iter().filter(of_name).max_by_key(|run| &run.finished);
        Ok(last.and_then(promotion_in))
    }

    fn forecast(&mut self, name: StagingName) -> Result<PromotionCounts> {
        let (has_rows, follows) = (self.has("main_build")?, self.has("bh_database")?);
        self.retry(|client| {
            let rows = count(client, &of(name, sql::ROWS))?;
            let objects = count(client, &of(name, sql::OBJECTS))?;
            let rejects = "SELECT count(*) FROM STAGING.bh_reject";
            let rejects = count(client, &of(name, rejects))?;
            let runs = count(client, &of(name, sql::RUNS))?;
            let (inserted, etags_renewed) = if has_rows {
                let new = count(client, &of(name, sql::NEW))?;
                (new, count(client, &of(name, &sql::renewed()))?)
            } else {
                (rows, 0)
            };
            let queue = follows && outbox::is_followed(client, SchemaName::default())?;
            Ok(PromotionCounts {
                rows,
                inserted,
                known: rows - inserted,
                etags_renewed,
                objects,
                rejects,
                queued: if queue { inserted } else { 0 },
                runs,
            })
        })
    }

    fn promote(
        &mut self,
        name: StagingName,
        note: Option<&str>,
        judge: Judge<'_>,
    ) -> Result<Promotion> {
        let address = self.address.clone();
        if let Some(missing) = NAMES.iter().find(|table| !self.uses(table)) {
            return Err(Error::configuration(format!(
                "{address}: a promotion needs the table {missing}: run bh-promote as a role that \
                 may create it"
            )));
        }
        let tables = self.tables();
        let tables = tables.ok_or_else(|| Error::internal("it was opened only for reading"))?;
        self.retry(|client| promote(client, name, note, judge, tables, &address))?;
        let promotion = self.retry(|client| Ok(contents(client, name)?.promotion))?;
        promotion.ok_or_else(|| Error::internal("a promotion is not recorded"))
    }

    fn drop_staging(&mut self, name: StagingName, judge: Judge<'_>) -> Result<bool> {
        self.retry(|client| drop_staging(client, name, judge))
    }
}
