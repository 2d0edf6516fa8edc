//! The current and the old tables of Kinto's database.

use serde_json::json;

use super::{builds, expected, pages};
use crate::harness::Tool;
use crate::harness::kinto::release;
use crate::harness::postgres::Database;

/// Makes the old table; `$deleted` is its column for deletions, if any.
fn old(database: &Database, deleted: &str) {
    let mut client = database.client();
    let table = format!(
        "CREATE TABLE records (id text NOT NULL, parent_id text NOT NULL,
         collection_id text NOT NULL, last_modified timestamp NOT NULL,
         data jsonb NOT NULL {deleted})"
    );
    client.batch_execute(&table).unwrap();
    let insert = "INSERT INTO records (id, parent_id, collection_id, last_modified, data)
        VALUES ($1, $2, $3, timestamp '2019-01-01' + $4 * interval '1 microsecond', $5::text::jsonb)";
    let mut transaction = client.transaction().unwrap();
    let statement = transaction.prepare(insert).unwrap();
    for n in 0..2_500 {
        let mut data = release(n);
        data["last_modified"] = json!(n);
        data["schema"] = json!(1);
        let (id, data) = (format!("id{n}"), data.to_string());
        let parent = "/buckets/build-hub/collections/releases";
        // Some within one millisecond.
        let at = f64::from(u32::try_from(n).unwrap()) * 250.0;
        transaction
            .execute(&statement, &[&id, &parent, &"record", &at, &data])
            .unwrap();
        if n < 9 {
            let other = "/buckets/build-hub/collections/other";
            for (parent, kind) in [(other, "record"), (parent, "group")] {
                transaction
                    .execute(&statement, &[&id, &parent, &kind, &at, &data])
                    .unwrap();
            }
        }
    }
    transaction.commit().unwrap();
}

#[test]
fn the_old_table_layout_is_read() {
    let Some(database) = Database::new() else {
        return;
    };
    old(&database, "");
    for way in [&["--page-size", "333"][..], &["--concurrency", "3"]] {
        let run = Tool::new("kinto-export")
            .env("KINTO_DATABASE_URL", &database.url)
            .args(way)
            .run()
            .exits(0);
        assert!(builds(&run) == expected(0..2_500), "{}", run.stderr);
        assert!(pages(&run).len() >= 3);
    }
}

#[test]
fn deleted_records_are_not_exported_from_either_table() {
    let Some(database) = Database::new() else {
        return;
    };
    old(&database, ", deleted boolean NOT NULL DEFAULT false");
    let gone = "UPDATE records SET deleted = true, data = '{}' WHERE last_modified
        < timestamp '2019-01-01' + 1000 * interval '250 microseconds'";
    database.client().batch_execute(gone).unwrap();
    let export = || Tool::new("kinto-export").args(["--database", &database.url]);
    let run = export().run().exits(0);
    assert!(builds(&run) == expected(1_000..2_500), "{}", run.stderr);
    let renamed = "ALTER TABLE records RENAME TO objects;
        ALTER TABLE objects RENAME collection_id TO resource_name";
    database.client().batch_execute(renamed).unwrap();
    let run = export().run().exits(0);
    assert!(builds(&run) == expected(1_000..2_500), "{}", run.stderr);
}

#[test]
fn a_missing_collection_is_reported() {
    let Some(database) = Database::new() else {
        return;
    };
    old(&database, "");
    let export = |collection: &str| {
        let wanted = ["--database", &database.url, "--collection", collection];
        Tool::new("kinto-export").args(wanted).run()
    };
    let told = "/buckets/build-hub/collections/it's: no such bucket or collection";
    export("it's").exits(78).says(told);
    let empty = "INSERT INTO records VALUES
        ('it''s', '/buckets/build-hub', 'collection', timestamp '2019-01-01', '{}')";
    database.client().batch_execute(empty).unwrap();
    export("it's").exits(0).says("kinto-export: 0 out");
}

#[test]
fn a_database_without_the_tables_is_reported() {
    let Some(database) = Database::new() else {
        return;
    };
    let run = Tool::new("kinto-export").args(["--database", &database.url]);
    run.run()
        .exits(78)
        .says("neither a table objects nor a table records");
    let run = Tool::new("kinto-export").args(["--database", "postgres://127.0.0.1:1/x"]);
    run.args(["--retries", "1"])
        .run()
        .exits(69)
        .says("gave up after 2 tries");
}
