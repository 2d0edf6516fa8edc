//! Rows of CSV.

use serde_json::{Value, json};

use super::{encoded, gzip, inventory, key, record, records, row, rows, write};
use crate::harness::fed::Fed;
use crate::harness::protocol::{Reject, read};
use crate::harness::{Run, folder};
use crate::s3_list::awkward_keys;

#[track_caller]
fn gives(run: Run, expected: &[Value]) -> Run {
    let run = run.exits(0);
    assert_eq!(run.records(), expected, "{run}");
    run
}

/// Asserts that a row in the usual columns gives a record with these members.
#[track_caller]
fn makes(row: &str, members: &Value) {
    let run = inventory().input(row).run();
    let mut expected = json!({"bucket": "b", "key": "k"});
    for (name, value) in members.as_object().unwrap() {
        expected[name] = value.clone();
    }
    gives(run, &[expected]);
}

#[test]
fn every_key_is_decoded() {
    let keys = awkward_keys();
    let input: String = keys
        .iter()
        .enumerate()
        .map(|(n, key)| row(key, n))
        .collect();
    let expected: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| record(key, n))
        .collect();
    let run = gives(inventory().input(input).run(), &expected);
    let sum = format!("s3-inventory: {0} in = {0} out; 1 file; 1 mark", keys.len());
    assert_eq!(run.told(), [sum]);
    let listing = run.listing();
    assert_eq!(listing.parts.len(), 1);
    assert_eq!(
        listing.end.map(|(_, records, files)| (records, files)),
        Some((keys.len() as u64, 1))
    );
}

#[test]
fn raw_keys_are_not_decoded() {
    let input = "b,a+b%28%zz,1,2019-01-01,e\n";
    let run = inventory().arg("--raw-keys").input(input).run().exits(0);
    assert_eq!(run.records()[0]["key"], "a+b%28%zz");
    let run = inventory().input(input).run().exits(65).says("--raw-keys");
    assert_eq!(run.count("/rejected/bad_row"), 1);
}

#[test]
fn rows_may_be_quoted_as_csv_allows() {
    let whole = json!({"etag": "e", "size": 1, "last_modified": "2019-01-02T03:04:05.678Z"});
    let time = "2019-01-02T03:04:05.678Z";
    for row in [
        format!("\"b\",\"k\",\"1\",\"{time}\",\"e\"\n"),
        format!("\"b\",\"k\",\"1\",\"{time}\",\"e\"\r\n"),
        format!("b,k,1,{time},e"),
        format!("b,\"k\",1,\"{time}\",e\r\n\n \n"),
        format!("\"b\",\"k\",\"1\",\"{time}\",\"\"\"e\"\"\"\n"),
        format!("\"b\",\"k\",\"1\",\"{time}\",\"e\",\"STANDARD\",\"x,\"\"y\n\"\"\"\n"),
    ] {
        makes(&row, &whole);
    }
    let odd = "b,a\"b\",1,2019-01-01,e\nb,\"line\nbreak \"\",\"\" and \
               \"\"quote\"\"\",2,2019-01-01,e\nb,z,3,2019-01-01,e\n";
    let run = inventory().input(odd).run().exits(0);
    let keys: Vec<_> = run
        .records()
        .iter()
        .map(|record| record["key"].clone())
        .collect();
    assert_eq!(keys, ["a\"b\"", "line\nbreak \",\" and \"quote\"", "z"]);
}

