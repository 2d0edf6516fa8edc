//! URLs of the metadata of builds.

use std::sync::LazyLock;

use regex::Regex;

use super::build::Build;
use super::{file_product, pattern};

static ARCHIVE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\.(?:zip|tar\.gz|tar\.bz2|tar\.xz|dmg|apk|exe)$"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern("/build([0-9]+)/"));

/// Returns `url` with its archive's extension replaced.
pub fn with_end(url: &str, end: &str) -> String {
    ARCHIVE.replace(url, format!(".{end}")).into_owned()
}

/// Returns the URL of the English nightly built with `url`; its metadata serve
/// all languages.
pub fn english_nightly(url: &str) -> Option<String> {
    let url = url.replace("-l10n", "").replace(".installer", "");
    let many = url.contains("/mobile/") && !url.contains("/en-US/") && !url.contains("macosx");
    let mut parts: Vec<&str> = url.split('.').collect();
    let back = if url.contains("tar") { 4 } else { 3 };
    let at = parts.len().checked_sub(back)?;
    parts[at] = if many { "multi" } else { "en-US" };
    Some(parts.join("."))
}

/// Returns the URL of the English candidate built with `url`.
pub fn english_candidate(url: &str) -> String {
    let locale = url.rsplit('/').nth(1).unwrap_or_default();
    url.replace(&format!(".{locale}."), ".en-US.")
        .replace(&format!("/{locale}/"), "/en-US/")
        .replace("-EME-free", "")
}

/// Returns the URL of a candidate's metadata; its English build is at
/// `english`.
pub fn candidate_metadata(build: &Build, english: &str) -> String {
    if build.product == "fennec" {
        return with_end(english, "json");
    }
    let folder = english.rsplit_once('/').map_or("", |(folder, _)| folder);
    let version = build.version.split("rc").next().unwrap_or_default();
    format!("{folder}/{}-{version}.json", file_product(&build.product))
}

/// Returns the number of the build in the folders of `url`.
pub fn build_number(url: &str) -> Option<u64> {
    NUMBER.captures(url)?.get(1)?.as_str().parse().ok()
}

/// Returns the folder of all candidates of a product.
pub fn candidates(base: &str, product_folder: &str) -> String {
    format!("{base}pub/{product_folder}/candidates/")
}

/// Returns the English folder of a release among the candidates, of the build
/// in the folder `latest`.
pub fn release_folder(base: &str, build: &Build, latest: &str) -> String {
    let folder = build.folder.replace("-eme-free", "").replace("-sha1", "");
    format!(
        "{}{}-candidates/{latest}{}/en-US/",
        candidates(base, build.product_folder()),
        build.version,
        folder.replace("eme", "EME"),
    )
}
