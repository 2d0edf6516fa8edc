//! A state file: one JSON document, of one run alone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RunState;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// The loader's file beside the resume file `path`.
#[must_use]
pub fn loaded_path(path: &Path) -> PathBuf {
    beside(path, ".loaded")
}

/// The files that a run keeps its state in, if it does, by their names in messages.
#[must_use]
pub fn files(path: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    path.map_or_else(Vec::new, |path| {
        vec![
            ("the resume file", path.to_owned()),
            ("what a loader has confirmed", loaded_path(path)),
        ]
    })
}

/// A state file of this run alone.
pub struct StateFile {
    path: PathBuf,
    /// Holds the lock on the file that `path` names now.
    locked: File,
}

impl StateFile {
    /// Opens `path` and locks it; what is not there yet begins as `first`.
    ///
    /// # Errors
    /// Held by another run (75), not writable (74), or damaged (78).
    pub fn open<T: Serialize + DeserializeOwned>(path: &Path, first: &T) -> Result<(Self, T)> {
        loop {
            match File::open(path) {
                Ok(file) => {
                    if !file.metadata().is_ok_and(|data| data.is_file()) {
                        return Err(Error::configuration(format!(
                            "{}: the state has to be a regular file",
                            path.display()
                        )));
                    }
                    lock(path, &file)?;
                    if !is_at(path, &file) {
                        continue;
                    }
                    let state = read(path)?;
                    let path = path.to_owned();
                    return Ok((Self { path, locked: file }, state));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    create(path, first)?;
                }
                Err(error) => return Err(Error::local(path.display(), &error)),
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the file by `state`, whole or not at all.
    pub fn save<T: Serialize>(&mut self, state: &T) -> Result<()> {
        self.replace(state)
            .map_err(|error| Error::local(self.path.display(), &error))
    }

    fn replace<T: Serialize>(&mut self, state: &T) -> std::io::Result<()> {
        let mut file = File::create(temporary(&self.path))?;
        // Who looks whether it has to be made holds it for a moment.
        flock(&file, FlockOperation::LockExclusive)?;
        put(&mut file, state, &self.path)?;
        self.locked = file;
        Ok(())
    }
}

/// Where the next state of `path` is written: one name, so that what a killed
/// run leaves there is replaced by the next.
fn temporary(path: &Path) -> PathBuf {
    beside(path, ".tmp")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Writes `state` into the temporary `file` of `path`, and puts it there.
fn put<T: Serialize>(file: &mut File, state: &T, path: &Path) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(state)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(temporary(path), path)?;
    disk::sync_folder(path)
}

/// The state in `path`, `None` when there is no such file.
pub fn peek<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        Ok(true) => read(path).map(Some),
        Err(error) => Err(Error::local(path.display(), &error)),
    }
}

/// The state of a file that is there.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|error| Error::local(path.display(), &error))?;
    serde_json::from_slice(&text).map_err(|error| {
        let place = path.display();
        Error::configuration(match serde_json::from_slice::<RunState<Value>>(&text) {
            Ok(RunState { source, .. }) => format!(
                "{place}: holds the state of a run of another program ({source}); name another file"
            ),
            Err(_) => format!(
                "{place}: damaged, or not a resume file ({error}); remove it, and begin anew without \
                 --resume"
            ),
        })
    })
}

/// Makes `path`, unless another run has made it meanwhile.
fn create<T: Serialize>(path: &Path, first: &T) -> Result<()> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::local(format!("{}: make its folder first", path.display()), &error)
        }
        _ => Error::local(path.display(), &error),
    };
    let temporary = temporary(path);
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    let mut file = options.open(&temporary).map_err(failed)?;
    lock(path, &file)?;
    if path.exists() || !is_at(&temporary, &file) {
        return Ok(());
    }
    file.set_len(0)
        .and_then(|()| put(&mut file, first, path))
        .map_err(failed)
}

fn lock(path: &Path, file: &File) -> Result<()> {
    flock(file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => Error::message(
            Kind::EndedEarly,
            format!(
                "{}: another run is at work with it; wait for its end, or use another file",
                path.display()
            ),
        ),
        error => Error::local(path.display(), &error.into()),
    })
}

/// Whether `path` still names `file`: it may have been replaced before it
/// was locked.
fn is_at(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (path.metadata(), file.metadata()) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
