//! Objects that are not builds are rejected with their reason; unusual
//! builds are loaded.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{on_each_store, stored};
use crate::harness::Tool;
use crate::harness::backfill::{Backfill, STAGES};
use crate::harness::sample;
use crate::harness::stored::{Kind, contents};

on_each_store! {
    bad_objects_are_rejected_alone
    odd_objects_are_loaded
}

fn key(name: &str) -> String {
    format!("pub/{name}/buildhub.json")
}

/// The sample build with `text` in place of the member `name` of `part`.
fn with(part: &str, name: &str, text: &str) -> Vec<u8> {
    let mut build = sample::build(0);
    build[part][name] = json!("PLACE");
    build.to_string().replace("\"PLACE\"", text).into_bytes()
}

fn without(part: &str, name: &str) -> Vec<u8> {
    let mut build = sample::build(0);
    let members = match part {
        "" => &mut build,
        part => &mut build[part],
    };
    members.as_object_mut().unwrap().remove(name).unwrap();
    build.to_string().into_bytes()
}

fn without_object(part: &str) -> Vec<u8> {
    let mut build = sample::build(0);
    build[part] = json!("text");
    build.to_string().into_bytes()
}

/// A bad object: its name, its bytes, and the expected reject: stage,
/// kind, pointer, and a part of the message or of the violation's keyword.
type Bad = (String, Vec<u8>, [&'static str; 4]);

fn bad_objects() -> Vec<Bad> {
    let good = sample::build(0).to_string().into_bytes();
    let text = |text: &str| text.as_bytes().to_vec();
    let fetch = |kind, message| ["bh-fetch", kind, "", message];
    let schema = |pointer, keyword| ["bh-validate", "schema", pointer, keyword];
    let load = |kind, pointer, message| ["bh-load", kind, pointer, message];
    let mut invalid = good.clone();
    invalid[3] = 0xff;
    let named =
        |(name, body, refusal): (&str, Vec<u8>, [&'static str; 4])| (key(name), body, refusal);
    let mut bad: Vec<Bad> = [
        ("empty", text(""), fetch("not_json", "empty")),
        ("blank", text(" \n"), fetch("not_json", "")),
        (
            "cut",
            good[..good.len() / 2].to_vec(),
            fetch("not_json", ""),
        ),
        (
            "html",
            text("<html>no such key</html>"),
            fetch("not_json", ""),
        ),
        ("two", [&good[..], b"{}"].concat(), fetch("not_json", "")),
        (
            "trailing-comma",
            text("{\"build\":{},}"),
            fetch("not_json", ""),
        ),
        (
            "raw-nul",
            with("source", "tree", "\"a\0b\""),
            fetch("not_json", ""),
        ),
        (
            "utf-8",
            invalid,
            fetch("not_json", "invalid UTF-8 at byte 3"),
        ),
        (
            "half-utf-16",
            vec![0xff, 0xfe, b'{', 0, b'}'],
            fetch("not_json", "UTF-16LE"),
        ),
        (
            "array",
            [b"[", &good[..], b"]"].concat(),
            fetch("not_an_object", "array"),
        ),
        ("null", text("null"), fetch("not_an_object", "null")),
        ("string", text("\"{}\""), fetch("not_an_object", "string")),
        (
            "large",
            with("build", "cc", &format!("\"{}\"", "x".repeat(70_000))),
            fetch("too_large", "--max-size 65536"),
        ),
        (
            "NaN",
            with("download", "size", "NaN"),
            fetch("not_json", "NaN"),
        ),
        (
            "1e400",
            with("build", "number", "1e400"),
            schema("/build/number", "type"),
        ),
        (
            "true",
            with("build", "number", "true"),
            schema("/build/number", "type"),
        ),
        (
            "1.5",
            with("download", "size", "1.5"),
            schema("/download/size", "type"),
        ),
        (
            "text-for-object",
            without_object("source"),
            schema("/source", "type"),
        ),
        ("required", without("", "target"), schema("", "required")),
        (
            "required-below",
            without("source", "product"),
            schema("/source", "required"),
        ),
        (
            "additional",
            with("build", "extra", "1"),
            schema("/build", "additionalProperties"),
        ),
        (
            "beos",
            with("target", "os", "\"beos\""),
            schema("/target/os", "enum"),
        ),
        (
            "nul",
            with("source", "tree", r#""a\u0000b""#),
            load("unstorable", "/source/tree", "NUL"),
        ),
        (
            "surrogate",
            with("build", "as", r#""\ud83d x""#),
            load("unstorable", "/build/as", "surrogate"),
        ),
    ]
    .map(named)
    .into();
    let too_long = format!("pub/{}/{}/buildhub.json", "x".repeat(200), "y".repeat(182));
    assert_eq!(too_long.len(), 401);
    bad.push((too_long, good, load("too_long", "", "401 characters")));
    bad
}

fn bad_objects_are_rejected_alone(kind: Kind) {
    let elasticsearch = (kind == Kind::Postgres).then_some(8);
    let Some(all) = Backfill::new(kind, elasticsearch) else {
        return;
    };
    let all = all
        .with("bh-fetch", "--max-size=64K")
        .with("s3-list", "--page-size=7");
    let bad = bad_objects();
    let objects: Vec<_> = bad
        .iter()
        .map(|(key, body, _)| (key.clone(), body.clone()))
        .collect();
    stored(&all.bucket, &objects);
    let good: Vec<_> = (1..30)
        .map(|n| {
            (
                key(&format!("{n}")),
                sample::build(n).to_string().into_bytes(),
            )
        })
        .collect();
    let good = stored(&all.bucket, &good);

    let done = all.run().exit(&[0, 0, 65, 65, 65]);
    assert_eq!(all.store.contents(), contents(&good), "{done}");
    all.all_is_indexed();
    all.all_is_confirmed();
    let expected: BTreeSet<_> = bad
        .iter()
        .map(|(key, _, [stage, kind, pointer, _])| {
            [key.as_str(), stage, kind, pointer].map(str::to_owned)
        })
        .collect();
    assert_eq!(all.refusals(), expected);
    let rejects: Vec<Value> = STAGES.iter().flat_map(|stage| all.rejects(stage)).collect();
    for (key, _, [stage, kind, _, what]) in &bad {
        let named: Vec<&Value> = rejects.iter().filter(|line| line["key"] == **key).collect();
        let [reject] = named[..] else {
            panic!("{key}: {named:?}")
        };
        assert_eq!(reject["bucket"], *all.bucket.name);
        assert!(
            reject["etag"].is_string() && reject["size"].is_u64(),
            "{reject}"
        );
        assert_eq!(reject.get("build").is_some(), *stage != "bh-fetch", "{key}");
        let error = &reject["error"];
        assert!(error["line"].as_u64() > Some(0), "{error}");
        if *kind == "schema" {
            let keywords = error["violations"].as_array().unwrap();
            assert!(
                keywords.iter().any(|one| one["keyword"] == *what),
                "{error}"
            );
            let message = error["message"].as_str().unwrap();
            // The message quotes the value in the notation of the document.
            for value in ["true", "1.5", "beos"] {
                let named = format!("pub/{value}/");
                assert!(
                    !key.starts_with(&named) || message.contains(value),
                    "{error}"
                );
            }
        } else {
            assert!(error["message"].as_str().unwrap().contains(what), "{error}");
        }
    }
    let counts = done.stage("bh-validate").summary["rejected"].clone();
    assert_eq!(counts, json!({"schema": 8}), "{done}");
    let path = "~1properties~1target~1properties~1os~1enum";
    let label = format!("/notes/violations of {path}");
    assert_eq!(done.stage("bh-validate").count(&label), 1, "{done}");

    // Bad objects are not known, so they are fetched again until they are
    // repaired.
    let again = all.run().exit(&[0, 0, 65, 65, 65]);
    assert_eq!(again.stage("bh-filter").count("/out"), bad.len() as u64);
    assert_eq!(again.stage("bh-load").count("/in"), 3);
    assert_eq!(all.store.contents(), contents(&good), "{again}");
}

/// The reason quotes the number of the document, not its rounded value.
#[test]
fn a_reject_quotes_a_number_as_written() {
    for number in ["1e400", "-1e999"] {
        let build = with("build", "number", number);
        let validate = Tool::new("bh-validate").arg("--bare");
        let expected = format!("schema: {number} is not of type \"integer\" at \"/build/number\"");
        validate.input(build).run().exits(65).says(&expected);
    }
}

/// Objects that CPython reads as valid builds.
fn odd_objects() -> Vec<(String, Vec<u8>)> {
    let build = |n: usize| sample::build(n).to_string();
    let utf16 = |text: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    };
    let utf32 = |text: &str, bytes: fn(u32) -> [u8; 4]| -> Vec<u8> {
        text.chars().flat_map(|c| bytes(c as u32)).collect()
    };
    let replaced = |n: usize, old: &str, new: &str| {
        let build = build(n);
        assert!(build.contains(old), "{build}");
        build.replace(old, new).into_bytes()
    };
    let text = |n: usize| build(n).replace("en-US", "ä ☃ 🦊 \\ud83e\\udd8a \\u00e9 \u{7f} \\/");
    let size = |n: usize| format!("\"size\":{}", 50_000_000 + n);
    let number = |n: usize| format!("\"number\":{}", n % 7);
    let long = "x".repeat(5 << 20);
    [
        ("bom", [b"\xef\xbb\xbf", build(1).as_bytes()].concat()),
        (
            "utf-16-le-bom",
            utf16(&format!("\u{feff}{}", text(2)), u16::to_le_bytes),
        ),
        (
            "utf-16-be-bom",
            utf16(&format!("\u{feff}{}", text(3)), u16::to_be_bytes),
        ),
        ("utf-16-le", utf16(&text(4), u16::to_le_bytes)),
        ("utf-16-be", utf16(&text(5), u16::to_be_bytes)),
        ("utf-32-le", utf32(&text(6), u32::to_le_bytes)),
        (
            "utf-32-be-bom",
            utf32(&format!("\u{feff}{}", text(7)), u32::to_be_bytes),
        ),
        ("unicode", text(8).into_bytes()),
        (
            "duplicates",
            replaced(
                9,
                "{\"build\":{",
                "{\"build\":{\"extra\":1},\"build\":{\"id\":\"-\",",
            ),
        ),
        ("float", replaced(10, &size(10), "\"size\":1234.0")),
        ("exponent", replaced(11, &size(11), "\"size\":1.5e3")),
        ("minus-zero", replaced(12, &number(12), "\"number\":-0")),
        (
            "minus-zero-float",
            replaced(13, &number(13), "\"number\":-0.0"),
        ),
        ("1e16", replaced(14, &number(14), "\"number\":1e16")),
        (
            "huge",
            replaced(
                15,
                &number(15),
                "\"number\":340282366920938463463374607431768211456",
            ),
        ),
        (
            "date",
            replaced(16, "2019-01-01T10:00:00Z", "2019-01-01 10:00:00.123456"),
        ),
        (
            "pretty",
            serde_json::to_vec_pretty(&sample::build(17)).unwrap(),
        ),
        (
            "crlf",
            serde_json::to_string_pretty(&sample::build(18))
                .unwrap()
                .replace('\n', "\r\n")
                .into_bytes(),
        ),
        ("spaces", format!("\t {} \n\n", build(19)).into_bytes()),
        ("long", replaced(20, "/usr/bin/as", &long)),
        ("empty-build", {
            let mut build = sample::build(21);
            build["build"] = json!({});
            build.to_string().into_bytes()
        }),
    ]
    .map(|(name, body)| (key(name), body))
    .into()
}

fn odd_objects_are_loaded(kind: Kind) {
    let Some(all) = Backfill::new(kind, None) else {
        return;
    };
    let objects = stored(&all.bucket, &odd_objects());
    let done = all.run().clean();
    assert_eq!(all.store.contents(), contents(&objects), "{done}");
    all.run().finds_nothing_new();
}

#[test]
fn odd_objects_are_indexed() {
    let Some(all) = Backfill::new(Kind::Postgres, Some(8)) else {
        return;
    };
    // Values out of range for a date or a long are tested elsewhere.
    let strange = ["date", "huge"].map(key);
    let mut objects = odd_objects();
    objects.retain(|(key, _)| !strange.contains(key));
    let objects = stored(&all.bucket, &objects);
    let done = all.run().clean();
    assert_eq!(all.store.contents(), contents(&objects), "{done}");
    all.all_is_indexed();
}
