//! Streams that end or fail, signals, marks.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use super::{END, GARBAGE, Place, is_source, line, mark, out, readers, stages};
use crate::harness::fed::Fed;
use crate::harness::protocol::{Record, Reject, Said, held, read};
use crate::harness::sample::{key, record};
use crate::harness::{Tool, folder, lines, wait_for};

/// Input that makes every program write, including bh-load.
fn some_input() -> (Stdio, std::io::PipeWriter) {
    let (stdin, mut input) = std::io::pipe().unwrap();
    writeln!(input, "{}\n{}\n{}\n{END}", line(0), mark(0), line(1)).unwrap();
    (stdin.into(), input)
}

/// The programs that write something here; bh-index only writes what differs on its servers, and
/// bh-promote which stagings there are.
fn writers() -> impl Iterator<Item = &'static str> {
    stages().filter(|stage| !["bh-index", "bh-promote"].contains(stage))
}

#[test]
fn a_closed_pipe_ends_every_program_by_sigpipe() {
    let place = Place::new();
    for stage in writers() {
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

/// A line torn by a kill does not damage the first line of the next program.
#[test]
fn appending_to_a_torn_line_starts_a_new_line() {
    let place = Place::new();
    for stage in writers() {
        let folder = folder();
        let file = folder.path().join("lines");
        let run = |before: &str| {
            std::fs::write(&file, before).unwrap();
            let output = File::options().append(true).open(&file).unwrap();
            let (stdin, input) = some_input();
            drop(input);
            place.tool(stage).start_with(stdin, output.into()).finish();
            std::fs::read_to_string(&file).unwrap()
        };
        for before in ["", "{\"a\":1}\n"] {
            let text = run(before);
            let written = text.strip_prefix(before).unwrap();
            assert!(!written.starts_with('\n'), "{stage}: {text}");
        }
        let text = run("{\"bucket\":\"b\",\"ke");
        let written = text.strip_prefix("{\"bucket\":\"b\",\"ke\n").unwrap();
        assert!(written.starts_with('{'), "{stage}: {text}");
    }
}

#[test]
fn a_full_disk_at_standard_output_is_an_error() {
    let place = Place::new();
    for stage in writers() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (stdin, _open) = some_input();
        let run = place.tool(stage).start_with(stdin, full.into()).finish();
        run.exits(74).says(&format!(
            "{stage}: standard output: No space left on device"
        ));
    }
}

/// The tool, run by a shell with this redirection.
pub(super) fn redirected(tool: Tool, how: &str) -> Tool {
    let shell = format!("exec \"$@\" {how}");
    tool.under(["sh", "-c", shell.as_str(), "sh"])
}

#[test]
fn writing_to_a_closed_output_is_an_error() {
    let place = Place::new();
    let input = format!("{}\n{}\n{}\n{END}\n", line(0), mark(0), line(1));
    // Loaders write nothing, or marks.
    for stage in writers().filter(|stage| !stage.ends_with("-load")) {
        let tool = redirected(place.tool(stage).input(&*input), ">&-");
        let run = tool.run().exits(74);
        run.says(&format!("{stage}: standard output is closed"));
        let read_only = redirected(place.tool(stage).input(&*input), "1</dev/null");
        read_only.run().exits(74);
        for flag in ["--help", "--version"] {
            let tool = Tool::plain(stage).arg(flag);
            redirected(tool, ">&-").run().exits(74);
        }
        // As a shell opens it, and as Python does.
        for how in [">/dev/null", "1<>/dev/null"] {
            let tool = redirected(place.tool(stage).input(&*input), how);
            let run = tool.run().prints_nothing();
            assert_ne!(run.status.code(), Some(74), "{run}");
        }
    }
}

#[test]
fn a_closed_input_is_not_an_empty_one() {
    let place = Place::new();
    for stage in readers() {
        let run = redirected(place.tool(stage), "<&-").run().exits(74);
        run.says(&format!("{stage}: standard input is closed"));
        let run = redirected(place.tool(stage), "0>/dev/null").run();
        run.exits(74);
        for how in ["</dev/null", "<>/dev/null"] {
            redirected(place.tool(stage), how).run().exits(0);
        }
    }
    for stage in stages().filter(|stage| is_source(stage)) {
        let run = redirected(place.tool(stage), "<&-").run().exits(0);
        assert_eq!(run.count("/out"), 3, "{run}");
    }
    let inventory = redirected(Tool::new("s3-inventory"), "<&-").run();
    inventory.exits(74).says("standard input is closed");
}

#[test]
fn without_standard_error_a_program_works_as_ever() {
    let place = Place::new();
    for stage in readers() {
        let input = format!("{}\n{GARBAGE}\n", line(0));
        let heard = place.tool(stage).input(&*input).run().exits(65);
        let tool = redirected(place.tool(stage).input(&*input), "2>&-");
        let run = tool.run().exits(65).silent();
        assert_eq!(run.stdout, heard.stdout);
    }
}

#[test]
fn a_failed_output_ends_the_reading_too() {
    let place = Place::new();
    let folder = folder();
    let file = folder.path().join("lines");
    // More than fits into the queues of all cores.
    let cores = std::thread::available_parallelism().unwrap().get();
    let lines = format!("{}\n", line(0)).repeat(5_000 * (cores + 2));
    std::fs::write(&file, lines).unwrap();
    for stage in ["bh-filter", "bh-validate"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let input = File::open(&file).unwrap();
        let run = place.tool(stage).start_with(input.into(), full.into());
        run.finish().exits(74).says("No space left on device");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let place = Place::new();
    let full = "No space left on device";
    let no_folder = "Not a directory";
    // A listing without an end mark ends an audit with 75, and bh-index has no server here.
    for stage in writers().filter(|stage| *stage != "bh-audit") {
        let mut cases = vec![
            ("--rejects", "/dev/null/x", no_folder),
            ("--summary", "/dev/null/x", no_folder),
            ("--summary", "/dev/full", full),
        ];
        if !is_source(stage) {
            cases.push(("--rejects", "/dev/full", full));
        }
        // An export of a database begins anew.
        if is_source(stage) && stage != "bh-export" || stage == "bh-load" {
            cases.push(("--resume-file", "/dev/null/x", no_folder));
        }
        for (flag, path, reason) in cases {
            let input = format!("{GARBAGE}\n");
            let run = place.plain(stage).args([flag, path]).input(input).run();
            let run = run.exits(74).says(reason);
            let place = match flag {
                "--resume-file" => format!("{stage}: cannot write {path}"),
                flag => format!("{stage}: cannot write {flag} {path}"),
            };
            assert!(run.stderr.contains(&place), "{place:?} is not said: {run}");
        }
    }
}

pub(super) const ASKED: [(Signal, &str); 2] = [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")];

#[test]
fn a_signal_ends_the_wait_for_input() {
    let place = Place::new();
    for (stage, (signal, name)) in readers().flat_map(|s| ASKED.map(|asked| (s, asked))) {
        let mut fed = Fed::new(place.tool(stage));
        fed.say(&line(0));
        fed.say(&mark(0));
        if !["bh-load", "kinto-load"].contains(&stage) {
            assert!(fed.hear().contains(&key(0)));
        }
        assert_eq!(fed.hear(), mark(0), "{stage}");
        fed.started.signal(signal);
        let run = fed.wait().dies_by(signal.as_raw());
        let sum = format!("{stage}: 1 in = 1 {}; 1 mark", out(stage));
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
        // timeout(1) signals its child, and then the group of both.
        running.signal(signal);
        running.signal(signal);
        let run = running.finish().dies_by(signal.as_raw()).prints_nothing();
        let told = run.told();
        assert_eq!(told[0], format!("{stage}: stopped by {name}"), "{run}");
        // Records that bh-fetch has read are in flight.
        let read = run.count("/in");
        assert_eq!((run.count("/out"), run.count("/in_flight")), (0, read));
        let start = match stage {
            "s3-list" | "kinto-export" => format!("{stage}: 0 out"),
            _ => format!("{stage}: {read} in = 0 out"),
        };
        assert!(told[1].starts_with(&start), "{run}");
        assert_eq!(told[1].contains("in flight"), stage == "bh-fetch", "{run}");
    }
}

#[test]
fn with_log_format_json_every_message_is_json() {
    let place = Place::with(3, &["--slowdown", "100", "--most", "2"]);
    // A local inventory or database causes no message, and no build of
    // the archive is among these records.
    let silent = ["s3-inventory", "bh-export", "bh-derive", "bh-audit"];
    for stage in writers().filter(|stage| !silent.contains(stage)) {
        let input = format!("{}\n{GARBAGE}\n{}\n{}", line(0), mark(0), line(2));
        let tool = place
            .tool(stage)
            .args(["--log-format", "json"])
            .input(input);
        let run = tool.run();
        let source = readers().all(|reader| reader != stage);
        let run = run.exits(if source { 0 } else { 75 });
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
        assert_eq!(level("error"), usize::from(!source), "{run}");
        assert_eq!(
            level("warning") + level("info") + level("error"),
            said.len()
        );
        let summary = last.summary.as_ref().unwrap_or_else(|| panic!("{run}"));
        assert_eq!(
            (summary.read, summary.out),
            if source { (3, 3) } else { (3, 2) }
        );
        assert!(summary.adds_up && summary.seconds >= 0.0 && summary.program == stage);
        let untimed = |mut summary: Value| {
            summary["seconds"] = Value::Null;
            summary
        };
        let said = lines(run.stderr.as_bytes()).pop().unwrap()["summary"].clone();
        assert_eq!(untimed(said), untimed(run.summary));
    }
}

#[test]
fn input_with_marks_but_without_an_end_mark_is_truncated() {
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
fn a_torn_last_line_is_truncated_input_and_no_reject() {
    let place = Place::new();
    let whole = record(1).to_string();
    for stage in readers() {
        let folder = folder();
        let file = folder.path().join("rejects");
        for end in [1, whole.len() / 2, whole.len() - 1] {
            let input = format!("{}\n{}", line(0), &whole[..end]);
            let tool = place.tool(stage).arg("--rejects").arg(&file);
            let run = tool.input(input).run().exits(75);
            assert_eq!(run.count("/in"), 1, "{run}");
            assert_eq!(
                run.told()[0],
                format!(
                    "{stage}: input ended early: in the middle of line 2; run the command that \
                     writes it again"
                )
            );
            assert_eq!(std::fs::read(&file).unwrap(), b"", "{run}");
        }
    }
}

#[test]
fn a_mark_is_withheld_while_its_unit_has_an_unsaved_reject() {
    let place = Place::new();
    // Marks of other programs are copied byte for byte.
    let odd = r#"{"mark": {"page" : {"run":"\u0072","next":null, "x":1.0}}}"#;
    for (stage, keep) in readers().flat_map(|stage| [(stage, false), (stage, true)]) {
        let folder = folder();
        let file = folder.path().join("rejects");
        let mut tool = place.tool(stage);
        if keep {
            tool = tool.arg("--rejects").arg(&file);
        }
        let mut fed = Fed::new(tool);
        let hear = |fed: &mut Fed, expected: &str| {
            if expected.contains("\"build\"") && stage.ends_with("-load") {
                return;
            }
            let heard = fed.hear();
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
            fed.say(said);
            if said == mark(2) && !keep {
                hear(&mut fed, &held(said, stage, "rejected"));
            } else if said != GARBAGE {
                hear(&mut fed, said);
            }
        }
        if keep {
            // The mark has passed, so the reject is in the file.
            let rejects: Vec<Reject> = read(&std::fs::read(&file).unwrap());
            assert_eq!(rejects.len(), 1, "{stage}");
        }
        for said in [&line(1), &mark(3), END] {
            fed.say(said);
            hear(&mut fed, said);
        }
        let run = fed.finish().exits(65);
        assert_eq!(run.count("/notes/units held"), u64::from(!keep), "{run}");
        assert_eq!(run.count("/notes/marks"), 2 + u64::from(keep), "{run}");
    }
}

#[test]
fn certificates_that_cannot_be_read_end_the_run() {
    let folder = folder();
    let (missing, empty) = (folder.path().join("missing"), folder.path().join("empty"));
    std::fs::write(&empty, "none\n").unwrap();
    let database = format!("sqlite:{}", folder.path().join("db").display());
    let line = r#"{"key":"pub/firefox/nightly/a-mozilla-central/firefox-55.0a1.fr.linux-i686.apk","size":7,"last_modified":"2017-06-02T12:20:10Z"}"#;
    for (program, variable) in [
        ("kinto-export", "KINTO_SERVER_URL"),
        ("kinto-load", "KINTO_SERVER_URL"),
        ("bh-derive", "ARCHIVE_URL"),
        ("bh-load", "ELASTICSEARCH_URL"),
    ] {
        for path in [&missing, &empty] {
            let tool = Tool::new(program)
                .folder(folder.path())
                .env(variable, "https://127.0.0.1:1/");
            let tool = tool
                .env("SSL_CERT_FILE", path)
                .env("DATABASE_URL", &database);
            let run = tool.input(format!("{line}\n")).run().exits(78);
            run.says(&format!("SSL_CERT_FILE: {}: ", path.display()));
        }
    }
    let postgres = "postgres://me@127.0.0.1:1/db?connect_timeout=1&sslmode=";
    for (program, flags, variable, url) in [
        (
            "bh-load",
            &[][..],
            "DATABASE_URL",
            format!("{postgres}verify-full"),
        ),
        (
            "bh-filter",
            &[],
            "DATABASE_URL",
            format!("{postgres}verify-ca&sslrootcert=system"),
        ),
        (
            "kinto-export",
            &[],
            "KINTO_DATABASE_URL",
            format!("{postgres}verify-full"),
        ),
        (
            "s3-list",
            &["s3://b/"],
            "AWS_ENDPOINT_URL",
            "https://127.0.0.1:1".to_owned(),
        ),
    ] {
        for path in [&missing, &empty] {
            let tool = Tool::new(program).args(flags).env(variable, &url);
            let run = tool.env("SSL_CERT_FILE", path).run().exits(78);
            run.says(&format!("SSL_CERT_FILE: {}: ", path.display()));
            let (variable, value) = match program {
                "bh-load" => (variable, format!("{url}&sslrootcert={}", path.display())),
                "s3-list" => ("AWS_CA_BUNDLE", path.display().to_string()),
                _ => continue,
            };
            let tool = Tool::new(program).args(flags).env(variable, value);
            tool.run().exits(78).says(&format!("{}: ", path.display()));
        }
    }
}
