//! Kinto: its address and credentials, and requests with retries.

pub mod batch;
pub mod database;
mod environment;
pub mod manifest;
pub mod pages;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::LOCATION;
use reqwest::redirect;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::runtime::Runtime;
use url::Url;

use super::http::{Credentials, HttpAnswer, HttpClient};
use super::runtime;
use crate::address::parse_http;
use crate::error::{Error, Kind, Result};
use crate::ndjson::Io;
use crate::retry::{Policy, Retry};
use crate::values;

/// Where the records are.
#[derive(Debug, Clone, clap::Args)]
pub struct KintoArgs {
    /// URL of the server with its version, such as http://localhost:8888/v1
    #[arg(
        long,
        value_name = "URL",
        env = "KINTO_SERVER_URL",
        hide_env_values = true,
        help_heading = "Kinto"
    )]
    pub server: Option<String>,

    /// Bucket of the records
    #[arg(
        long = "kinto-bucket",
        alias = "bucket",
        value_name = "ID",
        env = "KINTO_BUCKET",
        hide_env_values = true,
        default_value_t = environment::short("BUCKET", "build-hub"),
        help_heading = "Kinto"
    )]
    pub bucket: String,

    /// Collection of the records
    #[arg(
        long = "kinto-collection",
        alias = "collection",
        value_name = "ID",
        env = "KINTO_COLLECTION",
        hide_env_values = true,
        default_value_t = environment::short("COLLECTION", "releases"),
        help_heading = "Kinto"
    )]
    pub collection: String,

    /// File whose first line is USER:PASSWORD or Bearer TOKEN; without it, the variable KINTO_AUTH is used
    #[arg(long, value_name = "FILE", help_heading = "Kinto")]
    pub auth_file: Option<PathBuf>,

    /// Maximum number of attempts per request
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1000),
        help_heading = "Kinto"
    )]
    tries: u32,

    /// The former name: tries but for the first
    #[arg(
        long,
        hide = true,
        conflicts_with = "tries",
        value_parser = clap::value_parser!(u32).range(..1000)
    )]
    retries: Option<u32>,

    /// Give up on a request that takes longer than this
    #[arg(
        long = "request-timeout",
        alias = "timeout",
        value_name = "TIME",
        default_value = "60s",
        value_parser = values::whole_seconds,
        help_heading = "Kinto"
    )]
    pub timeout: Duration,
}

impl KintoArgs {
    /// Returns how often a request is tried at most.
    pub fn tries(&self) -> u32 {
        self.retries.map_or(self.tries, |retries| retries + 1)
    }
}

const DEFAULT: &str = "http://localhost:8888/v1";

/// The characters of an id that a path keeps as they are.
const ID: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A server, with its connections and credentials. Its methods block, so they must not be
/// called from async code.
pub struct KintoServer {
    runtime: Runtime,
    client: HttpClient,
    root: Url,
    /// The URL with the version that the server redirects to, where `root` has none.
    versioned: OnceLock<String>,
    /// The name of who sends the requests; a token has none.
    user: Option<String>,
    retry: Retry,
}

/// The body of an error response; `null` if it is not JSON.
struct Refusal(Value);

impl Refusal {
    fn parse(body: &[u8]) -> Self {
        Self(serde_json::from_slice(body).unwrap_or_default())
    }

    /// Returns the existing record, if that is the reason.
    fn existing(&self) -> Option<&Value> {
        self.0.pointer("/details/existing")
    }

    /// Returns its message, in one line.
    fn text(&self) -> String {
        let text = |pointer| self.0.pointer(pointer).and_then(Value::as_str);
        let message = text("/message").or(text("/error"));
        let details = [text("/details/0/name"), text("/details/0/description")];
        let details = match details {
            [Some(name), Some(description)] => Some(format!("{name}: {description}")),
            [_, description] => description.map(str::to_owned),
        };
        let said = message.map(str::to_owned).into_iter().chain(details);
        said.collect::<Vec<_>>().join("; ")
    }
}

