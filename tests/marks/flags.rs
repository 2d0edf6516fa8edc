//! Which programs write marks, and when.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::place::{self, LOADING, Place};
use crate::harness::kinto::{StandIn, answer};
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::units::marks;
use crate::harness::{Tool, left_out, wait_for};

/// A source with its arguments.
struct Source {
    name: &'static str,
    args: Vec<String>,
    units: usize,
    records: usize,
}

impl Source {
    fn tool(&self) -> Tool {
        Tool::new(self.name).args(&self.args)
    }
}

/// Every source, with a mark for each of some units.
fn sources(place: &Place, kinto: &StandIn, inventory: &std::path::Path) -> [Source; 3] {
    let row = |n: usize| format!("b,k{n},9,2019-01-01,e{n}\n");
    std::fs::write(inventory, (0..5).map(row).collect::<String>()).unwrap();
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    [
        Source {
            name: "s3-list",
            args: text(&[
                "--endpoint-url",
                &place.s3.url,
                "--no-sign-request",
                "--concurrency",
                "1",
                "--page-size",
                "8",
                "s3://b",
            ]),
            units: place::PAGES,
            records: place::KEYS,
        },
        Source {
            name: "s3-inventory",
            args: text(&[inventory.to_str().unwrap()]),
            units: 1,
            records: 5,
        },
        Source {
            name: "kinto-export",
            args: text(&["--server", &kinto.url, "--page-size", "2"]),
            units: 3,
            records: 5,
        },
    ]
}

fn kinto() -> StandIn {
    StandIn::new(|_, asked| Some(answer(5, asked)))
}

#[test]
fn a_source_begins_and_ends_and_counts_its_units() {
    let (place, kinto) = (Place::new(), kinto());
    let file = place.folder.path().join("rows.csv");
    for source in sources(&place, &kinto, &file) {
        let run = source.tool().run().exits(0);
        let lines = run.lines();
        let begin = &lines[0]["mark"]["begin"];
        for member in ["run", "source", "started"] {
            assert!(begin[member].is_string(), "{run}");
        }
        assert!(
            begin["criteria"].is_object() && begin.get("part").is_some(),
            "{run}"
        );
        assert_eq!(begin.get("resumable"), None, "{run}");
        let end = &lines.last().unwrap()["mark"]["end"];
        assert_eq!(end["run"], begin["run"], "{run}");
        assert_eq!(end["units"], source.units, "{run}");
        assert!(
            end["as_of"]
                .as_str()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .is_ok(),
            "{run}"
        );
        let all = marks(&run.stdout);
        assert_eq!(all.len(), source.units + 2, "{run}");
        let mut sent = 0;
        for unit in &all[1..=source.units] {
            let [counts] = &unit["counts"].as_array().unwrap()[..] else {
                panic!("{unit}")
            };
            assert_eq!(counts["stage"], source.name, "{unit}");
            assert_eq!(counts.get("in"), None, "{unit}");
            sent += counts["out"].as_u64().unwrap();
        }
        assert_eq!(sent, source.records as u64, "{run}");
        // Whoever reads it knows that it can be resumed.
        let state = place.folder.path().join(source.name);
        let run = source.tool().arg("--resume-file").arg(state).run().exits(0);
        assert_eq!(marks(&run.stdout)[0]["begin"]["resumable"], true, "{run}");
    }
}

#[test]
fn the_begin_mark_leaves_before_the_first_request() {
    let place = Place::new();
    let proxy = Proxy::new(&place.s3.url);
    let hold = proxy.set(Trap {
        text: "list-type=2",
        nth: 1,
        point: Point::Asked,
    });
    let (reader, stdout) = std::io::pipe().unwrap();
    let list = Tool::new("s3-list").args(["--endpoint-url", &proxy.url, "--no-sign-request"]);
    let list = list.args(["--concurrency", "1", "s3://b"]);
    let running = list.start_with(Stdio::null(), stdout.into());
    wait_for("the first request", || hold.is_held());
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"mark\":{\"begin\":{\"run\":"), "{line}");
    hold.release(true);
    let rest: Vec<String> = reader.lines().map(Result::unwrap).collect();
    running.finish().exits(0);
    assert!(rest.last().unwrap().starts_with("{\"mark\":{\"end\":"));
}

