//! What a mistake of the user leads to: the exit status, and a message that names the place,
//! the cause and the next step.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::fed::Fed;
use crate::harness::http::answering;
use crate::harness::postgres::Database;
use crate::harness::sample::record;
use crate::harness::{Run, Tool, folder, program};
use crate::marks::written;

/// A mistake: the program with its arguments, what it reads, and what it should say.
struct Row {
    command: &'static str,
    input: &'static str,
    status: i32,
    says: &'static str,
}

const fn row(command: &'static str, status: i32, says: &'static str) -> Row {
    Row {
        command,
        input: "",
        status,
        says,
    }
}

const LOCAL: &[Row] = &[
    row(
        "bh-load --database builds.db",
        2,
        "\"builds.db\" is not the URL of a database; did you mean sqlite:builds.db?",
    ),
    row(
        "bh-load --database mysql://me:secret@db/builds",
        2,
        "not the URL of a database: it must begin with sqlite: or postgres://",
    ),
    row(
        "bh-load --database sqlite:missing/builds.db",
        74,
        "missing/builds.db: unable to open database file: ",
    ),
    row(
        "bh-load --database sqlite:missing/builds.db",
        74,
        "; does its folder exist, and may you write there?",
    ),
    row(
        "bh-load",
        0,
        "storing in ./buildhub.db (set DATABASE_URL to change)",
    ),
    row(
        "bh-filter --known yesterday.ndjson",
        78,
        "--known yesterday.ndjson: no such file; make it, for example with s3-list s3://… > \
         yesterday.ndjson",
    ),
    row(
        "s3-list --show-state list.json",
        78,
        "list.json: no such file: no run has used it as its --resume-file yet",
    ),
    row(
        "s3-list --endpoint-url http://127.0.0.1:1 --resume-file missing/list.json s3://b",
        74,
        "cannot write missing/list.json: no such folder; create it",
    ),
    row(
        "s3-list --endpoint-url http://127.0.0.1:1 --resume-file damaged.json --resume s3://b",
        78,
        "damaged.json: damaged, or not a resume file (",
    ),
    row(
        "s3-list --endpoint-url http://127.0.0.1:1 --resume-file damaged.json --resume s3://b",
        78,
        "); delete it to start over",
    ),
    row(
        "s3-list --endpoint-url http://127.0.0.1:1 --resume-file empty.json --resume s3://b",
        78,
        "empty.json: damaged, or not a resume file (",
    ),
    row(
        "s3-list --endpoint-url 127.0.0.1:9000 s3://b",
        2,
        "the endpoint \"127.0.0.1:9000\" is not a valid URL: it must begin with http:// or https://",
    ),
    row(
        "s3-list --endpoint-url http://127.0.0.1:1 --no-sign-request --tries 2 s3://b",
        69,
        "cannot connect: Connection refused (is the server running, and its URL right?); gave up \
         after 2 tries",
    ),
    row(
        "s3-list --profile nosuch s3://b",
        78,
        "cannot use the profile \"nosuch\": ",
    ),
    row(
        "s3-list --profile nosuch s3://b",
        78,
        "; create it with `aws configure --profile nosuch`",
    ),
    row(
        "kinto-export --server http://127.0.0.1:1/v1 --tries 2",
        69,
        "cannot connect: Connection refused (is the server running, and its URL right?); gave up \
         after 2 tries",
    ),
    row(
        "bh-load --database postgres://127.0.0.1:1/b --tries 2",
        69,
        "cannot connect: Connection refused (is PostgreSQL running there?); gave up after 2 tries",
    ),
    row(
        "bh-load --elasticsearch http://127.0.0.1:1 --tries 2",
        69,
        "gave up after 2 tries",
    ),
    row(
        "bh-load --elasticsearch 127.0.0.1:9200",
        2,
        "the URL of Elasticsearch is not valid: relative URL without a base; set --elasticsearch \
         or ELASTICSEARCH_URL to one like http://localhost:9200",
    ),
    row(
        "kinto-export --server 127.0.0.1:8888",
        2,
        "the URL of Kinto is not valid: relative URL without a base; set --server or \
         KINTO_SERVER_URL to one like http://localhost:8888/v1",
    ),
    row(
        "kinto-export --auth-file damaged.json",
        78,
        "damaged.json: expected USER:PASSWORD or Bearer TOKEN",
    ),
    row(
        "bh-filter --rejects missing/r",
        74,
        "cannot write --rejects missing/r: no such folder; create it",
    ),
    row(
        "bh-filter --rejects .",
        74,
        "cannot write --rejects .: it is a folder; name a file",
    ),
    row(
        "bh-filter --key-regex *.json",
        2,
        "this is a regular expression, not a glob: try '.*\\.json$'",
    ),
    row(
        "bh-filter --suffix *.json",
        2,
        "a suffix is taken as it stands, without wildcards: try .json",
    ),
    row(
        "bh-load --runs",
        78,
        "no such database; name the one that holds the runs with --database or DATABASE_URL",
    ),
    row(
        "s3-inventory missing.csv",
        78,
        "missing.csv: no such file or folder; check the name",
    ),
    row(
        "bh-derive --cache-folder missing",
        74,
        "--cache-folder missing: no such folder; create it",
    ),
    row(
        "kinto-load --initialize --bucket other",
        78,
        "the built-in manifest does not describe the bucket \"other\"; pass --manifest FILE with \
         it, such as an edited kinto/initialization.yml",
    ),
    Row {
        command: "bh-derive --event --cache-folder .",
        input: r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":{"key":"a","size":1}}}]}"#,
        status: 65,
        says: "Records[0]: missing field \"eventTime\"",
    },
    Row {
        command: "bh-filter --no-known",
        input: "{}",
        status: 65,
        says: "1 record rejected but not saved (1 shown): run again with --rejects FILE to keep them",
    },
    Row {
        command: "bh-filter --no-known --rejects /dev/full",
        input: "{}",
        status: 74,
        says: "cannot write --rejects /dev/full: No space left on device",
    },
    Row {
        command: "bh-filter --no-known",
        input: r#"{"mark":{"listed":{"run":"r","after":null,"through":"k"},"counts":[{"stage":"s3-list"}]}}"#,
        status: 75,
        says: "run r has no begin mark: a filter between two programs must pass lines that begin with \
               {\"mark\": in their place, as grep -e '^{\"mark\":' -e PATTERN does",
    },
    Row {
        command: "bh-filter --no-known",
        input: r#"{"mark":{"begin":{"run":"r","source":"s3://b/","part":null,"started":"2026-01-01T00:00:00Z","criteria":{},"resumable":true}}}"#,
        status: 75,
        says: "input ended early: run r of s3://b/ has no end mark: a program before this one failed, \
               or a filter dropped the mark; unless its message says otherwise, run the same \
               pipeline again with --resume",
    },
];

