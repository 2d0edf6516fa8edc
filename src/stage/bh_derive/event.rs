//! Makes the records of an event: of an uploaded archive, or of the archives whose metadata
//! were uploaded after them.

use std::sync::LazyLock;

use regex::Regex;

use super::derive::{DeriveOutcome, Deriver};
use crate::archive::build::Build;
use crate::archive::event::CreatedObject;
use crate::archive::merge::{self, ArchiveFile};
use crate::archive::metadata::Metadata;
use crate::archive::url::{Class, from_key, is_build};
use crate::archive::{name, pattern, places};
use crate::error::{Error, Kind, Result};
use crate::remote::archive::{Accept, ArchiveFolder, Fetched, FolderFile};

/// Why there are no records of an event.
enum EventFailure {
    /// The metadata are invalid; why.
    Refused(String),
    Error(Error),
}

impl From<Error> for EventFailure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Returns what was fetched; an error if it is missing.
fn require<T>(fetched: Fetched<T>) -> Result<T> {
    match fetched {
        Fetched::Found(found) => Ok(found),
        Fetched::Missing(reason) | Fetched::Failed(reason) => Err(Error::unavailable(reason)),
    }
}

/// The folder of an English nightly, whose localised builds are beside it.
static ENGLISH: LazyLock<Regex> =
    LazyLock::new(|| pattern("-(mozilla|comm)-central([^/]*)/[^/]+$"));

impl Deriver {
    /// Returns the records of an object that was created, of the product of `folder`.
    ///
    /// # Errors
    /// The archive denies access (77), or a signal.
    pub async fn event(&self, folder: &str, object: &CreatedObject) -> Result<Vec<DeriveOutcome>> {
        let url = from_key(&self.archive.base, &object.key);
        let records = match Class::parse(folder, &url) {
            Class::Archive => self.archive(&url, &object.file).await,
            Class::CandidateMetadata => self.candidate_builds(folder, &url).await,
            Class::NightlyMetadata => self.nightly_builds(folder, &url).await,
            Class::Other => Ok(vec![DeriveOutcome::Dropped("no build")]),
        };
        match records {
            Ok(records) if records.is_empty() => Ok(vec![DeriveOutcome::Dropped("no archive yet")]),
            Ok(records) => Ok(records),
            Err(EventFailure::Refused(reason)) => {
                Ok(vec![DeriveOutcome::Refused("bad_metadata", reason)])
            }
            // The next event may succeed, and this one is delivered again.
            Err(EventFailure::Error(error))
                if matches!(error.kind, Kind::Unavailable | Kind::Configuration) =>
            {
                Ok(vec![DeriveOutcome::Failed(error.to_string())])
            }
            Err(EventFailure::Error(error)) => Err(error),
        }
    }

    async fn archive(
        &self,
        url: &str,
        file: &ArchiveFile,
    ) -> Result<Vec<DeriveOutcome>, EventFailure> {
        let outcome = match Build::parse(url) {
            Ok(build) => self.build(&build, file).await?,
            Err(reason) => DeriveOutcome::Refused("no_record", reason),
        };
        Ok(vec![match outcome {
            // Its record is made when they are uploaded.
            DeriveOutcome::Refused("no_metadata", _) => DeriveOutcome::Dropped("no metadata yet"),
            outcome => outcome,
        }])
    }

    async fn candidate_builds(
        &self,
        folder: &str,
        url: &str,
    ) -> Result<Vec<DeriveOutcome>, EventFailure> {
        let (_, metadata) = self.get_announced(url).await?;
        let number = places::build_number(url);
        let number =
            number.ok_or_else(|| EventFailure::Refused(format!("{url} names no /buildN/")))?;
        let folders = if let Some((before, _)) = url.split_once("multi/") {
            vec![format!("{before}multi/")]
        } else {
            let parent = url.split_once("en-US/").map_or(url, |(before, _)| before);
            let children = self.list_announced(parent).await?.folders;
            let children = children.iter().map(|child| format!("{parent}{child}"));
            children.collect()
        };
        let mut records = Vec::new();
        for place in folders {
            let files = self.list_announced(&place).await?.files;
            let builds = files
                .iter()
                .filter_map(|file| record(folder, &place, file, &metadata, Some(number)));
            records.extend(builds);
        }
        Ok(records)
    }

    async fn nightly_builds(
        &self,
        folder: &str,
        url: &str,
    ) -> Result<Vec<DeriveOutcome>, EventFailure> {
        let (document, metadata) = self.get_announced(url).await?;
        let platform = Metadata::platform(&document)
            .ok_or_else(|| EventFailure::Refused(format!("{url} has no \"moz_pkg_platform\"")))?;
        let platform = format!(".{platform}.");
        let is_own = |file: &&FolderFile| file.name.contains(&platform);
        let place = url.strip_suffix(name(url)).unwrap_or(url);
        let english = require(self.archive.list(place, false).await?)?.files;
        let mut english = english.iter().filter(is_own);
        let first = english.find_map(|file| record(folder, place, file, &metadata, None));
        let mut records: Vec<DeriveOutcome> = first.into_iter().collect();
        if ENGLISH.is_match(url) {
            let place = ENGLISH.replace(url, "-${1}-central${2}-l10n/");
            match self.archive.list(&place, true).await? {
                Fetched::Found(localised) => {
                    let files = localised.files.iter();
                    let files = files.filter(|file| folder == "mobile" || is_own(file));
                    records.extend(
                        files.filter_map(|file| record(folder, &place, file, &metadata, None)),
                    );
                }
                // Not every nightly is localised.
                Fetched::Missing(_) => {}
                Fetched::Failed(reason) => records.push(DeriveOutcome::Failed(reason)),
            }
        }
        Ok(records)
    }

    /// Returns a document that an event announced, and the metadata in it. It may take a
    /// while to appear.
    async fn get_announced(&self, url: &str) -> Result<(Vec<u8>, Metadata), EventFailure> {
        let document = require(self.archive.get(url, Accept::Json, true).await?)?;
        let metadata = Metadata::read(&document)
            .map_err(|reason| EventFailure::Refused(format!("{url} is not JSON: {reason}")))?
            .ok_or_else(|| EventFailure::Refused(format!("{url} is empty")))?;
        Ok((document, metadata))
    }

    async fn list_announced(&self, url: &str) -> Result<ArchiveFolder> {
        require(self.archive.list(url, true).await?)
    }
}

/// Returns the record of a file at `place`, if it is a build of the product of `folder`.
fn record(
    folder: &str,
    place: &str,
    listed: &FolderFile,
    metadata: &Metadata,
    number: Option<u64>,
) -> Option<DeriveOutcome> {
    let url = format!("{place}{}", listed.name);
    let record = || {
        let build =
            Build::parse(&url).map_err(|reason| ("no_record", format!("{url}: {reason}")))?;
        let file = ArchiveFile::read(&listed.size, &listed.last_modified)
            .map_err(|reason| ("bad_listing", format!("{url}: {reason}")))?;
        merge::record(&build, &file, metadata, number)
    };
    is_build(folder, &url).then(|| record().into())
}
