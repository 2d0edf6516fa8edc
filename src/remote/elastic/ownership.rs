//! Which database an index follows.
//!
//! The mapping's `_meta` names the database. Documents are written through an
//! alias that names it too, and that has capital letters: no index can have such
//! a name, so where the alias is gone with its index, or is not on it, `_bulk`
//! fails instead of creating an index with an automatic mapping.

use std::collections::BTreeMap;

use elasticsearch::SearchParts;
use elasticsearch::indices::{
    IndicesCreateParts, IndicesGetAliasParts, IndicesGetParts, IndicesPutMappingParts,
};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::{blocked, unexpected};
use super::mapping::{self, Deviation};
use super::reason::Reason;
use super::server::{ElasticRequest, OPEN};
use super::{ElasticAnswer, Index};
use crate::error::{Error, Kind, Result};

/// The member of `_meta` that is ours, named like the table.
const MEMBER: &str = "bh_database";

/// The database that an index says it follows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Followed {
    pub id: String,
    /// Which filling of the index it is.
    pub generation: i64,
}

/// An index that is there.
pub struct HeldIndex {
    /// Its name, where ours is an alias.
    pub(super) name: String,
    mapping: Value,
    /// Whether the alias of this database points to it.
    is_writable: bool,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    aliases: BTreeMap<String, Value>,
    #[serde(default)]
    mappings: Value,
}

/// Returns the alias that the documents of a database are written through.
pub fn write_alias(index: &str, database: &str) -> String {
    format!("{index}-WRITE-{database}")
}

impl HeldIndex {
    /// Returns its own name, where the name that it was asked for is an alias.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the database that it follows, if it names one.
    pub fn followed(&self) -> Option<Followed> {
        Followed::deserialize(&self.mapping["_meta"][MEMBER]).ok()
    }
}

impl Index {
    /// Returns the index as it is now; `None` if there is none.
    pub fn look(&self) -> Result<Option<HeldIndex>> {
        self.server.run(async {
            let path = IndicesGetParts::Index(&[&self.name]).url();
            let answer = self.ask(Method::GET, &path, None).await?;
            match answer.status {
                200 => self.held(&answer.text).map(Some),
                404 => Ok(None),
                _ => Err(self.refused(&answer)),
            }
        })
    }

    fn held(&self, text: &str) -> Result<HeldIndex> {
        let all: BTreeMap<String, Answered> = serde_json::from_str(text)
            .map_err(|error| Error::configuration(format!("{}: {error}", self.place())))?;
        let count = all.len();
        let Some((name, answered)) = all.into_iter().next().filter(|_| count == 1) else {
            return Err(Error::configuration(format!(
                "{} is an alias of {count} indices; choose one of them with --index",
                self.place()
            )));
        };
        Ok(HeldIndex {
            name,
            is_writable: answered.aliases.contains_key(&*self.alias),
            mapping: mapping::from_mappings(answered.mappings, self.typed, &self.place())?,
        })
    }

    /// Creates the index; returns false if another program has created it first.
    pub fn create(&self, generation: i64) -> Result<bool> {
        self.create_with(generation, &json!({"number_of_shards": 1}))
    }

    /// Creates it with these settings.
    pub(super) fn create_with(&self, generation: i64, settings: &Value) -> Result<bool> {
        let mut mapping = mapping::wanted();
        mapping["_meta"] = json!({MEMBER: self.followed(generation)});
        // What is not in the mapping may look like a date in one document, and
        // not in the next.
        mapping["date_detection"] = json!(false);
        let mappings = if self.typed {
            json!({mapping::TYPE: mapping})
        } else {
            mapping
        };
        let body = json!({
            "settings": {"index": settings},
            "mappings": mappings,
            "aliases": {&*self.alias: {}},
        });
        self.server.run(async {
            let path = IndicesCreateParts::Index(&self.name).url();
            let answer = self.ask(Method::PUT, &path, Some(&body)).await?;
            if answer.status == 200 {
                let (version, address) = (&self.version, self.server.address());
                let message = format!("created index {} on {address} ({version})", self.name);
                self.server.log().info(message);
                return Ok(true);
            }
            match Reason::from_answer(&answer.text).kind.as_str() {
                "resource_already_exists_exception" => Ok(false),
                _ => Err(self.refused(&answer)),
            }
        })
    }

