//! bh-audit.

mod beside;
mod collations;
mod ends;

use serde_json::{Value, json};

use crate::harness::backfill::Backfill;
use crate::harness::sample::{build, key};
use crate::harness::stored::Kind;
use crate::harness::units::marks;
use crate::harness::{Run, Tool};
use crate::pipeline::on_each_store;

const ALL: &str = "--kind=missing,changed,extra";

fn audit(all: &Backfill, args: &[&str]) -> Tool {
    let tool = Tool::new("bh-audit").args(["--database", &all.store.url()]);
    tool.args(args.iter().copied())
}

/// A new listing of a part of the bucket.
fn listing(all: &Backfill, prefix: &str) -> Vec<u8> {
    let tool = all.bucket.tool("s3-list");
    let listed = tool.arg(format!("{}/{prefix}", all.bucket.url())).run();
    listed.exits(0).stdout
}

fn bytes(n: usize) -> Vec<u8> {
    build(n).to_string().into_bytes()
}

/// A bucket with the objects 0 to 5, all of them loaded, another kind of file, and an object
/// that is known to be bad.
fn loaded(kind: Kind) -> Option<Backfill> {
    let mut all = Backfill::new(kind, None)?;
    all.records_rejects = true;
    let good = (0..6).map(|n| (key(n), bytes(n)));
    let others = [
        ("pub/x.txt".to_owned(), b"x".to_vec()),
        (key(9), b"{}".to_vec()),
    ];
    all.bucket.put_all(good.chain(others));
    all.run().exit(&[0, 0, 0, 65, 0]);
    Some(all)
}

/// What differs: each key with its kind.
fn differences(run: &Run) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let records = run.records().into_iter();
    let mut found: Vec<_> = records
        .map(|record| (text(&record["key"]), text(&record["audit"])))
        .collect();
    found.sort();
    found
}

fn counts(run: &Run) -> [u64; 3] {
    ["missing", "changed", "extra"].map(|name| run.count(&format!("/notes/{name}")))
}

#[track_caller]
fn is_clean(run: Run) -> Run {
    assert_eq!((differences(&run), counts(&run)), (vec![], [0; 3]), "{run}");
    run.exits(0)
}

fn each_difference_is_found_and_the_printed_lines_mend(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let clean = is_clean(audit(&all, &[ALL]).input(listing(&all, "")).run());
    assert_eq!(
        clean.summary["dropped"],
        json!({"known": 6, "known bad": 1, "other keys": 1})
    );

    let row = format!("s3_object_key = '{}'", key(0));
    all.store
        .execute(&format!("DELETE FROM main_build WHERE {row}"));
    all.bucket.put(&key(1), bytes(11));
    all.bucket.put(&key(7), bytes(7));
    all.bucket.delete(&key(2));
    let run = audit(&all, &[ALL]).input(listing(&all, "")).run().exits(65);
    let named = |n: usize, kind: &str| (key(n), kind.to_owned());
    assert_eq!(
        differences(&run),
        [
            named(0, "missing"),
            named(1, "changed"),
            named(2, "extra"),
            named(7, "missing")
        ]
    );
    assert_eq!(counts(&run), [2, 1, 1]);
    run.says(" differs from the listing: 2 missing, 1 changed, 1 extra");
    // The whole line is passed, with the kind added.
    let lines = String::from_utf8(listing(&all, "")).unwrap();
    let printed = audit(&all, &[]).input(lines.clone()).run().exits(65);
    assert_eq!(counts(&printed), [2, 1, 1]);
    let text = String::from_utf8(printed.stdout.clone()).unwrap();
    let passed = text.lines().filter(|line| line.contains("\"audit\""));
    for line in passed {
        let original = line.rsplit_once(",\"audit\":").unwrap().0;
        assert!(lines.contains(&format!("{original}}}\n")), "{line}");
    }
    let one = audit(&all, &["--kind=changed"])
        .input(lines)
        .run()
        .exits(65);
    assert_eq!(differences(&one), [named(1, "changed")]);

    let fetched = all.tool("bh-fetch").input(printed.stdout).run().exits(0);
    let valid = all.tool("bh-validate").input(fetched.stdout).run().exits(0);
    let stored = all.unmarked("bh-load").input(valid.stdout).run();
    assert_eq!(stored.exits(0).count("/out"), 3);
    let run = audit(&all, &[ALL]).input(listing(&all, "")).run().exits(65);
    assert_eq!(differences(&run), [named(2, "extra")]);
}

