//! Edge cases of every program: usage, unusual input, streams that end or fail,
//! signals. The programs are those of `STAGES`, so a new one is covered
//! at once.

mod ends;
mod flags;
mod queue;
mod rejects;
mod wrong_input;

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use buildhub_pipes::stage::STAGES;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use crate::harness::faulty::{Faulty, object};
use crate::harness::kinto::{self, StandIn};
use crate::harness::protocol::{Reject, read};
use crate::harness::sample::{build, key, ndjson, record};
use crate::harness::{Tool, folder, left_out, program};

fn programs() -> impl Iterator<Item = &'static str> {
    STAGES.iter().map(|stage| stage.name)
}

/// The programs that need no queue; the edge cases of the others are in `queue`.
fn stages() -> impl Iterator<Item = &'static str> {
    programs().filter(|name| !name.starts_with("sqs-"))
}

/// The programs that begin a pipeline.
fn is_source(stage: &str) -> bool {
    ["s3-list", "s3-inventory", "kinto-export", "bh-export"].contains(&stage)
}

/// The programs that read lines.
fn readers() -> impl Iterator<Item = &'static str> {
    // These have their own edge cases, in the tests of their names.
    let own = ["bh-derive", "bh-audit", "bh-index", "bh-promote"];
    stages().filter(move |stage| !is_source(stage) && !own.contains(stage))
}

/// The surroundings of the programs: bucket `b` with the objects of the
/// sample's records 0 to 2, an inventory of it, and a Kinto and a database with as many records.
struct Place(Faulty, tempfile::NamedTempFile, StandIn, LoadedDatabase);

/// A database with some of the sample's records, which is filled when it is needed.
struct LoadedDatabase {
    folder: tempfile::TempDir,
    records: usize,
    url: OnceLock<String>,
}

impl LoadedDatabase {
    fn url(&self) -> &str {
        self.url.get_or_init(|| {
            let path = self.folder.path().join("builds.db");
            let url = format!("sqlite:{}", path.display());
            let records: Vec<_> = (0..self.records).map(record).collect();
            let tool = Tool::new("bh-load").args(["--database", &url]);
            tool.input(ndjson(&records)).run().exits(0);
            url
        })
    }
}

impl Place {
    fn new() -> Self {
        Self::with(3, &[])
    }

    fn with(objects: usize, flags: &[&str]) -> Self {
        let inventory = tempfile::NamedTempFile::new().unwrap();
        let rows = (0..objects).map(|n| format!("b,{},9,2019-01-01,e{n}\n", key(n)));
        std::fs::write(&inventory, rows.collect::<String>()).unwrap();
        let objects: Vec<_> = (0..objects)
            .map(|n| object(&key(n), &build(n).to_string()))
            .collect();
        let (total, faulty) = (objects.len(), flags.contains(&"--slowdown"));
        let kinto = StandIn::new(move |n, asked| {
            let busy = (503, vec![], json!({"message": "busy"}));
            Some(if faulty && n < 2 {
                busy
            } else {
                kinto::answer(total, asked)
            })
        });
        let s3 = Faulty::start(&objects, &[&["--bucket", "b"], flags].concat());
        let database = LoadedDatabase {
            folder: folder(),
            records: total,
            url: OnceLock::new(),
        };
        Self(s3, inventory, kinto, database)
    }

    fn args(&self, stage: &str) -> Vec<&str> {
        let server = ["--endpoint-url", &*self.0.url, "--no-sign-request"];
        match stage {
            "s3-list" => [&server[..], &["s3://b"]].concat(),
            "s3-inventory" => vec![self.1.path().to_str().unwrap()],
            "bh-fetch" => server.to_vec(),
            "bh-filter" => vec!["--known", "none"],
            "bh-audit" | "bh-index" | "bh-promote" => vec!["--database", "sqlite:b.db"],
            "bh-export" => vec!["--database", self.3.url()],
            "bh-validate" | "bh-derive" => vec![],
            "bh-load" => vec![
                "--database",
                "sqlite:b.db",
                "--flush-interval",
                "0.01",
                "--marks",
            ],
            "kinto-export" => vec!["--server", &self.2.url],
            "kinto-load" => vec![
                "--server",
                &self.2.url,
                "--flush-interval",
                "0.01",
                "--marks",
            ],
            other => panic!("say here how {other} is run"),
        }
    }

