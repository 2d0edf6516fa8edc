//! The record of a build, with the metadata that the archive has of it.

use std::sync::Arc;
use std::time::Duration;

use super::cache::{Cache, Found, Group, Lookup};
use super::candidates::{Candidates, Latest};
use super::{Accept, Archive, Fetched};
use crate::archive::build::{Build, BuildKind};
use crate::archive::merge::{self, ArchiveFile, Rejection};
use crate::archive::metadata::Metadata;
use crate::archive::{candidates, old_text, places};
use crate::error::{Error, Result};

/// What became of a build.
#[derive(Debug)]
pub enum DeriveOutcome {
    /// The line of its record.
    Record(Vec<u8>),
    /// A word to count by.
    Dropped(&'static str),
    /// A word to count by, and why.
    Refused(&'static str, String),
    /// The archive did not give what it needs: why.
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
    pub(super) archive: Arc<Archive>,
    cache: Cache,
    candidates: Candidates,
}

impl Deriver {
    /// Candidates are listed again after `lasts`.
    #[must_use]
    pub fn new(archive: Archive, cache: Cache, lasts: Option<Duration>) -> Self {
        Self {
            archive: Arc::new(archive),
            cache,
            candidates: Candidates::new(lasts),
        }
    }

    /// The record of an archive.
    ///
    /// # Errors
    /// The archive cannot be relied on.
    pub async fn derive(&self, build: &Build, file: &ArchiveFile) -> Result<DeriveOutcome> {
        let latest = self
            .candidates
            .of(&self.archive, build.product_folder())
            .await?;
        let (found, number) = match build.kind() {
            BuildKind::Nightly => (self.nightly(build).await?, None),
            BuildKind::Candidate => {
                let number = places::build_number(&build.url);
                (self.candidate(build).await?, number)
            }
            BuildKind::Release => self.release(build, &latest).await?,
        };
        Ok(match found {
            Found::There(_) if build.kind() == BuildKind::Candidate && number.is_none() => {
                let message = "the URL of a candidate names no /buildN/".to_owned();
                DeriveOutcome::Refused("no_build_number", message)
            }
            Found::There(metadata) => merge::record(build, file, &metadata, number).into(),
            Found::Absent(reason) => DeriveOutcome::Refused("no_metadata", reason),
            Found::Failed(reason) => DeriveOutcome::Failed(reason),
        })
    }

    async fn nightly(&self, build: &Build) -> Result<Found> {
        let Some(english) = places::english_nightly(&build.url) else {
            let reason = "the URL of a nightly names no language".to_owned();
            return Ok(Found::Absent(reason));
        };
        let ask = || async {
            let url = places::with_end(&english, "json");
            match self.archive.get(&url, Accept::Json, false).await? {
                Fetched::Found(document) => Ok(read(&url, &document)),
                // All builds of that day would be lost with it.
                Fetched::Failed(reason) => Err(Error::unavailable(reason)),
                Fetched::Missing => self.old_nightly(&url, &english).await,
            }
        };
        self.cache.get(Group::Nightly, &english, ask).await
    }

    async fn old_nightly(&self, json: &str, english: &str) -> Result<Lookup> {
        let url = places::with_end(english, "txt");
        let found = match self.archive.get(&url, Accept::Text, false).await? {
            Fetched::Found(text) => match old_text::read(&String::from_utf8_lossy(&text)) {
                Some(metadata) => Found::There(Arc::new(metadata)),
                None => Found::Absent(format!("{url} is no metadata, and there is no {json}")),
            },
            Fetched::Missing => Found::Absent(format!("there is neither {json} nor a .txt")),
            Fetched::Failed(reason) => Found::Failed(reason),
        };
        Ok(Lookup { found, keep: true })
    }

    async fn candidate(&self, build: &Build) -> Result<Found> {
        let english = places::english_candidate(&build.url);
        let ask = || async {
            let url = places::candidate_metadata(build, &english);
            Ok(match self.archive.get(&url, Accept::Json, false).await? {
                Fetched::Found(document) => read(&url, &document),
                Fetched::Missing => passing(format!("there is no {url}")),
                Fetched::Failed(reason) => Lookup {
                    found: Found::Failed(reason),
                    keep: true,
                },
            })
        };
        self.cache.get(Group::Rc, &english, ask).await
    }

    async fn release(&self, build: &Build, latest: &Latest) -> Result<(Found, Option<u64>)> {
        let version = &build.version;
        let again;
        let latest = if latest.contains_key(version) {
            latest
        } else {
            let folder = build.product_folder();
            again = self.candidates.again(&self.archive, folder).await?;
            &*again
        };
        let Some(latest) = latest.get(version) else {
            let reason = format!("there are no candidates of {version}");
            return Ok((Found::Absent(reason), None));
        };
        let Some(number) = candidates::number(latest) else {
            let reason = format!("the latest candidate of {version} is {latest:?}, not a build");
            return Ok((Found::Absent(reason), None));
        };
        let folder = places::release_folder(&self.archive.base, build, latest);
        let ask = || self.release_metadata(build, &folder);
        let found = self.cache.get(Group::Release, &folder, ask).await?;
        Ok((found, Some(number)))
    }

    async fn release_metadata(&self, build: &Build, folder: &str) -> Result<Lookup> {
        let kept = |found| Lookup { found, keep: true };
        let listing = match self.archive.list(folder, false).await? {
            Fetched::Found(listing) => listing,
            Fetched::Missing => return Ok(passing(format!("there is no {folder}"))),
            Fetched::Failed(reason) => return Ok(kept(Found::Failed(reason))),
        };
        let mut found = Found::Absent(format!("no file of {folder} holds the metadata"));
        let names = listing.files.iter().map(|file| &file.name);
        for name in
            names.filter(|name| candidates::is_metadata(&build.product, &build.version, name))
        {
            let url = format!("{folder}{name}");
            match self.archive.get(&url, Accept::Json, false).await? {
                Fetched::Found(document) => return Ok(read(&url, &document)),
                Fetched::Missing => return Ok(passing(format!("there is no {url}"))),
                Fetched::Failed(reason) => found = Found::Failed(reason),
            }
        }
        Ok(kept(found))
    }
}

/// What a document says; one that is cut or broken may be whole by the next run.
fn read(url: &str, document: &[u8]) -> Lookup {
    match Metadata::read(document) {
        Ok(Some(metadata)) => Lookup {
            found: Found::There(Arc::new(metadata)),
            keep: true,
        },
        Ok(None) => Lookup {
            found: Found::Absent(format!("{url} is empty")),
            keep: true,
        },
        Err(reason) => passing(format!("{url} is not JSON: {reason}")),
    }
}

/// Absent for this run.
fn passing(reason: String) -> Lookup {
    Lookup {
        found: Found::Absent(reason),
        keep: false,
    }
}
