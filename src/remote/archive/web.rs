//! The archive over HTTP.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Accept, ArchiveFolder, FolderFile};
use crate::error::Result;
use crate::remote::http::HttpClient;
use crate::retry::Failure;

pub struct Web(HttpClient);

impl Web {
    pub fn open(base: &str, timeout: Duration) -> Result<Self> {
        HttpClient::open(base, timeout, Policy::default(), None).map(Self)
    }

    pub async fn get(&self, url: &str, accept: Accept) -> Result<Vec<u8>, Failure> {
        let headers = |request: reqwest::RequestBuilder| match accept {
            Accept::Json => request
                .header(ACCEPT, "application/json")
                .header("cache", "no-cache"),
            Accept::Text => request,
        };
        let answer = self.0.send(&Method::GET, url, headers).await?;
        match answer.status() {
            404 => return Err(Failure::NotFound),
            400.. => {
                let reason = format!("the server answers {}", answer.code);
                return Err(answer.transient(reason));
            }
            _ => {}
        }
        if accept == Accept::Json {
            let found = answer.headers.get(CONTENT_TYPE);
            let found = found.and_then(|found| found.to_str().ok());
            let found = found.unwrap_or("none");
            let known = ["application/json", "application/octet-stream"];
            if !known.iter().any(|known| found.contains(known)) {
                let reason = format!("expected JSON, and the content type is {found}");
                return Err(answer.transient(reason));
            }
        }
        Ok(answer.body.into())
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
