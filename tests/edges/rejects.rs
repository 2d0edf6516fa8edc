//! The file of rejects, which stages share.

use std::fs::File;
use std::io::Write;
use std::process::Command;

use super::{END, GARBAGE, Place, mark, readers};
use crate::harness::fed::Fed;
use crate::harness::protocol::{Reject, read};
use crate::harness::{Tool, folder, left_out};

#[test]
fn a_reject_begins_a_new_line_after_half_a_line_of_another_program() {
    let place = Place::new();
    let torn = "{\"build\":{\"bui";
    for stage in readers() {
        let folder = folder();
        let file = folder.path().join("rejects");
        let mut fed = Fed::new(place.tool(stage).arg("--rejects").arg(&file));
        for n in 0..2 {
            fed.say(GARBAGE);
            fed.say(&mark(n));
            // Its unit is closed, so the reject is in the file.
            assert_eq!(fed.hear(), mark(n));
            // Another stage is killed within a line of its own.
            let mut shared = File::options().append(true).open(&file).unwrap();
            shared.write_all(torn.as_bytes()).unwrap();
        }
        fed.say(END);
        fed.finish().exits(65);
        let text = std::fs::read_to_string(&file).unwrap();
        let (own, halves): (Vec<_>, Vec<_>) = text.lines().partition(|line| *line != torn);
        assert_eq!((own.len(), halves.len()), (2, 2), "{text}");
        for reject in read::<Reject>((own.join("\n") + "\n").as_bytes()) {
            assert_eq!(reject.raw.as_deref(), Some(GARBAGE));
        }
    }
}

#[test]
fn the_name_of_a_new_file_of_rejects_is_on_disk_before_a_reject_counts() {
    let log = folder();
    let log = log.path().join("calls");
    let strace = [
        "strace",
        "-fye",
        "trace=fsync,fdatasync",
        "-o",
        log.to_str().unwrap(),
    ];
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !works.is_ok_and(|status| status.success()) {
        return left_out("strace");
    }
    let folder = folder();
    let tool = Tool::plain("bh-validate")
        .arg("--rejects")
        .arg(folder.path().join("rejects"));
    tool.under(strace)
        .input(format!("{GARBAGE}\n"))
        .run()
        .exits(65);
    let calls = std::fs::read_to_string(&log).unwrap();
    let name = folder.path().display().to_string();
    let at = |what: &str| {
        calls
            .find(what)
            .unwrap_or_else(|| panic!("{what}: {calls}"))
    };
    assert!(
        at(&format!("<{name}>")) < at(&format!("<{name}/rejects>")),
        "{calls}"
    );
}
