//! Existing tables and missing databases.

use std::net::TcpListener;

use serde_json::json;

use crate::harness::postgres::Database;
use crate::harness::sample::{self, build, ndjson, record};
use crate::harness::stored::{Store, contents};
use crate::harness::{Run, Tool, folder};

/// The table as Django creates it: no defaults, and an index for `LIKE` per
/// text column.
const DJANGO: &str = "
    CREATE TABLE main_build (
        id serial NOT NULL PRIMARY KEY,
        build_hash varchar(45) NOT NULL UNIQUE,
        build jsonb NOT NULL,
        s3_object_key varchar(400) NULL,
        s3_object_etag varchar(400) NULL,
        created_at timestamp with time zone NOT NULL,
        metadata jsonb NOT NULL
    );
    CREATE INDEX main_build_build_hash_like ON main_build (build_hash varchar_pattern_ops);
    CREATE INDEX main_build_created_at ON main_build (created_at);
    CREATE INDEX main_build_key ON main_build (s3_object_key);";

fn load(url: &str) -> Run {
    let records = [record(0), record(1)];
    let loader = Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", url]);
    loader.input(ndjson(&records)).run()
}

#[test]
fn a_table_that_django_made_is_used_as_it_is() {
    let Some(database) = Database::new() else {
        return;
    };
    let store = Store::Postgres(database);
    store.execute(DJANGO);
    let old = build(7).to_string();
    store.execute(&format!(
        "INSERT INTO main_build (build_hash, build, created_at, metadata)
         VALUES ('{}', '{old}', '2018-01-01T00:00:00Z', '{{\"kinto-migration\":true}}')",
        sample::python_hash(&build(7))
    ));
    let rows = store.rows();
    load(&store.url()).exits(0);
    let mut now = store.rows();
    let at = now.iter().position(|row| row.id == 1).unwrap();
    assert_eq!(now.remove(at), rows[0]);
    let object = |n: usize| {
        (
            sample::key(n),
            format!("e{n}"),
            build(n).to_string().into_bytes(),
        )
    };
    let new: Vec<_> = now
        .iter()
        .map(crate::harness::stored::Row::content)
        .collect();
    assert_eq!(new, contents(&[object(0), object(1)]));
    let columns = "SELECT string_agg(column_name, ' ' ORDER BY ordinal_position)::text
        FROM information_schema.columns WHERE table_name = 'main_build'";
    let found = store.texts(columns)[0][0].clone().unwrap();
    let django = "id build_hash build s3_object_key s3_object_etag created_at metadata";
    assert_eq!(found, django);
}

#[test]
fn a_postgresql_table_of_another_shape_is_refused() {
    let Some(database) = Database::new() else {
        return;
    };
    for (change, difference) in [
        ("DROP COLUMN metadata", "no column metadata"),
        ("RENAME COLUMN build_hash TO hash", "no column build_hash"),
        (
            "ALTER build TYPE json USING build::text::json",
            "build is json, not jsonb",
        ),
        (
            "ALTER s3_object_key TYPE varchar(100)",
            "s3_object_key holds 100 characters, not 400",
        ),
        (
            "DROP CONSTRAINT main_build_build_hash_key",
            "build_hash is not unique",
        ),
        ("ALTER id DROP DEFAULT", "id has no default"),
        ("ADD owner text NOT NULL", "owner needs a value"),
        (
            "ALTER created_at TYPE date",
            "created_at is date, not timestamp with time zone",
        ),
        (
            "ALTER s3_object_etag SET NOT NULL",
            "s3_object_etag may not be NULL",
        ),
    ] {
        let mut client = database.client();
        client
            .batch_execute("DROP TABLE IF EXISTS main_build")
            .unwrap();
        client.batch_execute(DJANGO).unwrap();
        client
            .batch_execute(&format!("ALTER TABLE main_build {change}"))
            .unwrap();
        let run = load(&database.url).exits(78);
        assert!(
            run.stderr
                .contains(&format!("main_build has another shape: {difference};")),
            "{run}"
        );
        assert_eq!(database.count("SELECT count(*) FROM main_build"), 0);
        assert_eq!(
            database.count("SELECT count(to_regclass('bh_object'))"),
            0,
            "{run}"
        );
    }
}

#[test]
fn a_sqlite_table_of_another_shape_is_refused() {
    let folder = folder();
    let path = folder.path().join("other.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let table = "CREATE TABLE main_build (id integer PRIMARY KEY, build text, build_hash text)";
    connection.execute_batch(table).unwrap();
    let url = format!("sqlite:{}", path.display());
    load(&url).exits(78).says(
        "main_build has another shape: no column metadata, created_at, s3_object_key, \
         s3_object_etag",
    );
    std::fs::write(
        &path,
        "no database, but longer than the header of one".repeat(9),
    )
    .unwrap();
    load(&url).exits(78).says("other.db");
}

#[test]
fn a_missing_database_is_a_configuration_error() {
    let Some(database) = Database::new() else {
        return;
    };
    let missing = format!("{}_missing", database.url);
    load(&missing).exits(78).says("does not exist");
    let folder = folder();
    let file = format!("sqlite:{}/no/such/folder.db", folder.path().display());
    load(&file).exits(74).says("no/such/folder.db");
}

#[test]
fn the_loader_gives_up_an_unreachable_server() {
    // A port that was just closed: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("postgres://me:secret@127.0.0.1:{port}/builds");
    let run = load(&url).exits(69).says("gave up after 9 tries");
    let run = run.says("cannot connect: Connection refused (is PostgreSQL running there?)");
    assert!(
        run.stderr
            .contains(&format!("postgres://me:***@127.0.0.1:{port}/builds")),
        "{run}"
    );
    assert!(!run.stderr.contains("secret"), "{run}");
    assert_eq!(run.summary["in"], json!(0), "{run}");
}

/// As after a manual restore: every insert fails, whatever its content.
#[test]
fn a_sequence_that_lags_its_table_stops_the_loader() {
    let Some(database) = Database::new() else {
        return;
    };
    load(&database.url).exits(0);
    let mut client = database.client();
    let reset = "SELECT setval('main_build_id_seq', 1, false)";
    client.batch_execute(reset).unwrap();
    let loader =
        Tool::new("bh-load")
            .arg("--marks")
            .args(["--database", &database.url, "--batch-size=1"]);
    let run = loader.input(ndjson(&[record(2), record(3)])).run();
    run.exits(78).says("main_build_pkey");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 2);
    assert_eq!(database.count("SELECT count(*) FROM bh_object"), 2);
}

/// Queries that begin a hash use it, and Django's migrations name it.
#[test]
fn a_new_table_has_djangos_indexes() {
    let Some(database) = Database::new() else {
        return;
    };
    load(&database.url).exits(0);
    let query = "SELECT count(*) FROM pg_indexes
        WHERE indexname = 'main_build_build_hash_8fe6dad8_like'
        AND indexdef LIKE '%(build_hash varchar_pattern_ops)'";
    assert_eq!(database.count(query), 1);
}
