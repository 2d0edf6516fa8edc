//! Whether a failed statement is the fault of the rows that it should store.

use postgres::GenericClient;
use postgres::error::SqlState;
use postgres::types::Type;

use super::schema::SchemaName;

/// What an error of the server blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// One of the rows, whatever becomes of the others.
    Rows,
    /// One of the rows if others are stored, else the server.
    Either,
    /// Another loader, which has inserted a row of the batch.
    Race,
    /// The server, or the role.
    Server,
}

/// Returns what an error blames; the transaction continues after it.
///
/// # Errors
/// The server failed.
pub fn blame(
    client: &mut impl GenericClient,
    schema: SchemaName,
    error: &postgres::Error,
) -> Result<Blame, postgres::Error> {
    let Some(answer) = error.as_db_error() else {
        return Ok(Blame::Server);
    };
    let code = answer.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        return violated(client, schema, answer);
    }
    if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        let may = may_write(client, schema)?;
        return Ok(if may { Blame::Either } else { Blame::Server });
    }
    // A statement that takes too long may do so because of one row.
    if *code == SqlState::QUERY_CANCELED {
        return Ok(Blame::Either);
    }
    Ok(match (code.code(), code.code().get(..2)) {
        // An exhausted sequence, a full disk and too many connections; a lock that is held; a
        // statement that a pooler lost; a read-only standby.
        ("2200H" | "53100" | "53300" | "55P03" | "42P05", _)
        | (_, Some("08" | "25" | "26" | "28" | "40" | "57")) => Blame::Server,
        (_, Some("3D" | "3F" | "42" | "53" | "55" | "58" | "F0" | "XX")) => Blame::Either,
        // Values, constraints, limits, what is not supported, and what a trigger raises.
        _ => Blame::Rows,
    })
}

/// Returns what a unique index blames: ours another loader, that of the ids the sequence, and
/// one that the user has added the row.
fn violated(
    client: &mut impl GenericClient,
    own: SchemaName,
    answer: &postgres::error::DbError,
) -> Result<Blame, postgres::Error> {
    let (schema, index) = (answer.schema(), answer.constraint());
    let violated = "WITH RECURSIVE i AS (
             SELECT i.indrelid, ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) AS columns
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE n.nspname = $1 AND c.relname = $2),
         tables (oid) AS (
             SELECT indrelid FROM i
             UNION SELECT inhparent FROM pg_inherits JOIN tables ON inhrelid = tables.oid)
         SELECT columns FROM i WHERE EXISTS (SELECT FROM tables
             WHERE oid IN (to_regclass('main_build'), to_regclass('bh_object')))";
    let row = client.query_typed_opt(
        &own.qualify(violated),
        &[(&schema, Type::TEXT), (&index, Type::TEXT)],
    )?;
    let columns: Vec<String> = row.map_or(Ok(Vec::new()), |row| row.try_get(0))?;
    Ok(
        match columns.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["build_hash" | "key"] => Blame::Race,
            ["id"] => Blame::Server,
            _ => Blame::Rows,
        },
    )
}

/// Returns whether the role may do to the tables what a loader does.
fn may_write(client: &mut impl GenericClient, schema: SchemaName) -> Result<bool, postgres::Error> {
    let query = "SELECT coalesce(bool_and(has_table_privilege(c.oid, 'SELECT')
            AND has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE')
            AND coalesce(has_sequence_privilege(pg_get_serial_sequence('main_build', 'id'),
                'USAGE'), true)), true)
        FROM pg_class c
        WHERE c.oid IN (to_regclass('main_build'), to_regclass('bh_object'), to_regclass('bh_outbox'))";
    client
        .query_typed_one(&schema.qualify(query), &[])?
        .try_get(0)
}
