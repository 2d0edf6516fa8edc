//! Where a run begins and ends: what of it is missing, and what came in another
//! order, is found out by every program.

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::place::{self, BUILDS, DERIVING, Derived, GARBAGE, LOADING, Place, inputs};
use crate::harness::protocol::held;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::units::{Unit, joined, marks, units};
use crate::harness::{Run, Started, Tool, lines, start_pipeline, wait_for};

/// The surroundings of both pipelines, and what each of their programs reads.
struct Seams {
    place: Place,
    derived: Derived,
}

impl Seams {
    fn new() -> Self {
        Self {
            place: Place::new(),
            derived: Derived::new(false),
        }
    }

    fn inputs(&self) -> Vec<(&'static str, Vec<u8>)> {
        inputs(&self.place, &self.derived)
    }

    fn run(&self, stage: &str, input: impl Into<Vec<u8>>) -> Run {
        let tool = if LOADING.contains(&stage) {
            self.place.without_state(stage)
        } else {
            self.derived.tool(stage)
        };
        tool.input(input).run()
    }
}

/// Returns the id of the run that these lines are of.
fn run_of(lines: &[u8]) -> String {
    let begin = marks(lines).remove(0);
    begin["begin"]["run"].as_str().unwrap().to_owned()
}

#[test]
fn an_input_without_its_end_is_cut_wherever_it_stops() {
    let seams = Seams::new();
    for (stage, input) in seams.inputs() {
        let units = units(&input);
        // Right after the begin mark, and between two pages.
        for kept in [1, 2, units.len() - 1] {
            let run = seams.run(stage, joined(&units[..kept])).exits(75);
            let run = run.says("input ended early");
            assert!(run.stderr.contains(&run_of(&input)), "{run}");
            // What came is worked on.
            assert_eq!(marks(&run.stdout).len(), kept, "{run}");
        }
        // In the middle of a page.
        let mut half = joined(&units[..2]);
        let lines = units[2].records.first().map(|line| format!("{line}\n"));
        half.extend(lines.unwrap_or_default().bytes());
        seams.run(stage, half).exits(75).says("input ended early");
        seams.run(stage, input).exits(0);
    }
}

#[test]
fn the_end_of_one_run_does_not_end_another() {
    let seams = Seams::new();
    for ((stage, one), (_, other)) in seams.inputs().into_iter().zip(seams.inputs()) {
        let (cut, whole) = (units(&one), units(&other));
        assert_ne!(run_of(&one), run_of(&other));
        let cut = joined(&cut[..3]);
        for input in [[&*cut, &*other].concat(), [&*other, &*cut].concat()] {
            let run = seams.run(stage, input).exits(75);
            let run = run.says("input ended early").says(&run_of(&one));
            let told = run.told();
            let said = told.iter().find(|line| line.contains("input ended early"));
            assert!(!said.unwrap().contains(&run_of(&other)), "{run}");
            assert_eq!(marks(&run.stdout).len(), 3 + whole.len(), "{run}");
        }
        // Of two whole ones nothing is missing.
        seams.run(stage, [one, other].concat()).exits(0);
    }
}

#[test]
fn a_missing_begin_mark_is_detected() {
    let seams = Seams::new();
    for (stage, input) in seams.inputs() {
        let units = units(&input);
        let run = run_of(&input);
        let end = units.len() - 1;
        for kept in [&units[1..], &units[end..]] {
            seams.run(stage, joined(kept)).exits(75).says(&run);
        }
        // All marks but those of the ends.
        let all = units.iter().flat_map(|unit| unit.records.clone()).collect();
        let mut ends = [units[0].clone(), units[end].clone()];
        ends[1].records = all;
        seams.run(stage, joined(&ends)).exits(75).says(&run);
    }
}

/// Passes the bytes through a shell's command.
fn through(command: &str, bytes: &[u8]) -> Vec<u8> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("LC_ALL", "C");
    let shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let output = shell.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    output.stdout
}

#[test]
fn lines_in_another_order_are_detected_and_explained() {
    let seams = Seams::new();
    for (stage, input) in seams.inputs() {
        for command in [
            "sort",
            "sort -r",
            "shuf --random-source=/bin/sh",
            "split -n r/1/2",
            "split -n r/2/2",
        ] {
            let mixed = through(command, &input);
            let run = seams.run(stage, mixed);
            assert_eq!(run.status.code(), Some(75), "{command}: {run}");
            let told = run.stderr.contains("sort, shuf, split");
            assert!(told || command.ends_with("r/1/2"), "{command}: {run}");
        }
        for command in ["cat", "tee /dev/null"] {
            seams.run(stage, through(command, &input)).exits(0);
        }
    }
}

