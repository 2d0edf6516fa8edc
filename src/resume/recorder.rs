//! Keeps the resume file up to date, on a separate thread.
//!
//! It saves the state again as soon as the last save is on disk, so pages that arrive
//! meanwhile are saved together. The file may lag behind the output, and never leads it.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde::Serialize;
use serde_json::Value;

use super::{ListingSource, RunSource, RunState, StateFile};
use crate::error::{Error, Kind, Result};
use crate::log::again_or;
use crate::ndjson::{Io, StageOutput};
use crate::record::mark::{self, Begin, End, Mark};

/// Writes the begin and end marks of a run, and saves its state in the background.
pub struct Recorder<S = ListingSource> {
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<S> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

struct State<S> {
    listed: RunState<S>,
    /// Whether `listed` has changes that are not on disk.
    new: bool,
    ended: bool,
    failed: Option<Error>,
}

impl<S> Shared<S> {
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: RunSource + Send + 'static> Recorder<S> {
    /// Keeps `listed` in `file`, if there is one. `output` is synced before each save.
    pub fn new(mut listed: RunState<S>, file: Option<StateFile>, output: Option<File>) -> Self {
        listed.piped |= output.is_none();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                listed,
                new: false,
                ended: false,
                failed: None,
            }),
            changed: Condvar::new(),
        });
        let thread = file.map(|file| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || save_changes(&shared, file, output.as_ref()))
        });
        Self { shared, thread }
    }

    /// Records a change of the state; its lines must be written already.
    ///
    /// # Errors
    /// An earlier change could not be saved (74).
    pub fn record(&self, change: impl FnOnce(&mut RunState<S>)) -> Result<()> {
        let mut state = self.shared.state();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        change(&mut state.listed);
        state.new = true;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Reads the state.
    pub fn read<T>(&self, read: impl FnOnce(&RunState<S>) -> T) -> T {
        read(&self.shared.state().listed)
    }

    /// Writes the begin mark, before the first request.
    ///
    /// # Errors
    /// The output is closed.
    pub fn begin(&self, output: &mut StageOutput) -> Result<()> {
        let begin = self.read(|listed| Begin {
            run: listed.run.clone(),
            source: listed.source.to_string(),
            part: listed.source.part(),
            started: listed.started.clone(),
            criteria: listed.source.criteria(),
            resumable: self.thread.is_some(),
            trusted: listed.is_trusted,
            unconfirmed: Some(listed.unconfirmed).filter(|records| *records > 0),
        });
        let line = mark::begin(&begin);
        output.mark(&Mark::Begin(Box::new(begin)), &line)?;
        output.flush()
    }

    /// Writes the end mark, and then records that the run is finished.
    ///
    /// # Errors
    /// One of them could not be written.
    pub fn end(&mut self, members: &[(&str, Value)], output: &mut StageOutput) -> Result<()> {
        let (run, started) = self.read(|listed| (listed.run.clone(), listed.started.clone()));
        let units = output.runs().units(&run);
        let line = mark::end(&run, units, &started, members);
        let end = End {
            run: Some(run),
            units: Some(units),
            ..End::default()
        };
        output.mark(&Mark::End(end), &line)?;
        output.flush()?;
        self.record(RunState::finish)?;
        self.finish()
    }

    /// Blocks until everything that was recorded is on disk.
    ///
    /// # Errors
    /// It could not be saved (74).
    pub fn finish(&mut self) -> Result<()> {
        self.shared.state().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(Error::internal("the state was not saved"));
        }
        self.shared.state().failed.take().map_or(Ok(()), Err)
    }

    /// Returns `done`; if the run failed, records how it ended, and adds to the error how to
    /// resume it.
    pub fn conclude(&mut self, done: Result<()>, path: Option<&Path>, io: &Io) -> Result<()> {
        let Err(error) = done else { return done };
        // The signal reaches the reader too: records that it has not finished may be lost.
        if matches!(error.kind, Kind::Signal(_)) && !io.output.stream().is_file() {
            self.record(|listed| listed.delivery_unknown = true)?;
        }
        self.finish()?;
        let passes = matches!(
            error.kind,
            Kind::Signal(_) | Kind::Unavailable | Kind::LocalIo | Kind::EndedEarly
        );
        let (records, ..) = io.context.counters.snapshot();
        let has_begun = records > 0 || self.read(|listed| !listed.coverage.is_empty());
        let Some(path) = path.filter(|_| passes && has_begun) else {
            return Err(error);
        };
        let same = format!(
            "the same pipeline again with --resume-file {} --resume",
            path.display()
        );
        Err(error.then(format!("to resume, run {}", again_or(same))))
    }
}

/// Saves the state after each change, until the run has ended.
fn save_changes<S: Clone + Serialize>(
    shared: &Shared<S>,
    mut file: StateFile,
    output: Option<&File>,
) {
    loop {
        let (listed, ended) = {
            let state = shared.state();
            let waits = |state: &mut State<S>| !state.new && !state.ended;
            let mut state = shared
                .changed
                .wait_while(state, waits)
                .unwrap_or_else(PoisonError::into_inner);
            let new = std::mem::take(&mut state.new);
            (new.then(|| state.listed.clone()), state.ended)
        };
        let saved = listed.map_or(Ok(()), |listed| {
            if let Some(output) = output {
                let synced = output.sync_data();
                synced.map_err(Error::local("standard output"))?;
            }
            file.save(&listed)
        });
        if let Err(error) = saved {
            shared.state().failed = Some(error);
            return;
        }
        if ended {
            return;
        }
    }
}
