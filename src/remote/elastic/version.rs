//! What the server is: which product, which version.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;

use super::server::{ElasticRequest, ElasticServer};
use crate::error::{Error, Result};
use crate::retry::Attempts;

/// The timeout of the first request, which a healthy server answers at once.
const GREETING: Duration = Duration::from_secs(5);

/// What the server is.
pub struct Version {
    pub name: String,
    /// Whether documents have a mapping type.
    pub typed: bool,
}

#[derive(Deserialize)]
struct Root {
    version: Number,
}

#[derive(Deserialize)]
struct Number {
    number: String,
    distribution: Option<String>,
}

#[derive(Deserialize)]
struct Nodes {
    nodes: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    version: String,
}

impl ElasticServer {
    /// Asks the server what it is.
    pub async fn version(&self, attempts: &mut Attempts) -> Result<Version> {
        let get = |path| ElasticRequest {
            timeout: GREETING,
            ..ElasticRequest::new(Method::GET, path)
        };
        let mut answer = self.ask(get("/"), attempts).await?;
        // A bare Elasticsearch 8 has no root resource.
        let number = if matches!(answer.status, 404 | 405) {
            answer = self.ask(get("/_nodes/_local"), attempts).await?;
            serde_json::from_str::<Nodes>(&answer.text)
                .ok()
                .and_then(|all| all.nodes.into_values().next())
                .map(|node| Number {
                    number: node.version,
                    distribution: None,
                })
        } else {
            let root = serde_json::from_str::<Root>(&answer.text);
            root.ok().map(|root| root.version)
        };
        let Some(number) = number.filter(|_| answer.status == 200) else {
            return Err(Error::configuration(format!(
                "{}: not an Elasticsearch server (HTTP {}); check the URL, and name the index \
                 with --index",
                self.address(),
                answer.status
            )));
        };
        number.to_version(self.address())
    }
}

impl Number {
    fn to_version(&self, address: &str) -> Result<Version> {
        let major: u32 = self
            .number
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .unwrap_or_default();
        let open = self.distribution.as_deref() == Some("opensearch");
        let product = if open { "OpenSearch" } else { "Elasticsearch" };
        let name = format!("{product} {}", self.number);
        if !open && major < 6 {
            return Err(Error::configuration(format!(
                "{address}: {name} is not supported; use version 6 or later"
            )));
        }
        Ok(Version {
            name,
            typed: !open && major == 6,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_elasticsearch_6_has_types() {
        let typed = |number: &str, distribution: Option<&str>| {
            let number = Number {
                number: number.to_owned(),
                distribution: distribution.map(str::to_owned),
            };
            number.to_version("").ok().map(|version| version.typed)
        };
        assert_eq!(typed("5.6.16", None), None);
        assert_eq!(typed("6.8.23", None), Some(true));
        assert_eq!(typed("7.17.29", None), Some(false));
        assert_eq!(typed("8.19.0", None), Some(false));
        assert_eq!(typed("1.3.20", Some("opensearch")), Some(false));
        assert_eq!(typed("nonsense", None), None);
    }
}
