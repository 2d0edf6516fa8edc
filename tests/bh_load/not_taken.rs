//! What a database leaves out without an error is found out, not assumed.

use serde_json::{Value, json};

use crate::harness::backfill;
use crate::harness::elastic::Index;
use crate::harness::postgres::Database;
use crate::harness::protocol::held;
use crate::harness::sample::{self, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, folder};
use crate::pipeline::on_each_store;

on_each_store! {
    rows_that_a_trigger_leaves_out_are_rejected
    etags_that_a_trigger_keeps_out_are_rejected
    a_row_that_a_trigger_forbids_is_rejected_alone
}

fn loader(url: &str) -> Tool {
    Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", url])
}

fn page(n: usize) -> Value {
    json!({"mark": {"listed": {"run": "r", "after": null, "through": sample::key(n)}}})
}

fn end() -> Value {
    json!({"mark": {"end": {"run": "r"}}})
}

/// A function for triggers in PostgreSQL.
fn function(body: &str) -> String {
    format!("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body} END';")
}

/// The size of a build tells odd from even.
const ODD: &str = "(NEW.build->''download''->>''size'')::int % 2 = 1";
const ODD_IN_SQLITE: &str = "json_extract(NEW.build, '$.download.size') % 2 = 1";

/// Triggers after which no odd row is there.
fn droppers(kind: Kind) -> Vec<String> {
    match kind {
        Kind::Postgres => vec![
            function(&format!("IF {ODD} THEN RETURN NULL; END IF; RETURN NEW;"))
                + "CREATE TRIGGER t BEFORE INSERT ON main_build FOR EACH ROW EXECUTE FUNCTION f()",
            function(&format!(
                "IF {ODD} THEN DELETE FROM main_build WHERE id = NEW.id; END IF; RETURN NULL;"
            )) + "CREATE TRIGGER t AFTER INSERT ON main_build FOR EACH ROW EXECUTE FUNCTION f()",
            function(&format!(
                "IF {ODD} THEN DELETE FROM main_build WHERE id = NEW.id; END IF; RETURN NULL;"
            )) + "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON main_build
                  INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()",
            function(&format!(
                "IF {ODD} THEN NEW.build_hash := ''v0''||NEW.build_hash; END IF; RETURN NEW;"
            )) + "ALTER TABLE main_build ALTER build_hash TYPE text;
                  CREATE TRIGGER t BEFORE INSERT ON main_build FOR EACH ROW EXECUTE FUNCTION f()",
        ],
        Kind::Sqlite => vec![
            format!(
                "CREATE TRIGGER t BEFORE INSERT ON main_build WHEN {ODD_IN_SQLITE}
                 BEGIN SELECT RAISE(IGNORE); END"
            ),
            format!(
                "CREATE TRIGGER t AFTER INSERT ON main_build WHEN {ODD_IN_SQLITE}
                 BEGIN DELETE FROM main_build WHERE id = NEW.id; END"
            ),
        ],
    }
}

fn rows_that_a_trigger_leaves_out_are_rejected(kind: Kind) {
    for trigger in droppers(kind) {
        let Some(store) = Store::new(kind) else {
            return;
        };
        loader(&store.url()).run().exits(0);
        store.execute(&trigger);
        let mut lines: Vec<_> = (0..10).map(record).collect();
        // The same content under another key is not stored either.
        let mut twin = record(3);
        twin["key"] = json!("twin");
        lines.extend([twin, page(9), end()]);

        let run = loader(&store.url()).input(ndjson(&lines)).run().exits(65);
        assert_eq!(run.count("/out"), 5, "{trigger}\n{run}");
        assert_eq!(run.summary["rejected"], json!({"not_stored": 6}), "{run}");
        let held = held(&page(9).to_string(), "bh-load", "rejected");
        assert_eq!(
            run.stdout,
            format!("{held}\n{}\n", end()).into_bytes(),
            "{run}"
        );
        let dropped = |row: &crate::harness::stored::Row| row.hash.starts_with("v0");
        let stored = store.rows().iter().filter(|row| !dropped(row)).count();
        assert_eq!(stored, 5, "{run}");
        assert_eq!(store.objects().len(), 5, "{run}");
        run.says("main_build");
    }
    let Some(store) = Store::new(kind) else {
        return;
    };
    loader(&store.url()).run().exits(0);
    store.execute(&droppers(kind)[0]);
    let folder = folder();
    let rejects = folder.path().join("rejects");
    let lines: Vec<_> = (0..10).map(record).chain([page(9), end()]).collect();
    let tool = loader(&store.url()).arg("--rejects").arg(&rejects);
    let run = tool.input(ndjson(&lines)).run().exits(65);
    let kept: Vec<_> = backfill::refused(&rejects)
        .iter()
        .map(|reject| (reject["key"].clone(), reject["error"]["kind"].clone()))
        .collect();
    let odd = (1..10).step_by(2);
    let expected: Vec<_> = odd
        .map(|n| (json!(sample::key(n)), json!("not_stored")))
        .collect();
    assert_eq!(kept, expected, "{run}");
    assert_eq!(run.lines(), [page(9), end()], "{run}");
}

