//! Repeated runs over objects that have changed.

use serde_json::{Value, json};

use super::{Objects, on_each_store, stored};
use crate::harness::backfill::Backfill;
use crate::harness::python;
use crate::harness::sample;
use crate::harness::stored::{Content, Kind, Store, contents};

on_each_store! {
    changed_objects_are_loaded_again
    two_keys_with_one_content_share_a_row
    reverted_content_renews_the_etag
    rows_of_other_programs_are_kept
    objects_deleted_after_the_listing_are_dropped
}

fn body(n: usize) -> Vec<u8> {
    sample::build(n).to_string().into_bytes()
}

fn pretty(n: usize) -> Vec<u8> {
    serde_json::to_vec_pretty(&sample::build(n)).unwrap()
}

fn objects(numbers: impl IntoIterator<Item = usize>) -> Vec<(String, Vec<u8>)> {
    let object = |n| (sample::key(n), body(n));
    numbers.into_iter().map(object).collect()
}

fn elasticsearch(kind: Kind) -> Option<u32> {
    (kind == Kind::Postgres).then_some(8)
}

fn changed_objects_are_loaded_again(kind: Kind) {
    let Some(all) = Backfill::new(kind, elasticsearch(kind)) else {
        return;
    };
    let before = stored(&all.bucket, &objects(0..6));
    all.run().clean();
    let rows = all.store.rows();

    // 1 and 2 have new content, 3 and 4 the same in other bytes.
    let changes = [
        (1, body(101)),
        (2, body(102)),
        (3, pretty(3)),
        (4, pretty(4)),
    ];
    let changes = changes.map(|(n, body)| (sample::key(n), body));
    let after = stored(&all.bucket, &changes);
    let done = all.run().clean();
    assert_eq!(done.counts("bh-filter"), json!([6, 4, {"known": 2}, {}]));
    assert_eq!(done.counts("bh-fetch"), json!([4, 4, {}, {}]));
    assert_eq!(
        done.counts("bh-load"),
        json!([4, 2, {"ETag renewed": 2}, {}])
    );

    let expected: Objects = [&before[..3], &before[5..], &after].concat();
    assert_eq!(all.store.contents(), contents(&expected));
    for old in rows {
        let now = all.store.rows();
        let mut now = now.into_iter().find(|row| row.id == old.id).unwrap();
        if now.key == Some(sample::key(3)) || now.key == Some(sample::key(4)) {
            assert_ne!(now.etag, old.etag);
            now.etag.clone_from(&old.etag);
        }
        assert_eq!(now, old, "nothing else of a row may change");
    }
    all.all_is_indexed();
    all.run().finds_nothing_new();
}

fn two_keys_with_one_content_share_a_row(kind: Kind) {
    let Some(all) = Backfill::new(kind, None) else {
        return;
    };
    let mut builds = objects(0..4);
    builds.push((sample::key(8), body(1)));
    builds.push((sample::key(9), pretty(1)));
    let builds = stored(&all.bucket, &builds);
    let done = all.run().clean();
    assert_eq!(done.counts("bh-load"), json!([6, 4, {"known": 2}, {}]));
    assert_eq!(all.store.contents(), contents(&builds[..4]));
    let dealt_with: Vec<_> = all
        .store
        .objects()
        .into_iter()
        .map(|[key, ..]| key)
        .collect();
    assert_eq!(dealt_with, [0, 1, 2, 3, 8, 9].map(sample::key));
    all.run().finds_nothing_new();

    // Under another key it is known, not renewed.
    let again = (sample::key(8), [body(1), b"\n".to_vec()].concat());
    stored(&all.bucket, &[again]);
    let done = all.run().clean();
    assert_eq!(done.counts("bh-load"), json!([1, 0, {"known": 1}, {}]));
    assert_eq!(all.store.contents(), contents(&builds[..4]));
    all.run().finds_nothing_new();
}

