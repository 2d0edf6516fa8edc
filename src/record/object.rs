//! Reads the object of a line: of our own records, and of the listings of other tools.

use std::borrow::Cow;

use jiff::Timestamp;

use super::s3;
use crate::json::{self, Members};

/// The object of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<'a> {
    /// `None` if the listing does not name it.
    pub bucket: Option<Cow<'a, str>>,
    /// The real key, not URL-encoded.
    pub key: Cow<'a, str>,
    /// Without quotes.
    pub etag: Option<Cow<'a, str>>,
    /// Bytes.
    pub size: Option<u64>,
    /// Whether the names are those of another tool.
    pub foreign: bool,
}

impl<'a> Object<'a> {
    /// Parses the members of a line.
    ///
    /// Besides our own names it reads those of `aws s3api` (`Key`,
    /// `ETag`, `Size`), `s5cmd --json ls` (`key` is a URL, `type`) and `rclone lsjson`
    /// (`Path`, `Size`, `Hashes`).
    ///
    /// # Errors
    /// What is missing or of the wrong type.
    pub fn parse(members: &Members<'a>) -> Result<Self, String> {
        if let Some(key) = string(members, "key")? {
            let bucket = string(members, "bucket")?;
            // The key of an object may begin with `s3://`, so only a line of s5cmd has a URL here.
            if bucket.is_none()
                && members.get("type").is_some()
                && let Some((bucket, key)) = s3::split_url(&key)
                && !key.is_empty()
            {
                let (bucket, key) = (bucket.to_owned().into(), key.to_owned().into());
                return Self::with(members, Some(bucket), key, true, ["etag", "size"]);
            }
            return Self::with(members, bucket, key, false, ["etag", "size"]);
        }
        if let Some(key) = string(members, "Key")? {
            let bucket = string(members, "Bucket")?;
            return Self::with(members, bucket, key, true, ["ETag", "Size"]);
        }
        if let Some(path) = string(members, "Path")? {
            return Self::with(members, None, path, true, ["Hashes", "Size"]);
        }
        Err("no key: expected a member \"key\" (or \"Key\", or \"Path\")".to_owned())
    }

    fn with(
        members: &Members<'a>,
        bucket: Option<Cow<'a, str>>,
        key: Cow<'a, str>,
        foreign: bool,
        [etag, size]: [&str; 2],
    ) -> Result<Self, String> {
        if key.is_empty() {
            return Err("the key is empty".to_owned());
        }
        let etag = if etag == "Hashes" {
            let hashes = members
                .value(etag)
                .and_then(|value| json::members(value).ok());
            match &hashes {
                Some(hashes) => string(hashes, "md5")?,
                None => None,
            }
        } else {
            string(members, etag)?
        };
        Ok(Self {
            bucket,
            key,
            etag: etag.map(s3::unquote).filter(|etag| !etag.is_empty()),
            size: members.value(size).and_then(integer),
            foreign,
        })
    }
}

/// Returns when the object of a line was modified last; `None` if the line does not say it.
pub fn last_modified(members: &Members<'_>) -> Option<Timestamp> {
    let names = ["last_modified", "LastModified", "ModTime"];
    let value = names.iter().find_map(|name| members.value(name))?;
    json::text_of(value)?.to_string_lossy().parse().ok()
}

fn string<'a>(members: &Members<'a>, name: &str) -> Result<Option<Cow<'a, str>>, String> {
    let Some(member) = members.get(name) else {
        return Ok(None);
    };
    let Some(text) = member.text else {
        if member.value == b"null" {
            return Ok(None);
        }
        let found = String::from_utf8_lossy(&member.value[..member.value.len().min(40)]);
        return Err(format!("expected a string for {name:?}, found {found}"));
    };
    text.to_str()
        .map(Some)
        .map_err(|_| format!("{name:?} holds a lone surrogate"))
}

fn integer(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
