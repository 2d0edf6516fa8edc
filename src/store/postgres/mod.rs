//! The store in PostgreSQL.

mod connect;
mod shape;

use std::collections::HashMap;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use postgres::{Client, Transaction};

use self::connect::Target;
use self::shape::CheckError;
use super::plan::Plan;
use super::{Context, Outcome, Queued, Row, Store, Stored, known_queries, metadata, quoted};
use crate::address::without_password;
use crate::error::{Error, Kind, Result};
use crate::tally::Waiting;

const TABLES: &str = include_str!("tables.sql");

/// Of this session alone: what a batch brings in.
const BATCH_TABLE: &str = "CREATE TEMPORARY TABLE IF NOT EXISTS bh_batch (
    build_hash text, build jsonb, s3_object_key text, s3_object_etag text
) ON COMMIT DELETE ROWS";

/// Any number will do, as long as it is the same in every loader.
const CREATION_LOCK: i64 = 0x6275_696c_6468_7562;

/// Tries to reach the server before it is given up: about 20 seconds.
const TRIES: u32 = 9;

pub struct Postgres {
    target: Target,
    address: String,
    context: Context,
    client: Option<Client>,
    read_only: bool,
}

impl Postgres {
    /// Connects; for loading, tables that are missing are created.
    ///
    /// # Errors
    /// Not reachable (69), refused (77), no such database or a table of
    /// another shape (78).
    pub fn open(url: &str, context: Context, read_only: bool) -> Result<Self> {
        let mut store = Self {
            target: Target::new(url)?,
            address: without_password(url),
            context,
            client: None,
            read_only,
        };
        let waiting = format!("connecting to {}", store.address);
        let _patience = store.context.log.patience(waiting);
        store.retry(|_| Ok(()))?;
        Ok(store)
    }

    /// Runs `work`, which must be whole or not at all, until it succeeds:
    /// after a lost connection on a new one, after a conflict once more.
    fn retry<T>(
        &mut self,
        mut work: impl FnMut(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T> {
        let mut tried = 0;
        loop {
            self.context.stop.check()?;
            self.context.tally.waits(Waiting::Server);
            let done = self.attempt(&mut work);
            self.context.tally.waits(Waiting::Nothing);
            let error = match done {
                Ok(done) => return Ok(done),
                Err(CheckError::Shape(error)) => return Err(error),
                Err(CheckError::Server(error)) => error,
            };
            match judge(&error) {
                Judgement::Conflict => self.context.tally.note("batches again", 1),
                Judgement::Away => {
                    self.client = None;
                    tried += 1;
                    let reason = told(&error);
                    if tried >= TRIES {
                        return Err(Error::unavailable(format!(
                            "{}: {reason}; given up after {tried} tries",
                            self.address
                        )));
                    }
                    if tried == 1 {
                        let again = format!("{}: {reason}; trying again", self.address);
                        self.context.log.warn(again);
                    }
                    self.context.tally.note("reconnections", 1);
                    let bound = Duration::from_millis(200) * 2u32.pow(tried.min(5));
                    std::thread::sleep(bound.mul_f64(0.5 + fastrand::f64() / 2.0));
                }
                Judgement::Final(kind) => {
                    return Err(Error::message(
                        kind,
                        format!("{}: {}", self.address, told(&error)),
                    ));
                }
            }
        }
    }

    fn attempt<T>(
        &mut self,
        work: &mut impl FnMut(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<T, CheckError> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let mut client = self.target.connect()?;
                shape::check(&mut client, &self.address)?;
                if !self.read_only {
                    prepare(&mut client)?;
                }
                none.insert(client)
            }
        };
        Ok(work(client)?)
    }

    fn has(&mut self, table: &str) -> Result<bool> {
        self.retry(|client| {
            let row = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table])?;
            row.try_get(0)
        })
    }
}

fn prepare(client: &mut Client) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    // Two loaders that create the tables at once would fail one another.
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&CREATION_LOCK])?;
    transaction.batch_execute(TABLES)?;
    transaction.commit()?;
    client.batch_execute(BATCH_TABLE)
}

enum Judgement {
    /// Lost against another transaction.
    Conflict,
    /// The server or the connection is gone.
    Away,
    Final(Kind),
}

fn judge(error: &postgres::Error) -> Judgement {
    let Some(code) = error.code() else {
        return match std::error::Error::source(error) {
            Some(source) if source.to_string().contains("certificate") => {
                Judgement::Final(Kind::Refused)
            }
            _ => Judgement::Away,
        };
    };
    if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE {
        return Judgement::Conflict;
    }
    match code.code().get(..2) {
        // Connection exceptions, and an operator who intervenes: a restart.
        Some("08" | "57") if *code != SqlState::QUERY_CANCELED => Judgement::Away,
        Some("53") if *code == SqlState::TOO_MANY_CONNECTIONS => Judgement::Away,
        Some("53") => Judgement::Final(Kind::Unavailable),
        Some("28") => Judgement::Final(Kind::Refused),
        _ => Judgement::Final(Kind::Configuration),
    }
}

