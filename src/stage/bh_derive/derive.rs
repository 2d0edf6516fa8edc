//! Makes the record of a build from its metadata in the archive.

use std::sync::Arc;
use std::time::Duration;

use super::cache::{Cache, Group, Lookup};
use super::latest::{Latest, SETTLED};
use super::memo::Memo;
use crate::archive::build::{Build, BuildKind};
use crate::archive::merge::{self, ArchiveFile, Rejection};
use crate::archive::metadata::Metadata;
use crate::archive::{candidates, places};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::remote::archive::{Accept, Archive, Fetched};

/// The outcome of a build.
#[derive(Debug)]
pub enum DeriveOutcome {
    /// The line of its record.
    Record(Vec<u8>),
    /// The reason to count it by.
    Dropped(&'static str),
    /// The kind of the reject, and its message.
    Refused(&'static str, String),
    /// Its metadata could not be fetched; why.
    Failed(String),
}

impl From<Result<Vec<u8>, Rejection>> for DeriveOutcome {
    fn from(record: Result<Vec<u8>, Rejection>) -> Self {
        match record {
            Ok(line) => Self::Record(line),
            Err((kind, message)) => Self::Refused(kind, message),
        }
    }
}

/// Makes records of builds.
pub struct Deriver {
    pub archive: Arc<Archive>,
    pub latest: Memo<String, Arc<Latest>>,
    /// The latest builds are listed again when they are older.
    pub max_age: Option<Duration>,
    pub log: Log,
    cache: Cache,
}

impl Deriver {
    pub fn new(archive: Archive, cache: Cache, max_age: Option<Duration>, log: Log) -> Self {
        Self {
            archive: Arc::new(archive),
            latest: Memo::new([]),
            max_age,
            log,
            cache,
        }
    }

    /// Returns the outcome of a build.
    ///
    /// # Errors
    /// The archive is away (69) or misconfigured (78).
    pub async fn build(&self, build: &Build, file: &ArchiveFile) -> Result<DeriveOutcome> {
        let latest = self.latest(build.product_folder(), self.max_age).await?;
        let (lookup, number) = match build.kind() {
            BuildKind::Nightly => (self.nightly(build).await?, None),
            BuildKind::Candidate => {
                let number = places::build_number(&build.url);
                (self.candidate(build).await?, number)
            }
            BuildKind::Release => self.release(build, latest).await?,
        };
        Ok(match lookup {
            Lookup::Found(_) if build.kind() == BuildKind::Candidate && number.is_none() => {
                let message = "the URL of a candidate names no /buildN/".to_owned();
                DeriveOutcome::Refused("no_build_number", message)
            }
            Lookup::Found(metadata) => merge::record(build, file, &metadata, number).into(),
            Lookup::Absent(reason) | Lookup::NotYet(reason) => {
                DeriveOutcome::Refused("no_metadata", reason)
            }
            Lookup::Failed(reason) => DeriveOutcome::Failed(reason),
        })
    }

    async fn nightly(&self, build: &Build) -> Result<Lookup> {
        let Some(english) = places::english_nightly(&build.url) else {
            let reason = "the URL of a nightly names no language".to_owned();
            return Ok(Lookup::Absent(reason));
        };
        let ask = || async {
            let url = places::with_end(&english, "json");
            match self.archive.get(&url, Accept::Json, false).await? {
                Fetched::Found(document) => Ok(read(&url, &document)),
                // Otherwise all builds of that day would fail.
                Fetched::Failed(reason) => Err(Error::unavailable(reason)),
                Fetched::Missing(_) => self.old_nightly(&url, &english).await,
            }
        };
        self.cache.get(Group::Nightly, &english, ask).await
    }

    async fn old_nightly(&self, json: &str, english: &str) -> Result<Lookup> {
        let url = places::with_end(english, "txt");
        Ok(match self.archive.get(&url, Accept::Text, false).await? {
            Fetched::Found(text) => match Metadata::parse_old(&String::from_utf8_lossy(&text)) {
                Some(metadata) => Lookup::Found(Arc::new(metadata)),
                None => Lookup::Absent(format!("{url} is not metadata, and there is no {json}")),
            },
            Fetched::Missing(_) => Lookup::Absent(format!("there is neither {json} nor a .txt")),
            Fetched::Failed(reason) => Lookup::Failed(reason),
        })
    }

    async fn candidate(&self, build: &Build) -> Result<Lookup> {
        let english = places::english_candidate(&build.url);
        let url = places::candidate_metadata(build, &english);
        let ask = || self.metadata(&url);
        self.cache.get(Group::Rc, &english, ask).await
    }

    async fn release(
        &self,
        build: &Build,
        mut latest: Arc<Latest>,
    ) -> Result<(Lookup, Option<u64>)> {
        let version = &build.version;
        if !latest.contains_key(version) {
            // It may exist by now.
            let max_age = self.max_age.map(|age| age.min(SETTLED));
            latest = self.latest(build.product_folder(), max_age).await?;
        }
        let Some(latest) = latest.get(version) else {
            let reason = format!("there are no candidates of {version}");
            return Ok((Lookup::Absent(reason), None));
        };
        let Some(number) = candidates::number(latest) else {
            let reason = format!("the latest candidate of {version} is {latest:?}, not a build");
            return Ok((Lookup::Absent(reason), None));
        };
        let folder = places::release_folder(&self.archive.base, build, latest);
        let ask = || self.release_metadata(build, &folder);
        let lookup = self.cache.get(Group::Release, &folder, ask).await?;
        Ok((lookup, Some(number)))
    }

    async fn release_metadata(&self, build: &Build, folder: &str) -> Result<Lookup> {
        let files = match self.archive.list(folder, false).await? {
            Fetched::Found(listing) => listing.files,
            Fetched::Missing(reason) => return Ok(Lookup::NotYet(reason)),
            Fetched::Failed(reason) => return Ok(Lookup::Failed(reason)),
        };
        let mut lookup = Lookup::Absent(format!("no file of {folder} holds the metadata"));
        for file in files {
            if candidates::is_metadata(&build.product, &build.version, &file.name) {
                lookup = self.metadata(&format!("{folder}{}", file.name)).await?;
                if !matches!(lookup, Lookup::Failed(_)) {
                    break;
                }
            }
        }
        Ok(lookup)
    }

    async fn metadata(&self, url: &str) -> Result<Lookup> {
        Ok(match self.archive.get(url, Accept::Json, false).await? {
            Fetched::Found(document) => read(url, &document),
            Fetched::Missing(reason) => Lookup::NotYet(reason),
            Fetched::Failed(reason) => Lookup::Failed(reason),
        })
    }
}

/// Parses a document; a damaged one may be complete by the next run.
fn read(url: &str, document: &[u8]) -> Lookup {
    match Metadata::read(document) {
        Ok(Some(metadata)) => Lookup::Found(Arc::new(metadata)),
        Ok(None) => Lookup::Absent(format!("{url} is empty")),
        Err(reason) => Lookup::NotYet(format!("{url} is not JSON: {reason}")),
    }
}
