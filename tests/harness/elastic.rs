//! Indices on the servers that TEST_ELASTICSEARCH6_URL and
//! TEST_ELASTICSEARCH8_URL name.

use std::collections::BTreeMap;

use elasticsearch::http::Method;
use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::request::{Body, JsonBody, NdBody};
use elasticsearch::http::transport::Transport;
use serde_json::{Value, json};

use super::left_out;

pub struct Index {
    pub url: String,
    pub name: String,
    pub version: u32,
}

impl Index {
    /// Returns an unused name, on Elasticsearch 6 or 8, or `None` if
    /// there is no such server.
    pub fn new(version: u32) -> Option<Self> {
        let variable = format!("TEST_ELASTICSEARCH{version}_URL");
        let Ok(url) = std::env::var(&variable) else {
            left_out(&format!("Elasticsearch {version} ({variable})"));
            return None;
        };
        let name = format!("test-{}", uuid::Uuid::new_v4());
        Some(Self { url, name, version })
    }

    pub fn request(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.send(method, path, body.map(JsonBody::new))
    }

    fn send(&self, method: Method, path: &str, body: Option<impl Body>) -> Value {
        let transport = Transport::single_node(&self.url).unwrap();
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let answer = transport
                .send(method, path, HeaderMap::new(), None::<&()>, body, None)
                .await
                .unwrap();
            let text = answer.text().await.unwrap();
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        })
    }

    /// Deletes documents.
    pub fn delete(&self, ids: impl IntoIterator<Item = i64>) {
        let action = |id: i64| json!({"delete": {"_id": id.to_string()}});
        let actions: Vec<_> = ids.into_iter().map(action).map(JsonBody::new).collect();
        if !actions.is_empty() {
            let kind = if self.version == 6 { "/doc" } else { "" };
            let path = format!("/{}{kind}/_bulk", self.name);
            let answer = self.send(Method::Post, &path, Some(NdBody::new(actions)));
            assert_eq!(answer["errors"], false, "{answer}");
        }
    }

    /// Returns every document by its id.
    pub fn documents(&self) -> BTreeMap<i64, Value> {
        self.request(Method::Post, &format!("/{}/_refresh", self.name), None);
        let search = json!({"size": 10_000, "query": {"match_all": {}}});
        let path = format!("/{}/_search", self.name);
        let answer = self.request(Method::Post, &path, Some(search));
        let hits = answer["hits"]["hits"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        hits.iter()
            .map(|hit| {
                let id = hit["_id"].as_str().unwrap().parse().unwrap();
                (id, hit["_source"].clone())
            })
            .collect()
    }
}

impl Drop for Index {
    /// A server holds 1,000 shards at most. The name may be an alias of what was built for it.
    fn drop(&mut self) {
        let (Ok(transport), Ok(runtime)) = (
            Transport::single_node(&self.url),
            tokio::runtime::Runtime::new(),
        ) else {
            return;
        };
        let send = |method: Method, path: &str| {
            let (headers, none) = (HeaderMap::new(), None::<JsonBody<Value>>);
            runtime.block_on(async {
                let sent = transport.send(method, path, headers, None::<&()>, none, None);
                sent.await.ok()?.json::<Value>().await.ok()
            })
        };
        let all = send(Method::Get, &format!("/{}*", self.name));
        for name in all
            .iter()
            .filter_map(Value::as_object)
            .flat_map(|all| all.keys())
        {
            send(Method::Delete, &format!("/{name}"));
        }
    }
}
