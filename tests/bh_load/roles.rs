//! The rights that each program needs in PostgreSQL, by roles that have no others.

use crate::harness::elastic::Index;
use crate::harness::postgres::{Database, Role};
use crate::harness::sample::{ndjson, record};
use crate::harness::{Run, Tool};

fn run(program: &str, url: &str, n: usize) -> Run {
    let tool = Tool::new(program).args(["--database", url]);
    tool.input(ndjson(&[record(n)])).run()
}

/// What docs/compatibility.md names for a loader.
const LOADER: &str = "GRANT SELECT, INSERT, UPDATE ON main_build TO ROLE;
    GRANT USAGE ON SEQUENCE main_build_id_seq TO ROLE;
    GRANT SELECT, INSERT, UPDATE, DELETE ON bh_object, bh_reject, bh_outbox, bh_database, bh_run
    TO ROLE";

fn database() -> Option<Database> {
    let database = Database::new()?;
    run("bh-load", &database.url, 0).exits(0);
    let revoke = "REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    database.client().batch_execute(revoke).unwrap();
    Some(database)
}

#[test]
fn a_loader_needs_no_right_to_create_tables() {
    let (Some(database), Some(index)) = (database(), Index::new(8)) else {
        return;
    };
    let role = Role::new(&database);
    role.execute(LOADER);
    let tool = Tool::new("bh-load").args(["--database", &role.url]);
    let tool = tool.env("ELASTICSEARCH_URL", &index.url);
    let tool = tool.args(["--index", &index.name]);
    tool.input(ndjson(&[record(1)])).run().exits(0);
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 2);
}

#[test]
fn a_filter_needs_to_read_two_tables_only() {
    let Some(database) = database() else { return };
    let role = Role::new(&database);
    role.execute("GRANT SELECT ON main_build, bh_object TO ROLE");
    let filtered = run("bh-filter", &role.url, 0).exits(0);
    assert_eq!(filtered.count("/dropped/known"), 1, "{filtered}");
    let refused = run("bh-load", &role.url, 5).exits(78);
    refused.says("permission denied");
}

#[test]
fn an_export_needs_to_read_one_table_only() {
    let Some(database) = database() else { return };
    let role = Role::new(&database);
    role.execute("GRANT SELECT ON main_build TO ROLE");
    let whole = run("bh-export", &role.url, 0).exits(0);
    assert_eq!(whole.count("/out"), 1, "{whole}");
    let folder = crate::harness::folder();
    let file = folder.path().join("whole");
    std::fs::write(&file, whole.stdout).unwrap();
    let tool = Tool::new("bh-export").args(["--database", &role.url]);
    let since = tool.arg("--since").arg(file).run().exits(0);
    assert_eq!(since.count("/out"), 0, "{since}");
    let tool = Tool::new("bh-export").args(["--database", &role.url]);
    let refused = tool.args(["--table", "objects"]).run().exits(78);
    refused.says("permission denied");
}

#[test]
fn a_loader_does_without_tables_of_ours_that_it_may_not_create() {
    for missing in [
        &["bh_object"][..],
        &["bh_run"],
        &["bh_reject"],
        &["bh_outbox", "bh_database"],
        &[
            "bh_run",
            "bh_object",
            "bh_database",
            "bh_outbox",
            "bh_reject",
        ],
    ] {
        let Some(database) = database() else { return };
        let role = Role::new(&database);
        role.execute(LOADER);
        role.execute(&format!("DROP TABLE {}", missing.join(", ")));
        for n in [1, 2, 2] {
            let loaded = run("bh-load", &role.url, n).exits(0);
            let warnings = loaded.told();
            let warned = warnings
                .iter()
                .filter(|line| line.contains("loading goes on"));
            assert_eq!(warned.count(), 1, "{loaded}");
            for table in missing {
                assert!(
                    loaded.stderr.contains(&format!("CREATE TABLE {table} (")),
                    "{loaded}"
                );
            }
        }
        let filtered = run("bh-filter", &role.url, 2).exits(0);
        assert_eq!(
            filtered.count("/dropped/known"),
            1,
            "{missing:?}: {filtered}"
        );
        assert_eq!(database.count("SELECT count(*) FROM main_build"), 3);
        if missing.contains(&"bh_outbox") {
            let tool = Tool::new("bh-load").args(["--database", &role.url]);
            let tool = tool.env("ELASTICSEARCH_URL", "http://127.0.0.1:1");
            let refused = tool.input(ndjson(&[record(3)])).run().exits(78);
            refused.says("bh_outbox and bh_database");
        }
        // The statements of the warning make them.
        let told = run("bh-load", &role.url, 2).exits(0).stderr;
        let line = told
            .lines()
            .find(|line| line.contains("SET search_path"))
            .unwrap();
        let statements = &line[line.find("SET search_path").unwrap()..];
        database.client().batch_execute(statements).unwrap();
        let loaded = run("bh-load", &role.url, 3).exits(0);
        assert!(!loaded.stderr.contains("loading goes on"), "{loaded}");
    }
}

#[test]
fn a_missing_main_build_that_cannot_be_created_ends_the_run() {
    let Some(database) = database() else { return };
    let role = Role::new(&database);
    role.execute("DROP TABLE main_build CASCADE");
    let refused = run("bh-load", &role.url, 1).exits(78);
    refused
        .says("cannot create main_build")
        .says("permission denied");
}

/// Rows that nobody queues would never be indexed.
#[test]
fn an_index_that_follows_is_not_done_without() {
    let Some(database) = database() else { return };
    let role = Role::new(&database);
    role.execute(LOADER);
    role.execute("UPDATE bh_database SET index = 'builds'; DROP TABLE bh_outbox");
    let refused = run("bh-load", &role.url, 1).exits(78);
    refused.says("CREATE TABLE bh_outbox (");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 1);
}
