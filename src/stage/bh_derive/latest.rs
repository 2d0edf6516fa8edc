//! The latest build of each version, listed once per product.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::derive::Deriver;
use crate::archive::{candidates, places};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::remote::archive::{Archive, ArchiveFolder, Fetched};

/// The folder of the latest build of each version.
pub type Latest = HashMap<String, String>;

/// The minimum time between two listings because of a version that is not found.
pub const SETTLED: Duration = Duration::from_secs(10);

impl Deriver {
    /// Returns the latest builds of the product of `folder`, from a listing not older than
    /// `max_age`.
    ///
    /// # Errors
    /// They cannot be listed (69, 78).
    pub async fn latest(&self, folder: &str, max_age: Option<Duration>) -> Result<Arc<Latest>> {
        let ask = || async { scan(&self.archive, folder, &self.log).await.map(Arc::new) };
        self.latest.get(&folder.to_owned(), max_age, ask).await
    }
}

/// Lists the builds of all versions; warns of folders that are none of a version, or have none
/// of a build.
async fn scan(archive: &Arc<Archive>, folder: &str, log: &Log) -> Result<Latest> {
    let root = places::candidates(&archive.base, folder);
    let mut scans = JoinSet::new();
    for entry in list(archive, &root).await?.folders {
        let url = format!("{root}{entry}");
        let Some(version) = candidates::version(&entry).map(str::to_owned) else {
            if entry.contains("-candidates") {
                log.warn(format!(
                    "{url}: left out, because its name is not that of a version"
                ));
            }
            continue;
        };
        let archive = Arc::clone(archive);
        scans.spawn(async move {
            let builds = match archive.list(&url, false).await? {
                Fetched::Found(listing) => listing.folders,
                Fetched::Missing(_) => Vec::new(),
                Fetched::Failed(reason) => return Err(Error::unavailable(reason)),
            };
            let builds = builds.iter().map(String::as_str);
            let numbered = builds.filter(|build| candidates::number(build).is_some());
            let latest = candidates::latest(numbered).map(str::to_owned);
            Ok((version, latest.ok_or(url)))
        });
    }
    let mut latest = Latest::new();
    while let Some(scanned) = scans.join_next().await {
        let (version, build) = scanned.map_err(Error::internal)??;
        match build {
            Ok(build) => drop(latest.insert(version, build)),
            Err(url) => log.warn(format!(
                "{url}: left out, because it has no folder of a build"
            )),
        }
    }
    Ok(latest)
}

async fn list(archive: &Archive, url: &str) -> Result<ArchiveFolder> {
    match archive.list(url, false).await? {
        Fetched::Found(folder) => Ok(folder),
        Fetched::Failed(reason) => Err(Error::unavailable(reason)),
        Fetched::Missing(reason) => Err(Error::configuration(format!(
            "{reason}; check --archive-url or --bucket, and --products"
        ))),
    }
}
