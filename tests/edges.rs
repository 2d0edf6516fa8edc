//! Every program at every edge: usage, odd input, streams that end or fail,
//! signals. The table of programs is the project's own, so a new one is here
//! from its first day.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use buildhub_pipes::stage::STAGES;
use rustix::process::Signal;
use serde_json::json;

use crate::harness::faulty::{Faulty, object};
use crate::harness::protocol::{Record, Reject, Said, read};
use crate::harness::sample::{build, key, record};
use crate::harness::talk::Talk;
use crate::harness::{Tool, folder, left_out, lines, program, wait_for};

fn stages() -> impl Iterator<Item = &'static str> {
    STAGES.iter().map(|stage| stage.name)
}

/// The programs that read lines.
fn readers() -> impl Iterator<Item = &'static str> {
    let reading = STAGES.iter().filter(|stage| stage.reads != "nothing");
    reading.map(|stage| stage.name)
}

/// What the programs need around them: bucket `b` with the objects of the
/// sample's records 0 to 2.
struct Place(Faulty);

impl Place {
    fn new() -> Self {
        Self::with(3, &[])
    }

    fn with(objects: usize, flags: &[&str]) -> Self {
        let objects: Vec<_> = (0..objects)
            .map(|n| object(&key(n), &build(n).to_string()))
            .collect();
        Self(Faulty::start(
            &objects,
            &[&["--bucket", "b"], flags].concat(),
        ))
    }

