//! A state that is damaged, or of another version, is refused and left as it is.

use serde_json::{Value, json};

use super::Place;
use crate::s3_list::{numbered, server_of};

#[test]
fn a_missing_member_of_a_state_file_is_never_guessed() {
    let (server, place) = (server_of(&numbered(10), &[]), Place::new());
    place.half(&server, |_| {});
    let text = std::fs::read_to_string(&place.file).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let interval = |after: &str, through: &str| json!({"after": after, "through": through});
    let without = |parent: &str, member: &str| {
        let mut state = whole.clone();
        let parent = state.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.remove(member).unwrap();
        state.to_string()
    };
    let with = |parent: &str, member: &str, value: Value| {
        let mut state = whole.clone();
        state.pointer_mut(parent).unwrap()[member] = value;
        state.to_string()
    };
    let overlapping = json!([interval("a", "k00004"), interval("k00003", "k00009")]);
    let unordered = json!([interval("k00004", "k00009"), interval("a", "b")]);
    let behind_the_end = json!([{"after": null, "through": null}, interval("a", "b")]);
    let damaged = [
        (without("/coverage/0", "through"), "missing field `through`"),
        (without("/coverage/0", "after"), "missing field `after`"),
        (
            with("/coverage/0", "until", json!("z")),
            "unknown field `until`",
        ),
        (
            with("", "coverage", json!([interval("b", "a")])),
            "ends before it begins",
        ),
        (
            with("", "coverage", json!([interval("a", "a")])),
            "ends before it begins",
        ),
        (
            with("", "coverage", overlapping),
            "overlaps the one before it",
        ),
        (
            with("", "coverage", unordered),
            "overlaps the one before it",
        ),
        (
            with("", "coverage", behind_the_end),
            "overlaps the one before it",
        ),
        (
            with("", "sample", json!([["b", 1], ["a", 1]])),
            "not in order",
        ),
        (with("", "records", json!(-1)), "invalid value"),
        (with("", "pages", json!(1.5)), "invalid type"),
        (with("", "skip", json!(true)), "unknown field `skip`"),
        (without("", "finished"), "missing field `finished`"),
        (without("/source", "endpoint"), "missing field `endpoint`"),
        (without("/source", "through"), "missing field `through`"),
        (
            with("/source", "shards", json!(2)),
            "unknown field `shards`",
        ),
        (
            text.replacen("\"finished\"", "\"finished\":true,\"finished\"", 1),
            "duplicate field `finished`",
        ),
        (String::new(), "damaged, or not a resume file"),
        (
            with("", "format", json!(3)),
            "written by a newer version of this program (format 3",
        ),
        (
            json!({"format": 12, "journal": []}).to_string(),
            "written by a newer version of this program (format 12",
        ),
        (
            with("", "format", json!(0)),
            "damaged, or not a resume file",
        ),
        (
            with("", "format", json!("1")),
            "damaged, or not a resume file",
        ),
    ];
    let name = place.file.display().to_string();
    for (state, why) in &damaged {
        std::fs::write(&place.file, state).unwrap();
        let run = place.resume(&server).run().exits(78).prints_nothing();
        let told = run.says(why).told()[0].to_owned();
        assert!(told.starts_with(&format!("s3-list: {name}: ")), "{told}");
        assert_eq!(std::fs::read_to_string(&place.file).unwrap(), *state);
    }
    std::fs::write(&place.file, &text).unwrap();
    let run = &whole["run"];
    for (loaded, why) in [
        (
            json!({"format": 1, "run": run, "coverage": [{"after": null}]}),
            "missing field `through`",
        ),
        (json!({"format": 1, "coverage": []}), "missing field `run`"),
        (
            json!({"format": 3, "run": run, "coverage": []}),
            "newer version",
        ),
    ] {
        std::fs::write(place.loaded(), loaded.to_string()).unwrap();
        let run = place.resume(&server).run().exits(78).prints_nothing();
        run.says(&format!("s3-list: {name}.loaded: ")).says(why);
    }
    // As it was, it is good.
    std::fs::remove_file(place.loaded()).unwrap();
    place.resume(&server).run().exits(0);
}
