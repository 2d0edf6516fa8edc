//! Reads the records of a collection page by page, in the order of their changes.

use std::sync::Arc;

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{KintoServer, collection_path};
use crate::error::{Error, Kind, Result};
use crate::remote::http::HttpAnswer;

/// A collection of a server.
pub struct Collection {
    server: Arc<KintoServer>,
    /// The path of the collection itself.
    own: String,
    /// That of its records.
    path: String,
    page_size: u16,
}

/// A record of a page, or the tombstone of a deleted one.
#[derive(Debug, Deserialize)]
pub struct KintoRecord<'a> {
    pub id: String,
    /// Milliseconds since 1970, and never the same for two records.
    pub last_modified: u64,
    #[serde(default, borrow)]
    deleted: Option<&'a RawValue>,
    #[serde(skip)]
    pub text: &'a str,
}

impl KintoRecord<'_> {
    /// Returns whether it is the tombstone of a deleted record, which has no other member. A
    /// record may have its own member `deleted`.
    pub fn is_deleted(&self) -> bool {
        let members = || serde_json::from_str::<serde_json::Map<String, Value>>(self.text);
        self.deleted.is_some_and(|deleted| deleted.get() == "true")
            && members().is_ok_and(|members| members.len() == 3)
    }
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// A page of records, and the query for the next page.
pub struct KintoPage {
    answer: HttpAnswer,
    /// The query of the next page, if there is one.
    pub next: Option<String>,
}

impl KintoPage {
    /// Calls `each` with each record, in order; returns the timestamp of the last one.
    ///
    /// # Errors
    /// The page cannot be read (69), its timestamps do not increase (78), or that of `each`.
    pub fn records(
        &self,
        after: Option<u64>,
        mut each: impl FnMut(&KintoRecord<'_>) -> Result<()>,
    ) -> Result<Option<u64>> {
        let unread = |error: serde_json::Error| {
            Error::message(
                Kind::Unavailable,
                format!("cannot read a page: {error}; run again"),
            )
        };
        let body: Body<'_> = serde_json::from_slice(&self.answer.body).map_err(unread)?;
        let mut last = after;
        for raw in body.data {
            let mut record: KintoRecord<'_> = serde_json::from_str(raw.get()).map_err(unread)?;
            record.text = raw.get();
            let (id, now) = (&record.id, record.last_modified);
            if last.is_some_and(|last| now <= last) {
                return Err(Error::configuration(format!(
                    "the server's pages make no progress: record {id:?} of {now} comes after {}; \
                     does a proxy drop the query?",
                    last.unwrap_or_default()
                )));
            }
            each(&record)?;
            last = Some(now);
        }
        Ok(last)
    }
}

/// What a collection holds within some bounds.
pub struct Head {
    /// The latest change, in milliseconds.
    pub timestamp: u64,
    /// Live records; old servers may not say.
    pub total: Option<u64>,
}

impl Collection {
    pub fn new(server: Arc<KintoServer>, bucket: &str, collection: &str, page_size: u16) -> Self {
        let own = collection_path(bucket, collection);
        Self {
            path: format!("{own}/records"),
            own,
            server,
            page_size,
        }
    }

    /// Returns its URL, for messages.
    pub fn place(&self) -> String {
        format!("{}{}", self.server.address(), self.path)
    }

    /// Returns when the collection itself, apart from its records, was created or changed last:
    /// one that is created again has another time. `None` if the server does not say.
    pub fn changed(&self) -> Result<Option<u64>> {
        #[derive(Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            last_modified: u64,
        }
        let answer = self
            .server
            .ask(&Method::GET, &self.own, |request| request)?;
        let found = serde_json::from_slice(&answer.body).ok();
        let found = found.filter(|_| answer.status() == 200);
        Ok(found.map(|answer: Answer| answer.data.last_modified))
    }

    /// Returns how many records have changed after `after` and through `through`.
    ///
    /// # Errors
    /// There is no such collection, or the server is not Kinto (78).
    pub fn head(&self, after: Option<u64>, through: Option<u64>) -> Result<Head> {
        let query = bounds(after, through).join("&");
        let path = format!("{}?{query}", self.path);
        let answer = self.ask(&Method::HEAD, path.trim_end_matches('?'))?;
        let text = |name: &str| answer.headers.get(name)?.to_str().ok();
        let etag = text("etag").and_then(|etag| etag.trim_matches('"').parse().ok());
        Ok(Head {
            timestamp: etag.ok_or_else(|| {
                Error::configuration(format!(
                    "{}: the response has no timestamp as its ETag; is this Kinto, and does the \
                     URL end with /v1?",
                    self.place()
                ))
            })?,
            total: text("total-records").and_then(|total| total.parse().ok()),
        })
    }

    /// Returns the first page after `after`. With bounds, it has tombstones as well.
    pub fn first(&self, after: Option<u64>, through: Option<u64>) -> Result<KintoPage> {
        let mut query = vec![
            "_sort=last_modified".to_owned(),
            format!("_limit={}", self.page_size),
        ];
        query.extend(bounds(after, through));
        self.page(&query.join("&"))
    }

    /// Returns the page of a query that an earlier page named.
    pub fn page(&self, query: &str) -> Result<KintoPage> {
        let answer = self.ask(&Method::GET, &format!("{}?{query}", self.path))?;
        let header = answer.headers.get("next-page");
        // It may name a host that only the server knows: the query is enough.
        let next = header.map(|url| {
            let parts = url.to_str().ok().and_then(|url| url.split_once('?'));
            parts.map(|(_, query)| query.to_owned()).ok_or_else(|| {
                Error::configuration(format!(
                    "{}: its Next-Page header is not a URL with a query",
                    self.place()
                ))
            })
        });
        let next = next.transpose()?;
        if next.as_deref() == Some(query) {
            return Err(Error::configuration(format!(
                "{}: the same page came twice; is there a cache in front of the server?",
                self.place()
            )));
        }
        Ok(KintoPage { answer, next })
    }

    fn ask(&self, method: &Method, path: &str) -> Result<HttpAnswer> {
        let answer = self.server.ask(method, path, |request| request)?;
        match answer.status() {
            200 => Ok(answer),
            _ => Err(self.server.refused(&answer, &self.place())),
        }
    }
}

fn bounds(after: Option<u64>, through: Option<u64>) -> Vec<String> {
    let after = after.map(|after| format!("gt_last_modified={after}"));
    let through = through.map(|through| format!("max_last_modified={through}"));
    after.into_iter().chain(through).collect()
}
