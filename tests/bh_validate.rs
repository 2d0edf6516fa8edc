//! bh-validate.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::protocol::{Fault, Reject, read};
use crate::harness::sample::{build, record};
use crate::harness::{Run, Tool, folder};

/// A document and the verdict of python-jsonschema.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    text: String,
    kind: String,
    verdict: String,
    #[serde(default)]
    errors: Vec<(String, String)>,
    /// Whether a JSON parser may refuse it before it is validated.
    #[serde(default)]
    soft: bool,
    #[serde(rename = "pg")]
    _postgresql: Option<String>,
}

/// The cases whose text is a single line and not blank.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = read(include_bytes!("cases/validate.ndjson"));
    cases.retain(|case| !case.text.contains(['\n', '\r']) && !case.text.trim().is_empty());
    assert!(cases.len() > 400);
    cases
}

/// The start of each rejected line and its error, by line number.
fn faults(rejects: &[u8]) -> BTreeMap<u64, (String, Fault)> {
    let text = String::from_utf8(rejects.to_vec()).unwrap();
    let lines = text.lines().map(|line| {
        let at = line
            .rfind(r#""error":{"stage":"#)
            .unwrap_or_else(|| panic!("{line}"));
        let fault = &line[at + r#""error":"#.len()..line.len() - 1];
        let fault: Fault = serde_json::from_str(fault).unwrap_or_else(|e| panic!("{e}: {line}"));
        (fault.line, (line[..at].to_owned(), fault))
    });
    lines.collect()
}

/// Asserts that each line is copied, or rejected with the errors of its case.
fn judges(args: &[&str], cases: &[Case], line: impl Fn(&Case) -> String) {
    let folder = folder();
    let file = folder.path().join("rejects");
    let input: String = cases.iter().map(|case| line(case) + "\n").collect();
    let tool = Tool::new("bh-validate").args(args.iter().copied());
    let run = tool
        .arg("--rejects")
        .arg(&file)
        .input(input)
        .run()
        .exits(65);
    let faults = faults(&std::fs::read(&file).unwrap());
    let mut passed = run.stdout.split(|byte| *byte == b'\n');
    for (number, case) in (1..).zip(cases) {
        let line = line(case);
        let Some((kept, fault)) = faults.get(&number) else {
            assert_eq!(case.verdict, "valid", "{case:?}");
            assert_eq!(passed.next(), Some(line.as_bytes()), "{case:?}");
            continue;
        };
        assert_eq!(fault.stage, "bh-validate");
        assert!(!fault.message.is_empty(), "{case:?}");
        let of = |violation: &crate::harness::protocol::Violation| {
            (violation.pointer.clone(), violation.keyword.clone())
        };
        let mut found: Vec<_> = fault.violations.iter().map(of).collect();
        found.sort();
        let mut expected = case.errors.clone();
        expected.sort();
        match &*fault.kind {
            "schema" => {
                assert!(
                    case.verdict == "invalid" && found == expected,
                    "{case:?} {fault:?}"
                );
                let open = line.trim_end().strip_suffix('}').unwrap_or_default();
                let own = kept.strip_suffix(',').unwrap_or(kept);
                assert!(
                    own == open || kept.starts_with("{\"raw\":"),
                    "{case:?} {kept}"
                );
            }
            "bad_line" => assert!(
                case.verdict == "unparsable" || case.soft,
                "{case:?} {fault:?}"
            ),
            other => panic!("{other}: {case:?}"),
        }
    }
    assert_eq!(passed.next(), Some(&b""[..]), "{run}");
    let all = cases.len() as u64;
    assert_eq!(
        (run.count("/in"), run.count("/out")),
        (all, all - faults.len() as u64)
    );
    let by_path: u64 = run.summary["notes"]
        .as_object()
        .unwrap()
        .values()
        .map(|count| count.as_u64().unwrap())
        .sum();
    let violations: usize = faults
        .values()
        .map(|(_, fault)| fault.violations.len())
        .sum();
    assert_eq!(by_path, violations as u64, "{run}");
}

#[test]
fn bare_builds_are_judged_as_by_python_jsonschema() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.yaml");
    for args in [&["--bare"][..], &["--bare", "--schema", schema]] {
        judges(args, &cases(), |case| case.text.clone());
    }
}

#[test]
fn records_are_judged_as_by_python_jsonschema() {
    let mut cases = cases();
    // In a record, a byte order mark is not JSON, and one more level may be too
    // deep.
    cases.retain(|case| !case.text.starts_with('\u{feff}') && !case.kind.starts_with("depth"));
    judges(&[], &cases, |case| {
        format!(r#"{{"key":"k", "build":{},"x":1e5}}"#, case.text)
    });
}

#[test]
fn a_reject_lists_every_violation() {
    let folder = folder();
    let file = folder.path().join("rejects");
    let mut wrong = record(0);
    wrong["build"]["target"]["os"] = json!("beos");
    wrong["build"]["source"] = json!({"tree": 1, "odd": true});
    let tool = Tool::new("bh-validate")
        .arg("--rejects")
        .arg(&file)
        .input(wrong.to_string());
    let run = tool.run().exits(65).prints_nothing();
    assert_eq!(run.count("/rejected/schema"), 1, "{run}");
    let rejects: Vec<Reject> = read(&std::fs::read(&file).unwrap());
    let [
        Reject {
            raw: None,
            build,
            error,
            ..
        },
    ] = &rejects[..]
    else {
        panic!("{rejects:?}")
    };
    assert_eq!(build.as_ref(), Some(&wrong["build"]));
    let mut found: Vec<_> = error
        .violations
        .iter()
        .map(|v| (&*v.pointer, &*v.schema_path, &*v.keyword))
        .collect();
    found.sort_unstable();
    let expected = [
        (
            "/source",
            "/properties/source/additionalProperties",
            "additionalProperties",
        ),
        ("/source", "/properties/source/required", "required"),
        (
            "/source/tree",
            "/properties/source/properties/tree/type",
            "type",
        ),
        (
            "/target/os",
            "/properties/target/properties/os/enum",
            "enum",
        ),
    ];
    assert_eq!(found, expected);
    let first = &error.violations[0];
    assert_eq!(error.pointer.as_ref(), Some(&first.pointer));
    assert_eq!(error.message, format!("{} (and 3 more)", first.message));
    let said = error
        .violations
        .iter()
        .map(|violation| &*violation.message)
        .collect::<String>();
    assert!(
        ["beos", "product", "odd"]
            .iter()
            .all(|word| said.contains(word)),
        "{said}"
    );
    for (_, path, _) in expected {
        assert_eq!(
            run.summary["notes"][format!("violations of {path}")],
            1,
            "{run}"
        );
    }
}

#[test]
fn a_line_without_a_build_is_a_bad_line() {
    for line in [
        "{}",
        "[]",
        "1",
        r#"{"Build":{}}"#,
        r#"{"build":{}"#,
        "{\"build\":{}}x",
    ] {
        let run = Tool::new("bh-validate")
            .input(format!("{line}\n"))
            .run()
            .exits(65)
            .prints_nothing();
        assert_eq!(run.count("/rejected/bad_line"), 1, "{run}");
    }
    // A null is a build of the wrong type; of two builds the last counts.
    let good = build(0).to_string();
    for (line, code) in [
        (r#"{"build":null}"#.to_owned(), 65),
        (format!(r#"{{"build":null,"build":{good}}}"#), 0),
        (format!(r#"{{"build":{good},"build":null}}"#), 65),
    ] {
        let run = Tool::new("bh-validate").input(line).run().exits(code);
        assert_eq!(
            run.count("/rejected/schema"),
            u64::from(code == 65),
            "{run}"
        );
    }
}

#[test]
fn the_error_of_an_earlier_reject_is_removed() {
    let good = build(0).to_string();
    let ours = r#""error":{"stage":"bh-fetch","kind":"failed","message":"m","line":1}"#;
    let theirs = r#""error":{"stage":1.0}"#;
    for (line, expected) in [
        (
            format!(r#"{{"k":1e5,"build":{good},{ours}}}"#),
            format!(r#"{{"k":1e5,"build":{good}}}"#),
        ),
        (
            format!(r#"{{{ours},"build":{good}, {theirs}}}"#),
            format!(r#"{{"build":{good},{theirs}}}"#),
        ),
        (
            format!(r#"{{"build":{good}, {theirs}}}"#),
            format!(r#"{{"build":{good}, {theirs}}}"#),
        ),
    ] {
        let run = Tool::new("bh-validate").input(line).run().exits(0);
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected + "\n");
    }
}

#[test]
fn a_custom_schema_is_accepted() {
    let folder = folder();
    let file = folder.path().join("schema");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let input = "{\"build\":{\"a\":1}}\n{\"build\":{\"a\":\"x\"}}\n";
        Tool::new("bh-validate")
            .arg("--schema")
            .arg(&file)
            .input(input)
            .run()
    };
    for text in [
        "properties:\n  a:\n    type: integer\n",
        "schema:\n  properties:\n    a: {type: integer}\n",
        "# json too\n{\"properties\": {\"a\": {\"type\": \"integer\"}}}",
        "{\"schema\": {\"properties\": {\"a\": {\"type\": \"integer\"}}}}",
        "{\"properties\": {\"a\": {\"$ref\": \"#/definitions/n\"}}, \"definitions\": {\"n\": {\"type\": \"integer\"}}}",
    ] {
        let run = run(text).exits(65);
        assert_eq!(run.stdout, b"{\"build\":{\"a\":1}}\n", "{text}");
    }
    run("schema: true").exits(0);
    run("schema: false").exits(65).prints_nothing();
}

#[test]
fn an_invalid_schema_stops_the_run() {
    let folder = folder();
    let file = folder.path().join("schema");
    for text in [
        "",
        "schema: 3",
        "- a",
        "text",
        "a: [",
        "{\"a\": ",
        "type: 5",
        "properties: 1",
        "schema:\n  type: strin",
        "$ref: '#/nowhere'",
    ] {
        std::fs::write(&file, text).unwrap();
        let tool = Tool::new("bh-validate").arg("--schema").arg(&file);
        let run = tool
            .input(record(0).to_string())
            .run()
            .exits(78)
            .prints_nothing();
        assert_eq!(run.told().len(), 2, "{text} {run}");
        run.says(&format!("bh-validate: {}: ", file.display()));
    }
    let run = Tool::new("bh-validate")
        .args(["--schema", "/dev/null/x"])
        .run();
    run.exits(78).prints_nothing().says("/dev/null/x: ");
}

#[test]
fn formats_are_asserted_only_on_request() {
    let mut odd = record(0);
    odd["build"]["download"]["date"] = json!("yesterday");
    let line = format!("{odd}\n");
    let run = Tool::new("bh-validate").input(&*line).run().exits(0);
    assert_eq!(run.stdout, line.as_bytes());
    let asked = |line: &str| {
        Tool::new("bh-validate")
            .arg("--assert-formats")
            .input(line)
            .run()
    };
    let run = asked(&line).exits(65).prints_nothing();
    let path = "/properties/download/properties/date/format";
    assert_eq!(
        run.summary["notes"][format!("violations of {path}")],
        1,
        "{run}"
    );
    asked(&record(1).to_string()).exits(0);
}

#[test]
fn order_is_kept_on_all_cores() {
    let lines: Vec<(String, bool)> = (0..6000)
        .map(|n| {
            let mut record = record(n);
            let good = n % 3 != 0;
            if !good {
                record["build"].as_object_mut().unwrap().remove("target");
            }
            (format!("{record}\n"), good)
        })
        .collect();
    let input: String = lines.iter().map(|(line, _)| &**line).collect();
    assert!(input.len() > 1 << 20);
    let folder = folder();
    let file = folder.path().join("rejects");
    let run: Run = Tool::new("bh-validate")
        .arg("--rejects")
        .arg(&file)
        .input(input)
        .run()
        .exits(65);
    let good: String = lines
        .iter()
        .filter(|(_, good)| *good)
        .map(|(line, _)| &**line)
        .collect();
    assert!(run.stdout == good.as_bytes());
    let rejects: Vec<Value> = read(&std::fs::read(&file).unwrap());
    let numbers: Vec<_> = rejects
        .iter()
        .map(|reject| reject["error"]["line"].clone())
        .collect();
    assert_eq!(
        numbers,
        (0..2000).map(|n| json!(3 * n + 1)).collect::<Vec<_>>()
    );
    let sum =
        "bh-validate: 6000 in = 4000 out + 2000 rejected (schema); violations: 2000 of /required";
    assert_eq!(run.told(), [sum]);
}
