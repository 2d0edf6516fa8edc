//! The archive of Mozilla's builds: its documents and its folders, over HTTP
//! or from the bucket that it is served from.

mod bucket;
mod web;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::Semaphore;

use self::bucket::ArchiveBucket;
use super::http::{self, Credentials, HttpClient};
use super::s3::S3;
use crate::address::without_password;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::retry::{Failure, FailureClass, Policy, Retry, UNREACHABLE};

/// Where the archive is.
#[derive(Debug, Clone, clap::Args)]
pub struct ArchiveArgs {
    /// URL of the archive; the download URLs in records begin with it
    #[arg(
        long,
        help_heading = "The archive",
        value_name = "URL",
        env = "ARCHIVE_URL",
        hide_env_values = true,
        default_value = "https://archive.mozilla.org/"
    )]
    pub archive_url: String,

    /// Read listings and metadata from this bucket instead of over HTTP
    #[arg(
        long = "archive-bucket",
        alias = "bucket",
        help_heading = "The archive",
        value_name = "NAME"
    )]
    pub bucket: Option<String>,

    /// Folder for the metadata that is kept between runs
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

/// Parses the address of the archive, which has no path. Returns it with a slash at its end,
/// after which keys follow, and the credentials that it held.
///
/// # Errors
/// It is not such an address (2).
fn address(text: &str) -> Result<(String, Option<Credentials>)> {
    let wrong = |why: &str| {
        let shown = without_password(text);
        Err(Error::usage(format!("--archive-url {shown}: {why}")))
    };
    let mut url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return wrong(&format!("not a valid URL: {error}")),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong("it must begin with http:// or https://");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return wrong("it must have no path: build URLs are read by their slashes");
    }
    let credentials = Credentials::take(&mut url);
    Ok((url.into(), credentials))
}

/// The result of a request for a document or a folder.
pub enum Fetched<T> {
    Found(T),
    /// It does not exist; a message that says so.
    Missing(String),
    /// All retries failed; why.
    Failed(String),
}

/// The requested form of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    Json,
    Text,
}

/// The content of a folder, without that of its subfolders.
#[derive(Default)]
pub struct ArchiveFolder {
    /// Names of subfolders, each with a slash at its end.
    pub folders: Vec<String>,
    pub files: Vec<FolderFile>,
}

/// A file as its folder lists it.
pub struct FolderFile {
    pub name: String,
    pub size: String,
    pub last_modified: String,
}

enum Source {
    Web(Box<HttpClient>),
    Bucket(Box<ArchiveBucket>),
}

/// The archive, whichever way it is reached.
pub struct Archive {
    source: Source,
    /// The start of every document's URL.
    pub base: String,
    retry: Retry,
    slots: Semaphore,
}

/// How requests to the archive are sent.
pub struct ArchiveOptions {
    /// Requests at the same time.
    pub concurrency: usize,
    pub timeout: Duration,
    /// Maximum number of attempts per request.
    pub tries: u32,
    pub context: Context,
}

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(128));

impl Archive {
    /// Reads the bucket of `args` through `s3`, or else asks over HTTP; nothing is sent yet.
    ///
    /// # Errors
    /// An address that is not a URL without path (2); certificates to trust that cannot be read
    /// (78).
    pub fn open(args: &ArchiveArgs, s3: Option<S3>, options: &ArchiveOptions) -> Result<Self> {
        let (base, credentials) = address(&args.archive_url)?;
        let policy = Policy {
            backoff: BACKOFF,
            // What it answers may concern one document.
            waits_for: UNREACHABLE,
            ..Policy::requests(options.tries)
        };
        let retry = Retry::new(policy, &options.context);
        let source = if let (Some(bucket), Some(s3)) = (&args.bucket, s3) {
            let bucket = ArchiveBucket::new(s3, bucket, options.concurrency);
            Source::Bucket(Box::new(bucket))
        } else {
            let redirects = http::within_server();
            let client = HttpClient::open(&base, options.timeout, redirects, credentials, &retry);
            Source::Web(Box::new(client?))
        };
        Ok(Self {
            source,
            base,
            retry,
            slots: Semaphore::new(options.concurrency),
        })
    }

    /// Returns a document. If `patient`, a missing document is retried like a failure,
    /// because it may still be uploaded.
    ///
    /// # Errors
    /// The server does not respond (69), denies access (77), or a signal.
    pub async fn get(&self, url: &str, accept: Accept, patient: bool) -> Result<Fetched<Vec<u8>>> {
        let attempt = || async {
            match self.attempt(url, accept).await {
                Err(Failure::NotFound) if patient => Err(Failure::transient(
                    FailureClass::Missing,
                    "not there yet (404)",
                )),
                response => response,
            }
        };
        let what = match &self.source {
            Source::Web(client) => format!("cannot get {}", client.place(url)),
            Source::Bucket(_) => format!("cannot get {url}"),
        };
        Ok(match self.retry.try_run(&what, attempt).await {
            Ok(document) => Fetched::Found(document),
            Err(Failure::NotFound) => Fetched::Missing(format!("there is no {url}")),
            Err(Failure::Object(error)) if error.kind != Kind::Refused => {
                Fetched::Failed(error.to_string())
            }
            Err(Failure::Transient { reason, class, .. }) if class != FailureClass::Silent => {
                match class {
                    FailureClass::Missing => Fetched::Missing(reason),
                    _ => Fetched::Failed(reason),
                }
            }
            Err(failure) => return Err(failure.into_error(&what)),
        })
    }

    async fn attempt(&self, url: &str, accept: Accept) -> Result<Vec<u8>, Failure> {
        let _slot = self.slots.acquire().await;
        match &self.source {
            Source::Web(client) => web::get(client, url, accept).await,
            // Boxed, since the types of nested futures grow beyond the compiler's limit.
            Source::Bucket(bucket) => Box::pin(bucket.get(self.key(url))).await,
        }
    }

    /// Returns the content of the folder at `url`. In a bucket, a missing folder is not
    /// retried.
    ///
    /// # Errors
    /// As for [`Self::get`], and a bucket whose listing has no end (78).
    pub async fn list(&self, url: &str, patient: bool) -> Result<Fetched<ArchiveFolder>> {
        if let Source::Bucket(bucket) = &self.source {
            let folder = bucket.list(self.key(url)).await?;
            return Ok(match folder {
                Some(folder) => Fetched::Found(folder),
                None => Fetched::Missing(format!("there is no {url}")),
            });
        }
        Ok(match self.get(url, Accept::Json, patient).await? {
            Fetched::Missing(reason) => Fetched::Missing(reason),
            Fetched::Failed(reason) => Fetched::Failed(reason),
            Fetched::Found(document) => match web::read_folder(&document) {
                Ok(folder) => Fetched::Found(folder),
                Err(reason) => Fetched::Failed(format!("{url} is not a listing: {reason}")),
            },
        })
    }

    fn key<'a>(&self, url: &'a str) -> &'a str {
        url.strip_prefix(&self.base).unwrap_or(url)
    }
}
