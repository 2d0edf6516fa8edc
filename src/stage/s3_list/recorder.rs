//! The resume file, kept behind the listing by a thread of its own.
//!
//! Each page is recorded as soon as the one before it is on disk; pages that
//! come meanwhile are recorded together. So the file says less than was
//! listed at times, and never more.

use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, Kind, Result};
use crate::resume::{Listed, StateFile};

pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    listed: Listed,
    /// What is in `listed` is not on disk yet.
    new: bool,
    ended: bool,
    failed: Option<Error>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Keeps `listed` in `file`, if there is one. Lines that go into `output`
    /// are on disk before the file says that they are listed.
    pub fn new(listed: Listed, file: Option<StateFile>, output: Option<File>) -> Self {
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
            std::thread::spawn(move || keep(&shared, file, output.as_ref()))
        });
        Self { shared, thread }
    }

    /// Records a change, of lines that have left.
    ///
    /// # Errors
    /// An earlier change could not be saved (74).
    pub fn record(&self, change: impl FnOnce(&mut Listed)) -> Result<()> {
        let mut state = self.shared.state();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        change(&mut state.listed);
        state.new = true;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// What is recorded.
    pub fn read<T>(&self, read: impl FnOnce(&Listed) -> T) -> T {
        read(&self.shared.state().listed)
    }

    /// Waits until everything that was recorded is on disk.
    ///
    /// # Errors
    /// It could not be saved (74).
    pub fn finish(&mut self) -> Result<()> {
        self.shared.state().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(Error::message(Kind::Fault, "the state was not saved"));
        }
        self.shared.state().failed.take().map_or(Ok(()), Err)
    }
}

fn keep(shared: &Shared, mut file: StateFile, output: Option<&File>) {
    loop {
        let (listed, ended) = {
            let state = shared.state();
            let waits = |state: &mut State| !state.new && !state.ended;
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
                synced.map_err(|error| Error::local("standard output", &error))?;
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
