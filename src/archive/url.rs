//! Classes of URLs of the archive.

use std::sync::LazyLock;

use regex::Regex;

use super::{file_product, name, pattern, spelled};

/// The extensions of archives.
pub const EXTENSIONS: [&str; 7] = ["zip", "tar.gz", "tar.bz2", "tar.xz", "dmg", "apk", "exe"];

/// Returns the URL of a key; inventories and events write a space as `+`.
pub fn from_key(base: &str, key: &str) -> String {
    format!("{base}{}", key.replace('+', " "))
}

/// Returns the folder of a key's product: its second part.
pub fn product_folder(key: &str) -> Option<&str> {
    key.split('/').nth(1)
}

/// Returns whether a key has the extension of an archive.
pub fn is_archive(key: &str) -> bool {
    EXTENSIONS.iter().any(|end| key.ends_with(end))
}

/// Returns the MIME type of a file, by its extension.
pub fn mimetype(url: &str) -> Option<&'static str> {
    let (stem, extension) = name(url).rsplit_once('.')?;
    // A name whose only dots are at its start has no extension.
    if stem.chars().all(|c| c == '.') {
        return None;
    }
    Some(match extension {
        "zip" => "application/zip",
        "gz" => "application/x-gzip",
        "bz2" => "application/x-bzip2",
        "xz" => "application/x-xz",
        "dmg" => "application/x-apple-diskimage",
        "apk" => "application/vnd.android.package-archive",
        "exe" => "application/msdos-windows",
        _ => return None,
    })
}

/// Parts of a URL that exclude a build.
static EXCLUDED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^.+(tinderbox|try-builds|partner-repacks|latest|contrib|/0\.|experimental|namoroka|debug|sha1-installers|candidates/archived|stylo-bindings|/1.0rc/|/releases/win../|dominspector|/test/|testing|%28.+%29|\sInstaller\.\w{2,3}-?\w{0,3}\.exe)",
    )
});

/// Parts of a name that exclude a build.
static NO_BUILD: LazyLock<Regex> =
    LazyLock::new(|| pattern("^.+(sdk|tests|crashreporter|stub|gtk2.+xft|source|asan)"));

/// Finds Windows in a part of a URL, but not inside a word such as darwin.
static WINDOWS: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|[^A-Za-z])[Ww]in"));

/// Returns whether `url` is a build of the product of `folder`.
pub fn is_build(folder: &str, url: &str) -> bool {
    let nightly = url.contains("nightly");
    if nightly && !url.contains("mozilla-central") && !url.contains("comm-central") {
        return false;
    }
    let name = spelled(name(url));
    if EXCLUDED.is_match(url) || NO_BUILD.is_match(&name) {
        return false;
    }
    let rest = name.strip_prefix(file_product(folder));
    let Some(rest) = rest.and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    // Zip files for Windows contain the same build as its installers.
    let zips = !WINDOWS.is_match(url);
    let mut extensions = EXTENSIONS.iter().filter(|end| zips || **end != "zip");
    extensions.any(|end| stem(rest, end).is_some_and(|stem| !stem.is_empty()))
}

/// Returns `name` without `end`, whose dot matches any character.
fn stem<'a>(name: &'a str, end: &str) -> Option<&'a str> {
    match end.split_once('.') {
        None => name.strip_suffix(end),
        Some((tar, end)) => {
            let mut rest = name.strip_suffix(end)?.chars();
            rest.next_back().filter(|c| *c != '\n')?;
            rest.as_str().strip_suffix(tar)
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Archive,
    CandidateMetadata,
    NightlyMetadata,
    Other,
}

impl Class {
    /// Classifies a URL of the product of `folder`.
    pub fn parse(folder: &str, url: &str) -> Self {
        if is_build(folder, url) {
            Self::Archive
        } else if is_candidate_metadata(folder, url) {
            Self::CandidateMetadata
        } else if is_nightly_metadata(folder, url) {
            Self::NightlyMetadata
        } else {
            Self::Other
        }
    }
}

static CANDIDATE: LazyLock<Regex> = LazyLock::new(|| pattern("/candidates/(.+)-candidates"));

fn is_candidate_metadata(folder: &str, url: &str) -> bool {
    let Some(version) = CANDIDATE.captures(url).and_then(|found| found.get(1)) else {
        return false;
    };
    let product = file_product(folder);
    let rest = name(url).strip_prefix(product);
    let rest = rest.and_then(|rest| rest.strip_prefix('-'));
    let Some(rest) = rest.and_then(|rest| strip_version(rest, version.as_str())) else {
        return false;
    };
    if product != "fennec" {
        return rest == ".json";
    }
    let parts: Vec<&str> = rest.split('.').collect();
    matches!(*parts, ["", locale, platform, "json"] if !locale.is_empty() && !platform.is_empty())
}

/// Returns the part of `text` after `version`, whose dots match any character.
fn strip_version<'a>(text: &'a str, version: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in version.chars() {
        let found = rest.next()?;
        if wanted != found && wanted != '.' {
            return None;
        }
    }
    Some(rest.as_str())
}

/// Parts of the URLs of other tools' files, next to the metadata of builds.
const NO_METADATA: [&str; 5] = [
    "latest-mozilla-central",
    "latest-comm-central",
    "test_packages",
    "mozinfo",
    ".buildhub.json",
];

fn is_nightly_metadata(folder: &str, url: &str) -> bool {
    let central = url.contains("mozilla-central") || url.contains("comm-central");
    if !url.contains("nightly") || !central || NO_METADATA.iter().any(|part| url.contains(part)) {
        return false;
    }
    let product = if folder == "mobile" { "fennec" } else { folder };
    let Some((_, rest)) = url.split_once(&format!("/{product}-")) else {
        return false;
    };
    let stem = rest.strip_suffix(".json");
    stem.is_some_and(|stem| stem.matches('.').count() >= 2)
}
