//! Kinto: where it is, and requests that are sent until they are answered.

pub mod batch;
pub mod manifest;
pub mod pages;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::redirect;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Deserialize;
use tokio::runtime::Runtime;
use url::Url;

use super::{http, runtime};
use crate::backoff::LONGEST_ASKED;
use crate::error::{Error, Kind, Result};
use crate::ndjson::Io;
use crate::retry::{Failure, FailureClass, Policy, Retry};

/// Where the records are.
#[derive(Debug, Clone, clap::Args)]
pub struct KintoArgs {
    /// The server, with its version: http://localhost:8888/v1
    #[arg(
        long,
        value_name = "URL",
        env = "SERVER_URL",
        hide_env_values = true,
        help_heading = "Kinto"
    )]
    pub server: Option<String>,

    #[arg(
        long,
        value_name = "ID",
        env = "BUCKET",
        default_value = "build-hub",
        help_heading = "Kinto"
    )]
    pub bucket: String,

    #[arg(
        long,
        value_name = "ID",
        env = "COLLECTION",
        default_value = "releases",
        help_heading = "Kinto"
    )]
    pub collection: String,

    /// A file with USER:PASSWORD, or Bearer TOKEN, in its first line; without it the variable AUTH
    #[arg(long, value_name = "FILE", help_heading = "Kinto")]
    pub auth_file: Option<PathBuf>,

    /// How often a request that failed in passing is tried again
    #[arg(
        long,
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u32).range(..1000),
        help_heading = "Kinto"
    )]
    pub retries: u32,

    /// Seconds that a request may take
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Kinto"
    )]
    pub timeout: u64,
}

const DEFAULT: &str = "http://localhost:8888/v1";

/// What an id in a path may be made of as it is.
const ID: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A server, its connections, and who we are there. Clones of an `Arc` share
/// it among threads; not to be used from async code.
pub struct KintoServer {
    runtime: Runtime,
    client: Client,
    root: Url,
    credentials: Option<Credentials>,
    retry: Retry,
    /// Until when the server wants no requests.
    quiet: Mutex<Option<Instant>>,
}

/// An answer that trying again would not change.
pub struct KintoAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The body of an answer that is an error.
#[derive(Debug, Default, Deserialize)]
pub struct Refusal {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    details: Option<serde_json::Value>,
}

impl Refusal {
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// The record that stands there, where that is the reason.
    #[must_use]
    pub fn existing(&self) -> Option<&serde_json::Value> {
        self.details.as_ref()?.get("existing")
    }

