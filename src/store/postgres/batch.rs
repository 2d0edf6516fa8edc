//! Stores a batch in one transaction: one query finds what is stored already, COPY inserts
//! the rest.

use std::time::SystemTime;

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient, Transaction};

use super::copy::copy_or_refuse;
use super::tables::Tables;
use super::{outbox, runs};
use crate::error::Kind;
use crate::retry::Failure;
use crate::store::plan::{ContentStatus, Plan, Refusal};
use crate::store::{BuildRow, LoadOutcome, RunFence, StoredRow, fenced_off, quoted};

/// Why a batch is not stored.
enum WriteError {
    Server(postgres::Error),
    /// A table of ours took other than all rows.
    NotTaken(&'static str, u64, usize),
}

impl From<postgres::Error> for WriteError {
    fn from(error: postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Server(error) => error.into(),
            WriteError::NotTaken(table, took, of) => Self::permanent(
                Kind::Configuration,
                format!(
                    "{table} took {took} of {of} rows: drop the trigger or rule of {table} that \
                     leaves rows out"
                ),
            ),
        }
    }
}

/// Checks that a table of ours took all rows.
fn check_taken(table: &'static str, took: u64, of: usize) -> Result<(), WriteError> {
    match usize::try_from(took) {
        Ok(took) if took == of => Ok(()),
        _ => Err(WriteError::NotTaken(table, took, of)),
    }
}

/// The row that has the content of `b`.
const CONTENT: &str = "SELECT id::bigint, s3_object_key::text AS key, s3_object_etag::text AS etag
    FROM main_build WHERE build_hash = b.hash LIMIT 1";

pub fn find_all(
    client: &mut impl GenericClient,
    hashes: &[&str],
) -> Result<Vec<ContentStatus>, postgres::Error> {
    let query = format!(
        "SELECT m.id, m.key, m.etag
         FROM unnest($1) WITH ORDINALITY AS b (hash, n) LEFT JOIN LATERAL ({CONTENT}) m ON true
         ORDER BY n"
    );
    let rows = client.query_typed(&query, &[(&hashes, Type::TEXT_ARRAY)])?;
    rows.iter()
        .map(|row| stored_row(row).map(ContentStatus::from))
        .collect()
}

/// Reads a row that is NULL where nothing is stored.
fn stored_row(row: &postgres::Row) -> Result<Option<StoredRow>, postgres::Error> {
    let Some(id) = row.try_get(0)? else {
        return Ok(None);
    };
    let (key, etag) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Some(StoredRow { id, key, etag }))
}

/// What the tables hold of a batch.
struct BatchContent {
    found: Vec<ContentStatus>,
    /// Per row, whether an object with its key is stored.
    remembered: Vec<bool>,
    /// The transaction's time.
    now: SystemTime,
}

/// Returns what is stored of `rows`. A first query uses indexes alone and finds
/// rows that are up to date, mostly all; only the others are read.
fn query_content(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
) -> Result<BatchContent, postgres::Error> {
    // LIMIT makes the planner use the indexes, even without statistics.
    let query = "SELECT b.n, m.stored IS NOT NULL, o.same IS NOT NULL, now()
         FROM unnest($1, $2, $3) WITH ORDINALITY AS b (hash, key, etag, n)
         LEFT JOIN LATERAL (SELECT true AS stored
             FROM main_build WHERE build_hash = b.hash LIMIT 1) m ON true
         LEFT JOIN LATERAL (SELECT etag = b.etag AND build_hash = b.hash AS same
             FROM bh_object WHERE key = b.key LIMIT 1) o ON true
         WHERE m.stored IS NULL OR b.key IS NOT NULL AND b.etag IS NOT NULL AND o.same IS NOT TRUE";
    let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_deref()).collect();
    let etags: Vec<_> = rows.iter().map(|row| row.etag.as_deref()).collect();
    let answers = transaction.query_typed(
        query,
        &[
            (&hashes, Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
        ],
    )?;
    let mut content = BatchContent {
        found: vec![ContentStatus::UpToDate; rows.len()],
        remembered: vec![true; rows.len()],
        now: SystemTime::UNIX_EPOCH,
    };
    let mut stored = Vec::new();
    for row in &answers {
        let at = position(row.try_get(0)?);
        if row.try_get(1)? {
            stored.push(at);
        } else {
            content.found[at] = ContentStatus::New;
        }
        content.remembered[at] = row.try_get(2)?;
        content.now = row.try_get(3)?;
    }
    if !stored.is_empty() {
        let hashes: Vec<&str> = stored.iter().map(|at| hashes[*at]).collect();
        for (at, found) in stored.into_iter().zip(find_all(transaction, &hashes)?) {
            content.found[at] = found;
        }
    }
    Ok(content)
}

