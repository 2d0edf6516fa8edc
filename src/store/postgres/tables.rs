//! Our tables: found on the search path or in the schema of a staging, created beside Buildhub's
//! where they are missing, and the same ones as long as the program runs.

use std::fmt::Write as _;
use std::sync::OnceLock;

use postgres::error::SqlState;
use postgres::types::Type;
use postgres::{Client, GenericClient};

use super::definitions::{COUNT, NAMES, TABLES};
use super::failure::describe;
use super::schema::{SchemaName, qualify};
use super::{outbox, shape, staged};
use crate::error::{Error, Kind};
use crate::log::Log;
use crate::retry::Failure;
use crate::store::{Replaced, staging};

/// Any number will do, as long as it is the same in every loader.
const CREATION_LOCK: i64 = 0x6275_696c_6468_7562;

/// The place of the table with the database's id.
pub const IDENTITY: usize = 3;

/// A table that is there.
pub struct Found {
    oid: u32,
    pub schema: String,
}

/// Returns the tables; `None` for a missing one.
///
/// # Errors
/// One of them is no table that keeps every row and shows it (78).
fn find(
    client: &mut impl GenericClient,
    schema: SchemaName,
) -> Result<[Option<Found>; COUNT], Failure> {
    let names = NAMES.map(|name| schema.qualify(name)).to_vec();
    let rows = client.query_typed(
        // A partition that does not last makes the whole table not last.
        "SELECT c.oid, n.nspname::text, coalesce(p.kind, c.relkind::text),
                coalesce(p.persistence, c.relpersistence::text), row_security_active(c.oid),
                coalesce(p.name, n.nspname || '.' || c.relname)
         FROM unnest($1) WITH ORDINALITY AS t (name, n)
         LEFT JOIN pg_class c ON c.oid = to_regclass(t.name)
         LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN LATERAL (
             WITH RECURSIVE parts (oid) AS (
                 SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid AND c.relkind = 'p'
                 UNION ALL
                 SELECT i.inhrelid FROM pg_inherits i JOIN parts ON i.inhparent = parts.oid)
             SELECT k.oid::regclass::text AS name, k.relkind::text AS kind,
                    k.relpersistence::text AS persistence
             FROM parts JOIN pg_class k ON k.oid = parts.oid
             WHERE k.relpersistence <> 'p' OR k.relkind NOT IN ('r', 'p') LIMIT 1
         ) p ON true ORDER BY t.n",
        &[(&names, Type::TEXT_ARRAY)],
    )?;
    let mut found = [const { None }; COUNT];
    for (place, row) in found.iter_mut().zip(&rows) {
        let Some(oid) = row.try_get(0)? else { continue };
        let schema: String = row.try_get(1)?;
        if let Some(fault) = fault(row.try_get(2)?, row.try_get(3)?, row.try_get(4)?) {
            let message = fault.replace("RELATION", row.try_get(5)?);
            return Err(Failure::permanent(Kind::Configuration, message));
        }
        *place = Some(Found { oid, schema });
    }
    Ok(found)
}

/// Returns why rows would not last in a relation, or not be seen there; RELATION stands for
/// its name.
fn fault(kind: &str, persistence: &str, hidden: bool) -> Option<&'static str> {
    Some(match (kind, persistence) {
        ("r" | "p", "p") if !hidden => return None,
        ("r" | "p", "p") => {
            "row-level security hides rows of RELATION from this role: use its owner, or a role \
             with \
             BYPASSRLS"
        }
        ("r" | "p", "t") => "RELATION is a temporary table: it ends with its session; drop it",
        ("r" | "p", _) => {
            "RELATION is unlogged: a crash of the server empties it; ALTER TABLE RELATION SET \
             LOGGED"
        }
        ("v", _) => "RELATION is a view, not a table: use another database or schema",
        ("m", _) => "RELATION is a materialized view, not a table: use another database or schema",
        ("f", _) => "RELATION is a foreign table: use the database that it is in",
        ("S", _) => "RELATION is a sequence, not a table: use another database or schema",
        _ => "RELATION is not a table: use another database or schema",
    })
}

/// Checks the tables that are there, for reading.
///
/// # Errors
/// One of them cannot be used (78).
pub fn check(client: &mut Client, schema: SchemaName) -> Result<(), Failure> {
    let found = find(client, schema)?;
    check_shape(client, &found)?;
    match schema.staging() {
        Some(name) => staged::check_staging(client, name, &found),
        None => Ok(()),
    }
}

fn check_shape(client: &mut Client, found: &[Option<Found>; COUNT]) -> Result<(), Failure> {
    match &found[0] {
        Some(main_build) => shape::check(client, &main_build.schema),
        None => Ok(()),
    }
}

