//! Confirms what is committed, in the file next to the resume file and by marks on standard
//! output. A run's ledger is kept in `bh_run`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use crate::error::{Error, Result};
use crate::log::counted;
use crate::ndjson::ClosedUnit;
use crate::record::coverage::{Coverage, Interval};
use crate::record::ledger::{KNOWN_BAD, Ledger};
use crate::record::mark::{Begin, End};
use crate::record::unit_mark::{self, RunPart};
use crate::resume::{Confirmed, ConfirmedUnit, StateFile, loaded_path};
use crate::store::{NewRun, Outcome, RunEnd, RunFence, Store, StoredRun};

/// What is confirmed of the run, in memory and in the file.
pub struct Checkpoint {
    file: Option<StateFile>,
    loaded: Confirmed,
    changed: bool,
    /// The id of this process.
    loader: String,
    run: Option<CurrentRun>,
    /// The id of the database.
    database_id: Option<String>,
    /// A run of which a part was stored, and lost with its database.
    lost: Option<String>,
    missing: Vec<Missing>,
}

/// The reason of a run without an end mark.
pub const CUT: &str = "input ended early: the run has no end mark";

/// A run of which a part is not stored, and did not come again.
struct Missing {
    run: String,
    why: String,
}

/// The run that the current lines belong to.
struct CurrentRun {
    begin: Begin,
    name: Arc<str>,
    fence: RunFence,
    /// The units that came and are not confirmed.
    held: Coverage,
}

/// How a run has ended, for the summary.
pub struct Settlement {
    /// The run, where all of it is stored.
    pub complete_run: Option<String>,
    /// How many of its objects were rejected before, and left out.
    pub known_bad: u64,
    pub text: String,
    pub json: serde_json::Value,
}

impl Checkpoint {
    /// Creates the file before anything else is done, so that s3-list knows
    /// that a loader takes part.
    pub fn open(resume_file: Option<&Path>) -> Result<Self> {
        let first = Confirmed::default();
        let opened = resume_file.map(|path| StateFile::open(&loaded_path(path), &first));
        let (file, loaded) = opened.transpose()?.unzip();
        Ok(Self {
            file,
            loaded: loaded.unwrap_or_default(),
            changed: false,
            loader: uuid::Uuid::new_v4().to_string(),
            run: None,
            database_id: None,
            lost: None,
            missing: Vec::new(),
        })
    }

    /// Returns whether a file says that a part of a run is stored in `database`, and was
    /// written by a program that kept no runs in databases.
    pub fn relies_on_old(&self, database: &str) -> bool {
        let Confirmed {
            database_id,
            coverage,
            ..
        } = &self.loaded;
        database_id.is_none()
            && self.loaded.database.as_deref() == Some(database)
            && !coverage.is_empty()
    }

    /// Returns whether the database has lost rows of the run that the file speaks of: it was
    /// emptied, set back, or recreated.
    pub fn is_lost(&self, store: &mut dyn Store) -> Result<bool> {
        let loaded = &self.loaded;
        let (Some(run), Some(id)) = (&loaded.run, &loaded.database_id) else {
            return Ok(false);
        };
        // The file says nothing about another database.
        let is_ours = store.identity()?.id == *id;
        if loaded.coverage.is_empty()
            || !is_ours && loaded.database.as_deref() != Some(store.address())
        {
            return Ok(false);
        }
        let is_emptied = |stored: StoredRun| stored.step < loaded.step || stored.is_rootless;
        if !is_ours || store.find_run(run)?.is_none_or(is_emptied) {
            return Ok(true);
        }
        let inserted = inserted(loaded);
        Ok(inserted > 0 && store.count_rows(run)?.are_lost(inserted))
    }

    /// Forgets what was stored, because the database does not exist any more.
    pub fn forget(&mut self) -> Result<()> {
        self.lost = std::mem::take(&mut self.loaded).run;
        self.changed = true;
        self.save()
    }