    fn args(&self, stage: &str) -> Vec<&str> {
        let server = ["--endpoint-url", &*self.0.url, "--no-sign-request"];
        match stage {
            "s3-list" => [&server[..], &["s3://b"]].concat(),
            "bh-fetch" => server.to_vec(),
            "bh-filter" => vec!["--known", "none"],
            "bh-validate" => vec![],
            "bh-load" => vec!["--database", "sqlite:b.db", "--flush-interval", "0.01"],
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

fn line(n: usize) -> String {
    record(n).to_string()
}

fn mark(n: usize) -> String {
    json!({"mark": {"message": {"queue": "q", "receipt_handle": n.to_string()}}}).to_string()
}

const END: &str = r#"{"mark":{"end":{"run":"r","records":2}}}"#;

/// The summary's word for what came through.
fn out(stage: &str) -> &str {
    if stage == "bh-load" {
        "inserted"
    } else {
        "out"
    }
}

#[test]
fn help_begins_with_the_name_and_leads_with_examples() {
    for (stage, flag) in stages().flat_map(|stage| [(stage, "--help"), (stage, "-h")]) {
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
fn version_is_that_of_the_package() {
    for stage in stages() {
        let run = Tool::plain(stage).arg("--version").run().exits(0).silent();
        let version = format!("{stage} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(run.stdout).unwrap(), version);
    }
}

#[test]
fn an_unknown_flag_is_usage() {
    for stage in stages() {
        let run = Tool::plain(stage).arg("--frobnicate").run();
        run.exits(2).prints_nothing().says("'--frobnicate'");
    }
}

#[test]
fn empty_input_is_a_finished_run() {
    let place = Place::with(0, &[]);
    for stage in readers() {
        let run = place.tool(stage).run().exits(0).prints_nothing();
        assert_eq!(run.told(), [format!("{stage}: 0 in = 0 {}", out(stage))]);
    }
    let run = place.tool("s3-list").run().exits(0);
    let listing = run.listing();
    assert_eq!((listing.keys().len(), listing.parts.len()), (0, 1), "{run}");
    assert_eq!(
        listing.end.map(|(_, records, pages)| (records, pages)),
        Some((0, 1))
    );
    assert_eq!(run.told(), ["s3-list: 0 in = 0 out; 1 pages"]);
}

#[test]
fn lines_end_as_they_like() {
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
            "bh-load" => assert!(run.stdout.is_empty(), "{run}"),
            "bh-fetch" => assert_eq!(run.listing().keys(), [key(0), key(1)], "{run}"),
            _ => assert_eq!(run.stdout, format!("{a}\n{b}\n").into_bytes(), "{run}"),
        }
    }
}

#[test]
fn garbage_is_rejected_with_its_line_and_the_others_go_on() {
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
        assert!(told[1].contains("kept nowhere"), "{run}");
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
fn a_terminal_as_input_gets_the_help() {
    let place = Place::new();
    if !std::process::Command::new("script")
        .arg("--version")
        .output()
        .is_ok()
    {
        return left_out("script (of util-linux)");
    }
    for stage in readers() {
        let folder = folder();
        let inner = format!(
            "{} {} >out 2>err",
            program(stage).display(),
            place.args(stage).join(" ")
        );
        let status = std::process::Command::new("script")
            .args(["-qec", &inner, "/dev/null"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        assert_eq!(status.unwrap().code(), Some(2), "{inner}");
        let said = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(said("out"), "");
        assert!(
            said("err").starts_with(&format!("{stage} - ")),
            "{}",
            said("err")
        );
    }
}

/// Input that makes every program write, bh-load too.
fn some_input() -> (Stdio, std::io::PipeWriter) {
    let (stdin, mut input) = std::io::pipe().unwrap();
    writeln!(input, "{}\n{}\n{}\n{END}", line(0), mark(0), line(1)).unwrap();
    (stdin.into(), input)
}

#[test]
fn a_reader_that_left_ends_it_by_sigpipe() {
    let place = Place::new();
    for stage in stages() {
        let (stdin, _open) = some_input();
        let (_, stdout) = std::io::pipe().unwrap();
        let run = place.tool(stage).start_with(stdin, stdout.into()).finish();
        let run = run.dies_by(Signal::PIPE.as_raw());
        let told = run.told();
        assert!(
            told.last().unwrap().starts_with(&format!("{stage}: ")),
            "{run}"
        );
        assert_eq!(told.len(), 1, "{run}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let place = Place::new();
    for stage in stages() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (stdin, _open) = some_input();
        let run = place.tool(stage).start_with(stdin, full.into()).finish();
        run.exits(74).says(&format!(
            "{stage}: standard output: No space left on device"
        ));
    }
}

#[test]
fn what_cannot_be_written_is_named() {
    let place = Place::new();
    let full = "No space left on device";
    let no_folder = "Not a directory";
    for stage in stages() {
        let mut cases = vec![
            ("--rejects", "/dev/null/x", no_folder),
            ("--summary", "/dev/null/x", no_folder),
            ("--summary", "/dev/full", full),
        ];
        if stage != "s3-list" {
            cases.push(("--rejects", "/dev/full", full));
        }
        if ["s3-list", "bh-load"].contains(&stage) {
            cases.push(("--resume-file", "/dev/null/x", no_folder));
        }
        for (flag, path, reason) in cases {
            let run = place.plain(stage).args([flag, path]).input(GARBAGE).run();
            let run = run.exits(74).says(reason);
            let place = format!("{stage}: {path}");
            assert!(run.stderr.contains(&place), "{place:?} is not said: {run}");
        }
    }
}

const ASKED: [(Signal, &str); 2] = [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")];

#[test]
fn a_signal_ends_the_wait_for_input() {
    let place = Place::new();
    for (stage, (signal, name)) in readers().flat_map(|s| ASKED.map(|asked| (s, asked))) {
        let mut talk = Talk::start(place.tool(stage));
        talk.say(&line(0));
        talk.say(&mark(0));
        if stage != "bh-load" {
            assert!(talk.hear().contains(&key(0)));
        }
        assert_eq!(talk.hear(), mark(0), "{stage}");
        talk.running.signal(signal);
        let run = talk.wait().dies_by(signal.as_raw());
        let sum = format!("{stage}: 1 in = 1 {}; 1 marks", out(stage));
        assert_eq!(run.told(), [format!("{stage}: stopped by {name}"), sum]);
        assert_eq!((run.count("/in"), run.count("/out")), (1, 1), "{run}");
    }
}

#[test]
fn a_signal_ends_the_wait_for_a_server() {
    for (stage, (signal, name)) in ["s3-list", "bh-fetch"]
        .into_iter()
        .flat_map(|stage| ASKED.map(|asked| (stage, asked)))
    {
        let place = Place::with(3, &["--hang", "100"]);
        let (stdin, _open) = some_input();
        let running = place.tool(stage).start_with(stdin, Stdio::piped());
        let asked = || place.0.counts();
        wait_for("a request", || asked()["list"] != 0 || asked()["get"] != 0);
        running.signal(signal);
        let run = running.finish().dies_by(signal.as_raw()).prints_nothing();
        let told = run.told();
        assert_eq!(told[0], format!("{stage}: stopped by {name}"), "{run}");
        assert!(
            told[1].starts_with(&format!("{stage}: 0 in = 0 out")),
            "{run}"
        );
    }
}

#[test]
fn under_log_format_json_every_message_is_json() {
    let place = Place::with(3, &["--slowdown", "100", "--most", "2"]);
    for stage in stages() {
        let input = format!("{}\n{GARBAGE}\n{}\n{}", line(0), mark(0), line(2));
        let tool = place
            .tool(stage)
            .args(["--log-format", "json"])
            .input(input);
        let run = tool.run().exits(if stage == "s3-list" { 0 } else { 75 });
        let said: Vec<Said> = read(run.stderr.as_bytes());
        let (last, messages) = said.split_last().unwrap();
        assert!(!messages.is_empty(), "{run}");
        for message in messages {
            assert!(
                message.message.is_some() && message.summary.is_none(),
                "{run}"
            );
        }
        assert!(said.iter().all(|said| said.program == stage), "{run}");
        assert!(
            said.iter()
                .all(|said| said.time.parse::<jiff::Timestamp>().is_ok())
        );
        let level = |name: &str| said.iter().filter(|said| said.level == name).count();
        assert!(level("warning") > 0, "{run}");
        assert_eq!(level("error"), usize::from(stage != "s3-list"), "{run}");
        assert_eq!(
            level("warning") + level("info") + level("error"),
            said.len()
        );
        let summary = last.summary.as_ref().unwrap_or_else(|| panic!("{run}"));
        assert_eq!(
            (summary.read, summary.out),
            if stage == "s3-list" { (3, 3) } else { (3, 2) }
        );
        assert!(summary.adds_up && summary.seconds >= 0.0 && summary.program == stage);
        assert_eq!(
            lines(run.stderr.as_bytes()).pop().unwrap()["summary"],
            run.summary
        );
    }
}

#[test]
fn input_with_marks_but_no_end_has_ended_early() {
    let place = Place::new();
    for stage in readers() {
        let input = format!("{}\n{}\n{}\n", line(0), mark(0), line(1));
        let run = place.tool(stage).input(&*input).run().exits(75);
        assert_eq!((run.count("/in"), run.count("/out")), (2, 2), "{run}");
        assert!(
            run.told()[0].starts_with(&format!("{stage}: input ended early: ")),
            "{run}"
        );
        place.tool(stage).input(input + END).run().exits(0);
    }
}

#[test]
fn a_mark_is_withheld_when_its_unit_has_a_line_that_went_nowhere() {
    let place = Place::new();
    // Marks of others pass byte for byte.
    let odd = r#"{"mark": {"page" : {"run":"\u0072","next":null, "x":1.0}}}"#;
    for (stage, keep) in readers().flat_map(|stage| [(stage, false), (stage, true)]) {
        let folder = folder();
        let file = folder.path().join("rejects");
        let mut tool = place.tool(stage);
        if keep {
            tool = tool.arg("--rejects").arg(&file);
        }
        let mut talk = Talk::start(tool);
        let mut hear = |talk: &mut Talk, expected: &str| {
            if expected.contains("\"build\"") && stage == "bh-load" {
                return;
            }
            let heard = talk.hear();
            let same = match stage {
                "bh-fetch" if expected.contains("\"build\"") => {
                    read::<Record>(heard.as_bytes())[0].key
                        == read::<Record>(expected.as_bytes())[0].key
                }
                _ => heard == expected,
            };
            assert!(same, "{stage}: {heard} is not {expected}");
        };
        for said in [&line(0), odd, GARBAGE, &mark(2)] {
            talk.say(said);
            if said != GARBAGE && (keep || said != mark(2)) {
                hear(&mut talk, said);
            }
        }
        if keep {
            // It has passed, so the reject is in the file.
            let rejects: Vec<Reject> = read(&std::fs::read(&file).unwrap());
            assert_eq!(rejects.len(), 1, "{stage}");
        }
        for said in [&line(1), &mark(3), END] {
            talk.say(said);
            hear(&mut talk, said);
        }
        let run = talk.end().exits(65);
        assert_eq!(
            run.count("/notes/units kept open"),
            u64::from(!keep),
            "{run}"
        );
        assert_eq!(run.count("/notes/marks"), 2 + u64::from(keep), "{run}");
    }
}

#[test]
fn the_stages_without_sockets_hold_no_aws_sdk() {
    let holds = |stage: &str| {
        let bytes = std::fs::read(program(stage)).unwrap();
        memchr::memmem::find(&bytes, b"x-amz-").is_some()
    };
    for (stage, expected) in [
        ("s3-list", true),
        ("bh-fetch", true),
        ("bh-filter", false),
        ("bh-validate", false),
    ] {
        assert_eq!(holds(stage), expected, "{stage}");
    }
}
