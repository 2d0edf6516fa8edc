//! The bodies of objects.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::{entry, fetch, serve, text};
use crate::harness::faulty::object;
use crate::harness::protocol::{Reject, read};
use crate::harness::{Run, Tool, folder};

/// Runs bh-fetch on the record of one object `k` with this body.
fn fetched(body: &[u8], args: &[&str]) -> Run {
    let server = serve(
        &[json!({"key": "k", "body_base64": BASE64_STANDARD.encode(body)})],
        &[],
    );
    fetch(&server)
        .args(args.iter().copied())
        .input(entry("k"))
        .run()
}

/// Returns the text of `build` in the only line.
#[track_caller]
fn build_of(run: &Run) -> String {
    let out = String::from_utf8(run.stdout.clone()).unwrap();
    let (_, build) = out
        .split_once(r#""build":"#)
        .unwrap_or_else(|| panic!("{run}"));
    build
        .strip_suffix("}\n")
        .unwrap_or_else(|| panic!("{run}"))
        .to_owned()
}

#[test]
fn only_white_space_between_tokens_is_removed() {
    let table = [
        ("{ }", "{}"),
        (
            " {\t\"a\" :\r\n1e5 ,\n\"b\": [ 1.0 , -0, 1E+2 ] } \n",
            r#"{"a":1e5,"b":[1.0,-0,1E+2]}"#,
        ),
        (
            r#"{"a": "\u0041\/ \ud83d\ude00 é  x"}"#,
            r#"{"a":"\u0041\/ \ud83d\ude00 é  x"}"#,
        ),
        (r#"{"b":1,"a":2,"b":3}"#, r#"{"b":1,"a":2,"b":3}"#),
        (
            r#"{"a":"\ud800","b":"\u0000"}"#,
            r#"{"a":"\ud800","b":"\u0000"}"#,
        ),
        (
            r#"{"a":1e400,"b":123456789012345678901234567890}"#,
            r#"{"a":1e400,"b":123456789012345678901234567890}"#,
        ),
    ];
    for (body, expected) in table {
        let run = fetched(body.as_bytes(), &[]).exits(0);
        assert_eq!(build_of(&run), expected);
    }
}

#[test]
fn encodings_are_detected_as_python_does() {
    let text = r#"{"a":"é😀"}"#;
    let encoded = |bom: bool, wide: bool, big: bool| -> Vec<u8> {
        let text = if bom {
            format!("\u{feff}{text}")
        } else {
            text.to_owned()
        };
        let bytes = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            if !big {
                bytes.reverse();
            }
            bytes
        };
        if wide {
            text.chars()
                .flat_map(|c| bytes(&u32::from(c).to_be_bytes()))
                .collect()
        } else {
            text.encode_utf16()
                .flat_map(|unit| bytes(&unit.to_be_bytes()))
                .collect()
        }
    };
    let mut bodies = vec![text.into(), format!("\u{feff}{text}").into_bytes()];
    for case in 0..8 {
        bodies.push(encoded(case & 4 != 0, case & 2 != 0, case & 1 != 0));
    }
    for body in bodies {
        let run = fetched(&body, &[]).exits(0);
        assert_eq!(build_of(&run), text, "{body:?}");
        assert_eq!(run.listing().records[0].size, Some(body.len() as u64));
    }
}

#[test]
fn raw_surrogates_are_read_as_python_reads_them() {
    let run = fetched(b"{\"a\":\"\xed\xa0\xbd\xed\xb8\x80\"}", &[]).exits(0);
    assert_eq!(build_of(&run), r#"{"a":"\ud83d\ude00"}"#);
}

#[test]
fn bodies_that_are_not_json_objects_are_rejected() {
    let deep = "[".repeat(2000);
    let table: &[(&[u8], &str)] = &[
        (b"", "not_json"),
        (b" \n", "not_json"),
        (b"{\"a\":", "not_json"),
        (b"{} {}", "not_json"),
        (b"{'a':1}", "not_json"),
        (b"{\"a\":\"\xff\"}", "not_json"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not_json"),
        (b"\xff\xfe{\x00\x00", "not_json"),
        (b"{\"a\":01}", "not_json"),
        (b"{\"a\":\"\n\"}", "not_json"),
        (b"\x1f\x8b\x08\x00", "not_json"),
        (deep.as_bytes(), "not_json"),
        (b"[{}]", "not_an_object"),
        (b"\"text\"", "not_an_object"),
        (b"1", "not_an_object"),
        (b"null", "not_an_object"),
    ];
    let objects: Vec<Value> = table
        .iter()
        .enumerate()
        .map(|(at, (body, _))| json!({"key": format!("k{at:02}"), "body_base64": BASE64_STANDARD.encode(body)}))
        .chain([object("good", "{}")])
        .collect();
    let server = serve(&objects, &[]);
    let folder = folder();
    let file = folder.path().join("rejects");
    let input = text(
        objects
            .iter()
            .map(|object| entry(object["key"].as_str().unwrap())),
    );
    let run = fetch(&server)
        .arg("--rejects")
        .arg(&file)
        .input(input)
        .run()
        .exits(65);
    assert_eq!(run.listing().keys(), ["good"]);
    assert_eq!(run.count("/rejected/not_json"), 12, "{run}");
    assert_eq!(run.count("/rejected/not_an_object"), 4, "{run}");
    let rejects: Vec<Reject> = read(&std::fs::read(file).unwrap());
    assert_eq!(rejects.len(), table.len());
    for (at, (reject, (body, kind))) in rejects.iter().zip(table).enumerate() {
        let error = &reject.error;
        assert_eq!(
            (&*error.stage, &*error.kind),
            ("bh-fetch", *kind),
            "{body:?}"
        );
        assert_eq!(
            (reject.key.clone(), error.line),
            (Some(format!("k{at:02}")), at as u64 + 1)
        );
        assert_eq!(
            (reject.etag.as_deref(), reject.size),
            (Some("old"), Some(7))
        );
        assert!(!error.message.is_empty() && reject.build.is_none());
    }
}

/// NaN is not JSON, but Python accepts it: either bh-fetch rejects it, or a
/// later program does; such a line is never dropped or reported as malformed.
#[test]
fn nan_is_rejected_by_the_fetcher_or_the_loader() {
    for body in [r#"{"a":NaN}"#, r#"{"a":[-Infinity]}"#] {
        let run = fetched(body.as_bytes(), &[]);
        let rest = if run.status.code() == Some(0) {
            Tool::new("bh-load")
                .arg("--marks")
                .args(["--database", "sqlite:b.db"])
                .input(run.stdout)
                .run()
        } else {
            run
        };
        let rejected = ["/rejected/not_json", "/rejected/unstorable"];
        assert_eq!(
            rejected.iter().map(|kind| rest.count(kind)).sum::<u64>(),
            1,
            "{rest}"
        );
        rest.exits(65).prints_nothing();
    }
}

#[test]
fn an_object_over_the_size_limit_is_rejected() {
    let body = |size: usize| format!("{{{}}}", " ".repeat(size - 2));
    for (size, limit, fits) in [
        (1000, "1000", true),
        (1001, "1000", false),
        (1024, "1K", true),
        (1025, "1K", false),
        (1024, "1KiB", true),
        (1 << 20, "1M", true),
        (1000, "1KB", true),
        (1001, "1KB", false),
    ] {
        let run = fetched(body(size).as_bytes(), &["--max-size", limit]);
        if fits {
            run.exits(0);
        } else {
            let run = run.exits(65).prints_nothing();
            assert_eq!(run.count("/rejected/too_large"), 1, "{run}");
            run.says(&format!("{size} bytes")).says("--max-size");
        }
    }
    for limit in ["0", "-1", "1T", "x", "", "99999999999G"] {
        let run = Tool::new("bh-fetch")
            .arg(format!("--max-size={limit}"))
            .run();
        run.exits(2).prints_nothing().says("--max-size");
    }
    let run = Tool::new("bh-fetch").args(["--concurrency", "0"]).run();
    run.exits(2).prints_nothing();
}