#[test]
fn sizes_and_dates_are_read_in_every_notation() {
    let sizes = [
        ("67842", 67842),
        ("0", 0),
        ("2E+10", 20_000_000_000),
        ("1.5E3", 1500),
        ("12.9", 12),
        ("9007199254740993", 9_007_199_254_740_993_u64),
    ];
    for (text, size) in sizes {
        makes(
            &format!("b,k,{text},2019-01-01,\n"),
            &json!({"size": size, "last_modified": "2019-01-01T00:00:00.000Z"}),
        );
    }
    let dates = [
        ("2017-06-11T12:20:10.000Z", "2017-06-11T12:20:10.000Z"),
        ("2017-12-31T12:20:10.000Z", "2017-12-31T12:20:10.000Z"),
        ("2017-06-11T12:20:10Z", "2017-06-11T12:20:10.000Z"),
        ("2017-06-11T12:20:10", "2017-06-11T12:20:10.000Z"),
        ("2017-06-11T12:20:10+02:00", "2017-06-11T10:20:10.000Z"),
        ("2017-06-11T12:20:10.999999999Z", "2017-06-11T12:20:10.999Z"),
        ("2017-06-11", "2017-06-11T00:00:00.000Z"),
    ];
    for (text, date) in dates {
        makes(
            &format!("b,k,1,{text},\n"),
            &json!({"size": 1, "last_modified": date}),
        );
    }
}

#[test]
fn columns_can_be_named() {
    let run = inventory()
        .args(["--columns", "size,StorageClass, e_tag ,KEY,Bucket,Whatever"])
        .input("7,GLACIER,e,k+,b,x\n")
        .run();
    let expected = json!({"bucket": "b", "key": "k ", "etag": "e", "size": 7});
    gives(run, &[expected]);
    for (columns, said) in [
        ("Bucket, Size", "--columns: the column Key is missing"),
        ("Key", "--columns: the column Bucket is missing"),
        (
            "Bucket, Key, key",
            "--columns: the column Key is named twice",
        ),
    ] {
        let run = inventory()
            .args(["--columns", columns])
            .input("b,k\n")
            .run();
        run.exits(2).prints_nothing().says(said);
    }
}

const VERSIONS: &str = "b,k,v3,true,false,3
b,k,v2,false,false,2
b,gone,v5,true,true,
b,gone,v4,false,true,
b,gone,,FALSE,False,1
b,new,,True,false,6
";

#[test]
fn only_the_latest_versions_are_read_by_default() {
    let of = |flags: &[&str]| {
        let columns = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size";
        let run = inventory()
            .args(["--columns", columns])
            .args(flags.iter().copied());
        run.input(VERSIONS).run()
    };
    let latest = |key: &str, size: u64| json!({"bucket": "b", "key": key, "size": size});
    let run = gives(of(&[]), &[latest("k", 3), latest("new", 6)]);
    assert_eq!(
        run.told(),
        ["s3-inventory: 6 in = 2 out + 1 delete marker + 3 old versions; 1 file; 1 mark"]
    );
    let marker = json!({"bucket": "b", "key": "gone", "is_delete_marker": true});
    gives(
        of(&["--delete-markers"]),
        &[latest("k", 3), marker, latest("new", 6)],
    );
    gives(
        of(&["--all-versions"]),
        &[
            json!({"bucket": "b", "key": "k", "size": 3, "version_id": "v3", "is_latest": true}),
            json!({"bucket": "b", "key": "k", "size": 2, "version_id": "v2", "is_latest": false}),
            json!({"bucket": "b", "key": "gone", "size": 1, "is_latest": false}),
            json!({"bucket": "b", "key": "new", "size": 6, "is_latest": true}),
        ],
    );
    let all = of(&["--all-versions", "--delete-markers"]).exits(0);
    assert_eq!(all.records().len(), 6);
    all.listing();
}

