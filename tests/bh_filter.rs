//! bh-filter.

mod torn;

use std::path::Path;

use crate::harness::postgres::Database;
use crate::harness::sample::{key, ndjson, record};
use crate::harness::{Run, Tool, folder};

fn sieve(args: &[&str]) -> Tool {
    Tool::new("bh-filter").args(args.iter().copied())
}

fn fresh(args: &[&str]) -> Tool {
    sieve(args).args(["--known", "none"])
}

/// A record of this key; with an ETag if it is not empty.
fn entry(key: &str, etag: &str) -> String {
    let mut record = serde_json::json!({"bucket": "b", "key": key, "etag": etag});
    if etag.is_empty() {
        record.as_object_mut().unwrap().remove("etag");
    }
    record.to_string()
}

fn text(lines: &[String]) -> String {
    lines.join("\n") + "\n"
}

#[track_caller]
fn keeps(run: Run, lines: &[&str]) -> Run {
    let run = run.exits(0);
    let kept = String::from_utf8(run.stdout.clone()).unwrap();
    assert_eq!(kept.lines().collect::<Vec<_>>(), lines, "{run}");
    run
}

#[test]
fn keys_are_selected_by_suffix_and_regex() {
    let keys = [
        "a/buildhub.json",
        "Firefox-99-buildhub.json",
        "buildhub.json",
        "a/buildhub.json.gz",
        "a/Buildhub.json",
        "buildhub.json/x",
        "b/é.txt",
        "b/\".txt",
    ];
    let table: [(&[&str], &[usize]); 10] = [
        (&[], &[0, 1, 2]),
        (&["--suffix", ".txt"], &[6, 7]),
        (&["--suffix", "/é.txt", "--suffix", "b.json.gz"], &[3, 6]),
        (&["--suffix", "\".txt"], &[7]),
        (&["--suffix", "buildhub.json", "--key-regex", "^a/"], &[0]),
        (&["--key-regex", "^a/", "--key-regex", "[0-9]"], &[0, 1]),
        (&["--suffix", "", "--key-regex", "^b"], &[2, 5, 6, 7]),
        (&["--suffix", "", "--key-regex", "(?i)B.*N$"], &[0, 1, 2, 4]),
        (&["--suffix", ""], &[0, 1, 2, 3, 4, 5, 6, 7]),
        (&["--suffix", "nothing"], &[]),
    ];
    let lines = keys.map(|key| entry(key, "e"));
    for (args, expected) in table {
        let expected: Vec<_> = expected.iter().map(|at| &*lines[*at]).collect();
        let run = keeps(fresh(args).input(text(&lines)).run(), &expected);
        assert_eq!(
            run.count("/dropped/other keys"),
            (keys.len() - expected.len()) as u64,
            "{run}"
        );
    }
    let run = fresh(&["--key-regex", "("]).run().exits(2).prints_nothing();
    run.says("'--key-regex <REGEX>': unclosed group");
}

#[test]
fn matching_lines_are_copied_byte_for_byte() {
    let kept = [
        r#"{"key":"a\/buildhub.json"}"#,
        r#"{"key":"a/\u0062uildhub.json"}"#,
        r#"{"key":"a/buildhub.jso\u006E","x":1e5}"#,
        r#"{"\u006bey":"buildhub.json"}"#,
        r#" { "z" : [1.0, -0] ,"key" :	"buildhub.json" , "note": "é\u00e9" } "#,
        r#"{"key":"x","key":"buildhub.json"}"#,
        r#"{"Key":"buildhub.json","ETag":"\"e\""}"#,
        r#"{"key":"s3://b/x/buildhub.json","etag":"e","type":"file"}"#,
        r#"{"Path":"x/buildhub.json","IsDir":false}"#,
    ];
    let others = [
        r#"{"key":"x","note":"buildhub.json"}"#,
        r#"{"note":"buildhub.json","key":"buildhub.json\u0000"}"#,
        r#"{"key":"buildhub.json","key":"x"}"#,
        r#"{"key":"\\u0062uildhub.json!"}"#,
        r#"{"key":"buildhub.\\json"}"#,
    ];
    let mixed: Vec<String> = kept
        .iter()
        .zip(others.iter().cycle())
        .flat_map(|(kept, other)| [(*kept).to_owned(), (*other).to_owned()])
        .collect();
    let trimmed = kept.map(str::trim);
    let run = fresh(&[]).input(text(&mixed)).run();
    let run = keeps(run, &trimmed);
    assert_eq!(run.count("/dropped/other keys"), kept.len() as u64);
}

