//! Stores a batch in one transaction: one query finds what is stored already, the rest is
//! inserted, and rows that the server refuses are found by halving the batch.

use postgres::error::SqlState;
use postgres::types::{ToSql, Type};
use postgres::{Client, Transaction};

use super::content::{BatchContent, CONTENT, position, query_content};
use super::failure::describe;
use super::refusal::{Blame, blame};
use super::schema::SchemaName;
use super::tables::Tables;
use super::{copy, outbox, rejects, runs};
use crate::error::Kind;
use crate::retry::Failure;
use crate::store::plan::{Plan, Refusal};
use crate::store::{BuildRow, LoadOutcome, RunFence, fenced_off, quoted};

/// How a connection stores rows.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    pub schema: SchemaName,
    pub tables: Tables,
    /// Other clients share the server's session, so it has no named statements: a pooler.
    pub is_pooled: bool,
}

/// Why a batch is not stored.
enum WriteError {
    Server(postgres::Error),
    /// A table of ours took other than all rows.
    NotTaken(&'static str, u64, usize),
    /// Another loader has inserted rows in the meantime.
    Race(postgres::Error),
}

impl From<postgres::Error> for WriteError {
    fn from(error: postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Server(error) | WriteError::Race(error) => error.into(),
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

/// A batch of a run whose COMMIT was not answered: the step that it takes the run to, and
/// its outcomes.
pub type Unanswered = Option<(i64, Vec<LoadOutcome>)>;

/// How often a batch is begun again because other loaders insert its rows.
const RACES: usize = 100;

/// Stores `rows` in one transaction; returns one outcome per row.
pub fn load(
    client: &mut Client,
    rows: &[BuildRow],
    session: &mut Session,
    mut fence: Option<&mut RunFence>,
    unanswered: &mut Unanswered,
) -> Result<Vec<LoadOutcome>, Failure> {
    if let (Some((step, outcomes)), Some(fence)) = (unanswered.take(), &mut fence)
        && runs::step(client, session.schema, fence)? == Some(step)
    {
        fence.step = step;
        return Ok(outcomes);
    }
    let mut races = 0;
    let (mut transaction, batch, outcomes) = loop {
        let mut transaction = client.transaction()?;
        let verify = session.tables.begin(&mut transaction, session.schema)?;
        let mut batch = Batch {
            session: *session,
            verify: verify || session.is_pooled,
            changed: false,
            refused: 0,
        };
        match batch.store_or_refuse(&mut transaction, rows) {
            Ok(outcomes) => break (transaction, batch, outcomes),
            Err(WriteError::Race(_)) if races < RACES => races += 1,
            Err(WriteError::Server(error)) if !session.is_pooled && lacks_statement(&error) => {
                session.is_pooled = true;
            }
            Err(error) => return Err(error.into()),
        }
        transaction.rollback()?;
    };
    // Now that the rows keep a promotion from beginning before the commit.
    runs::refuse_promoted(&mut transaction, session.schema)?;
    let Some(fence) = fence.filter(|_| batch.changed) else {
        transaction.commit()?;
        return Ok(outcomes);
    };
    let Some(step) = runs::advance(&mut transaction, session.schema, fence)? else {
        let loader = runs::loader(&mut transaction, session.schema, &fence.run)?;
        return Err(Failure::Permanent(fenced_off(
            &fence.run,
            loader.as_deref(),
            "bh_run",
        )));
    };
    *unanswered = Some((step, outcomes));
    transaction.commit()?;
    fence.step = step;
    let outcomes = unanswered.take().map(|(_, outcomes)| outcomes);
    Ok(outcomes.unwrap_or_default())
}

/// Returns whether a named statement exists already, or is gone, as with a pooler that gives
/// each transaction another session.
fn lacks_statement(error: &postgres::Error) -> bool {
    let codes = [
        &SqlState::DUPLICATE_PSTATEMENT,
        &SqlState::INVALID_SQL_STATEMENT_NAME,
    ];
    error.code().is_some_and(|code| codes.contains(&code))
}

/// A batch that is being stored.
struct Batch {
    session: Session,
    /// Whether inserted rows have to be looked up.
    verify: bool,
    /// Whether something was written.
    changed: bool,
    /// How many rows were refused for a reason that may be the server's own.
    refused: usize,
}

/// After so many refusals, and no row that was stored, the reason is the server's own.
const REFUSALS: usize = 8;

impl Batch {
    /// Stores `rows`; if the server refuses them, tries each half, down to single rows.
    fn store_or_refuse(
        &mut self,
        transaction: &mut Transaction<'_>,
        rows: &[BuildRow],
    ) -> Result<Vec<LoadOutcome>, WriteError> {
        let mut attempt = transaction.transaction()?;
        let error = match self.store(&mut attempt, rows) {
            Ok((outcomes, changed)) => {
                attempt.commit()?;
                self.changed |= changed;
                return Ok(outcomes);
            }
            Err(WriteError::Server(error)) => error,
            Err(error) => return Err(error),
        };
        attempt.rollback()?;
        match blame(transaction, self.session.schema, &error)? {
            Blame::Server => return Err(error.into()),
            Blame::Race => return Err(WriteError::Race(error)),
            Blame::Rows => {}
            Blame::Either => {
                self.refused += usize::from(rows.len() == 1);
                if self.refused >= REFUSALS && !self.changed {
                    return Err(error.into());
                }
            }
        }
        if rows.len() < 2 {
            let refusal = Refusal::refused(describe(&error));
            return Ok(vec![LoadOutcome::Refused(refusal); rows.len()]);
        }
        let (first, second) = rows.split_at(rows.len() / 2);
        let mut outcomes = self.store_or_refuse(transaction, first)?;
        outcomes.extend(self.store_or_refuse(transaction, second)?);
        Ok(outcomes)
    }

    /// Stores `rows`; returns one outcome per row, and whether anything was written.
    fn store(
        &self,
        transaction: &mut Transaction<'_>,
        rows: &[BuildRow],
    ) -> Result<(Vec<LoadOutcome>, bool), WriteError> {
        let Session { schema, tables, .. } = self.session;
        let content = query_content(transaction, rows, schema, tables)?;
        let mut plan = Plan::new(rows, &content.found);
        let changes = plan.changes();
        if changes {
            // Deferred triggers run now, while their errors can be handled.
            transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
            self.write(transaction, rows, &mut plan, &content)?;
        }
        Ok((plan.outcomes, changes))
    }

    fn write(
        &self,
        transaction: &mut Transaction<'_>,
        rows: &[BuildRow],
        plan: &mut Plan<'_>,
        content: &BatchContent,
    ) -> Result<(), WriteError> {
        let Session {
            schema,
            tables,
            is_pooled,
        } = self.session;
        let inserts = &plan.inserts;
        let taken = copy::insert_rows(transaction, rows, inserts, content.now, &self.session)?;
        let expected = plan.inserts.len();
        // To be asked after the rows are written, see `outbox::follow`.
        let queue =
            expected > 0 && tables.have_queue() && outbox::is_followed(transaction, schema)?;
        if queue || self.verify || usize::try_from(taken) != Ok(expected) {
            confirm_inserts(transaction, schema, rows, plan, queue)?;
        }
        renew_etags(transaction, schema, rows, plan)?;
        if tables.has("bh_object") {
            let is_old = |at: &&usize| is_pooled || content.remembered[**at];
            let (old, new): (Vec<usize>, Vec<usize>) = plan.objects.iter().partition(is_old);
            upsert_objects(transaction, schema, rows, &old, &new)?;
        }
        if tables.has("bh_reject") {
            rejects::remove(
                transaction,
                schema,
                plan.objects.iter().map(|at| &rows[*at]),
            )?;
        }
        Ok(())
    }
}

/// Looks inserted rows up, queues them for the index if `queue` is set, and
/// puts their ids into the outcomes; refuses those that are not there.
fn confirm_inserts(
    transaction: &mut Transaction<'_>,
    schema: SchemaName,
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
    let found = transaction.query_typed(
        &schema.qualify(&query),
        &[(&hashes, Type::TEXT_ARRAY), (&queue, Type::BOOL)],
    )?;
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
    schema: SchemaName,
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
    let renew = "UPDATE main_build SET s3_object_etag = new.etag
         FROM (SELECT unnest($1) AS id, unnest($2) AS etag) AS new
         WHERE main_build.id = new.id";
    transaction.execute_typed(&schema.qualify(renew), &values)?;
    let kept = "SELECT new.n FROM unnest($1, $2) WITH ORDINALITY AS new (id, etag, n)
         WHERE NOT EXISTS (SELECT FROM main_build m
             WHERE m.id = new.id AND m.s3_object_etag = new.etag)";
    for row in transaction.query_typed(&schema.qualify(kept), &values)? {
        let at = plan.renewals[position(row.try_get(0)?)].at;
        plan.refuse(rows, at, &Refusal::ETAG);
    }
    Ok(())
}

/// Stores the objects. New ones are copied, which costs half of an INSERT that
/// may conflict. Keys are sorted, so concurrent loaders cannot deadlock.
fn upsert_objects(
    transaction: &mut Transaction<'_>,
    schema: SchemaName,
    rows: &[BuildRow],
    old: &[usize],
    new: &[usize],
) -> Result<(), WriteError> {
    const TABLE: &str = "bh_object";
    if !new.is_empty() {
        let taken = copy::copy_objects(transaction, schema, new.iter().map(|at| &rows[*at]))?;
        check_taken(TABLE, taken, new.len())?;
    }
    if old.is_empty() {
        return Ok(());
    }
    let objects = || old.iter().map(|at| &rows[*at]);
    let keys: Vec<_> = objects().map(|row| row.key.as_deref()).collect();
    let etags: Vec<_> = objects().map(|row| row.etag.as_deref()).collect();
    let hashes: Vec<_> = objects().map(|row| row.hash.as_str()).collect();
    let upsert = "INSERT INTO bh_object (key, etag, build_hash)
         SELECT * FROM unnest($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, build_hash = excluded.build_hash";
    let taken = transaction.execute_typed(
        &schema.qualify(upsert),
        &[
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&hashes, Type::TEXT_ARRAY),
        ],
    )?;
    check_taken(TABLE, taken, old.len())
}