impl KintoServer {
    /// Reads the address and the credentials; nothing is sent yet.
    ///
    /// # Errors
    /// An address that is not a URL (2); credentials, or certificates to trust, that cannot
    /// be read (78).
    pub fn open(args: &KintoArgs, io: &Io) -> Result<Self> {
        let mut root = root(args)?;
        let own = Credentials::take(&mut root);
        environment::warn_of_short(args, &io.context.log);
        let credentials = match own {
            Some(own) => Some(own),
            None => auth(args)?,
        };
        let user = credentials.as_ref().map(|credentials| match credentials {
            Credentials::Basic(user, _) => user.clone(),
            Credentials::Bearer(_) => "of the token".to_owned(),
        });
        let redirects = redirect::Policy::none();
        let retry = Retry::new(Policy::requests(args.tries()), &io.context);
        Ok(Self {
            runtime: runtime("kinto", Some(1))?,
            client: HttpClient::open(root.as_str(), args.timeout, redirects, credentials, &retry)?,
            root,
            versioned: OnceLock::new(),
            user,
            retry,
        })
    }

    /// Returns the error of a response to the request `what`.
    fn refused(&self, answer: &HttpAnswer, what: &str) -> Error {
        let status = answer.status();
        let (kind, reason, hint) = match status {
            401 if self.user.is_none() => (
                Kind::Refused,
                "Kinto asks for credentials".to_owned(),
                "set KINTO_AUTH=USER:PASSWORD",
            ),
            401 => (
                Kind::Refused,
                format!("Kinto does not accept {}", self.user()),
                "check KINTO_AUTH=USER:PASSWORD",
            ),
            403 => (
                Kind::Refused,
                format!("{} has no permission", self.user()),
                "check KINTO_AUTH, and the permissions of the bucket and the collection",
            ),
            404 => (
                Kind::Configuration,
                "no such bucket or collection".to_owned(),
                "check the URL, --kinto-bucket and --kinto-collection",
            ),
            300..=399 => (
                Kind::Configuration,
                "the server redirects to another URL".to_owned(),
                "the URL needs the version, as in http://localhost:8888/v1",
            ),
            _ => (
                Kind::Configuration,
                "unexpected response".to_owned(),
                "check the URL and the server",
            ),
        };
        let said = Refusal::parse(&answer.body).text();
        let said = format!("HTTP {status} {said}");
        Error::message(
            kind,
            format!(
                "{what}: {reason} ({}); {hint}",
                said.trim_end_matches([' ', '.'])
            ),
        )
    }

    /// Returns who sends the requests, for messages.
    fn user(&self) -> String {
        self.user.as_ref().map_or_else(
            || "the anonymous user".to_owned(),
            |user| format!("the user {user:?}"),
        )
    }

    /// Returns the server's URL, without user and password.
    pub fn address(&self) -> &str {
        let root = self
            .versioned
            .get()
            .map_or(self.root.as_str(), String::as_str);
        root.trim_end_matches('/')
    }

    /// Returns the URL with the version that a redirect names. Nothing else of it is followed, so
    /// credentials stay on this host.
    fn find_version(&self, answer: &HttpAnswer) -> Option<String> {
        let to = answer.headers.get(LOCATION)?.to_str().ok()?;
        let to = self.root.join(to).ok()?;
        let rest = to
            .path()
            .strip_prefix(self.root.path().trim_end_matches('/'))?;
        let version = rest.strip_prefix('/')?.split('/').next()?;
        let digits = version.strip_prefix('v')?;
        let is_version = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_version.then(|| format!("{}/{version}", self.address()))
    }