    /// Begins a run: from now on this loader stores it.
    ///
    /// # Errors
    /// What is stored of the run so far is in another database (78).
    pub fn begin(&mut self, begin: &Begin, store: &mut dyn Store) -> Result<()> {
        if self.run().is_some_and(|run| **run != *begin.run) {
            self.stop(CUT, store);
        }
        let run = NewRun {
            id: &begin.run,
            source: &begin.source,
            criteria: &begin.criteria,
            started: &begin.started,
        };
        let id = store.identity()?.id;
        let loaded = &self.loaded;
        if loaded.run.as_deref() == Some(run.id)
            && loaded.database_id.as_ref().is_some_and(|own| *own != id)
        {
            return Err(self.elsewhere(loaded.database.as_deref().unwrap_or_default(), store));
        }
        self.database_id = Some(id);
        // A resumed run may follow in the same input.
        let held = self.run.take().map(|run| run.held);
        self.run = Some(CurrentRun {
            fence: store.begin_run(&run, &self.loader)?,
            begin: begin.clone(),
            name: begin.run.as_str().into(),
            held: held.unwrap_or_default(),
        });
        Ok(())
    }

    /// Returns the error of a run that is stored in the database `other` so far.
    fn elsewhere(&self, other: &str, store: &dyn Store) -> Error {
        let place = self.place();
        Error::configuration(format!(
            "{place}this run was stored in {other} so far, not in {}; use that database, or, if \
             it is the same one under another name, correct the name in the file",
            store.address()
        ))
    }

    /// Returns the run that the current lines belong to.
    pub fn run(&self) -> Option<&Arc<str>> {
        self.run.as_ref().map(|run| &run.name)
    }

    /// Returns the part of the key space that the run is of; `None` is everything.
    pub fn part(&self) -> Option<Vec<Interval>> {
        self.run.as_ref().and_then(|run| run.begin.part.clone())
    }

    /// Returns what guards the run against a second loader.
    pub fn fence(&mut self) -> Option<&mut RunFence> {
        self.run.as_mut().map(|run| &mut run.fence)
    }

    /// Closes a unit; unless it is held, it is committed.
    ///
    /// # Errors
    /// What is stored of the run so far is in another database: none of the two
    /// would be whole.
    pub fn close(
        &mut self,
        part: &RunPart,
        unit: &ClosedUnit,
        store: &mut dyn Store,
    ) -> Result<()> {
        if unit.is_held {
            if let Some(run) = self.run.as_mut().filter(|run| *run.name == *part.run) {
                run.held.insert(part.keys.clone());
            }
            return Ok(());
        }
        let folded = self.loaded.fold(
            ConfirmedUnit {
                run: &part.run,
                keys: part.keys.clone(),
                counts: unit_mark::counts(&unit.line),
            },
            (store.address(), self.database_id.as_deref()),
        );
        folded.map_err(|other| self.elsewhere(&other, store))?;
        self.changed = true;
        Ok(())
    }

    /// Writes what is confirmed, after the commit, with the step of the database.
    pub fn save(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        if let Some(run) = &self.run
            && self.loaded.run.as_deref() == Some(&*run.name)
        {
            self.loaded.step = run.fence.step;
        }
        match &mut self.file {
            Some(file) => file.save(&self.loaded),
            None => Ok(()),
        }
    }

