//! Exports a table, and tells later what was committed since.
//!
//! A row names the transaction that wrote it, and what was in flight when a snapshot was taken
//! is not in it, also if its number is lower than others. The server cannot be asked later:
//! `pg_visible_in_snapshot` knows transactions, but loaders write in savepoints, which have
//! numbers of their own. So the snapshot of an export is what it has seen: every number below
//! that of the oldest transaction in flight, and the numbers above it that were in its rows.

use std::collections::BTreeSet;

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use postgres::{IsolationLevel, Row, Transaction};

use super::Postgres;
use crate::error::{Error, Result};
use crate::retry::Failure;
use crate::store::export::{
    ExportStore, ExportTable, ExportedRow, OTHER_DATABASE, Selection, no_snapshot, no_table,
};

/// So many transactions are kept by number; rows of more come again.
const MOST_SEEN: usize = 10_000;

/// What an export has seen.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    /// The server, its timeline, the database and the table.
    place: String,
    /// Every transaction before this one is over, and seen.
    horizon: i64,
    /// Others whose rows were seen.
    seen: BTreeSet<i64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("postgres:")?;
        let (rest, seen) = rest.rsplit_once(':')?;
        let (place, horizon) = rest.rsplit_once(':')?;
        let seen = seen.split(',').filter(|number| !number.is_empty());
        Some(Self {
            place: place.to_owned(),
            horizon: horizon.parse().ok()?,
            seen: seen.map(str::parse).collect::<Result<_, _>>().ok()?,
        })
    }

    fn format(&self) -> String {
        let seen = self.seen.iter().take(MOST_SEEN).map(i64::to_string);
        let seen = seen.collect::<Vec<_>>().join(",");
        format!("postgres:{}:{}:{seen}", self.place, self.horizon)
    }
}

/// What the server says of the snapshot of this transaction.
struct Present {
    /// `None` on a standby, which may follow another server than it did before.
    place: Option<String>,
    /// The oldest transaction in flight.
    oldest: i64,
    /// The next transaction.
    next: i64,
}

impl Present {
    /// Returns `None` if there is no such table.
    fn read(
        transaction: &mut Transaction<'_>,
        table: ExportTable,
    ) -> Result<Option<Self>, Failure> {
        let row = transaction.query_typed_one(
            "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s), pg_is_in_recovery(),
                    to_regclass($1)::oid::bigint FROM txid_current_snapshot() AS s",
            &[(&table.name(), Type::TEXT)],
        )?;
        let (oldest, next) = (row.try_get(0)?, row.try_get(1)?);
        let Some(table) = row.try_get::<_, Option<i64>>(3)? else {
            return Ok(None);
        };
        let mut present = Self {
            place: None,
            oldest,
            next,
        };
        if !row.try_get::<_, bool>(2)? {
            let row = transaction.query_typed_one(
                "SELECT system_identifier::text,
                    left(pg_walfile_name(pg_current_wal_lsn()), 8),
                    (SELECT oid::text FROM pg_database WHERE datname = current_database())
                 FROM pg_control_system()",
                &[],
            )?;
            let [server, timeline, database]: [String; 3] =
                [row.try_get(0)?, row.try_get(1)?, row.try_get(2)?];
            present.place = Some(format!("{server}/{timeline}/{database}/{table}"));
        }
        Ok(Some(present))
    }
}

/// The number of the transaction that wrote a row, of which the table has the lower half; $1 is
/// the next one.
const WRITER: &str = "($1 - (($1 - xmin::text::bigint) & 4294967295))";

fn query(table: ExportTable) -> String {
    let (columns, order) = match table {
        ExportTable::Rows => (
            "id::bigint, s3_object_key, s3_object_etag, build_hash,
             to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
             metadata::text, build::text",
            "id",
        ),
        ExportTable::Objects => ("key, etag, build_hash", "key"),
        ExportTable::Rejects => ("run, line", "key"),
    };
    format!(
        "SELECT {WRITER}, {columns} FROM {name}
         WHERE $2::bigint IS NULL OR {WRITER} >= $2 AND {WRITER} <> ALL ($3) ORDER BY {name}.{order}",
        name = table.name()
    )
}

fn exported(row: &Row, table: ExportTable) -> Result<ExportedRow<'_>, postgres::Error> {
    Ok(match table {
        ExportTable::Rows => ExportedRow::Build {
            id: row.try_get(1)?,
            key: row.try_get(2)?,
            etag: row.try_get(3)?,
            hash: row.try_get(4)?,
            created_at: row.try_get(5)?,
            metadata: row.try_get(6)?,
            build: row.try_get(7)?,
        },
        ExportTable::Objects => ExportedRow::Object {
            key: row.try_get(1)?,
            etag: row.try_get(2)?,
            hash: row.try_get(3)?,
        },
        ExportTable::Rejects => ExportedRow::Reject {
            run: row.try_get(1)?,
            line: row.try_get(2)?,
        },
    })
}

