//! The rules of the archive, compared with the v1 jobs.

use serde::Deserialize;
use serde_json::{Value, json};

use buildhub_pipes::archive::build::{Build, BuildKind};
use buildhub_pipes::archive::check::RecordTarget;
use buildhub_pipes::archive::metadata::Metadata;
use buildhub_pipes::archive::url::{self, Class};
use buildhub_pipes::archive::{PRODUCTS, candidates, date, merge, places};

use crate::harness::lines;

const BASE: &str = "https://archive.mozilla.org/";

macro_rules! rows {
    ($name:literal) => {
        lines(include_bytes!(concat!("cases/v1/", $name)))
    };
}

/// A row of the table of keys, as far as a test reads it.
#[derive(Deserialize)]
struct Named {
    key: String,
    has_known_extension: bool,
    product_folder: Option<String>,
    known_product: bool,
    #[serde(default)]
    url: String,
    is_build_url: Option<bool>,
    event_kind: Option<String>,
    record: Option<Value>,
    check: Option<String>,
    metadata_kind: Option<String>,
    metadata_urls: Option<Vec<String>>,
}

/// Where the expected results differ from the v1 jobs: `.tar.xz` is an archive,
/// and `.buildhub.json` is not the metadata of a nightly.
fn mended(row: &mut Named) {
    if row.key.ends_with(".tar.xz") {
        row.has_known_extension = true;
        if !row.key.contains("source") {
            row.is_build_url = Some(true);
            row.event_kind = Some("archive".to_owned());
        }
        if let Some(record) = &mut row.record {
            record["download"]["mimetype"] = json!("application/x-xz");
        }
    }
    if row.key.ends_with(".buildhub.json") {
        row.event_kind = Some("ignored".to_owned());
    }
}

fn keys() -> Vec<Named> {
    let rows = rows!("generated.ndjson").into_iter().map(|row| {
        let mut row: Named = serde_json::from_value(row).unwrap();
        mended(&mut row);
        row
    });
    rows.collect()
}

#[test]
fn keys_of_builds_are_recognised() {
    let rows = keys();
    assert!(rows.len() > 200);
    for row in rows {
        let key = &row.key;
        let folder = url::product_folder(key);
        assert_eq!(folder, row.product_folder.as_deref(), "{key}");
        assert_eq!(url::is_archive(key), row.has_known_extension, "{key}");
        assert_eq!(
            folder.is_some_and(|folder| PRODUCTS.contains(&folder)),
            row.known_product
        );
        let (Some(folder), Some(expected)) = (folder, row.is_build_url) else {
            continue;
        };
        let address = url::from_key(BASE, key);
        assert_eq!(address, row.url);
        assert_eq!(url::is_build(folder, &address), expected, "{key}");
        let class = match Class::parse(folder, &address) {
            Class::Archive => "archive",
            Class::CandidateMetadata => "rc_metadata",
            Class::NightlyMetadata => "nightly_metadata",
            Class::Other => "ignored",
        };
        if let Some(kind) = row.event_kind {
            assert_eq!(class, kind, "{key}");
        }
    }
}

/// The record of a build as the v1 jobs made it, before its metadata.
fn record(build: &Build) -> Value {
    json!({
        "source": {"product": build.product},
        "target": {
            "platform": build.platform, "os": build.os, "locale": build.locale,
            "version": build.version, "channel": build.channel,
        },
        "download": {"url": build.url, "mimetype": build.mimetype},
        "id": build.id(&build.channel),
    })
}

#[test]
fn a_build_is_parsed_from_its_url() {
    let mut read = 0;
    for row in keys().iter().filter(|row| row.is_build_url.is_some()) {
        let build = Build::parse(&row.url);
        assert_eq!(
            build.as_ref().ok().map(record),
            row.record,
            "{}: {build:?}",
            row.key
        );
        let Ok(build) = build else { continue };
        let target = RecordTarget {
            channel: &build.channel,
            platform: &build.platform,
            locale: &build.locale,
            version: &build.version,
        };
        let passes = target.check().is_ok();
        assert_eq!(passes, row.check.as_deref() == Some("ok"), "{}", row.key);
        read += 1;
    }
    assert!(read > 150);
}

#[test]
fn metadata_are_looked_up_at_the_urls_of_the_v1_jobs() {
    for row in keys().iter().filter(|row| row.metadata_kind.is_some()) {
        let build = Build::parse(&row.url).unwrap();
        let (kind, urls) = match build.kind() {
            BuildKind::Nightly => {
                let english = places::english_nightly(&row.url).unwrap();
                let ends = ["json", "txt"].map(|end| places::with_end(&english, end));
                ("nightly", ends.to_vec())
            }
            BuildKind::Candidate => {
                let english = places::english_candidate(&row.url);
                ("rc", vec![places::candidate_metadata(&build, &english)])
            }
            BuildKind::Release => (
                "release",
                vec![places::release_folder(BASE, &build, "build2/")],
            ),
        };
        assert_eq!(Some(kind), row.metadata_kind.as_deref(), "{}", row.key);
        assert_eq!(Some(urls), row.metadata_urls, "{}", row.key);
    }
}

