//! SQLite: which files hold a database, and which names mean one.

use std::os::unix::fs::PermissionsExt;

use crate::harness::sample::{ndjson, record};
use crate::harness::{Run, Tool, folder};

fn run(program: &str, folder: &std::path::Path, database: &str) -> Run {
    let tool = Tool::new(program).folder(folder);
    let tool = tool.args(["--database", database]);
    tool.input(ndjson(&[record(0), record(1)])).run()
}

#[test]
fn a_url_means_one_file_to_all_programs_or_is_refused() {
    for url in [
        "sqlite::memory:",
        "sqlite://:memory:",
        "sqlite:file:x.db",
        "sqlite:file::memory:?cache=shared",
        "sqlite://file:x.db",
        "sqlite:x.db?mode=memory",
        "sqlite:",
        "sqlite://",
    ] {
        let folder = folder();
        for program in ["bh-load", "bh-filter"] {
            run(program, folder.path(), url).exits(2).says("sqlite:");
        }
        let made = folder.path().read_dir().unwrap().count();
        assert_eq!(made, 0, "{url} made a file");
    }
    for url in [
        "sqlite:x.db",
        "sqlite://x.db",
        "sqlite:./file:x.db",
        "sqlite:./:memory:",
    ] {
        let folder = folder();
        assert_eq!(run("bh-load", folder.path(), url).exits(0).count("/out"), 2);
        let known = run("bh-filter", folder.path(), url).exits(0);
        assert_eq!(known.count("/dropped/known"), 2, "{known}");
        let name = url.trim_start_matches("sqlite:").trim_start_matches("//");
        assert!(folder.path().join(name).exists(), "{url}");
    }
}

#[test]
fn sqlite_files_of_other_applications_are_refused() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("folder")).unwrap();
    std::os::unix::fs::symlink("/dev/null", at("null")).unwrap();
    for (name, statements) in [
        ("numbered", "PRAGMA application_id = 252006675"),
        ("other", "CREATE TABLE moz_places (url text)"),
    ] {
        let connection = rusqlite::Connection::open(at(name)).unwrap();
        connection.execute_batch(statements).unwrap();
    }
    for (name, reason) in [
        ("folder", "folder: not a regular file"),
        ("null", "null: not a regular file"),
        (
            "numbered",
            "numbered: it is the database of another application",
        ),
        (
            "other",
            "other: it is the database of another application: it has a table moz_places",
        ),
    ] {
        let url = format!("sqlite:{name}");
        let before = std::fs::read(at(name)).ok();
        for program in ["bh-load", "bh-filter"] {
            let run = run(program, folder.path(), &url).exits(78);
            assert!(run.stderr.contains(reason), "{reason}: {run}");
        }
        assert_eq!(
            std::fs::read(at(name)).ok(),
            before,
            "{name} was written to"
        );
    }
}

#[test]
fn a_read_only_file_is_reported_at_the_start() {
    let folder = folder();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    run("bh-load", folder.path(), "sqlite:x.db").exits(0);
    for name in ["x.db", "x.db-wal", "x.db-shm"] {
        let path = folder.path().join(name);
        if path.exists() {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o444)).unwrap();
        }
    }
    let tool = Tool::plain("bh-load").args(["--database", "sqlite:x.db"]);
    let tool = tool.folder(folder.path()).input(ndjson(&[record(0)]));
    let run = tool.unprivileged().run().exits(74);
    run.says("x.db").says("read-only");
}

/// SQLite would delete it, with the rows that a killed loader left in it.
#[test]
fn a_log_without_its_database_is_kept() {
    let folder = folder();
    for empty in [false, true] {
        let log = folder.path().join("x.db-wal");
        std::fs::write(&log, "rows").unwrap();
        if empty {
            std::fs::write(folder.path().join("x.db"), "").unwrap();
        }
        let run = run("bh-load", folder.path(), "sqlite:x.db").exits(78);
        let run = run.says("x.db-wal").says("would delete the rows in it");
        assert_eq!(std::fs::read(&log).unwrap(), b"rows", "{run}");
    }
}

/// Nobody can write there, so nothing has to be kept apart from writers.
#[test]
fn a_database_in_a_read_only_folder_is_read() {
    let folder = folder();
    let inner = folder.path().join("50% off?#");
    std::fs::create_dir(&inner).unwrap();
    run("bh-load", &inner, "sqlite:x.db").exits(0);
    std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let tool = Tool::plain("bh-filter").args(["--database", "sqlite:x.db"]);
    let tool = tool.folder(&inner).input(ndjson(&[record(1), record(2)]));
    let filtered = tool.unprivileged().run();
    std::fs::set_permissions(&inner, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(filtered.exits(0).records().len(), 1);
}
