//! The archive of Mozilla's builds: its documents and its listings, over HTTP
//! or from the bucket behind it, and what is known of its builds.

mod cache;
mod candidates;
mod derive;
mod desk;
mod event;
mod store;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Semaphore;

pub use self::cache::Cache;
pub use self::derive::{Deriver, Outcome};
pub use self::desk::{Desk, Job, Ticket};

use self::store::Store;
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

/// What came of asking for a document.
enum Got<T> {
    There(T),
    /// Not there.
    Missing,
    /// Not to be had now: why.
    Failed(String),
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

/// What stands directly in a folder.
#[derive(Default)]
struct Listing {
    /// Each with its slash.
    folders: Vec<String>,
    files: Vec<Listed>,
}

struct Listed {
    name: String,
    size: String,
    last_modified: String,
}

enum Source {
    Web(Web),
    Store(Box<Store>),
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
pub struct Manner {
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
    pub fn open(args: &ArchiveArgs, s3: Option<S3>, manner: Manner) -> Result<Self> {
        let source = match (&args.bucket, s3) {
            (Some(bucket), Some(s3)) => {
                Source::Store(Box::new(Store::new(s3, bucket, manner.concurrency)))
            }
            _ => Source::Web(Web::open(&args.archive_url, manner.timeout)?),
        };
        let policy = Policy {
            backoff: BACKOFF,
            ..Policy::requests(manner.tries)
        };
        Ok(Self {
            source,
            base: args.archive_url.clone(),
            retry: Retry::new(policy, &manner.context),
            tries: manner.tries,
            slots: Semaphore::new(manner.concurrency),
        })
    }

    /// A document; what is missing may still come where the asker is `patient`,
    /// and is asked for as often as what fails.
    async fn get(&self, url: &str, form: Form, patient: bool) -> Result<Got<Vec<u8>>> {
        let attempt = || async {
            match self.attempt(url, form).await {
                Err(Failure::NotFound) if patient => {
                    Err(Failure::transient(FailureClass::Missing, NOT_YET))
                }
                response => response,
            }
        };
        let what = format!("get {url}");
        match self.retry.try_run(&what, attempt).await {
            Ok(document) => Ok(Got::There(document)),
            Err(
                Failure::NotFound
                | Failure::Transient {
                    class: FailureClass::Missing,
                    ..
                },
            ) => Ok(Got::Missing),
            Err(Failure::Transient { reason, class, .. }) if class != FailureClass::Silent => {
                Ok(Got::Failed(reason))
            }
            Err(Failure::InvalidRequest(reason)) => Ok(Got::Failed(reason)),
            Err(failure) => Err(failure.into_error(&what)),
        }
    }

    async fn attempt(&self, url: &str, form: Form) -> Result<Vec<u8>, Failure> {
        let slot = self.slots.acquire().await;
        let answer = match &self.source {
            Source::Web(web) => web.get(url, form).await,
            // Boxed, since the types of nested futures grow beyond the compiler's limit.
            Source::Store(store) => Box::pin(store.get(self.key(url))).await,
        };
        drop(slot);
        answer
    }

    /// What stands in the folder at `url`.
    async fn list(&self, url: &str, patient: bool) -> Result<Got<Listing>> {
        if let Source::Store(store) = &self.source {
            return store.list(self.key(url)).await;
        }
        Ok(match self.get(url, Form::Json, patient).await? {
            Got::Missing => Got::Missing,
            Got::Failed(reason) => Got::Failed(reason),
            Got::There(document) => match web::listing(&document) {
                Ok(listing) => Got::There(listing),
                Err(reason) => Got::Failed(format!("{url} is no listing: {reason}")),
            },
        })
    }

    /// Why there is nothing of what was asked for with patience.
    fn never_came(&self, url: &str) -> String {
        let tries = self.tries;
        format!("get {url}: {NOT_YET}; given up after {tries} tries")
    }

    fn key<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(&self.base).unwrap_or(url)
    }
}