    /// What it says, in a line.
    #[must_use]
    pub fn text(&self) -> String {
        let details = self.details.as_ref().and_then(|details| {
            let first = details.get(0)?;
            let description = first.get("description")?.as_str()?;
            let name = first.get("name").and_then(|name| name.as_str());
            Some(name.map_or_else(
                || description.to_owned(),
                |name| format!("{name}: {description}"),
            ))
        });
        let said = [self.message.clone().or_else(|| self.error.clone()), details];
        said.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

impl KintoAnswer {
    /// Why the server did not do as asked, as an error about `what`.
    #[must_use]
    pub fn refusal(&self, what: &str) -> Error {
        let (status, said) = (self.status, Refusal::of(&self.body).text());
        let (kind, hint) = match status {
            401 => (Kind::Refused, "check AUTH"),
            403 => (Kind::Refused, "the user of AUTH may not do this"),
            404 => (
                Kind::Configuration,
                "there is no such bucket or collection; check the URL, --bucket and --collection",
            ),
            300..=399 => (Kind::Configuration, "it is elsewhere; check the URL"),
            _ => (Kind::Configuration, "check the URL and the server"),
        };
        Error::message(kind, format!("{what}: {status} {said}; {hint}"))
    }
}

impl KintoServer {
    /// # Errors
    /// An address or credentials that cannot be used. Nothing is sent yet.
    pub fn open(args: &KintoArgs, io: &Io) -> Result<Self> {
        let mut root = root(args)?;
        let own = (!root.username().is_empty()).then(|| {
            let text = |part: &str| {
                let decoded = percent_encoding::percent_decode_str(part);
                decoded.decode_utf8_lossy().into_owned()
            };
            let password = root.password().map(text).unwrap_or_default();
            format!("{}:{password}", text(root.username()))
        });
        // A URL with a user has a host, so they can be taken out.
        let _ = root.set_username("");
        let _ = root.set_password(None);
        let text = match own {
            Some(own) => Some(own),
            None => auth(args)?,
        };
        let client = http::builder(Duration::from_secs(args.timeout), root.scheme() == "https")
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::configuration(format!("{root}: {error}")))?;
        Ok(Self {
            runtime: runtime("kinto", Some(1))?,
            client,
            root,
            credentials: text.as_deref().map(Credentials::parse).transpose()?,
            retry: Retry::new(Policy::requests(args.retries + 1), &io.context),
            quiet: Mutex::new(None),
        })
    }

    /// The server's URL, without user and password.
    #[must_use]
    pub fn address(&self) -> &str {
        self.root.as_str().trim_end_matches('/')
    }

    /// Sends a request until it is answered: `path` stands behind the root, with
    /// its query; `build` adds to it.
    ///
    /// # Errors
    /// The server stayed away (69) or does not know us (77), or a signal came.
    pub fn ask(
        &self,
        method: &Method,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<KintoAnswer> {
        let url = format!("{}{path}", self.address());
        let place = url.split('?').next().unwrap_or_default();
        let what = format!("{method} {place}");
        let answer = self.runtime.block_on(self.retry.run(&what, || async {
            self.wait_for_quiet_period().await;
            let mut request = self.client.request(method.clone(), &url);
            if let Some(credentials) = &self.credentials {
                request = credentials.on(request);
            }
            let sent = build(request).send().await;
            let answer = self
                .classify(sent.map_err(|error| http::lost(&error))?)
                .await?;
            Ok(answer)
        }))?;
        if answer.status == 401 {
            return Err(answer.refusal(&what));
        }
        Ok(answer)
    }

    async fn classify(&self, response: Response) -> Result<KintoAnswer, Failure> {
        let status = response.status();
        let headers = response.headers().clone();
        if let Some(wait) = http::backoff(&headers) {
            let until = Instant::now() + wait.min(LONGEST_ASKED);
            let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
            *quiet = quiet.max(Some(until));
        }
        let body = response.bytes().await;
        let transient = |class, reason| Failure::Transient {
            reason,
            after: http::retry_after(&headers),
            class,
        };
        match status.as_u16() {
            408 | 429 | 500.. => {
                let said = Refusal::of(&body.unwrap_or_default()).text();
                let class = match status.as_u16() {
                    429 | 503 => FailureClass::Throttled,
                    _ => FailureClass::Answered,
                };
                Err(transient(class, format!("{} {said}", status.as_u16())))
            }
            status => Ok(KintoAnswer {
                status,
                body: body.map_err(|error| http::lost(&error))?,
                headers,
            }),
        }
    }

    /// Waits as long as the server has asked for in its header `Backoff`.
    async fn wait_for_quiet_period(&self) {
        let until = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

fn root(args: &KintoArgs) -> Result<Url> {
    let named = args.server.as_deref().map(str::trim);
    let text = named.filter(|url| !url.is_empty()).unwrap_or(DEFAULT);
    // The text itself may hold a password.
    let wrong = |what: &dyn std::fmt::Display| {
        Error::usage(format!("--server: {what}, expected a URL like {DEFAULT}"))
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&error))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&"neither http nor https"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// The name and password, from the file or the environment.
fn auth(args: &KintoArgs) -> Result<Option<String>> {
    let text = match &args.auth_file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(Error::at(Kind::Configuration, path.display()))?
        }
        None => std::env::var("AUTH").unwrap_or_default(),
    };
    let line = text.lines().next().unwrap_or_default().trim();
    Ok((!line.is_empty()).then(|| line.to_owned()))
}

/// Who we are: a password may hold colons.
enum Credentials {
    Basic(String, String),
    Bearer(String),
}

impl Credentials {
    fn parse(text: &str) -> Result<Self> {
        if let Some(token) = text.strip_prefix("Bearer ") {
            return Ok(Self::Bearer(token.trim().to_owned()));
        }
        let (user, password) = text
            .split_once(':')
            .ok_or_else(|| Error::configuration("AUTH: expected USER:PASSWORD or Bearer TOKEN"))?;
        Ok(Self::Basic(user.to_owned(), password.to_owned()))
    }

    fn on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic(user, password) => request.basic_auth(user, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

/// The path of a collection's records.
#[must_use]
pub fn records_path(bucket: &str, collection: &str) -> String {
    let (bucket, collection) = (escape(bucket), escape(collection));
    format!("/buckets/{bucket}/collections/{collection}/records")
}

/// An id as a part of a path.
#[must_use]
pub fn escape(id: &str) -> String {
    utf8_percent_encode(id, ID).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_may_hold_colons() {
        let parsed = Credentials::parse("a:b:c");
        assert!(matches!(parsed, Ok(Credentials::Basic(user, password))
            if user == "a" && password == "b:c"));
        assert!(Credentials::parse("nothing").is_err());
    }

    #[test]
    fn ids_are_encoded_as_one_path_segment() {
        assert_eq!(escape("a/b?c-d_e.f"), "a%2Fb%3Fc-d_e.f");
    }
}
