//! A release as Kinto keeps it, and the build that it holds.

use crate::json;

/// What Kinto adds to a record.
const OWN: [&str; 3] = ["id", "last_modified", "schema"];

/// The members of `OWN` that are known without parsing the document.
pub struct Meta<'a> {
    pub id: &'a str,
    pub last_modified: u64,
}

/// Appends the line of the record `text`: its build, and if `meta` is given also what Kinto
/// added.
///
/// # Errors
/// The text is not a JSON object.
pub fn write_line(
    text: &[u8],
    meta: Option<&Meta<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), json::ParseError> {
    let mut compact = Vec::with_capacity(text.len());
    json::compact(text, &mut compact)?;
    let members = json::members(&compact)?;
    out.push(b'{');
    if let Some(meta) = meta {
        out.extend_from_slice(b"\"id\":");
        json::write_str(meta.id, out);
        out.extend_from_slice(format!(",\"last_modified\":{}", meta.last_modified).as_bytes());
        if let Some(schema) = members.value("schema") {
            out.extend_from_slice(b",\"schema\":");
            out.extend_from_slice(schema);
        }
        out.push(b',');
    }
    out.extend_from_slice(b"\"build\":");
    write_members(&compact, &members, &OWN, out);
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// Appends the object `text` without its members of these names.
pub fn write_members(
    text: &[u8],
    members: &json::Members<'_>,
    without: &[&str],
    out: &mut Vec<u8>,
) {
    let mut between = b'{';
    for member in members {
        if without.iter().all(|name| member.name != **name) {
            out.push(between);
            out.extend_from_slice(&text[member.start..member.end]);
            between = b',';
        }
    }
    if between == b'{' {
        out.push(between);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, meta: Option<&Meta<'_>>) -> String {
        let mut out = Vec::new();
        assert_eq!(write_line(text.as_bytes(), meta, &mut out), Ok(()));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn only_the_build_is_kept() {
        let text = r#"{"id": "a", "source": {"n": 1.50}, "schema": 7, "last_modified": 3}"#;
        assert_eq!(line(text, None), "{\"build\":{\"source\":{\"n\":1.50}}}\n");
        let meta = Meta {
            id: "a",
            last_modified: 3,
        };
        assert_eq!(
            line(text, Some(&meta)),
            "{\"id\":\"a\",\"last_modified\":3,\"schema\":7,\"build\":{\"source\":{\"n\":1.50}}}\n"
        );
        assert_eq!(line(r#"{"id":"a"}"#, None), "{\"build\":{}}\n");
    }
}