#[test]
fn bad_rows_are_rejected_alone() {
    let bad = [
        ("b,k", "expected 5 columns, found 2"),
        (
            "b,k,x,2019-01-01,e",
            "expected a number for Size, found \"x\"",
        ),
        (
            "b,k,,2019-01-01,e",
            "expected a number for Size, found \"\"",
        ),
        (
            "b,k,nan,2019-01-01,e",
            "expected a number for Size, found \"nan\"",
        ),
        (
            "b,k,-1,2019-01-01,e",
            "expected a number for Size, found \"-1\"",
        ),
        (
            "b,k,1,garbage,e",
            "expected a date for LastModifiedDate, found \"garbage\"",
        ),
        ("b,k,1,2017-02-30T00:00:00.000Z,e", "expected a date"),
        ("b,k,1,2017-13-01T00:00:00.000Z,e", "expected a date"),
        ("b,k,1,2017-06-11T12:60:10.000Z,e", "expected a date"),
        ("b,k,1,,e", "expected a date"),
        ("b,,1,2019-01-01,e", "Key is empty"),
        ("b,%ff,1,2019-01-01,e", "Key is not UTF-8"),
        (
            "b,%4,1,2019-01-01,e",
            "Key has a % that does not begin an escape",
        ),
        (",k,1,2019-01-01,e", "Bucket is empty"),
        ("\"b\",\"k,1,2019-01-01,e", ""),
        ("{\"bucket\":\"b\",\"key\":\"k\"}", "expected 5 columns"),
    ];
    let mut input = row("first", 0);
    for (n, (line, _)) in bad.iter().enumerate() {
        input += &format!("{line}\n\n{}", row("good", n));
    }
    let folder = folder();
    let file = folder.path().join("rejects");
    let tool = || inventory().input(&*input);
    let kept = tool().arg("--rejects").arg(&file).run().exits(65);
    assert_eq!(kept.records().len(), bad.len() + 1, "{kept}");
    assert_eq!(kept.count("/rejected/bad_row"), bad.len() as u64);
    assert_eq!(kept.listing().parts.len(), 1, "all is on disk: {kept}");
    let rejects: Vec<Reject> = read(&std::fs::read(&file).unwrap());
    for (n, (reject, (line, said))) in rejects.iter().zip(bad).enumerate() {
        let error = &reject.error;
        if !line.starts_with('{') {
            assert_eq!(reject.raw.as_deref(), Some(line));
        }
        assert!(error.message.contains(said), "{error:?}");
        assert_eq!(error.line, 2 + 3 * n as u64, "{error:?}");
        assert_eq!((&*error.stage, &*error.kind), ("s3-inventory", "bad_row"));
    }
    // Unsaved rejects keep their unit open.
    let run = tool()
        .run()
        .exits(65)
        .says("s3-inventory: warning: line 2: bad_row: expected 5");
    assert_eq!(run.records(), kept.records());
    assert!(run.listing().parts.is_empty(), "{run}");
    assert_eq!(run.count("/notes/units held"), 1);
}

#[test]
fn an_unclosed_quote_rejects_only_its_own_row() {
    let folder = folder();
    let fields: Vec<_> = row("bad", 1).trim().split(',').map(str::to_owned).collect();
    for column in 0..fields.len() {
        let mut fields = fields.clone();
        fields[column].pop();
        let bad = fields.join(",");
        let more = format!("{bad},\"STANDARD\"");
        for (bad, after) in [(&bad, 0), (&bad, 1), (&bad, 2), (&more, 0), (&more, 2)] {
            let text = rows(0..2) + bad + "\n" + &rows(2..2 + after);
            let plain = write(folder.path(), "x.csv", &text);
            let zipped = write(folder.path(), "x.csv.gz", gzip([&text]));
            let ways = [
                inventory().input(text),
                inventory().arg(plain),
                inventory().arg(zipped),
            ];
            for way in ways {
                let rejects = folder.path().join("rejects");
                let run = way.arg("--rejects").arg(&rejects).run().exits(65);
                assert_eq!(run.records(), records(0..2 + after), "{run}");
                assert_eq!(run.count("/rejected/bad_row"), 1);
                let rejects: Vec<Reject> = read(&std::fs::read(rejects).unwrap());
                let last = rejects.last().unwrap();
                assert_eq!(last.raw.as_deref(), Some(&**bad));
                assert_eq!(last.error.line, 3);
            }
        }
    }
}

