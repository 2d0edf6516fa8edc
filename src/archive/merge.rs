//! Records: what the URL of a build says, merged with its metadata.

use super::build::Build;
use super::check::RecordTarget;
use super::date::{self, Date, from_build_id};
use super::metadata::Metadata;
use crate::json::{self, Value, ValueKind};

/// Size and date of a listed archive.
#[derive(Debug, Clone)]
pub struct ArchiveFile {
    /// Size in bytes, as digits.
    pub size: String,
    /// When it was last changed.
    pub date: Date,
}

impl ArchiveFile {
    /// Parses size and date of a listing; the size may be in quotes.
    ///
    /// # Errors
    /// Which of the two is invalid.
    pub fn read(size: &str, date: &str) -> Result<Self, String> {
        let date = date::iso(date).ok_or_else(|| format!("{date:?} is not a date"))?;
        let size = self::size(size)?;
        Ok(Self { size, date })
    }
}

/// Parses a size of an inventory, a decimal number with an optional exponent that may be in
/// quotes; returns whole bytes, in digits.
///
/// # Errors
/// It is not a number, or not finite.
pub fn size(text: &str) -> Result<String, String> {
    let text = text.trim_matches('"');
    let bytes = text.trim().as_bytes();
    let is_digit = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at));
        byte.is_some_and(u8::is_ascii_digit)
    };
    // Python allows an underscore between two digits.
    let mut underscores = memchr::memchr_iter(b'_', bytes);
    let is_python = underscores.all(|at| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)));
    let number: Option<f64> = text.trim().replace('_', "").parse().ok();
    match number {
        Some(number) if is_python && number.is_finite() => {
            Ok(format!("{:.0}", number.trunc() + 0.0))
        }
        _ => Err(format!("{text:?} is not a size")),
    }
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
    RecordTarget {
        channel,
        platform: &build.platform,
        locale: &build.locale,
        version: &build.version,
    }
    .check()?;
    let text = |text: &str| token(|out| json::write_ascii(text, out));
    let value = |name: &str| token(|out| checked.value(name).write_in_order(out));
    let source = object(&[
        ("product", text(&build.product)),
        ("revision", value("moz_source_stamp")),
        ("repository", text(&checked.repository)),
        ("tree", text(tree(&checked.repository))),
    ]);
    let target = object(&[
        ("platform", text(&build.platform)),
        ("os", text(build.os)),
        ("locale", text(&build.locale)),
        ("version", text(&build.version)),
        ("channel", text(channel)),
    ]);
    let mimetype = build.mimetype.map(text);
    let download = object(&[
        ("url", text(&build.url)),
        ("mimetype", mimetype.unwrap_or_else(|| b"null".to_vec())),
        ("size", file.size.clone().into()),
        ("date", text(&file.date.to_string())),
    ]);
    let id = text(&build.id(channel));
    let mut members = vec![
        ("id", value("buildid")),
        ("date", text(&checked.date.to_string())),
    ];
    let tools = TOOLS.into_iter();
    let tools = tools.filter(|(_, own)| checked.document.get(own).is_some());
    members.extend(tools.map(|(name, own)| (name, value(own))));
    members.extend(number.map(|number| ("number", number.to_string().into())));
    let record = object(&[
        ("source", source),
        ("target", target),
        ("download", download),
        ("id", id),
        ("build", object(&members)),
    ]);
    let mut line = object(&[("data", record)]);
    line.push(b'\n');
    Ok(line)
}

/// Returns an object as `json.dumps` writes it.
fn object(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![b'{'];
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        json::write_ascii(name, &mut out);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }
    out.push(b'}');
    out
}

fn token(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

/// Returns the tree of a repository on Mozilla's server.
fn tree(repository: &str) -> &str {
    let parts = repository.split_once("hg.mozilla.org/");
    parts.map_or(repository, |(_, tree)| tree)
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
            return Err(bad(format!(
                "expected an object as metadata, found {found}"
            )));
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
