//! The records of an event: of the archive that came, or of those whose
//! metadata came behind them.

use std::sync::LazyLock;

use regex::Regex;

use super::derive::{DeriveOutcome, Deriver};
use super::{Accept, Fetched, FolderFile, Listing};
use crate::archive::build::Build;
use crate::archive::event::CreatedObject;
use crate::archive::merge::{self, ArchiveFile};
use crate::archive::metadata::Metadata;
use crate::archive::url::{Class, from_key, is_build};
use crate::archive::{name, pattern, places};
use crate::error::{Error, Kind, Result};

/// Why there are no records of an event.
enum EventFailure {
    DeriveOutcome(DeriveOutcome),
    Error(Error),
}

impl From<Error> for EventFailure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn failed<T>(reason: impl Into<String>) -> Result<T, EventFailure> {
    Err(EventFailure::DeriveOutcome(DeriveOutcome::Failed(
        reason.into(),
    )))
}

fn refused<T>(reason: impl Into<String>) -> Result<T, EventFailure> {
    let outcome = DeriveOutcome::Refused("bad_metadata", reason.into());
    Err(EventFailure::DeriveOutcome(outcome))
}

/// Where the localised builds of a nightly stand.
static ENGLISH: LazyLock<Regex> =
    LazyLock::new(|| pattern("-(mozilla|comm)-central([^/]*)/[^/]+$"));

impl Deriver {
    /// The records of an object that came, of the product of `folder`.
    ///
    /// # Errors
    /// The archive cannot be relied on.
    pub async fn event(&self, folder: &str, object: &CreatedObject) -> Result<Vec<DeriveOutcome>> {
        let url = from_key(&self.archive.base, &object.key);
        let records = match Class::parse(folder, &url) {
            Class::Archive => self
                .archive_first(&url, &object.file)
                .await
                .map(|one| vec![one]),
            Class::CandidateMetadata => self.candidate_first(folder, &url).await,
            Class::NightlyMetadata => self.nightly_first(folder, &url).await,
            Class::Other => Ok(vec![DeriveOutcome::Dropped("no build")]),
        };
        match records {
            Ok(records) if records.is_empty() => Ok(vec![DeriveOutcome::Dropped("no archive yet")]),
            Ok(records) => Ok(records),
            Err(EventFailure::DeriveOutcome(outcome)) => Ok(vec![outcome]),
            // The next event may have more luck, and this one comes again.
            Err(EventFailure::Error(error))
                if matches!(error.kind, Kind::Unavailable | Kind::Configuration) =>
            {
                Ok(vec![DeriveOutcome::Failed(error.to_string())])
            }
            Err(EventFailure::Error(error)) => Err(error),
        }
    }

    async fn archive_first(
        &self,
        url: &str,
        file: &ArchiveFile,
    ) -> Result<DeriveOutcome, EventFailure> {
        let build = match Build::parse(url) {
            Ok(build) => build,
            Err(reason) => return Ok(DeriveOutcome::Refused("no_record", reason)),
        };
        Ok(match self.derive(&build, file).await? {
            // Its record is made when they come.
            DeriveOutcome::Refused("no_metadata", _) => DeriveOutcome::Dropped("no metadata yet"),
            outcome => outcome,
        })
    }

    async fn candidate_first(
        &self,
        folder: &str,
        url: &str,
    ) -> Result<Vec<DeriveOutcome>, EventFailure> {
        let metadata = self.metadata_until_there(url).await?;
        let Some(number) = places::build_number(url) else {
            return refused(format!("{url} names no /buildN/"));
        };
        let mut folders = Vec::new();
        if let Some((before, _)) = url.split_once("multi/") {
            folders.push(format!("{before}multi/"));
        } else {
            let parent = url.split_once("en-US/").map_or(url, |(before, _)| before);
            let children = self.list_until_there(parent).await?.folders;
            folders.extend(children.iter().map(|child| format!("{parent}{child}")));
        }
        let mut records = Vec::new();
        for place in folders {
            for file in self.list_until_there(&place).await?.files {
                let url = format!("{place}{}", file.name);
                if is_build(folder, &url) {
                    records.push(record(&url, &file, &metadata, Some(number)));
                }
            }
        }
        Ok(records)
    }