    /// Returns whether the server answers a request for its limits, asked once.
    pub fn is_there(&self) -> bool {
        let url = format!("{}/", self.address());
        let asked = self.client.send(&Method::GET, &url, |request| request);
        let answer = self.runtime.block_on(asked);
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Sends a request, with retries. `path` follows the root, with its query; `build` adds
    /// headers and a body.
    ///
    /// # Errors
    /// The server stayed away (69), rejects the credentials (77), or a signal.
    pub fn ask(
        &self,
        method: &Method,
        path: &str,
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<HttpAnswer> {
        self.ask_by(&self.retry, (method, path), build)
    }

    /// Does the same with other retries.
    fn ask_by(
        &self,
        retry: &Retry,
        (method, path): (&Method, &str),
        build: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<HttpAnswer> {
        let url = format!("{}{path}", self.address());
        let what = format!("{method} {}", self.client.place(&url));
        let answer = self.runtime.block_on(retry.run(&what, || async {
            let answer = self.client.send(method, &url, &build).await?;
            match answer.status() {
                status @ (408 | 429 | 500..) => {
                    let said = Refusal::parse(&answer.body).text();
                    Err(answer.transient(format!("{status} {said}")))
                }
                _ => Ok(answer),
            }
        }))?;
        match answer.status() {
            401 => Err(self.refused(&answer, &what)),
            300..=399 => {
                if let Some(found) = self.find_version(&answer) {
                    // Another thread may have set it.
                    let _ = self.versioned.set(found);
                }
                if url.starts_with(&format!("{}{path}", self.address())) {
                    return Ok(answer);
                }
                self.ask_by(retry, (method, path), build)
            }
            _ => Ok(answer),
        }
    }
}

/// Returns the address of the server, without a query.
fn root(args: &KintoArgs) -> Result<Url> {
    let named = args.server.clone().filter(|url| !url.trim().is_empty());
    let text = named.or_else(|| environment::either("SERVER_URL"));
    let text = text.as_deref().map_or(DEFAULT, str::trim);
    let mut url = parse_http(text).map_err(|what| {
        Error::usage(format!(
            "the URL of Kinto is not valid: {what}; set --server or KINTO_SERVER_URL to one like \
             {DEFAULT}"
        ))
    })?;
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Reads the credentials from the file or the environment.
fn auth(args: &KintoArgs) -> Result<Option<Credentials>> {
    let text = match &args.auth_file {
        Some(path) => {
            std::fs::read_to_string(path).map_err(Error::at(Kind::Configuration, path.display()))?
        }
        None => environment::either("AUTH").unwrap_or_default(),
    };
    let line = text.lines().next().unwrap_or_default().trim();
    let from = match &args.auth_file {
        Some(path) => path.display().to_string(),
        None => "KINTO_AUTH".to_owned(),
    };
    let parsed = (!line.is_empty()).then(|| parse_auth(line)).transpose();
    parsed.map_err(|error| error.context(from))
}

/// Parses credentials, whose password may hold colons.
fn parse_auth(text: &str) -> Result<Credentials> {
    if let Some(token) = text.strip_prefix("Bearer ") {
        return Ok(Credentials::Bearer(token.trim().to_owned()));
    }
    match text.split_once(':') {
        Some((user, password)) => Ok(Credentials::Basic(user.to_owned(), password.to_owned())),
        None => Err(Error::configuration(
            "expected USER:PASSWORD or Bearer TOKEN",
        )),
    }
}

/// Returns the path of a collection.
pub fn collection_path(bucket: &str, collection: &str) -> String {
    let (bucket, collection) = (escape(bucket), escape(collection));
    format!("/buckets/{bucket}/collections/{collection}")
}

/// Returns the path of a collection's records.
pub fn records_path(bucket: &str, collection: &str) -> String {
    format!("{}/records", collection_path(bucket, collection))
}

/// Returns an id as a part of a path.
pub fn escape(id: &str) -> String {
    utf8_percent_encode(id, ID).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_may_hold_colons() {
        let parsed = Credentials::Basic("a".to_owned(), "b:c".to_owned());
        assert_eq!(parse_auth("a:b:c").ok(), Some(parsed));
        assert!(parse_auth("nothing").is_err());
    }

    #[test]
    fn ids_are_encoded_as_one_path_segment() {
        assert_eq!(escape("a/b?c-d_e.f"), "a%2Fb%3Fc-d_e.f");
    }
}