#[test]
fn a_mistake_is_named_with_the_next_step() {
    for Row {
        command,
        input,
        status,
        says,
    } in LOCAL
    {
        let folder = folder();
        std::fs::write(folder.path().join("damaged.json"), "{").unwrap();
        std::fs::write(folder.path().join("empty.json"), "").unwrap();
        let mut words = command.split(' ');
        let tool = Tool::new(words.next().unwrap()).args(words);
        let tool = tool.folder(folder.path()).env("AUTH", "me:secret");
        let run = tool.input(*input).run().exits(*status).says(says);
        assert!(!run.stderr.contains("os error"), "{run}");
        assert!(!run.stderr.contains("secret"), "{run}");
    }
}

#[test]
fn a_denial_of_signed_requests_asks_for_permissions() {
    let body = "<Error><Code>AccessDenied</Code><Message>no.</Message></Error>";
    let url = answering("403 Forbidden", body);
    let tool = Tool::new("s3-list").args(["--endpoint-url", &url, "s3://b"]);
    let tool = tool.env("AWS_ACCESS_KEY_ID", "me");
    let run = tool.env("AWS_SECRET_ACCESS_KEY", "secret").run().exits(77);
    run.says("cannot list s3://b/ at http://").says(
        "access denied: AccessDenied (403) no; check the permissions of the credentials (a public \
         bucket needs none with --no-sign-request)",
    );
}