/// Rows that are not lines of their own.
#[test]
fn rows_without_a_newline_between_them_are_rejected() {
    let one = |n| row(&key(n), n);
    let bare = |n| one(n).replace('"', "");
    let without = |row: String| row.trim_end().to_owned();
    let wide = |n| without(one(n)) + ",\"STANDARD\",\"x\"\n";
    for (first, bad, last) in [
        (one(0), without(one(1)) + &one(2), one(3)),
        (one(0), without(bare(1)) + &bare(2), one(3)),
        (one(0), without(one(1)) + "\r" + &one(2), one(3)),
        (one(0), without(bare(1)) + "\r" + &bare(2), one(3)),
        (wide(0), without(wide(1)) + &wide(2), wide(3)),
    ] {
        let run = inventory().input(first + &bad + &last).run().exits(65);
        assert_eq!(run.records(), records([0, 3]), "{bad}");
        assert_eq!(run.count("/rejected/bad_row"), 1, "{run}");
    }
}

#[test]
fn a_torn_last_row_of_a_pipe_is_truncated_input() {
    let whole = row("k", 7);
    for end in [1, 10, whole.len() / 2, whole.len() - 3] {
        let input = format!("{}{}", row("first", 0), &whole[..end]);
        let run = inventory().input(input).run().exits(75);
        assert_eq!(run.records().len(), 1, "{run}");
        assert!(run.listing().parts.is_empty() && run.listing().end.is_none());
        assert_eq!(
            run.told()[0],
            "s3-inventory: input ended early: in the middle of line 2; run the command that \
             writes it again"
        );
    }
}

#[test]
fn rows_are_written_at_once_and_a_signal_ends_the_wait() {
    use rustix::process::Signal;
    let mut fed = Fed::new(inventory());
    assert!(fed.hear().starts_with("{\"mark\":{\"begin\":"));
    fed.say(row("k", 1).trim_end());
    assert_eq!(fed.line(), record("k", 1));
    fed.started.signal(Signal::TERM);
    let run = fed.wait().dies_by(Signal::TERM.as_raw());
    assert_eq!(
        run.told(),
        [
            "s3-inventory: stopped by SIGTERM",
            "s3-inventory: 1 in = 1 out"
        ]
    );
}

#[test]
fn order_and_line_numbers_hold_over_many_blocks() {
    let mut input = String::new();
    let mut expected = Vec::new();
    for n in 0..40_000 {
        let key = match n % 7 {
            0 => format!("{n}\n\"quoted\",\n\n{}", "x".repeat(n % 300)),
            1 => format!("{n} \"\" "),
            _ => format!("{n}/{}", "y".repeat(n % 97)),
        };
        let quoted = key.replace('"', "\"\"");
        input += &format!("\"b\",\"{quoted}\",\"{n}\",\"2019-01-02T03:04:05.000Z\",\"e{n}\"\n");
        expected.push(record(&key, n));
    }
    let run = gives(inventory().arg("--raw-keys").input(input).run(), &expected);
    let (parts, ended) = super::marks(&run);
    assert!(parts.len() == 1 && ended || parts.len() > 1, "{parts:?}");
}

#[test]
fn a_quote_that_is_never_closed_rejects_one_row() {
    let torn = "\"b\",\"k,\"1\",\"2019-01-01\",\"e\n";
    let input = [rows(0..3), torn.to_owned(), rows(3..30_000)].concat();
    let run = inventory().input(input).run().exits(65);
    assert_eq!(run.records(), records(0..30_000));
    assert_eq!(run.count("/rejected/bad_row"), 1, "{run}");
}

#[test]
fn input_that_is_not_csv_is_given_up() {
    let run = inventory().input(vec![b'x'; 20 << 20]).run();
    run.exits(78)
        .says("line 1: longer than 16 MiB: is this CSV?");
}

#[test]
fn standard_input_has_a_mark_every_hundred_thousand_lines() {
    let run = inventory().input(rows(0..250_000)).run().exits(0);
    let listing = run.listing();
    assert_eq!(listing.parts.len(), 3);
    let mut before = None;
    for (part, keys) in &listing.parts {
        assert_eq!(part.after, before);
        before.clone_from(&part.through);
        assert!(keys.len() >= 40_000, "{}", keys.len());
    }
    assert_eq!(before, None);
    assert!(encoded("a b") == "a+b");
}
