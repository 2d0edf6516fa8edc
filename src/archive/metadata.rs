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
    #[must_use]
    pub fn platform(document: &[u8]) -> Option<String> {
        let text = json::decode(document).ok()?;
        let members = json::members(&text).ok()?;
        let platform = members.get("moz_pkg_platform")?.text?;
        Some(platform.to_string_lossy().into_owned())
    }

    /// Returns the metadata of a text file from before JSON.
    #[must_use]
    pub fn old(id: &str, repository: &str, revision: &str) -> Self {
        let mut out = b"{\"buildid\":".to_vec();
        json::write_str(id, &mut out);
        out.extend_from_slice(b",\"moz_source_repo\":");
        json::write_str(repository, &mut out);
        out.extend_from_slice(b",\"moz_source_stamp\":");
        json::write_str(revision, &mut out);
        out.push(b'}');
        Self(out.into())
    }

    /// Returns its JSON.
    #[must_use]
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
