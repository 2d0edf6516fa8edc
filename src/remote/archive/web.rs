//! The archive over HTTP.

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Accept, ArchiveFolder, FolderFile};
use crate::error::{Error, Result};
use crate::remote::http::HttpClient;
use crate::retry::Failure;

/// Asks for a document once.
pub async fn get(client: &HttpClient, url: &str, accept: Accept) -> Result<Vec<u8>, Failure> {
    let headers = |request: RequestBuilder| match accept {
        Accept::Json => request
            .header(ACCEPT, "application/json")
            .header("cache", "no-cache"),
        Accept::Text => request,
    };
    let answer = client.send(&Method::GET, url, headers).await?;
    match answer.status() {
        404 => return Err(Failure::NotFound),
        300..400 => {
            let place = answer.headers.get(LOCATION);
            let place = String::from_utf8_lossy(place.map_or(b"nowhere", |place| place.as_bytes()));
            return Err(Failure::Object(Error::configuration(format!(
                "redirected to {place}, which is not followed; if you trust that server, name it by \
                 --archive-url"
            ))));
        }
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

/// A listing as the archive's web server writes it.
#[derive(Deserialize)]
struct WebListing<'a> {
    prefixes: Vec<String>,
    #[serde(borrow)]
    files: Vec<WebFile<'a>>,
}

#[derive(Deserialize)]
struct WebFile<'a> {
    name: String,
    #[serde(borrow, default)]
    size: Option<&'a RawValue>,
    #[serde(default)]
    last_modified: String,
}

/// Parses a listing.
///
/// # Errors
/// The document is not a listing.
pub fn read_folder(document: &[u8]) -> Result<ArchiveFolder, String> {
    let listing: WebListing =
        serde_json::from_slice(document).map_err(|error| error.to_string())?;
    let files = listing.files.into_iter().map(|file| FolderFile {
        name: file.name,
        size: file
            .size
            .map_or("", RawValue::get)
            .trim_matches('"')
            .to_owned(),
        last_modified: file.last_modified,
    });
    Ok(ArchiveFolder {
        folders: listing.prefixes,
        files: files.collect(),
    })
}