/// A user may not want marks; a loader that keeps a state needs them.
#[test]
fn without_marks_an_input_ends_when_it_ends() {
    let seams = Seams::new();
    for (stage, input) in seams.inputs() {
        let bare = through("grep -v '^{\"mark\":'", &input);
        let run = seams.run(stage, bare).exits(0);
        assert_eq!(run.told().len(), 1, "the summary alone: {run}");
        assert_eq!(marks(&run.stdout), Vec::<Value>::new(), "{run}");
    }
    let place = Place::new();
    let runs = place::run(
        &LOADING,
        |stage| place.tool(stage),
        |stage, lines| match stage {
            "bh-load" => through("grep -v '^{\"mark\":'", &lines),
            _ => lines,
        },
    );
    place::exit(&runs, &[0, 0, 0, 0, 75]);
    assert_eq!(place.store.keys().len(), BUILDS);
    assert_eq!(place.loaded()["coverage"], json!([]));
    place.tool("bh-load").run().exits(75);
}

#[test]
fn an_empty_input_is_warned_of() {
    let seams = Seams::new();
    let inputs = seams.inputs();
    for stage in LOADING[1..].iter().chain(&DERIVING[1..]) {
        let run = seams.run(stage, "").exits(0);
        let warned = run.stderr.contains(&format!("{stage}: warning: "));
        assert!(warned && run.told().len() == 2, "{run}");
        let tool = |stage| {
            if LOADING.contains(stage) {
                seams.place.without_state(stage)
            } else {
                seams.derived.tool(stage)
            }
        };
        let run = tool(stage)
            .start_with(Stdio::null(), Stdio::piped())
            .finish();
        assert_eq!(run.exits(0).told().len(), 1, "/dev/null is meant");
        // A run without records has begun and ended.
        let (_, input) = inputs.iter().find(|(own, _)| own == stage).unwrap();
        let mut ends = units(input);
        ends.drain(1..ends.len() - 1);
        ends[1].mark = ends[1].mark.replace("\"units\":6", "\"units\":0");
        let run = seams.run(stage, joined(&ends)).exits(0);
        assert!(!run.stderr.contains("warning"), "{run}");
    }
}

/// The source dies before its first page: its begin mark is through.
#[test]
fn a_source_that_dies_before_its_first_page_is_detected() {
    let place = Place::new();
    let proxy = Proxy::new(&place.s3.url);
    let hold = proxy.set(Trap {
        text: "list-type=2",
        nth: 1,
        point: Point::Asked,
    });
    let list = Tool::new("s3-list").args(["--endpoint-url", &proxy.url, "--no-sign-request"]);
    let list = list.args(["--concurrency", "1", "s3://b"]);
    let list = list.arg("--resume-file").arg(place.resume_file());
    let rest = LOADING[1..].iter().map(|stage| place.tool(stage));
    let programs = start_pipeline([list].into_iter().chain(rest).collect());
    wait_for("the first request", || hold.is_held());
    programs[0].signal(Signal::KILL);
    hold.release(false);
    let runs: Vec<_> = programs.into_iter().map(Started::finish).collect();
    for (stage, run) in LOADING.iter().zip(runs).skip(1) {
        let run = run.exits(75).says("input ended early").says("--resume");
        let begun = run.what.contains(stage) && marks(&run.stdout).len() <= 1;
        assert!(begun, "{run}");
    }
}

/// The output of a killed listing and of the one that resumes it, in one file.
#[test]
fn a_listing_that_a_resumed_run_has_appended_to_is_whole() {
    let place = Place::new();
    let listed = place.tool("s3-list").run().exits(0);
    let first = units(&listed.stdout);
    // As if it had been killed in its third page.
    let mut state = place.listed();
    let through = marks(&listed.stdout)[2]["listed"]["through"].clone();
    state["coverage"] = json!([{"after": null, "through": through}]);
    state["finished"] = json!(false);
    state.as_object_mut().unwrap().remove("finished_at");
    std::fs::write(place.resume_file(), format!("{state}\n")).unwrap();
    let mut kept = joined(&first[..3]);
    kept.extend(format!("{}\n", first[3].records[0]).bytes());
    let tool = place.tool("s3-list").args(["--checkpoint", "listed"]);
    kept.extend(tool.run().exits(0).stdout);

    let runs = place::run_behind(&kept, |stage| place.without_state(stage));
    place::exit(&runs, &[0; 4]);
    assert_eq!(place.store.keys().len(), BUILDS);
    let begun = lines(&kept).into_iter();
    let begun = begun.filter(|line| line["mark"].get("begin").is_some());
    assert_eq!(begun.count(), 2);
}

