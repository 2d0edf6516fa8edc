//! The store in PostgreSQL.

mod audit;
mod batch;
mod connect;
mod connection;
mod content;
mod copy;
mod definitions;
mod export;
mod failure;
mod indexed;
mod outbox;
mod parameters;
mod pgpass;
mod promote;
mod rebuild;
mod refusal;
mod rejects;
mod runs;
mod schema;
mod shape;
mod staged;
mod tables;
mod tls;

use std::time::Duration;

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;

use self::batch::Session;
pub use self::connect::ConnectionTarget;
pub use self::connection::{Access, PostgresPlace};
pub use self::schema::SchemaName;
use super::plan::ContentStatus;
use super::{
    ALL_QUEUED, BuildRow, DatabaseIdentity, INDEXED_SAMPLE, KnownReject, LoadOutcome, NewRun,
    ORPHANS, Outcome, RefusedRow, RejectedObject, RunEnd, RunFence, RunRecord, RunRows, Store,
    StoredBuild, StoredRun, known_queries, orphans_of,
};
use crate::backoff::Backoff;
use crate::error::{Error, Kind, Result};
use crate::record::coverage::Interval;
use crate::retry::{Announce, Failure, Limit, Policy, Retry};

/// Retries for about 20 seconds.
const POLICY: Policy = Policy {
    limit: Limit::Tries(9),
    backoff: BACKOFF,
    announce: Announce::First,
    counted_as: "reconnections",
    waits_for: &[],
};
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(400), Duration::from_secs(10));

pub struct Postgres {
    target: ConnectionTarget,
    address: String,
    retry: Retry,
    client: Option<Client>,
    access: Access,
    schema: SchemaName,
    /// Whether other clients share the server's sessions.
    is_pooled: bool,
}

impl Store for Postgres {
    fn address(&self) -> &str {
        &self.address
    }

    fn has_tables(&mut self) -> Result<bool> {
        self.has("bh_object")
    }