    /// Ends a run, and compares what is confirmed of it with the whole.
    pub fn end(&mut self, end: &End, store: &mut dyn Store) -> Result<Option<Settlement>> {
        let name = end.run.as_deref();
        let lost = self.lost.as_deref().filter(|lost| name == Some(lost));
        let mut missing = lost.map(|lost| {
            format!(
                "{}: the rows of run {lost} are lost: the database is new, was emptied, or was \
                 restored from a backup",
                store.address()
            )
        });
        let Some(run) = self.run.take_if(|run| Some(&*run.name) == name) else {
            self.note_missing(name, missing);
            return Ok(None);
        };
        let none = Confirmed::default();
        let loaded = if self.loaded.run.as_deref() == name {
            &self.loaded
        } else {
            &none
        };
        let open = loaded.coverage.gaps_of(run.begin.part.as_deref());
        let (asked, inserted) = (store.count_rows(&run.name)?, inserted(loaded));
        let (counts, exact) = (loaded.counts.clone(), loaded.run.is_some() && loaded.exact);
        // The messages of a queue have none.
        let has_ledger = loaded.run.is_some() || run.begin.part.as_deref() != Some(&[]);
        if open.is_empty() {
            // The rows that were lost came again.
            missing = None;
        } else if !run.begin.trusted && (self.file.is_some() || end.units != Some(0)) {
            missing = missing.or_else(|| self.hole(&run, &loaded.coverage));
        }
        if asked.are_lost(inserted) {
            missing = Some(format!(
                "{}: {} rows of run {} are in main_build, but {inserted} were stored: rows were \
                 deleted, or the table was restored from a backup",
                store.address(),
                asked.own,
                run.name,
            ));
            self.forget()?;
        }
        let outcome = match (&missing, open.len()) {
            (None, 0) => Outcome::Complete,
            _ => Outcome::Open,
        };
        store.end_run(
            &run.fence,
            &RunEnd {
                outcome,
                as_of: end.as_of.as_deref(),
                error: missing.clone(),
                counts: Some(json!(counts)),
            },
        )?;
        let ledger = Ledger::new(&counts);
        let exact = exact && ledger.adds_up();
        let note = match (open.len(), exact) {
            (0, true) => String::new(),
            (0, false) => "; not exactly accounted".to_owned(),
            (open, _) => format!("; {} not yet stored", counted(open as u64, "range")),
        };
        self.note_missing(name, missing);
        if !has_ledger {
            return Ok(None);
        }
        let asked = asked.own;
        Ok(Some(Settlement {
            known_bad: ledger.dropped.get(KNOWN_BAD).copied().unwrap_or(0),
            complete_run: (outcome == Outcome::Complete).then(|| run.begin.run.clone()),
            text: format!(
                "run {}: {ledger}; {asked} rows inserted by it{note}",
                run.name
            ),
            json: json!({
                "run": &*run.name, "outcome": outcome.name(), "ledger": ledger,
                "inserted": asked, "open": open.len(), "exact": exact,
            }),
        }))
    }

    /// Returns why a part of `run` is missing that is neither `done` nor held.
    fn hole(&self, run: &CurrentRun, done: &Coverage) -> Option<String> {
        let mut came = run.held.clone();
        let done = done.intervals().iter().cloned();
        done.for_each(|done| came.insert(done));
        let holes = came.gaps_of(run.begin.part.as_deref());
        let hole = holes.first()?;
        Some(match run.begin.unconfirmed {
            Some(records) => {
                format!(
                    "the listing continued after {records} records that no loader has \
                         confirmed"
                )
            }
            None => format!(
                "{}{} of run {} did not come and is not stored: {hole}",
                self.place(),
                counted(holes.len() as u64, "range"),
                run.name
            ),
        })
    }

    /// Records why a part of a run is missing, or with `None` that it is whole.
    fn note_missing(&mut self, run: Option<&str>, why: Option<String>) {
        let run = run.unwrap_or_default().to_owned();
        self.missing.retain(|missing| missing.run != run);
        self.missing.extend(why.map(|why| Missing { run, why }));
    }

    /// Returns the name of the file for messages, where there is one.
    fn place(&self) -> String {
        let file = self.file.as_ref();
        file.map_or_else(String::new, |file| format!("{}: ", file.path().display()))
    }

    /// Records that the current run was stopped, if there is one.
    pub fn stop(&mut self, why: impl fmt::Display, store: &mut dyn Store) {
        if let Some(run) = self.run.take() {
            let end = RunEnd {
                outcome: Outcome::Stopped,
                as_of: None,
                error: Some(why.to_string()),
                counts: None,
            };
            // The reason to stop is reported anyway.
            drop(store.end_run(&run.fence, &end));
        }
    }

    /// Checks that no part of any run is missing.
    ///
    /// # Errors
    /// A part was taken as done, and is not stored (75).
    pub fn finish(self) -> Result<()> {
        match self.missing.first() {
            None => Ok(()),
            Some(Missing { why, .. }) => Err(Error::ended_early(format!(
                "{why}: run the pipeline again to list everything"
            ))),
        }
    }
}

/// Returns how many rows the confirmed units have inserted, at least: after a kill some were not
/// counted.
fn inserted(loaded: &Confirmed) -> u64 {
    loaded.counts.last().map_or(0, |loader| loader.stored)
}
