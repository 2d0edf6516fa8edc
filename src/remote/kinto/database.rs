//! Reads the records of a collection from Kinto's own PostgreSQL, by a server-side cursor.

use postgres::Client;
use postgres::types::Type;

use crate::address::without_password;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::retry::{Announce, Failure, FailureClass, Policy, Retry};
use crate::store::postgres::{BACKOFF, ConnectionTarget};

/// A record of the table.
pub struct DatabaseRecord {
    pub id: String,
    /// Microseconds since 1970: Kinto kept them until version 12.
    pub changed: u64,
    pub data: String,
}

/// The table of records: `records` in Kinto up to 12, later `objects`. In between, deleted
/// records moved into the same table.
struct Layout {
    table: &'static str,
    resource: &'static str,
    deletions: bool,
    /// Whether the time of the latest change is kept, also of one whose record is gone.
    timestamps: bool,
}

impl Layout {
    /// Returns the layout of the database, `None` if it has neither table.
    fn find(client: &mut Client) -> Result<Option<Self>, postgres::Error> {
        let columns = "SELECT attname::text FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        let mut names_of = |table: &str| -> Result<Vec<String>, postgres::Error> {
            let rows = client.query_typed(columns, &[(&table, Type::TEXT)])?;
            rows.iter().map(|row| row.try_get(0)).collect()
        };
        for table in ["objects", "records"] {
            let names = names_of(table)?;
            let has = |name: &str| names.iter().any(|own| own == name);
            let resource = ["resource_name", "collection_id"];
            if let Some(resource) = resource.into_iter().find(|name| has(name)) {
                return Ok(Some(Self {
                    table,
                    resource,
                    deletions: has("deleted"),
                    timestamps: names_of("timestamps")?.iter().any(|name| name == resource),
                }));
            }
        }
        Ok(None)
    }

    /// Returns the query for objects of one kind below `parent` that are not deleted.
    fn query(&self, what: &str, kind: &str, parent: &str) -> String {
        let live = if self.deletions {
            " AND NOT deleted"
        } else {
            ""
        };
        self.any(what, self.table, kind, parent) + live
    }

    /// Returns the query for the latest change of a record, which may be its deletion.
    fn latest(&self, parent: &str) -> String {
        let latest = |table| {
            self.any(
                "max(last_modified) AS last_modified",
                table,
                "record",
                parent,
            )
        };
        let mut all = latest(self.table);
        if self.timestamps {
            all = format!("{all} UNION ALL {}", latest("timestamps"));
        }
        format!("SELECT max({MICROSECONDS}) FROM ({all}) AS latest")
    }

    fn any(&self, what: &str, table: &str, kind: &str, parent: &str) -> String {
        let (resource, parent) = (self.resource, quote(parent));
        format!("SELECT {what} FROM {table} WHERE parent_id = {parent} AND {resource} = '{kind}'")
    }
}

/// The time of a change in microseconds; rounded, because older servers compute it as a
/// double.
const MICROSECONDS: &str = "round(extract(epoch FROM last_modified) * 1000000)::bigint";

/// The records of one collection.
pub struct KintoDatabase {
    target: ConnectionTarget,
    address: String,
    retry: Retry,
    bucket: String,
    collection: String,
    page_size: u16,
    open: Option<OpenCursor>,
}

/// A connection, and its cursor.
struct OpenCursor {
    client: Client,
    layout: Layout,
    /// The last change that the cursor returned; `None` if there is no cursor.
    at: Option<u64>,
}

impl KintoDatabase {
    /// Reads the address; nothing is sent yet.
    ///
    /// # Errors
    /// An address that cannot be used (2).
    pub fn new(
        url: &str,
        (bucket, collection): (&str, &str),
        (page_size, tries): (u16, u32),
        context: &Context,
    ) -> Result<Self> {
        let policy = Policy {
            backoff: BACKOFF,
            announce: Announce::Never,
            ..Policy::requests(tries)
        };
        Ok(Self {
            target: ConnectionTarget::new(url, &context.log)?,
            address: without_password(url),
            retry: Retry::new(policy, context),
            bucket: format!("/buckets/{bucket}"),
            collection: collection.to_owned(),
            page_size,
            open: None,
        })
    }

    /// Returns the address with the collection, for messages.
    pub fn place(&self) -> String {
        format!("{}{}", self.address, self.parent())
    }

    fn parent(&self) -> String {
        format!("{}/collections/{}", self.bucket, self.collection)
    }

    /// Returns the latest change of a live record in microseconds, 0 if there are no records.
    ///
    /// # Errors
    /// There is no such collection (78), or the server is away (69).
    pub fn latest(&mut self) -> Result<u64> {
        let parent = self.parent();
        let latest: Option<i64> = self.retry(|open| {
            let what = format!("max({MICROSECONDS})");
            let query = open.layout.query(&what, "record", &parent);
            open.client.query_typed_one(&query, &[])?.try_get(0)
        })?;
        if latest.is_none() && self.changed()?.is_none() {
            return Err(Error::configuration(format!(
                "{}: no such bucket or collection; check --kinto-bucket and --kinto-collection",
                self.place()
            )));
        }
        Ok(latest.map_or(0, number))
    }

