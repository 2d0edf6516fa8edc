//! Odd input, streams that end or fail, signals, marks.

use std::process::Stdio;

use rustix::process::Signal;

use super::{answers, id, ids, key, line, metadata_path};
use crate::harness::archive::Archive;
use crate::harness::fed::Fed;
use crate::harness::folder;
use crate::harness::protocol::{Reject, held, read};

const PLATFORM: &str = "linux-x86_64";
const MARK: &str = r#"{"mark":{"message":{"queue":"q","receipt_handle":"1"}}}"#;
const END: &str = r#"{"mark":{"end":{"run":"r","records":2}}}"#;

fn two() -> [String; 2] {
    ["fr", "de"].map(|locale| line(&key(locale, PLATFORM)))
}

#[test]
fn all_line_endings_are_accepted() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let [a, b] = two();
    for input in [
        format!("{a}\n{b}"),
        format!("{a}\r\n{b}\r\n"),
        format!("\n\n{a}\n \t\n\r\n{b}\n\n"),
        format!("[\n{a},\n{b}\n]\n"),
    ] {
        let run = archive.tool().input(input).run().exits(0);
        assert_eq!(
            ids(&run),
            ["fr", "de"].map(|locale| id(locale, PLATFORM)),
            "{run}"
        );
        assert_eq!(run.told(), ["bh-derive: 2 in = 2 out"]);
    }
}

#[test]
fn listings_of_other_tools_are_read() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let key = key("fr", PLATFORM);
    let expected = archive.tool().input(line(&key)).run().exits(0).stdout;
    for input in [
        format!(r#"{{"Key":"{key}","Size":7,"LastModified":"2017-06-02T12:20:10+00:00"}}"#),
        format!(r#"{{"Path":"{key}","Size":7,"ModTime":"2017-06-02T12:20:10.5Z"}}"#),
        format!(
            r#"{{"key":"s3://b/{key}","type":"file","size":7,"last_modified":"2017-06-02T12:20:10Z"}}"#
        ),
        format!(
            r#"{{"bucket":"b","key":"{key}","size":"7.0","last_modified":"2017-06-02T14:20:10+02:00"}}"#
        ),
    ] {
        let run = archive.tool().input(input).run().exits(0);
        assert_eq!(run.stdout, expected, "{run}");
    }
}

#[test]
fn rejects_are_written_and_their_mark_passes() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let folder = folder();
    let file = folder.path().join("rejects");
    let [good, other] = two();
    let no_metadata = line(&key("fr", "linux-i686"));
    let no_record = line("pub/firefox/firefox-1.0.exe");
    let bad_date = good.replace("2017-06-02", "2017-02-30");
    let bad_size = good.replace("\"size\":7", "\"size\":null");
    let no_date = format!("{{\"key\":\"{}\"}}", key("fr", PLATFORM));
    let refused = [&*no_date, &no_metadata, &no_record, &bad_date, &bad_size];
    let input = format!("{good}\n{}\n{MARK}\n{other}\n{END}\n", refused.join("\n"));
    let tool = archive.tool().arg("--rejects").arg(&file);
    let run = tool.input(&*input).run().exits(65);
    assert_eq!(run.records().len(), 2, "{run}");
    assert_eq!(
        run.lines().len(),
        4,
        "its rejects are on disk, so the mark passes: {run}"
    );
    let rejects: Vec<Reject> = read(&std::fs::read(&file).unwrap());
    let kinds: Vec<&str> = rejects.iter().map(|reject| &*reject.error.kind).collect();
    let bad = "bad_line";
    assert_eq!(kinds, [bad, "no_metadata", "no_record", bad, bad], "{run}");
    assert_eq!(rejects[1].key.as_deref(), Some(&*key("fr", "linux-i686")));

    let run = archive.tool().input(input).run().exits(65);
    let held = held(MARK, "bh-derive", "rejected");
    let lines = String::from_utf8(run.stdout.clone()).unwrap();
    assert!(
        lines.contains(&held),
        "nowhere to go, so the unit is held: {run}"
    );
}

#[test]
fn finished_lines_leave_before_any_wait() {
    let held_path = metadata_path("linux-i686");
    let archive = Archive::holding(answers(&[PLATFORM, "linux-i686"]), Some(&held_path));
    let mut fed = Fed::new(archive.tool());
    let [good, _] = two();
    for said in [&good, MARK, &line(&key("fr", "linux-i686")), MARK] {
        fed.say(said);
    }
    assert!(fed.hear().contains(&id("fr", PLATFORM)));
    assert_eq!(fed.hear(), MARK);
    archive.wait_until_held();
    archive.release();
    assert!(fed.hear().contains(&id("fr", "linux-i686")));
    assert_eq!(fed.hear(), MARK);
    fed.say(END);
    assert_eq!(fed.hear(), END);
    fed.finish().exits(0);
}

#[test]
fn a_signal_ends_the_wait_for_the_archive() {
    for signal in [Signal::INT, Signal::TERM] {
        let held = metadata_path(PLATFORM);
        let archive = Archive::holding(answers(&[PLATFORM]), Some(&held));
        let mut fed = Fed::new(archive.tool());
        fed.say(&two()[0]);
        archive.wait_until_held();
        fed.started.signal(signal);
        fed.wait().dies_by(signal.as_raw()).says("stopped by SIG");
        archive.release();
    }
}

#[test]
fn a_closed_pipe_and_a_full_disk_end_the_run() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let input = || {
        use std::io::Write;
        let (stdin, mut input) = std::io::pipe().unwrap();
        writeln!(input, "{}", two()[0]).unwrap();
        (Stdio::from(stdin), input)
    };
    let (stdin, _open) = input();
    let (_, stdout) = std::io::pipe().unwrap();
    let run = archive.tool().start_with(stdin, stdout.into()).finish();
    run.dies_by(Signal::PIPE.as_raw());
    let (stdin, _open) = input();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let run = archive.tool().start_with(stdin, full.into()).finish();
    run.exits(74).says("standard output: No space left");
}

#[test]
fn truncated_input_is_reported() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let [a, b] = two();
    let run = archive
        .tool()
        .input(format!("{a}\n{MARK}\n{b}\n"))
        .run()
        .exits(75);
    assert_eq!(run.count("/out"), 2, "{run}");
    let run = archive
        .tool()
        .input(format!("{a}\n{}", &b[..20]))
        .run()
        .exits(75);
    assert_eq!(run.count("/out"), 1, "{run}");
}
