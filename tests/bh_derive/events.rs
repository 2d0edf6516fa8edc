//! Events of S3, where the v1 jobs were wrong.

use serde_json::{Value, json};

use super::{CANDIDATES, answers, id, ids, key, line, listing, metadata, metadata_path, text};
use crate::harness::archive::{Answer, Archive};
use crate::harness::fed::Fed;
use crate::harness::folder;
use crate::harness::protocol::held;

const PLATFORM: &str = "linux-x86_64";
const MARK: &str = r#"{"mark":{"message":{"queue":"q","receipt_handle":"1"}}}"#;
const END: &str = r#"{"mark":{"end":{"run":"r","records":1}}}"#;

fn created(key: &str) -> Value {
    json!({
        "eventSource": "aws:s3",
        "eventTime": "2017-08-08T17:06:52.030Z",
        "s3": {"bucket": {"name": "b"}, "object": {"key": key, "size": 5}},
    })
}

fn event(records: &[Value]) -> Value {
    json!({"Records": records})
}

/// In two envelopes, in one, and in none, an event gives the same record.
#[test]
fn events_are_read_in_every_envelope() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let bare = event(&[created(&key("fr", PLATFORM))]);
    let sns = json!({"EventSource": "aws:sns", "Sns": {"Message": bare.to_string()}});
    for line in [
        bare.clone(),
        json!({"Records": [sns]}),
        json!({"Type": "Notification", "Message": bare.to_string()}),
        json!({"key": key("fr", PLATFORM), "size": 5, "last_modified": "2017-08-08T17:06:52Z"}),
    ] {
        let input = format!("{line}\n{MARK}\n{END}\n");
        let run = archive.tool().arg("--event").input(input).run().exits(0);
        assert_eq!(ids(&run), [id("fr", PLATFORM)], "{run}");
        assert_eq!(run.lines().len(), 3, "{run}");
        assert_eq!(
            run.records()[0]["data"]["download"]["date"],
            "2017-08-08T17:06:52Z"
        );
    }
}

#[test]
fn a_bad_record_of_an_event_does_not_affect_the_others() {
    let folder = folder();
    let file = folder.path().join("rejects");
    let archive = Archive::start(answers(&[PLATFORM]));
    let mut deleted = created(&key("de", PLATFORM));
    deleted["s3"]["object"]
        .as_object_mut()
        .unwrap()
        .remove("size");
    let records = [
        created("pub/firefox/firefox-1.0.exe"),
        deleted,
        created("pub/calendar/releases/1.0b1/linux-x86_64/en-US/sunbird-1.0b1.tar.bz2"),
        created("pub/firefox/SHA512SUMS"),
        created(&key("it", "linux-i686")),
        created(&key("fr", PLATFORM)),
    ];
    let input = format!("{}\n{MARK}\n{END}\n", event(&records));
    let tool = archive.tool().arg("--event").arg("--rejects").arg(&file);
    let run = tool.input(input).run().exits(65);
    assert_eq!(ids(&run), [id("fr", PLATFORM)], "{run}");
    assert_eq!(run.lines().len(), 3, "{run}");
    for reason in ["other product", "no build", "no metadata yet"] {
        assert_eq!(run.count(&format!("/dropped/{reason}")), 1, "{run}");
    }
    let rejects = crate::harness::lines_of(&file);
    let kinds: Vec<&Value> = rejects
        .iter()
        .map(|reject| &reject["error"]["kind"])
        .collect();
    assert_eq!(kinds, ["no_record", "bad_event"], "{run}");
    // Each reject is a complete event, which can be piped in again.
    for (reject, record) in rejects.iter().zip(&records) {
        assert_eq!(reject["Records"], json!([record]));
    }
}

/// The archive may answer when the event is delivered again.
#[test]
fn a_failed_event_keeps_its_unit_open() {
    let folder = folder();
    let file = folder.path().join("rejects");
    let archive = Archive::start([]);
    let metadata = "pub/firefox/candidates/55.0-candidates/build1/win64/en-US/firefox-55.0.json";
    let tool = archive
        .tool()
        .args(["--event", "--tries", "2"])
        .arg("--rejects")
        .arg(&file);
    let input = format!("{}\n{MARK}\n{END}\n", event(&[created(metadata)]));
    let run = tool.input(input).run().exits(65);
    let held = held(MARK, "bh-derive", "failed");
    assert_eq!(run.stdout, format!("{held}\n{END}\n").into_bytes(), "{run}");
    assert_eq!(run.count("/rejected/failed"), 1, "{run}");
    let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"});
    let tool = archive.tool().arg("--event");
    let run = tool.input(format!("{test}\n")).run().exits(0);
    assert_eq!(run.told(), ["bh-derive: 1 in = 0 out + 1 empty event"]);
}

/// The metadata of a nightly give the records of its platform, in English and
/// in all languages, for Thunderbird too; files of other tools give none.
#[test]
fn an_event_for_nightly_metadata_yields_its_builds() {
    let day = "pub/thunderbird/nightly/2017/12/2017-12-13-04-12-17-comm-central";
    let names = |locale: &str| format!("thunderbird-59.0a1.{locale}.linux-x86_64.tar.bz2");
    let (english, french) = (names("en-US"), names("fr"));
    let other = french.replace("linux-x86_64", "linux-i686");
    let json = format!("{day}/thunderbird-59.0a1.en-US.linux-x86_64.json");
    let files = [&*english, "thunderbird-59.0a1.en-US.linux-x86_64.tests.zip"];
    let archive = Archive::start([
        Answer::json(&format!("/{json}"), &metadata()),
        Answer::json(&format!("/{day}/"), &listing(&[], &files)),
        Answer::json(&format!("/{day}-l10n/"), &listing(&[], &[&french, &other])),
    ]);
    let foreign = json.replace(".json", ".buildhub.json");
    let news = event(&[created(&json), created(&foreign)]);
    let run = archive
        .tool()
        .arg("--event")
        .input(format!("{news}\n"))
        .run()
        .exits(0);
    let id =
        |locale| format!("thunderbird_nightly_2017-12-13-04-12-17_59-0a1_linux-x86_64_{locale}");
    assert_eq!(ids(&run), [id("en-us"), id("fr")], "{run}");
    assert_eq!(run.count("/dropped/no build"), 1, "{run}");
}

