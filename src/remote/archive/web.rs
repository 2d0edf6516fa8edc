//! The archive over HTTP.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Accept, ArchiveFolder, FolderFile};
use crate::error::{Error, Result};
use crate::remote::cause::root_cause;
use crate::remote::http;
use crate::retry::{Failure, FailureClass};

pub struct Web(Client);

impl Web {
    pub fn open(base: &str, timeout: Duration) -> Result<Self> {
        let builder = http::builder(timeout, base.starts_with("https:"));
        builder
            .build()
            .map(Self)
            .map_err(|error| Error::configuration(format!("HTTP: {}", root_cause(&error))))
    }

    pub async fn get(&self, url: &str, accept: Accept) -> Result<Vec<u8>, Failure> {
        let mut request = self.0.get(url);
        if accept == Accept::Json {
            request = request
                .header(ACCEPT, "application/json")
                .header(HeaderName::from_static("cache"), "no-cache");
        }
        let answer = request.send().await.map_err(|error| failed(&error))?;
        let transient = |reason| Failure::Transient {
            reason,
            after: http::retry_after(answer.headers()),
            class: FailureClass::Answered,
        };
        let status = answer.status();
        if status == StatusCode::NOT_FOUND {
            return Err(Failure::NotFound);
        }
        if status.is_client_error() || status.is_server_error() {
            return Err(transient(format!("the server answers {status}")));
        }
        if accept == Accept::Json {
            let found = answer.headers().get(CONTENT_TYPE);
            let found = found
                .and_then(|found| found.to_str().ok())
                .unwrap_or("none");
            let known = ["application/json", "application/octet-stream"];
            if !known.iter().any(|known| found.contains(known)) {
                return Err(transient(format!(
                    "expected JSON, and the content type is {found}"
                )));
            }
        }
        let body = answer.bytes().await.map_err(|error| failed(&error))?;
        Ok(body.to_vec())
    }
}

/// A server that refuses a connection does so for this request; one that is silent has
/// failed as a whole.
fn failed(error: &reqwest::Error) -> Failure {
    match http::lost(error) {
        Failure::Transient { reason, .. } if !error.is_timeout() => {
            Failure::transient(FailureClass::Answered, reason)
        }
        failure => failure,
    }
}

/// A listing as the archive's web server writes it.
#[derive(Deserialize)]
struct Folder<'a> {
    prefixes: Vec<String>,
    #[serde(borrow)]
    files: Vec<File<'a>>,
}

#[derive(Deserialize)]
struct File<'a> {
    name: String,
    #[serde(borrow, default)]
    size: Option<&'a RawValue>,
    #[serde(default)]
    last_modified: String,
}

/// Reads a listing.
pub fn read_folder(document: &[u8]) -> Result<ArchiveFolder, String> {
    let folder: Folder = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    let files = folder.files.into_iter().map(|file| FolderFile {
        name: file.name,
        size: file
            .size
            .map_or("", RawValue::get)
            .trim_matches('"')
            .to_owned(),
        last_modified: file.last_modified,
    });
    Ok(ArchiveFolder {
        folders: folder.prefixes,
        files: files.collect(),
    })
}
