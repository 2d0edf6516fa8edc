//! Whether access is denied to some objects, or to all.

use std::collections::HashSet;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{Error, Result};

/// Credentials that were denied access to objects in this many folders, and have got none, are
/// at fault.
const FOLDERS: usize = 3;

/// The denials of a run.
#[derive(Debug, Default)]
pub struct Denials {
    folders: Mutex<HashSet<String>>,
    state: watch::Sender<Downloads>,
}

#[derive(Debug, Default)]
struct Downloads {
    /// Downloads in flight, apart from those that wait for the others.
    running: usize,
    /// Whether any download has got an object.
    got: bool,
}

impl Denials {
    /// Notes that a download has started.
    pub fn start(&self) {
        self.state.send_modify(|state| state.running += 1);
    }

    /// Notes that a download has ended, with or without an object.
    pub fn end(&self, got: bool) {
        self.state.send_modify(|state| {
            state.running -= 1;
            state.got |= got;
        });
    }

    /// Returns the denial of access to an object in `folder` as an error of that object alone,
    /// unless no download has got anything yet. After denials in many folders it waits for the
    /// downloads in flight to decide that.
    ///
    /// # Errors
    /// The denial, if the credentials are at fault.
    pub async fn classify(&self, folder: String, denial: Error) -> Result<Error> {
        let folders = {
            let mut folders = self.folders.lock();
            if folders.len() < FOLDERS {
                folders.insert(folder);
            }
            folders.len()
        };
        if folders < FOLDERS || self.state.borrow().got {
            return Ok(denial);
        }
        self.state.send_modify(|state| state.running -= 1);
        let mut states = self.state.subscribe();
        let decided = states.wait_for(|state| state.got || state.running == 0);
        let got = decided.await.is_ok_and(|state| state.got);
        self.state.send_modify(|state| state.running += 1);
        if got { Ok(denial) } else { Err(denial) }
    }
}