#[test]
fn input_that_is_not_a_listing_is_rejected() {
    for input in [
        "pub/a/buildhub.json\npub/b/buildhub.json\nnull\n",
        "2019-01-01 00:00:00  7 a/buildhub.json\n2019-01-01 00:00:00  7 a.zip\nx",
    ] {
        let run = fresh(&[]).input(input).run().exits(65).prints_nothing();
        assert_eq!(run.count("/rejected/bad_line"), 3, "{run}");
    }
}

#[test]
fn lines_that_cannot_match_are_not_parsed() {
    let over = ["{\"key\":1}", "{\"key\" garbage}", "{\"key\":\"x\",}"];
    let lines = over.map(str::to_owned);
    let run = keeps(fresh(&[]).input(text(&lines)).run(), &[]);
    assert_eq!(run.count("/dropped/other keys"), 3, "{run}");
    // What does not look like one object is none.
    for torn in [
        "garbage",
        "[1,",
        "{\"key\":\"buildhub.json",
        "buildhub.json",
        "\u{0}",
    ] {
        let lines = [over[0], torn, over[1]].map(str::to_owned);
        let run = fresh(&[]).input(text(&lines)).run().exits(65);
        run.says("line 2: bad_line: ").prints_nothing();
    }
    // A line that may match is parsed, and has to be a record.
    let refused = [
        r#""buildhub.json""#,
        r#"{"x":"buildhub.json"}"#,
        r#"{"key":["buildhub.json"]}"#,
        r#"{"key":null,"x":"buildhub.json"}"#,
        r#"{"key":"buildhub.json",}"#,
        r#"{"key":"\ud800","x":"buildhub.json"}"#,
        "{\"key\":\"\u{1}/buildhub.json\"}",
    ];
    for line in refused {
        let run = fresh(&[]).input(line).run().exits(65).prints_nothing();
        assert_eq!(run.count("/rejected/bad_line"), 1, "{run}");
    }
}

#[test]
fn order_and_counts_hold_over_many_blocks() {
    let lines: Vec<String> = (0..20_000)
        .map(|i| match i % 10 {
            0 => entry(&format!("{i}/buildhub.json"), "e"),
            5 => entry(&format!("{i}/\"/x"), "e"),
            _ => entry(&format!("{i}/{}", "x".repeat(i % 97)), "e"),
        })
        .collect();
    let input = text(&lines);
    assert!(input.len() > 1 << 20);
    let wanted: Vec<&str> = lines.iter().step_by(10).map(|line| &**line).collect();
    let run = keeps(fresh(&[]).input(input).run(), &wanted);
    assert_eq!(
        run.told(),
        ["bh-filter: 20000 in = 2000 out + 18000 other keys"]
    );
}

const A: &str = "a/buildhub.json";

