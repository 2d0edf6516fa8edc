//! --skip-unchanged: records that the server has are not sent.

use serde_json::json;

use super::{holds, lines, load};
use crate::harness::kinto::{Kinto, id_of, release};
use crate::harness::{Run, folder};

#[test]
fn unchanged_records_are_not_sent() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..2_000);
    let mut all: Vec<_> = (0..2_000).map(release).collect();
    let folder = folder();
    let run = |all: &[_], counts: (u64, u64)| -> Run {
        let tool = load(&kinto).arg("--skip-unchanged");
        let tool = tool.arg("--cache-folder").arg(folder.path());
        let run = tool.input(lines(all)).run().exits(0);
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
        let tool = load(&kinto).arg("--skip-unchanged");
        let tool = tool.arg("--cache-folder").arg(folder.path());
        let run = tool.input(lines(&all)).run().exits(0);
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
