//! --skip-unchanged: records that the server has are not sent.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{holds, lines, load};
use crate::harness::kinto::{Kinto, id_of, release};
use crate::harness::{Run, folder};

/// Loads `records` with --skip-unchanged and the cache in `folder`.
fn skip_unchanged(kinto: &Kinto, folder: &TempDir, records: &[Value]) -> Run {
    let tool = load(kinto).arg("--skip-unchanged");
    let tool = tool.arg("--cache-folder").arg(folder.path());
    tool.input(lines(records)).run().exits(0)
}

#[test]
fn unchanged_records_are_not_sent() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..2_000);
    let mut all: Vec<_> = (0..2_000).map(release).collect();
    let folder = folder();
    let run = |all: &[_], counts: (u64, u64)| -> Run {
        let run = skip_unchanged(&kinto, &folder, all);
        let found = (run.count("/out"), run.count("/dropped/unchanged"));
        assert_eq!(found, counts, "{run}");
        holds(&kinto, all);
        run
    };
    let etag = || {
        kinto
            .ask("GET", &format!("{}?_limit=1", kinto.records_path()), None)
            .1
    };
    let before = etag();
    run(&all, (0, 2_000));
    run(&all, (0, 2_000));
    assert_eq!(etag(), before, "something was written");

    all[5]["target"]["version"] = json!("5.0");
    let gone = format!("{}/{}", kinto.records_path(), id_of(&all[9]));
    assert_eq!(kinto.ask("DELETE", &gone, None).0, 200);
    run(&all, (2, 1_998));
    run(&all, (0, 2_000));

    let caches: Vec<_> = folder.path().read_dir().unwrap().collect();
    let [Ok(cache)] = &caches[..] else {
        panic!("{caches:?}")
    };
    let whole = std::fs::read(cache.path()).unwrap();
    std::fs::write(cache.path(), &whole[..whole.len() / 2]).unwrap();
    run(&all, (0, 2_000));
}

#[test]
fn a_recreated_collection_receives_every_record() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..50);
    let all: Vec<_> = (0..50).map(release).collect();
    let folder = folder();
    let run = |out: u64| {
        let run = skip_unchanged(&kinto, &folder, &all);
        assert_eq!(run.count("/out"), out, "{run}");
        holds(&kinto, &all);
    };
    run(0);
    let records = kinto.records_path();
    let collection = records.strip_suffix("/records").unwrap();
    assert_eq!(kinto.ask("DELETE", collection, None).0, 200);
    assert_eq!(kinto.ask("PUT", collection, None).0, 201);
    run(50);
}

/// Two builds may have one id: what is there is what the last one said, and
/// nothing is written when it is there already.
#[test]
fn the_last_of_two_records_with_one_id_is_stored() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..50);
    let mut all: Vec<_> = (0..50).map(release).collect();
    all[5]["target"]["version"] = json!("first");
    let mut twin = release(5);
    twin["target"]["version"] = json!("twin");
    let folder = folder();
    let run = |input: &[Value], options: &[&str]| -> u64 {
        let tool = load(&kinto).arg("--skip-unchanged").args(options);
        let tool = tool.arg("--cache-folder").arg(folder.path());
        let run = tool.input(lines(input)).run().exits(0);
        let mut expected = all.clone();
        if input.last() == Some(&twin) {
            expected[5] = twin.clone();
        }
        holds(&kinto, &expected);
        let kept = run.count("/dropped/unchanged") + run.count("/dropped/superseded");
        assert_eq!(run.count("/out") + kept, input.len() as u64, "{run}");
        run.count("/out")
    };
    let both: Vec<_> = all.iter().chain([&twin]).cloned().collect();
    let apart = ["--batch-size=1"];
    assert_eq!(run(&both, &apart), 2);
    for _ in 0..2 {
        assert_eq!(run(&both, &apart), 0);
    }
    // The later one comes no more.
    assert_eq!(run(&all, &apart), 1);
    assert_eq!(run(&all, &apart), 0);
    // In one batch nothing has to be learnt.
    assert_eq!(run(&both, &[]), 1);
    for cache in folder.path().read_dir().unwrap() {
        std::fs::remove_file(cache.unwrap().path()).unwrap();
    }
    assert_eq!(run(&both, &[]), 0);
    assert_eq!(run(&both, &apart), 0);
}

/// As after a restore: as many records as before, and a later change.
#[test]
fn a_server_that_was_set_back_gets_what_it_lost() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..50);
    let mut all: Vec<_> = (0..50).map(release).collect();
    all[5]["target"]["version"] = json!("lost");
    let folder = folder();
    let run = |out: u64| {
        let run = skip_unchanged(&kinto, &folder, &all);
        assert_eq!(run.count("/out"), out, "{run}");
        holds(&kinto, &all);
    };
    run(1);
    run(0);
    let parent = kinto.records_path().replace("/records", "");
    let forget = "DELETE FROM objects WHERE parent_id = $1 AND id = $2";
    let id = id_of(&all[5]);
    assert_eq!(kinto.client().execute(forget, &[&parent, &id]).unwrap(), 1);
    kinto.fill(5..6);
    let mut other = release(7);
    other["target"]["version"] = json!("other");
    let path = format!("{}/{}", kinto.records_path(), id_of(&all[7]));
    let put = kinto.ask("PUT", &path, Some(&json!({"data": other})));
    assert_eq!(put.0, 200, "{put:?}");
    run(2);
    run(0);
}