fn told(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(answer) => format!("{} ({})", answer.message(), answer.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// Whether the server refused the data, and not the statement.
fn refuses_data(error: &postgres::Error) -> bool {
    let class = error.code().and_then(|code| code.code().get(..2));
    matches!(class, Some("22" | "23" | "54"))
}

fn find_all(
    transaction: &mut impl postgres::GenericClient,
    hashes: &[&str],
) -> Result<HashMap<String, Stored>, postgres::Error> {
    let rows = transaction.query_typed(
        "SELECT build_hash::text, id::bigint, s3_object_key::text, s3_object_etag::text
         FROM main_build WHERE build_hash = ANY ($1)",
        &[(&hashes, Type::TEXT_ARRAY)],
    )?;
    rows.iter()
        .map(|row| {
            let stored = Stored {
                id: row.try_get(1)?,
                key: row.try_get(2)?,
                etag: row.try_get(3)?,
            };
            Ok((row.try_get(0)?, stored))
        })
        .collect()
}

/// A JSON text as it is, in jsonb's binary form: a version, then the text.
#[derive(Debug)]
struct Jsonb<'a>(&'a str);

impl ToSql for Jsonb<'_> {
    fn to_sql(
        &self,
        _type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_u8(1);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

/// Copies `rows` into the session's table and inserts them from there; the
/// ids of those that were new.
fn insert<'a>(
    transaction: &mut Transaction<'_>,
    rows: &[&'a Row],
    queue: bool,
) -> Result<HashMap<&'a str, i64>, postgres::Error> {
    let types = [Type::TEXT, Type::JSONB, Type::TEXT, Type::TEXT];
    let writer = transaction.copy_in("COPY bh_batch FROM STDIN (FORMAT binary)")?;
    let mut writer = BinaryCopyInWriter::new(writer, &types);
    for row in rows {
        let etag = row.etag.as_deref().map(quoted);
        writer.write(&[&row.hash, &Jsonb(row.build()), &row.key, &etag])?;
    }
    writer.finish()?;
    let insert = "INSERT INTO main_build
            (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         SELECT build_hash, build, $1::text::jsonb, now(), s3_object_key, s3_object_etag
         FROM bh_batch ORDER BY build_hash
         ON CONFLICT (build_hash) DO NOTHING RETURNING id::bigint, build_hash::text";
    let new = transaction.query_typed(insert, &[(&metadata(), Type::TEXT)])?;
    transaction.batch_execute("DELETE FROM bh_batch")?;
    let mut inserted = HashMap::with_capacity(new.len());
    let mut ids = Vec::with_capacity(new.len());
    for row in &new {
        let (id, hash): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
        let at = rows.binary_search_by(|row| row.hash.as_str().cmp(hash));
        if let Ok(at) = at {
            inserted.insert(rows[at].hash.as_str(), id);
        }
        ids.push(id);
    }
    if queue && !ids.is_empty() {
        transaction.query_typed(
            "INSERT INTO bh_outbox (id) SELECT unnest($1)",
            &[(&ids, Type::INT8_ARRAY)],
        )?;
    }
    Ok(inserted)
}

/// Inserts `rows`; when the server refuses the data of one, the halves of the
/// batch are tried each for itself, until the bad ones stand alone.
fn insert_or_refuse<'a>(
    transaction: &mut Transaction<'_>,
    rows: &[&'a Row],
    queue: bool,
    inserted: &mut HashMap<&'a str, i64>,
    refused: &mut HashMap<String, String>,
) -> Result<(), postgres::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut attempt = transaction.transaction()?;
    match insert(&mut attempt, rows, queue) {
        Ok(new) => {
            inserted.extend(new);
            return attempt.commit();
        }
        Err(error) if refuses_data(&error) => {
            attempt.rollback()?;
            if let [row] = rows {
                refused.insert(row.hash.clone(), told(&error));
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    let (first, second) = rows.split_at(rows.len() / 2);
    insert_or_refuse(transaction, first, queue, inserted, refused)?;
    insert_or_refuse(transaction, second, queue, inserted, refused)
}

fn load(client: &mut Client, rows: &[Row], queue: bool) -> Result<Vec<Outcome>, postgres::Error> {
    let mut transaction = client.transaction()?;
    let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let mut stored = find_all(&mut transaction, &hashes)?;
    let mut plan = Plan::new(rows, &stored);
    let new: Vec<&Row> = plan.inserts.values().map(|at| &rows[*at]).collect();
    let (mut inserted, mut refused) = (HashMap::new(), HashMap::new());
    insert_or_refuse(&mut transaction, &new, queue, &mut inserted, &mut refused)?;
    for row in &new {
        if let Some(id) = inserted.get(row.hash.as_str()) {
            let (key, etag) = (row.key.clone(), row.etag.as_deref().map(quoted));
            stored.insert(row.hash.clone(), Stored { id: *id, key, etag });
        }
    }
    // Another loader was faster with the same content.
    let lost: Vec<&str> = new
        .iter()
        .map(|row| row.hash.as_str())
        .filter(|hash| !stored.contains_key(*hash) && !refused.contains_key(*hash))
        .collect();
    if !lost.is_empty() {
        stored.extend(find_all(&mut transaction, &lost)?);
    }
    let outcomes = plan.outcomes(rows, stored, &inserted, &refused);
    renew(&mut transaction, &plan)?;
    remember(&mut transaction, &plan, &refused)?;
    transaction.commit()?;
    Ok(outcomes)
}

fn renew(transaction: &mut Transaction<'_>, plan: &Plan<'_>) -> Result<(), postgres::Error> {
    if plan.renewals.is_empty() {
        return Ok(());
    }
    let (ids, etags): (Vec<i64>, Vec<&str>) = plan
        .renewals
        .iter()
        .map(|(id, etag)| (*id, etag.as_str()))
        .unzip();
    transaction.query_typed(
        "UPDATE main_build SET s3_object_etag = new.etag
         FROM (SELECT unnest($1) AS id, unnest($2) AS etag) AS new
         WHERE main_build.id = new.id",
        &[(&ids, Type::INT8_ARRAY), (&etags, Type::TEXT_ARRAY)],
    )?;
    Ok(())
}

fn remember(
    transaction: &mut Transaction<'_>,
    plan: &Plan<'_>,
    refused: &HashMap<String, String>,
) -> Result<(), postgres::Error> {
    let (mut keys, mut etags, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (key, (etag, hash)) in &plan.objects {
        if !refused.contains_key(*hash) {
            keys.push(*key);
            etags.push(*etag);
            hashes.push(*hash);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    // The keys come sorted, so loaders side by side never wait in a circle.
    // What is remembered already is left out before the conflict, which
    // would lock and log each row.
    transaction.query_typed(
        "INSERT INTO bh_object (key, etag, build_hash)
         SELECT * FROM unnest($1, $2, $3) AS new (key, etag, build_hash)
         WHERE NOT EXISTS (SELECT FROM bh_object old WHERE old.key = new.key
            AND old.etag = new.etag AND old.build_hash = new.build_hash)
         ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, build_hash = excluded.build_hash
         WHERE bh_object.etag <> excluded.etag OR bh_object.build_hash <> excluded.build_hash",
        &[
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&hashes, Type::TEXT_ARRAY),
        ],
    )?;
    Ok(())
}

impl Store for Postgres {
    fn address(&self) -> &str {
        &self.address
    }

    fn known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()> {
        for query in known_queries(self.has("main_build")?, self.has("bh_object")?) {
            self.retry(|client| {
                let mut rows = client.query_raw(*query, std::iter::empty::<&str>())?;
                while let Some(row) = rows.next()? {
                    each(row.try_get(0)?, row.try_get(1)?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn look_up(&mut self, hashes: &[&str]) -> Result<HashMap<String, Stored>> {
        if !self.has("main_build")? {
            return Ok(HashMap::new());
        }
        self.retry(|client| find_all(client, hashes))
    }

    fn load(&mut self, rows: &[Row], queue: bool) -> Result<Vec<Outcome>> {
        self.retry(|client| load(client, rows, queue))
    }

    fn queued(&mut self, after: i64, limit: usize) -> Result<Vec<Queued>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.retry(|client| {
            let rows = client.query_typed(
                "SELECT o.id, m.build::text, m.s3_object_key::text, m.s3_object_etag::text
                 FROM bh_outbox o JOIN main_build m USING (id)
                 WHERE o.id > $1 AND o.error IS NULL ORDER BY o.id LIMIT $2",
                &[(&after, Type::INT8), (&limit, Type::INT8)],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(Queued {
                        id: row.try_get(0)?,
                        build: row.try_get(1)?,
                        key: row.try_get(2)?,
                        etag: row.try_get(3)?,
                    })
                })
                .collect()
        })
    }

    fn last_queued(&mut self) -> Result<i64> {
        self.retry(|client| {
            client
                .query_one("SELECT coalesce(max(id), 0) FROM bh_outbox", &[])?
                .try_get(0)
        })
    }

    fn settle(&mut self, confirmed: &[i64], refused: &[(i64, String)]) -> Result<()> {
        let (ids, reasons): (Vec<i64>, Vec<&str>) = refused
            .iter()
            .map(|(id, reason)| (*id, reason.as_str()))
            .unzip();
        self.retry(|client| {
            let mut transaction = client.transaction()?;
            transaction.query_typed(
                "DELETE FROM bh_outbox WHERE id = ANY ($1)",
                &[(&confirmed, Type::INT8_ARRAY)],
            )?;
            transaction.query_typed(
                "UPDATE bh_outbox SET error = new.error
                 FROM (SELECT unnest($1) AS id, unnest($2) AS error) AS new
                 WHERE bh_outbox.id = new.id",
                &[(&ids, Type::INT8_ARRAY), (&reasons, Type::TEXT_ARRAY)],
            )?;
            transaction.commit()
        })
    }

    fn requeue(&mut self) -> Result<u64> {
        self.retry(|client| {
            client.execute(
                "UPDATE bh_outbox SET error = NULL WHERE error IS NOT NULL",
                &[],
            )
        })
    }
}
