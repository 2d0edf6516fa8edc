//! The latest build of each version, listed once per product.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::derive::Deriver;
use crate::archive::{candidates, places};
use crate::error::{Error, Result};
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
        let ask = || async { scan(&self.archive, folder).await.map(Arc::new) };
        self.latest.get(&folder.to_owned(), max_age, ask).await
    }
}

async fn scan(archive: &Arc<Archive>, folder: &str) -> Result<Latest> {
    let root = places::candidates(&archive.base, folder);
    let mut scans = JoinSet::new();
    for entry in list(archive, &root).await?.folders {
        let Some(version) = candidates::version(&entry) else {
            continue;
        };
        let (archive, url) = (Arc::clone(archive), format!("{root}{version}-candidates/"));
        scans.spawn(async move {
            let builds = list(&archive, &url).await?.folders;
            match candidates::latest(builds.iter().map(String::as_str)) {
                Some(latest) => Ok((version, latest.to_owned())),
                None => Err(Error::configuration(format!(
                    "{url} has no folder of a build; check --archive-url or --bucket"
                ))),
            }
        });
    }
    let mut latest = Latest::new();
    while let Some(scanned) = scans.join_next().await {
        let scanned = scanned.map_err(Error::internal)?;
        latest.extend([scanned?]);
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
