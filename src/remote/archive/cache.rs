//! The metadata of earlier builds, asked for once: in memory, and in a file
//! that only ever grows by a line, so a kill at any moment loses one at most.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::OnceCell;

use crate::archive::metadata::Metadata;
use crate::error::{Error, Kind, Result};
use crate::json;

/// What is known of the metadata at a URL.
#[derive(Debug, Clone)]
pub enum Found {
    There(Arc<Metadata>),
    /// There are none: why.
    Absent(String),
    /// They could not be had: why.
    Failed(String),
}

/// Something found, and whether the next run may rely on it.
pub struct Lookup {
    pub found: Found,
    pub keep: bool,
}

/// Whose metadata they are: the names that the first jobs gave to these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Nightly,
    Rc,
    Release,
}

/// Seconds after which what is absent may have come.
const ABSENT: i64 = 24 * 3600;
const FAILED: i64 = 3600;

/// Builds that are remembered at once by a program that runs on and on.
const MANY: usize = 4096;

pub struct Cache {
    entries: Mutex<HashMap<(Group, String), Entry>>,
    file: Option<Mutex<(PathBuf, File)>>,
    /// After so many seconds all is asked for again.
    lasts: Option<i64>,
}

#[derive(Clone)]
struct Entry {
    at: i64,
    cell: Arc<OnceCell<Found>>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    group: Group,
    url: String,
    at: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl Line<'_> {
    /// What it says, unless that was too long ago.
    fn found(self) -> Option<Found> {
        let age = now() - self.at;
        match (self.metadata, self.absent, self.failed) {
            (Some(metadata), ..) => {
                let metadata = Metadata::read(metadata.get().as_bytes()).ok()??;
                Some(Found::There(Arc::new(metadata)))
            }
            (_, Some(reason), _) => (age < ABSENT).then_some(Found::Absent(reason)),
            (.., Some(reason)) => (age < FAILED).then_some(Found::Failed(reason)),
            _ => None,
        }
    }
}

/// The file of a folder.
const FILE: &str = ".bh-derive-metadata.ndjson";
/// That of the first jobs, from which a new one begins.
const FIRST_FILE: &str = ".metadata-1.4.1.json";

