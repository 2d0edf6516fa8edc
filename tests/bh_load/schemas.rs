//! PostgreSQL: which tables are found on the search path, and what is no table.

use crate::harness::postgres::{Database, Role};
use crate::harness::sample::{ndjson, record};
use crate::harness::{Run, Tool};

fn load(url: &str, n: usize) -> Run {
    let tool = Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", url]);
    tool.input(ndjson(&[record(n)])).run()
}

/// Returns a database with one row.
fn loaded() -> Option<Database> {
    let database = Database::new()?;
    load(&database.url, 0).exits(0);
    Some(database)
}

/// The URL with this search path.
fn on_path(url: &str, path: &str) -> String {
    let mut url = url::Url::parse(url).unwrap();
    let option = format!("-csearch_path={path}");
    url.query_pairs_mut().append_pair("options", &option);
    url.into()
}

fn tables(database: &Database) -> String {
    let query =
        "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename)
        FROM pg_tables WHERE tablename IN ('main_build', 'bh_object', 'bh_outbox')";
    let row = database.client().query_one(query, &[]).unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

const IN_PUBLIC: &str = "public.bh_object public.bh_outbox public.main_build";

#[test]
fn the_table_that_is_found_on_the_path_is_used() {
    let Some(database) = loaded() else { return };
    let mut client = database.client();
    client.batch_execute("CREATE SCHEMA app").unwrap();
    let url = on_path(&database.url, "app,public");
    load(&url, 1).exits(0);
    // What is missing is made where Buildhub's table is.
    client
        .batch_execute("DROP TABLE bh_object, bh_outbox")
        .unwrap();
    let run = load(&url, 2).exits(0);
    assert_eq!(tables(&database), IN_PUBLIC, "{run}");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 3);
    let filter = Tool::new("bh-filter").args(["--database", &url]);
    let run = filter.input(ndjson(&[record(2)])).run().exits(0);
    assert_eq!(run.count("/dropped/known"), 1, "{run}");
}

#[test]
fn a_schema_named_as_the_role_hides_no_table() {
    let Some(database) = loaded() else { return };
    let role = Role::new(&database);
    role.execute(
        "CREATE SCHEMA AUTHORIZATION ROLE;
         GRANT ALL ON ALL TABLES IN SCHEMA public TO ROLE;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ROLE;",
    );
    let run = load(&role.url, 1).exits(0);
    assert_eq!(tables(&database), IN_PUBLIC, "{run}");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 2);
}

#[test]
fn a_second_table_on_the_search_path_is_reported() {
    let Some(database) = loaded() else { return };
    let mut client = database.client();
    let copy = "CREATE SCHEMA app; CREATE TABLE app.main_build (LIKE main_build INCLUDING ALL)";
    client.batch_execute(copy).unwrap();
    let run = load(&on_path(&database.url, "app,public"), 1).exits(0);
    run.says("app.main_build is used, not public.main_build");
    assert_eq!(database.count("SELECT count(*) FROM app.main_build"), 1);
}

/// It would be made a second time in the next schema.
#[test]
fn a_table_in_a_forbidden_schema_is_reported() {
    let Some(database) = Database::new() else {
        return;
    };
    load(&on_path(&database.url, "public"), 0).exits(0);
    let role = Role::new(&database);
    role.execute(
        "ALTER SCHEMA public RENAME TO builds; CREATE SCHEMA AUTHORIZATION ROLE;
         REVOKE ALL ON SCHEMA builds FROM PUBLIC",
    );
    let run = load(&on_path(&role.url, "builds,$user"), 1).exits(78);
    run.says("builds.main_build")
        .says(&format!("GRANT USAGE ON SCHEMA builds TO {}", role.name));
    assert_eq!(tables(&database), IN_PUBLIC.replace("public", "builds"));
}

#[test]
fn tables_that_do_not_last_are_refused() {
    let Some(database) = Database::new() else {
        return;
    };
    for (change, reason) in [
        (
            "ALTER TABLE main_build RENAME TO builds; CREATE VIEW main_build AS TABLE builds",
            "public.main_build is a view, not a table",
        ),
        (
            "ALTER TABLE bh_object RENAME TO o; CREATE MATERIALIZED VIEW bh_object AS TABLE o",
            "public.bh_object is a materialized view, not a table",
        ),
        (
            "ALTER TABLE bh_outbox RENAME TO o; CREATE SEQUENCE bh_outbox",
            "public.bh_outbox is a sequence, not a table",
        ),
        (
            "ALTER TABLE main_build RENAME TO o; CREATE FOREIGN DATA WRAPPER nothing;
             CREATE SERVER other FOREIGN DATA WRAPPER nothing;
             CREATE FOREIGN TABLE main_build (id bigint, build_hash text) SERVER other",
            "public.main_build is a foreign table",
        ),
        (
            "ALTER TABLE bh_object SET UNLOGGED",
            "public.bh_object is unlogged",
        ),
        (
            "ALTER TABLE main_build SET UNLOGGED",
            "empties it; ALTER TABLE public.main_build SET LOGGED",
        ),
    ] {
        let mut client = database.client();
        let anew = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
        client.batch_execute(anew).unwrap();
        load(&database.url, 0).exits(0);
        client.batch_execute(change).unwrap();
        let run = load(&database.url, 1).exits(78);
        assert!(run.stderr.contains(reason), "{reason}: {run}");
    }
}