    fn plain(&self, stage: &str) -> Tool {
        Tool::plain(stage).args(self.args(stage))
    }

    fn tool(&self, stage: &str) -> Tool {
        Tool::new(stage).args(self.args(stage))
    }
}

const GARBAGE: &str = r#"{"key":"x/buildhub.json""#;

/// A record that every program accepts.
fn line(n: usize) -> String {
    let mut record = record(n);
    record["data"] = kinto::release(n);
    record.to_string()
}

fn mark(n: usize) -> String {
    json!({"mark": {"message": {"queue": "q", "receipt_handle": n.to_string()}}}).to_string()
}

const END: &str = r#"{"mark":{"end":{"run":"r","records":2}}}"#;

/// The word of the summary for records that came through.
fn out(stage: &str) -> &str {
    match stage {
        "bh-load" => "inserted",
        "kinto-load" => "stored",
        _ => "out",
    }
}

#[test]
fn help_begins_with_the_name_and_leads_with_examples() {
    for (stage, flag) in programs().flat_map(|stage| [(stage, "--help"), (stage, "-h")]) {
        let run = Tool::plain(stage).arg(flag).run().exits(0).silent();
        let help = String::from_utf8(run.stdout).unwrap();
        assert!(help.starts_with(&format!("{stage} - ")), "{help}");
        let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("{text}: {help}"));
        assert!(at("Examples:") < at("Usage:"), "{help}");
        assert!(at("Usage:") < at("--rejects <"), "{help}");
        assert!(at("--rejects <") < at("Exit status:"), "{help}");
    }
}

#[test]
fn the_short_help_fits_a_screen_and_leads_to_the_long_one() {
    for stage in programs() {
        let help = |flag: &str| {
            let run = Tool::plain(stage).arg(flag).run().exits(0);
            String::from_utf8(run.stdout).unwrap()
        };
        let (short, long) = (help("-h"), help("--help"));
        assert!(short.lines().count() <= 30, "{short}");
        assert!(short.contains("all options: --help"), "{short}");
        assert!(short.len() < long.len(), "{short}");
        assert!(
            long.contains("--log-format") && !short.contains("--log-format"),
            "{short}"
        );
    }
}

/// Nothing of the environment is shown, where a password or a key may be.
#[test]
fn help_shows_no_values_of_the_environment() {
    let names = [
        "DATABASE_URL",
        "ELASTICSEARCH_URL",
        "KINTO_DATABASE_URL",
        "CACHE_FOLDER",
        "PRODUCTS",
        "KINTO_SERVER_URL",
        "KINTO_BUCKET",
        "KINTO_COLLECTION",
        "KINTO_AUTH",
    ];
    for (stage, flag) in programs().flat_map(|stage| [(stage, "--help"), (stage, "-h")]) {
        let tool = Tool::plain(stage).arg(flag);
        let tool = names
            .iter()
            .fold(tool, |tool, name| tool.env(name, "shown-value"));
        let tool = tool.env("BATCH_MAX_REQUESTS", "8765");
        let run = tool.run().exits(0);
        let help = String::from_utf8(run.stdout).unwrap();
        assert!(
            !help.contains("shown-value") && !help.contains("8765"),
            "{help}"
        );
    }
}

#[test]
fn quiet_programs_say_errors_and_the_summary() {
    let place = Place::new();
    for stage in readers() {
        let input = format!("{}\n{GARBAGE}\n", line(0));
        let run = place.tool(stage).arg("-q").input(input).run().exits(65);
        let sum = format!("{stage}: 2 in = 1 {} + 1 rejected (bad_line)", out(stage));
        assert_eq!(run.told(), [sum], "{run}");
        let both = place.tool(stage).args(["-q", "-v"]).run().exits(2);
        both.says("cannot be used with");
    }
}

