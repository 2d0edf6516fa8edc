//! The store in PostgreSQL.

mod audit;
mod batch;
mod connect;
mod content;
mod copy;
mod export;
mod failure;
mod indexed;
mod outbox;
mod parameters;
mod pgpass;
mod refusal;
mod rejects;
mod runs;
mod shape;
mod tables;
mod tls;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::Type;

use self::batch::Session;
pub use self::connect::ConnectionTarget;
pub use self::tables::Tables;
use super::plan::ContentStatus;
use super::{
    ALL_QUEUED, BuildRow, DatabaseIdentity, INDEXED_SAMPLE, KnownReject, LoadOutcome, NewRun,
    ORPHANS, Outcome, RefusedRow, RejectedObject, RunEnd, RunFence, RunRecord, RunRows, Store,
    StoredBuild, StoredRun, known_queries, orphans_of,
};
use crate::address::without_password;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::counters::Waiting;
use crate::error::{Error, Kind, Result};
use crate::record::coverage::Interval;
use crate::retry::{Announce, Failure, FailureClass, Limit, Policy, Retry};

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
    /// Whether other clients share the server's sessions.
    is_pooled: bool,
}

/// What a store is opened for.
#[derive(Clone)]
pub enum Access {
    Read,
    /// Loading, into these tables, which all connections of a run share.
    Load(Arc<OnceLock<Tables>>),
}

impl Postgres {
    /// Connects; for loading, tables that are missing are created. A request is tried `tries`
    /// times, 9 by default.
    ///
    /// # Errors
    /// Not reachable (69), refused (77), no such database or a table of
    /// another shape (78).
    pub fn open(url: &str, tries: Option<u32>, context: &Context, access: Access) -> Result<Self> {
        let mut store = Self {
            target: ConnectionTarget::new(url, &context.log)?,
            address: without_password(url),
            retry: Retry::new(POLICY.with_tries(tries), context),
            client: None,
            access,
            is_pooled: false,
        };
        let waiting = format!("connecting to {}", store.address);
        let _patience = context.log.notify_if_slow(waiting);
        store.retry(|_| Ok(()))?;
        Ok(store)
    }

    /// Runs `work`, a transaction or a query, until it succeeds: after a lost
    /// connection on a new one, after a conflict on the same one.
    fn retry<T>(&mut self, mut work: impl FnMut(&mut Client) -> Result<T, Failure>) -> Result<T> {
        let (retry, address) = (self.retry.clone(), self.address.clone());
        retry.run_blocking(&address, || {
            retry.context.counters.waits(Waiting::Server);
            let done = self.attempt(&mut work);
            retry.context.counters.waits(Waiting::Nothing);
            done
        })
    }

    fn attempt<T>(
        &mut self,
        work: &mut impl FnMut(&mut Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let mut client = self.target.connect()?;
                let opened = match &self.access {
                    Access::Read => tables::check(&mut client),
                    Access::Load(known) => {
                        Tables::open(&mut client, known, &self.retry.context.log).map(drop)
                    }
                };
                opened.map_err(|failure| self.target.explain(failure))?;
                none.insert(client)
            }
        };
        let done = work(client);
        if let Err(Failure::Transient {
            class: FailureClass::Silent,
            ..
        }) = done
        {
            self.client = None;
        }
        done
    }

    /// Returns the tables of a run that loads; they were set at the first
    /// connection.
    fn tables(&self) -> Option<Tables> {
        match &self.access {
            Access::Read => None,
            Access::Load(known) => known.get().copied(),
        }
    }

    /// Returns whether there is a table of ours, and this run uses it.
    fn uses(&self, table: &str) -> bool {
        self.tables().is_none_or(|tables| tables.has(table))
    }

    fn has(&mut self, table: &str) -> Result<bool> {
        self.retry(|client| {
            let has = "SELECT to_regclass($1) IS NOT NULL";
            Ok(client
                .query_typed_one(has, &[(&table, Type::TEXT)])?
                .try_get(0)?)
        })
    }
}

