//! bh-derive.

pub mod cases;
mod cut;
mod edges;
mod events;
mod http;
mod settings;

use serde_json::{Value, json};

use crate::harness::archive::Answer;

/// A nightly of `locale` on `platform`.
pub fn key(locale: &str, platform: &str) -> String {
    let local = if locale == "en-US" { "" } else { "-l10n" };
    format!("{DAY}{local}/firefox-55.0a1.{locale}.{platform}.tar.bz2")
}

const DAY: &str = "pub/firefox/nightly/2017/05/2017-05-15-10-02-38-mozilla-central";

/// The line of a listing.
pub fn line(key: &str) -> String {
    json!({"key": key, "size": 7, "last_modified": "2017-06-02T12:20:10.000Z"}).to_string()
}

fn text(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

fn metadata() -> Value {
    json!({
        "buildid": "20170515100238",
        "moz_source_repo": "https://hg.mozilla.org/mozilla-central",
        "moz_source_stamp": "a".repeat(40),
        "moz_update_channel": "nightly",
        "moz_pkg_platform": "linux-x86_64",
    })
}

/// The path of the metadata of the English nightly.
pub fn metadata_path(platform: &str) -> String {
    format!("/{DAY}/firefox-55.0a1.en-US.{platform}.json")
}

fn listing(folders: &[&str], files: &[&str]) -> Value {
    let file = |name| json!({"name": name, "size": 9, "last_modified": "2017-06-02T12:20:10Z"});
    let files: Vec<Value> = files.iter().map(file).collect();
    json!({"prefixes": folders, "files": files})
}

const CANDIDATES: &str = "/pub/firefox/candidates/";

/// An archive with the metadata of these platforms, and no candidates.
pub fn answers(platforms: &[&str]) -> Vec<Answer> {
    let mut answers = vec![Answer::json(CANDIDATES, &listing(&[], &[]))];
    let told = metadata();
    answers.extend(
        platforms
            .iter()
            .map(|name| Answer::json(&metadata_path(name), &told)),
    );
    answers
}

/// The ids of the records.
fn ids(run: &crate::harness::Run) -> Vec<String> {
    let records = run.records();
    let id = |record: &Value| record["data"]["id"].as_str().unwrap().to_owned();
    records.iter().map(id).collect()
}

/// The id of a nightly.
fn id(locale: &str, platform: &str) -> String {
    let locale = locale.to_lowercase();
    format!("firefox_nightly_2017-05-15-10-02-38_55-0a1_{platform}_{locale}")
}