/// A pooler may hand on a session that has made one.
#[test]
fn a_temporary_table_is_refused() {
    let Some(database) = Database::new() else {
        return;
    };
    load(&database.url, 0).exits(0);
    let mut client = database.client();
    let make = "CREATE TEMPORARY TABLE main_build (LIKE public.main_build INCLUDING ALL)";
    client.batch_execute(make).unwrap();
    let name = "SELECT pg_my_temp_schema()::regnamespace::text";
    let schema: String = client.query_one(name, &[]).unwrap().get(0);
    let url = on_path(&database.url, &format!("{schema},public"));
    let said = format!("{schema}.main_build is a temporary table");
    load(&url, 1).exits(78).says(&said);
    let filter = Tool::new("bh-filter").args(["--database", &url]);
    let run = filter.input(ndjson(&[record(0)])).run();
    run.exits(78).says(&said);
    assert_eq!(database.count("SELECT count(*) FROM public.main_build"), 1);
}

/// Partitions share the name, the unique hash and the counts of one table.
#[test]
fn a_partitioned_table_is_used() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut client = database.client();
    client
        .batch_execute(
            "CREATE TABLE main_build (
                 id serial NOT NULL, build_hash varchar(45) NOT NULL UNIQUE, build jsonb NOT NULL,
                 metadata jsonb NOT NULL, created_at timestamptz NOT NULL,
                 s3_object_key varchar(400), s3_object_etag varchar(400))
                 PARTITION BY HASH (build_hash);
             CREATE TABLE even PARTITION OF main_build FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE odd PARTITION OF main_build FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';",
        )
        .unwrap();
    let lines: Vec<_> = (0..20).map(record).collect();
    let load = || {
        let tool = Tool::new("bh-load")
            .arg("--marks")
            .args(["--database", &database.url]);
        tool.input(ndjson(&lines)).run()
    };
    assert_eq!(load().exits(0).count("/out"), 20);
    client
        .batch_execute(
            "TRUNCATE main_build, bh_object;
             CREATE TRIGGER t BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION f()",
        )
        .unwrap();
    let run = load().exits(65);
    let stored = database.count("SELECT count(*) FROM main_build");
    assert!((1..20).contains(&stored), "{stored}");
    assert_eq!(run.count("/out"), stored.unsigned_abs(), "{run}");
    assert_eq!(
        run.count("/rejected/not_stored"),
        20 - stored.unsigned_abs()
    );
}

/// A crash of the server empties it, and leaves the other rows as they are.
#[test]
fn a_partition_that_does_not_last_is_refused() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut client = database.client();
    client
        .batch_execute(
            "CREATE TABLE main_build (
                 id serial NOT NULL, build_hash varchar(45) NOT NULL UNIQUE, build jsonb NOT NULL,
                 metadata jsonb NOT NULL, created_at timestamptz NOT NULL,
                 s3_object_key varchar(400), s3_object_etag varchar(400))
                 PARTITION BY HASH (build_hash);
             CREATE TABLE even PARTITION OF main_build FOR VALUES WITH (MODULUS 2, REMAINDER 0)
                 PARTITION BY HASH (build_hash);
             CREATE UNLOGGED TABLE all_even PARTITION OF even
                 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
             CREATE TABLE odd PARTITION OF main_build FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        )
        .unwrap();
    let run = load(&database.url, 0).exits(78);
    run.says(
        "all_even is unlogged: a crash of the server empties it; ALTER TABLE all_even SET LOGGED",
    );
    client
        .batch_execute("ALTER TABLE all_even SET LOGGED")
        .unwrap();
    load(&database.url, 0).exits(0);
}

/// What a policy hides would be fetched and inserted again.
#[test]
fn a_role_that_does_not_see_every_row_is_refused() {
    let Some(database) = loaded() else { return };
    let role = Role::new(&database);
    role.execute(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO ROLE;
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO ROLE;",
    );
    for table in ["main_build", "bh_object", "bh_outbox"] {
        role.execute(&format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
             CREATE POLICY p ON {table} USING (false) WITH CHECK (true)"
        ));
        let said = format!("row-level security hides rows of public.{table}");
        load(&role.url, 1).exits(78).says(&said);
        if table != "bh_outbox" {
            let filter = Tool::new("bh-filter").args(["--database", &role.url]);
            filter
                .input(ndjson(&[record(0)]))
                .run()
                .exits(78)
                .says(&said);
        }
        // Its owner sees all.
        load(&database.url, 0).exits(0);
        role.execute(&format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
    }
    load(&role.url, 1).exits(0);
}

#[test]
fn a_read_only_session_is_reported_at_the_start() {
    let Some(database) = loaded() else { return };
    let name = database.url.rsplit('/').next().unwrap();
    let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    database.client().batch_execute(&alter).unwrap();
    // Even where all is known, and nothing had to be written.
    let run = load(&database.url, 0).exits(78);
    run.says("read-only").says("default_transaction_read_only");
    let filter = Tool::new("bh-filter").args(["--database", &database.url]);
    let run = filter.input(ndjson(&[record(0)])).run().exits(0);
    assert_eq!(run.count("/dropped/known"), 1, "{run}");
}