/// The tables that a loader writes to, by their oids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tables([u32; COUNT]);

impl Tables {
    /// Prepares a new connection for loading. The first one creates tables that
    /// are missing, and sets `known`; all others must find the same ones.
    ///
    /// # Errors
    /// Tables that cannot be used or created, or that are not those of before (78).
    pub fn open(
        client: &mut Client,
        schema: SchemaName,
        known: &OnceLock<Self>,
        log: &Log,
    ) -> Result<(), Failure> {
        check(client, schema)?;
        let mut found = find(client, schema)?;
        if known.get().is_none() {
            check_session(client, schema, found[0].as_ref(), log)?;
            // Fails if a pooler takes no transactions.
            client.transaction()?.commit()?;
            if found.iter().any(Option::is_none) {
                let denied = create(client, schema)?;
                found = find(client, schema)?;
                if let Some(denied) = denied {
                    do_without(client, &found, &denied, log)?;
                }
            }
            staged::check_open(client, schema, &found)?;
        }
        let oids = found.map(|table| table.map_or(0, |table| table.oid));
        known.get_or_init(|| Self(oids)).compare(oids)
    }

    /// Returns whether there is a table, which a role that may create none may lack.
    pub fn has(&self, name: &str) -> bool {
        let mut tables = TABLES.iter().zip(self.0);
        tables.any(|((table, _), oid)| *table == name && oid != 0)
    }

    /// Returns whether there are the tables that an index needs.
    pub fn have_queue(&self) -> bool {
        self.has("bh_outbox") && self.has("bh_database")
    }

    /// Begins to write: checks that the tables are still the same ones, and has
    /// the commit wait for the disk. Returns whether the server may leave out
    /// rows of `main_build` that it counted, so that they have to be looked up.
    ///
    /// # Errors
    /// A table was dropped, or dropped and created again (78).
    pub fn begin(
        &self,
        client: &mut impl GenericClient,
        schema: SchemaName,
    ) -> Result<bool, Failure> {
        // Under `off`, rows of others are visible before they are on disk: the
        // message has a commit wait for them that adds nothing itself.
        let begin = "SELECT coalesce(to_regclass('main_build')::oid, 0),
                    coalesce(to_regclass('bh_object')::oid, 0),
                    coalesce(to_regclass('bh_outbox')::oid, 0),
                    coalesce(to_regclass('bh_database')::oid, 0),
                    coalesce(to_regclass('bh_run')::oid, 0),
                    coalesce(to_regclass('bh_reject')::oid, 0),
                    EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass('main_build')
                        AND (c.relkind <> 'r' OR EXISTS (SELECT FROM pg_trigger t
                             WHERE t.tgrelid = c.oid AND NOT t.tgisinternal))),
                    CASE WHEN current_setting('synchronous_commit') = 'off' THEN
                        set_config('synchronous_commit', 'on', true)
                        || pg_logical_emit_message(true, 'buildhub-pipes', '')::text END";
        let row = client.query_typed_one(&schema.qualify(begin), &[])?;
        let oids = [
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
            row.try_get(5)?,
        ];
        self.compare(oids)?;
        Ok(row.try_get(6)?)
    }

    fn compare(&self, now: [u32; COUNT]) -> Result<(), Failure> {
        let names = TABLES.iter().map(|(name, _)| *name);
        let mut pairs = names.zip(self.0.iter().zip(now));
        // One that was missing is not used by this run, also if it is there now.
        match pairs.find(|(_, (before, now))| **before != 0 && *before != now) {
            None => Ok(()),
            Some((name, _)) => Err(Failure::Permanent(Error::new(
                Kind::Configuration,
                Replaced(name.to_owned()),
            ))),
        }
    }
}

/// Creates tables that are missing, Buildhub's where the search path says, ours
/// beside it. Returns the reason if the role may not.
fn create(client: &mut Client, schema: SchemaName) -> Result<Option<String>, Failure> {
    let mut transaction = client.transaction()?;
    lock_creation(&mut transaction)?;
    let found = find(&mut transaction, schema)?;
    let beside = match (schema.staging(), &found[0]) {
        (Some(staging), _) => {
            staged::create_schema(&mut transaction, staging)?;
            Some(staging.as_str())
        }
        (None, main_build) => main_build.as_ref().map(|table| table.schema.as_str()),
    };
    let found_main = found[0].is_some();
    for ((name, statement), found) in TABLES.iter().zip(&found) {
        if found.is_some() {
            continue;
        }
        let statement = match beside {
            Some(schema) => qualify(schema, statement),
            None => (*statement).to_owned(),
        };
        let Err(error) = transaction.batch_execute(&statement) else {
            continue;
        };
        let place = beside.map_or_else(String::new, |schema| format!(" in schema {schema}"));
        let what = format!("cannot create {name}{place}");
        if found_main && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
            return Ok(Some(format!("{what}: {}", describe(&error))));
        }
        return Err(match Failure::from(error) {
            Failure::Permanent(error) => Failure::Permanent(error.context(what)),
            other => other,
        });
    }
    if schema.staging().is_some() && found[IDENTITY].is_none() {
        let note = format!("UPDATE bh_database SET id = '{}' || id", staging::MARK);
        transaction.batch_execute(&schema.qualify(&note))?;
    }
    transaction.commit()?;
    Ok(None)
}

