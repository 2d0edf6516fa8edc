//! The archive of Mozilla's builds: its documents and its listings, over HTTP
//! or from the bucket behind it, and what is known of its builds.

mod cache;
mod candidates;
mod derive;
mod event;
mod queue;
mod store;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Semaphore;

pub use self::cache::Cache;
pub use self::derive::{DeriveOutcome, Deriver};
pub use self::queue::{DeriveQueue, DeriveTicket, Job};

use self::store::ArchiveBucket;
use self::web::Web;
use super::s3::S3;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::error::Result;
use crate::retry::{Failure, FailureClass, Policy, Retry};

/// Where the archive is.
#[derive(Debug, Clone, clap::Args)]
pub struct ArchiveArgs {
    /// Address of the archive: what every build's URL begins with
    #[arg(
        long,
        help_heading = "The archive",
        value_name = "URL",
        env = "ARCHIVE_URL",
        hide_env_values = true,
        default_value = "https://archive.mozilla.org/",
        value_parser = address
    )]
    pub archive_url: String,

    /// Read listings and metadata from this bucket, not over HTTP
    #[arg(long, help_heading = "The archive", value_name = "NAME")]
    pub bucket: Option<String>,

    /// Folder of the file that keeps metadata from run to run
    #[arg(
        long,
        help_heading = "The archive",
        value_name = "FOLDER",
        env = "CACHE_FOLDER",
        hide_env_values = true,
        default_value = "."
    )]
    pub cache_folder: PathBuf,
}

/// An address without a path, ended by a slash: what stands behind it are keys.
fn address(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://".to_owned());
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("it must have no path: build URLs are read by their slashes".to_owned());
    }
    Ok(format!("{}/", text.trim_end_matches('/')))
}

/// What a request for a document or a folder gave.
enum Fetched<T> {
    Found(T),
    /// Not there.
    Missing,
    /// It cannot be had now: why.
    Failed(String),
}

/// The form in which a document is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    Json,
    Text,
}

/// What stands directly in a folder.
#[derive(Default)]
struct Listing {
    /// Each with its slash.
    folders: Vec<String>,
    files: Vec<FolderFile>,
}

struct FolderFile {
    name: String,
    size: String,
    last_modified: String,
}

enum Source {
    Web(Web),
    Store(Box<ArchiveBucket>),
}

/// The archive, whichever way it is reached.
pub struct Archive {
    source: Source,
    pub base: String,
    retry: Retry,
    tries: u32,
    slots: Semaphore,
}

/// Of an object that was announced.
const NOT_YET: &str = "not there yet (404)";

/// How the archive is asked.
pub struct ArchiveOptions {
    /// Requests at the same time.
    pub concurrency: usize,
    pub timeout: Duration,
    /// Tries of a request before it is given up.
    pub tries: u32,
    pub context: Context,
}

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(128));

impl Archive {
    /// # Errors
    /// Of the client.
    pub fn open(args: &ArchiveArgs, s3: Option<S3>, options: &ArchiveOptions) -> Result<Self> {
        let source = match (&args.bucket, s3) {
            (Some(bucket), Some(s3)) => Source::Store(Box::new(ArchiveBucket::new(
                s3,
                bucket,
                options.concurrency,
            ))),
            _ => Source::Web(Web::open(&args.archive_url, options.timeout)?),
        };
        let policy = Policy {
            backoff: BACKOFF,
            ..Policy::requests(options.tries)
        };
        Ok(Self {
            source,
            base: args.archive_url.clone(),
            retry: Retry::new(policy, &options.context),
            tries: options.tries,
            slots: Semaphore::new(options.concurrency),
        })
    }

    /// A document; what is missing may still come where the asker is `patient`,
    /// and is asked for as often as what fails.
    async fn get(&self, url: &str, accept: Accept, patient: bool) -> Result<Fetched<Vec<u8>>> {
        let attempt = || async {
            match self.attempt(url, accept).await {
                Err(Failure::NotFound) if patient => {
                    Err(Failure::transient(FailureClass::Missing, NOT_YET))
                }
                response => response,
            }
        };
        let what = format!("get {url}");
        match self.retry.try_run(&what, attempt).await {
            Ok(document) => Ok(Fetched::Found(document)),
            Err(
                Failure::NotFound
                | Failure::Transient {
                    class: FailureClass::Missing,
                    ..
                },
            ) => Ok(Fetched::Missing),
            Err(Failure::Transient { reason, class, .. }) if class != FailureClass::Silent => {
                Ok(Fetched::Failed(reason))
            }
            Err(Failure::InvalidRequest(reason)) => Ok(Fetched::Failed(reason)),
            Err(failure) => Err(failure.into_error(&what)),
        }
    }

    async fn attempt(&self, url: &str, accept: Accept) -> Result<Vec<u8>, Failure> {
        let slot = self.slots.acquire().await;
        let answer = match &self.source {
            Source::Web(web) => web.get(url, accept).await,
            // Boxed, since the types of nested futures grow beyond the compiler's limit.
            Source::Store(store) => Box::pin(store.get(self.key(url))).await,
        };
        drop(slot);
        answer
    }

    /// What stands in the folder at `url`.
    async fn list(&self, url: &str, patient: bool) -> Result<Fetched<Listing>> {
        if let Source::Store(store) = &self.source {
            return store.list(self.key(url)).await;
        }
        Ok(match self.get(url, Accept::Json, patient).await? {
            Fetched::Missing => Fetched::Missing,
            Fetched::Failed(reason) => Fetched::Failed(reason),
            Fetched::Found(document) => match web::listing(&document) {
                Ok(listing) => Fetched::Found(listing),
                Err(reason) => Fetched::Failed(format!("{url} is no listing: {reason}")),
            },
        })
    }

    /// Why there is nothing of what was asked for with patience.
    fn missing_to_the_end(&self, url: &str) -> String {
        let tries = self.tries;
        format!("get {url}: {NOT_YET}; given up after {tries} tries")
    }

    fn key<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(&self.base).unwrap_or(url)
    }
}