#[test]
fn verbose_programs_say_every_reject() {
    let place = Place::new();
    for stage in readers() {
        let input = format!("{}\n{}", line(0), format!("{GARBAGE}\n").repeat(30));
        let run = place.tool(stage).arg("-v").input(input).run().exits(65);
        let said = run
            .told()
            .iter()
            .filter(|line| line.contains(": bad_line: "))
            .count();
        assert_eq!(said, 30, "{run}");
        run.says("(30 shown)");
    }
}

#[test]
fn messages_are_dated_unless_standard_error_is_a_terminal() {
    let place = Place::new();
    let date = regex::Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ bh-filter: ").unwrap();
    let run = place
        .tool("bh-filter")
        .input(GARBAGE.to_owned() + "\n")
        .run()
        .exits(65);
    let lines: Vec<&str> = run.dated.lines().collect();
    assert_eq!(lines.len(), 3, "{run}");
    assert!(lines.iter().all(|line| date.is_match(line)), "{lines:?}");
    let usage = Tool::plain("bh-filter").arg("--nonsense").run().exits(2);
    assert!(usage.dated.starts_with("bh-filter: "), "{usage}");
}

#[test]
fn version_names_the_package_version_and_the_commit() {
    let built_from_git = !env!("COMMIT").is_empty();
    for stage in programs() {
        let run = Tool::plain(stage).arg("--version").run().exits(0).silent();
        let text = String::from_utf8(run.stdout).unwrap();
        let version = format!("{stage} {}", env!("CARGO_PKG_VERSION"));
        let commit = text.strip_prefix(&version).unwrap();
        let hash = commit
            .strip_prefix(" (")
            .and_then(|rest| rest.strip_suffix(")\n"))
            .map(|hash| hash.strip_suffix("-dirty").unwrap_or(hash));
        match hash {
            Some(hash) => assert!(
                hash.len() >= 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{text}"
            ),
            None => assert_eq!((commit, built_from_git), ("\n", false)),
        }
    }
}

#[test]
fn an_unknown_flag_is_a_usage_error() {
    for stage in programs() {
        let run = Tool::plain(stage).arg("--frobnicate").run();
        run.exits(2).prints_nothing().says("'--frobnicate'");
    }
}

#[test]
fn empty_input_is_a_finished_run() {
    let place = Place::with(0, &[]);
    for stage in readers() {
        let summary = format!("{stage}: 0 in = 0 {}", out(stage));
        let run = place.tool(stage).run().exits(0).prints_nothing();
        let warning = "warning: standard input was empty: if lines were expected, look at the \
                       program before this one";
        assert_eq!(run.told(), [&format!("{stage}: {warning}"), &summary]);
        // Whoever gives /dev/null expects nothing.
        let null = File::open("/dev/null").unwrap();
        let run = place.tool(stage).start_with(null.into(), Stdio::piped());
        assert_eq!(run.finish().exits(0).told(), [&summary]);
    }
    let run = place.tool("s3-inventory").run().exits(0);
    let listing = run.listing();
    assert_eq!((listing.keys().len(), listing.parts.len()), (0, 1), "{run}");
    assert_eq!(
        run.told(),
        [
            "s3-inventory: warning: the inventory has no rows: if some were expected, look at where \
             it comes from",
            "s3-inventory: 0 in = 0 out; 1 file; 1 mark"
        ]
    );
    let sequential = ["--concurrency", "1"];
    let run = place.tool("s3-list").args(sequential).run().exits(0);
    let listing = run.listing();
    assert_eq!((listing.keys().len(), listing.parts.len()), (0, 1), "{run}");
    assert_eq!(
        listing.end.map(|(_, records, pages)| (records, pages)),
        Some((0, 1))
    );
    assert_eq!(run.told(), ["s3-list: 0 out; 1 request; 1 page; 1 mark"]);
}

