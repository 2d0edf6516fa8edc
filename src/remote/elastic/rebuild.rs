//! Another index, filled beside the one that is searched, and the swap of the two.

use std::collections::BTreeMap;

use elasticsearch::indices::{
    IndicesDeleteParts, IndicesGetAliasParts, IndicesGetSettingsParts, IndicesPutSettingsParts,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{HeldIndex, Index, write_alias};
use crate::error::Result;

/// Nobody searches the index yet.
const WHILE_FILLED: [(&str, &str); 2] = [("refresh_interval", "-1"), ("number_of_replicas", "0")];

impl Index {
    /// Returns the index `name` of the same server and database.
    pub fn beside(&self, name: &str) -> Self {
        Self {
            name: name.into(),
            alias: write_alias(name, &self.database).into(),
            ..self.clone()
        }
    }

    /// Creates the index to be filled; returns false if there is one.
    pub fn create_to_fill(&self, generation: i64) -> Result<bool> {
        let mut settings = json!({"number_of_shards": 1});
        for (name, value) in WHILE_FILLED {
            settings[name] = json!(value);
        }
        self.create_with(generation, &settings)
    }

    /// Gives the index the settings of `held`, the one that it replaces, or the default ones.
    pub fn finish_filling(&self, held: Option<&HeldIndex>) -> Result<()> {
        self.server.run(async {
            // A null is the default, but Elasticsearch 6 needs the number of replicas.
            let mut settings = json!({"number_of_replicas": "1"});
            if let Some(held) = held {
                let path = IndicesGetSettingsParts::Index(&[&held.name]).url();
                let answer = self.ask(Method::GET, &path, None).await?;
                if answer.status != 200 {
                    return Err(self.refused(&answer));
                }
                let all: Value = serde_json::from_str(&answer.text).unwrap_or_default();
                settings = all[&held.name]["settings"]["index"].clone();
            }
            let names = WHILE_FILLED.iter().map(|(name, _)| *name);
            let own = names.map(|name| (name.to_owned(), settings[name].clone()));
            let body = json!({"index": Value::Object(own.collect())});
            let path = IndicesPutSettingsParts::Index(&[&self.name]).url();
            self.demand(Method::PUT, &path, &body).await
        })
    }

    /// Gives the name of this index, and what is written for its database, to `next` instead of
    /// `held`, in one request. An index that has the name itself is deleted. Returns false if it
    /// is not known when: some nodes may not have heard of it yet.
    pub fn swap(&self, held: Option<&HeldIndex>, next: &Self) -> Result<bool> {
        let action =
            |verb: &str, index: &str, alias: &str| json!({verb: {"index": index, "alias": alias}});
        self.server.run(async {
            let mut actions = vec![action("remove", &next.name, &next.alias)];
            match held {
                Some(held) if held.name == *self.name => {
                    actions.push(json!({"remove_index": {"index": held.name}}));
                }
                Some(held) => actions.push(action("remove", &held.name, &self.name)),
                None => {}
            }
            let path = IndicesGetAliasParts::Name(&[&self.alias]).url();
            let answer = self.ask(Method::GET, &path, None).await?;
            let owners: BTreeMap<String, Value> = match answer.status {
                200 => serde_json::from_str(&answer.text).unwrap_or_default(),
                404 => BTreeMap::new(),
                _ => return Err(self.refused(&answer)),
            };
            let stay = owners.keys().filter(|name| **name != *self.name);
            actions.extend(stay.map(|name| action("remove", name, &self.alias)));
            actions.push(action("add", &next.name, &self.name));
            actions.push(action("add", &next.name, &self.alias));
            let body = json!({"actions": actions});
            let answer = self.ask(Method::POST, "/_aliases", Some(&body)).await?;
            if answer.status != 200 {
                return Err(self.refused(&answer));
            }
            let answer: Value = serde_json::from_str(&answer.text).unwrap_or_default();
            Ok(answer["acknowledged"] == true)
        })
    }

    /// Deletes the index if it is there.
    pub fn remove(&self) -> Result<()> {
        self.server.run(async {
            let path = IndicesDeleteParts::Index(&[&self.name]).url();
            let answer = self.ask(Method::DELETE, &path, None).await?;
            match answer.status {
                200 | 404 => Ok(()),
                _ => Err(self.refused(&answer)),
            }
        })
    }
}
