//! The resume file of a listing, and what a loader has confirmed of it.
//!
//! Each is one JSON document, replaced whole (temporary file, fsync, rename,
//! fsync of the folder) and locked as long as its program runs.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::record::coverage::{Coverage, Interval};
use crate::record::sample::Sample;

/// The version of the files' format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Format;

impl From<Format> for u32 {
    fn from(_: Format) -> Self {
        1
    }
}

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("format {other}, and this program knows format 1")),
        }
    }
}

/// What is listed: a state of another source is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub endpoint: Option<String>,
    pub bucket: String,
    pub prefix: String,
    pub after: Option<String>,
    pub through: Option<String>,
    /// The parts of it that are listed, where not all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Coverage>,
    /// Which shard these are, of a plan made when the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

impl Source {
    /// What of it `done` does not cover, in order.
    #[must_use]
    pub fn gaps(&self, done: &Coverage) -> Vec<Interval> {
        let whole = Interval::new(self.after.clone(), self.through.clone());
        match &self.ranges {
            None => done.gaps(&whole),
            Some(ranges) => {
                let ranges = ranges.intervals().iter();
                ranges.flat_map(|range| done.gaps(range)).collect()
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_deref().unwrap_or("AWS");
        write!(f, "s3://{}/{} at {endpoint}", self.bucket, self.prefix)?;
        for (name, key) in [("after", &self.after), ("through", &self.through)] {
            if let Some(key) = key {
                write!(f, " {name} {key:?}")?;
            }
        }
        match (&self.shard, &self.ranges) {
            (Some(shard), _) => write!(f, ", shard {shard}"),
            (None, Some(ranges)) => write!(f, " in {} ranges", ranges.intervals().len()),
            (None, None) => Ok(()),
        }
    }
}

/// How far a listing has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed<S = Source> {
    format: Format,
    pub run: String,
    pub source: S,
    /// RFC 3339, UTC.
    pub started: String,
    pub records: u64,
    pub pages: u64,
    pub finished: bool,
    /// The reader left: what it had not read yet is lost unless a loader
    /// confirms it.
    pub broken_pipe: bool,
    pub coverage: Coverage,
    #[serde(default)]
    pub sample: Sample,
    /// The last run of this listing that came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Finished>,
}

/// What a finished run leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    pub run: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub sample: Sample,
}

impl<S: Clone> Listed<S> {
    #[must_use]
    pub fn new(source: S) -> Self {
        Self {
            format: Format,
            run: uuid::Uuid::new_v4().to_string(),
            source,
            started: crate::log::now(),
            records: 0,
            pages: 0,
            finished: false,
            broken_pipe: false,
            coverage: Coverage::default(),
            sample: Sample::default(),
            last: None,
        }
    }

    /// Goes on with this run, of which `coverage` is taken as done.
    pub fn go_on(&mut self, coverage: Coverage) {
        self.sample.keep_within(&coverage);
        self.coverage = coverage;
        self.broken_pipe = false;
    }

    /// A new run behind this one.
    #[must_use]
    pub fn again(&self) -> Self {
        let last = self.finished.then(|| Finished {
            run: self.run.clone(),
            started: self.started.clone(),
            sample: self.sample.clone(),
        });
        Self {
            last: last.or_else(|| self.last.clone()),
            ..Self::new(self.source.clone())
        }
    }
}

/// What a loader has committed of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    format: Format,
    /// `None` until the first mark comes.
    pub run: Option<String>,
    /// Where it is stored, without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub coverage: Coverage,
}

impl Default for Loaded {
    fn default() -> Self {
        Self {
            format: Format,
            run: None,
            database: None,
            coverage: Coverage::default(),
        }
    }
}

impl Loaded {
    /// Adds a part of `run` that is stored in `database`; one of another run
    /// starts anew.
    ///
    /// # Errors
    /// The other database that holds the run so far.
    pub fn fold(&mut self, run: &str, part: Interval, database: &str) -> Result<(), String> {
        if self.run.as_deref() != Some(run) {
            *self = Self {
                run: Some(run.to_owned()),
                ..Self::default()
            };
        }
        match self.database.as_deref() {
            Some(other) if other != database => return Err(other.to_owned()),
            Some(_) => {}
            None => self.database = Some(database.to_owned()),
        }
        self.coverage.insert(part);
        Ok(())
    }
}

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
                    create(path, first).map_err(|error| Error::local(path.display(), &error))?;
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
        write(&mut file, state)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        std::fs::rename(&temporary, &self.path)?;
        self.locked = file;
        sync_folder(&self.path)
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
        Error::configuration(format!(
            "{}: damaged, or not a resume file ({error}); remove it to start from scratch",
            path.display()
        ))
    })
}

fn create<T: Serialize>(path: &Path, first: &T) -> std::io::Result<()> {
    // The error's text names the temporary file, which says nothing to a user.
    let mut file = tempfile::NamedTempFile::new_in(folder(path))
        .map_err(|error| std::io::Error::from(error.kind()))?;
    write(file.as_file_mut(), first)?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_folder(path),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

fn write<T: Serialize>(file: &mut File, state: &T) -> std::io::Result<()> {
    let mut text = serde_json::to_vec(state)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.sync_all()
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

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(folder(path))?.sync_all()
}
