//! A store that returns what would happen, and writes nothing.

use super::plan::{ContentStatus, Plan};
use super::{
    AuditStore, BuildRow, DatabaseIdentity, KnownReject, LoadOutcome, NewRun, RefusedRow,
    RejectedObject, RunEnd, RunFence, RunRecord, RunRows, Store, StoredBuild, StoredObject,
    StoredRun,
};
use crate::error::Result;
use crate::record::coverage::Interval;

/// Reads an existing store, if there is one.
pub struct DryRun(Option<Box<dyn Store>>);

impl DryRun {
    #[must_use]
    pub fn new(store: Option<Box<dyn Store>>) -> Self {
        Self(store)
    }
}

impl AuditStore for DryRun {
    fn next_id(&mut self) -> Result<i64> {
        Ok(0)
    }

    fn for_each_stored(
        &mut self,
        _since: &str,
        _each: &mut dyn FnMut(&StoredObject<&str>),
    ) -> Result<()> {
        Ok(())
    }

    fn look_up_objects(
        &mut self,
        _keys: &[&str],
        _since: &str,
        _from: i64,
    ) -> Result<Vec<StoredObject<String>>> {
        Ok(Vec::new())
    }

    fn look_up_rejects(
        &mut self,
        _keys: &[&str],
        _each: &mut dyn FnMut(&KnownReject<'_>),
    ) -> Result<()> {
        Ok(())
    }

    fn is_loaded_since(&mut self, _since: &str) -> Result<bool> {
        Ok(false)
    }
}

impl Store for DryRun {
    fn address(&self) -> &str {
        self.0.as_ref().map_or("nothing", |store| store.address())
    }

    fn has_tables(&mut self) -> Result<bool> {
        self.0
            .as_mut()
            .map_or(Ok(false), |store| store.has_tables())
    }

    fn for_each_known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()> {
        self.0
            .as_mut()
            .map_or(Ok(()), |store| store.for_each_known(each))
    }

    fn for_each_reject(&mut self, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()> {
        self.0
            .as_mut()
            .map_or(Ok(()), |store| store.for_each_reject(each))
    }

    fn record_rejects(&mut self, _run: &str, _rejects: &[RejectedObject]) -> Result<()> {
        Ok(())
    }

    fn meet_rejects(&mut self, _run: &str, _keys: &[&str]) -> Result<()> {
        Ok(())
    }

    fn forget_rejects(&mut self, _run: &str, _keys: &Interval) -> Result<u64> {
        Ok(0)
    }

    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>> {
        let nothing = || Ok(vec![ContentStatus::New; hashes.len()]);
        let store = self.0.as_mut();
        store.map_or_else(nothing, |store| store.look_up(hashes))
    }

    fn load(&mut self, rows: &[BuildRow], _: Option<&mut RunFence>) -> Result<Vec<LoadOutcome>> {
        let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
        let found = self.look_up(&hashes)?;
        Ok(Plan::new(rows, &found).outcomes)
    }

    fn begin_run(&mut self, run: &NewRun<'_>, loader: &str) -> Result<RunFence> {
        Ok(RunFence {
            run: run.id.to_owned(),
            loader: loader.to_owned(),
            step: 0,
        })
    }

    fn find_run(&mut self, _run: &str) -> Result<Option<StoredRun>> {
        Ok(None)
    }

    fn count_rows(&mut self, _run: &str) -> Result<RunRows> {
        Ok(RunRows::default())
    }

    fn end_run(&mut self, _fence: &RunFence, _end: &RunEnd<'_>) -> Result<()> {
        Ok(())
    }

    fn runs(&mut self) -> Result<Vec<RunRecord>> {
        Ok(Vec::new())
    }

    fn verify(&mut self) -> Result<()> {
        Ok(())
    }

    fn identity(&mut self) -> Result<DatabaseIdentity> {
        Ok(DatabaseIdentity::default())
    }

    fn follow(
        &mut self,
        seen: &DatabaseIdentity,
        _index: &str,
        _requeue: bool,
    ) -> Result<DatabaseIdentity> {
        Ok(seen.clone())
    }

    fn all_queued(&mut self) -> Result<bool> {
        Ok(true)
    }

    fn indexed_sample(&mut self) -> Result<Vec<StoredBuild>> {
        Ok(Vec::new())
    }

    fn builds(&mut self, _ids: &[i64]) -> Result<Vec<StoredBuild>> {
        Ok(Vec::new())
    }

    fn queued(&mut self, _after: i64, _limit: usize) -> Result<Vec<StoredBuild>> {
        Ok(Vec::new())
    }

    fn last_queued(&mut self) -> Result<i64> {
        Ok(0)
    }

    fn waiting(&mut self) -> Result<u64> {
        Ok(0)
    }

    fn orphans(&mut self) -> Result<(u64, Vec<i64>)> {
        Ok((0, Vec::new()))
    }

    fn ack(
        &mut self,
        _generation: i64,
        _confirmed: &[i64],
        _refused: &[(i64, String)],
    ) -> Result<bool> {
        Ok(true)
    }

    fn unreported(&mut self) -> Result<Vec<RefusedRow>> {
        Ok(Vec::new())
    }

    fn mark_reported(&mut self, _ids: &[i64]) -> Result<()> {
        Ok(())
    }

    fn retry_refused(&mut self) -> Result<u64> {
        Ok(0)
    }
}
