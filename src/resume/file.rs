//! A state file: one JSON document, of one run alone.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Listed;
use crate::disk;
use crate::error::{Error, Kind, Result};

/// The loader's file beside the resume file `path`.
#[must_use]
pub fn loaded_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".loaded");
    PathBuf::from(name)
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
                    create(path, first).map_err(|error| match error.kind() {
                        std::io::ErrorKind::NotFound => {
                            let place = path.display();
                            Error::local(format!("{place}: make its folder first"), &error)
                        }
                        _ => Error::local(path.display(), &error),
                    })?;
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
        let mut name = self.path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = PathBuf::from(name);
        let mut file = File::create(&temporary)?;
        file.write_all(&text(state)?)?;
        file.sync_all()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        std::fs::rename(&temporary, &self.path)?;
        self.locked = file;
        disk::sync_folder(&self.path)
    }
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
        Error::configuration(match serde_json::from_slice::<Listed<Value>>(&text) {
            Ok(Listed { source, .. }) => format!(
                "{place}: holds the state of a run of another program ({source}); name another file"
            ),
            Err(_) => format!(
                "{place}: damaged, or not a resume file ({error}); remove it to start from scratch"
            ),
        })
    })
}

fn create<T: Serialize>(path: &Path, first: &T) -> std::io::Result<()> {
    let text = text(first)?;
    let file = disk::beside(path, |file| file.write_all(&text))?;
    match file.persist_noclobber(path) {
        Ok(_) => disk::sync_folder(path),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

/// As a line of JSON.
fn text<T: Serialize>(state: &T) -> std::io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(state)?;
    text.push(b'\n');
    Ok(text)
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
