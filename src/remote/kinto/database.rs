//! Reads the records of a collection from Kinto's own PostgreSQL, by a server-side cursor.

use postgres::Client;

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
}

impl Layout {
    /// Returns the layout of the database, `None` if it has neither table.
    fn find(client: &mut Client) -> Result<Option<Self>, postgres::Error> {
        let columns = "SELECT attname::text FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
        for table in ["objects", "records"] {
            let names: Vec<String> = client
                .query(columns, &[&table])?
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<_, _>>()?;
            let has = |name: &str| names.iter().any(|own| own == name);
            let resource = ["resource_name", "collection_id"];
            if let Some(resource) = resource.into_iter().find(|name| has(name)) {
                return Ok(Some(Self {
                    table,
                    resource,
                    deletions: has("deleted"),
                }));
            }
        }
        Ok(None)
    }

    /// Returns the query for objects of one kind below `parent` that are not deleted.
    fn query(&self, what: &str, kind: &str, parent: &str) -> String {
        let Self {
            table, resource, ..
        } = self;
        let live = if self.deletions {
            " AND NOT deleted"
        } else {
            ""
        };
        format!(
            "SELECT {what} FROM {table} WHERE parent_id = {} AND {resource} = '{kind}'{live}",
            quote(parent)
        )
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
        (page_size, retries): (u16, u32),
        context: &Context,
    ) -> Result<Self> {
        let policy = Policy {
            backoff: BACKOFF,
            announce: Announce::Never,
            ..Policy::requests(retries.saturating_add(1))
        };
        Ok(Self {
            target: ConnectionTarget::new(url)?,
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

    /// Returns the latest change in microseconds, 0 if there are no records.
    ///
    /// # Errors
    /// There is no such collection (78), or the server is away (69).
    pub fn latest(&mut self) -> Result<u64> {
        let (bucket, parent) = (self.bucket.clone(), self.parent());
        let name = format!("id = {}", quote(&self.collection));
        let latest = self.retry(|open| {
            let what = format!("max({MICROSECONDS})");
            let query = open.layout.query(&what, "record", &parent);
            let latest: Option<i64> = open.client.query_one(&query, &[])?.try_get(0)?;
            if latest.is_some() {
                return Ok(latest);
            }
            let query = open.layout.query("0", "collection", &bucket);
            let there = open.client.query(&format!("{query} AND {name}"), &[])?;
            Ok(there.first().map(|_| 0))
        })?;
        latest.map(number).ok_or_else(|| {
            Error::configuration(format!(
                "{}: there is no such bucket or collection; check --bucket and --collection",
                self.place()
            ))
        })
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
            let rows = open.client.query(&fetch, &[])?;
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
                    let reason = "neither a table objects nor records of Kinto is there";
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
        let time = |number| format!("timestamp 'epoch' + {number} * interval '1 microsecond'");
        let after_bound = after.map_or_else(String::new, |after| {
            format!(" AND last_modified > {}", time(after))
        });
        self.client.batch_execute(&format!(
            "ROLLBACK; BEGIN READ ONLY; DECLARE buildhub NO SCROLL CURSOR FOR
             {query}{after_bound} AND last_modified <= {} ORDER BY last_modified",
            time(through)
        ))
    }
}

/// Quotes a text for a query.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Converts a time; no record is older than 1970.
fn number(changed: i64) -> u64 {
    changed.try_into().unwrap_or_default()
}
