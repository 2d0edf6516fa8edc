//! Rejects that say something of the whole input: lines that are not what the stage reads,
//! and the likely mistake of the user.

use super::reject::Reject;
use crate::json::{self, Members};

/// What one line shows about the whole input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// Lines are not JSON objects.
    NotAnObject(Option<&'static str>),
    /// Lines are objects of another kind.
    Other(Option<&'static str>),
    /// The fetched objects are not builds.
    NotABuild,
}

impl Misfit {
    /// Returns what a reject of `stage` says of its input; `None` where the
    /// line is what the stage reads, and only its content is rejected.
    pub fn recognize(stage: &str, reject: &Reject) -> Option<Self> {
        let line = &*reject.line;
        let members = match (json::members(line), reject.kind) {
            (Ok(members), _) => members,
            (Err(_), "bad_line" | "bad_event") => {
                return Some(Self::NotAnObject(text_mistake(stage, line)));
            }
            (Err(_), _) => return None,
        };
        let has = |name: &str| members.value(name).is_some();
        match reject.kind {
            "bad_line" => Some(Self::Other(member_mistake(stage, &members))),
            "schema" if has("build") && is_build(&members) => Some(Self::Other(Some(BARE))),
            "schema" if has("build") && misses_a_part(reject) => {
                is_whole_record(reject).then_some(Self::Other(Some(
                    "these are records that hold a build: leave out --bare",
                )))
            }
            "not_json" | "not_an_object" | "too_large" if stage == "bh-fetch" => {
                let key = json::text_of(members.value("key").or(members.value("Key"))?)?;
                (!key.to_string_lossy().ends_with(".json")).then_some(Self::NotABuild)
            }
            _ => None,
        }
    }

    /// Returns the likely mistake, and what to do.
    pub fn mistake(self) -> Option<&'static str> {
        match self {
            Self::NotAnObject(mistake) | Self::Other(mistake) => mistake,
            Self::NotABuild => Some(
                "the keys do not look like those of builds: is bh-filter missing before bh-fetch?",
            ),
        }
    }

    /// Returns whether one of both says enough.
    pub fn is_like(self, other: Self) -> bool {
        match (self, other) {
            (Self::NotAnObject(_), Self::NotAnObject(_)) => true,
            _ => self == other && self.mistake().is_some(),
        }
    }
}

const BARE: &str = "each line is a build itself: add --bare";

/// Returns whether an object is a build, not a record that holds one.
pub fn is_build(members: &Members<'_>) -> bool {
    let has = |name: &str| members.value(name).is_some();
    ["download", "source", "target"].into_iter().all(has) && !has("key")
}

/// Returns whether the schema misses a part of a build at the top of the document.
fn misses_a_part(reject: &Reject) -> bool {
    let misses = |part| {
        reject
            .message
            .starts_with(&format!("\"{part}\" is a required"))
    };
    reject.pointer.as_deref() == Some("") && ["download", "source", "target"].iter().any(misses)
}

/// Returns whether a line is a record with a whole build.
fn is_whole_record(reject: &Reject) -> bool {
    let members = json::members(&reject.line);
    let build = members.as_ref().ok().and_then(|line| line.value("build"));
    build.is_some_and(|build| json::members(build).is_ok_and(|build| is_build(&build)))
}

/// Returns the mistake that explains objects without the member that the stage needs.
fn member_mistake(stage: &str, members: &Members<'_>) -> Option<&'static str> {
    let has = |name: &str| members.value(name).is_some();
    let has_key = ["key", "Key", "Path"].into_iter().any(has);
    match stage {
        "bh-load" if is_build(members) => {
            Some("each line is a build itself: put jq -c '{build: .}' before bh-load")
        }
        "bh-validate" | "bh-load" if has("build") => None,
        "kinto-load" if has("data") => None,
        "bh-filter" | "bh-fetch" | "bh-derive" if has_key => None,
        "kinto-load" if has("build") => Some("these are builds, which bh-load stores"),
        "kinto-load" if has_key => Some("put bh-derive before kinto-load"),
        "bh-validate" if is_build(members) => Some(BARE),
        _ if has("data") => Some("these are release records, which kinto-load stores"),
        "bh-validate" if has_key => Some("put bh-fetch before bh-validate"),
        "bh-load" if has_key => Some("put bh-fetch before bh-load"),
        _ if has("Contents") => Some("put jq -c '.Contents[]' between"),
        _ if has("Records") => Some("these are events, which bh-derive --event reads"),
        "bh-filter" | "bh-fetch" if has("build") || is_build(members) => {
            Some("these are builds already: pipe them into bh-validate")
        }
        _ => None,
    }
}

/// Returns the mistake that explains lines that are not JSON objects.
fn text_mistake(stage: &str, line: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&line[..line.len().min(400)]);
    let text = text.trim_start_matches('\u{feff}').trim();
    let columns = text.split(',').count();
    let is_listing = matches!(stage, "bh-filter" | "bh-fetch" | "bh-derive");
    let mistake = match text.as_bytes() {
        [b'{' | b'['] | [b'[', b'{'] | [b'{', .., b'{' | b'[' | b','] if line.len() < 200 => {
            "this is JSON over several lines: pipe it through jq -c . first; the output of aws s3api \
             through jq -c '.Contents[]'"
        }
        [b'[', ..] => "this is a JSON array: pipe it through jq -c '.[]' first",
        // Half a line.
        [] | [b'{', ..] => return None,
        [b'<', ..] => "this is XML or HTML",
        _ if is_ls(text) => {
            "this is the output of ls: list a bucket with s3-list, or with aws s3api \
             list-objects-v2 | jq -c '.Contents[]'"
        }
        [b'"', ..] if columns == 1 && is_listing => {
            "these are only keys: pipe them through jq -c '{key: .}' first"
        }
        _ if columns > 2 && is_listing => "this is CSV: read an inventory with s3-inventory",
        _ if columns > 2 => "this is CSV",
        _ if is_listing && text.contains('/') && !text.contains(char::is_whitespace) => {
            "these are only keys: pipe them through jq -cR '{key: .}' first"
        }
        _ => "expected one JSON object per line",
    };
    Some(mistake)
}