fn reverted_content_renews_the_etag(kind: Kind) {
    let Some(all) = Backfill::new(kind, elasticsearch(kind)) else {
        return;
    };
    let key = sample::key(0);
    let mut versions = Objects::new();
    for (n, loaded) in [
        (1, json!([1, 1, {}, {}])),
        (2, json!([1, 1, {}, {}])),
        (1, json!([1, 0, {"known": 1}, {}])),
    ] {
        versions.extend(stored(&all.bucket, &[(key.clone(), body(n))]));
        let done = all.run().clean();
        assert_eq!(done.counts("bh-load"), loaded, "{done}");
        all.run().finds_nothing_new();
    }
    assert_eq!(all.store.contents(), contents(&versions[..2]));
    let [[known, etag, hash]] = &all.store.objects()[..] else {
        panic!("one object, one memory")
    };
    let a = &contents(&versions[..1])[0];
    assert_eq!((known, etag, hash), (&key, &versions[0].1, &a.hash));
    all.all_is_indexed();
}

/// Inserts a row as Buildhub's own programs did.
fn plant(store: &Store, build: &Value, key: Option<&str>, etag: Option<&str>, metadata: &str) {
    let (hash, _) = python::reads([build.to_string().as_bytes()]).remove(0);
    let text = |text: Option<&str>| text.map_or("NULL".to_owned(), |text| format!("'{text}'"));
    store.execute(&format!(
        "INSERT INTO main_build
             (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         VALUES ('{hash}', '{build}', '{metadata}', '2019-01-01T00:00:00Z', {}, {})",
        text(key),
        text(etag)
    ));
}

fn rows_of_other_programs_are_kept(kind: Kind) {
    let Some(all) = Backfill::new(kind, None) else {
        return;
    };
    all.run().clean();
    let builds = stored(&all.bucket, &objects(0..5));
    let key = |n: usize| Some(builds[n].0.as_str());
    let etag = |n: usize| Some(builds[n].1.as_str());
    let build = sample::build;
    // 0: from Kinto. 1: no ETag. 2: without quotes, current. 3: outdated,
    // without quotes, other content. 4: outdated, same content.
    plant(
        &all.store,
        &build(0),
        None,
        None,
        r#"{"kinto-migration":true}"#,
    );
    plant(&all.store, &build(1), key(1), None, "{}");
    plant(&all.store, &build(2), key(2), etag(2), "{}");
    plant(&all.store, &build(103), key(3), Some("old"), "{}");
    plant(&all.store, &build(4), key(4), Some("old"), "{}");
    let rows = all.store.rows();

    let done = all.run().clean();
    assert_eq!(
        done.counts("bh-filter"),
        json!([5, 4, {"known": 1}, {}]),
        "{done}"
    );
    let dropped = json!({"known": 1, "ETag renewed": 2});
    assert_eq!(done.counts("bh-load"), json!([4, 1, dropped, {}]), "{done}");
    let mut now = all.store.rows();
    let new = now.iter().position(|row| row.id == 6).unwrap();
    assert_eq!(now.remove(new).content(), contents(&builds[3..4])[0]);
    let expected: Vec<_> = rows
        .into_iter()
        .map(|mut row| {
            for n in [1, 4] {
                if row.key.as_deref() == key(n) {
                    row.etag = etag(n).map(|etag| format!("\"{etag}\""));
                }
            }
            row
        })
        .collect();
    assert_eq!(now, expected);
    all.run().finds_nothing_new();
    assert_eq!(all.store.rows().len(), 6);
}

fn objects_deleted_after_the_listing_are_dropped(kind: Kind) {
    let Some(all) = Backfill::new(kind, None) else {
        return;
    };
    let builds = stored(&all.bucket, &objects(0..4));
    let listed = all.tool("s3-list").run().exits(0);
    all.bucket.delete(&sample::key(2));
    let done = all.run_from("bh-filter", listed.stdout).clean();
    assert_eq!(done.counts("bh-fetch"), json!([4, 3, {"gone": 1}, {}]));
    let said = done.stage("bh-fetch").stderr.contains("not found: s3://");
    assert!(
        said && done.stage("bh-fetch").stderr.contains(&sample::key(2)),
        "{done}"
    );
    let left: Vec<Content> = contents(&[&builds[..2], &builds[3..]].concat());
    assert_eq!(all.store.contents(), left);
    all.all_is_confirmed();
}