/// Runs a program against a server that gives one answer, with the user of `auth`.
fn kinto(head: &str, auth: &str) -> Run {
    let url = answering(head, "{}");
    let tool = Tool::new("kinto-export").args(["--server", &url, "--retries", "0"]);
    tool.env("AUTH", auth).run()
}

#[test]
fn a_refusal_of_kinto_names_the_user_and_the_setting() {
    kinto("401 Unauthorized", "me:secret")
        .exits(77)
        .says("Kinto does not accept the user \"me\" (HTTP 401); check KINTO_AUTH=USER:PASSWORD");
    kinto("401 Unauthorized", "")
        .exits(77)
        .says("Kinto asks for credentials (HTTP 401); set KINTO_AUTH=USER:PASSWORD");
    kinto("403 Forbidden", "me:secret").exits(77).says(
        "the user \"me\" has no permission (HTTP 403); check KINTO_AUTH, and the permissions",
    );
    kinto("307 Elsewhere\nlocation: /v1/", "").exits(78).says(
        "the server redirects to another URL (HTTP 307); the URL needs the version, as in \
         http://localhost:8888/v1",
    );
}

#[test]
fn another_server_than_elasticsearch_is_named() {
    let load = |head: &str, body: &str| {
        let tool = Tool::new("bh-load").args(["--database", "sqlite:b.db"]);
        tool.args(["--elasticsearch", &answering(head, body)]).run()
    };
    load("200 OK", r#"{"project_name":"kinto"}"#).exits(78).says(
        "not an Elasticsearch server (HTTP 200); check the URL, and name the index with --index",
    );
    load("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>")
        .exits(77)
        .says("HTTP 403")
        .says("; the response is not from Elasticsearch: check the URL, and any proxy");
}

#[test]
fn the_next_step_after_an_outage_of_elasticsearch_is_named() {
    let load = || {
        let tool = Tool::new("bh-load").args(["--database", "sqlite:b.db"]);
        let tool = tool.args(["--elasticsearch", "http://127.0.0.1:1"]);
        tool.input(record(0).to_string())
    };
    load()
        .run()
        .exits(69)
        .says("; when Elasticsearch is back, run bh-load </dev/null with the same settings");
    let script = load().env("BUILDHUB_PIPES_RERUN", "scripts/backfill s3://b");
    script
        .run()
        .exits(69)
        .says("; when Elasticsearch is back, run scripts/backfill s3://b");
}

#[test]
fn a_lock_on_the_database_is_reported_while_it_lasts() {
    let folder = folder();
    let path = folder.path().join("b.db");
    let url = format!("sqlite:{}", path.display());
    Tool::new("bh-load")
        .args(["--database", &url])
        .run()
        .exits(0);
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut child = Command::new(program("bh-load"))
        .args(["--database", &url])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = json!(record(0)).to_string() + "\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), line.as_bytes()).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    holder.execute_batch("COMMIT").unwrap();
    let wanted = format!("bh-load: waiting for another program to release {url}\n");
    assert!(said.ends_with(&wanted), "{said}");
    stderr.read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
}

