//! Every legal key is loaded, and any number of keys.

use serde_json::json;

use super::{on_each_store, stored};
use crate::harness::backfill::Backfill;
use crate::harness::sample;
use crate::harness::stored::{Kind, contents};

on_each_store! {
    awkward_keys_are_loaded
}

const NAMES: &[&str] = &[
    "a b",
    " ",
    "+",
    "a+b c",
    "%",
    "%41",
    "%2F",
    "%zz",
    "&amp;",
    "a&b=c;d",
    "?x=1",
    "#1",
    "\"",
    "'",
    "`$(id)`",
    "\\",
    "\\n",
    "\\u0041",
    "<a>",
    "]]>",
    "{}",
    "[x]",
    "*",
    "|",
    "~",
    "^",
    ":",
    "@",
    "!",
    "\t",
    "\n",
    "\r",
    "\u{1}",
    "\u{1f}",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{feff}",
    "e\u{301}",
    "é",
    "ß",
    "ñ",
    "العربية",
    "最初",
    "🦊",
    "\u{10ffff}",
    "\u{fffd}",
    "-",
    "--help",
    "..a",
    "a.",
    "null",
    "s3:b",
];

/// Returns a key of `bytes` bytes, with segments as long as the server allows.
fn long_key(character: &str, bytes: usize) -> String {
    let mut key = String::new();
    let end = "/buildhub.json";
    while bytes - end.len() - key.len() > 201 {
        key += &character.repeat(200 / character.len());
        key.push('/');
    }
    let rest = bytes - end.len() - key.len();
    key += &character.repeat(rest / character.len());
    key += &"x".repeat(rest % character.len());
    key + end
}

fn awkward_keys_are_loaded(kind: Kind) {
    let Some(all) = Backfill::new(kind, None) else {
        return;
    };
    // Each key is the last of some page.
    let all = all.with("s3-list", "--page-size=1");
    let mut keys: Vec<_> = NAMES
        .iter()
        .map(|name| format!("p/{name}/buildhub.json"))
        .collect();
    keys.extend(
        NAMES
            .iter()
            .step_by(3)
            .map(|name| format!("{name}buildhub.json")),
    );
    keys.extend([
        long_key("x", 400),
        long_key("é", 700),
        long_key("🦊", 1024),
        "buildhub.json".to_owned(),
    ]);
    assert_eq!(long_key("🦊", 1024).len(), 1024);
    let objects: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| (key.clone(), sample::build(n).to_string().into_bytes()))
        .collect();
    let objects = stored(&all.bucket, &objects);
    all.bucket
        .put(&long_key("x", 1024), sample::build(9999).to_string());

    let done = all.run().exit(&[0, 0, 0, 0, 65]);
    assert_eq!(all.store.contents(), contents(&objects), "{done}");
    let [reject] = &all.rejects("bh-load")[..] else {
        panic!("{done}")
    };
    assert_eq!(reject["key"], long_key("x", 1024));
    assert_eq!(reject["error"]["kind"], "too_long");
    all.all_is_confirmed();

    all.bucket.delete(&long_key("x", 1024));
    all.run().finds_nothing_new();
}

/// Some listings of the server end with an empty page.
#[test]
fn buckets_of_any_size_are_loaded() {
    let Some(all) = Backfill::new(Kind::Sqlite, None) else {
        return;
    };
    // Every tenth is a build; all are small, and are added as the bucket grows.
    let object = |n: usize| match n % 10 {
        0 => (
            format!("{n:05}/buildhub.json"),
            sample::build(n).to_string().into_bytes(),
        ),
        _ => (format!("{n:05}/notes"), b"x".to_vec()),
    };
    let mut objects = Vec::new();
    for total in [0, 1, 999, 1000, 1001, 2000, 3000] {
        let before = objects.len();
        let new: Vec<_> = (before..total).map(object).collect();
        objects.extend(stored(&all.bucket, &new));
        let done = all.run().clean();
        assert_eq!(
            done.counts("s3-list"),
            json!([total, total, {}, {}]),
            "{done}"
        );
        let new = total.div_ceil(10) - before.div_ceil(10);
        assert_eq!(done.counts("bh-load"), json!([new, new, {}, {}]), "{done}");
        all.all_is_confirmed();
        let end = done.stage("bh-load").lines().pop().unwrap();
        assert_eq!(end["mark"]["end"]["records"], total, "{done}");
    }
    let builds: Vec<_> = objects.into_iter().step_by(10).collect();
    assert_eq!(all.store.contents(), contents(&builds));
    all.run().finds_nothing_new();
}
