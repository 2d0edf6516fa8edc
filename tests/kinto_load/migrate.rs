//! scripts/migrate-kinto: from Kinto into the database, until it inserts
//! nothing.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::{lines, load};
use crate::harness::kinto::{Kinto, release};
use crate::harness::{folder, program};

fn migrate(kinto: &Kinto, server: &str, folder: &Path, flags: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/migrate-kinto");
    let programs = program("s3-list").parent().unwrap().display().to_string();
    Command::new(script)
        .args(flags)
        .env(
            "PATH",
            format!("{programs}:{}", std::env::var("PATH").unwrap()),
        )
        .env("KINTO_SERVER_URL", server)
        .env("KINTO_AUTH", &kinto.auth)
        .env("KINTO_BUCKET", &kinto.bucket)
        .env("DATABASE_URL", "sqlite:b.db")
        .env_remove("ELASTICSEARCH_URL")
        .env_remove("KINTO_DATABASE_URL")
        .current_dir(folder)
        .output()
        .unwrap()
}

fn inserted(folder: &Path) -> Value {
    let text = std::fs::read(folder.join("migration/summary/bh-load.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["out"].clone()
}

/// Returns the number of rows per value of `metadata`.
fn rows(folder: &Path) -> Vec<(i64, Value)> {
    let database = rusqlite::Connection::open(folder.join("b.db")).unwrap();
    let query = "SELECT count(*), metadata FROM main_build GROUP BY metadata ORDER BY 1";
    let mut statement = database.prepare(query).unwrap();
    let rows = statement.query_map([], |row| {
        let text: String = row.get(1)?;
        Ok((row.get(0)?, serde_json::from_str(&text).unwrap()))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn the_migration_can_be_repeated_until_it_inserts_nothing() {
    let Some(kinto) = Kinto::new() else { return };
    let folder = folder();
    let mut all: Vec<_> = (0..100).map(release).collect();
    all[3]["target"]["os"] = json!("beos");
    load(&kinto).input(lines(&all)).run().exits(0);
    for (status, count) in [(65, 99), (65, 0)] {
        let done = migrate(&kinto, &kinto.url, folder.path(), &[]);
        assert_eq!(done.status.code(), Some(status), "{done:?}");
        assert_eq!(inserted(folder.path()), count, "{done:?}");
    }
    let done = migrate(&kinto, &kinto.url, folder.path(), &["--skip-invalid"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    assert_eq!(inserted(folder.path()), 0);
    for count in [1, 0] {
        let done = migrate(&kinto, &kinto.url, folder.path(), &["--skip-validation"]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert_eq!(inserted(folder.path()), count);
    }
    let facts = |more: Value| {
        let version = env!("CARGO_PKG_VERSION");
        let mut facts = json!({"source": "buildhub-pipes", "version": version, "build": "bh-load",
            "kinto-migration": true});
        facts
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        facts
    };
    assert_eq!(
        rows(folder.path())
            .into_iter()
            .map(|(count, mut facts)| {
                let run = facts.as_object_mut().unwrap().remove("run");
                assert!(run.is_some_and(|run| run.is_string()));
                (count, facts)
            })
            .collect::<Vec<_>>(),
        [
            (1, facts(json!({"skip_validation": true}))),
            (99, facts(json!({})))
        ]
    );
}

#[test]
fn an_unreachable_server_ends_the_migration() {
    let Some(kinto) = Kinto::without_bucket() else {
        return;
    };
    let folder = folder();
    let server = "http://127.0.0.1:1/v1";
    let done = migrate(&kinto, server, folder.path(), &["--retries", "0"]);
    assert_eq!(done.status.code(), Some(69), "{done:?}");
}