impl Cache {
    /// The cache of a run, which goes on with the file in `folder`.
    ///
    /// # Errors
    /// Held by another run (75), not readable or writable (74), damaged (78).
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let local = |error: &std::io::Error| Error::local(path.display(), error);
        let mut file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .map_err(|error| local(&error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => Error::message(
                Kind::EndedEarly,
                format!(
                    "{}: another run is at work with it; wait for its end, or give this one \
                     another --cache-folder",
                    path.display()
                ),
            ),
            error => local(&error.into()),
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(|error| local(&error))?;
        let whole = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(|error| local(&error))?;
        }
        let mut entries = HashMap::new();
        if whole == 0 {
            read_first(&folder.join(FIRST_FILE), &mut entries)?;
        }
        for (at, line) in text[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line).map_err(|error| {
                Error::configuration(format!(
                    "{}, line {}: damaged ({error}); remove the file to ask for all again",
                    path.display(),
                    at + 1
                ))
            })?;
            let (key, at) = ((line.group, line.url.clone()), line.at);
            if let Some(found) = line.found() {
                entries.insert(key, Entry::known(found, at));
            } else {
                entries.remove(&key);
            }
        }
        Ok(Self {
            entries: Mutex::new(entries),
            file: Some(Mutex::new((path, file))),
            lasts: None,
        })
    }

    /// A cache in memory, for a program that runs on and on: what is older
    /// than `lasts` is asked for again.
    #[must_use]
    pub fn passing(lasts: Duration) -> Self {
        Self {
            entries: Mutex::default(),
            file: None,
            lasts: i64::try_from(lasts.as_secs()).ok(),
        }
    }

    /// What is known at `url`; whoever comes first asks, the others wait.
    pub async fn get<F>(&self, group: Group, url: &str, ask: impl FnOnce() -> F) -> Result<Found>
    where
        F: Future<Output = Result<Lookup>>,
    {
        let cell = self.cell(group, url);
        let asked = cell.get_or_try_init(|| async {
            let Lookup { found, keep } = ask().await?;
            if keep {
                self.keep(group, url, &found)?;
            }
            Ok(found)
        });
        let found: Result<&Found> = asked.await;
        let found = found?.clone();
        // What runs on and on asks again for what has not come yet.
        if self.lasts.is_some() && !matches!(found, Found::There(_)) {
            let mut entries = lock(&self.entries);
            let key = (group, url.to_owned());
            let same = |entry: &Entry| Arc::ptr_eq(&entry.cell, &cell);
            if entries.get(&key).is_some_and(same) {
                entries.remove(&key);
            }
        }
        Ok(found)
    }

    fn cell(&self, group: Group, url: &str) -> Arc<OnceCell<Found>> {
        let mut entries = lock(&self.entries);
        if let Some(lasts) = self.lasts {
            let now = now();
            let fresh = |entry: &Entry| now - entry.at < lasts;
            if entries.len() >= MANY {
                entries.retain(|_, entry| fresh(entry));
            }
            let key = (group, url.to_owned());
            if entries.get(&key).is_some_and(|entry| !fresh(entry)) {
                entries.remove(&key);
            }
        }
        let entry = entries.entry((group, url.to_owned()));
        let new = || Entry {
            at: now(),
            cell: Arc::default(),
        };
        Arc::clone(&entry.or_insert_with(new).cell)
    }

    fn keep(&self, group: Group, url: &str, found: &Found) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut line = Line {
            group,
            url: url.to_owned(),
            at: now(),
            metadata: None,
            absent: None,
            failed: None,
        };
        let mut text = match found {
            Found::There(metadata) => {
                let Ok(raw) = serde_json::from_slice(metadata.text()) else {
                    // NaN is Python's alone: asked for again.
                    return Ok(());
                };
                line.metadata = Some(raw);
                serde_json::to_vec(&line)
            }
            Found::Absent(reason) => {
                line.absent = Some(reason.clone());
                serde_json::to_vec(&line)
            }
            Found::Failed(reason) => {
                line.failed = Some(reason.clone());
                serde_json::to_vec(&line)
            }
        }
        .map_err(|error| Error::message(Kind::Internal, error))?;
        text.push(b'\n');
        let mut file = lock(file);
        let (path, file) = &mut *file;
        // One write a line: whole in the file, or torn at its end.
        file.write_all(&text)
            .map_err(|error| Error::local(path.display(), &error))
    }
}

impl Entry {
    fn known(found: Found, at: i64) -> Self {
        let cell = Arc::new(OnceCell::new_with(Some(found)));
        Self { at, cell }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    Timestamp::now().as_second()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over what the first jobs left, all but what they did not find.
fn read_first(path: &Path, entries: &mut HashMap<(Group, String), Entry>) -> Result<()> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::local(path.display(), &error)),
    };
    let damaged = |error: json::ParseError| {
        Error::configuration(format!(
            "{}: damaged ({error}); remove the file to ask for all again",
            path.display()
        ))
    };
    let groups = json::members(&text).map_err(damaged)?;
    for (group, name) in [
        (Group::Nightly, "nightly"),
        (Group::Rc, "rc"),
        (Group::Release, "release"),
    ] {
        let Some(group_text) = groups.value(name) else {
            continue;
        };
        for member in json::members(group_text).map_err(damaged)? {
            let metadata = Metadata::read(member.value);
            if let (Ok(url), Ok(Some(metadata))) = (member.name.to_str(), metadata) {
                let found = Found::There(Arc::new(metadata));
                let entry = Entry::known(found, now());
                entries.insert((group, url.into_owned()), entry);
            }
        }
    }
    Ok(())
}