/// The order of the lines says nothing, and what is extra comes before the last mark.
fn extra_objects_belong_to_the_last_unit(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    all.bucket.delete(&key(3));
    all.bucket.delete(&key(4));
    let run = audit(&all, &[ALL]).input(listing(&all, "")).run().exits(65);
    assert_eq!(counts(&run), [0, 0, 2]);
    let units: Vec<Value> = marks(&run.stdout);
    assert!(units[units.len() - 2].get("listed").is_some(), "{run}");
    assert_eq!(units[units.len() - 2]["counts"][1]["made"], 2, "{run}");
    let next = Tool::new("bh-filter").arg("--no-known").input(run.stdout);
    assert_eq!(next.run().exits(0).count("/out"), 2);
}

fn only_what_was_listed_can_be_extra(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    (0..6).for_each(|n| all.bucket.delete(&key(n)));
    let pages: Vec<String> = (0..4).map(key).collect();
    let bounds = ["--after", &pages[1], "--through", &pages[3]];
    let tool = all.bucket.tool("s3-list").args(bounds);
    let part = tool.arg(all.bucket.url()).run().exits(0).stdout;
    let run = audit(&all, &[ALL]).input(part).run().exits(65);
    let extra = |n: usize| (key(n), "extra".to_owned());
    assert_eq!(differences(&run), [extra(2), extra(3)]);
    let elsewhere = listing(&all, "elsewhere/");
    is_clean(audit(&all, &[ALL]).input(elsewhere).run());
    let other = audit(&all, &[ALL, "--key-regex", "/00005/"]);
    let run = other.input(listing(&all, "")).run().exits(65);
    assert_eq!(differences(&run), [extra(5)]);
    // Lines that somebody dropped were not looked for.
    let listed = String::from_utf8(listing(&all, "pub/")).unwrap();
    let cut: String = listed
        .lines()
        .filter(|line| !line.contains("x.txt"))
        .fold(String::new(), |text, line| text + line + "\n");
    is_clean(audit(&all, &[ALL, "--allow-drops"]).input(cut).run());
}

/// Two keys with one content, one content that came back, rows without a key or an ETag.
fn objects_without_a_row_of_their_own_are_there(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    all.bucket.put(&key(20), bytes(0));
    all.bucket.put(&key(1), bytes(21));
    all.run().clean();
    all.bucket.put(&key(1), bytes(1));
    all.bucket.put(&key(22), bytes(22));
    all.run().clean();
    all.store.execute(&format!(
        "DELETE FROM bh_object WHERE key IN ('{0}', '{1}');
         UPDATE main_build SET s3_object_etag = NULL WHERE s3_object_key = '{0}';
         UPDATE main_build SET s3_object_key = NULL, s3_object_etag = NULL
             WHERE s3_object_key = '{2}'",
        key(22),
        key(4),
        key(5)
    ));
    all.store
        .execute(&format!("DELETE FROM bh_object WHERE key = '{}'", key(5)));
    all.bucket.delete(&key(5));
    is_clean(audit(&all, &[ALL]).input(listing(&all, "")).run());
    all.bucket.delete(&key(20));
    let run = audit(&all, &[ALL]).input(listing(&all, "")).run().exits(65);
    assert_eq!(differences(&run), [(key(20), "extra".to_owned())]);
}

on_each_store! {
    each_difference_is_found_and_the_printed_lines_mend
    extra_objects_belong_to_the_last_unit
    only_what_was_listed_can_be_extra
    objects_without_a_row_of_their_own_are_there
}