/// Returns the index of an ordinality, which counts from 1.
fn position(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}

/// A batch of a run whose COMMIT was not answered: the step that it takes the run to, and
/// its outcomes.
pub type Unanswered = Option<(i64, Vec<LoadOutcome>)>;

/// Stores `rows` in one transaction; returns one outcome per row.
pub fn load(
    client: &mut Client,
    rows: &[BuildRow],
    tables: Tables,
    mut fence: Option<&mut RunFence>,
    unanswered: &mut Unanswered,
) -> Result<Vec<LoadOutcome>, Failure> {
    if let (Some((step, outcomes)), Some(fence)) = (unanswered.take(), &mut fence)
        && runs::step(client, fence)? == Some(step)
    {
        fence.step = step;
        return Ok(outcomes);
    }
    let mut before = usize::MAX;
    loop {
        let mut transaction = client.transaction()?;
        let verify = tables.begin(&mut transaction)?;
        let content = query_content(&mut transaction, rows)?;
        let mut plan = Plan::new(rows, &content.found);
        let new = content
            .found
            .iter()
            .filter(|found| **found == ContentStatus::New);
        let new = new.count() + content.remembered.iter().filter(|known| !**known).count();
        let changes = plan.changes();
        match write(&mut transaction, rows, &mut plan, &content, verify) {
            Ok(()) => {
                let Some(fence) = fence.as_deref_mut().filter(|_| changes) else {
                    transaction.commit()?;
                    return Ok(plan.outcomes);
                };
                let Some(step) = runs::advance(&mut transaction, fence)? else {
                    let loader = runs::loader(&mut transaction, &fence.run)?;
                    return Err(Failure::Permanent(fenced_off(
                        &fence.run,
                        loader.as_deref(),
                        "bh_run",
                    )));
                };
                *unanswered = Some((step, plan.outcomes));
                transaction.commit()?;
                fence.step = step;
                let outcomes = unanswered.take().map(|(_, outcomes)| outcomes);
                return Ok(outcomes.unwrap_or_default());
            }
            // Another loader has inserted the rows; they are found now. If not, the sequence of
            // ids is lower than the ids in the table.
            Err(WriteError::Server(error))
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION) && new < before =>
            {
                before = new;
                transaction.rollback()?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn write(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
    content: &BatchContent,
    verify: bool,
) -> Result<(), WriteError> {
    let mut refused = Vec::new();
    let taken = copy_or_refuse(transaction, rows, &plan.inserts, content.now, &mut refused)?;
    let expected = plan.inserts.len() - refused.len();
    for (at, reason) in refused {
        plan.refuse(rows, at, &Refusal::refused(reason));
    }
    // To be asked after the rows are written, see `outbox::follow`.
    let queue = expected > 0 && outbox::is_followed(transaction)?;
    if queue || verify || usize::try_from(taken) != Ok(expected) {
        confirm_inserts(transaction, rows, plan, queue)?;
    }
    renew_etags(transaction, rows, plan)?;
    upsert_objects(transaction, rows, plan, &content.remembered)
}

/// Looks inserted rows up, queues them for the index if `queue` is set, and
/// puts their ids into the outcomes; refuses those that are not there.
fn confirm_inserts(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
    queue: bool,
) -> Result<(), WriteError> {
    let places = plan.inserts.iter().map(|insert| insert.at);
    let inserted = |at: &usize| matches!(plan.outcomes[*at], LoadOutcome::Inserted(_));
    let mut places: Vec<Option<usize>> = places.filter(inserted).map(Some).collect();
    if places.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&str> = (places.iter().flatten())
        .map(|at| rows[*at].hash.as_str())
        .collect();
    let query = format!(
        "WITH new AS (SELECT b.n, m.id
             FROM unnest($1) WITH ORDINALITY AS b (hash, n) JOIN LATERAL ({CONTENT}) m ON true),
         queued AS (INSERT INTO bh_outbox (id) SELECT id FROM new WHERE $2
             ON CONFLICT (id) DO UPDATE SET error = NULL, reported = false RETURNING id)
         SELECT n, id, (SELECT count(*) FROM queued) FROM new"
    );
    let found =
        transaction.query_typed(&query, &[(&hashes, Type::TEXT_ARRAY), (&queue, Type::BOOL)])?;
    if let Some(row) = found.first()
        && queue
    {
        let queued: i64 = row.try_get(2)?;
        check_taken("bh_outbox", queued.unsigned_abs(), found.len())?;
    }
    for row in found {
        if let Some(at) = places[position(row.try_get(0)?)].take() {
            let id = queue.then(|| row.try_get(1)).transpose()?;
            plan.outcomes[at] = LoadOutcome::Inserted(id);
        }
    }
    for at in places.into_iter().flatten() {
        plan.refuse(rows, at, &Refusal::ROW);
    }
    Ok(())
}

/// Renews ETags, and refuses those that are not in their rows afterwards.
fn renew_etags(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
) -> Result<(), postgres::Error> {
    if plan.renewals.is_empty() {
        return Ok(());
    }
    let renewals = plan.renewals.iter();
    let (ids, etags): (Vec<i64>, Vec<String>) = renewals
        .map(|renewal| (renewal.id, quoted(renewal.etag)))
        .unzip();
    let values: [(&(dyn ToSql + Sync), Type); 2] =
        [(&ids, Type::INT8_ARRAY), (&etags, Type::TEXT_ARRAY)];
    transaction.execute_typed(
        "UPDATE main_build SET s3_object_etag = new.etag
         FROM (SELECT unnest($1) AS id, unnest($2) AS etag) AS new
         WHERE main_build.id = new.id",
        &values,
    )?;
    let kept = transaction.query_typed(
        "SELECT new.n FROM unnest($1, $2) WITH ORDINALITY AS new (id, etag, n)
         WHERE NOT EXISTS (SELECT FROM main_build m
             WHERE m.id = new.id AND m.s3_object_etag = new.etag)",
        &values,
    )?;
    for row in kept {
        let at = plan.renewals[position(row.try_get(0)?)].at;
        plan.refuse(rows, at, &Refusal::ETAG);
    }
    Ok(())
}

/// Stores the objects. New ones are copied, which costs half of an INSERT that
/// may conflict. Keys are sorted, so concurrent loaders cannot deadlock.
fn upsert_objects(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &Plan<'_>,
    remembered: &[bool],
) -> Result<(), WriteError> {
    const TABLE: &str = "bh_object";
    let (old, new): (Vec<usize>, Vec<usize>) = plan.objects.iter().partition(|at| remembered[**at]);
    if !new.is_empty() {
        let types = [Type::TEXT, Type::TEXT, Type::TEXT];
        let copy = "COPY bh_object (key, etag, build_hash) FROM STDIN (FORMAT binary)";
        let mut writer = BinaryCopyInWriter::new(transaction.copy_in(copy)?, &types);
        for row in new.iter().map(|at| &rows[*at]) {
            writer.write(&[&row.key, &row.etag, &row.hash])?;
        }
        check_taken(TABLE, writer.finish()?, new.len())?;
    }
    if old.is_empty() {
        return Ok(());
    }
    let objects = || old.iter().map(|at| &rows[*at]);
    let keys: Vec<_> = objects().map(|row| row.key.as_deref()).collect();
    let etags: Vec<_> = objects().map(|row| row.etag.as_deref()).collect();
    let hashes: Vec<_> = objects().map(|row| row.hash.as_str()).collect();
    let taken = transaction.execute_typed(
        "INSERT INTO bh_object (key, etag, build_hash)
         SELECT * FROM unnest($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, build_hash = excluded.build_hash",
        &[
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&hashes, Type::TEXT_ARRAY),
        ],
    )?;
    check_taken(TABLE, taken, old.len())
}