impl Store for Postgres {
    fn address(&self) -> &str {
        &self.address
    }

    fn has_tables(&mut self) -> Result<bool> {
        self.has("bh_object")
    }

    fn for_each_known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()> {
        for query in known_queries(self.has("main_build")?, self.has_tables()?) {
            self.retry(|client| {
                let none = std::iter::empty::<(&str, Type)>();
                let mut rows = client.query_typed_raw(query, none)?;
                while let Some(row) = rows.next()? {
                    each(row.try_get(0)?, row.try_get(1)?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn for_each_reject(&mut self, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()> {
        self.retry(|client| {
            if rejects::are_readable(client)? {
                rejects::for_each(client, each)?;
            }
            Ok(())
        })
    }

    fn record_rejects(&mut self, run: &str, rejects: &[RejectedObject]) -> Result<()> {
        if !self.uses("bh_reject") {
            return Ok(());
        }
        self.retry(|client| Ok(rejects::record(client, run, rejects)?))
    }

    fn meet_rejects(&mut self, run: &str, keys: &[&str]) -> Result<()> {
        if !self.uses("bh_reject") {
            return Ok(());
        }
        self.retry(|client| Ok(rejects::meet(client, run, keys)?))
    }

    fn forget_rejects(&mut self, run: &str, keys: &Interval) -> Result<u64> {
        if !self.uses("bh_reject") || !self.uses("bh_run") {
            return Ok(0);
        }
        self.retry(|client| Ok(rejects::forget(client, run, keys)?))
    }

    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>> {
        if !self.has("main_build")? {
            return Ok(vec![ContentStatus::New; hashes.len()]);
        }
        self.retry(|client| Ok(content::find_all(client, hashes)?))
    }

    fn load(
        &mut self,
        rows: &[BuildRow],
        mut fence: Option<&mut RunFence>,
    ) -> Result<Vec<LoadOutcome>> {
        let mut session = self.tables().map(|tables| Session {
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
        self.retry(|client| Ok(runs::begin(client, run, loader)?))
    }

    fn find_run(&mut self, run: &str) -> Result<Option<StoredRun>> {
        if !self.uses("bh_run") {
            // What the state file says cannot be doubted.
            return Ok(Some(StoredRun {
                step: i64::MAX,
                is_rootless: false,
            }));
        }
        self.retry(|client| Ok(runs::find(client, run)?))
    }

    fn count_rows(&mut self, run: &str) -> Result<RunRows> {
        let is_recorded = self.uses("bh_run");
        self.retry(|client| Ok(runs::count_rows(client, run, is_recorded)?))
    }

    fn end_run(&mut self, fence: &RunFence, end: &RunEnd<'_>) -> Result<()> {
        if !self.uses("bh_run") {
            return Ok(());
        }
        if end.outcome != Outcome::Stopped {
            return self.retry(|client| Ok(runs::end(client, fence, end)?));
        }
        // A signal ends all retries, and a server that stayed away is not asked again.
        let note = self
            .client
            .as_mut()
            .map(|client| runs::end(client, fence, end));
        let noted = note.unwrap_or(Ok(())).map_err(Failure::from);
        noted.map_err(|failure| failure.into_error(&self.address))
    }

    fn runs(&mut self) -> Result<Vec<RunRecord>> {
        if !self.has("bh_run")? {
            return Ok(Vec::new());
        }
        self.retry(|client| Ok(runs::all(client)?))
    }

    fn verify(&mut self) -> Result<()> {
        let tables = self.tables();
        self.retry(|client| tables.map_or(Ok(()), |tables| tables.begin(client).map(drop)))
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
        self.retry(|client| outbox::identity(client, ""))
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
        self.retry(|client| {
            let waiting = "SELECT count(*) FROM bh_outbox WHERE error IS NULL";
            let rows: i64 = client.query_typed_one(waiting, &[])?.try_get(0)?;
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
