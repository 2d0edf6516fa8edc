//! No output contains a password of a URL or of the environment.

use crate::harness::faulty::{Faulty, object};
use crate::harness::kinto::{self, StandIn};
use crate::harness::postgres::Database;
use crate::harness::sample::{key, record};
use crate::harness::{Run, Tool, folder};

const SECRET: &str = "s3kr1t-w0rd";

#[track_caller]
fn keeps_the_secret(run: Run, code: i32) -> Run {
    let run = run.exits(code);
    let stdout = String::from_utf8_lossy(&run.stdout);
    assert!(
        !stdout.contains(SECRET) && !run.stderr.contains(SECRET),
        "{run}"
    );
    assert!(!run.summary.to_string().contains(SECRET), "{run}");
    run
}

#[test]
fn an_unusable_database_url_shows_no_password() {
    let tails = [
        ("mysql://me:{}@127.0.0.1/db", 2),
        ("postgres://me:{}@127.0.0.1:port/db", 2),
        ("postgres://me:{}@127.0.0.1:1/db?frobnicate=1", 2),
        ("postgres://me:{}@127.0.0.1:1/db?sslmode=frobnicate", 2),
        ("postgres://127.0.0.1:1/db?password={}&frobnicate=1", 2),
        (
            "postgres://me:{}@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/dev/null/x",
            78,
        ),
    ];
    for (stage, (url, code)) in ["bh-filter", "bh-load"]
        .into_iter()
        .flat_map(|stage| tails.map(|tail| (stage, tail)))
    {
        let url = url.replace("{}", SECRET);
        let flag = Tool::new(stage).args(["--database", &url]).run();
        let flag = keeps_the_secret(flag, code).prints_nothing();
        let variable = Tool::new(stage).env("DATABASE_URL", &url).run();
        assert_eq!(keeps_the_secret(variable, code).told(), flag.told());
    }
}

#[test]
fn a_missing_database_shows_no_password() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut url = url::Url::parse(&database.url).unwrap();
    url.set_password(Some(SECRET)).unwrap();
    url.set_path("no-such-database");
    for stage in ["bh-filter", "bh-load"] {
        let tool = Tool::new(stage).args(["--database", url.as_str()]).run();
        // The status is 77 if the server checks passwords.
        let code = tool.status.code().unwrap();
        assert!(code == 77 || code == 78, "{tool}");
        keeps_the_secret(tool, code).says("/no-such-database: ");
    }
}

#[test]
fn s3_errors_and_states_show_no_secret() {
    let server = Faulty::start(&[object(&key(0), "{}")], &["--bucket", "b"]);
    let with_password = |url: &str| url.replace("http://", &format!("http://me:{SECRET}@"));
    let keys = |tool: Tool| {
        tool.env("AWS_ACCESS_KEY_ID", "me")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", SECRET)
            .args(["--tries", "1"])
    };
    for url in [
        "http://127.0.0.1:1".to_owned(),
        with_password("http://127.0.0.1:1"),
    ] {
        let list = Tool::new("s3-list").args(["--endpoint-url", &url, "s3://b"]);
        keeps_the_secret(keys(list).run(), 69);
        let fetch = Tool::new("bh-fetch").args(["--endpoint-url", &url]);
        keeps_the_secret(keys(fetch).input(record(0).to_string()).run(), 69);
    }
    // The state names the endpoint, and so does the refusal of another state.
    let folder = folder();
    let state = folder.path().join("list.json");
    let list = |url: &str| {
        let tool = Tool::new("s3-list").args(["--endpoint-url", url, "s3://b", "--resume"]);
        keys(tool).arg("--resume-file").arg(&state).run()
    };
    keeps_the_secret(list(&with_password(&server.url)), 0);
    let kept = std::fs::read_to_string(&state).unwrap();
    assert!(!kept.contains(SECRET), "{kept}");
    keeps_the_secret(list("http://127.0.0.1:1"), 78);
}

#[test]
fn an_invalid_elasticsearch_url_shows_no_password() {
    let url = format!("http://me:{SECRET}@127.0.0.1:port");
    let folder = folder();
    let tool = Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", "sqlite:b.db", "--elasticsearch", &url])
        .folder(folder.path());
    let run = tool.run();
    let code = run.status.code().unwrap();
    assert!(code == 2 || code == 78, "{run}");
    keeps_the_secret(run, code);
}

#[test]
fn kinto_errors_and_states_show_no_secret() {
    let server = StandIn::new(|_, asked| Some(kinto::answer(3, asked)));
    let with_password = |url: &str| url.replace("http://", &format!("http://me:{SECRET}@"));
    let folder = folder();
    let state = folder.path().join("kinto.json");
    let export = |url: &str| {
        let tool = Tool::new("kinto-export").env("KINTO_AUTH", format!("me:{SECRET}"));
        let tool = tool.args(["--server", url, "--retries", "0", "--resume"]);
        tool.arg("--resume-file").arg(&state).run()
    };
    keeps_the_secret(export(&with_password(&server.url)), 0);
    let kept = std::fs::read_to_string(&state).unwrap();
    assert!(!kept.contains(SECRET), "{kept}");
    keeps_the_secret(export("http://127.0.0.1:1/v1"), 78);
    for url in [
        "http://127.0.0.1:1/v1",
        "http://127.0.0.1:port/v1",
        "ftp://127.0.0.1/v1",
    ] {
        let code = if url.ends_with(":1/v1") { 69 } else { 2 };
        let load = Tool::new("kinto-load")
            .arg("--marks")
            .env("KINTO_SERVER_URL", with_password(url));
        let load = load
            .env("KINTO_AUTH", format!("me:{SECRET}"))
            .args(["--retries", "0"]);
        keeps_the_secret(load.run(), code);
    }
    let url = format!("postgres://me:{SECRET}@127.0.0.1:1/kinto");
    let database = Tool::new("kinto-export").env("KINTO_DATABASE_URL", url);
    keeps_the_secret(database.args(["--retries", "0"]).run(), 69);
}