#[test]
fn all_line_endings_are_accepted() {
    let place = Place::new();
    let (a, b) = (line(0), line(1));
    let inputs = [
        format!("{a}\n{b}"),
        format!("{a}\r\n{b}\r\n"),
        format!("{a}\r\n{b}"),
        format!("\n\n{a}\n \t\n\r\n{b}\n\n"),
    ];
    for (stage, input) in readers().flat_map(|stage| inputs.iter().map(move |i| (stage, i))) {
        let run = place.tool(stage).input(&**input).run().exits(0);
        assert_eq!(
            run.told(),
            [format!("{stage}: 2 in = 2 {}", out(stage))],
            "{run}"
        );
        match stage {
            "bh-load" | "kinto-load" => assert!(run.stdout.is_empty(), "{run}"),
            "bh-fetch" => assert_eq!(run.listing().keys(), [key(0), key(1)], "{run}"),
            _ => assert_eq!(run.stdout, format!("{a}\n{b}\n").into_bytes(), "{run}"),
        }
    }
}

#[test]
fn a_malformed_line_is_rejected_alone() {
    let place = Place::new();
    for stage in readers() {
        let input = format!("\n\r\n{}\n\n{GARBAGE}\r\n{}", line(0), line(1));
        let run = place.tool(stage).input(&*input).run().exits(65);
        let told = run.told();
        assert_eq!(told.len(), 3, "{run}");
        assert!(
            told[0].starts_with(&format!("{stage}: warning: line 5: bad_line: ")),
            "{run}"
        );
        assert!(told[1].contains("not saved"), "{run}");
        let sum = format!("{stage}: 3 in = 2 {} + 1 rejected (bad_line)", out(stage));
        assert_eq!(told[2], sum, "{run}");

        let folder = folder();
        let file = folder.path().join("rejects");
        let kept = place
            .tool(stage)
            .arg("--rejects")
            .arg(&file)
            .input(input)
            .run();
        let kept = kept.exits(65);
        assert_eq!(kept.told(), [sum]);
        assert_eq!(kept.stdout, run.stdout, "{kept}");
        let rejects: Vec<Reject> = read(&std::fs::read(file).unwrap());
        let [reject] = &rejects[..] else {
            panic!("{rejects:?}")
        };
        assert_eq!(reject.raw.as_deref(), Some(GARBAGE));
        let error = &reject.error;
        assert_eq!(
            (&*error.stage, &*error.kind, error.line),
            (stage, "bad_line", 5)
        );
    }
}

#[test]
fn gzip_input_is_an_error() {
    let place = Place::new();
    for stage in readers() {
        let run = place
            .tool(stage)
            .input(b"\x1f\x8b\x08\0\n\0".to_vec())
            .run();
        run.exits(78)
            .says("compressed with gzip; decompress it with zcat first");
    }
}