/// Lets no other program create tables until the transaction ends: two that do it at once would
/// fail one another.
pub fn lock_creation(transaction: &mut impl GenericClient) -> Result<(), postgres::Error> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    transaction.query_typed(lock, &[(&CREATION_LOCK, Type::INT8)])?;
    Ok(())
}

/// Returns what is not possible without a table of ours.
fn lost_without(table: &str) -> &'static str {
    match table {
        "bh_object" => "objects that gave no row of their own are fetched again by every run",
        "bh_run" => "runs are not recorded",
        "bh_reject" => "rejected objects are fetched again by every run",
        _ => "no index can follow this database",
    }
}

/// Warns of tables that are missing and that the role may not create.
///
/// # Errors
/// An index follows the database, and nothing could be queued for it (78).
fn do_without(
    client: &mut Client,
    found: &[Option<Found>; COUNT],
    denied: &str,
    log: &Log,
) -> Result<(), Failure> {
    let schema = found[0].as_ref().map_or("public", |table| &table.schema);
    let role: String = client
        .query_typed_one("SELECT quote_ident(current_user)", &[])?
        .try_get(0)?;
    let missing: Vec<_> = (TABLES.iter().zip(found))
        .filter_map(|(table, found)| found.is_none().then_some(table))
        .collect();
    let mut lost: Vec<&str> = missing.iter().map(|(name, _)| lost_without(name)).collect();
    lost.dedup();
    let mut statements = format!("SET search_path = {schema};");
    for (name, statement) in &missing {
        let create = statement.split_whitespace().collect::<Vec<_>>().join(" ");
        let rights = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role}");
        let _ = write!(statements, " {create}; {rights};");
    }
    let mend = format!("to have it, run as the owner of the schema: {statements}");
    let lacks = |name: &str| missing.iter().any(|(table, _)| *table == name);
    if lacks("bh_outbox")
        && !lacks("bh_database")
        && outbox::is_followed(client, SchemaName::default())?
    {
        let message = format!("{denied}; an index follows this database and needs it; {mend}");
        return Err(Failure::permanent(Kind::Configuration, message));
    }
    log.warn(format!(
        "{denied}; loading goes on: {}; {mend}",
        lost.join(", ")
    ));
    Ok(())
}

/// Checks that this connection may write and means one `main_build`; warns where
/// the server does not keep what it confirms.
fn check_session(
    client: &mut Client,
    schema: SchemaName,
    used: Option<&Found>,
    log: &Log,
) -> Result<(), Failure> {
    let row = client.query_typed_one(
        "SELECT current_setting('transaction_read_only') = 'on',
                current_setting('fsync') = 'off', current_user::text",
        &[],
    )?;
    if row.try_get(0)? {
        let message = "the session is read-only: the server is a standby, or \
                       default_transaction_read_only is set for the server, the role or the \
                       database";
        return Err(Failure::permanent(Kind::Configuration, message));
    }
    if row.try_get(1)? {
        log.warn("the server has fsync off, so confirmed rows may be lost in a crash");
    }
    if schema.staging().is_some() {
        return Ok(());
    }
    let role: String = row.try_get(2)?;
    let others = client.query_typed(
        "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relname = 'main_build' AND c.oid IS DISTINCT FROM to_regclass('main_build')::oid
         AND n.nspname::text IN (
             SELECT CASE part WHEN '$user' THEN current_user::text ELSE part END
             FROM unnest(string_to_array(current_setting('search_path'), ',')) AS s,
                  btrim(s, ' \"') AS part)",
        &[],
    )?;
    for row in &others {
        let other: String = row.try_get(0)?;
        let Some(Found { schema, .. }) = used else {
            let message = format!(
                "{other}.main_build is on the search path, but this role may not use its schema: \
                 GRANT USAGE ON SCHEMA {other} TO {role}"
            );
            return Err(Failure::permanent(Kind::Configuration, message));
        };
        log.warn(format!(
            "{schema}.main_build is used, not {other}.main_build, which is on the search path too: \
             drop the one that is not wanted, or set search_path"
        ));
    }
    Ok(())
}
