//! A connection to the server: where it leads, what for, and how work is retried on it.

use std::sync::{Arc, OnceLock};

use postgres::Client;
use postgres::types::Type;

use super::schema::SchemaName;
use super::tables::{self, Tables};
use super::{ConnectionTarget, POLICY, Postgres};
use crate::address::without_password;
use crate::context::Context;
use crate::counters::Waiting;
use crate::error::Result;
use crate::retry::{Failure, FailureClass, Retry};

/// Where the tables are, and how often a request is tried: 9 times by default.
#[derive(Debug, Clone)]
pub struct PostgresPlace {
    pub url: String,
    pub tries: Option<u32>,
    pub schema: SchemaName,
}

impl PostgresPlace {
    /// Returns the URL without password, with the staging if it is one.
    pub fn address(&self) -> String {
        let url = without_password(&self.url);
        let staging = self.schema.staging();
        staging.map_or(url.clone(), |name| format!("{url} (staging {name})"))
    }
}

/// What a store is opened for.
#[derive(Clone)]
pub enum Access {
    Read,
    /// Loading, into these tables, which all connections of a run share.
    Load(Arc<OnceLock<Tables>>),
}

impl Postgres {
    /// Connects; for loading, tables that are missing are created.
    ///
    /// # Errors
    /// Not reachable (69), refused (77), no such database or a table of
    /// another shape (78).
    pub fn open(place: &PostgresPlace, context: &Context, access: Access) -> Result<Self> {
        let PostgresPlace { url, tries, schema } = place;
        let mut store = Self {
            target: ConnectionTarget::new(url, &context.log)?,
            address: place.address(),
            schema: *schema,
            retry: Retry::new(POLICY.with_tries(*tries), context),
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
    pub(super) fn retry<T>(
        &mut self,
        mut work: impl FnMut(&mut Client) -> Result<T, Failure>,
    ) -> Result<T> {
        let (retry, address) = (self.retry.clone(), self.address.clone());
        retry.run_blocking(&address, || {
            retry.context.counters.waits(Waiting::Server);
            let done = self.attempt(&mut work);
            retry.context.counters.waits(Waiting::Nothing);
            done
        })
    }

    pub(super) fn attempt<T>(
        &mut self,
        work: &mut impl FnMut(&mut Client) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let mut client = self.target.connect()?;
                let opened = match &self.access {
                    Access::Read => tables::check(&mut client, self.schema),
                    Access::Load(known) => {
                        let log = &self.retry.context.log;
                        Tables::open(&mut client, self.schema, known, log).map(drop)
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
    pub(super) fn tables(&self) -> Option<Tables> {
        match &self.access {
            Access::Read => None,
            Access::Load(known) => known.get().copied(),
        }
    }

    /// Returns whether there is a table of ours, and this run uses it.
    pub(super) fn uses(&self, table: &str) -> bool {
        self.tables().is_none_or(|tables| tables.has(table))
    }

    pub(super) fn has(&mut self, table: &str) -> Result<bool> {
        let table = self.schema.qualify(table);
        self.retry(|client| {
            let has = "SELECT to_regclass($1) IS NOT NULL";
            Ok(client
                .query_typed_one(has, &[(&table, Type::TEXT)])?
                .try_get(0)?)
        })
    }
}
