//! Which build of each version is the latest, asked for once a product.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::{Archive, Fetched, Listing};
use crate::archive::{candidates, places};
use crate::error::{Error, Kind, Result};

/// The folder of the latest build of each version.
pub type Latest = HashMap<String, String>;

/// The latest builds of a product, once they are listed.
type Scan = Arc<OnceCell<Arc<Latest>>>;

/// The latest builds of every product that was asked about.
pub struct Candidates {
    products: Mutex<HashMap<String, (Instant, Scan)>>,
    /// After so long they are listed again.
    lasts: Option<Duration>,
}

impl Candidates {
    #[must_use]
    pub fn new(lasts: Option<Duration>) -> Self {
        let products = Mutex::default();
        Self { products, lasts }
    }

    /// The latest builds of the product of `folder`.
    ///
    /// # Errors
    /// They cannot be listed: nothing can be said of releases then.
    pub async fn of(&self, archive: &Arc<Archive>, folder: &str) -> Result<Arc<Latest>> {
        self.listed(archive, folder, self.lasts).await
    }

    /// The same for a version that they do not have, and may have by now.
    pub async fn again(&self, archive: &Arc<Archive>, folder: &str) -> Result<Arc<Latest>> {
        let lasts = self.lasts.map(|lasts| lasts.min(SETTLED));
        self.listed(archive, folder, lasts).await
    }

    async fn listed(
        &self,
        archive: &Arc<Archive>,
        folder: &str,
        lasts: Option<Duration>,
    ) -> Result<Arc<Latest>> {
        let cell = self.cell(folder, lasts);
        let latest = cell.get_or_try_init(|| async { scan(archive, folder).await.map(Arc::new) });
        latest.await.cloned()
    }

    fn cell(&self, folder: &str, lasts: Option<Duration>) -> Scan {
        let mut products = self.products.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let new = || (now, Arc::default());
        let (at, cell) = products.entry(folder.to_owned()).or_insert_with(new);
        if lasts.is_some_and(|lasts| now.duration_since(*at) >= lasts) {
            (*at, *cell) = new();
        }
        Arc::clone(cell)
    }
}

/// A version that lacks is not asked for more often.
const SETTLED: Duration = Duration::from_secs(10);

async fn scan(archive: &Arc<Archive>, folder: &str) -> Result<Latest> {
    let root = places::candidates(&archive.base, folder);
    let versions = listing(archive, &root).await?.folders;
    let mut scans = JoinSet::new();
    for version in versions
        .iter()
        .filter_map(|entry| candidates::version(entry))
    {
        let (archive, url) = (Arc::clone(archive), format!("{root}{version}-candidates/"));
        scans.spawn(async move {
            let builds = listing(&archive, &url).await?.folders;
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
        let scanned = scanned.map_err(|error| Error::message(Kind::Internal, error))?;
        latest.extend([scanned?]);
    }
    Ok(latest)
}

async fn listing(archive: &Archive, url: &str) -> Result<Listing> {
    match archive.list(url, false).await? {
        Fetched::Found(listing) => Ok(listing),
        Fetched::Failed(reason) => Err(Error::unavailable(reason)),
        Fetched::Missing => Err(Error::configuration(format!(
            "there is no {url}; check --archive-url or --bucket, and --products"
        ))),
    }
}
