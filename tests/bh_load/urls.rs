//! URLs of PostgreSQL, as libpq reads them.

use crate::harness::postgres::Database;
use crate::harness::sample::{ndjson, record};
use crate::harness::{Run, Tool};

fn load(url: &str, environment: &[(&str, &str)]) -> Run {
    let tool = Tool::new("bh-load").args(["--database", url]);
    let environment = environment.iter();
    let tool = environment.fold(tool, |tool, (name, value)| tool.env(name, *value));
    tool.input(ndjson(&[record(0)])).run()
}

#[test]
fn a_url_means_what_libpq_takes_it_for() {
    let Some(database) = Database::new() else {
        return;
    };
    let url = url::Url::parse(&database.url).unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap().to_string());
    let name = url.path().trim_start_matches('/');
    let user = "user=postgres";
    for (url, environment) in [
        (format!("{url}?options=-c%20search_path%3Ds1"), &[][..]),
        (
            format!("{url}?options=-csearch_path%3Ds1&application_name=a+b@c"),
            &[],
        ),
        // A host that answers, after one that does not, and after none.
        (
            format!("postgres://postgres@127.0.0.1:1,{host}:{port}/{name}"),
            &[],
        ),
        (
            format!("postgres:///{name}?host={host}&port={port}&{user}"),
            &[],
        ),
        (
            format!("postgresql://?host={host}&port={port}&dbname={name}&{user}"),
            &[],
        ),
        (
            format!("postgres://postgres@{host}/{name}"),
            &[("PGPORT", port.as_str())],
        ),
        (
            format!("postgres://{host}:{port}/?gssencmode=prefer&keepalives_count=3&sslsni=1"),
            &[
                ("PGDATABASE", name),
                ("PGUSER", "postgres"),
                ("PGCONNECT_TIMEOUT", "0"),
            ],
        ),
    ] {
        let mut client = database.client();
        let anew =
            "DROP SCHEMA IF EXISTS public, s1 CASCADE; CREATE SCHEMA public; CREATE SCHEMA s1";
        client.batch_execute(anew).unwrap();
        load(&url, environment).exits(0);
        let schema = if url.contains("search_path") {
            "s1"
        } else {
            "public"
        };
        let rows = database.count(&format!("SELECT count(*) FROM {schema}.main_build"));
        assert_eq!(rows, 1, "{url}");
    }
}

#[test]
fn an_unknown_parameter_is_named() {
    let run = load("postgres://me@127.0.0.1:1/db?no_such=1", &[]).exits(2);
    run.says("no_such").says("not supported");
}