/// A missing folder is no error, as not every nightly is localised; a failed
#[test]
fn a_failed_listing_of_localised_builds_rejects_the_event() {
    let day = "pub/thunderbird/nightly/2017/12/2017-12-13-04-12-17-comm-central";
    let english = "thunderbird-59.0a1.en-US.linux-x86_64";
    let json = format!("{day}/{english}.json");
    let files = [format!("{english}.tar.bz2")];
    for (status, exit, failed) in [(404, 0, 0), (500, 65, 1)] {
        let archive = Archive::start([
            Answer::json(&format!("/{json}"), &metadata()),
            Answer::json(&format!("/{day}/"), &listing(&[], &[&files[0]])),
            Answer {
                status: Some(status),
                ..Answer::json(&format!("/{day}-l10n/"), &json!({}))
            },
        ]);
        let tool = archive.tool().args(["--event", "--tries", "2"]);
        let news = event(&[created(&json)]);
        let run = tool.input(format!("{news}\n{MARK}\n{END}\n")).run();
        assert_eq!(ids(&run).len(), 1, "{run}");
        assert_eq!(run.count("/rejected/failed"), failed, "{run}");
        assert_eq!(run.count("/notes/marks"), 1 - failed, "{run}");
        run.exits(exit);
    }
}

/// A long-running program finds versions that are published meanwhile.
#[test]
fn candidates_are_listed_again() {
    let folder = "/pub/firefox/candidates/54.0-candidates/";
    let place = format!("{folder}build1/win64/en-US/");
    let key = "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe";
    let input = text([line(key), line(key)]);
    let archive = Archive::start([
        Answer::json(CANDIDATES, &listing(&[], &[])),
        Answer::json(CANDIDATES, &listing(&["54.0-candidates/"], &[])),
        Answer::json(folder, &listing(&["build1/"], &[])),
        Answer::json(&place, &listing(&[], &["firefox-54.0.json"])),
        Answer::json(&format!("{place}firefox-54.0.json"), &metadata()),
    ]);
    let tool = || archive.tool().args(["--event", "--concurrency", "1"]);
    let run = tool().input(&*input).run().exits(0);
    assert_eq!(run.count("/dropped/no metadata yet"), 2, "{run}");
    let mut fed = Fed::new(tool().args(["--refresh", "0"]));
    for _ in 0..2 {
        fed.say(&line(key));
        fed.say(MARK);
        assert!(fed.hear().contains("54.0"));
        assert_eq!(fed.hear(), MARK);
    }
    fed.say(END);
    fed.hear();
    fed.finish().exits(0);
    let listed = archive
        .asked()
        .into_iter()
        .filter(|(path, _)| path == CANDIDATES)
        .count();
    assert_eq!(listed, 3);
}

/// An archive may be published before its metadata, or after them.
#[test]
fn missing_metadata_are_requested_again() {
    let missing = Answer {
        path: metadata_path(PLATFORM),
        status: Some(404),
        ..Answer::default()
    };
    let archive = Archive::start([missing].into_iter().chain(answers(&[PLATFORM])));
    let mut fed = Fed::new(archive.tool().arg("--event"));
    fed.say(&line(&key("fr", PLATFORM)));
    fed.say(MARK);
    assert_eq!(fed.hear(), MARK);
    fed.say(&line(&key("de", PLATFORM)));
    assert!(fed.hear().contains(&id("de", PLATFORM)));
    fed.say(END);
    let run = fed.finish().exits(0);
    assert_eq!(run.count("/dropped/no metadata yet"), 1, "{run}");
}

#[test]
fn the_event_of_a_deletion_is_dropped() {
    let archive = Archive::start(answers(&[PLATFORM]));
    for name in [
        "ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
    ] {
        let mut deleted = created(&key("de", PLATFORM));
        deleted["eventName"] = json!(name);
        deleted["s3"]["object"]
            .as_object_mut()
            .unwrap()
            .remove("size");
        let input = format!("{}\n", event(&[deleted, created(&key("fr", PLATFORM))]));
        let run = archive.tool().arg("--event").input(input).run().exits(0);
        assert_eq!(ids(&run), [id("fr", PLATFORM)], "{run}");
        assert_eq!(run.count("/dropped/deletion"), 1, "{run}");
    }
}

/// One odd folder concerns its own builds alone.
#[test]
fn odd_folders_of_candidates_are_skipped() {
    let odd = [
        "dante-candidates-old/",
        "2.0-candidates/",
        "3.0-candidates/",
    ];
    let mut all = answers(&[PLATFORM]);
    all[0] = Answer::json(CANDIDATES, &listing(&odd, &[]));
    // The third one is not there at all.
    let path = format!("{CANDIDATES}2.0-candidates/");
    all.push(Answer::json(&path, &listing(&["old/"], &["x.txt"])));
    let archive = Archive::start(all);
    let input = text([line(&key("fr", PLATFORM))]);
    let run = archive.tool().input(input).run().exits(0);
    assert_eq!(ids(&run), [id("fr", PLATFORM)], "{run}");
    for folder in odd {
        assert!(
            run.stderr.contains(&format!("{folder}: left out")),
            "{folder}: {run}"
        );
    }
}