/// Whatever keeps an UPDATE from the row.
fn keepers(kind: Kind) -> Vec<String> {
    let on_update =
        "CREATE TRIGGER t BEFORE UPDATE ON main_build FOR EACH ROW EXECUTE FUNCTION f()";
    match kind {
        Kind::Postgres => vec![
            function("RETURN NULL;") + on_update,
            function("NEW.s3_object_etag := OLD.s3_object_etag; RETURN NEW;") + on_update,
            "CREATE RULE r AS ON UPDATE TO main_build DO INSTEAD NOTHING".to_owned(),
        ],
        Kind::Sqlite => vec![
            "CREATE TRIGGER t BEFORE UPDATE ON main_build BEGIN SELECT RAISE(IGNORE); END"
                .to_owned(),
            "CREATE TRIGGER t AFTER UPDATE ON main_build WHEN NEW.s3_object_etag <> OLD.s3_object_etag
             BEGIN UPDATE main_build SET s3_object_etag = OLD.s3_object_etag WHERE id = NEW.id; END"
                .to_owned(),
        ],
    }
}

fn etags_that_a_trigger_keeps_out_are_rejected(kind: Kind) {
    for keeper in keepers(kind) {
        let Some(store) = Store::new(kind) else {
            return;
        };
        loader(&store.url())
            .input(ndjson(&[record(0), record(1)]))
            .run()
            .exits(0);
        store.execute(&keeper);
        let before = (store.rows(), store.objects());
        let mut renewed = record(0);
        renewed["etag"] = json!("new");
        let mut other_key = renewed.clone();
        other_key["key"] = json!("other");
        let lines = [renewed, record(1), other_key, page(1), end()];
        let run = loader(&store.url()).input(ndjson(&lines)).run().exits(65);
        assert_eq!(
            run.summary["rejected"],
            json!({"not_stored": 1}),
            "{keeper}\n{run}"
        );
        assert_eq!(run.summary["dropped"], json!({"known": 2}), "{run}");
        let held = held(&page(1).to_string(), "bh-load", "rejected");
        assert_eq!(
            run.stdout,
            format!("{held}\n{}\n", end()).into_bytes(),
            "{run}"
        );
        assert_eq!(store.rows(), before.0, "{run}");
        assert_eq!(store.objects().len(), before.1.len() + 1, "{run}");
        run.says("ETag");
    }
}

fn a_row_that_a_trigger_forbids_is_rejected_alone(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    loader(&store.url()).run().exits(0);
    store.execute(&match kind {
        Kind::Postgres => {
            function(&format!(
                "IF {ODD} THEN RAISE ''no odd one''; END IF; RETURN NULL;"
            )) + "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON main_build
                   INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f()"
        }
        Kind::Sqlite => format!(
            "CREATE TRIGGER t BEFORE INSERT ON main_build WHEN {ODD_IN_SQLITE}
             BEGIN SELECT RAISE(ABORT, 'no odd one'); END"
        ),
    });
    let lines: Vec<_> = (0..10).map(record).collect();
    let run = loader(&store.url()).input(ndjson(&lines)).run().exits(65);
    assert_eq!(run.summary["rejected"], json!({"refused": 5}), "{run}");
    assert_eq!(run.count("/out"), 5, "{run}");
    assert_eq!(store.rows().len(), 5, "{run}");
    run.says("no odd one");
}

fn loads(database: &Database, n: usize) -> Run {
    loader(&database.url).input(ndjson(&[record(n)])).run()
}

/// What the outbox does not take would never be indexed, and what `bh_object`
/// does not take would be fetched again by every run.
#[test]
fn rows_that_our_own_tables_refuse_stop_the_run() {
    let (Some(database), Some(index)) = (Database::new(), Index::new(8)) else {
        return;
    };
    loads(&database, 0).exits(0);
    let mut client = database.client();
    client.batch_execute(&function("RETURN NULL;")).unwrap();
    for table in ["bh_object", "bh_outbox"] {
        let on =
            format!("CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION f()");
        client.batch_execute(&on).unwrap();
        let tool = loader(&database.url)
            .env("ELASTICSEARCH_URL", &index.url)
            .args(["--index", &index.name]);
        let run = tool.input(ndjson(&[record(1)])).run().exits(78);
        run.says(&format!("{table} took 0 of 1 rows"));
        assert_eq!(database.count("SELECT count(*) FROM main_build"), 1);
        client
            .batch_execute(&format!("DROP TRIGGER t ON {table}"))
            .unwrap();
    }
}