    fn for_each_known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()> {
        let schema = self.schema;
        for query in known_queries(self.has("main_build")?, self.has_tables()?) {
            self.retry(|client| {
                let none = std::iter::empty::<(&str, Type)>();
                let mut rows = client.query_typed_raw(&schema.qualify(query), none)?;
                while let Some(row) = rows.next()? {
                    each(row.try_get(0)?, row.try_get(1)?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn for_each_reject(&mut self, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()> {
        let schema = self.schema;
        self.retry(|client| {
            if rejects::are_readable(client, schema)? {
                rejects::for_each(client, schema, each)?;
            }
            Ok(())
        })
    }

    fn record_rejects(&mut self, run: &str, rejects: &[RejectedObject]) -> Result<()> {
        if !self.uses("bh_reject") {
            return Ok(());
        }
        let schema = self.schema;
        self.retry(|client| Ok(rejects::record(client, schema, run, rejects)?))
    }

    fn meet_rejects(&mut self, run: &str, keys: &[&str]) -> Result<()> {
        if !self.uses("bh_reject") {
            return Ok(());
        }
        let schema = self.schema;
        self.retry(|client| Ok(rejects::meet(client, schema, run, keys)?))
    }

    fn forget_rejects(&mut self, run: &str, keys: &Interval) -> Result<u64> {
        if !self.uses("bh_reject") || !self.uses("bh_run") {
            return Ok(0);
        }
        let schema = self.schema;
        self.retry(|client| Ok(rejects::forget(client, schema, run, keys)?))
    }

    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>> {
        if !self.has("main_build")? {
            return Ok(vec![ContentStatus::New; hashes.len()]);
        }
        let schema = self.schema;
        self.retry(|client| Ok(content::find_all(client, schema, hashes)?))
    }

    fn load(
        &mut self,
        rows: &[BuildRow],
        mut fence: Option<&mut RunFence>,
    ) -> Result<Vec<LoadOutcome>> {
        let schema = self.schema;
        let mut session = self.tables().map(|tables| Session {
            schema,
            tables,
            is_pooled: self.is_pooled,
        });
        let records_runs = self.uses("bh_run");
        let mut unanswered = None;
        let done = self.retry(|client| match &mut session {
            Some(session) => {
                let fence = fence.as_deref_mut().filter(|_| records_runs);
                batch::load(client, rows, session, fence, &mut unanswered)
            }
            None => Err(Failure::permanent(
                Kind::Internal,
                "it was opened only for reading",
            )),
        });
        self.is_pooled = session.is_some_and(|session| session.is_pooled);
        done
    }

    fn begin_run(&mut self, run: &NewRun<'_>, loader: &str) -> Result<RunFence> {
        if !self.uses("bh_run") {
            return Ok(RunFence {
                run: run.id.to_owned(),
                loader: loader.to_owned(),
                step: 0,
            });
        }
        let schema = self.schema;
        self.retry(|client| {
            runs::refuse_promoted(client, schema)?;
            Ok(runs::begin(client, schema, run, loader)?)
        })
    }

    fn find_run(&mut self, run: &str) -> Result<Option<StoredRun>> {
        if !self.uses("bh_run") {
            // What the state file says cannot be doubted.
            return Ok(Some(StoredRun {
                step: i64::MAX,
                is_rootless: false,
            }));
        }
        let schema = self.schema;
        self.retry(|client| Ok(runs::find(client, schema, run)?))
    }

    fn count_rows(&mut self, run: &str) -> Result<RunRows> {
        let is_recorded = self.uses("bh_run");
        let schema = self.schema;
        self.retry(|client| Ok(runs::count_rows(client, schema, run, is_recorded)?))
    }

    fn end_run(&mut self, fence: &RunFence, end: &RunEnd<'_>) -> Result<()> {
        if !self.uses("bh_run") {
            return Ok(());
        }
        let schema = self.schema;
        if end.outcome != Outcome::Stopped {
            return self.retry(|client| Ok(runs::end(client, schema, fence, end)?));
        }
        // A signal ends all retries, and a server that stayed away is not asked again.
        let note = self
            .client
            .as_mut()
            .map(|client| runs::end(client, schema, fence, end));
        let noted = note.unwrap_or(Ok(())).map_err(Failure::from);
        noted.map_err(|failure| failure.into_error(&self.address))
    }

    fn runs(&mut self) -> Result<Vec<RunRecord>> {
        if !self.has("bh_run")? {
            return Ok(Vec::new());
        }
        let schema = self.schema;
        self.retry(|client| Ok(runs::all(client, schema)?))
    }

    fn verify(&mut self) -> Result<()> {
        let (tables, schema) = (self.tables(), self.schema);
        self.retry(|client| tables.map_or(Ok(()), |tables| tables.begin(client, schema).map(drop)))
    }

    fn check_queue(&mut self) -> Result<()> {
        if self.tables().is_none_or(|tables| tables.have_queue()) {
            return Ok(());
        }
        let address = &self.address;
        Err(Error::configuration(format!(
            "{address}: no index can follow a database without bh_outbox and bh_database: create \
             them as the warning says, or leave out --elasticsearch"
        )))
    }

    fn identity(&mut self) -> Result<DatabaseIdentity> {
        if !self.uses("bh_database") {
            return Ok(DatabaseIdentity::default());
        }
        let schema = self.schema;
        self.retry(|client| outbox::identity(client, schema, ""))
    }

    fn follow(
        &mut self,
        seen: &DatabaseIdentity,
        index: &str,
        requeue: bool,
    ) -> Result<DatabaseIdentity> {
        self.retry(|client| outbox::follow(client, seen, index, requeue))
    }

    fn all_queued(&mut self) -> Result<bool> {
        self.retry(|client| Ok(client.query_typed_one(ALL_QUEUED, &[])?.try_get(0)?))
    }

    fn indexed_sample(&mut self) -> Result<Vec<StoredBuild>> {
        self.retry(|client| Ok(outbox::builds(client, INDEXED_SAMPLE, &[])?))
    }

    fn builds(&mut self, ids: &[i64]) -> Result<Vec<StoredBuild>> {
        let query = "SELECT id::bigint, build::text FROM main_build WHERE id = ANY ($1)";
        self.retry(|client| Ok(outbox::builds(client, query, &[(&ids, Type::INT8_ARRAY)])?))
    }

    fn queued(&mut self, after: i64, limit: usize) -> Result<Vec<StoredBuild>> {
        self.retry(|client| Ok(outbox::queued(client, after, limit)?))
    }

    fn last_queued(&mut self) -> Result<i64> {
        self.retry(|client| {
            let last = "SELECT coalesce(max(id), 0) FROM bh_outbox";
            Ok(client.query_typed_one(last, &[])?.try_get(0)?)
        })
    }

    fn waiting(&mut self) -> Result<u64> {
        if !self.uses("bh_outbox") {
            return Ok(0);
        }
        let schema = self.schema;
        self.retry(|client| {
            let waiting = "SELECT count(*) FROM bh_outbox WHERE error IS NULL";
            let rows: i64 = client
                .query_typed_one(&schema.qualify(waiting), &[])?
                .try_get(0)?;
            Ok(rows.unsigned_abs())
        })
    }

    fn orphans(&mut self) -> Result<(u64, Vec<i64>)> {
        self.retry(|client| {
            let rows = client.query_typed(ORPHANS, &[])?;
            let pairs = rows
                .iter()
                .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
            let pairs = pairs.collect::<Result<Vec<_>, Failure>>()?;
            Ok(orphans_of(&pairs))
        })
    }

    fn ack(
        &mut self,
        generation: i64,
        confirmed: &[i64],
        refused: &[(i64, String)],
    ) -> Result<bool> {
        self.retry(|client| outbox::ack(client, generation, confirmed, refused))
    }

    fn unreported(&mut self) -> Result<Vec<RefusedRow>> {
        self.retry(|client| Ok(outbox::unreported(client)?))
    }

    fn mark_reported(&mut self, ids: &[i64]) -> Result<()> {
        self.retry(|client| {
            let note = "UPDATE bh_outbox SET reported = true WHERE id = ANY ($1)";
            client.query_typed(note, &[(&ids, Type::INT8_ARRAY)])?;
            Ok(())
        })
    }

    fn retry_refused(&mut self) -> Result<u64> {
        self.retry(|client| {
            let again = "UPDATE bh_outbox SET error = NULL WHERE error IS NOT NULL";
            Ok(client.execute_typed(again, &[])?)
        })
    }
}