    /// Completes the mapping, notes the database in it, and makes the index the
    /// one that its documents are written to.
    pub fn claim(&self, held: &HeldIndex, generation: i64) -> Result<()> {
        self.server.run(async {
            let deviation = Deviation::between(&mapping::wanted(), &held.mapping);
            let mut body = json!({});
            if let Some(complaint) = deviation.complaint(&self.place()) {
                self.server.log().warn(complaint);
            } else if deviation.is_incomplete {
                body = mapping::wanted();
            }
            let followed = self.followed(generation);
            if held.mapping["_meta"][MEMBER] != followed {
                body["_meta"] = held.mapping["_meta"].clone();
                body["_meta"][MEMBER] = followed;
            }
            if body != json!({}) {
                let path = IndicesPutMappingParts::Index(&[&held.name]).url();
                let path = format!("{path}{}", self.document_type());
                self.demand(Method::PUT, &path, &body).await?;
            }
            if body["properties"].is_object() {
                let message = format!("completed the mapping of {}", self.place());
                self.server.log().info(message);
            }
            if held.is_writable {
                return Ok(());
            }
            self.move_alias(&held.name).await
        })
    }

    async fn move_alias(&self, index: &str) -> Result<()> {
        let path = IndicesGetAliasParts::Name(&[&self.alias]).url();
        let answer = self.ask(Method::GET, &path, None).await?;
        let owners: BTreeMap<String, Value> = match answer.status {
            200 => serde_json::from_str(&answer.text).unwrap_or_default(),
            404 => BTreeMap::new(),
            _ => return Err(self.refused(&answer)),
        };
        let action =
            |verb: &str, index: &str| json!({verb: {"index": index, "alias": &*self.alias}});
        let mut actions: Vec<Value> = owners.keys().map(|old| action("remove", old)).collect();
        actions.push(action("add", index));
        let body = json!({"actions": actions});
        self.demand(Method::POST, "/_aliases", &body).await?;
        Ok(())
    }

    /// Returns some documents of the index, with their ids: `source` and `target`.
    pub fn sample(&self) -> Result<Vec<(i64, Value)>> {
        #[derive(Deserialize)]
        struct Answer {
            timed_out: bool,
            #[serde(rename = "_shards")]
            shards: Shards,
            hits: Hits,
        }
        #[derive(Deserialize)]
        struct Shards {
            failed: u64,
        }
        #[derive(Deserialize)]
        struct Hits {
            hits: Vec<Hit>,
        }
        #[derive(Deserialize)]
        struct Hit {
            #[serde(rename = "_id")]
            id: String,
            #[serde(rename = "_source", default)]
            source: Value,
        }
        let body = json!({"size": 50, "_source": ["source", "target"]});
        self.server.run(async {
            let path = SearchParts::Index(&[&self.name]).url();
            let answer = self.query(&path, &[], &body).await?;
            let found: Option<Answer> = serde_json::from_str(&answer.text).ok();
            let found = found.ok_or_else(|| self.refused(&answer))?;
            if found.timed_out || found.shards.failed > 0 {
                return Err(self.unreadable(&Reason::default()));
            }
            let hits = found.hits.hits;
            // What is not the id of a row is not of any database.
            let id = |hit: &Hit| hit.id.parse().unwrap_or(-1);
            Ok(hits.into_iter().map(|hit| (id(&hit), hit.source)).collect())
        })
    }

    fn followed(&self, generation: i64) -> Value {
        json!({"id": &*self.database, "generation": generation})
    }

    pub(super) async fn query(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<ElasticAnswer> {
        let request = ElasticRequest {
            query,
            body: Some(body.to_string().into()),
            ..ElasticRequest::new(Method::POST, path)
        };
        let mut attempts = self.server.attempts(OPEN);
        self.server.ask(request, &mut attempts).await
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ElasticAnswer> {
        let request = ElasticRequest {
            body: body.map(|body| body.to_string().into()),
            ..ElasticRequest::new(method, path)
        };
        let mut attempts = self.server.attempts(OPEN);
        self.server.ask(request, &mut attempts).await
    }

    pub(super) async fn demand(&self, method: Method, path: &str, body: &Value) -> Result<()> {
        let answer = self.ask(method, path, Some(body)).await?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(self.refused(&answer))
    }

    /// Returns the error of an index of which not all shards answer.
    pub(super) fn unreadable(&self, reason: &Reason) -> Error {
        let error = if reason.kind == "index_closed_exception" {
            blocked(400, reason)
        } else {
            let message = format!("not all shards answer: {}; run again", reason.text);
            Error::message(Kind::Unavailable, message)
        };
        error.context(self.place())
    }

    pub(super) fn refused(&self, answer: &ElasticAnswer) -> Error {
        unexpected(answer.status, &answer.text).context(self.place())
    }
}
