//! The metadata of builds that were fetched before, in memory and in a file. Lines are only
//! appended to the file, so a kill loses one line at most.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::memo::Memo;
use crate::archive::metadata::Metadata;
use crate::disk;
use crate::error::{Error, Kind, Result};
use crate::json;

/// The metadata at a URL.
#[derive(Debug, Clone)]
pub enum Lookup {
    Found(Arc<Metadata>),
    /// There are none; why.
    Absent(String),
    /// There are none yet, so the next run asks again; why.
    NotYet(String),
    /// They could not be fetched; why.
    Failed(String),
}

/// The kind of build; in the file with the names of the v1 jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    Nightly,
    Rc,
    Release,
}

type CacheKey = (Group, String);

/// Seconds after which absent metadata are requested again.
const ABSENT: i64 = 24 * 3600;
/// Seconds after which a failed request is repeated.
const FAILED: i64 = 3600;

/// Metadata by the kind of build and the URL.
pub struct Cache {
    memo: Memo<CacheKey, Lookup>,
    file: Option<Mutex<(PathBuf, File)>>,
    max_age: Option<Duration>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line<'a> {
    group: Group,
    url: String,
    /// Seconds since 1970.
    at: i64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl Line<'_> {
    /// Returns its content, unless it is too old.
    fn lookup(self) -> Option<Lookup> {
        let age = Timestamp::now().as_second() - self.at;
        match (self.metadata, self.absent, self.failed) {
            (Some(metadata), ..) => {
                let metadata = Metadata::read(metadata.get().as_bytes()).ok()??;
                Some(Lookup::Found(Arc::new(metadata)))
            }
            (_, Some(reason), _) => (age < ABSENT).then_some(Lookup::Absent(reason)),
            (.., Some(reason)) => (age < FAILED).then_some(Lookup::Failed(reason)),
            _ => None,
        }
    }
}

/// The name of the file.
const FILE: &str = ".bh-derive-metadata.ndjson";
/// The file of the v1 jobs, which is imported into a new file.
const FIRST_FILE: &str = ".metadata-1.4.1.json";

impl Cache {
    /// Opens a cache with a file in `folder`.
    ///
    /// # Errors
    /// The file is locked by another run (75), not readable or writable (74), or damaged (78).
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let local = disk::in_folder("--cache-folder", folder, &path);
        let mut options = File::options();
        options.create(true).append(true).read(true);
        let mut file = disk::open_own(&path, &mut options).map_err(&local)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::message(
                Kind::EndedEarly,
                format!(
                    "{}: in use by another run; wait for it to finish, or use a different \
                     --cache-folder",
                    path.display()
                ),
            ),
            TryLockError::Error(error) => local(error),
        })?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(&local)?;
        let whole = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(&local)?;
        }
        let mut known = HashMap::new();
        if whole == 0 {
            known = read_first(&folder.join(FIRST_FILE))?;
        }
        for (at, line) in text[..whole].split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line).map_err(|error| {
                damaged(&format!("{}, line {}", path.display(), at + 1), &error)
            })?;
            let key = (line.group, line.url.clone());
            match line.lookup() {
                Some(lookup) => known.insert(key, lookup),
                None => known.remove(&key),
            };
        }
        Ok(Self {
            memo: Memo::new(known),
            file: Some(Mutex::new((path, file))),
            max_age: None,
        })
    }

    /// Returns a cache in memory, for a program that runs without end. Values older than
    /// `max_age`, and those that were not found, are requested again.
    pub fn in_memory(max_age: Duration) -> Self {
        Self {
            memo: Memo::new([]),
            file: None,
            max_age: Some(max_age),
        }
    }

    /// Returns the metadata at `url`, by `ask` if they are not known.
    pub async fn get<F>(&self, group: Group, url: &str, ask: impl FnOnce() -> F) -> Result<Lookup>
    where
        F: Future<Output = Result<Lookup>>,
    {
        let key = (group, url.to_owned());
        let ask = || async {
            let lookup = ask().await?;
            self.keep(&key, &lookup)?;
            Ok(lookup)
        };
        let lookup = self.memo.get(&key, self.max_age, ask).await?;
        if self.file.is_none() {
            let is_found = |lookup: &Lookup| matches!(lookup, Lookup::Found(_));
            self.memo.remove_unless(&key, is_found);
        }
        Ok(lookup)
    }

    fn keep(&self, (group, url): &CacheKey, lookup: &Lookup) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut line = Line {
            group: *group,
            url: url.clone(),
            at: Timestamp::now().as_second(),
            metadata: None,
            absent: None,
            failed: None,
        };
        match lookup {
            Lookup::Found(metadata) => match serde_json::from_slice(metadata.text()) {
                Ok(raw) => line.metadata = Some(raw),
                // Only Python reads NaN; it is not stored.
                Err(_) => return Ok(()),
            },
            Lookup::Absent(reason) => line.absent = Some(reason.clone()),
            Lookup::Failed(reason) => line.failed = Some(reason.clone()),
            Lookup::NotYet(_) => return Ok(()),
        }
        let text = serde_json::to_vec(&line);
        let mut text = text.map_err(Error::internal)?;
        text.push(b'\n');
        let mut file = file.lock();
        let (path, file) = &mut *file;
        // One write per line, so that only the last line can be incomplete.
        file.write_all(&text).map_err(Error::local(path.display()))
    }
}

fn damaged(place: &str, error: &dyn std::fmt::Display) -> Error {
    Error::configuration(format!(
        "{place}: damaged ({error}); remove the file to ask for all again"
    ))
}

/// Imports the file of the v1 jobs, without what they did not find or may have read wrongly: the
/// metadata of releases, which may be those of another version, and of .txt files.
fn read_first(path: &Path) -> Result<HashMap<CacheKey, Lookup>> {
    let mut text = Vec::new();
    let opened = disk::open_own(path, File::options().read(true));
    match opened.and_then(|mut file| file.read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(Error::local(path.display())(error)),
    }
    let damaged = |error: json::ParseError| damaged(&path.display().to_string(), &error);
    let groups = json::members(&text).map_err(damaged)?;
    let mut known = HashMap::new();
    for (group, name) in [(Group::Nightly, "nightly"), (Group::Rc, "rc")] {
        let Some(members) = groups.value(name) else {
            continue;
        };
        for member in json::members(members).map_err(damaged)? {
            let metadata = Metadata::read(member.value);
            if let (Ok(url), Ok(Some(metadata))) = (member.name.to_str(), metadata)
                && !url.ends_with(".txt")
            {
                let lookup = Lookup::Found(Arc::new(metadata));
                known.insert((group, url.into_owned()), lookup);
            }
        }
    }
    Ok(known)
}
