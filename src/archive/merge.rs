//! Records: what the URL of a build says, merged with its metadata.

use super::build::Build;
use super::check::RecordTarget;
use super::columns;
use super::date::{self, Date, from_build_id};
use super::metadata::Metadata;
use crate::json::{self, Value, ValueKind};

/// Size and date of a listed archive.
#[derive(Debug, Clone)]
pub struct ArchiveFile {
    /// Size in bytes, as digits.
    pub size: String,
    pub date: Date,
}

impl ArchiveFile {
    /// Parses size and date of a listing; the size may be in quotes.
    ///
    /// # Errors
    /// Which of the two is invalid.
    pub fn read(size: &str, date: &str) -> Result<Self, String> {
        let date = date::iso(date).ok_or_else(|| format!("{date:?} is no date"))?;
        let size = self::size(size)?;
        Ok(Self { size, date })
    }
}

/// Parses a size that may be in quotes.
pub(super) fn size(text: &str) -> Result<String, String> {
    let text = text.trim_matches('"');
    columns::size(text).ok_or_else(|| format!("{text:?} is no size"))
}

/// Why there is no record: a kind to count by, and a message.
pub type Rejection = (&'static str, String);

/// The members of `build` and their names in the metadata.
const TOOLS: [(&str, &str); 6] = [
    ("as", "as"),
    ("cc", "cc"),
    ("cxx", "cxx"),
    ("ld", "ld"),
    ("host", "host_alias"),
    ("target", "target_alias"),
];

/// Returns the line `{"data": …}` of a build, as Python's `json.dumps` writes
/// it.
///
/// # Errors
/// Why the build has no record.
pub fn record(
    build: &Build,
    file: &ArchiveFile,
    metadata: &Metadata,
    number: Option<u64>,
) -> Result<Vec<u8>, Rejection> {
    let checked = CheckedMetadata::read(metadata)?;
    let channel = checked.channel.as_deref().unwrap_or(&build.channel);
    let target = RecordTarget {
        channel,
        platform: &build.platform,
        locale: &build.locale,
        version: &build.version,
    };
    target.check()?;
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"data\": ");
    Members::new(&mut out)
        .object("source", |source| {
            source
                .text("product", &build.product)
                .value("revision", checked.value("moz_source_stamp"))
                .text("repository", &checked.repository)
                .text("tree", tree(&checked.repository))
        })
        .object("target", |to| {
            to.text("platform", &build.platform)
                .text("os", build.os)
                .text("locale", &build.locale)
                .text("version", &build.version)
                .text("channel", channel)
        })
        .object("download", |download| {
            download
                .text("url", &build.url)
                .text_or_null("mimetype", build.mimetype)
                .raw("size", &file.size)
                .text("date", &file.date.to_string())
        })
        .text("id", &build.id(channel))
        .object("build", |members| {
            let members = members
                .value("id", checked.value("buildid"))
                .text("date", &checked.date.to_string());
            let members = TOOLS.iter().fold(members, |members, (name, own)| {
                match checked.document.get(own) {
                    Some(value) => members.value(name, value),
                    None => members,
                }
            });
            match number {
                Some(number) => members.raw("number", &number.to_string()),
                None => members,
            }
        })
        .end();
    out.extend_from_slice(b"}\n");
    Ok(out)
}

/// Returns the tree of a repository on Mozilla's server.
fn tree(repository: &str) -> &str {
    let behind = repository.split_once("hg.mozilla.org/");
    behind.map_or(repository, |(_, tree)| tree)
}

/// Metadata that have all members that a record needs.
struct CheckedMetadata<'a> {
    document: Value<'a>,
    channel: Option<String>,
    repository: String,
    date: Date,
}

impl<'a> CheckedMetadata<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, Rejection> {
        let bad = |message: String| ("bad_metadata", message);
        let document = json::parse(metadata.text()).map_err(|error| bad(error.to_string()))?;
        if document.kind() != ValueKind::Object {
            let found = document.kind();
            return Err(bad(format!("the metadata are {found}, expected an object")));
        }
        let there = |name: &str| {
            let value = document.get(name);
            value.ok_or_else(|| bad(format!("the metadata have no {name:?}")))
        };
        let text = |name: &str, value: &Value<'_>| {
            let text = value.as_str().map(std::borrow::Cow::into_owned);
            text.ok_or_else(|| {
                bad(format!(
                    "{name:?} in the metadata is {}, expected a string",
                    value.kind()
                ))
            })
        };
        let channel = document.get("moz_update_channel");
        let channel = channel
            .map(|value| text("moz_update_channel", value))
            .transpose()?;
        there("moz_source_stamp")?;
        let repository = text("moz_source_repo", there("moz_source_repo")?)?;
        let id = text("buildid", there("buildid")?)?;
        let date = from_build_id(&id)
            .ok_or_else(|| bad(format!("the build id {id:?} does not begin with a date")))?;
        Ok(Self {
            channel,
            repository: repository.replace("MOZ_SOURCE_REPO=", ""),
            date,
            document,
        })
    }

    fn value(&self, name: &str) -> &Value<'a> {
        self.document.get(name).unwrap_or(&Value::Null)
    }
}

/// Writes the members of an object.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Members<'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.extend_from_slice(b", ");
        }
        json::write_ascii(name, self.out);
        self.out.extend_from_slice(b": ");
    }

    fn text(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        json::write_ascii(text, self.out);
        self
    }

    fn text_or_null(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }

    fn raw(mut self, name: &str, token: &str) -> Self {
        self.name(name);
        self.out.extend_from_slice(token.as_bytes());
        self
    }

    fn value(mut self, name: &str, value: &Value<'_>) -> Self {
        self.name(name);
        value.write_in_order(self.out);
        self
    }

    fn object(mut self, name: &str, write: impl FnOnce(Members<'_>) -> Members<'_>) -> Self {
        self.name(name);
        write(Members::new(self.out)).end();
        self
    }

    fn end(self) {
        self.out.push(b'}');
    }
}
