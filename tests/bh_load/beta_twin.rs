//! --beta-twin stores releases of Firefox in the channel beta, too.

use serde_json::{Value, json};

use crate::harness::Tool;
use crate::harness::sample::{build, key, ndjson, python_hash};
use crate::harness::stored::{Kind, Store};

fn record(n: usize, build: &Value) -> Value {
    json!({"bucket": "b", "key": key(n), "etag": format!("e{n}"), "size": 9, "build": build})
}

/// Returns a build of this product and channel.
fn of(n: usize, product: &str, channel: &str) -> Value {
    let mut build = build(n);
    build["source"]["product"] = product.into();
    build["target"]["channel"] = channel.into();
    build
}

#[test]
fn a_release_of_firefox_is_stored_as_beta_too() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let Some(store) = Store::new(kind) else {
            continue;
        };
        let builds = [
            of(0, "firefox", "release"),
            of(1, "firefox", "nightly"),
            of(2, "thunderbird", "release"),
            of(3, "firefox", "release-localtest"),
            of(4, "firefox", "release"),
        ];
        let mut input = ndjson(&[
            json!({"mark": {"begin": {"run": "r", "source": "s", "part": null,
            "started": "2026-01-01T00:00:00Z", "criteria": {}}}}),
        ]);
        let records = builds.iter().enumerate().map(|(n, build)| record(n, build));
        input.extend(ndjson(&records.collect::<Vec<_>>()));
        input.extend(ndjson(&[
            json!({"mark": {"listed": {"run": "r", "after": null, "through": null},
                "counts": [{"stage": "s3-list", "out": 5}]}}),
            json!({"mark": {"end": {"run": "r", "units": 1, "as_of": "2026-01-01T00:00:00Z"}}}),
        ]));
        let load = || {
            let tool = Tool::new("bh-load").args(["--database", &store.url(), "--marks"]);
            tool.args(["--beta-twin"])
                .input(input.clone())
                .run()
                .exits(0)
        };
        let run = load();
        assert_eq!((run.count("/in"), run.count("/made")), (5, 2), "{run}");
        assert_eq!(run.count("/out"), 7, "{run}");
        let mark = &run.lines()[1]["mark"];
        assert_eq!(
            mark["counts"][1],
            json!({"stage": "bh-load", "in": 5, "made": 2, "stored": 7})
        );
        let run = run.says("5 listed + 2 made = 7 there");
        let twins = [of(0, "firefox", "beta"), of(4, "firefox", "beta")];
        let twins = [0, 4].into_iter().zip(twins);
        let mut expected: Vec<_> = builds.into_iter().enumerate().chain(twins).collect();
        expected.sort_by_cached_key(|(_, build)| python_hash(build));
        let rows = store.contents();
        assert_eq!(rows.len(), 7, "{run}");
        for (row, (n, build)) in rows.iter().zip(&expected) {
            assert_eq!(row.hash, python_hash(build));
            assert_eq!(row.build, *build);
            assert_eq!(row.key, Some(key(*n)));
            assert_eq!(row.etag, Some(format!("\"e{n}\"")));
        }
        // Both are known now, and bh-filter leaves the object out.
        let run = load();
        assert_eq!(
            (run.count("/out"), run.count("/dropped/known")),
            (0, 7),
            "{run}"
        );
        let filter = Tool::new("bh-filter").args(["--database", &store.url()]);
        let listed: Vec<Value> = (0..5)
            .map(|n| json!({"bucket": "b", "key": key(n), "etag": format!("e{n}")}))
            .collect();
        let run = filter.input(ndjson(&listed)).run().exits(0);
        assert_eq!(run.count("/dropped/known"), 5, "{run}");
    }
}

#[test]
fn without_the_flag_a_release_is_stored_once() {
    let store = Store::new(Kind::Sqlite).unwrap();
    let tool = Tool::new("bh-load").args(["--database", &store.url()]);
    let input = ndjson(&[record(0, &of(0, "firefox", "release"))]);
    let run = tool.input(input).run().exits(0);
    assert_eq!((run.count("/made"), run.count("/out")), (0, 1), "{run}");
    assert_eq!(store.rows().len(), 1);
}