    /// Returns when the collection itself, apart from its records, was created or changed last:
    /// one that is created again has another time. `None` if the database does not say.
    pub fn changed(&mut self) -> Result<Option<u64>> {
        let (bucket, name) = (self.bucket.clone(), quote(&self.collection));
        let changed: Option<i64> = self.retry(|open| {
            let query = open.layout.query(MICROSECONDS, "collection", &bucket);
            let found = open
                .client
                .query_typed_opt(&format!("{query} AND id = {name}"), &[])?;
            found.map(|row| row.try_get(0)).transpose()
        })?;
        Ok(changed.map(number))
    }

    /// Returns how many live records have changed after `after` and through `through`, and when
    /// a record was changed or deleted last, 0 if none ever was.
    pub fn count(&mut self, after: Option<u64>, through: u64) -> Result<(u64, u64)> {
        let parent = self.parent();
        let (count, latest): (i64, Option<i64>) = self.retry(|open| {
            let count = open.layout.query("count(*)", "record", &parent);
            let count = format!("{count}{}", between(after, through));
            let latest = open.layout.latest(&parent);
            let row = open
                .client
                .query_typed_one(&format!("SELECT ({count}), ({latest})"), &[])?;
            Ok((row.try_get(0)?, row.try_get(1)?))
        })?;
        Ok((count.unsigned_abs(), latest.map_or(0, number)))
    }

    /// Returns the next records after `after` through `through`; fewer than a page at the
    /// end.
    ///
    /// # Errors
    /// The server is away (69), or denies access (77).
    pub fn page(&mut self, after: Option<u64>, through: u64) -> Result<Vec<DatabaseRecord>> {
        let (parent, page_size) = (self.parent(), self.page_size);
        self.retry(|open| {
            if open.at.is_none() || open.at != after {
                open.declare(&parent, after, through)?;
            }
            let fetch = format!("FETCH {page_size} FROM buildhub");
            let rows = open.client.query_typed(&fetch, &[])?;
            let records: Vec<DatabaseRecord> = rows
                .iter()
                .map(|row| {
                    Ok(DatabaseRecord {
                        id: row.try_get(0)?,
                        changed: number(row.try_get(1)?),
                        data: row.try_get(2)?,
                    })
                })
                .collect::<Result<_, postgres::Error>>()?;
            open.at = records.last().map(|last| last.changed);
            Ok(records)
        })
    }

    fn retry<T>(
        &mut self,
        mut work: impl FnMut(&mut OpenCursor) -> Result<T, postgres::Error>,
    ) -> Result<T> {
        let (retry, address) = (self.retry.clone(), self.address.clone());
        retry.run_blocking(&address, || {
            let done = self.attempt(&mut work);
            if done.is_err() {
                self.open = None;
            }
            done.map_err(|failure| match failure {
                // A standby cancels queries: no transaction of ours is at fault.
                Failure::Transient { reason, .. } => {
                    Failure::transient(FailureClass::Silent, reason)
                }
                failure => failure,
            })
        })
    }

    fn attempt<T>(
        &mut self,
        work: &mut impl FnMut(&mut OpenCursor) -> Result<T, postgres::Error>,
    ) -> Result<T, Failure> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let mut client = self.target.connect()?;
                let layout = Layout::find(&mut client)?.ok_or_else(|| {
                    let reason = "not a database of Kinto: it has neither a table objects nor a \
                                  table records";
                    Failure::permanent(Kind::Configuration, reason)
                })?;
                none.insert(OpenCursor {
                    client,
                    layout,
                    at: None,
                })
            }
        };
        Ok(work(open)?)
    }
}

impl OpenCursor {
    fn declare(
        &mut self,
        parent: &str,
        after: Option<u64>,
        through: u64,
    ) -> Result<(), postgres::Error> {
        let what = format!("id, {MICROSECONDS}, data::text");
        let query = self.layout.query(&what, "record", parent);
        self.client.batch_execute(&format!(
            "ROLLBACK; BEGIN READ ONLY; DECLARE buildhub NO SCROLL CURSOR FOR
             {query}{} ORDER BY last_modified",
            between(after, through)
        ))
    }
}

/// Returns the condition of a change after `after` and through `through`.
fn between(after: Option<u64>, through: u64) -> String {
    let time = |number| format!("timestamp 'epoch' + {number} * interval '1 microsecond'");
    let after = after.map(|after| format!(" AND last_modified > {}", time(after)));
    format!(
        "{} AND last_modified <= {}",
        after.unwrap_or_default(),
        time(through)
    )
}

/// Quotes a text for a query.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Converts a time; no record is older than 1970.
fn number(changed: i64) -> u64 {
    changed.try_into().unwrap_or_default()
}
