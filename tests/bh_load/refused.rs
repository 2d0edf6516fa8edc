//! Rows that PostgreSQL refuses, each in its own way: the others are stored.

use serde_json::{Value, json};

use crate::harness::postgres::Database;
use crate::harness::sample::{key, ndjson, record};
use crate::harness::{Run, Tool, wait_for};

fn load(url: &str, lines: &[Value]) -> Run {
    let tool = Tool::new("bh-load").args(["--database", url]);
    tool.input(ndjson(lines)).run()
}

/// A trigger of main_build that does `what` with row 5.
fn with_row_5(on: &str, what: &str) -> String {
    format!(
        "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.s3_object_key = '{}' THEN {what} END IF; RETURN NEW; END $$;
         CREATE TRIGGER t BEFORE {on} ON main_build FOR EACH ROW EXECUTE FUNCTION f()",
        key(5)
    )
}

#[test]
fn a_row_that_the_database_refuses_in_any_way_is_rejected_alone() {
    for what in [
        "RAISE 'not this one';",
        "RAISE 'not this one' USING ERRCODE = '0A000';",
        "RAISE 'not this one' USING ERRCODE = '42501';",
        "RAISE 'not this one' USING ERRCODE = 'ZZ999';",
        "PERFORM no_such_function();",
        "INSERT INTO no_such_table VALUES (1);",
        "RAISE 'took too long' USING ERRCODE = '57014';",
        "NEW.build_hash := NULL;",
    ] {
        let Some(database) = Database::new() else {
            return;
        };
        load(&database.url, &[record(0)]).exits(0);
        let mut client = database.client();
        client.batch_execute(&with_row_5("INSERT", what)).unwrap();
        let lines: Vec<_> = (1..10).map(record).collect();
        let run = load(&database.url, &lines).exits(65);
        assert_eq!(
            run.summary["rejected"],
            json!({"refused": 1}),
            "{what}: {run}"
        );
        assert_eq!(run.count("/out"), 8, "{what}: {run}");
        assert_eq!(database.count("SELECT count(*) FROM main_build"), 9);
        assert_eq!(database.count("SELECT count(*) FROM bh_object"), 9);
    }
}

#[test]
fn a_change_that_the_database_refuses_is_rejected_alone() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut lines: Vec<_> = (0..10).map(record).collect();
    load(&database.url, &lines).exits(0);
    let mut client = database.client();
    client
        .batch_execute(&with_row_5("UPDATE", "RAISE 'not this one';"))
        .unwrap();
    for line in &mut lines {
        line["etag"] = json!("new");
    }
    let run = load(&database.url, &lines).exits(65);
    assert_eq!(run.summary["rejected"], json!({"refused": 1}), "{run}");
    let renewed = "SELECT count(*) FROM main_build WHERE s3_object_etag = '\"new\"'";
    assert_eq!(database.count(renewed), 9, "{run}");
}

/// Ours tell of another loader; the user's own tell of the row.
#[test]
fn a_row_that_an_index_of_the_user_refuses_is_rejected_alone() {
    for index in [
        "CREATE UNIQUE INDEX ON main_build (s3_object_key)",
        "CREATE UNIQUE INDEX ON main_build ((build->'source'->>'product'), s3_object_key)",
        "ALTER TABLE main_build ADD CONSTRAINT own EXCLUDE (s3_object_key WITH =)",
    ] {
        let Some(database) = Database::new() else {
            return;
        };
        load(&database.url, &[record(0)]).exits(0);
        database.client().batch_execute(index).unwrap();
        let mut lines: Vec<_> = (1..10).map(record).collect();
        let mut other = record(30);
        other["key"] = json!(key(3));
        lines.push(other);
        let run = load(&database.url, &lines).exits(65);
        assert_eq!(
            run.summary["rejected"],
            json!({"refused": 1}),
            "{index}: {run}"
        );
        assert_eq!(database.count("SELECT count(*) FROM main_build"), 10);
    }
}

/// Nothing that is stored shows that a row is the cause.
#[test]
fn a_database_that_refuses_every_row_stops_the_run() {
    let Some(database) = Database::new() else {
        return;
    };
    load(&database.url, &[record(0)]).exits(0);
    let mut client = database.client();
    let make = with_row_5(
        "INSERT",
        "END IF; PERFORM no_such_function(); IF false THEN",
    );
    client.batch_execute(&make).unwrap();
    let lines: Vec<_> = (1..100).map(record).collect();
    load(&database.url, &lines)
        .exits(78)
        .says("no_such_function");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 1);
}

#[test]
fn characters_that_the_encoding_of_the_database_lacks_are_rejected() {
    let Some(database) = Database::with("TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'") else {
        return;
    };
    let mut lines: Vec<_> = (0..4).map(record).collect();
    lines[1]["key"] = json!("pub/日本/buildhub.json");
    lines[2]["build"]["source"]["product"] = json!("日本");
    let begin = json!({"mark": {"begin": {"run": "r", "source": "s3://b/日本/", "criteria": {"prefix": "日本/"},
        "started": "2020-01-01T00:00:00Z"}}});
    let end = json!({"mark": {"end": {"run": "r"}}});
    let all: Vec<_> = [begin].into_iter().chain(lines).chain([end]).collect();
    let run = load(&database.url, &all).exits(75);
    assert_eq!(run.summary["rejected"], json!({"refused": 2}), "{run}");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 2);
    let run = Tool::new("bh-load")
        .args(["--database", &database.url, "--runs"])
        .run();
    run.exits(0);
}

/// Such a server, which a machine without a locale makes, reads no escapes outside ASCII.
#[test]
fn a_database_without_an_encoding_stores_every_character() {
    let Some(database) = Database::with("TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    else {
        return;
    };
    let mut lines: Vec<_> = (0..3).map(record).collect();
    lines[1]["key"] = json!("pub/日本/buildhub.json");
    lines[2]["build"]["source"]["product"] = json!("日本 \\u00e9 😀\n");
    let input = String::from_utf8(ndjson(&lines)).unwrap();
    let input = input
        .replace('日', "\\u65e5")
        .replace('😀', "\\ud83d\\ude00");
    let load = || {
        let tool = Tool::new("bh-load").args(["--database", &database.url]);
        tool.input(input.clone()).run().exits(0)
    };
    assert_eq!(load().count("/out"), 3);
    let product = "SELECT build->'source'->>'product' FROM main_build WHERE s3_object_key = $1";
    let row = database.client().query_one(product, &[&key(2)]).unwrap();
    assert_eq!(row.get::<_, &str>(0), "日本 \\u00e9 😀\n");
    assert_eq!(load().count("/dropped/known"), 3);
}

/// Another session holds the table; the lock is not waited for in the database.
#[test]
fn a_lock_that_times_out_is_waited_for() {
    let Some(database) = Database::new() else {
        return;
    };
    load(&database.url, &[record(0)]).exits(0);
    let mut client = database.client();
    let mut holder = client.transaction().unwrap();
    holder.batch_execute("LOCK main_build").unwrap();
    let waiting = || {
        database.count(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND application_name = 'buildhub-pipes' AND wait_event_type = 'Lock'",
        ) > 0
    };
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| {
            let tool = Tool::new("bh-load").args(["--database", &database.url]);
            let tool = tool.env("PGOPTIONS", "-c lock_timeout=500");
            tool.input(ndjson(&[record(1)])).run()
        });
        wait_for("a session that waits for the lock", waiting);
        wait_for("the end of its wait", || !waiting());
        holder.commit().unwrap();
        loading.join().unwrap().exits(0);
    });
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 2);
}