/// What a run is of stands in its begin mark: the bounds, and what decides what
/// is written.
#[test]
fn the_begin_mark_says_what_the_run_is_of() {
    let place = Place::new();
    let begin = |args: &[&str]| {
        let list = place.without_state("s3-list").args(args.iter().copied());
        marks(&list.run().exits(0).stdout).remove(0)["begin"].take()
    };
    let whole = begin(&[]);
    assert_eq!(whole["part"], Value::Null, "{whole}");
    let source = format!("s3://b/ at {}", place.s3.url);
    assert_eq!(whole["source"], json!(source), "{whole}");
    let bounded = begin(&["--after", "pub/a", "--through", "pub/z"]);
    assert_eq!(
        bounded["part"],
        json!([{"after": "pub/a", "through": "pub/z"}]),
        "{bounded}"
    );
    let ranges = place.folder.path().join("ranges");
    std::fs::write(
        &ranges,
        "{\"after\":null,\"through\":\"a\"}\n{\"after\":\"b\",\"through\":null}\n",
    )
    .unwrap();
    let part = begin(&["--ranges", ranges.to_str().unwrap()]);
    let expected = json!([{"after": null, "through": "a"}, {"after": "b", "through": null}]);
    assert_eq!(part["part"], expected, "{part}");
}

#[test]
fn sources_leave_marks_out_when_asked_and_on_a_terminal() {
    let (place, kinto) = (Place::new(), kinto());
    let file = place.folder.path().join("rows.csv");
    let has_script = Command::new("script").arg("--version").output().is_ok();
    for source in sources(&place, &kinto, &file) {
        let run = source.tool().arg("--no-marks").run().exits(0);
        assert_eq!(run.lines().len(), source.records, "{run}");
        assert_eq!(marks(&run.stdout), Vec::<Value>::new(), "{run}");
        if !has_script {
            left_out("script (of util-linux)");
            continue;
        }
        let program = crate::harness::program(source.name);
        let inner = format!("{} {}", program.display(), source.args.join(" "));
        let output = Command::new("script")
            .args(["-qec", &inner, "/dev/null"])
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("\"key\"") || text.contains("\"build\""),
            "{text}"
        );
        assert!(!text.contains("\"mark\""), "{text}");
    }
}

/// Without marks a loader could confirm nothing.
#[test]
fn no_marks_beside_a_loaders_file_is_a_usage_error() {
    let (place, kinto) = (Place::new(), kinto());
    let file = place.folder.path().join("rows.csv");
    for source in sources(&place, &kinto, &file) {
        let state = place.folder.path().join(format!("{}.json", source.name));
        let tool = || {
            source
                .tool()
                .arg("--no-marks")
                .arg("--resume-file")
                .arg(&state)
        };
        tool().run().exits(0);
        let load = Tool::new("bh-load").args(["--database", &place.store.url()]);
        load.arg("--resume-file")
            .arg(&state)
            .start_with(Stdio::null(), Stdio::null())
            .finish();
        let run = tool().run().exits(2).prints_nothing();
        run.says("--no-marks").says(".loaded");
    }
}

#[test]
fn sinks_write_marks_only_when_asked() {
    let place = Place::new();
    let load = |args: &[&str]| {
        let runs = place::run(
            &LOADING,
            |stage| match stage {
                "bh-load" => {
                    let load = Tool::new(stage).args(["--database", &place.store.url()]);
                    load.args(args.iter().copied())
                }
                _ => place.without_state(stage),
            },
            |_, lines| lines,
        );
        place::exit(&runs, &[0; 5]);
        runs.into_iter().last().unwrap().stdout
    };
    assert_eq!(load(&[]), b"");
    let written = marks(&load(&["--marks"]));
    assert_eq!(written.len(), place::PAGES + 2);
    let counts = written[1]["counts"].as_array().unwrap();
    let stages: Vec<_> = counts.iter().map(|entry| &entry["stage"]).collect();
    assert_eq!(stages, LOADING);

    let kinto = kinto();
    let input = json!({"data": crate::harness::kinto::release(0)}).to_string()
        + "\n{\"mark\":{\"message\":{\"queue\":\"q\",\"receipt_handle\":\"1\"}}}\n"
        + "{\"mark\":{\"end\":{\"run\":\"r\"}}}\n";
    for (args, expected) in [(&[][..], 0), (&["--marks"][..], 2)] {
        let tool = Tool::new("kinto-load").env("KINTO_AUTH", "me:secret");
        let tool = tool
            .args(["--server", &kinto.url])
            .args(args.iter().copied());
        let run = tool.input(&*input).run().exits(0);
        assert_eq!(marks(&run.stdout).len(), expected, "{run}");
    }
}
