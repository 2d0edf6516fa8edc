//! The queue of rows to be indexed, and the index that follows the database.

use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient};

use super::runs;
use super::schema::SchemaName;
use crate::error::Kind;
use crate::retry::Failure;
use crate::store::{DatabaseIdentity, QUEUED_BYTES, RefusedRow, StoredBuild};

/// Reads the identity; `lock` is a locking clause, or nothing.
pub fn identity(
    client: &mut impl GenericClient,
    schema: SchemaName,
    lock: &str,
) -> Result<DatabaseIdentity, Failure> {
    let query = format!("SELECT id, generation, \"index\" FROM bh_database {lock}");
    let rows = client.query_typed(&schema.qualify(&query), &[])?;
    let [row] = rows.as_slice() else {
        let message = "bh_database must have exactly one row; drop the table, and it is created \
                       again";
        return Err(Failure::permanent(Kind::Configuration, message));
    };
    Ok(DatabaseIdentity {
        id: row.try_get(0)?,
        generation: row.try_get(1)?,
        index: row.try_get(2)?,
    })
}

/// Returns whether an index follows this database.
pub fn is_followed(
    client: &mut impl GenericClient,
    schema: SchemaName,
) -> Result<bool, postgres::Error> {
    let query = "SELECT EXISTS (SELECT FROM bh_database WHERE \"index\" IS NOT NULL)";
    client
        .query_typed_one(&schema.qualify(query), &[])?
        .try_get(0)
}

/// Reads the rows of a query: ids and builds.
pub fn builds(
    client: &mut impl GenericClient,
    query: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<StoredBuild>, postgres::Error> {
    let rows = client.query_typed(query, parameters)?;
    rows.iter()
        .map(|row| {
            Ok(StoredBuild {
                id: row.try_get(0)?,
                build: row.try_get(1)?,
            })
        })
        .collect()
}

pub fn queued(
    client: &mut Client,
    after: i64,
    limit: usize,
) -> Result<Vec<StoredBuild>, postgres::Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    builds(
        client,
        // Without the second bound all of main_build is read from its start. The sizes
        // are known without reading the builds.
        "SELECT id, build::text FROM (
             SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM (
                 SELECT o.id, pg_column_size(m.build) AS size
                 FROM bh_outbox o JOIN main_build m USING (id)
                 WHERE o.id > $1 AND m.id > $1 AND o.error IS NULL
                 ORDER BY o.id LIMIT $2) AS queued) AS sized
         JOIN main_build USING (id) WHERE before < $3 ORDER BY id",
        &[
            (&after, Type::INT8),
            (&limit, Type::INT8),
            (&QUEUED_BYTES, Type::INT8),
        ],
    )
}

pub fn unreported(client: &mut Client) -> Result<Vec<RefusedRow>, postgres::Error> {
    let rows = client.query_typed(
        "SELECT o.id, m.s3_object_key, m.s3_object_etag, o.error
         FROM bh_outbox o JOIN main_build m USING (id)
         WHERE o.error IS NOT NULL AND NOT o.reported ORDER BY o.id",
        &[],
    )?;
    rows.iter()
        .map(|row| {
            Ok(RefusedRow {
                id: row.try_get(0)?,
                key: row.try_get(1)?,
                etag: row.try_get(2)?,
                reason: row.try_get(3)?,
            })
        })
        .collect()
}

pub fn follow(
    client: &mut Client,
    seen: &DatabaseIdentity,
    index: &str,
    requeue: bool,
) -> Result<DatabaseIdentity, Failure> {
    let mut transaction = client.transaction()?;
    // Loaders that are storing rows finish first: they asked before this whether
    // to queue them. Those that follow ask after it.
    transaction.batch_execute("LOCK TABLE main_build IN SHARE MODE")?;
    let followed = transaction.query_typed(
        "UPDATE bh_database SET \"index\" = $1, generation = generation + $2
         WHERE generation = $3 AND \"index\" IS NOT DISTINCT FROM $4 RETURNING generation",
        &[
            (&index, Type::TEXT),
            (&i64::from(requeue), Type::INT8),
            (&seen.generation, Type::INT8),
            (&seen.index, Type::TEXT),
        ],
    )?;
    if requeue && !followed.is_empty() {
        transaction.batch_execute(
            "INSERT INTO bh_outbox (id) SELECT id FROM main_build
             ON CONFLICT (id) DO UPDATE SET error = NULL, reported = false",
        )?;
    }
    let identity = identity(&mut transaction, SchemaName::default(), "")?;
    transaction.commit()?;
    Ok(identity)
}

pub fn ack(
    client: &mut Client,
    generation: i64,
    confirmed: &[i64],
    refused: &[(i64, String)],
) -> Result<bool, Failure> {
    let (mut ids, mut reasons) = (Vec::new(), Vec::new());
    for (id, reason) in refused {
        ids.push(*id);
        reasons.push(runs::storable(client, reason)?);
    }
    let mut transaction = client.transaction()?;
    // The lock prevents a new generation between this and the commit.
    if identity(&mut transaction, SchemaName::default(), "FOR SHARE")?.generation != generation {
        return Ok(false);
    }
    transaction.query_typed(
        "DELETE FROM bh_outbox WHERE id = ANY ($1)",
        &[(&confirmed, Type::INT8_ARRAY)],
    )?;
    transaction.query_typed(
        "UPDATE bh_outbox SET error = new.error, reported = false
         FROM (SELECT unnest($1) AS id, unnest($2) AS error) AS new
         WHERE bh_outbox.id = new.id",
        &[(&ids, Type::INT8_ARRAY), (&reasons, Type::TEXT_ARRAY)],
    )?;
    transaction.commit()?;
    Ok(true)
}
