//! The metadata of a build: the members of its JSON that a record copies.

use crate::json;

/// The members that are kept of a document, since a cache holds many.
const KEPT: [&str; 10] = [
    "as",
    "buildid",
    "cc",
    "cxx",
    "host_alias",
    "ld",
    "moz_source_repo",
    "moz_source_stamp",
    "moz_update_channel",
    "target_alias",
];

/// The repository of texts that name none.
const CENTRAL: &str = "http://hg.mozilla.org/mozilla-central";

/// Metadata as JSON, with only the members that records use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata(Box<[u8]>);

impl Metadata {
    /// Parses the metadata of a document; `None` for `null` or an empty one.
    ///
    /// # Errors
    /// Why the document is not JSON.
    pub fn read(document: &[u8]) -> Result<Option<Self>, String> {
        let text = json::decode(document).map_err(|error| error.to_string())?;
        let text = text.trim_ascii();
        if text.is_empty() {
            return Ok(None);
        }
        match json::parse(text).map_err(|error| error.to_string())? {
            json::Value::Null => Ok(None),
            json::Value::Object(_) => Ok(Some(Self(trimmed(text)))),
            // The record is refused when it uses this value.
            _ => Ok(Some(Self(text.into()))),
        }
    }

    /// Returns the platform, spelled as in the names of builds.
    pub fn platform(document: &[u8]) -> Option<String> {
        let text = json::decode(document).ok()?;
        let members = json::members(&text).ok()?;
        let platform = members.get("moz_pkg_platform")?.text?;
        Some(platform.to_string_lossy().into_owned())
    }

    /// Parses a text file from before JSON: a build id and where the source came from, in one
    /// line or in two, which may end as on Windows.
    pub fn parse_old(text: &str) -> Option<Self> {
        let text = text.replace("\r\n", "\n");
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let end = text.find(|c: char| !c.is_numeric())?;
        let (id, rest) = text.split_at(end);
        let (repository, revision) = match rest.strip_prefix('\n') {
            Some(address) => address.rsplit_once("/rev/")?,
            None => (CENTRAL, rest.strip_prefix(' ')?),
        };
        let is_url = repository
            .strip_prefix("http")
            .is_some_and(|rest| !rest.is_empty());
        let has_lines = repository.contains('\n') || revision.contains('\n');
        if id.is_empty() || !is_url || revision.is_empty() || has_lines {
            return None;
        }
        let mut out = Vec::new();
        for (before, text) in [
            ("{\"buildid\":", id),
            (",\"moz_source_repo\":", repository),
            (",\"moz_source_stamp\":", revision),
        ] {
            out.extend_from_slice(before.as_bytes());
            json::write_str(text, &mut out);
        }
        out.push(b'}');
        Some(Self(out.into()))
    }

    /// Returns its JSON.
    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

fn trimmed(text: &[u8]) -> Box<[u8]> {
    let Ok(members) = json::members(text) else {
        return text.into();
    };
    let kept = members
        .iter()
        .filter(|member| KEPT.iter().any(|name| member.name == **name));
    let kept: Vec<&[u8]> = kept.map(|member| &text[member.start..member.end]).collect();
    let mut out = vec![b'{'];
    out.extend_from_slice(&kept.join(&b','));
    out.push(b'}');
    out.retain(|byte| !matches!(byte, b'\n' | b'\r'));
    out.into()
}
