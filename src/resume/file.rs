//! A state file: one JSON document, held by one run at a time.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run::{FORMAT, RunState};
use crate::disk;
use crate::error::{Error, Result};

/// Returns the path of the loader's file beside the resume file `path`.
pub fn loaded_path(path: &Path) -> PathBuf {
    disk::beside(path, ".loaded")
}

/// Returns the files that a run keeps its state in, with their names in messages.
pub fn files(path: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    path.map_or_else(Vec::new, |path| {
        vec![
            ("the resume file", path.to_owned()),
            ("what a loader has confirmed", loaded_path(path)),
        ]
    })
}

/// A state file that no other run may open.
pub struct StateFile {
    path: PathBuf,
    /// Locked until this is dropped.
    _lock: File,
}

impl StateFile {
    /// Opens `path` and locks it; creates it with the state `first` if it does
    /// not exist.
    ///
    /// # Errors
    /// Held by another run (75), not writable (74), or damaged (78).
    pub fn open<T: Serialize + DeserializeOwned>(path: &Path, first: &T) -> Result<(Self, T)> {
        check_regular(path)?;
        let mut file = Self {
            path: path.to_owned(),
            _lock: lock(path)?,
        };
        if let Some(state) = peek(path)? {
            return Ok((file, state));
        }
        file.save(first)?;
        let state = read(path)?;
        Ok((file, state))
    }

    /// Returns the path that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file by `state`, atomically.
    pub fn save<T: Serialize>(&mut self, state: &T) -> Result<()> {
        disk::replace(&self.path, |file| {
            let mut text = serde_json::to_vec(state)?;
            text.push(b'\n');
            file.write_all(&text)
        })
        .map_err(Error::local(self.path.display()))
    }
}

/// Locks the lock file of `path`, which is beside the file that a link points to. It is never
/// removed, because two runs could then hold a lock at once.
fn lock(path: &Path) -> Result<File> {
    let failed = |error| Error::unwritable(path.display())(error);
    let lock = disk::beside(&disk::follow_links(path).map_err(failed)?, ".lock");
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let opened = disk::open_regular(&lock, &mut options);
    // Another user may own it: a lock only needs read access.
    let file = opened
        .or_else(|error| disk::open_regular(&lock, File::options().read(true)).map_err(|_| error));
    let file = file.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => Error::local(lock.display())(error),
        _ => failed(error),
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::ended_early(format!(
            "{}: in use by another run; wait for it to finish, or use a different file",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Returns the state in `path`, `None` if there is no such file.
///
/// # Errors
/// Not readable (74), or damaged (78).
pub fn peek<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        Ok(true) => read(path).map(Some),
        Err(error) => Err(Error::local(path.display())(error)),
    }
}

/// Checks that `path` is free or a regular file: opening a pipe would block. In a folder that
/// everybody may write to, the file must not be another user's.
fn check_regular(path: &Path) -> Result<()> {
    disk::follow_links(path).map_err(Error::local(path.display()))?;
    if path.metadata().is_ok_and(|data| !data.is_file()) {
        return Err(Error::configuration(format!(
            "{}: not a regular file; use another file for the state",
            path.display()
        )));
    }
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    check_regular(path)?;
    let text = std::fs::read(path).map_err(Error::local(path.display()))?;
    serde_json::from_slice(&text).map_err(|error| {
        let why = describe_invalid(&text, &error);
        Error::configuration(format!("{}: {why}", path.display()))
    })
}

/// The one member that a state of any format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u64,
}

/// Returns why `text` is not a state of this program, and what to do.
fn describe_invalid(text: &[u8], error: &serde_json::Error) -> String {
    if let Ok(AnyFormat { format }) = serde_json::from_slice(text)
        && format > u64::from(FORMAT)
    {
        return format!(
            "written by a newer version of this program (format {format}; this one reads \
             {FORMAT}); use that version, or another file"
        );
    }
    match serde_json::from_slice::<RunState<Value>>(text) {
        Ok(RunState { source, .. }) => format!(
            "belongs to a run of another program ({source}), or its source was edited ({error}); \
             use another file"
        ),
        Err(_) => format!("damaged, or not a resume file ({error}); delete it to start over"),
    }
}