#[test]
fn a_report_never_overwrites_an_open_stream() {
    let place = Place::new();
    let folder = folder();
    let file = folder.path().join("lines");
    let text = format!("{}\n{GARBAGE}\n", line(0));
    for (stage, flag) in readers().flat_map(|stage| [(stage, "--rejects"), (stage, "--summary")]) {
        std::fs::write(&file, &text).unwrap();
        let told = format!(
            "{}: is also standard input; use another file",
            file.display()
        );
        let tool = place.plain(stage).arg(flag).arg(&file);
        let input = File::open(&file).unwrap();
        let run = tool.start_with(input.into(), Stdio::null()).finish();
        run.exits(2).says(&told);
        let tool = place.plain(stage).arg(flag).arg(&file);
        let output = File::options().append(true).open(&file).unwrap();
        let run = tool.start_with(Stdio::null(), output.into()).finish();
        run.exits(2).says(&told.replace("input", "output"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    for stage in stages() {
        let new = folder.path().join("new");
        let both = place.plain(stage).arg("--rejects").arg(&new);
        let run = both.arg("--summary").arg(&new).run().exits(2);
        run.says("new: is also the file of rejects; use another file");
        assert!(!new.exists());
    }
}

#[test]
fn a_report_never_overwrites_another_file_of_the_run() {
    let place = Place::new();
    let folder = folder();
    let file = folder.path().join("list.json");
    for (stage, flag, what) in [
        ("s3-list", "--resume-file", "the resume file"),
        ("s3-list", "--ranges", "the ranges"),
        ("s3-inventory", "--resume-file", "the resume file"),
        ("kinto-export", "--resume-file", "the resume file"),
        ("bh-load", "--resume-file", "the resume file"),
        ("bh-export", "--since", "the earlier export"),
        ("bh-filter", "--known", "what is known"),
        ("bh-validate", "--schema", "the schema"),
    ] {
        std::fs::write(&file, "kept").unwrap();
        for report in ["--summary", "--rejects"] {
            let tool = match stage {
                "bh-filter" => Tool::plain(stage),
                _ => place.plain(stage),
            };
            let tool = tool.arg(flag).arg(&file);
            let run = tool.arg(report).arg(&file).run().exits(2);
            run.says(&format!("is also {what}; use another file"));
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        }
    }
}

#[test]
fn a_torn_line_in_the_rejects_file_does_not_affect_others() {
    let place = Place::new();
    let folder = folder();
    let file = folder.path().join("rejects");
    let torn = "{\"build\":{\"bui";
    for (stage, shared) in readers().flat_map(|stage| [(stage, false), (stage, true)]) {
        std::fs::write(&file, torn).unwrap();
        // Another stage, which still runs, has the file open.
        let other = File::open(&file).unwrap();
        if shared {
            flock(&other, FlockOperation::LockShared).unwrap();
        }
        let tool = place.tool(stage).arg("--rejects").arg(&file);
        tool.input(format!("{GARBAGE}\n")).run().exits(65);
        let text = std::fs::read_to_string(&file).unwrap();
        let own = if shared {
            text.strip_prefix(torn).unwrap().strip_prefix('\n').unwrap()
        } else {
            &text
        };
        let rejects: Vec<Reject> = read(own.as_bytes());
        assert_eq!(rejects.len(), 1, "{text}");
        assert_eq!(rejects[0].raw.as_deref(), Some(GARBAGE));
    }
}

#[test]
fn a_terminal_as_input_is_an_error_with_an_example() {
    let place = Place::new();
    if Command::new("script").arg("--version").output().is_err() {
        return left_out("script (of util-linux)");
    }
    for stage in readers() {
        let folder = folder();
        let inner = format!(
            "{} {} >out 2>err",
            program(stage).display(),
            place.args(stage).join(" ")
        );
        let status = Command::new("script")
            .args(["-qec", &inner, "/dev/null"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert_eq!(status.unwrap().code(), Some(2), "{inner}");
        let said = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(said("out"), "");
        let err = said("err");
        let first = format!("{stage} reads NDJSON from standard input; pipe something into it");
        assert!(err.starts_with(&first), "{err}");
        assert!(
            err.ends_with(&format!("({stage} --help for more)\n")),
            "{err}"
        );
        assert_eq!(err.lines().count(), 3, "{err}");
        assert!(err.lines().nth(1).unwrap().contains(stage), "{err}");
    }
}

#[test]
fn programs_without_sockets_contain_no_aws_sdk() {
    let holds = |stage: &str| {
        let bytes = std::fs::read(program(stage)).unwrap();
        memchr::memmem::find(&bytes, b"x-amz-").is_some()
    };
    for (stage, expected) in [
        ("s3-list", true),
        ("s3-inventory", true),
        ("bh-fetch", true),
        ("bh-filter", false),
        ("bh-validate", false),
    ] {
        assert_eq!(holds(stage), expected, "{stage}");
    }
}