/// Returns whether a line is one of `ls -l`, or of `aws s3 ls`.
fn is_ls(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (first, second) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let of = |text: &str, set: &str| text.chars().all(|c| set.contains(c));
    match first {
        "total" => is_number(second),
        "PRE" => second.ends_with('/'),
        _ if first.len() == 10 && of(first, "-0123456789") => {
            second.len() == 8 && of(second, ":0123456789")
        }
        _ => {
            let mode: String = first.chars().take(10).collect();
            mode.len() == 10 && of(&mode, "-dlbcpsrwxtST") && is_number(second)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stage: &str, line: &str) -> Option<Misfit> {
        Misfit::recognize(stage, &Reject::new(line.as_bytes(), 1, "bad_line", "wrong"))
    }

    #[track_caller]
    fn says(stage: &str, line: &str, words: &str) {
        let mistake = of(stage, line).and_then(Misfit::mistake);
        let mistake = mistake.unwrap_or_default();
        assert!(mistake.contains(words), "{stage}: {line}: {mistake}");
    }

    #[test]
    fn text_that_is_no_json_is_named() {
        says("bh-filter", "\"archive\",\"pub/a\",\"12\"", "CSV");
        says("bh-filter", "archive,pub/a,12", "s3-inventory");
        says("bh-load", "archive,pub/a,12", "CSV");
        says("bh-filter", "{", "jq -c");
        says("bh-filter", "{\"Contents\": [", "jq -c");
        says("bh-filter", "{ \"key\": \"a\",", "jq -c");
        says("bh-validate", "  [", "jq -c");
        says("bh-filter", "[{\"Key\":\"a\"}]", "jq -c '.[]'");
        says("bh-filter", "total 12", "output of ls");
        // A character of several bytes where the mode would end.
        says(
            "bh-filter",
            "-rw-r--r-é 1",
            "expected one JSON object per line",
        );
        says(
            "bh-filter",
            "-rw-r--r-- 1 me me 12 Jan 1 2026 a b",
            "output of ls",
        );
        says(
            "bh-filter",
            "drwxr-xr-x+ 1 me me 12 Jan 1 2026 a",
            "output of ls",
        );
        says(
            "bh-filter",
            "2026-01-01 12:00:00     123 pub/a",
            "output of ls",
        );
        says("bh-filter", "                PRE pub/", "output of ls");
        says(
            "bh-filter",
            "pub/firefox/buildhub.json",
            "jq -cR '{key: .}'",
        );
        says("bh-filter", "\"pub/a\"", "jq -c '{key: .}'");
        says("bh-filter", "<html>", "XML");
        says("bh-filter", "hello", "JSON object");
        assert_eq!(
            of("bh-filter", "{\"key\":\"a"),
            Some(Misfit::NotAnObject(None))
        );
    }

    #[test]
    fn objects_of_another_stage_are_named() {
        let key = r#"{"key":"a"}"#;
        let build = r#"{"build":{},"source":{},"target":{},"download":{}}"#;
        says("bh-validate", key, "put bh-fetch before bh-validate");
        says("bh-load", key, "put bh-fetch before bh-load");
        says("kinto-load", key, "bh-derive");
        says("bh-load", r#"{"data":{}}"#, "kinto-load");
        says("bh-load", build, "jq -c '{build: .}'");
        says("bh-filter", r#"{"data":{}}"#, "kinto-load");
        says("bh-filter", r#"{"build":{}}"#, "bh-validate");
        says("bh-filter", build, "bh-validate");
        says("bh-filter", r#"{"Contents":[]}"#, "jq -c '.Contents[]'");
        says("bh-filter", r#"{"Records":[]}"#, "--event");
        says("kinto-load", r#"{"build":{}}"#, "bh-load");
        assert_eq!(of("bh-filter", r#"{"key":1}"#), Some(Misfit::Other(None)));
    }

    #[test]
    fn builds_without_bare_and_records_with_it_are_named() {
        let rejected = |line: &str, message: &str| {
            let reject = Reject::new(line.as_bytes(), 1, "schema", message).at("");
            Misfit::recognize("bh-validate", &reject).and_then(Misfit::mistake)
        };
        let build = r#"{"build":{},"source":{},"target":{},"download":{}}"#;
        let schema = |line: &str| rejected(line, "\"source\" is a required property");
        assert_eq!(schema(build), Some(BARE));
        let record = format!(r#"{{"key":"a","build":{build}}}"#);
        assert!(schema(&record).is_some_and(|mistake| mistake.contains("leave out --bare")));
        // The build in the record has a member too many.
        let message = "Additional properties are not allowed ('extra' was unexpected)";
        assert_eq!(rejected(&record, message), None);
        assert_eq!(schema(r#"{"key":"a","build":{"source":{}}}"#), None);
    }
}