/// A mark of an older program has no counts, and there is no begin mark.
#[test]
fn marks_of_older_programs_pass_untouched() {
    let seams = Seams::new();
    for (stage, input) in seams.inputs() {
        let mut old: Vec<Unit> = units(&input);
        old.remove(0);
        for unit in &mut old {
            let mut mark: Value = serde_json::from_str(&unit.mark).unwrap();
            let body = mark["mark"].as_object_mut().unwrap();
            body.remove("counts");
            if let Some(end) = body.get_mut("end").and_then(Value::as_object_mut) {
                end.retain(|name, _| ["run", "records", "pages"].contains(&&**name));
            }
            unit.mark = mark.to_string();
        }
        // Their counts say nothing, so none is missed.
        drop(old[2].records.pop());
        let run = seams.run(stage, joined(&old)).exits(0);
        let passed: Vec<String> = units(&run.stdout)
            .into_iter()
            .map(|unit| unit.mark)
            .collect();
        let expected: Vec<String> = old.iter().map(|unit| unit.mark.clone()).collect();
        assert_eq!(passed, expected, "{run}");
        // Each run by itself, here too.
        let end = old.pop().unwrap();
        let run = seams.run(stage, joined(&old)).exits(75);
        run.says("input ended early");
        let mut other = end;
        other.mark = other.mark.replace(&run_of(&input), "another");
        old.push(other);
        seams.run(stage, joined(&old)).exits(75);
    }
}

/// Other programs may have receipts of their own.
#[test]
fn a_mark_of_another_kind_closes_a_unit_no_less() {
    let seams = Seams::new();
    let end = r#"{"mark":{"end":{"run":"r"}}}"#;
    for (stage, input) in seams.inputs() {
        let records = &units(&input)[1].records;
        for kind in [r#""release":{"id":"#, r#""page":{"run":"r","next":"#] {
            let mark = |n: usize| format!("{{\"mark\":{{{kind}{n}}}}}}}");
            let lines = [&records[0], GARBAGE, &mark(1), &records[1], &mark(2), end];
            let lines = lines.map(|line| format!("{line}\n")).concat();
            let run = seams.run(stage, lines).exits(65);
            let passed: Vec<_> = units(&run.stdout)
                .into_iter()
                .map(|unit| unit.mark)
                .collect();
            let held = held(&mark(1), stage, "rejected");
            assert_eq!(passed, [held, mark(2), end.to_owned()], "{run}");
        }
    }
}

/// kinto-load confirms nothing: what another process had written into a pipe is
/// said before it stores anything.
#[test]
fn every_sink_detects_unconfirmed_records() {
    let derived = Derived::new(false);
    let place = Place::new();
    let state = place.folder.path().join("state");
    let list = || {
        let tool = derived.tool("s3-list");
        tool.arg("--resume-file").arg(&state).arg("--resume")
    };
    list().run().exits(0);
    let mut half: Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    half["coverage"][0]["through"] = json!(crate::bh_derive::key("be", "linux-x86_64"));
    half["finished"] = json!(false);
    half.as_object_mut().unwrap().remove("finished_at");
    std::fs::write(&state, format!("{half}\n")).unwrap();
    let runs = place::run(
        &DERIVING,
        |stage| {
            if stage == "s3-list" {
                list()
            } else {
                derived.tool(stage)
            }
        },
        |_, lines| lines,
    );
    let records = half["records"].as_u64().unwrap();
    let begin = marks(&runs[0].stdout).remove(0);
    assert_eq!(begin["begin"]["unconfirmed"], json!(records), "{begin}");
    place::exit(&runs, &[0, 0, 75]);
    assert!(runs[2].stderr.contains(&records.to_string()), "{}", runs[2]);
}
