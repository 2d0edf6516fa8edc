//! Every variable and flag that can hold a secret, against everything that is written.

use std::path::Path;

use super::SECRET;
use super::passfile::Database;
use crate::bh_derive;
use crate::harness::http::answering;
use crate::harness::{Tool, folder};

/// Fails if a file in the folder contains the secret.
#[track_caller]
fn check_files(folder: &Path) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(SECRET), "{}: {text}", path.display());
    }
}

/// Runs a tool with both forms of messages; whatever becomes of it, the secret is nowhere.
#[track_caller]
fn hides(make: &dyn Fn() -> Tool) {
    for format in ["text", "json"] {
        let place = folder();
        let summary = place.path().join("summary.json");
        let tool = make()
            .folder(place.path())
            .args(["-v", "--log-format", format]);
        let run = tool.arg("--summary").arg(summary).run();
        let stdout = String::from_utf8_lossy(&run.stdout);
        assert!(
            !run.stderr.contains(SECRET) && !stdout.contains(SECRET),
            "{run}"
        );
        assert!(run.status.code().is_some_and(|code| code != 70), "{run}");
        check_files(place.path());
    }
}

#[test]
fn no_secret_is_written_anywhere() {
    let refuses = answering("401 Unauthorized", "{}");
    let postgres = Database::start();
    let with_secret = |url: &str| url.replace("//", &format!("//me:{SECRET}@"));
    let database = with_secret(&format!("postgres://127.0.0.1:{}/db", postgres.port));
    let archived = bh_derive::line(&bh_derive::key("en-US", "linux-x86_64")) + "\n";
    let object = "{\"bucket\":\"b\",\"key\":\"k\",\"etag\":\"e\"}\n";
    let build = "{\"bucket\":\"b\",\"key\":\"k\",\"etag\":\"e\",\"build\":{\"build\":{}}}\n";
    let release = "{\"data\":{\"id\":\"a\"}}\n";
    // Each program, its other arguments, its input, and the places of the secret: a variable and
    // a flag of the same meaning, or either alone.
    let places: &[(&str, &[&str], &str, &str, &str)] = &[
        (
            "s3-list",
            &["s3://b", "--tries=1", "--resume-file=f"],
            "",
            "AWS_ENDPOINT_URL",
            "--endpoint-url",
        ),
        (
            "s3-list",
            &["s3://b", "--tries=1"],
            "",
            "AWS_ENDPOINT_URL_S3",
            "",
        ),
        (
            "s3-list",
            &["s3://b", "--tries=1", "--endpoint-url=http://h:1"],
            "",
            "http_proxy",
            "",
        ),
        (
            "s3-inventory",
            &["s3://b/manifest.json", "--tries=1"],
            "",
            "AWS_ENDPOINT_URL",
            "--endpoint-url",
        ),
        (
            "bh-fetch",
            &["--tries=1"],
            object,
            "AWS_ENDPOINT_URL_S3",
            "--endpoint-url",
        ),
        ("bh-filter", &[], object, "DATABASE_URL", "--database"),
        (
            "bh-load",
            &["--resume-file=f"],
            build,
            "DATABASE_URL",
            "--database",
        ),
        (
            "bh-load",
            &["--database=sqlite:b.db"],
            build,
            "ELASTICSEARCH_URL",
            "--elasticsearch",
        ),
        (
            "bh-derive",
            &["--tries=1", "--cache-folder=."],
            &archived,
            "ARCHIVE_URL",
            "--archive-url",
        ),
        (
            "kinto-export",
            &["--tries=1", "--resume-file=f"],
            "",
            "KINTO_SERVER_URL",
            "--server",
        ),
        (
            "kinto-export",
            &["--tries=1"],
            "",
            "KINTO_DATABASE_URL",
            "--kinto-database",
        ),
        (
            "kinto-load",
            &["--tries=1", "--skip-unchanged"],
            release,
            "KINTO_SERVER_URL",
            "--server",
        ),
        ("kinto-load", &["--tries=1"], release, "SERVER_URL", ""),
    ];
    for (program, args, input, variable, flag) in places {
        let url = if variable.contains("DATABASE") {
            database.clone()
        } else {
            with_secret(&format!("{refuses}/v1"))
        };
        let broken = url.replace("127.0.0.1:", "127.0.0.1:port");
        for url in [
            &url,
            &broken,
            &format!("{url}?a=b#c"),
            &url.replace("me:", "me%zz:"),
        ] {
            let tool = || {
                let tool = Tool::plain(program).args(*args).input(*input);
                tool.env("AWS_ACCESS_KEY_ID", "me")
                    .env("AWS_SECRET_ACCESS_KEY", SECRET)
                    .env("AWS_SESSION_TOKEN", SECRET)
                    .env("AWS_REGION", "us-east-1")
                    .env("PGPASSWORD", SECRET)
                    .env("KINTO_AUTH", format!("me:{SECRET}"))
                    .env("ELASTICSEARCH_API_KEY", SECRET)
            };
            hides(&|| tool().env(variable, url));
            if !flag.is_empty() {
                hides(&|| tool().args([*flag, url]));
            }
        }
    }
    for auth in [
        format!("Bearer {SECRET}"),
        format!("{SECRET}\n"),
        SECRET.to_owned(),
    ] {
        let tool = || Tool::plain("kinto-load").args(["--server", &refuses, "--tries=1"]);
        hides(&|| tool().env("KINTO_AUTH", &auth).input(release));
        hides(&|| tool().env("AUTH", &auth).input(release));
    }
    let key =
        || Tool::plain("bh-load").args(["--database=sqlite:b.db", "--elasticsearch", &refuses]);
    hides(&|| key().env("ELASTICSEARCH_API_KEY", SECRET).input(build));
    hides(&|| {
        key()
            .env("ELASTICSEARCH_API_KEY", format!("{SECRET}\n\u{e9}"))
            .input(build)
    });
}