/// One line: why it ends, and how to resume.
#[test]
fn a_stopped_program_names_the_next_step() {
    let stop = |script: &str| {
        let tool = Tool::new("bh-filter").arg("--no-known");
        let mut fed = Fed::new(tool.env("BUILDHUB_PIPES_RERUN", script));
        fed.give(&[written::begin("r", &json!({"resumable": true}))]);
        fed.line();
        fed.started.signal(Signal::TERM);
        let run = fed.wait().dies_by(Signal::TERM.as_raw());
        run.told()[0].to_owned()
    };
    let stopped = "bh-filter: stopped by SIGTERM; to resume, run ";
    assert_eq!(
        stop(""),
        format!("{stopped}the same pipeline again with --resume")
    );
    assert_eq!(stop("backfill s3://b"), format!("{stopped}backfill s3://b"));
}

#[test]
fn a_missing_object_is_named_with_its_place() {
    let url = answering("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>");
    let tool = Tool::new("bh-fetch").args(["--endpoint-url", &url, "--no-sign-request"]);
    let run = tool.input(r#"{"bucket":"b","key":"pub/x.json"}"#).run();
    run.exits(0)
        .says("line 1: not found: s3://b/pub/x.json (deleted since it was listed, or a wrong key)");
}

#[test]
fn an_unknown_role_or_database_of_postgresql_is_named_with_its_setting() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut url = url::Url::parse(&database.url).unwrap();
    url.set_username("nosuch").unwrap();
    let run = Tool::new("bh-load")
        .args(["--database", url.as_str()])
        .run();
    let run = run.exits(77).says("\"nosuch\"");
    run.says("; check the user in the URL of the database, or PGUSER");
    let mut url = url::Url::parse(&database.url).unwrap();
    url.set_path("nosuch");
    let tool = Tool::new("bh-load").args(["--database", url.as_str()]);
    tool.run().exits(78).says(
        "database \"nosuch\" does not exist (3D000); create it, or check its name in DATABASE_URL \
         or --database",
    );
}

#[test]
fn an_error_of_s3_is_named_with_the_next_step() {
    let cases = [
        (
            "403 Forbidden",
            "AccessDenied",
            77,
            "access denied to anonymous requests: AccessDenied (403) no; remove --no-sign-request, \
             and provide credentials",
        ),
        (
            "400 Bad Request",
            "InvalidBucketName",
            78,
            "InvalidBucketName (400) no; check the name of the bucket",
        ),
        (
            "403 Forbidden",
            "",
            77,
            "access denied to anonymous requests: HTTP 403; check --endpoint-url, or remove \
             --no-sign-request and provide credentials",
        ),
        (
            "403 Forbidden",
            "InvalidAccessKeyId",
            77,
            "check AWS_ACCESS_KEY_ID or the profile",
        ),
        (
            "403 Forbidden",
            "SignatureDoesNotMatch",
            77,
            "check AWS_SECRET_ACCESS_KEY",
        ),
        (
            "403 Forbidden",
            "InvalidTokenId",
            77,
            "renew it, for example with aws sso login or a new AWS_SESSION_TOKEN",
        ),
        (
            "403 Forbidden",
            "RequestTimeTooSkewed",
            77,
            "the clock of this machine is wrong: RequestTimeTooSkewed (403) no; set it",
        ),
        (
            "404 Not Found",
            "NoSuchBucket",
            78,
            "no such bucket; check its name and the endpoint",
        ),
        (
            "400 Bad Request",
            "",
            78,
            "this does not look like an S3 server (HTTP 400); check --endpoint-url",
        ),
        (
            "307 Elsewhere\nlocation: /v1/",
            "",
            78,
            "unexpected redirect (HTTP 307); is this an S3 endpoint?",
        ),
    ];
    for (head, code, status, says) in cases {
        let body = match code {
            "" => "{}".to_owned(),
            code => format!("<Error><Code>{code}</Code><Message>no.</Message></Error>"),
        };
        let url = answering(head, &body);
        let tool = Tool::new("s3-list").args(["--endpoint-url", &url, "--no-sign-request"]);
        tool.arg("s3://b").run().exits(status).says(says);
    }
}