type Each<'a> = &'a mut dyn FnMut(&ExportedRow<'_>) -> Result<()>;

/// Gives the runs that this role may read.
fn give_runs(transaction: &mut Transaction<'_>, each: Each<'_>) -> Result<(), Failure> {
    let readable = "SELECT coalesce(has_table_privilege(to_regclass('bh_run'), 'SELECT'), false)";
    if !transaction.query_typed_one(readable, &[])?.try_get(0)? {
        return Ok(());
    }
    let none = std::iter::empty::<(&str, Type)>();
    let mut runs = transaction.query_typed_raw("SELECT id, source FROM bh_run", none)?;
    while let Some(row) = runs.next()? {
        let (id, source) = (row.try_get(0)?, row.try_get(1)?);
        each(&ExportedRow::Run { id, source }).map_err(Failure::Permanent)?;
    }
    Ok(())
}

fn export(
    transaction: &mut Transaction<'_>,
    address: &str,
    selection: Selection<'_>,
    each: Each<'_>,
) -> Result<Option<String>, Failure> {
    let table = selection.table;
    // The order is that of an index: to sort the rows would take a copy of them all.
    transaction.batch_execute("SET LOCAL enable_sort = off")?;
    let present = Present::read(transaction, table)?
        .ok_or_else(|| Failure::Permanent(no_table(address, table)))?;
    let since = match selection.since {
        None => None,
        Some(text) => Some(check(text, &present, address).map_err(Failure::Permanent)?),
    };
    give_runs(transaction, each)?;
    let horizon = since.as_ref().map(|since| since.horizon);
    let seen = since.map_or_else(BTreeSet::new, |since| since.seen);
    let known: Vec<i64> = seen.iter().copied().collect();
    let values: [(&(dyn ToSql + Sync), Type); 3] = [
        (&present.next, Type::INT8),
        (&horizon, Type::INT8),
        (&known, Type::INT8_ARRAY),
    ];
    let mut now = Snapshot {
        place: String::new(),
        horizon: present.oldest,
        seen: seen
            .into_iter()
            .filter(|writer| *writer >= present.oldest)
            .collect(),
    };
    let mut rows = transaction.query_typed_raw(&query(table), values)?;
    while let Some(row) = rows.next()? {
        let writer = row.try_get(0)?;
        if writer >= now.horizon {
            now.seen.insert(writer);
        }
        each(&exported(&row, table)?).map_err(Failure::Permanent)?;
    }
    Ok(present
        .place
        .map(|place| Snapshot { place, ..now }.format()))
}

/// Returns an earlier snapshot, if this database can tell what it did not hold.
fn check(text: &str, present: &Present, address: &str) -> Result<Snapshot> {
    let Some(place) = &present.place else {
        let why = "a standby does not say which server it follows, so ask the primary";
        return Err(no_snapshot(address, why));
    };
    Snapshot::parse(text)
        // A copy of the server may be younger than the snapshot.
        .filter(|since| since.place == *place && since.horizon <= present.next)
        .ok_or_else(|| no_snapshot(address, OTHER_DATABASE))
}

impl ExportStore for Postgres {
    fn export(
        &mut self,
        selection: Selection<'_>,
        each: &mut dyn FnMut(&ExportedRow<'_>) -> Result<()>,
    ) -> Result<Option<String>> {
        let address = self.address.clone();
        let mut has_begun = false;
        self.retry(|client| {
            let begin = client.build_transaction().read_only(true);
            let mut transaction = begin
                .isolation_level(IsolationLevel::RepeatableRead)
                .start()?;
            let mut give = |row: &ExportedRow<'_>| {
                has_begun = true;
                each(row)
            };
            match export(&mut transaction, &address, selection, &mut give) {
                Err(Failure::Transient { reason, .. }) if has_begun => {
                    let text = format!("{reason}; a part is written already: export again");
                    Err(Failure::Permanent(Error::unavailable(text)))
                }
                done => done,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_written_as_it_is_read() {
        for seen in [vec![], vec![7, 9]] {
            let snapshot = Snapshot {
                place: "7423/00000001/5/16390".to_owned(),
                horizon: 6,
                seen: seen.into_iter().collect(),
            };
            assert_eq!(Snapshot::parse(&snapshot.format()), Some(snapshot));
        }
        for text in [
            "",
            "sqlite:a:1:h",
            "postgres:1/2/3/4:x:",
            "postgres:1/2/3/4:1:a",
        ] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }
}
