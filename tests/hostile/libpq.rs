//! The settings of libpq that guard a connection: each is obeyed, or refused before anything is
//! sent, as the table in docs/security.md says.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::passfile::Database;
use crate::harness::{Run, Tool};

const DEAD: &str = "postgres://me:secret@127.0.0.1:1/db?connect_timeout=1";

/// The rows of the table: the parameter, its variable or `-`, and what is done with it.
fn table() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let text = include_str!("../../docs/security.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cell = |text: &'static str| text.trim().trim_matches('`');
    let row = |line: &'static str| {
        let mut cells = line.trim_matches('|').split('|').map(cell);
        let mut next = || cells.next().unwrap();
        (next(), (next(), next()))
    };
    rows.map(row).collect()
}

fn run(url: &str, variables: &[(&str, &str)]) -> Run {
    let tool = Tool::new("bh-filter").args(["--database", url]);
    let set = variables.iter();
    set.fold(tool, |tool, (name, value)| tool.env(name, *value))
        .run()
}

#[test]
fn a_setting_of_libpq_is_obeyed_or_refused() {
    let table = table();
    let value = |name: &str| match name {
        "gssencmode" | "sslcertmode=require" => "require",
        "min_protocol_version" => "3.2",
        "require_auth" => "scram-sha-256",
        "ssl_max_protocol_version" => "TLSv1.1",
        _ => "x",
    };
    let mut refused = 0;
    for (name, (variable, verdict)) in &table {
        if !verdict.starts_with("refused") {
            continue;
        }
        refused += 1;
        let (parameter, value) = (name.split('=').next().unwrap(), value(name));
        let url = run(&format!("{DEAD}&{parameter}={value}"), &[]).exits(78);
        url.says(parameter).says("leave it out of the URL");
        if *variable != "-" {
            let run = run(DEAD, &[(variable, value)]).exits(78);
            run.says(parameter).says(variable);
        }
    }
    assert!(refused > 10 && table.len() > 20, "{table:?}");
}

#[test]
fn values_that_ask_for_nothing_are_taken() {
    let database = Database::start();
    let url = format!("postgres://me:secret@127.0.0.1:{}/db?", database.port);
    for (name, variable, value) in [
        ("gssencmode", "PGGSSENCMODE", "disable"),
        ("gssencmode", "PGGSSENCMODE", "prefer"),
        ("krbsrvname", "PGKRBSRVNAME", "x"),
        ("sslcompression", "PGSSLCOMPRESSION", "1"),
        ("sslcertmode", "PGSSLCERTMODE", "allow"),
        ("sslcertmode", "PGSSLCERTMODE", "disable"),
        ("min_protocol_version", "PGMINPROTOCOLVERSION", "3.0"),
        (
            "ssl_min_protocol_version",
            "PGSSLMINPROTOCOLVERSION",
            "tlsv1.3",
        ),
        ("sslsni", "PGSSLSNI", "0"),
    ] {
        run(&format!("{url}{name}={value}"), &[]).exits(77);
        run(&url, &[(variable, value)]).exits(77);
    }
}

#[test]
fn a_value_that_cannot_be_read_is_not_left_out() {
    for variable in ["PGSSLROOTCERT", "PGCHANNELBINDING", "PGPASSFILE"] {
        let tool = Tool::new("bh-filter").args(["--database", DEAD]);
        let run = tool.env(variable, OsStr::from_bytes(b"\xff")).run();
        run.exits(78).says(variable).says("not valid UTF-8");
    }
    for (variable, value) in [
        ("PGCHANNELBINDING", "always"),
        ("PGSSLMODE", "always"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv9"),
    ] {
        run(DEAD, &[(variable, value)]).exits(2);
    }
    let most = ("PGSSLMAXPROTOCOLVERSION", "TLSv1.1");
    run(DEAD, &[most]).exits(78).says("TLSv1.2 and TLSv1.3");
}
