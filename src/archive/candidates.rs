//! The folders of candidates: which build became the release, and which file
//! holds its metadata.

use super::file_product;

/// Returns the version of a folder of candidates; `None` for other folders.
pub fn version(entry: &str) -> Option<&str> {
    let version = entry.strip_suffix("-candidates/");
    version.filter(|version| !version.is_empty())
}

/// Returns the build folder with the highest number.
pub fn latest<'a>(folders: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    folders.into_iter().max_by_key(|folder| {
        let digits: String = folder.chars().filter(|c| c.is_numeric()).collect();
        format!("{digits:0>3}")
    })
}

/// Returns the number of a build folder.
pub fn number(folder: &str) -> Option<u64> {
    let folder = folder.strip_suffix('/').unwrap_or(folder);
    let digits = folder.strip_prefix("build")?;
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok())?
}

/// The names of other tools, whose files are next to the metadata.
const OTHERS: [&str; 4] = ["mozinfo", "buildhub", "test_packages", "info"];

/// Returns whether a file holds the metadata of this version.
pub fn is_metadata(product: &str, version: &str, name: &str) -> bool {
    let rest = name.strip_prefix(file_product(product));
    let rest = rest.and_then(|rest| rest.strip_prefix('-')?.strip_prefix(version));
    let Some(parts) = rest.and_then(|rest| rest.strip_suffix(".json")) else {
        return false;
    };
    // A digit after the dot would belong to the version.
    let foreign =
        |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) || OTHERS.contains(&part);
    parts.is_empty() || (parts.starts_with('.') && !parts.split('.').any(foreign))
}