    async fn nightly_first(
        &self,
        folder: &str,
        url: &str,
    ) -> Result<Vec<DeriveOutcome>, EventFailure> {
        let Some(document) = self.document(url).await? else {
            return refused(format!("{url} is empty"));
        };
        let (metadata, platform) = document;
        let Some(platform) = platform else {
            return refused(format!("{url} has no \"moz_pkg_platform\""));
        };
        let platform = format!(".{platform}.");
        let place = url.strip_suffix(name(url)).unwrap_or(url);
        let english = match self.archive.list(place, false).await? {
            Fetched::Found(listing) => listing,
            Fetched::Missing => return failed(format!("there is no {place}")),
            Fetched::Failed(reason) => return failed(reason),
        };
        let wanted = |place: &str, file: &FolderFile| {
            let url = format!("{place}{}", file.name);
            is_build(folder, &url).then(|| record(&url, file, &metadata, None))
        };
        let mut of_platform = english
            .files
            .iter()
            .filter(|file| file.name.contains(&platform));
        let first = of_platform.find_map(|file| wanted(place, file));
        let mut records: Vec<DeriveOutcome> = first.into_iter().collect();
        if ENGLISH.is_match(url) {
            let place = ENGLISH.replace(url, "-${1}-central${2}-l10n/").into_owned();
            match self.archive.list(&place, true).await? {
                Fetched::Found(localised) => {
                    let all = folder == "mobile";
                    let files = localised.files.iter();
                    let files = files.filter(|file| all || file.name.contains(&platform));
                    records.extend(files.filter_map(|file| wanted(&place, file)));
                }
                // Not every nightly is localised.
                Fetched::Missing => {}
                Fetched::Failed(reason) => records.push(DeriveOutcome::Failed(reason)),
            }
        }
        Ok(records)
    }

    async fn metadata_until_there(&self, url: &str) -> Result<Metadata, EventFailure> {
        match self.document(url).await? {
            Some((metadata, _)) => Ok(metadata),
            None => refused(format!("{url} is empty")),
        }
    }

    /// Metadata that were announced and may take a while to be there, and the
    /// platform that they name.
    async fn document(
        &self,
        url: &str,
    ) -> Result<Option<(Metadata, Option<String>)>, EventFailure> {
        let document = match self.archive.get(url, Accept::Json, true).await? {
            Fetched::Found(document) => document,
            Fetched::Failed(reason) => return failed(reason),
            Fetched::Missing => return failed(self.archive.missing_to_the_end(url)),
        };
        match Metadata::read(&document) {
            Ok(metadata) => Ok(metadata.map(|metadata| (metadata, Metadata::platform(&document)))),
            Err(reason) => refused(format!("{url} is not JSON: {reason}")),
        }
    }

    async fn list_until_there(&self, url: &str) -> Result<Listing, EventFailure> {
        match self.archive.list(url, true).await? {
            Fetched::Found(listing) => Ok(listing),
            Fetched::Missing => failed(self.archive.missing_to_the_end(url)),
            Fetched::Failed(reason) => failed(reason),
        }
    }
}

fn record(
    url: &str,
    listed: &FolderFile,
    metadata: &Metadata,
    number: Option<u64>,
) -> DeriveOutcome {
    let build = match Build::parse(url) {
        Ok(build) => build,
        Err(reason) => return DeriveOutcome::Refused("no_record", format!("{url}: {reason}")),
    };
    match ArchiveFile::read(&listed.size, &listed.last_modified) {
        Ok(file) => merge::record(&build, &file, metadata, number).into(),
        Err(reason) => DeriveOutcome::Refused("bad_listing", format!("{url}: {reason}")),
    }
}
