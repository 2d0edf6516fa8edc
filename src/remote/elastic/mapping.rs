//! The index's mapping: made where it is missing, examined where it is there.

use elasticsearch::http::Method;
use serde_json::{Map, Value, json};

use super::failure::unexpected;
use super::reason::Reason;
use super::server::{CREATE, ElasticRequest, ElasticServer};
use super::version::Version;
use crate::error::{Error, Result};
use crate::retry::Attempts;

/// The mapping type of Elasticsearch 6.
pub const TYPE: &str = "doc";

fn mapping() -> Value {
    let keyword = json!({"type": "keyword"});
    let date = json!({"type": "date"});
    json!({"properties": {
        "id": keyword,
        "build": {"properties": {"id": keyword, "date": date}},
        "source": {"properties": {
            "product": keyword, "repository": keyword, "tree": keyword, "revision": keyword,
        }},
        "target": {"properties": {
            "platform": keyword, "os": keyword, "locale": keyword, "version": keyword,
            "channel": keyword,
        }},
        "download": {"properties": {
            "url": keyword, "mimetype": keyword, "size": {"type": "long"}, "date": date,
        }},
    }})
}

/// Sees to it that the index is there before its first document: the server
/// would make one whose fields are all text.
pub async fn ensure(
    server: &ElasticServer,
    index: &str,
    version: &Version,
    attempts: &mut Attempts,
) -> Result<()> {
    let path = format!("/{index}/_mapping");
    let mut created = false;
    loop {
        let answer = server
            .ask(ElasticRequest::new(Method::Get, &path), attempts)
            .await?;
        match answer.status {
            200 => return examine(server, index, version, &answer.text).await,
            404 if !created => {
                if create(server, index, version).await? {
                    return Ok(());
                }
                created = true;
            }
            _ => return Err(unexpected(answer.status, &answer.text).context(server.place(index))),
        }
    }
}

/// Whether it is ours; another loader may have been faster.
async fn create(server: &ElasticServer, index: &str, version: &Version) -> Result<bool> {
    let mappings = if version.typed {
        json!({TYPE: mapping()})
    } else {
        mapping()
    };
    let body = json!({"settings": {"index": {"number_of_shards": 1}}, "mappings": mappings});
    let path = format!("/{index}");
    let answer = put(server, &path, &body).await?;
    if answer.status == 200 {
        server.log().info(format!(
            "created index {index} on {} ({})",
            server.address(),
            version.name
        ));
        return Ok(true);
    }
    match Reason::of_answer(&answer.text).kind.as_str() {
        "resource_already_exists_exception" => Ok(false),
        _ => Err(unexpected(answer.status, &answer.text).context(server.place(index))),
    }
}

async fn put(server: &ElasticServer, path: &str, body: &Value) -> Result<super::ElasticAnswer> {
    let body = body.to_string();
    let request = ElasticRequest {
        body: Some(body.into()),
        ..ElasticRequest::new(Method::Put, path)
    };
    server.ask(request, &mut Attempts::new(CREATE)).await
}

async fn examine(server: &ElasticServer, index: &str, version: &Version, text: &str) -> Result<()> {
    let place = server.place(index);
    let all: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| Error::configuration(format!("{place}: mapping: {error}")))?;
    if all.len() != 1 {
        return Err(Error::configuration(format!(
            "{place} is an alias of {} indices; choose one of them by --index",
            all.len()
        )));
    }
    let mut actual = all
        .values()
        .next()
        .map_or(&Value::Null, |one| &one["mappings"]);
    let mut path = format!("/{index}/_mapping");
    if version.typed {
        if let Some(other) = other_type(actual) {
            return Err(Error::configuration(format!(
                "{place} has mapping type {other:?} instead of {TYPE:?}; choose another --index"
            )));
        }
        actual = &actual[TYPE];
        path = format!("{path}/{TYPE}");
    }
    let wanted = mapping();
    let found = compare(&wanted, actual);
    if !found.other.is_empty() {
        server.log().warn(complaint(&place, &found.other));
    } else if found.missing {
        let answer = put(server, &path, &wanted).await?;
        if answer.status != 200 {
            return Err(unexpected(answer.status, &answer.text).context(server.place(index)));
        }
        server
            .log()
            .info(format!("completed the mapping of {place}"));
    }
    Ok(())
}

fn other_type(mappings: &Value) -> Option<&str> {
    let types = mappings.as_object()?.keys();
    types
        .map(String::as_str)
        .find(|name| ![TYPE, "_default_"].contains(name))
}

/// How a mapping deviates from ours.
#[derive(Debug, Default, PartialEq)]
struct Deviation {
    /// Fields of another type: name, its type, ours.
    other: Vec<[String; 3]>,
    missing: bool,
}

fn compare(wanted: &Value, actual: &Value) -> Deviation {
    let mut found = Deviation::default();
    descend(wanted, actual, "", &mut found);
    found
}

fn descend(wanted: &Value, actual: &Value, name: &str, found: &mut Deviation) {
    if actual.is_null() {
        found.missing = true;
        return;
    }
    if kind(wanted) != kind(actual) && !name.is_empty() {
        let field = [name, kind(actual), kind(wanted)];
        found.other.push(field.map(str::to_owned));
        return;
    }
    for (member, wanted) in wanted["properties"].as_object().into_iter().flatten() {
        let dot = if name.is_empty() { "" } else { "." };
        let name = format!("{name}{dot}{member}");
        descend(wanted, &actual["properties"][member], &name, found);
    }
}

fn kind(field: &Value) -> &str {
    field["type"].as_str().unwrap_or("object")
}

const SHOWN: usize = 3;

fn complaint(place: &str, other: &[[String; 3]]) -> String {
    let shown = other.iter().take(SHOWN);
    let shown: Vec<_> = shown
        .map(|[name, actual, wanted]| format!("{name} as {actual} instead of {wanted}"))
        .collect();
    let more = match other.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!(", and {more} more"),
    };
    format!(
        "{place} maps {}{more}; automatic mapping makes it so, and searches for exact terms will \
         not find these; delete the index and index all builds again",
        shown.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_from_our_mapping_are_named() {
        assert_eq!(compare(&mapping(), &mapping()), Deviation::default());
        let mut more = mapping();
        more["properties"]["build"]["properties"]["cc"] = json!({"type": "text"});
        assert_eq!(compare(&mapping(), &more), Deviation::default());
        assert!(compare(&mapping(), &Value::Null).missing);
        assert!(compare(&mapping(), &json!({})).missing);

        let mut other = mapping();
        other["properties"]["target"]["properties"]["platform"] = json!({"type": "text"});
        other["properties"]["download"]["type"] = json!("nested");
        let strings = |texts: [&str; 3]| texts.map(str::to_owned);
        assert_eq!(
            compare(&mapping(), &other).other,
            [
                strings(["download", "nested", "object"]),
                strings(["target.platform", "text", "keyword"]),
            ]
        );
    }

    #[test]
    fn long_lists_of_differences_are_shortened() {
        let field = ["a", "text", "keyword"].map(str::to_owned);
        let text = complaint("p", &vec![field.clone(); 3]);
        assert!(text.starts_with("p maps a as text instead of keyword, a as"));
        assert!(!text.contains("more"));
        assert!(complaint("p", &vec![field; 5]).contains(", and 2 more;"));
    }

    #[test]
    fn fields_of_another_type_are_reported() {
        assert_eq!(other_type(&json!({})), None);
        assert_eq!(other_type(&json!({"doc": {}, "_default_": {}})), None);
        assert_eq!(other_type(&json!({"build": {}})), Some("build"));
    }
}
