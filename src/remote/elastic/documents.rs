//! What the index holds: its documents by their ids, how many there are, and all their ids.

use elasticsearch::indices::IndicesRefreshParts;
use elasticsearch::{BulkParts, CountParts, MgetParts, SearchParts};
use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Index;
use super::failure::unexpected;
use super::reason::Reason;
use super::server::{ElasticRequest, OPEN};
use crate::error::{Error, Kind, Result};

#[derive(Deserialize)]
struct Documents<'a> {
    #[serde(borrow)]
    docs: Vec<FoundDocument<'a>>,
}

#[derive(Deserialize)]
struct FoundDocument<'a> {
    #[serde(rename = "_id")]
    id: String,
    /// Not there if the shard has failed.
    found: Option<bool>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
}

/// A document as a scan of the index finds it.
#[derive(Debug, Clone, Deserialize)]
pub struct DocumentVersion {
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(rename = "_seq_no")]
    sequence: i64,
    #[serde(rename = "_primary_term")]
    term: i64,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "_scroll_id")]
    scroll: String,
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    /// A number in Elasticsearch 6, an object later.
    total: Value,
    hits: Vec<DocumentVersion>,
}

/// Documents per page of a scan.
const PAGE: usize = 5000;

/// How long the server keeps a scan between two pages.
const KEPT: &str = "5m";

impl Index {
    /// Returns those of these ids for which the index holds no document.
    pub fn missing(&self, ids: &[i64]) -> Result<Vec<i64>> {
        let found = self.get_each(ids, &[("_source", "false")], |document| {
            document.found == Some(true)
        })?;
        let pairs = ids.iter().zip(found);
        Ok(pairs
            .filter(|(_, found)| !found)
            .map(|(id, _)| *id)
            .collect())
    }

    /// Returns the documents with these ids as they were sent, byte for byte; also those that no
    /// search finds yet.
    pub fn fetch(&self, ids: &[i64]) -> Result<Vec<Option<String>>> {
        self.get_each(ids, &[], |document| {
            let found = document.found == Some(true);
            found.then(|| {
                document
                    .source
                    .map_or_else(String::new, |s| s.get().to_owned())
            })
        })
    }

    fn get_each<T>(
        &self,
        ids: &[i64],
        query: &[(&str, &str)],
        take: impl Fn(&FoundDocument<'_>) -> T,
    ) -> Result<Vec<T>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = ids.iter().map(i64::to_string).collect();
        let body = json!({"ids": names});
        self.server.run(async {
            let path = self.typed_path(&MgetParts::Index(&self.name).url());
            let answer = self.query(&path, query, &body).await?;
            let found: Option<Documents> = serde_json::from_str(&answer.text).ok();
            let complete = found.filter(|answer| answer.docs.iter().map(|doc| &doc.id).eq(&names));
            let docs = complete.ok_or_else(|| self.refused(&answer))?.docs;
            if let Some(error) = docs.iter().find_map(|document| document.error) {
                return Err(self.unreadable(&Reason::from_error(error)));
            }
            Ok(docs.iter().map(take).collect())
        })
    }

    /// Returns how many documents there are, after all of them can be searched.
    pub fn count(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Answer {
            count: u64,
            #[serde(rename = "_shards")]
            shards: Shards,
        }
        self.server.run(async {
            let refresh = IndicesRefreshParts::Index(&[&self.name]).url();
            let answer = self.ask(Method::POST, &refresh, None).await?;
            if answer.status != 200 {
                return Err(self.refused(&answer));
            }
            let path = CountParts::Index(&[&self.name]).url();
            let answer = self.ask(Method::GET, &path, None).await?;
            let counted: Option<Answer> = serde_json::from_str(&answer.text).ok();
            let counted = counted.ok_or_else(|| self.refused(&answer))?;
            if counted.shards.failed > 0 {
                return Err(self.unreadable(&Reason::default()));
            }
            Ok(counted.count)
        })
    }

    /// Calls `each` with every document that can be searched, some thousands at a time.
    ///
    /// # Errors
    /// Among others a page of the scan was lost (69).
    pub fn scan(&self, each: &mut dyn FnMut(&[DocumentVersion]) -> Result<()>) -> Result<()> {
        let first = json!({
            "size": PAGE, "_source": false, "seq_no_primary_term": true, "sort": ["_doc"],
        });
        let path = SearchParts::Index(&[&self.name]).url();
        let mut page = self.scan_page(&path, &[("scroll", KEPT)], &first)?;
        let total = page.hits.total["value"].as_u64();
        let total = total.or_else(|| page.hits.total.as_u64());
        let mut seen = 0;
        while !page.hits.hits.is_empty() {
            seen += page.hits.hits.len() as u64;
            each(&page.hits.hits)?;
            let next = json!({"scroll": KEPT, "scroll_id": page.scroll});
            page = self.scan_page("/_search/scroll", &[], &next)?;
        }
        let done = json!({"scroll_id": [page.scroll]});
        // The server forgets it by itself, later.
        let _ = self
            .server
            .run(self.ask(Method::DELETE, "/_search/scroll", Some(&done)));
        if total != Some(seen) {
            // A repeated request skips the page whose answer was lost.
            let message = format!(
                "{}: the scan of its documents lost some; run again",
                self.place()
            );
            return Err(Error::message(Kind::Unavailable, message));
        }
        Ok(())
    }

    fn scan_page(&self, path: &str, query: &[(&str, &str)], body: &Value) -> Result<Page> {
        self.server.run(async {
            let answer = self.query(path, query, body).await?;
            let page: Option<Page> = serde_json::from_str(&answer.text).ok();
            let page = page.ok_or_else(|| self.refused(&answer))?;
            if page.timed_out || page.shards.failed > 0 {
                return Err(self.unreadable(&Reason::default()));
            }
            Ok(page)
        })
    }

    /// Deletes documents that nobody has written since they were scanned; returns how many.
    pub fn delete(&self, documents: &[DocumentVersion]) -> Result<u64> {
        #[derive(Deserialize)]
        struct Answer {
            items: Vec<Item>,
        }
        #[derive(Deserialize)]
        struct Item {
            delete: Outcome,
        }
        #[derive(Deserialize)]
        struct Outcome {
            status: u16,
        }
        let mut body = String::new();
        for DocumentVersion { id, sequence, term } in documents {
            let version = json!({"_id": id, "if_seq_no": sequence, "if_primary_term": term});
            body.push_str(&json!({"delete": version}).to_string());
            body.push('\n');
        }
        self.server.run(async {
            let path = self.typed_path(&BulkParts::Index(&self.alias).url());
            let request = ElasticRequest {
                body: Some(body.into()),
                ..ElasticRequest::new(Method::POST, &path)
            };
            let answer = self
                .server
                .ask(request, &mut self.server.attempts(OPEN))
                .await?;
            let found: Option<Answer> = serde_json::from_str(&answer.text).ok();
            let items = found
                .map(|answer| answer.items)
                .filter(|items| items.len() == documents.len())
                .ok_or_else(|| unexpected(answer.status, &answer.text).context(self.place()))?;
            let deleted = items.iter().filter(|item| item.delete.status == 200);
            Ok(deleted.count() as u64)
        })
    }
}