/// The v1 jobs used the last digit as the number of a build.
#[test]
fn the_build_with_the_highest_number_is_the_latest() {
    for row in rows!("latest_build.ndjson") {
        let folders = row["build_folders"].as_array().unwrap();
        let latest = candidates::latest(folders.iter().map(|folder| folder.as_str().unwrap()));
        assert_eq!(latest, row["latest"].as_str(), "{row}");
        let number = latest.and_then(candidates::number);
        let expected = match latest {
            Some("build11/") => Some(11),
            Some("build12/") => Some(12),
            _ => row["metadata"]["buildnumber"].as_u64(),
        };
        assert_eq!(number, expected, "{row}");
    }
}

/// The v1 jobs used the first file that began with the version.
#[test]
fn only_the_json_named_after_the_version_holds_the_metadata() {
    for row in rows!("release_listing_choice.ndjson") {
        let files = row["files"].as_array().unwrap();
        let mut names = files.iter().map(|file| file.as_str().unwrap());
        let exact = names.clone().find(|name| *name == "firefox-54.0.json");
        let expected = exact.or(row["metadata"]["from"].as_str());
        let taken = names.find(|name| candidates::is_metadata("firefox", "54.0", name));
        assert_eq!(taken, expected, "{row}");
    }
    for (product, name, is) in [
        ("fennec", "fennec-55.0.en-US.android-i386.json", true),
        ("devedition", "firefox-55.0.json", true),
        ("firefox", "firefox-55x0.json", false),
        ("firefox", "firefox-55.0.mozinfo.json", false),
        ("firefox", "firefox-55.0.buildhub.json", false),
        ("firefox", "firefox-55.0.json.asc", false),
        ("firefox", "firefox-55.0.2.json", false),
    ] {
        assert_eq!(candidates::is_metadata(product, "55.0", name), is, "{name}");
    }
}

/// The v1 jobs did not accept CRLF.
#[test]
fn metadata_are_parsed_from_old_text_files() {
    for row in rows!("nightly_txt.ndjson") {
        let text = row["text"].as_str().unwrap();
        let metadata = Metadata::parse_old(text);
        let metadata = metadata.map(|read| serde_json::from_slice::<Value>(read.text()).unwrap());
        let mut expected = row["expected"].clone();
        if let Some(Value::String(revision)) = expected.get_mut("moz_source_stamp") {
            *revision = revision.trim_end_matches('\r').to_owned();
        }
        assert_eq!(metadata.unwrap_or(Value::Null), expected, "{text:?}");
    }
    let windows = "20120110031127\r\nhttp://hg.mozilla.org/mozilla-central/rev/fcdb8ab6e0b7\r\n";
    let unix = windows.replace('\r', "");
    assert!(Metadata::parse_old(windows).is_some());
    assert_eq!(Metadata::parse_old(windows), Metadata::parse_old(&unix));
}

/// The v1 jobs dropped the offset of a time zone.
#[test]
fn sizes_and_dates_of_an_inventory_are_parsed() {
    for row in rows!("last_modified.ndjson") {
        let text = row["text"].as_str().unwrap();
        let expected = match text {
            "2017-06-11T12:20:10+02:00" => Some("2017-06-11T10:20:10Z"),
            _ => row["ok"].as_str(),
        };
        let read = date::iso(text).map(|date| date.to_string());
        assert_eq!(read.as_deref(), expected, "{text:?}");
    }
    for row in rows!("size.ndjson") {
        let size = merge::size(row["text"].as_str().unwrap()).ok();
        let expected = row.get("ok").map(Value::to_string);
        let expected = match expected.as_deref() {
            Some("123456789012345683968" | "1.2345678901234568e+20" | "1.2345678901234568e20") => {
                Some("123456789012345683968".to_owned())
            }
            _ => expected,
        };
        assert_eq!(size, expected, "{row}");
    }
    for (text, expected) in [
        ("2E+10", "20000000000"),
        (" -0.5 ", "0"),
        ("-5", "-5"),
        ("5.", "5"),
    ] {
        assert_eq!(merge::size(text).ok().as_deref(), Some(expected));
    }
    for text in ["inf", "1__0", "_1", "1_", "0x10", "1e999", "12 3"] {
        assert_eq!(merge::size(text).ok(), None, "{text}");
    }
}

#[test]
fn build_ids_are_parsed_as_dates() {
    for (id, expected) in [
        ("20170515100238", Some("2017-05-15T10:02:38Z")),
        ("20170515100238-more", Some("2017-05-15T10:02:38Z")),
        ("201706121152", Some("2017-06-12T11:05:02Z")),
        ("2017051210", Some("2017-05-01T02:01:00Z")),
        ("20170512", None),
        ("20170230000000", None),
        ("20170515100261", None),
        ("20170515990000", None),
        ("", None),
    ] {
        let read = date::from_build_id(id).map(|date| date.to_string());
        assert_eq!(read.as_deref(), expected, "{id}");
    }
}