#[test]
fn keys_in_the_known_file_with_the_same_etag_are_dropped() {
    let folder = folder();
    let file = folder.path().join("known");
    // The known file, the ETag of the input, and whether it passes.
    let table: &[(&str, &str, bool)] = &[
        ("", "e", true),
        (r#"{"key":"a/buildhub.json","etag":"e"}"#, "e", false),
        (r#"{"key":"a/buildhub.json","etag":"\"e\""}"#, "e", false),
        (r#"{"key":"a/buildhub.json","etag":"e"}"#, "\"e\"", false),
        (r#"{"key":"a/buildhub.json","etag":"e"}"#, "f", true),
        (r#"{"key":"a/buildhub.json","etag":"e"}"#, "", true),
        (r#"{"key":"a/buildhub.json"}"#, "e", true),
        (r#"{"key":"A/buildhub.json","etag":"e"}"#, "e", true),
        (
            r#"{"key":"a\/build\u0068ub.json","etag":"\u0065"}"#,
            "e",
            false,
        ),
        (
            r#"{"Key":"a/buildhub.json","ETag":"\"e\"","Size":1}"#,
            "e",
            false,
        ),
        (
            r#"{"key":"s3://b/a/buildhub.json","etag":"e","type":"file"}"#,
            "e",
            false,
        ),
        // Without the form of s5cmd it is a key like any other.
        (r#"{"key":"s3://b/a/buildhub.json","etag":"e"}"#, "e", true),
        (
            "[\n{\"Path\":\"a/buildhub.json\",\"Hashes\":{\"md5\":\"e\"}},\n{\"Path\":\"x\"}\n]",
            "e",
            false,
        ),
        (
            "{\"key\":\"a/buildhub.json\",\"etag\":\"e\"}\n{\"key\":\"a/buildhub.json\",\"etag\":\"f\"}",
            "e",
            true,
        ),
        (
            "{\"key\":\"a/buildhub.json\",\"etag\":\"f\"}\r\n\r\n{\"mark\":{\"end\":{}}}\r\n{\"key\":\"a/buildhub.json\",\"etag\":\"e\"}",
            "e",
            false,
        ),
    ];
    for (known, etag, passes) in table {
        std::fs::write(&file, known).unwrap();
        let line = entry(A, etag);
        let run = sieve(&["--known"]).arg(&file).input(&*line).run();
        let lines: &[&str] = if *passes { &[&line] } else { &[] };
        let run = keeps(run, lines);
        assert_eq!(
            run.count("/dropped/known from a file"),
            u64::from(!passes),
            "{known} {run}"
        );
    }
    for (known, says) in [("{}", ", line 1: "), ("\n\n{\"key\":", ", line 3: ")] {
        std::fs::write(&file, known).unwrap();
        let run = sieve(&["--known"])
            .arg(&file)
            .run()
            .exits(78)
            .prints_nothing();
        run.says(&format!("{}{says}", file.display()));
    }
    let run = sieve(&["--known", "/dev/null/x"]).run().exits(78);
    run.says("/dev/null/x: ").prints_nothing();
}

/// Rows of `main_build` as (key, ETag as stored), oldest first; rows of our
/// own table; the ETag of the input, and whether it passes.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static [(&'static str, &'static str)],
    &'static str,
    bool,
);
const KNOWN: &[Case] = &[
    (&[], &[], "e", true),
    (&[(A, "\"e\"")], &[], "e", false),
    (&[(A, "e")], &[], "e", false),
    (&[(A, "\"e\"")], &[], "\"e\"", false),
    (&[(A, "\"e\"")], &[], "f", true),
    (&[(A, "\"e\"")], &[], "", true),
    (&[(A, "\"e\""), (A, "\"f\"")], &[], "f", false),
    (&[(A, "\"e\""), (A, "\"f\"")], &[], "e", true),
    (&[(A, "\"e\""), (A, "\"f\"")], &[(A, "e")], "e", false),
    (&[(A, "\"e\""), (A, "\"f\"")], &[(A, "e")], "f", true),
    (&[(A, "\"e\"")], &[("x", "e")], "e", false),
    (&[], &[(A, "e")], "e", false),
    (&[], &[(A, "e")], "f", true),
    (&[(A, "NULL")], &[], "e", true),
    (&[("NULL", "\"e\"")], &[], "e", true),
];

/// Runs every case in a database that bh-load has made; `execute` runs SQL in
/// it.
fn a_database_knows(url: &str, mut execute: impl FnMut(&str)) {
    Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", url])
        .run()
        .exits(0);
    let quote = |text: &str| match text {
        "NULL" => text.to_owned(),
        text => format!("'{text}'"),
    };
    for case @ (rows, objects, etag, passes) in KNOWN {
        execute("DELETE FROM main_build");
        execute("DELETE FROM bh_object");
        // The content of a known object exists.
        execute(
            "INSERT INTO main_build (build_hash, build, metadata, created_at) \
             VALUES ('v1:x', '{}', '{}', '2020-01-01T00:00:00Z')",
        );
        for (at, (key, etag)) in rows.iter().enumerate() {
            execute(&format!(
                "INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, \
                 s3_object_etag) VALUES ('v1:{at}', '{{}}', '{{}}', '2020-01-0{}T00:00:00Z', {}, \
                 {})",
                at + 1,
                quote(key),
                quote(etag)
            ));
        }
        for (key, etag) in *objects {
            execute(&format!(
                "INSERT INTO bh_object VALUES ('{key}', '{etag}', 'v1:x')"
            ));
        }
        let line = entry(A, etag);
        let lines: &[&str] = if *passes { &[&line] } else { &[] };
        for tool in [
            sieve(&["--database", url]),
            sieve(&[]).env("DATABASE_URL", url),
        ] {
            let run = keeps(tool.input(&*line).run(), lines);
            assert_eq!(
                run.count("/dropped/known"),
                u64::from(!passes),
                "{case:?} {run}"
            );
        }
    }
    // Without our own table, as after Buildhub's own programs.
    execute("DELETE FROM main_build");
    execute("DROP TABLE bh_object");
    execute(
        "INSERT INTO main_build (build_hash, build, metadata, created_at, s3_object_key, \
             s3_object_etag) VALUES ('v1:1', '{}', '{}', '2020-01-01T00:00:00Z', \
             'a/buildhub.json', '\"e\"')",
    );
    let run = sieve(&["--database", url]).input(entry(A, "e")).run();
    assert_eq!(keeps(run, &[]).count("/notes/keys known before"), 1);
    // In a database without tables no key is known.
    execute("DROP TABLE main_build");
    let line = entry(A, "e");
    keeps(sieve(&["--database", url]).input(&*line).run(), &[&line]);
}

#[test]
fn keys_known_to_sqlite_are_dropped() {
    let folder = folder();
    let file = folder.path().join("b.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    a_database_knows(&format!("sqlite:{}", file.display()), |sql| {
        connection.execute_batch(sql).unwrap();
    });
}

#[test]
fn keys_known_to_postgresql_are_dropped() {
    let Some(database) = Database::new() else {
        return;
    };
    let mut client = database.client();
    a_database_knows(&database.url, |sql| client.batch_execute(sql).unwrap());
}

#[test]
fn filter_and_loader_share_a_default_database() {
    let folder = folder();
    let here = |tool: Tool| tool.folder(folder.path());
    let records = [record(0), record(1)];
    let before = here(sieve(&[])).input(ndjson(&records)).run().exits(0);
    assert_eq!(before.told(), ["bh-filter: 2 in = 2 out"]);
    let names = |path: &Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!(names(folder.path()), 0, "looking creates nothing");
    let load = here(Tool::new("bh-load").arg("--marks"));
    let load = load.input(ndjson(&records[..1])).run().exits(0);
    let default = "bh-load: storing in ./buildhub.db (set DATABASE_URL to change)";
    assert_eq!(load.told()[0], default, "{load}");
    let after = here(sieve(&[])).input(ndjson(&records)).run();
    let expected = records[1].to_string();
    let after = keeps(after, &[&expected]);
    let sum = "bh-filter: 2 in = 1 out + 1 known; 1 key known before";
    assert_eq!(after.told(), [sum]);
}

#[test]
fn an_invalid_database_is_not_treated_as_empty() {
    let folder = folder();
    let file = folder.path().join("b.db");
    let url = format!("sqlite:{}", file.display());
    std::fs::write(
        &file,
        "This is no database but a text of some length.\n".repeat(30),
    )
    .unwrap();
    let run = sieve(&["--database", &url]).input(entry(A, "e")).run();
    run.exits(78).prints_nothing().says(&url);
    std::fs::remove_file(&file).unwrap();
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection
        .execute_batch("CREATE TABLE main_build (id, build_hash, build)")
        .unwrap();
    let run = sieve(&["--database", &url]).input(entry(A, "e")).run();
    run.exits(78).prints_nothing().says("s3_object_key");
}

/// This takes 20 seconds of retries.
#[test]
fn an_unreachable_postgresql_is_an_error() {
    let url = "postgres://me:s3kr1t-w0rd@127.0.0.1:1/db";
    let run = sieve(&["--database", url]).input(entry(&key(0), "e")).run();
    let run = run
        .exits(69)
        .prints_nothing()
        .says("127.0.0.1:1/db: ")
        .says("gave up after");
    assert!(!run.stderr.contains("s3kr1t-w0rd"), "{run}");
    assert_eq!(run.count("/in"), 0, "{run}");
}

/// A line of this key, and when its object was modified.
fn modified(key: &str, member: &str, time: &str) -> String {
    serde_json::json!({"bucket": "b", "key": format!("{key}/buildhub.json"), "etag": "e",
        member: time})
    .to_string()
}

#[test]
fn objects_are_selected_by_the_time_of_their_last_change() {
    let lines = [
        modified("a", "last_modified", "2026-01-30T23:59:59.999Z"),
        modified("b", "last_modified", "2026-01-31T00:00:00.000Z"),
        modified("c", "last_modified", "2026-02-01T11:59:59.000Z"),
        modified("d", "last_modified", "2026-02-01T12:00:00.000Z"),
        modified("e", "other", "2020-01-01T00:00:00.000Z"),
        modified("f", "last_modified", "no time"),
        modified("g", "ModTime", "2026-01-31T01:00:00+02:00"),
    ];
    let table: [(&[&str], &[usize]); 4] = [
        (&["--since", "2026-01-31"], &[1, 2, 3, 4, 5]),
        (
            &["--until", "2026-02-01T13:00:00+01:00"],
            &[0, 1, 2, 4, 5, 6],
        ),
        (
            &["--since=2026-01-31", "--until=2026-02-01T12:00:00Z"],
            &[1, 2, 4, 5],
        ),
        (&[], &[0, 1, 2, 3, 4, 5, 6]),
    ];
    for (args, expected) in table {
        let expected: Vec<_> = expected.iter().map(|at| &*lines[*at]).collect();
        let run = keeps(fresh(args).input(text(&lines)).run(), &expected);
        let dropped = run.count("/dropped/modified before --since")
            + run.count("/dropped/modified after --until");
        assert_eq!(dropped, (lines.len() - expected.len()) as u64, "{run}");
    }
    let run = fresh(&["--since=2026-01-31", "--until=2026-01-31"]).run();
    run.exits(2).says("give --until a later time than --since");
}

/// Otherwise the next loader would forget them.
#[test]
fn what_is_known_or_known_to_be_bad_is_met_whenever_it_was_modified() {
    let folder = folder();
    let database = format!("sqlite:{}", folder.path().join("b.db").display());
    let loader = Tool::new("bh-load").args(["--database", &database]);
    loader.input(ndjson(&[record(1)])).run().exits(0);
    let connection = rusqlite::Connection::open(folder.path().join("b.db")).unwrap();
    let bad = "INSERT INTO bh_reject (key, etag, kind, stage, message, line, run, verdict)
        VALUES ('bad/buildhub.json', 'e', 'not_json', 'bh-fetch', 'm', '{}', 'r', ?1)";
    let version = env!("CARGO_PKG_VERSION");
    connection.execute(bad, [version]).unwrap();
    let old = "2020-01-01T00:00:00.000Z";
    let mut known = record(1);
    known["last_modified"] = old.into();
    let lines = [
        known.to_string(),
        modified("bad", "last_modified", old),
        modified("old", "last_modified", old),
    ];
    let tool = sieve(&["--database", &database, "--since", "2026-01-01"]);
    let run = keeps(tool.input(text(&lines)).run(), &[]);
    let dropped = serde_json::json!({"known": 1, "known bad": 1, "modified before --since": 1});
    assert_eq!(run.summary["dropped"], dropped, "{run}");
}
